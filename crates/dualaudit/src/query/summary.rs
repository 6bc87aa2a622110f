//! One row of a list: an execution without its steps and adjustments, from either side or both.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    clip::clip,
    digest::Digest,
    execution::{Outcome, ScoreSource, Source, Status, StoredExecution, Target},
};
use serde::{Deserialize, Serialize};

use crate::{
    live::{Board, LiveExecution, Place},
    store::Listed,
};

/// Where an execution is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// In its cluster: its resource exists.
    Live,
    /// In the database.
    Stored,
}

/// One row of a list. The fields are those of a stored execution, in the same form; steps and
/// adjustments are left out, not empty, so that nobody takes them for none. What has not ended has no outcome, score,
/// status, end or duration, and what is not recorded no revision. A long `error_message` is clipped to 1,024 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "see `WorkflowExecutionAudit` and `StoredExecution`")]
#[schema(as = ExecutionSummary)]
pub struct Summary {
    pub id: String,
    pub attempt: u32,
    pub remediation_id: String,
    pub workflow_name: String,
    pub workflow_version: String,
    pub total_steps: u32,
    pub steps_completed: u32,
    pub steps_failed: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_duration: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effectiveness_score: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_source: Option<ScoreSource>,
    pub rollbacks_performed: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_message: String,
    /// There is more of `error_message`, which ends with `…` here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub error_message_clipped: bool,
    pub created_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_duration: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// The log that its record is, or will be, in.
    pub log: String,
    /// Where it is to be found.
    pub tiers: Vec<Tier>,
    /// Its resource's phase while that is live; else the one that its status says.
    pub phase: String,
    /// When its review window ends, while its resource waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_until: Option<Time>,
}

impl Summary {
    /// A row of the database, and what is live of it.
    fn stored(listed: Listed, live: Option<&LiveExecution>) -> Self {
        let StoredExecution { record, revision, recorded_at, source_digest } = listed.execution;
        let phase = live.map_or_else(|| phase_of(record.status).to_owned(), |live| live.phase.clone());
        Self {
            revision: Some(revision),
            recorded_at: Some(recorded_at),
            source_digest,
            tiers: live.map(|_| Tier::Live).into_iter().chain([Tier::Stored]).collect(),
            review_until: live.and_then(|live| live.review_until),
            ..Self::of(record, listed.log, phase)
        }
    }

    /// A record of a log, and what is seen to be live of it.
    pub fn recorded(log: &str, execution: StoredExecution, board: Option<&Board>) -> Self {
        let live = board.and_then(|board| board.get(&execution.record.id));
        let is_it = |it: &Place| it.log == log && it.attempt == execution.record.attempt;
        let live = live.filter(|live| is_it(&live.place));
        Self::stored(Listed { log: log.to_owned(), execution }, live.as_deref())
    }

    /// The same when it is live no more.
    #[must_use]
    pub fn gone(mut self) -> Self {
        self.tiers.retain(|tier| *tier != Tier::Live);
        self.review_until = None;
        self
    }

    /// An execution that only its cluster has, or that the database cannot be asked about.
    pub fn live(live: &LiveExecution) -> Self {
        let of = Self::of(live.record.clone(), live.place.log.clone(), live.phase.clone());
        let (recorded, ended) = (live.recorded, live.ended);
        Self {
            total_duration: of.total_duration.filter(|_| ended),
            outcome: of.outcome.filter(|_| ended),
            effectiveness_score: of.effectiveness_score.filter(|_| ended),
            score_source: of.score_source.filter(|_| ended),
            completed_at: of.completed_at.filter(|_| ended),
            status: of.status.filter(|_| ended),
            error_message_clipped: live.message_clipped,
            revision: recorded.map(|it| it.revision),
            recorded_at: recorded.map(|it| it.recorded_at),
            tiers: [Tier::Live].into_iter().chain(recorded.map(|_| Tier::Stored)).collect(),
            review_until: live.review_until,
            ..of
        }
    }

    /// A record that ended, which is in no tier.
    fn of(record: WorkflowExecutionAudit, log: String, phase: String) -> Self {
        // Named one by one, so that a new field of the record cannot be forgotten here.
        let WorkflowExecutionAudit {
            id,
            attempt,
            remediation_id,
            workflow_name,
            workflow_version,
            total_steps,
            steps_completed,
            steps_failed,
            total_duration,
            outcome,
            effectiveness_score,
            score_source,
            rollbacks_performed,
            step_executions: _,
            adaptive_adjustments: _,
            completed_at,
            status,
            mut error_message,
            created_at,
            cluster,
            namespace,
            name,
            source,
            started_at,
            queued_duration,
            incident_type,
            target,
            labels,
        } = record;
        let error_message_clipped = clip(&mut error_message);
        Self {
            id,
            attempt,
            remediation_id,
            workflow_name,
            workflow_version,
            total_steps,
            steps_completed,
            steps_failed,
            total_duration: Some(total_duration),
            outcome: Some(outcome),
            effectiveness_score: Some(effectiveness_score),
            score_source: Some(score_source),
            rollbacks_performed,
            completed_at: Some(completed_at),
            status: Some(status),
            error_message,
            error_message_clipped,
            created_at,
            cluster,
            namespace,
            name,
            source,
            started_at,
            queued_duration,
            incident_type,
            target,
            labels,
            revision: None,
            recorded_at: None,
            source_digest: None,
            log,
            tiers: Vec::new(),
            phase,
            review_until: None,
        }
    }
}

/// The phase that a resource ends in whose record has this status.
pub(super) fn phase_of(status: Status) -> &'static str {
    match status {
        Status::Completed => "Completed",
        Status::Failed => "Failed",
        Status::Cancelled => "Cancelled",
        Status::TimedOut => "TimedOut",
        Status::Deleted => "Deleted",
    }
}
