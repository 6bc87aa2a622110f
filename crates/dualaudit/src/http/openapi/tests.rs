use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use axum::{body::Body, http::Request};
use dualaudit_record::{Submitted, entry::GapCause};
use serde_json::{Value, json};

use super::{examples, openapi_json};
use crate::{
    http::tests::{Served, now, record},
    query::ListRequest,
    store::{DraftContent, conformance::sample},
};

/// Whether what is derived is to be written anew, rather than compared.
fn is_written() -> bool {
    std::env::var_os("DUALAUDIT_WRITE_OPENAPI").is_some()
}

fn document() -> Value {
    serde_json::from_slice(openapi_json()).unwrap()
}

/// Every call of the document: its path, its method, and what is said of it.
fn calls() -> Vec<(String, String, Value)> {
    let document = document();
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            calls.push((path.clone(), method.clone(), call.clone()));
        }
    }
    calls
}

fn parameters<'c>(call: &'c Value, place: &str) -> Vec<&'c Value> {
    let all = call["parameters"].as_array().into_iter().flatten();
    all.filter(|parameter| parameter["in"] == place).collect()
}

fn query_names(path: &str) -> BTreeSet<String> {
    let (_, _, call) = calls().into_iter().find(|(of, method, _)| of == path && method == "get").unwrap();
    parameters(&call, "query").iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

/// A path with the examples of its parameters, and those of the query string that are needed, or with all that `with`
/// wants.
fn example_path(path: &str, call: &Value, with: impl Fn(&Value) -> bool) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut filled = path.to_owned();
    for parameter in parameters(call, "path") {
        let name = parameter["name"].as_str().unwrap();
        filled = filled.replace(&format!("{{{name}}}"), &text(&parameter["example"]));
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for parameter in parameters(call, "query") {
        if parameter["required"] == true || with(parameter) {
            query.append_pair(parameter["name"].as_str().unwrap(), &text(&parameter["example"]));
        }
    }
    format!("{filled}?{}", query.finish())
}

#[tokio::test]
async fn the_document_in_docs_is_the_one_that_is_served() {
    if is_written() {
        return write_anew().await;
    }
    assert!(
        fs::read(docs()).unwrap() == openapi_json(),
        "docs/openapi.json differs: DUALAUDIT_WRITE_OPENAPI=1 cargo test -p dualaudit --lib openapi writes it"
    );
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

/// Writes the examples that the API answers otherwise by now, and the document as it will be served with them.
async fn write_anew() {
    let served = exemplary().await;
    let mut document = document();
    for (call, path) in examples::ASKED {
        let (answered, mut example) = (served.get(path).await.json(), examples::of(call).unwrap());
        if answered != example {
            example = answered;
            let file = format!("{}/src/http/openapi/examples/{call}.json", env!("CARGO_MANIFEST_DIR"));
            fs::write(file, format!("{example:#}\n")).unwrap();
        }
        let paths = document["paths"].as_object_mut().unwrap().values_mut();
        let mut calls = paths.flat_map(|methods| methods.as_object_mut().unwrap().values_mut());
        let said = calls.find(|said| said["operationId"] == *call).unwrap();
        said["responses"]["200"]["content"]["application/json"]["example"] = example;
    }
    fs::write(docs(), format!("{document:#}\n")).unwrap();
}

#[tokio::test]
async fn the_router_has_the_paths_and_methods_of_the_document_and_no_others() {
    let served = Served::new().await;
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in calls() {
        let methods = said.entry(path).or_default();
        methods.insert(method.to_uppercase());
        if method == "get" {
            methods.insert("HEAD".to_owned());
        }
    }
    // Nothing but its Debug form tells which paths a router has.
    let routed = format!("{:?}", served.router).replace("{*", "{");
    let mut routed: BTreeSet<&str> = routed.split('"').filter(|text| text.starts_with('/')).collect();
    // What answers everything else.
    routed.retain(|path| *path != "/" && !path.contains("axum_fallback"));
    assert_eq!(said.keys().map(String::as_str).collect::<BTreeSet<_>>(), routed);
    for (path, methods) in said {
        let path = path.replace(['{', '}'], "");
        let answered = served.send(Request::delete(&path).body(Body::empty()).unwrap()).await;
        let allowed = answered.header("allow").split(',').map(str::to_owned).collect();
        assert_eq!(methods, allowed, "{path}");
    }
}

#[tokio::test]
async fn every_example_of_a_parameter_is_taken_and_what_is_not_in_the_document_is_not() {
    let served = Served::new().await;
    served.post_json(&record("run-1")).await;
    served.publish().await;
    let refused = ["malformed-request", "invalid-parameter", "unknown-filter"];
    for (path, method, call) in calls() {
        if method != "get" || !path.starts_with("/api/") {
            continue;
        }
        for parameter in parameters(&call, "query") {
            // A cursor is one that was given, and goes with the filters that it was given for.
            if parameter["schema"]["format"] == "cursor" {
                continue;
            }
            // Versions are those of a workflow.
            let path = example_path(&path, &call, |it| it == parameter || it["name"] == "workflow");
            // By HEAD, so that nothing is exported.
            let answered = served.send(Request::head(&path).body(Body::empty()).unwrap()).await;
            assert!(![400, 422].contains(&answered.status.as_u16()), "{path}");
        }
        if parameters(&call, "query").is_empty() {
            continue;
        }
        let answered = served.get(&format!("{}&colour=red", example_path(&path, &call, |_| false))).await;
        assert!(refused.contains(&answered.problem().as_str()), "{path}: {}", answered.text);
    }
}

/// A little of each.
async fn exemplary() -> Served {
    let served = Served::new().await;
    let records = (1..=8).map(|n| {
        let mut record = record(&format!("run-{n}"));
        record["workflow_version"] = if n % 2 == 0 { "v1.1.0" } else { "v1.2.0" }.into();
        record["incident_type"] = "OOMKilled".into();
        record["namespace"] = "shop".into();
        record["target"] = json!({"kind": "Deployment", "name": "web"});
        record["labels"] = json!({"team": "payments"});
        if n == 4 {
            record["outcome"] = "failed".into();
            record["status"] = "failed".into();
            record["error_message"] = "the deployment did not become ready in 30s".into();
        }
        if n > 5 {
            record["adaptive_adjustments"] = json!([{
                "step_number": 2, "adjustment_type": "timeout", "reason": "slow", "from": "30s", "to": "60s",
                "timestamp": "2026-05-01T07:59:00Z",
            }]);
        }
        record
    });
    // Not sent: a server draws a nonce for each.
    let produced = records.map(|record| {
        let record = Submitted::from_value(record).unwrap().validate(now()).unwrap();
        sample::from_producer(record, None)
    });
    let others = [
        sample::review("run-1", Some(1), 2),
        sample::hold("run-1", "case 4711"),
        DraftContent::Gap(sample::gap("lost-1", None, GapCause::Vanished)),
        sample::quarantine("odd-1", r#"{"kind":"WorkflowExecution","status":{"phase":"Completed"}}"#),
    ];
    let drafts = sample::batch(produced.chain(others));
    served.store.inner.append("http", drafts, now()).await.unwrap();
    served.publish().await;
    served
}

/// What a value looks like: texts and numbers differ from time to time.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => "text".into(),
        Value::Number(_) => 1.into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => members.iter().map(|(name, of)| (name.clone(), shape(of))).collect(),
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

#[tokio::test]
async fn every_example_of_an_answer_is_one_that_the_api_gave() {
    let served = exemplary().await;
    for (call, path) in examples::ASKED {
        let answered = served.get(path).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.text);
        let is_so = shape(&answered.json()) == shape(&examples::of(call).unwrap());
        assert!(
            is_so || is_written(),
            "{call} answers otherwise: DUALAUDIT_WRITE_OPENAPI=1 writes its example anew"
        );
    }
}

#[tokio::test]
async fn every_parameter_that_is_read_is_in_the_document() {
    let names = |text: &str| text.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
    let refused = ListRequest::parse(&[("colour".into(), "red".into())], now());
    let rule = refused.unwrap_err().rule.replace(" and ", ", ");
    assert_eq!(query_names("/api/v1/executions"), names(rule.rsplit_once("known are ").unwrap().1));
    let served = Served::new().await;
    for (path, _, call) in calls() {
        if path.starts_with("/api/v1/learn/") {
            let answered = served.get(&format!("{}&colour=red", example_path(&path, &call, |_| false))).await;
            let known = answered.json()["filters"].clone();
            let known: BTreeSet<String> = serde_json::from_value(known).unwrap();
            assert_eq!(query_names(&path), known, "{path}");
        }
    }
}

#[test]
fn everything_that_is_referred_to_is_there_and_what_is_said_is_for_readers() {
    fn walk(value: &Value, visit: &mut impl FnMut(&str, &str)) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if let Value::String(text) = member {
                        visit(name, text);
                    }
                    walk(member, visit);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
            _ => {}
        }
    }
    let document = document();
    let mut referred = BTreeSet::new();
    walk(&document, &mut |name, text| {
        if name == "$ref" {
            let schema = text.strip_prefix('#').unwrap();
            assert!(document.pointer(schema).is_some(), "{text} is not there");
            referred.insert(schema.to_owned());
        }
        assert!(!text.contains("crate::") && !text.contains("](") && !text.contains("[`"), "{name}: {text}");
    });
    let mut there = BTreeSet::new();
    // Requirements name a scheme and refer to nothing.
    let parts =
        document["components"].as_object().unwrap().iter().filter(|(part, _)| *part != "securitySchemes");
    for (part, components) in parts {
        there.extend(components.as_object().unwrap().keys().map(|name| format!("/components/{part}/{name}")));
    }
    // These two are of no call.
    let of_none = ["no-such-path", "method-not-allowed"].map(|kind| format!("/components/examples/{kind}"));
    referred.extend(of_none);
    assert_eq!(there, referred);
    let ids: Vec<String> = calls().iter().map(|(_, _, call)| call["operationId"].to_string()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}
