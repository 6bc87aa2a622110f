//! Entries as they stand in the tables.

use dualaudit_record::{
    Entry, EntryKind, Time,
    digest::Digest,
    log::{FORMAT, Leaf, Nonce},
};

use super::Beside;

/// An entry as it stands in the tables.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry {
    /// Its place in the log.
    pub index: u64,
    /// Its kind.
    pub kind: EntryKind,
    /// When it was appended.
    pub recorded_at: Time,
    /// The one execution it concerns.
    pub execution_id: Option<String>,
    /// Of an execution entry.
    pub attempt: Option<u32>,
    /// Of an execution entry.
    pub revision: Option<u32>,
    /// Of an execution entry that says when it began.
    pub started_at: Option<Time>,
    /// Of any other entry; see [`check_key`].
    pub idempotency_key: Option<String>,
    /// The digest its leaf names.
    pub body_digest: Digest,
    /// The stored RFC 6962 hash of its leaf.
    pub leaf_hash: Digest,
    /// What it says.
    pub body: StoredBody,
    /// What else is stored of it.
    pub beside: Beside,
}

impl StoredEntry {
    /// The leaf that its columns make.
    pub fn leaf(&self, log: &str) -> Leaf {
        Leaf {
            format: FORMAT,
            log: log.to_owned(),
            index: self.index,
            kind: self.kind,
            recorded_at: self.recorded_at,
            execution_id: self.execution_id.clone(),
            attempt: self.attempt,
            revision: self.revision,
            body_digest: self.body_digest,
        }
    }
}

/// An entry of which a column cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {index}: {what}")]
pub struct UnreadableEntry {
    /// Its place in the log.
    pub index: u64,
    /// Which column, and why.
    pub what: String,
}

/// The body of an entry, put together from the tables.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredBody {
    /// What it says, and its nonce.
    Whole(Box<Entry>, Nonce),
    /// Its personal fields were erased.
    Erased {
        /// Index of the entry that says so.
        by: u64,
        /// What is left of what it said.
        rest: Box<Entry>,
        /// The nonce in the body of that.
        nonce: Nonce,
    },
    /// It was purged.
    Purged {
        /// Index of the entry that says so.
        by: u64,
    },
    /// It cannot be read; says what of it.
    Unreadable(String),
}

impl StoredBody {
    /// What it says, if it is there, all of it.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Whole(entry, _) => Some(entry),
            Self::Erased { .. } | Self::Purged { .. } | Self::Unreadable(_) => None,
        }
    }

    /// What it says, as far as that is there.
    pub fn left(&self) -> Option<&Entry> {
        match self {
            Self::Whole(entry, _) | Self::Erased { rest: entry, .. } => Some(entry),
            Self::Purged { .. } | Self::Unreadable(_) => None,
        }
    }

    /// The same, where what was read is all that an erasure left, if there was one.
    pub(super) fn erased(self, by: Option<u64>) -> Self {
        match (self, by) {
            (Self::Whole(rest, nonce), Some(by)) => Self::Erased { by, rest, nonce },
            (other, _) => other,
        }
    }
}

impl From<Result<(Entry, Nonce), String>> for StoredBody {
    fn from(read: Result<(Entry, Nonce), String>) -> Self {
        match read {
            Ok((entry, nonce)) => Self::Whole(Box::new(entry), nonce),
            Err(unreadable) => Self::Unreadable(unreadable),
        }
    }
}
