//! What a list can be narrowed by.

use dualaudit_record::{
    Time,
    execution::{Outcome, Status},
    selector::LabelRequirement,
};

/// A filter on stored executions; every part that is given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Log name.
    pub log: Option<String>,
    /// `workflow_name`.
    pub workflow: Option<String>,
    /// `workflow_version`.
    pub version: Option<String>,
    /// Outcome.
    pub outcome: Option<Outcome>,
    /// Status.
    pub status: Option<Status>,
    /// `cluster`.
    pub cluster: Option<String>,
    /// `namespace`; empty: none.
    pub namespace: Option<String>,
    /// `remediation_id`.
    pub remediation_id: Option<String>,
    /// `incident_type`; empty: none.
    pub incident_type: Option<String>,
    /// `target.kind/target.name`, or `target.name` alone.
    pub target: Option<String>,
    /// `target.kind`; empty: none.
    pub target_kind: Option<String>,
    /// Label requirements, all of which must hold.
    pub labels: Vec<LabelRequirement>,
    /// `created_at` at or after.
    pub since: Option<Time>,
    /// `created_at` before.
    pub until: Option<Time>,
    /// `completed_at` at or after.
    pub completed_since: Option<Time>,
    /// `completed_at` before.
    pub completed_until: Option<Time>,
    /// `total_duration` at least, in nanoseconds.
    pub min_duration: Option<u64>,
    /// `total_duration` at most, in nanoseconds.
    pub max_duration: Option<u64>,
    /// `effectiveness_score` at least.
    pub min_score: Option<f64>,
    /// `effectiveness_score` at most.
    pub max_score: Option<f64>,
    /// Only those that rates are of: of each execution the last attempt in its log, purged ones among the attempts, where
    /// that was neither cancelled nor deleted.
    pub counted: bool,
}

/// The place of a row in the order of lists: newest `created_at` first, then log, id and attempt
/// ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Of the last row seen.
    pub created_at: Time,
    /// Of the last row seen.
    pub log: String,
    /// Of the last row seen.
    pub id: String,
    /// Of the last row seen.
    pub attempt: u32,
}
