use std::{collections::HashMap, sync::LazyLock};

use proptest::prelude::*;
use tlog_tiles::{tile::Tile, tlog};

use super::{Digest, HASH, TILE_HEIGHT, TILE_WIDTH, TileData, Tree};

/// A leaf hash for each index: RFC 6962's, of the index as eight bytes.
fn leaf(index: u64) -> Digest {
    Digest(tlog::record_hash(&index.to_be_bytes()).0)
}

/// The leaves of the largest tree tested, hashed once.
static LEAVES: LazyLock<Vec<Digest>> = LazyLock::new(|| (0..=65_537).map(leaf).collect());

fn pushed(tree: &mut Tree, to: u64) {
    while tree.size() < to {
        tree.push(LEAVES[tree.size() as usize]);
    }
}

fn tree(size: u64) -> Tree {
    let mut tree = Tree::empty();
    pushed(&mut tree, size);
    tree
}

/// MTH of RFC 6962, section 2.1, as it is written there.
fn mth(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::sha256(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Digest::sha256(&[&[1], mth(left).0.as_slice(), &mth(right).0].concat())
        }
    }
}

/// What a store keeps: the widest version of each tile.
#[derive(Default)]
struct Kept(HashMap<(u8, u64), Vec<u8>>);

impl Kept {
    fn keep(&mut self, changed: Vec<TileData>) {
        for tile in changed {
            let before = self.0.insert((tile.level, tile.index), tile.hashes.clone());
            // A tile only ever grows.
            assert!(tile.hashes.starts_with(&before.clone().unwrap_or_default()));
            assert_ne!(before, Some(tile.hashes), "it did not change");
        }
    }

    fn tiles(&self) -> Vec<TileData> {
        let tile =
            |(&(level, index), hashes): (&_, &Vec<u8>)| TileData { level, index, hashes: hashes.clone() };
        self.0.iter().map(tile).collect()
    }
}

#[test]
fn the_reference_vectors_of_certificate_transparency() {
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut tree = Tree::empty();
    assert_eq!(tree.root().to_string(), roots[0]);
    for (leaf, root) in leaves.iter().zip(&roots[1..]) {
        tree.push(Digest(tlog::record_hash(&hex::decode(leaf).unwrap()).0));
        assert_eq!(tree.root().to_string(), *root);
    }
}

#[test]
fn roots_around_the_edges_of_tiles_are_those_of_the_definition() {
    let mut tree = Tree::empty();
    for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 65_279, 65_280, 65_535, 65_536, 65_537] {
        pushed(&mut tree, size);
        assert_eq!(tree.root(), mth(&LEAVES[..size as usize]), "{size}");
    }
}

#[test]
fn a_tree_continues_from_its_tiles_at_every_edge() {
    let mut kept = Kept::default();
    let mut tree = Tree::empty();
    for size in [0, 1, 255, 256, 257, 512, 65_535, 65_536, 65_537] {
        pushed(&mut tree, size);
        kept.keep(tree.take_changed());
        assert_eq!(tree.take_changed(), []);
        // From here on with what was stored: nothing but the tiles is needed.
        tree = Tree::from_edge(size, &kept.tiles()).unwrap();
        assert_eq!(tree, self::tree_without_changes(size));
        assert_eq!(tree.root(), mth(&LEAVES[..size as usize]), "{size}");
    }
}

fn tree_without_changes(size: u64) -> Tree {
    let mut tree = tree(size);
    tree.take_changed();
    tree
}

#[test]
fn the_tiles_are_those_of_tlog_tiles() {
    for (from, to) in [(0, 1), (0, 255), (255, 256), (256, 257), (1, 600), (65_280, 65_537), (300, 300)] {
        let mut tree = tree_without_changes(from);
        pushed(&mut tree, to);
        let mut changed = tree.take_changed();
        changed.sort_by_key(|tile| (tile.level, tile.index));
        let found: Vec<_> =
            changed.iter().map(|tile| (tile.level, tile.index, tile.hashes.len() / HASH)).collect();
        let wanted: Vec<_> = Tile::new_tiles(TILE_HEIGHT, from, to)
            .iter()
            .map(|tile| (tile.level(), tile.level_index(), tile.width() as usize))
            .collect();
        assert_eq!(found, wanted, "{from} to {to}");
        for tile in changed {
            // Each hash is the root of its part of the leaves.
            let leaves_each = TILE_WIDTH.pow(tile.level.into());
            for (place, hash) in tile.hashes.chunks(HASH).enumerate() {
                let first = (tile.index as usize * TILE_WIDTH + place) * leaves_each;
                assert_eq!(Digest::from_slice(hash), Some(mth(&LEAVES[first..first + leaves_each])));
            }
        }
    }
}

#[test]
fn tiles_that_do_not_fit_the_size_are_refused() {
    let mut source = tree(600); // level 0: 2 full and 88; level 1: 2
    let tiles = source.take_changed();
    let edge: Vec<_> = tiles.iter().filter(|tile| tile.hashes.len() < TILE_WIDTH * HASH).cloned().collect();
    assert_eq!(edge.len(), 2);
    Tree::from_edge(600, &edge).unwrap();
    Tree::from_edge(600, &tiles).unwrap();
    Tree::from_edge(512, &[TileData { level: 1, index: 0, hashes: edge[1].hashes.clone() }]).unwrap();

    let broken = |change: fn(&mut TileData)| {
        let mut edge = edge.clone();
        change(&mut edge[0]);
        edge
    };
    for (size, tiles) in [
        (600, vec![]),
        (600, edge[..1].to_vec()),
        (600, edge[1..].to_vec()),
        (599, edge.clone()),
        (601, edge.clone()),
        (512, edge.clone()),
        (0, edge.clone()),
        (600, broken(|tile| tile.index += 1)),
        (600, broken(|tile| tile.index = u64::MAX)),
        (600, broken(|tile| tile.level = 2)),
        (600, broken(|tile| tile.level = 255)),
        (600, broken(|tile| tile.hashes.truncate(87 * HASH))),
        (600, broken(|tile| tile.hashes.truncate(88 * HASH - 1))),
        (600, broken(|tile| tile.hashes.push(0))),
        (600, broken(|tile| tile.hashes.clear())),
    ] {
        let error = Tree::from_edge(size, &tiles).unwrap_err();
        assert_eq!(error.size, size, "{error}");
    }
}

#[test]
fn a_tree_of_the_largest_size_does_not_overflow() {
    // 2^52 leaves: indexes stay below 2^53 in leaves. Two below, so that each level has a full edge.
    let size = (1 << 52) - 2;
    let tiles: Vec<_> = super::growing(size)
        .map(|(level, index, width)| TileData { level, index, hashes: vec![level; width * HASH] })
        .collect();
    let mut tree = Tree::from_edge(size, &tiles).unwrap();
    tree.root();
    tree.push(leaf(0));
    tree.root();
    tree.push(leaf(1));
    tree.root();
    assert_eq!(tree.take_changed().len(), 7);
}

proptest! {
    #[test]
    fn any_sequence_of_appends_has_the_root_of_the_definition(cuts in prop::collection::vec(0..700_u64, 1..5)) {
        let mut kept = Kept::default();
        let mut tree = Tree::empty();
        for cut in cuts {
            let size = tree.size() + cut;
            pushed(&mut tree, size);
            kept.keep(tree.take_changed());
            prop_assert_eq!(tree.root(), mth(&LEAVES[..size as usize]));
            tree = Tree::from_edge(size, &kept.tiles()).unwrap();
        }
    }

    #[test]
    fn a_tree_that_is_thrown_away_leaves_no_trace(size in 0..600_u64, lost in 1..300_u64, more in 1..300_u64) {
        // A failed append drops its clone; the next one starts from the same edge.
        let before = tree_without_changes(size);
        let mut failed = before.clone();
        pushed(&mut failed, size + lost);
        let mut next = before.clone();
        pushed(&mut next, size + more);
        prop_assert_eq!(next.root(), mth(&LEAVES[..(size + more) as usize]));
    }
}
