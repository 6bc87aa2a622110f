//! The suite on PostgreSQL, and what only PostgreSQL has.

use std::{ops::Deref, sync::OnceLock};

use self::server::{Database, Server};
use super::{Location, Options, PostgresStore, migrate};
use crate::store::{
    Removed, Store, Succession as _,
    conformance::{self, sample::at},
};

mod altered;
mod apart;
mod faults;
mod maintain;
mod schema;
mod statements;
mod tls;
mod triggers;

#[expect(dead_code, unreachable_pub, reason = "the tests of the binary use it too")]
#[path = "../../../tests/support/postgres.rs"]
pub(crate) mod server;

/// A store in a database that goes with it.
pub(crate) struct Fresh {
    pub(crate) store: PostgresStore,
    pub(crate) database: Database,
}

impl Deref for Fresh {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl Fresh {
    /// Another database with the same in it.
    pub(crate) fn copy(&self) -> Self {
        Self::of(&self.database.name)
    }

    fn of(template: &str) -> Self {
        let database = Server::shared().database(Some(template));
        let location = Location::parse(&database.url()).unwrap();
        let store = PostgresStore::with(&location, Options::default(), true).unwrap();
        Self { store, database }
    }

    /// Ends the store's sessions, as a database is only copied while nobody uses it.
    pub(crate) fn close(&self) {
        let Database { server, name } = &self.database;
        let end =
            format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'");
        server.execute("postgres", &end).unwrap();
    }

    pub(crate) fn location(&self) -> Location {
        Location::parse(&self.database.url()).unwrap()
    }
}

impl conformance::Maintained for Fresh {
    async fn remove_purged(&self) -> Removed {
        // Months are dropped once they are over.
        let later = at(400 * 86_400);
        super::maintain(&self.location(), later).await.unwrap().removed
    }

    fn months(&self, of: u32) -> u32 {
        of
    }

    async fn rows(&self) -> u64 {
        let (client, connection) = self.location().config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let count = "SELECT (SELECT count(*) FROM workflow_execution_audit)
            + (SELECT count(*) FROM workflow_execution_revision) + (SELECT count(*) FROM source_object)";
        let rows: i64 = client.query_one(count, &[]).await.unwrap().get(0);
        rows.unsigned_abs()
    }

    async fn begin_successor(&self, log: &str, successor: &str) {
        self.store.begin_successor(log, successor, "dualaudit.dev/successor", at(60)).await.unwrap();
    }

    async fn close_succeeded(&self, log: &str, successor: &str) {
        self.store.close_succeeded(log, successor).await.unwrap();
    }
}

/// Copied for each test, which takes less time than migrating each.
fn template() -> &'static str {
    static TEMPLATE: OnceLock<Database> = OnceLock::new();
    let made = TEMPLATE.get_or_init(|| {
        let database = Server::shared().database(None);
        let location = Location::parse(&database.url()).unwrap();
        let migrate = move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let _ = runtime.block_on(migrate(&location, at(0), None)).unwrap();
        };
        std::thread::spawn(migrate).join().unwrap();
        database
    });
    &made.name
}

pub(crate) fn fresh() -> Fresh {
    Fresh::of(template())
}

conformance::suite!(fresh);
