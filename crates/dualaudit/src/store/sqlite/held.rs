//! A connection of its own whose transaction goes on from one visit to the next.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;

use super::error::Result;
use crate::store::StoreError;

/// What is not committed when it goes is undone.
pub(super) struct Held {
    file: Arc<PathBuf>,
    connection: Arc<Mutex<Connection>>,
}

impl Held {
    /// Opens it, off the async threads.
    pub(super) async fn open(
        file: &Arc<PathBuf>,
        open: impl FnOnce(&Path) -> Result<Connection> + Send + 'static,
    ) -> std::result::Result<Self, StoreError> {
        let file = Arc::clone(file);
        let open = move || {
            let connection = open(&file).map_err(|error| error.at(&file))?;
            Ok(Self { file, connection: Arc::new(Mutex::new(connection)) })
        };
        tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(stopped(&error)))
    }

    /// Runs `act` on it, off the async threads.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let (connection, file) = (Arc::clone(&self.connection), Arc::clone(&self.file));
        let run = move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            act(&connection).map_err(|error| error.at(&file))
        };
        tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| Err(stopped(&error)))
    }
}

fn stopped(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("what held a transaction stopped: {error}"))
}
