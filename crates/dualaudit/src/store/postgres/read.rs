//! Reads of logs, tiles and single executions.

use std::pin::pin;

use dualaudit_record::{
    Entry, EntryKind,
    digest::Digest,
    log::{FORMAT, Leaf},
};
use futures::TryStreamExt as _;
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::{Error, Result},
    known::{holds_covering, windows},
    log, reviews,
    rows::{EXECUTION, execution, execution_columns, revision_of_entry},
    session::Session,
    values::{Micros, at_most, small},
};
use crate::store::{
    Detail, ErasedBy, Head, Lookup, MAX_REVISIONS, Owner, PurgedExecution, ReadBack, Tracked, UnreadableLog,
    Wanted,
    erase::{self, rest_digest},
    lookup::{self, Revisions},
    rows::{self, Cells, FullRow, receipt_columns, tracked_columns},
};

/// See [`crate::store::Store::tracked`].
pub(super) async fn tracked(
    session: &Session,
    log: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Tracked>> {
    // No id is before the empty one, and none is empty.
    const TRACKED: &str = concat!(
        "
        -- tracked executions
        SELECT ",
        tracked_columns!(),
        "
        FROM tracked
        WHERE log = $1 AND id > $2
        ORDER BY id
        LIMIT $3"
    );
    let found = session.rows(TRACKED, &[&log, &after.unwrap_or(""), &i64::from(limit)]).await?;
    found.iter().map(rows::tracked).collect()
}

/// See [`crate::store::LogReader::logs`].
pub(super) async fn logs(session: &Session) -> Result<Vec<Head>> {
    let read = read_logs(session).await?.into_iter();
    read.map(|head| head.map_err(|unreadable| Error::damaged(unreadable.to_string()))).collect()
}

/// See [`crate::store::LogReader::read_logs`].
pub(super) async fn read_logs(session: &Session) -> Result<Vec<std::result::Result<Head, UnreadableLog>>> {
    const LOGS: &str = "
        -- logs
        SELECT name, origin, size, root, recorded_at, state, moved_from,
            (SELECT successor FROM succession WHERE succession.log = name),
            (SELECT note FROM checkpoint WHERE checkpoint.log = name),
            cluster_uid
        FROM log
        ORDER BY name";
    let head = |row: &Row| -> Result<Head> {
        Ok(Head {
            log: row.string(0)?,
            owner: row.optional(9, Cells::string)?.map_or(Owner::Producers, Owner::Cluster),
            origin: row.string(1)?,
            size: row.number(2)?,
            root: row.digest(3)?,
            recorded_at: row.optional(4, Cells::time)?,
            state: log::state(row, 5)?,
            checkpoint: row.optional(8, Cells::string)?,
        })
    };
    let read = |row: &Row| match head(row) {
        Ok(head) => Ok(Ok(head)),
        Err(error) => {
            let log = row.string(0).unwrap_or_default();
            Ok(Err(UnreadableLog { log, what: Error::into_unreadable(error)? }))
        }
    };
    session.rows(LOGS, &[]).await?.iter().map(read).collect()
}

/// See [`crate::store::Store::read_back`].
pub(super) async fn read_back(
    session: &Session,
    log: &str,
    id: &str,
    attempt: u32,
) -> Result<Option<ReadBack>> {
    // By the newest entry of the attempt: a row that is behind it is not what was appended.
    const READ_BACK: &str = concat!(
        "
        -- read back
        SELECT execution.*, entry.idx, entry.revision, entry.recorded_at, entry.body_digest,
            entry.leaf_hash, entry.content_digest,
            EXISTS (SELECT 1 FROM erased WHERE log = $1 AND entry_idx = entry.idx),
            (
                SELECT body
                FROM log_entry
                WHERE log = $1 AND kind = 'erasure'
                    AND idx = (SELECT idx FROM erased WHERE log = $1 AND entry_idx = entry.idx LIMIT 1)
            )
        FROM (
            SELECT *
            FROM log_entry
            WHERE log = $1 AND execution_id = $2 AND attempt = $3
                AND NOT EXISTS (
                    SELECT 1 FROM purge_pending WHERE log = $1 AND id = $2 AND purge_pending.attempt = $3)
            ORDER BY revision DESC
            LIMIT 1
        ) AS entry
        CROSS JOIN LATERAL (
            SELECT ",
        execution_columns!(),
        "
            FROM workflow_execution_audit
            WHERE log = $1 AND created_at = entry.created_at AND id = $2 AND attempt = $3
            LIMIT 1
        ) AS execution"
    );
    let Some(row) = session.row(READ_BACK, &[&log, &id, &small(attempt)]).await? else { return Ok(None) };
    let revision = row.number(3)?;
    let content_digest = row.optional(EXECUTION + 5, Cells::digest)?;
    let read = match execution(&row) {
        Ok(full) => Some(full),
        Err(error) => error.into_unreadable().map(|_| None)?,
    };
    let (leaf, leaf_hash) = leaf(log, id, attempt, &row)?;
    // Of what was erased, what is left is what was promised of it.
    let expected = match row.try_get(EXECUTION + 6)? {
        false => Some(leaf.body_digest),
        true => row
            .optional(EXECUTION + 7, Cells::string)?
            .and_then(|erasure| erase::promised(&erasure, leaf.index)),
    };
    let intact = read.is_some_and(|FullRow { execution, nonce }| {
        Some(execution.revision) == leaf.revision
            && execution.recorded_at == leaf.recorded_at
            && Some(rest_digest(&Entry::Execution(Box::new(execution)), nonce)) == expected
            && leaf.hash() == leaf_hash
    });
    Ok(Some(ReadBack { revision, content_digest, intact }))
}

/// The leaf that the columns of an execution's entry make, and the hash that is stored of it.
fn leaf(log: &str, id: &str, attempt: u32, row: &Row) -> Result<(Leaf, Digest)> {
    let leaf = Leaf {
        format: FORMAT,
        log: log.to_owned(),
        index: row.number(EXECUTION)?,
        kind: EntryKind::Execution,
        recorded_at: row.time(EXECUTION + 2)?,
        execution_id: Some(id.to_owned()),
        attempt: Some(attempt),
        revision: Some(row.number(EXECUTION + 1)?),
        body_digest: row.digest(EXECUTION + 3)?,
    };
    Ok((leaf, row.digest(EXECUTION + 4)?))
}

/// See [`crate::store::Store::get`].
pub(super) async fn get(session: &Session, wanted: &Wanted) -> Result<Lookup> {
    let latest = latest_attempts(session, &wanted.id).await?;
    let (log, attempt) = match lookup::choose(latest.clone(), wanted) {
        Ok(chosen) => chosen,
        Err(instead) => return Ok(instead),
    };
    if let Some(purged) = purged(session, &log, &wanted.id, attempt).await? {
        return Ok(Lookup::Purged(Box::new(purged)));
    }
    let revisions = revisions(session, &log, &wanted.id, attempt).await?;
    let (Some((_, receipt)), Some(nonce)) = (revisions.taken.first(), revisions.nonce) else {
        let latest = latest.into_iter().find(|(candidate, _)| *candidate == log).map_or(0, |(_, at)| at);
        return Ok(Lookup::NoAttempt { latest });
    };
    // Revisions are 1, 2, 3 …, so the latest counts them.
    let revisions_total = receipt.revision.unwrap_or_default();
    let erased = erased(session, &log, receipt.index).await?;
    let ids = std::slice::from_ref(&wanted.id);
    let reviews = reviews::latest(session, &log, &wanted.id, attempt).await?;
    let windows = windows(session, &log, &wanted.id, attempt).await?;
    let holds = holds_covering(session, &log, ids).await?.remove(&wanted.id).unwrap_or_default();
    Ok(Lookup::Found(Box::new(Detail {
        log,
        revisions: revisions.taken,
        nonce,
        revisions_total,
        reviews,
        windows,
        holds,
        erased,
    })))
}

/// An attempt, if it was purged.
async fn purged(session: &Session, log: &str, id: &str, attempt: u32) -> Result<Option<PurgedExecution>> {
    const PURGED: &str = concat!(
        "
        -- whether the latest revision was purged
        SELECT latest.*, purge.idx, purge.recorded_at
        FROM (
            SELECT ",
        receipt_columns!(),
        "
            FROM log_entry
            WHERE log = $1 AND execution_id = $2 AND attempt = $3
            ORDER BY revision DESC
            LIMIT 1
        ) AS latest
        CROSS JOIN LATERAL (
            SELECT first_idx, idx
            FROM purged
            WHERE log = $1 AND last_idx >= latest.idx
            ORDER BY last_idx
            LIMIT 1
        ) AS run
        CROSS JOIN LATERAL (
            SELECT idx, recorded_at
            FROM log_entry
            WHERE log = $1 AND idx = run.idx
            LIMIT 1
        ) AS purge
        WHERE run.first_idx <= latest.idx"
    );
    let Some(row) = session.row(PURGED, &[&log, &id, &small(attempt)]).await? else { return Ok(None) };
    Ok(Some(PurgedExecution { receipt: rows::receipt(&row)?, by: row.number(7)?, purged_at: row.time(8)? }))
}

/// That the entry at `index` lost its personal fields, if it did.
async fn erased(session: &Session, log: &str, index: u64) -> Result<Option<ErasedBy>> {
    const ERASED: &str = "
        -- whether the latest revision was erased
        SELECT erasure.idx, erasure.recorded_at
        FROM (
            SELECT idx
            FROM erased
            WHERE log = $1 AND entry_idx = $2
        ) AS erased
        CROSS JOIN LATERAL (
            SELECT idx, recorded_at
            FROM log_entry
            WHERE log = $1 AND idx = erased.idx
            LIMIT 1
        ) AS erasure";
    let found = session.row(ERASED, &[&log, &at_most(index)]).await?;
    found.map(|row| Ok(ErasedBy { index: row.number(0)?, erased_at: row.time(1)? })).transpose()
}

/// The latest attempt of an id in each log that has it.
async fn latest_attempts(session: &Session, id: &str) -> Result<Vec<(String, u32)>> {
    const LATEST: &str = "
        -- latest attempt of an execution in each log
        SELECT log.name, latest.attempt
        FROM log
        CROSS JOIN LATERAL (
            SELECT attempt
            FROM log_entry
            WHERE log = log.name AND execution_id = $1 AND attempt IS NOT NULL
            ORDER BY attempt DESC
            LIMIT 1
        ) AS latest
        WHERE log.state = 'open'
        ORDER BY log.name";
    session.rows(LATEST, &[&id]).await?.iter().map(|row| Ok((row.string(0)?, row.number(1)?))).collect()
}

/// The latest revisions of an attempt, as many as one answer has.
async fn revisions(session: &Session, log: &str, id: &str, attempt: u32) -> Result<Revisions> {
    const RECEIPTS: &str = concat!(
        "
        -- receipts of the latest revisions
        SELECT ",
        receipt_columns!(),
        ", created_at
        FROM log_entry
        WHERE log = $1 AND execution_id = $2 AND attempt = $3
        ORDER BY revision DESC
        LIMIT $4"
    );
    // One after the other as they are asked for, so that what does not fit is not read. All have the same
    // created_at: given as a value, it is planned for their partition alone.
    const REVISIONS: &str = concat!(
        "
        -- latest revisions of an execution
        SELECT execution.*
        FROM (
            SELECT revision
            FROM log_entry
            WHERE log = $1 AND execution_id = $2 AND attempt = $3
            ORDER BY revision DESC
            LIMIT $4
        ) AS entry
        CROSS JOIN LATERAL (",
        revision_of_entry!("$2", "$3", "$5"),
        ") AS execution
        ORDER BY execution.revision DESC"
    );
    let (number, most) = (small(attempt), i64::from(MAX_REVISIONS));
    let receipts = session.rows(RECEIPTS, &[&log, &id, &number, &most]).await?;
    let mut taken = Revisions::default();
    let Some(latest) = receipts.first() else { return Ok(taken) };
    let created_at = Micros(latest.micros(7)?);
    let of: [&(dyn ToSql + Sync); 5] = [&log, &id, &number, &most, &created_at];
    let statement = session.prepare_cached(REVISIONS).await?;
    let mut found = pin!(session.query_raw(&statement, of).await?);
    for receipt in &receipts {
        let receipt = rows::receipt(receipt)?;
        let revision = receipt.revision.unwrap_or_default();
        let row = match found.try_next().await? {
            Some(row) => Some(execution(&row)?),
            None => None,
        };
        let Some(row) = row.filter(|row| row.execution.revision == revision) else {
            return Err(Error::damaged(format!(
                "log {log}: {id} attempt {attempt} revision {revision} has an entry, and no row"
            )));
        };
        if !taken.take(row, receipt) {
            break;
        }
    }
    Ok(taken)
}
