//! Producers that send records over HTTP until each is acknowledged, whatever happens meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use super::standalone::record;

/// Records in each body, of which there is one producer each. A body of one is a request of its own kind.
const BODIES: [usize; 3] = [1, 10, 25];
/// Between two bodies, so that a test of a fault is none of load.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(200);
/// How long one body may stay unacknowledged.
const LONGEST: Duration = Duration::from_secs(60);

/// Producers at work.
pub struct Producers {
    url: Arc<Mutex<String>>,
    stop: watch::Sender<bool>,
    work: Vec<JoinHandle<Sent>>,
}

/// What producers sent, and what they were told.
#[derive(Default)]
pub struct Sent {
    /// The receipt of each record that was acknowledged.
    pub receipts: BTreeMap<String, Value>,
    /// The ids of all records.
    pub ids: BTreeSet<String>,
    /// How often the answer was 503.
    pub turned_away: usize,
}

impl Producers {
    /// Starts them; their records' ids begin with `name`.
    pub fn start(name: &str, url: &str) -> Self {
        let url = Arc::new(Mutex::new(url.to_owned()));
        let stop = watch::Sender::new(false);
        let work = BODIES.map(|size| {
            tokio::spawn(produce(format!("{name}-{size}"), size, Arc::clone(&url), stop.subscribe()))
        });
        Self { url, stop, work: work.into() }
    }

    /// From now on they send here.
    pub fn turn_to(&self, url: &str) {
        url.clone_into(&mut self.url.lock().expect("nobody panics with it"));
    }

    /// Lets each have its last body acknowledged.
    pub async fn stop(self) -> Sent {
        self.stop.send_replace(true);
        let mut all = Sent::default();
        for sent in join_all(self.work).await {
            all.add(sent.expect("no producer panics"));
        }
        all
    }
}

async fn produce(
    name: String,
    size: usize,
    url: Arc<Mutex<String>>,
    mut stop: watch::Receiver<bool>,
) -> Sent {
    let client = reqwest::Client::new();
    let mut sent = Sent::default();
    for body in 0.. {
        let ids: Vec<_> = (0..size).map(|number| format!("{name}-{body}-{number}")).collect();
        let lines: Vec<_> = ids.iter().map(|id| record(id).to_string()).collect();
        sent.ids.extend(ids.iter().cloned());
        let deadline = Instant::now() + LONGEST;
        loop {
            assert!(Instant::now() < deadline, "{name}-{body} is never acknowledged");
            let to = format!("{}/api/v1/executions", url.lock().expect("nobody panics with it"));
            let media = if size == 1 { "application/json" } else { "application/x-ndjson" };
            let request = client.post(to).header("content-type", media).body(lines.join("\n"));
            // Whoever gets no answer, or half of one, has no receipt.
            if let Ok(answer) = request.send().await
                && let (status, wait) =
                    (answer.status().as_u16(), answer.headers().get("retry-after").cloned())
                && let Ok(answer) = answer.json::<Value>().await
            {
                match status {
                    200 | 201 => {}
                    503 => {
                        assert!(wait.is_some(), "{answer}");
                        sent.turned_away += 1;
                    }
                    status => panic!("{status}: {answer}"),
                }
                for receipt in answer["receipts"].as_array().into_iter().flatten() {
                    sent.acknowledge(receipt);
                }
            }
            if ids.iter().all(|id| sent.receipts.contains_key(id)) {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        if tokio::time::timeout(PAUSE, stop.wait_for(|stop| *stop)).await.is_ok() {
            break;
        }
    }
    sent
}

impl Sent {
    /// Adds what others sent, who were told the same of what is the same.
    pub fn add(&mut self, other: Self) {
        other.receipts.values().for_each(|receipt| self.acknowledge(receipt));
        self.ids.extend(other.ids);
        self.turned_away += other.turned_away;
    }

    /// Notes a receipt, which must say the same as one before.
    fn acknowledge(&mut self, receipt: &Value) {
        let id = receipt["id"].as_str().expect("an id").to_owned();
        let first = self.receipts.entry(id).or_insert_with(|| receipt.clone());
        for field in ["log", "index", "leaf_hash", "recorded_at"] {
            assert_eq!(first[field], receipt[field], "{field} of {}", receipt["id"]);
        }
    }
}
