//! What is stored beside an entry without being part of its body.

use dualaudit_record::{
    Entry, Time,
    digest::{Digest, content_digest},
    entry::{Hold, Review},
    erase,
    execution::StoredExecution,
    log::Nonce,
    redact::is_redacted,
};

use super::rest_digest;

/// SHA-256 of a kept object's bytes, or why they cannot be read. The bytes stay in the store: a page
/// of entries would else have those of all their objects.
pub type ObjectDigest = Result<Digest, String>;

/// What stands beside an entry of each kind. `Err` says why it cannot be read, `None` that it is
/// not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Beside {
    /// An execution.
    Execution {
        /// What its content was appended under.
        content_digest: ContentDigest,
        /// Of its source object; none once it was erased.
        source_object: Option<ObjectDigest>,
    },
    /// A gap, a note, or what was purged, which have nothing beside them, or nothing that is wrong.
    Nothing,
    /// What was purged, and of it something that is not what was appended, or should be gone; says what.
    Leftover(String),
    /// A quarantine: the row of its execution id and source digest.
    Quarantine(Result<Option<Quarantined>, String>),
    /// A hold: its row.
    Hold(Result<Option<HoldRow>, String>),
    /// The release of a hold: that hold's row.
    HoldRelease(Result<Option<HoldRow>, String>),
    /// A review: its row.
    Review(Result<Option<ReviewRow>, String>),
    /// A purge: the entries that are noted to be purged by it, as runs in order.
    Purge(Vec<(u64, u64)>),
    /// An erasure: the entries that are noted to be erased by it, in order.
    Erasure(Vec<u64>),
}

/// The row of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// Index of its entry.
    pub index: u64,
    /// The hold.
    pub hold: Hold,
    /// When it was placed.
    pub placed_at: Time,
    /// When it was released, and the entry that did it, if that is one.
    pub released: Option<(Time, Option<u64>)>,
}

/// The row of a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRow {
    /// Index of its entry.
    pub index: u64,
    /// The review.
    pub review: Review,
    /// When it was appended.
    pub recorded_at: Time,
}

/// What sameness with an execution is judged by, as it stands, against the record and the log's secret.
///
/// It is judged here, so that the secret stays in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentDigest {
    /// It is that of the record; or the record is redacted, and nobody can tell any more.
    Fits,
    /// It is of another record, or was made under another secret.
    Differs {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// There is none.
    Missing,
    /// It cannot be read, or not the record it would be of; says why.
    Unreadable(String),
}

impl ContentDigest {
    /// Judges what was found beside an execution.
    pub(super) fn judge(
        found: Result<Option<Digest>, String>,
        execution: Result<&StoredExecution, &String>,
        secret: &[u8; 32],
    ) -> Self {
        match (found, execution) {
            (Err(unreadable), _) => Self::Unreadable(unreadable),
            (Ok(None), _) => Self::Missing,
            (Ok(Some(_)), Err(unreadable)) => Self::Unreadable(unreadable.clone()),
            (Ok(Some(_)), Ok(execution)) if is_redacted(&execution.record) => Self::Fits,
            (Ok(Some(found)), Ok(execution)) => match content_digest(&execution.record, secret) {
                expected if expected == found => Self::Fits,
                expected => Self::Differs { expected, found },
            },
        }
    }
}

/// What is found of an execution that was purged. Until it is removed its rows are as they were appended, or as an
/// erasure left them; then nothing is left but its leaf.
pub(super) struct Purged<'a> {
    /// Whether it is noted that it waits to be removed.
    pub(super) waits: bool,
    /// The digest of its body, and when it began, by its entry.
    pub(super) body_digest: Digest,
    pub(super) started_at: Option<Time>,
    /// Whether its entry holds a body, which no execution's does.
    pub(super) holds_body: bool,
    /// Whether it was erased before.
    pub(super) is_erased: bool,
    /// What its row says, if that is there.
    pub(super) row: Option<Result<(&'a StoredExecution, Nonce), &'a String>>,
    pub(super) content_digest: ContentDigest,
    pub(super) source_object: Option<ObjectDigest>,
}

impl Purged<'_> {
    /// Nothing, or what is wrong with what is left.
    pub(super) fn beside(self) -> Beside {
        self.wrong().map_or(Beside::Nothing, Beside::Leftover)
    }

    fn wrong(self) -> Option<String> {
        let said = |what: &str| Some(what.to_owned());
        if self.holds_body {
            return said("a body in its entry");
        }
        let (execution, nonce) = match self.row {
            // Months are dropped before the rest is removed.
            None if self.waits => return None,
            None if self.content_digest != ContentDigest::Missing => return said("a content digest"),
            None => return None,
            Some(Err(unreadable)) => return Some(format!("a row that cannot be read: {unreadable}")),
            Some(Ok(row)) => row,
        };
        let entry = Entry::Execution(Box::new(execution.clone()));
        let (is_original, digest, object) = match self.is_erased {
            true => (erase::rest(&entry).as_ref() == Some(&entry), ContentDigest::Missing, None),
            false => {
                let object = execution.source_digest.map(Ok);
                (rest_digest(&entry, nonce) == self.body_digest, ContentDigest::Fits, object)
            }
        };
        if !is_original || execution.record.started_at != self.started_at {
            return said("a row that is not what was appended");
        }
        if self.content_digest != digest {
            return said("a content digest that is not its own");
        }
        if self.source_object != object {
            return said("a source object that is not its own");
        }
        None
    }
}

/// The row of an object that could not be mapped, but for its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The entry it names.
    pub index: u64,
    /// When it was put there.
    pub recorded_at: Time,
    /// Of the object; of an empty one once it was erased.
    pub object: ObjectDigest,
}
