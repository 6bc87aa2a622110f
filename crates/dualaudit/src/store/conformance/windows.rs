//! Windows that are made longer: what is taken, and what is known by it.

use dualaudit_record::{
    Entry, EntryKind, Time,
    entry::{ErasedEntry, Window},
};

use super::{
    check::check_log,
    erase::erase,
    purge::{part, weigh},
    sample::{LOG, append, at, detail, from_producer, from_resource, open, record, started, stored, window},
};
use crate::store::{Answer, Receipt, ReceiptResult, Refusal, Store};

/// What is known of the attempts of an execution, oldest first.
async fn extended(store: &dyn Store, id: &str) -> Vec<Option<Time>> {
    let known = store.known(LOG, &[id.to_owned()]).await.unwrap().remove(0);
    known.recorded.iter().map(|recorded| recorded.extended_until).collect()
}

pub(crate) async fn a_window_only_ever_becomes_longer(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("a"))]).await;
    let first = stored(store, window("a", None, 7000)).await;
    assert_eq!((first.id.as_str(), first.index, first.result), ("a", 1, ReceiptResult::Created));
    let again = Receipt { result: ReceiptResult::Duplicate, ..first };
    assert_eq!(stored(store, window("a", Some(1), 7000)).await, again);
    let shorter = Answer::Refused(Refusal::WindowIsLonger { until: at(7000) });
    assert_eq!(append(store, [window("a", None, 6999)]).await, [shorter]);
    // In one batch, too; and what was said before is what it was.
    let answers = append(store, [9000, 8000, 7000].map(|until| window("a", None, until))).await;
    let shorter = Answer::Refused(Refusal::WindowIsLonger { until: at(9000) });
    assert_eq!(answers[1..], [shorter, Answer::Stored(again)]);
    let entries = check_log(store, LOG).await;
    assert_eq!(entries.len(), 3);
    let newest = detail(store, "a").await.windows.remove(0);
    assert_eq!((newest.index, newest.window.until), (2, at(9000)));
    assert_eq!(entries[2].body.entry(), Some(&Entry::Window(newest.window)));
    assert!(entries[1..].iter().all(|entry| entry.kind == EntryKind::Window && entry.attempt.is_none()));
}

pub(crate) async fn what_is_known_of_an_attempt_says_how_long_it_stays(store: &dyn Store) {
    open(store, LOG).await;
    for second in [0, 60] {
        append(store, [from_resource(started("a", at(second)))]).await;
    }
    append(store, [from_producer(record("b"), None)]).await;
    assert_eq!(extended(store, "a").await, [None, None]);
    for (id, attempt, refusal) in
        [("c", None, Refusal::NothingRecorded), ("a", Some(3), Refusal::NoAttempt { latest: 2 })]
    {
        assert_eq!(append(store, [window(id, attempt, 7000)]).await, [Answer::Refused(refusal)]);
    }
    append(store, [window("a", None, 8000), window("a", Some(1), 7000)]).await;
    assert_eq!(extended(store, "a").await, [Some(at(7000)), Some(at(8000))]);
    assert_eq!(extended(store, "b").await, [None]);
    let shown: Vec<Time> = detail(store, "a").await.windows.iter().map(|row| row.window.until).collect();
    assert_eq!(shown, [at(8000)], "those of the attempt that is shown");
    // Whatever is recorded later of the attempt leaves it as it is.
    append(store, [window("a", None, 9000)]).await;
    assert_eq!(extended(store, "a").await, [Some(at(7000)), Some(at(9000))]);
    let weighed = weigh(store, at(50_000), 100).await;
    stored(store, part(1, weighed)).await;
    assert_eq!(append(store, [window("a", None, 10_000)]).await, [Answer::Refused(Refusal::Purged)]);
    check_log(store, LOG).await;
}

pub(crate) async fn an_erasure_takes_the_reason_and_leaves_the_end(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("a"))]).await;
    append(store, [window("a", None, 7000)]).await;
    let before = detail(store, "a").await.windows.remove(0).window;
    assert_ne!(before.reason, "");
    let erasure = stored(store, erase("a")).await;
    let left = detail(store, "a").await.windows.remove(0).window;
    assert_eq!(left, Window { reason: String::new(), ..before });
    let entries = check_log(store, LOG).await;
    let Some(Entry::Erasure(said)) = entries[erasure.index as usize].body.entry() else {
        panic!("an erasure")
    };
    let places: Vec<u64> = said.entries.iter().map(|ErasedEntry { index, .. }| *index).collect();
    assert_eq!(places, [0, 1]);
    // The same is there already, and what comes later goes with the next erasure.
    assert_eq!(stored(store, window("a", None, 7000)).await.index, 1);
    append(store, [window("a", None, 8000)]).await;
    stored(store, erase("a")).await;
    assert_eq!(detail(store, "a").await.windows.remove(0).window.reason, "");
    assert_eq!(extended(store, "a").await, [Some(at(8000))]);
    check_log(store, LOG).await;
}
