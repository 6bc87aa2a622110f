//! The API is what its document says: schemathesis, which others wrote, holds the program to it on both databases.
//!
//! `DUALAUDIT_SCHEMATHESIS_SECONDS` lets it go on for that long rather than through what it always tries.

use std::{fs::File, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::producer::post;
use crate::retention::Audit;
use crate::support::{Dualaudit, postgres::Server, record, workspace};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_what_its_document_says_in_sqlite() {
    tried(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_what_its_document_says_in_postgresql() {
    let database = Server::shared().database(None);
    tried(Audit::at(database.url())).await;
}

async fn tried(audit: Audit) {
    audit.done(&["migrate"]);
    let serve = ["run", "--api-only", "--listen", "127.0.0.1:0", "--client-rate", "0"];
    let dualaudit = Dualaudit::spawn(audit.command(&serve));
    filled(&audit, &dualaudit).await;
    let (_, page) = dualaudit.get("/api/v1/executions?limit=5").await;
    let readers = workspace().join("target/readers/bin/schemathesis");
    assert!(readers.exists(), "{} is missing: run `make readers`", readers.display());
    let config = workspace().join("tests/schemathesis");
    let mut schemathesis = Command::new(readers);
    schemathesis
        .arg("--config-file")
        .arg(config.join("schemathesis.toml"))
        .env("PYTHONPATH", &config)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("DUALAUDIT_CURSOR", page["next_cursor"].as_str().unwrap())
        .current_dir(audit.dir.path());
    match std::env::var("DUALAUDIT_SCHEMATHESIS_SECONDS") {
        Ok(seconds) => schemathesis.args(["fuzz", "--max-time", &seconds]),
        Err(_) => schemathesis.args(["run", "--generation-deterministic"]),
    };
    let said = audit.dir.path().join("said");
    let out = File::create(&said).unwrap();
    let error = out.try_clone().unwrap();
    schemathesis.arg(format!("{}/openapi.json", dualaudit.url)).stdout(out).stderr(error);
    let mut child = schemathesis.spawn().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let said = std::fs::read_to_string(&said).unwrap();
    assert!(status.success(), "{said}\n{}", dualaudit.log().join("\n"));
    drop(dualaudit);
    audit.done(&["verify"]);
}

/// Some of all that there is to read.
async fn filled(audit: &Audit, dualaudit: &Dualaudit) {
    let mut records: Vec<Value> = (0..40).map(|n| detailed(&format!("run-{n}"), n)).collect();
    records.push(record("plain"));
    assert_eq!(post(dualaudit, &json!(records).to_string()).await.0, 201);
    for (id, verdict) in [("run-1", "harmful"), ("run-2", "effective"), ("run-1", "ineffective")] {
        audit.done(&["review", id, "--verdict", verdict, "--note", "seen", "--actor", "jo"]);
    }
    audit.done(&["hold", "add", "--execution", "run-3", "--reason", "case 7", "--actor", "jo"]);
    audit.done(&["hold", "add", "--labels", "team=a", "--reason", "case 8", "--actor", "jo"]);
    audit.done(&["erase", "run-4", "--reason", "request 42", "--yes"]);
}

fn detailed(id: &str, n: usize) -> Value {
    let mut record = record(id);
    record["incident_type"] = json!("OOMKilled");
    record["namespace"] = json!("shop");
    record["labels"] = json!({"team": if n.is_multiple_of(7) { "a" } else { "b" }});
    record["target"] = json!({"kind": "Deployment", "name": "web"});
    record["completed_at"] = json!(format!("2026-11-{:02}T08:00:00Z", 1 + n / 2));
    record["adaptive_adjustments"] = json!([{
        "step_number": 1, "adjustment_type": "timeout", "reason": "slow", "from": "30s", "to": "60s",
        "timestamp": "2026-11-01T08:00:00Z",
    }]);
    if n.is_multiple_of(5) {
        record["outcome"] = json!("failed");
        record["status"] = json!("failed");
        record["error_message"] = json!(format!("pod web-{n} did not come back"));
    }
    record
}
