//! Each producer writes the log that it is granted, and no cluster's.

use super::*;
use crate::support::{Standalone, ended};

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_writes_the_log_that_it_is_granted_and_no_other() {
    let shop = Cluster::alone().await;
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "dualaudit-payments"},
        "rules": [{
            "apiGroups": ["dualaudit.dev"], "resources": ["executionrecords"], "resourceNames": ["payments", "default"],
            "verbs": ["create", "get", "list"],
        }],
    }))
    .unwrap();
    Api::all(shop.admin.clone()).create(&PostParams::default(), &role).await.unwrap();
    let token = account(&shop, "payments").await;
    bind_everywhere(&shop, "payments").await;
    let dualaudit = run(&shop, &shop.kubeconfig, &["--producers-log", "http,payments,http"]);
    let sent = async |query: &str, id: &str| {
        let asked = asked(&dualaudit, Method::POST, &format!("/api/v1/executions{query}"));
        let answer = asked.bearer_auth(&token).json(&record(id)).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, answer) = sent("?log=payments", "a").await;
    assert_eq!((status, &answer["receipts"][0]["log"]), (201, &json!("payments")), "{answer}");
    let (status, answer) = sent("?log=payments", "a").await;
    assert_eq!((status, &answer["receipts"][0]["result"]), (200, &json!("duplicate")), "{answer}");
    for (query, status, kind) in [
        ("", 403, "forbidden"),
        ("?log=http", 403, "forbidden"),
        ("?log=elsewhere", 403, "forbidden"),
        // Whoever may, may not into a cluster's.
        ("?log=default", 404, "no-such-log"),
        ("?log=payments&log=http", 400, "invalid-parameter"),
    ] {
        let (answered, problem) = sent(query, "b").await;
        assert_eq!(answered, status, "{query}: {problem}");
        assert!(problem["type"].as_str().unwrap().ends_with(kind), "{query}: {problem}");
    }
    let listed =
        asked(&dualaudit, Method::GET, "/api/v1/executions").bearer_auth(&token).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    let rows: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|row| (&row["id"], &row["log"])).collect();
    assert_eq!(rows, [(&json!("a"), &json!("payments"))]);
    shop.plane.end();
}

#[test]
fn files_are_imported_into_the_log_that_is_named() {
    let audit = Standalone::new();
    let server = Dualaudit::spawn(audit.command(&[
        "run",
        "--api-only",
        "--listen",
        "127.0.0.1:0",
        "--producers-log",
        "a,b",
    ]));
    let file = audit.dir.path().join("records.jsonl");
    std::fs::write(&file, format!("{}\n", record("x"))).unwrap();
    let file = file.to_str().unwrap();
    for (arguments, log) in [(&["--log", "b"][..], "b"), (&[], "a")] {
        let by_server = ["import", file, "--server", &server.url];
        let output = ended(audit.command(&[&by_server[..], arguments].concat()));
        assert!(output.status.success(), "{output:?}");
        let got = ended(audit.command(&["get", "x", "--server", &server.url, "--log", log, "-o", "json"]));
        assert!(got.status.success(), "{log}: {got:?}");
    }
    server.stop();
    let output = ended(audit.command(&["import", file, "--log", "c"]));
    assert!(output.status.success(), "{output:?}");
    let listed = ended(audit.command(&["list", "-o", "csv", "--columns", "log"]));
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "log\na\nb\nc\n");
    let refused = ended(audit.command(&["run", "--api-only", "--producers-log", "Not a name"]));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
