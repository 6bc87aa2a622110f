//! What the schema refuses to anyone who has the file and SQL.

use dualaudit_record::{WorkflowExecutionAudit, entry::GapCause};
use rusqlite::Connection;

use super::{Fresh, fresh};
use crate::store::{
    DraftContent,
    conformance::{
        check::check_log,
        erase::erase,
        holds::release,
        purge::{part, weigh},
        sample::{
            LOG, append, at, from_resource, gap, hold, open, quarantine, record, review, stored, window,
        },
    },
};

/// A log with a row in every table.
async fn full() -> Fresh {
    let store = fresh();
    open(&*store, LOG).await;
    append(
        &*store,
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
    stored(&*store, from_resource(amended)).await;
    store
}

/// The same with one more record, which was purged and is not yet removed, and the gap erased.
async fn full_with_a_purge() -> Fresh {
    let store = full().await;
    append(&*store, [from_resource(record("p"))]).await;
    let goes = weigh(&*store, at(100), 10).await.into_iter().filter(|found| found.id == "p").collect();
    stored(&*store, part(1, goes)).await;
    stored(&*store, erase("g")).await;
    store
}

/// A second connection with nothing set, as the sqlite3 shell has.
fn shell(store: &Fresh) -> Connection {
    Connection::open(store.directory.path().join("audit.db")).unwrap()
}

/// Tables whose rows are for ever, with a column to change.
const APPEND_ONLY: [(&str, &str); 12] = [
    ("log", "origin = 'x'"),
    ("log_entry", "recorded_at = recorded_at + 1"),
    ("workflow_execution_audit", "effectiveness_score = 1"),
    ("workflow_execution_revision", "effectiveness_score = 1"),
    ("source_object", "object = x'00'"),
    ("quarantine", "object = x'00'"),
    ("hold", "reason = 'x'"),
    ("log_tile", "hashes = zeroblob(64)"),
    ("purged", "first_idx = 0"),
    ("erased", "entry_idx = 0"),
    ("log_entry", "body = '{}'"),
    ("purge_pending", "created_at = 0"),
];

#[tokio::test]
async fn rows_can_be_neither_updated_nor_deleted_nor_replaced() {
    let store = full_with_a_purge().await;
    let shell = shell(&store);
    for (table, change) in APPEND_ONLY {
        let statements = [
            format!("UPDATE {table} SET {change}"),
            format!("UPDATE OR REPLACE {table} SET {change}"),
            format!("UPDATE OR IGNORE {table} SET {change}"),
            format!("DELETE FROM {table}"),
            format!("INSERT INTO {table} SELECT * FROM {table}"),
            format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
            format!("REPLACE INTO {table} SELECT * FROM {table} LIMIT 1"),
            format!("INSERT OR IGNORE INTO {table} SELECT * FROM {table}"),
        ];
        for sql in statements {
            let error = shell.execute(&sql, []).expect_err(&sql);
            assert!(error.to_string().starts_with(&format!("{table}: ")), "{sql}: {error}");
        }
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn a_new_key_cannot_take_the_rowid_of_an_existing_row() {
    let store = full().await;
    let shell = shell(&store);
    for (table, key) in [
        ("workflow_execution_audit", "id"),
        ("source_object", "idx"),
        ("quarantine", "execution_id"),
        ("log_tile", "idx"),
    ] {
        let columns: Vec<String> = shell
            .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let changed = columns.iter().map(|column| match column == key {
            true => "9999".to_owned(),
            false => column.clone(),
        });
        let sql = format!(
            "INSERT OR REPLACE INTO {table} (rowid, {}) SELECT rowid, {} FROM {table} LIMIT 1",
            columns.join(", "),
            changed.collect::<Vec<_>>().join(", ")
        );
        let error = shell.execute(&sql, []).expect_err(&sql);
        assert!(error.to_string().starts_with(&format!("{table}: ")), "{sql}: {error}");
        let moved = format!("UPDATE OR REPLACE {table} SET rowid = (SELECT max(rowid) + 1 FROM {table})");
        assert!(shell.execute(&moved, []).is_err(), "{moved}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn an_entry_only_goes_to_the_end_and_only_under_new_keys() {
    let store = full().await;
    let shell = shell(&store);
    let copy = |idx: &str, id: &str, key: &str, from: u32| {
        format!(
            "INSERT OR REPLACE INTO log_entry
             SELECT log, {idx}, kind, recorded_at, {id}, attempt, revision, started_at, {key},
                 body_digest, leaf_hash, body
             FROM log_entry WHERE idx = {from}"
        )
    };
    for (sql, why) in [
        (copy("7", "'new'", "idempotency_key", 0), "at the end"),
        (copy("5", "'new'", "idempotency_key", 0), "at the end"),
        (copy("6", "execution_id", "idempotency_key", 0), "attempt and revision is recorded"),
        (copy("6", "'new'", "idempotency_key", 2), "idempotency key is recorded"),
    ] {
        let error = shell.execute(&sql, []).expect_err(&sql);
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn a_row_is_only_amended_beside_its_unchanged_copy_and_its_entry() {
    let store = full().await;
    let mut shell = shell(&store);
    let amend = "UPDATE workflow_execution_audit SET revision = 2, status = 'cancelled' WHERE id = 'b'";
    let keep =
        "INSERT INTO workflow_execution_revision SELECT * FROM workflow_execution_audit WHERE id = 'b'";
    let entry = "INSERT INTO log_entry
                 SELECT log, 6, kind, recorded_at, 'b', 1, 2, started_at, NULL, body_digest, leaf_hash, NULL
                 FROM log_entry WHERE idx = 1";
    let attempt = |shell: &mut Connection, statements: &[&str]| {
        let transaction = shell.transaction().unwrap();
        statements.iter().try_for_each(|sql| transaction.execute(sql, []).map(drop))
    };
    assert!(attempt(&mut shell, &[amend]).is_err(), "without either");
    assert!(attempt(&mut shell, &[keep, amend]).is_err(), "without an entry");
    assert!(attempt(&mut shell, &[entry, amend]).is_err(), "without a copy");
    let forged = "INSERT INTO workflow_execution_revision
                  SELECT * FROM (SELECT * FROM workflow_execution_revision WHERE id = 'a')";
    assert!(attempt(&mut shell, &[forged]).is_err(), "a copy of nothing that stands");
    for other in ["id = 'c'", "attempt = 2", "revision = 3", "created_at = 0", "rowid = 77"] {
        let sql = format!("{amend} AND {}", other.replace(" = ", " IS NOT "));
        let sql = sql.replace("status = 'cancelled'", other);
        assert!(attempt(&mut shell, &[entry, keep, &sql]).is_err(), "{other}");
    }
    assert!(attempt(&mut shell, &[entry, keep, amend]).is_ok(), "the move itself; it was rolled back");
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn reviews_and_windows_stay_as_they_are_and_come_with_their_entries() {
    let store = full().await;
    stored(&*store, review("b", None, 0)).await;
    stored(&*store, window("b", None, 7000)).await;
    let shell = shell(&store);
    for statement in [
        "UPDATE review SET note = ''",
        "UPDATE review SET verdict = 'harmful'",
        "DELETE FROM review",
        "INSERT OR REPLACE INTO review SELECT * FROM review",
        "INSERT INTO review SELECT log, 0, id, attempt, verdict, note, actor, recorded_at FROM review",
        "UPDATE log_entry SET body = json_set(body, '$.note', '') WHERE kind = 'review'",
        "UPDATE log_entry SET body = json_set(body, '$.reason', '') WHERE kind = 'window'",
        "UPDATE log_entry SET body = json_set(body, '$.until', '2036-01-01T00:00:00.000000Z') WHERE kind = 'window'",
        "DELETE FROM log_entry WHERE kind = 'window'",
    ] {
        assert!(shell.execute(statement, []).is_err(), "{statement}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn heads_and_tiles_only_grow_and_a_hold_is_released_once() {
    let store = full().await;
    let shell = shell(&store);
    for sql in [
        "UPDATE log SET size = size - 1",
        "UPDATE log SET root = zeroblob(32)",
        "UPDATE log SET size = size + 1, recorded_at = recorded_at - 1",
        "UPDATE log SET size = size + 1, name = 'other'",
        "UPDATE log SET size = size + 1, secret = zeroblob(32)",
        "UPDATE log_tile SET hashes = substr(hashes, 1, 32)",
        "UPDATE log_tile SET hashes = zeroblob(32) || hashes",
        "UPDATE log_tile SET hashes = CAST(hashes || zeroblob(32) AS BLOB), idx = 5",
        "UPDATE hold SET released_at = placed_at, actor = 'x'",
        "UPDATE hold SET released_at = placed_at - 1",
        "UPDATE hold SET released_at = placed_at",
        "UPDATE hold SET released_at = placed_at, released_idx = idx + 1",
    ] {
        assert!(shell.execute(sql, []).is_err(), "{sql}");
    }
    stored(&*store, release(3)).await;
    assert!(shell.execute("UPDATE hold SET released_at = placed_at + 1", []).is_err());
    assert!(shell.execute("UPDATE hold SET released_at = NULL", []).is_err());
    // The released hold is no hold, and may be placed anew.
    let again = stored(&*store, hold("a", "audit")).await;
    assert_eq!((again.index, again.result), (7, crate::store::ReceiptResult::Created));
    check_log(&*store, LOG).await;
}

/// `INSERT` of a row like the ones of a table that fit `of`, with some columns changed.
fn copied(shell: &Connection, table: &str, of: &str, changes: &[(&str, &str)]) -> String {
    let columns: Vec<String> = shell
        .prepare(&format!("SELECT name FROM pragma_table_info('{table}')"))
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let values = columns.iter().map(|column| {
        let change = changes.iter().find(|(changed, _)| changed == column);
        change.map_or(column.clone(), |(_, value)| (*value).to_owned())
    });
    let values: Vec<String> = values.collect();
    format!("INSERT INTO {table} SELECT {} FROM {table} WHERE {of} LIMIT 1", values.join(", "))
}

/// What an erasure does, in the words of SQL, with `change` in the place of what it does to the row of `b`.
fn forged(change: &str) -> String {
    format!(
        "SAVEPOINT forged;
         INSERT INTO log_entry SELECT 'default', 9, 'erasure', recorded_at, 'b', NULL, NULL, NULL, 'x', zeroblob(32),
             zeroblob(32), '{{\"entries\":[{{\"index\":0}},{{\"index\":1}}]}}' FROM log WHERE name = 'default';
         INSERT INTO erased VALUES ('default', 1, 9);
         UPDATE workflow_execution_audit SET error_message = '', name = NULL, target_name = NULL, labels = '{{}}',
             source_digest = NULL, content_digest = NULL, nonce = zeroblob(16),
             step_executions = (
                 SELECT json_group_array(json_remove(value, '$.name', '$.error_message')) FROM json_each(step_executions)),
             adaptive_adjustments = (
                 SELECT json_group_array(json_remove(json_set(value, '$.reason', ''), '$.from', '$.to'))
                 FROM json_each(adaptive_adjustments))
             {change} WHERE id = 'b'"
    )
}

#[tokio::test]
async fn an_erasure_changes_what_is_personal_while_it_is_appended_and_nothing_else() {
    let store = full_with_a_purge().await;
    let shell = shell(&store);
    let attempt = |sql: &str| {
        let done = shell.execute_batch(sql);
        shell.execute_batch("ROLLBACK").unwrap();
        done
    };
    attempt(&forged("")).unwrap();
    for sql in [
        forged(", effectiveness_score = 1"),
        forged(", status = 'completed'"),
        forged(", created_at = created_at + 1"),
        forged(", rowid = 99"),
        forged("").replace("error_message = ''", "error_message = 'x'"),
        forged("").replace("name = NULL, target", "name = 'x', target"),
        forged("").replace("nonce = zeroblob(16)", "nonce = nonce"),
        forged("").replace("'$.name', '$.error_message'", "'$.name'"),
        forged("").replace("'$.name', '$.error_message'", "'$.name', '$.error_message', '$.action'"),
        forged("").replace("'$.from', '$.to'", "'$.to'"),
        forged("").replace("content_digest = NULL", "content_digest = content_digest"),
        // Not as a part of this erasure.
        forged("").replace("WHERE id = 'b'", "WHERE id = 'a'"),
        forged("").replace("('default', 1, 9)", "('default', 0, 9)"),
        forged("").replace("('default', 1, 9)", "('default', 1, 10)"),
        // Its entry does not name what goes.
        forged("").replace("{\"index\":1}", "{\"index\":7}"),
        // `a` is held.
        forged("").replace("'b', NULL", "'a', NULL").replace("('default', 1, 9)", "('default', 0, 9)"),
        // What was erased before is not changed by a later one.
        "SAVEPOINT forged; INSERT INTO erased VALUES ('default', 2, 8)".to_owned(),
        "SAVEPOINT forged; UPDATE log_entry SET body = replace(body, 'shop', 'mall') WHERE idx = 4"
            .to_owned(),
    ] {
        let error = attempt(&sql).expect_err(&sql);
        assert!(error.to_string().contains(": "), "{sql}: {error}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn a_row_needs_its_entry_first() {
    let store = full().await;
    let mut shell = shell(&store);
    // An entry more, of each kind, for rows that agree with it.
    let entry = |id: &str, from: u32| {
        let (id, idx) = (format!("'{id}'"), "6");
        let key = if from == 1 { "NULL" } else { "'key'" };
        let changes = [("execution_id", id.as_str()), ("idx", idx), ("idempotency_key", key)];
        copied(&shell, "log_entry", &format!("idx = {from}"), &changes)
    };
    let (executed, quarantined, held) = (entry("n", 1), entry("n", 2), entry("n", 3));
    const LATER: &str = "recorded_at + 1";
    type Changes = &'static [(&'static str, &'static str)];
    let cases: [(&str, &str, &str, Changes, Changes); 7] = [
        (&executed, "workflow_execution_audit", "id = 'b'", &[("id", "'n'")], &[("attempt", "2")]),
        (&executed, "workflow_execution_audit", "id = 'b'", &[("id", "'n'")], &[("recorded_at", LATER)]),
        (&executed, "source_object", "TRUE", &[("idx", "6")], &[("idx", "3")]),
        (&quarantined, "quarantine", "TRUE", &[("execution_id", "'n'"), ("idx", "6")], &[("idx", "3")]),
        (
            &quarantined,
            "quarantine",
            "TRUE",
            &[("execution_id", "'n'"), ("idx", "6")],
            &[("recorded_at", LATER)],
        ),
        (&held, "hold", "TRUE", &[("execution_id", "'n'"), ("idx", "6")], &[("idx", "2")]),
        (&held, "hold", "TRUE", &[("execution_id", "'n'"), ("idx", "6")], &[("placed_at", "placed_at + 1")]),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .map(|(entry, table, of, right, wrong)| {
            let wrong: Vec<_> = wrong.iter().chain(right).copied().collect();
            (entry, table, copied(&shell, table, of, right), copied(&shell, table, of, &wrong))
        })
        .collect();
    for (entry, table, right, wrong) in cases {
        let refused = |error: rusqlite::Error| {
            let error = error.to_string();
            assert!(error.starts_with(&format!("{table}: ")) && error.contains("log_entry first"), "{error}");
        };
        refused(shell.execute(&right, []).expect_err(&right));
        let transaction = shell.transaction().unwrap();
        transaction.execute(entry, []).unwrap();
        refused(transaction.execute(&wrong, []).expect_err(&wrong));
        assert_eq!(transaction.execute(&right, []).unwrap(), 1, "{right}");
    }
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn a_kept_revision_is_the_whole_row_unchanged() {
    let store = full().await;
    let mut shell = shell(&store);
    let transaction = shell.transaction().unwrap();
    transaction
        .execute_batch("CREATE TEMP TABLE kept AS SELECT * FROM workflow_execution_audit WHERE id = 'b'")
        .unwrap();
    for change in ["steps_completed = 0", "cluster = NULL", "nonce = zeroblob(16)", "step_executions = '[]'"]
    {
        transaction.execute_batch(&format!("SAVEPOINT s; UPDATE kept SET {change}")).unwrap();
        let sql = "INSERT INTO workflow_execution_revision SELECT * FROM kept";
        let error = transaction.execute(sql, []).expect_err(change).to_string();
        assert!(error.contains("moves here, unchanged"), "{error}");
        transaction.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
    }
}

#[tokio::test]
async fn a_head_moves_to_the_newest_entry() {
    let store = full().await;
    let mut shell = shell(&store);
    let transaction = shell.transaction().unwrap();
    let changes = [("idx", "6"), ("idempotency_key", "'key'"), ("recorded_at", "recorded_at + 5")];
    transaction.execute(&copied(&transaction, "log_entry", "idx = 4", &changes), []).unwrap();
    for wrong in ["size = 8, recorded_at = recorded_at + 5", "size = 7"] {
        let error = transaction.execute(&format!("UPDATE log SET {wrong}"), []).expect_err(wrong).to_string();
        assert!(error.contains("newest entry"), "{error}");
    }
    transaction.execute("UPDATE log SET size = 7, recorded_at = recorded_at + 5", []).unwrap();
}

#[tokio::test]
async fn people_can_read_times_and_durations() {
    let store = fresh();
    open(&*store, LOG).await;
    let before_1970 = dualaudit_record::Time::from_micros(-1).unwrap();
    let sent = WorkflowExecutionAudit { created_at: before_1970, completed_at: at(60), ..record("a") };
    stored(&*store, from_resource(sent)).await;
    let found: (String, String, f64) = shell(&store)
        .query_row(
            "SELECT created_at, completed_at, total_duration_seconds FROM workflow_execution_readable",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(found, (before_1970.to_string(), at(60).to_string(), 12.345678901));
}
