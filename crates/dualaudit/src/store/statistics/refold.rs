//! Folding what was recorded before the statistics were kept, or all of a log anew: from the bodies of its entries.
//!
//! # Guarantees
//! What comes of it is what the appends of the same entries gave:
//! - What was purged gives nothing here, and the entry of its purge all that it had given.
//! - What was erased gives and takes no texts, which its erasure had taken back.
//! - A later attempt, or revision, takes back what the one before it gave, unless that was purged.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Entry, Time,
    statistics::{Contribution, NotPacked, Sums},
};

use crate::store::{
    RevisionName, StoredBody, StoredEntry,
    rules::{self, Counted, Revision},
};

/// What each entry of a page takes back: the name of the revision, by the entry's index. `known` are all revisions of
/// the executions on the page.
pub(in crate::store) fn taken_back(
    page: &[StoredEntry],
    known: &HashMap<String, Vec<Revision>>,
) -> BTreeMap<u64, RevisionName> {
    let of = |stored: &StoredEntry| {
        let (id, attempt) = (stored.execution_id.as_ref()?, stored.attempt?);
        let before: Vec<Revision> =
            known.get(id)?.iter().filter(|revision| revision.index < stored.index).cloned().collect();
        let Counted::InsteadOf(attempt) = rules::counted(&before, attempt) else { return None };
        let revision = before.last()?.revision;
        Some((stored.index, RevisionName { id: id.clone(), attempt, revision }))
    };
    page.iter().filter_map(of).collect()
}

/// Whether the statistics count the entry of an execution at all.
fn is_counted(stored: &StoredEntry, known: &HashMap<String, Vec<Revision>>) -> bool {
    let known = stored.execution_id.as_ref().and_then(|id| known.get(id));
    let last = known.and_then(|known| {
        known.iter().filter(|revision| revision.index < stored.index).map(|revision| revision.attempt).max()
    });
    last.is_none_or(|last| stored.attempt.is_some_and(|attempt| attempt >= last))
}

/// What the entries of a page give to the statistics of a log that has come to `as_of`; `taken` are the entries of
/// what they take back, by name.
pub(in crate::store) fn sums(
    page: &[StoredEntry],
    known: &HashMap<String, Vec<Revision>>,
    taken_back: &BTreeMap<u64, RevisionName>,
    taken: &HashMap<RevisionName, StoredEntry>,
    as_of: Time,
) -> Result<Sums, NotPacked> {
    let mut sums = Sums::default();
    for stored in page {
        if let Some(record) = taken_back.get(&stored.index).and_then(|name| taken.get(name))
            && let Some(Entry::Execution(record)) = record.body.left()
        {
            sums.give(&Contribution::of(&record.record), -1, as_of);
        }
        match &stored.body {
            StoredBody::Whole(entry, _) | StoredBody::Erased { rest: entry, .. } => match entry.as_ref() {
                Entry::Execution(record) if is_counted(stored, known) => {
                    sums.give(&Contribution::of(&record.record), 1, as_of);
                }
                Entry::Purge(purge) => {
                    let contributed = purge.contributed.as_ref().map(|packed| packed.unpack()).transpose()?;
                    for (times, contribution) in contributed.unwrap_or_default() {
                        sums.give(&contribution, times, as_of);
                    }
                }
                _ => {}
            },
            StoredBody::Purged { .. } | StoredBody::Unreadable(_) => {}
        }
    }
    Ok(sums)
}
