//! Reads of logs, tiles and single executions.

use dualaudit_record::{
    Entry, EntryKind,
    digest::Digest,
    log::{FORMAT, Leaf},
};
use rusqlite::{Connection, Row, params};

use super::{
    entries::{erased_by, purged_by},
    error::{Error, Result},
    known::{self, collect, first},
    reviews,
    rows::{content_digest, execution, execution_columns},
};
use crate::store::{
    Detail, ErasedBy, Head, LogState, Lookup, MAX_REVISIONS, Owner, PurgedExecution, ReadBack, Tracked,
    UnreadableLog, Wanted,
    erase::{self, rest_digest},
    lookup::{self, Revisions},
    rows::{self, Cells, FullRow, receipt_columns, tracked_columns},
};

/// See [`crate::store::Store::tracked`].
pub(super) fn tracked(
    connection: &Connection,
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
        WHERE log = ?1 AND id > ?2
        ORDER BY id
        LIMIT ?3"
    );
    collect(connection, TRACKED, params![log, after.unwrap_or(""), limit], |row| rows::tracked(row))
}

/// See [`crate::store::LogReader::logs`].
pub(super) fn logs(connection: &Connection) -> Result<Vec<Head>> {
    let read = read_logs(connection)?.into_iter();
    read.map(|head| head.map_err(|unreadable| Error::damaged(unreadable.to_string()))).collect()
}

/// See [`crate::store::LogReader::read_logs`].
pub(super) fn read_logs(connection: &Connection) -> Result<Vec<std::result::Result<Head, UnreadableLog>>> {
    const LOGS: &str = "
        -- logs
        SELECT name, origin, log.size, root, recorded_at, destination, successor, note, cluster_uid
        FROM log
        LEFT JOIN moved ON moved.log = name
        LEFT JOIN succession ON succession.log = name
        LEFT JOIN checkpoint ON checkpoint.log = name
        ORDER BY name";
    let head = |row: &Row<'_>| -> Result<Head> {
        Ok(Head {
            log: row.string(0)?,
            owner: row.optional(8, Cells::string)?.map_or(Owner::Producers, Owner::Cluster),
            origin: row.string(1)?,
            size: row.number(2)?,
            root: row.digest(3)?,
            recorded_at: row.optional(4, Cells::time)?,
            state: state(row, 5)?,
            checkpoint: row.optional(7, Cells::string)?,
        })
    };
    collect(connection, LOGS, [], |row| match head(row) {
        Ok(head) => Ok(Ok(head)),
        Err(error) => {
            let log = row.string(0).unwrap_or_default();
            Ok(Err(UnreadableLog { log, what: Error::into_unreadable(error)? }))
        }
    })
}

/// Reads where a log went, and its successor, from column `at` on.
pub(super) fn state(row: &Row<'_>, at: usize) -> Result<LogState> {
    Ok(match (row.optional(at, Cells::string)?, row.optional(at + 1, Cells::string)?) {
        (Some(to), _) => LogState::Moved { to },
        (None, Some(by)) => LogState::Succeeded { by },
        (None, None) => LogState::Open,
    })
}

/// One revision, from whichever table holds it, read as the caller wants it.
pub(super) fn revision<T>(
    connection: &Connection,
    log: &str,
    id: &str,
    attempt: u32,
    revision: u32,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    const LATEST: &str = concat!(
        "
        -- execution by revision, if it is the latest
        SELECT ",
        execution_columns!(),
        "
        FROM workflow_execution_audit
        WHERE log = ?1 AND id = ?2 AND attempt = ?3 AND revision = ?4"
    );
    const EARLIER: &str = concat!(
        "
        -- execution by revision, if it was amended
        SELECT ",
        execution_columns!(),
        "
        FROM workflow_execution_revision
        WHERE log = ?1 AND id = ?2 AND attempt = ?3 AND revision = ?4"
    );
    let of = params![log, id, attempt, revision];
    match first(connection, LATEST, of, &read)? {
        Some(row) => Ok(Some(row)),
        None => first(connection, EARLIER, of, &read),
    }
}

/// See [`crate::store::Store::read_back`].
pub(super) fn read_back(
    connection: &Connection,
    log: &str,
    id: &str,
    attempt: u32,
) -> Result<Option<ReadBack>> {
    const ROW: &str = concat!(
        "
        -- read back: row
        SELECT ",
        execution_columns!(),
        "
        FROM workflow_execution_audit
        WHERE log = ?1 AND id = ?2 AND attempt = ?3"
    );
    // The newest entry of the attempt: a row that is behind it is not what was appended.
    const ENTRY: &str = "
        -- read back: entry
        SELECT idx, revision, recorded_at, body_digest, leaf_hash
        FROM log_entry
        WHERE log = ?1 AND execution_id = ?2 AND attempt = ?3
        ORDER BY revision DESC
        LIMIT 1";
    const ERASURE: &str = "
        -- read back: erasure
        SELECT body
        FROM log_entry
        WHERE log = ?1 AND kind = 'erasure'
            AND idx = (SELECT erased.idx FROM erased WHERE erased.log = ?1 AND entry_idx = ?2)";
    let of = params![log, id, attempt];
    let found = first(connection, ROW, of, |row| {
        let row_read = match execution(row) {
            Ok(full) => Some(full),
            Err(error) => error.into_unreadable().map(|_| None)?,
        };
        Ok((row.get(3)?, content_digest(row)?, row_read))
    })?;
    let Some((revision, content_digest, row)) = found else { return Ok(None) };
    let leaf = first(connection, ENTRY, of, |entry| leaf(log, id, attempt, entry))?;
    if let Some((leaf, _)) = &leaf
        && purged_by(connection, log, leaf.index)?.is_some()
    {
        return Ok(None);
    }
    // Of what was erased, what is left is what was promised of it.
    let expected = match &leaf {
        Some((leaf, _)) if erased_by(connection, log, leaf.index)?.is_some() => {
            let erasure = first(connection, ERASURE, params![log, leaf.index], |row| row.string(0))?;
            erasure.and_then(|erasure| erase::promised(&erasure, leaf.index))
        }
        leaf => leaf.as_ref().map(|(leaf, _)| leaf.body_digest),
    };
    let intact = row.zip(leaf).is_some_and(|(row, (leaf, leaf_hash))| {
        let FullRow { execution, nonce } = row;
        Some(execution.revision) == leaf.revision
            && execution.recorded_at == leaf.recorded_at
            && Some(rest_digest(&Entry::Execution(Box::new(execution)), nonce)) == expected
            && leaf.hash() == leaf_hash
    });
    Ok(Some(ReadBack { revision, content_digest, intact }))
}

/// The leaf that the columns of an execution's entry make, and the hash that is stored of it.
fn leaf(log: &str, id: &str, attempt: u32, entry: &Row<'_>) -> Result<(Leaf, Digest)> {
    let leaf = Leaf {
        format: FORMAT,
        log: log.to_owned(),
        index: entry.get(0)?,
        kind: EntryKind::Execution,
        recorded_at: entry.time(2)?,
        execution_id: Some(id.to_owned()),
        attempt: Some(attempt),
        revision: entry.get(1)?,
        body_digest: entry.digest(3)?,
    };
    Ok((leaf, entry.digest(4)?))
}

/// See [`crate::store::Store::get`].
pub(super) fn get(connection: &Connection, wanted: &Wanted) -> Result<Lookup> {
    let latest = latest_attempts(connection, &wanted.id)?;
    let (log, attempt) = match lookup::choose(latest.clone(), wanted) {
        Ok(chosen) => chosen,
        Err(instead) => return Ok(instead),
    };
    if let Some(purged) = purged(connection, &log, &wanted.id, attempt)? {
        return Ok(Lookup::Purged(Box::new(purged)));
    }
    let revisions = revisions(connection, &log, &wanted.id, attempt)?;
    let (Some((_, receipt)), Some(nonce)) = (revisions.taken.first(), revisions.nonce) else {
        let latest = latest.into_iter().find(|(candidate, _)| *candidate == log).map_or(0, |(_, at)| at);
        return Ok(Lookup::NoAttempt { latest });
    };
    // Revisions are 1, 2, 3 …, so the latest counts them.
    let revisions_total = receipt.revision.unwrap_or_default();
    let erased = erased(connection, &log, receipt.index)?;
    let reviews = reviews::latest_reviews(connection, &log, &wanted.id, attempt)?;
    let holds = known::holds_covering(connection, &log, &wanted.id)?;
    let windows = known::window_rows(connection, &log, &wanted.id, attempt)?;
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
fn purged(connection: &Connection, log: &str, id: &str, attempt: u32) -> Result<Option<PurgedExecution>> {
    const RECEIPT: &str = concat!(
        "
        -- receipt of the latest revision
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry
        WHERE log = ?1 AND execution_id = ?2 AND attempt = ?3
        ORDER BY revision DESC
        LIMIT 1"
    );
    const PURGED_AT: &str = "
        -- when an entry was appended
        SELECT recorded_at
        FROM log_entry
        WHERE log = ?1 AND idx = ?2";
    let latest = first(connection, RECEIPT, params![log, id, attempt], |row| rows::receipt(row))?;
    let Some(receipt) = latest else { return Ok(None) };
    let Some(by) = purged_by(connection, log, receipt.index)? else { return Ok(None) };
    let purged_at = first(connection, PURGED_AT, params![log, by], |row| row.time(0))?
        .ok_or_else(|| Error::damaged(format!("log {log}: the purge of entry {by} has no entry")))?;
    Ok(Some(PurgedExecution { receipt, by, purged_at }))
}

/// That the entry at `index` lost its personal fields, if it did.
fn erased(connection: &Connection, log: &str, index: u64) -> Result<Option<ErasedBy>> {
    const ERASED: &str = "
        -- whether the latest revision was erased
        SELECT erasure.idx, erasure.recorded_at
        FROM erased
        JOIN log_entry AS erasure ON erasure.log = erased.log AND erasure.idx = erased.idx
        WHERE erased.log = ?1 AND entry_idx = ?2";
    first(connection, ERASED, params![log, index], |row| {
        Ok(ErasedBy { index: row.number(0)?, erased_at: row.time(1)? })
    })
}

/// The latest attempt of an id in each log that has it.
fn latest_attempts(connection: &Connection, id: &str) -> Result<Vec<(String, u32)>> {
    const LATEST: &str = "
        -- latest attempt of an execution in each log
        SELECT name, latest
        FROM (
            SELECT
                name,
                (
                    SELECT max(attempt)
                    FROM log_entry
                    WHERE log_entry.log = log.name AND execution_id = ?1
                ) AS latest
            FROM log
        )
        WHERE latest IS NOT NULL
        ORDER BY name";
    collect(connection, LATEST, [id], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The latest revisions of an attempt, as many as one answer has.
fn revisions(connection: &Connection, log: &str, id: &str, attempt: u32) -> Result<Revisions> {
    const RECEIPTS: &str = concat!(
        "
        -- receipts of the latest revisions
        SELECT ",
        receipt_columns!(),
        "
        FROM log_entry
        WHERE log = ?1 AND execution_id = ?2 AND attempt = ?3
        ORDER BY revision DESC
        LIMIT ?4"
    );
    let of = params![log, id, attempt, MAX_REVISIONS];
    let mut taken = Revisions::default();
    for receipt in collect(connection, RECEIPTS, of, |row| rows::receipt(row))? {
        let revision = receipt.revision.unwrap_or_default();
        let Some(row) = self::revision(connection, log, id, attempt, revision, execution)? else {
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

/// An index as SQLite can compare it; no log is that long.
pub(super) fn beyond(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
