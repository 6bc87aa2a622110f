//! Every column and row beside the tree: changed, deleted, inserted, swapped.

use dualaudit_record::entry::Quarantine;
use futures::future::join;

use super::*;
use crate::store::{LogReader as _, Lookup, SourceObject, Wanted};

/// A log with something in every table:
/// 0 gap of `lost` · 1 hold on `r0` · 2–6 executions `r0` to `r4` · 7 `r0` amended · 8 and 9 executions
/// `s0` and `s1` with source objects · 10 and 11 quarantines of `q` · 12 hold on `r1` · 13 gap with a
/// start · 14 `s0` amended.
async fn full() -> Audit {
    let audit = Audit::with(5).await;
    audit.append(rest()).await;
    audit
}

/// What stands from index 8 on.
pub(super) fn rest() -> Vec<DraftContent> {
    let begun = Gap { started_at: Some(now()), ..gap("begun") };
    let hold =
        Hold { covers: Covers::ExecutionId("r1".into()), reason: "dispute".into(), actor: "you".into() };
    vec![
        with_source("s0", 0.5, None),
        with_source("s1", 0.5, None),
        quarantine("{}"),
        quarantine("[]"),
        DraftContent::Hold(hold),
        DraftContent::Gap(begun),
        with_source("s0", 0.25, Some(1)),
    ]
}

fn object(content: &str) -> SourceObject {
    SourceObject {
        compressed: zstd::bulk::compress(content.as_bytes(), 3).unwrap(),
        digest: Digest::sha256(content.as_bytes()),
    }
}

fn with_source(id: &str, score: f64, amend: Option<u32>) -> DraftContent {
    let DraftContent::Execution(mut draft) = execution(id, score, amend) else { unreachable!() };
    draft.record.started_at = Some(now());
    let step = json!({"step_number": 1, "action": "restart", "duration": 5, "status": "completed", "retries_attempted": 0});
    draft.record.step_executions = vec![serde_json::from_value(step).unwrap()];
    draft.content_digest = content_digest(&draft.record, &[1; 32]);
    draft.source = Some(object(&format!("{{\"{id}\":{score}}}")));
    DraftContent::Execution(draft)
}

fn quarantine(content: &str) -> DraftContent {
    let object = object(content);
    let entry = Quarantine {
        execution_id: "q".into(),
        namespace: "shop".into(),
        name: "web".into(),
        reason: "it has no status".into(),
        source_digest: object.digest,
    };
    DraftContent::Quarantine { entry, object }
}

fn hex_of(bytes: &[u8]) -> String {
    format!("x'{}'", hex::encode(bytes))
}

/// SQL, and the entry and subject of one finding that it must lead to.
type Case<'a> = (&'a str, Option<u64>, &'static str);

async fn each_is_found(cases: &[Case<'_>]) {
    let untouched = full().await;
    assert_eq!(untouched.verify().await.findings, []);
    for &(sql, index, what) in cases {
        let audit = untouched.copy().await;
        audit.tamper(sql);
        let findings = audit.verify().await.findings;
        let found = findings.iter().any(|finding| finding.index == index && finding.what == what);
        assert!(found, "{sql}\nexpected {what} at {index:?}, found:\n{findings:#?}");
    }
}

#[tokio::test]
async fn every_column_of_an_entry_that_is_changed_is_found() {
    each_is_found(&[
        ("UPDATE log_entry SET log = 'empty' WHERE idx = 8", Some(8), "index"),
        ("UPDATE log_entry SET log = 'empty' WHERE idx = 14", Some(14), "size"),
        ("UPDATE log_entry SET log = 'ghost' WHERE idx = 8", Some(8), "size"),
        ("UPDATE log_entry SET idx = 99 WHERE idx = 8", Some(8), "index"),
        ("UPDATE log_entry SET idx = 99 WHERE idx = 8", Some(99), "size"),
        ("UPDATE log_entry SET idx = -1 WHERE idx = 14", None, "size"),
        ("UPDATE log_entry SET kind = 'gap' WHERE idx = 8", Some(8), "body"),
        ("UPDATE log_entry SET kind = 'gap' WHERE idx = 1", Some(1), "body"),
        ("UPDATE log_entry SET kind = 'other' WHERE idx = 8", Some(8), "entry"),
        ("UPDATE log_entry SET recorded_at = recorded_at - 1 WHERE idx = 10", Some(10), "leaf hash"),
        ("UPDATE log_entry SET execution_id = 'x' WHERE idx = 8", Some(8), "body"),
        ("UPDATE log_entry SET attempt = 2 WHERE idx = 9", Some(9), "body"),
        ("UPDATE log_entry SET attempt = NULL WHERE idx = 9", Some(9), "body"),
        ("UPDATE log_entry SET attempt = 1 WHERE idx = 12", Some(12), "columns"),
        ("UPDATE log_entry SET revision = 2 WHERE idx = 9", Some(9), "body"),
        ("UPDATE log_entry SET started_at = NULL WHERE idx = 8", Some(8), "started_at"),
        ("UPDATE log_entry SET started_at = started_at + 1 WHERE idx = 8", Some(8), "started_at"),
        ("UPDATE log_entry SET started_at = 0 WHERE idx = 3", Some(3), "started_at"),
        ("UPDATE log_entry SET started_at = 0 WHERE idx = 13", Some(13), "started_at"),
        ("UPDATE log_entry SET idempotency_key = 'x' WHERE idx = 8", Some(8), "idempotency key"),
        ("UPDATE log_entry SET idempotency_key = 'gap:lost:0' WHERE idx = 0", Some(0), "idempotency key"),
        ("UPDATE log_entry SET idempotency_key = 'gap:begun:-' WHERE idx = 13", Some(13), "idempotency key"),
        ("UPDATE log_entry SET idempotency_key = NULL WHERE idx = 10", Some(10), "idempotency key"),
        (
            "UPDATE log_entry SET idempotency_key = idempotency_key || '0' WHERE idx = 10",
            Some(10),
            "idempotency key",
        ),
        ("UPDATE log_entry SET idempotency_key = 'hold:r0:x:0' WHERE idx = 1", Some(1), "idempotency key"),
        (
            "UPDATE log_entry SET idempotency_key = replace(idempotency_key, ':0', ':00') WHERE idx = 1",
            Some(1),
            "idempotency key",
        ),
        ("UPDATE log_entry SET body_digest = zeroblob(32) WHERE idx = 10", Some(10), "body digest"),
        ("UPDATE log_entry SET body_digest = x'00' WHERE idx = 8", Some(8), "entry"),
        ("UPDATE log_entry SET leaf_hash = zeroblob(32) WHERE idx = 12", Some(12), "leaf hash"),
        ("UPDATE log_entry SET body = '{}' WHERE idx = 8", Some(8), "body"),
        ("UPDATE log_entry SET body = NULL WHERE idx = 10", Some(10), "body"),
        (
            "UPDATE log_entry SET body = (SELECT body FROM log_entry WHERE idx = 12) WHERE idx = 1",
            Some(1),
            "body digest",
        ),
        ("DELETE FROM log WHERE name = 'test'", Some(0), "size"),
    ])
    .await;
}

#[tokio::test]
async fn every_execution_that_says_another_thing_or_stands_elsewhere_is_found() {
    each_is_found(&[
        ("UPDATE workflow_execution_audit SET log = 'ghost' WHERE id = 'r3'", None, "executions"),
        ("UPDATE workflow_execution_audit SET log = 'ghost' WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET attempt = 2 WHERE id = 'r3'", None, "executions"),
        (
            "UPDATE workflow_execution_audit SET content_digest = NULL WHERE id = 'r3'",
            Some(5),
            "content digest",
        ),
        (
            "UPDATE workflow_execution_audit SET content_digest = zeroblob(33) WHERE id = 'r3'",
            Some(5),
            "content digest",
        ),
        (
            "UPDATE workflow_execution_revision SET content_digest = x'' WHERE id = 's0'",
            Some(8),
            "content digest",
        ),
        (
            "UPDATE workflow_execution_audit SET content_digest = randomblob(32) WHERE id = 'r3'",
            Some(5),
            "content digest",
        ),
        ("UPDATE log SET secret = randomblob(32)", Some(5), "content digest"),
        // What reads the same here and differs for whoever asks with SQL.
        (
            r#"UPDATE workflow_execution_audit SET labels = '{"team":"b","team":"a"}' WHERE id = 'r3'"#,
            Some(5),
            "body",
        ),
        (
            r#"UPDATE workflow_execution_audit SET step_executions = '[[1,"restart",5,"completed",0]]'
               WHERE id = 's1'"#,
            Some(9),
            "body",
        ),
        ("UPDATE workflow_execution_audit SET source_uid = 'x' WHERE id = 'r3'", Some(5), "body"),
        // Rows that the newest entry of their attempt does not vouch for.
        (
            "CREATE TEMP TABLE t AS SELECT * FROM workflow_execution_audit WHERE id = 'r3';
             UPDATE t SET id = '', attempt = -9223372036854775808;
             INSERT INTO workflow_execution_audit SELECT * FROM t",
            None,
            "executions",
        ),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM workflow_execution_revision WHERE id = 's0';
             DELETE FROM workflow_execution_revision WHERE id = 's0';
             INSERT INTO workflow_execution_revision SELECT * FROM workflow_execution_audit WHERE id = 's0';
             DELETE FROM workflow_execution_audit WHERE id = 's0';
             INSERT INTO workflow_execution_audit SELECT * FROM t",
            None,
            "executions",
        ),
        (
            "INSERT INTO workflow_execution_revision SELECT * FROM workflow_execution_audit WHERE id = 'r3'",
            None,
            "revisions",
        ),
        ("UPDATE workflow_execution_revision SET revision = 9 WHERE id = 's0'", None, "revisions"),
        ("UPDATE workflow_execution_revision SET log = 'ghost' WHERE id = 's0'", None, "revisions"),
        ("DELETE FROM workflow_execution_revision WHERE id = 's0'", Some(8), "body"),
    ])
    .await;
}

#[tokio::test]
async fn every_source_object_that_is_not_its_entrys_is_found() {
    let bomb = zstd::bulk::compress(&vec![0; 1 << 26], 3).unwrap();
    let bomb = format!("UPDATE source_object SET object = {} WHERE idx = 8", hex_of(&bomb));
    each_is_found(&[
        ("UPDATE source_object SET object = x'00' WHERE idx = 8", Some(8), "source object"),
        ("UPDATE source_object SET object = zeroblob(20000000) WHERE idx = 8", Some(8), "source object"),
        (&bomb, Some(8), "source object"),
        (
            "UPDATE source_object SET object = substr(object, 1, length(object) - 1) WHERE idx = 8",
            Some(8),
            "source object",
        ),
        ("DELETE FROM source_object WHERE idx = 9", Some(9), "source object"),
        ("UPDATE source_object SET idx = 3 WHERE idx = 8", Some(3), "source object"),
        ("UPDATE source_object SET idx = 3 WHERE idx = 8", Some(8), "source object"),
        ("UPDATE source_object SET log = 'ghost' WHERE idx = 8", None, "source objects"),
        (
            "INSERT INTO source_object SELECT log, 1, object FROM source_object WHERE idx = 8",
            None,
            "source objects",
        ),
        (
            "INSERT INTO source_object SELECT log, 99, object FROM source_object WHERE idx = 8",
            None,
            "source objects",
        ),
        (
            "INSERT INTO source_object SELECT log, -9223372036854775808, object
             FROM source_object WHERE idx = 8",
            None,
            "source objects",
        ),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM source_object;
             UPDATE source_object SET object = (SELECT object FROM t WHERE t.idx = 17 - source_object.idx)
             WHERE idx IN (8, 9)",
            Some(9),
            "source object",
        ),
    ])
    .await;
}

#[tokio::test]
async fn every_quarantined_object_that_is_not_its_entrys_is_found() {
    each_is_found(&[
        ("UPDATE quarantine SET log = 'empty' WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET log = 'empty' WHERE idx = 10", None, "quarantine"),
        ("UPDATE quarantine SET execution_id = 'x' WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET execution_id = 'x' WHERE idx = 10", None, "quarantine"),
        ("UPDATE quarantine SET source_digest = zeroblob(32) WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET source_digest = x'00' WHERE idx = 10", None, "quarantine"),
        ("UPDATE quarantine SET idx = 11 WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET recorded_at = recorded_at + 1 WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET recorded_at = 9e18 WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET object = x'00' WHERE idx = 10", Some(10), "quarantine"),
        ("DELETE FROM quarantine WHERE idx = 10", Some(10), "quarantine"),
        (
            "INSERT INTO quarantine SELECT log, execution_id, zeroblob(32), idx, recorded_at, object
             FROM quarantine WHERE idx = 10",
            None,
            "quarantine",
        ),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM quarantine;
             UPDATE quarantine SET object = (SELECT object FROM t WHERE t.idx = 21 - quarantine.idx)",
            Some(11),
            "quarantine",
        ),
    ])
    .await;
}

#[tokio::test]
async fn every_hold_that_is_not_its_entrys_is_found() {
    each_is_found(&[
        ("UPDATE hold SET log = 'empty' WHERE idx = 1", Some(1), "hold"),
        ("UPDATE hold SET log = 'empty' WHERE idx = 1", None, "holds"),
        ("UPDATE hold SET execution_id = 'r2' WHERE idx = 1", Some(1), "hold"),
        ("UPDATE hold SET execution_id = 'r2' WHERE idx = 1", None, "holds"),
        ("UPDATE hold SET idx = 2 WHERE idx = 1", Some(1), "hold"),
        ("UPDATE hold SET idx = 2 WHERE idx = 1", None, "holds"),
        ("UPDATE hold SET reason = 'x' WHERE idx = 1", Some(1), "hold"),
        ("UPDATE hold SET actor = 'x' WHERE idx = 1", Some(1), "hold"),
        ("UPDATE hold SET placed_at = placed_at + 1 WHERE idx = 1", Some(1), "hold"),
        ("DELETE FROM hold WHERE idx = 1", Some(1), "hold"),
        (
            "INSERT INTO hold SELECT log, 2, 'r2', NULL, reason, actor, placed_at, NULL, NULL FROM hold WHERE idx = 1",
            None,
            "holds",
        ),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM hold;
             UPDATE hold SET (reason, actor) = (SELECT reason, actor FROM t WHERE t.idx = 13 - hold.idx)",
            Some(12),
            "hold",
        ),
    ])
    .await;
}

#[tokio::test]
async fn every_tile_beyond_the_head_is_found() {
    each_is_found(&[
        ("INSERT INTO log_tile SELECT log, level, 1, hashes FROM log_tile", None, "tile"),
        ("INSERT INTO log_tile SELECT log, 1, 0, hashes FROM log_tile", None, "tile"),
        ("INSERT INTO log_tile SELECT log, -1, 0, hashes FROM log_tile", None, "tile"),
        ("INSERT INTO log_tile SELECT log, 0, -1, hashes FROM log_tile", None, "tile"),
        ("INSERT INTO log_tile SELECT 'empty', level, idx, hashes FROM log_tile", None, "tile"),
        ("INSERT INTO log_tile SELECT 'ghost', level, idx, hashes FROM log_tile", None, "tile"),
        ("UPDATE log_tile SET log = 'ghost'", None, "tile"),
    ])
    .await;
}

#[tokio::test]
async fn a_released_hold_is_no_finding() {
    let audit = full().await;
    let release = DraftContent::HoldRelease { hold: 1, reason: "over".into(), actor: "me".into() };
    audit.append(vec![release]).await;
    let hold = Hold { covers: Covers::ExecutionId("r0".into()), reason: "look".into(), actor: "me".into() };
    audit.append(vec![DraftContent::Hold(hold)]).await;
    let report = audit.verify().await;
    assert_eq!((report.findings, report.logs[1].size), (vec![], 17), "the second has a key of its own");
}

#[tokio::test]
async fn a_damaged_content_digest_is_named_and_harms_no_other_execution() {
    let audit = full().await;
    audit.tamper("UPDATE workflow_execution_audit SET content_digest = x'0102' WHERE id = 'r3'");
    let findings = audit.verify().await.findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    insta::assert_snapshot!(findings[0], @"log test, entry 5, content digest: expected 32 bytes, found column content_digest cannot be read: it has 2 bytes, not 32");
    let draft = Draft::new(Nonce([9; 16]), execution("r3", 0.75, Some(1)));
    let batch = Batch { drafts: vec![draft], ..Batch::default() };
    let error = audit.store.append(LOG, batch.into(), now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    audit.append(vec![execution("r4", 0.75, Some(1))]).await;
    let wanted = Wanted { id: "r3".into(), log: None, attempt: None };
    let found = audit.store.get(&wanted).await.unwrap();
    assert!(matches!(found, Lookup::Found(_)), "it can still be read: {found:?}");
    assert_eq!(audit.verify().await.findings, findings);
}

#[tokio::test]
async fn an_entry_of_which_a_column_cannot_be_read_is_named_and_the_rest_is_checked() {
    let audit = full().await;
    audit.tamper(
        "UPDATE log_entry SET leaf_hash = x'00' WHERE idx = 8;
         UPDATE log_entry SET execution_id = CAST(x'ff' AS TEXT) WHERE idx = 14;
         UPDATE workflow_execution_audit SET total_duration = 7 WHERE id = 's1';
         INSERT INTO source_object SELECT 'empty', 5, object FROM source_object WHERE idx = 9",
    );
    let report = audit.verify().await;
    let found = |finding: &Finding| (finding.log.clone(), finding.index, finding.what);
    let found: Vec<_> = report.findings.iter().map(found).collect();
    for expected in [
        (LOG, Some(8), "entry"),
        (LOG, Some(9), "body digest"),
        (LOG, Some(14), "entry"),
        ("empty", None, "source objects"),
    ] {
        let (log, index, what) = expected;
        assert!(found.contains(&(log.to_owned(), index, what)), "{expected:?} in {:#?}", report.findings);
    }
    assert!(!found.iter().any(|(_, _, what)| *what == "root" || *what == "database"), "{found:?}");
    let unread = report.findings.iter().find(|finding| finding.index == Some(8)).unwrap();
    insta::assert_snapshot!(unread, @"log test, entry 8, entry: expected one that can be read, found column leaf_hash cannot be read: it has 1 bytes, not 32");
    assert_eq!(report.logs[1].entries, 13, "two of 15 could not be checked");
    assert!(audit.store.entries(LOG, Which::All, 0, 15).await.is_err(), "whoever needs all of it gets none");
}

#[tokio::test]
async fn a_log_or_a_row_of_which_a_column_cannot_be_read_is_named_and_the_rest_is_checked() {
    let audit = full().await;
    audit.tamper(
        "UPDATE log SET root = x'00' WHERE name = 'empty';
         UPDATE workflow_execution_audit SET total_duration = 7 WHERE id = 's1';
         UPDATE workflow_execution_audit SET id = CAST(x'ff' AS TEXT) WHERE id = 'r4'",
    );
    let shown: Vec<_> = audit.verify().await.findings.iter().map(ToString::to_string).collect();
    for (place, part) in [
        (
            0,
            "log empty, head: expected one that can be read, found column root cannot be read: it has 1 bytes, not 32",
        ),
        (1, "log test, entry 6, body: expected one that can be read"),
        (2, "log test, entry 9, body digest"),
        (
            3,
            "log test, executions: expected the newest entry of an attempt for each row, found a row of \
             workflow_execution_audit with id ff, attempt 1",
        ),
    ] {
        assert!(
            shown.get(place).is_some_and(|shown| shown.contains(part)),
            "{part:?} at {place} of {shown:#?}"
        );
    }
    assert_eq!(shown.len(), 4);
    let alone = verify(&audit.store, Some("empty"), |_| {}).await.unwrap();
    assert_eq!((alone.findings_total, alone.logs.len()), (1, 0));
}

#[tokio::test]
async fn a_schema_that_was_altered_is_named() {
    let audit = Audit::with(1).await;
    let shell = rusqlite::Connection::open(&audit.file).unwrap();
    shell
        .execute_batch(
            "DROP TRIGGER hold_is_not_deleted; DROP INDEX log_entry_execution;
             CREATE TRIGGER quiet BEFORE INSERT ON hold BEGIN SELECT RAISE(IGNORE); END;",
        )
        .unwrap();
    let report = audit.verify().await;
    let shown: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    log *, schema: expected as dualaudit made it, found index log_entry_execution is missing
    log *, schema: expected as dualaudit made it, found trigger hold_is_not_deleted is missing
    log *, schema: expected as dualaudit made it, found trigger quiet was added
    ");
    assert_eq!(report.logs[1].entries, 4, "and all the rest is checked");
}

#[tokio::test]
async fn one_log_is_checked_for_its_own_strays_only() {
    let audit = full().await;
    audit.tamper("INSERT INTO source_object SELECT 'empty', idx, object FROM source_object");
    let found = async |log| verify(&audit.store, log, |_| {}).await.unwrap().findings_total;
    assert_eq!((found(Some(LOG)).await, found(Some("empty")).await, found(None).await), (0, 3, 3));
}

#[tokio::test]
async fn a_stray_row_put_in_while_others_append_is_found() {
    let audit = full().await;
    let begun = tokio::sync::Notify::new();
    let appending = async {
        for round in 0..30 {
            audit.record(1000 + round * 20..1020 + round * 20).await;
            if round == 5 {
                begun.notify_one();
            }
        }
    };
    let looking = async {
        begun.notified().await;
        audit.tamper(
            "CREATE TEMP TABLE t AS SELECT * FROM workflow_execution_audit WHERE id = 'r3';
             UPDATE t SET id = 'forged'; INSERT INTO workflow_execution_audit SELECT * FROM t",
        );
        let mut reports = Vec::new();
        for _ in 0..4 {
            reports.push(audit.verify().await);
        }
        reports
    };
    let ((), reports) = join(appending, looking).await;
    for report in reports {
        let [stray] = &report.findings[..] else { panic!("{:#?}", report.findings) };
        insta::allow_duplicates! {
            insta::assert_snapshot!(stray, @"log test, executions: expected the newest entry of an attempt for each row, found a row of workflow_execution_audit with id forged, attempt 1");
        }
    }
}
