//! Statistics as they are stored: what each append gives, until it is folded into pages of cells.
//!
//! An append writes what it gives to the statistics in the same transaction, as one small row. A fold takes many
//! such rows and adds them to the pages that hold their cells; and it puts the cells of hours together to days, and of
//! days to months, once the log has come far enough. So the statistics are at every moment the cells of all pages and
//! what is yet to be folded, and what an append costs does not depend on how much there is.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dualaudit_record::{
    Time,
    statistics::{Bucket, Cell, Hour, Key, Level, NotPacked, Packed, Part, Stretch, Sums, View},
};

use super::{Disagreements, InFlight, InFlightFilter, StoreError, WantedDisagreements};

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

    /// Executions of a log in flight, at most `limit`: those that ran when they were last seen, and are owed a record.
    /// A log that goes on in another place has none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored makes no sense.
    async fn in_flight(&self, log: &str, filter: &InFlightFilter, limit: u32)
    -> Result<InFlight, StoreError>;

    /// Executions whose newest verdict disagrees with how they turned out, newest review first. One question looks at a
    /// bounded number of reviews, and says where to go on.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored makes no sense.
    async fn disagreements(&self, wanted: &WantedDisagreements) -> Result<Disagreements, StoreError>;
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
    /// How long the stretches are that they are told apart by: those of this length that the buckets lie in, or the
    /// buckets themselves where they are longer. Of `None`, a key has one cell, which is over the whole period.
    pub by: Option<Level>,
    /// How much of each cell. The less is asked for the faster is the answer.
    pub part: Part,
}

/// A cell, and what it is over.
pub type Placed = (Stretch, Key, Cell);

/// Cells as they were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundCells {
    /// Of each question, in its order: by stretches of time, and in each by keys. Each key is there at most once in a
    /// stretch, and no cell is zero.
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
    /// All of each cell, by the buckets that are kept.
    pub fn all(view: View, begins: Key, from: Hour, until: Hour) -> Self {
        Self { view, begins, from, until, by: Some(Level::Hour), part: Part::All }
    }

    pub(super) fn overlaps(&self, bucket: Bucket) -> bool {
        bucket.end() > self.from && bucket.start < self.until
    }

    /// What the cells of a bucket are told apart by.
    fn stretch(&self, bucket: Bucket, as_of: Time) -> Stretch {
        match self.by {
            Some(level) if level > bucket.level => Bucket::of(bucket.start, level).into(),
            Some(_) => bucket.into(),
            None => {
                let from = Bucket::kept(self.from, as_of).start;
                let until = self.until.before().map_or(self.until, |last| Bucket::kept(last, as_of).end());
                Stretch { from, until }
            }
        }
    }
}

/// Sums what a question asks for.
struct Finding<'w> {
    wanted: &'w WantedCells,
    cells: BTreeMap<Stretch, BTreeMap<Key, Cell>>,
}

impl Finding<'_> {
    fn add(&mut self, bucket: Bucket, key: &Key, cell: &Cell, as_of: Time) {
        let of = self.cells.entry(self.wanted.stretch(bucket, as_of)).or_default();
        match of.get_mut(key) {
            Some(sum) => sum.merge(cell, 1),
            None => drop(of.insert(key.clone(), cell.clone())),
        }
    }

    fn found(self) -> Vec<Placed> {
        let mut found = Vec::new();
        for (stretch, cells) in self.cells {
            for (key, mut cell) in cells {
                cell.keep(self.wanted.part);
                if !cell.is_zero() {
                    found.push((stretch, key, cell));
                }
            }
        }
        found
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
    let mut findings: Vec<Finding<'_>> =
        wanted.iter().map(|wanted| Finding { wanted, cells: BTreeMap::new() }).collect();
    for (id, bytes) in pages {
        let mut of: Vec<&mut Finding<'_>> = findings
            .iter_mut()
            .filter(|finding| finding.wanted.view == id.view && finding.wanted.overlaps(id.bucket))
            .collect();
        for cell in page::read(id, bytes)? {
            let (key, cell) = cell?;
            for finding in &mut of {
                if key.as_bytes().starts_with(finding.wanted.begins.as_bytes()) {
                    finding.add(id.bucket, &key, &cell, as_of);
                }
            }
        }
    }
    add_sums(&mut findings, &unfolded, as_of);
    Ok(findings.into_iter().map(Finding::found).collect())
}

/// Takes the cells that are wanted out of sums alone.
#[cfg(test)]
pub(crate) fn found_in(wanted: &[WantedCells], sums: &Sums, as_of: Time) -> Vec<Vec<Placed>> {
    let mut findings: Vec<Finding<'_>> =
        wanted.iter().map(|wanted| Finding { wanted, cells: BTreeMap::new() }).collect();
    add_sums(&mut findings, sums, as_of);
    findings.into_iter().map(Finding::found).collect()
}

fn add_sums(findings: &mut [Finding<'_>], sums: &Sums, as_of: Time) {
    for ((view, bucket, key), cell) in sums.iter() {
        for finding in &mut *findings {
            let wanted = finding.wanted;
            let begins = key.as_bytes().starts_with(wanted.begins.as_bytes());
            if begins && *view == wanted.view && wanted.overlaps(*bucket) {
                finding.add(*bucket, key, cell, as_of);
            }
        }
    }
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
