//! Removes the rows of what was purged: whole months by dropping their partitions, the rest in batches.

use std::time::Duration;

use dualaudit_record::Time;
use tokio::time::sleep;
use tokio_postgres::{Client, IsolationLevel, error::SqlState};

use super::{
    error::{Error, Result},
    values::Micros,
};
use crate::store::{Removed, rows::Cells as _};

/// Executions whose rows one transaction removes: what it locks is in nobody's way, and what it writes fits
/// the time that a transaction has.
pub(super) const BATCH: i64 = 250;

/// How often dropping months is tried, and the pause in between, in which everybody goes on.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Removes all of them, in as many transactions as it takes; whatever ends it, running it again does what is
/// left.
pub(super) async fn remove(client: &mut Client, now: Time) -> Result<Removed> {
    let mut removed = Removed { months: drop_months(client, now).await?, ..Removed::default() };
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

/// Drops the partitions of months that are over, from the first on, in which there is nothing that was not
/// purged.
///
/// They are looked through while everybody works; only then are the tables locked, for the moment that
/// dropping takes. What came to these months in between is seen by the entries that the logs have since.
async fn drop_months(client: &mut Client, now: Time) -> Result<u32> {
    const PENDING: &str = "
        -- remove: whether there is anything
        SELECT EXISTS (SELECT 1 FROM purge_pending)";
    const MONTHS: &str = "
        -- remove: purged months
        SELECT dualaudit_purged_until($1), array_agg(name), array_agg(size)
        FROM log";
    if !client.query_one(PENDING, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let look = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await?;
    // Every row of a month, which may take longer than anything else may.
    look.batch_execute("SET LOCAL statement_timeout = 0").await?;
    let row = look.query_one(MONTHS, &[&Micros::from(now)]).await?;
    look.commit().await.map_err(Error::Commit)?;
    if row.is_null(0)? {
        return Ok(0);
    }
    let upto = Micros(row.micros(0)?);
    let (logs, sizes): (Vec<String>, Vec<i64>) = (row.try_get(1)?, row.try_get(2)?);
    for _ in 0..TRIES {
        match drop_looked_at(client, upto, &logs, &sizes).await {
            Err(Error::Postgres(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    // Somebody reads for long: the rows go one by one instead.
    Ok(0)
}

/// Drops the months before `upto`, unless anything came to them beyond these sizes of the logs.
async fn drop_looked_at(client: &mut Client, upto: Micros, logs: &[String], sizes: &[i64]) -> Result<u32> {
    // In the order in which an append comes to them.
    const LOCK: &str = "LOCK TABLE source_object, workflow_execution_audit IN ACCESS EXCLUSIVE MODE";
    const DROP: &str = "
        -- remove: whole months
        SELECT dualaudit_drop_months($1, $2, $3)";
    let drop = client.transaction().await?;
    // Everybody waits behind who waits for a lock, so not for long.
    drop.batch_execute("SET LOCAL lock_timeout = '500ms'").await?;
    drop.batch_execute(LOCK).await?;
    let months = drop.query_one(DROP, &[&upto, &logs, &sizes]).await?.number(0)?;
    drop.commit().await.map_err(Error::Commit)?;
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
