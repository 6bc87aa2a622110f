//! Records that come over HTTP: from the specification's own Go types, and as bad as they get.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Dualaudit, Standalone, ended, record, workspace};

const PATH: &str = "/api/v1/executions";

#[tokio::test(flavor = "multi_thread")]
async fn the_specifications_record_marshalled_by_go_comes_back_field_for_field() {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    let mut producer = Command::new("go");
    producer.current_dir(workspace().join("tests/producer")).args(["run", ".", &dualaudit.url]);
    // A zone of its own shows that the machine's does not matter.
    producer.env("TZ", "Asia/Kathmandu");
    let output = ended(producer);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(dualaudit.recorded().await.len(), 2);
    standalone.verified();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_a_duplicate_and_other_content_a_conflict_also_after_a_restart() {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    let (status, first) = post(&dualaudit, &record("a").to_string()).await;
    assert_eq!((status, &first["receipts"][0]["result"]), (201, &json!("created")));
    dualaudit.kill();
    let dualaudit = standalone.serve();
    let (status, again) = post(&dualaudit, &record("a").to_string()).await;
    assert_eq!((status, &again["receipts"][0]["result"]), (200, &json!("duplicate")));
    for field in ["index", "leaf_hash", "recorded_at", "log", "revision"] {
        assert_eq!(again["receipts"][0][field], first["receipts"][0][field], "{field}");
    }
    let (status, other) = post(&dualaudit, &with("a", "workflow_version", "v2").to_string()).await;
    assert_eq!((status, kind(&other)), (409, "conflict"));
    let (_, found) = dualaudit.get(&format!("{PATH}/a")).await;
    assert_eq!(found["record"]["workflow_version"], "v1.2.0");
    standalone.verified();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_the_good_ones_are_committed_and_each_bad_one_is_told_its_position() {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    let bad_field = with("c", "steps", 3);
    let nul = with("d", "error_message", "a\u{0}b");
    let batch = json!([record("a"), with("b", "outcome", "splendid"), bad_field, nul, record("e")]);
    let (status, answer) = post(&dualaudit, &batch.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    let stored: Vec<_> = answer["receipts"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
    assert_eq!(stored, ["a", "e"]);
    let refused: Vec<_> = answer["refused"].as_array().unwrap().iter().map(told).collect();
    let expected = [(1, 422, "outcome"), (2, 422, "steps"), (3, 422, "error_message")];
    assert_eq!(refused, expected.map(|(at, status, field)| (at, status, field.to_owned())), "{answer}");
    let (status, again) = post(&dualaudit, &batch.to_string()).await;
    assert_eq!((status, again["receipts"][1]["result"].as_str()), (200, Some("duplicate")));
    assert_eq!(dualaudit.recorded().await.len(), 2);
    standalone.verified();
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_ndjson_stand_alone() {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    let lines = format!("{}\n{{\"id\": \n{}\n", record("a"), record("b"));
    let (status, answer) = post_as(&dualaudit, "application/x-ndjson", lines.into_bytes()).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["receipts"].as_array().unwrap().len(), 2);
    assert_eq!(answer["refused"][0]["position"], 1);
    assert_eq!(answer["refused"][0]["problem"]["status"], 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_whole_says_why_and_stores_nothing() {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    let json = |text: String| ("application/json", text.into_bytes());
    let nul = with("nul", "workflow_name", "a\u{0}").to_string();
    let large = with("large", "error_message", "x".repeat(8 << 20)).to_string();
    for ((media, body), status, expected) in [
        (json(format!("[{}, {{]", record("a"))), 400, "invalid-json"),
        (json(String::new()), 400, "invalid-json"),
        (("application/json", vec![b'"', 0xff, b'"']), 400, "invalid-json"),
        (json(nul), 422, "invalid-record"),
        (json(large), 413, "payload-too-large"),
        (("text/plain", record("a").to_string().into_bytes()), 415, "unsupported-media-type"),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (found, problem) = post_as(&dualaudit, media, body).await;
        assert_eq!((found, kind(&problem)), (status, expected), "{shown}: {problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    assert!(dualaudit.recorded().await.is_empty());
    standalone.verified();
}

fn with(id: &str, field: &str, value: impl Into<Value>) -> Value {
    let mut record = record(id);
    record[field] = value.into();
    record
}

pub(crate) async fn post(dualaudit: &Dualaudit, body: &str) -> (u16, Value) {
    post_as(dualaudit, "application/json", body.as_bytes().to_vec()).await
}

async fn post_as(dualaudit: &Dualaudit, media: &str, body: Vec<u8>) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{}{PATH}", dualaudit.url));
    let request = request.header("content-type", media).body(body);
    let send = || request.try_clone().expect("a body that is there as a whole").send();
    // A body that is refused before it was sent may find its connection closed before the answer was read.
    let mut sent = send().await;
    for _ in 0..20 {
        match &sent {
            Err(error) if error.is_request() => sent = send().await,
            _ => break,
        }
    }
    let answer = sent.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("the answer is JSON"))
}

/// The last part of a problem's type.
fn kind(problem: &Value) -> &str {
    problem["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap()
}

fn told(refused: &Value) -> (u64, u64, String) {
    let problem = &refused["problem"];
    let field = problem["field"].as_str().unwrap_or_default().to_owned();
    (refused["position"].as_u64().unwrap(), problem["status"].as_u64().unwrap(), field)
}
