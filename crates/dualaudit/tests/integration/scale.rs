//! Very many at once: existing resources at install, and gaps after a loss.

use std::time::{Duration, Instant};

use crate::support::{Cluster, Dualaudit, FaultProxy, command, eventually, verified};

const EXISTING: usize = 1500;
const VANISHED: usize = 200;
const RELEASED: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn existing_finished_resources_all_get_receipts_and_then_nothing_more_is_asked() {
    let cluster = Cluster::new().await;
    cluster.create_many(0..EXISTING).await;
    cluster.finish_many(0..EXISTING).await;
    let proxy = FaultProxy::start(&cluster).await;
    let began = Instant::now();
    let dualaudit = Dualaudit::run_with(&cluster, &proxy.kubeconfig, &["--window", "1h"]);
    eventually("all have receipts", || async {
        (dualaudit.metric("dualaudit_receipts_written_total").await == EXISTING as u64).then_some(())
    })
    .await;
    println!("{EXISTING} existing resources were taken in within {:.1?}", began.elapsed());

    // From here on only the watch is read. Every 15 s it is looked at the ledger and at the version.
    let before = proxy.requests().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let since = proxy.requests().split_off(before);
    let is_expected = |request: &&String| {
        ["/configmaps?", "watch=true", "limit=1"].iter().any(|part| request.contains(part))
    };
    let asked: Vec<_> = since.iter().filter(|request| !is_expected(request)).collect();
    assert!(asked.is_empty(), "{asked:#?}");
    let patches = proxy.requests().iter().filter(|request| request.starts_with("PATCH ")).count();
    assert_eq!(patches, EXISTING, "one patch each brings receipt and finalizer");

    assert_eq!(dualaudit.recorded().await.len(), EXISTING);
    for object in cluster.present().await {
        let metadata = object.metadata;
        assert!(metadata.annotations.unwrap().contains_key("dualaudit.dev/receipt"));
        assert_eq!(metadata.finalizers, Some(vec!["dualaudit.dev/record".to_owned()]));
    }
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_gone_share_the_commits_of_their_gaps() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "1h"]);
    cluster.create_many(0..VANISHED + RELEASED).await;
    eventually("all are tracked and protected", || async {
        let present = cluster.present().await;
        let is_protected = present.iter().all(|object| object.metadata.finalizers.is_some());
        (is_protected && cluster.tracked() == VANISHED + RELEASED).then_some(())
    })
    .await;
    dualaudit.kill();
    cluster.lose_many(0..VANISHED).await;
    let output = command(cluster.admin_kubeconfig())
        .args(["release", "--unrecorded", "--namespace", &cluster.namespace, "--reason", "etcd is full"])
        .args(["--home", &cluster.home])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(cluster.ledger().await, RELEASED);

    let began = Instant::now();
    let dualaudit = Dualaudit::run(&cluster, &["--window", "1h"]);
    eventually("each is a gap", || async { (cluster.gaps().len() == VANISHED + RELEASED).then_some(()) })
        .await;
    println!("{VANISHED} vanished and {RELEASED} released became gaps within {:.1?}", began.elapsed());
    let commits = dualaudit.metric("dualaudit_append_seconds_count").await;
    // How many there are of each depends on how fast the API server answers beside the disk.
    assert!(commits < (VANISHED + RELEASED) as u64 / 3, "{commits} commits");
    eventually("the ledger is empty again", || async { (cluster.ledger().await == 0).then_some(()) }).await;
    let causes: Vec<_> = cluster.gaps().into_iter().map(|gap| gap["cause"].clone()).collect();
    assert_eq!(causes.iter().filter(|cause| *cause == "vanished").count(), VANISHED);
    verified(&cluster);
}
