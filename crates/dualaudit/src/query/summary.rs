//! One row of a list: an execution without its steps and adjustments.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    execution::{Outcome, ScoreSource, Source, Status, StoredExecution, Target},
};
use serde::{Deserialize, Serialize};

use crate::store::Listed;

/// Where an execution is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// In the database.
    Stored,
}

/// One row of a list. The fields are those of [`StoredExecution`], in the same form; steps and
/// adjustments are left out, not empty, so that nobody takes them for none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see `WorkflowExecutionAudit` and `StoredExecution`")]
pub struct Summary {
    pub id: String,
    pub attempt: u32,
    pub remediation_id: String,
    pub workflow_name: String,
    pub workflow_version: String,
    pub total_steps: u32,
    pub steps_completed: u32,
    pub steps_failed: u32,
    pub total_duration: u64,
    pub outcome: Outcome,
    pub effectiveness_score: f64,
    pub score_source: ScoreSource,
    pub rollbacks_performed: u32,
    pub completed_at: Time,
    pub status: Status,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_message: String,
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
    pub revision: u32,
    pub recorded_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// The log it is in.
    pub log: String,
    /// Where it is to be found.
    pub tiers: Vec<Tier>,
}

impl From<Listed> for Summary {
    fn from(listed: Listed) -> Self {
        let StoredExecution { record, revision, recorded_at, source_digest } = listed.execution;
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
            error_message,
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
        Self {
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
            completed_at,
            status,
            error_message,
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
            revision,
            recorded_at,
            source_digest,
            log: listed.log,
            tiers: vec![Tier::Stored],
        }
    }
}
