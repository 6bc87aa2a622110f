//! Records in one SQLite file.
//!
//! One connection writes, behind a mutex and off the async threads; a few others answer questions,
//! each within a time limit, and two more read what ingesting and watching depend on. The schema
//! and the meaning of each column stand in `migrations/sqlite/`.
//!
//! # Assumptions
//! The file is on a local file system. Other processes may read it, and other `dualaudit`s may
//! write it: every append reads the head under the write lock.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_sqlite::{Object, Pool};
use dualaudit_record::{Time, entry::Verdict, log::TileId};
use rusqlite::Connection;

use self::{
    append::Writer,
    error::{Error, Result as SqliteResult},
    write::Faults,
};
use super::{
    Answer, Batch, Cursor, Filter, Head, Known, Log, LogOpening, LogReader, Lookup, Page, ReadBack, RowKey,
    Store, StoreError, StoredEntry, Strays, Table, Tracked, UnreadableEntry, UnreadableLog, Wanted,
    WeighedUpTo, Weighing, Which,
};

mod append;
mod backup;
mod connect;
mod entries;
mod erase;
mod error;
mod filesystem;
mod held;
mod identity;
mod in_flight;
mod known;
mod leave;
mod list;
mod log;
mod maintain;
mod migrate;
mod observe;
mod question;
mod read;
mod rebuild;
mod remove;
mod reviews;
mod rows;
mod statistics;
mod strays;
mod succeed;
#[cfg(test)]
pub(crate) mod tests;
mod tiles;
mod tree;
mod weigh;
mod write;

pub use leave::Locked;
pub use maintain::{Maintained, maintain};
pub use observe::{Seen, observe};

/// The writer's page cache unless another size is asked for, in MiB. The keys of executions are
/// random, so appends touch pages all over their index: what of it is not cached is read again.
pub const CACHE_MIB: u32 = 64;

/// How long a question may take unless another limit is asked for.
pub const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The writer's page cache, in MiB; a reader's is 2 MiB.
    pub cache_mib: u32,
    /// How long to wait for another process that holds the lock.
    pub busy_timeout: Duration,
    /// How long a question may take; `None`: as long as it takes. Questions are
    /// [`Store::list`], [`Store::get`], [`Store::entries`], [`Store::strays`], [`Store::tiles`] and
    /// [`Store::weigh`].
    pub question_limit: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_mib: CACHE_MIB,
            busy_timeout: Duration::from_secs(5),
            question_limit: Some(QUESTION_LIMIT),
        }
    }
}

/// Creates the file if it is missing, and brings it to the schema this program knows.
///
/// # Errors
/// Those of [`SqliteStore::open`].
pub fn migrate(path: impl AsRef<Path>) -> Result<(), StoreError> {
    let path = path.as_ref();
    connect::writer(path, &Options::default()).map(drop).map_err(|error| error.at(path))
}

/// A store in one SQLite file. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct SqliteStore {
    file: Arc<PathBuf>,
    /// None when the file was opened for reading.
    writer: Option<Arc<Mutex<Writer>>>,
    /// For questions.
    readers: Pool,
    /// For what the work itself depends on.
    reserved: Pool,
    options: Options,
}

impl SqliteStore {
    /// Opens a file to write and read, creating and migrating it as needed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it is locked, cannot be opened, or is where it would not be
    /// durable; [`StoreError::Corrupt`] when it is damaged or somebody else's, and
    /// [`StoreError::Unsupported`] when it is newer: then it was not changed.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let file = path.as_ref();
        let at = |error: Error| error.at(file);
        let connection = connect::writer(file, &options).map_err(at)?;
        let writer = Writer::new(connection, file).map_err(at)?;
        Self::with(file, options, Some(Arc::new(Mutex::new(writer)))).map_err(at)
    }

    /// Opens a file that exists, to read only: appends answer [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// Those of [`SqliteStore::open`]; also [`StoreError::Unavailable`] when there is no such file,
    /// and [`StoreError::Unsupported`] when it has to be migrated first.
    pub fn open_existing(path: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let file = path.as_ref();
        let at = |error: Error| error.at(file);
        connect::check_existing(file, &options).map_err(at)?;
        Self::with(file, options, None).map_err(at)
    }

    /// Writes a consistent copy of the whole database to a new file, while it is in use.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file is there already or cannot be written.
    pub async fn backup(&self, file: &Path) -> Result<(), StoreError> {
        let file = file.to_owned();
        let reader = self.reader(&self.readers).await?;
        match reader.interact(move |connection| backup::backup(connection, &file)).await {
            Ok(done) => done.map_err(|error| error.at(&self.file)),
            Err(error) => Err(self.stopped(&error)),
        }
    }

    fn with(file: &Path, options: Options, writer: Option<Arc<Mutex<Writer>>>) -> SqliteResult<Self> {
        Ok(Self {
            file: Arc::new(file.to_owned()),
            writer,
            readers: connect::readers(file, &options, connect::READERS)?,
            reserved: connect::readers(file, &options, connect::RESERVED)?,
            options,
        })
    }

    /// Runs `act` on the writer, off the async threads. It runs to its end even when the caller
    /// goes away.
    async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Writer) -> SqliteResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(writer) = self.writer.clone() else {
            let file = self.file.display();
            return Err(StoreError::Unavailable(format!("{file} was opened for reading only")));
        };
        // A panic in an append has rolled its transaction back and left no tree behind.
        let run = move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.check_file()?;
            let done = act(&mut writer)?;
            writer.check_file()?;
            Ok(done)
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(done) => done.map_err(|error: Error| error.at(&self.file)),
            Err(error) => Err(StoreError::Unavailable(format!("the writer stopped: {error}"))),
        }
    }

    /// Runs `act` on a reserved reader, in one snapshot.
    async fn read<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> SqliteResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader(&self.reserved).await?;
        match reader.interact(|connection| act(&*connection.transaction()?)).await {
            Ok(done) => done.map_err(|error| error.at(&self.file)),
            Err(error) => Err(self.stopped(&error)),
        }
    }

    /// Runs `act` on a reader, in one snapshot, until the limit for questions is over or the caller
    /// goes away.
    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> SqliteResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader(&self.readers).await?;
        let limit = self.options.question_limit;
        match question::ask(reader, limit, |connection| act(&*connection.transaction()?)).await {
            Ok(Some(done)) => done.map_err(|error| error.at(&self.file)),
            Ok(None) => Err(StoreError::TooSlow(format!(
                "this question took longer than {:?}: narrow it, for instance to a shorter time",
                limit.unwrap_or_default()
            ))),
            Err(error) => Err(self.stopped(&error)),
        }
    }

    async fn reader(&self, pool: &Pool) -> Result<Object, StoreError> {
        pool.get().await.map_err(|error| match error {
            deadpool_sqlite::PoolError::Backend(error) => Error::from(error).at(&self.file),
            error => StoreError::Unavailable(format!("{}: no reader is free: {error}", self.file.display())),
        })
    }

    fn stopped(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Unavailable(format!("{}: a reader stopped: {error}", self.file.display()))
    }

    async fn append_with(
        &self,
        log: &str,
        batch: Arc<Batch>,
        now: Time,
        faults: impl Faults + Send + 'static,
    ) -> Result<Vec<Answer>, StoreError> {
        let log = log.to_owned();
        self.write(move |writer| writer.append(&log, &batch, now, &faults)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn open_log(&self, opening: LogOpening) -> Result<Log, StoreError> {
        self.write(move |writer| log::open(&mut writer.connection, &opening)).await
    }

    async fn append(&self, log: &str, batch: Arc<Batch>, now: Time) -> Result<Vec<Answer>, StoreError> {
        self.append_with(log, batch, now, ()).await
    }

    async fn known(&self, log: &str, ids: &[String]) -> Result<Vec<Known>, StoreError> {
        let (log, ids) = (log.to_owned(), ids.to_vec());
        self.read(move |reader| ids.iter().map(|id| known::known(reader, &log, id)).collect()).await
    }

    async fn tracked(&self, log: &str, after: Option<&str>, limit: u32) -> Result<Vec<Tracked>, StoreError> {
        let (log, after) = (log.to_owned(), after.map(str::to_owned));
        self.read(move |reader| read::tracked(reader, &log, after.as_deref(), limit)).await
    }

    async fn read_back(&self, log: &str, id: &str, attempt: u32) -> Result<Option<ReadBack>, StoreError> {
        let (log, id) = (log.to_owned(), id.to_owned());
        self.read(move |reader| read::read_back(reader, &log, &id, attempt)).await
    }

    async fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Page, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.ask(move |reader| list::list(reader, &filter, after.as_ref(), limit)).await
    }

    async fn count(&self, filter: &Filter, most: u32) -> Result<u64, StoreError> {
        let filter = filter.clone();
        self.ask(move |reader| list::count(reader, &filter, most)).await
    }

    async fn verdicts(
        &self,
        log: &str,
        of: &[(String, u32)],
    ) -> Result<HashMap<(String, u32), Verdict>, StoreError> {
        let (log, of) = (log.to_owned(), of.to_owned());
        self.ask(move |reader| reviews::verdicts(reader, &log, of)).await
    }

    async fn get(&self, wanted: &Wanted) -> Result<Lookup, StoreError> {
        let wanted = wanted.clone();
        self.ask(move |reader| read::get(reader, &wanted)).await
    }

    async fn weigh(
        &self,
        log: &str,
        completed_before: Time,
        after: Option<&WeighedUpTo>,
        limit: u32,
    ) -> Result<Weighing, StoreError> {
        let (log, after) = (log.to_owned(), after.cloned());
        self.ask(move |reader| weigh::weigh(reader, &log, completed_before, after.as_ref(), limit)).await
    }
}

#[async_trait]
impl LogReader for SqliteStore {
    async fn logs(&self) -> Result<Vec<Head>, StoreError> {
        self.read(read::logs).await
    }

    async fn read_logs(&self) -> Result<Vec<Result<Head, UnreadableLog>>, StoreError> {
        self.read(read::read_logs).await
    }

    async fn entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let log = log.to_owned();
        let which = entries::Wanted::from(which);
        self.ask(move |reader| entries::entries(reader, &log, &which, from, limit)).await
    }

    async fn read_entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Result<StoredEntry, UnreadableEntry>>, StoreError> {
        let log = log.to_owned();
        let which = entries::Wanted::from(which);
        self.ask(move |reader| entries::read(reader, &log, &which, from, limit)).await
    }

    async fn object(&self, log: &str, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let log = log.to_owned();
        self.ask(move |reader| entries::kept_object(reader, &log, index)).await
    }

    async fn strays(
        &self,
        table: Table,
        log: Option<&str>,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        let (log, after) = (log.map(str::to_owned), after.cloned());
        self.ask(move |reader| strays::strays(reader, table, log.as_deref(), after.as_ref(), limit)).await
    }

    async fn tiles(&self, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let (log, wanted) = (log.to_owned(), wanted.to_vec());
        self.ask(move |reader| tiles::tiles(reader, &log, &wanted)).await
    }

    async fn alterations(&self) -> Result<Vec<String>, StoreError> {
        self.ask(migrate::alterations).await
    }
}
