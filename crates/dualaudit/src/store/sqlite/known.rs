//! What a log knows of an execution id: asked by appends inside their transaction, and by readers.

use dualaudit_record::{Time, digest::Digest, entry::Hold};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::Result;
use crate::store::{
    Known, Receipt, ReceiptResult, Tracked,
    append::HoldsWithReason,
    rows::{self, Cells, receipt_columns},
    rules::{self, Revision, TrackedAs},
};

/// Every revision of an id, in the order of attempt and revision. All of them: only the sender of
/// a record knows which one it repeats.
pub(super) fn revisions(connection: &Connection, log: &str, id: &str) -> Result<Vec<Revision>> {
    const REVISIONS: &str = "
        -- revisions of an execution
        SELECT entry.attempt, entry.revision, entry.started_at, entry.idx, entry.leaf_hash, entry.recorded_at,
            coalesce(latest.content_digest, kept.content_digest),
            coalesce(latest.created_at, kept.created_at)
        FROM log_entry AS entry
        LEFT JOIN workflow_execution_audit AS latest
            ON latest.log = entry.log AND latest.id = entry.execution_id
            AND latest.attempt = entry.attempt AND latest.revision = entry.revision
        LEFT JOIN workflow_execution_revision AS kept
            ON kept.log = entry.log AND kept.id = entry.execution_id
            AND kept.attempt = entry.attempt AND kept.revision = entry.revision
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

/// The holds on the hold's execution that have its reason.
pub(super) fn holds_with_reason(connection: &Connection, log: &str, hold: &Hold) -> Result<HoldsWithReason> {
    const OPEN: &str = concat!(
        "
        -- open hold with a reason
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry
        WHERE log = ?1 AND idx = (
            SELECT idx
            FROM hold
            WHERE log = ?1 AND execution_id = ?2 AND reason = ?3 AND released_at IS NULL
        )"
    );
    const RELEASED: &str = "
        -- released holds with a reason
        SELECT count(*)
        FROM hold
        WHERE log = ?1 AND execution_id = ?2 AND reason = ?3 AND released_at IS NOT NULL";
    let of = params![log, hold.execution_id, hold.reason];
    Ok(HoldsWithReason {
        open: first(connection, OPEN, of, duplicate)?,
        released: connection.prepare_cached(RELEASED)?.query_row(of, |row| row.get(0))?,
    })
}

/// Whether a hold is open on an execution.
pub(super) fn is_held(connection: &Connection, log: &str, id: &str) -> Result<bool> {
    const HELD: &str = "
        -- whether an execution is held
        SELECT 1
        FROM hold
        WHERE log = ?1 AND execution_id = ?2 AND released_at IS NULL";
    Ok(connection.prepare_cached(HELD)?.exists(params![log, id])?)
}

/// What decisions need of a tracked row.
pub(super) fn tracked_as(connection: &Connection, log: &str, id: &str) -> Result<Option<TrackedAs>> {
    const STATE: &str = "
        -- state of a tracked execution
        SELECT state, started_at, last_seen_at
        FROM tracked
        WHERE log = ?1 AND id = ?2";
    first(connection, STATE, params![log, id], |row| {
        Ok(TrackedAs {
            state: rows::tracked_state(row, 0)?,
            started_at: row.optional(1, Cells::time)?,
            last_seen_at: row.time(2)?,
        })
    })
}

/// A tracked row.
pub(super) fn tracked_row(connection: &Connection, log: &str, id: &str) -> Result<Option<Tracked>> {
    const ROW: &str = "
        -- tracked execution
        SELECT id, namespace, name, phase, started_at, last_state, last_seen_at, state
        FROM tracked
        WHERE log = ?1 AND id = ?2";
    first(connection, ROW, params![log, id], |row| rows::tracked(row))
}

/// See [`crate::store::Store::known`].
pub(super) fn known(connection: &Connection, log: &str, id: &str) -> Result<Known> {
    Ok(Known {
        recorded: rules::recorded(log, id, &revisions(connection, log, id)?),
        held: is_held(connection, log, id)?,
        quarantined: quarantined(connection, log, id)?,
        tracked: tracked_as(connection, log, id)?.map(|row| row.state),
    })
}

fn duplicate(row: &Row<'_>) -> Result<Receipt> {
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
