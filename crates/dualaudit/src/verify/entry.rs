//! One entry against itself: its body, its columns, its leaf.

use std::fmt;

use dualaudit_record::{Entry, digest::Digest, erase, log::body};

use super::{beside, shown};
use crate::store::{Beside, StoredBody, StoredEntry, check_key};

/// Is told what differs: what was compared, what was expected, what was found.
pub(super) type Find<'a> = &'a mut dyn FnMut(&'static str, String, String);

/// Compares what one entry's columns, body, leaf and rows say, tells `find` what differs, and returns
/// the hash of the leaf built anew.
///
/// The leaf is built from the columns and the digest stored beside them; that this digest is the
/// body's is compared separately, so that a changed body and a changed leaf read differently.
pub(super) fn check(log: &str, stored: &StoredEntry, find: Find<'_>) -> Digest {
    match &stored.body {
        StoredBody::Unreadable(unreadable) => find("body", "one that can be read".into(), unreadable.clone()),
        // That it was is checked against the entry that says so.
        StoredBody::Purged { .. } => {
            if let Some(key) = &stored.idempotency_key {
                find("idempotency key", "none".to_owned(), key.clone());
            }
            if let Beside::Leftover(what) = &stored.beside {
                let expected = "nothing, or, until it is removed, what was appended";
                find("purged", expected.to_owned(), what.clone());
            }
        }
        // So is what is left of what was erased; that this holds nothing personal any more is seen here.
        StoredBody::Erased { rest, .. } => {
            if erase::rest(rest).as_ref() != Some(rest.as_ref()) {
                find("erased", "no personal fields".to_owned(), "some that are still there".to_owned());
            }
            check_columns(rest, stored, find);
            beside::check_erased(rest, stored, find);
        }
        StoredBody::Whole(entry, nonce) => {
            let digest = Digest::sha256(&body(entry, *nonce));
            let is_original = digest == stored.body_digest;
            if !is_original {
                find("body digest", stored.body_digest.to_string(), format!("{digest}, hashed anew"));
            }
            check_columns(entry, stored, find);
            beside::check(entry, is_original, stored, find);
        }
    }
    let hash = stored.leaf(log).hash();
    if hash != stored.leaf_hash {
        find("leaf hash", hash.to_string(), stored.leaf_hash.to_string());
    }
    hash
}

/// What an entry's columns repeat of its body.
fn check_columns(entry: &Entry, stored: &StoredEntry, find: Find<'_>) {
    let (from_body, from_columns) = (Columns::of_body(entry), Columns::of_entry(stored));
    if from_body != from_columns {
        find("columns", from_body.to_string(), from_columns.to_string());
    }
    check_times(entry, stored, find);
    if let Err(expected) = check_key(entry, stored.idempotency_key.as_deref()) {
        let found = stored.idempotency_key.as_deref().unwrap_or("none");
        find("idempotency key", expected, found.to_owned());
    }
}

/// The times that an entry's columns repeat of its body: of an execution only.
fn check_times(entry: &Entry, stored: &StoredEntry, find: Find<'_>) {
    let started_at = match entry {
        Entry::Execution(execution) => {
            if execution.recorded_at != stored.recorded_at {
                find("recorded_at", execution.recorded_at.to_string(), stored.recorded_at.to_string());
            }
            execution.record.started_at
        }
        Entry::Purge(purge) if purge.as_of > stored.recorded_at => {
            let found = format!("{}, when the time of what went was not over", purge.as_of);
            find("as_of", format!("at or before {}", stored.recorded_at), found);
            None
        }
        Entry::Purge(purge) if purge.entries.last().is_some_and(|&(_, last)| last >= stored.index) => {
            let expected = format!("entries before {}", stored.index);
            find("purged", expected, "entries that are still to come".to_owned());
            None
        }
        Entry::Heartbeat(heartbeat) if heartbeat.size != stored.index => {
            find("size of a heartbeat", stored.index.to_string(), heartbeat.size.to_string());
            None
        }
        Entry::Gap(_)
        | Entry::Quarantine(_)
        | Entry::Hold(_)
        | Entry::HoldRelease(_)
        | Entry::Purge(_)
        | Entry::Heartbeat(_)
        | Entry::Succession(_)
        | Entry::Digest(_)
        | Entry::Review(_)
        | Entry::Export(_)
        | Entry::Access(_)
        | Entry::Erasure(_)
        | Entry::Window(_) => None,
    };
    if started_at != stored.started_at {
        find("started_at", shown(started_at), shown(stored.started_at));
    }
}

/// What an entry's columns repeat of its body.
#[derive(PartialEq, Eq)]
struct Columns<'a> {
    kind: &'static str,
    execution_id: Option<&'a str>,
    attempt: Option<u32>,
    revision: Option<u32>,
}

impl<'a> Columns<'a> {
    fn of_entry(stored: &'a StoredEntry) -> Self {
        Self {
            kind: stored.kind.as_str(),
            execution_id: stored.execution_id.as_deref(),
            attempt: stored.attempt,
            revision: stored.revision,
        }
    }

    fn of_body(entry: &'a Entry) -> Self {
        let kind = entry.kind().as_str();
        let numbers = match entry {
            Entry::Execution(execution) => Some((execution.record.attempt, execution.revision)),
            _ => None,
        };
        let (attempt, revision) = numbers.unzip();
        Self { kind, execution_id: entry.execution_id(), attempt, revision }
    }
}

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.execution_id.unwrap_or("nothing"))?;
        if let Some(attempt) = self.attempt {
            write!(f, ", attempt {attempt}")?;
        }
        if let Some(revision) = self.revision {
            write!(f, ", revision {revision}")?;
        }
        Ok(())
    }
}
