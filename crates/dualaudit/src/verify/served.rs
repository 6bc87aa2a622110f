//! A log as a server gives it to anybody: its checkpoint, its entries, its tiles (C2SP `tlog-tiles`).
//!
//! # Guarantees
//! - Nothing the server says is believed: every leaf is hashed, the tree is built anew, and its root is that of
//!   the signed checkpoint.
//! - Memory is bounded by one bundle of 256 entries, whatever the log's size.
//!
//! # Caveats
//! - Leaves name bodies by their digests: of bodies nothing is shown here.

use std::time::Duration;

use async_trait::async_trait;
use dualaudit_record::{
    Time,
    checkpoint::SignedCheckpoint,
    digest::Digest,
    log::{Leaf, TILE_WIDTH, TileData, TileId, TilePath, Tree, growing_tiles, read_entry_bundle},
};

use super::{
    Against, CheckpointReport, Finding, LogReport, MAX_FINDINGS, Progress, Report, promised::Promised,
};

/// Where a log is served.
#[async_trait]
pub trait Served: Sync {
    /// What is at a path under the log: `checkpoint`, or `tile/…`.
    ///
    /// # Errors
    /// Why it cannot be had.
    async fn get(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// Checks the log of that name as it is served.
///
/// # Errors
/// What could not be had. What is wrong in it is a finding.
pub async fn verify_served(
    source: &dyn Served,
    log: &str,
    against: Against<'_>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Report, String> {
    let note = newest(source, against).await?;
    let mut check = Check { log, findings: Vec::new(), total: 0 };
    let mut logs = Vec::new();
    match SignedCheckpoint::parse(&note) {
        Err(error) => check.find(None, "checkpoint", "one that can be read", error),
        Ok(note) => logs.push(check.log(source, note, against, &mut progress).await?),
    }
    let Check { findings, total, .. } = check;
    Ok(Report { logs, findings, findings_total: total, ..Report::default() })
}

/// How often, and how long apart, a checkpoint is asked for that covers what is known to be kept: it is kept before it
/// is published.
const ASKED: u32 = 10;
const APART: Duration = Duration::from_millis(500);

/// The newest checkpoint; a later one where copies are of more than it covers and a later one comes.
async fn newest(source: &dyn Served, against: Against<'_>) -> Result<Vec<u8>, String> {
    let mut note = source.get("checkpoint").await?;
    let Ok(first) = SignedCheckpoint::parse(&note) else { return Ok(note) };
    let kept = (against.copies)(&first.head().origin).into_iter().flat_map(|copy| copy.kept);
    let known = kept.filter_map(Result::ok).map(|kept| kept.checkpoint.head().size).max().unwrap_or(0);
    for _ in 1..ASKED {
        if SignedCheckpoint::parse(&note).map_or(true, |read| known <= read.head().size) {
            break;
        }
        tokio::time::sleep(APART).await;
        note = source.get("checkpoint").await?;
    }
    Ok(note)
}

struct Check<'a> {
    log: &'a str,
    findings: Vec<Finding>,
    total: u64,
}

impl Check<'_> {
    fn find(
        &mut self,
        index: Option<u64>,
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) {
        self.total += 1;
        if self.findings.len() < MAX_FINDINGS {
            let (log, expected, found) = (self.log.to_owned(), expected.to_string(), found.to_string());
            self.findings.push(Finding { log, index, what, expected, found });
        }
    }

    async fn log(
        &mut self,
        source: &dyn Served,
        note: SignedCheckpoint,
        against: Against<'_>,
        progress: &mut impl FnMut(Progress<'_>),
    ) -> Result<LogReport, String> {
        let head = note.head().clone();
        if !against.keys.is_empty()
            && let Err(error) = note.vouched(against.keys)
        {
            self.find(None, "checkpoint", "a signature of a trusted key", error);
        }
        let mut tree = self.resumed(source, &head.origin, head.size, against).await?;
        let (from, mut last) = (tree.size(), None);
        let mut promised = Promised::new(against, &head.origin);
        while tree.size() < head.size {
            let before = tree.size();
            let bundle = self.bundle(source, before, head.size).await?;
            for leaf in bundle {
                tree.push(leaf.hash);
                last = self.in_order(&leaf, last);
                let size = tree.size();
                if promised.is_due(size) {
                    promised.compare(size, tree.root(), &mut |what, expected, found| {
                        self.find(None, what, expected, found);
                    });
                }
            }
            progress(Progress { log: self.log, done: tree.size() - from, total: head.size - from });
            if tree.size() == before {
                let found = format!("{before} entries: its end was cut off");
                self.find(None, "size", format!("{} entries, as the checkpoint says", head.size), found);
                break;
            }
        }
        let agrees = tree.root() == head.root;
        if tree.size() == head.size && !agrees {
            self.find(None, "root", head.root, tree.root());
        }
        let copies = promised.agreed;
        promised.finish(tree.size(), 0, &mut |what, expected, found| self.find(None, what, expected, found));
        Ok(LogReport {
            log: self.log.to_owned(),
            size: head.size,
            entries: tree.size() - from,
            root: head.root,
            recorded_at: last,
            from,
            checkpoint: agrees.then(|| CheckpointReport::of(note, against.keys)),
            copies,
            successor: None,
        })
    }

    /// The tree as it was verified before, if the log still begins so.
    async fn resumed(
        &mut self,
        source: &dyn Served,
        origin: &str,
        size: u64,
        against: Against<'_>,
    ) -> Result<Tree, String> {
        let Some(known) = (against.verified)(origin) else { return Ok(Tree::empty()) };
        if known.size > size {
            let found = format!("{size} entries: the log was rolled back, or its end was cut off");
            self.find(
                None,
                "rolled-back log",
                format!("at least {}, which were verified before", known.size),
                found,
            );
            return Ok(Tree::empty());
        }
        let mut growing = Vec::new();
        for id in growing_tiles(known.size) {
            let hashes = source.get(&format!("tile/{}", TilePath { id, width: id.width(size) })).await?;
            growing.extend(TileData::new(id, hashes));
        }
        match Tree::back_at(known.size, growing) {
            Ok(tree) if tree.root() == known.root => Ok(tree),
            _ => {
                let expected =
                    format!("the root {} over the {} entries verified before", known.root, known.size);
                self.find(None, "forked log", expected, "another: all of it is checked anew");
                Ok(Tree::empty())
            }
        }
    }

    /// The entries from `from` on that are in one bundle.
    async fn bundle(&mut self, source: &dyn Served, from: u64, size: u64) -> Result<Vec<ServedLeaf>, String> {
        let index = from / TILE_WIDTH as u64;
        let id = TileId::Entries { index };
        let width = id.width(size);
        let path = TilePath { id, width };
        let bytes = source.get(&format!("tile/{path}")).await?;
        let entries = match read_entry_bundle(&bytes) {
            Ok(entries) => entries,
            Err(error) => {
                self.find(None, "entry bundle", format!("tile/{path}"), error);
                return Ok(Vec::new());
            }
        };
        let skipped = usize::try_from(from % TILE_WIDTH as u64).unwrap_or_default();
        let entries = entries.into_iter().take(width).skip(skipped).enumerate();
        Ok(entries
            .map(|(place, bytes)| ServedLeaf { index: from + place as u64, ..ServedLeaf::of(bytes) })
            .collect())
    }

    /// Checks that a leaf says where it is, and was not recorded before the one before it.
    fn in_order(&mut self, served: &ServedLeaf, last: Option<Time>) -> Option<Time> {
        let index = served.index;
        let Some(leaf) = &served.leaf else {
            self.find(Some(index), "leaf", "one in canonical form", "something else");
            return last;
        };
        if leaf.index != index {
            self.find(Some(index), "index", index, leaf.index);
        }
        if leaf.log != self.log {
            self.find(Some(index), "log", self.log, &leaf.log);
        }
        if let Some(last) = last.filter(|last| leaf.recorded_at < *last) {
            self.find(Some(index), "recorded_at", format!("at or after {last}"), leaf.recorded_at);
        }
        Some(leaf.recorded_at)
    }
}

/// A leaf as it was served.
struct ServedLeaf {
    index: u64,
    hash: Digest,
    leaf: Option<Leaf>,
}

impl ServedLeaf {
    fn of(bytes: &[u8]) -> Self {
        let leaf = serde_json::from_slice::<Leaf>(bytes).ok().filter(|leaf| leaf.to_bytes() == bytes);
        Self { index: 0, hash: Digest::sha256_of(&[&[0], bytes]), leaf }
    }
}
