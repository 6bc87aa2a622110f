//! Rows into records and back.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    entry::Hold,
    execution::{Source, StoredExecution, Target},
    log::Nonce,
};
use rusqlite::{Row, types::ValueRef};
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::store::{Receipt, ReceiptResult, Tracked, ahead, names};

/// The columns of an execution that every reader needs, in the order [`listed`] reads them.
macro_rules! listed_columns {
    () => {
        "log, id, attempt, revision, recorded_at, created_at, completed_at, started_at, \
         remediation_id, workflow_name, workflow_version, total_steps, steps_completed, \
         steps_failed, total_duration, queued_duration, outcome, effectiveness_score, score_source, \
         rollbacks_performed, status, error_message, cluster, namespace, name, source_api_version, \
         source_kind, source_uid, incident_type, target_api_version, target_kind, target_namespace, \
         target_name, labels, source_digest"
    };
}

/// All columns of an execution, in the order [`full`] reads them and writers bind them.
macro_rules! execution_columns {
    () => {
        concat!(
            super::rows::listed_columns!(),
            ", content_digest, nonce, step_executions, adaptive_adjustments"
        )
    };
}

/// The columns of a log entry that make a receipt, in the order [`receipt`] reads them.
macro_rules! receipt_columns {
    () => {
        "log, execution_id, attempt, revision, idx, leaf_hash, recorded_at"
    };
}

pub(super) use {execution_columns, listed_columns, receipt_columns};

const API_VERSION: usize = 25;
const UID: usize = 27;
const LABELS: usize = 33;
const CONTENT_DIGEST: usize = 35;

/// An execution with what its row holds besides the record.
pub(super) struct FullRow {
    pub(super) execution: StoredExecution,
    pub(super) nonce: Nonce,
}

/// Reads [`execution_columns`].
pub(super) fn full(row: &Row<'_>) -> Result<FullRow> {
    let mut execution = listed(row)?;
    execution.record.step_executions = json(row, CONTENT_DIGEST + 2)?;
    execution.record.adaptive_adjustments = json(row, CONTENT_DIGEST + 3)?;
    let nonce = bytes::<16>(row, CONTENT_DIGEST + 1)?;
    Ok(FullRow { execution, nonce: Nonce(nonce) })
}

/// What [`full`] read, if its row says nothing else to whoever asks with SQL: a label that is there
/// twice, a step that is an array of its fields, a part of a source without its kind.
pub(super) fn unambiguous(row: &Row<'_>, full: FullRow) -> Result<FullRow> {
    let record = &full.execution.record;
    let source = [API_VERSION, UID].map(|column| row.get_ref(column).map(|part| part == ValueRef::Null));
    if record.source.is_none() && source != [Ok(true), Ok(true)] {
        return Err(unreadable(row, API_VERSION, "there is no source_kind"));
    }
    let labels = serde_json::to_string(&record.labels).ok();
    if row.get_ref(LABELS)?.as_str().ok() != labels.as_deref() {
        return Err(unreadable(row, LABELS, "it is not written as labels are"));
    }
    // Not by their text: the order of fields may change.
    for (column, read) in [
        (CONTENT_DIGEST + 2, serde_json::to_value(&record.step_executions)),
        (CONTENT_DIGEST + 3, serde_json::to_value(&record.adaptive_adjustments)),
    ] {
        if json::<serde_json::Value>(row, column).ok() != read.ok() {
            return Err(unreadable(row, column, "its parts are not written as they are"));
        }
    }
    Ok(full)
}

/// Reads the content digest of [`execution_columns`].
pub(super) fn content_digest(row: &Row<'_>) -> Result<Option<Digest>> {
    optional_digest(row, CONTENT_DIGEST)
}

/// Reads [`listed_columns`]; steps and adjustments stay empty.
pub(super) fn listed(row: &Row<'_>) -> Result<StoredExecution> {
    let source = match row.get::<_, Option<String>>(26)? {
        None => None,
        Some(kind) => Some(Source { api_version: row.get(API_VERSION)?, kind, uid: row.get(UID)? }),
    };
    let target =
        Target { api_version: row.get(29)?, kind: row.get(30)?, namespace: row.get(31)?, name: row.get(32)? };
    let record = WorkflowExecutionAudit {
        id: row.get(1)?,
        attempt: row.get(2)?,
        remediation_id: row.get(8)?,
        workflow_name: row.get(9)?,
        workflow_version: row.get(10)?,
        total_steps: row.get(11)?,
        steps_completed: row.get(12)?,
        steps_failed: row.get(13)?,
        total_duration: row.get(14)?,
        outcome: name(row, 16)?,
        effectiveness_score: row.get(17)?,
        score_source: name(row, 18)?,
        rollbacks_performed: row.get(19)?,
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        completed_at: time(row, 6)?,
        status: name(row, 20)?,
        error_message: row.get(21)?,
        created_at: time(row, 5)?,
        cluster: row.get(22)?,
        namespace: row.get(23)?,
        name: row.get(24)?,
        source,
        started_at: optional_time(row, 7)?,
        queued_duration: row.get(15)?,
        incident_type: row.get(28)?,
        target: (!ahead::names_nothing(&target)).then_some(target),
        labels: labels(row, LABELS)?,
    };
    Ok(StoredExecution {
        record,
        revision: row.get(3)?,
        recorded_at: time(row, 4)?,
        source_digest: optional_digest(row, 34)?,
    })
}

/// Reads [`receipt_columns`] that begin at column `first`: the receipt as it was first given.
pub(super) fn receipt(row: &Row<'_>, first: usize) -> Result<Receipt> {
    let revision: Option<u32> = row.get(first + 3)?;
    Ok(Receipt {
        log: row.get(first)?,
        id: row.get(first + 1)?,
        attempt: row.get(first + 2)?,
        revision,
        index: row.get(first + 4)?,
        leaf_hash: digest(row, first + 5)?,
        recorded_at: time(row, first + 6)?,
        result: first_result(revision),
    })
}

/// What the sending that a revision was first stored by did.
pub(super) fn first_result(revision: Option<u32>) -> ReceiptResult {
    match revision {
        None | Some(1) => ReceiptResult::Created,
        Some(_) => ReceiptResult::Amended,
    }
}

/// Reads reason, actor and time of a hold on an execution.
pub(super) fn hold(row: &Row<'_>, execution_id: &str) -> Result<(Hold, Time)> {
    let hold = Hold { execution_id: execution_id.to_owned(), reason: row.get(0)?, actor: row.get(1)? };
    Ok((hold, time(row, 2)?))
}

/// Reads the columns of `tracked` after `log`, in the order of the table.
pub(super) fn tracked(row: &Row<'_>) -> Result<Tracked> {
    Ok(Tracked {
        id: row.get(0)?,
        namespace: row.get(1)?,
        name: row.get(2)?,
        phase: row.get(3)?,
        started_at: optional_time(row, 4)?,
        last_state: row.get(5)?,
        last_seen_at: time(row, 6)?,
        state: tracked_state(row, 7)?,
    })
}

/// Reads the state of a tracked row.
pub(super) fn tracked_state(row: &Row<'_>, column: usize) -> Result<crate::store::TrackedState> {
    use crate::store::TrackedState::{Closed, Open};
    let found = row.get_ref(column)?.as_str().map_err(|_| unreadable(row, column, "it is no text"))?;
    [Open, Closed]
        .into_iter()
        .find(|state| names::tracked_state(*state) == found)
        .ok_or_else(|| unreadable(row, column, "it is neither open nor closed"))
}

/// Reads a time.
pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Time> {
    Time::from_micros(row.get(column)?)
        .ok_or_else(|| unreadable(row, column, "its year is not from 1 to 9999"))
}

/// Reads a time that may be absent.
pub(super) fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<Time>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => time(row, column).map(Some),
    }
}

/// Reads a digest.
pub(super) fn digest(row: &Row<'_>, column: usize) -> Result<Digest> {
    bytes(row, column).map(Digest)
}

/// Reads a digest that may be absent.
pub(super) fn optional_digest(row: &Row<'_>, column: usize) -> Result<Option<Digest>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => digest(row, column).map(Some),
    }
}

/// Reads exactly `N` bytes.
pub(super) fn bytes<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N]> {
    let blob = row.get_ref(column)?.as_blob().map_err(|_| unreadable(row, column, "it is no blob"))?;
    blob.try_into().map_err(|_| unreadable(row, column, &format!("it has {} bytes, not {N}", blob.len())))
}

/// Reads an enum by its name.
pub(super) fn name<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|_| unreadable(row, column, "it is no text"))?;
    names::parse(text).map_err(|error| unreadable(row, column, &error.to_string()))
}

fn labels(row: &Row<'_>, column: usize) -> Result<BTreeMap<String, String>> {
    match row.get_ref(column)? {
        ValueRef::Text(b"{}") => Ok(BTreeMap::new()),
        _ => json(row, column),
    }
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|_| unreadable(row, column, "it is no text"))?;
    serde_json::from_str(text).map_err(|error| unreadable(row, column, &error.to_string()))
}

/// A value that makes no sense.
pub(super) fn unreadable(row: &Row<'_>, column: usize, why: &str) -> Error {
    let name = row.as_ref().column_name(column).unwrap_or("?").to_owned();
    Error::damaged(format!("column {name} cannot be read: {why}"))
}
