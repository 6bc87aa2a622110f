//! Executions of eight steps, made and finished as fast as the API server takes them.

use kube::{
    api::{Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::{Value, json};

use crate::support::{Cluster, each, finished};

/// Creates executions of eight steps.
pub(crate) async fn create(cluster: &Cluster, count: usize, finalizers: Value) {
    let steps: Vec<_> = (1..=8)
        .map(|number| json!({ "number": number, "name": format!("step-{number}"), "action": "restart" }))
        .collect();
    let api = cluster.executions();
    each(0..count, |name| {
        let api = api.clone();
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "dualaudit.dev/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": { "name": name, "finalizers": finalizers },
            "spec": {
                "remediationRef": { "name": format!("rem-{name}") },
                "workflow": { "name": "restart-deployment", "version": "v1.2.0" },
                "incidentType": "CrashLoopBackOff",
                "target": { "kind": "Deployment", "namespace": "shop", "name": "cart" },
                "steps": steps,
            },
        }))
        .expect("an execution");
        async move {
            api.create(&PostParams::default(), &object).await.expect("it is created");
        }
    })
    .await;
}

/// The status of an execution of eight steps that completed.
pub(crate) fn completed() -> Value {
    let mut status = finished();
    let steps: Vec<_> = (1..=8)
        .map(|number| {
            json!({
                "number": number, "action": "restart", "status": "Completed", "retriesAttempted": number % 3,
                "startTime": format!("2026-01-02T03:04:0{}.000001Z", number - 1),
                "endTime": format!("2026-01-02T03:04:0{number}.000001Z"),
            })
        })
        .collect();
    status["steps"] = json!(steps);
    status
}

/// Finishes all of them.
pub(crate) async fn finish(cluster: &Cluster, count: usize) {
    let api = cluster.executions();
    let patch = json!({ "status": completed() });
    each(0..count, |name| {
        let (api, patch) = (api.clone(), Patch::Merge(patch.clone()));
        async move {
            api.patch_status(&name, &PatchParams::default(), &patch).await.expect("it is finished");
        }
    })
    .await;
}
