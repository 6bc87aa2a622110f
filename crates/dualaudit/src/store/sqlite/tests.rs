//! The suite on SQLite, and what only SQLite has.

use std::ops::Deref;

use tempfile::TempDir;

use super::{Options, SqliteStore};
use crate::store::{Store, conformance};

mod faults;
mod files;
mod questions;
mod triggers;

/// A store in a directory that goes with it.
pub(super) struct Fresh {
    pub(super) store: SqliteStore,
    pub(super) directory: TempDir,
}

impl Deref for Fresh {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

pub(super) fn fresh() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("audit.db"), Options::default()).unwrap();
    Fresh { store, directory }
}

conformance::suite!(fresh);
