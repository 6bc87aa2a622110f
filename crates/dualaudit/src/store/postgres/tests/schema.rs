//! Schemas that are newer, older, somebody else's or missing, and partitions.

use tokio_postgres::NoTls;

use super::{Fresh, fresh, server::Server};
use crate::store::{
    Filter, LogReader as _, Store as _, StoreError,
    conformance::{
        check::check_log,
        sample::{LOG, append, at, from_producer, from_resource, open, opening, record, stored},
    },
    postgres::{Location, Options, PostgresStore, migrate, migrate::KNOWN},
};

async fn number(location: &Location, sql: &str) -> i64 {
    let (client, connection) = location.config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn both_ways(location: &Location) -> [Result<PostgresStore, StoreError>; 2] {
    [
        PostgresStore::open(location, Options::default(), at(0)).await,
        PostgresStore::open_existing(location, Options::default()).await,
    ]
}

#[tokio::test]
async fn an_unknown_newer_schema_is_refused() {
    let store = fresh();
    store.database.execute("INSERT INTO dualaudit_schema (version) VALUES (99)").unwrap();
    for opened in both_ways(&store.location()).await {
        let Err(StoreError::Unsupported(text)) = opened else { panic!("opened") };
        let newer = format!("version 99, this dualaudit knows up to {KNOWN}: use a newer dualaudit");
        assert!(text.contains(&newer), "{text}");
    }
    assert!(matches!(migrate(&store.location(), at(0), None).await, Err(StoreError::Unsupported(_))));
}

#[tokio::test]
async fn tables_of_another_application_are_left_alone() {
    let database = Server::shared().database(None);
    database.execute("CREATE TABLE hold (item text)").unwrap();
    for opened in both_ways(&Location::parse(&database.url()).unwrap()).await {
        let Err(StoreError::Corrupt(text)) = opened else { panic!("opened") };
        assert!(text.contains("table hold of another application"), "{text}");
    }
}

#[tokio::test]
async fn an_empty_database_is_migrated_by_who_may_and_else_says_who_must() {
    let database = Server::shared().database(None);
    let location = Location::parse(&database.url()).unwrap();
    let role = format!("{}_nobody", database.name);
    database.execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    let opened = PostgresStore::open(&location.clone().with_user(&role), Options::default(), at(0)).await;
    let Err(StoreError::Unsupported(text)) = opened else { panic!("opened") };
    assert!(text.contains("run `dualaudit migrate` as its owner"), "{text}");
    database.execute(&format!("DROP ROLE {role}")).unwrap();
    let [written, read] = both_ways(&location).await;
    open(&written.unwrap(), LOG).await;
    let read = read.unwrap();
    assert_eq!(read.logs().await.unwrap().len(), 1);
    let Err(StoreError::Unavailable(text)) = read.open_log(opening("another")).await else {
        panic!("opened")
    };
    assert!(text.contains("opened for reading only"), "{text}");
}

const PARTITIONS: &str =
    "SELECT count(*) FROM pg_inherits WHERE inhparent = 'workflow_execution_audit'::regclass";
const LATER: &str = "SELECT count(*) FROM workflow_execution_audit_later";

#[tokio::test]
async fn months_ahead_get_partitions_of_their_own_and_rows_beyond_them_are_kept_and_found() {
    let store = fresh();
    let location = store.location();
    // This month, which has no beginning, six more, and all that is later.
    assert_eq!(number(&location, PARTITIONS).await, 8);
    open(&*store, LOG).await;
    let months = |count: i64| at(count * 30 * 24 * 3600);
    for (n, count) in [-900, 0, 3, 8, 10, 600].into_iter().enumerate() {
        let mut sent = record(&n.to_string());
        sent.created_at = months(count);
        stored(&*store, from_resource(sent)).await;
    }
    assert_eq!(number(&location, LATER).await, 3);
    for _ in 0..2 {
        migrate(&location, months(4), None).await.unwrap();
        assert_eq!(number(&location, PARTITIONS).await, 12);
        // What has a month by now went there, with its source object.
        assert_eq!(number(&location, LATER).await, 1);
        assert_eq!(number(&location, &LATER.replace("workflow_execution_audit", "source_object")).await, 1);
    }
    check_log(&*store, LOG).await;
    assert_eq!(found(&store).await, ["5", "4", "3", "2", "1", "0"]);
    append(&*store, [from_producer(record("more"), None)]).await;
    for refused in ["DELETE FROM", "TRUNCATE"] {
        store.database.execute(&format!("{refused} workflow_execution_audit_later")).unwrap_err();
    }
}

async fn found(store: &Fresh) -> Vec<String> {
    let page = store.list(&Filter::default(), None, 100).await.unwrap();
    page.rows.into_iter().map(|row| row.execution.record.id).collect()
}
