//! Entries of another database, as an append would have written them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dualaudit_record::{Entry, Time, digest::Digest, log::body};

use super::{
    error::Result,
    overlay::{BesideLeaf, QuarantineRow, Written, entry_row},
    session::Session,
    values::{at_most, small},
};
use crate::store::{
    MovingEntry, MovingPage, Receipt, ReceiptResult, StoredBody, ahead::StoredForm, append::NewRow,
    rows::Cells as _,
};

/// An execution and its attempt.
type Attempt = (String, u32);

/// What has to be known of earlier pages.
pub(super) struct Known {
    /// `created_at` of attempts whose first revision came before, where this page has a purged one.
    created: HashMap<Attempt, Time>,
    /// By the index of a purge: the executions it took whose rows came before.
    pending: BTreeMap<u64, Vec<(Attempt, Time)>>,
    /// Entries that came whole before, and are erased by now.
    whole: BTreeSet<u64>,
}

impl Known {
    /// Reads it.
    pub(super) async fn of(session: &Session, log: &str, page: &MovingPage) -> Result<Self> {
        const CREATED: &str = "
            -- arrive: when executions were created
            SELECT wanted.id, wanted.attempt, entry.created_at
            FROM unnest($2::text[], $3::integer[]) AS wanted (id, attempt)
            CROSS JOIN LATERAL (
                SELECT created_at
                FROM log_entry
                WHERE log = $1 AND execution_id = wanted.id AND attempt = wanted.attempt
                ORDER BY revision
                LIMIT 1
            ) AS entry";
        const PENDING: &str = "
            -- arrive: purged executions whose rows came before
            SELECT DISTINCT entry.execution_id, entry.attempt, entry.created_at
            FROM unnest($2::bigint[], $3::bigint[]) AS run (first_idx, last_idx)
            CROSS JOIN LATERAL (
                SELECT execution_id, attempt, created_at
                FROM log_entry
                WHERE log = $1 AND idx BETWEEN run.first_idx AND run.last_idx
                    AND (
                        content_digest IS NOT NULL
                        OR EXISTS (SELECT 1 FROM erased WHERE log = $1 AND entry_idx = log_entry.idx))
            ) AS entry";
        const WHOLE: &str = "
            -- arrive: entries that came before they were erased
            SELECT idx
            FROM log_entry
            WHERE log = $1 AND idx = ANY ($2)
                AND (content_digest IS NOT NULL OR sha256(convert_to(body, 'UTF8')) = body_digest)";
        let (mut ids, mut attempts) = (Vec::new(), Vec::new());
        for (id, attempt) in page.entries.iter().filter_map(purged) {
            ids.push(id);
            attempts.push(small(attempt));
        }
        let mut known = Self { created: HashMap::new(), pending: BTreeMap::new(), whole: BTreeSet::new() };
        if !ids.is_empty() {
            for row in &session.rows(CREATED, &[&log, &ids, &attempts]).await? {
                known.created.insert((row.string(0)?, row.number(1)?), row.time(2)?);
            }
        }
        for entry in &page.entries {
            if !entry.rests.is_empty() {
                let erased: Vec<i64> = entry.rests.iter().map(|rest| at_most(rest.index)).collect();
                for row in &session.rows(WHOLE, &[&log, &erased]).await? {
                    known.whole.insert(row.number(0)?);
                }
            }
            let Some(Entry::Purge(purge)) = entry.stored.body.entry() else { continue };
            let (first, last): (Vec<i64>, Vec<i64>) =
                purge.entries.iter().map(|(first, last)| (at_most(*first), at_most(*last))).unzip();
            let rows = session.rows(PENDING, &[&log, &first, &last]).await?;
            let pending = rows.iter().map(|row| Ok(((row.string(0)?, row.number(1)?), row.time(2)?)));
            known.pending.insert(entry.stored.index, pending.collect::<Result<_>>()?);
        }
        Ok(known)
    }

    /// What stands for `created_at` of a purged execution: that of its other revisions, which partitions and
    /// purges go by, or, as nothing says it any more, when it was recorded.
    fn created_at(&mut self, attempt: Attempt, recorded_at: Time) -> Time {
        *self.created.entry(attempt).or_insert(recorded_at)
    }
}

/// The attempt of an execution whose body is gone.
fn purged(entry: &MovingEntry) -> Option<(&str, u32)> {
    match entry.stored.body {
        StoredBody::Purged { .. } => Some((entry.stored.execution_id.as_deref()?, entry.stored.attempt?)),
        StoredBody::Whole(..) | StoredBody::Erased { .. } | StoredBody::Unreadable(_) => None,
    }
}

/// What an append would have written.
pub(super) fn written(log: &str, page: &MovingPage, mut known: Known) -> Written {
    let mut written = Written::default();
    for entry in &page.entries {
        let created_at = match purged(entry) {
            Some((id, attempt)) => Some(known.created_at((id.to_owned(), attempt), entry.stored.recorded_at)),
            None => entry.execution().map(|execution| execution.record.created_at),
        };
        put(&mut written, log, entry, created_at);
        let whole = entry.rests.iter().filter(|rest| known.whole.contains(&rest.index));
        written.rests.extend(whole.cloned());
        for ((id, attempt), created_at) in known.pending.remove(&entry.stored.index).unwrap_or_default() {
            written.purge_pending(log, &id, attempt, created_at);
        }
    }
    written
}

fn put(written: &mut Written, log: &str, entry: &MovingEntry, created_at: Option<Time>) {
    let stored = &entry.stored;
    let there = match &stored.body {
        StoredBody::Whole(said, nonce) | StoredBody::Erased { rest: said, nonce, .. } => {
            Some((said.as_ref(), *nonce))
        }
        StoredBody::Purged { .. } | StoredBody::Unreadable(_) => None,
    };
    let text = there
        .filter(|_| entry.execution().is_none())
        .map(|(said, nonce)| String::from_utf8(body(said, nonce)).expect("canonical JSON is UTF-8"));
    let beside = BesideLeaf {
        created_at,
        started_at: stored.started_at,
        content_digest: entry.content_digest,
        key: stored.idempotency_key.as_deref(),
        body: text.as_deref(),
    };
    let leaf = stored.leaf(log);
    entry_row(written.entries.row(), log, &leaf, stored.leaf_hash, beside);
    let receipt = receipt(log, entry);
    let Some((said, nonce)) = there else { return };
    match said {
        Entry::Execution(execution) => {
            let form = StoredForm::new(execution, stored.body_digest);
            let prepared = form.recorded();
            // It stands in the entry, not in the row.
            let content_digest = entry.content_digest.unwrap_or(Digest([0; 32]));
            written.row(log, NewRow { prepared: &prepared, content_digest, nonce });
            if let Some(object) = &entry.object {
                written.source_object(log, stored.index, execution.record.created_at, object);
            }
        }
        Entry::Quarantine(quarantine) => {
            let object = entry.object.clone().unwrap_or_default();
            written.quarantines.push(QuarantineRow { receipt, digest: quarantine.source_digest, object });
        }
        Entry::Hold(hold) => written.holds.push((receipt, hold.clone())),
        Entry::HoldRelease(release) => written.releases.push((receipt, release.hold)),
        Entry::Review(review) => written.reviews.push((receipt, review.clone())),
        Entry::Purge(purge) => written.purged(log, &purge.entries, stored.index),
        // What is left of them came with them, or is put in their place.
        Entry::Erasure(erasure) => {
            written.erased(log, erasure.entries.iter().map(|entry| entry.index), stored.index);
        }
        Entry::Gap(_)
        | Entry::Heartbeat(_)
        | Entry::Succession(_)
        | Entry::Digest(_)
        | Entry::Export(_)
        | Entry::Access(_)
        | Entry::Window(_) => {}
    }
}

fn receipt(log: &str, entry: &MovingEntry) -> Receipt {
    let stored = &entry.stored;
    Receipt {
        id: stored.execution_id.clone().unwrap_or_default(),
        attempt: stored.attempt,
        revision: stored.revision,
        log: log.to_owned(),
        index: stored.index,
        leaf_hash: stored.leaf_hash,
        recorded_at: stored.recorded_at,
        result: ReceiptResult::first(stored.revision),
    }
}
