//! Where records are kept: one trait, one implementation a database.
//!
//! # Guarantees
//! - [`Store::append`] is one transaction. When it answers `Ok`, everything it accepted is on disk;
//!   when it answers `Err`, nothing of it is visible, except after [`StoreError::Unavailable`],
//!   where the commit may have taken effect: append the same batch again and every draft that was
//!   stored answers with its first receipt.
//! - Indexes of a log are 0, 1, 2 … without holes, and `recorded_at` never runs backwards in it.
//! - One execution (log, id, attempt, revision) is one entry, whoever sends it, however often.

use std::sync::Arc;

use async_trait::async_trait;
use dualaudit_record::{
    Entry, EntryKind, Time, WorkflowExecutionAudit,
    checkpoint::SignedCheckpoint,
    digest::Digest,
    entry::{Gap, Hold, Quarantine},
    execution::StoredExecution,
    log::{FORMAT, Leaf, Nonce, TileId},
    proof,
};
use serde::{Deserialize, Serialize};

mod ahead;
mod append;
mod beside;
mod conditions;
#[cfg(test)]
pub(crate) mod conformance;
mod erase;
mod filter;
mod head;
mod lookup;
mod moving;
mod names;
mod objects;
mod owner;
mod page;
pub mod postgres;
mod purge;
mod rebuild;
mod rows;
mod rules;
pub mod sqlite;
mod strays;
mod succession;
mod vouched;

pub use beside::{Beside, ContentDigest, HoldRow, ObjectDigest, Quarantined};
pub use dualaudit_record::selector::LabelRequirement;
pub use erase::{EraseDraft, rest_digest};
pub use filter::{Cursor, Filter};
pub use lookup::{Detail, ErasedBy, Lookup, MAX_REVISIONS, PurgedExecution, Wanted};
pub use moving::{Arrival, Departure, LogRow, LogState, Moved, MovingEntry, MovingPage};
pub use page::Page;
pub use purge::{
    MAX_PURGED, PurgeDraft, Removed, Weighed, WeighedUpTo, Weighing, entry_runs, part_digest, statistics,
};
pub use rebuild::{Compared, Derived, Mode, Rebuild, Rebuilding};
pub use rules::check_key;
pub use strays::{RowKey, Strays, Table};
pub use succession::Succession;

/// A store that can be handed around.
pub type SharedStore = Arc<dyn Store>;

/// A store with all that only a database's owner does to it.
pub trait Owned: Succession + Rebuild {}

impl<T: Succession + Rebuild> Owned for T {}

/// What every database must do. Coarse on purpose: one call is one visit.
#[async_trait]
pub trait Store: Send + Sync + 'static {
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

    /// One execution in full, or why there is no such one.
    async fn get(&self, wanted: &Wanted) -> Result<Lookup, StoreError>;

    /// Every log with its head.
    async fn logs(&self) -> Result<Vec<Head>, StoreError>;

    /// Entries of a log from index `from`, at most `limit`, in order, each with the body as it can be put
    /// together from the tables, and with what stands beside it. A page is one snapshot.
    ///
    /// What cannot be read of a body, or of what stands beside it, is said where it would be.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the entry of which a column cannot be read.
    async fn entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, StoreError>;

    /// The object that an entry keeps, decompressed: what an execution was mapped from, or could not be mapped.
    /// `None` where there is none, or none any more.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be decompressed.
    async fn object(&self, log: &str, index: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Looks at the next rows of a table, of one log or of all there are, in the order of their keys
    /// after `after`, at most `limit`, and names those that nothing vouches for; see [`Table`].
    ///
    /// A page is one snapshot, so what is appended meanwhile is no stray and hides none. Rows of a log
    /// that does not exist are strays too.
    async fn strays(
        &self,
        table: Table,
        log: Option<&str>,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Strays, StoreError>;

    /// The bytes of tiles and entry bundles of a log (C2SP `tlog-tiles`), in the order they are named: as
    /// much of each as there is by now, and `None` where there is nothing.
    async fn tiles(&self, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

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

/// Which entries of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// All of them.
    All,
    /// Those of one kind.
    Kind(EntryKind),
    /// Those of these executions. A revision that there is not has none.
    Revisions(&'a [RevisionName]),
}

/// Names one revision of an execution within a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevisionName {
    /// The execution.
    pub id: String,
    /// Which attempt.
    pub attempt: u32,
    /// Which revision of it.
    pub revision: u32,
}

/// Who a log belongs to. A log takes records from one owner only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The cluster whose `kube-system` namespace has this uid.
    Cluster(String),
    /// Producers that send over HTTP.
    Producers,
}

/// What is needed to open a log. The secret and the origin only matter at first use.
#[derive(Clone, Debug)]
pub struct LogOpening {
    /// `[a-z0-9.-]{1,63}`.
    pub log: String,
    /// Who wants it.
    pub owner: Owner,
    /// Origin line of its checkpoints; fixed when the log is created.
    pub origin: String,
    /// Key of its content digests and commitments; fixed when the log is created.
    pub secret: [u8; 32],
    /// Creation time, should it be created.
    pub now: Time,
}

/// An open log.
#[derive(Clone)]
pub struct Log {
    /// Its name.
    pub name: String,
    /// Origin line of its checkpoints.
    pub origin: String,
    /// Key of its content digests and commitments.
    pub secret: [u8; 32],
}

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
    form: Option<ahead::Form>,
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
            Self::HoldRelease { .. } | Self::Purge(_) => None,
            Self::Note(entry) => entry.execution_id(),
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    fn first(revision: Option<u32>) -> Self {
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
    /// A hold on, or an erasure of, an execution of which everything was purged.
    Purged,
    /// An erasure of an execution of which nothing is recorded.
    NothingRecorded,
    /// An erasure of an execution whose resource is in its cluster.
    InCluster,
    /// An erasure of what a hold covers.
    Held {
        /// Index of the hold's entry.
        hold: u64,
    },
    /// A release of a hold that there is not.
    NoSuchHold,
    /// There are as many open holds that select as a log may have.
    TooManyHolds,
    /// A purge of what is not as it was weighed; says what.
    Changed(String),
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
            Self::InCluster => f.write_str(
                "its resource is still in its cluster, with all that would be erased, and what it says is recorded: \
                 delete it there first, and wait until dualaudit has seen that",
            ),
            Self::Held { hold } => write!(f, "it is held by the hold of entry {hold}"),
            Self::NoSuchHold => f.write_str("there is no hold with this index"),
            Self::TooManyHolds => write!(
                f,
                "the log has {} open holds that select: release some, or name executions",
                purge::MAX_SELECTORS
            ),
            Self::Changed(what) => f.write_str(what),
        }
    }
}

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
}

impl Known {
    /// Takes what only a log knows in whose place this one goes on.
    fn fill_from(&mut self, earlier: Self) {
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

/// A log and its newest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: String,
    /// Who it takes records from.
    pub owner: Owner,
    /// Origin line of its checkpoints.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// RFC 6962 root over their leaves.
    pub root: Digest,
    /// `recorded_at` of the newest entry.
    pub recorded_at: Option<Time>,
    /// Whether it takes entries here.
    pub state: LogState,
    /// The newest checkpoint that was published, as it is stored: nobody has checked it.
    pub checkpoint: Option<String>,
}

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
    fn erased(self, by: Option<u64>) -> Self {
        match (self, by) {
            (Self::Whole(rest, nonce), Some(by)) => Self::Erased { by, rest, nonce },
            (other, _) => other,
        }
    }
}

impl StoreError {
    /// Whether the log takes nothing at present: what was sent may be sent again later, and all that comes
    /// meanwhile would fare the same.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::RolledBack(_))
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

/// There is no log of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no log {log}; there are: {}", logs.join(", "))]
pub struct NoSuchLog {
    /// What was asked for.
    pub log: String,
    /// What there is.
    pub logs: Vec<String>,
}

/// The logs that are meant, in the order of their names: the one that is named, or all.
///
/// # Errors
/// When there is none of that name.
pub fn meant(mut heads: Vec<Head>, log: Option<&str>) -> Result<Vec<Head>, NoSuchLog> {
    let Some(log) = log else { return Ok(heads) };
    match heads.iter().position(|head| head.log == log) {
        Some(place) => Ok(vec![heads.swap_remove(place)]),
        None => {
            let logs = heads.into_iter().map(|head| head.log).collect();
            Err(NoSuchLog { log: log.to_owned(), logs })
        }
    }
}

/// The log that knows all that one does, and what was recorded in its place since: the last of its successors.
pub fn newest<'a>(heads: &'a [Head], head: &'a Head) -> &'a str {
    let mut newest = head;
    // A log goes on in the place of an earlier one only, so this comes to an end.
    for _ in heads {
        let LogState::Succeeded { by } = &newest.state else { break };
        newest = heads.iter().find(|head| head.log == *by).unwrap_or(newest);
    }
    &newest.log
}

/// What went wrong, told apart by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full, locked or read-only, or the log takes nothing there any more
    /// or not yet. Try again; nothing acknowledged is lost. The commit may or may not have taken effect.
    #[error("{0}")]
    Unavailable(String),
    /// The question, or the batch, takes longer than it may. The same again will not help; less may. A
    /// batch may or may not have taken effect.
    #[error("{0}")]
    TooSlow(String),
    /// The database refuses this batch. Halve it to find the row; nothing of it was stored.
    #[error("the database refuses the batch: {0}")]
    Rejected(String),
    /// The database is damaged or not ours. Nobody can go on; a person must look.
    #[error("{0}")]
    Corrupt(String),
    /// The schema is newer than this program.
    #[error("{0}")]
    Unsupported(String),
    /// The log belongs to somebody else, or is not open here.
    #[error("{0}")]
    Foreign(String),
    /// The log does not extend a head that it is known to have had: the database was rolled back. It takes
    /// nothing any more, until a person opens its successor.
    #[error("{0}")]
    RolledBack(String),
}
