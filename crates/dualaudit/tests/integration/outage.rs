//! The API server goes away and comes back: nothing is lost, nothing comes twice, dualaudit stays up.

use std::{collections::BTreeSet, time::Duration};

use crate::support::{Cluster, Dualaudit, FaultProxy, eventually, verified};

const EXECUTIONS: usize = 60;
const SHORT: &[&str] = &["--window", "1s"];
const LONG: &[&str] = &["--window", "1h"];

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_killed_or_frozen_while_executions_finish_loses_and_doubles_nothing() {
    let cluster = Cluster::alone().await;
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    let ids = cluster.create_many(0..EXECUTIONS).await;
    let third = EXECUTIONS / 3;

    // Killed with records, receipts and deletions under way.
    cluster.finish_many(0..third).await;
    let before = complaints(&dualaudit).len();
    cluster.plane.command("kill", "apiserver");
    let back = async {
        eventually("it says that the API server is away", || async {
            (complaints(&dualaudit).len() > before + 1).then_some(())
        })
        .await;
        let (status, page) = dualaudit.get("/api/v1/executions").await;
        assert_eq!(status, 200, "what is recorded can be read meanwhile: {page}");
        assert_eq!(page["warnings"][0]["missing"], "live_changes", "{page}");
        tokio::task::block_in_place(|| cluster.plane.command("start", "apiserver"));
    };
    tokio::join!(cluster.finish_many(third..2 * third), back);

    // Frozen: connections stay open and nobody answers.
    cluster.plane.command("stop", "apiserver");
    let thaw = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(dualaudit.get("/api/v1/executions").await.0, 200);
        tokio::task::block_in_place(|| cluster.plane.command("continue", "apiserver"));
    };
    tokio::join!(cluster.finish_many(2 * third..EXECUTIONS), thaw);

    cluster.all_gone().await;
    let recorded = dualaudit.recorded().await;
    let found: BTreeSet<_> = recorded.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids.iter().map(String::as_str).collect());
    assert_eq!(recorded.len(), ids.len(), "one record each");
    assert!(recorded.iter().all(|item| item["revision"] == 1 && item["status"] == "completed"));
    assert!(cluster.gaps().is_empty());
    assert!(dualaudit.is_running(), "it is the same process all along");
    says_it_in_few_clear_lines(&dualaudit, before);
    verified(&cluster);
    cluster.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanished_while_the_watch_was_lost_is_a_gap_without_a_restart() {
    let cluster = Cluster::new().await;
    let proxy = FaultProxy::start(&cluster).await;
    let dualaudit = Dualaudit::run_with(&cluster, &proxy.kubeconfig, LONG);
    // With the old version still known to the API server the watch tells it, else the new listing.
    for must_list_anew in [false, true] {
        let name = format!("vanishes-{must_list_anew}");
        cluster.create(&name).await;
        cluster.protected(&name).await;
        eventually("it is tracked", || async { (cluster.tracked() == 1).then_some(()) }).await;
        let before = complaints(&dualaudit).len();
        proxy.cut();
        eventually("it says that the watch is lost", || async {
            (complaints(&dualaudit).len() > before).then_some(())
        })
        .await;
        cluster.strip(&name).await;
        cluster.delete(&name).await;
        if must_list_anew {
            proxy.expire_next_watch();
        }
        proxy.restore();
        let gap = eventually("there is a gap", || async {
            cluster.gaps().into_iter().find(|gap| gap["name"] == name.as_str())
        })
        .await;
        assert_eq!(gap["cause"], "vanished");
        assert!(gap["last_state"].as_str().unwrap().contains("restart-deployment"));
        assert!(!proxy.is_expiring());
    }
    assert_eq!(cluster.gaps().len(), 2);
    assert!(dualaudit.is_running() && dualaudit.recorded().await.is_empty());
    verified(&cluster);
}

/// The lines that warn: how it was started, and then that the API server is away.
fn complaints(dualaudit: &Dualaudit) -> Vec<String> {
    dualaudit.log().into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

/// One line a try, which says what is wrong and what is done about it; tries are apart.
fn says_it_in_few_clear_lines(dualaudit: &Dualaudit, before: usize) {
    let log = dualaudit.log();
    let complaints = complaints(dualaudit).split_off(before);
    assert!(complaints.len() <= 30, "{log:#?}");
    for line in &log {
        assert!(line.starts_with("20"), "every line is a line of its own: {line}");
        assert!(line.len() < 400 && !line.contains("panicked") && !line.contains("backtrace"), "{line}");
    }
    for line in complaints {
        assert!(line.contains("trying again"), "{line}");
    }
}
