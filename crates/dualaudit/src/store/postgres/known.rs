//! What a log knows of execution ids: of all that are asked for in one statement.

use std::collections::HashMap;

use dualaudit_record::{Time, digest::Digest, entry::Covers, selector::Facts};
use tokio_postgres::Row;

use super::{
    error::{Error, Result},
    session::Session,
};
use crate::store::{
    HoldRow, Known, Receipt, ReceiptResult, WindowRow,
    rows::{self, Cells, fact_columns, hold_columns},
    rules::{self, Revision, TrackedAs},
    windows::{self, MAX_WINDOWS, Windows},
};

/// The entries of the ids in `$2`: all revisions of executions, and all others.
///
/// Looked up id by id: the statement is served by the index however many ids there are.
pub(super) const ENTRIES_OF: &str = "
    -- entries of executions
    SELECT entry.log, entry.execution_id, entry.attempt, entry.revision, entry.idx, entry.leaf_hash,
        entry.recorded_at, entry.started_at,
        CASE
            WHEN NOT EXISTS (
                SELECT 1 FROM purge_pending
                WHERE log = $1 AND id = entry.execution_id AND attempt = entry.attempt)
            THEN entry.content_digest
        END,
        entry.created_at, entry.idempotency_key, entry.kind,
        EXISTS (SELECT 1 FROM erased WHERE log = $1 AND entry_idx = entry.idx)
            AND NOT dualaudit_is_purged($1, entry.idx)
    FROM unnest($2::text[]) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT *
        FROM log_entry
        WHERE log = $1 AND execution_id = wanted.id
        ORDER BY attempt, revision
    ) AS entry";

/// The entries of one execution id.
#[derive(Clone, Debug, Default)]
pub(super) struct EntriesOf {
    /// Of executions, in the order of attempt and revision.
    pub(super) revisions: Vec<Revision>,
    /// Of any other kind, by idempotency key, each as the receipt of a duplicate.
    pub(super) others: HashMap<String, Receipt>,
    /// When its newest quarantined object was put there.
    pub(super) quarantined: Option<(u64, Time)>,
}

/// Reads [`ENTRIES_OF`].
pub(super) fn entries_of(found: &[Row]) -> Result<HashMap<String, EntriesOf>> {
    let mut entries: HashMap<String, EntriesOf> = HashMap::new();
    for row in found {
        let receipt = rows::receipt(row)?;
        let of = entries.entry(receipt.id.clone()).or_default();
        if let (Some(attempt), Some(revision)) = (receipt.attempt, receipt.revision) {
            of.revisions.push(Revision {
                attempt,
                revision,
                started_at: row.optional(7, Cells::time)?,
                content_digest: row.optional(8, Cells::digest)?,
                created_at: row.optional(9, Cells::time)?,
                is_erased: row.try_get(12)?,
                index: receipt.index,
                leaf_hash: receipt.leaf_hash,
                recorded_at: receipt.recorded_at,
            });
            continue;
        }
        let at = (receipt.index, receipt.recorded_at);
        if row.text(11)? == "quarantine" {
            of.quarantined = of.quarantined.max(Some(at));
        }
        let duplicate = Receipt { result: ReceiptResult::Duplicate, ..receipt };
        of.others.insert(row.string(10)?, duplicate);
    }
    Ok(entries)
}

/// See [`crate::store::Store::known`].
pub(super) async fn known(session: &Session, log: &str, ids: &[String]) -> Result<Vec<Known>> {
    let mut known = known_in(session, log, ids).await?;
    let mut next = predecessor(session, log).await?;
    while let Some(log) = next {
        for (known, earlier) in known.iter_mut().zip(known_in(session, &log, ids).await?) {
            known.fill_from(earlier);
        }
        next = predecessor(session, &log).await?;
    }
    Ok(known)
}

/// The log in whose place this one goes on, as its first entry says.
pub(super) async fn predecessor(session: &Session, log: &str) -> Result<Option<String>> {
    const PREDECESSOR: &str = "
        -- predecessor
        SELECT body::jsonb ->> 'predecessor'
        FROM log_entry
        WHERE log = $1 AND idx = 0 AND kind = 'succession'";
    session.row(PREDECESSOR, &[&log]).await?.map(|row| row.string(0)).transpose()
}

async fn known_in(session: &Session, log: &str, ids: &[String]) -> Result<Vec<Known>> {
    const QUARANTINED: &str = "
        -- newest quarantined object of executions
        SELECT newest.execution_id, newest.source_digest, newest.recorded_at
        FROM unnest($2::text[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT execution_id, source_digest, recorded_at
            FROM quarantine
            WHERE log = $1 AND execution_id = wanted.id
            ORDER BY idx DESC
            LIMIT 1
        ) AS newest";
    const TRACKED: &str = "
        -- state of tracked executions
        SELECT tracked.id, tracked.state, tracked.started_at, tracked.last_seen_at, tracked.is_running
        FROM unnest($2::text[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT id, state, started_at, last_seen_at, running_since IS NOT NULL AS is_running
            FROM tracked
            WHERE log = $1 AND id = wanted.id
            LIMIT 1
        ) AS tracked";
    let entries = entries_of(&session.rows(ENTRIES_OF, &[&log, &ids]).await?)?;
    let held = holds_covering(session, log, ids).await?;
    let quarantined: HashMap<String, (Digest, Time)> =
        by_id(&session.rows(QUARANTINED, &[&log, &ids]).await?, |row| Ok((row.digest(1)?, row.time(2)?)))?;
    let tracked = by_id(&session.rows(TRACKED, &[&log, &ids]).await?, |row| {
        Ok(TrackedAs {
            state: rows::tracked_state(row, 1)?,
            started_at: row.optional(2, Cells::time)?,
            last_seen_at: row.time(3)?,
            is_running: row.try_get(4)?,
        })
    })?;
    let known = |id: &String| Known {
        recorded: entries.get(id).map_or_else(Vec::new, |of| {
            let windows = Windows::of(id, of.others.keys().map(String::as_str));
            rules::recorded(log, id, &of.revisions, &windows)
        }),
        held: held.contains_key(id),
        quarantined: quarantined.get(id).copied(),
        tracked: tracked.get(id).map(|row| row.state),
        running: tracked.get(id).copied().and_then(TrackedAs::running),
        judged: None,
    };
    Ok(ids.iter().map(known).collect())
}

/// The open holds that may cover executions: those on the ids in `$2`, and all that select.
pub(super) const HOLDS_ON: &str = concat!(
    "
    -- open holds on executions, and those that select
    SELECT ",
    hold_columns!(),
    "
    FROM hold
    WHERE log = $1 AND execution_id = ANY ($2) AND released_at IS NULL
    UNION ALL
    SELECT ",
    hold_columns!(),
    "
    FROM hold
    WHERE log = $1 AND selector IS NOT NULL AND released_at IS NULL
    ORDER BY idx"
);

/// The open holds that cover executions, oldest first, by id: those on it, and those that select any of its
/// attempts by any of their revisions.
pub(super) async fn holds_covering(
    session: &Session,
    log: &str,
    ids: &[String],
) -> Result<HashMap<String, Vec<HoldRow>>> {
    const FACTS: &str = concat!(
        "
        -- what selectors look at of executions
        SELECT entry.execution_id, facts.*
        FROM unnest($2::text[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT execution_id, attempt, revision, created_at
            FROM log_entry
            WHERE log = $1 AND execution_id = wanted.id AND attempt IS NOT NULL
        ) AS entry
        CROSS JOIN LATERAL (
            (
                SELECT ",
        fact_columns!(),
        "
                FROM workflow_execution_audit
                WHERE log = $1 AND created_at = entry.created_at AND id = entry.execution_id
                    AND attempt = entry.attempt AND revision = entry.revision
                LIMIT 1
            )
            UNION ALL
            (
                SELECT ",
        fact_columns!(),
        "
                FROM workflow_execution_revision
                WHERE log = $1 AND id = entry.execution_id AND attempt = entry.attempt
                    AND revision = entry.revision
                LIMIT 1
            )
        ) AS facts"
    );
    let found = session.rows(HOLDS_ON, &[&log, &ids]).await?;
    let holds: Vec<HoldRow> = found.iter().map(|row| rows::hold(row, 0)).collect::<Result<_>>()?;
    let mut facts: HashMap<String, Vec<Facts>> = HashMap::new();
    if holds.iter().any(|row| row.hold.covers.execution_id().is_none()) {
        for row in &session.rows(FACTS, &[&log, &ids]).await? {
            facts.entry(row.string(0)?).or_default().push(rows::facts(row, 1)?);
        }
    }
    let mut covering: HashMap<String, Vec<HoldRow>> = HashMap::new();
    for id in ids {
        let facts = facts.get(id).map_or(&[][..], Vec::as_slice);
        let covers = |row: &&HoldRow| match &row.hold.covers {
            Covers::ExecutionId(held) => held == id,
            Covers::Selector(selector) => facts.iter().any(|facts| selector.covers(facts)),
        };
        let on: Vec<HoldRow> = holds.iter().filter(covers).cloned().collect();
        if !on.is_empty() {
            covering.insert(id.clone(), on);
        }
    }
    Ok(covering)
}

/// The windows of an attempt that were made longer, newest first, as many as one answer has.
pub(super) async fn windows(session: &Session, log: &str, id: &str, attempt: u32) -> Result<Vec<WindowRow>> {
    const WINDOWS: &str = "
        -- newest windows of an execution
        SELECT idx, recorded_at, body
        FROM log_entry
        WHERE log = $1 AND execution_id = $2 AND attempt IS NULL AND kind = 'window'
        ORDER BY idx DESC
        LIMIT $3";
    let mut found = Vec::new();
    for row in &session.rows(WINDOWS, &[&log, &id, &i64::from(MAX_WINDOWS)]).await? {
        found.extend(windows::told(attempt, row.number(0)?, row.time(1)?, row.text(2)?));
    }
    Ok(found)
}

fn by_id<T>(found: &[Row], read: impl Fn(&Row) -> Result<T>) -> Result<HashMap<String, T>> {
    found.iter().map(|row| Ok::<_, Error>((row.string(0)?, read(row)?))).collect()
}
