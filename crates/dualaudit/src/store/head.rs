//! A log's head and the right edge of its tree, apart from any database.

use dualaudit_record::{
    Time,
    digest::Digest,
    log::{TileData, Tree},
};

/// A log's head, as its row says.
pub(super) struct HeadRow {
    pub(super) log: String,
    /// Key of the log's commitments.
    pub(super) secret: [u8; 32],
    pub(super) size: u64,
    pub(super) root: Digest,
    pub(super) recorded_at: Option<Time>,
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
