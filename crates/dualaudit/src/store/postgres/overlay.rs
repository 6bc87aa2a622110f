//! A log inside an append: what was read of it at the beginning, and what the append has added since.
//!
//! All that a batch needs to know is read before the first decision, and all that it writes is sent
//! after the last one, so that an append costs a few exchanges with the server, not a few for each
//! record.

use std::{collections::HashMap, convert::Infallible};

use dualaudit_record::{Time, WorkflowExecutionAudit, digest::Digest, entry::Hold};

use super::{
    fields::{CopyRows, Field, Fields},
    known::EntriesOf,
    tracked::TrackedRows,
};
use crate::store::{
    Receipt, ReceiptResult, Tracked,
    ahead::Prepared,
    append::{HoldsWithReason, NewEntry, NewRow, Tables},
    names,
    rules::{Revision, TrackedAs},
};

/// A row that takes the place of the one before it.
pub(super) struct Amendment {
    pub(super) id: String,
    pub(super) attempt: u32,
    pub(super) created_at: Time,
    /// All columns.
    pub(super) row: Vec<Field>,
}

/// An object that could not be mapped.
pub(super) struct QuarantineRow {
    pub(super) receipt: Receipt,
    pub(super) digest: Digest,
    pub(super) object: Vec<u8>,
}

/// What an append writes.
pub(super) struct Written {
    pub(super) entries: CopyRows,
    pub(super) executions: CopyRows,
    pub(super) source_objects: CopyRows,
    pub(super) amendments: Vec<Amendment>,
    pub(super) quarantines: Vec<QuarantineRow>,
    pub(super) holds: Vec<(Receipt, Hold)>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            entries: CopyRows::of(14),
            executions: CopyRows::of(38),
            source_objects: CopyRows::of(4),
            amendments: Vec::new(),
            quarantines: Vec::new(),
            holds: Vec::new(),
        }
    }
}

/// A log inside an append.
pub(super) struct Overlay {
    pub(super) log: String,
    pub(super) entries: HashMap<String, EntriesOf>,
    /// By execution and reason.
    pub(super) holds: HashMap<(String, String), HoldsWithReason>,
    pub(super) tracked: TrackedRows,
    pub(super) written: Written,
}

impl Tables for Overlay {
    type Error = Infallible;

    fn revisions(&mut self, id: &str) -> Result<Vec<Revision>, Infallible> {
        Ok(self.entries.get(id).map_or_else(Vec::new, |of| of.revisions.clone()))
    }

    fn by_key(&mut self, id: &str, key: &str) -> Result<Option<Receipt>, Infallible> {
        Ok(self.entries.get(id).and_then(|of| of.others.get(key)).cloned())
    }

    fn quarantined(&mut self, id: &str) -> Result<Option<Time>, Infallible> {
        Ok(self.entries.get(id).and_then(|of| of.quarantined).map(|(_, at)| at))
    }

    fn holds_with_reason(&mut self, hold: &Hold) -> Result<HoldsWithReason, Infallible> {
        let key = (hold.execution_id.clone(), hold.reason.clone());
        Ok(self.holds.get(&key).cloned().unwrap_or_default())
    }

    fn tracked_as(&mut self, id: &str) -> Result<Option<TrackedAs>, Infallible> {
        Ok(self.tracked.tracked_as(id))
    }

    fn tracked_row(&mut self, id: &str) -> Result<Option<Tracked>, Infallible> {
        Ok(self.tracked.get(id).cloned())
    }

    fn entry(&mut self, entry: NewEntry<'_>) -> Result<(), Infallible> {
        let NewEntry { leaf, leaf_hash, execution, key, body } = entry;
        let id = leaf.execution_id.as_deref().unwrap_or_default();
        let record = execution.map(|row| row.prepared.record);
        let fields = self.written.entries.row();
        fields.text(&self.log);
        fields.int8(leaf.index);
        fields.time(leaf.recorded_at);
        fields.optional_time(record.map(|record| record.created_at));
        fields.optional_time(record.and_then(|record| record.started_at));
        fields.optional_int4(leaf.attempt);
        fields.optional_int4(leaf.revision);
        fields.text(leaf.kind.as_str());
        fields.text(id);
        fields.optional_text(key);
        fields.bytes(&leaf.body_digest.0);
        fields.bytes(&leaf_hash.0);
        fields.put(&[], execution.as_ref().map(|row| row.content_digest.0.as_slice()));
        fields.optional_text(body);

        let of = self.entries.entry(id.to_owned()).or_default();
        if let Some(NewRow { prepared, content_digest, .. }) = execution {
            let Prepared { record, revision, recorded_at, .. } = prepared;
            let revision = Revision {
                attempt: record.attempt,
                revision: *revision,
                started_at: record.started_at,
                content_digest: Some(content_digest),
                created_at: Some(record.created_at),
                index: leaf.index,
                leaf_hash,
                recorded_at: *recorded_at,
            };
            // A producer may send its attempts in any order.
            let place = of.revisions.partition_point(|other| {
                (other.attempt, other.revision) <= (revision.attempt, revision.revision)
            });
            of.revisions.insert(place, revision);
        }
        if let Some(key) = key {
            let duplicate = Receipt {
                id: id.to_owned(),
                attempt: None,
                revision: None,
                log: self.log.clone(),
                index: leaf.index,
                leaf_hash,
                recorded_at: leaf.recorded_at,
                result: ReceiptResult::Duplicate,
            };
            of.others.insert(key.to_owned(), duplicate);
        }
        Ok(())
    }

    fn row(&mut self, row: NewRow<'_>) -> Result<(), Infallible> {
        let Prepared { record, revision, .. } = row.prepared;
        if *revision == 1 {
            execution(self.written.executions.row(), &self.log, row);
            return Ok(());
        }
        let mut fields = Vec::with_capacity(38);
        execution(&mut fields, &self.log, row);
        self.written.amendments.push(Amendment {
            id: record.id.clone(),
            attempt: record.attempt,
            created_at: record.created_at,
            row: fields,
        });
        Ok(())
    }

    fn source_object(
        &mut self,
        index: u64,
        of: &WorkflowExecutionAudit,
        object: &[u8],
    ) -> Result<(), Infallible> {
        let fields = self.written.source_objects.row();
        fields.text(&self.log);
        fields.int8(index);
        fields.time(of.created_at);
        fields.bytes(object);
        Ok(())
    }

    fn quarantine(&mut self, receipt: &Receipt, digest: Digest, object: &[u8]) -> Result<(), Infallible> {
        let of = self.entries.entry(receipt.id.clone()).or_default();
        of.quarantined = of.quarantined.max(Some((receipt.index, receipt.recorded_at)));
        let row = QuarantineRow { receipt: receipt.clone(), digest, object: object.to_owned() };
        self.written.quarantines.push(row);
        Ok(())
    }

    fn hold(&mut self, receipt: &Receipt, hold: &Hold) -> Result<(), Infallible> {
        let key = (hold.execution_id.clone(), hold.reason.clone());
        let open = Receipt { result: ReceiptResult::Duplicate, ..receipt.clone() };
        self.holds.entry(key).or_default().open = Some(open);
        self.written.holds.push((receipt.clone(), hold.clone()));
        Ok(())
    }

    fn seen(&mut self, seen: &Tracked) -> Result<(), Infallible> {
        self.tracked.seen(seen);
        Ok(())
    }

    fn started(&mut self, id: &str, started_at: Option<Time>) -> Result<(), Infallible> {
        self.tracked.started(id, started_at);
        Ok(())
    }

    fn gone(&mut self, id: &str) -> Result<(), Infallible> {
        self.tracked.gone(id);
        Ok(())
    }
}

/// Puts an execution's columns in the order of its table.
fn execution(fields: &mut impl Fields, log: &str, row: NewRow<'_>) {
    let NewRow { prepared, nonce, .. } = row;
    let Prepared { record, revision, recorded_at, source_digest, .. } = prepared;
    let (source, target) = (record.source.as_ref(), record.target.as_ref());
    fields.text(log);
    fields.text(&record.id);
    fields.int4(record.attempt);
    fields.int4(*revision);
    fields.time(*recorded_at);
    fields.time(record.created_at);
    fields.time(record.completed_at);
    fields.optional_time(record.started_at);
    fields.text(&record.remediation_id);
    fields.text(&record.workflow_name);
    fields.text(&record.workflow_version);
    fields.int4(record.total_steps);
    fields.int4(record.steps_completed);
    fields.int4(record.steps_failed);
    fields.int8(record.total_duration);
    fields.optional_int8(record.queued_duration);
    fields.text(names::outcome(record.outcome));
    fields.float8(record.effectiveness_score);
    fields.text(names::score_source(record.score_source));
    fields.int4(record.rollbacks_performed);
    fields.text(names::status(record.status));
    fields.text(&record.error_message);
    fields.optional_text(record.cluster.as_deref());
    fields.optional_text(record.namespace.as_deref());
    fields.optional_text(record.name.as_deref());
    fields.optional_text(source.map(|source| source.api_version.as_str()));
    fields.optional_text(source.map(|source| source.kind.as_str()));
    fields.optional_text(source.map(|source| source.uid.as_str()));
    fields.optional_text(record.incident_type.as_deref());
    fields.optional_text(target.and_then(|target| target.api_version.as_deref()));
    fields.optional_text(target.and_then(|target| target.kind.as_deref()));
    fields.optional_text(target.and_then(|target| target.namespace.as_deref()));
    fields.optional_text(target.and_then(|target| target.name.as_deref()));
    fields.json(prepared.labels);
    fields.put(&[], source_digest.as_ref().map(|digest| digest.0.as_slice()));
    fields.bytes(&nonce.0);
    fields.json(prepared.step_executions);
    fields.json(prepared.adaptive_adjustments);
}
