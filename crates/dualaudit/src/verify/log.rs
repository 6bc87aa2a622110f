//! The entries of one log, one after the other, and what follows from them.

use dualaudit_record::{
    Entry, EntryKind, Time,
    checkpoint::SignedCheckpoint,
    digest::Digest,
    log::{TILE_WIDTH, TileData, TileId, Tree, growing_tiles},
};

use super::{
    Against, CheckpointReport, Finding, Report, days, entry, heads, is_damage, named,
    promised::{self, Promised},
    shown,
    tree::TreeCheck,
};
use crate::store::{Head, LogState, Store, StoreError, StoredEntry, UnreadableEntry, Which};

/// Entries read at a time. A body may have 2 MiB, so this is what bounds the memory.
const PAGE: u32 = 64;

/// The check of one log.
pub(super) struct LogCheck<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) report: &'a mut Report,
    pub(super) head: &'a Head,
    pub(super) against: Against<'a>,
    /// How many entries were checked.
    pub(super) entries: u64,
}

/// What a log was found to agree with.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) from: u64,
    pub(super) checkpoint: Option<CheckpointReport>,
    pub(super) copies: u64,
}

impl LogCheck<'_> {
    pub(super) fn find(
        &mut self,
        index: Option<u64>,
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        self.report.add(Finding { log: self.head.log.clone(), index, what, expected, found });
    }

    pub(super) async fn run(&mut self, step: &mut impl FnMut(u64)) -> Result<Checked, StoreError> {
        let (log, size) = (&self.head.log, self.head.size);
        // `None` once an entry is missing: positions, and so the tree, have no meaning beyond it.
        let from = self.resumed().await?;
        let resumed = (from.size(), from.root());
        let mut next = from.size();
        let mut checked = Checked { from: next, ..Checked::default() };
        let mut tree = Some(TreeCheck::of(from));
        let mut last: Option<Time> = None;
        let mut unread = None;
        let mut promised = Promised::new(self.against, &self.head.origin);
        let published = self.published();
        let mut is_published = false;
        let mut last_named = named::Last::default();
        let mut days = days::Days::from(next);
        while next < size {
            let limit = u32::try_from(size - next).map_or(PAGE, |left| left.min(PAGE));
            let page = self.store.read_entries(log, Which::All, next, limit).await?;
            // An entry at or beyond the head's size belongs to a commit after the start.
            let page: Vec<_> = page.into_iter().take_while(|read| index_of(read) < size).collect();
            if page.is_empty() {
                break;
            }
            for read in &page {
                let index = index_of(read);
                if index != next {
                    self.find(Some(next), "index", format!("entry {next}"), format!("entry {index}"));
                    tree = None;
                }
                next = index.max(next) + 1;
                let leaf = match read {
                    Ok(stored) => {
                        self.entries += 1;
                        if let Some(before) = last.filter(|&before| stored.recorded_at < before) {
                            let expected = format!("at or after {before}");
                            self.find(Some(index), "recorded_at", expected, stored.recorded_at);
                        }
                        last = Some(stored.recorded_at);
                        Some(entry::check(log, stored, &mut |what, expected, found| {
                            self.find(Some(index), what, expected, found);
                        }))
                    }
                    Err(unreadable) => {
                        self.find(Some(index), "entry", "one that can be read", &unreadable.what);
                        unread = Some(index);
                        self.leaf_in_tile(index).await?
                    }
                };
                if leaf.is_none() {
                    tree = None;
                }
                if let (Some(tree), Some(leaf)) = (&mut tree, leaf) {
                    tree.push(leaf);
                    let size = index + 1;
                    if promised.is_due(size) {
                        promised.compare(size, tree.root(), &mut |what, expected, found| {
                            self.find(None, what, expected, found);
                        });
                    }
                    if let Some(published) = published.as_ref().filter(|note| note.head().size == size) {
                        is_published = self.agrees(published, tree.root());
                    }
                }
                let Ok(stored) = read else { continue };
                let named = named::check(self, &mut last_named, stored).await;
                self.readable(Some(index), "what it names", named)?;
                days.check(stored, &mut |what, expected, found| {
                    self.find(Some(index), what, expected, found);
                });
            }
            if let Some(tree) = &mut tree {
                let full = tree.check_full(self).await;
                self.readable(None, "tile", full)?;
            }
            step(next);
        }
        if next < size {
            let found = format!("{next} entries: its end was cut off");
            self.find(None, "size", format!("{size} entries, as the head says"), found);
            tree = None;
        } else if last != self.head.recorded_at && next > checked.from && unread != next.checked_sub(1) {
            self.find(None, "recorded_at of the head", shown(last), shown(self.head.recorded_at));
        }
        match tree {
            Some(tree) => {
                if tree.root() != self.head.root {
                    self.find(None, "root", tree.root(), self.head.root);
                }
                let edge = tree.check_edge(self).await;
                self.readable(None, "tile", edge)?;
            }
            None => {
                let found = format!(
                    "{}, which cannot be compared as entries are missing or not readable",
                    self.head.root
                );
                self.find(None, "root", "one that can be built anew", found);
            }
        }
        checked.copies = promised.agreed;
        let accounted = self.accounted().await;
        let accounted = self.readable(None, "succession", accounted)?.unwrap_or_default();
        promised.finish(next, accounted, &mut |what, expected, found| self.find(None, what, expected, found));
        if let Some(published) = published.as_ref().filter(|note| note.head().size > size) {
            let found = format!("one of {}", published.head().size);
            self.find(None, "checkpoint", format!("one of at most {size} entries"), found);
        }
        if let Some(note) = published
            && (is_published || (note.head().size, note.head().root) == resumed)
        {
            checked.checkpoint = Some(CheckpointReport::of(note, self.against.keys));
        }
        let now = self.size_now().await?;
        if now < size {
            self.find(None, "size", format!("{size} or more, as at the start"), now);
        }
        Ok(checked)
    }

    /// What was read, if it can be: else that is a finding, and the rest can go on.
    fn readable<T>(
        &mut self,
        index: Option<u64>,
        what: &'static str,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match read {
            Err(error) if is_damage(&error) => {
                self.find(index, what, "one that can be read", error);
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// The hash of a leaf as the tree has it, so that the root over all the others can still be compared.
    async fn leaf_in_tile(&mut self, index: u64) -> Result<Option<Digest>, StoreError> {
        let (tile, place) = (index / TILE_WIDTH as u64, index % TILE_WIDTH as u64);
        let tile = self.store.tiles(&self.head.log, &[TileId::Hashes { level: 0, index: tile }]).await;
        let hashes =
            self.readable(Some(index), "tile", tile)?.and_then(|tiles| tiles.into_iter().next().flatten());
        let place = usize::try_from(place).unwrap_or_default();
        Ok(hashes.and_then(|hashes| hashes.chunks_exact(32).nth(place).and_then(Digest::from_slice)))
    }

    /// The tree as it was verified before, if the log still begins so.
    async fn resumed(&mut self) -> Result<Tree, StoreError> {
        let Some(known) = (self.against.verified)(&self.head.origin) else { return Ok(Tree::empty()) };
        let (log, size) = (&self.head.log, known.size);
        let wanted: Vec<TileId> = growing_tiles(size).collect();
        let found = self.store.tiles(log, &wanted).await?;
        let tile = |(id, hashes): (TileId, Option<Vec<u8>>)| TileData::new(id, hashes?);
        match Tree::back_at(size, wanted.into_iter().zip(found).filter_map(tile).collect()) {
            Ok(tree) if size <= self.head.size && tree.root() == known.root => Ok(tree),
            _ => {
                let expected =
                    format!("the {size} entries with the root {} that were verified before", known.root);
                self.find(None, "forked log", expected, "another beginning: all of it is checked anew");
                Ok(Tree::empty())
            }
        }
    }

    /// Of a log in whose place another goes on: the size that it once had, as the first entry there says.
    async fn accounted(&mut self) -> Result<u64, StoreError> {
        let LogState::Succeeded { by } = &self.head.state else { return Ok(0) };
        let first =
            self.store.entries(by, Which::Kind(EntryKind::Succession), 0, 1).await?.into_iter().next();
        let lost = match first.as_ref().and_then(|first| first.body.entry()) {
            Some(Entry::Succession(said)) if said.predecessor == self.head.log => {
                let lost: Option<SignedCheckpoint> = said.checkpoint.parse().ok();
                lost.map_or(0, |lost| lost.head().size)
            }
            _ => {
                let expected = format!("a first entry of {by} that says so");
                self.find(
                    None,
                    "succession",
                    expected,
                    format!("a note that {by} goes on in its place, alone"),
                );
                0
            }
        };
        Ok(lost)
    }

    /// The newest published checkpoint, if it can be compared.
    fn published(&mut self) -> Option<SignedCheckpoint> {
        let head = self.head;
        if head.checkpoint.is_none() && head.size > 0 && !self.against.keys.is_empty() {
            let expected = "one that a trusted key signed";
            self.find(None, "checkpoint", expected, "none: it was never published, or deleted");
        }
        let (note, keys) = (head.checkpoint.as_deref()?, self.against.keys);
        promised::published(note, &head.origin, keys, &mut |what, expected, found| {
            self.find(None, what, expected, found);
        })
    }

    /// Whether a published checkpoint has the root that the log has at its size.
    fn agrees(&mut self, published: &SignedCheckpoint, root: Digest) -> bool {
        let says = published.head().root;
        if says != root {
            self.find(None, "checkpoint", format!("the root {root}"), says);
        }
        says == root
    }

    pub(super) async fn size_now(&self) -> Result<u64, StoreError> {
        let heads = heads(self.store).await?;
        Ok(heads.iter().find(|head| head.log == self.head.log).map_or(0, |head| head.size))
    }
}

fn index_of(read: &Result<StoredEntry, UnreadableEntry>) -> u64 {
    read.as_ref().map_or_else(|unreadable| unreadable.index, |stored| stored.index)
}
