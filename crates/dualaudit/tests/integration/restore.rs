//! etcd is restored from a backup: the cluster goes back in time, the log does not.

use serde_json::json;

use crate::support::{Cluster, Dualaudit, eventually, verified};

const SHORT: &[&str] = &["--window", "1s"];

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_of_etcd_nothing_is_recorded_twice_and_what_it_took_away_is_a_gap() {
    let cluster = Cluster::alone().await;
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    let reviewed = json!({ "annotations": { "dualaudit.dev/window": "1h" } });
    cluster.create_with("reviewed", reviewed.clone()).await;
    for name in ["ended", "running", "untouched"] {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    cluster.finish("reviewed").await;
    cluster.acknowledged("reviewed").await;
    dualaudit.kill();
    cluster.finish("ended").await;
    cluster.plane.back_up();

    // What the restore undoes: three are recorded and released, three more come and begin.
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    cluster.finish("running").await;
    cluster.delete("reviewed").await;
    for name in ["reviewed", "ended", "running"] {
        cluster.gone(name).await;
    }
    cluster.create_with("recorded", reviewed).await;
    cluster.finish("recorded").await;
    cluster.acknowledged("recorded").await;
    for name in ["lost", "replaced"] {
        cluster.create(name).await;
        cluster.protected(name).await;
        cluster.begin(name).await;
    }
    eventually("all that run are tracked", || async {
        let phases = cluster.tracked_phases();
        (phases.iter().filter(|phase| *phase == "Executing").count() == 2).then_some(())
    })
    .await;
    let newest = version(&cluster, "replaced").await;

    tokio::task::block_in_place(|| cluster.plane.restore());
    eventually("the cluster went back in time", || async {
        let version = cluster.executions().get_opt("ended").await.ok()??.metadata.resource_version?;
        (version.parse::<u64>().ok()? < newest).then_some(())
    })
    .await;
    // Before dualaudit can know: an engine that goes on, and another resource under a name that was taken.
    cluster.finish("running").await;
    cluster.create("replaced").await;
    for name in ["ended", "running"] {
        cluster.gone(name).await;
    }
    cluster.protected("replaced").await;
    let gaps = eventually("what began after the backup is a gap", || async {
        Some(cluster.gaps()).filter(|gaps| gaps.len() == 2)
    })
    .await;
    assert!(gaps.iter().all(|gap| gap["cause"] == "vanished" && gap["last_phase"] == "Executing"));
    let mut names: Vec<_> = gaps.iter().map(|gap| gap["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["lost", "replaced"]);

    for name in ["untouched", "replaced"] {
        cluster.finish(name).await;
        cluster.gone(name).await;
    }
    cluster.delete("reviewed").await;
    cluster.all_gone().await;
    let recorded = dualaudit.recorded().await;
    let mut names: Vec<_> = recorded.iter().map(|item| item["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["ended", "recorded", "replaced", "reviewed", "running", "untouched"],
        "one record each"
    );
    assert!(recorded.iter().all(|item| item["attempt"] == 1 && item["revision"] == 1), "{recorded:#?}");
    assert_eq!(cluster.gaps().len(), 2);
    eventually("nothing is tracked any more", || async { (cluster.tracked() == 0).then_some(()) }).await;
    assert!(dualaudit.is_running(), "it is the same process all along");
    verified(&cluster);
    cluster.plane.end();
}

async fn version(cluster: &Cluster, name: &str) -> u64 {
    cluster.get(name).await.unwrap().metadata.resource_version.unwrap().parse().unwrap()
}
