//! Live and recorded executions as one list, whatever moves between the sides.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, eventually, verified};

const EXECUTIONS: usize = 2000;
const LONGEST: Duration = Duration::from_secs(240);

/// All rows of a list, page by page.
async fn whole(dualaudit: &Dualaudit, asked: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut path = format!("/api/v1/executions?{asked}");
    loop {
        let (status, mut page) = dualaudit.get(&path).await;
        // One namespace is watched, so that this is said wherever it was not asked for alone.
        let others = page["warnings"].as_array().into_iter().flatten();
        let others = others.map(|it| it["detail"].as_str().unwrap()).collect::<Vec<_>>().join(", ");
        assert!(
            status == 200 && (others.is_empty() || others.contains("alone: what is live in others")),
            "{page}"
        );
        items.append(page["items"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/executions?{asked}&cursor={cursor}"),
            None => return items,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_moves_from_the_cluster_to_the_database_is_in_every_pass_once() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "2s", "--cleanup", "delete"]);
    let ids = cluster.create_many(0..EXECUTIONS).await;
    eventually("all are seen", || async {
        (whole(&dualaudit, "limit=1000").await.len() == EXECUTIONS).then_some(())
    })
    .await;
    let (over, passes, moved) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let read = async |limit: usize| {
        while !over.load(Ordering::Relaxed) {
            let items = whole(&dualaudit, &format!("limit={limit}")).await;
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for item in &items {
                *seen.entry(item["id"].as_str().unwrap()).or_default() += 1;
            }
            let missing: Vec<_> = ids.iter().filter(|id| !seen.contains_key(id.as_str())).collect();
            let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
            assert!(missing.is_empty() && doubled.is_empty(), "missing {missing:?}, doubled {doubled:?}");
            let tiers = |item: &Value| item["tiers"].as_array().unwrap().len();
            let sides = [1, 2].map(|both| items.iter().any(|item| tiers(item) == both));
            moved.fetch_add(usize::from(sides == [true; 2]), Ordering::Relaxed);
            passes.fetch_add(1, Ordering::Relaxed);
        }
    };
    let act = async {
        cluster.finish_many(0..EXECUTIONS).await;
        // The readers leave the others little of the machine.
        let began = Instant::now();
        while !cluster.present().await.is_empty() {
            assert!(began.elapsed() < LONGEST, "not all were released");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(act, read(70), read(300));
    let (passes, moved) = (passes.into_inner(), moved.into_inner());
    println!("{passes} passes, {moved} of them while some were on one side and some on both");
    assert!(passes > 3 && moved > 0, "{passes} passes, {moved} while they moved");
    eventually("all are in the database alone", || async {
        let items = whole(&dualaudit, "limit=1000").await;
        assert_eq!(items.len(), EXECUTIONS);
        items.iter().all(|item| item["tiers"] == json!(["stored"])).then_some(())
    })
    .await;
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_says_on_which_sides_it_is_and_filters_hold_on_both() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &["--window", "1h"]);
    for name in ["waiting", "running", "finished", "released"] {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    cluster.begin("running").await;
    for name in ["finished", "released"] {
        cluster.finish(name).await;
        cluster.acknowledged(name).await;
    }
    cluster.delete("released").await;
    cluster.gone("released").await;
    let names = async |asked: &str| {
        let items = whole(&dualaudit, asked).await;
        let mut names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names.join(" ")
    };
    eventually("each is on its side", || async {
        let sides = (names("tier=live").await, names("tier=stored").await);
        (sides == ("finished running waiting".to_owned(), "finished released".to_owned())).then_some(())
    })
    .await;
    let namespace = &cluster.namespace;
    for (asked, expected) in [
        (String::new(), "finished released running waiting"),
        (format!("namespace={namespace}&name=running"), "running"),
        (format!("namespace={namespace}&name=released"), "released"),
        ("phase=executing".to_owned(), "running"),
        ("phase=Pending".to_owned(), "waiting"),
        ("phase=Completed".to_owned(), "finished released"),
        ("phase=Completed&tier=live".to_owned(), "finished"),
        ("phase=Failed".to_owned(), ""),
        ("outcome=success".to_owned(), "finished released"),
        ("outcome=success&tier=live".to_owned(), "finished"),
        ("review=none&tier=live".to_owned(), "finished running waiting"),
        ("review=any".to_owned(), ""),
        ("counted=true".to_owned(), "finished released"),
        ("since=1h&limit=1".to_owned(), "finished released running waiting"),
        ("since=1h&until=30m".to_owned(), ""),
    ] {
        assert_eq!(names(&asked).await, expected, "{asked}");
        let (_, page) = dualaudit.get(&format!("/api/v1/executions?count=true&{asked}")).await;
        assert_eq!(page["count"], json!({"value": expected.split_whitespace().count()}), "{asked}");
    }
    let row = async |name: &str| whole(&dualaudit, &format!("name={name}")).await.remove(0);
    let running = row("running").await;
    assert_eq!((&running["tiers"], &running["phase"]), (&json!(["live"]), &json!("Executing")));
    for unknown in ["outcome", "status", "effectiveness_score", "completed_at", "total_duration", "revision"]
    {
        assert_eq!(running[unknown], Value::Null, "{running}");
    }
    let finished = row("finished").await;
    assert_eq!((&finished["tiers"], &finished["revision"]), (&json!(["live", "stored"]), &json!(1)));
    let recorded_at: dualaudit_record::Time = finished["recorded_at"].as_str().unwrap().parse().unwrap();
    let hour = recorded_at.saturating_add_micros(3_600_000_000).to_string();
    assert_eq!(finished["review_until"], json!(hour));

    // Reviewed over HTTP: the live row is one of those that were.
    let id = finished["id"].as_str().unwrap();
    let review = reqwest::Client::new().post(format!("{}/api/v1/executions/{id}/reviews", dualaudit.url));
    assert_eq!(review.json(&json!({"verdict": "effective"})).send().await.unwrap().status(), 201);
    assert_eq!(names("review=none&tier=live").await, "running waiting");
    assert_eq!(names("review=effective&tier=live").await, "finished");
    assert_eq!(names("review=effective").await, "finished");

    // And kept for longer: it is looked at anew, though nothing changed in the cluster.
    let longer = reqwest::Client::new().post(format!("{}/api/v1/executions/{id}/window", dualaudit.url));
    let longer = longer.json(&json!({"window": "5h", "reason": "not looked at yet"}));
    assert_eq!(longer.send().await.unwrap().status(), 201);
    let hours = recorded_at.saturating_add_micros(5 * 3_600_000_000).to_string();
    eventually("its window ends later", || async {
        (row("finished").await["review_until"] == json!(hours)).then_some(())
    })
    .await;

    let of = async |name: &str| {
        let id = row(name).await["id"].as_str().unwrap().to_owned();
        dualaudit.get(&format!("/api/v1/executions/{id}")).await.1
    };
    let running = of("running").await;
    assert_eq!((&running["record"], &running["revisions"]), (&Value::Null, &json!([])));
    assert_eq!(running["live"]["resource"]["metadata"]["name"], "running");
    assert_eq!(running["live"]["phase"], "Executing");
    let finished = of("finished").await;
    assert_eq!(
        (&finished["record"]["revision"], &finished["live"]["phase"]),
        (&json!(1), &json!("Completed"))
    );
    assert_eq!(finished["live"]["step_executions"].as_array().unwrap().len(), 2);
    assert_eq!(of("released").await["live"], Value::Null);
    let (status, _) = dualaudit.get("/api/v1/executions/nobody").await;
    assert_eq!(status, 404);

    // Who has an execution is told so until anything of its resource changes.
    let path =
        format!("{}/api/v1/executions/{}", dualaudit.url, row("running").await["id"].as_str().unwrap());
    let ask = async |known: &str| {
        let answer = reqwest::Client::new().get(&path).header("if-none-match", known).send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap().to_owned())
    };
    let (status, tag) = ask("").await;
    assert_eq!((status, ask(&tag).await), (200, (304, tag.clone())));
    cluster.annotate("running", "example.com/looked-at", "yes").await;
    let (status, changed) = ask(&tag).await;
    assert!(status == 200 && changed != tag, "{status} {changed}");
    assert_eq!(ask(&changed).await, (304, changed));

    // A process that does not see the cluster says so.
    let alone = Dualaudit::run(&cluster, &["--api-only"]);
    let (_, page) = alone.get("/api/v1/executions").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 2, "{page}");
    assert_eq!(
        (&page["warnings"][0]["missing"], &page["warnings"][0]["log"]),
        (&json!("live"), &json!("default"))
    );
    assert_eq!(alone.get("/api/v1/executions?tier=stored").await.1["warnings"], Value::Null);
}
