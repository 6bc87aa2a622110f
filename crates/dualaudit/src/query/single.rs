//! One execution with everything that is known of it.

use dualaudit_record::{
    Time,
    entry::{Hold, Verdict},
    execution::StoredExecution,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    parameter::{BadParameter, reject_repeats, whole},
    store::{
        Detail, ErasedBy, HoldRow, Lookup, PurgedExecution, Receipt, ReviewRow, Store, StoreError, Wanted,
    },
};

/// Reads which execution is meant from its id, and from names and values as they stand in a query string.
///
/// # Errors
/// The first parameter that is unknown, given twice, or out of its bounds.
pub fn wanted(id: String, pairs: &[(String, String)]) -> Result<Wanted, BadParameter> {
    reject_repeats(pairs)?;
    let mut wanted = Wanted { id, log: None, attempt: None };
    for (name, value) in pairs {
        let bad = |rule: String| BadParameter::new(name, value, rule);
        match name.as_str() {
            "log" => wanted.log = Some(value.clone()),
            "attempt" => wanted.attempt = Some(whole(value, i32::MAX as u32).map_err(bad)?),
            _ => return Err(bad("is no parameter of this call; known are log and attempt".into())),
        }
    }
    Ok(wanted)
}

/// One attempt of an execution, in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its latest revision.
    pub record: StoredExecution,
    /// The receipt of that revision.
    pub receipt: Receipt,
    /// Its revisions, latest first: the latest [`MAX_REVISIONS`](crate::store::MAX_REVISIONS), or fewer of large records.
    pub revisions: Vec<Revision>,
    /// How many there are.
    pub revisions_total: u32,
    /// Verdicts on it, newest first, which is the one that counts: the newest [`MAX_REVIEWS`](crate::store::MAX_REVIEWS).
    pub reviews: Vec<Reviewed>,
    /// Holds on it, oldest first.
    pub holds: Vec<HeldSince>,
    /// That its personal fields were erased, if they were: what is shown is what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<ErasedBy>,
    /// Its resource, while that exists and this process sees it.
    pub live: Option<Value>,
}

/// One revision of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The record as it was.
    pub record: StoredExecution,
    /// The receipt it was given.
    pub receipt: Receipt,
}

/// A hold, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSince {
    /// Index of its entry.
    pub index: u64,
    /// The hold.
    #[serde(flatten)]
    pub hold: Hold,
    /// When it was placed.
    pub placed_at: Time,
}

/// A verdict on it, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// Index of its entry.
    pub index: u64,
    /// What was said.
    pub verdict: Verdict,
    /// Why; empty where nobody said it, or it was erased.
    pub note: String,
    /// Who said so.
    pub actor: String,
    /// When.
    pub recorded_at: Time,
}

impl From<ReviewRow> for Reviewed {
    fn from(ReviewRow { index, review, recorded_at }: ReviewRow) -> Self {
        Self { index, verdict: review.verdict, note: review.note, actor: review.actor, recorded_at }
    }
}

/// Why there is no one execution to show.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There is none like that; says how far the request fits.
    #[error("{0}")]
    NotFound(String),
    /// The id is in several logs, and none was named.
    #[error("{id} is in {} logs; name one of them: {}", logs.len(), logs.join(", "))]
    Ambiguous {
        /// The id.
        id: String,
        /// The logs that have it.
        logs: Vec<String>,
    },
    /// It was purged: its time was over.
    #[error(
        "execution {} attempt {} was purged at {}: entry {} of log {} says so; its receipt stays valid",
        .0.receipt.id, .0.receipt.attempt.unwrap_or(1), .0.purged_at, .0.by, .0.receipt.log
    )]
    Purged(Box<PurgedExecution>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One execution in full.
///
/// # Errors
/// See [`GetError`].
pub async fn get(store: &dyn Store, wanted: &Wanted) -> Result<Found, GetError> {
    found(detail(store, wanted).await?)
}

/// One execution as the store has it.
///
/// # Errors
/// See [`GetError`].
pub async fn detail(store: &dyn Store, wanted: &Wanted) -> Result<Detail, GetError> {
    // No stored text holds U+0000, and not every database takes it in a question.
    let lookup = if wanted.id.contains('\0') || wanted.log.as_ref().is_some_and(|log| log.contains('\0')) {
        Lookup::NotInLog { elsewhere: Vec::new() }
    } else {
        store.get(wanted).await?
    };
    let id = &wanted.id;
    match (lookup, &wanted.log) {
        (Lookup::Found(detail), _) => Ok(*detail),
        (Lookup::Ambiguous { logs }, _) => Err(GetError::Ambiguous { id: id.clone(), logs }),
        (Lookup::Purged(purged), _) => Err(GetError::Purged(purged)),
        (Lookup::NoAttempt { latest }, _) => {
            let attempt = wanted.attempt.unwrap_or_default();
            Err(GetError::NotFound(format!(
                "there is no attempt {attempt} of execution {id}; the latest is {latest}"
            )))
        }
        (Lookup::NotInLog { .. }, None) => Err(GetError::NotFound(format!("there is no execution {id}"))),
        (Lookup::NotInLog { elsewhere }, Some(log)) => {
            let elsewhere = if elsewhere.is_empty() {
                String::new()
            } else {
                format!("; it is in {}", elsewhere.join(", "))
            };
            Err(GetError::NotFound(format!("there is no execution {id} in log {log}{elsewhere}")))
        }
    }
}

fn found(detail: Detail) -> Result<Found, GetError> {
    let Detail { log: _, revisions, nonce: _, revisions_total, reviews, holds, erased } = detail;
    let revisions: Vec<Revision> =
        revisions.into_iter().map(|(record, receipt)| Revision { record, receipt }).collect();
    let Some(Revision { record, receipt }) = revisions.first().cloned() else {
        return Err(StoreError::Corrupt("an execution without any revision".into()).into());
    };
    let reviews = reviews.into_iter().map(Reviewed::from).collect();
    let holds = holds
        .into_iter()
        .map(|HoldRow { index, hold, placed_at, .. }| HeldSince { index, hold, placed_at })
        .collect();
    Ok(Found { record, receipt, revisions, revisions_total, reviews, holds, erased, live: None })
}
