//! Entry bundles: leaves one after the other, as C2SP `tlog-tiles` serves them.

use super::{Leaf, TILE_WIDTH};

/// The bytes are no entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedBundle {
    /// It ends within an entry.
    #[error("the entry bundle ends within its entry {0}")]
    CutOff(usize),
    /// It has more entries than any bundle.
    #[error("the entry bundle has more than 256 entries")]
    TooMany,
}

/// The leaves of a bundle, in the order of their indexes, each after its length in two bytes, big-endian.
///
/// # Panics
/// If a leaf were longer than 65,535 bytes: the limits of what it holds see to that it has not a tenth.
pub fn write_entry_bundle<'a>(leaves: impl IntoIterator<Item = &'a Leaf>) -> Vec<u8> {
    let mut bundle = Vec::new();
    for leaf in leaves {
        let bytes = leaf.to_bytes();
        let length = u16::try_from(bytes.len()).expect("a leaf is short");
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(&bytes);
    }
    bundle
}

/// The entries of a bundle: what the leaves' hashes are of.
///
/// # Errors
/// See [`MalformedBundle`].
pub fn read_entry_bundle(bundle: &[u8]) -> Result<Vec<&[u8]>, MalformedBundle> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == TILE_WIDTH {
            return Err(MalformedBundle::TooMany);
        }
        let (entry, after) = split(rest).ok_or(MalformedBundle::CutOff(entries.len()))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EntryKind, digest::Digest, testing::now};

    fn leaf(index: u64) -> Leaf {
        Leaf {
            format: super::super::FORMAT,
            log: "default".to_owned(),
            index,
            kind: EntryKind::Hold,
            recorded_at: now(),
            execution_id: None,
            attempt: None,
            revision: None,
            body_digest: Digest([7; 32]),
        }
    }

    #[test]
    fn leaves_come_back_from_their_bundle() {
        let leaves: Vec<Leaf> = (0..256).map(leaf).collect();
        let bundle = write_entry_bundle(&leaves);
        let entries = read_entry_bundle(&bundle).unwrap();
        let bytes: Vec<Vec<u8>> = leaves.iter().map(Leaf::to_bytes).collect();
        assert_eq!(entries, bytes);
        assert_eq!(bundle[..2], u16::try_from(bytes[0].len()).unwrap().to_be_bytes());
    }

    #[test]
    fn a_bundle_that_is_cut_off_or_too_long_is_refused() {
        let leaves: Vec<Leaf> = (0..257).map(leaf).collect();
        let bundle = write_entry_bundle(&leaves);
        assert_eq!(read_entry_bundle(&bundle), Err(MalformedBundle::TooMany));
        let two = write_entry_bundle(&leaves[..2]);
        let first = 2 + leaf(0).to_bytes().len();
        for end in 1..two.len() {
            let read = read_entry_bundle(&two[..end]);
            if end == first {
                assert_eq!(read.unwrap().len(), 1);
            } else {
                assert_eq!(read, Err(MalformedBundle::CutOff(usize::from(end > first))));
            }
        }
        assert_eq!(read_entry_bundle(&[]).unwrap().len(), 0);
    }
}
