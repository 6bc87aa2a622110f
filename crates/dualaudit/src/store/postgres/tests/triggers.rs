//! What the schema refuses to anyone who has SQL, and what it refuses to the role that runs.

use dualaudit_record::{WorkflowExecutionAudit, entry::GapCause};
use tokio_postgres::error::SqlState;

use super::{Fresh, fresh};
use crate::store::{
    DraftContent,
    conformance::{
        check::check_log,
        erase::erase,
        purge::{part, weigh},
        sample::{
            LOG, append, at, from_resource, gap, hold, open, quarantine, record, review, seen, stored,
            tracked, window,
        },
        statistics::documented,
    },
    postgres::{Location, Options, PostgresStore, migrate},
};

/// A log with a row in every table.
async fn full() -> Fresh {
    let store = fresh();
    open(&*store, LOG).await;
    fill(&*store).await;
    store
}

pub(super) async fn fill(store: &dyn crate::store::Store) {
    append(
        store,
        [
            from_resource(record("a")),
            from_resource(record("b")),
            quarantine("q", "{}"),
            hold("a", "audit"),
            DraftContent::Gap(gap("g", None, GapCause::Vanished)),
        ],
    )
    .await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("a") };
    stored(store, from_resource(amended)).await;
    seen(store, tracked("t", None)).await;
    append(store, [from_resource(record("p"))]).await;
    let goes = weigh(store, at(100), 10).await.into_iter().filter(|found| found.id == "p").collect();
    stored(store, part(1, goes)).await;
    stored(store, erase("g")).await;
}

/// Tables whose rows are for ever, with a column to change.
const APPEND_ONLY: [(&str, &str); 16] = [
    ("log", "origin = 'x'"),
    ("log", "size = size + 1"),
    ("log_entry", "recorded_at = recorded_at + interval '1 second'"),
    ("log_entry", "content_digest = NULL"),
    ("workflow_execution_audit", "effectiveness_score = 1"),
    ("workflow_execution_audit", "revision = revision + 1"),
    ("workflow_execution_audit_y2025m10", "effectiveness_score = 1"),
    ("workflow_execution_revision", "effectiveness_score = 1"),
    ("source_object", "object = ''"),
    ("quarantine", "object = ''"),
    ("hold", "reason = 'x'"),
    ("log_tile", "hashes = hashes"),
    ("purged", "first_idx = 0"),
    ("erased", "entry_idx = 0"),
    ("log_entry", "body = '{}'"),
    ("purge_pending", "created_at = now()"),
];

#[tokio::test]
async fn rows_can_be_neither_updated_nor_deleted_nor_truncated_by_their_owner() {
    let store = full().await;
    for (table, change) in APPEND_ONLY {
        for statement in [
            format!("UPDATE {table} SET {change}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table} CASCADE"),
        ] {
            let error = store.database.execute(&statement).expect_err(&statement);
            assert_eq!(error.code(), Some(&SqlState::RESTRICT_VIOLATION), "{statement}: {error:?}");
        }
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn rows_without_their_entries_cannot_be_added() {
    let store = full().await;
    let entry = "INSERT INTO log_entry (log, idx, recorded_at, kind, execution_id, idempotency_key, body_digest, leaf_hash, body)";
    let values = "'gap', 'x', 'x', sha256(''), sha256(''), '{}'";
    for statement in [
        format!("{entry} SELECT 'default', 99, now(), {values}"),
        format!(
            "{entry} SELECT 'default', n, now(), {} FROM unnest('{{9,11}}'::int[]) AS n",
            values.replace("'x', 'x'", "'x', n::text")
        ),
        "INSERT INTO source_object VALUES ('default', 99, now(), '')".to_owned(),
        "INSERT INTO hold VALUES ('default', 'x', 0, 'r', 'a', now(), NULL)".to_owned(),
        "INSERT INTO purged VALUES ('default', 0, 0, 7)".to_owned(),
        "INSERT INTO purge_pending SELECT log, id, attempt, created_at FROM workflow_execution_audit WHERE id = 'a'"
            .to_owned(),
        // A purge that was forged takes nothing that is held.
        "BEGIN; INSERT INTO log_entry (log, idx, recorded_at, kind, idempotency_key, body_digest, leaf_hash, body)
             SELECT 'default', 9, recorded_at, 'purge', 'x', sha256(''), sha256(''), '{}' FROM log WHERE name = 'default';
             INSERT INTO purged VALUES ('default', 0, 0, 9), ('default', 5, 5, 9);
             INSERT INTO purge_pending SELECT log, id, attempt, created_at FROM workflow_execution_audit WHERE id = 'a'"
            .to_owned(),
        "UPDATE log_entry SET content_digest = NULL WHERE idx = 0".to_owned(),
        "DELETE FROM workflow_execution_audit WHERE id = 'a'".to_owned(),
        "DELETE FROM source_object WHERE idx = 0".to_owned(),
        "INSERT INTO quarantine VALUES ('default', 'x', sha256(''), 0, now(), '')".to_owned(),
        "CREATE TEMP TABLE moved AS SELECT * FROM workflow_execution_revision; UPDATE moved SET id = 'x';
         INSERT INTO workflow_execution_audit SELECT * FROM moved"
            .to_owned(),
        "INSERT INTO workflow_execution_revision SELECT * FROM workflow_execution_revision".to_owned(),
        "UPDATE hold SET released_at = placed_at + interval '1 s'; UPDATE hold SET released_at = placed_at"
            .to_owned(),
    ] {
        let error = store.database.execute(&statement).expect_err(&statement);
        assert_eq!(error.code(), Some(&SqlState::RESTRICT_VIOLATION), "{statement}: {error:?}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn reviews_and_windows_stay_as_they_are_and_come_with_their_entries() {
    let store = full().await;
    stored(&*store, review("b", None, 0)).await;
    stored(&*store, window("b", None, 7000)).await;
    for statement in [
        "UPDATE review SET note = ''",
        "UPDATE review SET verdict = 'harmful'",
        "DELETE FROM review",
        "TRUNCATE review",
        "INSERT INTO review SELECT log, 0, id, attempt, verdict, note, actor, recorded_at FROM review",
        "UPDATE log_entry SET body = (body::jsonb || '{\"note\": \"\"}')::text WHERE kind = 'review'",
        "UPDATE log_entry SET body = (body::jsonb || '{\"reason\": \"\"}')::text WHERE kind = 'window'",
        "DELETE FROM log_entry WHERE kind = 'window'",
    ] {
        let error = store.database.execute(statement).expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::RESTRICT_VIOLATION), "{statement}: {error:?}");
    }
    check_log(&*store, LOG).await;
}

/// What an erasure does, in the words of SQL, with `change` in the place of what it does to the row of `b`.
fn forged(change: &str) -> String {
    format!(
        "BEGIN; INSERT INTO log_entry (log, idx, recorded_at, kind, execution_id, idempotency_key, body_digest, leaf_hash, body)
             SELECT 'default', 9, recorded_at, 'erasure', 'b', 'x', sha256(''), sha256(''), '{{\"entries\":[{{\"index\":0}},{{\"index\":1}}]}}' FROM log WHERE name = 'default';
         INSERT INTO erased VALUES ('default', 1, 9);
         UPDATE workflow_execution_audit SET error_message = '', name = NULL, target_name = NULL, labels = '{{}}',
             source_digest = NULL, nonce = substr(sha256(''), 1, 16),
             step_executions = (
                 SELECT jsonb_agg(step - 'name' - 'error_message') FROM jsonb_array_elements(step_executions) AS step),
             adaptive_adjustments = (
                 SELECT jsonb_agg(adjustment - 'from' - 'to' || '{{\"reason\": \"\"}}')
                 FROM jsonb_array_elements(adaptive_adjustments) AS adjustment)
             {change} WHERE id = 'b'; ROLLBACK"
    )
}

#[tokio::test]
async fn an_erasure_changes_what_is_personal_while_it_is_appended_and_nothing_else() {
    let store = full().await;
    store.database.execute(&forged("")).unwrap();
    for statement in [
        forged(", effectiveness_score = 1"),
        forged(", status = 'completed'"),
        forged(", created_at = created_at + interval '1 second'"),
        forged("").replace("error_message = ''", "error_message = 'x'"),
        forged("").replace("name = NULL, target", "name = 'x', target"),
        forged("").replace("nonce = substr(sha256(''), 1, 16)", "nonce = nonce"),
        forged("").replace("step - 'name' - 'error_message'", "step - 'name'"),
        forged("").replace("step - 'name' - 'error_message'", "step - 'name' - 'error_message' - 'action'"),
        forged("").replace("adjustment - 'from' - 'to'", "adjustment - 'to'"),
        forged("").replace("source_digest = NULL", "source_digest = source_digest"),
        // Not as a part of this erasure.
        forged("").replace("WHERE id = 'b'", "WHERE id = 'a'"),
        forged("").replace("('default', 1, 9)", "('default', 0, 9)"),
        forged("").replace("('default', 1, 9)", "('default', 1, 10)"),
        // Its entry does not name what goes.
        forged("").replace("{\"index\":1}", "{\"index\":7}"),
        // `a` is held.
        forged("").replace("'b', 'x'", "'a', 'x'").replace("('default', 1, 9)", "('default', 0, 9)"),
        // What was erased before is not changed by a later one.
        "INSERT INTO erased VALUES ('default', 2, 8)".to_owned(),
        "UPDATE log_entry SET body = replace(body, 'shop', 'mall') WHERE idx = 4".to_owned(),
    ] {
        let error = store.database.execute(&statement).expect_err(&statement);
        assert_eq!(error.code(), Some(&SqlState::RESTRICT_VIOLATION), "{statement}: {error:?}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn the_role_that_runs_can_do_its_work_and_take_nothing_away() {
    let store = fresh();
    let role = format!("{}_runner", store.database.name);
    store.database.execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    migrate(&store.location(), at(0), Some(&role)).await.unwrap();
    let runs = store.location().with_user(&role);
    {
        let running = PostgresStore::open(&runs, Options::default(), at(0)).await.unwrap();
        open(&running, LOG).await;
        fill(&running).await;
        check_log(&running, LOG).await;
    }
    for (table, _) in APPEND_ONLY {
        for statement in [
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("DROP TABLE {table}"),
        ] {
            refused(&runs, &statement, &SqlState::INSUFFICIENT_PRIVILEGE).await;
        }
    }
    for statement in [
        "UPDATE log SET secret = ''",
        "UPDATE log_entry SET leaf_hash = ''",
        "UPDATE workflow_execution_revision SET outcome = 'success'",
        "UPDATE quarantine SET idx = 9",
        "UPDATE hold SET reason = 'x'",
        "UPDATE source_object SET idx = 9",
        "INSERT INTO dualaudit_schema VALUES (9)",
        "SELECT dualaudit_make_partitions(now() + interval '9 years', 6)",
        "CREATE TABLE mine ()",
        "SET session_replication_role = replica",
    ] {
        refused(&runs, statement, &SqlState::INSUFFICIENT_PRIVILEGE).await;
    }
    for statement in [
        "UPDATE workflow_execution_audit SET status = 'failed'",
        "UPDATE log_entry SET content_digest = NULL",
        "UPDATE log_entry SET body = '{}' WHERE kind = 'gap'",
        "UPDATE workflow_execution_revision SET error_message = ''",
        "UPDATE source_object SET object = ''",
        "UPDATE quarantine SET object = ''",
        "INSERT INTO erased VALUES ('default', 1, 8)",
    ] {
        refused(&runs, statement, &SqlState::RESTRICT_VIOLATION).await;
    }
    store.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[tokio::test]
async fn whoever_may_read_the_views_asks_them_and_nothing_else() {
    let store = full().await;
    check_log(&*store, LOG).await;
    let role = format!("{}_reader", store.database.name);
    store.database.execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let views = "learn_workflow_day, learn_step_day, learn_workflow_month";
    store.database.execute(&format!("GRANT SELECT ON {views} TO {role}")).unwrap();
    let reads = store.location().with_user(&role);
    {
        let (client, connection) = reads.config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for question in documented() {
            let within = "day BETWEEN '2000-01-01T00:00:00Z' AND '2100-01-01T00:00:00Z'";
            let question = question.replace("$__timeFilter(day)", within);
            client.simple_query(&question).await.unwrap_or_else(|error| panic!("{question}: {error:?}"));
        }
        let days = client.query_one("SELECT count(*), sum(executions)::bigint FROM learn_workflow_day", &[]);
        let days = days.await.unwrap();
        assert_eq!((days.get::<_, i64>(0), days.get::<_, i64>(1)), (1, 3));
    }
    for statement in
        ["SELECT * FROM statistics_workflow_day", "SELECT * FROM log", "DELETE FROM learn_step_day"]
    {
        refused(&reads, statement, &SqlState::INSUFFICIENT_PRIVILEGE).await;
    }
    store.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

async fn refused(location: &Location, statement: &str, code: &SqlState) {
    let (client, connection) = location.config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let error = client.batch_execute(statement).await.expect_err(statement);
    assert_eq!(error.code(), Some(code), "{statement}: {error:?}");
}
