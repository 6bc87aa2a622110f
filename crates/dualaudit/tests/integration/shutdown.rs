//! SIGTERM while others hang: dualaudit ends in bounded time, and the next start goes on.

use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::json;

use crate::support::{Cluster, Dualaudit, FaultProxy, eventually, verified};

const LONG: &[&str] = &["--window", "1h"];

#[tokio::test(flavor = "multi_thread")]
async fn a_farewell_that_the_api_server_lets_hang_is_taken_up_by_the_next_start() {
    let cluster = Cluster::new().await;
    let proxy = FaultProxy::start(&cluster).await;
    let dualaudit = Dualaudit::run_with(&cluster, &proxy.kubeconfig, LONG);
    cluster.create("lost").await;
    cluster.protected("lost").await;
    cluster.create("ended").await;
    cluster.protected("ended").await;
    cluster.begin("lost").await;
    eventually("its phase is tracked", || async {
        cluster.tracked_phases().contains(&"Executing".into()).then_some(())
    })
    .await;
    proxy.fall_silent();
    let before = proxy.requests().len();
    cluster.strip("lost").await;
    cluster.finish("ended").await;
    eventually("it tries to protect the one and to write the receipt of the other", || async {
        let since = proxy.requests().split_off(before);
        (since.iter().filter(|request| request.starts_with("PATCH ")).count() == 2).then_some(())
    })
    .await;
    cluster.status("lost", json!({ "phase": "Monitoring" })).await;
    cluster.delete("lost").await;
    assert!(cluster.get("lost").await.is_none());
    // The watch tells it at once.
    tokio::time::sleep(Duration::from_secs(1)).await;
    dualaudit.stop();

    let dualaudit = Dualaudit::run(&cluster, LONG);
    let gap = eventually("there is a gap", || async { cluster.gaps().pop() }).await;
    assert_eq!((&gap["name"], &gap["cause"]), (&json!("lost"), &json!("vanished")));
    assert_eq!(gap["last_phase"], "Monitoring", "what was seen last was not lost");
    cluster.acknowledged("ended").await;
    assert_eq!(dualaudit.recorded_as("ended").await.len(), 1);
    assert_eq!(dualaudit.recorded().await.len(), 1);
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_last_waits_at_shutdown_for_a_database_that_is_locked_for_a_while() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("sentinel").await;
    cluster.protected("sentinel").await;
    eventually("it is tracked", || async { (cluster.tracked() == 1).then_some(()) }).await;
    let lock = cluster.lock_database();
    // Nothing in the database tells of this one.
    cluster.create("lost").await;
    cluster.protected("lost").await;
    while cluster.get("lost").await.is_some() {
        let _ = cluster.try_strip("lost").await;
        let _ = cluster.executions().delete("lost", &DeleteParams::background()).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(cluster.gaps().is_empty() && cluster.tracked() == 1);
    let unlock = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(7));
        drop(lock);
    });
    dualaudit.stop();
    unlock.join().unwrap();

    let dualaudit = Dualaudit::run(&cluster, LONG);
    eventually("it is a gap or a record", || async {
        let accounted = cluster.gaps().len() + dualaudit.recorded_as("lost").await.len();
        (accounted == 1).then_some(())
    })
    .await;
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_locked_it_ends_and_nothing_acknowledged_is_lost() {
    const EXECUTIONS: usize = 20;
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("acknowledged").await;
    cluster.finish("acknowledged").await;
    let receipt = cluster.acknowledged("acknowledged").await;
    let ids = cluster.create_many(0..EXECUTIONS).await;
    let lock = cluster.lock_database();
    cluster.finish_many(0..EXECUTIONS).await;
    // The watch tells it at once, and an append waits for the lock.
    tokio::time::sleep(Duration::from_secs(1)).await;
    dualaudit.stop();
    drop(lock);

    let dualaudit = Dualaudit::run(&cluster, LONG);
    for number in 0..EXECUTIONS {
        cluster.acknowledged(&format!("load-{number}")).await;
    }
    let recorded = dualaudit.recorded().await;
    assert_eq!(recorded.len(), ids.len() + 1, "one record each");
    assert_eq!(cluster.acknowledged("acknowledged").await, receipt);
    assert_eq!(dualaudit.recorded_as("acknowledged").await.len(), 1);
    assert!(cluster.gaps().is_empty());
    verified(&cluster);
}
