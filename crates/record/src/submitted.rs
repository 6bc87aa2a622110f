//! What producers and sources hand in, and what it must be like.
//!
//! [`Submitted`] holds what was said; [`Submitted::validate`] makes a record of it or names the
//! field and the rule it breaks. Both ways in, HTTP and resources, go through it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Time;

mod limits;
mod texts;
mod validate;
mod wire;

pub use limits::{
    MAX_AHEAD_MICROS, MAX_COUNT, MAX_DURATION, MAX_NAME_BYTES, MAX_RECORD_BYTES, SERVER_FIELDS,
};

/// A record as handed in: any field may be missing or out of bounds.
///
/// Names of outcomes, statuses and kinds are text here, so that an unknown one is an error that
/// names its field. Counts are plain integers, durations nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "see `WorkflowExecutionAudit`")]
pub struct Submitted {
    pub id: Option<String>,
    /// 1 unless given.
    #[serde(deserialize_with = "wire::integer")]
    pub attempt: Option<i64>,
    pub remediation_id: Option<String>,
    pub workflow_name: Option<String>,
    pub workflow_version: Option<String>,

    #[serde(deserialize_with = "wire::integer")]
    pub total_steps: Option<i64>,
    #[serde(deserialize_with = "wire::integer")]
    pub steps_completed: Option<i64>,
    #[serde(deserialize_with = "wire::integer")]
    pub steps_failed: Option<i64>,
    #[serde(deserialize_with = "wire::integer")]
    pub total_duration: Option<i64>,

    /// Derived unless given; empty is not given.
    pub outcome: Option<String>,
    /// Derived unless given; 0 without an outcome is not given.
    #[serde(deserialize_with = "wire::number")]
    pub effectiveness_score: Option<f64>,
    #[serde(deserialize_with = "wire::integer")]
    pub rollbacks_performed: Option<i64>,

    #[serde(deserialize_with = "wire::list")]
    pub step_executions: Vec<SubmittedStep>,
    #[serde(deserialize_with = "wire::list")]
    pub adaptive_adjustments: Vec<SubmittedAdjustment>,

    pub completed_at: Option<Time>,
    pub status: Option<String>,
    pub error_message: Option<String>,

    /// Derived unless given: `started_at`, else `completed_at` − `total_duration`.
    pub created_at: Option<Time>,
    pub cluster: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    #[serde(deserialize_with = "wire::object")]
    pub source: Option<SubmittedSource>,
    pub started_at: Option<Time>,
    #[serde(deserialize_with = "wire::integer")]
    pub queued_duration: Option<i64>,
    pub incident_type: Option<String>,
    #[serde(deserialize_with = "wire::object")]
    pub target: Option<SubmittedTarget>,
    #[serde(deserialize_with = "wire::labels")]
    pub labels: BTreeMap<String, String>,
}

/// A step as handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "see `StepExecutionAudit`")]
pub struct SubmittedStep {
    #[serde(deserialize_with = "wire::integer")]
    pub step_number: Option<i64>,
    pub action: Option<String>,
    #[serde(deserialize_with = "wire::integer")]
    pub duration: Option<i64>,
    pub status: Option<String>,
    #[serde(deserialize_with = "wire::integer")]
    pub retries_attempted: Option<i64>,
    pub error_message: Option<String>,
    pub name: Option<String>,
    pub started_at: Option<Time>,
}

/// An adjustment as handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "see `AdaptiveAdjustment`")]
pub struct SubmittedAdjustment {
    #[serde(deserialize_with = "wire::integer")]
    pub step_number: Option<i64>,
    pub adjustment_type: Option<String>,
    pub reason: Option<String>,
    pub timestamp: Option<Time>,
    pub from: Option<String>,
    pub to: Option<String>,
}

/// A source as handed in; not given when all of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "Kubernetes' names")]
pub struct SubmittedSource {
    pub api_version: Option<String>,
    pub kind: Option<String>,
    pub uid: Option<String>,
}

/// A target as handed in; not given when all of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "Kubernetes' names")]
pub struct SubmittedTarget {
    pub api_version: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
}

/// A record that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Invalid {
    /// The field, as a path: `step_executions[2].duration`, `labels["app"]`;
    /// [`Invalid::RECORD`] or [`Invalid::JSON`] when it is none of the fields.
    pub field: String,
    /// The rule it breaks, with what was found.
    pub rule: String,
    pub(crate) malformed: bool,
}

impl Invalid {
    /// Stands for the record as a whole where a field would be named. No field can be called this:
    /// such a name would be in quotes.
    pub const RECORD: &'static str = "(record)";
    /// Stands for text that is not JSON, where no field is known in which it stops being it.
    pub const JSON: &'static str = "(json)";

    /// What breaks a rule, as a path, and the rule.
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into(), malformed: false }
    }

    /// Whether it cannot be read as JSON, rather than being a record that breaks a rule: bad syntax, and
    /// what the syntax allows and nothing can hold, such as half of a surrogate pair or a number
    /// beyond every double.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl Submitted {
    /// Reads the wire form. `null` is the same as absent.
    ///
    /// # Errors
    /// More than [`MAX_RECORD_BYTES`]; no JSON ([`Invalid::is_malformed`]); an unknown field, a
    /// field of the server's, a wrong type, a duplicate key: names it.
    pub fn from_json(json: &[u8]) -> Result<Self, Invalid> {
        if json.len() > MAX_RECORD_BYTES {
            return Err(limits::too_large(json.len()));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let wire::Object(submitted) =
            serde_path_to_error::deserialize(&mut deserializer).map_err(wire::invalid)?;
        deserializer
            .end()
            .map_err(|error| Invalid { malformed: true, ..Invalid::new(Invalid::JSON, error.to_string()) })?;
        Ok(submitted)
    }

    /// Reads the wire form from JSON that was parsed already; duplicate keys can't be seen any more.
    ///
    /// # Errors
    /// As [`Submitted::from_json`], but for the size, which [`Submitted::validate`] checks.
    pub fn from_value(value: Value) -> Result<Self, Invalid> {
        let object: wire::Object<_> = serde_path_to_error::deserialize(value).map_err(wire::invalid)?;
        Ok(object.0)
    }
}
