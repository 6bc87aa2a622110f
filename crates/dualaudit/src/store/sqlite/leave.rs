//! Logs that leave for another database: read whole, closed, and noted as opened there.

use std::path::Path;

use dualaudit_record::{Entry, Time, digest::Digest, entry::ErasedEntry, proof};
use rusqlite::{Connection, params};

use super::{
    SqliteStore, connect, entries,
    error::{Error, Result},
    held::Held,
    known::{collect, first, predecessor},
    read,
    read::beyond,
    rows, tree,
};
use crate::store::{
    Departure, LogRow, LogState, Moved, MovingEntry, MovingPage, Owner, StoreError, StoredBody, StoredEntry,
    Tracked, erase::Erased, rows::Cells as _,
};

/// The most entries of a page, and the bytes after which it ends, about: it is one transaction where it
/// arrives, which must fit the time that an append has.
const PAGE_ENTRIES: usize = 500;
const PAGE_BYTES: usize = 2 << 20;

/// Entries read together: a page may be longer by all but one of them.
const CHUNK: u32 = 8;

impl SqliteStore {
    /// Every log, as it stands before it leaves.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::logs`].
    pub async fn departures(&self) -> std::result::Result<Vec<Departure>, StoreError> {
        self.read(departures).await
    }

    /// The next entries of a log from index `from`, whole.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the entry that cannot be read.
    pub async fn moving_page(&self, log: &str, from: u64) -> std::result::Result<MovingPage, StoreError> {
        let log = log.to_owned();
        self.ask(move |reader| page(reader, &log, from)).await
    }

    /// Whether a log had this root when it had that size.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::tiles`].
    pub async fn had_root(
        &self,
        log: &str,
        size: u64,
        root: Digest,
    ) -> std::result::Result<bool, StoreError> {
        let log = log.to_owned();
        self.read(move |reader| had_root(reader, &log, size, root)).await
    }

    /// Takes the write lock: nothing is appended by anybody until what this answers is gone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when another process holds it for too long.
    pub async fn lock(&self) -> std::result::Result<Locked, StoreError> {
        let options = self.options;
        let lock = move |file: &Path| {
            let connection = connect::writer(file, &options)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        };
        Held::open(&self.file, lock).await.map(Locked)
    }

    /// Notes that a log that was closed here was opened where it went.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file is locked or full.
    pub async fn note_opened(&self, log: &str, now: Time) -> std::result::Result<(), StoreError> {
        const OPENED: &str = "
            -- moving: opened there
            UPDATE moved
            SET opened_at = ?2
            WHERE log = ?1 AND opened_at IS NULL";
        let log = log.to_owned();
        self.write(move |writer| {
            writer.connection.execute(OPENED, params![log, now.as_micros()])?;
            Ok(())
        })
        .await
    }
}

/// A file whose write lock is held; it is free again when this goes, and nothing was changed unless
/// [`Locked::close`] was called.
pub struct Locked(Held);

impl Locked {
    /// See [`SqliteStore::moving_page`].
    ///
    /// # Errors
    /// Those.
    pub async fn moving_page(&self, log: &str, from: u64) -> std::result::Result<MovingPage, StoreError> {
        let log = log.to_owned();
        self.0.with(move |connection| page(connection, &log, from)).await
    }

    /// See [`crate::store::Store::tracked`].
    ///
    /// # Errors
    /// Those.
    pub async fn tracked(
        &self,
        log: &str,
        after: Option<&str>,
        limit: u32,
    ) -> std::result::Result<Vec<Tracked>, StoreError> {
        let (log, after) = (log.to_owned(), after.map(str::to_owned));
        self.0.with(move |connection| read::tracked(connection, &log, after.as_deref(), limit)).await
    }

    /// Whether a log is closed.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::logs`].
    pub async fn is_closed(&self, log: &str) -> std::result::Result<bool, StoreError> {
        let log = log.to_owned();
        self.0.with(move |connection| Ok(state(connection, &log)? != LogState::Open)).await
    }

    /// Closes a log that is all at `to`, unless that is why it is closed already, and lets the lock go.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when it was closed because it is elsewhere: another move was faster;
    /// [`StoreError::Unavailable`]: it may be closed or not.
    pub async fn close(self, log: &str, to: &str, now: Time) -> std::result::Result<(), StoreError> {
        const CLOSE: &str = "
            -- moving: close
            INSERT INTO moved (log, destination, moved_at)
            SELECT ?1, ?2, ?3
            WHERE NOT EXISTS (SELECT 1 FROM moved WHERE log = ?1)";
        let (log, to) = (log.to_owned(), to.to_owned());
        self.0
            .with(move |connection| {
                connection.execute(CLOSE, params![log, to, now.as_micros()])?;
                let closed = state(connection, &log)?;
                if closed != (LogState::Moved { to }) {
                    closed.check_opening(&log)?;
                }
                connection.execute_batch("COMMIT").map_err(Error::Commit)
            })
            .await
    }
}

/// Whether a log takes entries here, or where it went.
pub(super) fn state(connection: &Connection, log: &str) -> Result<LogState> {
    const STATE: &str = "
        -- where a log went
        SELECT destination, successor
        FROM log
        LEFT JOIN moved ON moved.log = name
        LEFT JOIN succession ON succession.log = name
        WHERE name = ?1";
    Ok(first(connection, STATE, [log], |row| read::state(row, 0))?.unwrap_or_default())
}

fn departures(connection: &Connection) -> Result<Vec<Departure>> {
    const LOGS: &str = "
        -- moving: logs
        SELECT name, cluster_uid, origin, secret, created_at, size, destination, opened_at, successor
        FROM log
        LEFT JOIN moved ON moved.log = name
        LEFT JOIN succession ON succession.log = name
        ORDER BY name";
    let mut departures = collect(connection, LOGS, [], |row| {
        let moved = match row.optional(6, |row, column| row.string(column))? {
            Some(to) => Some(Moved { to, opened_at: row.optional(7, |row, column| row.time(column))? }),
            None => None,
        };
        let owner =
            row.optional(1, |row, column| row.string(column))?.map_or(Owner::Producers, Owner::Cluster);
        let (log, origin) = (row.string(0)?, row.string(2)?);
        let row_of = LogRow { log, owner, origin, secret: row.bytes(3)?, created_at: row.time(4)? };
        let successor = row.optional(8, |row, column| row.string(column))?;
        Ok(Departure { row: row_of, size: row.number(5)?, moved, predecessor: None, successor })
    })?;
    for departure in &mut departures {
        departure.predecessor = predecessor(connection, &departure.row.log)?;
    }
    Ok(departures)
}

fn page(connection: &Connection, log: &str, from: u64) -> Result<MovingPage> {
    let head = tree::head(connection, log)?;
    let mut page = MovingPage { entries: Vec::new(), size: head.size, root: head.root };
    let mut bytes = 0;
    while page.entries.len() < PAGE_ENTRIES && bytes < PAGE_BYTES {
        let next = from + page.entries.len() as u64;
        let chunk = entries::entries(connection, log, &entries::Wanted::All, next, CHUNK)?;
        if chunk.is_empty() {
            break;
        }
        for stored in chunk {
            let entry = whole(connection, log, stored)?;
            bytes += entry.bytes();
            page.entries.push(entry);
        }
    }
    Ok(page)
}

/// An entry with what its own columns do not hold.
fn whole(connection: &Connection, log: &str, stored: StoredEntry) -> Result<MovingEntry> {
    const OBJECT: &str = "
        -- moving: source object
        SELECT object
        FROM source_object
        WHERE log = ?1 AND idx = ?2";
    const QUARANTINED: &str = "
        -- moving: quarantined object
        SELECT object
        FROM quarantine
        WHERE log = ?1 AND execution_id = ?2 AND source_digest = ?3";
    let mut entry = MovingEntry { stored, content_digest: None, object: None, rests: Vec::new() };
    let index = beyond(entry.stored.index);
    let blob = |row: &rusqlite::Row<'_>| row.blob(0).map(<[u8]>::to_vec);
    match entry.stored.body.left() {
        Some(Entry::Execution(execution)) => {
            let (record, revision) = (&execution.record, execution.revision);
            let digest =
                read::revision(connection, log, &record.id, record.attempt, revision, rows::content_digest)?;
            entry.content_digest = digest.flatten();
            entry.object = first(connection, OBJECT, params![log, index], blob)?;
        }
        Some(Entry::Quarantine(quarantine)) => {
            let of = params![log, quarantine.execution_id, quarantine.source_digest.0];
            entry.object = first(connection, QUARANTINED, of, blob)?;
        }
        Some(Entry::Erasure(erasure)) => {
            let mut rests = Vec::new();
            for ErasedEntry { index, .. } in &erasure.entries {
                let left =
                    entries::entries(connection, log, &entries::Wanted::All, *index, 1)?.into_iter().next();
                if let Some(StoredBody::Erased { rest, nonce, .. }) = left.map(|entry| entry.body) {
                    rests.push(Erased { index: *index, rest: *rest, nonce });
                }
            }
            entry.rests = rests;
        }
        _ => {}
    }
    Ok(entry)
}

fn had_root(connection: &Connection, log: &str, size: u64, root: Digest) -> Result<bool> {
    let now = tree::head(connection, log)?;
    tree::had(connection, &now, proof::Head { size, root })
}
