//! Records as a producer sends them: eight steps, about 2 KB.

use dualaudit::{
    clock::{Clock, SystemClock, entropy},
    store::{Draft, DraftContent, ExecutionDraft, Origin},
};
use dualaudit_record::{Submitted, WorkflowExecutionAudit, digest::content_digest, log::Nonce};
use serde_json::{Value, json};

/// The record of this number, as it is sent.
pub(crate) fn sent(number: usize) -> Value {
    let steps: Vec<_> = (1..=8)
        .map(|step| {
            json!({
                "step_number": step, "name": format!("step-{step}"), "action": "restart-deployment",
                "duration": 1_500_000_000_u64 + number as u64, "status": "completed",
                "retries_attempted": step % 3, "started_at": "2026-01-02T03:04:05.000001Z",
                "error_message": "the deployment took longer than its timeout",
            })
        })
        .collect();
    json!({
        "id": uuid_like(number), "remediation_id": format!("rem-{number}"),
        "workflow_name": format!("workflow-{}", number % 20), "workflow_version": "v1.2.0",
        "total_steps": 8, "steps_completed": 8, "steps_failed": 0, "total_duration": 12_000_000_000_u64,
        "rollbacks_performed": 0, "step_executions": steps, "adaptive_adjustments": [],
        "completed_at": "2026-01-02T03:04:17.000001Z", "status": "completed",
        "created_at": "2026-01-02T03:04:05.000001Z", "namespace": "shop", "name": format!("run-{number}"),
        "incident_type": "CrashLoopBackOff", "labels": { "team": "payments", "severity": "high" },
    })
}

/// The same, as it is taken in.
pub(crate) fn record(number: usize) -> WorkflowExecutionAudit {
    Submitted::from_value(sent(number)).expect("a record").validate(SystemClock.now()).expect("valid")
}

/// Ids come in no order, as uids do.
fn uuid_like(number: usize) -> String {
    let spread = (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let hex = format!("{spread:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What a producer's record becomes on its way to the store.
pub(crate) fn content(record: WorkflowExecutionAudit, secret: &[u8; 32]) -> DraftContent {
    DraftContent::Execution(Box::new(ExecutionDraft {
        content_digest: content_digest(&record, secret),
        record,
        origin: Origin::Producer { amend: None },
        source: None,
    }))
}

/// The same, prepared for its append.
pub(crate) fn draft(record: WorkflowExecutionAudit, secret: &[u8; 32]) -> Draft {
    Draft::new(Nonce(entropy()), content(record, secret))
}
