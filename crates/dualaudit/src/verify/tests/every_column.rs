//! Every column of every table changed, every row deleted, and rows added and swapped, one at a time.
//!
//! Which tables and columns there are is asked of the database, so one that comes later is here at once.

use dualaudit_record::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    day::{Counts, Day},
    entry::{DailyDigest, Heartbeat, Succession},
    selector::Selector,
};

use super::*;
use crate::store::conformance::{
    erase::erase,
    holds::{release, selecting},
    purge::{part, weigh},
    sample::{
        self, append, at, batch, from_producer, from_resource, hold, open, quarantine, record, review, stored,
    },
    tampered::{Column, Tampered, on_both},
};

/// What is no part of a log, or what its entries do not say, and so nothing can be compared with.
const NOT_OF_THE_LOG: &[&str] = &[
    "dualaudit_schema.*",
    // Who may write it on a server.
    "dualaudit_log_grant.*",
    // What is seen in a cluster at present.
    "tracked.*",
    // Who owns a log, and when it was made.
    "log.cluster_uid",
    "log.owner",
    "log.created_at",
    // Where a log came from and went.
    "log.moved_from",
    "log.state",
    "moved.*",
    // What a rebuild compares: see its tests.
    "statistics_log.*",
    "statistics_pending.*",
    "statistics_page.*",
    "statistics_workflow_day.*",
    "statistics_step_day.*",
];

/// What can go without a trace, and why that is no harm.
const WITHOUT_A_TRACE: [&str; 9] = [
    // Without its newest checkpoint a log is what copies of it kept elsewhere say.
    "checkpoint without row 0",
    "checkpoint without row 1",
    // They are the same but for their keys: one erasure took both.
    "erased with two rows swapped",
    // A log with nothing in it.
    "log without row 1",
    // They are the same but for their keys.
    "purge_pending with two rows swapped",
    // What an erasure left of objects: nothing.
    "source_object without row 1",
    "source_object without row 2",
    // What was purged, and only waits to be removed: months of it are dropped before the rest goes.
    "workflow_execution_audit without row 0",
    "workflow_execution_audit without row 1",
];

/// A log with everything that there can be in it, and its successor.
async fn everything(store: &impl Tampered) {
    let inner = &**store;
    for log in [sample::LOG, "empty"] {
        open(inner, log).await;
    }
    let selector = Selector { namespace: Some("shop".into()), ..Selector::default() };
    let aged = |id: &str, n: i64| WorkflowExecutionAudit { completed_at: at(n), ..record(id) };
    append(
        inner,
        [
            from_producer(aged("a-purged", 1), None),
            from_producer(aged("b-purged", 2), None),
            from_resource(record("r1")),
            from_resource(record("r2")),
            from_producer(record("r3"), None),
            DraftContent::Gap(sample::gap("lost", Some(at(0)), GapCause::Vanished)),
            quarantine("q", "{}"),
            hold("r1", "look"),
            selecting(selector, "all"),
        ],
    )
    .await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("r2") };
    append(inner, [from_resource(amended), release(7), release(8), hold("r3", "again")]).await;
    append(inner, [review("r1", None, 2), review("r2", None, 1), review("r1", None, 0)]).await;
    let goes = weigh(inner, at(20), 100).await;
    stored(inner, part(1, goes)).await;
    for id in ["r2", "q", "lost"] {
        stored(inner, erase(id)).await;
    }
    digest(inner).await;
    stored(inner, sample::exported("e1")).await;
    let head = inner.logs().await.unwrap().into_iter().find(|head| head.log == sample::LOG).unwrap();
    let heartbeat = Entry::Heartbeat(Heartbeat { size: head.size });
    stored(inner, DraftContent::Note(Box::new(heartbeat))).await;
    let newest = publish(inner, sample::LOG).await;
    sample::seen(inner, sample::tracked("running", None)).await;
    store.begin_successor(sample::LOG, "next").await;
    let said = Succession {
        predecessor: sample::LOG.to_owned(),
        size: head.size,
        root: head.root,
        checkpoint: newest.as_str().to_owned(),
        reason: "restored".to_owned(),
        actor: "me".to_owned(),
    };
    let said = DraftContent::Note(Box::new(Entry::Succession(said)));
    inner.append("next", batch([said, from_resource(record("z"))]), at(100)).await.unwrap();
    publish(inner, "next").await;
    store.close_succeeded(sample::LOG, "next").await;
}

/// Digests the day that all entries so far are of.
async fn digest(store: &dyn Store) {
    let entries = store.entries(sample::LOG, Which::All, 0, 100).await.unwrap();
    let mut counts = Counts::default();
    for entry in &entries {
        counts.leaf(entry.kind, entry.revision);
        if let Some(said) = entry.body.left() {
            counts.said(said);
        }
    }
    let day = Day::of(entries[0].recorded_at);
    let (first, end) = (0, entries.len() as u64);
    let digest = DailyDigest { since: day, until: day, first, end, counts, in_flight: Some(1) };
    let digest = DraftContent::Note(Box::new(Entry::Digest(Box::new(digest))));
    let later = at(2 * 86_400);
    store.append(sample::LOG, batch([digest]), later).await.unwrap();
}

/// Publishes a checkpoint of all that a log has.
async fn publish(store: &dyn Store, log: &str) -> SignedCheckpoint {
    let heads = store.logs().await.unwrap();
    let Head { origin, size, root, .. } = heads.into_iter().find(|head| head.log == log).unwrap();
    let checkpoint = SignedCheckpoint::sign(Checkpoint { origin, size, root }, &[]).unwrap();
    let publish = Batch { checkpoint: Some(checkpoint.clone()), ..Batch::default() };
    store.append(log, publish.into(), at(100)).await.unwrap();
    checkpoint
}

fn is_of_the_log(table: &str, column: &str) -> bool {
    !NOT_OF_THE_LOG
        .iter()
        .any(|named| *named == format!("{table}.*") || *named == format!("{table}.{column}"))
}

/// What is found, in few words: what and in which entry.
fn named(findings: &[Finding]) -> String {
    let mut named: Vec<String> = findings
        .iter()
        .map(|finding| match finding.index {
            Some(index) => format!("{} of entry {index}", finding.what),
            None => finding.what.to_owned(),
        })
        .collect();
    named.dedup();
    named.truncate(2);
    named.join(", ")
}

async fn whatever_is_changed_deleted_added_or_swapped_is_found(store: &impl Tampered) {
    let shown = table_of_findings(store).await;
    let lines: Vec<&str> = shown.lines().collect();
    let missed: Vec<&str> = lines.iter().filter_map(|line| line.strip_suffix(": ")).collect();
    assert!(lines.len() > 150, "{shown}");
    assert_eq!(missed, WITHOUT_A_TRACE, "{shown}");
}

/// SQL that adds the newest row again under another key.
fn another_row<T: Tampered>(table: &str, columns: &[Column], newest: &str) -> String {
    let last = columns.iter().rposition(|column| column.key).unwrap_or(0);
    let values = columns.iter().enumerate();
    let values = values.map(|(n, column)| if n == last { T::another(column) } else { column.name.clone() });
    let values = values.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {table} SELECT {values} FROM saved_{table} ORDER BY {newest} DESC LIMIT 1")
}

/// SQL that gives the first and the newest row the content of each other.
fn swapped(table: &str, columns: &[Column], key: &str, newest: &str) -> String {
    let keys: Vec<&str> = key.split(", ").collect();
    let of = |name: &str| if keys.contains(&name) { format!("own.{name}") } else { format!("other.{name}") };
    let values = columns.iter().map(|column| of(&column.name)).collect::<Vec<_>>().join(", ");
    let own = keys.iter().map(|name| format!("own.{name}")).collect::<Vec<_>>().join(", ");
    let other = keys.iter().map(|name| format!("other.{name}")).collect::<Vec<_>>().join(", ");
    let first = format!("(SELECT {key} FROM saved_{table} ORDER BY {key} LIMIT 1)");
    let newest = format!("(SELECT {key} FROM saved_{table} ORDER BY {newest} DESC LIMIT 1)");
    format!(
        "DELETE FROM {table} WHERE ({key}) = {first} OR ({key}) = {newest};
         INSERT INTO {table} SELECT {values} FROM saved_{table} AS own, saved_{table} AS other
         WHERE (({own}) = {first} AND ({other}) = {newest}) OR (({own}) = {newest} AND ({other}) = {first})"
    )
}

/// What is found of the schema, or else of all that is not.
async fn found(store: &impl Tampered, what: &str) -> Vec<Finding> {
    let findings = verify(&**store, None, |_| {}).await.unwrap().findings;
    findings.into_iter().filter(|finding| (finding.what == "schema") == (what == "schema")).collect()
}

async fn table_of_findings<T: Tampered>(store: &T) -> String {
    everything(store).await;
    assert_eq!(verify(&**store, None, |_| {}).await.unwrap().findings, []);
    store.uncheck();
    assert!(!found(store, "schema").await.is_empty(), "that nothing is checked any more is found, too");
    let columns = store.columns();
    let tables: Vec<&[Column]> = columns.chunk_by(|a, b| a.table == b.table).collect();
    let mut shown = String::new();
    for columns in tables {
        let table = columns[0].table.as_str();
        // Partitioned tables have no key of their own.
        let keyed = columns.iter().any(|column| column.key);
        let names = ["log", "id", "attempt", "revision", "idx"];
        let key =
            columns.iter().filter(|column| column.key || !keyed && names.contains(&column.name.as_str()));
        let key: Vec<&str> = key.map(|column| column.name.as_str()).collect();
        let (key, newest) = (key.join(", "), key.join(" DESC, "));
        let saved = format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}");
        let undo = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}");
        store.tamper(&saved);
        let mut cases: Vec<(String, String)> = Vec::new();
        for column in columns.iter().filter(|column| is_of_the_log(table, &column.name)) {
            let (name, value) = (&column.name, T::another(column));
            // A row that has a value, if there is one.
            let change = format!(
                "UPDATE {table} SET {name} = {value} WHERE ({key}) = (
                    SELECT {key} FROM {table} ORDER BY {name} IS NULL, {newest} DESC LIMIT 1)"
            );
            cases.push((format!("{table}.{name}"), change));
        }
        let rows = if is_of_the_log(table, "*") { store.count(table) } else { 0 };
        for row in 0..rows {
            let delete = format!(
                "DELETE FROM {table} WHERE ({key}) = (SELECT {key} FROM {table} ORDER BY {key} LIMIT 1 OFFSET {row})"
            );
            cases.push((format!("{table} without row {row}"), delete));
        }
        if rows > 0 {
            cases.push((format!("{table} with another row"), another_row::<T>(table, columns, &newest)));
        }
        if rows > 1 {
            cases.push((format!("{table} with two rows swapped"), swapped(table, columns, &key, &newest)));
        }
        for (what, sql) in cases {
            store.tamper(&sql);
            shown.push_str(&format!("{what}: {}\n", named(&found(store, "").await)));
            store.tamper(&undo);
        }
    }
    assert_eq!(found(store, "").await, [], "all was undone");
    shown
}

on_both! {
    whatever_is_changed_deleted_added_or_swapped_is_found,
}
