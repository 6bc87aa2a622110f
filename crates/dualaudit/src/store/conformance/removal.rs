//! What becomes of the rows of what was purged.

use dualaudit_record::WorkflowExecutionAudit;

use super::{
    Maintained,
    check::check_log,
    purge::{part, weigh},
    sample::{LOG, append, at, from_producer, from_resource, open, record, stored},
};
use crate::store::{Filter, Lookup, ReceiptResult, Removed, Wanted};

pub(crate) async fn what_was_purged_is_removed_and_nothing_else(store: &impl Maintained) {
    open(&**store, LOG).await;
    append(&**store, ["a", "b", "c"].map(|id| from_resource(record(id)))).await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("b") };
    stored(&**store, from_resource(amended.clone())).await;
    assert_eq!(store.rows().await, 3 + 1 + 4);
    assert_eq!(store.remove_purged().await, Removed::default());
    let goes = weigh(&**store, at(100), 10).await.into_iter().filter(|found| found.id != "c").collect();
    let purge = stored(&**store, part(1, goes)).await;
    assert_eq!(store.rows().await, 3 + 1 + 4, "they are gone to readers, and still there");
    let before = check_log(&**store, LOG).await;
    assert_eq!(store.remove_purged().await, Removed { executions: 2, months: 0 });
    assert_eq!(store.rows().await, 2, "a month with something else in it stays");
    assert_eq!(store.remove_purged().await, Removed::default(), "there is nothing left to do");
    assert_eq!(check_log(&**store, LOG).await, before, "the log says the same");
    let again = stored(&**store, from_resource(amended)).await;
    assert_eq!(again.result, ReceiptResult::Duplicate);
    let wanted = Wanted { id: "b".to_owned(), log: None, attempt: None };
    let Lookup::Purged(purged) = store.get(&wanted).await.unwrap() else { panic!("purged") };
    assert_eq!(purged.by, purge.index);
    assert!(store.read_back(LOG, "c", 1).await.unwrap().unwrap().intact);
    check_log(&**store, LOG).await;
}

/// Where months have partitions, they are dropped; elsewhere rows go one by one.
pub(crate) async fn months_of_which_everything_was_purged_are_removed_at_once(store: &impl Maintained) {
    open(&**store, LOG).await;
    let day = 86_400;
    let aged = |id: String, days: i64| WorkflowExecutionAudit {
        created_at: at(days * day),
        completed_at: at(days * day + 60),
        ..record(&id)
    };
    // October 2025 and the five months after it.
    let records: Vec<WorkflowExecutionAudit> =
        (0..60).map(|n| aged(format!("r{n}"), i64::from(n) * 3)).collect();
    append(&**store, records.iter().map(|record| from_producer(record.clone(), None))).await;
    let two_months = weigh(&**store, at(52 * day), 100).await;
    stored(&**store, part(1, two_months.clone())).await;
    let removed = store.remove_purged().await;
    assert_eq!(removed.months, store.months(2));
    assert_eq!(removed.executions, two_months.len() as u64, "each is seen to");
    let left = 60 - two_months.len();
    assert_eq!(store.rows().await, left as u64);
    let listed = store.list(&Filter::default(), None, 100).await.unwrap().rows;
    assert_eq!(listed.len(), left);
    check_log(&**store, LOG).await;
    // The months are still open to records that come late.
    stored(&**store, from_producer(aged("late".to_owned(), 1), None)).await;
    assert_eq!(store.remove_purged().await, Removed::default());
    let rest = weigh(&**store, at(10_000 * day), 100).await;
    stored(&**store, part(2, rest)).await;
    assert!(store.remove_purged().await.months >= store.months(1));
    assert_eq!(store.rows().await, 0);
    check_log(&**store, LOG).await;
    stored(&**store, from_producer(aged("later".to_owned(), 100), None)).await;
    check_log(&**store, LOG).await;
}
