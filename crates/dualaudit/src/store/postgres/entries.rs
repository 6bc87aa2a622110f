//! Entries, each with all that the tables hold of it.

use std::pin::pin;

use dualaudit_record::{Entry, EntryKind, log::parse_body};
use futures::TryStreamExt as _;
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::{Error, Result},
    rows::{EXECUTION, revision_of_entry, unambiguous_execution},
    session::Session,
    values::{at_most, small},
};
use crate::store::{
    Beside, ContentDigest, HoldRow, ObjectDigest, Quarantined, StoredBody, StoredEntry, UnreadableEntry,
    Which, beside,
    objects::{self, MAX_OBJECT, Objects, is_empty},
    rows::{self, Cells, FullRow, hold_columns, review_columns},
};

/// What was read, or why it cannot be: of one value, where the rest can go on.
type Readable<T> = std::result::Result<T, String>;

/// An entry's columns; after them the columns of its execution, then what stands beside it. Objects
/// that are too long stay where they are: reading one would take its length in memory.
macro_rules! entries {
    ($what:literal, $from:literal, $of_kind:literal) => {
        concat!(
            $what,
            "
    SELECT execution.*,
        entry.idx, entry.kind, entry.recorded_at, entry.execution_id, entry.attempt, entry.revision,
        entry.started_at, entry.idempotency_key, entry.body_digest, entry.leaf_hash, entry.body,
        entry.content_digest,
        (SELECT secret FROM log WHERE name = $1) AS secret,
        source.idx, source.object,
        hold.*,
        review.*,
        quarantine.idx, quarantine.recorded_at, quarantine.object,
        purged.by,
        (
            SELECT array_agg(edge ORDER BY last_idx, edge)
            FROM purged, unnest(ARRAY[first_idx, last_idx]) AS edge
            WHERE log = $1 AND idx = entry.idx AND entry.kind = 'purge'
        ),
        (SELECT idx FROM erased WHERE log = $1 AND entry_idx = entry.idx LIMIT 1),
        (
            SELECT array_agg(entry_idx ORDER BY entry_idx)
            FROM erased
            WHERE log = $1 AND idx = entry.idx AND entry.kind = 'erasure'
        ),
        CASE WHEN purged.by IS NOT NULL THEN (
            SELECT created_at = entry.created_at
            FROM purge_pending
            WHERE log = $1 AND id = entry.execution_id AND attempt = entry.attempt
            LIMIT 1
        ) END
    FROM (
        SELECT log_entry.*
        FROM ",
            $from,
            "
        WHERE log = $1 AND idx >= $2",
            $of_kind,
            "
        ORDER BY idx
        LIMIT $3
    ) AS entry
    LEFT JOIN LATERAL (",
            revision_of_entry!("entry.execution_id", "entry.attempt", "entry.created_at"),
            ") AS execution ON TRUE
    LEFT JOIN LATERAL (
        SELECT idx, CASE WHEN octet_length(object) <= $4 THEN object END AS object
        FROM source_object
        WHERE log = $1 AND idx = entry.idx AND created_at = entry.created_at
        LIMIT 1
    ) AS source ON TRUE
    LEFT JOIN LATERAL (
        SELECT ",
            hold_columns!(),
            "
        FROM hold
        WHERE log = $1 AND idx = CASE entry.kind
            WHEN 'hold' THEN entry.idx
            WHEN 'hold_release' THEN substring(entry.idempotency_key FROM '^release:(\\d{1,18})$')::bigint
        END
        LIMIT 1
    ) AS hold ON TRUE
    LEFT JOIN LATERAL (
        SELECT ",
            review_columns!(),
            "
        FROM review
        WHERE log = $1 AND idx = entry.idx AND entry.kind = 'review'
        LIMIT 1
    ) AS review ON TRUE
    LEFT JOIN LATERAL (
        SELECT idx, recorded_at, CASE WHEN octet_length(object) <= $4 THEN object END AS object
        FROM quarantine
        WHERE log = $1 AND execution_id = entry.execution_id AND entry.kind = 'quarantine'
            AND entry.idempotency_key =
                'quarantine:' || execution_id || ':' || encode(source_digest, 'hex')
        LIMIT 1
    ) AS quarantine ON TRUE
    LEFT JOIN LATERAL (
        SELECT CASE WHEN first_idx <= entry.idx THEN idx END AS by
        FROM purged
        WHERE log = $1 AND last_idx >= entry.idx
        ORDER BY last_idx
        LIMIT 1
    ) AS purged ON TRUE
    ORDER BY entry.idx"
        )
    };
}

const ENTRIES: &str = entries!("-- entries", "log_entry", "");
const EXECUTIONS: &str = entries!("-- entries of executions", "log_entry", " AND kind = 'execution'");
/// Said twice, so that the index of the few entries that are no executions serves.
const OF_KIND: &str = entries!("-- entries of a kind", "log_entry", " AND kind = $5 AND kind <> 'execution'");
const OF_REVISIONS: &str = entries!(
    "-- entries of revisions",
    "unnest($5::text[], $6::integer[], $7::integer[]) AS named (of_id, of_attempt, of_revision), log_entry",
    " AND execution_id = of_id AND attempt = of_attempt AND revision = of_revision"
);

const ENTRY: usize = EXECUTION;
const SOURCE: usize = ENTRY + 13;
const HOLD: usize = SOURCE + 2;
const REVIEW: usize = HOLD + rows::HOLD;
const QUARANTINE: usize = REVIEW + rows::REVIEW;
const PURGED: usize = QUARANTINE + 3;
const ERASED: usize = PURGED + 2;
const WAITS: usize = ERASED + 2;

/// See [`crate::store::LogReader::entries`].
pub(super) async fn entries(
    session: &Session,
    log: &str,
    which: Which<'_>,
    from: u64,
    limit: u32,
) -> Result<Vec<StoredEntry>> {
    let read = read(session, log, which, from, limit).await?.into_iter();
    read.map(|entry| entry.map_err(|unreadable| Error::damaged(format!("log {log}, {unreadable}")))).collect()
}

/// See [`crate::store::LogReader::read_entries`].
pub(super) async fn read(
    session: &Session,
    log: &str,
    which: Which<'_>,
    from: u64,
    limit: u32,
) -> Result<Vec<std::result::Result<StoredEntry, UnreadableEntry>>> {
    let longest = i32::try_from(MAX_OBJECT).unwrap_or(i32::MAX);
    let (from, limit) = (at_most(from), i64::from(limit));
    let mut of: Vec<&(dyn ToSql + Sync)> = vec![&log, &from, &limit, &longest];
    let (name, ids, attempts, revisions);
    let statement = match which {
        Which::All => ENTRIES,
        Which::Kind(EntryKind::Execution) => EXECUTIONS,
        Which::Kind(kind) => {
            name = kind.as_str();
            of.push(&name);
            OF_KIND
        }
        Which::Revisions(names) => {
            ids = names.iter().map(|name| name.id.as_str()).collect::<Vec<_>>();
            attempts = names.iter().map(|name| small(name.attempt)).collect::<Vec<_>>();
            revisions = names.iter().map(|name| small(name.revision)).collect::<Vec<_>>();
            of.extend([&ids as &(dyn ToSql + Sync), &attempts, &revisions]);
            OF_REVISIONS
        }
    };
    let statement = session.prepare_cached(statement).await?;
    // One after the other: a page of objects would else be in memory at once.
    let mut found = pin!(session.query_raw(&statement, of).await?);
    let mut objects = Objects::default();
    let mut entries = Vec::new();
    while let Some(row) = found.try_next().await? {
        let index = row.number(ENTRY)?;
        entries.push(match entry(&row, index, &mut objects) {
            Ok(entry) => Ok(entry),
            Err(error) => Err(UnreadableEntry { index, what: error.into_unreadable()? }),
        });
    }
    Ok(entries)
}

fn entry(row: &Row, index: u64, objects: &mut Objects) -> Result<StoredEntry> {
    let kind: EntryKind =
        row.text(ENTRY + 1)?.parse().map_err(|_| row.unreadable(ENTRY + 1, "no kind is called so"))?;
    let (body, beside) = match kind {
        EntryKind::Execution => execution(row, objects)?,
        _ => {
            let body = match row.text(ENTRY + 10) {
                Ok(body) => parse_body(kind, body.as_bytes()).map_err(|error| error.to_string()),
                Err(error) => Err(format!("the body cannot be read: {}", error.into_unreadable()?)),
            };
            (StoredBody::from(body), beside(row, kind, objects)?)
        }
    };
    Ok(StoredEntry {
        index,
        kind,
        recorded_at: row.time(ENTRY + 2)?,
        execution_id: row.optional(ENTRY + 3, Cells::string)?,
        attempt: row.optional(ENTRY + 4, Cells::number)?,
        revision: row.optional(ENTRY + 5, Cells::number)?,
        started_at: row.optional(ENTRY + 6, Cells::time)?,
        idempotency_key: row.optional(ENTRY + 7, Cells::string)?,
        body_digest: row.digest(ENTRY + 8)?,
        leaf_hash: row.digest(ENTRY + 9)?,
        body: body.erased(row.optional(ERASED, Cells::number)?),
        beside,
    })
}

/// The body of an execution's entry, put together from its row, and what stands beside it.
fn execution(row: &Row, objects: &mut Objects) -> Result<(StoredBody, Beside)> {
    let source_object = match row.is_null(SOURCE)? {
        true => None,
        false => Some(object(row, SOURCE + 1, objects)?),
    };
    let is_erased = !row.is_null(ERASED)?;
    let source_object = source_object.filter(|object| !is_erased || !is_empty(object));
    let read = execution_of(row)?;
    let content_digest = readable(row.optional(ENTRY + 11, Cells::digest))?;
    let content_digest = match readable(row.optional(ENTRY + 12, Cells::bytes))? {
        // A log without its row has no secret: whatever was made under one differs.
        Ok(secret) => ContentDigest::judge(
            content_digest,
            read.as_ref().map(|row| &row.execution),
            &secret.unwrap_or_default(),
        ),
        Err(unreadable) => ContentDigest::Unreadable(unreadable),
    };
    if let Some(by) = row.optional(PURGED, Cells::number)? {
        return Ok((StoredBody::Purged { by }, leftover(row, &read, content_digest, source_object)?));
    }
    let beside = Beside::Execution { content_digest, source_object };
    // Whoever asks with SQL would take it for what was recorded.
    if read.is_ok() && !row.is_null(ENTRY + 10)? {
        return Ok((StoredBody::Unreadable("an execution's entry holds a body".to_owned()), beside));
    }
    let body = read.map(|FullRow { execution, nonce }| (Entry::Execution(Box::new(execution)), nonce));
    Ok((body.into(), beside))
}

/// What is left of an execution that was purged, if anything of it is wrong.
fn leftover(
    row: &Row,
    read: &Readable<FullRow>,
    content_digest: ContentDigest,
    source_object: Option<ObjectDigest>,
) -> Result<Beside> {
    let waits: Option<bool> = row.try_get(WAITS)?;
    if waits == Some(false) {
        return Ok(Beside::Leftover("a created_at that is not that of its rows".to_owned()));
    }
    let is_there = !row.is_null(0)?;
    let read = read.as_ref().map(|row| (&row.execution, row.nonce));
    Ok(beside::Purged {
        waits: waits.is_some(),
        body_digest: row.digest(ENTRY + 8)?,
        started_at: row.optional(ENTRY + 6, Cells::time)?,
        holds_body: !row.is_null(ENTRY + 10)?,
        is_erased: !row.is_null(ERASED)?,
        row: is_there.then_some(read),
        content_digest,
        source_object,
    }
    .beside())
}

/// The row of an entry's execution.
fn execution_of(row: &Row) -> Result<Readable<FullRow>> {
    if !row.is_null(0)? {
        return readable(unambiguous_execution(row));
    }
    let of = |column| row.optional(column, Cells::number::<i64>);
    let (Some(attempt), Some(revision)) = (of(ENTRY + 4)?, of(ENTRY + 5)?) else {
        return Ok(Err("an execution without attempt or revision".to_owned()));
    };
    let id = row.text(ENTRY + 3)?;
    Ok(Err(format!("{id} attempt {attempt} revision {revision} has an entry, and no row")))
}

/// What stands beside an entry that is no execution.
fn beside(row: &Row, kind: EntryKind, objects: &mut Objects) -> Result<Beside> {
    Ok(match kind {
        EntryKind::Quarantine if row.is_null(QUARANTINE)? => Beside::Quarantine(Ok(None)),
        EntryKind::Quarantine => Beside::Quarantine(readable(quarantined(row, objects))?.map(Some)),
        EntryKind::Hold => Beside::Hold(hold(row)?),
        EntryKind::HoldRelease => Beside::HoldRelease(hold(row)?),
        EntryKind::Review if row.is_null(REVIEW)? => Beside::Review(Ok(None)),
        EntryKind::Review => Beside::Review(readable(rows::review(row, REVIEW))?.map(Some)),
        EntryKind::Purge => {
            let runs: Option<Vec<i64>> = row.try_get(PURGED + 1)?;
            let pairs = runs.unwrap_or_default();
            let run = |pair: &[i64]| (pair[0].unsigned_abs(), pair[1].unsigned_abs());
            Beside::Purge(pairs.chunks_exact(2).map(run).collect())
        }
        EntryKind::Erasure => {
            let entries: Option<Vec<i64>> = row.try_get(ERASED + 1)?;
            Beside::Erasure(entries.unwrap_or_default().into_iter().map(i64::unsigned_abs).collect())
        }
        EntryKind::Gap
        | EntryKind::Window
        | EntryKind::Execution
        | EntryKind::Heartbeat
        | EntryKind::Succession
        | EntryKind::Digest
        | EntryKind::Export
        | EntryKind::Access => Beside::Nothing,
    })
}

fn hold(row: &Row) -> Result<Readable<Option<HoldRow>>> {
    if row.is_null(HOLD)? { Ok(Ok(None)) } else { Ok(readable(rows::hold(row, HOLD))?.map(Some)) }
}

fn quarantined(row: &Row, objects: &mut Objects) -> Result<Quarantined> {
    Ok(Quarantined {
        index: row.number(QUARANTINE)?,
        recorded_at: row.time(QUARANTINE + 1)?,
        object: object(row, QUARANTINE + 2, objects)?,
    })
}

/// See [`crate::store::Store::object`].
pub(super) async fn kept_object(session: &Session, log: &str, index: u64) -> Result<Option<Vec<u8>>> {
    const OBJECT: &str = "
        -- object that an entry keeps
        SELECT kept.object
        FROM log_entry AS entry
        CROSS JOIN LATERAL (
            (
                SELECT CASE WHEN octet_length(object) <= $3 THEN object END AS object
                FROM source_object
                WHERE log = $1 AND idx = $2 AND created_at = entry.created_at
                    AND NOT EXISTS (
                        SELECT 1 FROM purged WHERE log = $1 AND first_idx <= $2 AND last_idx >= $2)
                LIMIT 1
            )
            UNION ALL
            (
                SELECT CASE WHEN octet_length(object) <= $3 THEN object END AS object
                FROM quarantine
                WHERE log = $1 AND execution_id = entry.execution_id AND idx = $2
                LIMIT 1
            )
        ) AS kept
        WHERE entry.log = $1 AND entry.idx = $2";
    let longest = i32::try_from(MAX_OBJECT).unwrap_or(i32::MAX);
    let Some(row) = session.row(OBJECT, &[&log, &at_most(index), &longest]).await? else { return Ok(None) };
    let compressed: Option<&[u8]> = row.try_get(0)?;
    objects::taken_out(log, index, compressed).map_err(Error::damaged)
}

/// The digest of a compressed object that is read only where it is not too long.
fn object(row: &Row, column: usize, objects: &mut Objects) -> Result<ObjectDigest> {
    Ok(match row.is_null(column)? {
        false => objects.digest(row.blob(column)?),
        true => Err(format!("it has more than {MAX_OBJECT} bytes before it is decompressed")),
    })
}

fn readable<T>(read: Result<T>) -> Result<Readable<T>> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.into_unreadable().map(Err),
    }
}
