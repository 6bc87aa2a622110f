//! The mapping of our own kind.
//!
//! What is recorded depends on the spec, the status, and of the metadata only on what identifies
//! the object, its labels and its times of creation and deletion. Our own patches of finalizers and
//! annotations therefore never look like a change of what is audited.

use dualaudit_record::{
    Submitted, Time, WorkflowExecutionAudit, execution::Status, submitted::MAX_NAME_BYTES,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;

use super::{Observed, Run, State, annotation, recreated::recreated_by, review, window::parse_window};
use crate::crd::{Phase, WorkflowExecutionSpec, WorkflowExecutionStatus};

mod apart;
mod record;

/// An object's body, decoded.
#[derive(Deserialize)]
struct Body {
    spec: WorkflowExecutionSpec,
    status: Option<WorkflowExecutionStatus>,
}

pub(super) fn observe(object: &DynamicObject, cluster: &str, now: Time) -> Observed {
    let metadata = &object.metadata;
    let annotation = |key| metadata.annotations.as_ref().and_then(|all| all.get(key));
    let not_empty = |key| annotation(key).filter(|text| !text.trim().is_empty()).cloned();
    let body: Result<Body, String> =
        serde_path_to_error::deserialize(&object.data).map_err(|error| undecodable(&error));
    let state = state(object, body.as_ref(), cluster, now);
    Observed {
        id: metadata.uid.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        created_at: instant(metadata.creation_timestamp.as_ref()),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        finalizers: metadata.finalizers.clone().unwrap_or_default(),
        deleted_at: instant(metadata.deletion_timestamp.as_ref()),
        recreated_by: recreated_by(metadata),
        receipt: annotation(annotation::RECEIPT).cloned(),
        hold: not_empty(annotation::HOLD),
        window: not_empty(annotation::WINDOW)
            .map(|text| parse_window(&text).map_err(|error| format!("{}: {error}", annotation::WINDOW)))
            .transpose(),
        review: not_empty(annotation::REVIEW)
            .map(|text| review::judged(&text).map_err(|error| format!("{}: {error}", annotation::REVIEW)))
            .transpose(),
        release_unrecorded: not_empty(annotation::RELEASE_UNRECORDED),
        phase: phase_text(&object.data),
        started_at: started_at(&object.data),
        run: run(object, body.as_ref().ok().map(|body| &body.spec)),
        so_far: so_far(object, body.as_ref(), &state, cluster, now),
        state,
    }
}

/// The record of what runs, were it to end now; where that would be refused, what can be read by itself. `None` of what
/// has ended and can be mapped.
fn so_far(
    object: &DynamicObject,
    body: Result<&Body, &String>,
    state: &State,
    cluster: &str,
    now: Time,
) -> Option<Box<WorkflowExecutionAudit>> {
    let mapped = match (state, body) {
        (State::Ended(_), _) => return None,
        (State::Unmappable(reason), _) | (State::Running, Err(reason)) => Err(reason.clone()),
        (State::Running, Ok(Body { spec, status })) => {
            let nothing = WorkflowExecutionStatus::default();
            let status = status.as_ref().unwrap_or(&nothing);
            let submitted = record::submitted(object, cluster, spec, status, Status::Deleted, Some(now));
            submitted.and_then(|submitted| valid(submitted, now))
        }
    };
    Some(Box::new(mapped.unwrap_or_else(|reason| apart::apart(object, cluster, now, reason))))
}

fn valid(mut submitted: Submitted, now: Time) -> Result<WorkflowExecutionAudit, String> {
    submitted.replace_nul();
    submitted.validate(now).map_err(|invalid| invalid.to_string())
}

/// What runs; its texts are empty without a plan that can be read, or recorded.
fn run(object: &DynamicObject, spec: Option<&WorkflowExecutionSpec>) -> Option<Run> {
    // Also where the rest of the object cannot be read.
    let phase = object.data.pointer("/status/phase").and_then(|phase| Phase::deserialize(phase).ok());
    if object.metadata.deletion_timestamp.is_some() || phase.and_then(ended_as).is_some() {
        return None;
    }
    let since = started_at(&object.data).or(instant(object.metadata.creation_timestamp.as_ref()));
    let texts = spec.and_then(|spec| {
        let target_kind = spec.target.as_ref().and_then(|target| target.kind.as_deref());
        Some([
            recordable(&spec.workflow.name)?,
            recordable(&spec.workflow.version)?,
            recordable(spec.incident_type.as_deref().unwrap_or_default())?,
            recordable(target_kind.unwrap_or_default())?,
        ])
    });
    let [workflow, version, incident_type, target_kind] = texts.unwrap_or_default();
    Some(Run { workflow, version, incident_type, target_kind, since })
}

/// A name as a record has it; `None` where a record with it is refused.
fn recordable(name: &str) -> Option<String> {
    let name = name.replace('\0', "\u{fffd}");
    (name.len() <= MAX_NAME_BYTES).then_some(name)
}

/// The phase as it stands, also where the rest of the object cannot be read.
fn phase_text(data: &Value) -> String {
    match data.pointer("/status/phase") {
        None | Some(Value::Null) => "Pending".to_owned(),
        Some(Value::String(phase)) => phase.clone(),
        Some(_) => "Unknown".to_owned(),
    }
}

fn started_at(data: &Value) -> Option<Time> {
    data.pointer("/status/startTime")?.as_str()?.parse().ok()
}

/// A Kubernetes timestamp; `None` also for years that RFC 3339 cannot write.
fn instant(time: Option<&v1::Time>) -> Option<Time> {
    time.and_then(|time| Time::from_timestamp(time.0))
}

fn state(object: &DynamicObject, body: Result<&Body, &String>, cluster: &str, now: Time) -> State {
    let Body { spec, status } = match body {
        Ok(body) => body,
        Err(reason) => return State::Unmappable(reason.clone()),
    };
    let nothing = WorkflowExecutionStatus::default();
    let status = status.as_ref().unwrap_or(&nothing);
    let ended = ended_as(status.phase.unwrap_or(Phase::Pending))
        .or_else(|| object.metadata.deletion_timestamp.as_ref().map(|_| Status::Deleted));
    let Some(ended) = ended else { return State::Running };
    let deleted_at = instant(object.metadata.deletion_timestamp.as_ref());
    let submitted = record::submitted(object, cluster, spec, status, ended, deleted_at);
    match submitted.and_then(|submitted| valid(submitted, now)) {
        Ok(record) => State::Ended(Box::new(record)),
        Err(reason) => State::Unmappable(reason),
    }
}

/// How an execution in this phase has ended; `None` while it has not.
fn ended_as(phase: Phase) -> Option<Status> {
    match phase {
        Phase::Completed => Some(Status::Completed),
        Phase::Failed => Some(Status::Failed),
        Phase::Cancelled => Some(Status::Cancelled),
        Phase::TimedOut => Some(Status::TimedOut),
        Phase::Pending
        | Phase::Planning
        | Phase::Validating
        | Phase::Executing
        | Phase::Paused
        | Phase::RollingBack
        | Phase::Monitoring => None,
    }
}

/// `status.steps[1].endTime: not an RFC 3339 time …`, bounded: serde quotes what it found in full.
fn undecodable(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let place = if path == "." { "the object" } else { &path };
    format!("{place}: {}", error.inner()).chars().take(500).collect()
}

#[cfg(test)]
mod tests;
