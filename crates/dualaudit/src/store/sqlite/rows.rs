//! The values of SQLite's rows.

use dualaudit_record::digest::Digest;
use rusqlite::{Row, types::ValueRef};

use super::error::{Error, Result};
use crate::store::rows::{Cells, FullRow, LABELS, LISTED, full, unambiguous};

/// All columns of an execution, in the order they are read here and writers bind them.
macro_rules! execution_columns {
    () => {
        concat!(
            $crate::store::rows::listed_columns!(),
            ", content_digest, nonce, step_executions, adaptive_adjustments"
        )
    };
}

pub(super) use execution_columns;

const CONTENT_DIGEST: usize = LISTED;

/// Reads [`execution_columns`].
pub(super) fn execution(row: &Row<'_>) -> Result<FullRow> {
    full(row, CONTENT_DIGEST + 1)
}

/// Reads [`execution_columns`], where they say the same to whoever asks with SQL. A label that is
/// there twice is only seen in the text.
pub(super) fn unambiguous_execution(row: &Row<'_>) -> Result<FullRow> {
    let full = unambiguous(row, CONTENT_DIGEST + 1, execution(row)?)?;
    let labels = serde_json::to_string(&full.execution.record.labels).ok();
    if Some(row.json_text(LABELS)?) != labels.as_deref() {
        return Err(row.unreadable(LABELS, "it is not written as labels are"));
    }
    Ok(full)
}

/// Reads the content digest of [`execution_columns`].
pub(super) fn content_digest(row: &Row<'_>) -> Result<Option<Digest>> {
    row.optional(CONTENT_DIGEST, Cells::digest)
}

impl Cells for Row<'_> {
    type Error = Error;

    fn is_null(&self, column: usize) -> Result<bool> {
        Ok(self.get_ref(column)? == ValueRef::Null)
    }

    fn text(&self, column: usize) -> Result<&str> {
        self.get_ref(column)?.as_str().map_err(|_| self.unreadable(column, "it is no text"))
    }

    fn integer(&self, column: usize) -> Result<i64> {
        self.get_ref(column)?.as_i64().map_err(|_| self.unreadable(column, "it is no integer"))
    }

    fn real(&self, column: usize) -> Result<f64> {
        self.get_ref(column)?.as_f64().map_err(|_| self.unreadable(column, "it is no number"))
    }

    fn blob(&self, column: usize) -> Result<&[u8]> {
        self.get_ref(column)?.as_blob().map_err(|_| self.unreadable(column, "it is no blob"))
    }

    fn micros(&self, column: usize) -> Result<i64> {
        self.integer(column)
    }

    fn json_text(&self, column: usize) -> Result<&str> {
        self.text(column)
    }

    fn unreadable(&self, column: usize, why: &str) -> Error {
        let name = self.as_ref().column_name(column).unwrap_or("?");
        Error::damaged(format!("column {name} cannot be read: {why}"))
    }
}
