//! Removes the rows of what was purged.

use rusqlite::{Connection, TransactionBehavior, params};

use super::{error::Result, known::collect, read};
use crate::store::{Removed, rows::Cells as _};

/// Executions whose rows one transaction removes: others that write wait meanwhile.
const BATCH: u32 = 500;

/// Removes all of them, in as many transactions as it takes; whatever ends it, running it again does what is
/// left.
pub(super) fn remove(connection: &mut Connection) -> Result<Removed> {
    let mut removed = Removed::default();
    for head in read::logs(connection)? {
        loop {
            let batch = batch(connection, &head.log)?;
            removed.executions += batch;
            if batch < u64::from(BATCH) {
                break;
            }
        }
    }
    Ok(removed)
}

/// Removes the next ones of a log; answers how many.
fn batch(connection: &mut Connection, log: &str) -> Result<u64> {
    const PENDING: &str = "
        -- remove: the next purged executions
        SELECT id, attempt
        FROM purge_pending
        WHERE log = ?1
        ORDER BY id, attempt
        LIMIT ?2";
    const OBJECTS: &str = "
        -- remove: source objects
        DELETE FROM source_object
        WHERE log = ?1 AND idx IN (
            SELECT idx FROM log_entry
            WHERE log = ?1 AND execution_id = ?2 AND attempt = ?3)";
    const REVISIONS: &str = "
        -- remove: revisions
        DELETE FROM workflow_execution_revision
        WHERE log = ?1 AND id = ?2 AND attempt = ?3";
    const EXECUTION: &str = "
        -- remove: execution
        DELETE FROM workflow_execution_audit
        WHERE log = ?1 AND id = ?2 AND attempt = ?3";
    const DONE: &str = "
        -- remove: done
        DELETE FROM purge_pending
        WHERE log = ?1 AND id = ?2 AND attempt = ?3";
    // Asked without the lock: once purged, an execution waits until it is removed, which only happens here.
    let pending: Vec<(String, u32)> =
        collect(connection, PENDING, params![log, BATCH], |row| Ok((row.string(0)?, row.number(1)?)))?;
    if pending.is_empty() {
        return Ok(0);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, attempt) in &pending {
        for statement in [OBJECTS, REVISIONS, EXECUTION, DONE] {
            transaction.prepare_cached(statement)?.execute(params![log, id, attempt])?;
        }
    }
    transaction.commit()?;
    Ok(pending.len() as u64)
}
