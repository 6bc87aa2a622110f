//! What of an object can be read where the whole of it cannot be mapped: each part by itself.

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    execution::{Outcome, ScoreSource, Status, Target},
};
use kube::core::DynamicObject;
use serde_json::Value;

use super::{instant, recordable, started_at};

/// What can be shown of one whose record is refused for this reason, which stands as its error. It is no record: steps,
/// adjustments, outcome, score and end are none of its own.
pub(super) fn apart(
    object: &DynamicObject,
    cluster: &str,
    now: Time,
    reason: String,
) -> WorkflowExecutionAudit {
    let metadata = &object.metadata;
    let text = |pointer: &str| {
        let text = object.data.pointer(pointer).and_then(Value::as_str);
        text.and_then(recordable).filter(|text| !text.is_empty())
    };
    let list = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_array);
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let steps = |wanted: &[&str]| {
        let status = |step: &&Value| step["status"].as_str().is_some_and(|status| wanted.contains(&status));
        count(list("/status/steps").into_iter().flatten().filter(status).count())
    };
    let (planned, reported) = (list("/spec/steps"), list("/status/steps"));
    let total_steps = [planned, reported].into_iter().flatten().map(Vec::len).max().unwrap_or_default();
    let target = Target {
        api_version: text("/spec/target/apiVersion"),
        kind: text("/spec/target/kind"),
        namespace: text("/spec/target/namespace"),
        name: text("/spec/target/name"),
    };
    let named = |(key, value): (&String, &String)| Some((recordable(key)?, recordable(value)?));
    let created_at = instant(metadata.creation_timestamp.as_ref()).unwrap_or(now);
    WorkflowExecutionAudit {
        id: metadata.uid.clone().unwrap_or_default(),
        attempt: 1,
        remediation_id: text("/spec/remediationRef/name").unwrap_or_default(),
        workflow_name: text("/spec/workflow/name").unwrap_or_default(),
        workflow_version: text("/spec/workflow/version").unwrap_or_default(),
        total_steps: count(total_steps),
        steps_completed: steps(&["Completed"]),
        steps_failed: steps(&["Failed", "TimedOut"]),
        total_duration: 0,
        outcome: Outcome::Failed,
        effectiveness_score: 0.0,
        score_source: ScoreSource::Derived,
        rollbacks_performed: steps(&["RolledBack"]),
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        completed_at: created_at,
        status: Status::Deleted,
        error_message: reason,
        created_at,
        cluster: Some(cluster.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        source: None,
        started_at: started_at(&object.data),
        queued_duration: None,
        incident_type: text("/spec/incidentType"),
        target: Some(target).filter(|target| *target != Target::default()),
        labels: super::record::labels(metadata).iter().filter_map(named).collect(),
    }
}
