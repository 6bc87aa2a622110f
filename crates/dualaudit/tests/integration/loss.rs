//! Absence is evidence too: what vanished unrecorded becomes a gap, and what did not does not.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::PostParams};
use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, eventually, verified};

const LONG: &[&str] = &["--window", "1h"];
/// When attempts began.
const FIRST: &str = "2026-01-01T00:00:00.000000Z";
const SECOND: &str = "2026-02-01T00:00:00.000000Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_stripped_finalizer_leaves_a_gap_with_the_last_known_state() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("stripped").await;
    cluster.protected("stripped").await;
    cluster.begin("stripped").await;
    cluster.create("kept").await;
    cluster.protected("kept").await;
    eventually("both are tracked", || async { (cluster.tracked() == 2).then_some(()) }).await;
    eventually("its phase is tracked", || async {
        cluster.tracked_phases().contains(&"Executing".into()).then_some(())
    })
    .await;
    dualaudit.kill();
    cluster.strip("stripped").await;
    cluster.delete("stripped").await;
    assert!(cluster.get("stripped").await.is_none());

    let dualaudit = Dualaudit::run(&cluster, LONG);
    let gap = eventually("there is a gap", || async { cluster.gaps().pop() }).await;
    assert_eq!(gap["name"], "stripped");
    assert_eq!(gap["cause"], "vanished");
    assert_eq!(gap["last_phase"], "Executing");
    assert!(gap["last_state"].as_str().unwrap().contains("restart-deployment"));
    cluster.finish("kept").await;
    cluster.acknowledged("kept").await;
    assert_eq!(cluster.gaps().len(), 1);
    assert!(dualaudit.recorded_as("stripped").await.is_empty());
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_execution_that_vanishes_is_no_gap() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("recorded").await;
    cluster.protected("recorded").await;
    cluster.finish("recorded").await;
    cluster.acknowledged("recorded").await;
    dualaudit.kill();
    cluster.strip("recorded").await;
    cluster.delete("recorded").await;
    let _dualaudit = Dualaudit::run(&cluster, LONG);
    eventually("it is not tracked any more", || async { (cluster.tracked() == 0).then_some(()) }).await;
    assert!(cluster.gaps().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_vanishes_before_our_eyes_is_a_gap_or_a_record_and_never_nothing() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("sentinel").await;
    // From here on it watches; what came and went before nobody has seen.
    cluster.protected("sentinel").await;
    for number in 0..10 {
        let name = format!("fleeting-{number}");
        cluster.create(&name).await;
        cluster.delete(&name).await;
        // Whoever fights for it: it goes in the end.
        while cluster.get(&name).await.is_some() {
            let _ = cluster.try_strip(&name).await;
        }
    }
    eventually("each is accounted for", || async {
        let accounted = cluster.gaps().len() + dualaudit.recorded().await.len();
        (accounted == 10).then_some(())
    })
    .await;
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_tracked_state_never_amends_a_newer_record() {
    let cluster = Cluster::new().await;
    let retain = &["--window", "1s", "--cleanup", "retain"];
    let dualaudit = Dualaudit::run(&cluster, retain);
    cluster.create("kept").await;
    cluster.finish("kept").await;
    eventually("it is retained, and tracked as closed", || async {
        let is_free = cluster.get("kept").await.unwrap().metadata.finalizers.is_none();
        (is_free && cluster.tracked() == 1).then_some(())
    })
    .await;
    cluster.status("kept", json!({ "effectivenessScore": 0.25 })).await;
    eventually("the score is a revision", || async {
        (dualaudit.recorded_as("kept").await.first()?["revision"] == 2).then_some(())
    })
    .await;
    dualaudit.kill();
    cluster.delete("kept").await;
    let dualaudit = Dualaudit::run(&cluster, retain);
    eventually("it is not tracked any more", || async { (cluster.tracked() == 0).then_some(()) }).await;
    let recorded = dualaudit.recorded_as("kept").await;
    assert_eq!((&recorded[0]["revision"], &recorded[0]["effectiveness_score"]), (&json!(2), &json!(0.25)));
    assert!(cluster.gaps().is_empty());
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_somebody_garbled_keeps_no_gap_from_being_found() {
    let cluster = Cluster::new().await;
    let garbled = json!({
        "metadata": { "name": "garbled", "labels": { "dualaudit.dev/ledger": "released-unrecorded" } },
        "data": { "some-uid": "{ not an entry" },
    });
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin.clone(), &cluster.home);
    maps.create(&PostParams::default(), &serde_json::from_value(garbled).unwrap()).await.unwrap();
    let dualaudit = Dualaudit::run(&cluster, LONG);
    cluster.create("lost").await;
    cluster.protected("lost").await;
    eventually("it is tracked", || async { (cluster.tracked() == 1).then_some(()) }).await;
    dualaudit.kill();
    cluster.strip("lost").await;
    cluster.delete("lost").await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    let gap = eventually("there is a gap", || async { cluster.gaps().pop() }).await;
    assert_eq!(gap["name"], "lost");
    eventually("the garbled entry is named", || async {
        dualaudit.log().iter().any(|line| line.contains("entry some-uid of ConfigMap garbled")).then_some(())
    })
    .await;
    assert_eq!(cluster.ledger().await, 1, "it is a person's to mend");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_overtaken_while_the_database_is_down_is_a_gap_and_the_next_one_is_recorded() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    // One had begun when the database went down; of the other it does not even know that.
    let names = ["known", "unknown"];
    for name in names {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    cluster.status("known", executing(FIRST)).await;
    eventually("one is known to have begun", || async {
        let mut phases = cluster.tracked_phases();
        phases.sort_unstable();
        (phases == ["Executing", "Pending"]).then_some(())
    })
    .await;
    let lock = cluster.lock_database();
    for name in names {
        cluster.status(name, completed(FIRST)).await;
    }
    // The second append that fails has all that was there when the first one did.
    eventually("neither first attempt can be recorded", || async {
        (dualaudit.metric("dualaudit_append_failures_total").await > 1).then_some(())
    })
    .await;
    for name in names {
        cluster.status(name, completed(SECOND)).await;
    }
    assert!(cluster.gaps().is_empty());
    drop(lock);

    eventually("the second attempts are recorded", || async {
        let recorded = dualaudit.recorded().await;
        (recorded.iter().filter(|item| item["started_at"] == SECOND).count() == 2).then_some(())
    })
    .await;
    for name in names {
        cluster.delete(name).await;
        cluster.gone(name).await;
    }
    eventually("nothing is tracked any more", || async { (cluster.tracked() == 0).then_some(()) }).await;
    let recorded = dualaudit.recorded().await;
    for name in names {
        // One that was tried once more as the database came back may have made it.
        let in_time = recorded.iter().filter(|item| item["name"] == name && item["started_at"] == FIRST);
        let gaps: Vec<_> = cluster.gaps().into_iter().filter(|gap| gap["name"] == name).collect();
        assert_eq!(in_time.count() + gaps.len(), 1, "{name}: {gaps:#?} {recorded:#?}");
        for gap in gaps {
            assert_eq!((&gap["cause"], &gap["started_at"]), (&json!("overtaken"), &json!(FIRST)));
            assert_eq!(gap["last_phase"], "Completed", "the gap holds what was seen of it last");
        }
    }
    verified(&cluster);
}

fn executing(started_at: &str) -> Value {
    json!({ "phase": "Executing", "startTime": started_at, "completionTime": null, "steps": [] })
}

fn completed(started_at: &str) -> Value {
    json!({ "phase": "Completed", "startTime": started_at, "completionTime": "2026-03-01T00:00:00Z" })
}
