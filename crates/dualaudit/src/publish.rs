//! Checkpoints of a log: made, signed, kept outside the database, cosigned, published.
//!
//! # Guarantees
//! - Nothing is signed, and nothing appended, on a head that does not extend the newest checkpoint kept
//!   outside the database: at the start, after the database was away, and before each signature.
//! - A checkpoint is kept outside before it is published: whoever has seen one can compare it with a copy.
//! - At most one a second is made, while there is something new. After a quiet hour a heartbeat is
//!   appended, so that silence is signed, too.
//! - A witness that is down, slow or wrong holds up no append, and a checkpoint for seconds only.

use std::{sync::Arc, time::Duration};

use dualaudit_record::{
    Entry, Time,
    checkpoint::{Checkpoint, SignedCheckpoint, SigningKey},
    entry::Heartbeat,
    proof,
};

use crate::{
    clock::SharedClock,
    ingest::{DraftContent, Extends, Ingest},
    metrics::Metrics,
    proof::{Grown, ProveError, grown},
    store::{Head, SharedStore, StoreError},
};

pub mod copies;
pub mod keys;
pub mod succeed;
pub mod witness;

use copies::{Copies, CopyError};
use witness::Witness;

/// How often it is looked whether there is something new.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last checkpoint may take once everything else has ended.
const LAST: Duration = Duration::from_secs(2);
/// After so many seconds without an entry, one is made that says so.
const QUIET_SECONDS: i64 = 3600;

/// What a log's checkpoints are made with.
pub struct Publisher {
    /// Where the log's head is read.
    pub store: SharedStore,
    /// The door into the log.
    pub ingest: Ingest,
    /// Each signs. Without any, checkpoints are unsigned.
    pub keys: Vec<SigningKey>,
    /// Where each checkpoint is kept, outside the database.
    pub copies: Copies,
    /// Who cosigns.
    pub witnesses: Vec<Witness>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
}

/// Why no checkpoint is made.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A copy cannot be read.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The log is not what a copy promised.
    #[error("{0}")]
    RolledBack(String),
    /// The log cannot be read, or not proved.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The origin cannot stand in a checkpoint.
    #[error("no checkpoint can be made of the log: {0}")]
    Malformed(#[from] dualaudit_record::checkpoint::MalformedCheckpoint),
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Prove(error.into())
    }
}

impl Publisher {
    /// Reads the copies, and says what the log must extend from now on. Until this was called once, a log
    /// with copies takes nothing.
    ///
    /// # Errors
    /// [`PublishError::Copy`] when one cannot be read, or is of another log of the same name: then the log goes on taking
    /// nothing. That it was rolled back is no error here: its appends are refused.
    pub async fn read_copies(&self) -> Result<(), PublishError> {
        if self.copies.is_empty() {
            return Ok(());
        }
        self.ingest.set_extends(Extends::Unread);
        let newest = self.copies.newest(&self.ingest.log().origin).await?;
        let heads = newest.iter().map(SignedCheckpoint::head);
        let known = heads.max_by_key(|head| head.size).map(head_of);
        self.ingest.set_extends(known.map_or(Extends::Nothing, Extends::Head));
        Ok(())
    }

    /// Makes checkpoints until `stop`, and a last one then.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut state = Published::default();
        let keep_on = async {
            loop {
                tokio::time::sleep(EVERY).await;
                self.try_to_publish(&mut state).await;
            }
        };
        tokio::select! {
            () = &mut stop => {}
            () = keep_on => {}
        }
        // What was under way may have been kept, and is then kept once.
        if tokio::time::timeout(LAST, self.try_to_publish(&mut state)).await.is_err() {
            tracing::warn!(log = self.ingest.log().name, "the last checkpoint was not made in time");
        }
    }

    async fn try_to_publish(&self, state: &mut Published) {
        match self.publish(state).await {
            Ok(()) => state.failed = None,
            Err(error) => self.failed(state, &error),
        }
    }

    fn failed(&self, state: &mut Published, error: &PublishError) {
        self.metrics.checkpoint_failures.inc();
        let text = error.to_string();
        // Once, not each second.
        if state.failed.as_ref() != Some(&text) {
            match error {
                PublishError::RolledBack(_) => tracing::error!(%error, "no checkpoint is made"),
                PublishError::Copy(copy) if copy.is_of_another_log() => {
                    tracing::error!(%error, "nothing is recorded, and no checkpoint is made");
                }
                _ => tracing::warn!(%error, "no checkpoint is made for now"),
            }
            state.failed = Some(text);
        }
    }

    /// Makes a checkpoint if there is something new.
    async fn publish(&self, state: &mut Published) -> Result<(), PublishError> {
        if self.ingest.extends() == Extends::Unread {
            self.read_copies().await?;
        }
        let head = self.head().await?;
        let now = proof::Head { size: head.size, root: head.root };
        if state.newest == Some(now) {
            return self.beat(&head).await;
        }
        self.check_extends(state, now).await?;
        if head.size == 0 {
            return Ok(());
        }
        if state.newest.is_none() && self.is_published(&head, now) {
            if !self.all_signed(&head) {
                // A checkpoint takes the place of a smaller one only.
                return self.heartbeat(&head).await;
            }
            state.newest = Some(now);
            return Ok(());
        }
        let checkpoint = Checkpoint { origin: head.origin, size: head.size, root: head.root };
        let mut checkpoint = SignedCheckpoint::sign(checkpoint, &self.keys)?;
        if let Err(error) = self.copies.keep(&checkpoint, self.clock.now()).await {
            if error.is_of_another_log() {
                // It was not there when the copies were read: from now on, nothing is appended beside it.
                self.ingest.set_extends(Extends::Unread);
            }
            return Err(error.into());
        }
        if !self.copies.is_empty() {
            self.ingest.set_extends(Extends::Head(now));
        }
        witness::cosign(&self.witnesses, &mut checkpoint, &self.store, &head.log, &self.metrics).await;
        self.ingest.publish(checkpoint);
        self.metrics.checkpoints.inc();
        state.newest = Some(now);
        Ok(())
    }

    /// Whether who ran before made a checkpoint of this head.
    fn is_published(&self, head: &Head, now: proof::Head) -> bool {
        let is_kept = self.copies.is_empty() || self.ingest.extends() == Extends::Head(now);
        is_kept && head.checkpoint.as_deref().and_then(size_of) == Some(now.size)
    }

    /// Whether each of the keys signed the published checkpoint: a new one has something to sign at once.
    fn all_signed(&self, head: &Head) -> bool {
        let note = head.checkpoint.as_deref().and_then(|note| note.parse::<SignedCheckpoint>().ok());
        note.is_none_or(|note| self.keys.iter().all(|key| note.vouched(&[key.public().clone()]).is_ok()))
    }

    /// The rule of rollback: a head that does not extend what is kept outside is not signed.
    async fn check_extends(&self, state: &Published, now: proof::Head) -> Result<(), PublishError> {
        let log = &self.ingest.log().name;
        let kept = match self.ingest.extends() {
            Extends::Head(head) => Some(head),
            Extends::Nothing | Extends::Unread => None,
        };
        for known in kept.into_iter().chain(state.newest) {
            match grown(&self.store, log, known, now).await? {
                Grown::Extends => {}
                Grown::RolledBack(how) => {
                    self.ingest.set_extends(Extends::Head(known));
                    return Err(PublishError::RolledBack(how));
                }
            }
        }
        Ok(())
    }

    /// After a quiet hour, something to sign.
    async fn beat(&self, head: &Head) -> Result<(), PublishError> {
        let quiet_since = head.recorded_at.map_or(i64::MAX, Time::as_micros);
        if self.clock.now().as_micros().saturating_sub(quiet_since) < QUIET_SECONDS * 1_000_000 {
            return Ok(());
        }
        self.heartbeat(head).await
    }

    async fn heartbeat(&self, head: &Head) -> Result<(), PublishError> {
        let heartbeat = Entry::Heartbeat(Heartbeat { size: head.size });
        self.ingest.submit(DraftContent::Note(Box::new(heartbeat))).await?;
        Ok(())
    }

    async fn head(&self) -> Result<Head, PublishError> {
        let log = &self.ingest.log().name;
        let heads = self.store.logs().await?;
        let head = heads.into_iter().find(|head| head.log == *log);
        Ok(head.ok_or_else(|| ProveError::NoSuchLog(log.clone()))?)
    }
}

/// What was made so far.
#[derive(Default)]
struct Published {
    newest: Option<proof::Head>,
    /// The last thing that was said about why none is made.
    failed: Option<String>,
}

fn head_of(checkpoint: &Checkpoint) -> proof::Head {
    proof::Head { size: checkpoint.size, root: checkpoint.root }
}

fn size_of(note: &str) -> Option<u64> {
    note.parse::<SignedCheckpoint>().ok().map(|checkpoint| checkpoint.head().size)
}

#[cfg(test)]
mod tests;
