//! What those who read add to logs: the entries that tell of an export, and reviews.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dualaudit_record::{
    Entry,
    export::{Export, RecordedExport},
    log::Nonce,
    proof::Head,
};

use super::ExportError;
use crate::{
    clock::{SharedClock, entropy},
    ingest::Ingest,
    proof::{Bundler, ProveError},
    store::{Answer, Batch, Draft, DraftContent, Receipt, SharedStore, StoreError, Which},
};

/// How long to wait for a checkpoint that covers the entry.
const CHECKPOINT: Duration = Duration::from_secs(3);
/// How often to look for it.
const LOOK: Duration = Duration::from_millis(100);

/// Appends what those who read add to logs.
#[derive(Clone)]
pub struct Recorder {
    store: SharedStore,
    clock: SharedClock,
    /// Into the logs that this process appends to anyway: what they must extend, it knows.
    doors: Vec<Ingest>,
    /// By each of the other logs, the newest head that is kept of it outside the database.
    extends: BTreeMap<String, Head>,
    /// Whether it appends through its doors only.
    doors_only: bool,
}

impl Recorder {
    /// Of a database; through these doors into the logs that they are of.
    pub fn new(store: SharedStore, clock: SharedClock, doors: Vec<Ingest>) -> Self {
        Self { store, clock, doors, extends: BTreeMap::new(), doors_only: false }
    }

    /// The same; a log that does not extend the head that is known of it takes nothing.
    #[must_use]
    pub fn extending(self, extends: BTreeMap<String, Head>) -> Self {
        Self { extends, ..self }
    }

    /// The same, through its doors only: of other logs it is not known here what they must extend.
    #[must_use]
    pub fn through_doors_only(self, doors_only: bool) -> Self {
        Self { doors_only, ..self }
    }

    /// Checks that each of these logs would take an entry from here.
    pub(super) fn check(&self, logs: &[String]) -> Result<(), ExportError> {
        let is_door = |log: &&String| self.doors.iter().any(|door| door.log().name == **log);
        match logs.iter().find(|log| self.doors_only && !is_door(log)) {
            None => Ok(()),
            Some(log) => Err(ExportError::Closed(format!(
                "the log {log} is written by another process, and what it must extend is not known here"
            ))),
        }
    }

    /// Where is read from.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Appends the entry to each of these logs; once, however often it is said.
    pub(super) async fn record(
        &self,
        export: &Export,
        logs: &[String],
    ) -> Result<Vec<RecordedExport>, ExportError> {
        let mut recorded = Vec::with_capacity(logs.len());
        for log in logs {
            let content = DraftContent::Note(Box::new(Entry::Export(Box::new(export.clone()))));
            let unrecorded = |reason: String| ExportError::Unrecorded { log: log.clone(), reason };
            match self.append(log, content).await {
                Ok(Answer::Stored(Receipt { index, leaf_hash, recorded_at, .. })) => {
                    recorded.push(RecordedExport {
                        log: log.clone(),
                        index,
                        leaf_hash,
                        recorded_at,
                        proof: None,
                    });
                }
                Ok(other) => return Err(unrecorded(format!("the database answered {other:?}"))),
                Err(error) => return Err(unrecorded(error.to_string())),
            }
        }
        Ok(recorded)
    }

    /// Appends what somebody who reads says to a log, once, however often the answer is lost.
    ///
    /// # Errors
    /// [`ExportError::Closed`] where the log would take nothing from here; those of the store.
    pub async fn submit(&self, log: &str, content: DraftContent) -> Result<Answer, ExportError> {
        self.check(&[log.to_owned()])?;
        Ok(self.append(log, content).await?)
    }

    async fn append(&self, log: &str, content: DraftContent) -> Result<Answer, StoreError> {
        if let Some(door) = self.doors.iter().find(|door| door.log().name == log) {
            return door.submit(content).await;
        }
        let drafts = vec![Draft::new(Nonce(entropy()), content)];
        let batch = Batch { drafts, extends: self.extends.get(log).copied(), ..Batch::default() };
        let batch = Arc::new(batch);
        // Whatever became of the first try, the same again answers with its receipt.
        let answers = match self.store.append(log, Arc::clone(&batch), self.clock.now()).await {
            Err(StoreError::Unavailable(_)) => self.store.append(log, batch, self.clock.now()).await,
            answers => answers,
        };
        answers?.pop().ok_or_else(|| StoreError::Rejected("a draft was not answered".to_owned()))
    }

    /// Adds the proof of each entry, as soon as a checkpoint covers it, or none where that takes too long.
    pub(super) async fn prove(&self, recorded: &mut [RecordedExport]) -> Result<(), ExportError> {
        let mut waited = Duration::ZERO;
        for RecordedExport { log, index, proof, .. } in recorded {
            loop {
                let mut bundler = Bundler::newest(self.store.clone(), log).await?;
                if *index < bundler.checkpoint().head().size {
                    let stored = self.store.entries(log, Which::All, *index, 1).await?.into_iter().next();
                    let stored = stored.filter(|stored| stored.index == *index).ok_or_else(|| {
                        ProveError::Damaged { log: log.clone(), reason: format!("entry {index} is missing") }
                    })?;
                    *proof = Some(bundler.bundle(&stored).await?);
                    break;
                }
                if waited >= CHECKPOINT {
                    break;
                }
                tokio::time::sleep(LOOK).await;
                waited += LOOK;
            }
        }
        Ok(())
    }
}
