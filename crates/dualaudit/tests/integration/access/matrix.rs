//! What each role may, in both namespaces.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_it_says_where_it_is_bound_in_sqlite() {
    each_role(Fixture::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_it_says_where_it_is_bound_in_postgresql() {
    let database = crate::support::postgres::Server::shared().database(None);
    each_role(Fixture::on(Cluster::alone().await.on_server(database.url())).await).await;
}

/// A request, and its status for each of [`ROLES`].
type Row = ((Method, String, Option<Value>), [u16; 5]);

async fn each_role(fixture: Fixture) {
    let [a, b] = fixture.ids.clone();
    let of = |id: &str, rest: &str| format!("/api/v1/executions/{id}{rest}");
    let verdict = json!({"verdict": "effective", "actor": "somebody else"});
    let window = json!({"until": "2036-05-03T12:00:00Z", "reason": "x"});
    let hold = |id: &str| json!({"execution_id": id, "reason": "case 7", "actor": "somebody else"});
    let all = json!({"selector": {"workflow_name": "restart-deployment"}, "reason": "case 8"});
    let sent = record("sent again");
    // Its resource is in its cluster.
    let why = json!({"reason": "request 42", "actor": "somebody else"});
    let verified = json!({"size": 1, "root": "07".repeat(32), "actor": "somebody else"});
    let get = |path: String| (Method::GET, path, None);
    let post = |path: String, body: &Value| (Method::POST, path, Some(body.clone()));
    // 0 for what may be there by now, or not yet.
    let table: Vec<Row> = vec![
        (get(of("", "").trim_end_matches('/').to_owned()), [200, 200, 403, 200, 403]),
        (get(of(&a, "")), [200, 200, 404, 200, 404]),
        (get(of(&b, "")), [404, 404, 404, 200, 404]),
        (get(of("sent", "")), [404, 404, 404, 200, 404]),
        (get(of(&a, "/source")), [200, 200, 404, 200, 404]),
        (get(of(&b, "/source")), [404, 404, 404, 200, 404]),
        (get(of(&a, "/proof")), [0, 0, 404, 0, 404]),
        (get(of(&b, "/proof")), [404, 404, 404, 0, 404]),
        (post(of(&a, "/reviews"), &verdict), [201, 201, 404, 403, 404]),
        (post(of(&b, "/reviews"), &verdict), [404, 404, 404, 403, 404]),
        (post(of(&a, "/window"), &window), [201, 200, 404, 403, 404]),
        (post(of(&b, "/window"), &window), [404, 404, 404, 403, 404]),
        (post("/api/v1/holds".into(), &hold(&a)), [403, 201, 404, 403, 404]),
        (post("/api/v1/holds".into(), &hold(&b)), [404, 404, 404, 403, 404]),
        (post("/api/v1/holds".into(), &all), [403, 403, 403, 403, 403]),
        (post(of(&a, "/erasures"), &why), [403, 409, 404, 403, 404]),
        (post(of(&b, "/erasures"), &why), [404, 404, 404, 403, 404]),
        (post("/api/v1/executions".into(), &sent), [403, 403, 201, 403, 403]),
        (get("/api/v1/gaps".into()), [403, 403, 403, 200, 403]),
        (get("/api/v1/quarantine".into()), [403, 403, 403, 200, 403]),
        (get("/api/v1/purges".into()), [403, 403, 403, 200, 403]),
        (get("/api/v1/holds".into()), [403, 403, 403, 200, 403]),
        (get("/api/v1/accesses".into()), [403, 403, 403, 200, 403]),
        (post("/api/v1/log/default/verifications".into(), &verified), [403, 403, 403, 201, 403]),
        (get("/api/v1/digests".into()), [403, 403, 403, 200, 403]),
        (get("/api/v1/log/default/checkpoint".into()), [403, 403, 403, 0, 403]),
        (get("/api/v1/log/default/tile/0/000.p/1".into()), [403, 403, 403, 0, 403]),
        (get("/api/v1/export".into()), [0, 0, 403, 0, 403]),
        (get("/api/v1/export?scope=entries".into()), [403, 403, 403, 0, 403]),
        (get("/api/v1/learn/workflows".into()), [200, 200, 403, 200, 403]),
        (get("/api/v1/learn/steps?workflow=restart-deployment".into()), [200, 200, 403, 200, 403]),
        (get("/api/v1/learn/recommend?incident_type=CrashLoopBackOff".into()), [200, 200, 403, 200, 403]),
        (get("/api/v1/watch".into()), [200, 200, 403, 200, 403]),
        (get("/metrics".into()), [403, 403, 403, 403, 403]),
        (get("/healthz".into()), [200; 5]),
        (get("/openapi.json".into()), [200; 5]),
    ];
    for ((method, path, body), expected) in table {
        for (role, expected) in ROLES.into_iter().zip(expected) {
            let mut request = fixture.ask(role, method.clone(), &path);
            if let Some(body) = &body {
                request = request.json(body);
            }
            let status = request.send().await.unwrap().status().as_u16();
            match expected {
                0 => assert!(![401, 403, 404].contains(&status), "{role} {method} {path}: {status}"),
                expected => assert_eq!(status, expected, "{role} {method} {path}"),
            }
        }
    }
    // How the server does is for those who are bound to that.
    bind_everywhere(&fixture.shop, "metrics").await;
    let token = account(&fixture.shop, "metrics").await;
    let measures =
        asked(&fixture.dualaudit, Method::GET, "/metrics").bearer_auth(token).send().await.unwrap();
    assert_eq!(measures.status(), 200);
    // Who says something is who it is known to be.
    let (_, found) = fixture.get("auditor", &of(&a, "")).await;
    let account = |role: &str| format!("system:serviceaccount:{}:{role}", fixture.shop.namespace);
    let actors = |of: &str| {
        found[of]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["actor"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(actors("reviews"), [account("operator"), account("reviewer")]);
    assert_eq!((actors("windows"), actors("holds")), (vec![account("reviewer")], vec![account("operator")]));
    // A hold ends by those who may end it, and is not there for others.
    let index = found["holds"][0]["index"].as_u64().unwrap();
    let release = async |role: &str, index: u64| {
        let path = format!("/api/v1/holds/default/{index}/release");
        let answer =
            fixture.ask(role, Method::POST, &path).json(&json!({"reason": "x"})).send().await.unwrap();
        answer.status().as_u16()
    };
    for role in ["reviewer", "producer", "auditor", "nobody"] {
        assert_eq!([release(role, index).await, release(role, 9999).await], [404, 404], "{role}");
    }
    assert_eq!(release("operator", index).await, 201);
    nothing_foreign(&fixture).await;
    follows(&fixture).await;
    lists_join(&fixture).await;
    fixture.shop.plane.end();
}

/// Whatever is asked by one who may read the first namespace, nothing is told of others.
async fn nothing_foreign(fixture: &Fixture) {
    let (_, document) = fixture.get("nobody", "/openapi.json").await;
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if ["/healthz", "/readyz", "/openapi.json"].contains(&path.as_str()) || path.starts_with("/docs") {
            continue;
        }
        let filled = path
            .replace("{id}", &fixture.ids[1])
            .replace("{log}", "default")
            .replace("{index}", "0")
            .replace("{path}", "0/000.p/1");
        // What each of these answers may be asked, and some must be.
        let learned = "workflow=restart-deployment&incident_type=CrashLoopBackOff";
        let filled = format!("{filled}?{}", if path.contains("/learn/") { learned } else { "" });
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let bare = asked_of(fixture, None, method.clone(), &filled).await;
            assert_eq!(bare.0, 401, "{method} {path}");
            let nobodys = asked_of(fixture, Some("nobody"), method.clone(), &filled).await;
            // What is no body is said before anything is looked for.
            let refused = if method == Method::POST { &[400, 403, 404, 415][..] } else { &[403, 404] };
            assert!(refused.contains(&nobodys.0), "{method} {path}: {nobodys:?}");
            asked += 1;
        }
        if !methods.as_object().unwrap().contains_key("get") || path.ends_with("/watch") {
            continue;
        }
        for query in ["", "namespace=", "log=http", "log=default", "count=true", "limit=2"] {
            let query = query.replace("namespace=", &format!("namespace={}", fixture.bank.namespace));
            let (status, text) =
                asked_of(fixture, Some("reviewer"), Method::GET, &format!("{filled}&{query}")).await;
            // Of what was asked for itself nothing is said that the question did not say.
            let text = text.replace(&fixture.ids[1], "").replace(&query, "");
            for foreign in fixture.foreign().into_iter().filter(|it| !query.contains(it.trim_matches('"'))) {
                assert!(!text.contains(&foreign), "{path}{query}: {status} {foreign} in {text}");
            }
        }
    }
    assert!(asked > 25, "{asked}");
    // Unknown and forbidden is the same, to the byte.
    for rest in ["", "/source", "/proof", "?log=default", "?log=default&attempt=2", "?attempt=2"] {
        let said = async |id: &str| {
            let (status, text) =
                asked_of(fixture, Some("reviewer"), Method::GET, &format!("/api/v1/executions/{id}{rest}"))
                    .await;
            (status, text.replace(id, "ID"))
        };
        let unknown = "00000000-0000-4000-8000-000000000000";
        let forbidden = said(&fixture.ids[1]).await;
        assert_eq!((forbidden.0, &forbidden), (404, &said(unknown).await), "{rest}");
        assert_eq!(forbidden, said("sent").await, "{rest}");
    }
    let (_, one) = fixture.get("reviewer", "/api/v1/learn/workflows?since=2020-01-01T00:00:00Z").await;
    let (_, all) =
        fixture.get("auditor", "/api/v1/learn/workflows?log=default&since=2020-01-01T00:00:00Z").await;
    // What ended before the namespace was there, as it says, is no evidence for those who may read it now; what runs is.
    let in_flight = |answer: &Value| answer["in_flight"]["executions"].clone();
    assert_eq!((in_flight(&one), in_flight(&all)), (json!(1), json!(2)), "{one} {all}");
    assert_eq!((&one["total"]["executions"], &all["total"]["executions"]), (&json!(0), &json!(2)), "{all}");
}

async fn asked_of(fixture: &Fixture, role: Option<&str>, method: Method, path: &str) -> (u16, String) {
    let mut request = asked(&fixture.dualaudit, method, path);
    if let Some(role) = role {
        request = request.header(AUTHORIZATION, format!("Bearer {}", fixture.tokens[role]));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// One who follows is told of what they may read, and until they may not.
async fn follows(fixture: &Fixture) {
    let mut stream = fixture.ask("reviewer", Method::GET, "/api/v1/watch").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    fixture.bank.create("unseen").await;
    fixture.bank.finish("unseen").await;
    fixture.bank.acknowledged("unseen").await;
    fixture.shop.create("seen").await;
    fixture.shop.finish("seen").await;
    let mut told = String::new();
    while !(told.contains("event: recorded") && told.contains("seen")) {
        let chunk = tokio::time::timeout(Duration::from_secs(30), stream.chunk()).await;
        told.push_str(&String::from_utf8_lossy(&chunk.expect("it is told").unwrap().unwrap()));
    }
    for foreign in fixture.foreign() {
        assert!(!told.contains(&foreign), "{foreign} in {told}");
    }
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let ids: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    for id in &ids {
        let position = BASE64_URL_SAFE_NO_PAD.decode(id).unwrap();
        let position: Value = serde_json::from_slice(&position).unwrap();
        assert_eq!(position["next"].as_object().unwrap().keys().collect::<Vec<_>>(), ["default"]);
    }
    // What was told before is not told again, and nothing begins anew.
    let again =
        fixture.ask("reviewer", Method::GET, "/api/v1/watch").header("last-event-id", *ids.last().unwrap());
    let mut again = again.send().await.unwrap();
    let mut told = String::new();
    while !told.contains("event: ready") {
        let chunk = tokio::time::timeout(Duration::from_secs(30), again.chunk()).await;
        told.push_str(&String::from_utf8_lossy(&chunk.expect("it is told").unwrap().unwrap()));
    }
    assert!(!told.contains("event: recorded") && !told.contains("event: reset"), "{told}");
    unbind(&fixture.shop, "reviewer").await;
    let ends = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(REMEMBERED * 8, ends).await.expect("the stream ends");
    assert_eq!(fixture.get("reviewer", "/api/v1/executions").await.0, 403);
    bind(&fixture.shop, &fixture.shop.namespace, "reviewer", &fixture.shop.namespace).await;
    eventually("the reviewer may read again", || async {
        (fixture.get("reviewer", "/api/v1/executions").await.0 == 200).then_some(())
    })
    .await;
}

/// Pages of those who may read two namespaces give what is in these, each once.
async fn lists_join(fixture: &Fixture) {
    let third = another(&fixture.shop, "third").await;
    bind(&fixture.shop, &third.namespace, "reviewer", &fixture.shop.namespace).await;
    for n in 0..5 {
        let cluster = if n % 2 == 0 { &third } else { &fixture.shop };
        let name = format!("paged-{n}");
        cluster.create(&name).await;
        cluster.finish(&name).await;
        cluster.acknowledged(&name).await;
    }
    let names = async |role: &str| {
        let (mut names, mut path) = (Vec::new(), "/api/v1/executions?limit=2".to_owned());
        loop {
            let (status, page) = fixture.get(role, &path).await;
            assert_eq!(status, 200, "{page}");
            let rows = page["items"].as_array().unwrap().clone();
            names.extend(rows.into_iter().map(|row| (row["namespace"].to_string(), row["name"].to_string())));
            let Some(next) = page["next_cursor"].as_str() else { return names };
            path = format!("/api/v1/executions?limit=2&cursor={next}");
        }
    };
    let mut expected = names("auditor").await;
    let may_be_read = [fixture.shop.namespace.clone(), third.namespace.clone()];
    expected.retain(|(namespace, _)| may_be_read.iter().any(|it| *namespace == format!("\"{it}\"")));
    eventually("the reviewer reads both namespaces", || async {
        (names("reviewer").await == expected).then_some(())
    })
    .await;
    assert!(expected.len() >= 8, "{expected:?}");
    let (_, counted) = fixture.get("reviewer", "/api/v1/executions?count=true&limit=1").await;
    assert_eq!(counted["count"]["value"], expected.len(), "{counted}");
}
