//! Proofs that entries are in a log, made from what its database holds.
//!
//! # Guarantees
//! - Whatever is handed out was checked: a database that does not agree with itself proves nothing.
//! - Memory is bounded, however many entries are proved one after the other.

use std::collections::HashMap;

use dualaudit_record::{
    checkpoint::{Checkpoint, MalformedCheckpoint, SignedCheckpoint},
    log::{TileData, TileId, body},
    proof::{self, Bundle, CannotProve, InclusionProof, prove_inclusion, tiles_of_inclusion},
};

use crate::store::{SharedStore, StoreError, StoredBody, StoredEntry};

/// Tiles kept between proofs: entries that are proved one after the other share most of theirs. Of 8 KiB each.
const TILES: usize = 256;

/// Why no proof can be given.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// There is no log of that name.
    #[error("there is no log {0}")]
    NoSuchLog(String),
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

/// Proves entries of one log in one checkpoint.
pub struct Prover {
    store: SharedStore,
    log: String,
    checkpoint: SignedCheckpoint,
    tiles: HashMap<TileId, Vec<u8>>,
}

impl Prover {
    /// Of a log in its newest published checkpoint. A log that never published one has nobody who signs:
    /// of it, in its head as it is, which then says that it is unsigned.
    ///
    /// # Errors
    /// See [`ProveError`].
    pub async fn newest(store: SharedStore, log: &str) -> Result<Self, ProveError> {
        let heads = store.logs().await?;
        let head = heads.into_iter().find(|head| head.log == log);
        let head = head.ok_or_else(|| ProveError::NoSuchLog(log.to_owned()))?;
        let checkpoint = match &head.checkpoint {
            Some(note) => note.parse(),
            None => {
                let unsigned = Checkpoint { origin: head.origin, size: head.size, root: head.root };
                SignedCheckpoint::sign(unsigned, &[])
            }
        };
        let damaged = |error: MalformedCheckpoint| ProveError::Damaged {
            log: log.to_owned(),
            reason: format!("of its checkpoint: {error}"),
        };
        let checkpoint = checkpoint.map_err(damaged)?;
        Ok(Self { store, log: log.to_owned(), checkpoint, tiles: HashMap::new() })
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
        let head = self.checkpoint.head();
        let head = proof::Head { size: head.size, root: head.root };
        if index >= head.size {
            return Err(ProveError::NotYet { log: self.log.clone(), size: head.size, index });
        }
        let wanted = tiles_of_inclusion(head.size, index);
        self.fetch(&wanted).await?;
        let tiles = wanted.iter().filter_map(|id| match id {
            TileId::Hashes { level, index } => {
                let hashes = self.tiles.get(id)?.clone();
                Some(TileData { level: *level, index: *index, hashes })
            }
            TileId::Entries { .. } => None,
        });
        let proof = prove_inclusion(head, index, tiles.collect());
        let hashes = proof.map_err(|error| self.damaged(&error))?;
        Ok(InclusionProof { index, hashes, checkpoint: self.checkpoint.clone() })
    }

    /// An entry with all that proves it.
    ///
    /// # Errors
    /// See [`ProveError`]; [`ProveError::Damaged`] also where the entry is not what was appended.
    pub async fn bundle(&mut self, stored: &StoredEntry) -> Result<Bundle, ProveError> {
        let proof = self.prove(stored.index).await?;
        let bytes = match &stored.body {
            StoredBody::Whole(entry, nonce) => Some(body(entry, *nonce)),
            StoredBody::Purged { .. } => None,
            StoredBody::Unreadable(why) => {
                return Err(self.damaged(&format_args!("the body of entry {}: {why}", stored.index)));
            }
        };
        let bundle = Bundle::new(stored.leaf(&self.log), bytes.as_deref(), &proof);
        let bundle = bundle.map_err(|error| self.damaged(&error))?;
        bundle.verify(&[]).map_err(|error| self.damaged(&error))?;
        Ok(bundle)
    }

    async fn fetch(&mut self, wanted: &[TileId]) -> Result<(), ProveError> {
        let missing: Vec<TileId> = wanted.iter().copied().filter(|id| !self.tiles.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if self.tiles.len() + missing.len() > TILES {
            self.tiles.retain(|id, _| wanted.contains(id));
        }
        let found = self.store.tiles(&self.log, &missing).await?;
        for (id, bytes) in missing.into_iter().zip(found) {
            let bytes = bytes.ok_or_else(|| self.damaged(&CannotProve::Missing(id)))?;
            self.tiles.insert(id, bytes);
        }
        Ok(())
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> ProveError {
        ProveError::Damaged { log: self.log.clone(), reason: reason.to_string() }
    }
}
