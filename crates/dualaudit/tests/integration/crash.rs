//! SIGKILL at every seam: afterwards each execution has exactly one record, and none is stuck.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{Cluster, Dualaudit, FaultProxy, Seam, Verdict, eventually, run_command, verified};

const EXECUTIONS: usize = 42;
/// Every so many requests at the seam the process dies.
const EVERY: usize = 7;
const SHORT: &[&str] = &["--window", "1s"];

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_append_it_records_each_execution_once() {
    const ROUND: usize = 14;
    let cluster = Cluster::new().await;
    let ids = cluster.create_many(0..EXECUTIONS).await;
    for round in 0..EXECUTIONS / ROUND {
        let dualaudit = Dualaudit::run(&cluster, SHORT);
        eventually("it watches", || async {
            (dualaudit.metric("dualaudit_live_executions").await > 0).then_some(())
        })
        .await;
        let lock = cluster.lock_database();
        let recorded = dualaudit.recorded().await.len();
        cluster.finish_many(round * ROUND..(round + 1) * ROUND).await;
        eventually("it tries to append", || async {
            (dualaudit.metric("dualaudit_append_failures_total").await > 0).then_some(())
        })
        .await;
        assert_eq!(dualaudit.recorded().await.len(), recorded, "the lock is held");
        dualaudit.kill();
        drop(lock);
    }
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    cluster.all_gone().await;
    dualaudit.kill();
    each_has_one_record(&cluster, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_append_and_before_the_receipt_it_records_each_execution_once() {
    survives(Seam::Receipt, Verdict::DropBefore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_receipt_it_records_each_execution_once() {
    survives(Seam::Receipt, Verdict::DropAfter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_read_back_and_delete_it_releases_each_execution() {
    survives(Seam::Delete, Verdict::DropBefore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_once_the_delete_is_through_it_releases_each_execution() {
    survives(Seam::Delete, Verdict::DropAfter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_delete_and_finalizer_removal_it_releases_each_execution() {
    survives(Seam::Finalizer, Verdict::DropBefore).await;
}

/// Executions finish while dualaudit is killed at every [`EVERY`]th request of this kind and started
/// again each time, until all are gone.
async fn survives(seam: Seam, verdict: Verdict) {
    let cluster = Cluster::new().await;
    let proxy = FaultProxy::start(&cluster).await;
    let ids = cluster.create_many(0..EXECUTIONS).await;
    let kills = Arc::new(AtomicUsize::new(0));
    let running = start(&cluster, &proxy, seam, verdict, &kills);
    tokio::join!(cluster.finish_many(0..EXECUTIONS), async {
        let mut running = running;
        eventually("every execution is gone", || {
            if !running.is_running() {
                running = start(&cluster, &proxy, seam, verdict, &kills);
            }
            let present = cluster.present();
            async { present.await.is_empty().then_some(()) }
        })
        .await;
    });
    let kills = kills.load(Ordering::SeqCst);
    assert!(kills >= EXECUTIONS / EVERY - 1, "it was only killed {kills} times");
    each_has_one_record(&cluster, &ids).await;
}

/// A dualaudit that dies at the [`EVERY`]th request of this kind.
fn start(
    cluster: &Cluster,
    proxy: &FaultProxy,
    seam: Seam,
    verdict: Verdict,
    kills: &Arc<AtomicUsize>,
) -> Dualaudit {
    let dualaudit = Dualaudit::launch(run_command(cluster, &proxy.kubeconfig, SHORT));
    let (kill, kills, mut seen) = (Mutex::new(dualaudit.killer()), Arc::clone(kills), 0);
    proxy.judge(move |at| {
        if at != seam {
            return Verdict::Pass;
        }
        seen += 1;
        match seen.cmp(&EVERY) {
            Less => Verdict::Pass,
            Equal => {
                kill.lock().expect("it does not panic")();
                kills.fetch_add(1, Ordering::SeqCst);
                verdict
            }
            // It is dead: what it had sent besides never arrives.
            Greater => Verdict::DropBefore,
        }
    });
    dualaudit
}

/// What every crash test ends with.
async fn each_has_one_record(cluster: &Cluster, ids: &[String]) {
    // Starting once more finds nothing left to do.
    let dualaudit = Dualaudit::run(cluster, SHORT);
    eventually("nothing is tracked any more", || async { (cluster.tracked() == 0).then_some(()) }).await;
    let recorded = dualaudit.recorded().await;
    let expected: BTreeSet<_> = ids.iter().map(String::as_str).collect();
    let found: BTreeSet<_> = recorded.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(found, expected);
    assert_eq!(recorded.len(), ids.len(), "one record each");
    for item in &recorded {
        assert_eq!((&item["attempt"], &item["revision"]), (&1.into(), &1.into()), "{item}");
        assert_eq!(item["status"], "completed");
    }
    assert!(cluster.present().await.is_empty());
    assert!(cluster.gaps().is_empty());
    verified(cluster);
}
