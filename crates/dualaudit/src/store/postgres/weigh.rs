//! Executions weighed for a purge.

use std::sync::LazyLock;

use dualaudit_record::Time;
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::Result,
    rows::execution_columns,
    session::Session,
    values::{Micros, small},
};
use crate::store::{
    Weighed, WeighedUpTo, Weighing,
    rows::{self, Cells, fact_columns},
};

/// The last of the next executions.
pub(super) const LAST: &str = "
    -- weigh: the last of the next executions
    SELECT created_at, id, attempt
    FROM workflow_execution_audit
    WHERE log = $1 AND created_at <= $2 AND (created_at < $2 OR (id, attempt) > ($3, $4))
    ORDER BY created_at DESC, id, attempt
    LIMIT 1
    OFFSET $5";

/// The next executions up to the last.
pub(super) static EXECUTIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    -- weigh: executions
    SELECT id, attempt, revision, created_at, completed_at, outcome, status,
        {bytes},
        EXISTS (SELECT 1 FROM tracked WHERE log = $1 AND tracked.id = record.id),
        (
            SELECT array_agg(idx ORDER BY revision)
            FROM log_entry
            WHERE log = $1 AND execution_id = record.id AND attempt = record.attempt
        ),
        (
            SELECT coalesce(sum(source.bytes), 0)::bigint
            FROM log_entry AS entry
            CROSS JOIN LATERAL (
                -- The order is that of the key, by which each is looked up, whatever is known of the table.
                SELECT octet_length(object) AS bytes
                FROM source_object
                WHERE log = $1 AND idx = entry.idx AND created_at = record.created_at
                ORDER BY idx
                LIMIT 1
            ) AS source
            WHERE entry.log = $1 AND entry.execution_id = record.id AND entry.attempt = record.attempt
        ),
        {facts}
    FROM workflow_execution_audit AS record
    WHERE log = $1 AND created_at <= $2 AND (created_at < $2 OR (id, attempt) > ($3, $4))
        AND created_at >= $5 AND (created_at > $5 OR (id, attempt) <= ($6, $7))
        AND completed_at < $8
        AND (
            SELECT 1
            FROM purge_pending AS pending
            WHERE pending.log = $1 AND pending.id = record.id AND pending.attempt = record.attempt
            LIMIT 1
        ) IS NULL
    ORDER BY created_at DESC, id, attempt",
        bytes = bytes(),
        facts = fact_columns!(),
    )
});

/// The revisions of an execution before the latest.
pub(super) static EARLIER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    -- weigh: earlier revisions of an execution
    SELECT {bytes}, {facts}
    FROM workflow_execution_revision
    WHERE log = $1 AND id = $2 AND attempt = $3
    ORDER BY revision DESC",
        bytes = bytes(),
        facts = fact_columns!(),
    )
});

/// The bytes that a row takes, without reading what is stored apart from it.
fn bytes() -> String {
    let size = |column: &str| format!("coalesce(pg_column_size({column}), 0)");
    let sizes: Vec<String> = execution_columns!().split(", ").map(size).collect();
    format!("({})::bigint", sizes.join(" + "))
}

/// See [`crate::store::Store::weigh`].
pub(super) async fn weigh(
    session: &Session,
    log: &str,
    completed_before: Time,
    after: Option<&WeighedUpTo>,
    limit: u32,
) -> Result<Weighing> {
    let from = after.cloned().unwrap_or(WeighedUpTo::BEFORE_ALL);
    let (since, attempt) = (Micros::from(from.created_at), small(from.attempt));
    let offset = i64::from(limit.saturating_sub(1));
    let place: [&(dyn ToSql + Sync); 5] = [&log, &since, &from.id, &attempt, &offset];
    let next = match session.row(LAST, &place).await? {
        Some(row) => {
            Some(WeighedUpTo { created_at: row.time(0)?, id: row.string(1)?, attempt: row.number(2)? })
        }
        None => None,
    };
    let to = next.clone().unwrap_or_else(WeighedUpTo::after_all);
    let of: [&(dyn ToSql + Sync); 8] = [
        &log,
        &since,
        &from.id,
        &attempt,
        &Micros::from(to.created_at),
        &to.id,
        &small(to.attempt),
        &Micros::from(completed_before),
    ];
    let mut executions = Vec::new();
    for row in &session.rows(&EXECUTIONS, &of).await? {
        executions.push(execution(session, log, row).await?);
    }
    Ok(Weighing { executions, next })
}

async fn execution(session: &Session, log: &str, row: &Row) -> Result<Weighed> {
    let (id, attempt, revision): (String, u32, u32) = (row.string(0)?, row.number(1)?, row.number(2)?);
    let entries: Option<Vec<i64>> = row.try_get(9)?;
    let mut facts = vec![rows::facts(row, 11)?];
    let mut bytes = row.number::<u64>(7)? + row.number::<u64>(10)?;
    if revision > 1 {
        for earlier in &session.rows(&EARLIER, &[&log, &id, &small(attempt)]).await? {
            bytes += earlier.number::<u64>(0)?;
            facts.push(rows::facts(earlier, 1)?);
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
        entries: entries.unwrap_or_default().into_iter().map(i64::unsigned_abs).collect(),
        bytes,
        tracked: row.try_get(8)?,
    })
}
