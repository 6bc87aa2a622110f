//! Whether anything is missing: what the entries of each day amount to, as a signed entry; what is missing by
//! name; and what was in quarantine, recorded after all.
//!
//! # Guarantees
//! - A day is digested once the log has an entry of a later day. `recorded_at` never runs backwards, so nothing
//!   can be added to the day any more, and its digest is exact.
//! - Days without a digest (dualaudit did not run) are made up for, each by itself; days on which nothing was
//!   recorded at all have one digest for as many as follow each other.
//! - Memory is bounded by a page of entries, and by what is named of what is missing.

mod digester;
mod fold;
mod missing;
mod retry;
#[cfg(test)]
mod tests;

pub use digester::Digester;
pub use missing::{Asked, CompletenessError, Days, InFlight, LogSummary, Lost, Missing, Summary, summary};
pub use retry::{Fate, Retried, RetryError, retry};
