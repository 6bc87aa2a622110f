//! The one way out without a record: explicit, on the ledger, and in the log afterwards.

use serde_json::json;

use crate::support::{Cluster, Dualaudit, command, eventually, verified};

const LONG: &[&str] = &["--window", "1h"];

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_an_ended_execution_is_recorded_all_the_same() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("ended").await;
    cluster.protected("ended").await;
    let reason = json!({ "annotations": { "dualaudit.dev/release-unrecorded": "drill" } });
    cluster.create_with("running", reason).await;
    cluster.finish("ended").await;
    cluster.acknowledged("ended").await;
    cluster.annotate("ended", "dualaudit.dev/release-unrecorded", "drill").await;
    eventually("our finalizer is off", || async {
        cluster.get("ended").await.unwrap().metadata.finalizers.is_none().then_some(())
    })
    .await;
    assert_eq!(dualaudit.recorded_as("ended").await.len(), 1);
    assert!(cluster.get("running").await.unwrap().metadata.finalizers.is_none(), "it was never protected");
    assert!(cluster.gaps().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_a_running_execution_leaves_a_gap_with_the_reason() {
    let cluster = Cluster::new().await;
    let _dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("stuck").await;
    cluster.protected("stuck").await;
    cluster.annotate("stuck", "dualaudit.dev/release-unrecorded", "case 7").await;
    eventually("our finalizer is off", || async {
        cluster.get("stuck").await.unwrap().metadata.finalizers.is_none().then_some(())
    })
    .await;
    let gap = eventually("there is a gap", || async { cluster.gaps().pop() }).await;
    assert_eq!((&gap["cause"], &gap["reason"]), (&json!("released_unrecorded"), &json!("case 7")));
    eventually("the ledger is empty again", || async { (cluster.ledger().await == 0).then_some(()) }).await;
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_the_ledger_keeps_it_until_the_log_has_it() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    for name in ["x", "y"] {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    dualaudit.kill();
    cluster.begin("x").await;
    cluster.delete("y").await;
    let output = command(cluster.admin_kubeconfig())
        .args(["release", "--unrecorded", "--namespace", &cluster.namespace, "--reason", "etcd is full"])
        .args(["--home", &cluster.home])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("2 released"), "{output:?}");
    cluster.gone("y").await;
    assert_eq!(cluster.get("x").await.unwrap().metadata.finalizers, None);
    assert_eq!(cluster.ledger().await, 2);

    let _dualaudit = Dualaudit::run(&cluster, LONG);
    let gaps =
        eventually("both are gaps", || async { Some(cluster.gaps()).filter(|gaps| gaps.len() == 2) }).await;
    assert!(gaps.iter().all(|gap| gap["reason"] == "etcd is full" && gap["last_state_digest"].is_string()));
    eventually("the ledger is empty again", || async { (cluster.ledger().await == 0).then_some(()) }).await;
    assert_eq!(cluster.get("x").await.unwrap().metadata.finalizers, None, "it is not protected again");
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn break_glass_works_while_the_database_refuses_every_write() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("blocked").await;
    cluster.protected("blocked").await;
    let lock = cluster.lock_database();
    cluster.finish("blocked").await;
    cluster.delete("blocked").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(cluster.get("blocked").await.is_some(), "nothing leaves before it is recorded");
    cluster.annotate("blocked", "dualaudit.dev/release-unrecorded", "disk gone").await;
    cluster.gone("blocked").await;
    assert_eq!(cluster.ledger().await, 1);
    drop(lock);
    eventually("it is a gap or a record", || async {
        let accounted = cluster.gaps().len() + dualaudit.recorded_as("blocked").await.len();
        (accounted > 0).then_some(())
    })
    .await;
    verified(&cluster);
}
