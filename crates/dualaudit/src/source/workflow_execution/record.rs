//! From a decoded execution to the record handed in.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Submitted, Time,
    execution::{Outcome, QUARANTINE_LABEL, Status, StepStatus},
    submitted::{SubmittedAdjustment, SubmittedSource, SubmittedStep, SubmittedTarget},
};
use kube::{
    Resource,
    core::{DynamicObject, ObjectMeta},
};

use super::instant;
use crate::crd::{
    Adjustment, PlannedStep, StepPhase, StepState, WorkflowExecution, WorkflowExecutionSpec,
    WorkflowExecutionStatus,
};

/// The record of an execution that `ended` so, at `deleted_at` where that is deletion, not yet validated.
///
/// # Errors
/// When nothing says when it ended.
pub(super) fn submitted(
    object: &DynamicObject,
    cluster: &str,
    spec: &WorkflowExecutionSpec,
    status: &WorkflowExecutionStatus,
    ended: Status,
    deleted_at: Option<Time>,
) -> Result<Submitted, String> {
    let metadata = &object.metadata;
    let created_at = instant(metadata.creation_timestamp.as_ref());
    let completed_at = completed_at(status, ended, deleted_at)?;
    let queued = match (created_at, status.start_time) {
        // Kubernetes creates at whole seconds, so an immediate start never seems to be before it.
        (Some(created), Some(started)) if started >= created => Some(nanos_between(created, started)),
        _ => None,
    };
    let count = |wanted: &[StepPhase]| {
        status.steps.iter().filter(|step| wanted.contains(&step.status)).count() as i64
    };
    let failed = count(&[StepPhase::Failed, StepPhase::TimedOut]);
    Ok(Submitted {
        id: metadata.uid.clone(),
        attempt: None,
        remediation_id: Some(spec.remediation_ref.as_ref().map_or_else(String::new, |by| by.name.clone())),
        workflow_name: Some(spec.workflow.name.clone()),
        workflow_version: Some(spec.workflow.version.clone()),
        total_steps: Some(spec.steps.len().max(status.steps.len()) as i64),
        steps_completed: Some(count(&[StepPhase::Completed])),
        steps_failed: Some(failed),
        total_duration: Some(status.start_time.map_or(0, |started| nanos_between(started, completed_at))),
        outcome: status.outcome.map(|outcome| outcome.as_str().to_owned()),
        effectiveness_score: status.effectiveness_score,
        rollbacks_performed: Some(status.rollbacks_performed.unwrap_or(count(&[StepPhase::RolledBack]))),
        step_executions: step_executions(spec, status),
        adaptive_adjustments: status.adaptive_adjustments.iter().map(adjustment).collect(),
        completed_at: Some(completed_at),
        status: Some(ended.as_str().to_owned()),
        error_message: status.message.clone().filter(|_| !went_well(status, ended, failed)),
        created_at,
        cluster: Some(cluster.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        // Not the object's own type fields: items of a list come without them.
        source: Some(SubmittedSource {
            api_version: Some(WorkflowExecution::api_version(&()).into_owned()),
            kind: Some(WorkflowExecution::kind(&()).into_owned()),
            uid: metadata.uid.clone(),
        }),
        started_at: status.start_time,
        queued_duration: queued,
        incident_type: spec.incident_type.clone(),
        target: spec.target.clone().map(|target| SubmittedTarget {
            api_version: target.api_version,
            kind: target.kind,
            namespace: target.namespace,
            name: target.name,
        }),
        labels: labels(metadata),
    })
}

/// Its labels, but for the one that only dualaudit sets, on records: a copied one must not make it unmappable.
pub(super) fn labels(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.remove(QUARANTINE_LABEL);
    labels
}

/// When it ended: what the engine says, else the nearest thing known.
fn completed_at(
    status: &WorkflowExecutionStatus,
    ended: Status,
    deleted_at: Option<Time>,
) -> Result<Time, String> {
    if ended == Status::Deleted
        && let Some(deleted_at) = deleted_at
    {
        return Ok(deleted_at);
    }
    let last_step = || status.steps.iter().filter_map(|step| step.end_time).max();
    status.completion_time.or_else(last_step).or(deleted_at).ok_or_else(|| {
        format!(
            "status.completionTime is missing: the execution ended as {ended}, no step has an endTime, \
             and nothing else says when; set status.completionTime"
        )
    })
}

/// Whether `status.message` tells of a success and not of an error.
fn went_well(status: &WorkflowExecutionStatus, ended: Status, failed: i64) -> bool {
    ended == Status::Completed && failed == 0 && matches!(status.outcome, None | Some(Outcome::Success))
}

/// The steps that the engine reported. What it never came to is in `total_steps` only.
fn step_executions(spec: &WorkflowExecutionSpec, status: &WorkflowExecutionStatus) -> Vec<SubmittedStep> {
    let plan: HashMap<i64, &PlannedStep> = spec.steps.iter().map(|step| (step.number, step)).collect();
    status.steps.iter().map(|step| step_execution(step, plan.get(&step.number).copied())).collect()
}

fn step_execution(step: &StepState, planned: Option<&PlannedStep>) -> SubmittedStep {
    let duration = match (step.start_time, step.end_time) {
        (Some(started), Some(ended)) => nanos_between(started, ended),
        _ => 0,
    };
    SubmittedStep {
        step_number: Some(step.number),
        action: step.action.clone().or_else(|| planned.map(|it| it.action.clone())).or(Some(String::new())),
        duration: Some(duration),
        status: Some(step_status(step.status).as_str().to_owned()),
        retries_attempted: Some(step.retries_attempted.unwrap_or(0)),
        error_message: step.error_message.clone(),
        name: planned.and_then(|planned| planned.name.clone()),
        started_at: step.start_time,
    }
}

fn step_status(phase: StepPhase) -> StepStatus {
    match phase {
        StepPhase::Pending => StepStatus::Pending,
        StepPhase::Executing => StepStatus::Executing,
        StepPhase::Completed => StepStatus::Completed,
        StepPhase::Failed => StepStatus::Failed,
        StepPhase::Skipped => StepStatus::Skipped,
        StepPhase::RolledBack => StepStatus::RolledBack,
        StepPhase::Cancelled => StepStatus::Cancelled,
        StepPhase::TimedOut => StepStatus::TimedOut,
    }
}

fn adjustment(change: &Adjustment) -> SubmittedAdjustment {
    SubmittedAdjustment {
        step_number: Some(change.step_number),
        adjustment_type: Some(change.kind.as_str().to_owned()),
        reason: Some(change.reason.clone()),
        timestamp: Some(change.time),
        from: change.from.clone(),
        to: change.to.clone(),
    }
}

/// Nanoseconds from one instant to another; 0 when the clocks of several writers make it negative.
fn nanos_between(from: Time, to: Time) -> i64 {
    to.micros_since(from).max(0).saturating_mul(1_000)
}
