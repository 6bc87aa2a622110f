//! The tree built anew, and its stored tiles beside it.

use std::collections::BTreeMap;

use dualaudit_record::{
    digest::Digest,
    log::{TileData, Tree},
};

use super::LogCheck;
use crate::store::StoreError;

/// Bytes of a hash, and hashes of a full tile (C2SP `tlog-tiles`, height 8).
const HASH: usize = 32;
const FULL: usize = 256 * HASH;

/// The tree over the leaves built anew.
#[derive(Default)]
pub(super) struct TreeCheck {
    tree: Tree,
    /// The growing tile of each level, as it was when it last changed.
    growing: BTreeMap<u8, TileData>,
}

impl TreeCheck {
    /// Goes on from a tree that is known to be right.
    pub(super) fn of(tree: Tree) -> Self {
        Self { tree, growing: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, leaf: Digest) {
        self.tree.push(leaf);
    }

    pub(super) fn root(&self) -> Digest {
        self.tree.root()
    }

    /// Compares the tiles that were filled since the last call with those stored.
    pub(super) async fn check_full(&mut self, check: &mut LogCheck<'_>) -> Result<(), StoreError> {
        for tile in self.tree.take_changed() {
            if tile.hashes.len() < FULL {
                self.growing.insert(tile.level, tile);
                continue;
            }
            self.growing.remove(&tile.level);
            let stored = stored_tile(check, &tile).await?;
            if stored.as_deref() != Some(&tile.hashes) {
                differs(check, &tile, stored.as_deref());
            }
        }
        Ok(())
    }

    /// Compares the growing tiles at the end. What was appended meanwhile may have made the stored
    /// ones longer, by as much as the head has moved and no more.
    pub(super) async fn check_edge(&self, check: &mut LogCheck<'_>) -> Result<(), StoreError> {
        for tile in self.growing.values() {
            let stored = stored_tile(check, tile).await?;
            // Read after the tile: the head then covers whatever the tile holds.
            let size_now = check.size_now().await?;
            let hashes_now = size_now >> (8 * u32::from(tile.level));
            let most =
                usize::try_from((hashes_now - (tile.index << 8).min(hashes_now)).min(256)).unwrap_or(256);
            let fits = |stored: &Vec<u8>| stored.starts_with(&tile.hashes) && stored.len() <= most * HASH;
            if !stored.as_ref().is_some_and(fits) {
                differs(check, tile, stored.as_deref());
            }
        }
        Ok(())
    }
}

async fn stored_tile(check: &LogCheck<'_>, tile: &TileData) -> Result<Option<Vec<u8>>, StoreError> {
    let stored = check.store.tiles(&check.head.log, &[tile.id()]).await?;
    Ok(stored.into_iter().next().flatten())
}

fn differs(check: &mut LogCheck<'_>, tile: &TileData, stored: Option<&[u8]>) {
    let name = tile.id();
    let shown = |hashes: &[u8]| {
        format!("{name} with {} hashes, digest {}", hashes.len() / HASH, Digest::sha256(hashes))
    };
    let found = stored.map_or_else(|| format!("no {name}"), shown);
    check.find(None, "tile", shown(&tile.hashes), found);
}
