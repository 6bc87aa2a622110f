//! What a list can be narrowed by.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    execution::{Outcome, Status},
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
    /// `namespace`.
    pub namespace: Option<String>,
    /// `remediation_id`.
    pub remediation_id: Option<String>,
    /// `incident_type`.
    pub incident_type: Option<String>,
    /// `target.kind/target.name`, or `target.name` alone.
    pub target: Option<String>,
    /// Label requirements, all of which must hold.
    pub labels: Vec<LabelRequirement>,
    /// `created_at` at or after.
    pub since: Option<Time>,
    /// `created_at` before.
    pub until: Option<Time>,
    /// `total_duration` at least, in nanoseconds.
    pub min_duration: Option<u64>,
    /// `total_duration` at most, in nanoseconds.
    pub max_duration: Option<u64>,
    /// `effectiveness_score` at least.
    pub min_score: Option<f64>,
    /// `effectiveness_score` at most.
    pub max_score: Option<f64>,
}

/// One requirement of a Kubernetes label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelRequirement {
    /// `key=value`, `key in (a, b)`.
    In(String, Vec<String>),
    /// `key!=value`, `key notin (a, b)`; also holds when the key is absent.
    NotIn(String, Vec<String>),
    /// `key`.
    Exists(String),
    /// `!key`.
    Absent(String),
}

impl LabelRequirement {
    /// Whether these labels meet the requirement.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
        }
    }
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
