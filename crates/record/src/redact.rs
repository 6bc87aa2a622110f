//! Values that must not be kept are replaced by salted commitments.

use serde_json::Value;

use crate::WorkflowExecutionAudit;

/// Replaces secret values in a source object by commitments.
pub fn redact_object(_object: &mut Value, _secret: &[u8; 32], _id: &str) {
    todo!()
}

/// Replaces secret values in a record by commitments.
pub fn redact_record(_record: &mut WorkflowExecutionAudit, _secret: &[u8; 32]) {
    todo!()
}
