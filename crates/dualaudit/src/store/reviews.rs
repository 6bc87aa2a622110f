//! Verdicts that disagree with how executions turned out.

use dualaudit_record::{
    Time,
    execution::{Outcome, Status},
};

use super::ReviewRow;

/// Reviews that one question looks at: each costs a few looks at indexes.
pub(super) const LOOKED_AT: u32 = 1000;

/// Which disagreements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedDisagreements {
    /// In which log.
    pub log: String,
    /// Of executions of this workflow only.
    pub workflow: Option<String>,
    /// By reviews whose entries come before this one only.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disagreements {
    /// Newest review first.
    pub found: Vec<Disagreement>,
    /// Where to go on, as [`WantedDisagreements::before`]; `None` at the end. There may be more even where fewer were
    /// found than were asked for.
    pub next: Option<u64>,
}

/// An execution's last attempt that somebody found effective though it was no success, or ineffective or harmful though
/// it was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The newest review of it.
    pub review: ReviewRow,
    /// What ran.
    pub workflow: String,
    /// Of which version.
    pub version: String,
    /// How it turned out.
    pub outcome: Outcome,
    /// How it ended.
    pub status: Status,
    /// When it ended.
    pub completed_at: Time,
}

impl Disagreements {
    /// What was `found` of what was wanted; `last` is the entry of the last review that was looked at, if there may be
    /// others before it.
    pub(super) fn of(found: Vec<Disagreement>, wanted: &WantedDisagreements, last: Option<u64>) -> Self {
        let is_full = found.len() >= wanted.limit as usize;
        let next = if is_full { found.last().map(|it| it.review.index).or(last) } else { last };
        Self { found, next }
    }
}
