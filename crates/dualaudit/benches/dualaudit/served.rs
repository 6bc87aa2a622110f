//! The API under readers, watchers and a producer at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    controller::resident,
    heading, median, percentile,
    support::{Dualaudit, Standalone, record},
};

const READERS: usize = 64;
const WATCHERS: usize = 1000;
/// Requests of the producer that are under way at once, and records of each.
const SENDING: usize = 8;
const BATCH: usize = 100;
/// Records that are there before.
const STORED: usize = 100_000;
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
/// Records of which it is measured how long watchers wait for them, and the time between two.
const TOLD: usize = 200;
const PACE: Duration = Duration::from_millis(100);
/// What the producer should keep of its rate.
const GOAL: f64 = 0.9;

fn serve(audit: &Standalone) -> Dualaudit {
    let run = ["run", "--api-only", "--listen", "127.0.0.1:0", "--client-rate", "0"];
    Dualaudit::spawn(audit.command(&run))
}

/// What a producer records over HTTP as fast as it can, alone and beside readers of one request a second each.
pub(crate) async fn a_producer_beside_readers() {
    heading(&format!(
        "a producer over HTTP, alone and beside {READERS} readers, of {STORED} executions in SQLite"
    ));
    let audit = Standalone::new();
    let dualaudit = serve(&audit);
    let client = reqwest::Client::new();
    let next = Arc::new(AtomicUsize::new(0));
    while next.load(Ordering::Relaxed) < STORED {
        produce(&client, &dualaudit.url, &next, Duration::ZERO).await;
    }
    let (mut alone, mut beside, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(produce(&client, &dualaudit.url, &next, ROUND).await);
        let over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                tokio::spawn(read(client.clone(), dualaudit.url.clone(), reader, Arc::clone(&over)))
            })
            .collect();
        beside.push(produce(&client, &dualaudit.url, &next, ROUND).await);
        over.store(true, Ordering::Relaxed);
        for reader in readers {
            waits.extend(reader.await.expect("a reader"));
        }
    }
    let (alone, beside) = (median(&mut alone), median(&mut beside));
    println!(
        "alone {alone:.0} a second, beside readers {beside:.0}: {:.2} (goal: {GOAL}); readers wait p50 {:.1?}, p99 {:.1?}",
        beside / alone,
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99)
    );
}

/// Records as fast as it goes for a while, at least once; answers how many a second.
async fn produce(client: &reqwest::Client, url: &str, next: &AtomicUsize, time: Duration) -> f64 {
    let began = Instant::now();
    let count = AtomicUsize::new(0);
    let sending = (0..SENDING).map(|_| async {
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            let records: Vec<Value> = (first..first + BATCH).map(|n| record(&format!("r-{n}"))).collect();
            let answer = client.post(format!("{url}/api/v1/executions")).json(&records).send().await;
            assert_eq!(answer.expect("an answer").status(), 201);
            count.fetch_add(BATCH, Ordering::Relaxed);
            if began.elapsed() >= time {
                break;
            }
        }
    });
    futures::future::join_all(sending).await;
    count.into_inner() as f64 / began.elapsed().as_secs_f64()
}

/// Asks once a second, for lists and for single executions in turn; answers how long each took.
async fn read(client: reqwest::Client, url: String, reader: usize, over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut waits = Vec::new();
    tokio::time::sleep(Duration::from_secs(1) * u32::try_from(reader).expect("few") / READERS as u32).await;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    while !over.load(Ordering::Relaxed) {
        second.tick().await;
        let asked = match waits.len() % 2 {
            0 => format!("{url}/api/v1/executions?workflow=restart-deployment"),
            _ => format!("{url}/api/v1/executions/r-{}", reader * 101),
        };
        let began = Instant::now();
        let answer = client.get(asked).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("a body");
        waits.push(began.elapsed());
    }
    waits
}

/// What those cost who follow what happens, and how long they wait for it.
pub(crate) async fn many_watchers() {
    heading(&format!("{WATCHERS} watchers"));
    let audit = Standalone::new();
    let dualaudit = serve(&audit);
    let client = reqwest::Client::new();
    let next = AtomicUsize::new(0);
    produce(&client, &dualaudit.url, &next, Duration::ZERO).await;
    let before = resident(dualaudit.pid());
    let began = Instant::now();
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        // A connection each, as browsers have it.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        let answer = client.get(format!("{}/api/v1/watch?tier=stored", dualaudit.url)).send().await;
        let answer = answer.expect("a stream");
        assert_eq!(answer.status(), 200);
        watchers.push(tokio::spawn(hear(answer, began)));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident(dualaudit.pid());
    for n in 0..TOLD {
        let mut told = record(&format!("told-{n}"));
        told["remediation_id"] = began.elapsed().as_micros().to_string().into();
        let answer = client.post(format!("{}/api/v1/executions", dualaudit.url)).json(&told).send().await;
        assert_eq!(answer.expect("an answer").status(), 201);
        tokio::time::sleep(PACE).await;
    }
    let busy = resident(dualaudit.pid());
    let mut waits = Vec::new();
    for watcher in watchers {
        waits.extend(watcher.await.expect("a watcher"));
    }
    assert_eq!(waits.len(), TOLD * WATCHERS, "everybody is told everything");
    let each = |now: u64| now.saturating_sub(before) * 1024 / WATCHERS as u64;
    println!(
        "{} KiB each while nothing happens, {} KiB each afterwards (goal: under 64); from before a record is sent until it \
         is heard p50 {:.0?}, p99 {:.0?} (goal: under 1 s)",
        each(idle),
        each(busy),
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99)
    );
}

/// Hears all that is told; answers how long after it was sent each was heard.
async fn hear(mut answer: reqwest::Response, began: Instant) -> Vec<Duration> {
    let (mut text, mut waits) = (String::new(), Vec::new());
    while waits.len() < TOLD {
        let chunk = answer.chunk().await.expect("a chunk").expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: "))
                && event.contains("event: recorded")
            {
                let row: Value = serde_json::from_str(data).expect("a row");
                let sent: u64 = row["remediation_id"].as_str().and_then(|it| it.parse().ok()).expect("when");
                waits.push(began.elapsed().saturating_sub(Duration::from_micros(sent)));
            }
            text = rest.to_owned();
        }
    }
    waits
}
