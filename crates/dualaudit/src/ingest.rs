//! The one door in: digest, redact, batch, append, answer with a receipt.
//!
//! # Guarantees
//! - There is no second queue: what waits here is held by whoever handed it in, and is answered
//!   only after the commit that holds it. A process that dies loses nothing acknowledged.
//! - Group commit: what arrived while the last commit ran goes into the next, at most
//!   [`BATCH_DRAFTS`] drafts and [`BATCH_BYTES`].
//! - A batch that the database refuses is retried in halves, so that one bad row harms only itself. So
//!   is one that takes it too long, and what follows stays as small until it goes well.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dualaudit_record::{
    EntryKind, WorkflowExecutionAudit,
    checkpoint::SignedCheckpoint,
    digest::{Digest, content_digest},
    entry::Quarantine,
    execution::QUARANTINE_LABEL,
    log::Nonce,
    proof,
    redact::{redact_object, redact_record},
};
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clock::{SharedClock, entropy},
    metrics::{Kind, Metrics},
    store::{Batch, Draft, ExecutionDraft, LogOpening, Origin, SharedStore, SourceObject},
};

// What goes through the door: whoever stands before it needs nothing else of the store.
pub use crate::store::{
    Answer, DraftContent, Known, Log, ReadBack, Receipt, ReceiptResult, Recorded, Refusal, ReviewDraft,
    Running, RunningAttempt, StoreError, Tracked, TrackedState, TrackingChange, WindowDraft,
};

mod folding;
mod pending;

use pending::Pending;

/// The most drafts one transaction takes.
pub const BATCH_DRAFTS: usize = 500;
/// The most bytes of drafts one transaction takes; a single larger draft goes alone.
pub const BATCH_BYTES: usize = 8 << 20;
/// Drafts that may wait; beyond it a sender waits for room, too.
const QUEUE: usize = 2 * BATCH_DRAFTS;
/// Tracking changes wait at most this long for an append to ride on.
const TRACKING_DELAY: Duration = Duration::from_millis(200);
/// How long to wait until tracking changes are in the database: longer than an append tries for.
const LONGEST_FLUSH: Duration = Duration::from_secs(10);
/// KiB of drafts that may wait; beyond it a sender waits for room.
const QUEUE_KIB: usize = 64 << 10;
/// Forms of a draft that wait: as it was sent, as it is hashed, as it is stored.
const FORMS: usize = 3;
/// How long to leave a database alone that could not take a batch.
const PAUSE: Duration = Duration::from_millis(500);

/// The door into one log. Cheap to clone; all clones share one queue and one appender.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    queue: mpsc::Sender<Waiting>,
}

struct Shared {
    store: SharedStore,
    clock: SharedClock,
    log: Log,
    metrics: Arc<Metrics>,
    tracking: Mutex<Pending>,
    /// The newest checkpoint that is not in the database yet.
    checkpoint: Mutex<Option<SignedCheckpoint>>,
    /// Something waits for an append to ride on.
    something_waits: Notify,
    extends: Mutex<Extends>,
    /// Something was given to the statistics.
    given: Notify,
}

/// What the log must extend to take anything: a head that it is known to have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extends {
    /// Nothing is kept outside the database.
    Nothing,
    /// What is kept outside the database has not been read since the database was away: until it is, the log
    /// takes nothing.
    Unread,
    /// This head.
    Head(proof::Head),
}

struct Waiting {
    draft: Draft,
    bytes: usize,
    /// Its share of the queue's memory.
    _room: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Ingest {
    /// Opens the log and starts its appender, which lives as long as a clone does.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::open_log`].
    pub async fn open(
        store: SharedStore,
        clock: SharedClock,
        opening: LogOpening,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let log = store.open_log(opening).await?;
        let shared = Arc::new(Shared {
            store,
            clock,
            log,
            metrics,
            tracking: Mutex::default(),
            checkpoint: Mutex::default(),
            something_waits: Notify::new(),
            extends: Mutex::new(Extends::Nothing),
            given: Notify::new(),
        });
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(append_until_closed(Arc::clone(&shared), waiting));
        Ok(Self { shared, room: Arc::new(Semaphore::new(QUEUE_KIB)), queue })
    }

    /// The log this is the door of.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Appends, together with whatever else waits. Answers after the commit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing is known to be stored, and sending again is safe.
    pub async fn submit(&self, content: DraftContent) -> Result<Answer, StoreError> {
        let bytes = content.size();
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable("dualaudit is shutting down".to_owned());
        let kib = u32::try_from((FORMS * bytes / 1024 + 1).min(QUEUE_KIB)).expect("64 Mi at most");
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| stopped())?;
        let draft = Draft::new(Nonce(entropy()), content);
        self.queue.send(Waiting { draft, bytes, _room: room, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// What the sameness of this record with a stored one is judged by.
    pub fn content_digest(&self, record: &WorkflowExecutionAudit) -> Digest {
        content_digest(record, &self.shared.log.secret)
    }

    /// A draft of a resource's record: digested, redacted, its source object compressed.
    pub fn from_resource(&self, mut record: WorkflowExecutionAudit, object: Value) -> DraftContent {
        let content_digest = self.content_digest(&record);
        let source = Some(compress(&self.redacted(object, &record.id)));
        redact_record(&mut record, &self.shared.log.secret);
        DraftContent::Execution(Box::new(ExecutionDraft {
            record,
            content_digest,
            origin: Origin::Resource,
            source,
        }))
    }

    /// A draft of a producer's record.
    pub fn from_producer(&self, mut record: WorkflowExecutionAudit, amend: Option<u32>) -> DraftContent {
        let content_digest = self.content_digest(&record);
        redact_record(&mut record, &self.shared.log.secret);
        DraftContent::Execution(Box::new(ExecutionDraft {
            record,
            content_digest,
            origin: Origin::Producer { amend },
            source: None,
        }))
    }

    /// A draft of the record of an object that the entry of this index put in quarantine, as it was kept there. The
    /// record refers to that entry.
    pub fn from_quarantine(
        &self,
        mut record: WorkflowExecutionAudit,
        object: &str,
        entry: u64,
    ) -> DraftContent {
        let content_digest = self.content_digest(&record);
        record.labels.insert(QUARANTINE_LABEL.to_owned(), entry.to_string());
        redact_record(&mut record, &self.shared.log.secret);
        DraftContent::Execution(Box::new(ExecutionDraft {
            record,
            content_digest,
            origin: Origin::Quarantine { entry },
            source: Some(compress(object)),
        }))
    }

    /// A draft that keeps an object whole which cannot be mapped, for this reason.
    pub fn quarantine(
        &self,
        id: &str,
        namespace: &str,
        name: &str,
        reason: &str,
        object: Value,
    ) -> DraftContent {
        let object = compress(&self.redacted(object, id));
        let entry = Quarantine {
            execution_id: id.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            reason: reason.to_owned(),
            source_digest: object.digest,
        };
        DraftContent::Quarantine { entry, object }
    }

    /// An object's JSON as it may be kept: secret values replaced by commitments.
    pub fn redacted(&self, object: Value, id: &str) -> String {
        self.redacted_object(object, id).to_string()
    }

    /// An object as it may be shown.
    pub fn redacted_object(&self, mut object: Value, id: &str) -> Value {
        redact_object(&mut object, &self.shared.log.secret, id);
        object
    }

    /// Replaces the secret values of a record by commitments, as they will be stored.
    pub fn redact(&self, record: &mut WorkflowExecutionAudit) {
        redact_record(record, &self.shared.log.secret);
    }

    /// Notes a change of what is tracked. Never waits: the changes of one id collapse into the
    /// latest, and go into the database with the next append.
    pub fn track(&self, change: TrackingChange) {
        self.shared.pending().put(change);
        self.shared.something_waits.notify_one();
    }

    /// Takes the newest checkpoint to serve. Never waits: it goes into the database with the next append.
    pub fn publish(&self, checkpoint: SignedCheckpoint) {
        *lock(&self.shared.checkpoint) = Some(checkpoint);
        self.shared.something_waits.notify_one();
    }

    /// What the log must extend, from now on.
    pub fn set_extends(&self, extends: Extends) {
        *lock(&self.shared.extends) = extends;
    }

    /// What the log must extend.
    pub fn extends(&self) -> Extends {
        *lock(&self.shared.extends)
    }

    /// Waits until every tracking change noted so far is in the database, but not for ever; whether it
    /// is.
    pub async fn flush_tracking(&self) -> bool {
        let began = Instant::now();
        while !self.shared.pending().is_settled() {
            if began.elapsed() > LONGEST_FLUSH {
                return false;
            }
            self.shared.something_waits.notify_one();
            tokio::time::sleep(TRACKING_DELAY / 2).await;
        }
        true
    }

    /// See [`crate::store::Store::known`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn known(&self, ids: &[String]) -> Result<Vec<Known>, StoreError> {
        self.shared.store.known(&self.shared.log.name, ids).await
    }

    /// See [`crate::store::Store::read_back`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read_back(&self, log: &str, id: &str, attempt: u32) -> Result<Option<ReadBack>, StoreError> {
        self.shared.store.read_back(log, id, attempt).await
    }

    /// See [`crate::store::Store::tracked`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tracked(&self, after: Option<&str>, limit: u32) -> Result<Vec<Tracked>, StoreError> {
        self.shared.store.tracked(&self.shared.log.name, after, limit).await
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.tracking)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DraftContent {
    fn kind(&self) -> EntryKind {
        match self {
            Self::Execution(_) => EntryKind::Execution,
            Self::Gap(_) => EntryKind::Gap,
            Self::Quarantine { .. } => EntryKind::Quarantine,
            Self::Hold(_) => EntryKind::Hold,
            Self::HoldRelease { .. } => EntryKind::HoldRelease,
            Self::Purge(_) => EntryKind::Purge,
            Self::Erase(_) => EntryKind::Erasure,
            Self::Review(_) => EntryKind::Review,
            Self::Window(_) => EntryKind::Window,
            Self::Note(entry) => entry.kind(),
        }
    }

    /// About how many bytes it adds to a transaction.
    fn size(&self) -> usize {
        match self {
            Self::Execution(draft) => {
                let source = draft.source.as_ref().map_or(0, |source| source.compressed.len());
                512 + draft.record.json_size() + source
            }
            Self::Gap(gap) => 512 + gap.last_state.len(),
            Self::Quarantine { entry, object } => 512 + entry.reason.len() + object.compressed.len(),
            Self::Hold(hold) => 512 + hold.reason.len(),
            Self::HoldRelease { reason, .. } => 512 + reason.len(),
            Self::Review(review) => 512 + review.note.len() + review.actor.len(),
            Self::Window(window) => 512 + window.reason.len() + window.actor.len(),
            Self::Purge(_) | Self::Erase(_) => BATCH_BYTES,
            Self::Note(_) => 2 << 10,
        }
    }
}

fn compress(object: &str) -> SourceObject {
    let compressed = zstd::bulk::compress(object.as_bytes(), zstd::DEFAULT_COMPRESSION_LEVEL)
        .expect("compressing into memory cannot fail");
    SourceObject { compressed, digest: Digest::sha256(object.as_bytes()) }
}

/// Appends whatever arrives until every door is closed and the queue is empty.
async fn append_until_closed(shared: Arc<Shared>, mut queue: mpsc::Receiver<Waiting>) {
    let _folds = AbortOnDropHandle::new(tokio::spawn(folding::fold_what_is_given(Arc::clone(&shared))));
    let mut held_over = None;
    let mut most = BATCH_DRAFTS;
    loop {
        let first = match held_over.take() {
            Some(waiting) => Some(waiting),
            None => tokio::select! {
                biased;
                waiting = queue.recv() => match waiting {
                    Some(waiting) => Some(waiting),
                    None => break,
                },
                () = something_is_due(&shared) => None,
            },
        };
        let mut group = Vec::new();
        let mut bytes = 0;
        if let Some(first) = first {
            bytes = first.bytes;
            group.push(first);
        }
        while group.len() < most
            && let Ok(next) = queue.try_recv()
        {
            if bytes + next.bytes > BATCH_BYTES {
                held_over = Some(next);
                break;
            }
            bytes += next.bytes;
            group.push(next);
        }
        most = append_group(&shared, group, most).await;
    }
    append_group(&shared, Vec::new(), most).await;
}

async fn something_is_due(shared: &Shared) {
    shared.something_waits.notified().await;
    if shared.pending().len() < BATCH_DRAFTS {
        tokio::time::sleep(TRACKING_DELAY).await;
    }
}

/// Appends a group of at most so many with the tracking changes that are due, and answers everyone in it.
/// Says how many the next may be.
async fn append_group(shared: &Shared, group: Vec<Waiting>, most: usize) -> usize {
    let drafted = group.iter().filter_map(|waiting| waiting.draft.content.execution_id());
    let tracking = shared.pending().take(drafted, most);
    let (drafts, replies): (Vec<_>, Vec<_>) =
        group.into_iter().map(|waiting| (waiting.draft, waiting.reply)).unzip();
    let checkpoint = lock(&shared.checkpoint).take();
    // Looked at once: what is read meanwhile counts for the next.
    let (extends, closed) = match *lock(&shared.extends) {
        Extends::Nothing => (None, None),
        Extends::Head(head) => (Some(head), None),
        Extends::Unread => {
            let what = "the copies of checkpoints that are kept outside the database were not read yet";
            (None, Some(StoreError::Unavailable(what.to_owned())))
        }
    };
    let batch = Batch { drafts, tracking, checkpoint, extends };
    let Appended { answers, unstored, unpublished, was_too_slow } =
        append_in_halves(shared, Arc::new(batch), closed).await;
    let closed = answers.iter().any(|answer| answer.as_ref().is_err_and(StoreError::is_closed));
    if answers.iter().flatten().any(Answer::is_new) {
        shared.given.notify_one();
    }
    for (reply, answer) in replies.into_iter().zip(answers) {
        // A sender that went away may ask again and gets the same receipt.
        let _ = reply.send(answer);
    }
    let stuck = !unstored.is_empty() || unpublished.is_some();
    shared.pending().restore(unstored);
    if let Some(checkpoint) = unpublished {
        lock(&shared.checkpoint).get_or_insert(checkpoint);
        shared.something_waits.notify_one();
    }
    if stuck || closed {
        tokio::time::sleep(PAUSE).await;
    }
    if !shared.pending().is_empty() {
        shared.something_waits.notify_one();
    }
    if was_too_slow { (most / 2).max(1) } else { (2 * most).min(BATCH_DRAFTS) }
}

/// What became of a batch.
struct Appended {
    /// One answer a draft.
    answers: Vec<Result<Answer, StoreError>>,
    /// The tracking changes that must be tried again.
    unstored: Vec<TrackingChange>,
    /// The checkpoint that must be tried again.
    unpublished: Option<SignedCheckpoint>,
    /// Whether some of it took the database too long.
    was_too_slow: bool,
}

/// Appends a batch, and in parts what the database does not take at once.
///
/// A batch that is refused or takes too long is split; what is refused alone is answered alone. Parts of
/// one that took effect after all are duplicates. A tracking change that is refused alone is dropped and
/// said: it is a copy of what the cluster still has. A database that is `gone` is asked no more: were it back in
/// the middle, drafts would be stored before what was seen ahead of them.
async fn append_in_halves(shared: &Shared, batch: Arc<Batch>, mut gone: Option<StoreError>) -> Appended {
    let mut answers = Vec::with_capacity(batch.drafts.len());
    let mut unstored = Vec::new();
    let mut unpublished = None;
    let mut was_too_slow = false;
    // Depth first and left to right, so that answers come in the order of the drafts.
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        let appended = match &gone {
            Some(error) => Err(StoreError::clone(error)),
            None => append(shared, &part).await,
        };
        let is_one = part.len() == 1;
        was_too_slow |= matches!(appended, Err(StoreError::TooSlow(_)));
        let appended = match appended {
            // It is the database that is slow: nobody else's turn would come sooner.
            Err(StoreError::TooSlow(why)) if is_one => Err(StoreError::Unavailable(why)),
            appended => appended,
        };
        if let Err(error) = &appended
            && error.is_closed()
        {
            gone = Some(error.clone());
        }
        match appended {
            Ok(stored) => {
                for (draft, _) in part.drafts.iter().zip(&stored).filter(|(_, answer)| answer.is_new()) {
                    let kind = Kind { kind: draft.content.kind().as_str() };
                    shared.metrics.appended.get_or_create(&kind).inc();
                }
                answers.extend(stored.into_iter().map(Ok));
            }
            // Damage to one row must not stop the others either.
            Err(StoreError::Rejected(_) | StoreError::Corrupt(_) | StoreError::TooSlow(_)) if !is_one => {
                let (left, right) = halves(Arc::unwrap_or_clone(part));
                parts.push(Arc::new(right));
                parts.push(Arc::new(left));
            }
            Err(error) => {
                if let StoreError::Rejected(reason) = &error {
                    for change in &part.tracking {
                        tracing::error!(execution = change.id(), %reason, "a tracked state cannot be stored");
                    }
                    if part.checkpoint.is_some() {
                        tracing::error!(%reason, "a checkpoint cannot be published");
                    }
                } else {
                    unstored.extend_from_slice(&part.tracking);
                    unpublished = part.checkpoint.clone().or(unpublished);
                }
                answers.extend(part.drafts.iter().map(|_| Err(error.clone())));
            }
        }
    }
    Appended { answers, unstored, unpublished, was_too_slow }
}

async fn append(shared: &Shared, batch: &Arc<Batch>) -> Result<Vec<Answer>, StoreError> {
    let began = Instant::now();
    let appended = shared.store.append(&shared.log.name, Arc::clone(batch), shared.clock.now()).await;
    shared.metrics.append_seconds.observe(began.elapsed().as_secs_f64());
    if appended.is_err() {
        shared.metrics.append_failures.inc();
    }
    if let Err(StoreError::Unavailable(_)) = &appended {
        let mut extends = lock(&shared.extends);
        if matches!(*extends, Extends::Head(_)) {
            // What comes back may be an older state of the database.
            *extends = Extends::Unread;
        }
    }
    appended
}

/// Tracking from drafts first, then either in two; the checkpoint goes with the last, and at the end alone.
fn halves(mut batch: Batch) -> (Batch, Batch) {
    let (checkpoint, extends) = (batch.checkpoint.take(), batch.extends);
    let (mut drafts, mut tracking) = (Vec::new(), Vec::new());
    if !batch.drafts.is_empty() && !batch.tracking.is_empty() {
        drafts = std::mem::take(&mut batch.drafts);
    } else {
        // One alone stays, and only its checkpoint goes.
        drafts.extend(batch.drafts.drain(batch.drafts.len().div_ceil(2)..));
        tracking.extend(batch.tracking.drain(batch.tracking.len().div_ceil(2)..));
    }
    (batch, Batch { drafts, tracking, checkpoint, extends })
}

#[cfg(test)]
mod tests;
