//! Servers that cannot be reached, trusted, or waited for, and connections that are cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_postgres::NoTls;

use super::{Fresh, fresh, server::Server};
use crate::store::{
    Answer, Filter, LogReader as _, ReceiptResult, Store as _, StoreError,
    conformance::{
        check::check_log,
        sample::{LOG, append, at, batch, from_producer, from_resource, open, receipt, record},
    },
    postgres::{Location, Options, PostgresStore},
};

fn unavailable<T>(outcome: Result<T, StoreError>) -> String {
    match outcome {
        Err(StoreError::Unavailable(text)) => text,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it worked"),
    }
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_and_the_password_not_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let location = Location::parse(&format!("postgres://me:hunter2@127.0.0.1:{port}/audit")).unwrap();
    let text = unavailable(PostgresStore::open(&location, Options::default(), at(0)).await);
    assert!(text.contains("me@127.0.0.1") && text.contains("cannot be reached"), "{text}");
    let store = PostgresStore::with(&location, Options::default(), true).unwrap();
    let later = unavailable(store.logs().await);
    assert!(!text.contains("hunter2") && !later.contains("hunter2"), "{text} {later}");
}

#[tokio::test]
async fn a_role_or_database_that_is_not_there_is_said() {
    let location = Location::parse(&Server::shared().url("no_such_database")).unwrap();
    let text = unavailable(PostgresStore::open_existing(&location, Options::default()).await);
    assert!(text.contains("does not exist: create it with createdb"), "{text}");
    let location = location.with_user("no_such_role").with_database("postgres");
    let text = unavailable(PostgresStore::open_existing(&location, Options::default()).await);
    assert!(text.contains("does not let this role in"), "{text}");
}

#[tokio::test]
async fn a_server_that_would_lose_what_it_acknowledged_is_refused() {
    let server = Server::start(&["fsync=off"]);
    let location = Location::parse(&server.url("postgres")).unwrap();
    let text = unavailable(PostgresStore::open(&location, Options::default(), at(0)).await);
    assert!(text.contains("cannot promise durability: fsync is off"), "{text}");
    let store = PostgresStore::with(&location, Options::default(), true).unwrap();
    assert!(unavailable(store.logs().await).contains("fsync is off"));
}

#[tokio::test]
async fn text_that_postgresql_cannot_hold_is_rejected_and_nothing_of_its_batch_stored() {
    let store = fresh();
    open(&*store, LOG).await;
    let mut in_a_text = record("text");
    in_a_text.error_message = "a\0b".to_owned();
    let mut in_a_step = record("step");
    in_a_step.step_executions[0].error_message = "a\0b".to_owned();
    for bad in [in_a_text, in_a_step] {
        let both = batch([from_producer(record("good"), None), from_producer(bad, None)]);
        let error = store.append(LOG, both, at(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected(_)), "{error:?}");
        assert_eq!(check_log(&*store, LOG).await.len(), 0);
        assert_eq!(store.store.pools.writers.status().available, 1, "the connection is kept");
    }
    append(&*store, [from_producer(record("good"), None)]).await;
    check_log(&*store, LOG).await;
}

/// Another session that holds what `sql` locks until it is dropped.
async fn holding(store: &Fresh, sql: &str) -> tokio_postgres::Client {
    let (client, connection) = store.location().config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
    client
}

#[tokio::test]
async fn an_append_waits_for_a_head_that_somebody_holds_for_a_limited_time() {
    let store = fresh();
    open(&*store, LOG).await;
    let holder = holding(&store, "SELECT 1 FROM log FOR UPDATE").await;
    let started = Instant::now();
    let text = unavailable(store.append(LOG, batch([from_resource(record("a"))]), at(1)).await);
    assert!(text.contains("took too long") && started.elapsed() < Duration::from_secs(8), "{text}");
    drop(holder);
    append(&*store, [from_resource(record("a"))]).await;
    assert_eq!(check_log(&*store, LOG).await.len(), 1);
}

#[tokio::test]
async fn a_question_that_takes_too_long_says_so() {
    let store = fresh();
    open(&*store, LOG).await;
    let _holder = holding(&store, "LOCK TABLE workflow_execution_audit IN ACCESS EXCLUSIVE MODE").await;
    let limit = Some(Duration::from_millis(100));
    let asking = PostgresStore::with(&store.location(), Options { question_limit: limit }, true).unwrap();
    let error = asking.list(&Filter::default(), None, 10).await.unwrap_err();
    assert!(matches!(error, StoreError::TooSlow(_)), "{error:?}");
}

/// Cuts its connections when a commit comes by: before the server has it, or before its answer does.
async fn proxy(server: &str, after: bool, armed: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, armed) = (TcpStream::connect(&server).await.unwrap(), Arc::clone(&armed));
            tokio::spawn(pass(client, server, after, armed));
        }
    });
    port
}

async fn pass(mut client: TcpStream, mut server: TcpStream, after: bool, armed: Arc<AtomicBool>) {
    let (mut from_client, mut from_server) = ([0; 16 << 10], [0; 16 << 10]);
    loop {
        tokio::select! {
            Ok(read @ 1..) = client.read(&mut from_client) => {
                let sent = &from_client[..read];
                let commits = sent.windows(7).any(|bytes| bytes == b"COMMIT\0");
                let cut = commits && armed.swap(false, Ordering::SeqCst);
                if cut && !after {
                    return;
                }
                if server.write_all(sent).await.is_err() {
                    return;
                }
                if cut {
                    // Until the server has answered that, after all that was asked of it before.
                    while let Ok(read @ 1..) = server.read(&mut from_server).await {
                        if from_server[..read].windows(7).any(|bytes| bytes == b"COMMIT\0") {
                            break;
                        }
                    }
                    return;
                }
            }
            Ok(read @ 1..) = server.read(&mut from_server) => {
                if client.write_all(&from_server[..read]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_at_the_commit_is_unavailable_and_sending_again_is_safe() {
    for after in [false, true] {
        let store = fresh();
        open(&*store, LOG).await;
        append(&*store, [from_resource(record("before"))]).await;
        let armed = Arc::new(AtomicBool::new(false));
        let url = store.database.url();
        let address = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let port = proxy(&address, after, Arc::clone(&armed)).await;
        let through = url.replace(&address, &format!("127.0.0.1:{port}"));
        let location = Location::parse(&through).unwrap();
        let cut = PostgresStore::with(&location, Options::default(), true).unwrap();
        append(&cut, [from_resource(record("first"))]).await;
        armed.store(true, Ordering::SeqCst);
        let drafts = || batch((0..40).map(|n| from_resource(record(&n.to_string()))));
        unavailable(cut.append(LOG, drafts(), at(2)).await);
        let again: Vec<Answer> = cut.append(LOG, drafts(), at(3)).await.unwrap();
        let expected = if after { ReceiptResult::Duplicate } else { ReceiptResult::Created };
        for (n, answer) in again.into_iter().enumerate() {
            let receipt = receipt(answer);
            assert_eq!((receipt.index, receipt.result), (n as u64 + 2, expected), "cut after: {after}");
        }
        assert_eq!(check_log(&*store, LOG).await.len(), 42);
    }
}

#[tokio::test]
async fn an_append_whose_session_ends_is_unavailable_and_leaves_nothing() {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, [from_resource(record("before"))]).await;
    let holder = holding(&store, "SELECT 1 FROM log FOR UPDATE").await;
    let ending = async {
        const WAITING: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while holder.query_one(WAITING, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(holder);
    };
    let append = store.append(LOG, batch([from_resource(record("a"))]), at(1));
    let (outcome, ()) = tokio::join!(append, ending);
    unavailable(outcome);
    assert_eq!(check_log(&*store, LOG).await.len(), 1);
    let again = store.append(LOG, batch([from_resource(record("a"))]), at(1)).await.unwrap();
    assert_eq!(receipt(again[0].clone()).result, ReceiptResult::Created);
    assert_eq!(check_log(&*store, LOG).await.len(), 2);
}
