//! Which of the executions with one id is meant, and how much of it one answer holds.

use dualaudit_record::{Time, execution::StoredExecution, log::Nonce};
use serde::{Deserialize, Serialize};

use super::{HoldRow, Receipt, ReviewRow, WindowRow, rows::FullRow};

/// How many revisions one answer has.
pub const MAX_REVISIONS: u32 = 20;

/// How many reviews one answer has.
pub const MAX_REVIEWS: u32 = 100;

/// How many bytes of JSON the records of those revisions have; the latest is there however large.
const REVISION_BYTES: usize = 8 << 20;

/// Which execution is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its id.
    pub id: String,
    /// Its log; needed where the id is in several.
    pub log: Option<String>,
    /// Its attempt; the latest unless given.
    pub attempt: Option<u32>,
}

/// What a lookup finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The one that is meant.
    Found(Box<Detail>),
    /// The id is not in the log that was named, or in none.
    NotInLog {
        /// The logs that do have it.
        elsewhere: Vec<String>,
    },
    /// The log has the id, and no such attempt of it.
    NoAttempt {
        /// The latest there is.
        latest: u32,
    },
    /// It was purged.
    Purged(Box<PurgedExecution>),
    /// The id is in several logs, and none was named.
    Ambiguous {
        /// The logs that have it.
        logs: Vec<String>,
    },
}

/// One attempt of an execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// The log it is in.
    pub log: String,
    /// Revisions, latest first, each with its receipt: the latest [`MAX_REVISIONS`], or fewer of large
    /// records. At least one.
    pub revisions: Vec<(StoredExecution, Receipt)>,
    /// What is in the body of the latest besides.
    pub nonce: Nonce,
    /// How many there are.
    pub revisions_total: u32,
    /// Reviews of this attempt, newest first: the newest [`MAX_REVIEWS`].
    pub reviews: Vec<ReviewRow>,
    /// Windows of this attempt that were made longer, newest first, as many as one answer has.
    pub windows: Vec<WindowRow>,
    /// Holds open on it, oldest first.
    pub holds: Vec<HoldRow>,
    /// That its personal fields were erased, if they were.
    pub erased: Option<ErasedBy>,
}

/// That the personal fields of something were erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErasedBy {
    /// Index of the entry that says so, and why.
    pub index: u64,
    /// When that was.
    pub erased_at: Time,
}

/// An attempt of an execution that was purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgedExecution {
    /// The receipt of its latest revision, as it was first given.
    pub receipt: Receipt,
    /// Index of the entry that says that it was purged.
    pub by: u64,
    /// When that was.
    pub purged_at: Time,
}

/// The log and attempt that are meant, given the latest attempt in each log that has the id; or what the
/// lookup finds instead.
pub(super) fn choose(mut latest: Vec<(String, u32)>, wanted: &Wanted) -> Result<(String, u32), Lookup> {
    if let Some(log) = &wanted.log {
        let elsewhere = latest.iter().map(|(log, _)| log.clone()).collect();
        latest.retain(|(candidate, _)| candidate == log);
        if latest.is_empty() {
            return Err(Lookup::NotInLog { elsewhere });
        }
    }
    if latest.len() > 1 {
        return Err(Lookup::Ambiguous { logs: latest.into_iter().map(|(log, _)| log).collect() });
    }
    let (log, latest) = latest.pop().ok_or(Lookup::NotInLog { elsewhere: Vec::new() })?;
    Ok((log, wanted.attempt.unwrap_or(latest)))
}

/// The revisions of one answer, as they are read, latest first.
#[derive(Default)]
pub(super) struct Revisions {
    pub(super) taken: Vec<(StoredExecution, Receipt)>,
    /// Of the latest.
    pub(super) nonce: Option<Nonce>,
}

impl Revisions {
    /// Takes the next one, if it still fits beside those taken.
    pub(super) fn take(&mut self, FullRow { execution, nonce }: FullRow, receipt: Receipt) -> bool {
        let bytes: usize = self.taken.iter().map(|(execution, _)| execution.json_size()).sum();
        let fits = self.taken.is_empty() || bytes + execution.json_size() <= REVISION_BYTES;
        if fits {
            self.nonce.get_or_insert(nonce);
            self.taken.push((execution, receipt));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_attempt_in_the_one_log_is_meant_unless_another_is_named() {
        let one = || vec![("one".to_owned(), 3)];
        let two = || vec![("one".to_owned(), 3), ("two".to_owned(), 7)];
        let logs = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (latest, log, attempt, expected) in [
            (one(), None, None, Ok(("one", 3))),
            (one(), None, Some(1), Ok(("one", 1))),
            (two(), Some("two"), None, Ok(("two", 7))),
            (two(), None, None, Err(Lookup::Ambiguous { logs: logs(&["one", "two"]) })),
            (two(), Some("three"), None, Err(Lookup::NotInLog { elsewhere: logs(&["one", "two"]) })),
            (Vec::new(), None, Some(1), Err(Lookup::NotInLog { elsewhere: Vec::new() })),
        ] {
            let wanted = Wanted { id: "a".to_owned(), log: log.map(str::to_owned), attempt };
            let expected = expected.map(|(log, attempt)| (log.to_owned(), attempt));
            assert_eq!(choose(latest, &wanted), expected, "{log:?} {attempt:?}");
        }
    }
}
