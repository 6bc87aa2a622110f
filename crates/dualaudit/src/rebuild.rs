//! Folding a log again from its first entry on, and comparing every table that follows from its entries, or putting
//! what they make in its place.
//!
//! # Guarantees
//! - Nothing is replaced unless the entries are whole, agree with their own digests, and have the root that was
//!   promised of them: in the newest checkpoint, in every copy that is given, or else in the log's head.
//! - Memory is bounded by a page of entries; what they make goes to temporary tables.
//! - All of it is one transaction: another look at the tables sees them as they were, or right.
//!
//! # Caveats
//! - What entries only name by a digest cannot be made from them: the rows of executions and kept objects. `verify`
//!   compares those, and a backup brings them back.
//! - What is no part of the log is left alone: what is tracked, a published checkpoint.

use std::collections::BTreeMap;

use dualaudit_record::{
    Entry, Time,
    checkpoint::SignedCheckpoint,
    digest::Digest,
    entry::Erasure,
    erase,
    log::{TILE_WIDTH, TileData, Tree, body},
    proof,
};
use serde::Serialize;

use crate::store::{Compared, Derived, Head, LogState, Mode, Rebuild, StoreError, StoredBody, StoredEntry};

#[cfg(test)]
mod tests;

/// Entries read at a time. A body may have 2 MiB, so this is what bounds the memory.
const PAGE: u32 = 64;

/// Bytes of a full tile (C2SP `tlog-tiles`): hashes of 32.
const TILE_BYTES: usize = TILE_WIDTH * 32;

/// Entries that may have been erased, remembered until their erasure comes: beyond this many they are damaged.
const MAX_SUSPECTS: usize = 10_000;

/// What is wrong with entries beyond this many is not said.
const MAX_DAMAGED: usize = 20;

/// What came of a log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The log.
    pub log: String,
    /// How many entries it has.
    pub entries: u64,
    /// The RFC 6962 root over their leaves, made anew.
    pub root: Digest,
    /// Each derived table.
    pub tables: Vec<Compared>,
    /// What is wrong with the entries themselves, or does not fit what was promised of them: no rebuild mends it.
    pub damaged: Vec<String>,
    /// Whether what differed was replaced.
    pub replaced: bool,
}

impl Report {
    /// Whether every table is what the entries make of it, or is so now.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && (self.replaced || self.tables.iter().all(|table| table.differing == 0))
    }
}

/// Why a log was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The entries are not what was appended, or not all of it.
    #[error(
        "the log {} was left as it was, because its entries cannot be trusted: {}. Run `dualaudit verify`; what is lost \
         comes back from a backup, or is lost: see `dualaudit log succeed`",
        .0.log, .0.damaged.join("; ")
    )]
    Damaged(Box<Report>),
    /// The head differs, and nothing else says what it was.
    #[error(
        "the log {} was left as it was: its head is not the one that its entries make, and no checkpoint says which of \
         them is right; name a copy by --checkpoint-copy, or restore a backup",
        .0.log
    )]
    Unvouched(Box<Report>),
    /// The database went away, or does not allow it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Folds a log anew and compares, or replaces, what follows from it. `promised` are its checkpoints that were kept
/// outside the database; `progress` is told how many entries were read, and of how many.
///
/// # Errors
/// See [`RebuildError`]. What differs is no error but in the report.
pub async fn rebuild(
    store: &dyn Rebuild,
    log: &str,
    mode: Mode,
    promised: &[SignedCheckpoint],
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, RebuildError> {
    let mut rebuilding = store.begin_rebuild(log, mode).await?;
    let head = rebuilding.head().clone();
    if let LogState::Arriving { from } = &head.state {
        return Err(
            StoreError::Foreign(format!("the log {log} is still being copied here from {from}")).into()
        );
    }
    let mut fold = Fold::of(&head, promised);
    loop {
        let page = rebuilding.entries(fold.tree.size(), PAGE).await?;
        let mut rows = Vec::new();
        let Some(last) = page.last().map(|stored| stored.index) else { break };
        let whole = page.iter().all(|stored| fold.push(stored, &mut rows));
        fold.take_tiles(&mut rows);
        rebuilding.contribute(page).await?;
        rebuilding.put(rows).await?;
        progress(last + 1, head.size);
        if !whole {
            break;
        }
    }
    let mut rows = Vec::new();
    fold.finish(&mut rows);
    rebuilding.put(rows).await?;
    let made = proof::Head { size: fold.tree.size(), root: fold.tree.root() };
    let differs = (made.size, made.root, fold.last) != (head.size, head.root, head.recorded_at);
    let mut tables = rebuilding.compare().await?;
    tables.push(Compared {
        table: "log",
        rows: 1,
        differing: u64::from(differs),
        first: differs.then(|| log.to_owned()).into_iter().collect(),
    });
    let (is_promised, last) = (fold.is_promised, fold.last);
    let (entries, root, damaged) = (made.size, made.root, fold.damaged);
    let mut report = Report { log: log.to_owned(), entries, root, tables, damaged, replaced: false };
    if mode == Mode::Check || report.is_clean() {
        return Ok(report);
    }
    if !report.damaged.is_empty() {
        return Err(RebuildError::Damaged(Box::new(report)));
    }
    if differs && !is_promised {
        return Err(RebuildError::Unvouched(Box::new(report)));
    }
    rebuilding.replace(made, last).await?;
    report.replaced = true;
    Ok(report)
}

/// What follows from the entries so far.
struct Fold {
    log: String,
    tree: Tree,
    /// The growing tile of each level, as it was when it last changed.
    growing: BTreeMap<u8, TileData>,
    /// `recorded_at` of the newest entry.
    last: Option<Time>,
    /// Roots that were promised, by size.
    promised: BTreeMap<u64, Vec<Digest>>,
    /// Whether there is a promise at all.
    is_promised: bool,
    /// Whether another goes on in its place.
    is_succeeded: bool,
    /// Entries whose bodies are not those that were appended, with the digests of what they are.
    suspects: BTreeMap<u64, Digest>,
    damaged: Vec<String>,
}

impl Fold {
    fn of(head: &Head, promised: &[SignedCheckpoint]) -> Self {
        let mut fold = Self {
            log: head.log.clone(),
            tree: Tree::empty(),
            growing: BTreeMap::new(),
            last: None,
            promised: BTreeMap::new(),
            is_promised: false,
            is_succeeded: matches!(head.state, LogState::Succeeded { .. }),
            suspects: BTreeMap::new(),
            damaged: Vec::new(),
        };
        let published: Option<Result<SignedCheckpoint, _>> = head.checkpoint.as_deref().map(str::parse);
        let published = published.and_then(|read| {
            read.map_err(|error| fold.damage(format!("its published checkpoint cannot be read: {error}")))
                .ok()
        });
        for checkpoint in published.iter().chain(promised) {
            let promise = checkpoint.head();
            if promise.origin != head.origin {
                fold.damage(format!(
                    "a checkpoint is of {}, and the log's origin is {}",
                    promise.origin, head.origin
                ));
                continue;
            }
            fold.is_promised = true;
            fold.promised.entry(promise.size).or_default().push(promise.root);
        }
        fold.keep_promises();
        fold
    }

    /// Takes the next entry; answers whether there can be another after it.
    fn push(&mut self, stored: &StoredEntry, rows: &mut Vec<Derived>) -> bool {
        let index = self.tree.size();
        if stored.index != index {
            self.damage(format!("entry {index} is missing"));
            return false;
        }
        if self.last.is_some_and(|last| stored.recorded_at < last) {
            self.damage(format!("entry {index} was recorded before the one in front of it"));
        }
        self.last = Some(stored.recorded_at);
        let leaf_hash = stored.leaf(&self.log).hash();
        if leaf_hash != stored.leaf_hash {
            rows.push(Derived::LeafHash { index, leaf_hash });
        }
        self.tree.push(leaf_hash);
        self.keep_promises();
        match &stored.body {
            StoredBody::Whole(entry, nonce) => {
                let digest = Digest::sha256(&body(entry, *nonce));
                if digest != stored.body_digest {
                    self.suspect(index, entry, digest);
                }
                if let Entry::Erasure(erasure) = entry.as_ref() {
                    self.clear(erasure);
                }
                rows.extend(follow(entry, stored));
            }
            // Of what can be erased only a review has a row that follows from its entry.
            StoredBody::Erased { rest, .. } => rows.extend(follow(rest, stored)),
            StoredBody::Purged { .. } => {}
            StoredBody::Unreadable(_) if stored.attempt.is_some() => {}
            StoredBody::Unreadable(why) => {
                self.damage(format!("the body of entry {index} cannot be read: {why}"));
            }
        }
        true
    }

    /// Takes that a body is not the one that was appended. It may be what an erasure left of that, of which the
    /// note is missing: then the erasure, which comes later, says so.
    fn suspect(&mut self, index: u64, entry: &Entry, digest: Digest) {
        if erase::rest(entry).as_ref() == Some(entry) && self.suspects.len() < MAX_SUSPECTS {
            self.suspects.insert(index, digest);
        } else {
            self.damage(changed(index));
        }
    }

    /// What an erasure says that it left is as it should be.
    fn clear(&mut self, erasure: &Erasure) {
        self.suspects.retain(|index, digest| erasure.rest_of(*index) != Some(*digest));
    }

    /// The tiles that were filled since the last call.
    fn take_tiles(&mut self, rows: &mut Vec<Derived>) {
        for tile in self.tree.take_changed() {
            if tile.hashes.len() == TILE_BYTES {
                self.growing.remove(&tile.level);
                rows.push(Derived::Tile(tile));
            } else {
                self.growing.insert(tile.level, tile);
            }
        }
    }

    /// Takes the end of the log.
    fn finish(&mut self, rows: &mut Vec<Derived>) {
        rows.extend(std::mem::take(&mut self.growing).into_values().map(Derived::Tile));
        for index in std::mem::take(&mut self.suspects).into_keys() {
            self.damage(changed(index));
        }
        let size = self.tree.size();
        // What a log that was succeeded had lost, its successor says, and `verify` compares.
        if let Some(&promised) = self.promised.keys().next_back()
            && !self.is_succeeded
        {
            self.damage(format!("it has {size} entries, and a checkpoint is of {promised}: its end is lost"));
        }
    }

    /// Compares the root with those that were promised for this size.
    fn keep_promises(&mut self) {
        let size = self.tree.size();
        for promised in self.promised.remove(&size).unwrap_or_default() {
            let root = self.tree.root();
            if promised != root {
                self.damage(format!(
                    "the first {size} entries have the root {root}, and a checkpoint says {promised}"
                ));
            }
        }
    }

    fn damage(&mut self, what: String) {
        if self.damaged.len() < MAX_DAMAGED {
            self.damaged.push(what);
        }
    }
}

fn changed(index: u64) -> String {
    format!("the body of entry {index} is not the one that was appended")
}

/// What follows from one entry, apart from the tree.
fn follow(entry: &Entry, stored: &StoredEntry) -> Vec<Derived> {
    let (index, recorded_at) = (stored.index, stored.recorded_at);
    match entry {
        Entry::Hold(hold) => vec![Derived::Hold { index, hold: hold.clone(), placed_at: recorded_at }],
        Entry::HoldRelease(release) => {
            vec![Derived::Release { hold: release.hold, by: index, released_at: recorded_at }]
        }
        Entry::Review(review) => vec![Derived::Review { index, review: review.clone(), recorded_at }],
        Entry::Purge(purge) => {
            let runs = purge.entries.iter();
            runs.map(|&(first, last)| Derived::Purged { first, last, by: index }).collect()
        }
        Entry::Erasure(erasure) => {
            let entries = erasure.entries.iter();
            entries.map(|entry| Derived::Erased { entry: entry.index, by: index }).collect()
        }
        Entry::Succession(succession) => vec![Derived::Succeeds(succession.predecessor.clone())],
        Entry::Execution(_)
        | Entry::Gap(_)
        | Entry::Quarantine(_)
        | Entry::Heartbeat(_)
        | Entry::Digest(_)
        | Entry::Export(_)
        | Entry::Access(_)
        | Entry::Window(_) => Vec::new(),
    }
}
