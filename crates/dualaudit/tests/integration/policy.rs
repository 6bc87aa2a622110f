//! With the admission policy there is no moment without the finalizer, dualaudit running or not.

use kube::api::PostParams;
use serde_json::json;

use crate::support::{Cluster, Dualaudit, apply, eventually, verified};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_and_deleted_while_dualaudit_is_down_is_recorded_at_its_return() {
    let cluster = Cluster::alone().await;
    apply(&cluster.admin, "policy.yaml").await;
    eventually("the policy is in force", || async {
        let probe = json!({
            "apiVersion": "dualaudit.dev/v1alpha1", "kind": "WorkflowExecution",
            "metadata": { "name": "probe" },
            "spec": { "workflow": { "name": "probe", "version": "v1" },
                      "steps": [{ "number": 1, "name": "probe", "action": "probe" }] },
        });
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let probe = serde_json::from_value(probe).unwrap();
        cluster.executions().create(&params, &probe).await.unwrap().metadata.finalizers.map(|_| ())
    })
    .await;

    let engines = json!({ "finalizers": ["engine.example/cleanup"] });
    cluster.create("fleeting").await;
    cluster.delete("fleeting").await;
    let both = cluster.create_with("engine", engines).await.metadata.finalizers;
    assert_eq!(both, Some(vec!["engine.example/cleanup".to_owned(), "dualaudit.dev/record".to_owned()]));
    let broken = json!({ "annotations": { "dualaudit.dev/release-unrecorded": "not by me" } });
    let created = cluster.create_with("unseen", broken).await;
    assert!(created.metadata.finalizers.is_some(), "who creates it cannot keep it out of the audit");
    let left = cluster.get("fleeting").await.expect("it waits for its record");
    assert!(left.metadata.deletion_timestamp.is_some());

    let dualaudit = Dualaudit::run(&cluster, &["--window", "1h"]);
    cluster.gone("fleeting").await;
    let recorded = dualaudit.recorded_as("fleeting").await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0]["status"], "deleted");
    let gap = eventually("the glass that was broken is a gap", || async { cluster.gaps().pop() }).await;
    assert_eq!((&gap["name"], &gap["reason"]), (&json!("unseen"), &json!("not by me")));
    verified(&cluster);
    cluster.plane.end();
}
