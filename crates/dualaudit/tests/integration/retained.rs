//! `--max-retained`: what cannot leave does not keep the others, and nothing leaves before its record.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, FaultProxy, eventually, verified};

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_that_cannot_leave_keep_none_of_the_others_from_leaving_early() {
    let cluster = Cluster::new().await;
    let proxy = FaultProxy::start(&cluster).await;
    let arguments = ["--window", "1h", "--max-retained", "1"];
    let dualaudit = Dualaudit::run_with(&cluster, &proxy.kubeconfig, &arguments);
    ended(&cluster, "held", json!({ "annotations": { "dualaudit.dev/hold": "case 4711" } })).await;
    let unproved = ended(&cluster, "unproved", json!({})).await;
    let renamed = |from: &str, to: &str| {
        let id = unproved["id"].as_str().unwrap();
        format!("UPDATE workflow_execution_audit SET name = '{to}' WHERE id = '{id}' AND name = '{from}'")
    };
    cluster.tamper(&renamed("unproved", "somebody-else"));
    ended(&cluster, "busy", json!({ "finalizers": ["engine.example/cleanup"] })).await;
    ended(&cluster, "free", json!({})).await;
    ended(&cluster, "newest", json!({})).await;
    cluster.gone("free").await;
    eventually("all that left early have an event", || async {
        let early = told(&cluster, "ReleasedEarly").await;
        (early.contains(&"busy".to_owned()) && early.contains(&"free".to_owned())).then_some(())
    })
    .await;
    eventually("it is said which one cannot leave", || async {
        told(&cluster, "Blocked").await.contains(&"unproved".to_owned()).then_some(())
    })
    .await;

    // It is tried again and again, and ever more seldom.
    let before = asked(&proxy);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(asked(&proxy) - before < 20, "{:#?}", proxy.requests().split_off(before));
    let busy = cluster.get("busy").await.expect("the engine is at work on it").metadata;
    assert!(busy.deletion_timestamp.is_some());
    assert!(busy.finalizers.unwrap().contains(&"dualaudit.dev/record".to_owned()), "and ours stays");
    for name in ["held", "unproved", "newest"] {
        let metadata = cluster.get(name).await.expect(name).metadata;
        assert_eq!(metadata.deletion_timestamp, None, "{name}");
    }

    // Once nothing keeps them any more they leave, too.
    let only_ours = Patch::Merge(json!({ "metadata": { "finalizers": ["dualaudit.dev/record"] } }));
    cluster.executions().patch("busy", &PatchParams::default(), &only_ours).await.unwrap();
    cluster.gone("busy").await;
    cluster.tamper(&renamed("somebody-else", "unproved"));
    cluster.gone("unproved").await;
    assert!(cluster.get("held").await.is_some() && cluster.get("newest").await.is_some());
    let recorded = dualaudit.recorded().await;
    assert_eq!(recorded.len(), 5);
    assert!(recorded.iter().all(|item| item["revision"] == 1), "{recorded:#?}");
    assert!(cluster.gaps().is_empty());
    verified(&cluster);
}

/// An execution that ended; its receipt.
async fn ended(cluster: &Cluster, name: &str, metadata: Value) -> Value {
    cluster.create_with(name, metadata).await;
    cluster.finish(name).await;
    cluster.acknowledged(name).await
}

/// Requests so far that are about executions.
fn asked(proxy: &FaultProxy) -> usize {
    proxy.requests().iter().filter(|request| request.contains("/workflowexecutions/")).count()
}

/// The names of the executions that have an event with this reason.
async fn told(cluster: &Cluster, reason: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    let events = events.list(&ListParams::default()).await.expect("events").items;
    let with_reason = events.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
    with_reason.filter_map(|event| event.regarding?.name).collect()
}
