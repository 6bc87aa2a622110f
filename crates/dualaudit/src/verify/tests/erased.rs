//! Erasures, and what they leave, tampered with.

use super::*;
use crate::store::EraseDraft;

/// After what [`Audit::with`] makes of five executions and [`tampered::rest`]: 15 the erasure of `s0` (8 and 14),
/// 16 that of `q` (10 and 11), 17 that of `begun` (13), 18 that of `r2` (4).
pub(super) async fn erase_some(store: &dyn Store) {
    for id in ["s0", "q", "begun", "r2"] {
        let erase = EraseDraft {
            execution_id: id.to_owned(),
            reason: "request 42".to_owned(),
            actor: "me".to_owned(),
            seed: [5; 32],
        };
        let draft = Draft::new(Nonce([9; 16]), DraftContent::Erase(Box::new(erase)));
        let batch = Batch { drafts: vec![draft], ..Batch::default() };
        let answer = store.append(LOG, batch.into(), now()).await.unwrap().remove(0);
        assert!(answer.is_new(), "{answer:?}");
    }
}

/// Tampering, the entry and the thing that is found wrong by it.
pub(super) const CASES: [(&str, Option<u64>, &str); 22] = [
    // What is left says another thing, or what went is there again.
    (
        "UPDATE workflow_execution_revision SET outcome = 'failed' WHERE id = 's0'",
        Some(8),
        "rest digest",
    ),
    ("UPDATE workflow_execution_revision SET error_message = 'x' WHERE id = 's0'", Some(8), "erased"),
    (
        "UPDATE workflow_execution_audit SET step_executions =
             '[{\"step_number\":1,\"action\":\"drain\",\"duration\":5,\"status\":\"completed\",\"retries_attempted\":0}]'
         WHERE id = 's0'",
        Some(14),
        "rest digest",
    ),
    (
        "UPDATE workflow_execution_audit SET nonce =
             (SELECT nonce FROM workflow_execution_audit AS other WHERE other.id = 's1')
         WHERE id = 's0'",
        Some(14),
        "rest digest",
    ),
    ("DELETE FROM workflow_execution_audit WHERE id = 'r2'", Some(4), "body"),
    (
        "UPDATE source_object SET object = (SELECT object FROM source_object AS other WHERE other.idx = 9)
         WHERE idx = 8",
        Some(8),
        "source object",
    ),
    ("UPDATE quarantine SET object = (SELECT object FROM source_object WHERE idx = 9) WHERE idx = 10", Some(10), "quarantine"),
    (
        "UPDATE log_entry SET body = replace(body, '\"name\":\"\"', '\"name\":\"web\"') WHERE idx = 13",
        Some(13),
        "erased",
    ),
    (
        "UPDATE log_entry SET body = replace(body, 'shop', 'mall') WHERE idx = 13",
        Some(13),
        "rest digest",
    ),
    (
        "UPDATE log_entry SET body = replace(body, '\"reason\":\"\"', '\"reason\":\"x\"') WHERE idx = 11",
        Some(11),
        "erased",
    ),
    ("UPDATE log_entry SET started_at = NULL WHERE idx = 14", Some(14), "started_at"),
    ("UPDATE log_entry SET idempotency_key = 'x' WHERE idx = 13", Some(13), "idempotency key"),
    // The notes and the entries of erasures.
    ("DELETE FROM erased WHERE entry_idx = 8", Some(8), "body digest"),
    ("DELETE FROM erased WHERE entry_idx = 8", Some(15), "erased"),
    ("DELETE FROM erased WHERE idx = 17", Some(13), "body digest"),
    ("UPDATE erased SET idx = 18 WHERE entry_idx = 8", Some(8), "body"),
    ("UPDATE erased SET idx = 18 WHERE entry_idx = 8", Some(18), "erased"),
    ("INSERT INTO erased (log, entry_idx, idx) VALUES ('test', 5, 18)", Some(5), "body"),
    ("INSERT INTO erased (log, entry_idx, idx) VALUES ('test', 5, 9)", None, "erased"),
    ("INSERT INTO erased (log, entry_idx, idx) VALUES ('ghost', 5, 9)", None, "erased"),
    ("UPDATE log_entry SET kind = 'gap' WHERE idx = 15", Some(8), "body"),
    ("UPDATE log_entry SET body = replace(body, 'request', 'bequest') WHERE idx = 15", Some(15), "body digest"),
];

/// The columns of what is left of an execution, each with another value.
pub(super) const COLUMNS: [(&str, &str, &str); 26] = [
    ("remediation_id", "'x'", "rest digest"),
    ("workflow_name", "'x'", "rest digest"),
    ("workflow_version", "'x'", "rest digest"),
    ("total_steps", "9", "rest digest"),
    ("steps_completed", "9", "rest digest"),
    ("steps_failed", "9", "rest digest"),
    ("total_duration", "9", "rest digest"),
    ("queued_duration", "9", "rest digest"),
    ("outcome", "'partial'", "rest digest"),
    ("effectiveness_score", "1", "rest digest"),
    ("score_source", "'derived'", "rest digest"),
    ("rollbacks_performed", "9", "rest digest"),
    ("status", "'failed'", "rest digest"),
    ("completed_at", "created_at", "rest digest"),
    ("recorded_at", "created_at", "recorded_at"),
    ("created_at", "completed_at", "rest digest"),
    ("started_at", "created_at", "started_at"),
    ("cluster", "'x'", "rest digest"),
    ("namespace", "'x'", "rest digest"),
    ("incident_type", "'x'", "rest digest"),
    ("target_kind", "'x'", "rest digest"),
    ("target_namespace", "'x'", "rest digest"),
    ("name", "'x'", "erased"),
    ("target_name", "'x'", "erased"),
    ("error_message", "'x'", "erased"),
    ("labels", "'{\"team\":\"a\"}'", "erased"),
];

#[tokio::test]
async fn whatever_is_erased_otherwise_than_an_entry_says_is_found() {
    let untouched = Audit::with(5).await;
    untouched.append(tampered::rest()).await;
    erase_some(&untouched.store).await;
    assert_eq!(untouched.verify().await.findings, []);
    let own = [
        (
            "UPDATE workflow_execution_audit SET content_digest = zeroblob(32) WHERE id = 's0'",
            Some(14),
            "content digest",
        ),
        (
            "UPDATE workflow_execution_audit SET source_digest = zeroblob(32) WHERE id = 's0'",
            Some(14),
            "erased",
        ),
    ];
    let columns = COLUMNS.map(|(column, value, what)| {
        (format!("UPDATE workflow_execution_audit SET {column} = {value} WHERE id = 's0'"), Some(14), what)
    });
    let cases = CASES.into_iter().chain(own).map(|(sql, index, what)| (sql.to_owned(), index, what));
    for (sql, index, what) in cases.chain(columns) {
        let audit = untouched.copy().await;
        audit.tamper(&sql);
        let findings = audit.verify().await.findings;
        let found = findings.iter().any(|finding| finding.index == index && finding.what == what);
        assert!(found, "{sql}\nexpected {what} at {index:?}, found:\n{findings:#?}");
    }
}
