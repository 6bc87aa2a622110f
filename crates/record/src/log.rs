//! Leaves and the Merkle tree over them.
//!
//! The tree is RFC 6962's; its tiles are those of C2SP `tlog-tiles` (height 8).

use serde::{Deserialize, Serialize};
use tlog_tiles::{
    tile::Tile,
    tlog::{self, Hash, HashReader},
};

use crate::{Entry, EntryKind, Time, canonical::canonical, digest::Digest};

/// Random bytes inside each body: without them its digest could be guessed from its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonce(pub [u8; 16]);

/// The format version of leaves.
pub const FORMAT: u32 = 1;

/// What stays of an entry for ever. Holds nothing personal, and says nothing about the body once
/// that and its nonce are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// [`FORMAT`].
    pub format: u32,
    /// The log's name.
    pub log: String,
    /// Its place in the log.
    pub index: u64,
    /// What kind of entry it is.
    pub kind: EntryKind,
    /// When it was appended.
    pub recorded_at: Time,
    /// The execution it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// Of an execution entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Of an execution entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// SHA-256 of [`body`].
    pub body_digest: Digest,
}

impl Leaf {
    /// The bytes that are hashed and served: canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// RFC 6962, section 2.1: SHA-256 of 0x00 and the bytes.
    pub fn hash(&self) -> Digest {
        Digest(tlog::record_hash(&self.to_bytes()).0)
    }
}

/// The canonical body of an entry, its nonce inside it.
pub fn body(entry: &Entry, nonce: Nonce) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a, T> {
        nonce: String,
        #[serde(flatten)]
        content: &'a T,
    }
    let nonce = hex::encode(nonce.0);
    match entry {
        Entry::Execution(content) => canonical(&Body { nonce, content }),
        Entry::Gap(content) => canonical(&Body { nonce, content }),
        Entry::Quarantine(content) => canonical(&Body { nonce, content }),
        Entry::Hold(content) => canonical(&Body { nonce, content }),
    }
}

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

/// The tiles did not fit the size.
#[derive(Debug, thiserror::Error)]
#[error("the tree's right edge does not fit its size {size}: {reason}")]
pub struct MalformedTree {
    /// The tree's size.
    pub size: u64,
    /// What does not fit.
    pub reason: String,
}

const HEIGHT: u8 = 8;
const WIDTH: usize = 1 << HEIGHT;
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
    /// # Errors
    /// When a growing tile is missing, has the wrong index or the wrong number of hashes.
    pub fn from_edge(size: u64, tiles: &[TileData]) -> Result<Self, MalformedTree> {
        let mut edge = Vec::new();
        for (level, index, width) in growing(size) {
            let tile = tiles.iter().find(|tile| tile.level == level && tile.index == index);
            let found = tile.map_or(0, |tile| tile.hashes.len());
            if found != width * HASH {
                let reason = format!(
                    "tile {index} of level {level} must have {width} hashes, and has {} bytes",
                    found
                );
                return Err(MalformedTree { size, reason });
            }
            edge.push(tile.map_or_else(Vec::new, |tile| tile.hashes.clone()));
        }
        Ok(Self { size, edge, full: Vec::new(), taken: size })
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
                self.edge.push(Vec::with_capacity(WIDTH * HASH));
            }
            let tile = &mut self.edge[level];
            tile.extend_from_slice(&hash);
            if tile.len() < WIDTH * HASH {
                return;
            }
            let hashes = std::mem::take(tile);
            hash = Tile::subtree_hash(&hashes).0;
            let level = u8::try_from(level).expect("2^64 leaves have 8 levels of tiles");
            let index = (self.size >> (u32::from(HEIGHT) * (u32::from(level) + 1))) - 1;
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
            let before = self.taken >> (u32::from(HEIGHT) * u32::from(level));
            let now = (index << HEIGHT) + width as u64;
            if width > 0 && now > before {
                changed.push(TileData { level, index, hashes: self.edge[usize::from(level)].clone() });
            }
        }
        self.taken = self.size;
        changed
    }
}

/// The growing tile of each level of a tree of `size` leaves: level, index, number of hashes.
fn growing(size: u64) -> impl Iterator<Item = (u8, u64, usize)> {
    (0..8u8).map_while(move |level| {
        let hashes = size >> (u32::from(HEIGHT) * u32::from(level));
        let width = usize::try_from(hashes % WIDTH as u64).expect("at most 255");
        (hashes > 0).then_some((level, hashes >> HEIGHT, width))
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
                let (tile_level, within) = (level / HEIGHT, level % HEIGHT);
                let data = &self.0.edge[usize::from(tile_level)];
                let first = (n << within) % WIDTH as u64;
                let start = usize::try_from(first).expect("below 256") * HASH;
                let end = start + (HASH << within);
                data.get(start..end).map(Tile::subtree_hash).ok_or(tlog::Error::InvalidTile)
            })
            .collect()
    }
}
