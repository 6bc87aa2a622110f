//! The one door in: validate, redact, batch, append, answer with a receipt.

use dualaudit_record::WorkflowExecutionAudit;
use serde_json::Value;

use crate::{
    clock::SharedClock,
    store::{
        Answer, DraftContent, Known, Log, LogOpening, ReadBack, SharedStore, StoreError, Tracked,
        TrackingChange,
    },
};

/// The door into one log. Cheap to clone; all clones share one queue and one appender.
#[derive(Clone)]
pub struct Ingest {}

impl Ingest {
    /// Opens the log and starts its appender, which lives as long as a clone does.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::open_log`].
    pub async fn open(
        _store: SharedStore,
        _clock: SharedClock,
        _opening: LogOpening,
    ) -> Result<Self, StoreError> {
        todo!()
    }

    /// The log this is the door of.
    pub fn log(&self) -> &Log {
        todo!()
    }

    /// Appends, together with whatever else waits. Answers after the commit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing is known to be stored, and sending again is safe.
    pub async fn submit(&self, _content: DraftContent) -> Result<Answer, StoreError> {
        todo!()
    }

    /// A draft of a resource's record: digested, redacted, its source object compressed.
    pub fn from_resource(&self, _record: WorkflowExecutionAudit, _object: Value) -> DraftContent {
        todo!()
    }

    /// A draft of a producer's record.
    pub fn from_producer(&self, _record: WorkflowExecutionAudit, _amend: Option<u32>) -> DraftContent {
        todo!()
    }

    /// Notes a change of what is tracked. Never waits: the changes of one id collapse into the
    /// latest, and go into the database with the next append.
    pub fn track(&self, _change: TrackingChange) {
        todo!()
    }

    /// See [`crate::store::Store::known`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn known(&self, _ids: &[String]) -> Result<Vec<Known>, StoreError> {
        todo!()
    }

    /// See [`crate::store::Store::read_back`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read_back(&self, _id: &str, _attempt: u32) -> Result<Option<ReadBack>, StoreError> {
        todo!()
    }

    /// See [`crate::store::Store::tracked`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tracked(&self, _after: Option<&str>, _limit: u32) -> Result<Vec<Tracked>, StoreError> {
        todo!()
    }
}
