//! Whether a database and a cluster are as dualaudit needs them.
//!
//! What was observed becomes checks here, in plain functions: no database, no network, no clock. Each
//! check says what was found, and what to do unless all is well.

pub mod cluster;
pub mod database;
#[cfg(test)]
mod tests;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How it is with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and may not for long, or not as safely as it could.
    Warning,
    /// It could not be looked at.
    Unknown,
    /// Something that dualaudit needs is not there.
    Wrong,
}

impl Check {
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    pub(crate) fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn wrong(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Wrong, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(crate) fn unknown(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Unknown, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// The worst of them.
pub fn worst(checks: &[Check]) -> Verdict {
    checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok)
}

/// A difference of clocks from here on is warned of, in seconds.
const CLOCK_DIFFERS: i64 = 5;
/// From here on certificates and tokens begin to be refused, and records say times that mislead.
const CLOCK_IS_WRONG: i64 = 300;

/// The clock of something else, `ahead` of ours by so many microseconds.
pub(crate) fn clock(check: &'static str, of: &str, ahead: i64) -> Check {
    let seconds = ahead.unsigned_abs() / 1_000_000;
    let remedy = "have both machines keep time by NTP: times of records come from this one, those of resources \
                  from the cluster";
    match i64::try_from(seconds).unwrap_or(i64::MAX) {
        ..CLOCK_DIFFERS => Check::ok(check, format!("{of} and this machine agree within {CLOCK_DIFFERS} s")),
        difference => {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let found = format!("{of} is {difference} s {way} this machine");
            if difference < CLOCK_IS_WRONG {
                Check::warning(check, found, remedy)
            } else {
                Check::wrong(check, found, remedy)
            }
        }
    }
}
