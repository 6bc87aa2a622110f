//! Questions that take too long, or that nobody waits for.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    super::{connect::READERS, entries, error, read},
    Fresh, Options, SqliteStore, fresh,
};
use crate::store::{
    Filter, Lookup, StoreError, Wanted,
    conformance::sample::{LOG, append, from_resource, hold, open, record, review, stored, window},
};

async fn limited(question_limit: Option<Duration>) -> Fresh {
    let store = fresh();
    let file = store.directory.path().join("audit.db");
    let options = Options { question_limit, ..Options::default() };
    let store = Fresh { store: SqliteStore::open(file, options).unwrap(), ..store };
    open(&*store, LOG).await;
    stored(&*store, from_resource(record("a"))).await;
    store
}

/// Counts for longer than any test runs.
fn endless(connection: &rusqlite::Connection) -> error::Result<i64> {
    let sql = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n) FROM n";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it answers soon")
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_ended_and_says_so() {
    let store = limited(Some(Duration::from_millis(100))).await;
    let began = Instant::now();
    let error = soon(store.store.ask(endless)).await.unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert!(matches!(error, StoreError::TooSlow(_)), "{error:?}");
    insta::assert_snapshot!(error, @"this question took longer than 100ms: narrow it, for instance to a shorter time");
    assert_eq!(soon(store.list(&Filter::default(), None, 9)).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_question_nobody_waits_for_any_more_is_ended() {
    let store = limited(None).await;
    for _ in 0..3 {
        let asked = (0..READERS).map(|_| store.store.ask(endless));
        let asked = futures::future::join_all(asked);
        assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
    }
    assert_eq!(soon(store.list(&Filter::default(), None, 9)).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn questions_keep_nothing_waiting_that_the_work_depends_on() {
    let store = limited(None).await;
    let asked = futures::future::join_all((0..3 * READERS).map(|_| store.store.ask(endless)));
    let work = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(store.logs().await.unwrap().len(), 1);
            assert!(store.read_back(LOG, "a", 1).await.unwrap().unwrap().intact);
            assert_eq!(store.known(LOG, &["a".to_owned()]).await.unwrap().len(), 1);
            assert!(store.tracked(LOG, None, 9).await.unwrap().is_empty());
        }
    };
    tokio::select! {
        () = soon(work) => {}
        _ = asked => unreachable!("they are endless"),
    }
}

/// The steps that SQLite takes to show one execution in a log with so many others, each reviewed, and with a longer window.
async fn steps_to_show_one(others: usize) -> u64 {
    let store = limited(None).await;
    let others: Vec<String> = (0..others).map(|n| format!("other-{n}")).collect();
    for ids in others.chunks(80) {
        let of = |id: &String| [from_resource(record(id)), review(id, None, 1), window(id, None, 9_000)];
        append(&*store, ids.iter().flat_map(of)).await;
    }
    append(&*store, [review("a", None, 1), window("a", None, 9_000), hold("a", "case 4711")]).await;
    let taken = Arc::new(AtomicU64::new(0));
    let steps = Arc::clone(&taken);
    let wanted = Wanted { id: "a".to_owned(), log: None, attempt: None };
    let ask = move |connection: &rusqlite::Connection| -> error::Result<_> {
        connection.progress_handler(
            1,
            Some(move || {
                steps.fetch_add(1, Ordering::Relaxed);
                false
            }),
        )?;
        let found = read::get(connection, &wanted)?;
        let object = entries::kept_object(connection, LOG, 0)?;
        connection.progress_handler(0, None::<fn() -> bool>)?;
        Ok((found, object))
    };
    let (found, object) = store.store.ask(ask).await.unwrap();
    let Lookup::Found(found) = found else { panic!("{found:?}") };
    assert_eq!((found.reviews.len(), found.windows.len(), found.holds.len()), (1, 1, 1));
    assert!(object.is_some());
    taken.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_is_shown_of_one_execution_is_sought_and_no_log_is_read_for_it() {
    let (few, many) = (steps_to_show_one(20).await, steps_to_show_one(1_000).await);
    assert!(few > 100 && many < few + few / 10, "{few} steps in a log with 20 others, {many} with 1,000");
}
