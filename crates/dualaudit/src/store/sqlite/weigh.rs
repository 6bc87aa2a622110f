//! Executions weighed for a purge.

use rusqlite::{Connection, Row, params};

use super::{
    error::Result,
    known::{collect, first},
};
use crate::store::{
    Weighed, WeighedUpTo, Weighing,
    rows::{self, Cells, fact_columns},
};
use dualaudit_record::Time;

/// See [`crate::store::Store::weigh`].
pub(super) fn weigh(
    connection: &Connection,
    log: &str,
    completed_before: Time,
    after: Option<&WeighedUpTo>,
    limit: u32,
) -> Result<Weighing> {
    // The index is named, because the planner would rather take the primary key for `log` and sort.
    const LAST: &str = "
        -- weigh: the last of the next executions
        SELECT created_at, id, attempt
        FROM workflow_execution_audit INDEXED BY workflow_execution_audit_newest
        WHERE +log = ?1 AND created_at <= ?2 AND (created_at < ?2 OR (id, attempt) > (?3, ?4))
        ORDER BY created_at DESC, log, id, attempt
        LIMIT 1 OFFSET ?5 - 1";
    const EXECUTIONS: &str = concat!(
        "
        -- weigh: executions
        SELECT id, attempt, revision, created_at, completed_at, outcome, status,
            octet_length(error_message) + octet_length(labels) + octet_length(step_executions)
                + octet_length(adaptive_adjustments) + 300,
            EXISTS (SELECT 1 FROM tracked WHERE log = ?1 AND tracked.id = record.id), ",
        fact_columns!(),
        "
        FROM workflow_execution_audit AS record INDEXED BY workflow_execution_audit_newest
        WHERE +log = ?1 AND created_at <= ?2 AND (created_at < ?2 OR (id, attempt) > (?3, ?4))
            AND created_at >= ?5 AND (created_at > ?5 OR (id, attempt) <= (?6, ?7))
            AND completed_at < ?8
            AND NOT EXISTS (
                SELECT 1 FROM purge_pending AS pending
                WHERE pending.log = ?1 AND pending.id = record.id AND pending.attempt = record.attempt)
        ORDER BY created_at DESC, log, id, attempt"
    );
    let from = after.cloned().unwrap_or(WeighedUpTo::BEFORE_ALL);
    let of = params![log, from.created_at.as_micros(), from.id, from.attempt, limit];
    let next = first(connection, LAST, of, |row| {
        Ok(WeighedUpTo { created_at: row.time(0)?, id: row.string(1)?, attempt: row.number(2)? })
    })?;
    let to = next.clone().unwrap_or_else(WeighedUpTo::after_all);
    let of = params![
        log,
        from.created_at.as_micros(),
        from.id,
        from.attempt,
        to.created_at.as_micros(),
        to.id,
        to.attempt,
        completed_before.as_micros()
    ];
    let executions = collect(connection, EXECUTIONS, of, |row| execution(connection, log, row))?;
    Ok(Weighing { executions, next })
}

fn execution(connection: &Connection, log: &str, row: &Row<'_>) -> Result<Weighed> {
    const ENTRIES: &str = "
        -- weigh: entries and objects of an execution
        SELECT entry.idx, coalesce(octet_length(source.object), 0)
        FROM log_entry AS entry
        LEFT JOIN source_object AS source ON source.log = entry.log AND source.idx = entry.idx
        WHERE entry.log = ?1 AND entry.execution_id = ?2 AND entry.attempt = ?3
        ORDER BY entry.revision";
    const EARLIER: &str = concat!(
        "
        -- weigh: earlier revisions of an execution
        SELECT octet_length(error_message) + octet_length(labels) + octet_length(step_executions)
                + octet_length(adaptive_adjustments) + 300, ",
        fact_columns!(),
        "
        FROM workflow_execution_revision
        WHERE log = ?1 AND id = ?2 AND attempt = ?3
        ORDER BY revision DESC"
    );
    let (id, attempt, revision): (String, u32, u32) = (row.string(0)?, row.number(1)?, row.number(2)?);
    let of = params![log, id, attempt];
    let entries: Vec<(u64, u64)> =
        collect(connection, ENTRIES, of, |row| Ok((row.number(0)?, row.number(1)?)))?;
    let mut facts = vec![rows::facts(row, 9)?];
    let mut bytes = row.number::<u64>(7)? + entries.iter().map(|(_, object)| object).sum::<u64>();
    if revision > 1 {
        for (earlier, seen) in
            collect(connection, EARLIER, of, |row| Ok((row.number::<u64>(0)?, rows::facts(row, 1)?)))?
        {
            bytes += earlier;
            facts.push(seen);
        }
    }
    Ok(Weighed {
        id,
        attempt,
        created_at: row.time(3)?,
        completed_at: row.time(4)?,
        outcome: row.name(5)?,
        status: row.name(6)?,
        facts,
        entries: entries.into_iter().map(|(index, _)| index).collect(),
        bytes,
        tracked: row.get(8)?,
    })
}
