//! The Merkle tree, by its right edge.

use tlog_tiles::{
    tile::Tile,
    tlog::{self, Hash, HashReader},
};

use super::TileId;
use crate::digest::Digest;

/// One tile of the tree as it is stored and served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileData {
    /// 0 holds leaf hashes; each level above, roots of full tiles of the one below.
    pub level: u8,
    /// Its place in the level.
    pub index: u64,
    /// 1 to 256 hashes of 32 bytes.
    pub hashes: Vec<u8>,
}

impl TileData {
    /// The tile of hashes with this id; there is none of entries.
    pub fn new(id: TileId, hashes: Vec<u8>) -> Option<Self> {
        match id {
            TileId::Hashes { level, index } => Some(Self { level, index, hashes }),
            TileId::Entries { .. } => None,
        }
    }

    /// Which it is.
    pub fn id(&self) -> TileId {
        TileId::Hashes { level: self.level, index: self.index }
    }

    /// How many hashes of its level it and the tiles before it hold.
    fn end(&self) -> u64 {
        let width = self.hashes.len().div_ceil(HASH) as u64;
        self.index.saturating_mul(TILE_WIDTH as u64).saturating_add(width)
    }
}

/// The tiles did not fit the size.
#[derive(Debug, thiserror::Error)]
#[error("the tree's right edge does not fit its size {size}: {reason}")]
pub struct MalformedTree {
    /// The tree's size.
    pub size: u64,
    /// What does not fit.
    pub reason: String,
}

/// How many levels of the tree a tile is high.
pub const TILE_HEIGHT: u8 = 8;
/// How many hashes a full tile has.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
const HASH: usize = tlog::HASH_SIZE;

/// A tree by its right edge: its size, and on each level the hashes of the last, still growing
/// tile. That is all an append needs, and all that [`Tree::root`] needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// One level above the other; each fewer than 256 hashes.
    edge: Vec<Vec<u8>>,
    /// Tiles filled since the last [`Tree::take_changed`].
    full: Vec<TileData>,
    /// The size at the last [`Tree::take_changed`].
    taken: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self::empty()
    }
}

impl Tree {
    /// The tree over no leaves.
    pub fn empty() -> Self {
        Self { size: 0, edge: Vec::new(), full: Vec::new(), taken: 0 }
    }

    /// The tree of `size` leaves whose growing tiles are `tiles`, in any order. A level whose last
    /// tile is full has none.
    ///
    /// Full tiles may be among them and are not looked at.
    ///
    /// # Errors
    /// When a growing tile is missing, has the wrong index or the wrong number of hashes, or when a
    /// tile reaches beyond the size: then the size is that of another time than the tiles.
    pub fn from_edge(size: u64, tiles: &[TileData]) -> Result<Self, MalformedTree> {
        if let Some(tile) = tiles.iter().find(|tile| tile.end() > hashes_on(tile.level, size)) {
            let (level, index) = (tile.level, tile.index);
            let reason = format!("tile {index} of level {level} reaches beyond it");
            return Err(MalformedTree { size, reason });
        }
        let mut edge = Vec::new();
        for (level, index, width) in growing(size) {
            let tile = tiles.iter().find(|tile| tile.level == level && tile.index == index);
            let found = tile.map_or(0, |tile| tile.hashes.len());
            if found != width * HASH {
                let reason = format!(
                    "tile {index} of level {level} must have {width} hashes of {HASH} bytes; found {found} bytes"
                );
                return Err(MalformedTree { size, reason });
            }
            edge.push(tile.map_or_else(Vec::new, |tile| tile.hashes.clone()));
        }
        Ok(Self { size, edge, full: Vec::new(), taken: size })
    }

    /// The tree as it was when it had that size, from its tiles of that time ([`growing_tiles`]) as they have
    /// grown since. It still has to be compared with the root that it should have.
    ///
    /// # Errors
    /// When one of them is missing or too short.
    pub fn back_at(size: u64, tiles: Vec<TileData>) -> Result<Self, MalformedTree> {
        let back = tiles.into_iter().map(|mut tile| {
            tile.hashes.truncate(tile.id().width(size) * HASH);
            tile
        });
        Self::from_edge(size, &back.collect::<Vec<_>>())
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the leaf with this hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf.0;
        self.size += 1;
        for level in 0.. {
            if self.edge.len() == level {
                self.edge.push(Vec::with_capacity(TILE_WIDTH * HASH));
            }
            let tile = &mut self.edge[level];
            tile.extend_from_slice(&hash);
            if tile.len() < TILE_WIDTH * HASH {
                return;
            }
            let hashes = std::mem::take(tile);
            hash = Tile::subtree_hash(&hashes).0;
            let level = u8::try_from(level).expect("2^64 leaves have 8 levels of tiles");
            let index = hashes_on(level + 1, self.size) - 1;
            self.full.push(TileData { level, index, hashes });
        }
    }

    /// The RFC 6962 root.
    pub fn root(&self) -> Digest {
        if self.size == 0 {
            return Digest(tlog::EMPTY_HASH.0);
        }
        Digest(
            tlog::tree_hash(self.size, &Edge(self)).expect("the edge holds every hash of the root's sum").0,
        )
    }

    /// The tiles to store for what was pushed since the last call: those that were filled, and the
    /// growing ones that changed.
    pub fn take_changed(&mut self) -> Vec<TileData> {
        let mut changed = std::mem::take(&mut self.full);
        for (level, index, width) in growing(self.size) {
            let before = hashes_on(level, self.taken);
            let now = (index << TILE_HEIGHT) + width as u64;
            if width > 0 && now > before {
                changed.push(TileData { level, index, hashes: self.edge[usize::from(level)].clone() });
            }
        }
        self.taken = self.size;
        changed
    }
}

/// The growing tile of each level of a tree of `size` leaves: those that have hashes, but not yet 256.
pub fn growing_tiles(size: u64) -> impl Iterator<Item = TileId> {
    growing(size).filter(|(_, _, width)| *width > 0).map(|(level, index, _)| TileId::Hashes { level, index })
}

/// How many hashes there are on a level of tiles of a tree of `size` leaves.
fn hashes_on(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(TILE_HEIGHT) * u32::from(level)).unwrap_or(0)
}

/// The growing tile of each level of a tree of `size` leaves: level, index, number of hashes.
fn growing(size: u64) -> impl Iterator<Item = (u8, u64, usize)> {
    (0..8u8).map_while(move |level| {
        let hashes = hashes_on(level, size);
        let width = usize::try_from(hashes % TILE_WIDTH as u64).expect("at most 255");
        (hashes > 0).then_some((level, hashes >> TILE_HEIGHT, width))
    })
}

/// Reads the hashes of the root's sum, which lie on the right edge.
struct Edge<'a>(&'a Tree);

impl HashReader for Edge<'_> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        indexes
            .iter()
            .map(|&index| {
                let (level, n) = tlog::split_stored_hash_index(index);
                let (tile_level, within) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
                let data = &self.0.edge[usize::from(tile_level)];
                let first = (n << within) % TILE_WIDTH as u64;
                let start = usize::try_from(first).expect("below 256") * HASH;
                let end = start + (HASH << within);
                data.get(start..end).map(Tile::subtree_hash).ok_or(tlog::Error::InvalidTile)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
