//! Statistics as they are stored: what each append gives, until it is folded into pages of cells.
//!
//! An append writes what it gives to the statistics in the same transaction, as one small row. A fold takes many
//! such rows and adds them to the pages that hold their cells; and once six hours are over, it puts the cells of these
//! together, and so on to days, weeks and months. So the statistics are at every moment the cells of all
//! pages and what is yet to be folded, and what an append costs does not depend on how much there is.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use dualaudit_record::{
    Time,
    statistics::{
        Bucket, Cell, Contribution, Daily, Hour, Kept, Key, KeyError, Keys, Level, NotPacked, Packed, Part,
        Slice, Stretch, Sums, View,
    },
};

use super::{Disagreements, InFlight, InFlightFilter, StoreError, UnreadableEntry, WantedDisagreements};

pub(super) mod days;
pub(super) mod page;
pub(super) mod refold;
pub(super) mod rolling;

use page::{BadPage, PageId, Reading};

/// Rows of appends that are folded at once, and their bytes, all but the last row's.
pub(super) const PENDING: u32 = 1024;
pub(super) const PENDING_BYTES: i64 = 128 * 1024;
/// Entries that are read again at once.
pub(super) const REFOLDED: u32 = 64;
/// Cells that one ask may find in a log, and bytes of statistics that it may read for them. Regressions by version, of 600
/// versions on the 131 days at most that are told apart, find 80,000.
const MOST_CELLS: usize = 250_000;
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Patterns that one question tells apart. There may be as many as messages, where these have nothing in common.
const MOST_PATTERNS: usize = 20_000;

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
    /// [`StoreError::TooSlow`] when more would have to be read than one question may,
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

    /// Every row of what people ask in SQL, each value as text; nothing where it is null.
    #[cfg(test)]
    async fn asked_in_sql(&self, sql: &str) -> Vec<Vec<Option<String>>>;
}

/// How far a fold came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folding {
    /// All that there was is folded.
    Done,
    /// There may be more.
    More,
    /// There may be more. Of what was recorded before the statistics were kept, these entries cannot be read, and were
    /// passed over: the statistics lack what they gave.
    PassedOver(Vec<UnreadableEntry>),
}

impl Folding {
    /// There may be more after these entries were passed over, if there were any.
    pub(super) fn past(unreadable: Vec<UnreadableEntry>) -> Self {
        if unreadable.is_empty() { Self::More } else { Self::PassedOver(unreadable) }
    }
}

/// Which cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCells {
    /// Of which view.
    pub view: View,
    /// Which of its keys.
    pub keys: Keys,
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
    /// How many entries could not be read when they were folded: the statistics lack what these gave.
    pub passed_over: u64,
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
        Self { view, keys: begins.into(), from, until, by: Some(Level::Hour), part: Part::All }
    }

    /// The period, outward to the shortest buckets of a log that has come to `as_of`.
    fn period(&self, as_of: Time) -> Stretch {
        Kept::by(as_of).outward(Stretch { from: self.from, until: self.until })
    }
}

/// What [`Kept::cover`] answers.
type Cover = Vec<(Level, Stretch)>;

/// The runs of buckets that hold the periods of questions, each of each slice that is needed, beside the places of the
/// questions; `kept` are the buckets that there are.
pub(super) fn runs(wanted: &[WantedCells], kept: Kept, as_of: Time) -> Vec<(usize, Run)> {
    // Most questions are about the same time.
    let mut covers: HashMap<(Stretch, Option<Level>), Cover> = HashMap::new();
    let mut runs = Vec::new();
    for (place, wanted) in wanted.iter().enumerate().filter(|(_, wanted)| wanted.from < wanted.until) {
        let period = wanted.period(as_of);
        let cover = covers.entry((period, wanted.by));
        let cover = cover.or_insert_with(|| kept.cover(kept.outward(period), wanted.by));
        for &slice in wanted.view.slices(wanted.part) {
            runs.extend(cover.iter().map(|&(level, of)| (place, Run { slice, level, of })));
        }
    }
    runs
}

/// Buckets of one length, one after the other, of which a slice is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) slice: Slice,
    pub(super) level: Level,
    pub(super) of: Stretch,
}

/// Sums what questions ask for.
pub(super) struct Findings<'w> {
    findings: Vec<Finding<'w>>,
    bytes: usize,
    most_cells: usize,
    most_bytes: usize,
}

impl<'w> Findings<'w> {
    /// Of questions to a log that has come to `as_of`.
    pub(super) fn new(wanted: &'w [WantedCells], as_of: Time) -> Self {
        let findings = wanted.iter().map(|wanted| Finding::new(wanted, as_of)).collect();
        Self { findings, bytes: 0, most_cells: MOST_CELLS, most_bytes: MOST_BYTES }
    }

    /// Adds the cells of a page that was read for the question with this place.
    pub(super) fn page(&mut self, place: usize, id: &PageId, bytes: &[u8]) -> Result<(), NotFound> {
        self.findings[place].page(id, bytes)?;
        self.read(bytes.len())
    }

    /// Notes that so many bytes more were read, if one ask may read as much.
    fn read(&mut self, bytes: usize) -> Result<(), NotFound> {
        self.bytes += bytes;
        let cells = self.findings.iter().map(Finding::len).sum::<usize>();
        let is_too_much = cells > self.most_cells || self.bytes > self.most_bytes;
        if is_too_much { Err(NotFound::TooMuch) } else { Ok(()) }
    }

    /// Adds what is not folded yet.
    pub(super) fn pending(&mut self, pending: &[Packed]) -> Result<(), NotFound> {
        for packed in pending {
            for (times, contribution) in packed.unpack().map_err(BadStatistics::from)? {
                self.findings.iter_mut().for_each(|finding| finding.give(&contribution, times));
            }
            self.read(packed.as_bytes().len())?;
        }
        Ok(())
    }

    /// What was found, of each question.
    pub(super) fn found(self) -> Vec<Vec<Placed>> {
        self.findings.into_iter().map(Finding::found).collect()
    }
}

/// Sums what a question asks for.
struct Finding<'w> {
    wanted: &'w WantedCells,
    period: Stretch,
    kept: Kept,
    cells: BTreeMap<Stretch, HashMap<Vec<u8>, Cell>>,
}

impl<'w> Finding<'w> {
    fn new(wanted: &'w WantedCells, as_of: Time) -> Self {
        Self { wanted, period: wanted.period(as_of), kept: Kept::by(as_of), cells: BTreeMap::new() }
    }

    fn len(&self) -> usize {
        self.cells.values().map(HashMap::len).sum()
    }

    /// What the cells of a bucket, or of an hour, are told apart by.
    fn stretch(&self, start: Hour) -> Stretch {
        let Some(level) = self.wanted.by else { return self.period };
        let shortest = self.kept.shortest(start);
        if shortest.level > level { shortest.into() } else { Bucket::of(start, level).into() }
    }

    /// Adds the cells of a page that are asked for.
    fn page(&mut self, id: &PageId, bytes: &[u8]) -> Result<(), BadStatistics> {
        let WantedCells { keys, part, .. } = self.wanted;
        let cells = self.cells.entry(self.stretch(id.bucket.start)).or_default();
        let mut reading = Reading::new(id, bytes)?;
        while let Some(bytes) = reading.next()? {
            let key = reading.key();
            if !keys.has(key) {
                if key > keys.begins().as_bytes() && !key.starts_with(keys.begins().as_bytes()) {
                    break;
                }
                continue;
            }
            if let Some(cell) = cells.get_mut(key) {
                reading.add(bytes, *part, cell)?;
            } else {
                let mut cell = id.slice.view().zero();
                reading.add(bytes, *part, &mut cell)?;
                if id.slice == Slice::Texts && cells.len() >= MOST_PATTERNS {
                    let others = Key::from_bytes(key.to_vec()).other_patterns()?.into_bytes();
                    cells.entry(others).or_insert_with(|| id.slice.view().zero()).merge(&cell, 1);
                } else {
                    cells.insert(key.to_vec(), cell);
                }
            }
        }
        Ok(())
    }

    /// Adds what is not folded yet and is asked for.
    fn give(&mut self, contribution: &Contribution, times: i64) {
        if contribution.hour < self.period.from || contribution.hour >= self.period.until {
            return;
        }
        let mut sums = Sums::default();
        sums.give_to(self.kept.shortest(contribution.hour), contribution, times);
        for ((view, bucket, key), cell) in sums.iter() {
            self.add(*view, *bucket, key, cell);
        }
    }

    /// Adds a cell of one of the shortest buckets, if it is asked for.
    fn add(&mut self, view: View, bucket: Bucket, key: &Key, cell: &Cell) {
        let is_within = bucket.end() > self.period.from && bucket.start < self.period.until;
        if is_within && view == self.wanted.view && self.wanted.keys.has(key.as_bytes()) {
            let mut cell = cell.clone();
            cell.keep(self.wanted.part);
            let cells = self.cells.entry(self.stretch(bucket.start)).or_default();
            cells.entry(key.as_bytes().to_vec()).or_insert_with(|| view.zero()).merge(&cell, 1);
        }
    }

    fn found(self) -> Vec<Placed> {
        let mut found = Vec::new();
        for (stretch, cells) in self.cells {
            let begin = found.len();
            let cells = cells.into_iter().filter(|(_, cell)| !cell.is_zero());
            found.extend(cells.map(|(key, cell)| (stretch, Key::from_bytes(key), cell)));
            found[begin..].sort_unstable_by(|(_, one, _), (_, other, _)| one.cmp(other));
        }
        found
    }
}

/// Takes the cells that are wanted out of sums in the shortest buckets alone.
pub(crate) fn found_in(wanted: &[WantedCells], sums: &Sums, as_of: Time) -> Vec<Vec<Placed>> {
    let mut findings: Vec<Finding<'_>> = wanted.iter().map(|wanted| Finding::new(wanted, as_of)).collect();
    for ((view, bucket, key), cell) in sums.iter() {
        findings.iter_mut().for_each(|finding| finding.add(*view, *bucket, key, cell));
    }
    findings.into_iter().map(Finding::found).collect()
}

/// Why cells were not found.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFound {
    #[error(transparent)]
    Bad(#[from] BadStatistics),
    #[error(
        "the answer would be put together from more than one question may read: ask about a workflow, a namespace \
        or a shorter period"
    )]
    TooMuch,
}

/// What is stored of statistics makes no sense.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadStatistics {
    #[error(transparent)]
    Page(#[from] BadPage),
    #[error(transparent)]
    Pending(#[from] NotPacked),
    #[error("they hold {0}")]
    Key(#[from] KeyError),
}

/// What was given to the statistics.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// In the buckets that are kept.
    pub(super) sums: Sums,
    /// By days.
    pub(super) daily: Daily,
}

impl Given {
    /// Adds what an execution gives, `times` over.
    pub(super) fn give(&mut self, contribution: &Contribution, times: i64, kept: Kept) {
        self.sums.give(contribution, times, kept);
        self.daily.give(contribution, times);
    }

    /// Adds all of another, `times` over.
    pub(super) fn merge(&mut self, other: &Self, times: i64) {
        self.sums.merge(&other.sums, times);
        self.daily.merge(&other.daily, times);
    }
}

/// What appends gave.
pub(super) fn given(pending: &[Packed], kept: Kept) -> Result<Given, NotPacked> {
    let mut given = Given::default();
    for packed in pending {
        for (times, contribution) in packed.unpack()? {
            given.give(&contribution, times, kept);
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests;
