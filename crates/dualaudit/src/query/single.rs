//! One execution with everything that is known of it.

use std::sync::Arc;

use dualaudit_record::{
    Time,
    entry::{Hold, Verdict},
    execution::{AdaptiveAdjustment, StepExecutionAudit, StoredExecution},
};
use json_patch::Patch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Asked, Missing, Sides, Summary, Warning, missing_live};
use crate::{
    live::{Board, LiveExecution, Looked},
    parameter::{BadParameter, reject_repeats, whole},
    store::{
        Detail, ErasedBy, HoldRow, Lookup, PurgedExecution, Receipt, ReviewRow, Store, StoreError, Wanted,
        WindowRow,
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Execution)]
pub struct Found {
    /// Its latest revision; `None` where none is recorded yet.
    pub record: Option<StoredExecution>,
    /// The receipt of that revision.
    pub receipt: Option<Receipt>,
    /// Its revisions, latest first: the latest 20, or fewer of large records.
    pub revisions: Vec<Revision>,
    /// How many there are.
    pub revisions_total: u32,
    /// Verdicts on it, newest first, which is the one that counts: the newest 100.
    pub reviews: Vec<Reviewed>,
    /// Longer windows that were asked for it, newest first: it stays until the end of the first of these, at least.
    #[serde(default)]
    pub windows: Vec<Windowed>,
    /// Holds on it, oldest first.
    pub holds: Vec<HeldSince>,
    /// That its personal fields were erased, if they were: what is shown is what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<ErasedBy>,
    /// Its resource, while that exists and this process sees it. Where no attempt was asked for it may be at a later one
    /// than the one that is recorded.
    pub live: Option<LiveState>,
    /// What is missing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// What is live of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiveState {
    /// As a row of a list, from its cluster alone.
    #[serde(flatten)]
    pub summary: Summary,
    /// It is held beyond its window.
    pub held: bool,
    /// Its steps as far as they have come.
    pub step_executions: Vec<StepExecutionAudit>,
    /// What was adjusted so far.
    pub adaptive_adjustments: Vec<AdaptiveAdjustment>,
    /// Its resource, secret values in it replaced as in what is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub resource: Option<Value>,
}

/// One revision of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Revision {
    /// What it changed of the one before (RFC 6902), its revision and times of recording aside; nothing where that one is
    /// not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub changes: Option<Patch>,
    /// The record as it was.
    pub record: StoredExecution,
    /// The receipt it was given.
    pub receipt: Receipt,
}

/// A hold, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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

/// A longer window, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Windowed {
    /// Index of its entry.
    pub index: u64,
    /// When it ends.
    pub until: Time,
    /// Why; empty where it was erased.
    pub reason: String,
    /// Who said so.
    pub actor: String,
    /// When.
    pub recorded_at: Time,
}

impl From<WindowRow> for Windowed {
    fn from(WindowRow { index, window, recorded_at }: WindowRow) -> Self {
        Self { index, until: window.until, reason: window.reason, actor: window.actor, recorded_at }
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
    /// There is no object of it; says why.
    #[error("{0}")]
    NoSource(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One execution in full.
///
/// # Errors
/// See [`GetError`].
pub async fn get(sides: Sides<'_>, wanted: &Wanted) -> Result<Found, GetError> {
    let Some((board, live)) = seen(sides, wanted) else { return recorded(sides, wanted).await };
    // It may be recorded and released meanwhile: then it was live when it was asked for.
    let (stored, looked) = tokio::join!(detail(sides.store, wanted), board.look(&live));
    let mut found = match unambiguous(stored, wanted, &live) {
        Ok(detail) => found(detail)?,
        Err(GetError::NotFound(_)) => Found::default(),
        Err(GetError::Store(StoreError::Unavailable(cause))) => {
            Found { warnings: vec![Warning::away(&cause)], ..Found::default() }
        }
        Err(error) => return Err(error),
    };
    let looked = looked.unwrap_or_else(|why| {
        tracing::warn!(%why, id = %wanted.id, "a resource could not be read");
        let detail = "its resource could not be read: the API server did not give it".to_owned();
        found.warnings.push(Warning {
            missing: Missing::LiveChanges,
            log: Some(live.place.log.clone()),
            detail,
        });
        None
    });
    let (steps, adjustments, resource) = looked
        .map(|Looked { steps, adjustments, resource }| (steps, adjustments, Some(resource)))
        .unwrap_or_default();
    found.live = Some(LiveState {
        summary: Summary::live(&live),
        held: live.held,
        step_executions: steps,
        adaptive_adjustments: adjustments,
        resource,
    });
    Ok(found)
}

/// One of which nothing is seen to be live, and why that may be.
async fn recorded(sides: Sides<'_>, wanted: &Wanted) -> Result<Found, GetError> {
    let asked = Asked { log: wanted.log.as_deref(), ..Asked::default() };
    let (stored, missing) = tokio::join!(detail(sides.store, wanted), missing_live(sides, asked));
    match stored {
        Ok(detail) => {
            let log = Some(detail.log.clone());
            let warnings = missing.into_iter().filter(|it| it.log == log).collect();
            Ok(Found { warnings, ..found(detail)? })
        }
        Err(GetError::NotFound(mut why)) => {
            for Warning { detail, .. } in missing {
                why.push_str("; ");
                why.push_str(&detail);
            }
            Err(GetError::NotFound(why))
        }
        Err(error) => Err(error),
    }
}

/// What is stored of a live execution. Whatever else has its id takes it not out of sight.
fn unambiguous(
    stored: Result<Detail, GetError>,
    wanted: &Wanted,
    live: &LiveExecution,
) -> Result<Detail, GetError> {
    let log = &live.place.log;
    let mut logs = match stored {
        Ok(detail) if detail.log != *log => vec![detail.log],
        Err(GetError::Purged(purged)) if purged.receipt.log != *log => vec![purged.receipt.log],
        Err(GetError::Ambiguous { logs, .. }) => logs,
        stored => return stored,
    };
    logs.push(log.clone());
    logs.sort_unstable();
    logs.dedup();
    Err(GetError::Ambiguous { id: wanted.id.clone(), logs })
}

/// The object that the latest revision of an execution was made of: the bytes whose SHA-256 is its `source_digest`, JSON
/// with secret values replaced.
///
/// # Errors
/// See [`GetError`]; [`GetError::NoSource`] where there is none.
pub async fn source(sides: Sides<'_>, wanted: &Wanted) -> Result<Vec<u8>, GetError> {
    let id = &wanted.id;
    let live = seen(sides, wanted).map(|(_, live)| live);
    let stored = detail(sides.store, wanted).await;
    let Detail { log, revisions, erased, .. } = match live {
        Some(live) => match unambiguous(stored, wanted, &live) {
            Err(GetError::NotFound(_)) => {
                return Err(GetError::NoSource(format!(
                    "execution {id} is not recorded yet; its resource as it is now is shown with it, as live.resource"
                )));
            }
            stored => stored?,
        },
        None => stored?,
    };
    if let Some(ErasedBy { index, .. }) = erased {
        let why = format!("the object of execution {id} was erased: entry {index} of log {log} says so");
        return Err(GetError::NoSource(why));
    }
    let latest = revisions.first().filter(|(record, _)| record.source_digest.is_some());
    let Some((_, receipt)) = latest else {
        return Err(GetError::NoSource(format!("execution {id} was sent by a producer, without an object")));
    };
    let object = sides.store.object(&log, receipt.index).await?;
    object.ok_or_else(|| {
        let why = format!("log {log}, entry {}: its object is missing, and no entry says why", receipt.index);
        StoreError::Corrupt(why).into()
    })
}

/// What is live of what is asked for.
fn seen<'a>(sides: Sides<'a>, wanted: &Wanted) -> Option<(&'a Board, Arc<LiveExecution>)> {
    let board = sides.live?;
    let live = board.get(&wanted.id)?;
    let is_asked = wanted.log.as_ref().is_none_or(|log| *log == live.place.log)
        && wanted.attempt.is_none_or(|attempt| attempt == live.place.attempt);
    is_asked.then_some((board, live))
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
    let Detail { log: _, revisions, nonce: _, revisions_total, reviews, windows, holds, erased } = detail;
    let changes: Vec<Option<Patch>> = revisions
        .iter()
        .enumerate()
        .map(|(place, (record, _))| revisions.get(place + 1).map(|(before, _)| changes(before, record)))
        .collect();
    let revisions: Vec<Revision> = revisions
        .into_iter()
        .zip(changes)
        .map(|((record, receipt), changes)| Revision { changes, record, receipt })
        .collect();
    let Some(Revision { record, receipt, .. }) = revisions.first().cloned() else {
        return Err(StoreError::Corrupt("an execution without any revision".into()).into());
    };
    let holds = holds
        .into_iter()
        .map(|HoldRow { index, hold, placed_at, .. }| HeldSince { index, hold, placed_at })
        .collect();
    Ok(Found {
        record: Some(record),
        receipt: Some(receipt),
        revisions,
        revisions_total,
        reviews: reviews.into_iter().map(Reviewed::from).collect(),
        windows: windows.into_iter().map(Windowed::from).collect(),
        holds,
        erased,
        ..Found::default()
    })
}

/// What a revision changed of what is audited.
fn changes(before: &StoredExecution, after: &StoredExecution) -> Patch {
    let audited = |of: &StoredExecution| serde_json::to_value(&of.record).expect("a record is JSON");
    json_patch::diff(&audited(before), &audited(after))
}
