//! Checking the whole audit against itself, from the database alone.
//!
//! Every body is hashed anew, every leaf and the tree are built anew, and all of it is compared with
//! what is stored: body digests, leaf hashes, tiles, and the head's root; and what is kept beside an
//! entry (source objects, quarantined objects, holds) with what its body says. Rows that no entry
//! vouches for are found too. What the digest of a day says is counted anew.
//!
//! # Guarantees
//! - Memory is bounded by one page of entries, whatever the log's size.
//! - A log that grows meanwhile causes no finding: it is checked up to the size its head had at the
//!   start. What lies beyond only has to be vouched for, as each page of rows is read in one snapshot.
//!
//! # Caveats
//! - Alone it shows that a log agrees with itself. That it is the log it was yesterday is shown by checkpoints
//!   kept elsewhere ([`Against::copies`]), and that it is the one it says it is by their signatures.
//! - What no entry says cannot be compared with one. A content digest is made anew from the record and the
//!   log's secret, so either of them changed is found; but of a redacted record only its shape is checked,
//!   as it was taken of what nobody has any more. A log's owner and origin, and what is tracked, are not
//!   checked.
//! - Of what was purged only the leaf is left, and the entry that says that it went: both are checked. Of what
//!   was erased, what is left is compared with what the entry of the erasure says of it.
//! - It trusts the schema: that triggers were dropped meanwhile is found when SQLite's file is next opened to
//!   write, not here.

mod beside;
mod bundles;
mod days;
mod entry;
mod exports;
mod named;
mod promised;
mod served;
mod strays;
#[cfg(test)]
mod tests;
mod tree;

use dualaudit_record::{
    Entry, EntryKind, Time,
    checkpoint::{KeyRole, SignedCheckpoint, VerifierKey, Vouched},
    digest::Digest,
    log::{TileData, TileId, Tree, growing_tiles},
};
use serde::Serialize;

use crate::store::{Head, LogState, NoSuchLog, Store, StoreError, StoredEntry, Which, meant};
use promised::Promised;
use tree::TreeCheck;

pub use bundles::{BundleReport, ProvedIn, verify_bundles};
pub use exports::{ExportReport, verify_export};
pub use promised::{Against, Copy, Kept, KeptInOrder};
pub use served::{Served, verify_served};

/// Findings beyond this many are counted and not kept.
pub const MAX_FINDINGS: usize = 100;

/// Entries read at a time. A body may have 2 MiB, so this is what bounds the memory.
const PAGE: u32 = 64;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// One for each log checked.
    pub logs: Vec<LogReport>,
    /// The first [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: u64,
    /// Logs that are still being copied here, which were not checked: of a part of a log not everything can
    /// agree.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arriving: Vec<String>,
}

impl Report {
    /// Whether everything agrees.
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// A log as it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// Its name.
    pub log: String,
    /// The size its head had at the start, up to which it was checked.
    pub size: u64,
    /// How many entries were found and checked.
    pub entries: u64,
    /// The root its head gives for that size.
    pub root: Digest,
    /// `recorded_at` of the newest of them.
    pub recorded_at: Option<Time>,
    /// From which entry on it was checked: where it was verified before, else 0.
    pub from: u64,
    /// The newest published checkpoint, if it agrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointReport>,
    /// How many checkpoints kept elsewhere it agrees with.
    pub copies: u64,
    /// The log that goes on in its place, if it was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

/// A published checkpoint that agrees with its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointReport {
    /// How many entries it covers.
    pub size: u64,
    /// The trusted keys that signed it; empty when no key was given to check it by.
    pub signed_by: Vec<String>,
    /// The trusted witnesses that cosigned it.
    pub cosigned_by: Vec<String>,
    /// The whole of it.
    #[serde(skip)]
    pub note: SignedCheckpoint,
}

impl CheckpointReport {
    /// Of a checkpoint that agrees with its log; signatures by other keys than these are passed over.
    fn of(note: SignedCheckpoint, keys: &[VerifierKey]) -> Self {
        let vouched = if keys.is_empty() { None } else { note.vouched(keys).ok() };
        let Vouched { by_log: signed_by, by_witnesses } = vouched.unwrap_or_default();
        let cosigned_by = by_witnesses.into_iter().map(|(witness, _)| witness).collect();
        Self { size: note.head().size, signed_by, cosigned_by, note }
    }
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The log.
    pub log: String,
    /// The entry, where it is one entry's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What was compared.
    pub what: &'static str,
    /// What it should be by everything else.
    pub expected: String,
    /// What is stored.
    pub found: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log, index, what, expected, found } = self;
        write!(f, "log {log}, ")?;
        if let Some(index) = index {
            write!(f, "entry {index}, ")?;
        }
        write!(f, "{what}: expected {expected}, found {found}")
    }
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The log being checked.
    pub log: &'a str,
    /// Entries checked, in all logs.
    pub done: u64,
    /// Entries to check, in all logs.
    pub total: u64,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no log of that name.
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
    /// The database went away. A damaged one is a finding, not this.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks one log, or all but those that are still being copied here.
///
/// # Errors
/// See [`VerifyError`]. What is wrong in the database is no error but a finding.
pub async fn verify(
    store: &dyn Store,
    log: Option<&str>,
    progress: impl FnMut(Progress<'_>),
) -> Result<Report, VerifyError> {
    verify_against(store, log, Against::default(), progress).await
}

/// The same, and against what is trusted and was promised elsewhere.
///
/// # Errors
/// See [`VerifyError`].
pub async fn verify_against(
    store: &dyn Store,
    log: Option<&str>,
    against: Against<'_>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Report, VerifyError> {
    let heads = store.logs().await?;
    let missing = if log.is_none() { missing_logs(&heads, against) } else { Vec::new() };
    let mut heads = meant(heads, log)?;
    let is_arriving = |head: &Head| log.is_none() && matches!(head.state, LogState::Arriving { .. });
    let arriving = heads.extract_if(.., |head| is_arriving(head)).map(|head| head.log).collect();
    let total = heads.iter().map(|head| head.size).sum();
    let mut report = Report { logs: Vec::new(), findings: Vec::new(), findings_total: 0, arriving };
    let mut done = 0;
    for head in heads {
        let mut check = LogCheck { store, report: &mut report, head: &head, against, entries: 0 };
        let mut step = |entries| progress(Progress { log: &head.log, done: done + entries, total });
        let Checked { from, checkpoint, copies } = match check.run(&mut step).await {
            Ok(checked) => checked,
            // The rest of this log cannot be read; the other logs can still be checked.
            Err(error @ (StoreError::Corrupt(_) | StoreError::Rejected(_))) => {
                check.find(None, "database", "readable", error);
                Checked::default()
            }
            Err(error) => return Err(error.into()),
        };
        let entries = check.entries;
        done += head.size;
        let Head { log, size, root, recorded_at, state, .. } = head;
        let successor = match state {
            LogState::Succeeded { by } => Some(by),
            LogState::Open | LogState::Arriving { .. } | LogState::Moved { .. } => None,
        };
        report.logs.push(LogReport {
            log,
            size,
            entries,
            root,
            recorded_at,
            from,
            checkpoint,
            copies,
            successor,
        });
    }
    strays::check(store, log, &mut report).await?;
    missing.into_iter().for_each(|finding| report.add(finding));
    Ok(report)
}

/// The logs whose keys are trusted, or of which checkpoints were kept, and which are not there: deleted, or under
/// another origin.
fn missing_logs(heads: &[Head], against: Against<'_>) -> Vec<Finding> {
    let keys = against.keys.iter().filter(|key| key.role() == KeyRole::Log);
    let trusted = keys.map(|key| (key.name(), "whose key is trusted"));
    let kept = against.promised.iter().map(|origin| (origin.as_str(), "of which checkpoints were kept"));
    let missing = trusted.chain(kept).filter(|(origin, _)| !heads.iter().any(|head| head.origin == *origin));
    let finding = |(origin, why)| Finding {
        log: "*".to_owned(),
        index: None,
        what: "log",
        expected: format!("one with the origin {origin}, {why}"),
        found: "none: it was deleted, has another origin by now, or is in another database".to_owned(),
    };
    missing.map(finding).collect()
}

/// The first thing in which an entry does not agree with itself: its body, columns, leaf, and what stands
/// beside it. Of what was purged only the leaf; of what was erased, not what only its erasure says.
pub fn check_entry(log: &str, stored: &StoredEntry) -> Option<Finding> {
    let mut first = None;
    entry::check(log, stored, &mut |what, expected, found| {
        let (log, index) = (log.to_owned(), Some(stored.index));
        first.get_or_insert(Finding { log, index, what, expected, found });
    });
    first
}

/// The check of one log.
struct LogCheck<'a> {
    store: &'a dyn Store,
    report: &'a mut Report,
    head: &'a Head,
    against: Against<'a>,
    /// How many entries were checked.
    entries: u64,
}

/// What a log was found to agree with.
#[derive(Default)]
struct Checked {
    from: u64,
    checkpoint: Option<CheckpointReport>,
    copies: u64,
}

impl LogCheck<'_> {
    fn find(
        &mut self,
        index: Option<u64>,
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        self.report.add(Finding { log: self.head.log.clone(), index, what, expected, found });
    }

    async fn run(&mut self, step: &mut impl FnMut(u64)) -> Result<Checked, StoreError> {
        let (log, size) = (&self.head.log, self.head.size);
        // `None` once an entry is missing: positions, and so the tree, have no meaning beyond it.
        let from = self.resumed().await?;
        let resumed = (from.size(), from.root());
        let mut next = from.size();
        let mut checked = Checked { from: next, ..Checked::default() };
        let mut tree = Some(TreeCheck::of(from));
        let mut last: Option<Time> = None;
        let mut promised = Promised::new(self.against, &self.head.origin);
        let published = self.published();
        let mut is_published = false;
        let mut last_named = named::Last::default();
        let mut days = days::Days::from(next);
        while next < size {
            let limit = u32::try_from(size - next).map_or(PAGE, |left| left.min(PAGE));
            let page = self.store.entries(log, Which::All, next, limit).await?;
            // An entry at or beyond the head's size belongs to a commit after the start.
            let page: Vec<_> = page.into_iter().take_while(|entry| entry.index < size).collect();
            if page.is_empty() {
                break;
            }
            for stored in &page {
                if stored.index != next {
                    self.find(
                        Some(next),
                        "index",
                        format!("entry {next}"),
                        format!("entry {}", stored.index),
                    );
                    tree = None;
                }
                next = stored.index.max(next) + 1;
                self.entries += 1;
                if let Some(before) = last.filter(|&before| stored.recorded_at < before) {
                    let expected = format!("at or after {before}");
                    self.find(Some(stored.index), "recorded_at", expected, stored.recorded_at);
                }
                last = Some(stored.recorded_at);
                let leaf = entry::check(log, stored, &mut |what, expected, found| {
                    self.find(Some(stored.index), what, expected, found);
                });
                if let Some(tree) = &mut tree {
                    tree.push(leaf);
                    let size = stored.index + 1;
                    if promised.is_due(size) {
                        promised.compare(size, tree.root(), &mut |what, expected, found| {
                            self.find(None, what, expected, found);
                        });
                    }
                    if let Some(published) = published.as_ref().filter(|note| note.head().size == size) {
                        is_published = self.agrees(published, tree.root());
                    }
                }
                named::check(self, &mut last_named, stored).await?;
                days.check(stored, &mut |what, expected, found| {
                    self.find(Some(stored.index), what, expected, found);
                });
            }
            if let Some(tree) = &mut tree {
                tree.check_full(self).await?;
            }
            step(next);
        }
        if next < size {
            let found = format!("{next} entries: its end was cut off");
            self.find(None, "size", format!("{size} entries, as the head says"), found);
            tree = None;
        } else if last != self.head.recorded_at && next > checked.from {
            self.find(None, "recorded_at of the head", shown(last), shown(self.head.recorded_at));
        }
        match tree {
            Some(tree) => {
                if tree.root() != self.head.root {
                    self.find(None, "root", tree.root(), self.head.root);
                }
                tree.check_edge(self).await?;
            }
            None => {
                let found = format!("{}, which cannot be compared as entries are missing", self.head.root);
                self.find(None, "root", "one that can be built anew", found);
            }
        }
        checked.copies = promised.agreed;
        let accounted = self.accounted().await?;
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

    async fn size_now(&self) -> Result<u64, StoreError> {
        let heads = self.store.logs().await?;
        Ok(heads.iter().find(|head| head.log == self.head.log).map_or(0, |head| head.size))
    }
}

fn shown(time: Option<Time>) -> String {
    time.map_or("none".to_owned(), |time| time.to_string())
}
