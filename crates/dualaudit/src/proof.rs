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

use crate::store::{Head, Originals, Receipt, SharedStore, StoreError, StoredBody, StoredEntry};

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
    originals: Originals,
}

/// An entry that is what was appended, or what its erasure left of it, and is in the log.
pub struct ProvedEntry {
    leaf: Leaf,
    /// Its canonical body, if it has all of it.
    body: Option<Vec<u8>>,
    proof: InclusionProof,
}

impl ProvedEntry {
    /// The JSON of its [`Bundle`], in one line.
    ///
    /// # Errors
    /// When the body is no JSON.
    pub fn to_json(self) -> Result<Vec<u8>, serde_json::Error> {
        // As [`Bundle`], without reading the body again, of which a log has millions.
        #[derive(Serialize)]
        struct InText {
            leaf: Leaf,
            body: Option<Box<RawValue>>,
            proof: String,
        }
        let Self { leaf, body, proof } = self;
        let body = body.map(|body| serde_json::from_slice(&body)).transpose()?;
        serde_json::to_vec(&InText { leaf, body, proof: proof.to_string() })
    }
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
        let prover = Prover::of(store, log, proof::Head { size, root });
        Ok(Self { prover, checkpoint, originals: Originals::default() })
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

    /// Proves an entry with all that stands of it: its body is the one that its leaf names, what an erasure left of it
    /// what that says, and the leaf, and that of the erasure, are in the log.
    ///
    /// # Errors
    /// See [`ProveError`]; [`ProveError::Damaged`], which names the entry, where it is not what was appended.
    pub async fn proved(&mut self, stored: &StoredEntry) -> Result<ProvedEntry, ProveError> {
        let (store, log, index) = (self.prover.store.clone(), self.prover.log.clone(), stored.index);
        let body = match self.originals.check(store.as_ref(), &log, stored).await? {
            Ok(body) => body,
            Err(why) => {
                let what = format_args!("entry {index} is not what was appended: {why}");
                return Err(self.prover.damaged(&what));
            }
        };
        // What was erased after the checkpoint has an erasure that this does not cover yet.
        if let StoredBody::Erased { by, .. } = &stored.body
            && *by < self.checkpoint.head().size
            && let Some(erasure) = self.originals.erasure(store.as_ref(), &log, *by).await?
        {
            let leaf = erasure.leaf(&log);
            self.prove_leaf(&leaf).await?;
        }
        let leaf = stored.leaf(&log);
        let proof = self.prove_leaf(&leaf).await?;
        Ok(ProvedEntry { leaf, body, proof })
    }

    async fn prove_leaf(&mut self, leaf: &Leaf) -> Result<InclusionProof, ProveError> {
        let proof = self.prove(leaf.index).await?;
        match proof.check(leaf.hash()) {
            Ok(()) => Ok(proof),
            Err(error) => {
                Err(self.prover.damaged(&format_args!("the leaf of entry {}: {error}", leaf.index)))
            }
        }
    }

    /// An entry with all that proves it.
    ///
    /// # Errors
    /// Those of [`Self::proved`].
    pub async fn bundle(&mut self, stored: &StoredEntry) -> Result<Bundle, ProveError> {
        let ProvedEntry { leaf, body, proof } = self.proved(stored).await?;
        self.checked(leaf, body.as_deref(), &proof)
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
