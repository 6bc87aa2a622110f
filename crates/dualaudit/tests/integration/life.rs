//! The main job: recorded, kept for review, cleaned up, and found afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, eventually, verified};

const LONG: &[&str] = &["--window", "1h"];
const SHORT: &[&str] = &["--window", "1s"];

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_execution_is_recorded_kept_for_its_window_and_cleaned_up() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    cluster.create("one").await;
    cluster.protected("one").await;
    cluster.begin("one").await;
    let object = cluster.finish("one").await;
    let receipt = cluster.acknowledged("one").await;
    assert_eq!(receipt["id"], json!(object.metadata.uid));
    assert_eq!(receipt["result"], "created");
    cluster.gone("one").await;

    let id = receipt["id"].as_str().unwrap();
    let (status, found) = dualaudit.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!(status, 200, "{found}");
    let record = &found["record"];
    assert_eq!(record["workflow_name"], "restart-deployment");
    assert_eq!(record["remediation_id"], "rem-one");
    assert_eq!(record["outcome"], "success");
    assert_eq!(record["total_duration"], 3_000_000_000_u64);
    assert_eq!(record["steps_completed"], 2);
    assert_eq!(record["effectiveness_score"], 0.95, "one retry");
    assert_eq!(record["namespace"], cluster.namespace);
    assert_eq!(found["receipt"]["leaf_hash"], receipt["leaf_hash"]);
    assert_eq!(dualaudit.recorded().await.len(), 1);
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_first_seen_finished_gets_receipt_and_finalizer_in_one_patch() {
    let cluster = Cluster::new().await;
    cluster.create("early").await;
    let finished = cluster.finish("early").await;
    let _dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.acknowledged("early").await;
    let object = cluster.get("early").await.unwrap();
    assert_eq!(object.metadata.finalizers, Some(vec!["dualaudit.dev/record".to_owned()]));
    let entries = object.metadata.managed_fields.unwrap();
    let ours = entries.iter().filter(|entry| entry.manager.as_deref() == Some("dualaudit")).count();
    assert_eq!(ours, 1, "one manager entry: {entries:?}");
    assert_eq!(finished.metadata.generation, object.metadata.generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_patches_do_not_come_back_as_changes() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("calm").await;
    cluster.finish("calm").await;
    cluster.acknowledged("calm").await;
    let settled = cluster.get("calm").await.unwrap().metadata.resource_version;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cluster.get("calm").await.unwrap().metadata.resource_version, settled);
    assert_eq!(revisions(&dualaudit, "calm").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_within_the_window_is_a_new_revision_that_keeps_the_old_one() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("scored").await;
    cluster.finish("scored").await;
    let first = cluster.acknowledged("scored").await;
    cluster.status("scored", json!({ "effectivenessScore": 0.25 })).await;
    eventually("the receipt is of revision 2", || async {
        (cluster.acknowledged("scored").await["revision"] == 2).then_some(())
    })
    .await;
    let id = first["id"].as_str().unwrap();
    let (_, found) = dualaudit.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!(found["record"]["effectiveness_score"], 0.25);
    assert_eq!(found["record"]["score_source"], "reported");
    assert_eq!(found["revisions"].as_array().unwrap().len(), 2);
    assert_eq!(dualaudit.recorded().await.len(), 1);
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_resource_that_runs_again_is_a_new_attempt() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "1s", "--cleanup", "retain"]);
    cluster.create("again").await;
    cluster.finish("again").await;
    cluster.acknowledged("again").await;
    eventually("the finalizer is off", || async {
        cluster.get("again").await.unwrap().metadata.finalizers.is_none().then_some(())
    })
    .await;
    let second = json!({
        "phase": "Executing", "startTime": "2026-02-02T00:00:00Z", "completionTime": null, "steps": [],
    });
    cluster.status("again", second).await;
    cluster.protected("again").await;
    let ended =
        json!({ "phase": "Failed", "completionTime": "2026-02-02T00:00:09Z", "message": "no quorum" });
    cluster.status("again", ended).await;
    let recorded = eventually("both attempts are recorded", || async {
        let recorded = dualaudit.recorded_as("again").await;
        (recorded.len() == 2).then_some(recorded)
    })
    .await;
    let attempts: Vec<_> = recorded.iter().map(|item| item["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts.iter().copied().max(), Some(2), "{attempts:?}");
    assert!(recorded.iter().any(|item| item["status"] == "failed" && item["error_message"] == "no quorum"));
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_its_own_goes_before_the_general_one() {
    let cluster = Cluster::new().await;
    let _dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create_with("brief", json!({ "annotations": { "dualaudit.dev/window": "1s" } })).await;
    cluster.create_with("garbled", json!({ "annotations": { "dualaudit.dev/window": "a while" } })).await;
    cluster.finish("brief").await;
    cluster.finish("garbled").await;
    cluster.gone("brief").await;
    cluster.acknowledged("garbled").await;
    assert!(cluster.get("garbled").await.is_some(), "a window that cannot be read shortens nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_stops_the_clock_and_outlives_its_annotation() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    cluster.create_with("held", json!({ "annotations": { "dualaudit.dev/hold": "case 4711" } })).await;
    cluster.create("free").await;
    cluster.finish("held").await;
    cluster.finish("free").await;
    let receipt = cluster.acknowledged("held").await;
    cluster.gone("free").await;
    let id = receipt["id"].as_str().unwrap();
    let (_, found) = dualaudit.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!(found["holds"][0]["reason"], "case 4711", "{found}");
    cluster.annotate("held", "dualaudit.dev/hold", "").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(cluster.get("held").await.is_some(), "the hold is in the database");
    // A deletion by somebody waits for the record only, never for a hold.
    cluster.delete("held").await;
    cluster.gone("held").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_max_retained_the_oldest_leave_early_and_recorded() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "1h", "--max-retained", "2"]);
    for name in ["first", "second", "third", "fourth"] {
        cluster.create(name).await;
        cluster.finish(name).await;
        eventually("it is recorded", || async {
            (!dualaudit.recorded_as(name).await.is_empty()).then_some(())
        })
        .await;
    }
    cluster.gone("first").await;
    cluster.gone("second").await;
    assert!(cluster.get("third").await.is_some() && cluster.get("fourth").await.is_some());
    assert_eq!(dualaudit.recorded().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_or_tool_would_create_again_is_retained() {
    let cluster = Cluster::new().await;
    let _dualaudit = Dualaudit::run(&cluster, SHORT);
    let tracked = json!({ "labels": { "kustomize.toolkit.fluxcd.io/name": "shop" } });
    cluster.create_with("managed", tracked).await;
    cluster.finish("managed").await;
    cluster.acknowledged("managed").await;
    eventually("our finalizer is off", || async {
        cluster.get("managed").await.expect("it stays").metadata.finalizers.is_none().then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = cluster.get("managed").await.expect("it stays");
    assert!(after.metadata.deletion_timestamp.is_none() && after.metadata.finalizers.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_mapped_is_quarantined_and_stops_nobody() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    let long = "x".repeat(300);
    // A label cannot be that long, a remediation can: the CRD lets it pass, the record does not.
    cluster.create("odd").await;
    cluster.status("odd", json!({ "phase": "Completed", "startTime": "2026-01-02T03:04:05Z", "completionTime": "2999-01-01T00:00:00Z", "message": long })).await;
    cluster.create("good").await;
    cluster.finish("good").await;
    cluster.gone("good").await;
    eventually("the quarantine is counted", || async {
        let text = reqwest::get(format!("{}/metrics", dualaudit.url)).await.ok()?.text().await.ok()?;
        text.contains(r#"dualaudit_appended_entries_total{kind="quarantine"} 1"#).then_some(())
    })
    .await;
    assert!(cluster.get("odd").await.is_some(), "it is never deleted by us");
    // Quarantined counts as recorded: whoever deletes it is not kept waiting.
    cluster.delete("odd").await;
    cluster.gone("odd").await;
    assert!(dualaudit.recorded_as("odd").await.is_empty());
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_values_are_neither_in_the_record_nor_in_the_database() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create_with("secretive", json!({ "labels": { "api-token": "label-s3cr3t" } })).await;
    cluster.finish("secretive").await;
    cluster.acknowledged("secretive").await;
    let recorded = dualaudit.recorded_as("secretive").await.remove(0);
    let label = recorded["labels"]["api-token"].as_str().unwrap();
    assert!(label.starts_with("redacted:"), "{label}");
    dualaudit.stop();
    let objects = cluster.source_objects();
    assert_eq!(objects.len(), 1);
    assert!(!objects[0].contains("s3cr3t"), "{}", objects[0]);
    let object: Value = serde_json::from_str(&objects[0]).unwrap();
    assert_eq!(object["spec"]["workflow"]["name"], "restart-deployment");
}

async fn revisions(dualaudit: &Dualaudit, name: &str) -> u64 {
    dualaudit.recorded_as(name).await[0]["revision"].as_u64().unwrap()
}
