//! One row of a list: an execution without its steps and adjustments.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    execution::{Outcome, ScoreSource, Source, Status, StoredExecution, Target},
};
use serde::{Deserialize, Serialize};

use crate::store::Listed;

/// How many bytes of `error_message` a row of a list has: enough to know which error it is. A message
/// may be a whole record long, and a page has a thousand rows.
pub const MESSAGE_BYTES: usize = 1024;

/// Where an execution is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// In the database.
    Stored,
}

/// One row of a list. The fields are those of [`StoredExecution`], in the same form; steps and
/// adjustments are left out, not empty, so that nobody takes them for none. A long `error_message` is
/// clipped to [`MESSAGE_BYTES`].
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
            total_duration,
            outcome,
            effectiveness_score,
            score_source,
            rollbacks_performed,
            completed_at,
            status,
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
            revision,
            recorded_at,
            source_digest,
            log: listed.log,
            tiers: vec![Tier::Stored],
        }
    }
}

/// Cuts a text to [`MESSAGE_BYTES`], its `…` among them; answers whether anything was cut.
fn clip(text: &mut String) -> bool {
    const MORE: char = '…';
    if text.len() <= MESSAGE_BYTES {
        return false;
    }
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES - MORE.len_utf8()));
    text.push(MORE);
    // A page keeps the row, and would keep what was cut of it.
    text.shrink_to_fit();
    true
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES, clip};

    #[test]
    fn a_long_text_is_clipped_between_characters() {
        let clipped = |text: &str| {
            let mut text = text.to_owned();
            (clip(&mut text), text)
        };
        let fits = "x".repeat(MESSAGE_BYTES);
        assert_eq!(clipped(&fits), (false, fits.clone()));
        let (was_clipped, text) = clipped(&format!("{fits}x"));
        assert!(was_clipped && text.len() == MESSAGE_BYTES && text.ends_with("x…"), "{text}");
        let (was_clipped, text) = clipped(&"漢".repeat(MESSAGE_BYTES));
        assert!(was_clipped && text.len() <= MESSAGE_BYTES && text.ends_with("漢…"), "{text}");
    }
}
