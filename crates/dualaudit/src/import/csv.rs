//! CSV as an export has it: all that a record has is in its columns, so it can be taken back.

use std::{
    io::{self, BufRead},
    ops::ControlFlow,
};

use ::csv::{ErrorKind, ReaderBuilder, StringRecord};
use serde_json::{Map, Value, json};

use super::{
    Content, Item, Setting,
    bounded::{Bounded, too_large},
    value,
};
use crate::export::CSV_COLUMNS;

/// What a column holds.
#[derive(Clone, Copy)]
enum Holds {
    /// Text, which may have been guarded.
    Text,
    /// A number.
    Number,
    /// JSON.
    Json,
    /// What an export adds, and no record has.
    Nothing,
}

fn holds(column: &str) -> Holds {
    match column {
        "revision" | "log" | "entry" | "recorded_at" | "score_source" | "source_digest" => Holds::Nothing,
        "attempt"
        | "effectiveness_score"
        | "total_steps"
        | "steps_completed"
        | "steps_failed"
        | "rollbacks_performed"
        | "total_duration"
        | "queued_duration" => Holds::Number,
        "labels" | "step_executions" | "adaptive_adjustments" => Holds::Json,
        _ => Holds::Text,
    }
}

/// A row an execution, below the header.
pub(super) fn rows(
    reader: impl BufRead,
    setting: Setting<'_>,
    each: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut refuse = |line: u64, reason: String| {
        each(Item { line, name: String::new(), content: Content::Refused(reason) })
    };
    let (reader, meter) = Bounded::new(reader);
    let mut csv = ReaderBuilder::new().flexible(false).from_reader(reader);
    let header = match csv.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            let _ = refuse(1, broken(error)?);
            return Ok(());
        }
    };
    let missing: Vec<&str> =
        CSV_COLUMNS.into_iter().filter(|column| !header.iter().any(|there| there == *column)).collect();
    if !missing.is_empty() {
        let reason = format!(
            "this CSV is no export, and has not all that a record has: the columns {} are missing. `dualaudit export \
             --format csv` writes them",
            missing.join(", ")
        );
        let _ = refuse(1, reason);
        return Ok(());
    }
    let mut row = StringRecord::new();
    loop {
        meter.begin_next();
        let line = csv.position().line();
        match csv.read_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let (name, content) = execution(&header, &row, setting);
                if each(Item { line, name, content }).is_break() {
                    return Ok(());
                }
            }
            Err(error) => {
                let is_of_one_row =
                    matches!(error.kind(), ErrorKind::Utf8 { .. } | ErrorKind::UnequalLengths { .. });
                let mut reason = broken(error)?;
                if !is_of_one_row {
                    reason.push_str("; nothing of the file after this was read");
                }
                let content = Content::Refused(reason);
                if each(Item { line, name: String::new(), content }).is_break() || !is_of_one_row {
                    return Ok(());
                }
            }
        }
    }
}

/// What is wrong with the content.
///
/// # Errors
/// When it is the file that cannot be read.
fn broken(error: ::csv::Error) -> io::Result<String> {
    match error.into_kind() {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(too_large()),
        ErrorKind::Io(error) => Err(error),
        ErrorKind::Utf8 { err, .. } => Ok(format!("not UTF-8: {err}")),
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Ok(format!("has {len} fields, and the header {expected_len}"))
        }
        other => Ok(format!("not CSV: {other:?}")),
    }
}

fn execution(header: &StringRecord, row: &StringRecord, setting: Setting<'_>) -> (String, Content) {
    let at = |column: &str| {
        let place = header.iter().position(|name| name == column);
        place.and_then(|place| row.get(place)).unwrap_or_default()
    };
    let name: String = plain(at("id")).chars().take(253).collect();
    let Ok(revision) = at("revision").parse() else {
        return (name, Content::Refused(format!("revision: {:?} is no number", at("revision"))));
    };
    let mut fields = Map::new();
    for (column, text) in header.iter().zip(row.iter()) {
        let is_derived = column == "effectiveness_score" && at("score_source") == "derived";
        if text.is_empty() && column != "remediation_id" && column != "workflow_version" || is_derived {
            continue;
        }
        let read = match holds(column) {
            Holds::Nothing => continue,
            Holds::Text => Ok(Value::from(plain(text))),
            Holds::Number | Holds::Json => serde_json::from_str::<Value>(text),
        };
        let value = match read {
            Ok(value) => value,
            Err(error) => return (name, Content::Refused(format!("{column}: {error}"))),
        };
        match column.split_once('_') {
            Some((whole @ ("target" | "source"), part)) => {
                fields.entry(whole).or_insert_with(|| json!({}))[part] = value;
            }
            _ => drop(fields.insert(column.to_owned(), value)),
        }
    }
    if let Some(Value::Object(labels)) = fields.get_mut("labels") {
        labels.remove(dualaudit_record::execution::QUARANTINE_LABEL);
    }
    (name, value::record(Value::Object(fields).to_string(), revision, setting))
}

/// A text without what guards it from spreadsheets; see [`crate::export::guarded`].
fn plain(text: &str) -> &str {
    text.strip_prefix('\'').unwrap_or(text)
}
