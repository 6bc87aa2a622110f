//! Reviews from the command line and over HTTP, while the program serves, on both databases.

use std::time::Duration;

use dualaudit::clock::{Clock as _, SystemClock};
use dualaudit_record::Time;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use crate::producer::post;
use crate::retention::Audit;
use crate::support::{Cluster, Dualaudit, command, ended, eventually, postgres::Server, record, verified};

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_recorded_and_verified_in_sqlite() {
    reviewed_while_serving(Audit::in_a_file()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_recorded_and_verified_in_postgresql() {
    let database = Server::shared().database(None);
    reviewed_while_serving(Audit::at(database.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_made_longer_and_heeded_though_nothing_tells_the_controller_in_sqlite() {
    extended(Cluster::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_made_longer_and_heeded_though_nothing_tells_the_controller_in_postgresql() {
    let database = Server::shared().database(None);
    extended(Cluster::new().await.on_server(database.url())).await;
}

async fn extended(cluster: Cluster) {
    let dualaudit = Dualaudit::run(&cluster, &["--window", "15s"]);
    for name in ["brief", "longer", "served"] {
        cluster.create(name).await;
        cluster.finish(name).await;
    }
    let id = async |name: &str| cluster.acknowledged(name).await["id"].as_str().unwrap().to_owned();
    let (brief, longer, served) = (id("brief").await, id("longer").await, id("served").await);
    let extend = |arguments: &[&str]| {
        let mut command = command(&cluster.kubeconfig);
        command.env("DUALAUDIT_DATABASE", cluster.database()).env("DUALAUDIT_ACTOR", "jo");
        let output = ended({
            command.args(["review", "extend"]).args(arguments).args(["--reason", "not looked at yet"]);
            command
        });
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let said = extend(&[&longer, "--for", "1h"]);
    assert!(said.starts_with("it stays for review until 2"), "{said}");
    let said = extend(&[&served, "--for", "1h", "--server", &dualaudit.url]);
    assert!(said.contains("recorded as default/"), "{said}");
    let said = extend(&[&longer, "--for", "5m"]);
    assert!(said.contains("a window only ever becomes longer"), "{said}");
    let listed = |arguments: &[&str]| {
        let mut command = command(&cluster.kubeconfig);
        command.args(["review", "list", "--server", &dualaudit.url, "-o", "json"]).args(arguments);
        let listed: Value = serde_json::from_slice(&ended(command).stdout).unwrap();
        listed["items"].as_array().unwrap().clone()
    };
    // What the server was told is heeded at once.
    let deadline = eventually("the list knows the longer window", || async {
        let served = listed(&[]).into_iter().find(|item| item["id"] == served)?;
        let until: Time = served["review_until"].as_str()?.parse().ok()?;
        (until > SystemClock.now().saturating_add_micros(3_000_000_000)).then_some(until)
    })
    .await;
    let items = listed(&[]);
    let last = items.last().unwrap();
    assert_eq!((&last["id"], &last["review_until"]), (&json!(served), &json!(deadline)), "{items:?}");
    assert!(listed(&["-n", "elsewhere"]).is_empty() && listed(&["--limit", "1"]).len() == 1);
    let verdict = json!({"verdict": "effective"});
    assert_eq!(post_to(&dualaudit, &format!("/api/v1/executions/{served}/reviews"), &verdict).await.0, 201);
    assert!(!listed(&[]).iter().any(|item| item["id"] == served), "it is reviewed");
    cluster.gone("brief").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (name, id) in [("longer", &longer), ("served", &served)] {
        assert!(cluster.get(name).await.is_some(), "{name} stays");
        let (_, found) = dualaudit.get(&format!("/api/v1/executions/{id}")).await;
        let windows = found["windows"].as_array().unwrap();
        assert_eq!((windows.len(), &windows[0]["actor"]), (1, &json!("jo")), "{found}");
    }
    let (_, found) = dualaudit.get(&format!("/api/v1/executions/{brief}")).await;
    assert_eq!(found["windows"], json!([]));
    // A restart forgets nothing of it, and a deletion by somebody does not wait for it.
    dualaudit.stop();
    let _dualaudit = Dualaudit::run(&cluster, &["--window", "1s"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(cluster.get("longer").await.is_some() && cluster.get("served").await.is_some());
    cluster.delete("longer").await;
    cluster.gone("longer").await;
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_say_what_reviewers_say_and_each_is_recorded_once() {
    const REVIEW: &str = "dualaudit.dev/review";
    let cluster = Cluster::new().await;
    let mut dualaudit = Dualaudit::run(&cluster, &["--window", "1s"]);
    let annotations = json!({"annotations": {"dualaudit.dev/window": "1h"}});
    cluster.create_with("judged", annotations.clone()).await;
    cluster.create_with("garbled", annotations).await;
    cluster.finish("judged").await;
    cluster.finish("garbled").await;
    let id = cluster.acknowledged("judged").await["id"].as_str().unwrap().to_owned();
    cluster.annotate("judged", REVIEW, "harmful: it took the wrong node").await;
    cluster.annotate("garbled", REVIEW, "not so good").await;
    let path = format!("/api/v1/executions/{id}");
    let reviews = async |dualaudit: &Dualaudit, many: usize| {
        eventually("the verdicts are recorded", || async {
            let (_, mut found) = dualaudit.get(&path).await;
            let found = found["reviews"].take();
            (found.as_array().unwrap().len() == many).then_some(found)
        })
        .await
    };
    let said = reviews(&dualaudit, 1).await;
    assert_eq!(
        (&said[0]["verdict"], &said[0]["note"]),
        (&json!("harmful"), &json!("it took the wrong node"))
    );
    let actor = said[0]["actor"].as_str().unwrap();
    assert!(actor.starts_with("unverified"), "{actor}");
    // Somebody else says something since; what stands on the resource is not said again, whoever starts anew.
    let (status, _) = post_to(&dualaudit, &format!("{path}/reviews"), &json!({"verdict": "effective"})).await;
    assert_eq!(status, 201);
    dualaudit.stop();
    dualaudit = Dualaudit::run(&cluster, &["--window", "1s"]);
    cluster.annotate("judged", "example.com/touched", "yes").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    reviews(&dualaudit, 2).await;
    cluster.annotate("judged", REVIEW, r#"{"verdict": "ineffective", "note": "after all"}"#).await;
    let said = reviews(&dualaudit, 3).await;
    assert_eq!((&said[0]["verdict"], &said[0]["note"]), (&json!("ineffective"), &json!("after all")));
    let (_, found) = dualaudit.get(&path).await;
    let windows = found["windows"].as_array().unwrap();
    assert_eq!(
        (windows.len(), &windows[0]["reason"]),
        (1, &json!("annotation dualaudit.dev/window")),
        "{found}"
    );
    eventually("what cannot be read is told by an event", || async {
        let events: Api<Event> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
        let events = events.list(&ListParams::default()).await.ok()?;
        let is_it = |event: &Event| {
            event.reason.as_deref() == Some("InvalidAnnotation")
                && event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some("garbled")
                && event.note.as_deref().is_some_and(|note| note.contains("no verdict: \"not so good\""))
        };
        events.items.iter().any(is_it).then_some(())
    })
    .await;
    // A later attempt is not the one that the annotation was about.
    let began = SystemClock.now().saturating_add_micros(3_600_000_000);
    let ended = began.saturating_add_micros(1_000_000);
    let again = json!({"phase": "Completed", "startTime": began, "completionTime": ended, "steps": []});
    cluster.status("judged", again).await;
    eventually("both attempts are recorded", || async {
        (dualaudit.recorded_as("judged").await.len() == 2).then_some(())
    })
    .await;
    dualaudit.stop();
    dualaudit = Dualaudit::run(&cluster, &["--window", "1s"]);
    cluster.annotate("judged", "example.com/touched", "again").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, found) = dualaudit.get(&format!("{path}?attempt=2")).await;
    assert_eq!(found["reviews"], json!([]), "{found}");
    // The window of the annotation stays when that goes.
    cluster.annotate("judged", "dualaudit.dev/window", "").await;
    // A verdict on what is deleted in the same moment is not lost with it.
    cluster.annotate("garbled", REVIEW, "effective").await;
    cluster.delete("garbled").await;
    cluster.gone("garbled").await;
    let garbled = dualaudit.recorded_as("garbled").await.remove(0);
    let (_, found) = dualaudit.get(&format!("/api/v1/executions/{}", garbled["id"].as_str().unwrap())).await;
    assert_eq!(found["reviews"][0]["verdict"], "effective", "{found}");
    assert!(cluster.get("judged").await.is_some(), "its window is in the log");
    verified(&cluster);
}

async fn post_to(dualaudit: &Dualaudit, path: &str, body: &Value) -> (u16, Value) {
    let answer =
        reqwest::Client::new().post(format!("{}{path}", dualaudit.url)).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn reviewed_while_serving(audit: Audit) {
    audit.done(&["migrate"]);
    let dualaudit = Dualaudit::spawn(audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
    assert_eq!(post(&dualaudit, &record("a").to_string()).await.0, 201);
    let harmful = ["review", "a", "--verdict", "harmful", "--note", "the wrong node", "--actor", "jo"];
    let said = audit.done(&harmful);
    assert!(said.starts_with("recorded as http/1, "), "{said}");
    let said = audit.done(&[&harmful[..], &["--log", "http", "--attempt", "1"]].concat());
    assert!(said.starts_with("recorded already as http/1, "), "{said}");
    for (arguments, status, says) in [
        (&["review", "nobody", "--verdict", "harmful"][..], 1, "there is no execution nobody"),
        (&["review", "a", "--verdict", "harmful", "--attempt", "2"], 1, "there is no attempt 2"),
        (&["review", "a", "--verdict", "splendid"], 2, "must be one of effective, ineffective, harmful"),
        (&["review", "a"], 2, "VERDICT"),
        (&["review", "a", "harmful", "--verdict", "effective"], 2, "cannot be used with"),
        (&["review", "extend", "a", "--for", "48h", "--reason", "x"], 1, "no resource that could stay"),
        (&["review", "extend", "a", "--for", "long", "--reason", "x"], 2, "not a duration"),
        (&["review", "extend", "a", "--reason", "x"], 2, "--until"),
    ] {
        let (found, said) = audit.run(arguments);
        assert_eq!((found, said.contains(says)), (status, true), "{said}");
    }
    let server = ["--server", &dualaudit.url];
    let said = audit.done(
        &[&["review", "a", "harmful", "--note", "the wrong node", "--actor", "jo"][..], &server].concat(),
    );
    assert!(said.starts_with("recorded already as http/1, "), "{said}");
    let (status, said) = audit.run(&[&["review", "nobody", "effective"][..], &server].concat());
    assert_eq!((status, said.contains("there is no execution nobody")), (1, true), "{said}");
    let (status, found) = dualaudit.get("/api/v1/executions/a").await;
    let review = &found["reviews"][0];
    assert_eq!(
        (status, &review["verdict"], &review["note"], &review["actor"]),
        (200, &json!("harmful"), &json!("the wrong node"), &json!("jo"))
    );
    let page = audit.done(&["get", "a"]);
    assert!(page.contains("Reviews") && page.contains("the wrong node"), "{page}");
    audit.done(&["erase", "a", "--reason", "request 42", "--yes"]);
    let page = audit.done(&["get", "a"]);
    assert!(page.contains("harmful") && !page.contains("the wrong node"), "{page}");
    audit.done(&["verify"]);
    audit.done(&["log", "rebuild", "--check"]);
}
