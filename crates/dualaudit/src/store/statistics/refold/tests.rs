use dualaudit_record::statistics::{Bucket, Cell, Hour, Key, Level, Scope, View};
use dualaudit_record::time::{MAX, ZERO};

use crate::store::{
    Answer, Folding, Refusal, Store, UnreadableEntry, WantedCells,
    conformance::{
        erase::erase,
        sample::{LOG, append, from_resource, open, record, review},
        tampered::Tampered,
    },
    postgres, sqlite,
};

#[tokio::test]
async fn what_cannot_be_read_is_passed_over_and_keeps_nobody_waiting_on_sqlite() {
    let fresh = sqlite::tests::fresh();
    recorded(&*fresh).await;
    passed_over(&fresh).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_over_and_keeps_nobody_waiting_on_postgres() {
    let fresh = postgres::tests::fresh();
    recorded(&*fresh).await;
    // Even the owner has to take checks away first.
    fresh.uncheck();
    passed_over(&fresh).await;
}

async fn recorded(store: &dyn Store) {
    open(store, LOG).await;
    append(store, ["r0", "r1", "r2", "r3"].map(|id| from_resource(record(id)))).await;
    append(store, [review("r1", None, 2), review("r3", None, 3)]).await;
}

/// Folds all of it; answers what was passed over.
async fn fold(store: &dyn Store) -> Vec<UnreadableEntry> {
    let mut passed_over = Vec::new();
    loop {
        match store.fold(LOG).await.unwrap() {
            Folding::Done => return passed_over,
            Folding::More => {}
            Folding::PassedOver(entries) => passed_over.extend(entries),
        }
    }
}

/// How many executions the statistics count, and how many entries they lack.
async fn counted(store: &dyn Store) -> (i64, u64) {
    let end = Bucket::of(Hour::of(MAX), Level::Hour).end();
    let wanted = WantedCells::all(View::Runs, Key::scope(Scope::All, &[]), Hour::of(ZERO), end);
    let found = store.cells(LOG, &[wanted]).await.unwrap();
    assert_eq!(found.behind, None);
    let of = |cell: &Cell| match cell {
        Cell::Runs(cell) => cell.ended.values().sum(),
        _ => 0,
    };
    (found.cells[0].iter().map(|(_, _, cell)| of(cell)).sum(), found.passed_over)
}

async fn passed_over<S: Tampered>(store: &S) {
    // As before there were statistics.
    store.tamper(&format!(
        "UPDATE log_entry SET leaf_hash = {} WHERE idx = 1;
         UPDATE workflow_execution_audit SET step_executions = '[{{}}]' WHERE id = 'r2';
         DELETE FROM statistics_pending;
         UPDATE statistics_log SET refolded = 0, refold_until = 6",
        S::blob(&[0]),
    ));
    assert_eq!(append(&**store, [erase("r0")]).await, [Answer::Refused(Refusal::StatisticsBehind)]);

    let passed_over = fold(&**store).await;
    let mut named: Vec<(u64, &str)> =
        passed_over.iter().map(|entry| (entry.index, entry.what.as_str())).collect();
    named.sort_unstable();
    let [(1, entry), (2, body), (4, review)] = named[..] else { panic!("{named:?}") };
    assert!(entry.contains("leaf_hash cannot be read"), "{entry}");
    assert!(body.contains("step_executions"), "{body}");
    assert!(review.contains("leaf_hash cannot be read"), "what it is of: {review}");

    assert_eq!(counted(&**store).await, (2, 3), "r0 and r3");
    assert!(matches!(append(&**store, [erase("r0")]).await[..], [Answer::Stored(_)]));
    assert_eq!(fold(&**store).await, [], "and nothing is told twice");
    assert_eq!(counted(&**store).await, (2, 3), "but to those who ask");
}
