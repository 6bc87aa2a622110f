//! What a log knows of executions: recorded, seen, read back, listed.

use dualaudit_record::{Entry, Time, digest::Digest, entry::Verdict, execution::StoredExecution};

use super::{Receipt, StoredEntry};

/// What a log knows of one execution id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Its attempts that are recorded, the first first.
    pub recorded: Vec<Recorded>,
    /// A hold is open on it.
    pub held: bool,
    /// The source digest of its newest quarantine entry, and when that was recorded.
    pub quarantined: Option<(Digest, Time)>,
    /// Its tracked row: closed or not.
    pub tracked: Option<TrackedState>,
    /// The attempt that runs, as far as its tracked row tells.
    pub running: Option<RunningAttempt>,
    /// The verdict of its annotation that this process has seen to be recorded. No log is asked for it.
    pub judged: Option<(Verdict, String)>,
}

/// An attempt that was seen to run, and not to have ended since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningAttempt {
    /// When it began; not where it has not, or its resource never showed it.
    pub started_at: Option<Time>,
}

impl Known {
    /// Takes what only a log knows in whose place this one goes on.
    pub(super) fn fill_from(&mut self, earlier: Self) {
        if self.recorded.is_empty() {
            self.recorded = earlier.recorded;
        }
        self.held |= earlier.held;
        self.quarantined = self.quarantined.or(earlier.quarantined);
    }

    /// What was recorded of what an entry of `log` says to be missing, or to be in quarantine, since. A gap that
    /// says when its attempt began is told by that, whenever it was recorded.
    pub fn recorded_since(&self, log: &str, entry: &StoredEntry) -> Option<&Recorded> {
        let started_at = match entry.body.left() {
            Some(Entry::Gap(gap)) => gap.started_at,
            _ => None,
        };
        self.recorded.iter().rev().find(|Recorded { receipt, started_at: began, .. }| {
            if started_at.is_some() {
                *began == started_at
            } else if receipt.log == log {
                receipt.index > entry.index
            } else {
                receipt.recorded_at >= entry.recorded_at
            }
        })
    }

    /// Whether the attempt that began then may run: it is in flight until it is recorded, or recorded again.
    pub fn may_run(&self, started_at: Option<Time>) -> bool {
        self.running.is_some_and(|it| it.started_at.is_none() || it.started_at == started_at)
    }

    /// The recorded attempt that began then.
    pub fn attempt(&self, started_at: Option<Time>) -> Option<&Recorded> {
        self.recorded.iter().rev().find(|recorded| recorded.started_at == started_at)
    }
}

/// A recorded attempt, by its latest revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Receipt of the latest revision, as first given.
    pub receipt: Receipt,
    /// What the latest revision's content is compared by; gone once purged or erased.
    pub content_digest: Option<Digest>,
    /// Tells attempts apart.
    pub started_at: Option<Time>,
    /// `recorded_at` of revision 1: where the review window starts.
    pub first_recorded_at: Time,
    /// Until when somebody wants it kept for review, at least.
    pub extended_until: Option<Time>,
}

/// Whether a tracked execution is still owed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackedState {
    /// Its end has not been recorded.
    Open,
    /// It is accounted for; its resource merely still exists.
    Closed,
}

/// An execution whose resource exists, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The resource's uid.
    pub id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its attempt's start. An open attempt that shows none keeps the one it had.
    pub started_at: Option<Time>,
    /// Its JSON, redacted. Empty when only its name is known: then what was seen before stays.
    pub last_state: String,
    /// When it was seen like this.
    pub last_seen_at: Time,
    /// Whether its end is accounted for.
    pub state: TrackedState,
    /// What runs. `None` once it ended or is accounted for, and always where it is closed.
    pub running: Option<Box<Running>>,
}

/// What runs, as its record will say it: each text is empty where it is not given, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The workflow.
    pub workflow: String,
    /// Its version.
    pub version: String,
    /// The kind of incident it answers.
    pub incident_type: String,
    /// The kind of the object it works on.
    pub target_kind: String,
    /// When its attempt began; where it has not, when its resource was created.
    pub since: Time,
}

/// A change to what is tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackingChange {
    /// Seen: insert or replace its row.
    Seen(Tracked),
    /// Its resource is gone, and accounted for.
    Gone {
        /// The resource's uid.
        id: String,
    },
}

impl TrackingChange {
    /// The execution it concerns.
    pub fn id(&self) -> &str {
        match self {
            Self::Seen(tracked) => &tracked.id,
            Self::Gone { id } => id,
        }
    }
}

/// A row read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The revision read.
    pub revision: u32,
    /// The digest its content was appended under.
    pub content_digest: Option<Digest>,
    /// Whether the row, put together anew, hashes to the digest in its leaf.
    pub intact: bool,
}

/// One row of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The log it is in.
    pub log: String,
    /// The record without steps and adjustments (both empty here).
    pub execution: StoredExecution,
}
