//! JSON that is small and becomes large, or is none: sent to every call that takes a body.

use serde_json::{Value, json};

use super::target::{MUCH, Target};
use crate::{producer::post, retention::Audit, support::record};

/// The most that may be said of what is wrong with one object, in bytes.
const SAID: usize = 4096;

/// What is no record, review, window, hold or release, whatever is expected.
fn bombs() -> Vec<(&'static str, String)> {
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let keys: String = (0..100_000).map(|n| format!("\"key-{n}\":0,")).collect();
    let of_a_field = |value: &str| format!("{{\"actor\":{value},\"id\":{value},\"reason\":{value}}}");
    vec![
        ("arrays 100,000 deep", deep("[", "]")),
        ("arrays that do not end", "[".repeat(1_000_000)),
        ("objects 100,000 deep", format!("{}0{}", "{\"a\":".repeat(100_000), "}".repeat(100_000))),
        ("objects that do not end", "{\"reason\":".repeat(100_000)),
        ("a field that is 100,000 deep", of_a_field(&deep("[", "]"))),
        ("labels that are 100,000 deep", format!("{{\"labels\":{}}}", deep("[", "]"))),
        ("100,000 keys", format!("{{{keys}\"end\":0}}")),
        ("a key of 900,000 bytes", format!("{{\"{}\":0}}", "k".repeat(900_000))),
        ("a field twice", "{\"reason\":\"a\",\"id\":\"a\",\"verdict\":\"harmful\",\"reason\":\"b\",\"id\":\"b\",\"verdict\":\"harmful\"}".to_owned()),
        ("a number of 100,000 digits", of_a_field(&"9".repeat(100_000))),
        ("a fraction of 100,000 digits", of_a_field(&format!("0.{}", "3".repeat(100_000)))),
        ("an exponent of 100,000 digits", of_a_field(&format!("1e{}", "9".repeat(100_000)))),
        ("a number beyond every number", of_a_field("1e400")),
        ("less than nothing", of_a_field("-0")),
        ("NaN", of_a_field("NaN")),
        ("Infinity", of_a_field("-Infinity")),
        ("a number in hexadecimal", of_a_field("0x10")),
        ("half of a pair", of_a_field("\"\\ud800\"")),
        ("the other half", of_a_field("\"\\udc00\\ud800\"")),
        ("an escape that is none", of_a_field("\"\\x41\"")),
        ("an escape that is cut off", of_a_field("\"\\u00\"")),
        ("a line end in a text", of_a_field("\"a\nb\"")),
        ("a text of 900,000 bytes", of_a_field(&format!("\"{}\"", "t".repeat(290_000)))),
        ("a text that does not end", format!("{{\"reason\":\"{}", "t".repeat(900_000))),
        ("U+0000", "{\"id\":\"a\\u0000\",\"reason\":\"a\\u0000\",\"verdict\":\"harmful\",\"note\":\"\\u0000\"}".replace("\"id\"", "\"actor\"")),
        ("a comment", "{/* */\"reason\":\"a\"}".to_owned()),
        ("a comma too many", "{\"reason\":\"a\",}".to_owned()),
        ("quotes of another kind", "{'reason':'a'}".to_owned()),
        ("something behind it", "{\"reason\":\"a\",\"verdict\":\"harmful\"} {}".to_owned()),
        ("white space alone", " ".repeat(1_000_000)),
        ("nothing", "null".to_owned()),
        ("a text", "\"reason\"".to_owned()),
        ("nested as an attack on prototypes", "{\"__proto__\":{\"reason\":\"a\"},\"constructor\":{}}".to_owned()),
    ]
}

/// What is too much as records, and what must come back.
fn many() -> Vec<(&'static str, &'static str, String, (u16, &'static str))> {
    let (json, lines) = ("application/json", "application/x-ndjson");
    vec![
        ("a million elements", json, format!("[{}0]", "0,".repeat(1_000_000)), (413, "payload-too-large")),
        (
            "a million empty arrays",
            json,
            format!("[{}[]]", "[],".repeat(1_000_000)),
            (413, "payload-too-large"),
        ),
        ("a million lines", lines, "0\n".repeat(1_000_000), (413, "payload-too-large")),
        (
            "20,000 elements that are no records",
            json,
            format!("[{}0]", "0,".repeat(19_999)),
            (422, "all-refused"),
        ),
        ("20,000 lines that are no JSON", lines, "[\n".repeat(20_000), (422, "all-refused")),
        (
            "a line of 8 MiB",
            lines,
            format!("{{\"id\":\"{}\"}}", "a".repeat((8 << 20) - 100)),
            (422, "all-refused"),
        ),
        (
            "a record of 8 MiB",
            json,
            format!("{{\"id\":\"{}\"}}", "a".repeat((8 << 20) - 100)),
            (422, "invalid-record"),
        ),
        ("8 MiB of arrays", json, "[".repeat(8 << 20), (400, "invalid-json")),
        (
            "8 MiB of arrays in a record",
            json,
            format!("[{{\"id\":{}]", "[".repeat(8_000_000)),
            (400, "invalid-json"),
        ),
    ]
}

/// The calls that take a body, from the document: a path that fits, and what it is given.
async fn calls(target: &Target) -> Vec<(String, Value)> {
    let (_, document) = target.dualaudit.get("/openapi.json").await;
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for call in methods.as_object().unwrap().values() {
            if let Some(content) = call["requestBody"]["content"].as_object() {
                let path = path.replace("{id}", "held").replace("{log}", "http").replace("{index}", "1");
                calls.push((path, content["application/json"]["example"].clone()));
            }
        }
    }
    assert!(calls.len() >= 5, "{calls:?}");
    calls
}

async fn sent(target: &Target, path: &str, type_: &str, body: String) -> (u16, Value, usize) {
    let request = reqwest::Client::new().post(format!("{}{path}", target.dualaudit.url));
    let answer = request.header("content-type", type_).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap(), text.len())
}

/// Nothing of this reaches a database.
#[tokio::test(flavor = "multi_thread")]
async fn json_that_explodes_is_refused_with_what_is_wrong() {
    let target = Target::new(Audit::in_a_file(), MUCH).await;
    assert_eq!(post(&target.dualaudit, &record("held").to_string()).await.0, 201);
    target.audit.done(&["hold", "add", "--execution", "held", "--reason", "case 7"]);
    let mut wrong = Vec::new();
    for (path, example) in calls(&target).await {
        assert!(example.is_object(), "{path}");
        for (name, body) in bombs() {
            let (status, problem, length) = sent(&target, &path, "application/json", body).await;
            // Of an array of records each is told by itself.
            let is_clear =
                problem["detail"].as_str().is_some_and(|detail| !detail.is_empty() && detail.len() < 1024);
            if ![400, 413, 422].contains(&status) || !is_clear || length > SAID {
                wrong.push(format!("{path}, {name}: {status}, {length} bytes, {problem:.300}"));
            }
            target.still_serves(name).await;
        }
    }
    for (name, type_, body, (status, kind)) in many() {
        let (answered, problem, length) = sent(&target, "/api/v1/executions", type_, body).await;
        if answered != status || !problem["type"].as_str().unwrap().ends_with(kind) {
            wrong.push(format!("{name}: {answered}, {length} bytes, {problem:.300}"));
        }
        target.still_serves(name).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The same from many at once: what is small when it is sent, and large when it is answered.
    let few = format!("[{}0]", "0,".repeat(19_999));
    let (client, url) = (reqwest::Client::new(), format!("{}/api/v1/executions", target.dualaudit.url));
    let at_once = (0..12).map(async |_| {
        let request = client.post(&url).header("content-type", "application/json").body(few.clone());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        answer.bytes().await.unwrap();
        status
    });
    let statuses = futures::future::join_all(at_once).await;
    assert!(statuses.iter().all(|status| [422, 503].contains(status)), "{statuses:?}");
    target.still_serves("many at once").await;
    let recorded = target.dualaudit.recorded().await;
    assert_eq!(recorded.iter().map(|it| &it["id"]).collect::<Vec<_>>(), [&json!("held")]);
    target.is_unharmed();
}
