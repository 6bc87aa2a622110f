//! Purges and the ends of holds, tampered with.

use super::*;
use crate::store::{PurgeDraft, Weighed};

/// After what [`Audit::with`] makes: a hold that is released, one that is open, and two purges.
pub(super) async fn purge_some(store: &dyn Store) {
    let append = async |content| {
        let draft = Draft::new(Nonce([9; 16]), content);
        let batch = Batch { drafts: vec![draft], ..Batch::default() };
        let answer = store.append(LOG, batch.into(), now()).await.unwrap().remove(0);
        assert!(answer.is_new(), "{answer:?}");
    };
    let text = |text: &str| text.to_owned();
    append(DraftContent::HoldRelease { hold: 1, reason: text("over"), actor: text("me") }).await;
    let covers = Covers::ExecutionId(text("r4"));
    append(DraftContent::Hold(Hold { covers, reason: text("case"), actor: text("me") })).await;
    let weighed = store.weigh(LOG, now(), None, 100).await.unwrap().executions;
    for (part, ids) in [(1, &["r1", "r2"][..]), (2, &["r3"])] {
        let goes = |execution: &&Weighed| ids.contains(&execution.id.as_str());
        append(DraftContent::Purge(Box::new(PurgeDraft {
            plan: text("plan"),
            part,
            parts: 2,
            as_of: now(),
            policy: text("7y"),
            actor: text("me"),
            executions: weighed.iter().filter(goes).cloned().collect(),
        })))
        .await;
    }
}

/// Tampering, the entry and the thing that is found wrong by it. Entries are 0 a gap, 1 a hold, 2 to 6 the
/// executions r0 to r4, 7 another revision of r0, 8 the release of the hold, 9 a hold on r4, 10 the purge of
/// r1 and r2, 11 that of r3.
pub(super) const CASES: [(&str, Option<u64>, &str); 13] = [
    // What nobody purged is gone, and a row says that it was purged.
    (
        "DELETE FROM workflow_execution_audit WHERE id = 'r4';
         INSERT INTO purged (log, last_idx, first_idx, idx) VALUES ('test', 6, 6, 11)",
        Some(6),
        "body",
    ),
    (
        "DELETE FROM workflow_execution_audit WHERE id = 'r4';
         INSERT INTO purged (log, last_idx, first_idx, idx) VALUES ('test', 6, 6, 11)",
        Some(11),
        "purged",
    ),
    (
        "DELETE FROM workflow_execution_audit WHERE id = 'r4';
         INSERT INTO purged (log, last_idx, first_idx, idx) VALUES ('test', 6, 6, 7)",
        Some(6),
        "body",
    ),
    ("INSERT INTO purged (log, last_idx, first_idx, idx) VALUES ('test', 6, 6, 7)", None, "purged"),
    ("UPDATE purged SET idx = 11 WHERE idx = 10", Some(3), "body"),
    ("UPDATE purged SET idx = 11 WHERE idx = 10", Some(10), "purged"),
    ("DELETE FROM purged WHERE idx = 10", Some(10), "purged"),
    ("DELETE FROM purge_pending WHERE id = 'r1'", None, "executions"),
    (
        "INSERT INTO purge_pending SELECT log, id, attempt, created_at FROM workflow_execution_audit WHERE id = 'r4'",
        None,
        "purged",
    ),
    ("UPDATE hold SET released_at = placed_at, released_idx = 11 WHERE idx = 9", Some(9), "hold"),
    ("UPDATE hold SET released_at = placed_at, released_idx = NULL WHERE idx = 9", Some(9), "hold"),
    ("UPDATE hold SET released_at = NULL, released_idx = NULL WHERE idx = 1", Some(8), "hold"),
    ("UPDATE log_entry SET kind = 'gap' WHERE idx = 10", Some(3), "body"),
];

#[tokio::test]
async fn whatever_is_purged_or_released_without_an_entry_that_says_so_is_found() {
    let untouched = Audit::with(5).await;
    purge_some(&untouched.store).await;
    assert_eq!(untouched.verify().await.findings, []);
    for (sql, index, what) in CASES {
        let audit = untouched.copy().await;
        audit.tamper(sql);
        let findings = audit.verify().await.findings;
        let found = findings.iter().any(|finding| finding.index == index && finding.what == what);
        assert!(found, "{sql}\nexpected {what} at {index:?}, found:\n{findings:#?}");
    }
    crate::store::sqlite::maintain(&untouched.file).unwrap();
    assert_eq!(untouched.verify().await.findings, []);
    for (sql, index, what) in [
        ("DELETE FROM purged WHERE idx = 10", Some(3), "body"),
        ("DELETE FROM purged WHERE idx = 11", Some(5), "body"),
        (
            "INSERT INTO workflow_execution_audit SELECT log, 'r3', attempt, revision, recorded_at, created_at,
                 completed_at, started_at, remediation_id, workflow_name, workflow_version, total_steps,
                 steps_completed, steps_failed, total_duration, queued_duration, outcome,
                 effectiveness_score, score_source, rollbacks_performed, status, error_message, cluster,
                 namespace, name, source_api_version, source_kind, source_uid, incident_type,
                 target_api_version, target_kind, target_namespace, target_name, labels, source_digest,
                 content_digest, nonce, step_executions, adaptive_adjustments
             FROM workflow_execution_audit WHERE id = 'r4'",
            None,
            "executions",
        ),
    ] {
        let audit = untouched.copy().await;
        audit.tamper(sql);
        let findings = audit.verify().await.findings;
        let found = findings.iter().any(|finding| finding.index == index && finding.what == what);
        assert!(found, "{sql}\nexpected {what} at {index:?}, found:\n{findings:#?}");
    }
}
