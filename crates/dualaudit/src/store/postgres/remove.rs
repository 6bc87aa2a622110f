//! Removes the rows of what was purged: whole months by dropping their partitions, the rest in batches.

use tokio_postgres::Client;

use super::{
    error::{Error, Result},
    values::Micros,
};
use crate::store::{Removed, rows::Cells as _};

/// Executions whose rows one transaction removes: what it locks is in nobody's way, and what it writes fits
/// the time that a transaction has.
pub(super) const BATCH: i64 = 1000;

/// Removes all of them, in as many transactions as it takes; whatever ends it, running it again does what is
/// left.
pub(super) async fn remove(client: &mut Client) -> Result<Removed> {
    let mut removed = Removed { months: drop_months(client).await?, ..Removed::default() };
    const LOGS: &str = "
        -- remove: logs
        SELECT name
        FROM log
        ORDER BY name";
    for row in &client.query(LOGS, &[]).await? {
        let log = row.string(0)?;
        loop {
            let batch = batch(client, &log).await?;
            removed.executions += batch;
            if batch < BATCH.unsigned_abs() {
                break;
            }
        }
    }
    Ok(removed)
}

/// Drops the partitions, from the first on, in which there is nothing that was not purged.
async fn drop_months(client: &mut Client) -> Result<u32> {
    // Where nothing is pending there is nothing to look for, which costs a look at every row of a month.
    const MONTHS: &str = "
        -- remove: whole months
        SELECT CASE
            WHEN EXISTS (SELECT 1 FROM purge_pending)
            THEN dualaudit_drop_purged_months(
                (SELECT date_trunc('month', max(created_at), 'UTC') + interval '1 month' FROM purge_pending))
            ELSE 0
        END";
    let transaction = client.transaction().await?;
    let months = transaction.query_one(MONTHS, &[]).await?.number(0)?;
    transaction.commit().await.map_err(Error::Commit)?;
    Ok(months)
}

/// Removes the next ones of a log; answers how many.
pub(super) async fn batch(client: &mut Client, log: &str) -> Result<u64> {
    const PENDING: &str = "
        -- remove: the next purged executions
        SELECT id, attempt, created_at
        FROM purge_pending
        WHERE log = $1
        ORDER BY id, attempt
        LIMIT $2
        FOR UPDATE";
    const OBJECTS: &str = "
        -- remove: source objects
        DELETE FROM source_object AS object
        USING unnest($2::text[], $3::integer[], $4::timestamptz[]) AS purged (id, attempt, created_at)
        JOIN log_entry AS entry
            ON entry.log = $1 AND entry.execution_id = purged.id AND entry.attempt = purged.attempt
        WHERE object.log = $1 AND object.idx = entry.idx AND object.created_at = purged.created_at";
    const REVISIONS: &str = "
        -- remove: revisions
        DELETE FROM workflow_execution_revision AS revision
        USING unnest($2::text[], $3::integer[]) AS purged (id, attempt)
        WHERE revision.log = $1 AND revision.id = purged.id AND revision.attempt = purged.attempt";
    const EXECUTIONS: &str = "
        -- remove: executions
        DELETE FROM workflow_execution_audit AS execution
        USING unnest($2::text[], $3::integer[], $4::timestamptz[]) AS purged (id, attempt, created_at)
        WHERE execution.log = $1 AND execution.created_at = purged.created_at AND execution.id = purged.id
            AND execution.attempt = purged.attempt";
    const DIGESTS: &str = "
        -- remove: content digests
        UPDATE log_entry AS entry
        SET content_digest = NULL
        FROM unnest($2::text[], $3::integer[]) AS purged (id, attempt)
        WHERE entry.log = $1 AND entry.execution_id = purged.id AND entry.attempt = purged.attempt
            AND entry.content_digest IS NOT NULL";
    const DONE: &str = "
        -- remove: done
        DELETE FROM purge_pending AS pending
        USING unnest($2::text[], $3::integer[]) AS purged (id, attempt)
        WHERE pending.log = $1 AND pending.id = purged.id AND pending.attempt = purged.attempt";
    let transaction = client.transaction().await?;
    let (mut ids, mut attempts, mut created) = (Vec::new(), Vec::new(), Vec::new());
    for row in &transaction.query(PENDING, &[&log, &BATCH]).await? {
        ids.push(row.string(0)?);
        attempts.push(row.number::<i32>(1)?);
        created.push(Micros(row.micros(2)?));
    }
    if !ids.is_empty() {
        transaction.execute(OBJECTS, &[&log, &ids, &attempts, &created]).await?;
        transaction.execute(REVISIONS, &[&log, &ids, &attempts]).await?;
        transaction.execute(EXECUTIONS, &[&log, &ids, &attempts, &created]).await?;
        transaction.execute(DIGESTS, &[&log, &ids, &attempts]).await?;
        transaction.execute(DONE, &[&log, &ids, &attempts]).await?;
    }
    transaction.commit().await.map_err(Error::Commit)?;
    Ok(ids.len() as u64)
}
