//! Existing resources at install: all of them, at full speed, and then silence.

use std::time::{Duration, Instant};

use crate::support::{Cluster, Dualaudit, FaultProxy, eventually, verified};

const EXISTING: usize = 1500;

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

    // From here on only the watch is read. One look at the ledger is due every 15 s.
    let before = proxy.requests().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let since = proxy.requests().split_off(before);
    let is_expected = |request: &&String| request.contains("/configmaps?") || request.contains("watch=true");
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
