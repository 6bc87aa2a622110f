//! Entries, each with all that the tables hold of it.

use dualaudit_record::{
    Entry, EntryKind, Time,
    digest::Digest,
    entry::Quarantine,
    log::{Nonce, parse_body},
};
use rusqlite::{
    Connection, Row, params, params_from_iter,
    types::{Value, ValueRef},
};
use serde_json::json;

use super::{
    error::{Error, Result},
    known::{collect, first},
    read::{beyond, revision},
    rows::{content_digest, unambiguous_execution},
};
use crate::store::{
    Beside, ContentDigest, HoldRow, ObjectDigest, Quarantined, ReviewRow, RevisionName, StoredBody,
    StoredEntry, UnreadableEntry, Which, beside,
    objects::{self, MAX_OBJECT, Objects, is_empty},
    rows::{self, Cells, FullRow, hold_columns, review_columns},
};

/// What was read, or why it cannot be: of one value, where the rest can go on.
type Readable<T> = std::result::Result<T, String>;

/// [`Which`], to be handed to the thread that reads.
pub(super) enum Wanted {
    All,
    Kind(EntryKind),
    /// As JSON: an array of id, attempt and revision of each.
    Revisions(String),
}

impl From<Which<'_>> for Wanted {
    fn from(which: Which<'_>) -> Self {
        match which {
            Which::All => Self::All,
            Which::Kind(kind) => Self::Kind(kind),
            Which::Revisions(names) => {
                let names =
                    names.iter().map(|RevisionName { id, attempt, revision }| json!([id, attempt, revision]));
                Self::Revisions(names.collect::<serde_json::Value>().to_string())
            }
        }
    }
}

/// See [`crate::store::LogReader::entries`].
pub(super) fn entries(
    connection: &Connection,
    log: &str,
    which: &Wanted,
    from: u64,
    limit: u32,
) -> Result<Vec<StoredEntry>> {
    let read = read(connection, log, which, from, limit)?.into_iter();
    read.map(|entry| entry.map_err(|unreadable| Error::damaged(format!("log {log}, {unreadable}")))).collect()
}

/// See [`crate::store::LogReader::read_entries`].
pub(super) fn read(
    connection: &Connection,
    log: &str,
    which: &Wanted,
    from: u64,
    limit: u32,
) -> Result<Vec<std::result::Result<StoredEntry, UnreadableEntry>>> {
    macro_rules! entries {
        ($what:literal, $from:literal, $of_kind:literal) => {
            concat!(
                $what,
                "
                SELECT idx, kind, recorded_at, execution_id, attempt, revision, started_at,
                    idempotency_key, body_digest, leaf_hash, body,
                    (SELECT erased.idx FROM erased WHERE erased.log = ?1 AND entry_idx = log_entry.idx)
                FROM ",
                $from,
                "
                WHERE log = ?1 AND idx >= ?2",
                $of_kind,
                "
                ORDER BY idx
                LIMIT ?3"
            )
        };
    }
    const ENTRIES: &str = entries!("-- entries", "log_entry", "");
    const EXECUTIONS: &str = entries!("-- entries of executions", "log_entry", " AND kind = 'execution'");
    // Said twice, so that the index of the few entries that are no executions serves.
    const OF_KIND: &str =
        entries!("-- entries of a kind", "log_entry", " AND kind = ?4 AND kind <> 'execution'");
    // In this order: each name is one look at the index of executions.
    const OF_REVISIONS: &str = entries!(
        "-- entries of revisions",
        "json_each(?4) AS named CROSS JOIN log_entry INDEXED BY log_entry_execution",
        " AND execution_id = named.value ->> 0 AND attempt = named.value ->> 1 AND revision = named.value ->> 2"
    );
    let secret = secret(connection, log)?;
    let mut reading = Reading { connection, log, secret, objects: Objects::default() };
    let mut of: Vec<Value> = vec![log.to_owned().into(), beyond(from).into(), limit.into()];
    let statement = match which {
        Wanted::All => ENTRIES,
        Wanted::Kind(EntryKind::Execution) => EXECUTIONS,
        Wanted::Kind(kind) => {
            of.push(kind.as_str().to_owned().into());
            OF_KIND
        }
        Wanted::Revisions(names) => {
            of.push(names.clone().into());
            OF_REVISIONS
        }
    };
    collect(connection, statement, params_from_iter(of), |row| {
        let index = row.get(0)?;
        match reading.entry(index, row) {
            Ok(entry) => Ok(Ok(entry)),
            Err(error) => Ok(Err(UnreadableEntry { index, what: error.into_unreadable()? })),
        }
    })
}

/// Key of a log's content digests. Of a log that does not exist none fits.
fn secret(connection: &Connection, log: &str) -> Result<[u8; 32]> {
    const SECRET: &str = "
        -- secret of a log
        SELECT secret
        FROM log
        WHERE name = ?1";
    Ok(first(connection, SECRET, [log], |row| row.bytes(0))?.unwrap_or_default())
}

/// The entry of an execution that was purged.
struct PurgedEntry<'a> {
    index: u64,
    id: &'a str,
    attempt: Option<u32>,
    revision: Option<u32>,
    body_digest: Digest,
    started_at: Option<Time>,
    holds_body: bool,
    is_erased: bool,
}

struct Reading<'a> {
    connection: &'a Connection,
    log: &'a str,
    secret: [u8; 32],
    objects: Objects,
}

impl Reading<'_> {
    fn entry(&mut self, index: u64, row: &Row<'_>) -> Result<StoredEntry> {
        let kind = row.get_ref(1)?.as_str().ok().and_then(|kind| kind.parse().ok());
        let kind: EntryKind = kind.ok_or_else(|| row.unreadable(1, "no kind is called so"))?;
        let execution_id: Option<String> = row.get(3)?;
        let (attempt, revision) = (row.get(4)?, row.get(5)?);
        let erased_by: Option<u64> = row.get(11)?;
        let (body, beside) = match kind {
            EntryKind::Execution => {
                let id = execution_id.as_deref().unwrap_or_default();
                let holds_body = row.get_ref(10)? != ValueRef::Null;
                match purged_by(self.connection, self.log, index)? {
                    Some(by) => {
                        let entry = PurgedEntry {
                            index,
                            id,
                            attempt,
                            revision,
                            body_digest: row.digest(8)?,
                            started_at: row.optional(6, Cells::time)?,
                            holds_body,
                            is_erased: erased_by.is_some(),
                        };
                        (StoredBody::Purged { by }, self.leftover(&entry)?)
                    }
                    None => {
                        let (body, beside) =
                            self.execution(index, id, attempt, revision, erased_by.is_some())?;
                        // Whoever asks with SQL would take it for what was recorded.
                        let body = match holds_body {
                            true => StoredBody::Unreadable("an execution's entry holds a body".to_owned()),
                            false => body,
                        };
                        (body, beside)
                    }
                }
            }
            _ => {
                let body = match row.get_ref(10)?.as_str() {
                    Ok(body) => parse_body(kind, body.as_bytes()).map_err(|error| error.to_string()),
                    Err(error) => Err(format!("the body cannot be read: {error}")),
                };
                let beside = self.beside(index, kind, &body)?;
                (body.into(), beside)
            }
        };
        Ok(StoredEntry {
            index,
            kind,
            recorded_at: row.time(2)?,
            execution_id,
            attempt,
            revision,
            started_at: row.optional(6, Cells::time)?,
            idempotency_key: row.get(7)?,
            body_digest: row.digest(8)?,
            leaf_hash: row.digest(9)?,
            body: body.erased(erased_by),
            beside,
        })
    }

    /// The body of an execution's entry, put together from its row, and what stands beside it.
    fn execution(
        &mut self,
        index: u64,
        id: &str,
        attempt: Option<u32>,
        number: Option<u32>,
        is_erased: bool,
    ) -> Result<(StoredBody, Beside)> {
        let source_object = self.source_object(index)?.filter(|object| !is_erased || !is_empty(object));
        let beside = |content_digest| Beside::Execution { content_digest, source_object };
        let (Some(attempt), Some(number)) = (attempt, number) else {
            let missing = StoredBody::Unreadable("an execution without attempt or revision".to_owned());
            return Ok((missing, beside(ContentDigest::Missing)));
        };
        let read = revision(self.connection, self.log, id, attempt, number, |row| {
            Ok((readable(unambiguous_execution(row))?, readable(content_digest(row))?))
        })?;
        let Some((row, content_digest)) = read else {
            let missing = format!("{id} attempt {attempt} revision {number} has an entry, and no row");
            return Ok((StoredBody::Unreadable(missing), beside(ContentDigest::Missing)));
        };
        let execution = row.as_ref().map(|row| &row.execution);
        let content_digest = ContentDigest::judge(content_digest, execution, &self.secret);
        let body = row.map(|FullRow { execution, nonce }| (Entry::Execution(Box::new(execution)), nonce));
        Ok((body.into(), beside(content_digest)))
    }

    /// What is left of an execution that was purged, if anything of it is wrong.
    fn leftover(&mut self, entry: &PurgedEntry<'_>) -> Result<Beside> {
        const WAITS: &str = "
            -- whether what was purged waits to be removed
            SELECT 1
            FROM purge_pending
            WHERE log = ?1 AND id = ?2 AND attempt = ?3";
        let PurgedEntry { index, id, attempt, revision: number, is_erased, .. } = *entry;
        let of = params![self.log, id, attempt];
        let waits = first(self.connection, WAITS, of, |_| Ok(()))?.is_some();
        let read = match attempt.zip(number) {
            Some((attempt, number)) => revision(self.connection, self.log, id, attempt, number, |row| {
                Ok((readable(unambiguous_execution(row))?, readable(content_digest(row))?))
            })?,
            None => None,
        };
        let (row, digest) = read.map_or((None, Ok(None)), |(row, digest)| (Some(row), digest));
        let row = row.as_ref().map(|row: &Readable<FullRow>| row.as_ref());
        let content_digest = match row {
            Some(row) => ContentDigest::judge(digest, row.map(|row| &row.execution), &self.secret),
            None => ContentDigest::Missing,
        };
        let source_object = self.source_object(index)?.filter(|object| !is_erased || !is_empty(object));
        Ok(beside::Purged {
            waits,
            body_digest: entry.body_digest,
            started_at: entry.started_at,
            holds_body: entry.holds_body,
            is_erased,
            row: row.map(|row| row.map(|row| (&row.execution, row.nonce))),
            content_digest,
            source_object,
        }
        .beside())
    }

    fn source_object(&mut self, index: u64) -> Result<Option<ObjectDigest>> {
        // Longer ones stay where they are: reading one would take its length in memory.
        const SOURCE_OBJECT: &str = "
            -- source object of an entry
            SELECT CASE WHEN length(object) <= ?3 THEN object END
            FROM source_object
            WHERE log = ?1 AND idx = ?2";
        let of = params![self.log, index, MAX_OBJECT];
        first(self.connection, SOURCE_OBJECT, of, |row| object(&mut self.objects, row, 0))
    }

    /// What stands beside an entry that is no execution.
    fn beside(&mut self, index: u64, kind: EntryKind, body: &Readable<(Entry, Nonce)>) -> Result<Beside> {
        Ok(match (kind, body) {
            (EntryKind::Quarantine, Ok((Entry::Quarantine(quarantine), _))) => {
                Beside::Quarantine(readable(self.quarantined(quarantine))?)
            }
            // Without the body it is not known which row it is.
            (EntryKind::Quarantine, _) => Beside::Quarantine(Ok(None)),
            (EntryKind::Hold, _) => Beside::Hold(readable(self.hold(index))?),
            (EntryKind::HoldRelease, Ok((Entry::HoldRelease(release), _))) => {
                Beside::HoldRelease(readable(self.hold(release.hold))?)
            }
            (EntryKind::HoldRelease, _) => Beside::HoldRelease(Ok(None)),
            (EntryKind::Review, _) => Beside::Review(readable(self.review(index))?),
            (EntryKind::Purge, _) => Beside::Purge(self.purged(index)?),
            (EntryKind::Erasure, _) => Beside::Erasure(self.erased(index)?),
            (
                EntryKind::Gap
                | EntryKind::Execution
                | EntryKind::Heartbeat
                | EntryKind::Succession
                | EntryKind::Digest
                | EntryKind::Export
                | EntryKind::Access
                | EntryKind::Window,
                _,
            ) => Beside::Nothing,
        })
    }

    fn quarantined(&mut self, quarantine: &Quarantine) -> Result<Option<Quarantined>> {
        const QUARANTINED: &str = "
            -- quarantined object of an entry
            SELECT idx, recorded_at, CASE WHEN length(object) <= ?4 THEN object END
            FROM quarantine
            WHERE log = ?1 AND execution_id = ?2 AND source_digest = ?3";
        let of = params![self.log, quarantine.execution_id, quarantine.source_digest.0, MAX_OBJECT];
        first(self.connection, QUARANTINED, of, |row| {
            Ok(Quarantined {
                index: row.get(0)?,
                recorded_at: row.time(1)?,
                object: object(&mut self.objects, row, 2)?,
            })
        })
    }

    fn hold(&self, index: u64) -> Result<Option<HoldRow>> {
        const HOLD: &str = concat!(
            "
            -- hold of an entry
            SELECT ",
            hold_columns!(),
            "
            FROM hold
            WHERE log = ?1 AND idx = ?2"
        );
        first(self.connection, HOLD, params![self.log, beyond(index)], |row| rows::hold(row, 0))
    }

    fn review(&self, index: u64) -> Result<Option<ReviewRow>> {
        const REVIEW: &str = concat!(
            "
            -- review of an entry
            SELECT ",
            review_columns!(),
            "
            FROM review
            WHERE log = ?1 AND idx = ?2"
        );
        first(self.connection, REVIEW, params![self.log, beyond(index)], |row| rows::review(row, 0))
    }

    /// The entries that are noted to be erased by one.
    fn erased(&self, index: u64) -> Result<Vec<u64>> {
        const ERASED: &str = "
            -- entries that one erased
            SELECT entry_idx
            FROM erased
            WHERE log = ?1 AND idx = ?2
            ORDER BY entry_idx";
        collect(self.connection, ERASED, params![self.log, index], |row| Ok(row.get(0)?))
    }

    /// The entries that are noted to be purged by one.
    fn purged(&self, index: u64) -> Result<Vec<(u64, u64)>> {
        const PURGED: &str = "
            -- entries that one purged
            SELECT first_idx, last_idx
            FROM purged
            WHERE log = ?1 AND idx = ?2
            ORDER BY last_idx";
        collect(self.connection, PURGED, params![self.log, index], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

/// The entry that erased the personal fields of another.
pub(super) fn erased_by(connection: &Connection, log: &str, index: u64) -> Result<Option<u64>> {
    const ERASED_BY: &str = "
        -- erasure of an entry
        SELECT idx
        FROM erased
        WHERE log = ?1 AND entry_idx = ?2";
    first(connection, ERASED_BY, params![log, index], |row| Ok(row.get(0)?))
}

/// The entry that purged the body of another.
pub(super) fn purged_by(connection: &Connection, log: &str, index: u64) -> Result<Option<u64>> {
    const PURGED_BY: &str = "
        -- purge of an entry
        SELECT iif(first_idx <= ?2, idx, NULL)
        FROM purged
        WHERE log = ?1 AND last_idx >= ?2
        ORDER BY last_idx
        LIMIT 1";
    Ok(first(connection, PURGED_BY, params![log, index], |row| Ok(row.get(0)?))?.flatten())
}

/// See [`crate::store::Store::object`].
pub(super) fn kept_object(connection: &Connection, log: &str, index: u64) -> Result<Option<Vec<u8>>> {
    const OBJECT: &str = "
        -- object that an entry keeps
        SELECT CASE WHEN length(object) <= ?3 THEN object END
        FROM source_object
        WHERE log = ?1 AND idx = ?2
            AND NOT EXISTS (SELECT 1 FROM purged WHERE log = ?1 AND first_idx <= ?2 AND last_idx >= ?2)
        UNION ALL
        SELECT CASE WHEN length(object) <= ?3 THEN object END
        FROM log_entry AS entry
        JOIN quarantine ON quarantine.log = ?1 AND quarantine.execution_id = entry.execution_id
            AND quarantine.idx = ?2
        WHERE entry.log = ?1 AND entry.idx = ?2
        LIMIT 1";
    let compressed = first(connection, OBJECT, params![log, beyond(index), MAX_OBJECT], |row| {
        Ok(row.get::<_, Option<Vec<u8>>>(0)?)
    })?;
    let Some(compressed) = compressed else { return Ok(None) };
    objects::taken_out(log, index, compressed.as_deref()).map_err(Error::damaged)
}

/// The digest of a compressed object that is read only where it is not too long.
fn object(objects: &mut Objects, row: &Row<'_>, column: usize) -> Result<ObjectDigest> {
    Ok(match row.get_ref(column)? {
        ValueRef::Blob(compressed) => objects.digest(compressed),
        _ => Err(format!("it has more than {MAX_OBJECT} bytes before it is decompressed")),
    })
}

fn readable<T>(read: Result<T>) -> Result<Readable<T>> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.into_unreadable().map(Err),
    }
}
