//! The WorkflowExecution kind: one run of a remediation workflow, as its engine writes it.
//!
//! The schema refuses only what is surely wrong, because a refused status update leaves an engine
//! stuck. Reading is lenient towards fields it does not know and strict about types, so that what
//! is audited is never a guess.

use dualaudit_record::{
    Time,
    execution::{AdjustmentType, Outcome},
};
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub mod admission;
pub mod manifest;
mod schema;

/// The CustomResourceDefinition of [`WorkflowExecution`], as `deploy/crd.yaml` holds it.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = WorkflowExecution::crd();
    // kube leaves these out; `kubectl explain` and `kubectl get` then show lists and plurals as expected.
    crd.spec.names.list_kind = Some("WorkflowExecutionList".to_owned());
    crd
}

/// What an engine is asked to run.
#[expect(clippy::duplicated_attributes, reason = "each printcolumn has a name and a type of its own")]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "dualaudit.dev",
    version = "v1alpha1",
    kind = "WorkflowExecution",
    plural = "workflowexecutions",
    shortname = "wfx",
    category = "dualaudit",
    namespaced,
    status = "WorkflowExecutionStatus",
    derive = "PartialEq",
    doc = "One run of a workflow: its plan, and how it goes. dualaudit keeps it until its record is durable.",
    selectable = ".status.phase",
    selectable = ".spec.workflow.name",
    printcolumn(name = "Workflow", type_ = "string", json_path = ".spec.workflow.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Steps",
        type_ = "integer",
        json_path = ".status.steps[-1:].number",
        description = "The last step that the engine reported."
    ),
    printcolumn(
        name = "Planned",
        type_ = "integer",
        json_path = ".spec.steps[-1:].number",
        description = "The last step of the plan.",
        priority = 1
    ),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.outcome"),
    printcolumn(
        name = "Recorded",
        type_ = "date",
        json_path = r".metadata.annotations.dualaudit\.dev/recorded-at",
        description = "How long ago its record became durable."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowExecutionSpec {
    /// What this run sets out to remediate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_ref: Option<RemediationRef>,
    /// The workflow that runs. It cannot change: another workflow is another execution.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "an execution stays with the workflow it was created for"}
    ]))]
    pub workflow: WorkflowRef,
    /// The kind of incident it answers, for example CrashLoopBackOff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub incident_type: Option<String>,
    /// The object it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetRef>,
    /// The plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]
    ))]
    pub steps: Vec<PlannedStep>,
}

/// The object that asked for a remediation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemediationRef {
    /// Its name; the record's remediation_id.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace, where it is not the execution's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
}

/// A workflow and its version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkflowRef {
    /// Its name, for example restart-crashlooping-pod.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its version, for example v1.4.0.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub version: String,
}

/// The object a workflow works on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "Kubernetes' names")]
pub struct TargetRef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub api_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
}

/// One step of the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.dependsOn) || !(self.number in self.dependsOn)", "message": "a step cannot depend on itself"}
]))]
pub struct PlannedStep {
    /// Its number, unique within the plan.
    #[schemars(schema_with = "schema::count")]
    pub number: i64,
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// What it does, for example restart-deployment.
    #[schemars(length(min = 1, max = 253))]
    pub action: String,
    /// Whatever the action needs. Values under keys that name a secret are redacted in the audit.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_object")]
    pub parameters: Map<String, Value>,
    /// Numbers of the steps that must have completed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub depends_on: Vec<i64>,
    /// How often it may run again after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub max_retries: Option<i64>,
    /// How long a run of it may take, as a Go duration, for example 90s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// Whether the workflow fails when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<bool>,
}

/// How a run goes, written by its engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.phase) || !(self.phase in ['Completed', 'Failed', 'Cancelled', 'TimedOut']) || has(self.completionTime)",
    "message": "a finished execution needs a completionTime; set it together with the phase"
}]))]
pub struct WorkflowExecutionStatus {
    /// Where it stands; Pending until the engine says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::phase")]
    pub phase: Option<Phase>,
    /// When it began. Another value is another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// The steps so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]
    ))]
    pub steps: Vec<StepState>,
    /// How many steps were rolled back; counted from the steps where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub rollbacks_performed: Option<i64>,
    /// What the engine changed about the plan while it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "atomic"))]
    pub adaptive_adjustments: Vec<Adjustment>,
    /// How it turned out; derived in the audit where it is not given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "schema::outcome_in_either_case"
    )]
    #[schemars(schema_with = "schema::outcome")]
    pub outcome: Option<Outcome>,
    /// From 0 to 1; derived in the audit where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub effectiveness_score: Option<f64>,
    /// Why it is where it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub message: Option<String>,
    /// Complete and Failed, for `kubectl wait`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend(
        "x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]
    ))]
    pub conditions: Vec<Condition>,
}

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Phase {
    Pending,
    Planning,
    Validating,
    Executing,
    Paused,
    RollingBack,
    Monitoring,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

/// One step, as far as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepState {
    /// Its number in the plan.
    #[schemars(schema_with = "schema::count")]
    pub number: i64,
    /// What it does; the plan's where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub action: Option<String>,
    /// Where it stands.
    #[schemars(schema_with = "schema::step_phase")]
    pub status: StepPhase,
    /// When its first run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    /// When its last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,
    /// Runs after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count")]
    pub retries_attempted: Option<i64>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub error_message: Option<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StepPhase {
    Pending,
    Executing,
    Completed,
    Failed,
    Skipped,
    RolledBack,
    Cancelled,
    TimedOut,
}

/// One change that an engine made to the plan while it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adjustment {
    /// When.
    #[schemars(schema_with = "schema::time")]
    pub time: Time,
    /// The step it concerns.
    #[schemars(schema_with = "schema::count")]
    pub step_number: i64,
    /// What kind of change.
    #[serde(rename = "type", deserialize_with = "schema::adjustment_in_either_case")]
    #[schemars(schema_with = "schema::adjustment")]
    pub kind: AdjustmentType,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32768))]
    pub reason: String,
    /// The value before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::scalar")]
    pub from: Option<String>,
    /// The value after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::scalar")]
    pub to: Option<String>,
}
