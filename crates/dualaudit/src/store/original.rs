//! Whether an entry stands as it was appended, or as its erasure left it: what everybody asks who hands it out, counts
//! it, or takes it away.

use dualaudit_record::{
    Entry, EntryKind,
    digest::Digest,
    log::{Nonce, body},
};

use super::{Store, StoreError, StoredBody, StoredEntry, Which, erase::rest_digest};

/// Checks entries of one log. Remembers the erasure that was looked at last: what one erases mostly stands together.
#[derive(Default)]
pub struct Originals {
    erasure: Option<(u64, Option<StoredEntry>)>,
}

impl Originals {
    /// The canonical body of an entry that is what was appended; `None` of one that was erased, of which what is left is
    /// what its erasure says, or purged.
    ///
    /// # Errors
    /// Those of the store. Inside it, a sentence: in what the entry is not what was appended.
    pub async fn check(
        &mut self,
        store: &dyn Store,
        log: &str,
        stored: &StoredEntry,
    ) -> Result<Result<Option<Vec<u8>>, String>, StoreError> {
        let body = match &stored.body {
            StoredBody::Whole(entry, nonce) => whole(entry, *nonce, stored.body_digest).map(Some),
            StoredBody::Erased { by, rest, nonce } => {
                let promised = self.rest_of(store, log, stored, *by).await?;
                is_left(promised, rest_digest(rest, *nonce), *by).map(|()| None)
            }
            StoredBody::Purged { .. } => Ok(None),
            StoredBody::Unreadable(why) => Err(format!("its body cannot be read: {why}")),
        };
        Ok(body.and_then(|body| match is_leaf(log, stored) {
            true => Ok(body),
            false => Err("its columns are not what its leaf says".to_owned()),
        }))
    }

    /// What the erasure at `by` says is left of an entry; `None` where that is none, not what was appended, or says
    /// nothing of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rest_of(
        &mut self,
        store: &dyn Store,
        log: &str,
        stored: &StoredEntry,
        by: u64,
    ) -> Result<Option<Digest>, StoreError> {
        let erasure = self.erasure(store, log, by).await?;
        Ok(match erasure.and_then(|erasure| erasure.body.entry()) {
            Some(Entry::Erasure(erasure)) if Some(&erasure.execution_id) == stored.execution_id.as_ref() => {
                erasure.rest_of(stored.index)
            }
            _ => None,
        })
    }

    /// The erasure at an index, if there is one and it is what was appended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erasure(
        &mut self,
        store: &dyn Store,
        log: &str,
        index: u64,
    ) -> Result<Option<&StoredEntry>, StoreError> {
        if self.erasure.as_ref().is_none_or(|(known, _)| *known != index) {
            let found = store.entries(log, Which::Kind(EntryKind::Erasure), index, 1).await?;
            let is_it = |found: &StoredEntry| {
                let StoredBody::Whole(entry, nonce) = &found.body else { return false };
                found.index == index && whole(entry, *nonce, found.body_digest).is_ok() && is_leaf(log, found)
            };
            self.erasure = Some((index, found.into_iter().find(is_it)));
        }
        Ok(self.erasure.as_ref().and_then(|(_, erasure)| erasure.as_ref()))
    }
}

fn whole(entry: &Entry, nonce: Nonce, appended: Digest) -> Result<Vec<u8>, String> {
    let bytes = body(entry, nonce);
    match Digest::sha256(&bytes) == appended {
        true => Ok(bytes),
        false => Err("its body is not the one that was recorded".to_owned()),
    }
}

fn is_left(promised: Option<Digest>, left: Digest, by: u64) -> Result<(), String> {
    match promised {
        Some(promised) if promised == left => Ok(()),
        Some(_) => Err(format!("what is left of it is not what its erasure, entry {by}, says")),
        None => {
            Err(format!("entry {by} is said to have erased it, and is no erasure that says what is left"))
        }
    }
}

fn is_leaf(log: &str, stored: &StoredEntry) -> bool {
    stored.leaf(log).hash() == stored.leaf_hash
}
