//! Holds and purges from the command line, while the program serves, on both databases.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::producer::post;
use crate::support::{Dualaudit, command, ended, postgres::Server, record};

pub(crate) struct Audit {
    pub(crate) url: String,
    pub(crate) dir: TempDir,
}

impl Audit {
    pub(crate) fn in_a_file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite:{}", dir.path().join("audit.db").display()), dir }
    }

    pub(crate) fn at(url: String) -> Self {
        Self { url, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.dir.path().join("there-is-no-kubeconfig"));
        command.env("DUALAUDIT_DATABASE", &self.url).env("DUALAUDIT_ACTOR", "counsel").args(arguments);
        command.current_dir(self.dir.path());
        command
    }

    /// Runs it to its end: its exit status, and what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = ended(self.command(arguments));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Runs it; it succeeds.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let (status, said) = self.run(arguments);
        assert_eq!(status, 0, "{arguments:?}: {said}");
        said
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["-o", "json"]].concat())).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_stays_and_the_rest_goes_when_its_time_is_over_in_sqlite() {
    purged_while_serving(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_stays_and_the_rest_goes_when_its_time_is_over_in_postgresql() {
    let database = Server::shared().database(None);
    purged_while_serving(Audit::at(database.url())).await;
}

async fn purged_while_serving(audit: Audit) {
    audit.done(&["migrate"]);
    let dualaudit = Dualaudit::spawn(audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
    let old = |n: usize| {
        let mut record = record(&format!("r{n}"));
        record["completed_at"] = json!("2016-05-01T10:00:00Z");
        record["labels"] = json!({"team": if n < 3 { "payments" } else { "web" }});
        record
    };
    let batch = json!((0..10).map(old).collect::<Vec<_>>()).to_string();
    let (status, _) = post(&dualaudit, &batch).await;
    assert_eq!(status, 201);
    let (status, _) = post(&dualaudit, &record("young").to_string()).await;
    assert_eq!(status, 201);

    let said = audit.done(&["hold", "add", "--execution", "r9", "--reason", "case 7"]);
    assert!(said.starts_with("held by http/11, "), "{said}");
    assert_eq!(audit.done(&["hold", "add", "--execution", "r9", "--reason", "case 7"]), said, "once");
    audit.done(&["hold", "add", "-l", "team in (payments,x)", "--reason", "audit 2026"]);
    let (status, said) = audit.run(&["hold", "add", "--execution", "nobody", "--reason", "x"]);
    assert_eq!((status, said.contains("no log has execution nobody")), (1, true), "{said}");
    let (status, said) = audit.run(&["hold", "add", "--reason", "x"]);
    assert_eq!((status, said.contains("Usage:")), (2, true), "{said}");
    let table = audit.done(&["hold", "list"]);
    assert!(table.contains("execution r9") && table.contains("team in (payments,x)"), "{table}");
    let shown = audit.json(&["get", "r0"]);
    assert_eq!(shown["holds"][0]["reason"], "audit 2026", "{shown}");

    let policy = audit.dir.path().join("retention.yaml");
    fs::write(&policy, "keep: 1y\nrules:\n- workflow: other\n  keep: forever\n").unwrap();
    let policy = policy.to_str().unwrap();
    let plan = audit.json(&["purge", "plan", "--policy", policy]);
    let log = &plan["logs"][0];
    assert_eq!((&log["executions"], &log["held"]), (&json!(6), &json!(4)), "{plan}");
    let page = audit.done(&["purge", "plan", "--policy", policy]);
    assert!(
        page.contains("audit 2026") && page.contains(&format!("purge run --policy {policy} --plan")),
        "{page}"
    );
    let id = plan["id"].as_str().unwrap();
    let (status, said) = audit.run(&["purge", "run", "--plan", id]);
    assert_eq!((status, said.contains("the world has changed")), (1, true), "by another policy: {said}");
    let purged = audit.json(&["purge", "run", "--policy", policy, "--plan", id]);
    assert_eq!((&purged["logs"][0]["executions"], &purged["logs"][0]["entries"]), (&json!(6), &json!([13])));

    let (status, problem) = dualaudit.get("/api/v1/executions/r5").await;
    assert_eq!(status, 410);
    assert_eq!(problem["type"], "https://dualaudit.dev/problems/purged", "{problem}");
    assert_eq!((&problem["receipt"]["index"], &problem["purge"]), (&json!(5), &json!(13)), "{problem}");
    let (status, said) = audit.run(&["get", "r5"]);
    assert_eq!((status, said.contains("was purged")), (1, true), "{said}");
    assert_eq!(dualaudit.recorded().await.len(), 5);
    let (status, answer) = post(&dualaudit, &batch).await;
    assert_eq!((status, answer["receipts"].as_array().unwrap().len()), (200, 10), "{answer}");
    assert!(answer["receipts"].as_array().unwrap().iter().all(|receipt| receipt["result"] == "duplicate"));
    audit.done(&["verify"]);

    let said = audit.done(&["hold", "release", "http/12", "--reason", "the audit is over"]);
    assert!(said.starts_with("released by http/14, "), "{said}");
    let listed = |more: &[&str]| {
        let listed = audit.json(&[&["hold", "list"], more].concat());
        listed["items"].as_array().unwrap().clone()
    };
    assert_eq!((listed(&[]).len(), listed(&["--released"]).len()), (1, 2));
    let url = dualaudit.url.clone();
    assert_eq!(listed(&["--released", "--server", &url]), listed(&["--released"]));
    // By the server as by the database, each once.
    let hold = ["hold", "add", "--workflow", "elsewhere", "--reason", "case 9", "--server", &url];
    let said = audit.done(&hold);
    assert!(said.starts_with("held by http/15, ") && audit.done(&hold) == said, "{said}");
    assert_eq!(audit.done(&hold[..6]), said);
    let said = audit.done(&["hold", "release", "http/15", "--reason", "over", "--server", &url]);
    assert!(said.starts_with("released by http/16, "), "{said}");
    let shown = audit.json(&["hold", "get", "http/15", "--server", &url]);
    assert_eq!((&shown["hold"]["reason"], &shown["released"]["index"]), (&json!("case 9"), &json!(16)));
    let (status, said) = audit.run(&["hold", "release", "http/99", "--reason", "x"]);
    assert_eq!((status, said.contains("there is no hold with this index")), (1, true), "{said}");
    let plan = audit.json(&["purge", "plan", "--policy", policy]);
    assert_eq!((&plan["logs"][0]["executions"], &plan["logs"][0]["held"]), (&json!(3), &json!(1)), "{plan}");
    audit.done(&["verify"]);
    let said = audit.done(&["maintain"]);
    assert!(said.contains("The rows of 6 purged executions are removed"), "{said}");
    assert_eq!(dualaudit.recorded().await.len(), 5);
    let (status, _) = dualaudit.get("/api/v1/executions/r5").await;
    assert_eq!(status, 410);
    audit.done(&["verify"]);
    let said = audit.done(&["maintain"]);
    assert!(said.contains("Nothing purged was left to remove"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_killed_goes_on_where_it_was_in_sqlite() {
    killed(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_killed_goes_on_where_it_was_in_postgresql() {
    let database = Server::shared().database(None);
    killed(Audit::at(database.url())).await;
}

async fn killed(audit: Audit) {
    const MANY: usize = 5_000;
    audit.done(&["migrate"]);
    {
        let dualaudit = Dualaudit::spawn(audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
        for some in (0..MANY).collect::<Vec<_>>().chunks(1000) {
            let old = |n: &usize| {
                let mut record = record(&format!("r{n}"));
                record["completed_at"] = json!("2016-05-01T10:00:00Z");
                record
            };
            let (status, _) =
                post(&dualaudit, &json!(some.iter().map(old).collect::<Vec<_>>()).to_string()).await;
            assert_eq!(status, 201);
        }
    }
    let plan = audit.json(&["purge", "plan"]);
    let id = plan["id"].as_str().unwrap();
    let mut kills = 0;
    for arguments in [&["purge", "run", "--plan", id][..], &["maintain"]] {
        for patience in (1..).map(|round| Duration::from_millis(60 * round)) {
            let mut child =
                audit.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(patience);
            if child.try_wait().unwrap().is_none() {
                kills += 1;
            }
            let _ = child.kill();
            if child.wait().unwrap().success() {
                break;
            }
        }
        audit.done(&["verify"]);
    }
    assert!(kills > 1, "it was killed {kills} times");
    assert!(audit.json(&["list"])["items"].as_array().unwrap().is_empty());
    // Each execution went once, whichever run of the purge it was that took it.
    assert_eq!(audit.json(&["purge", "run", "--plan", id])["logs"], json!([]));
    assert!(audit.done(&["maintain"]).contains("Nothing purged was left to remove"));
    audit.done(&["verify"]);
}
