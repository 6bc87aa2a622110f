//! Who read what, who verified, and who was refused, is in the log.

use super::*;

const SOURCE: &str = "executionrecords/source";

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_an_object_verifies_a_log_or_is_refused_is_on_record() {
    let fixture = Fixture::new().await;
    let [a, b] = fixture.ids.clone();
    let of = |id: &str, rest: &str| format!("/api/v1/executions/{id}{rest}");

    // Many at once: each is on record once it is answered, and they share entries.
    const READERS: usize = 100;
    let path = of(&a, "/source");
    let reads = (0..READERS).map(|_| fixture.get("reviewer", &path));
    assert!(futures::future::join_all(reads).await.into_iter().all(|(status, _)| status == 200));
    let (entries, acts) = accesses(&fixture).await;
    let reviewer = format!("system:serviceaccount:{}:reviewer", fixture.shop.namespace);
    let shop = json!(fixture.shop.namespace);
    let read = |act: &&Value| act["decision"] == "allow" && act["actor"] == reviewer.as_str();
    let read: Vec<_> = acts.iter().filter(read).collect();
    let places = ["verb", "resource", "namespace", "log", "execution_id"];
    for act in &read {
        assert_eq!(
            places.map(|place| &act[place]),
            [&json!("get"), &json!(SOURCE), &shop, &json!("default"), &json!(a)]
        );
    }
    assert_eq!(read.iter().map(|act| act["count"].as_u64().unwrap()).sum::<u64>(), READERS as u64);
    assert!(entries < READERS, "{entries} entries of {READERS} readers");

    // Refused in words, by silence, and as a stranger.
    for _ in 0..3 {
        assert_eq!(fixture.get("nobody", "/api/v1/executions").await.0, 403);
    }
    assert_eq!(fixture.get("reviewer", &of(&b, "")).await.0, 404);
    assert_eq!(fixture.get("reviewer", &of("never-was", "")).await.0, 404);
    let stranger = asked(&fixture.dualaudit, Method::POST, "/api/v1/executions").send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert_eq!(fixture.get("auditor", "/metrics").await.0, 403);

    // Verified from outside, by whoever may.
    let verify = |role: &str| {
        let mut verify = command(&fixture.shop.kubeconfig);
        verify.args(["verify", "--server", &fixture.dualaudit.url, "--log", "default"]);
        verify.env("DUALAUDIT_TOKEN", &fixture.tokens[role]).env("DUALAUDIT_ACTOR", "somebody else");
        verify
    };
    eventually("the log is signed", || async {
        tokio::task::block_in_place(|| verify("auditor").output().unwrap().status.success()).then_some(())
    })
    .await;

    let expected = [
        ("nobody", "list", "executionrecords", Value::Null, 3),
        ("reviewer", "get", "executionrecords", json!(b), 1),
        ("auditor", "get", "/metrics", Value::Null, 1),
    ];
    let account = |role: &str| format!("system:serviceaccount:{}:{role}", fixture.shop.namespace);
    let acts = eventually("all of it is on record", || async {
        let (_, acts) = accesses(&fixture).await;
        let is_there = |(role, verb, resource, id, count): &(&str, &str, &str, Value, u64)| {
            let is_it = |act: &&Value| {
                act["actor"] == account(role).as_str()
                    && act["decision"] == "forbid"
                    && (&act["verb"], &act["resource"]) == (&json!(verb), &json!(resource))
                    && act["execution_id"] == *id
            };
            acts.iter().filter(is_it).map(|act| act["count"].as_u64().unwrap()).sum::<u64>() == *count
        };
        expected.iter().all(is_there).then_some(acts)
    })
    .await;
    let strangers = |act: &&Value| act.get("actor").is_none();
    let strangers: Vec<_> = acts.iter().filter(strangers).collect();
    assert_eq!(
        strangers,
        [&json!({"decision": "forbid", "verb": "post", "resource": "/api/v1/executions", "count": 1})]
    );
    let verified: Vec<_> = acts.iter().filter(|act| act["verb"] == "verify").collect();
    assert_eq!(verified.len(), 1, "{verified:?}");
    assert_eq!((&verified[0]["actor"], &verified[0]["log"]), (&json!(account("auditor")), &json!("default")));
    assert_eq!(verified[0]["verified"]["findings"], 0);
    assert!(!acts.iter().any(|act| act["execution_id"] == "never-was"), "of what never was nothing is told");
    crate::support::verified(&fixture.shop);
    fixture.shop.plane.end();
}

/// How many entries tell of accesses, and all they tell of.
async fn accesses(fixture: &Fixture) -> (usize, Vec<Value>) {
    let (status, page) = fixture.get("auditor", "/api/v1/accesses?limit=1000").await;
    assert_eq!((status, &page["next_cursor"]), (200, &Value::Null), "{page}");
    let entries = page["items"].as_array().unwrap();
    let acts = entries.iter().flat_map(|entry| entry["access"]["acts"].as_array().unwrap().clone());
    (entries.len(), acts.collect())
}
