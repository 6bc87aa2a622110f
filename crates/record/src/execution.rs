//! The record of one execution: [`WorkflowExecutionAudit`] and its parts.
//!
//! A value of these types has passed [`crate::submitted::Submitted::validate`]: it is within every
//! limit and every derived field is filled in. Its JSON is the wire form of the public API.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};

use crate::{Time, names::named};

/// How an execution turned out, judged by its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It completed with no failed step.
    Success,
    /// It did not reach its goal and no step's work stands.
    Failed,
    /// At least one step's work stands, and the workflow did not complete cleanly.
    Partial,
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran to its end.
    Completed,
    /// It gave up.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It ran out of time.
    TimedOut,
    /// Its resource was deleted before it had finished.
    Deleted,
}

/// How a step ended, or where it stood when the execution did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum StepStatus {
    Pending,
    Executing,
    Completed,
    Failed,
    Skipped,
    RolledBack,
    Cancelled,
    TimedOut,
}

/// What an engine changed about a workflow while it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum AdjustmentType {
    Timeout,
    Retry,
    Skip,
    Parameter,
    Reorder,
    Other,
}

/// Where `effectiveness_score` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScoreSource {
    /// The producer gave it.
    Reported,
    /// The server computed it.
    Derived,
}

named!(Outcome { Success = "success", Failed = "failed", Partial = "partial" });
named!(Status {
    Completed = "completed",
    Failed = "failed",
    Cancelled = "cancelled",
    TimedOut = "timed_out",
    Deleted = "deleted",
});
named!(StepStatus {
    Pending = "pending",
    Executing = "executing",
    Completed = "completed",
    Failed = "failed",
    Skipped = "skipped",
    RolledBack = "rolled_back",
    Cancelled = "cancelled",
    TimedOut = "timed_out",
});
named!(AdjustmentType {
    Timeout = "timeout",
    Retry = "retry",
    Skip = "skip",
    Parameter = "parameter",
    Reorder = "reorder",
    Other = "other",
});
named!(ScoreSource { Reported = "reported", Derived = "derived" });

/// One execution of a workflow, one attempt of it, as it ended.
///
/// Durations are nanoseconds below 2^53; counts are below 2^31; an absent optional text is `None`,
/// never empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkflowExecutionAudit {
    /// The resource's uid, or the producer's id. Never erased: it must hold nothing personal.
    pub id: String,
    /// 1 for the first run of `id`.
    pub attempt: u32,
    /// What it set out to remediate; may be empty.
    pub remediation_id: String,
    /// Never empty.
    pub workflow_name: String,
    /// May be empty.
    pub workflow_version: String,

    /// Steps of the plan.
    pub total_steps: u32,
    /// Steps completed; with `steps_failed` at most `total_steps`.
    pub steps_completed: u32,
    /// Steps failed.
    pub steps_failed: u32,
    /// Nanoseconds from start to end.
    pub total_duration: u64,

    /// Reported, or derived.
    pub outcome: Outcome,
    /// From 0 to 1; never `-0`.
    pub effectiveness_score: f64,
    /// Where the score comes from.
    pub score_source: ScoreSource,
    /// How many steps were rolled back.
    pub rollbacks_performed: u32,

    /// In the order sent.
    pub step_executions: Vec<StepExecutionAudit>,
    /// In the order sent.
    pub adaptive_adjustments: Vec<AdaptiveAdjustment>,

    /// When it ended. Never Go's zero time.
    pub completed_at: Time,
    /// How it ended.
    pub status: Status,
    /// Empty when nothing went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_message: String,

    /// The resource's creation, or the nearest thing known. Never changes; lists are ordered by it.
    pub created_at: Time,
    /// Descriptive: the cluster it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The resource's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The resource's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The resource it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// When it began; tells the attempts of one resource apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Nanoseconds between its creation and its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_duration: Option<u64>,
    /// The kind of incident it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_type: Option<String>,
    /// What it worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl WorkflowExecutionAudit {
    /// How many bytes of JSON it has; nothing is kept to find out.
    pub fn json_size(&self) -> usize {
        json_size(self)
    }
}

/// One step, as it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StepExecutionAudit {
    /// Its number in the plan.
    pub step_number: u32,
    /// What it does, for example `restart-deployment`.
    pub action: String,
    /// Nanoseconds.
    pub duration: u64,
    /// How it ended.
    pub status: StepStatus,
    /// Runs after the first.
    pub retries_attempted: u32,
    /// Empty when nothing went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_message: String,
    /// Its name in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// One change that the engine made to the plan while it ran.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AdaptiveAdjustment {
    /// The step it concerns.
    pub step_number: u32,
    /// What kind of change.
    pub adjustment_type: AdjustmentType,
    /// Why.
    pub reason: String,
    /// When.
    pub timestamp: Time,
    /// The value before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The value after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The label that a record carries which was made of an object in quarantine: the index of the entry, in the same
/// log, by which it was put there. Nobody else sets it, and sameness is judged without it.
pub const QUARANTINE_LABEL: &str = "dualaudit.dev/quarantine";

/// The resource a record was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Kubernetes' names")]
pub struct Source {
    pub api_version: String,
    pub kind: String,
    pub uid: String,
}

/// What an execution worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "Kubernetes' names")]
pub struct Target {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A record with what the server added when it stored it: one revision of one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredExecution {
    /// The record, redacted.
    #[serde(flatten)]
    pub record: WorkflowExecutionAudit,
    /// 1 for the first.
    pub revision: u32,
    /// When it was appended; never runs backwards within a log.
    pub recorded_at: Time,
    /// SHA-256 of the source object's bytes, in hex; absent for records sent by producers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<crate::digest::Digest>,
}

impl StoredExecution {
    /// How many bytes of JSON it has; nothing is kept to find out.
    pub fn json_size(&self) -> usize {
        json_size(self)
    }
}

fn json_size(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a record is JSON, and counting cannot fail");
    count.0
}
