//! Proofs that an entry is in a log, and that a log only grew, made from tiles and checked without them.
//!
//! Inclusion and consistency proofs are those of RFC 6962, sections 2.1.1 and 2.1.2; a proof in text is a
//! C2SP `tlog-proof`. A proof that is made of tiles is checked before it is handed out.

use std::{cell::RefCell, collections::HashMap, fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tlog_tiles::{
    tile::Tile,
    tlog::{self, Hash, HashReader},
};

use crate::{
    checkpoint::{MalformedCheckpoint, SignedCheckpoint},
    digest::Digest,
    log::{TILE_HEIGHT, TILE_WIDTH, TileData, TileId},
};

mod bundle;
mod once;

pub use bundle::{Bundle, BundleError, BundleVerifier, Proved};

/// The hashes of a proof, at most: a tree of 2^64 leaves is 64 high.
const MAX_HASHES: usize = 64;

/// It is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof is of something else.
    #[error("the proof does not lead from the one to the other")]
    Wrong,
    /// There is no such entry in a log of that size, or a log cannot have shrunk.
    #[error("{of} is beyond the size {size}")]
    Beyond {
        /// The index, or the smaller size.
        of: u64,
        /// The size.
        size: u64,
    },
}

/// Why no proof could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotProve {
    /// See [`ProofError::Beyond`].
    #[error(transparent)]
    Beyond(#[from] ProofError),
    /// A tile is not there, or has too few hashes.
    #[error("{0} is missing or too short")]
    Missing(TileId),
    /// The tiles do not make that root.
    #[error("the tiles do not make the root {root} of size {size}")]
    OtherRoot {
        /// The size.
        size: u64,
        /// The root they should make.
        root: Digest,
    },
}

/// A head to prove against: how many leaves, and the root over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many leaves there are.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Digest,
}

/// Checks that the leaf with this hash is at `index` of the log with this head.
///
/// # Errors
/// See [`ProofError`].
pub fn check_inclusion(head: Head, index: u64, leaf: Digest, proof: &[Digest]) -> Result<(), ProofError> {
    if index >= head.size {
        return Err(ProofError::Beyond { of: index, size: head.size });
    }
    if proof.len() > MAX_HASHES {
        return Err(ProofError::Wrong);
    }
    tlog::check_record(&hashes(proof), head.size, Hash(head.root.0), index, Hash(leaf.0))
        .map_err(|_| ProofError::Wrong)
}

/// Checks that a log with the head `new` begins with all that it had with the head `old`.
///
/// # Errors
/// See [`ProofError`].
pub fn check_consistency(old: Head, new: Head, proof: &[Digest]) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::Beyond { of: old.size, size: new.size });
    }
    if proof.len() > MAX_HASHES {
        return Err(ProofError::Wrong);
    }
    if old.size == 0 {
        // Every log begins with nothing (RFC 6962 has no proof of it).
        let is_so = proof.is_empty() && old.root.0 == tlog::EMPTY_HASH.0;
        return if is_so { Ok(()) } else { Err(ProofError::Wrong) };
    }
    tlog::check_tree(&hashes(proof), new.size, Hash(new.root.0), old.size, Hash(old.root.0))
        .map_err(|_| ProofError::Wrong)
}

fn hashes(digests: &[Digest]) -> Vec<Hash> {
    digests.iter().map(|digest| Hash(digest.0)).collect()
}

fn digests(hashes: &[Hash]) -> Vec<Digest> {
    hashes.iter().map(|hash| Digest(hash.0)).collect()
}

/// The tiles that [`prove_inclusion`] of that index needs.
pub fn tiles_of_inclusion(size: u64, index: u64) -> Vec<TileId> {
    let none = Tiles::default();
    if index < size {
        let _ = leaf_and_proof(size, index, &none);
    }
    none.into_missing()
}

/// The tiles that [`prove_consistency`] of these sizes needs.
pub fn tiles_of_consistency(old: u64, size: u64) -> Vec<TileId> {
    let none = Tiles::default();
    if 0 < old && old <= size {
        let _ = root_and_proof(old, size, &none);
    }
    none.into_missing()
}

/// Proves from tiles that the log with this head has the leaf at `index`; see [`tiles_of_inclusion`]. Tiles
/// that have grown since serve as well.
///
/// # Errors
/// See [`CannotProve`].
pub fn prove_inclusion(head: Head, index: u64, tiles: Vec<TileData>) -> Result<Vec<Digest>, CannotProve> {
    if index >= head.size {
        return Err(ProofError::Beyond { of: index, size: head.size }.into());
    }
    let tiles = Tiles::of(tiles);
    let (leaf, proof) = leaf_and_proof(head.size, index, &tiles).map_err(|_| tiles.cannot(head))?;
    check_inclusion(head, index, leaf, &proof).map_err(|_| tiles.cannot(head))?;
    Ok(proof)
}

/// Proves from tiles that the log with this head begins with its first `old` leaves, and answers the root
/// over those, too; see [`tiles_of_consistency`]. Tiles that have grown since serve as well.
///
/// # Errors
/// See [`CannotProve`].
pub fn prove_consistency(
    head: Head,
    old: u64,
    tiles: Vec<TileData>,
) -> Result<(Digest, Vec<Digest>), CannotProve> {
    if old > head.size {
        return Err(ProofError::Beyond { of: old, size: head.size }.into());
    }
    if old == 0 {
        return Ok((Digest(tlog::EMPTY_HASH.0), Vec::new()));
    }
    let tiles = Tiles::of(tiles);
    let (root, proof) = root_and_proof(old, head.size, &tiles).map_err(|_| tiles.cannot(head))?;
    check_consistency(Head { size: old, root }, head, &proof).map_err(|_| tiles.cannot(head))?;
    Ok((root, proof))
}

fn leaf_and_proof(size: u64, index: u64, tiles: &Tiles) -> Result<(Digest, Vec<Digest>), tlog::Error> {
    // Each says which tiles it misses, so both are asked before either fails.
    let leaf = tiles.read_hashes(&[tlog::stored_hash_index(0, index)]);
    let proof = tlog::prove_record(size, index, tiles);
    let leaf = leaf?.first().map_or(Digest(tlog::EMPTY_HASH.0), |leaf| Digest(leaf.0));
    Ok((leaf, digests(&proof?)))
}

fn root_and_proof(old: u64, size: u64, tiles: &Tiles) -> Result<(Digest, Vec<Digest>), tlog::Error> {
    let root = tlog::tree_hash(old, tiles);
    let proof = tlog::prove_tree(size, old, tiles);
    Ok((Digest(root?.0), digests(&proof?)))
}

/// Tiles at hand, and which were asked for and are not.
///
/// What is read is not checked against a root: what is made of it is. (`TileHashReader` of `tlog_tiles`
/// leaves out some tiles where several hashes of the root's sum lie in one.)
#[derive(Default)]
struct Tiles {
    at_hand: HashMap<TileId, Vec<u8>>,
    missing: RefCell<Vec<TileId>>,
}

impl Tiles {
    fn of(tiles: Vec<TileData>) -> Self {
        let at_hand = tiles.into_iter().map(|tile| (tile.id(), tile.hashes)).collect();
        Self { at_hand, missing: RefCell::default() }
    }

    fn into_missing(self) -> Vec<TileId> {
        let mut missing = self.missing.into_inner();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn cannot(&self, head: Head) -> CannotProve {
        match self.missing.borrow().first() {
            Some(&missing) => CannotProve::Missing(missing),
            None => CannotProve::OtherRoot { size: head.size, root: head.root },
        }
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        let mut found = Vec::with_capacity(indexes.len());
        for &index in indexes {
            let (level, place) = tlog::split_stored_hash_index(index);
            let (level, within) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
            let first = place << within;
            let id = TileId::Hashes { level, index: first >> TILE_HEIGHT };
            let start = usize::try_from(first).unwrap_or_default() % TILE_WIDTH * tlog::HASH_SIZE;
            let end = start + (tlog::HASH_SIZE << within);
            match self.at_hand.get(&id).and_then(|hashes| hashes.get(start..end)) {
                Some(hashes) => found.push(Tile::subtree_hash(hashes)),
                None => self.missing.borrow_mut().push(id),
            }
        }
        if found.len() == indexes.len() { Ok(found) } else { Err(tlog::Error::InvalidTile) }
    }
}

/// That an entry is in a log: C2SP `tlog-proof`, without extra data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The entry's place in the log.
    pub index: u64,
    /// From the leaf's sibling up.
    pub hashes: Vec<Digest>,
    /// The head that it leads to.
    pub checkpoint: SignedCheckpoint,
}

/// The text is no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProof {
    /// A line of it.
    #[error("not a proof (C2SP tlog-proof): {0}")]
    Line(&'static str),
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] MalformedCheckpoint),
}

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

impl InclusionProof {
    /// Checks that the leaf with this hash is the entry in the head of the checkpoint. Who signed that is
    /// another question: [`SignedCheckpoint::vouched`].
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn check(&self, leaf: Digest) -> Result<(), ProofError> {
        let head = self.checkpoint.head();
        check_inclusion(Head { size: head.size, root: head.root }, self.index, leaf, &self.hashes)
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nindex {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", BASE64_STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint.as_str())
    }
}

impl FromStr for InclusionProof {
    type Err = MalformedProof;

    fn from_str(text: &str) -> Result<Self, MalformedProof> {
        let line = |what| MalformedProof::Line(what);
        let rest = text
            .strip_prefix(FIRST_LINE)
            .and_then(|rest| rest.strip_prefix('\n'))
            .ok_or(line("it does not begin with c2sp.org/tlog-proof@v1"))?;
        let (rest, checkpoint) = rest.split_once("\n\n").ok_or(line("it has no empty line"))?;
        let mut lines = rest.split('\n').peekable();
        // Nobody vouches for it, and nothing here reads it.
        if let Some(extra) = lines.next_if(|line| line.starts_with("extra ")) {
            BASE64_STANDARD
                .decode(&extra["extra ".len()..])
                .map_err(|_| line("its extra data is not base64"))?;
        }
        let number = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = number.and_then(decimal).ok_or(line("its index is not a number"))?;
        let mut hashes = Vec::new();
        for hash in lines {
            let hash = BASE64_STANDARD.decode(hash).ok().and_then(|hash| Digest::from_slice(&hash));
            hashes.push(hash.ok_or(line("a hash is not 32 bytes in base64"))?);
            if hashes.len() > MAX_HASHES {
                return Err(line("it has more hashes than any tree is high"));
            }
        }
        Ok(Self { index, hashes, checkpoint: checkpoint.parse()? })
    }
}

/// A number as these formats write it: digits, and no zero before others.
fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests;
