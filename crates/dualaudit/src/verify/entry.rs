//! One entry against itself: its body, its columns, its leaf.

use std::fmt;

use dualaudit_record::{
    Entry,
    digest::Digest,
    log::{FORMAT, Leaf, body},
};

use crate::store::StoredEntry;

/// Compares what one entry's columns, body and leaf say, tells `find` what differs (what, expected,
/// found), and returns the hash of the leaf built anew.
///
/// The leaf is built from the columns and the digest stored beside them; that this digest is the
/// body's is compared separately, so that a changed body and a changed leaf read differently.
pub(super) fn check(
    log: &str,
    stored: &StoredEntry,
    mut find: impl FnMut(&'static str, String, String),
) -> Digest {
    match &stored.body {
        Err(unreadable) => find("body", "one that can be read".into(), unreadable.clone()),
        Ok((entry, nonce)) => {
            let digest = Digest::sha256(&body(entry, *nonce));
            if digest != stored.body_digest {
                find("body digest", stored.body_digest.to_string(), format!("{digest}, hashed anew"));
            }
            let (from_body, from_columns) = (Columns::of_body(entry), Columns::of_entry(stored));
            if from_body != from_columns {
                find("columns", from_body.to_string(), from_columns.to_string());
            }
            if let Entry::Execution(execution) = entry
                && execution.recorded_at != stored.recorded_at
            {
                find("recorded_at", execution.recorded_at.to_string(), stored.recorded_at.to_string());
            }
        }
    }
    let leaf = Leaf {
        format: FORMAT,
        log: log.to_owned(),
        index: stored.index,
        kind: stored.kind,
        recorded_at: stored.recorded_at,
        execution_id: stored.execution_id.clone(),
        attempt: stored.attempt,
        revision: stored.revision,
        body_digest: stored.body_digest,
    };
    let hash = leaf.hash();
    if hash != stored.leaf_hash {
        find("leaf hash", hash.to_string(), stored.leaf_hash.to_string());
    }
    hash
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
        let (id, numbers) = match entry {
            Entry::Execution(execution) => {
                (&execution.record.id, Some((execution.record.attempt, execution.revision)))
            }
            Entry::Gap(gap) => (&gap.execution_id, None),
            Entry::Quarantine(quarantine) => (&quarantine.execution_id, None),
            Entry::Hold(hold) => (&hold.execution_id, None),
        };
        let (attempt, revision) = numbers.unzip();
        Self { kind, execution_id: Some(id), attempt, revision }
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
