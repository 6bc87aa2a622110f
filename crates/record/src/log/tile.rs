//! What a log serves of itself, by the names of C2SP `tlog-tiles`.

use std::{fmt, str::FromStr};

use super::TILE_WIDTH;

/// A tile of hashes, or a bundle of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileId {
    /// 256 hashes of one level of the tree.
    Hashes {
        /// 0 holds leaf hashes; each level above, roots of full tiles of the one below.
        level: u8,
        /// Its place in the level.
        index: u64,
    },
    /// The leaves whose hashes are in the tile of level 0 with this index.
    Entries {
        /// Its place.
        index: u64,
    },
}

impl TileId {
    /// How many hashes or entries it has in a log of that size: 0 to 256.
    pub fn width(self, size: u64) -> usize {
        let (level, index) = match self {
            Self::Hashes { level, index } => (u32::from(level), index),
            Self::Entries { index } => (0, index),
        };
        let on_level = size.checked_shr(8 * level).unwrap_or(0);
        let from = index.saturating_mul(TILE_WIDTH as u64);
        usize::try_from(on_level.saturating_sub(from)).map_or(TILE_WIDTH, |width| width.min(TILE_WIDTH))
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes { level, index } => write!(f, "tile {index} of level {level}"),
            Self::Entries { index } => write!(f, "entry bundle {index}"),
        }
    }
}

/// A tile or bundle by as much of it as a tree of some size has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    /// Which.
    pub id: TileId,
    /// How many hashes or entries of it: 1 to 256.
    pub width: usize,
}

/// The text is no path of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the path of a tile: LEVEL/INDEX or entries/INDEX, the index in groups of three digits, of which all but the \
     last begin with 'x' (x001/x234/067), then .p/WIDTH if fewer than 256 (C2SP tlog-tiles)"
)]
pub struct MalformedPath;

impl FromStr for TilePath {
    type Err = MalformedPath;

    /// Reads what stands behind `tile/`.
    fn from_str(path: &str) -> Result<Self, MalformedPath> {
        let (path, width) = match path.split_once(".p/") {
            Some((path, width)) => (path, number(width).filter(|width| (1..TILE_WIDTH).contains(width))),
            None => (path, Some(TILE_WIDTH)),
        };
        let (level, groups) = path.split_once('/').ok_or(MalformedPath)?;
        let index = index(groups).ok_or(MalformedPath)?;
        let id = match level {
            "entries" => TileId::Entries { index },
            level => {
                let level = number(level).and_then(|level| u8::try_from(level).ok());
                TileId::Hashes { level: level.filter(|level| *level < 64).ok_or(MalformedPath)?, index }
            }
        };
        Ok(Self { id, width: width.ok_or(MalformedPath)? })
    }
}

/// A number without zeroes before it.
fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number: &usize| number.to_string() == text)
}

/// An index in groups of three digits, as few as it takes.
fn index(groups: &str) -> Option<u64> {
    let (higher, last) =
        groups.rsplit_once('/').map_or((None, groups), |(higher, last)| (Some(higher), last));
    let higher = higher.map(|higher| higher.split('/').map(|group| group.strip_prefix('x')));
    let mut index = 0_u64;
    for group in higher.into_iter().flatten().chain([Some(last)]) {
        let digits =
            group.filter(|group| group.len() == 3 && group.bytes().all(|digit| digit.is_ascii_digit()))?;
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    (groups.matches('/').count() == (index.max(1).ilog10() / 3) as usize).then_some(index)
}

impl fmt::Display for TilePath {
    /// Writes what stands behind `tile/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = match self.id {
            TileId::Hashes { level, index } => {
                write!(f, "{level}/")?;
                index
            }
            TileId::Entries { index } => {
                f.write_str("entries/")?;
                index
            }
        };
        let groups = index.to_string().len().div_ceil(3);
        for group in (1..groups).rev() {
            let power = u32::try_from(3 * group).expect("a number of 20 digits");
            write!(f, "x{:03}/", index / 10_u64.pow(power) % 1000)?;
        }
        write!(f, "{:03}", index % 1000)?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tile_has_this_path() {
        let hashes = |level, index| TileId::Hashes { level, index };
        for (path, id, width) in [
            ("0/000", hashes(0, 0), 256),
            ("2/x001/x234/067", hashes(2, 1_234_067), 256),
            ("0/255.p/7", hashes(0, 255), 7),
            ("entries/x001/000", TileId::Entries { index: 1000 }, 256),
            ("entries/000.p/255", TileId::Entries { index: 0 }, 255),
        ] {
            let tile = TilePath { id, width };
            assert_eq!(path.parse(), Ok(tile));
            assert_eq!(tile.to_string(), path);
        }
        for path in [
            "",
            "0",
            "0/",
            "0/0",
            "0/1000",
            "0/x001",
            "0/001/000",
            "00/000",
            "64/000",
            "-1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/07",
            "0/000.p/",
            "data/000",
            "entries",
            "entries/",
            "entries/0/000",
            "0/x000/001",
            "0/000/",
            "0/../000",
            "0/99999999999999999999",
        ] {
            assert_eq!(path.parse::<TilePath>(), Err(MalformedPath), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_tile_comes_back_from_its_path(level in 0..63_u8, index in 0..1_u64 << 56, width in 1..=256_usize) {
            for id in [TileId::Hashes { level, index }, TileId::Entries { index }] {
                let tile = TilePath { id, width };
                prop_assert_eq!(tile.to_string().parse(), Ok(tile));
            }
        }

        #[test]
        fn any_text_is_a_path_or_refused(path in "[0-9x/.p]{0,24}|entries/[0-9x/.p]{0,20}|\\PC{0,12}") {
            if let Ok(tile) = path.parse::<TilePath>() {
                prop_assert_eq!(tile.to_string(), path);
            }
        }
    }
}
