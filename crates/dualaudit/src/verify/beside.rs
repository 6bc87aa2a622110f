//! What stands beside an entry against what its body says.

use dualaudit_record::{
    Entry, Time,
    digest::Digest,
    entry::{Covers, Hold, Review},
};

use super::entry::Find;
use crate::store::{
    Beside, ContentDigest, HoldRow, ObjectDigest, Quarantined, ReviewRow, StoredEntry, part_digest,
};

/// Compares what stands beside an entry with what its body says. Of a body that is not the original one it
/// is known already that it does not fit its content digest.
pub(super) fn check(entry: &Entry, is_original: bool, stored: &StoredEntry, find: Find<'_>) {
    match (entry, &stored.beside) {
        (Entry::Execution(execution), Beside::Execution { content_digest, source_object }) => {
            match content_digest {
                ContentDigest::Fits => {}
                ContentDigest::Differs { .. } if !is_original => {}
                ContentDigest::Differs { expected, found } => {
                    find("content digest", expected.to_string(), found.to_string());
                }
                // It goes with the body, and the body is here. Whatever is sent of this execution would
                // be taken for a duplicate of it.
                ContentDigest::Missing => find("content digest", "32 bytes".to_owned(), "none".to_owned()),
                ContentDigest::Unreadable(why) => {
                    find("content digest", "32 bytes".to_owned(), why.clone());
                }
            }
            if source_object != &execution.source_digest.map(Ok) {
                let expected = shown(execution.source_digest.map(Ok).as_ref());
                find("source object", expected, shown(source_object.as_ref()));
            }
        }
        (
            Entry::Gap(_)
            | Entry::Heartbeat(_)
            | Entry::Succession(_)
            | Entry::Digest(_)
            | Entry::Export(_)
            | Entry::Access(_)
            | Entry::Window(_),
            Beside::Nothing,
        ) => {}
        (Entry::Quarantine(quarantine), Beside::Quarantine(row)) => {
            let expected = Quarantined {
                index: stored.index,
                recorded_at: stored.recorded_at,
                object: Ok(quarantine.source_digest),
            };
            compare("quarantine", &expected, row, quarantined, find);
        }
        (Entry::Hold(hold), Beside::Hold(row)) => {
            let placed = |row: &HoldRow| (row.index, row.hold.clone(), row.placed_at);
            let expected = (stored.index, hold.clone(), stored.recorded_at);
            let row = row.as_ref().map(|row| row.as_ref().map(placed)).map_err(String::clone);
            let shown = |(index, Hold { covers, reason, actor }, at): &(u64, Hold, Time)| {
                format!("entry {index}, {} for {reason} by {actor}, placed at {at}", covered(covers))
            };
            compare("hold", &expected, &row, shown, find);
        }
        (Entry::HoldRelease(release), Beside::HoldRelease(row)) => {
            let ended = |row: &HoldRow| (row.index, row.released);
            let expected = (release.hold, Some((stored.recorded_at, Some(stored.index))));
            let row = row.as_ref().map(|row| row.as_ref().map(ended)).map_err(String::clone);
            let shown = |(index, released): &(u64, Option<(Time, Option<u64>)>)| match released {
                None => format!("hold of entry {index}, open"),
                Some((at, by)) => {
                    let by = by.map_or("no entry".to_owned(), |by| format!("entry {by}"));
                    format!("hold of entry {index}, released at {at} by {by}")
                }
            };
            compare("hold", &expected, &row, shown, find);
        }
        (Entry::Review(said), Beside::Review(row)) => review(said, row, stored, find),
        (Entry::Purge(purge), Beside::Purge(runs)) => {
            if purge.entries != *runs {
                let shown = |runs: &[(u64, u64)]| {
                    let entries: u64 = runs.iter().fold(0, |sum: u64, (first, last)| {
                        sum.saturating_add(last.saturating_sub(*first).saturating_add(1))
                    });
                    format!("{entries} entries in {} runs, {}", runs.len(), part_digest(runs))
                };
                find("purged", shown(&purge.entries), shown(runs));
            }
        }
        (Entry::Erasure(erasure), Beside::Erasure(noted)) => {
            let said: Vec<u64> = erasure.entries.iter().map(|entry| entry.index).collect();
            if said != *noted {
                find("erased", entries(&said), entries(noted));
            }
        }
        (entry, _) => find("row", format!("one of a {}", entry.kind()), "one of another kind".to_owned()),
    }
}

/// Compares what stands beside an entry that was erased with what is left of its body.
pub(super) fn check_erased(rest: &Entry, stored: &StoredEntry, find: Find<'_>) {
    match (rest, &stored.beside) {
        (Entry::Execution(_), Beside::Execution { content_digest, source_object }) => {
            if *content_digest != ContentDigest::Missing {
                find("content digest", "none, as it was erased".to_owned(), "one".to_owned());
            }
            if source_object.is_some() {
                find("source object", "none, as it was erased".to_owned(), shown(source_object.as_ref()));
            }
        }
        (Entry::Quarantine(_), Beside::Quarantine(row)) => {
            let object = Ok(Digest::sha256(b""));
            let expected = Quarantined { index: stored.index, recorded_at: stored.recorded_at, object };
            compare("quarantine", &expected, row, quarantined, find);
        }
        (Entry::Review(left), Beside::Review(row)) => review(left, row, stored, find),
        (Entry::Gap(_) | Entry::Window(_), Beside::Nothing) => {}
        (entry, _) => find("row", format!("one of a {}", entry.kind()), "one of another kind".to_owned()),
    }
}

/// Compares the row of a review with what its entry says, or what is left of that.
fn review(said: &Review, row: &Result<Option<ReviewRow>, String>, stored: &StoredEntry, find: Find<'_>) {
    let expected = ReviewRow { index: stored.index, review: said.clone(), recorded_at: stored.recorded_at };
    let shown = |ReviewRow { index, review, recorded_at }: &ReviewRow| {
        let Review { execution_id, attempt, verdict, note, actor } = review;
        format!(
            "entry {index}, {execution_id} attempt {attempt} {verdict} by {actor}, {note:?}, {recorded_at}"
        )
    };
    compare("review", &expected, row, shown, find);
}

fn quarantined(Quarantined { index, recorded_at, object }: &Quarantined) -> String {
    format!("entry {index}, {recorded_at}, {}", shown(Some(object)))
}

/// The entries that an erasure took, for people.
fn entries(indexes: &[u64]) -> String {
    match indexes {
        [] => "no entry".to_owned(),
        [first, .., last] if indexes.len() > 10 => format!("{} entries, {first} … {last}", indexes.len()),
        _ => indexes.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn compare<T: PartialEq>(
    what: &'static str,
    expected: &T,
    found: &Result<Option<T>, String>,
    shown: impl Fn(&T) -> String,
    find: Find<'_>,
) {
    let found = match found {
        Ok(Some(found)) if found == expected => return,
        Ok(Some(found)) => shown(found),
        Ok(None) => "no row".to_owned(),
        Err(unreadable) => unreadable.clone(),
    };
    find(what, shown(expected), found);
}

fn shown(object: Option<&ObjectDigest>) -> String {
    match object {
        None => "none".to_owned(),
        Some(Ok(digest)) => format!("an object with digest {digest}"),
        Some(Err(unreadable)) => format!("one that cannot be read: {unreadable}"),
    }
}

fn covered(covers: &Covers) -> String {
    match covers {
        Covers::ExecutionId(id) => id.clone(),
        Covers::Selector(selector) => serde_json::to_string(selector).unwrap_or_default(),
    }
}
