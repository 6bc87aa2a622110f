//! Nothing is missing, or what is missing is named: gaps, what is in quarantine, and the days of a log.

use std::{process::Output, sync::Arc};

use dualaudit::{
    clock::{Clock as _, SystemClock},
    store::{
        Batch, Draft, DraftContent, LogOpening, Owner, Store as _,
        sqlite::{Options, SqliteStore},
    },
};
use dualaudit_record::{
    Entry, Time,
    day::Day,
    entry::{Covers, Heartbeat, Hold},
    log::Nonce,
};
use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, command, eventually, verified};

const DAY: i64 = 86_400_000_000;

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = command(&cluster.kubeconfig);
    command.args(arguments).args(["--database", &cluster.database()]).output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn digest(cluster: &Cluster) -> (Option<i32>, Value) {
    let output = run(cluster, &["log", "digest", "--log", "default", "-o", "json"]);
    (output.status.code(), json_of(&output)["logs"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_and_what_was_in_quarantine_is_recorded_once_it_can_be() {
    let cluster = Cluster::new().await;
    const WINDOW: &[&str] = &["--window", "1h"];
    let dualaudit = Dualaudit::run(&cluster, WINDOW);
    cluster.create("good").await;
    cluster.finish("good").await;
    cluster.acknowledged("good").await;
    cluster.create("running").await;
    cluster.begin("running").await;
    // A record's times are at most 24 h ahead: it cannot be mapped now, and can be some seconds later.
    cluster.create("odd").await;
    let ahead = SystemClock.now().saturating_add_micros(DAY + 20_000_000);
    let began = SystemClock.now().saturating_add_micros(-60_000_000);
    let ended = json!({ "phase": "Completed", "startTime": began, "completionTime": ahead });
    cluster.status("odd", ended).await;
    cluster.create("lost").await;
    cluster.begin("lost").await;
    let (_, listed) = eventually("it is in quarantine", || async {
        let (status, page) = dualaudit.get("/api/v1/quarantine?log=default").await;
        (page["items"].as_array().is_some_and(|items| items.len() == 1)).then_some((status, page))
    })
    .await;
    let odd = &listed["items"][0];
    assert!(odd["quarantine"]["reason"].as_str().unwrap().contains("completed_at"), "{odd}");
    let index = odd["index"].as_u64().unwrap();
    let (_, one) = dualaudit.get(&format!("/api/v1/quarantine/default/{index}")).await;
    assert_eq!(one["object"]["metadata"]["name"], "odd");
    // It is gone from the cluster: only what was kept of it is left.
    cluster.delete("odd").await;
    cluster.gone("odd").await;
    eventually("all that runs is tracked", || async {
        let phases = cluster.tracked_phases();
        (phases.iter().filter(|phase| *phase == "Executing").count() == 2).then_some(())
    })
    .await;
    // While nobody watches: it would get its finalizer back.
    dualaudit.kill();
    cluster.strip("lost").await;
    cluster.delete("lost").await;
    let dualaudit = Dualaudit::run(&cluster, WINDOW);
    eventually("there is a gap", || async { cluster.gaps().pop() }).await;
    eventually("what is gone is tracked no more", || async {
        let phases = cluster.tracked_phases();
        (phases.iter().filter(|phase| *phase == "Executing").count() == 1).then_some(())
    })
    .await;

    let (status, summary) = digest(&cluster);
    assert_eq!((status, &summary["executions"], &summary["missing_total"]), (Some(3), &json!(3), &json!(2)));
    let named: Vec<_> = summary["missing"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(named, ["lost", "odd"].map(Value::from), "{summary}");
    let in_flight: Vec<_> =
        summary["in_flight"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(in_flight, [json!("running")]);
    let (_, by_server) = dualaudit.get("/api/v1/digests?log=default").await;
    assert_eq!(by_server["logs"][0], summary);

    let retried = eventually("it can be mapped", || async {
        let retried = json_of(&run(&cluster, &["quarantine", "retry", "--all", "-o", "json"]));
        (retried[0]["fate"] == "recorded").then_some(retried)
    })
    .await;
    // Its newest state, which was put in quarantine when its deletion was asked for.
    assert_eq!(retried[0]["name"], "odd");
    let index = retried[0]["index"].as_u64().unwrap();
    let recorded = dualaudit.recorded_as("odd").await.remove(0);
    assert_eq!(recorded["labels"]["dualaudit.dev/quarantine"], index.to_string());
    let again = run(&cluster, &["quarantine", "retry", "--all"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "Nothing is left in quarantine.\n");
    let (_, one) = dualaudit.get(&format!("/api/v1/quarantine/default/{index}")).await;
    assert_eq!(one["recorded"], retried[0]["receipt"]);

    let (status, summary) = digest(&cluster);
    assert_eq!((status, &summary["executions"], &summary["missing_total"]), (Some(3), &json!(3), &json!(1)));
    let gaps = run(&cluster, &["gaps", "list", "--all", "-o", "csv"]);
    let csv = String::from_utf8(gaps.stdout).unwrap();
    assert!(csv.lines().count() == 2 && csv.contains(",lost,vanished,"), "{csv}");
    let server = ["--server", &dualaudit.url];
    let by_server = run(&cluster, &[&["gaps", "list", "--all", "-o", "csv"][..], &server].concat());
    assert_eq!(String::from_utf8(by_server.stdout).unwrap(), csv);
    let table = run(&cluster, &[&["log", "digest"][..], &server].concat());
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("3 executions, 1 missing.") && table.contains("vanished"), "{table}");
    verified(&cluster);
}

/// Appends to the producers' log at `now`, past any program.
async fn seed(store: &SqliteStore, now: Time, contents: Vec<DraftContent>) {
    let opening = LogOpening {
        log: "http".to_owned(),
        owner: Owner::Producers,
        origin: "audit.example/http".to_owned(),
        secret: [7; 32],
        now,
    };
    store.open_log(opening).await.unwrap();
    let drafts = contents.into_iter().map(|content| Draft::new(Nonce([1; 16]), content)).collect();
    store.append("http", Arc::new(Batch { drafts, ..Batch::default() }), now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn days_on_which_dualaudit_did_not_run_get_their_digests_when_it_does() {
    let cluster = Cluster::new().await;
    let store = SqliteStore::open(cluster.dir.path().join("audit.db"), Options::default()).unwrap();
    let (now, ago) = (SystemClock.now(), |days: i64| SystemClock.now().saturating_add_micros(-days * DAY));
    let covers = Covers::ExecutionId("a".to_owned());
    let hold = Hold { covers, reason: "audit".to_owned(), actor: "me".to_owned() };
    seed(&store, ago(9), vec![DraftContent::Hold(hold)]).await;
    let heartbeat = Entry::Heartbeat(Heartbeat { size: 1 });
    seed(&store, ago(3), vec![DraftContent::Note(Box::new(heartbeat))]).await;
    drop(store);

    let owed = run(&cluster, &["log", "digest", "-o", "json"]);
    assert_eq!(owed.status.code(), Some(3), "no day has a digest: {owed:?}");
    let dualaudit = Dualaudit::run(&cluster, &["--window", "1h"]);
    let yesterday = Day::of(now).previous().unwrap().to_string();
    let path = format!("/api/v1/digests?log=http&until={yesterday}");
    let summary = eventually("every day has its digest", || async {
        let (_, summary) = dualaudit.get(&path).await;
        (summary["logs"][0]["without_digest"] == json!([])).then_some(summary)
    })
    .await;
    // That of the hold, the days after it, that of the heartbeat, and the days after that.
    assert_eq!(summary["logs"][0]["digests"], 4, "{summary}");
    assert_eq!(summary["logs"][0]["counts"]["holds"], 1);
    dualaudit.stop();
    let complete = run(&cluster, &["log", "digest", "--log", "http"]);
    assert_eq!(complete.status.code(), Some(0), "{complete:?}");
    assert!(
        String::from_utf8_lossy(&complete.stdout).contains("0 executions, none missing."),
        "{complete:?}"
    );
    verified(&cluster);
}
