//! A log inside an append: what was read of it at the beginning, and what the append has added since.
//!
//! All that a batch needs to know is read before the first decision, and all that it writes is sent
//! after the last one, so that an append costs a few exchanges with the server, not a few for each
//! record.

use std::{collections::HashMap, convert::Infallible};

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    entry::{Covers, Hold, Review},
    log::Leaf,
    statistics::Packed,
};

use super::{
    erase::ErasableRows,
    fields::{CopyRows, Field, Fields},
    holds::Holds,
    known::EntriesOf,
    reviews::Reviews,
    statistics::Records,
    tracked::TrackedRows,
};
use crate::store::{
    Receipt, ReceiptResult, Tracked, Weighed,
    ahead::Prepared,
    append::{HoldsLike, NewEntry, NewRow, NewestReview, Tables},
    erase::{Erasable, Erased},
    names,
    rules::{ERASURE, Revision, TrackedAs},
    windows::Windows,
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
    /// Each with the index of the hold's entry.
    pub(super) releases: Vec<(Receipt, u64)>,
    pub(super) reviews: Vec<(Receipt, Review)>,
    pub(super) purged: CopyRows,
    pub(super) purge_pending: CopyRows,
    pub(super) erased: CopyRows,
    /// What is left of them, where it is not written anew.
    pub(super) rests: Vec<Erased>,
    /// What is given to the statistics, from which entry on.
    pub(super) contributions: Option<(u64, Packed)>,
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
            releases: Vec::new(),
            reviews: Vec::new(),
            purged: CopyRows::of(4),
            purge_pending: CopyRows::of(4),
            erased: CopyRows::of(3),
            rests: Vec::new(),
            contributions: None,
        }
    }
}

impl Written {
    /// Takes the row of an execution, or, of a later revision, one that takes the place of the one before it.
    pub(super) fn row(&mut self, log: &str, row: NewRow<'_>) {
        let Prepared { record, revision, .. } = row.prepared;
        if *revision == 1 {
            execution(self.executions.row(), log, row);
            return;
        }
        let mut fields = Vec::with_capacity(38);
        execution(&mut fields, log, row);
        self.amendments.push(Amendment {
            id: record.id.clone(),
            attempt: record.attempt,
            created_at: record.created_at,
            row: fields,
        });
    }

    /// Takes the object that the revision of an entry was mapped from.
    pub(super) fn source_object(&mut self, log: &str, index: u64, created_at: Time, object: &[u8]) {
        let fields = self.source_objects.row();
        fields.text(log);
        fields.int8(index);
        fields.time(created_at);
        fields.bytes(object);
    }

    /// Takes that the entry at `by` purged these runs of entries.
    pub(super) fn purged(&mut self, log: &str, runs: &[(u64, u64)], by: u64) {
        for (first, last) in runs {
            let fields = self.purged.row();
            fields.text(log);
            fields.int8(*last);
            fields.int8(*first);
            fields.int8(by);
        }
    }

    /// Takes that the entry at `by` erased the personal fields of others.
    pub(super) fn erased(&mut self, log: &str, entries: impl Iterator<Item = u64>, by: u64) {
        for entry in entries {
            let fields = self.erased.row();
            fields.text(log);
            fields.int8(entry);
            fields.int8(by);
        }
    }

    /// Takes that a purged execution's rows are still to be removed.
    pub(super) fn purge_pending(&mut self, log: &str, id: &str, attempt: u32, created_at: Time) {
        let fields = self.purge_pending.row();
        fields.text(log);
        fields.text(id);
        fields.int4(attempt);
        fields.time(created_at);
    }
}

/// What the row of an entry holds besides its leaf.
pub(super) struct BesideLeaf<'a> {
    pub(super) created_at: Option<Time>,
    pub(super) started_at: Option<Time>,
    pub(super) content_digest: Option<Digest>,
    pub(super) key: Option<&'a str>,
    pub(super) body: Option<&'a str>,
}

/// Puts an entry's columns in the order they are copied in.
pub(super) fn entry_row(
    fields: &mut impl Fields,
    log: &str,
    leaf: &Leaf,
    leaf_hash: Digest,
    beside: BesideLeaf<'_>,
) {
    fields.text(log);
    fields.int8(leaf.index);
    fields.time(leaf.recorded_at);
    fields.optional_time(beside.created_at);
    fields.optional_time(beside.started_at);
    fields.optional_int4(leaf.attempt);
    fields.optional_int4(leaf.revision);
    fields.text(leaf.kind.as_str());
    fields.optional_text(leaf.execution_id.as_deref());
    fields.optional_text(beside.key);
    fields.bytes(&leaf.body_digest.0);
    fields.bytes(&leaf_hash.0);
    fields.put(&[], beside.content_digest.as_ref().map(|digest| digest.0.as_slice()));
    fields.optional_text(beside.body);
}

/// A log inside an append.
pub(super) struct Overlay {
    pub(super) log: String,
    pub(super) entries: HashMap<String, EntriesOf>,
    /// By id, what a log knew of it in whose place this one goes on, and which.
    pub(super) earlier: HashMap<String, (String, Vec<Revision>)>,
    /// By idempotency key, of those whose execution was not known before they were read.
    pub(super) by_key: HashMap<String, Receipt>,
    pub(super) holds: Holds,
    pub(super) reviews: Reviews,
    /// What an erasure decides by.
    pub(super) erasable: ErasableRows,
    /// The latest revisions of attempts that may be taken back, or go.
    pub(super) records: Records,
    /// Whether the statistics do not yet have all that was recorded before they were kept.
    pub(super) is_behind: bool,
    pub(super) tracked: TrackedRows,
    pub(super) written: Written,
}

impl Overlay {
    /// Of a log of which nothing is known.
    pub(super) fn of(log: &str) -> Self {
        Self {
            log: log.to_owned(),
            entries: HashMap::new(),
            earlier: HashMap::new(),
            by_key: HashMap::new(),
            holds: Holds::default(),
            reviews: Reviews::default(),
            erasable: ErasableRows::default(),
            records: Records::default(),
            is_behind: false,
            tracked: TrackedRows::default(),
            written: Written::default(),
        }
    }
}

impl Tables for Overlay {
    type Error = Infallible;

    fn revisions(&mut self, id: &str) -> Result<Vec<Revision>, Infallible> {
        Ok(self.entries.get(id).map_or_else(Vec::new, |of| of.revisions.clone()))
    }

    fn earlier(&mut self, id: &str) -> Result<Option<(String, Vec<Revision>)>, Infallible> {
        Ok(self.earlier.get(id).cloned())
    }

    fn by_key(&mut self, id: Option<&str>, key: &str) -> Result<Option<Receipt>, Infallible> {
        let of_id = id.and_then(|id| self.entries.get(id)).and_then(|of| of.others.get(key));
        Ok(of_id.or_else(|| self.by_key.get(key)).cloned())
    }

    fn quarantined(&mut self, id: &str) -> Result<Option<Time>, Infallible> {
        Ok(self.entries.get(id).and_then(|of| of.quarantined).map(|(_, at)| at))
    }

    fn holds_like(&mut self, hold: &Hold) -> Result<HoldsLike, Infallible> {
        Ok(self.holds.like(hold))
    }

    fn open_selectors(&mut self) -> Result<usize, Infallible> {
        Ok(self.holds.open_selectors())
    }

    fn hold_at(&mut self, index: u64) -> Result<Option<Covers>, Infallible> {
        Ok(self.holds.at(index))
    }

    fn holds_on(&mut self, id: &str) -> Result<Vec<(u64, Hold)>, Infallible> {
        Ok(self.holds.on(id))
    }

    fn selecting_holds(&mut self) -> Result<Vec<(u64, Hold)>, Infallible> {
        Ok(self.holds.selecting().map(|(index, hold)| (index, hold.clone())).collect())
    }

    fn holds_covering(&mut self, _: &str) -> Result<Vec<(u64, Hold)>, Infallible> {
        Ok(std::mem::take(&mut self.erasable.holds))
    }

    fn erasable(&mut self, _: &str) -> Result<Vec<Erasable>, Infallible> {
        Ok(std::mem::take(&mut self.erasable.entries))
    }

    fn erasure_of(&mut self, id: &str) -> Result<Option<Receipt>, Infallible> {
        let others = self.entries.get(id).into_iter().flat_map(|of| &of.others);
        let erasures = others.filter(|(key, _)| key.starts_with(ERASURE)).map(|(_, receipt)| receipt);
        Ok(erasures.max_by_key(|receipt| receipt.index).cloned())
    }

    fn newest_review(&mut self, id: &str, attempt: u32) -> Result<Option<NewestReview>, Infallible> {
        Ok(self.reviews.newest(id, attempt))
    }

    fn review_like(&mut self, review: &Review) -> Result<Option<Receipt>, Infallible> {
        Ok(self.reviews.like(review))
    }

    fn windows(&mut self, id: &str) -> Result<Windows, Infallible> {
        let keys = self.entries.get(id).into_iter().flat_map(|of| of.others.keys());
        Ok(Windows::of(id, keys.map(String::as_str)))
    }

    fn tracked_as(&mut self, id: &str) -> Result<Option<TrackedAs>, Infallible> {
        Ok(self.tracked.tracked_as(id))
    }

    fn tracked_row(&mut self, id: &str) -> Result<Option<Tracked>, Infallible> {
        Ok(self.tracked.get(id).cloned())
    }

    fn record(&mut self, id: &str, attempt: u32) -> Result<Option<WorkflowExecutionAudit>, Infallible> {
        Ok(self.records.remove(&(id.to_owned(), attempt)))
    }

    fn is_behind(&mut self) -> Result<bool, Infallible> {
        Ok(self.is_behind)
    }

    fn entry(&mut self, entry: NewEntry<'_>) -> Result<(), Infallible> {
        let NewEntry { leaf, leaf_hash, execution, key, body } = entry;
        let record = execution.map(|row| row.prepared.record);
        let beside = BesideLeaf {
            created_at: record.map(|record| record.created_at),
            started_at: record.and_then(|record| record.started_at),
            content_digest: execution.map(|row| row.content_digest),
            key,
            body,
        };
        entry_row(self.written.entries.row(), &self.log, leaf, leaf_hash, beside);

        let id = leaf.execution_id.as_deref().unwrap_or_default();
        let of = self.entries.entry(id.to_owned()).or_default();
        if let Some(NewRow { prepared, content_digest, .. }) = execution {
            let Prepared { record, revision, recorded_at, .. } = prepared;
            let revision = Revision {
                attempt: record.attempt,
                revision: *revision,
                started_at: record.started_at,
                content_digest: Some(content_digest),
                is_erased: false,
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
            match leaf.execution_id {
                Some(_) => of.others.insert(key.to_owned(), duplicate),
                None => self.by_key.insert(key.to_owned(), duplicate),
            };
        }
        Ok(())
    }

    fn row(&mut self, row: NewRow<'_>) -> Result<(), Infallible> {
        self.written.row(&self.log, row);
        Ok(())
    }

    fn source_object(
        &mut self,
        index: u64,
        of: &WorkflowExecutionAudit,
        object: &[u8],
    ) -> Result<(), Infallible> {
        self.written.source_object(&self.log, index, of.created_at, object);
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
        self.holds.placed(receipt, hold);
        self.written.holds.push((receipt.clone(), hold.clone()));
        Ok(())
    }

    fn release(&mut self, receipt: &Receipt, hold: u64) -> Result<(), Infallible> {
        self.holds.released(hold);
        self.written.releases.push((receipt.clone(), hold));
        Ok(())
    }

    fn purge(
        &mut self,
        receipt: &Receipt,
        runs: &[(u64, u64)],
        executions: &[Weighed],
    ) -> Result<(), Infallible> {
        self.written.purged(&self.log, runs, receipt.index);
        for Weighed { id, attempt, created_at, .. } in executions {
            self.written.purge_pending(&self.log, id, *attempt, *created_at);
        }
        Ok(())
    }

    fn erase(&mut self, receipt: &Receipt, erased: &[Erased]) -> Result<(), Infallible> {
        self.written.erased(&self.log, erased.iter().map(|erased| erased.index), receipt.index);
        self.written.rests.extend_from_slice(erased);
        Ok(())
    }

    fn review(&mut self, receipt: &Receipt, review: &Review) -> Result<(), Infallible> {
        self.reviews.added(receipt, review);
        self.written.reviews.push((receipt.clone(), review.clone()));
        Ok(())
    }

    fn seen(&mut self, seen: &Tracked) -> Result<(), Infallible> {
        self.tracked.seen(seen);
        Ok(())
    }

    fn accounted(&mut self, id: &str, started_at: Option<Time>) -> Result<(), Infallible> {
        self.tracked.accounted(id, started_at);
        Ok(())
    }

    fn gone(&mut self, id: &str) -> Result<(), Infallible> {
        self.tracked.gone(id);
        Ok(())
    }

    fn contribute(&mut self, first: u64, contributions: &Packed) -> Result<(), Infallible> {
        self.written.contributions = Some((first, contributions.clone()));
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
