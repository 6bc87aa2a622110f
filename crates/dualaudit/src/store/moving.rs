//! What passes between two databases when a log moves from one to the other.

use dualaudit_record::{Entry, Time, digest::Digest, execution::StoredExecution};

use super::{Owner, StoreError, StoredBody, StoredEntry, erase::Erased};

/// Whether a log takes entries where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogState {
    /// It does.
    #[default]
    Open,
    /// It is being copied here.
    Arriving {
        /// Where from.
        from: String,
    },
    /// It went elsewhere.
    Moved {
        /// Where to.
        to: String,
    },
    /// It was rolled back, and another goes on in its place.
    Succeeded {
        /// Which.
        by: String,
    },
}

impl LogState {
    /// Why a log takes nothing, in this state.
    pub(crate) fn closed(&self, log: &str) -> Option<String> {
        match self {
            Self::Open => None,
            Self::Arriving { from } => Some(format!(
                "the log {log:?} is still being copied here from {from}, and takes nothing until all of it is here: \
                 let `dualaudit migrate --from … --to …` end, or run it again"
            )),
            Self::Succeeded { by } => Some(format!(
                "the log {log:?} was rolled back, and takes nothing any more: {by:?} goes on in its place"
            )),
            Self::Moved { to } => Some(format!(
                "the log {log:?} moved to {to}, and takes nothing here any more: name that database"
            )),
        }
    }

    /// Checks that a log can be opened.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when it takes nothing here.
    pub(super) fn check_opening(&self, log: &str) -> Result<(), StoreError> {
        self.closed(log).map_or(Ok(()), |why| Err(StoreError::Foreign(why)))
    }

    /// Checks that a log takes an append.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whoever sent it keeps it, and sends it where the log is.
    pub(super) fn check_append(&self, log: &str) -> Result<(), StoreError> {
        self.closed(log).map_or(Ok(()), |why| Err(StoreError::Unavailable(why)))
    }
}

/// A log's row without its head: what makes it that log. Not to be printed: it holds the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Its name.
    pub log: String,
    /// Who it takes records from.
    pub owner: Owner,
    /// Origin line of its checkpoints.
    pub origin: String,
    /// Key of its content digests and commitments.
    pub secret: [u8; 32],
    /// When it was created.
    pub created_at: Time,
}

/// A log where it leaves.
#[derive(Clone)]
pub struct Departure {
    /// What makes it that log.
    pub row: LogRow,
    /// How many entries it has.
    pub size: u64,
    /// That it was closed, if it was.
    pub moved: Option<Moved>,
    /// The log in whose place it goes on, as its first entry says.
    pub predecessor: Option<String>,
    /// The log in whose favour it was closed, which goes on in its place.
    pub successor: Option<String>,
}

/// That a log was closed where it left, because all of it is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where.
    pub to: String,
    /// When it was opened there, if that is known where it left.
    pub opened_at: Option<Time>,
}

/// A log where it arrives.
#[derive(Clone)]
pub struct Arrival {
    /// What makes it that log.
    pub row: LogRow,
    /// How many entries have come.
    pub size: u64,
    /// RFC 6962 root over their leaves.
    pub root: Digest,
    /// Whether it takes entries of others.
    pub state: LogState,
}

/// Entries in their order, each with what stands beside it, in one snapshot.
#[derive(Clone, Debug)]
pub struct MovingPage {
    /// At least one, unless the log ends before it.
    pub entries: Vec<MovingEntry>,
    /// Of the log at that time.
    pub size: u64,
    /// RFC 6962 root over the leaves of all its entries.
    pub root: Digest,
}

impl MovingPage {
    /// Whether it reaches the end of the log.
    pub fn is_last(&self) -> bool {
        self.entries.last().is_none_or(|last| last.stored.index + 1 >= self.size)
    }
}

/// An entry with all that the database holds of it.
#[derive(Clone, Debug)]
pub struct MovingEntry {
    /// The entry.
    pub stored: StoredEntry,
    /// Of an execution that is whole: what its content was appended under.
    pub content_digest: Option<Digest>,
    /// The object it was mapped from, or that could not be mapped; zstd.
    pub object: Option<Vec<u8>>,
    /// Of an erasure: what is left of what it took, as that may have come whole before.
    pub(super) rests: Vec<Erased>,
}

impl MovingEntry {
    /// The execution it records, as far as it is there, unless that was purged.
    pub(super) fn execution(&self) -> Option<&StoredExecution> {
        match self.stored.body.left() {
            Some(Entry::Execution(execution)) => Some(execution),
            _ => None,
        }
    }

    /// About how many bytes it takes: its parts without a small limit, and the rest by its most.
    pub(super) fn bytes(&self) -> usize {
        const REST: usize = 1 << 10;
        let body = match &self.stored.body {
            StoredBody::Whole(entry, _) | StoredBody::Erased { rest: entry, .. } => match entry.as_ref() {
                Entry::Execution(execution) => {
                    let record = &execution.record;
                    let steps = record.step_executions.iter().map(|step| REST + step.error_message.len());
                    record.error_message.len()
                        + steps.sum::<usize>()
                        + record.labels.len() * REST
                        + record.adaptive_adjustments.len() * REST
                }
                Entry::Gap(gap) => gap.last_state.len(),
                Entry::Purge(purge) => purge.entries.len() * 16,
                Entry::Erasure(erasure) => erasure.entries.len() * REST,
                Entry::Succession(succession) => succession.checkpoint.len(),
                Entry::Export(export) => (export.logs.len() + export.filter.len()) * REST,
                Entry::Access(access) => access.acts.len() * REST,
                Entry::Quarantine(_)
                | Entry::Hold(_)
                | Entry::HoldRelease(_)
                | Entry::Heartbeat(_)
                | Entry::Review(_)
                | Entry::Window(_)
                | Entry::Digest(_) => 0,
            },
            StoredBody::Purged { .. } | StoredBody::Unreadable(_) => 0,
        };
        REST + body + self.object.as_ref().map_or(0, Vec::len)
    }
}
