//! Exports by the command line, of a database and of a server, on both databases: verified by the public key alone,
//! and Parquet read by others' readers.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::producer::post;
use crate::retention::Audit;
use crate::support::{Dualaudit, ended, postgres::Server, record, workspace};

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_proved_and_read_by_others_in_sqlite() {
    exported(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_proved_and_read_by_others_in_postgresql() {
    let database = Server::shared().database(None);
    exported(Audit::at(database.url())).await;
}

async fn exported(audit: Audit) {
    audit.done(&["migrate"]);
    let public = audit.done(&["log", "keygen", "--key-file", "log.key", "--origin", "audit.example/http"]);
    let public = public.lines().find(|line| line.starts_with("audit.example/http+")).unwrap().to_owned();
    fs::write(audit.dir.path().join("log.pub"), public).unwrap();
    let serve =
        ["run", "--api-only", "--listen", "127.0.0.1:0", "--origin", "audit.example", "--log-key", "log.key"];
    let dualaudit = Dualaudit::spawn(audit.command(&serve));
    let records: Vec<Value> = (0..20).map(detailed).collect();
    let (status, _) = post(&dualaudit, &json!(records).to_string()).await;
    assert_eq!(status, 201);
    let checkpoint = format!("{}/api/v1/log/http/checkpoint", dualaudit.url);
    while !reqwest::get(&checkpoint).await.unwrap().status().is_success() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let said = audit.done(&["export", "--to", "all.jsonl"]);
    assert!(
        said.starts_with("all.jsonl: 20 entries (20 of http), ") && said.contains("recorded as http/20"),
        "{said}"
    );
    assert_eq!(verified(&audit, "all.jsonl")["lines"], 20);
    audit.done(&["export", "-l", "team=payments", "--to", "payments.csv"]);
    assert_eq!(verified(&audit, "payments.csv.manifest.json")["lines"], 5);
    audit.done(&["export", "--to", "ALL.CSV"]);
    let upper = verified(&audit, "ALL.CSV");
    assert_eq!((&upper["export"]["format"], &upper["lines"]), (&json!("csv"), &json!(20)));
    audit.done(&["export", "--all-entries", "--log", "http", "--to", "http.jsonl"]);
    assert_eq!(verified(&audit, "http.jsonl")["lines"], 23);
    let server = [
        "export",
        "--server",
        &dualaudit.url,
        "--to",
        "served.jsonl",
        "--revisions",
        "--since",
        "2020-01-01T00:00:00Z",
    ];
    audit.done(&server);
    let served = verified(&audit, "served.jsonl");
    assert_eq!(
        (&served["export"]["actor"], &served["export"]["scope"]),
        (&json!("counsel"), &json!("revisions"))
    );
    assert_eq!(served["export"]["filter"]["since"], "2020-01-01T00:00:00.000000Z");

    let (status, said) = audit.run(&["export", "--to", "all.jsonl"]);
    assert_eq!((status, said.contains("is there already")), (1, true), "{said}");
    for wrong in [
        &["export", "--to", "x.csv", "--all-entries"][..],
        &["export", "--to", "x.jsonl", "--all-entries", "--workflow", "x"],
        &["export", "--to", "-", "--format", "parquet"],
        &["export", "--to", "x.jsonl", "--format", "xml"],
        &["export", "--to", "x.jsonl", "--outcome", "good"],
        &["export"],
    ] {
        let (status, said) = audit.run(wrong);
        assert_eq!((status, said.contains("Usage:")), (2, true), "{wrong:?}: {said}");
    }
    let (status, said) = audit.run(&["export", "--log", "nowhere", "--to", "x.jsonl"]);
    assert_eq!((status, said.contains("there is no log nowhere")), (1, true), "{said}");
    let piped = ended(audit.command(&["export", "--to", "-", "--format", "csv"]));
    assert_eq!(String::from_utf8(piped.stdout).unwrap().lines().count(), 21);
    let left: Vec<_> =
        fs::read_dir(audit.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");

    // A line less, and the manifest as it was.
    let text = fs::read_to_string(audit.dir.path().join("all.jsonl")).unwrap();
    let fewer: Vec<&str> = text.lines().skip(1).collect();
    fs::write(audit.dir.path().join("all.jsonl"), fewer.join("\n") + "\n").unwrap();
    let (status, said) = audit.run(&["verify", "--key", "log.pub", "all.jsonl"]);
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("expected 20 of kind execution, found 19") && said.contains("SHA-256"), "{said}");

    audit.done(&["export", "--to", "all.parquet"]);
    let checked = verified(&audit, "all.parquet");
    assert_eq!((&checked["export"]["format"], &checked["lines"]), (&json!("parquet"), &json!(0)));
    read_by_others(&audit.dir.path().join("all.parquet"));
    drop(dualaudit);
    audit.done(&["verify"]);
}

/// A record of some fields that the specification does not have.
fn detailed(number: usize) -> Value {
    let mut record = record(&format!("r{number:02}"));
    record["total_duration"] = json!(1_000_000_000_000_u64 + number as u64);
    record["completed_at"] = json!(format!("2026-05-01T10:00:{number:02}.123456Z"));
    if number.is_multiple_of(4) {
        record["labels"] = json!({"team": "payments", "tier": "1"});
        record["namespace"] = json!("shop");
        record["adaptive_adjustments"] = json!([{
            "step_number": 1, "adjustment_type": "timeout", "reason": "slow", "from": "30s",
            "timestamp": "2026-05-01T09:00:00Z",
        }]);
    }
    record["step_executions"] = match number {
        3 => json!(null),
        _ => json!([
            {"step_number": 1, "action": "drain", "duration": 5_000_000_000_u64 + number as u64, "status": "completed",
             "retries_attempted": 0, "name": "first", "started_at": "2026-05-01T09:59:00.000001Z"},
            {"step_number": 2, "action": "restart 漢", "duration": 1, "status": "failed", "retries_attempted": 2,
             "error_message": "=no"},
        ]),
    };
    record
}

/// DuckDB and pandas find in the file what was recorded, in columns of the right types.
fn read_by_others(file: &Path) {
    let python = workspace().join("target/readers/bin/python");
    assert!(python.exists(), "{} is missing: run `make readers`", python.display());
    let mut reading = Command::new(python);
    reading.arg(workspace().join("tests/readers/read.py")).arg(file);
    let output = ended(reading);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<String> = (0..20).map(|number| format!("r{number:02}")).collect();
    let durations: u64 = (0..20).map(|number| 1_000_000_000_000 + number).sum();
    let teams: Vec<Option<&str>> = (0..20).map(|n| (n % 4 == 0).then_some("payments")).collect();
    for reader in ["duckdb", "pandas"] {
        let found = &found[reader];
        assert_eq!(found["rows"], 20, "{reader}");
        assert_eq!(found["ids"], json!(ids), "{reader}");
        assert_eq!(found["durations"], durations.to_string(), "{reader}");
        assert_eq!(found["teams"], json!(teams), "{reader}");
        let first = found["completed_at"].as_str().unwrap();
        assert!(first.starts_with("2026-05-01 10:00:00.123456"), "{reader}: {first}");
        let steps = found["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 38, "{reader}");
        assert_eq!(
            steps[0].as_array().unwrap()[..6],
            json!(["r00", 1, "drain", 5_000_000_000_u64, "completed", "first"]).as_array().unwrap()[..]
        );
        assert_eq!(
            steps[1].as_array().unwrap()[..6],
            json!(["r00", 2, "restart 漢", 1, "failed", null]).as_array().unwrap()[..]
        );
    }
    let duckdb = &found["duckdb"];
    let type_of = |name: &str| duckdb["types"][name].as_str().unwrap();
    assert_eq!(type_of("id"), "VARCHAR");
    assert_eq!(type_of("total_duration"), "BIGINT");
    assert_eq!(type_of("total_steps"), "INTEGER");
    assert_eq!(type_of("effectiveness_score"), "DOUBLE");
    assert_eq!(type_of("completed_at"), "TIMESTAMP WITH TIME ZONE");
    assert_eq!(type_of("labels"), "MAP(VARCHAR, VARCHAR)");
    assert!(
        type_of("step_executions")
            .starts_with("STRUCT(step_number INTEGER, \"action\" VARCHAR, duration BIGINT"),
        "{}",
        type_of("step_executions")
    );
    assert!(
        type_of("step_executions").ends_with("started_at TIMESTAMP WITH TIME ZONE)[]"),
        "{}",
        type_of("step_executions")
    );
    assert_eq!(duckdb["without_steps"], 1);
    assert!(duckdb["steps"][0][6].as_str().unwrap().starts_with("2026-05-01 09:59:00.000001"), "{duckdb}");
    let changes: Vec<Value> =
        (0..20).step_by(4).map(|n| json!([format!("r{n:02}"), "timeout", "30s", null])).collect();
    assert_eq!(duckdb["changes"], json!(changes));
    let namespaces: Vec<Option<&str>> = (0..20).map(|n| (n % 4 == 0).then_some("shop")).collect();
    assert_eq!(duckdb["namespaces"], json!(namespaces));
    assert!(found["pandas"]["types"]["completed_at"].as_str().unwrap().contains("UTC"), "{found}");
}

/// Verifies a file with the public key; everything agrees, and the log says so itself.
fn verified(audit: &Audit, name: &str) -> Value {
    let report = audit.json(&["verify", "--key", "log.pub", name]);
    assert_eq!((&report["findings_total"], &report["is_vouched_for"]), (&json!(0), &json!(true)), "{report}");
    report
}
