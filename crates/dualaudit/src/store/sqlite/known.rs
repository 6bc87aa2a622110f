//! What a log knows of an execution id: asked by appends inside their transaction, and by readers.

use dualaudit_record::{
    Time,
    digest::Digest,
    entry::{Covers, Hold},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{error::Result, read::beyond};
use crate::store::{
    HoldRow, Known, Receipt, ReceiptResult, Tracked, WindowRow,
    append::HoldsLike,
    names,
    rows::{self, Cells, fact_columns, hold_columns, receipt_columns, tracked_columns},
    rules::{self, Revision, TrackedAs},
    windows::{self, MAX_WINDOWS, Windows},
};

/// Every revision of an id, in the order of attempt and revision. All of them: only the sender of
/// a record knows which one it repeats.
pub(super) fn revisions(connection: &Connection, log: &str, id: &str) -> Result<Vec<Revision>> {
    const REVISIONS: &str = "
        -- revisions of an execution
        SELECT entry.attempt, entry.revision, entry.started_at, entry.idx, entry.leaf_hash, entry.recorded_at,
            iif(pending.id IS NULL, coalesce(latest.content_digest, kept.content_digest), NULL),
            coalesce(latest.created_at, kept.created_at),
            erased.entry_idx IS NOT NULL AND pending.id IS NULL AND coalesce(latest.id, kept.id) IS NOT NULL
        FROM log_entry AS entry
        LEFT JOIN workflow_execution_audit AS latest
            ON latest.log = entry.log AND latest.id = entry.execution_id
            AND latest.attempt = entry.attempt AND latest.revision = entry.revision
        LEFT JOIN workflow_execution_revision AS kept
            ON kept.log = entry.log AND kept.id = entry.execution_id
            AND kept.attempt = entry.attempt AND kept.revision = entry.revision
        LEFT JOIN purge_pending AS pending
            ON pending.log = entry.log AND pending.id = entry.execution_id
            AND pending.attempt = entry.attempt
        LEFT JOIN erased ON erased.log = entry.log AND erased.entry_idx = entry.idx
        WHERE entry.log = ?1 AND entry.execution_id = ?2 AND entry.attempt IS NOT NULL
        ORDER BY entry.attempt, entry.revision";
    collect(connection, REVISIONS, params![log, id], |row| {
        Ok(Revision {
            attempt: row.get(0)?,
            revision: row.get(1)?,
            started_at: row.optional(2, Cells::time)?,
            index: row.get(3)?,
            leaf_hash: row.digest(4)?,
            recorded_at: row.time(5)?,
            content_digest: row.optional(6, Cells::digest)?,
            created_at: row.optional(7, Cells::time)?,
            is_erased: row.get(8)?,
        })
    })
}

/// The entry with this idempotency key, as the receipt of a duplicate.
pub(super) fn by_key(connection: &Connection, log: &str, key: &str) -> Result<Option<Receipt>> {
    const BY_KEY: &str = concat!(
        "
        -- entry by idempotency key
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry
        WHERE log = ?1 AND idempotency_key = ?2"
    );
    first(connection, BY_KEY, params![log, key], duplicate)
}

/// The newest erasure of an execution, as the receipt of a duplicate.
pub(super) fn erasure_of(connection: &Connection, log: &str, id: &str) -> Result<Option<Receipt>> {
    const ERASURE: &str = concat!(
        "
        -- newest erasure of an execution
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry INDEXED BY log_entry_execution
        WHERE log = ?1 AND execution_id = ?2 AND attempt IS NULL AND kind = 'erasure'
        ORDER BY idx DESC
        LIMIT 1"
    );
    first(connection, ERASURE, params![log, id], duplicate)
}

/// The windows of an execution that were made longer.
pub(super) fn windows(connection: &Connection, log: &str, id: &str) -> Result<Windows> {
    const WINDOWS: &str = "
        -- windows of an execution
        SELECT idempotency_key
        FROM log_entry
        WHERE log = ?1 AND execution_id = ?2 AND attempt IS NULL AND kind = 'window'";
    let keys = collect(connection, WINDOWS, params![log, id], |row| row.string(0))?;
    Ok(Windows::of(id, keys.iter().map(String::as_str)))
}

/// The windows of an attempt that were made longer, newest first, as many as one answer has.
pub(super) fn window_rows(
    connection: &Connection,
    log: &str,
    id: &str,
    attempt: u32,
) -> Result<Vec<WindowRow>> {
    // In the order of the log the planner would rather read all of that.
    const WINDOWS: &str = "
        -- newest windows of an execution
        SELECT idx, recorded_at, body
        FROM log_entry INDEXED BY log_entry_execution
        WHERE log = ?1 AND execution_id = ?2 AND attempt IS NULL AND kind = 'window'
        ORDER BY idx DESC
        LIMIT ?3";
    let rows = collect(connection, WINDOWS, params![log, id, MAX_WINDOWS], |row| {
        Ok(windows::told(attempt, row.number(0)?, row.time(1)?, row.text(2)?))
    })?;
    Ok(rows.into_iter().flatten().collect())
}

/// The newest quarantined object of an id: its digest and when it was put there.
pub(super) fn quarantined(connection: &Connection, log: &str, id: &str) -> Result<Option<(Digest, Time)>> {
    const QUARANTINED: &str = "
        -- newest quarantined object of an execution
        SELECT source_digest, recorded_at
        FROM quarantine
        WHERE log = ?1 AND execution_id = ?2
        ORDER BY idx DESC
        LIMIT 1";
    first(connection, QUARANTINED, params![log, id], |row| Ok((row.digest(0)?, row.time(1)?)))
}

/// The holds that cover the same as this one for the same reason.
pub(super) fn holds_like(connection: &Connection, log: &str, hold: &Hold) -> Result<HoldsLike> {
    macro_rules! like {
        () => {
            "log = ?1 AND execution_id IS ?2 AND selector IS ?3 AND reason = ?4"
        };
    }
    const OPEN: &str = concat!(
        "
        -- open hold on the same for the same reason
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry
        WHERE log = ?1 AND idx = (SELECT idx FROM hold WHERE ",
        like!(),
        " AND released_at IS NULL)"
    );
    const RELEASED: &str = concat!(
        "
        -- released holds on the same for the same reason
        SELECT count(*)
        FROM hold
        WHERE ",
        like!(),
        " AND released_at IS NOT NULL"
    );
    let (execution_id, selector) = names::covers(&hold.covers);
    let of = params![log, execution_id, selector, hold.reason];
    Ok(HoldsLike {
        open: first(connection, OPEN, of, duplicate)?,
        released: connection.prepare_cached(RELEASED)?.query_row(of, |row| row.get(0))?,
    })
}

/// How many open holds of a log select.
pub(super) fn open_selectors(connection: &Connection, log: &str) -> Result<usize> {
    const OPEN: &str = "
        -- open holds that select, counted
        SELECT count(*)
        FROM hold
        WHERE log = ?1 AND selector IS NOT NULL AND released_at IS NULL";
    Ok(connection.prepare_cached(OPEN)?.query_row([log], |row| row.get(0))?)
}

/// What the hold of an entry covers, if there is one.
pub(super) fn hold_at(connection: &Connection, log: &str, index: u64) -> Result<Option<Covers>> {
    const HOLD: &str = concat!(
        "
        -- hold by its entry
        SELECT ",
        hold_columns!(),
        "
        FROM hold
        WHERE log = ?1 AND idx = ?2"
    );
    first(connection, HOLD, params![log, beyond(index)], |row| Ok(rows::hold(row, 0)?.hold.covers))
}

/// The open holds on an execution, oldest first.
pub(super) fn holds_on(connection: &Connection, log: &str, id: &str) -> Result<Vec<HoldRow>> {
    const ON: &str = concat!(
        "
        -- open holds on an execution
        SELECT ",
        hold_columns!(),
        "
        FROM hold
        WHERE log = ?1 AND execution_id = ?2 AND released_at IS NULL
        ORDER BY idx"
    );
    collect(connection, ON, params![log, id], |row| rows::hold(row, 0))
}

/// The open holds that select, oldest first.
pub(super) fn selecting_holds(connection: &Connection, log: &str) -> Result<Vec<HoldRow>> {
    const SELECTING: &str = concat!(
        "
        -- open holds that select
        SELECT ",
        hold_columns!(),
        "
        FROM hold
        WHERE log = ?1 AND selector IS NOT NULL AND released_at IS NULL
        ORDER BY idx"
    );
    collect(connection, SELECTING, params![log], |row| rows::hold(row, 0))
}

/// The open holds that cover an execution, oldest first: those on it, and those that select any of its
/// attempts by any of their revisions.
pub(super) fn holds_covering(connection: &Connection, log: &str, id: &str) -> Result<Vec<HoldRow>> {
    const FACTS: &str = concat!(
        "
        -- what selectors look at of an execution
        SELECT ",
        fact_columns!(),
        "
        FROM workflow_execution_audit
        WHERE log = ?1 AND id = ?2
        UNION ALL
        SELECT ",
        fact_columns!(),
        "
        FROM workflow_execution_revision
        WHERE log = ?1 AND id = ?2"
    );
    let mut holds = holds_on(connection, log, id)?;
    let selecting = selecting_holds(connection, log)?;
    if selecting.is_empty() {
        return Ok(holds);
    }
    holds.extend(selecting);
    holds.sort_by_key(|row| row.index);
    let facts = collect(connection, FACTS, params![log, id], |row| rows::facts(row, 0))?;
    holds.retain(|row| match &row.hold.covers {
        Covers::ExecutionId(_) => true,
        Covers::Selector(selector) => facts.iter().any(|facts| selector.covers(facts)),
    });
    Ok(holds)
}

/// What decisions need of a tracked row.
pub(super) fn tracked_as(connection: &Connection, log: &str, id: &str) -> Result<Option<TrackedAs>> {
    const STATE: &str = "
        -- state of a tracked execution
        SELECT state, started_at, last_seen_at, running_since IS NOT NULL
        FROM tracked
        WHERE log = ?1 AND id = ?2";
    first(connection, STATE, params![log, id], |row| {
        Ok(TrackedAs {
            state: rows::tracked_state(row, 0)?,
            started_at: row.optional(1, Cells::time)?,
            last_seen_at: row.time(2)?,
            is_running: row.get(3)?,
        })
    })
}

/// A tracked row.
pub(super) fn tracked_row(connection: &Connection, log: &str, id: &str) -> Result<Option<Tracked>> {
    const ROW: &str = concat!(
        "
        -- tracked execution
        SELECT ",
        tracked_columns!(),
        "
        FROM tracked
        WHERE log = ?1 AND id = ?2"
    );
    first(connection, ROW, params![log, id], |row| rows::tracked(row))
}

/// See [`crate::store::Store::known`].
pub(super) fn known(connection: &Connection, log: &str, id: &str) -> Result<Known> {
    let tracked = tracked_as(connection, log, id)?;
    let mut known = Known {
        recorded: rules::recorded(log, id, &revisions(connection, log, id)?, &windows(connection, log, id)?),
        held: !holds_covering(connection, log, id)?.is_empty(),
        quarantined: quarantined(connection, log, id)?,
        tracked: tracked.map(|row| row.state),
        running: tracked.and_then(TrackedAs::running),
        judged: None,
    };
    if let Some(earlier) = predecessor(connection, log)? {
        known.fill_from(self::known(connection, &earlier, id)?);
    }
    Ok(known)
}

/// The log in whose place this one goes on, as its first entry says.
pub(super) fn predecessor(connection: &Connection, log: &str) -> Result<Option<String>> {
    const PREDECESSOR: &str = "
        -- predecessor
        SELECT json_extract(body, '$.predecessor')
        FROM log_entry
        WHERE log = ?1 AND idx = 0 AND kind = 'succession'";
    first(connection, PREDECESSOR, [log], |row| row.string(0))
}

/// Every revision of an id in the newest of the logs, in whose place one goes on, that has any: from its
/// predecessor on.
pub(super) fn earlier(
    connection: &Connection,
    newest: Option<&str>,
    id: &str,
) -> Result<Option<(String, Vec<Revision>)>> {
    let mut next = newest.map(str::to_owned);
    while let Some(log) = next {
        let revisions = revisions(connection, &log, id)?;
        if !revisions.is_empty() {
            return Ok(Some((log, revisions)));
        }
        next = predecessor(connection, &log)?;
    }
    Ok(None)
}

/// Reads the receipt of a duplicate.
pub(super) fn duplicate(row: &Row<'_>) -> Result<Receipt> {
    Ok(Receipt { result: ReceiptResult::Duplicate, ..rows::receipt(row)? })
}

/// The first row of a query, if there is one.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(params, |row| Ok(read(row))).optional()?.transpose()
}

/// Every row of a query, in order.
pub(super) fn collect<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}
