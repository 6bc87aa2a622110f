//! Statistics as they are stored: what each append gives, until it is folded into pages of cells.
//!
//! An append writes what it gives to the statistics in the same transaction, as one small row. A fold takes many
//! such rows and adds them to the pages that hold their cells; and it puts the cells of hours together to days, and of
//! days to months, once the log has come far enough. So the statistics are at every moment the cells of all pages and
//! what is yet to be folded, and what an append costs does not depend on how much there is.

use async_trait::async_trait;
use dualaudit_record::{
    Time,
    statistics::{Bucket, Cell, Hour, Key, NotPacked, Packed, Sums, View},
};

use super::StoreError;

pub(super) mod page;
pub(super) mod refold;

use page::{BadPage, PageId};

/// Rows of appends that are folded at once, and their bytes, all but the last row's.
pub(super) const PENDING: u32 = 1024;
pub(super) const PENDING_BYTES: i64 = 128 * 1024;
/// Pages that are put together with others at once.
pub(super) const ROLLED: u32 = 64;
/// Entries that are read again at once.
pub(super) const REFOLDED: u32 = 64;

/// Statistics of logs.
#[async_trait]
pub trait Statistics: Send + Sync + 'static {
    /// Folds some of what was given to the statistics of a log; again and again, all of it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored makes no sense.
    async fn fold(&self, log: &str) -> Result<Folding, StoreError>;

    /// Cells of the statistics of a log; of each question in its order, all of one snapshot.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored makes no sense.
    async fn cells(&self, log: &str, wanted: &[WantedCells]) -> Result<FoundCells, StoreError>;
}

/// How far a fold came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// All that there was is folded.
    Done,
    /// There may be more.
    More,
}

/// Which cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCells {
    /// Of which view.
    pub view: View,
    /// Their keys begin with this.
    pub begins: Key,
    /// Their buckets end after the beginning of this hour,
    pub from: Hour,
    /// and begin before this one.
    pub until: Hour,
}

/// A cell, where it belongs.
pub type Placed = (Bucket, Key, Cell);

/// Cells as they were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundCells {
    /// Of each question, in its order. A key may be there several times, in several buckets.
    pub cells: Vec<Vec<Placed>>,
    /// The statistics do not yet have all that was recorded before they were kept.
    pub behind: Option<Behind>,
}

/// How far the statistics are of what was recorded before they were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Entries that they have.
    pub folded: u64,
    /// Of how many.
    pub of: u64,
}

impl WantedCells {
    pub(super) fn overlaps(&self, bucket: Bucket) -> bool {
        bucket.end() > self.from && bucket.start < self.until
    }

    fn has(&self, view: View, bucket: Bucket, key: &Key) -> bool {
        view == self.view && self.overlaps(bucket) && key.as_bytes().starts_with(self.begins.as_bytes())
    }
}

/// Takes the cells that are wanted out of pages and of what is not folded yet.
pub(super) fn found(
    wanted: &[WantedCells],
    pages: &[(PageId, Vec<u8>)],
    pending: &[Packed],
    as_of: Time,
) -> Result<Vec<Vec<Placed>>, BadStatistics> {
    let unfolded = given(pending, as_of)?;
    let mut found = vec![Vec::new(); wanted.len()];
    for (id, bytes) in pages {
        let of: Vec<usize> = (0..wanted.len())
            .filter(|&place| wanted[place].view == id.view && wanted[place].overlaps(id.bucket))
            .collect();
        for cell in page::read(id, bytes)? {
            let (key, cell) = cell?;
            for &place in &of {
                if wanted[place].has(id.view, id.bucket, &key) {
                    found[place].push((id.bucket, key.clone(), cell.clone()));
                }
            }
        }
    }
    for ((view, bucket, key), cell) in unfolded.iter() {
        for (wanted, found) in wanted.iter().zip(&mut found) {
            if wanted.has(*view, *bucket, key) {
                found.push((*bucket, key.clone(), cell.clone()));
            }
        }
    }
    Ok(found)
}

/// What is stored of statistics makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadStatistics {
    #[error(transparent)]
    Page(#[from] BadPage),
    #[error(transparent)]
    Pending(#[from] NotPacked),
}

/// What appends gave, in the buckets of a log that has come to `as_of`.
pub(super) fn given(pending: &[Packed], as_of: Time) -> Result<Sums, NotPacked> {
    let mut sums = Sums::default();
    for packed in pending {
        for (times, contribution) in packed.unpack()? {
            sums.give(&contribution, times, as_of);
        }
    }
    Ok(sums)
}

/// What it takes to move the cells of pages to the buckets they belong to by `as_of`.
pub(super) fn rolled(pages: &[(PageId, Vec<u8>)], as_of: Time) -> Result<Sums, BadPage> {
    let mut sums = Sums::default();
    for (id, bytes) in pages {
        let to = id.bucket.rolled(as_of);
        for cell in page::read(id, bytes)? {
            let (key, cell) = cell?;
            sums.add(id.view, id.bucket, key.clone(), &cell, -1);
            sums.add(id.view, to, key, &cell, 1);
        }
    }
    Ok(sums)
}
