//! The suite on SQLite, and what only SQLite has.

use std::{ops::Deref, path::PathBuf};

use tempfile::TempDir;

use super::{Options, SqliteStore, maintain};
use crate::store::{
    Removed, Store, Succession as _,
    conformance::{self, sample::at},
};

mod erased;
mod faults;
mod files;
mod questions;
mod triggers;

/// A store in a directory that goes with it.
pub(crate) struct Fresh {
    pub(crate) store: SqliteStore,
    pub(super) directory: TempDir,
}

impl Deref for Fresh {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

impl Fresh {
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("audit.db")
    }
}

impl conformance::Maintained for Fresh {
    async fn remove_purged(&self) -> Removed {
        let file = self.file();
        tokio::task::spawn_blocking(move || maintain(file).unwrap().removed).await.unwrap()
    }

    fn months(&self, _: u32) -> u32 {
        0
    }

    async fn rows(&self) -> u64 {
        let shell = rusqlite::Connection::open(self.file()).unwrap();
        let count = "SELECT (SELECT count(*) FROM workflow_execution_audit)
            + (SELECT count(*) FROM workflow_execution_revision) + (SELECT count(*) FROM source_object)";
        shell.query_row(count, [], |row| row.get(0)).unwrap()
    }

    async fn begin_successor(&self, log: &str, successor: &str) {
        self.store.begin_successor(log, successor, "dualaudit.dev/successor", at(60)).await.unwrap();
    }

    async fn close_succeeded(&self, log: &str, successor: &str) {
        self.store.close_succeeded(log, successor).await.unwrap();
    }
}

pub(crate) fn fresh() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("audit.db"), Options::default()).unwrap();
    Fresh { store, directory }
}

conformance::suite!(fresh);
