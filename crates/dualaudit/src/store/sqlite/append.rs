//! One append: one transaction that decides, writes, extends the tree and moves the head.

use std::collections::HashMap;

use dualaudit_record::{
    Entry, EntryKind, Time,
    digest::Digest,
    entry::{Gap, GapCause, Hold, Quarantine},
    log::{FORMAT, Leaf, Nonce, Tree, body},
};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    error::{Error, Result},
    known, rows, tree,
    write::{Faults, Step, Writes},
};
use crate::store::{
    Answer, Batch, Draft, DraftContent, ExecutionDraft, Origin, Receipt, ReceiptResult, SourceObject,
    Tracked, TrackingChange,
    ahead::{self, Becomes, Prepared},
    names,
    rules::{self, Decision, Revision},
};

/// The one connection that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// The tree of each log as the last append left it. An append takes it out and puts it back
    /// after its commit, so whatever fails in between leaves none behind.
    trees: HashMap<String, Tree>,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, trees: HashMap::new() }
    }

    /// See [`crate::store::Store::append`].
    pub(super) fn append<F: Faults>(
        &mut self,
        log: &str,
        batch: &Batch,
        now: Time,
        faults: &F,
    ) -> Result<Vec<Answer>> {
        let cached = self.trees.remove(log);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = tree::head(&transaction, log)?;
        let mut append = Append {
            writes: Writes::new(&transaction, faults),
            log,
            secret: head.secret,
            // The clock may have run backwards; a log does not.
            recorded_at: head.recorded_at.map_or(now, |newest| newest.max(now)),
            tree: tree::resume(&transaction, &head, cached)?,
            about: String::new(),
        };
        let answers = append.batch(batch);
        let answers = answers.map_err(|error| error.within(|| append.place()))?;
        let tree =
            append.finish(head.size).map_err(|error| error.within(|| format!("log {log}, its head")))?;
        commit(transaction, faults)?;
        self.trees.insert(log.to_owned(), tree);
        Ok(answers)
    }
}

/// Whatever a commit fails with, it may have taken effect: the caller has to send again.
fn commit<F: Faults>(transaction: rusqlite::Transaction<'_>, faults: &F) -> Result<()> {
    faults
        .before(Step::Commit)
        .and_then(|()| transaction.commit())
        .and_then(|()| faults.after(Step::Commit))
        .map_err(Error::Commit)
}

struct Append<'a, F> {
    writes: Writes<'a, F>,
    log: &'a str,
    secret: [u8; 32],
    recorded_at: Time,
    tree: Tree,
    /// The execution that is being written.
    about: String,
}

impl<F: Faults> Append<'_, F> {
    fn place(&self) -> String {
        format!("log {}, execution {}", self.log, self.about)
    }

    fn batch(&mut self, batch: &Batch) -> Result<Vec<Answer>> {
        let recorded_at = self.recorded_at;
        // What was seen first comes first: an attempt that a draft overtakes leaves its last state.
        for change in &batch.tracking {
            self.track(change)?;
        }
        ahead::try_each(&batch.drafts, recorded_at, |draft, prepared| self.draft(draft, prepared))
    }

    fn draft<'d>(&mut self, draft: &'d Draft, prepared: Option<Prepared<'d>>) -> Result<Answer> {
        let Draft { nonce, content } = draft;
        content.execution_id().clone_into(&mut self.about);
        match content {
            DraftContent::Execution(draft) => self.execution(draft, *nonce, prepared),
            DraftContent::Gap(gap) => self.gap(gap, |_| *nonce),
            DraftContent::Quarantine { entry, object } => self.quarantine(entry, object, *nonce),
            DraftContent::Hold(hold) => self.hold(hold, *nonce),
        }
    }

    fn execution<'d>(
        &mut self,
        draft: &'d ExecutionDraft,
        nonce: Nonce,
        prepared: Option<Prepared<'d>>,
    ) -> Result<Answer> {
        let known = known::revisions(self.writes.connection(), self.log, &draft.record.id)?;
        let becomes = match rules::execution(&known, draft) {
            Decision::Duplicate(first) => {
                return Ok(Answer::Stored(self.duplicate(&draft.record.id, first)));
            }
            Decision::Refuse(refusal) => return Ok(Answer::Refused(refusal)),
            Decision::New { attempt, revision, created_at } => {
                Becomes { attempt, revision, recorded_at: self.recorded_at, created_at }
            }
        };
        if draft.origin == Origin::Resource {
            self.close_overtaken(&known, draft, nonce)?;
        }
        let prepared = prepared
            .and_then(|prepared| prepared.if_right(becomes))
            .unwrap_or_else(|| Prepared::new(draft, nonce, becomes));
        let receipt = self.append(New {
            kind: EntryKind::Execution,
            execution_id: &draft.record.id,
            execution: Some(&prepared),
            key: None,
            body_digest: prepared.body_digest,
            body: None,
        })?;
        self.row(&prepared, draft.content_digest, nonce)?;
        if let Some(source) = &draft.source {
            self.writes.write(Step::SourceObject, params![self.log, receipt.index, source.compressed])?;
        }
        Ok(Answer::Stored(receipt))
    }

    fn duplicate(&self, id: &str, first: &Revision) -> Receipt {
        Receipt {
            id: id.to_owned(),
            attempt: Some(first.attempt),
            revision: Some(first.revision),
            log: self.log.to_owned(),
            index: first.index,
            leaf_hash: first.leaf_hash,
            recorded_at: first.recorded_at,
            result: ReceiptResult::Duplicate,
        }
    }

    /// The tracked attempt that the draft's has overtaken, if nothing accounts for it, is a gap.
    fn close_overtaken(&mut self, known: &[Revision], draft: &ExecutionDraft, nonce: Nonce) -> Result<()> {
        let id = &draft.record.id;
        let started_at = draft.record.started_at;
        let Some(row) = known::tracked_as(self.writes.connection(), self.log, id)? else { return Ok(()) };
        if !rules::is_overtaken(row, started_at, true) {
            return Ok(());
        }
        let Some(tracked) = known::tracked_row(self.writes.connection(), self.log, id)? else {
            return Ok(());
        };
        self.gap_unless_accounted(known, &overtaken(tracked), |key| rules::derived_nonce(&nonce.0, key))?;
        self.writes.write(Step::Started, params![self.log, id, started_at.map(Time::as_micros)]).map(drop)
    }

    fn gap(&mut self, gap: &Gap, nonce: impl FnOnce(&str) -> Nonce) -> Result<Answer> {
        let known = known::revisions(self.writes.connection(), self.log, &gap.execution_id)?;
        self.gap_unless_accounted(&known, gap, nonce)
    }

    fn gap_unless_accounted(
        &mut self,
        known: &[Revision],
        gap: &Gap,
        nonce: impl FnOnce(&str) -> Nonce,
    ) -> Result<Answer> {
        let connection = self.writes.connection();
        let key = rules::gap_key(gap);
        if let Some(receipt) = known::by_key(connection, self.log, &key)? {
            return Ok(Answer::Stored(receipt));
        }
        let id = &gap.execution_id;
        let quarantined = known::quarantined(connection, self.log, id)?.map(|(_, at)| at);
        let tracked = known::tracked_as(connection, self.log, id)?;
        if rules::is_accounted(known, quarantined, tracked, gap.started_at) {
            return Ok(Answer::Accounted);
        }
        let nonce = nonce(&key);
        self.entry(&Entry::Gap(gap.clone()), nonce, &key).map(Answer::Stored)
    }

    fn quarantine(&mut self, quarantine: &Quarantine, object: &SourceObject, nonce: Nonce) -> Result<Answer> {
        let key = rules::quarantine_key(quarantine);
        if let Some(receipt) = known::by_key(self.writes.connection(), self.log, &key)? {
            return Ok(Answer::Stored(receipt));
        }
        let receipt = self.entry(&Entry::Quarantine(quarantine.clone()), nonce, &key)?;
        self.writes.write(
            Step::Quarantine,
            params![
                self.log,
                receipt.id,
                quarantine.source_digest.0,
                receipt.index,
                receipt.recorded_at.as_micros(),
                object.compressed
            ],
        )?;
        Ok(Answer::Stored(receipt))
    }

    fn hold(&mut self, hold: &Hold, nonce: Nonce) -> Result<Answer> {
        let connection = self.writes.connection();
        let earlier = known::holds_with_reason(connection, self.log, hold)?;
        if let Some(receipt) = earlier.open {
            return Ok(Answer::Stored(receipt));
        }
        let key = rules::hold_key(hold, earlier.released);
        let receipt = self.entry(&Entry::Hold(hold.clone()), nonce, &key)?;
        let placed_at = receipt.recorded_at.as_micros();
        self.writes.write(
            Step::Hold,
            params![self.log, receipt.id, receipt.index, hold.reason, hold.actor, placed_at],
        )?;
        Ok(Answer::Stored(receipt))
    }

    /// Appends an entry that is no execution.
    fn entry(&mut self, entry: &Entry, nonce: Nonce, key: &str) -> Result<Receipt> {
        let body = String::from_utf8(body(entry, nonce));
        let body = body.map_err(|error| Error::rejected(error.to_string()))?;
        self.append(New {
            kind: entry.kind(),
            execution_id: entry.execution_id(),
            execution: None,
            key: Some(key),
            body_digest: Digest::sha256(body.as_bytes()),
            body: Some(&body),
        })
    }

    /// Appends an entry: its leaf into the tree, its row into `log_entry`.
    fn append(&mut self, new: New<'_>) -> Result<Receipt> {
        let New { kind, execution_id, execution, key, body_digest, body } = new;
        let leaf = Leaf {
            format: FORMAT,
            log: self.log.to_owned(),
            index: self.tree.size(),
            kind,
            recorded_at: self.recorded_at,
            execution_id: Some(execution_id.to_owned()),
            attempt: execution.map(|execution| execution.record.attempt),
            revision: execution.map(|execution| execution.revision),
            body_digest,
        };
        let leaf_hash = leaf.hash();
        let started_at = execution.and_then(|execution| execution.record.started_at);
        self.writes.write(
            Step::Entry(leaf.kind),
            params![
                self.log,
                leaf.index,
                leaf.kind.as_str(),
                leaf.recorded_at.as_micros(),
                execution_id,
                leaf.attempt,
                leaf.revision,
                started_at.map(Time::as_micros),
                key,
                leaf.body_digest.0,
                leaf_hash.0,
                body
            ],
        )?;
        self.tree.push(leaf_hash);
        Ok(Receipt {
            id: execution_id.to_owned(),
            attempt: leaf.attempt,
            revision: leaf.revision,
            log: leaf.log,
            index: leaf.index,
            leaf_hash,
            recorded_at: leaf.recorded_at,
            result: rows::first_result(leaf.revision),
        })
    }

    /// Writes an execution's row; an amended one moves to the revisions first.
    fn row(&mut self, prepared: &Prepared<'_>, content_digest: Digest, nonce: Nonce) -> Result<()> {
        let Prepared { record, revision, recorded_at, source_digest, .. } = prepared;
        let (source, target) = (record.source.as_ref(), record.target.as_ref());
        let step = if *revision == 1 { Step::Row } else { Step::Amend };
        if step == Step::Amend {
            self.writes.write(Step::Keep, params![self.log, record.id, record.attempt])?;
        }
        let written = self.writes.write(
            step,
            params![
                self.log,
                record.id,
                record.attempt,
                revision,
                recorded_at.as_micros(),
                record.created_at.as_micros(),
                record.completed_at.as_micros(),
                record.started_at.map(Time::as_micros),
                record.remediation_id,
                record.workflow_name,
                record.workflow_version,
                record.total_steps,
                record.steps_completed,
                record.steps_failed,
                record.total_duration,
                record.queued_duration,
                names::outcome(record.outcome),
                record.effectiveness_score,
                names::score_source(record.score_source),
                record.rollbacks_performed,
                names::status(record.status),
                record.error_message,
                record.cluster,
                record.namespace,
                record.name,
                source.map(|source| &source.api_version),
                source.map(|source| &source.kind),
                source.map(|source| &source.uid),
                record.incident_type,
                target.and_then(|target| target.api_version.as_ref()),
                target.and_then(|target| target.kind.as_ref()),
                target.and_then(|target| target.namespace.as_ref()),
                target.and_then(|target| target.name.as_ref()),
                prepared.labels,
                source_digest.map(|digest| digest.0),
                content_digest.0,
                nonce.0,
                prepared.step_executions,
                prepared.adaptive_adjustments
            ],
        )?;
        if written == 1 {
            return Ok(());
        }
        Err(Error::damaged(format!(
            "log {}: {} attempt {} has an entry, and no row to amend",
            self.log, record.id, record.attempt
        )))
    }

    fn track(&mut self, change: &TrackingChange) -> Result<()> {
        change.id().clone_into(&mut self.about);
        match change {
            TrackingChange::Seen(seen) => self.seen(seen),
            TrackingChange::Gone { id } => self.writes.write(Step::Gone, params![self.log, id]).map(drop),
        }
    }

    fn seen(&mut self, seen: &Tracked) -> Result<()> {
        let connection = self.writes.connection();
        let before = known::tracked_as(connection, self.log, &seen.id)?;
        if before.is_some_and(|row| rules::is_overtaken(row, seen.started_at, false))
            && let Some(before) = known::tracked_row(connection, self.log, &seen.id)?
        {
            let secret = self.secret;
            self.gap(&overtaken(before), |key| rules::derived_nonce(&secret, key))?;
        }
        self.writes
            .write(
                Step::Seen,
                params![
                    self.log,
                    seen.id,
                    seen.namespace,
                    seen.name,
                    seen.phase,
                    seen.started_at.map(Time::as_micros),
                    seen.last_state,
                    seen.last_seen_at.as_micros(),
                    names::tracked_state(seen.state)
                ],
            )
            .map(drop)
    }

    /// Writes what the batch changed of the tree, and the head, if it appended anything.
    fn finish(mut self, before: u64) -> Result<Tree> {
        if self.tree.size() == before {
            return Ok(self.tree);
        }
        for tile in self.tree.take_changed() {
            let params = params![self.log, tile.level, tile.index, tile.hashes];
            if self.writes.write(Step::GrowTile, params)? == 0 {
                self.writes.write(Step::NewTile, params)?;
            }
        }
        let head = params![self.log, self.tree.size(), self.tree.root().0, self.recorded_at.as_micros()];
        self.writes.write(Step::Head, head)?;
        Ok(self.tree)
    }
}

/// An entry to append. Of an execution the body is not kept: it is put together from its row.
struct New<'a> {
    kind: EntryKind,
    execution_id: &'a str,
    execution: Option<&'a Prepared<'a>>,
    key: Option<&'a str>,
    body_digest: Digest,
    body: Option<&'a str>,
}

/// The gap that an overtaken attempt leaves, from its tracked row.
fn overtaken(tracked: Tracked) -> Gap {
    Gap {
        cause: GapCause::Overtaken,
        execution_id: tracked.id,
        namespace: tracked.namespace,
        name: tracked.name,
        started_at: tracked.started_at,
        last_phase: tracked.phase,
        last_state: tracked.last_state,
        last_state_digest: None,
        last_seen_at: tracked.last_seen_at,
    }
}
