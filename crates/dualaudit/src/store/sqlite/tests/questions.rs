//! Questions that take too long, or that nobody waits for.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::{
    super::{connect::READERS, error},
    Fresh, Options, SqliteStore, fresh,
};
use crate::store::{
    Filter, StoreError,
    conformance::sample::{LOG, from_resource, open, record, stored},
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
