//! What is stored beside an entry without being part of its body.

use dualaudit_record::{Time, digest::Digest, entry::Hold};

/// SHA-256 of a kept object's bytes, or why they cannot be read. The bytes stay in the store: a page
/// of entries would else have those of all their objects.
pub type ObjectDigest = Result<Digest, String>;

/// What stands beside an entry of each kind. `Err` says why it cannot be read, `None` that it is
/// not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Beside {
    /// An execution.
    Execution {
        /// What its content was appended under, from its row.
        content_digest: Result<Option<Digest>, String>,
        /// Of its source object.
        source_object: Option<ObjectDigest>,
    },
    /// A gap, which has nothing beside it.
    Gap,
    /// A quarantine: the row of its execution id and source digest.
    Quarantine(Result<Option<Quarantined>, String>),
    /// A hold: its row, with when it was placed.
    Hold(Result<Option<(Hold, Time)>, String>),
}

/// The row of an object that could not be mapped, but for its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The entry it names.
    pub index: u64,
    /// When it was put there.
    pub recorded_at: Time,
    /// Of the object.
    pub object: ObjectDigest,
}
