//! Deletion by others, at any phase: the record first, then the resource.

use std::time::Duration;

use dualaudit::clock::{Clock, SystemClock};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use serde_json::json;

use crate::support::{Cluster, Dualaudit, eventually, verified};

const LONG: &[&str] = &["--window", "1h"];

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_running_execution_is_recorded_before_its_finalizer_goes() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    for (name, begun) in [("pending", false), ("executing", true)] {
        cluster.create(name).await;
        cluster.protected(name).await;
        if begun {
            cluster.begin(name).await;
        }
        cluster.delete(name).await;
        cluster.gone(name).await;
        let recorded = dualaudit.recorded_as(name).await;
        assert_eq!(recorded.len(), 1, "{name}");
        assert_eq!(recorded[0]["status"], "deleted");
    }
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_execution_deleted_within_its_window_is_let_go_at_once() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("done").await;
    cluster.finish("done").await;
    cluster.acknowledged("done").await;
    cluster.delete("done").await;
    cluster.gone("done").await;
    let recorded = dualaudit.recorded_as("done").await;
    assert_eq!(recorded.len(), 1);
    assert_eq!((&recorded[0]["status"], &recorded[0]["revision"]), (&json!("completed"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_stays_while_the_engines_finalizer_is_at_work_and_what_it_adds_is_a_revision() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create_with("engine", json!({ "finalizers": ["engine.example/cleanup"] })).await;
    cluster.protected("engine").await;
    cluster.begin("engine").await;
    cluster.delete("engine").await;
    let first = cluster.acknowledged("engine").await;
    assert_eq!(first["revision"], 1);
    let aborted = json!({ "phase": "Cancelled", "completionTime": SystemClock.now(), "message": "aborted" });
    cluster.status("engine", aborted).await;
    eventually("the engine's last words are a revision", || async {
        (dualaudit.recorded_as("engine").await.first()?["revision"] == 2).then_some(())
    })
    .await;
    let present = cluster.get("engine").await.expect("it stays while the engine works");
    assert!(present.metadata.finalizers.unwrap().contains(&"dualaudit.dev/record".to_owned()));
    let only_ours = Patch::Merge(json!({ "metadata": { "finalizers": ["dualaudit.dev/record"] } }));
    cluster.executions().patch("engine", &PatchParams::default(), &only_ours).await.unwrap();
    cluster.gone("engine").await;
    assert_eq!(dualaudit.recorded_as("engine").await[0]["status"], "cancelled");
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cascade_records_what_it_takes_along() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    let owners: Api<ConfigMap> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    for (owner, policy) in
        [("background", PropagationPolicy::Background), ("foreground", PropagationPolicy::Foreground)]
    {
        let map = json!({ "metadata": { "name": owner } });
        let created =
            owners.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
        let reference = json!([{
            "apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": created.metadata.uid,
            "blockOwnerDeletion": true,
        }]);
        cluster.create_with(owner, json!({ "ownerReferences": reference })).await;
        cluster.protected(owner).await;
        cluster.begin(owner).await;
        let params = DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() };
        owners.delete(owner, &params).await.unwrap();
        cluster.gone(owner).await;
        assert_eq!(dualaudit.recorded_as(owner).await[0]["status"], "deleted", "{owner}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_waits_for_its_records() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("running").await;
    cluster.protected("running").await;
    cluster.create("over").await;
    cluster.finish("over").await;
    cluster.acknowledged("over").await;
    let namespaces: Api<Namespace> = Api::all(cluster.admin.clone());
    namespaces.delete(&cluster.namespace, &DeleteParams::default()).await.unwrap();
    eventually("the namespace is gone", || async {
        namespaces.get_opt(&cluster.namespace).await.unwrap().is_none().then_some(())
    })
    .await;
    let mut statuses: Vec<_> = dualaudit.recorded().await.iter().map(|item| item["status"].clone()).collect();
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(statuses, [json!("completed"), json!("deleted")]);
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_deleted_while_dualaudit_is_down_are_recorded_at_its_return() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    for name in ["a", "b"] {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    dualaudit.kill();
    cluster.finish("a").await;
    cluster.delete("a").await;
    cluster.delete("b").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(cluster.get("a").await.is_some() && cluster.get("b").await.is_some());
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.gone("a").await;
    cluster.gone("b").await;
    assert_eq!(dualaudit.recorded_as("a").await[0]["status"], "completed");
    assert_eq!(dualaudit.recorded_as("b").await[0]["status"], "deleted");
}
