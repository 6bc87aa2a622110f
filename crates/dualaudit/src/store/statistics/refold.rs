//! Folding what was recorded before the statistics were kept, or all of a log anew: from the bodies of its entries.
//!
//! # Guarantees
//! What comes of it is what the appends of the same entries gave:
//! - What was purged gives nothing here, and the entry of its purge all that it had given.
//! - What was erased gives and takes no texts, which its erasure had taken back.
//! - A later attempt, or revision, takes back what the one before it gave, unless that was purged; so does a review,
//!   which gives it anew with its verdict.
//!
//! # Caveats
//! An entry that cannot be read gives nothing, so that it keeps nobody waiting: whoever folds is told of it, and so is
//! whoever verifies the log.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Entry, EntryKind,
    entry::{Review, Verdict},
    log::parse_body,
    statistics::{Contribution, Kept, NotPacked},
};

use crate::store::{
    RevisionName, StoredBody, StoredEntry, UnreadableEntry,
    rules::{self, Counted, Revision},
    statistics::Given,
};

/// All that a log has of the executions on a page, by their ids.
pub(in crate::store) struct Known {
    /// In the order of attempt and revision.
    pub(in crate::store) revisions: HashMap<String, Vec<Revision>>,
    /// With the indexes of their entries, in their order.
    pub(in crate::store) reviews: HashMap<String, Vec<(u64, Review)>>,
}

impl Known {
    /// The newest verdict on an attempt before an entry.
    fn verdict(&self, id: &str, attempt: u32, before: u64) -> Option<Verdict> {
        let mut reviews = self.reviews.get(id)?.iter().rev();
        let newest = reviews.find(|(index, review)| *index < before && review.attempt == attempt);
        newest.map(|(_, review)| review.verdict)
    }
}

/// The entries of a page as it was read, and which of them cannot be read. Where that is the body alone, an entry
/// gives nothing, and still takes back what it stands in the place of.
pub(in crate::store) fn readable(
    page: Vec<Result<StoredEntry, UnreadableEntry>>,
) -> (Vec<StoredEntry>, Vec<UnreadableEntry>) {
    let (mut readable, mut passed_over) = (Vec::new(), Vec::new());
    for read in page {
        match read {
            Ok(stored) => {
                if let StoredBody::Unreadable(what) = &stored.body
                    && gives(stored.kind)
                {
                    passed_over.push(UnreadableEntry { index: stored.index, what: what.clone() });
                }
                readable.push(stored);
            }
            Err(unreadable) => passed_over.push(unreadable),
        }
    }
    (readable, passed_over)
}

/// Whether the statistics follow from what such entries say.
fn gives(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Execution | EntryKind::Review | EntryKind::Purge)
}

/// The entry after a page of what was recorded before statistics were kept, which is `until` there. An entry that is
/// missing is `verify`'s to find.
pub(in crate::store) fn after(page: &[Result<StoredEntry, UnreadableEntry>], until: u64) -> u64 {
    let index = |read: &Result<StoredEntry, UnreadableEntry>| match read {
        Ok(stored) => stored.index,
        Err(unreadable) => unreadable.index,
    };
    page.last().map_or(until, |last| (index(last) + 1).min(until))
}

/// Whether an entry is of one execution that the statistics may count.
pub(in crate::store) fn is_of_one(stored: &StoredEntry) -> bool {
    matches!(stored.kind, EntryKind::Execution | EntryKind::Review)
}

/// The review that a body says; none where it makes no sense, which is `verify`'s to find.
pub(in crate::store) fn review(body: &str) -> Option<Review> {
    match parse_body(EntryKind::Review, body.as_bytes()) {
        Ok((Entry::Review(review), _)) => Some(review),
        _ => None,
    }
}

/// What each entry of a page takes back: the name of the revision, by the entry's index.
pub(in crate::store) fn taken_back(page: &[StoredEntry], known: &Known) -> BTreeMap<u64, RevisionName> {
    let of = |stored: &StoredEntry| {
        let id = stored.execution_id.as_ref()?;
        let revisions = known.revisions.get(id)?.iter();
        let before: Vec<Revision> =
            revisions.filter(|revision| revision.index < stored.index).cloned().collect();
        let last = before.last()?;
        let attempt = match stored.body.left() {
            Some(Entry::Review(review)) => {
                (review.attempt == last.attempt && !last.is_purged()).then_some(last.attempt)
            }
            _ => match rules::counted(&before, stored.attempt?) {
                Counted::InsteadOf(attempt) => Some(attempt),
                Counted::Not | Counted::Also => None,
            },
        };
        Some((stored.index, RevisionName { id: id.clone(), attempt: attempt?, revision: last.revision }))
    };
    page.iter().filter_map(of).collect()
}

/// Whether the statistics count the entry of an execution at all.
fn is_counted(stored: &StoredEntry, known: &Known) -> bool {
    let known = stored.execution_id.as_ref().and_then(|id| known.revisions.get(id));
    let last = known.and_then(|known| {
        known.iter().filter(|revision| revision.index < stored.index).map(|revision| revision.attempt).max()
    });
    last.is_none_or(|last| stored.attempt.is_some_and(|attempt| attempt >= last))
}

/// What the entries of a page give to the buckets that are kept; `taken` are the entries of
/// what they take back, by name.
pub(in crate::store) fn given(
    page: &[StoredEntry],
    known: &Known,
    taken_back: &BTreeMap<u64, RevisionName>,
    taken: &HashMap<RevisionName, StoredEntry>,
    kept: Kept,
) -> Result<Given, NotPacked> {
    let mut given = Given::default();
    for stored in page {
        if let Some(name) = taken_back.get(&stored.index)
            && let Some(Entry::Execution(record)) = taken.get(name).and_then(|record| record.body.left())
        {
            let verdict = known.verdict(&name.id, name.attempt, stored.index);
            let before = Contribution::of(&record.record).reviewed(verdict);
            given.give(&before, -1, kept);
            if let Some(Entry::Review(review)) = stored.body.left() {
                given.give(&before.reviewed(Some(review.verdict)), 1, kept);
            }
        }
        match &stored.body {
            StoredBody::Whole(entry, _) | StoredBody::Erased { rest: entry, .. } => match entry.as_ref() {
                Entry::Execution(record) if is_counted(stored, known) => {
                    let verdict = known.verdict(&record.record.id, record.record.attempt, stored.index);
                    given.give(&Contribution::of(&record.record).reviewed(verdict), 1, kept);
                }
                Entry::Purge(purge) => {
                    let contributed = purge.contributed.as_ref().map(|packed| packed.unpack()).transpose()?;
                    for (times, contribution) in contributed.unwrap_or_default() {
                        given.give(&contribution, times, kept);
                    }
                }
                _ => {}
            },
            StoredBody::Purged { .. } | StoredBody::Unreadable(_) => {}
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests;
