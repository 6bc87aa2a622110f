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
//! - That triggers, constraints or indexes are not those that were made is found, but not what was done while they were
//!   not: that is what all the rest is for. An entry that nobody can read is named, and its leaf taken from the tree.

mod beside;
mod bundles;
mod days;
mod entry;
mod exports;
mod log;
mod named;
mod promised;
mod schema;
mod served;
mod strays;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    checkpoint::{KeyRole, SignedCheckpoint, VerifierKey, Vouched},
    digest::Digest,
};
use serde::Serialize;

use self::log::{Checked, LogCheck};
use crate::store::{Head, LogState, NoSuchLog, Store, StoreError, StoredEntry, UnreadableLog, meant};

pub use bundles::{BundleReport, ProvedIn, verify_bundles};
pub use exports::{ExportReport, verify_export};
pub use promised::{Against, Copy, Kept, KeptInOrder};
pub use served::{Served, verify_served};

/// Findings beyond this many are counted and not kept.
pub const MAX_FINDINGS: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
    /// How many there are by the log they name.
    #[serde(skip)]
    by_log: BTreeMap<String, u64>,
}

impl Report {
    /// Whether everything agrees.
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    /// How many there are of a log, with those that are of no log that was checked: these count for each.
    pub fn findings_of(&self, log: &str) -> u64 {
        let others = self.logs.iter().map(|it| &it.log).filter(|it| *it != log);
        let of_others: u64 = others.filter_map(|other| self.by_log.get(other)).sum();
        self.findings_total - of_others
    }

    fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        *self.by_log.entry(finding.log.clone()).or_default() += 1;
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
    let mut report = Report::default();
    schema::check(store, &mut report).await?;
    let mut heads = Vec::new();
    for read in store.read_logs().await? {
        match read {
            Ok(head) => heads.push(head),
            // Nobody can say what it should have; the other logs can still be checked.
            Err(UnreadableLog { log: of, what: found }) if log.is_none_or(|log| log == of) => {
                let expected = "one that can be read".to_owned();
                report.add(Finding { log: of, index: None, what: "head", expected, found });
            }
            Err(_) => {}
        }
    }
    let is_unreadable = log.is_some() && report.findings.iter().any(|finding| finding.what == "head");
    let missing = if log.is_none() { missing_logs(&heads, against) } else { Vec::new() };
    let mut heads = if is_unreadable { Vec::new() } else { meant(heads, log)? };
    let is_arriving = |head: &Head| log.is_none() && matches!(head.state, LogState::Arriving { .. });
    report.arriving = heads.extract_if(.., |head| is_arriving(head)).map(|head| head.log).collect();
    let total = heads.iter().map(|head| head.size).sum();
    let mut done = 0;
    for head in heads {
        let mut check = LogCheck { store, report: &mut report, head: &head, against, entries: 0 };
        let mut step = |entries| progress(Progress { log: &head.log, done: done + entries, total });
        let Checked { from, checkpoint, copies } = match check.run(&mut step).await {
            Ok(checked) => checked,
            // The rest of this log cannot be read; the other logs can still be checked.
            Err(error) if is_damage(&error) => {
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

/// The heads of all logs of which that can be read.
async fn heads(store: &dyn Store) -> Result<Vec<Head>, StoreError> {
    Ok(store.read_logs().await?.into_iter().filter_map(Result::ok).collect())
}

/// Whether it is the database that is wrong, and not that it cannot be asked just now.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt(_) | StoreError::Rejected(_))
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

fn shown(time: Option<Time>) -> String {
    time.map_or("none".to_owned(), |time| time.to_string())
}
