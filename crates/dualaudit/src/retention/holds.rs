//! Holds as people place and release them, over logs.

use dualaudit_record::{
    entry::{Covers, Hold, unfit_text},
    selector::Selector,
    submitted::MAX_NAME_BYTES,
};

use super::Append;
use crate::store::{
    Answer, DraftContent, LabelRequirement, Lookup, Receipt, Refusal, Store, StoreError, Wanted,
};

/// Each costs every record that is appended a test: at most so many requirements, and so many values in one of them.
const MAX_REQUIREMENTS: usize = 32;
const MAX_VALUES: usize = 100;

/// Why a hold was not placed or released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// A text that cannot be used.
    #[error("{what} {rule}")]
    Text {
        /// Which.
        what: &'static str,
        /// The field of a hold that it stands in.
        field: &'static str,
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
    /// The log is written by another process only.
    #[error("{0}")]
    Closed(String),
    /// The log refuses it.
    #[error("log {log}: {refusal}")]
    Refused {
        /// The log.
        log: String,
        /// Why.
        refusal: Refusal,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Places a hold in these logs; without any, in every log there is, or of one execution in those that have
/// it. Placed already, it answers with its first receipt.
///
/// # Errors
/// See [`HoldError`]; a log that refuses ends it, and what was placed before stays.
pub async fn add(appender: &dyn Append, logs: &[String], hold: &Hold) -> Result<Vec<Receipt>, HoldError> {
    check_text("the reason", "reason", &hold.reason)?;
    check_text("the actor", "actor", &hold.actor)?;
    let logs = match &hold.covers {
        Covers::ExecutionId(id) => {
            check_name("the execution's id", "execution_id", id)?;
            logs_of(appender.store(), logs, id).await?
        }
        Covers::Selector(selector) if selector.is_empty() => return Err(HoldError::CoversNothing),
        Covers::Selector(selector) => {
            check_selector(selector)?;
            named(appender.store(), logs).await?
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
    appender: &dyn Append,
    log: &str,
    hold: u64,
    reason: &str,
    actor: &str,
) -> Result<Receipt, HoldError> {
    check_text("the reason", "reason", reason)?;
    check_text("the actor", "actor", actor)?;
    named(appender.store(), &[log.to_owned()]).await?;
    let (reason, actor) = (reason.to_owned(), actor.to_owned());
    append(appender, log, DraftContent::HoldRelease { hold, reason, actor }).await
}

async fn append(appender: &dyn Append, log: &str, content: DraftContent) -> Result<Receipt, HoldError> {
    match appender.submit(log, content).await? {
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

fn check_selector(selector: &Selector) -> Result<(), HoldError> {
    let Selector { remediation_id, workflow_name, namespace, labels } = selector;
    for (what, name) in
        [("the remediation", remediation_id), ("the workflow", workflow_name), ("the namespace", namespace)]
    {
        if let Some(name) = name {
            check_name(what, "selector", name)?;
        }
    }
    let too_many = |what, rule| Err(HoldError::Text { what, field: "selector", rule });
    if labels.len() > MAX_REQUIREMENTS {
        return too_many("the selector", "asks more than 32 things of labels");
    }
    for requirement in labels {
        let (key, values) = match requirement {
            LabelRequirement::In(key, values) | LabelRequirement::NotIn(key, values) => (key, &values[..]),
            LabelRequirement::Exists(key) | LabelRequirement::Absent(key) => (key, &[][..]),
        };
        if values.len() > MAX_VALUES {
            return too_many("a label", "is to have one of more than 100 values");
        }
        check_name("the key of a label", "selector", key)?;
        // A label may be empty.
        for value in values.iter().filter(|value| !value.is_empty()) {
            check_name("the value of a label", "selector", value)?;
        }
    }
    Ok(())
}

/// What is longer than a record's names may be would hold nothing.
pub(super) fn check_name(what: &'static str, field: &'static str, name: &str) -> Result<(), HoldError> {
    check_text(what, field, name)?;
    if name.len() > MAX_NAME_BYTES {
        let rule = "has more than 253 bytes, and no record has such a one";
        return Err(HoldError::Text { what, field, rule });
    }
    Ok(())
}

pub(super) fn check_text(what: &'static str, field: &'static str, text: &str) -> Result<(), HoldError> {
    unfit_text(text).map_or(Ok(()), |rule| Err(HoldError::Text { what, field, rule }))
}
