//! Logs that go on in the place of others that were rolled back.

use async_trait::async_trait;
use dualaudit_record::Time;

use super::{Store, StoreError};

/// What the owner of a database does to let another log go on in the place of one. Each step can be taken
/// again.
#[async_trait]
pub trait Succession: Store {
    /// Creates the log that will go on in the place of another, with its owner and secret, unless it is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn begin_successor(
        &self,
        log: &str,
        successor: &str,
        origin: &str,
        now: Time,
    ) -> Result<(), StoreError>;

    /// Closes a log for good in favour of its successor, which takes over what was still running. Once.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when another took its place, or it is elsewhere; [`StoreError::Unavailable`] also
    /// when this role does not own the database's tables.
    async fn close_succeeded(&self, log: &str, successor: &str) -> Result<(), StoreError>;
}
