//! Proofs that entries are in a log, made from what its database holds.
//!
//! # Guarantees
//! - Whatever is handed out was checked: a database that does not agree with itself proves nothing.
//! - Memory is bounded, however many entries are proved one after the other.

use std::collections::HashMap;

use dualaudit_record::{
    Entry, EntryKind,
    checkpoint::{Checkpoint, MalformedCheckpoint, SignedCheckpoint},
    digest::Digest,
    execution::StoredExecution,
    log::{FORMAT, Leaf, Nonce, TileData, TileId, body},
    proof::{
        self, Bundle, CannotProve, InclusionProof, prove_consistency, prove_inclusion, tiles_of_consistency,
        tiles_of_inclusion,
    },
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::store::{Head, Receipt, SharedStore, StoreError, StoredBody, StoredEntry};

/// Tiles kept between proofs: entries that are proved one after the other share most of theirs. Of 8 KiB each.
const TILES: usize = 256;

/// Why no proof can be given.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// There is no log of that name.
    #[error("there is no log {0}")]
    NoSuchLog(String),
    /// No checkpoint of the log was published yet; the first one will be soon after its first entry.
    #[error("the log {0} has no checkpoint yet: ask again in a few seconds after something was recorded")]
    Unpublished(String),
    /// The newest checkpoint was made before the entry was appended; the next one will be soon.
    #[error(
        "the newest checkpoint of the log {log} covers {size} entries, and not yet entry {index}: ask again in a few seconds"
    )]
    NotYet {
        /// The log.
        log: String,
        /// What the checkpoint covers.
        size: u64,
        /// The entry.
        index: u64,
    },
    /// The database does not agree with itself.
    #[error("the log {log} cannot be proved: {reason}; run `dualaudit verify`")]
    Damaged {
        /// The log.
        log: String,
        /// How.
        reason: String,
    },
    /// The database went away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Proves what a log holds in one of its heads.
pub struct Prover {
    store: SharedStore,
    log: String,
    head: proof::Head,
    tiles: HashMap<TileId, Vec<u8>>,
}

/// Whether a log grew from one head to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grown {
    /// It begins with all that it had.
    Extends,
    /// It does not; says how.
    RolledBack(String),
}

/// Whether the log with the head `now` begins with all that it had with the head `known`.
///
/// # Errors
/// See [`ProveError`].
pub async fn grown(
    store: &SharedStore,
    log: &str,
    known: proof::Head,
    now: proof::Head,
) -> Result<Grown, ProveError> {
    if known.size > now.size {
        return Ok(Grown::RolledBack(format!(
            "the log {log} has {} entries in the database, and had {}: the database was rolled back to an older state",
            now.size, known.size
        )));
    }
    let mut prover = Prover::of(store.clone(), log, now);
    let (root, _) = prover.consistency(known.size).await?;
    if root == known.root {
        return Ok(Grown::Extends);
    }
    Ok(Grown::RolledBack(format!(
        "the first {} entries of the log {log} have the root {root} in the database, and had {}: the database was \
         rolled back to an older state and written to again, or is another one",
        known.size, known.root
    )))
}

impl Prover {
    /// Of a log with this head, to prove how it grew.
    pub fn of(store: SharedStore, log: &str, head: proof::Head) -> Self {
        Self { store, log: log.to_owned(), head, tiles: HashMap::new() }
    }

    /// Proves that the log began with its first `old` entries, and answers the root over those.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn consistency(&mut self, old: u64) -> Result<(Digest, Vec<Digest>), ProveError> {
        let tiles = self.tiles(&tiles_of_consistency(old, self.head.size)).await?;
        prove_consistency(self.head, old, tiles).map_err(|error| self.damaged(&error))
    }

    /// The hashes that prove that the log has whatever leaf is at `index`.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn inclusion(&mut self, index: u64) -> Result<Vec<Digest>, ProveError> {
        if index >= self.head.size {
            return Err(ProveError::NotYet { log: self.log.clone(), size: self.head.size, index });
        }
        let tiles = self.tiles(&tiles_of_inclusion(self.head.size, index)).await?;
        prove_inclusion(self.head, index, tiles).map_err(|error| self.damaged(&error))
    }

    /// These tiles, read if they are not at hand.
    async fn tiles(&mut self, wanted: &[TileId]) -> Result<Vec<TileData>, ProveError> {
        let missing: Vec<TileId> = wanted.iter().copied().filter(|id| !self.tiles.contains_key(id)).collect();
        if !missing.is_empty() {
            if self.tiles.len() + missing.len() > TILES {
                self.tiles.retain(|id, _| wanted.contains(id));
            }
            let found = self.store.tiles(&self.log, &missing).await?;
            for (id, bytes) in missing.into_iter().zip(found) {
                let bytes = bytes.ok_or_else(|| self.damaged(&CannotProve::Missing(id)))?;
                self.tiles.insert(id, bytes);
            }
        }
        let tile = |id: &TileId| TileData::new(*id, self.tiles.get(id)?.clone());
        Ok(wanted.iter().filter_map(tile).collect())
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> ProveError {
        ProveError::Damaged { log: self.log.clone(), reason: reason.to_string() }
    }
}

fn head(heads: Vec<Head>, log: &str) -> Result<Head, ProveError> {
    heads.into_iter().find(|head| head.log == log).ok_or_else(|| ProveError::NoSuchLog(log.to_owned()))
}

/// Proves entries of one log in one checkpoint.
pub struct Bundler {
    prover: Prover,
    checkpoint: SignedCheckpoint,
}

impl Bundler {
    /// Of a log in its newest published checkpoint.
    ///
    /// # Errors
    /// See [`ProveError`]; [`ProveError::Unpublished`] until the first is published.
    pub async fn published(store: SharedStore, log: &str) -> Result<Self, ProveError> {
        let heads = store.logs().await?;
        Self::published_in(store, heads, log)
    }

    /// The same, by heads that were read before.
    ///
    /// # Errors
    /// See [`ProveError`]; [`ProveError::Unpublished`] until the first is published.
    pub fn published_in(store: SharedStore, heads: Vec<Head>, log: &str) -> Result<Self, ProveError> {
        let note = head(heads, log)?.checkpoint.ok_or_else(|| ProveError::Unpublished(log.to_owned()))?;
        Self::of(store, log, note.parse())
    }

    /// Of a log in its newest published checkpoint; of one that never published any, in its head as it is, which is
    /// unsigned.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn newest(store: SharedStore, log: &str) -> Result<Self, ProveError> {
        let heads = store.logs().await?;
        Self::newest_in(store, heads, log)
    }

    /// The same, by heads that were read before.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub fn newest_in(store: SharedStore, heads: Vec<Head>, log: &str) -> Result<Self, ProveError> {
        let Head { origin, size, root, checkpoint, .. } = head(heads, log)?;
        let checkpoint = match checkpoint {
            Some(note) => note.parse(),
            None => SignedCheckpoint::sign(Checkpoint { origin, size, root }, &[]),
        };
        Self::of(store, log, checkpoint)
    }

    fn of(
        store: SharedStore,
        log: &str,
        checkpoint: Result<SignedCheckpoint, MalformedCheckpoint>,
    ) -> Result<Self, ProveError> {
        let checkpoint = checkpoint.map_err(|error| ProveError::Damaged {
            log: log.to_owned(),
            reason: format!("of its checkpoint: {error}"),
        })?;
        let Checkpoint { size, root, .. } = *checkpoint.head();
        Ok(Self { prover: Prover::of(store, log, proof::Head { size, root }), checkpoint })
    }

    /// What everything is proved in.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Proves that the log has whatever leaf is at `index`.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn prove(&mut self, index: u64) -> Result<InclusionProof, ProveError> {
        let hashes = self.prover.inclusion(index).await?;
        Ok(InclusionProof { index, hashes, checkpoint: self.checkpoint.clone() })
    }

    /// Checks that an entry's body is the one that its leaf names, and answers it; `None` of what was erased or purged.
    ///
    /// # Errors
    /// [`ProveError::Damaged`].
    pub fn check(&self, stored: &StoredEntry) -> Result<Option<Vec<u8>>, ProveError> {
        let bytes = match &stored.body {
            StoredBody::Whole(entry, nonce) => body(entry, *nonce),
            StoredBody::Erased { .. } | StoredBody::Purged { .. } => return Ok(None),
            StoredBody::Unreadable(why) => {
                return Err(self.prover.damaged(&format_args!("the body of entry {}: {why}", stored.index)));
            }
        };
        if Digest::sha256(&bytes) != stored.body_digest {
            let what = format_args!("the body of entry {} is not the one that was recorded", stored.index);
            return Err(self.prover.damaged(&what));
        }
        Ok(Some(bytes))
    }

    /// The JSON of [`Self::bundle`], in one line.
    ///
    /// # Errors
    /// Those of [`Self::bundle`].
    pub async fn bundle_json(&mut self, stored: &StoredEntry) -> Result<Vec<u8>, ProveError> {
        // As [`Bundle`], without reading the body again, of which a log has millions.
        #[derive(Serialize)]
        struct InText<'a> {
            leaf: &'a Leaf,
            body: Option<Box<RawValue>>,
            proof: String,
        }
        let body = self.check(stored)?;
        let proof = self.prove(stored.index).await?;
        let leaf = stored.leaf(&self.prover.log);
        proof.check(leaf.hash()).map_err(|error| {
            self.prover.damaged(&format_args!("the leaf of entry {}: {error}", stored.index))
        })?;
        let body = body.map(|body| String::from_utf8(body).map(RawValue::from_string));
        let body = body.transpose().map_err(|error| self.prover.damaged(&error))?;
        let body = body.transpose().map_err(|error| self.prover.damaged(&error))?;
        let text = InText { leaf: &leaf, body, proof: proof.to_string() };
        serde_json::to_vec(&text).map_err(|error| self.prover.damaged(&error))
    }

    /// An entry with all that proves it.
    ///
    /// # Errors
    /// See [`ProveError`]; [`ProveError::Damaged`] also where the entry is not what was appended.
    pub async fn bundle(&mut self, stored: &StoredEntry) -> Result<Bundle, ProveError> {
        let bytes = self.check(stored)?;
        let proof = self.prove(stored.index).await?;
        self.checked(stored.leaf(&self.prover.log), bytes.as_deref(), &proof)
    }

    /// The entry of an execution with all that proves it, made of what is known of the execution: its entry
    /// need not be read. `None` where these are not all that was appended: [`Self::bundle`] tells.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn bundle_of(
        &mut self,
        receipt: &Receipt,
        execution: StoredExecution,
        nonce: Nonce,
    ) -> Result<Option<Bundle>, ProveError> {
        let bytes = body(&Entry::Execution(Box::new(execution)), nonce);
        let leaf = Leaf {
            format: FORMAT,
            log: self.prover.log.clone(),
            index: receipt.index,
            kind: EntryKind::Execution,
            recorded_at: receipt.recorded_at,
            execution_id: Some(receipt.id.clone()),
            attempt: receipt.attempt,
            revision: receipt.revision,
            body_digest: Digest::sha256(&bytes),
        };
        if leaf.hash() != receipt.leaf_hash {
            return Ok(None);
        }
        let proof = self.prove(receipt.index).await?;
        self.checked(leaf, Some(&bytes), &proof).map(Some)
    }

    fn checked(&self, leaf: Leaf, body: Option<&[u8]>, proof: &InclusionProof) -> Result<Bundle, ProveError> {
        let bundle = Bundle::new(leaf, body, proof).map_err(|error| self.prover.damaged(&error))?;
        bundle.verify(&[]).map_err(|error| self.prover.damaged(&error))?;
        Ok(bundle)
    }
}
