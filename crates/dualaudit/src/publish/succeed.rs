//! Opening the successor of a log that was rolled back.

use std::sync::Arc;

use dualaudit_record::{
    Entry, EntryKind, Time, checkpoint::SignedCheckpoint, entry::Succession as Note, log::Nonce, proof,
};

use super::head_of;
use crate::{
    clock::entropy,
    proof::{Grown, ProveError, grown},
    store::{Answer, Batch, Draft, DraftContent, Head, LogState, SharedStore, StoreError, Succession, Which},
};

/// What is said of a succession.
#[derive(Clone, Debug)]
pub struct Said {
    /// Why the log was rolled back.
    pub reason: String,
    /// By whose word another goes on.
    pub actor: String,
}

/// Why no successor was opened.
#[derive(Debug, thiserror::Error)]
pub enum SucceedError {
    /// There is no such log.
    #[error("there is no log {0}")]
    NoSuchLog(String),
    /// Another goes on in its place already.
    #[error("{by} goes on in the place of the log {log} already")]
    Succeeded {
        /// The log.
        log: String,
        /// Its successor.
        by: String,
    },
    /// No copy has a checkpoint of it.
    #[error("none of the copies has a checkpoint of {0}: what was promised of the log is not known")]
    NoCopy(String),
    /// The log keeps what it promised.
    #[error(
        "the log {log} has {size} entries, and extends the newest copy, of {kept}: it was not rolled back, and needs no \
         successor"
    )]
    NotRolledBack {
        /// The log.
        log: String,
        /// How many entries it has.
        size: u64,
        /// How many the newest copy promised.
        kept: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The database does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the successor of a log that does not extend the newest of these copies. May be done again when it
/// was ended in the middle.
///
/// Answers the successor's name.
///
/// # Errors
/// See [`SucceedError`].
pub async fn succeed(
    store: Arc<dyn Succession>,
    log: &str,
    copies: &[SignedCheckpoint],
    said: Said,
    now: Time,
) -> Result<String, SucceedError> {
    let shared: SharedStore = Arc::clone(&store) as SharedStore;
    let heads = shared.logs().await?;
    let head = heads.iter().find(|head| head.log == log);
    let head = head.ok_or_else(|| SucceedError::NoSuchLog(log.to_owned()))?;
    if let LogState::Succeeded { by } = &head.state {
        return Err(SucceedError::Succeeded { log: log.to_owned(), by: by.clone() });
    }
    let newest = copies.iter().max_by_key(|copy| copy.head().size);
    let newest = newest.ok_or_else(|| SucceedError::NoCopy(head.origin.clone()))?;
    let is = proof::Head { size: head.size, root: head.root };
    if grown(&shared, log, head_of(newest.head()), is).await? == Grown::Extends {
        let (size, kept) = (head.size, newest.head().size);
        return Err(SucceedError::NotRolledBack { log: log.to_owned(), size, kept });
    }
    let (successor, origin) = successor(&shared, head, &heads).await?;
    store.begin_successor(log, &successor, &origin, now).await?;
    let note = Entry::Succession(Note {
        predecessor: log.to_owned(),
        size: head.size,
        root: head.root,
        checkpoint: newest.as_str().to_owned(),
        reason: said.reason,
        actor: said.actor,
    });
    let draft = Draft::new(Nonce(entropy()), DraftContent::Note(Box::new(note)));
    let batch = Batch { drafts: vec![draft], ..Batch::default() };
    let answers = shared.append(&successor, Arc::new(batch), now).await?;
    if !matches!(&answers[..], [Answer::Stored(receipt)] if receipt.index == 0) {
        let what = format!("the log {successor} is there, and is not the successor of {log}");
        return Err(StoreError::Foreign(what).into());
    }
    store.close_succeeded(log, &successor).await?;
    Ok(successor)
}

/// Name and origin of the log that goes on: the next number that no other log has, or the one that was begun
/// when this was ended in the middle.
async fn successor(store: &SharedStore, head: &Head, heads: &[Head]) -> Result<(String, String), StoreError> {
    let log = &head.log;
    let mut number = log.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(1_u32);
    loop {
        number += 1;
        let (name, origin) = (named(log, number), format!("{}/{number}", original(&head.origin, log)));
        let Some(there) = heads.iter().find(|there| there.log == name) else { return Ok((name, origin)) };
        let is_begun = match there.size {
            0 => there.origin == origin,
            _ => {
                let first =
                    store.entries(&name, Which::Kind(EntryKind::Succession), 0, 1).await?.into_iter().next();
                let said = first.as_ref().and_then(|first| first.body.entry());
                matches!(said, Some(Entry::Succession(said)) if said.predecessor == *log)
            }
        };
        if is_begun && there.state == LogState::Open {
            return Ok((name, origin));
        }
    }
}

/// The name of that successor: `default.2` of `default`, and `default.3` of that.
fn named(log: &str, number: u32) -> String {
    let base = match log.rsplit_once('.') {
        Some((base, last)) if last.parse::<u32>().is_ok() => base,
        _ => log,
    };
    let end = format!(".{number}");
    let room = base.len().min(63 - end.len());
    format!("{}{end}", &base[..room])
}

/// The origin of the first in the line.
fn original<'a>(origin: &'a str, log: &str) -> &'a str {
    let number = log.rsplit_once('.').map_or("", |(_, number)| number);
    match origin.rsplit_once('/') {
        Some((first, last)) if !last.is_empty() && last == number => first,
        _ => origin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successors_are_counted() {
        assert_eq!(named("default", 2), "default.2");
        assert_eq!(named("default.2", 3), "default.3");
        assert_eq!(named("eu.prod", 2), "eu.prod.2");
        assert_eq!(named(&"x".repeat(63), 12).len(), 63);
        assert_eq!(original("audit.example/default", "default"), "audit.example/default");
        assert_eq!(original("audit.example/default/2", "default.2"), "audit.example/default");
    }
}
