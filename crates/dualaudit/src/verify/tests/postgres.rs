//! The same on PostgreSQL: the checks are the same, what they are told is put together otherwise.

use super::*;
use crate::store::postgres::{
    Options, PostgresStore,
    tests::{Fresh, fresh},
};

/// What `tampered.rs` has.
async fn full() -> Fresh {
    let audit = base().await;
    append(&audit, tampered::rest()).await;
    audit
}

/// What [`Audit::with`] five executions makes.
async fn base() -> Fresh {
    let audit = fresh();
    for log in [LOG, "empty"] {
        let opening = LogOpening {
            log: log.into(),
            owner: Owner::Producers,
            origin: "dualaudit.dev/test".into(),
            secret: [1; 32],
            now: now(),
        };
        audit.store.open_log(opening).await.unwrap();
    }
    let hold = Hold { covers: Covers::ExecutionId("r0".into()), reason: "look".into(), actor: "me".into() };
    append(&audit, vec![DraftContent::Gap(gap("lost")), DraftContent::Hold(hold)]).await;
    append(&audit, (0..5).map(|n| execution(&format!("r{n}"), 0.5, None)).collect()).await;
    append(&audit, vec![execution("r0", 0.25, Some(1))]).await;
    audit
}

async fn append(audit: &Fresh, contents: Vec<DraftContent>) {
    let draft = |content| Draft::new(Nonce([9; 16]), content);
    let batch = Batch { drafts: contents.into_iter().map(draft).collect(), ..Batch::default() };
    audit.store.append(LOG, batch.into(), now()).await.unwrap();
}

/// Runs SQL with nothing in its way.
fn tamper(audit: &Fresh, sql: &str) {
    const UNCHECKED: &str = "
        SET session_replication_role = replica;
        DO $$
        DECLARE checked record;
        BEGIN
            FOR checked IN
                SELECT conrelid::regclass AS kept, conname FROM pg_constraint
                WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND coninhcount = 0
            LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', checked.kept, checked.conname);
            END LOOP;
        END
        $$;";
    audit.database.execute(&format!("{UNCHECKED} {sql}")).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

#[tokio::test]
async fn an_audit_in_postgresql_agrees_with_itself_until_it_is_tampered_with() {
    let untouched = full().await;
    assert_eq!(verify(&untouched.store, None, |_| {}).await.unwrap().findings, []);
    untouched.close();
    for (sql, index, what) in [
        (
            "UPDATE workflow_execution_audit SET effectiveness_score = 1 WHERE id = 'r3'",
            Some(5),
            "body digest",
        ),
        (
            "UPDATE workflow_execution_audit SET nonce = substr(sha256(''), 1, 16) WHERE id = 'r3'",
            Some(5),
            "body digest",
        ),
        ("UPDATE workflow_execution_audit SET nonce = '' WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET labels = '{}' WHERE id = 'r3'", Some(5), "body digest"),
        ("UPDATE workflow_execution_audit SET labels = '{\"team\": 7}' WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET outcome = 'superb' WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET completed_at = 'infinity' WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET total_duration = -1 WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET source_uid = 'x' WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE workflow_execution_audit SET step_executions = '[7]' WHERE id = 'r3'", Some(5), "body"),
        (
            "UPDATE workflow_execution_audit SET step_executions = '[[1, \"restart\", 5, \"completed\", 0]]' WHERE id = 's1'",
            Some(9),
            "body",
        ),
        ("UPDATE workflow_execution_audit SET created_at = '2030-01-01Z' WHERE id = 'r3'", Some(5), "body"),
        (
            "UPDATE workflow_execution_audit SET created_at = '2030-01-01Z' WHERE id = 'r3'",
            None,
            "executions",
        ),
        ("UPDATE workflow_execution_audit SET log = 'ghost' WHERE id = 'r3'", None, "executions"),
        (
            "UPDATE workflow_execution_revision SET error_message = 'x' WHERE id = 'r0'",
            Some(2),
            "body digest",
        ),
        ("UPDATE workflow_execution_revision SET revision = 9 WHERE id = 's0'", None, "revisions"),
        ("DELETE FROM workflow_execution_audit WHERE id = 'r3'", Some(5), "body"),
        ("UPDATE log_entry SET content_digest = NULL WHERE idx = 5", Some(5), "content digest"),
        ("UPDATE log_entry SET content_digest = '' WHERE idx = 5", Some(5), "content digest"),
        ("UPDATE log_entry SET content_digest = sha256('x') WHERE idx = 5", Some(5), "content digest"),
        ("UPDATE log SET secret = sha256('x') WHERE name = 'test'", Some(5), "content digest"),
        ("UPDATE log_entry SET created_at = '2030-01-01Z' WHERE idx = 5", Some(5), "body"),
        ("UPDATE log_entry SET attempt = NULL WHERE idx = 9", Some(9), "body"),
        ("UPDATE log_entry SET body = '{}' WHERE idx = 8", Some(8), "body"),
        ("UPDATE log_entry SET body = NULL WHERE idx = 10", Some(10), "body"),
        ("UPDATE log_entry SET kind = 'other' WHERE idx = 8", Some(8), "entry"),
        ("UPDATE log_entry SET leaf_hash = sha256('') WHERE idx = 12", Some(12), "leaf hash"),
        (
            "UPDATE log_entry SET recorded_at = recorded_at - interval '1 us' WHERE idx = 10",
            Some(10),
            "leaf hash",
        ),
        ("UPDATE log_entry SET idempotency_key = 'gap:lost:0' WHERE idx = 0", Some(0), "idempotency key"),
        ("DELETE FROM log_entry WHERE idx = 9", Some(9), "index"),
        ("UPDATE log_entry SET idx = -1 WHERE idx = 14", None, "size"),
        ("UPDATE source_object SET object = '' WHERE idx = 8", Some(8), "source object"),
        ("DELETE FROM source_object WHERE idx = 9", Some(9), "source object"),
        ("UPDATE source_object SET created_at = '2030-01-01Z' WHERE idx = 8", None, "source objects"),
        (
            "INSERT INTO source_object SELECT log, 99, created_at, object FROM source_object WHERE idx = 8",
            None,
            "source objects",
        ),
        ("UPDATE quarantine SET object = '' WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET source_digest = sha256('x') WHERE idx = 10", Some(10), "quarantine"),
        ("UPDATE quarantine SET source_digest = sha256('x') WHERE idx = 10", None, "quarantine"),
        ("UPDATE hold SET reason = 'x' WHERE idx = 1", Some(1), "hold"),
        ("UPDATE hold SET idx = 2 WHERE idx = 1", None, "holds"),
        ("DELETE FROM hold WHERE idx = 1", Some(1), "hold"),
        ("UPDATE log_tile SET hashes = sha256('')", None, "tile"),
        ("UPDATE log_tile SET log = 'ghost'", None, "tile"),
        ("UPDATE log SET root = sha256('x') WHERE name = 'empty'", None, "root"),
        ("UPDATE log SET size = size - 1 WHERE name = 'test'", Some(14), "size"),
        ("DELETE FROM log WHERE name = 'test'", Some(0), "size"),
    ] {
        each_is_found(&untouched, sql, index, what).await;
    }
}

#[tokio::test]
async fn whatever_is_purged_or_released_without_an_entry_that_says_so_is_found_in_postgresql() {
    let untouched = base().await;
    purged::purge_some(&untouched.store).await;
    assert_eq!(verify(&untouched.store, None, |_| {}).await.unwrap().findings, []);
    untouched.close();
    for (sql, index, what) in purged::CASES {
        each_is_found(&untouched, sql, index, what).await;
    }
    crate::store::postgres::maintain(&untouched.location(), now()).await.unwrap();
    assert_eq!(verify(&untouched.store, None, |_| {}).await.unwrap().findings, []);
    untouched.close();
    for (sql, index, what) in [
        ("DELETE FROM purged WHERE idx = 10", Some(3), "body"),
        ("DELETE FROM purged WHERE idx = 11", Some(5), "body"),
        (
            "CREATE TEMP TABLE t AS SELECT * FROM workflow_execution_audit WHERE id = 'r4';
             UPDATE t SET id = 'r3'; INSERT INTO workflow_execution_audit SELECT * FROM t",
            None,
            "executions",
        ),
    ] {
        each_is_found(&untouched, sql, index, what).await;
    }
}

#[tokio::test]
async fn whatever_is_erased_otherwise_than_an_entry_says_is_found_in_postgresql() {
    let untouched = full().await;
    erased::erase_some(&untouched.store).await;
    assert_eq!(verify(&untouched.store, None, |_| {}).await.unwrap().findings, []);
    untouched.close();
    for (sql, index, what) in erased::CASES {
        each_is_found(&untouched, sql, index, what).await;
    }
    for (column, value, what) in erased::COLUMNS {
        // Its entry says in which partition it is.
        let (index, what) = if column == "created_at" { (Some(14), "body") } else { (Some(14), what) };
        let sql = format!("UPDATE workflow_execution_audit SET {column} = {value} WHERE id = 's0'");
        each_is_found(&untouched, &sql, index, what).await;
    }
    for (sql, what) in [
        ("UPDATE log_entry SET content_digest = sha256('') WHERE idx = 14", "content digest"),
        ("UPDATE workflow_execution_audit SET source_digest = sha256('') WHERE id = 's0'", "erased"),
    ] {
        each_is_found(&untouched, sql, Some(14), what).await;
    }
}

#[tokio::test]
async fn whoever_may_only_read_can_verify_and_is_told_what_was_altered() {
    let audit = full().await;
    let role = format!("{}_auditor", audit.database.name);
    let run = |sql: &str| audit.database.execute(&sql.replace('%', &role)).unwrap();
    run("CREATE ROLE % LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO %");
    let auditor = audit.location().with_user(&role);
    let read = PostgresStore::open_existing(&auditor, Options::default()).await.unwrap();
    assert_eq!(verify(&read, None, |_| {}).await.unwrap().findings, []);
    run("ALTER TABLE log_entry DISABLE TRIGGER log_entry_is_appended;
         ALTER TABLE hold DROP CONSTRAINT hold_log_fkey;
         DROP TRIGGER log_is_not_deleted ON log");
    let findings = verify(&read, None, |_| {}).await.unwrap().findings;
    let found: Vec<_> = findings.iter().map(|finding| (finding.what, finding.found.as_str())).collect();
    assert_eq!(
        found,
        [
            ("schema", "constraint hold_log_fkey on hold is missing"),
            ("schema", "trigger log_entry_is_appended on log_entry is disabled"),
            ("schema", "trigger log_is_not_deleted on log is missing"),
        ]
    );
    drop(read);
    audit.close();
    run("DROP OWNED BY %; DROP ROLE %");
}

async fn each_is_found(untouched: &Fresh, sql: &str, index: Option<u64>, what: &str) {
    let audit = untouched.copy();
    tamper(&audit, sql);
    let findings = verify(&audit.store, None, |_| {}).await.unwrap().findings;
    let found = findings.iter().any(|finding| finding.index == index && finding.what == what);
    assert!(found, "{sql}\nexpected {what} at {index:?}, found:\n{findings:#?}");
}
