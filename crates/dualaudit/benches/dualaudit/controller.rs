//! The controller on a real API server, which shares the machine's cores with it.

use std::{
    collections::HashMap,
    pin::pin,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use kube::{
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

use crate::{
    heading,
    load::{completed, create, finish},
    median, percentile,
    support::{CONCURRENCY, Cluster, Dualaudit, each},
};

const LONG: &[&str] = &["--window", "24h"];

/// The rate at which finished resources get receipts, beside the rate at which a bare client patches
/// the same resources.
pub(crate) async fn recording_beside_bare_patches() {
    const COUNT: usize = 2_000;
    const ROUNDS: usize = 4;
    heading(&format!("{COUNT} finished resources recorded with receipts, beside bare metadata patches"));
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let cluster = Cluster::new().await;
        create(&cluster, COUNT, json!([])).await;
        finish(&cluster, COUNT).await;
        // Whoever comes second meets larger objects: they take turns.
        let (patched, recorded) = if round % 2 == 0 {
            let patched = bare_patches(&cluster, COUNT).await;
            (patched, recorded(&cluster, COUNT).await)
        } else {
            let recorded = recorded(&cluster, COUNT).await;
            (bare_patches(&cluster, COUNT).await, recorded)
        };
        let (patched, recorded) = (per_second(COUNT, patched), per_second(COUNT, recorded));
        println!("bare {patched:.0}/s   recorded {recorded:.0}/s   ratio {:.2}", recorded / patched);
        bare.push(patched);
        ours.push(recorded);
        ratios.push(recorded / patched);
    }
    println!(
        "median: bare {:.0}/s, recorded {:.0}/s, ratio {:.2} (goal 0.8), {CONCURRENCY} at once",
        median(&mut bare),
        median(&mut ours),
        median(&mut ratios)
    );
}

/// Patches as large as a receipt, by the same client library.
async fn bare_patches(cluster: &Cluster, count: usize) -> Duration {
    let api = cluster.executions();
    let patch = json!({ "metadata": { "annotations": { "bench.example/receipt": "x".repeat(330) } } });
    let began = Instant::now();
    each(0..count, |name| {
        let (api, patch) = (api.clone(), Patch::Merge(patch.clone()));
        async move {
            api.patch_metadata(&name, &PatchParams::default(), &patch).await.expect("it is patched");
        }
    })
    .await;
    began.elapsed()
}

/// From a process that is up, its first listing included, to the last receipt.
async fn recorded(cluster: &Cluster, count: usize) -> Duration {
    let dualaudit = Dualaudit::run(cluster, LONG);
    let began = Instant::now();
    wait_for(&dualaudit, "dualaudit_receipts_written_total", count).await;
    let took = began.elapsed();
    dualaudit.stop();
    took
}

/// How long a finish waits for its receipt, at a steady rate.
pub(crate) async fn latency_from_finish_to_receipt() {
    const RATE: usize = 50;
    const SECONDS: usize = 30;
    const COUNT: usize = RATE * SECONDS;
    heading(&format!("from finish to receipt at {RATE} a second for {SECONDS} s"));
    let cluster = Cluster::new().await;
    create(&cluster, COUNT, json!(["dualaudit.dev/record"])).await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    wait_for(&dualaudit, "dualaudit_live_executions", COUNT).await;

    let receipts = tokio::spawn(receipt_times(cluster.executions(), COUNT));
    let api = cluster.executions();
    let patch = Patch::Merge(json!({ "status": completed() }));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE).expect("a rate"));
    let mut finishes = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        tick.tick().await;
        let (api, patch, name) = (api.clone(), patch.clone(), format!("load-{number}"));
        finishes.push(tokio::spawn(async move {
            api.patch_status(&name, &PatchParams::default(), &patch).await.expect("it is finished");
            (name, Instant::now())
        }));
    }
    let mut finished = HashMap::new();
    for finish in finishes {
        let (name, at) = finish.await.expect("a finish");
        finished.insert(name, at);
    }
    let receipts = receipts.await.expect("all receipts");
    let mut waits: Vec<_> =
        receipts.iter().map(|(name, at)| at.saturating_duration_since(finished[name])).collect();
    println!(
        "p50 {:.0?}   p99 {:.0?} (goal: under 1 s)   worst {:.0?}",
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99),
        percentile(&mut waits, 1.0)
    );
}

/// When the watch first showed each receipt.
async fn receipt_times(api: kube::Api<kube::core::DynamicObject>, count: usize) -> HashMap<String, Instant> {
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    let mut seen = HashMap::new();
    while let Some(object) = events.try_next().await.expect("a watch") {
        let annotations = object.metadata.annotations.unwrap_or_default();
        if annotations.contains_key("dualaudit.dev/receipt") {
            seen.entry(object.metadata.name.expect("a name")).or_insert_with(Instant::now);
        }
        if seen.len() == count {
            break;
        }
    }
    seen
}

/// What 10,000 live executions cost in memory.
pub(crate) async fn memory_with_many_live() {
    const COUNT: usize = 10_000;
    heading(&format!("memory with {COUNT} live executions"));
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, LONG);
    let idle = resident(dualaudit.pid());
    create(&cluster, COUNT, json!([])).await;
    wait_for(&dualaudit, "dualaudit_live_executions", COUNT).await;
    // Until the last tracked states are in the database.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (live, peak) = (resident(dualaudit.pid()), peak(dualaudit.pid()));
    println!(
        "resident: idle {idle} MiB, live {live} MiB, peak {peak} MiB (goal: under 64 MiB above the database cache of 64 MiB)"
    );
}

/// What a process has in memory, in MiB.
pub(crate) fn resident(pid: u32) -> u64 {
    status_mib(pid, "VmRSS:")
}

fn peak(pid: u32) -> u64 {
    status_mib(pid, "VmHWM:")
}

fn status_mib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Waits until a metric has reached a value.
async fn wait_for(dualaudit: &Dualaudit, metric: &str, value: usize) {
    let client = reqwest::Client::new();
    loop {
        let text = client.get(format!("{}/metrics", dualaudit.url)).send().await.expect("an answer");
        let text = text.text().await.expect("a text");
        let found = text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse::<usize>().ok());
        if found.is_some_and(|found| found >= value) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
