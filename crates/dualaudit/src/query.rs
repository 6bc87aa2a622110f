//! Finding what is recorded: pages of executions, and one execution in full.
//!
//! # Guarantees
//! - Lists are ordered by `created_at`, newest first, then log, id and attempt. The order of a row
//!   never changes, so following `next_cursor` to its end gives each row that was there at the
//!   start exactly once, whatever is recorded meanwhile. An amendment may change what a filter asks
//!   (its outcome, say): a row that an amendment moves in or out of the filter meanwhile is given
//!   once or not at all. Without such a filter each is given.
//! - Relative times of a question (`since=24h`) mean the same instant on all its pages.

mod count;
mod cursor;
mod entries;
mod parameters;
mod seam;
mod selector;
mod single;
mod summary;

pub use count::Count;
pub(crate) use cursor::short_digest;
pub use entries::{
    EntriesError, EntriesRequest, EntryPage, Erased, ListedEntry, Listing, Placed, Released, entries, entry,
};
pub use parameters::{DEFAULT_LIMIT, ListRequest, MAX_LIMIT, PHASES};
pub use seam::{Asked, Missing, Sides, Warning, list, missing_live};
pub use selector::parse as label_selector;
pub use single::{
    Found, GetError, HeldSince, LiveState, Reviewed, Revision, Windowed, detail, get, source, wanted,
};
pub use summary::{Summary, Tier};

// For those who ask, and do not read the store themselves.
pub use crate::store::{Detail, NoSuchLog, Reach, Receipt, SharedStore, StoreError, Wanted, Which, meant};

use serde::{Deserialize, Serialize};

use crate::store::Store;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ExecutionPage)]
pub struct Page {
    /// In the order of the list.
    pub items: Vec<Summary>,
    /// Where the next page begins; `None` after the last.
    pub next_cursor: Option<String>,
    /// How many there are in all, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
    /// What is missing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Whether the database answers.
///
/// # Errors
/// Those of [`Store::logs`].
pub async fn ready(store: &dyn Store) -> Result<(), StoreError> {
    store.logs().await.map(|_| ())
}
