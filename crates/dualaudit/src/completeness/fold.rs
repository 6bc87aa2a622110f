//! What runs of entries amount to, by their leaves, and by the few bodies that say more.

use dualaudit_record::{
    EntryKind, Time,
    day::{Counts, Day},
    log::{Leaf, TILE_WIDTH, TileId, read_entry_bundle},
};

use crate::store::{Store, StoreError, Which};

/// Bodies read at a time: the last state of a gap may be as large as an object.
const BODIES: u32 = 16;

/// The leaves of a log, read a bundle at a time.
pub(super) struct Leaves<'a> {
    store: &'a dyn Store,
    log: &'a str,
    /// Where the bundle that was read last begins, and its leaves.
    bundle: (u64, Vec<Leaf>),
    /// How many were counted so far.
    pub(super) counted: u64,
}

/// The entries of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first entry after them, or the size of the log.
    pub(super) end: u64,
    /// Whether there is an entry of a later day.
    pub(super) is_over: bool,
    /// What they amount to.
    pub(super) counts: Counts,
}

impl<'a> Leaves<'a> {
    pub(super) fn of(store: &'a dyn Store, log: &'a str) -> Self {
        Self { store, log, bundle: (0, Vec::new()), counted: 0 }
    }

    /// The leaf of an entry, if there is one.
    pub(super) async fn get(&mut self, index: u64) -> Result<Option<&Leaf>, StoreError> {
        let width = TILE_WIDTH as u64;
        let (first, place) = (index - index % width, usize::try_from(index % width).unwrap_or(usize::MAX));
        // The newest bundle grows.
        if self.bundle.0 != first || self.bundle.1.len() <= place {
            self.bundle = (first, self.read(first / width).await?);
        }
        Ok(self.bundle.1.get(place))
    }

    async fn read(&self, tile: u64) -> Result<Vec<Leaf>, StoreError> {
        let found = self.store.tiles(self.log, &[TileId::Entries { index: tile }]).await?;
        let Some(bytes) = found.into_iter().next().flatten() else { return Ok(Vec::new()) };
        let unreadable = |why: &dyn std::fmt::Display| {
            StoreError::Corrupt(format!("log {}, the entries of bundle {tile}: {why}", self.log))
        };
        let leaves = read_entry_bundle(&bytes).map_err(|error| unreadable(&error))?;
        leaves
            .into_iter()
            .map(|leaf| serde_json::from_slice(leaf).map_err(|error| unreadable(&error)))
            .collect()
    }

    /// The first entry that was recorded at `time` or later, among the first `size`; else `size`.
    pub(super) async fn first_at(&mut self, time: Time, size: u64) -> Result<u64, StoreError> {
        let (mut from, mut to) = (0, size);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.get(middle).await? {
                Some(leaf) if leaf.recorded_at < time => from = middle + 1,
                _ => to = middle,
            }
        }
        Ok(from)
    }

    /// The entries of `day`, of which `first` is the first, among the first `size`.
    pub(super) async fn run(&mut self, day: Day, first: u64, size: u64) -> Result<Run, StoreError> {
        let mut run = Run { end: first, is_over: false, counts: Counts::default() };
        while run.end < size
            && let Some(leaf) = self.get(run.end).await?
        {
            if Day::of(leaf.recorded_at) > day {
                run.is_over = true;
                break;
            }
            run.counts.leaf(leaf.kind, leaf.revision);
            run.end += 1;
        }
        self.counted += run.end - first;
        for (kind, wanted) in [(EntryKind::Gap, run.counts.gaps), (EntryKind::Purge, run.counts.purges)] {
            if wanted > 0 {
                self.said(kind, first, run.end, &mut run.counts).await?;
            }
        }
        Ok(run)
    }

    /// Counts what the bodies of the entries of a kind say, from index `from` up to `end`.
    async fn said(
        &self,
        kind: EntryKind,
        mut from: u64,
        end: u64,
        counts: &mut Counts,
    ) -> Result<(), StoreError> {
        while from < end {
            let page = self.store.entries(self.log, Which::Kind(kind), from, BODIES).await?;
            let Some(last) = page.last() else { break };
            from = last.index + 1;
            for entry in page.iter().filter(|entry| entry.index < end) {
                if let Some(said) = entry.body.left() {
                    counts.said(said);
                }
            }
        }
        Ok(())
    }
}
