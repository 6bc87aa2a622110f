//! What is in flight: what runs in the cluster, until it is recorded or gone.

use serde_json::json;

use crate::support::{Cluster, Dualaudit, eventually};

async fn in_flight(cluster: &Cluster, expected: &[&str]) {
    let found = |name: &&str| format!("{name} restart-deployment v1.2.0 CrashLoopBackOff Deployment");
    let expected: Vec<String> = expected.iter().map(found).collect();
    eventually(&format!("{expected:?} are in flight"), || async {
        (cluster.in_flight() == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_in_flight_until_it_is_recorded_or_gone() {
    let cluster = Cluster::new().await;
    let arguments = ["--window", "1s", "--cleanup", "retain"];
    let dualaudit = Dualaudit::run(&cluster, &arguments);
    for name in ["deleted", "finished", "paused", "stripped", "waiting"] {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    for name in ["deleted", "finished", "paused", "stripped"] {
        cluster.begin(name).await;
    }
    cluster.status("paused", json!({ "phase": "Paused" })).await;
    in_flight(&cluster, &["deleted", "finished", "paused", "stripped", "waiting"]).await;

    cluster.finish("finished").await;
    cluster.acknowledged("finished").await;
    in_flight(&cluster, &["deleted", "paused", "stripped", "waiting"]).await;
    cluster.delete("deleted").await;
    cluster.gone("deleted").await;
    in_flight(&cluster, &["paused", "stripped", "waiting"]).await;
    cluster.strip("stripped").await;
    cluster.delete("stripped").await;
    eventually("it is gone", || async { cluster.get("stripped").await.is_none().then_some(()) }).await;
    in_flight(&cluster, &["paused", "waiting"]).await;

    // An engine takes it up again, and it ends as it had before: there is nothing new to record.
    let executing = json!({ "phase": "Executing", "completionTime": null });
    cluster.status("finished", executing).await;
    in_flight(&cluster, &["finished", "paused", "waiting"]).await;
    cluster.finish("finished").await;
    in_flight(&cluster, &["paused", "waiting"]).await;
    // The same, where it ends while nobody looks.
    cluster.status("finished", json!({ "phase": "Executing", "completionTime": null })).await;
    in_flight(&cluster, &["finished", "paused", "waiting"]).await;
    dualaudit.stop();
    cluster.finish("finished").await;
    let dualaudit = Dualaudit::run(&cluster, &arguments);
    in_flight(&cluster, &["paused", "waiting"]).await;
    let revision = |item: &serde_json::Value| item["revision"].clone();
    let revisions: Vec<_> = dualaudit.recorded().await.iter().map(revision).collect();
    assert_eq!(revisions, [1, 1], "nothing more was recorded of it, or of what was deleted");

    // Its window is over: it stays, and nothing of it is owed.
    eventually("it is retained", || async {
        cluster.get("finished").await.unwrap().metadata.finalizers.is_none().then_some(())
    })
    .await;
    in_flight(&cluster, &["paused", "waiting"]).await;
    eventually("nothing else is tracked", || async { (cluster.tracked() == 3).then_some(()) }).await;

    // Found as an earlier version has left it.
    dualaudit.stop();
    cluster.forget_in_flight();
    assert_eq!(cluster.in_flight().len(), 0);
    let _dualaudit = Dualaudit::run(&cluster, &arguments);
    in_flight(&cluster, &["paused", "waiting"]).await;
}
