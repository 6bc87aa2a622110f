//! What a list can be narrowed by.

use std::sync::Arc;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    entry::Verdict,
    execution::{Outcome, Status},
    selector::LabelRequirement,
};

use super::Reach;

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
    /// `name`, of the resource.
    pub name: Option<String>,
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
    /// What was said of it.
    pub review: Option<Reviews>,
    /// Only what may be read.
    pub within: Option<Arc<Reach>>,
}

/// What was said of an execution: the newest verdict on it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reviews {
    /// Nothing.
    None,
    /// Something.
    Any,
    /// This.
    Said(Verdict),
}

impl Reviews {
    /// Whether this is the newest verdict, if there is any.
    pub fn has(self, newest: Option<Verdict>) -> bool {
        match self {
            Self::None => newest.is_none(),
            Self::Any => newest.is_some(),
            Self::Said(verdict) => newest == Some(verdict),
        }
    }
}

impl Filter {
    /// Whether a record passes that is in this log, or will be, but for what only the database can tell: reviews, and what
    /// counts. What has not `ended` has no outcome, status, score, duration or end.
    ///
    /// The same as what `narrow` says in SQL.
    pub fn passes(&self, log: &str, record: &WorkflowExecutionAudit, ended: bool) -> bool {
        let text = |asked: &Option<String>, value: &str| asked.as_deref().is_none_or(|asked| asked == value);
        let maybe = |asked: &Option<String>, value: Option<&str>| text(asked, value.unwrap_or_default());
        let within = |since: Option<Time>, until: Option<Time>, time: Time| {
            since.is_none_or(|since| since <= time) && until.is_none_or(|until| time < until)
        };
        let target = record.target.as_ref();
        let target_kind = target.and_then(|target| target.kind.as_deref());
        text(&self.log, log)
            && text(&self.workflow, &record.workflow_name)
            && text(&self.version, &record.workflow_version)
            && text(&self.remediation_id, &record.remediation_id)
            && maybe(&self.cluster, record.cluster.as_deref())
            && maybe(&self.namespace, record.namespace.as_deref())
            && maybe(&self.name, record.name.as_deref())
            && maybe(&self.incident_type, record.incident_type.as_deref())
            && maybe(&self.target_kind, target_kind)
            && self.target.as_deref().is_none_or(|asked| {
                let (kind, name) =
                    asked.split_once('/').map_or((None, asked), |(kind, name)| (Some(kind), name));
                target.and_then(|target| target.name.as_deref()) == Some(name)
                    && (kind.is_none() || kind == target_kind)
            })
            && self.labels.iter().all(|requirement| requirement.holds(&record.labels))
            && within(self.since, self.until, record.created_at)
            && self.within.as_ref().is_none_or(|reach| reach.sees(log, record))
            && (!self.asks_for_an_end() || ended && self.ended_so(record))
    }

    /// Whether only what ended can pass.
    fn asks_for_an_end(&self) -> bool {
        let Self { outcome, status, completed_since, completed_until, .. } = self;
        let Self { min_duration, max_duration, min_score, max_score, .. } = self;
        outcome.is_some()
            || status.is_some()
            || completed_since.is_some()
            || completed_until.is_some()
            || min_duration.is_some()
            || max_duration.is_some()
            || min_score.is_some()
            || max_score.is_some()
    }

    fn ended_so(&self, record: &WorkflowExecutionAudit) -> bool {
        let (duration, score) = (record.total_duration, record.effectiveness_score);
        self.outcome.is_none_or(|outcome| outcome == record.outcome)
            && self.status.is_none_or(|status| status == record.status)
            && self.completed_since.is_none_or(|since| since <= record.completed_at)
            && self.completed_until.is_none_or(|until| record.completed_at < until)
            && self.min_duration.is_none_or(|least| least <= duration)
            && self.max_duration.is_none_or(|most| duration <= most)
            && self.min_score.is_none_or(|least| least <= score)
            && self.max_score.is_none_or(|most| score <= most)
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
