//! What producers and sources hand in, and what it must be like.

use crate::{Time, WorkflowExecutionAudit};

/// A record as handed in: any field may be missing or out of bounds.
#[derive(Clone, Debug, Default)]
pub struct Submitted {}

/// A record that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Invalid {
    /// The field, as a path: `step_executions[2].duration`.
    pub field: String,
    /// The rule it breaks, with what was found.
    pub rule: String,
}

impl Submitted {
    /// Reads the wire form.
    ///
    /// # Errors
    /// An unknown field, a wrong type, a duplicate key: names it.
    pub fn from_json(_json: &[u8]) -> Result<Self, Invalid> {
        todo!()
    }

    /// Checks every limit and fills in what is derived.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(self, _now: Time) -> Result<WorkflowExecutionAudit, Invalid> {
        todo!()
    }
}
