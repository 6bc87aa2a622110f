//! The personal fields of one execution, erased by somebody's word.

use super::{
    Append,
    holds::{HoldError, check_name, check_text, named},
};
use crate::{
    clock::entropy,
    store::{
        Answer, DraftContent, EraseDraft, Lookup, Receipt, ReceiptResult, Refusal, Store, StoreError, Wanted,
    },
};

/// Why an execution was not erased, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// No log has it.
    #[error(
        "no log has execution {0}: name the log by --log, if it is only a gap or in quarantine, or look up its id"
    )]
    Nowhere(String),
    /// Several have it, and they may mean different ones by it.
    #[error("{id} is in {} logs; name one of them by --log: {}", logs.len(), logs.join(", "))]
    Ambiguous {
        /// Its id.
        id: String,
        /// The logs that have it.
        logs: Vec<String>,
    },
    /// The log refuses it.
    #[error("log {log}: execution {id} was not erased{}: {refusal}", if *.parts > 0 { " to its end" } else { "" })]
    Refused {
        /// The log.
        log: String,
        /// Its id.
        id: String,
        /// Why.
        refusal: Refusal,
        /// Erasures that went before, and stay.
        parts: usize,
    },
    /// A text or log that cannot be used.
    #[error(transparent)]
    Wrong(#[from] HoldError),
    /// The database failed; the same again goes on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The log that has an execution.
///
/// # Errors
/// [`EraseError::Nowhere`] and [`EraseError::Ambiguous`].
pub async fn log_of(store: &dyn Store, id: &str) -> Result<String, EraseError> {
    match store.get(&Wanted { id: id.to_owned(), log: None, attempt: None }).await? {
        Lookup::Found(detail) => Ok(detail.log),
        Lookup::Purged(purged) => Ok(purged.receipt.log),
        Lookup::Ambiguous { logs } => Err(EraseError::Ambiguous { id: id.to_owned(), logs }),
        Lookup::NotInLog { .. } | Lookup::NoAttempt { .. } => Err(EraseError::Nowhere(id.to_owned())),
    }
}

fn check(id: &str, reason: &str, actor: &str) -> Result<(), HoldError> {
    check_name("the execution's id", "id", id)?;
    check_text("the reason", "reason", reason)?;
    check_text("the actor", "actor", actor)
}

/// Erases what of an execution is personal in a log: its revisions, gaps and quarantined objects up to now.
/// Answers the receipts of the entries that say so: mostly one, of an execution with very much several; where nothing was
/// left to erase, that of the last.
///
/// # Errors
/// See [`EraseError`]; what went before an error stays erased, and the same again goes on.
pub async fn erase(
    appender: &dyn Append,
    log: &str,
    id: &str,
    reason: &str,
    actor: &str,
) -> Result<Vec<Receipt>, EraseError> {
    check(id, reason, actor)?;
    named(appender.store(), &[log.to_owned()]).await?;
    let mut receipts = Vec::new();
    loop {
        let draft = EraseDraft {
            execution_id: id.to_owned(),
            reason: reason.to_owned(),
            actor: actor.to_owned(),
            seed: entropy(),
        };
        match appender.submit(log, DraftContent::Erase(Box::new(draft))).await? {
            Answer::Stored(receipt) if receipt.result != ReceiptResult::Duplicate => receipts.push(receipt),
            Answer::Stored(last) => {
                if receipts.is_empty() {
                    receipts.push(last);
                }
                return Ok(receipts);
            }
            Answer::Refused(refusal) => {
                let (log, id, parts) = (log.to_owned(), id.to_owned(), receipts.len());
                return Err(EraseError::Refused { log, id, refusal, parts });
            }
            other => {
                return Err(
                    StoreError::Corrupt(format!("the database answered an erasure with {other:?}")).into()
                );
            }
        }
    }
}
