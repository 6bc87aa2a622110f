//! Objects of the cluster are for those who may read sources, wherever they are shown.

use super::*;

/// One who may read all records, and nothing of what they were mapped from, nor proofs.
async fn reader(fixture: &mut Fixture) {
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "dualaudit-reader"},
        "rules": [{"apiGroups": ["dualaudit.dev"], "resources": ["executionrecords"], "verbs": ["get", "list", "watch"]}],
    }))
    .unwrap();
    Api::all(fixture.shop.admin.clone()).create(&PostParams::default(), &role).await.unwrap();
    fixture.tokens.insert("reader", account(&fixture.shop, "reader").await);
    bind_everywhere(&fixture.shop, "reader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_shown_to_those_alone_who_may_read_sources_and_that_is_on_record() {
    let mut fixture = Fixture::new().await;
    reader(&mut fixture).await;
    let shop = &fixture.shop;
    let runs = shop.get("runs").await.unwrap().metadata.uid.unwrap();
    shop.create("vanishes").await;
    shop.protected("vanishes").await;
    shop.begin("vanishes").await;
    shop.strip("vanishes").await;
    shop.delete("vanishes").await;
    let gaps = eventually("its gap is there", || async {
        let (_, gaps) = fixture.get("auditor", "/api/v1/gaps").await;
        (!gaps["items"].as_array()?.is_empty()).then_some(gaps)
    })
    .await;
    let gap = &gaps["items"][0]["gap"];
    assert!(gap["last_state"].as_str().unwrap().contains("vanishes"), "{gap}");
    let one = format!("/api/v1/gaps/default/{}", gaps["items"][0]["index"]);
    for path in ["/api/v1/gaps", &one] {
        let (status, shown) = fixture.get("reader", path).await;
        let gap = shown.pointer("/items/0/gap").or(shown.pointer("/gap")).unwrap();
        assert_eq!(
            (status, &gap["name"], &gap["last_state"]),
            (200, &json!("vanishes"), &Value::Null),
            "{path}"
        );
    }
    let running = format!("/api/v1/executions/{runs}");
    let (_, shown) = fixture.get("reader", &running).await;
    assert_eq!((&shown["live"]["phase"], &shown["live"]["resource"]), (&json!("Executing"), &Value::Null));
    assert_eq!(shown["warnings"], Value::Null, "what somebody may not read is not missing");
    let (_, shown) = fixture.get("auditor", &running).await;
    assert_eq!(shown["live"]["resource"]["metadata"]["name"], "runs", "{shown}");
    // Whoever may read all that is live is told of one that is not without a doubt.
    let (_, ended) = fixture.get("auditor", &format!("/api/v1/executions/{}", fixture.ids[0])).await;
    assert_eq!(ended["warnings"], Value::Null);
    let (_, sent) = fixture.get("auditor", "/api/v1/executions/sent").await;
    assert_eq!((&sent["live"], &sent["warnings"]), (&Value::Null, &Value::Null));

    let (_, page) = fixture.get("auditor", "/api/v1/accesses").await;
    let acts: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|it| it["access"]["acts"].as_array().unwrap())
        .collect();
    let read = |verb: &str, id: &Value| {
        let is_it = |act: &&&Value| {
            (&act["verb"], &act["resource"]) == (&json!(verb), &json!("executionrecords/source"))
                && act["execution_id"] == *id
        };
        let actors = acts.iter().filter(is_it).map(|act| act["actor"].as_str().unwrap().to_owned());
        actors.collect::<Vec<_>>()
    };
    let auditor = format!("system:serviceaccount:{}:auditor", fixture.shop.namespace);
    assert_eq!(read("get", &json!(runs)), std::slice::from_ref(&auditor), "{acts:?}");
    assert!(read("list", &Value::Null).contains(&auditor), "{acts:?}");

    // Proofs are of the log, and a file of them as well.
    for (query, expected) in [("format=csv", 200), ("format=parquet", 200), ("format=jsonl", 403), ("", 403)]
    {
        let path = format!("/api/v1/export?{query}");
        let status = fixture.ask("reader", Method::GET, &path).send().await.unwrap().status();
        assert_eq!(status, expected, "{query}");
    }
    fixture.shop.plane.end();
}
