//! Holds as people place, release and list them, over logs.

use dualaudit_record::{
    Entry, EntryKind, Time,
    entry::{Covers, Hold, unfit_text},
    selector::Selector,
    submitted::MAX_NAME_BYTES,
};
use serde::Serialize;

use super::Appender;
use crate::store::{
    Answer, Beside, DraftContent, HoldRow, Lookup, Receipt, Refusal, Store, StoreError, StoredEntry, Wanted,
    Which,
};

/// Entries read at a time.
const PAGE: u32 = 500;

/// Why a hold was not placed or released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A text that cannot be used.
    #[error("{what} {rule}")]
    Text {
        /// Which.
        what: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// A selector that asks for nothing would hold everything.
    #[error("a hold needs an execution, or a remediation, a workflow, a namespace or labels to select by")]
    CoversNothing,
    /// There is no log to place it in.
    #[error("there is no log yet, so nothing is held: start dualaudit once, or name another database")]
    NoLogYet,
    /// No log has it.
    #[error("no log has execution {0}: name the log that it will be in, to hold what is still to come")]
    NowhereYet(String),
    /// There is no such log.
    #[error("there is no log {log}; there are: {}", logs.join(", "))]
    NoSuchLog {
        /// What was asked for.
        log: String,
        /// What there is.
        logs: Vec<String>,
    },
    /// The log refuses it.
    #[error("log {log}: {refusal}")]
    Refused {
        /// The log.
        log: String,
        /// Why.
        refusal: Refusal,
    },
    /// A hold that cannot be read: a list without it would not be the whole.
    #[error("log {log}, entry {index}: the hold cannot be read: run `dualaudit verify`")]
    Unreadable {
        /// The log.
        log: String,
        /// The entry.
        index: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A hold in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// The log it is in.
    pub log: String,
    /// Index of its entry.
    pub index: u64,
    /// The hold.
    #[serde(flatten)]
    pub hold: Hold,
    /// When it was placed.
    pub placed_at: Time,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
}

/// The end of a hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Release {
    /// Index of the entry that says so.
    pub index: Option<u64>,
    /// When.
    pub released_at: Time,
}

/// Places a hold in these logs; without any, in every log there is, or of one execution in those that have
/// it. Placed already, it answers with its first receipt.
///
/// # Errors
/// See [`HoldError`]; a log that refuses ends it, and what was placed before stays.
pub async fn add(appender: &Appender<'_>, logs: &[String], hold: &Hold) -> Result<Vec<Receipt>, HoldError> {
    check_text("the reason", &hold.reason)?;
    check_text("the actor", &hold.actor)?;
    let logs = match &hold.covers {
        Covers::ExecutionId(id) => {
            check_name("the execution's id", id)?;
            logs_of(appender.store, logs, id).await?
        }
        Covers::Selector(selector) if selector.is_empty() => return Err(HoldError::CoversNothing),
        Covers::Selector(Selector { remediation_id, workflow_name, namespace, .. }) => {
            for (what, name) in [
                ("the remediation", remediation_id),
                ("the workflow", workflow_name),
                ("the namespace", namespace),
            ] {
                if let Some(name) = name {
                    check_name(what, name)?;
                }
            }
            named(appender.store, logs).await?
        }
    };
    if logs.is_empty() {
        return Err(HoldError::NoLogYet);
    }
    let mut receipts = Vec::new();
    for log in logs {
        receipts.push(append(appender, &log, DraftContent::Hold(hold.clone())).await?);
    }
    Ok(receipts)
}

/// Releases the hold of an entry. Released already, it answers with the first receipt.
///
/// # Errors
/// See [`HoldError`].
pub async fn release(
    appender: &Appender<'_>,
    log: &str,
    hold: u64,
    reason: &str,
    actor: &str,
) -> Result<Receipt, HoldError> {
    check_text("the reason", reason)?;
    check_text("the actor", actor)?;
    named(appender.store, &[log.to_owned()]).await?;
    let (reason, actor) = (reason.to_owned(), actor.to_owned());
    append(appender, log, DraftContent::HoldRelease { hold, reason, actor }).await
}

/// The holds of these logs, or of all, in the order of their entries: the open ones, or all there were.
/// `each` is told one after the other, so that a long list is nowhere in memory.
///
/// # Errors
/// See [`HoldError`], and what `each` fails with.
pub async fn list<E: From<HoldError>>(
    store: &dyn Store,
    logs: &[String],
    all: bool,
    mut each: impl FnMut(Vec<Listed>) -> Result<(), E>,
) -> Result<(), E> {
    for log in named(store, logs).await? {
        let mut from = 0;
        loop {
            let page = store
                .entries(&log, Which::Kind(EntryKind::Hold), from, PAGE)
                .await
                .map_err(HoldError::from)?;
            let Some(last) = page.last() else { break };
            from = last.index + 1;
            let read = |entry: StoredEntry| match (entry.body.entry(), &entry.beside) {
                (Some(Entry::Hold(hold)), Beside::Hold(Ok(Some(row)))) => Ok(listed(&log, hold.clone(), row)),
                _ => Err(HoldError::Unreadable { log: log.clone(), index: entry.index }),
            };
            let mut holds = page.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
            holds.retain(|listed| all || listed.released.is_none());
            each(holds)?;
        }
    }
    Ok(())
}

fn listed(log: &str, hold: Hold, row: &HoldRow) -> Listed {
    let released = row.released.map(|(released_at, index)| Release { index, released_at });
    Listed { log: log.to_owned(), index: row.index, hold, placed_at: row.placed_at, released }
}

async fn append(appender: &Appender<'_>, log: &str, content: DraftContent) -> Result<Receipt, HoldError> {
    match appender.append(log, content).await? {
        Answer::Stored(receipt) => Ok(receipt),
        Answer::Refused(refusal) => Err(HoldError::Refused { log: log.to_owned(), refusal }),
        other => Err(StoreError::Corrupt(format!("the database answered a hold with {other:?}")).into()),
    }
}

/// The logs that are meant; all, where none is named.
pub(super) async fn named(store: &dyn Store, logs: &[String]) -> Result<Vec<String>, HoldError> {
    let all: Vec<String> = store.logs().await?.into_iter().map(|head| head.log).collect();
    if logs.is_empty() {
        return Ok(all);
    }
    match logs.iter().find(|log| !all.contains(log)) {
        None => Ok(logs.to_vec()),
        Some(log) => Err(HoldError::NoSuchLog { log: log.clone(), logs: all }),
    }
}

/// The logs that are meant; where none is named, those that have the execution.
async fn logs_of(store: &dyn Store, logs: &[String], id: &str) -> Result<Vec<String>, HoldError> {
    if !logs.is_empty() {
        return named(store, logs).await;
    }
    let found = match store.get(&Wanted { id: id.to_owned(), log: None, attempt: None }).await? {
        Lookup::Found(detail) => vec![detail.log],
        Lookup::Purged(purged) => vec![purged.receipt.log],
        Lookup::Ambiguous { logs } => logs,
        Lookup::NotInLog { .. } | Lookup::NoAttempt { .. } => Vec::new(),
    };
    if found.is_empty() { Err(HoldError::NowhereYet(id.to_owned())) } else { Ok(found) }
}

/// What is longer than a record's names may be would hold nothing.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), HoldError> {
    check_text(what, name)?;
    if name.len() > MAX_NAME_BYTES {
        return Err(HoldError::Text { what, rule: "has more than 253 bytes, and no record has such a one" });
    }
    Ok(())
}

pub(super) fn check_text(what: &'static str, text: &str) -> Result<(), HoldError> {
    unfit_text(text).map_or(Ok(()), |rule| Err(HoldError::Text { what, rule }))
}
