//! Databases changed behind the program's back.

use std::path::PathBuf;

use dualaudit_record::{
    Entry, WorkflowExecutionAudit,
    digest::content_digest,
    entry::{Covers, Gap, GapCause, Hold},
    log::Nonce,
};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::store::{
    Batch, Draft, DraftContent, ExecutionDraft, LogOpening, Origin, Owner, Which,
    sqlite::{Options, SqliteStore},
};

mod erased;
mod every_column;
mod laundered;
mod postgres;
mod promised;
mod purged;
mod tampered;
mod waiting;

const LOG: &str = "test";

struct Audit {
    store: SqliteStore,
    file: PathBuf,
    _dir: TempDir,
}

fn now() -> Time {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

impl Audit {
    /// A log with a gap, a hold, `executions` executions, and a second revision of the first.
    async fn with(executions: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("test.db");
        let store = SqliteStore::open(&file, Options::default()).unwrap();
        for log in [LOG, "empty"] {
            let opening = LogOpening {
                log: log.into(),
                owner: Owner::Producers,
                origin: "dualaudit.dev/test".into(),
                secret: [1; 32],
                now: now(),
            };
            store.open_log(opening).await.unwrap();
        }
        let audit = Self { store, file, _dir: dir };
        let hold =
            Hold { covers: Covers::ExecutionId("r0".into()), reason: "look".into(), actor: "me".into() };
        audit.append(vec![DraftContent::Gap(gap("lost")), DraftContent::Hold(hold)]).await;
        audit.record(0..executions).await;
        audit.append(vec![execution("r0", 0.25, Some(1))]).await;
        audit
    }

    /// The same in a file of its own.
    async fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("copy.db");
        self.store.backup(&file).await.unwrap();
        let store = SqliteStore::open(&file, Options::default()).unwrap();
        Self { store, file, _dir: dir }
    }

    async fn record(&self, numbers: std::ops::Range<usize>) {
        let contents: Vec<_> = numbers.map(|n| execution(&format!("r{n}"), 0.5, None)).collect();
        for some in contents.chunks(500) {
            self.append(some.to_vec()).await;
        }
    }

    async fn append(&self, contents: Vec<DraftContent>) {
        let draft = |content| Draft::new(Nonce([9; 16]), content);
        let batch = Batch { drafts: contents.into_iter().map(draft).collect(), ..Batch::default() };
        self.store.append(LOG, batch.into(), now()).await.unwrap();
    }

    /// Runs SQL with nothing in its way; all of that is there again afterwards.
    fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(&self.file).unwrap();
        let mut triggers =
            connection.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").unwrap();
        let triggers = triggers.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let triggers: Vec<(String, String)> = triggers.map(Result::unwrap).collect();
        for (name, _) in &triggers {
            connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        connection.execute_batch("PRAGMA ignore_check_constraints = 1; PRAGMA foreign_keys = 0").unwrap();
        connection.execute_batch(sql).unwrap();
        for (_, again) in &triggers {
            connection.execute_batch(again).unwrap();
        }
    }

    async fn verify(&self) -> Report {
        verify(&self.store, None, |_| {}).await.unwrap()
    }
}

fn gap(id: &str) -> Gap {
    Gap {
        cause: GapCause::Vanished,
        execution_id: id.into(),
        namespace: "shop".into(),
        name: "web".into(),
        started_at: None,
        last_phase: "Executing".into(),
        last_state: "{}".into(),
        last_state_digest: None,
        last_seen_at: now(),
    }
}

fn execution(id: &str, score: f64, amend: Option<u32>) -> DraftContent {
    let record: WorkflowExecutionAudit = serde_json::from_value(json!({
        "id": id, "attempt": 1, "remediation_id": "", "workflow_name": "restart", "workflow_version": "v1",
        "total_steps": 0, "steps_completed": 0, "steps_failed": 0, "total_duration": 5,
        "outcome": "success", "effectiveness_score": score, "score_source": "reported",
        "rollbacks_performed": 0, "step_executions": [], "adaptive_adjustments": [],
        "completed_at": "2026-05-01T11:00:00Z", "status": "completed", "created_at": "2026-05-01T10:00:00Z",
        "labels": {"team": "a"},
    }))
    .unwrap();
    DraftContent::Execution(Box::new(ExecutionDraft {
        content_digest: content_digest(&record, &[1; 32]),
        record,
        origin: Origin::Producer { amend },
        source: None,
    }))
}

#[tokio::test]
async fn an_untouched_audit_agrees_with_itself() {
    let audit = Audit::with(600).await;
    let mut seen = Vec::new();
    let report =
        verify(&audit.store, None, |progress| seen.push((progress.done, progress.total))).await.unwrap();
    assert_eq!(report.findings, []);
    assert!(report.is_clean());
    let logs: Vec<_> = report.logs.iter().map(|log| (log.log.as_str(), log.size, log.entries)).collect();
    assert_eq!(logs, [("empty", 0, 0), (LOG, 603, 603)]);
    assert_eq!(report.logs[0].root, Digest::sha256(b""), "RFC 6962, section 2.1");
    assert_eq!(seen.last(), Some(&(603, 603)));
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn one_log_can_be_checked_and_one_that_is_not_there_is_an_error() {
    let audit = Audit::with(1).await;
    let report = verify(&audit.store, Some("empty"), |_| {}).await.unwrap();
    assert_eq!(report.logs.len(), 1);
    let error = verify(&audit.store, Some("prod"), |_| {}).await.unwrap_err();
    insta::assert_snapshot!(error, @"there is no log prod; there are: empty, test");
}

#[tokio::test]
async fn every_kind_of_tampering_is_found() {
    let untouched = Audit::with(300).await;
    for (sql, index, what) in [
        // Bodies.
        (
            "UPDATE workflow_execution_audit SET effectiveness_score = 1 WHERE id = 'r7'",
            Some(9),
            "body digest",
        ),
        ("UPDATE workflow_execution_audit SET nonce = zeroblob(16) WHERE id = 'r7'", Some(9), "body digest"),
        ("UPDATE workflow_execution_audit SET labels = '{}' WHERE id = 'r7'", Some(9), "body digest"),
        ("UPDATE workflow_execution_audit SET outcome = 'superb' WHERE id = 'r7'", Some(9), "body"),
        ("UPDATE workflow_execution_audit SET step_executions = '[7]' WHERE id = 'r7'", Some(9), "body"),
        ("UPDATE workflow_execution_revision SET error_message = 'x'", Some(2), "body digest"),
        ("UPDATE log_entry SET body = replace(body, 'look', 'book') WHERE idx = 1", Some(1), "body digest"),
        ("UPDATE log_entry SET body = 'x' WHERE idx = 0", Some(0), "body"),
        ("DELETE FROM workflow_execution_audit WHERE id = 'r7'", Some(9), "body"),
        // Rows that no entry vouches for.
        (
            "CREATE TEMP TABLE t AS SELECT * FROM workflow_execution_audit WHERE id = 'r7';
             UPDATE t SET id = 'forged'; INSERT INTO workflow_execution_audit SELECT * FROM t",
            None,
            "executions",
        ),
        // Entries.
        ("UPDATE log_entry SET recorded_at = recorded_at + 1 WHERE idx = 9", Some(9), "leaf hash"),
        ("UPDATE log_entry SET recorded_at = recorded_at - 1 WHERE idx = 9", Some(9), "recorded_at"),
        ("UPDATE log_entry SET execution_id = 'other' WHERE idx = 1", Some(1), "columns"),
        ("UPDATE log_entry SET body_digest = zeroblob(32) WHERE idx = 9", Some(9), "leaf hash"),
        ("UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 9", Some(9), "leaf hash"),
        ("DELETE FROM log_entry WHERE idx = 9", Some(9), "index"),
        ("DELETE FROM log_entry WHERE idx >= 9", None, "size"),
        // Tree and head.
        ("UPDATE log_tile SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 0", None, "tile"),
        ("UPDATE log_tile SET hashes = substr(hashes, 33) WHERE level = 0 AND idx = 1", None, "tile"),
        (
            "UPDATE log_tile SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE level = 0 AND idx = 1",
            None,
            "tile",
        ),
        ("UPDATE log_tile SET hashes = zeroblob(32) WHERE level = 1", None, "tile"),
        ("DELETE FROM log_tile WHERE level = 1", None, "tile"),
        ("UPDATE log SET root = zeroblob(32) WHERE name = 'test'", None, "root"),
        ("UPDATE log SET root = zeroblob(32) WHERE name = 'empty'", None, "root"),
        ("UPDATE log SET recorded_at = recorded_at + 1 WHERE name = 'test'", None, "recorded_at of the head"),
        ("UPDATE log SET size = size + 1 WHERE name = 'test'", None, "size"),
        ("UPDATE log SET size = size - 1 WHERE name = 'test'", Some(302), "size"),
        ("UPDATE log SET size = 4611686018427387904 WHERE name = 'test'", None, "size"),
    ] {
        let audit = untouched.copy().await;
        audit.tamper(sql);
        let report = audit.verify().await;
        let found = report.findings.iter().any(|finding| finding.index == index && finding.what == what);
        assert!(found, "{sql}\nexpected {what} at {index:?}, found:\n{:#?}", report.findings);
        assert!(!report.is_clean());
    }
}

#[tokio::test]
async fn a_finding_names_the_log_the_entry_and_what_was_expected_and_found() {
    let audit = Audit::with(1).await;
    audit.tamper("UPDATE log_entry SET execution_id = 'other' WHERE idx = 0");
    let finding = audit.verify().await.findings[0].to_string();
    insta::assert_snapshot!(finding, @"log test, entry 0, columns: expected gap of lost, found gap of other");
}

#[tokio::test]
async fn findings_beyond_a_hundred_are_counted() {
    let audit = Audit::with(300).await;
    audit.tamper("UPDATE workflow_execution_audit SET workflow_name = 'x'");
    let report = audit.verify().await;
    assert_eq!((report.findings.len(), report.findings_total), (MAX_FINDINGS, 300));
}

#[tokio::test]
async fn a_log_that_grows_meanwhile_is_no_finding() {
    let audit = Audit::with(200).await;
    let growing = async {
        for round in 0..40 {
            audit.record(1000 + round * 20..1020 + round * 20).await;
            audit
                .append(vec![execution(
                    "r1",
                    0.01 * f64::from(u32::try_from(round).unwrap()),
                    Some(u32::try_from(round).unwrap() + 1),
                )])
                .await;
        }
    };
    let checking = async {
        let mut reports = Vec::new();
        for _ in 0..8 {
            reports.push(audit.verify().await);
        }
        reports
    };
    let ((), reports) = tokio::join!(growing, checking);
    for report in reports {
        assert_eq!(report.findings, []);
    }
    assert!(audit.verify().await.logs[1].size >= 203 + 40 * 21);
}
