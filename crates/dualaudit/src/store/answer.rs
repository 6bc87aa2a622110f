//! What becomes of what was handed in.

use dualaudit_record::{Time, digest::Digest};
use serde::{Deserialize, Serialize};

use super::purge;

/// What became of a draft.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is in the log: now, or since before.
    Stored(Receipt),
    /// A gap that is none: the execution is recorded, closed, or quarantined and not seen since. Or a
    /// heartbeat that nobody needs any more.
    Accounted,
    /// It contradicts what is stored.
    Refused(Refusal),
}

impl Answer {
    /// Whether this sending made a new entry.
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Stored(receipt) if receipt.result != ReceiptResult::Duplicate)
    }
}

/// Proof to the sender that the record is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Receipt {
    /// The execution; empty for an entry that concerns several.
    pub id: String,
    /// The attempt it was counted as; absent for entries that are no execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The revision it became or equals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// The log it is in.
    pub log: String,
    /// Its place there.
    pub index: u64,
    /// RFC 6962 hash of its leaf.
    pub leaf_hash: Digest,
    /// When it was first recorded.
    pub recorded_at: Time,
    /// What this sending did.
    pub result: ReceiptResult,
}

/// What a sending did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptResult {
    /// It was new.
    Created,
    /// It was there already.
    Duplicate,
    /// It became a new revision.
    Amended,
}

impl ReceiptResult {
    /// What the sending did that an entry was first stored by.
    pub(super) fn first(revision: Option<u32>) -> Self {
        match revision {
            None | Some(1) => Self::Created,
            Some(_) => Self::Amended,
        }
    }
}

/// Why a draft was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The id and attempt are there with other content.
    Conflict {
        /// The latest revision there.
        latest_revision: u32,
    },
    /// An amendment named a revision that is not the latest (`None`: nothing is there to amend).
    Stale {
        /// The latest revision there.
        latest_revision: Option<u32>,
    },
    /// A hold on, an erasure of, a review of, or a window for, what was purged.
    Purged,
    /// An erasure or a review of, or a window for, an execution of which nothing is recorded.
    NothingRecorded,
    /// A review of, or a window for, an attempt that is not recorded.
    NoAttempt {
        /// The latest that is.
        latest: u32,
    },
    /// An erasure of an execution whose resource is in its cluster.
    InCluster,
    /// An erasure of what a hold covers.
    Held {
        /// Index of the hold's entry.
        hold: u64,
    },
    /// A window that ends before the one there is.
    WindowIsLonger {
        /// When that ends.
        until: Time,
    },
    /// A release of a hold that there is not.
    NoSuchHold,
    /// There are as many open holds that select as a log may have.
    TooManyHolds,
    /// A purge of what is not as it was weighed; says what.
    Changed(String),
    /// A purge or an erasure while the statistics do not yet have all that it would take.
    StatisticsBehind,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict { latest_revision } => {
                write!(
                    f,
                    "it is recorded with other content, of which revision {latest_revision} is the latest"
                )
            }
            Self::Stale { latest_revision: Some(latest) } => {
                write!(f, "the revision that it amends is not the latest, which is {latest}")
            }
            Self::Stale { latest_revision: None } => f.write_str("there is nothing to amend"),
            Self::Purged => f.write_str("the execution was purged: nothing is left of it"),
            Self::NothingRecorded => f.write_str("the log has nothing of this execution"),
            Self::NoAttempt { latest } => {
                write!(f, "there is no such attempt of it: the latest that is recorded is {latest}")
            }
            Self::InCluster => f.write_str(
                "its resource is still in its cluster, with all that would be erased, and what it says is recorded: \
                 delete it there first, and wait until dualaudit has seen that",
            ),
            Self::Held { hold } => write!(f, "it is held by the hold of entry {hold}"),
            Self::WindowIsLonger { until } => {
                write!(f, "its window lasts until {until} already, and a window only ever becomes longer")
            }
            Self::NoSuchHold => f.write_str("there is no hold with this index"),
            Self::TooManyHolds => write!(
                f,
                "the log has {} open holds that select: release some, or name executions",
                purge::MAX_SELECTORS
            ),
            Self::Changed(what) => f.write_str(what),
            Self::StatisticsBehind => f.write_str(
                "the statistics are still being folded from what was recorded before they were kept: run `dualaudit \
                 migrate`, which waits until they are, and try again",
            ),
        }
    }
}
