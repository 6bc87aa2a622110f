//! What was purged and only waits to be removed, changed; and what is left once it was removed.

use super::*;
use crate::store::conformance::{
    erase::erase,
    purge::{part, weigh},
    sample::{self, append, at, from_producer, from_resource, open, record, stored},
    tampered::{Tampered, on_both},
};

async fn of_purged(store: &impl Tampered, index: u64) -> bool {
    let findings = verify(&**store, None, |_| {}).await.unwrap().findings;
    findings.iter().any(|finding| (finding.index, finding.what) == (Some(index), "purged"))
}

async fn what_waits_to_be_removed_is_what_was_appended<T: Tampered>(store: &T) {
    const TABLES: [&str; 3] = ["log_entry", "workflow_execution_audit", "source_object"];
    let inner = &**store;
    open(inner, sample::LOG).await;
    let executions =
        [from_resource(record("a")), from_producer(record("b"), None), from_resource(record("c"))];
    append(inner, executions).await;
    stored(inner, erase("c")).await;
    let goes = weigh(inner, at(10_000), 10).await;
    stored(inner, part(1, goes)).await;
    assert_eq!(verify(inner, None, |_| {}).await.unwrap().findings, []);
    for table in TABLES {
        store.tamper(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"));
    }
    // Either beside the entry or in the row.
    let beside_entry =
        store.columns().iter().any(|column| column.table == "log_entry" && column.name == "content_digest");
    let content_digest = |digest: &str| match beside_entry {
        true => format!("UPDATE log_entry SET content_digest = {digest} WHERE idx = 0"),
        false => format!("UPDATE workflow_execution_audit SET content_digest = {digest} WHERE id = 'a'"),
    };
    let empty = T::blob(&[]);
    let mut cases = vec![
        ("UPDATE workflow_execution_audit SET outcome = 'failed' WHERE id = 'a'".to_owned(), 0),
        ("UPDATE workflow_execution_audit SET steps_failed = 0 WHERE id = 'b'".to_owned(), 1),
        ("UPDATE workflow_execution_audit SET error_message = 'x' WHERE id = 'c'".to_owned(), 2),
        ("UPDATE log_entry SET started_at = NULL WHERE idx = 0".to_owned(), 0),
        ("DELETE FROM source_object WHERE idx = 0".to_owned(), 0),
        (format!("UPDATE source_object SET object = {empty} WHERE idx = 0"), 0),
        (content_digest("NULL"), 0),
        (content_digest(&T::blob(&[1; 32])), 0),
    ];
    if beside_entry {
        cases.push(("UPDATE log_entry SET created_at = completed_at FROM workflow_execution_audit WHERE idx = 0 AND id = 'a'".to_owned(), 0));
    }
    for (sql, index) in cases {
        store.tamper(&sql);
        assert!(of_purged(store, index).await, "{sql}");
        for table in TABLES {
            store.tamper(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}"));
        }
    }
    assert_eq!(verify(inner, None, |_| {}).await.unwrap().findings, [], "all was undone");

    store.remove_purged().await;
    assert_eq!(verify(inner, None, |_| {}).await.unwrap().findings, []);
    store.uncheck();
    let mut columns = vec![("body", "'{}'".to_owned())];
    if beside_entry {
        columns.push(("content_digest", T::blob(&[1; 32])));
    }
    for (column, value) in columns {
        store.tamper(&format!("UPDATE log_entry SET {column} = {value} WHERE idx = 0"));
        assert!(of_purged(store, 0).await, "{column}");
        store.tamper(&format!("UPDATE log_entry SET {column} = NULL WHERE idx = 0"));
    }
    assert!(!of_purged(store, 0).await);
}

on_both! {
    what_waits_to_be_removed_is_what_was_appended,
}
