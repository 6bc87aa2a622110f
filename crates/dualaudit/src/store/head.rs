//! A log's head and the right edge of its tree, apart from any database.

use dualaudit_record::{
    Time,
    checkpoint::{Checkpoint, SignedCheckpoint},
    digest::Digest,
    log::{TileData, Tree},
    proof,
};

use super::StoreError;

/// What an append leaves for the next one to its log.
pub(super) struct Kept {
    /// The tree as it left it.
    pub(super) tree: Tree,
    /// The head that this is known to extend.
    pub(super) extends: Option<proof::Head>,
}

/// A log's head, as its row says.
pub(super) struct HeadRow {
    pub(super) log: String,
    /// Key of the log's commitments.
    pub(super) secret: [u8; 32],
    pub(super) size: u64,
    pub(super) root: Digest,
    pub(super) recorded_at: Option<Time>,
}

impl Kept {
    /// What is left of it for an append that finds this head and should extend that one: itself, where
    /// nobody else has appended since; and what the log has to be proved to have had.
    pub(super) fn resume(
        kept: Option<Self>,
        head: &HeadRow,
        extends: Option<proof::Head>,
    ) -> (Option<Tree>, Option<proof::Head>) {
        let kept = kept.filter(|kept| head.is_of(&kept.tree));
        let proved = kept.as_ref().and_then(|kept| kept.extends);
        (kept.map(|kept| kept.tree), extends.filter(|_| proved != extends))
    }
}

impl HeadRow {
    /// When the next entry is recorded: the clock may have run backwards; a log does not.
    pub(super) fn next_recorded_at(&self, now: Time) -> Time {
        self.recorded_at.map_or(now, |newest| newest.max(now))
    }

    /// Whether a tree kept from an append is still the one that the head stands for.
    pub(super) fn is_of(&self, kept: &Tree) -> bool {
        kept.size() == self.size && kept.root() == self.root
    }

    /// The head as it was, or should have been, with another size.
    pub(super) fn back_at(&self, known: proof::Head) -> Self {
        Self { log: self.log.clone(), size: known.size, root: known.root, ..*self }
    }

    /// Whether the log had this head before; see [`HeadRow::back_at`] for the tiles that tell.
    ///
    /// # Errors
    /// How the tiles and the size disagree.
    pub(super) fn had(&self, known: proof::Head, growing: Vec<TileData>) -> Result<bool, String> {
        if known.size > self.size {
            return Ok(false);
        }
        let tree =
            Tree::back_at(known.size, growing).map_err(|error| format!("log {}: {error}", self.log))?;
        Ok(tree.root() == known.root)
    }

    /// Checks that a checkpoint to be published is not of more than the log has.
    ///
    /// # Errors
    /// [`StoreError::RolledBack`].
    pub(super) fn check_covers(&self, checkpoint: &SignedCheckpoint) -> Result<(), StoreError> {
        let Checkpoint { size, root, .. } = *checkpoint.head();
        if size <= self.size { Ok(()) } else { Err(self.rolled_back(proof::Head { size, root })) }
    }

    /// The error of a log that does not extend a head that it is known to have had.
    pub(super) fn rolled_back(&self, known: proof::Head) -> StoreError {
        let Self { log, size, root, .. } = self;
        StoreError::RolledBack(format!(
            "the log {log:?} has {size} entries with the root {root} in the database, which do not begin with the {} \
             entries with the root {} that a checkpoint kept outside the database promised: the database was rolled \
             back to an older state, or is another one. Nothing is appended: bring the right database back, or let \
             `dualaudit log succeed` open the successor of this log",
            known.size, known.root
        ))
    }

    /// Level and index of the growing tile of each level that has hashes.
    pub(super) fn growing_tiles(&self) -> impl Iterator<Item = (u8, u64)> {
        let size = self.size;
        (0..8u8)
            .map(move |level| (level, size >> (8 * u32::from(level))))
            .take_while(|&(_, hashes)| hashes > 0)
            .map(|(level, hashes)| (level, hashes >> 8))
    }

    /// The tree that the head stands for, from the growing tiles that are there.
    ///
    /// # Errors
    /// How the tiles and the head disagree.
    pub(super) fn tree(&self, growing: &[TileData]) -> Result<Tree, String> {
        let tree =
            Tree::from_edge(self.size, growing).map_err(|error| format!("log {}: {error}", self.log))?;
        if tree.root() == self.root {
            return Ok(tree);
        }
        Err(format!("log {}: the tiles give the root {}, the head says {}", self.log, tree.root(), self.root))
    }
}
