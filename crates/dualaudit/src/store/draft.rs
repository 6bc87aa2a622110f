//! What is handed to a store to append.

use dualaudit_record::{
    Entry, Time, WorkflowExecutionAudit,
    checkpoint::SignedCheckpoint,
    digest::Digest,
    entry::{Gap, Hold, Quarantine, Verdict},
    log::Nonce,
    proof,
};

use super::{EraseDraft, PurgeDraft, TrackingChange, ahead};

/// What one append takes.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// At most 500, and at most 8 MiB in all.
    pub drafts: Vec<Draft>,
    /// Applied before the drafts, in order: what was seen of an execution before it was drafted.
    pub tracking: Vec<TrackingChange>,
    /// The newest checkpoint to serve, if there is a newer one.
    pub checkpoint: Option<SignedCheckpoint>,
    /// A head that the log is known to have had, by a checkpoint kept outside the database: it must extend
    /// it, or takes nothing.
    pub extends: Option<proof::Head>,
}

impl Batch {
    /// How many things there are to do.
    pub fn len(&self) -> usize {
        self.drafts.len() + self.tracking.len() + usize::from(self.checkpoint.is_some())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Something to append, with the nonce its body will carry.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Random; makes the body's digest say nothing about the body.
    pub nonce: Nonce,
    /// What to append.
    pub content: DraftContent,
    /// Of an execution, how it will most likely be stored.
    pub(super) form: Option<ahead::Form>,
}

/// What a draft says. Execution ids, indexes and revisions are given by the store.
#[derive(Clone, Debug)]
pub enum DraftContent {
    /// An execution as it ended.
    Execution(Box<ExecutionDraft>),
    /// An execution that is gone; becomes an entry only if nothing accounts for it, see
    /// [`Answer::Accounted`].
    Gap(Gap),
    /// An object that cannot be mapped, kept whole. Once for each `source_digest` of an id.
    Quarantine {
        /// What the entry says.
        entry: Quarantine,
        /// The object's bytes (redacted JSON), zstd.
        object: SourceObject,
    },
    /// A hold. Once for each reason while one with that reason is open on the same.
    Hold(Hold),
    /// The release of a hold; once.
    HoldRelease {
        /// Index of the hold's entry.
        hold: u64,
        /// Why.
        reason: String,
        /// Who said so.
        actor: String,
    },
    /// A verdict on an attempt of an execution; once while it is the newest on that, or at all (see [`ReviewDraft::stands`]).
    Review(ReviewDraft),
    /// A longer window for an attempt of an execution: one that ends when one before it did is that one.
    Window(WindowDraft),
    /// An entry that changes nothing but the log: a heartbeat, which is [`Answer::Accounted`] when the log has
    /// grown of itself, a succession or an export, once, or the digest of a day, once.
    Note(Box<Entry>),
    /// A part of a purge: all of it, or, where anything is not as it was weighed, nothing. The only draft
    /// of its batch, because holds are looked at before any draft is decided.
    Purge(Box<PurgeDraft>),
    /// An erasure of what is whole of an execution, of one with very much a part: asked for again, it takes
    /// the rest, and where nothing is left to take it answers with the receipt of the last that did. The only
    /// draft of its batch, for the same reason.
    Erase(Box<EraseDraft>),
}

impl DraftContent {
    /// The one execution it is known to concern.
    pub fn execution_id(&self) -> Option<&str> {
        match self {
            Self::Execution(draft) => Some(&draft.record.id),
            Self::Gap(gap) => Some(&gap.execution_id),
            Self::Quarantine { entry, .. } => Some(&entry.execution_id),
            Self::Hold(hold) => hold.covers.execution_id(),
            Self::Erase(erase) => Some(&erase.execution_id),
            Self::Review(review) => Some(&review.execution_id),
            Self::Window(window) => Some(&window.execution_id),
            Self::HoldRelease { .. } | Self::Purge(_) => None,
            Self::Note(entry) => entry.execution_id(),
        }
    }
}

/// A verdict to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewDraft {
    /// The execution.
    pub execution_id: String,
    /// Which run of it; the latest that is recorded unless given.
    pub attempt: Option<u32>,
    /// What is said of it.
    pub verdict: Verdict,
    /// Why; may be empty.
    pub note: String,
    /// Who says so.
    pub actor: String,
    /// Whether it is said by something that stays where it is, such as an annotation: then once, whatever was said since.
    pub stands: bool,
}

/// A longer window to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowDraft {
    /// The execution.
    pub execution_id: String,
    /// Which run of it; the latest that is recorded unless given.
    pub attempt: Option<u32>,
    /// When it ends.
    pub until: Time,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub actor: String,
}

/// An execution to append.
#[derive(Clone, Debug)]
pub struct ExecutionDraft {
    /// The record, redacted. `attempt` is what a producer said; for a resource the store numbers it.
    pub record: WorkflowExecutionAudit,
    /// HMAC of the canonical record before redaction: what "the same" is judged by.
    pub content_digest: Digest,
    /// Where it comes from, which decides what a difference means.
    pub origin: Origin,
    /// The object it was mapped from.
    pub source: Option<SourceObject>,
}

/// Where a record comes from, and so what it means when it differs from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A resource. A new `started_at` is a new attempt; equal to the latest revision is nothing
    /// new; anything else is a new revision.
    Resource,
    /// A producer. Equal to any revision is a duplicate; a difference is refused, unless the
    /// producer amends the revision it names.
    Producer {
        /// The latest revision the producer knows of, when it means to amend.
        amend: Option<u32>,
    },
    /// An object in quarantine that can be mapped by now. Of an attempt that is recorded it is a new revision
    /// where that was recorded before the object was put in quarantine; else what is recorded is newer.
    Quarantine {
        /// Index of the entry by which it was put there.
        entry: u64,
    },
}

/// A source object, redacted, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceObject {
    /// zstd of serde_json's compact form.
    pub compressed: Vec<u8>,
    /// SHA-256 of the bytes before compression.
    pub digest: Digest,
}
