//! The suite on PostgreSQL, and what only PostgreSQL has.

use std::{ops::Deref, sync::OnceLock};

use self::server::{Database, Server};
use super::{Location, Options, PostgresStore, migrate};
use crate::store::{
    Store,
    conformance::{self, sample::at},
};

mod faults;
mod schema;
mod statements;
mod tls;
mod triggers;

#[expect(dead_code, unreachable_pub, reason = "the tests of the binary use it too")]
#[path = "../../../tests/support/postgres.rs"]
pub(crate) mod server;

/// A store in a database that goes with it.
pub(super) struct Fresh {
    pub(super) store: PostgresStore,
    pub(super) database: Database,
}

impl Deref for Fresh {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl Fresh {
    pub(super) fn location(&self) -> Location {
        Location::parse(&self.database.url()).unwrap()
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
            runtime.block_on(migrate(&location, at(0), None)).unwrap();
        };
        std::thread::spawn(migrate).join().unwrap();
        database
    });
    &made.name
}

pub(super) fn fresh() -> Fresh {
    let database = Server::shared().database(Some(template()));
    let location = Location::parse(&database.url()).unwrap();
    let store = PostgresStore::with(&location, Options::default(), true).unwrap();
    Fresh { store, database }
}

conformance::suite!(fresh);
