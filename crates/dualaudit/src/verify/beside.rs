//! What stands beside an entry against what its body says.

use dualaudit_record::{Entry, Time, entry::Hold};

use super::entry::Find;
use crate::store::{Beside, ContentDigest, ObjectDigest, Quarantined, StoredEntry};

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
        (Entry::Gap(_), Beside::Gap) => {}
        (Entry::Quarantine(quarantine), Beside::Quarantine(row)) => {
            let expected = Quarantined {
                index: stored.index,
                recorded_at: stored.recorded_at,
                object: Ok(quarantine.source_digest),
            };
            let shown = |Quarantined { index, recorded_at, object }: &Quarantined| {
                format!("entry {index}, {recorded_at}, {}", shown(Some(object)))
            };
            compare("quarantine", &expected, row, shown, find);
        }
        (Entry::Hold(hold), Beside::Hold(row)) => {
            let expected = (hold.clone(), stored.recorded_at);
            let shown = |(Hold { execution_id, reason, actor }, at): &(Hold, Time)| {
                format!("{execution_id} for {reason} by {actor}, placed at {at}")
            };
            compare("hold", &expected, row, shown, find);
        }
        (entry, _) => find("row", format!("one of a {}", entry.kind()), "one of another kind".to_owned()),
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
