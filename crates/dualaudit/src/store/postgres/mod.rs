//! Records in a PostgreSQL database.
//!
//! Appends, questions, and what ingesting and watching depend on each have a pool of connections of
//! their own. The schema and the meaning of each column stand in `migrations/postgres/`.
//!
//! # Assumptions
//! The server keeps what it acknowledges (`fsync`, checked at each connection). Any number of
//! processes may append to the same log and to others: every append locks its log's head.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use dualaudit_record::{Time, entry::Verdict, log::TileId};

use self::{
    append::Trees,
    connect::Pools,
    error::{Error, Result as PostgresResult},
    migrate::Version,
    session::Session,
};
use super::{
    Answer, Batch, Cursor, Filter, Head, Known, Log, LogOpening, LogReader, Lookup, Page, ReadBack, RowKey,
    Store, StoreError, StoredEntry, Strays, Table, Tracked, UnreadableEntry, UnreadableLog, Wanted,
    WeighedUpTo, Weighing, Which,
};

mod append;
mod arrive;
mod connect;
mod entries;
mod erase;
mod error;
mod fields;
mod holds;
mod in_flight;
mod known;
mod list;
mod location;
mod log;
mod maintain;
mod migrate;
mod observe;
mod overlay;
mod read;
mod rebuild;
mod remove;
mod replay;
mod reviews;
mod rows;
mod schema;
mod session;
mod statistics;
mod strays;
mod succeed;
#[cfg(test)]
pub(crate) mod tests;
mod tiles;
mod tls;
mod tracked;
mod values;
mod weigh;

pub use location::Location;
pub use maintain::{MONTHS_AHEAD, Maintained, maintain, months_ahead};
pub use observe::{SchemaSeen, Seen, Slot, Writes, observe};

/// How long a question may take unless another limit is asked for.
pub const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a question may take; `None`: as long as it takes. Questions are
    /// [`Store::list`], [`Store::get`], [`Store::entries`], [`Store::strays`], [`Store::tiles`] and
    /// [`Store::weigh`].
    pub question_limit: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { question_limit: Some(QUESTION_LIMIT) }
    }
}

/// Brings a database to the schema this program knows, does what [`maintain`] does, and lets the role
/// `grant_to`, if there is one, do what `dualaudit run` does. For the database's owner.
///
/// # Errors
/// Those of [`PostgresStore::open`].
pub async fn migrate(
    location: &Location,
    now: Time,
    grant_to: Option<&str>,
) -> Result<Maintained, StoreError> {
    let migrate = async {
        let mut client = connect::owner(location).await?;
        let maintained = migrate::migrate(&mut client, now).await?;
        if let Some(role) = grant_to {
            migrate::grant(&client, role).await?;
        }
        Ok(maintained)
    };
    migrate.await.map_err(|error: Error| error.at(&location.to_string()))
}

/// Lets each role write its log, and do what `dualaudit run` does beside. From the first such grant on, a role writes the
/// logs that it was granted, and no other. For the database's owner.
///
/// # Errors
/// Those of [`PostgresStore::open`]; a role that is not there.
pub async fn grant_logs(location: &Location, grants: &[(String, String)]) -> Result<(), StoreError> {
    let grant = async {
        let client = connect::owner(location).await?;
        for (log, role) in grants {
            migrate::grant_log(&client, log, role).await?;
        }
        Ok(())
    };
    grant.await.map_err(|error: Error| error.at(&location.to_string()))
}

/// A store in one PostgreSQL database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct PostgresStore {
    /// What errors call the database: no password is in it.
    name: Arc<str>,
    pools: Pools,
    trees: Trees,
    question_limit: Option<Duration>,
    writes: bool,
}

impl PostgresStore {
    /// Opens a database to write and read, migrating it if that is needed and this role may.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be reached, or would not be durable;
    /// [`StoreError::Corrupt`] when its tables are somebody else's or were altered, and [`StoreError::Unsupported`] when
    /// they are newer, or older and this role may not change them: then nothing was changed.
    pub async fn open(location: &Location, options: Options, now: Time) -> Result<Self, StoreError> {
        let open = async {
            let client = connect::client(location).await?;
            let version = migrate::check(&client).await?;
            if !version.is_latest() {
                Self::migrate(location, version, now).await?;
            }
            schema::check_unaltered(&client).await?;
            Self::with(location, options, true)
        };
        open.await.map_err(|error| error.at(&location.to_string()))
    }

    /// Opens a database that is there, to read only: appends answer [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// Those of [`PostgresStore::open`]; also [`StoreError::Unsupported`] when it has to be migrated
    /// first.
    pub async fn open_existing(location: &Location, options: Options) -> Result<Self, StoreError> {
        let open = async {
            let client = connect::client(location).await?;
            migrate::check(&client).await?.require_latest()?;
            Self::with(location, options, false)
        };
        open.await.map_err(|error| error.at(&location.to_string()))
    }

    async fn migrate(location: &Location, version: Version, now: Time) -> PostgresResult<()> {
        let mut client = connect::owner(location).await?;
        match migrate::migrate(&mut client, now).await {
            Err(error) if error.is_forbidden() => version.require_latest(),
            done => done.map(drop),
        }
    }

    fn with(location: &Location, options: Options, writes: bool) -> PostgresResult<Self> {
        Ok(Self {
            name: location.to_string().into(),
            pools: Pools::new(location, &options)?,
            trees: Trees::default(),
            question_limit: options.question_limit,
            writes,
        })
    }

    fn check_writes(&self) -> Result<(), StoreError> {
        if self.writes {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!("{} was opened for reading only", self.name)))
    }

    /// What `asked` answers, with the database said in its error.
    async fn told<T>(&self, asked: impl Future<Output = PostgresResult<T>>) -> Result<T, StoreError> {
        asked.await.map_err(|error| error.at(&self.name))
    }

    /// What comes of a piece of work in the time it has.
    async fn worked<T>(&self, work: impl Future<Output = PostgresResult<T>>) -> Result<T, StoreError> {
        self.told(Session::working(work)).await
    }

    /// What a question answers within its limit.
    async fn asked<T>(&self, asked: impl Future<Output = PostgresResult<T>>) -> Result<T, StoreError> {
        self.told(Session::within(self.question_limit, asked)).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn open_log(&self, opening: LogOpening) -> Result<Log, StoreError> {
        self.check_writes()?;
        self.worked(async {
            let session = Session::new(&self.pools.writers).await?;
            let opened = log::open(&session, &opening).await;
            session.end(opened).await
        })
        .await
    }

    /// Runs to its end even when the caller goes away.
    async fn append(&self, log: &str, batch: Arc<Batch>, now: Time) -> Result<Vec<Answer>, StoreError> {
        self.check_writes()?;
        let (pools, trees, log) = (self.pools.clone(), Arc::clone(&self.trees), log.to_owned());
        let start = async move {
            let session = Session::new(&pools.writers).await?;
            let started = append::start(&session, &trees, &log, &batch).await?;
            Ok((session, trees, started, batch))
        };
        let append = Session::in_turn(start, move |(session, trees, started, batch)| async move {
            let appended = append::append(&session, &trees, started, batch, now).await;
            session.end(appended).await
        });
        let stopped = |error| Error::Store(StoreError::Unavailable(format!("an append stopped: {error}")));
        let run = async { tokio::spawn(append).await.unwrap_or_else(|error| Err(stopped(error))) };
        self.told(run).await
    }

    async fn known(&self, log: &str, ids: &[String]) -> Result<Vec<Known>, StoreError> {
        self.worked(async {
            let session = Session::snapshot(&self.pools.reserved).await?;
            let known = known::known(&session, log, ids).await;
            session.end(known).await
        })
        .await
    }

    async fn tracked(&self, log: &str, after: Option<&str>, limit: u32) -> Result<Vec<Tracked>, StoreError> {
        self.worked(async {
            let session = Session::new(&self.pools.reserved).await?;
            let tracked = read::tracked(&session, log, after, limit).await;
            session.end(tracked).await
        })
        .await
    }

    async fn read_back(&self, log: &str, id: &str, attempt: u32) -> Result<Option<ReadBack>, StoreError> {
        self.worked(async {
            let session = Session::new(&self.pools.reserved).await?;
            let read = read::read_back(&session, log, id, attempt).await;
            session.end(read).await
        })
        .await
    }

    async fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Page, StoreError> {
        self.asked(async {
            let session = Session::snapshot(&self.pools.readers).await?;
            let page = list::list(&session, filter, after, limit).await;
            session.end(page).await
        })
        .await
    }

    async fn count(&self, filter: &Filter, most: u32) -> Result<u64, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let counted = list::count(&session, filter, most).await;
            session.end(counted).await
        })
        .await
    }

    async fn verdicts(
        &self,
        log: &str,
        of: &[(String, u32)],
    ) -> Result<HashMap<(String, u32), Verdict>, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let found = reviews::verdicts(&session, log, of).await;
            session.end(found).await
        })
        .await
    }

    async fn get(&self, wanted: &Wanted) -> Result<Lookup, StoreError> {
        self.asked(async {
            let session = Session::snapshot(&self.pools.readers).await?;
            let found = read::get(&session, wanted).await;
            session.end(found).await
        })
        .await
    }

    async fn weigh(
        &self,
        log: &str,
        completed_before: Time,
        after: Option<&WeighedUpTo>,
        limit: u32,
    ) -> Result<Weighing, StoreError> {
        self.asked(async {
            let session = Session::snapshot(&self.pools.readers).await?;
            let weighing = weigh::weigh(&session, log, completed_before, after, limit).await;
            session.end(weighing).await
        })
        .await
    }
}

#[async_trait]
impl LogReader for PostgresStore {
    async fn logs(&self) -> Result<Vec<Head>, StoreError> {
        self.worked(async {
            let session = Session::new(&self.pools.reserved).await?;
            let logs = read::logs(&session).await;
            session.end(logs).await
        })
        .await
    }

    async fn read_logs(&self) -> Result<Vec<Result<Head, UnreadableLog>>, StoreError> {
        self.worked(async {
            let session = Session::new(&self.pools.reserved).await?;
            let logs = read::read_logs(&session).await;
            session.end(logs).await
        })
        .await
    }

    async fn entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let entries = entries::entries(&session, log, which, from, limit).await;
            session.end(entries).await
        })
        .await
    }

    async fn read_entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Result<StoredEntry, UnreadableEntry>>, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let entries = entries::read(&session, log, which, from, limit).await;
            session.end(entries).await
        })
        .await
    }

    async fn object(&self, log: &str, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let object = entries::kept_object(&session, log, index).await;
            session.end(object).await
        })
        .await
    }

    async fn strays(
        &self,
        table: Table,
        log: Option<&str>,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        self.asked(async {
            let session = Session::snapshot(&self.pools.readers).await?;
            let strays = strays::strays(&session, table, log, after, limit).await;
            session.end(strays).await
        })
        .await
    }

    async fn tiles(&self, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let tiles = tiles::tiles(&session, log, wanted).await;
            session.end(tiles).await
        })
        .await
    }

    async fn alterations(&self) -> Result<Vec<String>, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let alterations = schema::alterations(&session).await;
            session.end(alterations).await
        })
        .await
    }
}
