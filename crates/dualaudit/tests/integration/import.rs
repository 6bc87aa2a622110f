//! Imports: into a database and through a server, killed on the way, and of what was exported.

use std::{fmt::Write as _, fs, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::producer::post;
use crate::retention::Audit;
use crate::support::{Dualaudit, ended, finished, postgres::Server, record};

const SERVE: [&str; 4] = ["run", "--api-only", "--listen", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_and_records_each_once_in_sqlite() {
    killed(&Audit::in_a_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_and_records_each_once_in_postgresql() {
    let database = Server::shared().database(None);
    killed(&Audit::at(database.url()));
}

fn killed(audit: &Audit) {
    const MANY: usize = 4_000;
    audit.done(&["migrate"]);
    let mut lines = String::new();
    for number in 0..MANY {
        writeln!(lines, "{}", record(&format!("r{number}"))).unwrap();
    }
    fs::write(audit.dir.path().join("records.jsonl"), lines).unwrap();
    let mut kills = 0;
    let mut patience = Duration::from_millis(100);
    let said = loop {
        let mut command = audit.command(&["import", "records.jsonl"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(patience);
        let is_killed = child.try_wait().unwrap().is_none();
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        if !is_killed {
            assert!(output.status.success());
            break String::from_utf8(output.stdout).unwrap();
        }
        kills += 1;
        patience = patience * 3 / 2;
    };
    assert!(kills > 0, "it was never killed");
    assert!(
        !said.starts_with(&format!("{MANY} new")),
        "what was recorded before it was killed is there: {said}"
    );
    assert_eq!(
        audit.done(&["import", "records.jsonl"]).trim(),
        format!("0 new, {MANY} there already, 0 refused")
    );
    audit.done(&["export", "--to", "all.csv"]);
    let exported = fs::read_to_string(audit.dir.path().join("all.csv")).unwrap();
    assert_eq!(exported.lines().count(), 1 + MANY);
    audit.done(&["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_with_its_place_and_the_rest_recorded_in_a_database_and_by_a_server() {
    let audit = Audit::in_a_file();
    audit.done(&["migrate"]);
    let dualaudit = Dualaudit::spawn(audit.command(&SERVE));
    assert_eq!(post(&dualaudit, &record("other").to_string()).await.0, 201);
    for (to, ids) in [(&[][..], ["a", "b"]), (&["--server", &dualaudit.url], ["c", "d"])] {
        let mut conflict = record("other");
        conflict["workflow_version"] = json!("v2");
        let mut unknown = record("x");
        unknown["steps"] = json!(3);
        let [first, second] = ids.map(record);
        let text = format!("{first}\n{conflict}\n{{\"id\n{unknown}\n{second}\n{}\n", record("other"));
        fs::write(audit.dir.path().join("mixed.jsonl"), text).unwrap();
        let import = |more: &[&str]| audit.run(&[&["import", "mixed.jsonl"], to, more].concat());
        let (status, said) = import(&["--dry-run"]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("nothing was recorded: 4 could be, 2 refused"), "{said}");
        let (status, said) = import(&["--report", "report.jsonl"]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("2 new, 1 there already, 3 refused"), "{said}");
        assert!(said.contains("mixed.jsonl:2: other: it is recorded with other content"), "{said}");
        assert!(said.contains("mixed.jsonl:3: not JSON: "), "{said}");
        assert!(said.contains("mixed.jsonl:4: x: steps: "), "{said}");
        let report = fs::read_to_string(audit.dir.path().join("report.jsonl")).unwrap();
        let lines =
            report.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].as_u64().unwrap());
        let mut lines: Vec<u64> = lines.collect();
        lines.sort_unstable();
        assert_eq!(lines, [2, 3, 4]);
        let (_, said) = import(&[]);
        assert!(said.contains("0 new, 3 there already, 3 refused"), "{said}");
    }
    assert_eq!(dualaudit.recorded().await.len(), 5);
    let (status, said) = audit.run(&["import", "nowhere.jsonl"]);
    assert_eq!((status, said.contains("cannot read nowhere.jsonl")), (1, true), "{said}");
    let (status, said) = audit.run(&["import", "--database", "sqlite:misspelt.db", "mixed.jsonl"]);
    assert_eq!((status, said.contains("there is no database")), (1, true), "{said}");
    drop(dualaudit);
    audit.done(&["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_comes_into_another_database_with_all_that_a_record_says() {
    let from = Audit::in_a_file();
    from.done(&["migrate"]);
    {
        let dualaudit = Dualaudit::spawn(from.command(&SERVE));
        let mut detailed = record("detailed");
        detailed["labels"] = json!({"team": "=payments"});
        detailed["namespace"] = json!("shop");
        detailed["error_message"] = json!("'quoted', and\nwith a line");
        detailed["target"] = json!({"kind": "Deployment", "name": "checkout"});
        let mut derived = record("derived");
        derived
            .as_object_mut()
            .unwrap()
            .retain(|field, _| field != "outcome" && field != "effectiveness_score");
        let batch = json!([detailed, derived, record("amended")]);
        assert_eq!(post(&dualaudit, &batch.to_string()).await.0, 201);
        let mut amended = record("amended");
        amended["workflow_version"] = json!("v2");
        let url = format!("{}/api/v1/executions?amend=true", dualaudit.url);
        let request = reqwest::Client::new().post(url).header("if-match", "1").json(&amended);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }
    from.done(&["review", "derived", "--verdict", "effective"]);
    from.done(&["export", "--revisions", "--to", "all.jsonl"]);
    from.done(&["export", "--all-entries", "--log", "http", "--to", "log.jsonl"]);
    from.done(&["export", "--to", "all.csv"]);
    let shown = |audit: &Audit, id: &str| {
        let mut record = audit.json(&["get", id])["record"].clone();
        let fields = record.as_object_mut().unwrap();
        fields.retain(|name, _| name != "recorded_at" && name != "revision");
        record
    };
    for (file, arguments, status, says) in [
        ("all.csv", &[][..], 0, "3 new, 0 there already, 0 refused"),
        ("all.jsonl", &["--amend"], 0, "3 new, 0 there already, 1 as later revisions, 0 refused"),
        ("all.jsonl", &[], 1, "3 new, 0 there already, 1 refused"),
        ("log.jsonl", &["--amend"], 0, "3 new, 0 there already, 1 as later revisions, 0 refused, skipped"),
    ] {
        let into = Audit::in_a_file();
        into.done(&["migrate"]);
        let path = from.dir.path().join(file);
        let import = [&["import", path.to_str().unwrap()], arguments].concat();
        let (found, said) = into.run(&import);
        assert_eq!((found, said.contains(says)), (status, true), "{file} {arguments:?}: {said}");
        for id in ["detailed", "derived", "amended"] {
            if status == 0 {
                assert_eq!(shown(&into, id), shown(&from, id), "{file}");
            }
        }
        let (found, said) = into.run(&import);
        assert_eq!((found, said.contains("0 new, ")), (status, true), "{said}");
        into.done(&["verify"]);
    }
    let changed = fs::read_to_string(from.dir.path().join("all.jsonl")).unwrap().replace("v1.2.0", "v1.2.1");
    fs::write(from.dir.path().join("changed.jsonl"), changed).unwrap();
    let (status, said) = from.run(&["import", "--dry-run", "changed.jsonl"]);
    assert_eq!((status, said.contains("it was changed since it was exported")), (1, true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workflow_executions_from_standard_input_are_recorded_but_for_those_that_run() {
    let audit = Audit::in_a_file();
    audit.done(&["migrate"]);
    let object = |name: &str, status: Value| {
        json!({
            "apiVersion": "dualaudit.dev/v1alpha1", "kind": "WorkflowExecution",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                         "creationTimestamp": "2026-05-01T10:00:00Z"},
            "spec": {"workflow": {"name": "restart", "version": "v1"}, "steps": [{"number": 1, "action": "restart"}]},
            "status": status,
        })
    };
    let items = [object("ended", finished()), object("runs", json!({"phase": "Executing"}))];
    let list = json!({"apiVersion": "v1", "items": items, "kind": "List"});
    fs::write(audit.dir.path().join("list.yaml"), serde_json::to_string_pretty(&list).unwrap()).unwrap();
    let mut command = audit.command(&["import", "-", "--cluster", "prod"]);
    command.stdin(fs::File::open(audit.dir.path().join("list.yaml")).unwrap());
    let output = ended(command);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 new, 0 there already, 0 refused, skipped 1 WorkflowExecutions"), "{said}");
    let found = audit.json(&["get", "uid-ended"]);
    assert_eq!((&found["record"]["cluster"], &found["record"]["name"]), (&json!("prod"), &json!("ended")));
    audit.done(&["verify"]);
}

#[test]
fn what_the_command_line_names_comes_before_the_environment_and_a_report_overwrites_no_input() {
    let audit = Audit::in_a_file();
    audit.done(&["migrate"]);
    let file = audit.dir.path().join("records.jsonl");
    fs::write(&file, format!("{}\n", record("a"))).unwrap();
    let elsewhere = |arguments: &[&str]| {
        let mut command = audit.command(arguments);
        // Nobody listens there.
        command
            .env("DUALAUDIT_SERVER", "http://127.0.0.1:9")
            .env_remove("DUALAUDIT_DATABASE")
            .output()
            .unwrap()
    };
    let output = elsewhere(&["import", "records.jsonl", "--database", &audit.url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = elsewhere(&["list", "-o", "json", "--count", "--database", &audit.url]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed["items"][0]["id"], &listed["count"]["value"]), (&json!("a"), &json!(1)));
    assert_eq!(elsewhere(&["list"]).status.code(), Some(1), "the environment is asked otherwise");

    let (status, said) = audit.run(&["import", "--dry-run", "--report", "records.jsonl", "records.jsonl"]);
    assert_eq!(status, 2, "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", record("a")));
}
