//! Pools of connections with the settings the promises rest on.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::Client;

use super::{
    Options,
    error::{Error, Result},
    location::Location,
    tls,
};
use crate::store::StoreError;

/// Connections that append at the same time: to that many logs, as an append has its log to itself.
const WRITERS: usize = 4;

/// Connections that answer questions at the same time.
const READERS: usize = 4;

/// Connections for what the work itself depends on, so that no question keeps it waiting.
const RESERVED: usize = 2;

/// How long to wait for one of them.
const WAIT: Duration = Duration::from_secs(10);

/// How long a statement of the work may take, and a transaction stand still: a frozen appender must not
/// hold the head of its log.
const WORK: Duration = Duration::from_secs(5);

/// How long a lock is waited for. Less than [`WORK`]: somebody else's lock is told apart from work that
/// is too much.
const LOCK: Duration = Duration::from_secs(4);

/// The pools of a store.
#[derive(Clone)]
pub(super) struct Pools {
    /// For appends.
    pub(super) writers: Pool,
    /// For questions.
    pub(super) readers: Pool,
    /// For what the work itself depends on.
    pub(super) reserved: Pool,
}

impl Pools {
    /// Pools that connect when they have to.
    pub(super) fn new(location: &Location, options: &Options) -> Result<Self> {
        let tls = tls::connector(&location.trust)?;
        let pool = |size, statement: Option<Duration>| {
            let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_config(location.config.clone(), tls.clone(), config);
            let settings = settings(statement);
            let prepare = Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move { prepare(client, &settings).await.map_err(refused) })
            });
            let timeouts = Timeouts { wait: Some(WAIT), create: Some(WAIT), recycle: Some(WAIT) };
            Pool::builder(manager)
                .max_size(size)
                .runtime(Runtime::Tokio1)
                .timeouts(timeouts)
                .post_create(prepare)
                .build()
                .map_err(|error| StoreError::Unavailable(format!("no pool of connections: {error}")))
        };
        Ok(Self {
            writers: pool(WRITERS, Some(WORK))?,
            readers: pool(READERS, options.question_limit)?,
            reserved: pool(RESERVED, Some(WORK))?,
        })
    }
}

/// One connection outside the pools, as the work has it.
pub(super) async fn client(location: &Location) -> Result<Client> {
    connect(location, Some(WORK)).await
}

/// One to change the schema with, which may take its time, except for locks.
pub(super) async fn owner(location: &Location) -> Result<Client> {
    connect(location, None).await
}

/// One to look with, which promises nothing and requires nothing of the server.
pub(super) async fn observer(location: &Location) -> Result<Client> {
    let client = reach(location).await?;
    client.batch_execute(&settings(Some(WORK))).await?;
    Ok(client)
}

async fn connect(location: &Location, statement: Option<Duration>) -> Result<Client> {
    let client = reach(location).await?;
    prepare(&client, &settings(statement)).await?;
    Ok(client)
}

async fn reach(location: &Location) -> Result<Client> {
    let (client, connection) = location.config.connect(tls::connector(&location.trust)?).await?;
    // It ends with the client; what went wrong with it is said to whoever asks next.
    tokio::spawn(connection);
    Ok(client)
}

/// What every session sets. Each statement of ours is served by an index, also where the planner's
/// statistics are older than the rows: it is kept from reading whole tables, and from sorting what an
/// index has in order.
fn settings(statement: Option<Duration>) -> String {
    let (work, lock) = (WORK.as_millis(), LOCK.as_millis());
    let statement = statement.map_or(0, |limit| limit.as_millis());
    format!(
        "SET synchronous_commit = on;
         SET statement_timeout = {statement};
         SET lock_timeout = {lock};
         SET idle_in_transaction_session_timeout = {work};
         SET timezone = 'UTC';
         SET plan_cache_mode = force_custom_plan;
         SET enable_seqscan = off;
         SET enable_bitmapscan = off;
         SET enable_sort = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;
         SET jit = off"
    )
}

/// Sets what a session needs, and checks that what was committed would be on disk.
async fn prepare(client: &Client, settings: &str) -> Result<()> {
    const DURABLE: &str = "
        -- what a commit promises
        SELECT current_setting('fsync'), current_setting('synchronous_commit'),
            current_setting('server_encoding'), current_setting('server_version_num')::integer";
    client.batch_execute(settings).await?;
    let row = client.query_one(DURABLE, &[]).await?;
    let (fsync, commit, encoding): (&str, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let version: i32 = row.try_get(3)?;
    if version < 150_000 {
        return Err(StoreError::Unsupported(format!(
            "the server is PostgreSQL {}: 15 or later is needed",
            version / 10_000
        ))
        .into());
    }
    if (fsync, commit) != ("on", "on") {
        return Err(StoreError::Unavailable(format!(
            "the server cannot promise durability: fsync is {fsync} and synchronous_commit is {commit}, both \
             must be on"
        ))
        .into());
    }
    if encoding != "UTF8" {
        return Err(StoreError::Unsupported(format!(
            "the database's encoding is {encoding}, UTF8 is needed: create it with createdb -E UTF8 -T template0"
        ))
        .into());
    }
    Ok(())
}

/// Ours are carried through the pool as their text: it knows PostgreSQL's errors only.
fn refused(error: Error) -> HookError {
    match error {
        Error::Postgres(error) | Error::Commit(error) => HookError::Backend(error),
        Error::Store(error) => HookError::message(error.to_string()),
        Error::Damaged(what) => HookError::message(what),
    }
}
