//! Following what happens as server-sent events: all of it, also after a connection was lost.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, Standalone, record};

/// An event of a stream.
#[derive(Debug)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

/// A stream that is read as it comes.
struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(dualaudit: &Dualaudit, asked: &str, after: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(format!("{}/api/v1/watch?{asked}", dualaudit.url));
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Self { answer, text: String::new() }
    }

    /// The next event; comments are none.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let (name, id, data) = (line("event: "), line("id: "), line("data: "));
                self.text = rest.to_owned();
                let Some(name) = name else { continue };
                return Some(Event { name, id, data: serde_json::from_str(&data.unwrap()).unwrap() });
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.answer.chunk()).await;
            self.text.push_str(std::str::from_utf8(&chunk.expect("something comes").unwrap()?).unwrap());
        }
    }

    /// Events up to one that is as wanted; that one is the last.
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().await.expect("the stream goes on"));
            if wanted(&events[events.len() - 1]) {
                return events;
            }
        }
    }
}

fn is_ready(event: &Event) -> bool {
    event.name == "ready"
}

/// Sends records; answers their ids by their places in the log.
async fn send(dualaudit: &Dualaudit, ids: &[String]) -> BTreeMap<u64, String> {
    let records: Vec<_> = ids.iter().map(|id| record(id)).collect();
    let post = reqwest::Client::new().post(format!("{}/api/v1/executions", dualaudit.url)).json(&records);
    let answer: Value = post.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (answer["refused"].as_array().unwrap().len(), answer["receipts"].as_array().unwrap().len()),
        (0, ids.len())
    );
    let place =
        |receipt: &Value| (receipt["index"].as_u64().unwrap(), receipt["id"].as_str().unwrap().to_owned());
    answer["receipts"].as_array().unwrap().iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_is_told_as_it_changes_and_what_is_recorded_once() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "3s", "--cleanup", "delete"]);
    cluster.create("first").await;
    cluster.protected("first").await;
    let mut stream = Stream::open(&dualaudit, &format!("namespace={}", cluster.namespace), None).await;
    let known = stream.until(is_ready).await;
    let names: Vec<_> = known.iter().map(|event| (event.name.as_str(), &event.data["name"])).collect();
    assert_eq!(names, [("live", &json!("first")), ("ready", &Value::Null)]);

    let mut executing = Stream::open(&dualaudit, "phase=Executing", None).await;
    executing.until(is_ready).await;
    cluster.begin("first").await;
    let began = stream.until(|event| event.data["phase"] == "Executing").await.pop().unwrap();
    assert_eq!((began.name.as_str(), &began.id), ("live", &None));
    assert_eq!(began.data["step_executions"][0]["status"], "executing", "{}", began.data);
    cluster.finish("first").await;
    let events = stream.until(|event| event.name == "gone").await;
    let recorded: Vec<_> = events.iter().filter(|event| event.name == "recorded").collect();
    assert_eq!(recorded.len(), 1, "{events:#?}");
    assert_eq!(
        (&recorded[0].data["name"], &recorded[0].data["outcome"]),
        (&json!("first"), &json!("success"))
    );
    // Which is on both sides until it is gone.
    assert_eq!(recorded[0].data["tiers"], json!(["live", "stored"]));
    assert_eq!(events[events.len() - 1].data["tiers"], json!(["stored"]));
    let retained = events.iter().any(|event| event.name == "live" && event.data["review_until"].is_string());
    assert!(retained, "it was seen in its window: {events:#?}");
    // Of what does not fit any more one is told once more.
    let events = executing.until(|event| event.data["phase"] != "Executing").await;
    let last = &events[events.len() - 1];
    assert_eq!((last.name.as_str(), &last.data["phase"]), ("live", &json!("Completed")), "{events:#?}");

    // What does not fit is not told: of another namespace, of another side.
    let mut others = Stream::open(&dualaudit, "namespace=none", None).await;
    let mut stored = Stream::open(&dualaudit, "tier=stored&workflow=restart-deployment", None).await;
    let told = others.until(is_ready).await;
    let names: Vec<_> = told.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["warning", "ready"], "another namespace is watched: {told:#?}");
    assert_eq!(stored.until(is_ready).await.len(), 1);
    cluster.create("second").await;
    cluster.finish("second").await;
    let recorded = stored.next().await.unwrap();
    assert_eq!((recorded.name.as_str(), &recorded.data["name"]), ("recorded", &json!("second")));

    // Whoever listens is told that the server stops by the end of the stream.
    tokio::task::block_in_place(|| dualaudit.stop());
    assert!(others.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_told_what_was_recorded_meanwhile_each_once() {
    let audit = Standalone::new();
    let dualaudit = audit.serve();
    let ids: Vec<String> = (0..900).map(|n| format!("w-{n:03}")).collect();
    let mut stream = Stream::open(&dualaudit, "", None).await;
    let mut position = stream.until(is_ready).await.pop().unwrap().id;
    let (mut told, mut recorded) = (Vec::new(), Vec::new());
    for (round, ids) in ids.chunks(300).enumerate() {
        let mut places = send(&dualaudit, &ids[..200]).await;
        // Broken off in the middle of it.
        for _ in 0..100 + 20 * round {
            let event = stream.until(|event| event.name == "recorded").await.pop().unwrap();
            told.push(event.data["id"].as_str().unwrap().to_owned());
            position = event.id;
        }
        drop(stream);
        places.extend(send(&dualaudit, &ids[200..]).await);
        recorded.extend(places.into_values());
        stream = Stream::open(&dualaudit, "", position.as_deref()).await;
    }
    while told.len() < ids.len() {
        let event = stream.until(|event| event.name == "recorded").await.pop().unwrap();
        told.push(event.data["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, recorded, "in the order of the log, none twice");

    // A position of another database, whose log has the same name and fewer entries, and one that is no position.
    let other = Standalone::new();
    let elsewhere = other.serve();
    let mut stream = Stream::open(&elsewhere, "", None).await;
    stream.until(is_ready).await;
    send(&elsewhere, &ids[..3]).await;
    let of_another = stream.until(|event| event.name == "recorded").await.pop().unwrap().id;
    let mut stream = Stream::open(&dualaudit, "", of_another.as_deref()).await;
    let names: Vec<_> = stream.until(is_ready).await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["reset", "ready"]);
    for (asked, after) in
        [("", Some("x")), ("cursor=x", None), ("review=any", None), ("limit=3", None), ("colour=red", None)]
    {
        let mut request = reqwest::Client::new().get(format!("{}/api/v1/watch?{asked}", dualaudit.url));
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        assert_eq!(request.send().await.unwrap().status(), 400, "{asked} {after:?}");
    }
}
