//! Cursors and positions that are not as they were given: none leads to a page.

use std::fs;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::target::{LITTLE, Target};
use crate::{
    producer::post,
    retention::Audit,
    support::{postgres::Server, record},
};

const LISTS: [&str; 5] = ["executions", "holds", "purges", "gaps", "quarantine"];

/// Something to page through in three lists; gaps and quarantine have the cursors of these.
async fn filled(target: &Target) {
    let audit = &target.audit;
    let policy = audit.dir.path().join("retention.yaml");
    fs::write(&policy, "keep: 1y\n").unwrap();
    let policy = policy.to_str().unwrap();
    for n in 0..2 {
        let mut old = record(&format!("old-{n}"));
        old["completed_at"] = json!("2016-05-01T10:00:00Z");
        assert_eq!(post(&target.dualaudit, &old.to_string()).await.0, 201);
        let plan = audit.json(&["purge", "plan", "--policy", policy]);
        audit.json(&["purge", "run", "--policy", policy, "--plan", plan["id"].as_str().unwrap()]);
    }
    let records = (0..6).map(|n| {
        let mut record = record(&format!("run-{n}"));
        record["completed_at"] = json!(format!("2026-11-0{}T08:00:00Z", 1 + n));
        record
    });
    assert_eq!(post(&target.dualaudit, &json!(records.collect::<Vec<_>>()).to_string()).await.0, 201);
    for n in 0..3 {
        audit.done(&["hold", "add", "--execution", &format!("run-{n}"), "--reason", "case 7"]);
    }
}

/// Asks a list, with this beside `limit=1`.
async fn asked(target: &Target, client: &Client, list: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
    let request = client.get(format!("{}/api/v1/{list}", target.dualaudit.url)).query(&[("limit", "1")]);
    let answer = request.query(pairs).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn encoded(json: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// What a cursor may be made into, and is none any more; among it the same `said_otherwise`.
fn edits(cursor: &str, said_otherwise: bool) -> Vec<String> {
    let json = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap()).unwrap();
    let wire: Value = serde_json::from_str(&json).unwrap();
    let mut edits: Vec<String> = (0..cursor.len()).map(|length| cursor[..length].to_owned()).collect();
    for place in 0..cursor.len() {
        for bit in 0..7 {
            let mut edited = cursor.as_bytes().to_vec();
            edited[place] ^= 1 << bit;
            edits.push(String::from_utf8(edited).unwrap());
        }
    }
    for (name, value) in wire.as_object().unwrap() {
        for other in [
            json!("'; DROP TABLE log_entry; --"),
            json!("' OR '1'='1"),
            json!(null),
            json!(-1),
            json!([]),
            json!("\u{0}"),
        ] {
            let mut edited = wire.clone();
            edited[name] = if value.is_number() && other.is_string() { json!(7) } else { other };
            edits.push(encoded(&edited.to_string()));
        }
        let mut edited = wire.clone();
        edited.as_object_mut().unwrap().remove(name);
        edits.push(encoded(&edited.to_string()));
    }
    if said_otherwise {
        edits.extend(
            [json.replace('T', "t"), json.replace(':', ": "), format!("{json} ")].map(|it| encoded(&it)),
        );
    }
    edits.push(encoded(&json.replace('{', "{\"x\":1,")));
    edits.extend(["{}", "[]", "null", "7", "\"\"", &"[".repeat(2_000)].map(encoded));
    edits.extend([
        format!("{cursor}="),
        format!("{cursor}{cursor}"),
        format!(" {cursor}"),
        cursor.to_uppercase(),
        "A".repeat(20_000),
        String::new(),
    ]);
    edits.retain(|edited| edited != cursor);
    edits
}

async fn attacked(audit: Audit) {
    let target = Target::new(audit, LITTLE).await;
    filled(&target).await;
    let client = Client::new();
    let mut cursors = Vec::new();
    for list in &LISTS[..3] {
        let (_, first) = asked(&target, &client, list, &[]).await;
        cursors.push((*list, first["next_cursor"].as_str().unwrap().to_owned()));
    }
    let refused = async |list: &str, pairs: &[(&str, &str)]| {
        let (status, problem) = asked(&target, &client, list, pairs).await;
        let kind = problem["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned();
        assert_eq!((status, kind.as_str()), (400, "invalid-parameter"), "{list} {pairs:?}: {problem}");
        assert!(problem["detail"].as_str().unwrap().len() < 1024, "{problem}");
    };
    for (list, cursor) in &cursors {
        let (status, page) = asked(&target, &client, list, &[("cursor", cursor)]).await;
        assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 1), "{list}: {page}");
        for edited in edits(cursor, *list == "executions") {
            refused(list, &[("cursor", &edited)]).await;
        }
        for other in LISTS.iter().filter(|other| *other != list) {
            refused(other, &[("cursor", cursor)]).await;
        }
        refused(list, &[("cursor", cursor), ("log", "http")]).await;
        refused(list, &[("cursor", cursor), ("cursor", cursor)]).await;
        target.still_serves(list).await;
    }
    forged(&target, &client, &cursors[0].1).await;
    positions(&target, &client).await;
    target.is_unharmed();
}

/// A check is no secret: whoever makes one says where to go on, which they may, and asks nothing else.
async fn forged(target: &Target, client: &Client, cursor: &str) {
    let wire: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap()).unwrap();
    let all: Vec<_> = target.dualaudit.recorded().await;
    for id in ["' OR '1'='1", "'; DROP TABLE log_entry; --", "%", "\\", "run-0\" UNION SELECT 1"] {
        let text = |name: &str| wire[name].as_str().map_or_else(|| wire[name].to_string(), str::to_owned);
        let [version, asked_at, filters, created_at, log, attempt] =
            ["version", "asked_at", "filters", "created_at", "log", "attempt"].map(text);
        let said = format!("{version}\n{asked_at}\n{filters}\n{created_at}\n{log}\n{attempt}\n{id}");
        let check = hex::encode(&Sha256::digest(said)[..8]);
        let made = format!(
            "{{\"version\":{version},\"asked_at\":\"{asked_at}\",\"filters\":\"{filters}\",\"created_at\":\"{created_at}\",\
             \"log\":\"{log}\",\"id\":{},\"attempt\":{attempt},\"check\":\"{check}\"}}",
            json!(id)
        );
        let (status, page) = asked(target, client, "executions", &[("cursor", &encoded(&made))]).await;
        assert_eq!(status, 200, "{page}");
        for item in page["items"].as_array().unwrap() {
            assert!(all.iter().any(|it| it["id"] == item["id"]), "{id}: {item}");
        }
    }
}

/// The ids of events.
async fn positions(target: &Target, client: &Client) {
    let watch = async |position: &str| {
        let url = format!("{}/api/v1/watch", target.dualaudit.url);
        client.get(url).header("last-event-id", position).send().await.unwrap()
    };
    let mut stream = client.get(format!("{}/api/v1/watch", target.dualaudit.url)).send().await.unwrap();
    let mut told = String::new();
    let position = loop {
        told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        let complete = told.rsplit_once('\n').map_or("", |(lines, _)| lines);
        if let Some(id) = complete.lines().find_map(|line| line.strip_prefix("id: ")) {
            break id.to_owned();
        }
    };
    assert_eq!(watch(&position).await.status(), 200);
    // What no header can hold is no request.
    for edited in edits(&position, true)
        .iter()
        .filter(|it| it.trim() == it.as_str() && it.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
    {
        let answer = watch(edited).await;
        assert_eq!(answer.status(), 400, "{edited}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["field"], "Last-Event-ID", "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_cursor_leads_nowhere_in_sqlite() {
    attacked(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_cursor_leads_nowhere_in_postgresql() {
    let database = Server::shared().database(None);
    attacked(Audit::at(database.url())).await;
}
