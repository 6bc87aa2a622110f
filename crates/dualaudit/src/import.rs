//! Files of executions → what there is to record, each with where it stands.
//!
//! What a file holds is told by its content: JSON (records, lines of an export, WorkflowExecutions and lists of them, any
//! number in a file), CSV as an export has it, or YAML as `kubectl get -o yaml` prints it.
//!
//! # Guarantees
//! - Memory is bounded by [`MAX_VALUE_BYTES`], however long a file or a list in it is.
//! - What cannot be read harms only itself. Only JSON that is broken between values makes the rest of its file unreadable,
//!   which is told as such.

use std::{
    io::{self, Read},
    ops::ControlFlow,
};

use dualaudit_record::{Time, WorkflowExecutionAudit};

mod bounded;
mod csv;
mod form;
mod json;
mod value;
mod yaml;

/// The most bytes of one record, object or line.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// What is known before anything is read.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The cluster that WorkflowExecutions ran in, as their records name it.
    pub cluster: Option<&'a str>,
    /// Bounds the times of records.
    pub now: Time,
}

/// One thing that a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The line it stands in, from 1; of what has several, the first, or one shortly before it.
    pub line: u64,
    /// The id, or NAMESPACE/NAME; empty where that cannot be told.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// What a thing in a file is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// There is this to record.
    Record(Box<Readied>),
    /// There is nothing to record of it, and nothing is wrong with it.
    Skipped(Skipped),
    /// It cannot be recorded: why.
    Refused(String),
}

/// Something to record.
#[derive(Clone, Debug, PartialEq)]
pub struct Readied {
    /// The record, as a producer would have sent it.
    pub record: WorkflowExecutionAudit,
    /// The same as it goes over the wire: JSON.
    pub json: String,
    /// Which revision it was where it comes from; 1 unless that is told.
    pub revision: u32,
}

/// Why there is nothing to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// A WorkflowExecution that has not ended.
    NotEnded,
    /// An entry of a log that is no execution.
    OtherEntry,
    /// An entry whose body was purged or erased.
    NoBody,
}

/// Reads a file and tells of each thing in it, in order, until it is told to stop.
///
/// # Errors
/// When the file cannot be read. What is wrong with its content is told of as an [`Item`].
pub fn read(
    reader: impl Read,
    setting: Setting<'_>,
    each: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> io::Result<()> {
    let (form, reader) = form::told_by_content(reader)?;
    match form {
        form::Form::Empty => Ok(()),
        form::Form::Lines => json::lines(reader, setting, each),
        form::Form::Values => json::values(reader, setting, each),
        form::Form::Csv => csv::rows(reader, setting, each),
        form::Form::Yaml => yaml::documents(reader, setting, each),
        form::Form::Other(reason) => {
            let content = Content::Refused(reason.to_owned());
            let _ = each(Item { line: 1, name: String::new(), content });
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
