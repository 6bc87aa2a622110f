//! Partitions ahead: made while others work, by the owner alone, and counted.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use super::{Fresh, fresh};
use crate::store::{
    Removed, StoreError,
    conformance::{
        check::check_log,
        sample::{LOG, append, at, from_resource, open, record, stored},
    },
    postgres::{MONTHS_AHEAD, Maintained, connect, maintain, maintain::patiently, migrate, months_ahead},
};

/// So many months of 30 days after the one that the template was made for.
fn months(count: i64) -> dualaudit_record::Time {
    at(count * 30 * 24 * 3600)
}

#[tokio::test]
async fn maintenance_makes_the_months_that_are_missing_and_only_those() {
    let store = fresh();
    let location = store.location();
    for (count, ahead) in [(0, 6), (4, 2), (6, 0), (7, -1), (12, -6)] {
        assert_eq!(months_ahead(&location, months(count)).await.unwrap(), ahead, "after {count} months");
    }
    let removed = Removed::default();
    let done = maintain(&location, months(4)).await.unwrap();
    assert_eq!(done, Maintained { partitions: 8, months_ahead: 6, removed }, "four months of two tables");
    let again = maintain(&location, months(4)).await.unwrap();
    assert_eq!(again, Maintained { partitions: 0, months_ahead: MONTHS_AHEAD, removed });
    // After a year in which nobody ran it, what went where all is that is later moves to its months.
    open(&*store, LOG).await;
    let mut late = record("late");
    late.created_at = months(20);
    stored(&*store, from_resource(late)).await;
    assert_eq!(maintain(&location, months(20)).await.unwrap().months_ahead, MONTHS_AHEAD);
    let left = store.database.server.rows(&store.database.name, "TABLE workflow_execution_audit_later");
    assert_eq!(left.unwrap().len(), 0);
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn appends_go_on_while_maintenance_waits_behind_a_long_question() {
    let store = fresh();
    open(&*store, LOG).await;
    let question = asking(&store).await;
    let location = store.location();
    let waiting = tokio::spawn(async move { maintain(&location, months(4)).await });
    let started = Instant::now();
    for n in 0.. {
        let asked = Instant::now();
        append(&*store, [from_resource(record(&n.to_string()))]).await;
        assert!(asked.elapsed() < Duration::from_secs(2), "append {n} waited {:?}", asked.elapsed());
        if started.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    assert!(!waiting.is_finished(), "somebody still reads");
    drop(question);
    assert_eq!(waiting.await.unwrap().unwrap().months_ahead, MONTHS_AHEAD);
    check_log(&*store, LOG).await;
}

/// A session in the midst of reading every table that has partitions.
async fn asking(store: &Fresh) -> tokio_postgres::Client {
    let (client, connection) = store.location().config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    const READ: &str = "BEGIN; SELECT count(*) FROM workflow_execution_audit, source_object";
    client.batch_execute(READ).await.unwrap();
    client
}

#[tokio::test]
async fn maintenance_behind_somebody_who_never_ends_says_what_to_do() {
    let store = fresh();
    let question = asking(&store).await;
    let mut client = connect::owner(&store.location()).await.unwrap();
    let error = patiently(&mut client, months(4), 2).await.unwrap_err().at("audit").to_string();
    assert!(error.contains("at each of 2 tries") && error.contains("pg_stat_activity"), "{error}");
    // Nothing to make needs nobody to wait for.
    assert_eq!(patiently(&mut client, months(0), 2).await.unwrap(), 0);
    drop(question);
}

#[tokio::test]
async fn maintenance_that_is_cut_off_leaves_nothing_half_done() {
    let store = fresh();
    open(&*store, LOG).await;
    let question = asking(&store).await;
    let location = store.location();
    let cut = tokio::spawn(async move { maintain(&location, months(4)).await });
    const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while store.database.server.rows(&store.database.name, CUT).unwrap() == [["0"]] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = cut.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    drop(question);
    assert_eq!(months_ahead(&store.location(), months(4)).await.unwrap(), 2);
    append(&*store, [from_resource(record("a"))]).await;
    assert_eq!(maintain(&store.location(), months(4)).await.unwrap().partitions, 8);
    check_log(&*store, LOG).await;
}

#[tokio::test]
async fn maintenance_is_for_the_owner_of_a_schema_that_is_up_to_date() {
    let store = fresh();
    let role = format!("{}_runner", store.database.name);
    store.database.execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    migrate(&store.location(), at(0), Some(&role)).await.unwrap();
    let runner = store.location().with_user(&role);
    let error = maintain(&runner, months(4)).await.unwrap_err().to_string();
    assert!(error.contains("connect as postgres, not as") && error.contains(&role), "{error}");
    assert_eq!(months_ahead(&runner, months(4)).await.unwrap(), 2, "and anybody may ask");
    store.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    let empty = super::server::Server::shared().database(None);
    let location = crate::store::postgres::Location::parse(&empty.url()).unwrap();
    let error = maintain(&location, at(0)).await.unwrap_err().to_string();
    assert!(error.contains("run `dualaudit migrate`"), "{error}");
}

#[tokio::test]
async fn a_last_partition_that_was_taken_out_is_said() {
    let store = fresh();
    let detach = "ALTER TABLE source_object DETACH PARTITION source_object_later";
    store.database.execute(detach).unwrap();
    let error = months_ahead(&store.location(), at(0)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("_later")), "{error:?}");
}
