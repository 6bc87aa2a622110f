//! Rows into records, whatever the database: the columns in the order they are read.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    entry::{Covers, Hold, Review},
    execution::{Source, StoredExecution, Target},
    log::{FORMAT, Leaf, Nonce},
    selector::Facts,
};
use serde::de::DeserializeOwned;

use super::{
    HoldRow, Receipt, ReceiptResult, ReviewRow, Running, Tracked, TrackedState, Underway, ahead, names,
};

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

/// The columns of a log entry that make a receipt, in the order [`receipt`] reads them.
macro_rules! receipt_columns {
    () => {
        "log, execution_id, attempt, revision, idx, leaf_hash, recorded_at"
    };
}

/// The columns of what is tracked, in the order [`tracked`] reads them.
macro_rules! tracked_columns {
    () => {
        "id, namespace, name, phase, started_at, last_state, last_seen_at, state, \
         workflow_name, workflow_version, incident_type, target_kind, running_since"
    };
}

/// The columns of a hold, in the order [`hold`] reads them.
macro_rules! hold_columns {
    () => {
        "idx, execution_id, selector, reason, actor, placed_at, released_at, released_idx"
    };
}

/// The columns of an execution that selectors look at, in the order [`facts`] reads them.
macro_rules! fact_columns {
    () => {
        "remediation_id, workflow_name, namespace, labels"
    };
}

/// The columns of a review, in the order [`review`] reads them.
macro_rules! review_columns {
    () => {
        "idx, id, attempt, verdict, note, actor, recorded_at"
    };
}

pub(super) use {
    fact_columns, hold_columns, listed_columns, receipt_columns, review_columns, tracked_columns,
};

/// How many [`listed_columns`] there are.
pub(super) const LISTED: usize = 35;

const API_VERSION: usize = 25;
const UID: usize = 27;

/// The place of the labels among [`listed_columns`].
pub(super) const LABELS: usize = 33;

/// The values of one row, by the place of their column.
///
/// # Errors
/// Each says which column cannot be read, and why.
pub(super) trait Cells {
    /// Why a value cannot be read.
    type Error;

    /// Whether there is no value.
    fn is_null(&self, column: usize) -> Result<bool, Self::Error>;
    /// A text.
    fn text(&self, column: usize) -> Result<&str, Self::Error>;
    /// A whole number.
    fn integer(&self, column: usize) -> Result<i64, Self::Error>;
    /// A number.
    fn real(&self, column: usize) -> Result<f64, Self::Error>;
    /// Bytes.
    fn blob(&self, column: usize) -> Result<&[u8], Self::Error>;
    /// Microseconds since 1970.
    fn micros(&self, column: usize) -> Result<i64, Self::Error>;
    /// The text of a JSON value.
    fn json_text(&self, column: usize) -> Result<&str, Self::Error>;
    /// A value that makes no sense.
    fn unreadable(&self, column: usize, why: &str) -> Self::Error;

    /// A text of its own.
    fn string(&self, column: usize) -> Result<String, Self::Error> {
        self.text(column).map(str::to_owned)
    }

    /// A whole number of a smaller type.
    fn number<N: TryFrom<i64>>(&self, column: usize) -> Result<N, Self::Error> {
        let number = self.integer(column)?;
        N::try_from(number).map_err(|_| self.unreadable(column, &format!("{number} is out of range")))
    }

    /// What `read` reads, if there is a value.
    fn optional<T>(
        &self,
        column: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, Self::Error>,
    ) -> Result<Option<T>, Self::Error> {
        if self.is_null(column)? { Ok(None) } else { read(self, column).map(Some) }
    }

    /// A time.
    fn time(&self, column: usize) -> Result<Time, Self::Error> {
        let time = Time::from_micros(self.micros(column)?);
        time.ok_or_else(|| self.unreadable(column, "its year is not from 1 to 9999"))
    }

    /// Exactly `N` bytes.
    fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], Self::Error> {
        let blob = self.blob(column)?;
        blob.try_into().map_err(|_| self.unreadable(column, &format!("it has {} bytes, not {N}", blob.len())))
    }

    /// A digest.
    fn digest(&self, column: usize) -> Result<Digest, Self::Error> {
        self.bytes(column).map(Digest)
    }

    /// An enum by its name.
    fn name<T: DeserializeOwned>(&self, column: usize) -> Result<T, Self::Error> {
        names::parse(self.text(column)?).map_err(|error| self.unreadable(column, &error.to_string()))
    }

    /// A part of a record by its JSON.
    fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, Self::Error> {
        let text = self.json_text(column)?;
        serde_json::from_str(text).map_err(|error| self.unreadable(column, &error.to_string()))
    }
}

/// The leaf that the columns `idx, kind, recorded_at, execution_id, attempt, revision, body_digest` make.
pub(super) fn leaf<C: Cells>(row: &C, log: &str) -> Result<Leaf, C::Error> {
    Ok(Leaf {
        format: FORMAT,
        log: log.to_owned(),
        index: row.number(0)?,
        kind: row.name(1)?,
        recorded_at: row.time(2)?,
        execution_id: row.optional(3, Cells::string)?,
        attempt: row.optional(4, Cells::number)?,
        revision: row.optional(5, Cells::number)?,
        body_digest: row.digest(6)?,
    })
}

/// An execution with what its row holds besides the record.
pub(super) struct FullRow {
    pub(super) execution: StoredExecution,
    pub(super) nonce: Nonce,
}

/// Reads [`listed_columns`], and nonce, steps and adjustments from column `rest` on.
pub(super) fn full<C: Cells>(row: &C, rest: usize) -> Result<FullRow, C::Error> {
    let mut execution = listed(row)?;
    execution.record.step_executions = row.json(rest + 1)?;
    execution.record.adaptive_adjustments = row.json(rest + 2)?;
    Ok(FullRow { execution, nonce: Nonce(row.bytes(rest)?) })
}

/// What [`full`] read, if its row says nothing else to whoever asks with SQL: a step that is an array
/// of its fields, a part of a source without its kind.
pub(super) fn unambiguous<C: Cells>(row: &C, rest: usize, full: FullRow) -> Result<FullRow, C::Error> {
    let record = &full.execution.record;
    if record.source.is_none() && !(row.is_null(API_VERSION)? && row.is_null(UID)?) {
        return Err(row.unreadable(API_VERSION, "there is no source_kind"));
    }
    // Not by their text: the order of fields may change.
    for (column, read) in [
        (rest + 1, serde_json::to_value(&record.step_executions)),
        (rest + 2, serde_json::to_value(&record.adaptive_adjustments)),
    ] {
        if row.json::<serde_json::Value>(column).ok() != read.ok() {
            return Err(row.unreadable(column, "its parts are not written as they are"));
        }
    }
    Ok(full)
}

/// Reads [`listed_columns`]; steps and adjustments stay empty.
pub(super) fn listed<C: Cells>(row: &C) -> Result<StoredExecution, C::Error> {
    let text = |column| row.optional(column, C::string);
    let source = match text(API_VERSION + 1)? {
        None => None,
        Some(kind) => Some(Source { api_version: row.string(API_VERSION)?, kind, uid: row.string(UID)? }),
    };
    let target = Target { api_version: text(29)?, kind: text(30)?, namespace: text(31)?, name: text(32)? };
    let record = WorkflowExecutionAudit {
        id: row.string(1)?,
        attempt: row.number(2)?,
        remediation_id: row.string(8)?,
        workflow_name: row.string(9)?,
        workflow_version: row.string(10)?,
        total_steps: row.number(11)?,
        steps_completed: row.number(12)?,
        steps_failed: row.number(13)?,
        total_duration: row.number(14)?,
        outcome: row.name(16)?,
        effectiveness_score: row.real(17)?,
        score_source: row.name(18)?,
        rollbacks_performed: row.number(19)?,
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        completed_at: row.time(6)?,
        status: row.name(20)?,
        error_message: row.string(21)?,
        created_at: row.time(5)?,
        cluster: text(22)?,
        namespace: text(23)?,
        name: text(24)?,
        source,
        started_at: row.optional(7, C::time)?,
        queued_duration: row.optional(15, C::number)?,
        incident_type: text(28)?,
        target: (!ahead::names_nothing(&target)).then_some(target),
        labels: labels(row)?,
    };
    Ok(StoredExecution {
        record,
        revision: row.number(3)?,
        recorded_at: row.time(4)?,
        source_digest: row.optional(34, C::digest)?,
    })
}

fn labels<C: Cells>(row: &C) -> Result<BTreeMap<String, String>, C::Error> {
    match row.json_text(LABELS)? {
        "{}" => Ok(BTreeMap::new()),
        _ => row.json(LABELS),
    }
}

/// Reads [`receipt_columns`]: the receipt as it was first given.
pub(super) fn receipt<C: Cells>(row: &C) -> Result<Receipt, C::Error> {
    let revision = row.optional(3, C::number)?;
    Ok(Receipt {
        log: row.string(0)?,
        id: row.optional(1, C::string)?.unwrap_or_default(),
        attempt: row.optional(2, C::number)?,
        revision,
        index: row.number(4)?,
        leaf_hash: row.digest(5)?,
        recorded_at: row.time(6)?,
        result: ReceiptResult::first(revision),
    })
}

/// How many [`hold_columns`] there are.
pub(super) const HOLD: usize = 8;

/// Reads [`hold_columns`] from column `at` on.
pub(super) fn hold<C: Cells>(row: &C, at: usize) -> Result<HoldRow, C::Error> {
    let covers = match row.optional(at + 1, C::string)? {
        Some(id) => Covers::ExecutionId(id),
        None => Covers::Selector(row.json(at + 2)?),
    };
    let released = match row.optional(at + 6, C::time)? {
        Some(released_at) => Some((released_at, row.optional(at + 7, C::number)?)),
        None => None,
    };
    Ok(HoldRow {
        index: row.number(at)?,
        hold: Hold { covers, reason: row.string(at + 3)?, actor: row.string(at + 4)? },
        placed_at: row.time(at + 5)?,
        released,
    })
}

/// How many [`review_columns`] there are.
pub(super) const REVIEW: usize = 7;

/// Reads [`review_columns`] from column `at` on.
pub(super) fn review<C: Cells>(row: &C, at: usize) -> Result<ReviewRow, C::Error> {
    let (execution_id, attempt) = (row.string(at + 1)?, row.number(at + 2)?);
    let (verdict, note, actor) = (row.name(at + 3)?, row.string(at + 4)?, row.string(at + 5)?);
    Ok(ReviewRow {
        index: row.number(at)?,
        review: Review { execution_id, attempt, verdict, note, actor },
        recorded_at: row.time(at + 6)?,
    })
}

/// Reads [`fact_columns`] from column `at` on.
pub(super) fn facts<C: Cells>(row: &C, at: usize) -> Result<Facts, C::Error> {
    Ok(Facts {
        remediation_id: row.string(at)?,
        workflow_name: row.string(at + 1)?,
        namespace: row.optional(at + 2, C::string)?,
        labels: row.json(at + 3)?,
    })
}

/// Reads [`tracked_columns`].
pub(super) fn tracked<C: Cells>(row: &C) -> Result<Tracked, C::Error> {
    Ok(Tracked {
        id: row.string(0)?,
        namespace: row.string(1)?,
        name: row.string(2)?,
        phase: row.string(3)?,
        started_at: row.optional(4, C::time)?,
        last_state: row.string(5)?,
        last_seen_at: row.time(6)?,
        state: tracked_state(row, 7)?,
        running: running(row, 8)?.map(Box::new),
    })
}

/// Reads what runs from column `at` on: workflow, version, incident type, kind of target, and since when, if anything
/// does.
fn running<C: Cells>(row: &C, at: usize) -> Result<Option<Running>, C::Error> {
    let Some(since) = row.optional(at + 4, C::time)? else { return Ok(None) };
    Ok(Some(Running {
        workflow: row.string(at)?,
        version: row.string(at + 1)?,
        incident_type: row.string(at + 2)?,
        target_kind: row.string(at + 3)?,
        since,
    }))
}

/// Reads an execution in flight: its namespace, and what runs.
pub(super) fn underway<C: Cells>(row: &C) -> Result<Underway, C::Error> {
    let running = running(row, 1)?.ok_or_else(|| row.unreadable(5, "nothing runs"))?;
    Ok(Underway { namespace: row.string(0)?, running })
}

/// Reads the state of a tracked row.
pub(super) fn tracked_state<C: Cells>(row: &C, column: usize) -> Result<TrackedState, C::Error> {
    let found = row.text(column)?;
    [TrackedState::Open, TrackedState::Closed]
        .into_iter()
        .find(|state| names::tracked_state(*state) == found)
        .ok_or_else(|| row.unreadable(column, "it is neither open nor closed"))
}
