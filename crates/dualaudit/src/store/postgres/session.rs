//! A connection taken out of a pool, which only goes back when all that was asked of it has ended.

use std::{ops::Deref, time::Duration};

use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::{Client, Row, types::ToSql};

use super::error::{Error, Result};
use crate::store::StoreError;

/// What is added to a limit that the server keeps, before it is kept here as well: a network that
/// swallows answers.
const GRACE: Duration = Duration::from_secs(2);

/// How long a piece of work may take in all. Each of its statements has a limit that the server keeps;
/// this one is for a server that says nothing any more. It is shorter than what waits for the work.
const LONGEST_WORK: Duration = Duration::from_secs(9);

/// A connection that is closed unless it [ends](Session::end) well: whoever takes the next one must
/// find no statement and no transaction of somebody else's on it.
pub(super) struct Session {
    client: Option<Object>,
    snapshot: bool,
}

impl Session {
    /// Takes a connection.
    pub(super) async fn new(pool: &Pool) -> Result<Self> {
        let client = pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Error::Postgres(error),
            PoolError::PostCreateHook(deadpool_postgres::HookError::Backend(error)) => Error::Postgres(error),
            PoolError::PostCreateHook(deadpool_postgres::HookError::Message(what)) => {
                StoreError::Unavailable(what.into_owned()).into()
            }
            error => StoreError::Unavailable(format!("no connection is free: {error}")).into(),
        })?;
        Ok(Self { client: Some(client), snapshot: false })
    }

    /// Takes a connection that sees one state of the database until it ends.
    pub(super) async fn snapshot(pool: &Pool) -> Result<Self> {
        let mut session = Self::new(pool).await?;
        session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        session.snapshot = true;
        Ok(session)
    }

    /// Gives the connection back if all went well, or if the server refused what it was sent: then it
    /// has told so of each statement, and what was begun is undone.
    pub(super) async fn end<T>(mut self, done: Result<T>) -> Result<T> {
        let value = match done {
            Ok(value) => value,
            Err(error) => {
                if error.is_refusal() && self.batch_execute("ROLLBACK").await.is_ok() {
                    drop(self.client.take());
                }
                return Err(error);
            }
        };
        if self.snapshot {
            self.batch_execute("COMMIT").await?;
        }
        // Back to its pool.
        drop(self.client.take());
        Ok(value)
    }

    /// What `asked` answers within the limit for questions.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] when the server stopped it at the limit, [`StoreError::Unavailable`] when
    /// not even that was heard of.
    pub(super) async fn within<T>(
        limit: Option<Duration>,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(limit) = limit else { return asked.await };
        match timeout(limit + GRACE, asked).await {
            Ok(Err(error)) if error.is_timeout() => {
                let what = "this question took longer than";
                let slow = format!("{what} {limit:?}: narrow it, for instance to a shorter time");
                Err(StoreError::TooSlow(slow).into())
            }
            Ok(done) => done,
            Err(_) => Err(silent(limit + GRACE)),
        }
    }

    /// What comes of a piece of work. One that is not done in time has its connection closed: the server
    /// ends what it left there by itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] after [`LONGEST_WORK`], whether or not it took effect.
    pub(super) async fn working<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(LONGEST_WORK, work).await.unwrap_or_else(|_| Err(silent(LONGEST_WORK)))
    }

    /// What comes of an append, which starts when it has its log to itself, in the time that a piece of
    /// work has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it could not start in time. [`StoreError::TooSlow`] when it took too
    /// long from then on, whether or not it took effect.
    pub(super) async fn in_turn<S, T, A: Future<Output = Result<T>>>(
        start: impl Future<Output = Result<S>>,
        append: impl FnOnce(S) -> A,
    ) -> Result<T> {
        let end = Instant::now() + LONGEST_WORK;
        let started = timeout_at(end, start).await.unwrap_or_else(|_| Err(silent(LONGEST_WORK)))?;
        match timeout_at(end, append(started)).await {
            Ok(Err(error)) if error.is_timeout() => Err(too_slow()),
            Ok(done) => done,
            Err(_) => Err(too_slow()),
        }
    }

    /// The connection, for transactions of its own.
    pub(super) fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a session has its connection until it ends")
    }

    /// Every row of a statement that is prepared once for the life of the connection.
    pub(super) async fn rows(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let statement = self.prepare_cached(sql).await?;
        Ok(self.query(&statement, params).await?)
    }

    /// The same of a statement that finds at most one row.
    pub(super) async fn row(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.pop())
    }
}

impl Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.client.as_ref().expect("a session has its connection until it ends")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

fn too_slow() -> Error {
    StoreError::TooSlow("the database takes longer for this batch than an append may: send less".to_owned())
        .into()
}

fn silent(after: Duration) -> Error {
    StoreError::Unavailable(format!("no answer within {after:?}: the server or the network is stuck")).into()
}
