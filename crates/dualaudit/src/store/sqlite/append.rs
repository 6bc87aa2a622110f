//! One append: one transaction that decides, writes, extends the tree and moves the head.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    checkpoint::SignedCheckpoint,
    digest::Digest,
    entry::{Covers, Hold, Review},
    log::Tree,
    statistics::Packed,
};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    erase,
    error::{Error, Result},
    identity::Identity,
    known, leave, maintain, reviews, statistics, tree,
    write::{Faults, Step, Writes},
};
use crate::store::{
    Answer, Batch, DraftContent, Receipt, Running, StoreError, Tracked, Weighed,
    ahead::Prepared,
    append::{Append, HoldsLike, NewEntry, NewRow, NewestReview, Tables},
    erase::{Erasable, Erased},
    head::{HeadRow, Kept},
    names,
    rules::{Revision, TrackedAs},
    windows::Windows,
};

/// The one connection that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    file: PathBuf,
    identity: Identity,
    /// The tree of each log as the last append left it. An append takes it out and puts it back
    /// after its commit, so whatever fails in between leaves none behind.
    trees: HashMap<String, Kept>,
}

impl Writer {
    /// Of a file that was just opened.
    pub(super) fn new(connection: Connection, file: &Path) -> Result<Self> {
        let identity = Identity::of(file).map_err(|error| {
            StoreError::Unavailable(format!("{} cannot be looked at: {error}", file.display()))
        })?;
        Ok(Self { connection, file: file.to_owned(), identity, trees: HashMap::new() })
    }

    /// Checks that the file that it writes is the one that others find.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) fn check_file(&self) -> Result<()> {
        self.identity.check(&self.file)
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
        leave::state(&transaction, log)?.check_append(log)?;
        let recorded_at = head.next_recorded_at(now);
        let predecessor = known::predecessor(&transaction, log)?;
        let tables = Inside { writes: Writes::new(&transaction, faults), log, predecessor };
        let tree = tree::resume(&transaction, &head, cached, batch.extends)?;
        let mut append = Append::new(tables, log, head.secret, recorded_at, tree);
        let answers = append.batch(batch).map_err(|error| error.within(|| append.place()))?;
        let (mut tables, tree) = append.into_parts();
        tables.publish(&head, batch.checkpoint.as_ref())?;
        let tree = tables
            .finish(tree, head.size, recorded_at)
            .map_err(|error| error.within(|| format!("log {log}, its head")))?;
        commit(transaction, faults)?;
        if batch.drafts.iter().any(|draft| matches!(draft.content, DraftContent::Erase(_))) {
            // What was erased is committed; its answer must not depend on this.
            let _ = maintain::empty(&self.connection);
        }
        self.trees.insert(log.to_owned(), Kept { tree, extends: batch.extends });
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

/// A log inside the transaction of an append.
struct Inside<'a, F> {
    writes: Writes<'a, F>,
    log: &'a str,
    /// The log in whose place this one goes on.
    predecessor: Option<String>,
}

impl<F: Faults> Tables for Inside<'_, F> {
    type Error = Error;

    fn revisions(&mut self, id: &str) -> Result<Vec<Revision>> {
        known::revisions(self.writes.connection(), self.log, id)
    }

    fn earlier(&mut self, id: &str) -> Result<Option<(String, Vec<Revision>)>> {
        known::earlier(self.writes.connection(), self.predecessor.as_deref(), id)
    }

    fn by_key(&mut self, _: Option<&str>, key: &str) -> Result<Option<Receipt>> {
        known::by_key(self.writes.connection(), self.log, key)
    }

    fn quarantined(&mut self, id: &str) -> Result<Option<Time>> {
        Ok(known::quarantined(self.writes.connection(), self.log, id)?.map(|(_, at)| at))
    }

    fn holds_like(&mut self, hold: &Hold) -> Result<HoldsLike> {
        known::holds_like(self.writes.connection(), self.log, hold)
    }

    fn open_selectors(&mut self) -> Result<usize> {
        known::open_selectors(self.writes.connection(), self.log)
    }

    fn hold_at(&mut self, index: u64) -> Result<Option<Covers>> {
        known::hold_at(self.writes.connection(), self.log, index)
    }

    fn holds_on(&mut self, id: &str) -> Result<Vec<(u64, Hold)>> {
        let holds = known::holds_on(self.writes.connection(), self.log, id)?;
        Ok(holds.into_iter().map(|row| (row.index, row.hold)).collect())
    }

    fn selecting_holds(&mut self) -> Result<Vec<(u64, Hold)>> {
        let holds = known::selecting_holds(self.writes.connection(), self.log)?;
        Ok(holds.into_iter().map(|row| (row.index, row.hold)).collect())
    }

    fn holds_covering(&mut self, id: &str) -> Result<Vec<(u64, Hold)>> {
        let holds = known::holds_covering(self.writes.connection(), self.log, id)?;
        Ok(holds.into_iter().map(|row| (row.index, row.hold)).collect())
    }

    fn erasable(&mut self, id: &str) -> Result<Vec<Erasable>> {
        erase::erasable(self.writes.connection(), self.log, id)
    }

    fn erasure_of(&mut self, id: &str) -> Result<Option<Receipt>> {
        known::erasure_of(self.writes.connection(), self.log, id)
    }

    fn newest_review(&mut self, id: &str, attempt: u32) -> Result<Option<NewestReview>> {
        reviews::newest_review(self.writes.connection(), self.log, id, attempt)
    }

    fn review_like(&mut self, review: &Review) -> Result<Option<Receipt>> {
        reviews::review_like(self.writes.connection(), self.log, review)
    }

    fn windows(&mut self, id: &str) -> Result<Windows> {
        known::windows(self.writes.connection(), self.log, id)
    }

    fn tracked_as(&mut self, id: &str) -> Result<Option<TrackedAs>> {
        known::tracked_as(self.writes.connection(), self.log, id)
    }

    fn tracked_row(&mut self, id: &str) -> Result<Option<Tracked>> {
        known::tracked_row(self.writes.connection(), self.log, id)
    }

    fn record(&mut self, id: &str, attempt: u32) -> Result<Option<WorkflowExecutionAudit>> {
        statistics::record(self.writes.connection(), self.log, id, attempt)
    }

    fn is_behind(&mut self) -> Result<bool> {
        Ok(statistics::behind(self.writes.connection(), self.log)?.is_some())
    }

    fn entry(&mut self, entry: NewEntry<'_>) -> Result<()> {
        let NewEntry { leaf, leaf_hash, execution, key, body } = entry;
        let started_at = execution.and_then(|row| row.prepared.record.started_at);
        self.writes
            .write(
                Step::Entry(leaf.kind),
                params![
                    self.log,
                    leaf.index,
                    leaf.kind.as_str(),
                    leaf.recorded_at.as_micros(),
                    leaf.execution_id,
                    leaf.attempt,
                    leaf.revision,
                    started_at.map(Time::as_micros),
                    key,
                    leaf.body_digest.0,
                    leaf_hash.0,
                    body
                ],
            )
            .map(drop)
    }

    fn row(&mut self, row: NewRow<'_>) -> Result<()> {
        let NewRow { prepared, content_digest, nonce } = row;
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

    fn source_object(&mut self, index: u64, _: &WorkflowExecutionAudit, object: &[u8]) -> Result<()> {
        self.writes.write(Step::SourceObject, params![self.log, index, object]).map(drop)
    }

    fn quarantine(&mut self, receipt: &Receipt, digest: Digest, object: &[u8]) -> Result<()> {
        let recorded_at = receipt.recorded_at.as_micros();
        let row = params![self.log, receipt.id, digest.0, receipt.index, recorded_at, object];
        self.writes.write(Step::Quarantine, row).map(drop)
    }

    fn hold(&mut self, receipt: &Receipt, hold: &Hold) -> Result<()> {
        let placed_at = receipt.recorded_at.as_micros();
        let (execution_id, selector) = names::covers(&hold.covers);
        let row =
            params![self.log, receipt.index, execution_id, selector, hold.reason, hold.actor, placed_at];
        self.writes.write(Step::Hold, row).map(drop)
    }

    fn release(&mut self, receipt: &Receipt, hold: u64) -> Result<()> {
        let released = params![self.log, hold, receipt.recorded_at.as_micros(), receipt.index];
        self.writes.write(Step::Release, released).map(drop)
    }

    fn purge(&mut self, receipt: &Receipt, runs: &[(u64, u64)], executions: &[Weighed]) -> Result<()> {
        for (first, last) in runs {
            self.writes.write(Step::Purged, params![self.log, last, first, receipt.index])?;
        }
        for Weighed { id, attempt, created_at, .. } in executions {
            self.writes.write(Step::PurgePending, params![self.log, id, attempt, created_at.as_micros()])?;
        }
        Ok(())
    }

    fn erase(&mut self, receipt: &Receipt, erased: &[Erased]) -> Result<()> {
        erased.iter().try_for_each(|erased| erase::erase(&mut self.writes, self.log, receipt.index, erased))
    }

    fn review(&mut self, receipt: &Receipt, review: &Review) -> Result<()> {
        let Review { execution_id, attempt, verdict, note, actor } = review;
        let recorded_at = receipt.recorded_at.as_micros();
        let row = params![
            self.log,
            receipt.index,
            execution_id,
            attempt,
            verdict.as_str(),
            note,
            actor,
            recorded_at
        ];
        self.writes.write(Step::Review, row).map(drop)
    }

    fn seen(&mut self, seen: &Tracked) -> Result<()> {
        let running =
            |text: fn(&Running) -> &String| seen.running.as_ref().map_or("", |running| text(running));
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
                    names::tracked_state(seen.state),
                    running(|running| &running.workflow),
                    running(|running| &running.version),
                    running(|running| &running.incident_type),
                    running(|running| &running.target_kind),
                    seen.running.as_ref().map(|running| running.since.as_micros())
                ],
            )
            .map(drop)
    }

    fn accounted(&mut self, id: &str, started_at: Option<Time>) -> Result<()> {
        self.writes.write(Step::Accounted, params![self.log, id, started_at.map(Time::as_micros)]).map(drop)
    }

    fn gone(&mut self, id: &str) -> Result<()> {
        self.writes.write(Step::Gone, params![self.log, id]).map(drop)
    }

    fn contribute(&mut self, first: u64, contributions: &Packed) -> Result<()> {
        let row = params![self.log, first, contributions.as_bytes()];
        self.writes.write(Step::Contribute, row).map(drop)
    }
}

impl<F: Faults> Inside<'_, F> {
    /// Writes the newest checkpoint, if it is newer than the one there is.
    fn publish(&mut self, head: &HeadRow, checkpoint: Option<&SignedCheckpoint>) -> Result<()> {
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        head.check_covers(checkpoint)?;
        let params = params![self.log, checkpoint.head().size, checkpoint.as_str()];
        if self.writes.write(Step::LaterCheckpoint, params)? == 0 {
            self.writes.write(Step::FirstCheckpoint, params)?;
        }
        Ok(())
    }

    /// Writes what the batch changed of the tree, and the head, if it appended anything.
    fn finish(mut self, mut tree: Tree, before: u64, recorded_at: Time) -> Result<Tree> {
        if tree.size() == before {
            return Ok(tree);
        }
        for tile in tree.take_changed() {
            let params = params![self.log, tile.level, tile.index, tile.hashes];
            if self.writes.write(Step::GrowTile, params)? == 0 {
                self.writes.write(Step::NewTile, params)?;
            }
        }
        let head = params![self.log, tree.size(), tree.root().0, recorded_at.as_micros()];
        self.writes.write(Step::Head, head)?;
        Ok(tree)
    }
}
