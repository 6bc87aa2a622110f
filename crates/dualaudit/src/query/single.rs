//! One execution with everything that is known of it.

use std::io::{self, Write};

use dualaudit_record::{Time, entry::Hold, execution::StoredExecution};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parameters::{BadParameter, reject_repeats, whole};
use crate::store::{Detail, Receipt, Store, StoreError};

/// How many revisions one answer has.
pub const MAX_REVISIONS: usize = 20;

/// How many bytes of JSON the records of those revisions have; the latest is there however large.
const MAX_REVISION_BYTES: usize = 8 << 20;

/// Which execution is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// Its id.
    pub id: String,
    /// Its log; needed where the id is in several.
    pub log: Option<String>,
    /// Its attempt; the latest unless given.
    pub attempt: Option<u32>,
}

impl GetRequest {
    /// Reads names and values as they stand in a query string.
    ///
    /// # Errors
    /// The first parameter that is unknown, given twice, or out of its bounds.
    pub fn parse(id: String, pairs: &[(String, String)]) -> Result<Self, BadParameter> {
        reject_repeats(pairs)?;
        let mut request = Self { id, log: None, attempt: None };
        for (name, value) in pairs {
            let bad = |rule: String| BadParameter::new(name, value, rule);
            match name.as_str() {
                "log" => request.log = Some(value.clone()),
                "attempt" => request.attempt = Some(whole(value, i32::MAX as u32).map_err(bad)?),
                _ => return Err(bad("is no parameter of this call; known are log and attempt".into())),
            }
        }
        Ok(request)
    }
}

/// One attempt of an execution, in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its latest revision.
    pub record: StoredExecution,
    /// The receipt of that revision.
    pub receipt: Receipt,
    /// Its revisions, latest first: the latest [`MAX_REVISIONS`], or fewer of large records.
    pub revisions: Vec<Revision>,
    /// How many there are.
    pub revisions_total: usize,
    /// Verdicts on it.
    pub reviews: Vec<Value>,
    /// Holds on it, oldest first.
    pub holds: Vec<HeldSince>,
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
    /// The hold.
    #[serde(flatten)]
    pub hold: Hold,
    /// When it was placed.
    pub placed_at: Time,
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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One execution in full.
///
/// # Errors
/// See [`GetError`].
pub async fn get(store: &dyn Store, request: &GetRequest) -> Result<Found, GetError> {
    // No stored text holds U+0000, and not every database takes it in a question.
    let details = if request.id.contains('\0') { Vec::new() } else { store.get(&request.id).await? };
    choose(details, request).and_then(found)
}

/// The one that is meant, among all attempts in all logs.
fn choose(mut details: Vec<Detail>, request: &GetRequest) -> Result<Detail, GetError> {
    let id = &request.id;
    let mut logs: Vec<String> = details.iter().map(|detail| detail.log.clone()).collect();
    logs.sort_unstable();
    logs.dedup();
    if let Some(log) = &request.log {
        details.retain(|detail| detail.log == *log);
        if details.is_empty() {
            let elsewhere =
                if logs.is_empty() { String::new() } else { format!("; it is in {}", logs.join(", ")) };
            return Err(GetError::NotFound(format!("there is no execution {id} in log {log}{elsewhere}")));
        }
    } else if logs.len() > 1 {
        return Err(GetError::Ambiguous { id: id.clone(), logs });
    }
    let attempts = details.iter().map(attempt_of);
    let Some(latest) = attempts.clone().max() else {
        return Err(GetError::NotFound(format!("there is no execution {id}")));
    };
    let attempt = request.attempt.unwrap_or(latest);
    details.into_iter().find(|detail| attempt_of(detail) == attempt).ok_or_else(|| {
        GetError::NotFound(format!("there is no attempt {attempt} of execution {id}; the latest is {latest}"))
    })
}

fn attempt_of(detail: &Detail) -> u32 {
    detail.revisions.first().map_or(0, |(execution, _)| execution.record.attempt)
}

fn found(detail: Detail) -> Result<Found, GetError> {
    let revisions_total = detail.revisions.len();
    let mut bytes = 0;
    let revisions: Vec<Revision> = detail
        .revisions
        .into_iter()
        .take(MAX_REVISIONS)
        .enumerate()
        .take_while(|(position, (record, _))| {
            bytes += size(record);
            *position == 0 || bytes <= MAX_REVISION_BYTES
        })
        .map(|(_, (record, receipt))| Revision { record, receipt })
        .collect();
    let Some(Revision { record, receipt }) = revisions.first().cloned() else {
        return Err(StoreError::Corrupt("an execution without any revision".into()).into());
    };
    let holds = detail.holds.into_iter().map(|(hold, placed_at)| HeldSince { hold, placed_at }).collect();
    Ok(Found { record, receipt, revisions, revisions_total, reviews: Vec::new(), holds, live: None })
}

/// How many bytes of JSON it has.
fn size(record: &StoredExecution) -> usize {
    struct Counted(usize);
    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, record).expect("a record is JSON, and counting cannot fail");
    counted.0
}
