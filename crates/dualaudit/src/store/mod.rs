//! Where records are kept: one trait, one implementation a database.
//!
//! # Guarantees
//! - [`Store::append`] is one transaction. When it answers `Ok`, everything it accepted is on disk;
//!   when it answers `Err`, nothing of it is visible, except after [`StoreError::Unavailable`],
//!   where the commit may have taken effect: append the same batch again and every draft that was
//!   stored answers with its first receipt.
//! - Indexes of a log are 0, 1, 2 … without holes, and `recorded_at` never runs backwards in it.
//! - One execution (log, id, attempt, revision) is one entry, whoever sends it, however often.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use dualaudit_record::{Time, entry::Verdict};

mod ahead;
mod answer;
mod append;
mod beside;
mod conditions;
#[cfg(test)]
pub(crate) mod conformance;
mod draft;
mod entry;
mod erase;
mod error;
mod filter;
mod head;
mod in_flight;
mod known;
mod logs;
mod lookup;
mod moving;
mod names;
mod objects;
mod original;
mod owner;
mod page;
pub mod postgres;
mod purge;
mod reach;
mod rebuild;
mod reviews;
mod rows;
mod rules;
mod scoped;
pub mod sqlite;
mod statistics;
mod strays;
mod succession;
mod vouched;
mod windows;

pub use answer::{Answer, Receipt, ReceiptResult, Refusal};
pub use beside::{Beside, ContentDigest, HoldRow, ObjectDigest, Quarantined, ReviewRow};
pub use draft::{Batch, Draft, DraftContent, ExecutionDraft, Origin, ReviewDraft, SourceObject, WindowDraft};
pub use dualaudit_record::selector::LabelRequirement;
pub use entry::{StoredBody, StoredEntry, UnreadableEntry};
pub use erase::{EraseDraft, rest_digest};
pub use error::StoreError;
pub use filter::{Cursor, Filter, Reviews};
pub use in_flight::{InFlight, InFlightFilter, Underway};
pub use known::{
    Known, Listed, ReadBack, Recorded, Running, RunningAttempt, Tracked, TrackedState, TrackingChange,
};
pub use logs::{
    Head, Log, LogOpening, LogReader, NoSuchLog, Owner, RevisionName, UnreadableLog, Which, meant, newest,
};
pub use lookup::{Detail, ErasedBy, Lookup, MAX_REVIEWS, MAX_REVISIONS, PurgedExecution, Wanted};
pub use moving::{Arrival, Departure, LogRow, LogState, Moved, MovingEntry, MovingPage};
pub use original::Originals;
pub use page::Page;
pub use purge::{
    MAX_PURGED, PurgeDraft, Removed, Weighed, WeighedUpTo, Weighing, entry_runs, part_digest, statistics,
};
pub use reach::{Reach, Within};
pub use rebuild::{Compared, Derived, Mode, Rebuild, Rebuilding};
pub use reviews::{Disagreement, Disagreements, WantedDisagreements};
pub use rules::check_key;
pub use scoped::{Permits, Scoped};
pub(crate) use statistics::found_in;
pub use statistics::{Behind, Folding, FoundCells, Placed, Statistics, WantedCells};
pub use strays::{RowKey, Strays, Table};
pub use succession::Succession;
pub use windows::WindowRow;

/// A store that can be handed around.
pub type SharedStore = Arc<dyn Store>;

/// A store with all that only a database's owner does to it.
pub trait Owned: Succession + Rebuild {}

impl<T: Succession + Rebuild> Owned for T {}

/// What every database must do. Coarse on purpose: one call is one visit.
#[async_trait]
pub trait Store: LogReader + Statistics + Send + Sync + 'static {
    /// Opens a log, creating it at first use, and checks that it belongs to `opening.owner`.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when the log belongs to another owner, is still being copied here, or moved
    /// to another database.
    async fn open_log(&self, opening: LogOpening) -> Result<Log, StoreError>;

    /// Appends drafts to a log and applies tracking changes, in one transaction.
    ///
    /// Answers in the order of the drafts. A draft equal to something already there answers with
    /// the first receipt; one that contradicts it is [`Answer::Refused`]; neither stops the others.
    async fn append(&self, log: &str, batch: Arc<Batch>, now: Time) -> Result<Vec<Answer>, StoreError>;

    /// What is known of each of these execution ids, in their order.
    async fn known(&self, log: &str, ids: &[String]) -> Result<Vec<Known>, StoreError>;

    /// Tracked executions in the order of their ids, after `after`, at most `limit`.
    async fn tracked(&self, log: &str, after: Option<&str>, limit: u32) -> Result<Vec<Tracked>, StoreError>;

    /// Reads the latest revision of an attempt back from its row, with the digests it was stored
    /// under; `body_digest` is computed anew from what was read.
    async fn read_back(&self, log: &str, id: &str, attempt: u32) -> Result<Option<ReadBack>, StoreError>;

    /// One page of executions (latest revision of each attempt), newest `created_at` first: at most
    /// `limit` rows, and fewer where they are large.
    async fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Page, StoreError>;

    /// How many executions a filter has, `most` at most.
    async fn count(&self, filter: &Filter, most: u32) -> Result<u64, StoreError>;

    /// The newest verdict on each of these attempts that has one, by id and attempt.
    async fn verdicts(
        &self,
        log: &str,
        of: &[(String, u32)],
    ) -> Result<HashMap<(String, u32), Verdict>, StoreError>;

    /// One execution in full, or why there is no such one.
    async fn get(&self, wanted: &Wanted) -> Result<Lookup, StoreError>;

    /// Looks at the next `limit` executions of a log, in the order of lists after `after`, and weighs those
    /// whose latest revision was complete before an instant. What was purged is not among them.
    async fn weigh(
        &self,
        log: &str,
        completed_before: Time,
        after: Option<&WeighedUpTo>,
        limit: u32,
    ) -> Result<Weighing, StoreError>;
}
