//! On both databases: what was tampered with is found, and what follows from entries is put right.

use dualaudit_record::{
    Entry, WorkflowExecutionAudit,
    checkpoint::{Checkpoint, SignedCheckpoint},
    entry::Succession,
    selector::Selector,
    statistics::{MOST, StepDay, WorkflowDay},
};

use super::*;
use crate::{
    store::{
        Batch, DraftContent, Folding,
        conformance::{
            erase::erase,
            holds::{release, selecting},
            purge::{part, weigh},
            sample::{LOG, append, at, batch, from_producer, hold, open, record, review, stored},
            tampered::{Tampered, on_both},
        },
    },
    verify::verify,
};

const NEXT: &str = "next";

/// A log with full tiles and growing ones, holds of every kind and a purge, which has a successor.
async fn full(store: &impl Tampered) {
    let inner = &**store;
    open(inner, LOG).await;
    open(inner, "empty").await;
    append(
        inner,
        [
            hold("r1", "look"),
            selecting(Selector { namespace: Some("a".into()), ..Selector::default() }, "all"),
        ],
    )
    .await;
    append(inner, [release(0)]).await;
    let old = |n: i64| WorkflowExecutionAudit { completed_at: at(n), ..record(&format!("r{n}")) };
    append(inner, (0..280).map(|n| from_producer(old(n), None))).await;
    let goes = weigh(inner, at(20), 100).await.into_iter().filter(|found| found.id != "r7").collect();
    stored(inner, part(1, goes)).await;
    for id in ["r100", "r200"] {
        stored(inner, erase(id)).await;
    }
    append(inner, [review("r150", None, 2), review("r101", None, 1), review("r150", None, 0)]).await;
    stored(inner, erase("r101")).await;
    let head = inner.logs().await.unwrap().into_iter().find(|head| head.log == LOG).unwrap();
    store.begin_successor(LOG, NEXT).await;
    let said = Succession {
        predecessor: LOG.to_owned(),
        size: head.size,
        root: head.root,
        checkpoint: promise(&head, head.size + 1).as_str().to_owned(),
        reason: "restored".to_owned(),
        actor: "me".to_owned(),
    };
    let said = batch([DraftContent::Note(Box::new(Entry::Succession(said)))]);
    inner.append(NEXT, said, at(100)).await.unwrap();
    store.close_succeeded(LOG, NEXT).await;
}

fn promise(head: &Head, size: u64) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: head.origin.clone(), size, root: head.root };
    SignedCheckpoint::sign(checkpoint, &[]).unwrap()
}

async fn check(store: &impl Tampered, log: &str) -> Report {
    rebuild(store.rebuilds(), log, Mode::Check, &[], |_, _| {}).await.unwrap()
}

/// Tables that differ, each with the first keys.
fn differing(report: &Report) -> Vec<(&'static str, Vec<&str>)> {
    let tables = report.tables.iter().filter(|table| table.differing > 0);
    tables.map(|table| (table.table, table.first.iter().map(String::as_str).collect())).collect()
}

/// The log, SQL, and the table and first key that must differ after it. The root of the empty log is a hash
/// like any other.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        LOG,
        "UPDATE log_tile SET hashes = (SELECT root FROM log WHERE name = 'empty') WHERE log = 'default' AND level = 0 AND idx = 0",
        "log_tile",
        "0/0",
    ),
    (LOG, "UPDATE log_tile SET idx = 7 WHERE log = 'default' AND level = 0 AND idx = 1", "log_tile", "0/1"),
    (LOG, "UPDATE log_tile SET level = 5 WHERE log = 'default' AND level = 1", "log_tile", "1/0"),
    (LOG, "UPDATE log_tile SET log = 'empty' WHERE log = 'default' AND level = 1", "log_tile", "1/0"),
    (LOG, "DELETE FROM log_tile WHERE log = 'default'", "log_tile", "0/0"),
    (
        LOG,
        "INSERT INTO log_tile (log, level, idx, hashes) SELECT name, 3, 9, root FROM log WHERE name = 'default'",
        "log_tile",
        "3/9",
    ),
    (LOG, "UPDATE review SET verdict = 'effective' WHERE idx = 286", "review", "286"),
    (LOG, "UPDATE review SET note = 'again' WHERE idx = 287", "review", "287"),
    (LOG, "UPDATE review SET actor = 'another' WHERE idx = 286", "review", "286"),
    (LOG, "UPDATE review SET id = 'r151', attempt = 2 WHERE idx = 286", "review", "286"),
    (LOG, "DELETE FROM review WHERE idx = 288", "review", "288"),
    (LOG, "UPDATE hold SET reason = 'another' WHERE idx = 1", "hold", "1"),
    (LOG, "UPDATE hold SET actor = 'another' WHERE idx = 1", "hold", "1"),
    (LOG, "UPDATE hold SET execution_id = 'r2' WHERE idx = 0", "hold", "0"),
    (LOG, "UPDATE hold SET selector = '{\"namespace\":\"b\"}' WHERE idx = 1", "hold", "1"),
    (
        LOG,
        "UPDATE hold SET placed_at = (SELECT created_at FROM log WHERE name = 'default') WHERE idx = 0",
        "hold",
        "0",
    ),
    (LOG, "UPDATE hold SET released_at = NULL, released_idx = NULL WHERE idx = 0", "hold", "0"),
    (LOG, "UPDATE hold SET released_idx = 3 WHERE idx = 0", "hold", "0"),
    (LOG, "UPDATE hold SET released_at = placed_at, released_idx = 2 WHERE idx = 1", "hold", "1"),
    (LOG, "UPDATE hold SET idx = 9, released_idx = 10 WHERE idx = 0", "hold", "0"),
    (LOG, "DELETE FROM hold", "hold", "0"),
    (
        LOG,
        "INSERT INTO hold (log, idx, execution_id, reason, actor, placed_at) SELECT log, 50, 'r9', reason, actor, placed_at FROM hold WHERE idx = 0",
        "hold",
        "50",
    ),
    (LOG, "UPDATE purged SET first_idx = first_idx + 1 WHERE first_idx < 10", "purged", "9"),
    (LOG, "UPDATE purged SET idx = idx + 1 WHERE first_idx < 10", "purged", "9"),
    (LOG, "DELETE FROM purged", "purged", "9"),
    (
        LOG,
        "INSERT INTO purged (log, last_idx, first_idx, idx) VALUES ('default', 270, 270, 283)",
        "purged",
        "270",
    ),
    (LOG, "DELETE FROM erased", "erased", "103"),
    (LOG, "UPDATE erased SET idx = idx + 1 WHERE entry_idx = 103", "erased", "103"),
    (LOG, "UPDATE erased SET entry_idx = 110 WHERE entry_idx = 203", "erased", "110"),
    (LOG, "INSERT INTO erased (log, entry_idx, idx) VALUES ('default', 110, 284)", "erased", "110"),
    (
        LOG,
        "UPDATE log_entry SET leaf_hash = (SELECT root FROM log WHERE name = 'empty') WHERE log = 'default' AND idx = 5",
        "log_entry",
        "5",
    ),
    (LOG, "UPDATE log SET recorded_at = created_at WHERE name = 'default'", "log", "default"),
    (
        LOG,
        "UPDATE log SET root = (SELECT root FROM log WHERE name = 'empty') WHERE name = 'default'",
        "log",
        "default",
    ),
    (LOG, "UPDATE log SET size = size - 1 WHERE name = 'default'", "log", "default"),
    (NEXT, "UPDATE succession SET successor = 'empty'", "succession", "default"),
    (NEXT, "UPDATE succession SET log = 'empty'", "succession", "default"),
    (NEXT, "DELETE FROM succession", "succession", "default"),
    ("empty", "INSERT INTO succession (log, successor) VALUES ('next', 'empty')", "succession", "next"),
];

async fn what_follows_from_entries_is_found_to_differ_and_put_right(store: &impl Tampered) {
    full(store).await;
    let heads = store.logs().await.unwrap();
    let untouched = check(store, LOG).await;
    assert!(untouched.is_clean(), "{untouched:?}");
    let counted = |table: &str| untouched.tables.iter().find(|found| found.table == table).unwrap().rows;
    let counts = ["log_tile", "hold", "review", "purged", "erased", "log"].map(counted);
    assert_eq!(counts, [3, 2, 3, 2, 4, 1]);
    for &(log, sql, table, key) in CASES {
        store.tamper(sql);
        let found = check(store, log).await;
        assert!(!found.is_clean(), "{sql}");
        let differing = differing(&found);
        assert!(
            differing.iter().any(|(differs, keys)| *differs == table && keys.first() == Some(&key)),
            "{sql}\nexpected {table} {key}, found: {differing:?}"
        );
        // A row that went to another log is put right in both.
        for head in heads.iter().filter(|head| head.log == log || head.size < 2) {
            let promised = [promise(head, head.size)];
            let done = rebuild(store.rebuilds(), &head.log, Mode::Replace, &promised, |_, _| {}).await;
            assert!(done.unwrap().is_clean(), "{sql}");
        }
        assert_eq!(store.logs().await.unwrap(), heads, "{sql}");
    }
    for head in &heads {
        let right = check(store, &head.log).await;
        assert!(right.is_clean() && !right.replaced, "{right:?}");
    }
    assert_eq!(verify(&**store, None, |_| {}).await.unwrap().findings, []);
    store.reopen().await;
}

async fn statistics_are_found_to_differ_and_put_right(store: &impl Tampered) {
    const MORE: &str = "more";
    full(store).await;
    open(&**store, MORE).await;
    let garbage = "(SELECT root FROM log WHERE name = 'empty')";
    const ALL: &[&str] = &["statistics_page", "statistics_workflow_day", "statistics_step_day"];
    for sql in [
        "DELETE FROM statistics_pending".to_owned(),
        format!("UPDATE statistics_pending SET contributions = {garbage}"),
    ] {
        let more = batch([from_producer(record(&sql), None)]);
        store.append(MORE, more, at(100)).await.unwrap();
        differs(store, MORE, &sql, ALL).await;
    }
    while store.fold(LOG).await.unwrap() == Folding::More {}
    for sql in [
        "DELETE FROM statistics_page WHERE slice = 'strata'".to_owned(),
        "UPDATE statistics_page SET log = 'empty' WHERE log = 'default' AND slice = 'texts'".to_owned(),
        "UPDATE statistics_page SET start = start + 1000 WHERE slice = 'runs'".to_owned(),
        "UPDATE statistics_page SET level = 'month' WHERE slice = 'texts'".to_owned(),
        "UPDATE statistics_page SET slice = 'steps', start = start + 1000 WHERE slice = 'strata'".to_owned(),
        format!("UPDATE statistics_page SET first_key = {garbage} WHERE slice = 'runs'"),
        format!("UPDATE statistics_page SET cells = {garbage} WHERE slice = 'runs'"),
    ] {
        differs(store, LOG, &sql, &ALL[..1]).await;
    }
    let keys = ["workflow", "version"].map(|text| (text, "|| '?'"));
    let of_workflows = ["namespace", "incident_type", "target_kind"].map(|text| (text, "|| '?'"));
    let of_steps = [("action", "|| '?'"), ("step_number", "+ 100")];
    let sums = |sums: &[&'static str]| sums.iter().map(|sum| (*sum, "+ 1")).collect::<Vec<_>>();
    for (table, columns) in [
        (ALL[1], [&keys[..], &of_workflows, &sums(WorkflowDay::NAMES)].concat()),
        (ALL[2], [&keys[..], &of_steps, &sums(StepDay::NAMES)].concat()),
    ] {
        store.tamper(&format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}"));
        for (column, change) in columns {
            store.tamper(&format!("UPDATE {table} SET {column} = {column} {change}"));
            let found = check(store, LOG).await;
            let tables: Vec<_> = differing(&found).into_iter().map(|(table, _)| table).collect();
            assert_eq!(tables, [table], "{column}: {found:?}");
            store.tamper(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}"));
        }
    }
    for sql in
        ["DELETE FROM {}", "UPDATE {} SET day = day + 1", "UPDATE {} SET log = 'empty' WHERE log = 'default'"]
    {
        let sql = ALL[1..].iter().map(|table| sql.replace("{}", table)).collect::<Vec<_>>().join("; ");
        differs(store, LOG, &sql, &ALL[1..]).await;
    }
    // A sum at its bound stops no fold.
    let at_most = format!("UPDATE statistics_workflow_day SET duration_sum = {MOST}, score_sum = -{MOST}");
    store.tamper(&at_most);
    store.append(MORE, batch([from_producer(record("last"), None)]), at(200)).await.unwrap();
    while store.fold(MORE).await.unwrap() == Folding::More {}
    let found = check(store, MORE).await;
    assert_eq!(differing(&found).len(), 1, "{found:?}");
    for log in [MORE, LOG] {
        let done = rebuild(store.rebuilds(), log, Mode::Replace, &[], |_, _| {}).await.unwrap();
        assert!(done.is_clean() && check(store, log).await.is_clean(), "{log}: {done:?}");
    }
    assert_eq!(verify(&**store, None, |_| {}).await.unwrap().findings, []);
}

/// These tables of statistics of a log differ after this, and can be put right.
async fn differs(store: &impl Tampered, log: &str, sql: &str, expected: &[&str]) {
    assert!(check(store, log).await.is_clean());
    store.tamper(sql);
    let found = check(store, log).await;
    let tables: Vec<_> = differing(&found).into_iter().map(|(table, _)| table).collect();
    assert_eq!(tables, expected, "{sql}: {found:?}");
    for head in store.logs().await.unwrap() {
        let done = rebuild(store.rebuilds(), &head.log, Mode::Replace, &[], |_, _| {}).await.unwrap();
        assert!(done.is_clean(), "{sql}: {done:?}");
    }
    assert!(check(store, log).await.is_clean(), "{sql}");
}

async fn what_cannot_be_trusted_is_left_as_it_was(store: &impl Tampered) {
    let inner = &**store;
    open(inner, LOG).await;
    append(inner, [hold("r1", "look")]).await;
    append(inner, (0..3).map(|n| from_producer(record(&format!("r{n}")), None))).await;
    let head = inner.logs().await.unwrap().remove(0);
    let publish = Batch { checkpoint: Some(promise(&head, 4)), ..Batch::default() };
    inner.append(LOG, publish.into(), at(100)).await.unwrap();
    let before = inner.logs().await.unwrap();
    let replace = async || rebuild(store.rebuilds(), LOG, Mode::Replace, &[], |_, _| {}).await;
    for (sql, undo, expected) in [
        (
            "UPDATE log_entry SET body = replace(body, 'look', 'lock') WHERE idx = 0",
            "UPDATE log_entry SET body = replace(body, 'lock', 'look') WHERE idx = 0",
            "the body of entry 0 is not the one that was appended",
        ),
        (
            "UPDATE log_entry SET execution_id = 'r9' WHERE execution_id = 'r2'",
            "UPDATE log_entry SET execution_id = 'r2' WHERE execution_id = 'r9'",
            "the first 4 entries have the root",
        ),
        (
            "UPDATE log_entry SET idx = 9 WHERE idx = 3; UPDATE log SET size = 3",
            "UPDATE log_entry SET idx = 3 WHERE idx = 9; UPDATE log SET size = 4",
            "entry 3 is missing; it has 3 entries, and a checkpoint is of 4",
        ),
        (
            "UPDATE log_entry SET log = 'gone' WHERE idx = 3; UPDATE log SET size = 3",
            "UPDATE log_entry SET log = 'default' WHERE idx = 3; UPDATE log SET size = 4",
            "it has 3 entries, and a checkpoint is of 4",
        ),
    ] {
        store.tamper(sql);
        let found = check(store, LOG).await;
        assert!(!found.is_clean() && found.damaged.join("; ").contains(expected), "{sql}: {found:?}");
        let refused = replace().await.unwrap_err();
        assert!(matches!(&refused, RebuildError::Damaged(report) if **report == found), "{sql}: {refused}");
        store.tamper(undo);
        assert!(check(store, LOG).await.is_clean(), "{undo}");
        assert_eq!(inner.logs().await.unwrap(), before);
    }
    store.tamper(
        "DELETE FROM checkpoint; UPDATE log SET root = (SELECT leaf_hash FROM log_entry WHERE idx = 0)",
    );
    let refused = replace().await.unwrap_err();
    assert!(matches!(refused, RebuildError::Unvouched(_)), "{refused}");
    let copy = [promise(&head, 4)];
    let done = rebuild(store.rebuilds(), LOG, Mode::Replace, &copy, |_, _| {}).await.unwrap();
    assert!(done.replaced && done.root == head.root);
}

async fn a_log_goes_on_while_it_is_looked_at_and_after_it_was_rebuilt(store: &impl Tampered) {
    let inner = &**store;
    open(inner, LOG).await;
    append(inner, (0..300).map(|n| from_producer(record(&format!("r{n}")), None))).await;
    let mut looking = store.rebuilds().begin_rebuild(LOG, Mode::Check).await.unwrap();
    append(inner, [from_producer(record("meanwhile"), None)]).await;
    assert_eq!(looking.entries(299, 9).await.unwrap().len(), 1, "one state is looked at");
    drop(looking);
    store.tamper("DELETE FROM log_tile WHERE level = 0 AND idx = 1");
    let done = rebuild(store.rebuilds(), LOG, Mode::Replace, &[], |_, _| {}).await.unwrap();
    assert_eq!((done.replaced, differing(&done)), (true, vec![("log_tile", vec!["0/1"])]));
    append(inner, (300..600).map(|n| from_producer(record(&format!("r{n}")), None))).await;
    assert_eq!(verify(inner, None, |_| {}).await.unwrap().findings, []);
    let refused = store.rebuilds().begin_rebuild("nowhere", Mode::Check).await.err().unwrap();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
}

on_both! {
    what_follows_from_entries_is_found_to_differ_and_put_right,
    statistics_are_found_to_differ_and_put_right,
    what_cannot_be_trusted_is_left_as_it_was,
    a_log_goes_on_while_it_is_looked_at_and_after_it_was_rebuilt,
}
