//! Executions in flight: running when last seen, and owed a record.
//!
//! What producers send is recorded when it is over, and so never in flight.

use super::Running;

/// Which executions in flight. All that is given must match, to the letter; an empty text matches what is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlightFilter {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// Of this version of it.
    pub version: Option<String>,
    /// In this namespace.
    pub namespace: Option<String>,
    /// Answering this kind of incident.
    pub incident_type: Option<String>,
    /// Working on this kind of object.
    pub target_kind: Option<String>,
}

/// Executions in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// In the order of workflow, version, namespace, incident type, kind of target, and beginning.
    pub executions: Vec<Underway>,
    /// There were more than were asked for.
    pub more: bool,
}

/// An execution in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// The namespace of its resource.
    pub namespace: String,
    /// What runs, and since when.
    pub running: Running,
}

impl InFlightFilter {
    /// The columns that it narrows, each with its value.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let columns = [
            ("workflow_name", &self.workflow),
            ("workflow_version", &self.version),
            ("namespace", &self.namespace),
            ("incident_type", &self.incident_type),
            ("target_kind", &self.target_kind),
        ];
        columns.into_iter().filter_map(|(column, value)| Some((column, value.as_deref()?)))
    }

    /// The statement that finds them, where `mark` stands before the number of a parameter: the log, how many at most,
    /// and the values of [`Self::columns`] in their order.
    ///
    /// The index `tracked_running` has all of it, in this order.
    pub(super) fn statement(&self, mark: char) -> String {
        let conditions: String = (3..)
            .zip(self.columns())
            .map(|(number, (column, _))| format!(" AND {column} = {mark}{number}"))
            .collect();
        format!(
            "
        -- in flight
        SELECT namespace, workflow_name, workflow_version, incident_type, target_kind, running_since
        FROM tracked
        WHERE log = {mark}1 AND running_since IS NOT NULL{conditions}
        ORDER BY workflow_name, workflow_version, namespace, incident_type, target_kind, running_since
        LIMIT {mark}2"
        )
    }
}

impl InFlight {
    /// What such a statement found, asked for one more than `limit`.
    pub(super) fn of(mut executions: Vec<Underway>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = executions.len() > limit;
        executions.truncate(limit);
        Self { executions, more }
    }
}
