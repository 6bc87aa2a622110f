//! The client against the API as it is served, and with something in between that fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use dualaudit_record::{
    digest::Digest,
    entry::{Covers, Hold, Verdict},
    log::{TileId, TilePath, read_entry_bundle},
};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tower_http::compression::CompressionLayer;

use super::*;
use crate::{
    completeness::Asked,
    http::{
        serve, serve_tls,
        tests::{Fault, Served, record},
        tls::tests::Authority,
    },
    learn::workflows,
    query::{Listing, Wanted},
    store::ReceiptResult,
};

/// A client of what is served there.
async fn client_of(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, router, std::future::pending()));
    Client::new(&server).unwrap()
}

fn wanted(id: &str) -> Wanted {
    Wanted { id: id.to_owned(), log: None, attempt: None }
}

/// Answers 503 in place of the first so many answers, once what was asked is done; counts what is asked.
fn losing(router: Router, first: usize, retry_after: &'static str) -> (Router, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let between = move |request: Request, next: Next| {
        let count = Arc::clone(&count);
        async move {
            let answer = next.run(request).await;
            if count.fetch_add(1, Ordering::SeqCst) >= first {
                return answer;
            }
            let problem = json!({
                "type": "https://dualaudit.dev/problems/overloaded", "title": "Too many requests at once",
                "status": 503, "detail": "256 are under way.",
            });
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, retry_after)], problem.to_string())
                .into_response()
        }
    };
    (router.layer(from_fn(between)), asked)
}

#[tokio::test]
async fn what_the_api_answers_comes_as_its_types() {
    let served = Served::new().await;
    let client = client_of(served.router.clone()).await;
    let records: Vec<_> = (0..5).map(|n| record(&format!("a/{n}"))).collect();
    let recorded = client.record(None, &records).await.unwrap();
    assert_eq!((recorded.receipts.len(), recorded.refused.len()), (5, 0));

    let limit = [("limit".to_owned(), "2".to_owned())];
    let pages: Vec<_> = client.pages(&limit).try_collect().await.unwrap();
    assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(client.list(&limit).await.unwrap().items, pages[0].items);

    let mut changed = record("a/1");
    changed["effectiveness_score"] = json!(0.5);
    let amended = client.amend(None, &changed, 1).await.unwrap();
    assert_eq!((amended.revision, amended.result), (Some(2), ReceiptResult::Amended));
    let verdict = client.review(&wanted("a/1"), Verdict::Ineffective, "it came back", "jo").await.unwrap();
    let found = client.get(&wanted("a/1")).await.unwrap();
    assert_eq!((found.receipt.unwrap().index, found.reviews[0].index), (amended.index, verdict.index));

    let by_workflow = client.learn::<workflows::Request>(&[("since".into(), "400d".into())]).await.unwrap();
    assert_eq!(by_workflow.answer.total.executions, 5);
    let digests = client.digests(Some("http"), Asked::default()).await.unwrap();
    assert_eq!(digests.logs[0].executions, 5);
    for listing in [Listing::Gaps, Listing::Quarantine, Listing::Purges, Listing::Accesses] {
        assert!(client.entries(listing, &[]).await.unwrap().items.is_empty());
        let absent = client.entry(listing, "http", 0).await.unwrap_err();
        assert_eq!(absent.problem().unwrap().name(), "no-such-entry");
    }

    served.publish().await;
    let head = client.checkpoint("http").await.unwrap().head().clone();
    assert_eq!(head.size, 7);
    let tile = TilePath { id: TileId::Entries { index: 0 }, width: 7 };
    let entries = client.tile("http", tile).await.unwrap();
    assert_eq!(read_entry_bundle(&entries).unwrap().len(), 7);
    client.proof(&wanted("a/1")).await.unwrap();

    let mut export = client.export(&[("actor".into(), "me".into())]).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = export.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    let manifest = client.manifest(export.id()).await.unwrap();
    assert_eq!(manifest.export.sha256, Digest::sha256(&bytes));

    client.healthz().await.unwrap();
    client.readyz().await.unwrap();
    served.fail(Fault::Unavailable);
    client.healthz().await.unwrap();
    assert_eq!(client.readyz().await.unwrap_err().problem().unwrap().name(), "unavailable");
}

#[tokio::test]
async fn what_is_refused_says_why_and_harms_nothing_else() {
    let served = Served::new().await;
    let client = client_of(served.router.clone()).await;
    let mut bad = record("b");
    bad["outcome"] = "splendid".into();
    let recorded = client.record(None, &[record("a"), bad.clone()]).await.unwrap();
    assert_eq!((recorded.receipts.len(), recorded.refused[0].position), (1, 1));
    // Where none is taken, too.
    let recorded = client.record(None, &[bad.clone()]).await.unwrap();
    let problem = &recorded.refused[0].problem;
    assert_eq!((problem.name(), problem.status), ("invalid-record", 422));
    assert_eq!(problem.members["field"], "outcome");
    let mut changed = record("a");
    changed["effectiveness_score"] = json!(0.5);
    let problem = client.amend(None, &changed, 7).await.unwrap_err().into_problem().unwrap();
    assert_eq!((problem.name(), problem.status), ("stale-revision", 409));
    let problem = client.get(&wanted("b")).await.unwrap_err();
    assert_eq!(problem.to_string(), "there is no execution b");
}

#[tokio::test]
async fn what_may_be_sent_again_is_and_is_recorded_once() {
    let served = Served::new().await;
    let (router, asked) = losing(served.router.clone(), 2, "0");
    let client = client_of(router).await;
    let recorded = client.record(None, &[record("a")]).await.unwrap();
    assert_eq!((recorded.receipts[0].result, asked.load(Ordering::SeqCst)), (ReceiptResult::Duplicate, 3));
    assert_eq!(served.get("/api/v1/executions").await.json()["items"].as_array().unwrap().len(), 1);
    asked.store(0, Ordering::SeqCst);
    client.get(&wanted("a")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_must_not_be_said_twice_is_said_once() {
    let served = Served::new().await;
    served.post_json(&record("a")).await;
    let (router, asked) = losing(served.router.clone(), usize::MAX, "0");
    let client = client_of(router).await;
    let mut changed = record("a");
    changed["effectiveness_score"] = json!(0.5);
    client.amend(None, &changed, 1).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    client.review(&wanted("a"), Verdict::Harmful, "", "jo").await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    client.export(&[]).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    assert_eq!(served.get("/api/v1/executions/a").await.json()["revisions_total"], 2);
}

#[tokio::test]
async fn tries_are_bounded_and_a_server_is_waited_for_as_it_says() {
    let served = Served::new().await;
    for (retry_after, tries, at_least) in [("0", 4, 0), ("1", 4, 3), ("3600", 1, 0)] {
        let (router, asked) = losing(served.router.clone(), usize::MAX, retry_after);
        let client = client_of(router).await;
        let begun = Instant::now();
        let error = client.list(&[]).await.unwrap_err();
        assert!(begun.elapsed() >= Duration::from_secs(at_least), "{retry_after}");
        assert_eq!(asked.load(Ordering::SeqCst), tries, "{retry_after}");
        let problem = error.problem().unwrap();
        assert_eq!(problem.retry_after, Some(Duration::from_secs(retry_after.parse().unwrap())));
        assert_eq!(error.to_string(), "the server: Too many requests at once. 256 are under way.");
    }
}

#[tokio::test]
async fn a_server_that_is_none_of_ours_or_not_there_is_told_apart() {
    let router = Router::new()
        .route("/api/v1/executions", get(async || "<html>hello</html>"))
        .route("/api/v1/digests", get(async || "x".repeat(ANSWER_BYTES + 1)))
        .route("/healthz", get(async || StatusCode::NOT_FOUND));
    let client = client_of(router).await;
    for error in [
        client.list(&[]).await.unwrap_err(),
        client.digests(None, Asked::default()).await.unwrap_err(),
        client.healthz().await.unwrap_err(),
    ] {
        assert!(matches!(error, ClientError::Unlike { .. }), "{error:?}");
        assert!(
            error.to_string().starts_with(&format!("the server {} answers ", client.server())),
            "{error}"
        );
    }
    let nowhere = Client::with("http://127.0.0.1:1", Options { tries: 1, ..Options::default() }).unwrap();
    let error = nowhere.list(&[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.to_string(), "no answer from the server http://127.0.0.1:1");
    for server in
        ["127.0.0.1:8080", "ftp://audit", "unix:/run/audit", "http://me:hunter2@audit", "//me:hunter2@x"]
    {
        let error = Client::new(server).unwrap_err();
        assert!(matches!(error, ClientError::NotAServer { .. }), "{server}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

/// The API over TLS, and the URL of its port.
async fn encrypted(authority: &Authority, router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = authority.open().unwrap();
    tokio::spawn(serve_tls(listener, tls, router, std::future::pending()));
    format!("https://localhost:{port}")
}

/// A client that trusts this authority.
fn trusting(authority: &Authority, server: &str) -> Client {
    let access = Access { authorities: Some(authority.file("authority.pem")), ..Access::default() };
    Client::reaching(server, &access, Options { tries: 1, ..Options::default() }).unwrap()
}

#[tokio::test]
async fn a_server_is_asked_once_it_is_shown_to_be_the_one() {
    let served = Served::new().await;
    let authority = Authority::new();
    authority.renew("localhost");
    let server = encrypted(&authority, served.router.clone()).await;
    let client = trusting(&authority, &server);
    client.record(None, &[record("a")]).await.unwrap();
    assert_eq!(client.list(&[]).await.unwrap().items.len(), 1);

    let refused = async |client: Client, why: &str| {
        let error = client.list(&[]).await.unwrap_err();
        assert!(matches!(error, ClientError::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(!error.is_passing());
    };
    refused(trusting(&Authority::new(), &server), "no trusted authority vouches for: name its authority by")
        .await;
    let by_address = server.replace("localhost", "127.0.0.1");
    refused(trusting(&authority, &by_address), "for another name").await;
    for (time, why) in [((2001, 2002), "whose time is over"), ((2101, 2102), "whose time has not come")] {
        let (certificate, key) = authority.issue("localhost", |parameters| {
            parameters.not_before = rcgen::date_time_ymd(time.0, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(time.1, 1, 1);
        });
        std::fs::write(authority.file("tls.crt"), certificate).unwrap();
        std::fs::write(authority.file("tls.key"), key).unwrap();
        let server = encrypted(&authority, served.router.clone()).await;
        refused(trusting(&authority, &server), why).await;
    }
    // Each speaks what the other does not.
    let plain =
        client_of(served.router.clone()).await.server().replace("http://127.0.0.1", "https://localhost");
    refused(trusting(&authority, &plain), "speaks no TLS: ask with http://").await;
    let error = Client::new(&server.replace("https", "http")).unwrap().list(&[]).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, 400, "{error:?}");
    assert!(error.to_string().starts_with("This port speaks TLS"), "{error}");

    // A name that leads nowhere is what the certificate is for, and the address is known otherwise.
    authority.renew("audit.example");
    let server = encrypted(&authority, served.router.clone()).await;
    let port: u16 = server.rsplit_once(':').unwrap().1.parse().unwrap();
    let access = Access {
        authorities: Some(authority.file("authority.pem")),
        address: Some(([127, 0, 0, 1], port).into()),
        ..Access::default()
    };
    let server = format!("https://audit.example:{port}");
    Client::reaching(&server, &access, Options::default()).unwrap().list(&[]).await.unwrap();

    for (file, why) in [("nothing.pem", "nothing.pem"), ("tls.key", "has no certificate of an authority")] {
        let access = Access { authorities: Some(authority.file(file)), ..Access::default() };
        let error = Client::reaching(&server, &access, Options::default()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_token_goes_with_each_request_and_never_in_the_open() {
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let served = Served::new().await;
    let router = served.router.clone().layer(from_fn(move |request: Request, next: Next| {
        let said =
            request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        heard.lock().unwrap().push(said.unwrap_or_default());
        next.run(request)
    }));
    let server = client_of(router).await.server();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "first").unwrap();
    let access = Access { token: Some(Token::file(file.clone())), ..Access::default() };
    let client = Client::reaching(&server, &access, Options::default()).unwrap();
    client.record(None, &[record("a")]).await.unwrap();
    std::fs::write(&file, "second\n").unwrap();
    client.list(&[]).await.unwrap();
    client.export(&[("actor".into(), "me".into())]).await.unwrap();
    client.watch(&[]).next().await.unwrap();
    assert_eq!(*said.lock().unwrap(), ["Bearer first", "Bearer second", "Bearer second", "Bearer second"]);
    assert!(!format!("{client:?}").contains("second"), "{client:?}");
    std::fs::remove_file(&file).unwrap();
    let error = client.list(&[]).await.unwrap_err();
    assert!(matches!(error, ClientError::NoToken { .. }) && !error.is_passing(), "{error:?}");

    for (server, token_in_the_open, is_sent) in [
        ("http://127.0.0.1:1", false, true),
        ("http://localhost:1", false, true),
        ("http://[::1]:1", false, true),
        ("http://audit:1", false, false),
        ("http://127.0.0.1.audit.example:1", false, false),
        ("http://10.0.0.1:1", false, false),
        ("http://audit:1", true, true),
        ("https://audit:1", false, true),
    ] {
        let access = Access { token_in_the_open, ..access.clone() };
        let client = Client::reaching(server, &access, Options::default());
        assert_eq!(client.is_ok(), is_sent, "{server}");
        if let Err(error) = client {
            assert!(error.to_string().contains("over plain HTTP"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_hold_that_is_sent_again_is_placed_and_released_once() {
    let served = Served::new().await;
    served.post_json(&record("a")).await;
    let (router, asked) = losing(served.router.clone(), 2, "0");
    let client = client_of(router).await;
    let covers = Covers::ExecutionId("a".to_owned());
    let hold = Hold { covers, reason: "case 7".to_owned(), actor: "jo".to_owned() };
    let placed = client.hold(&hold, &[]).await.unwrap().receipts;
    assert_eq!(
        (placed.len(), placed[0].result, asked.swap(0, Ordering::SeqCst)),
        (1, ReceiptResult::Duplicate, 3)
    );
    let released = client.release("http", placed[0].index, "over", "jo").await.unwrap();
    assert_eq!((released.result, asked.load(Ordering::SeqCst)), (ReceiptResult::Duplicate, 3));
    let shown = client.entry(Listing::Holds, "http", placed[0].index).await.unwrap();
    assert_eq!((shown.hold, shown.released.unwrap().index), (Some(hold), Some(released.index)));
    assert_eq!((placed[0].index, released.index), (1, 2));
    let problem = client.source(&wanted("a")).await.unwrap_err().into_problem().unwrap();
    assert_eq!((problem.name(), problem.status), ("no-such-source", 404));
}

#[tokio::test]
async fn a_server_that_ends_each_stream_at_once_is_asked_ever_less_often() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let ending = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { ([(header::CONTENT_TYPE, "text/event-stream")], ": nothing\n\n") }
    };
    let client = client_of(Router::new().route("/api/v1/watch", get(ending))).await;
    let mut watch = client.watch(&[]);
    let follow = async {
        loop {
            assert_eq!(watch.next().await.unwrap(), Happening::Begun);
        }
    };
    tokio::time::timeout(Duration::from_secs(2), follow).await.unwrap_err();
    let asked = asked.load(Ordering::SeqCst);
    assert!((2..=6).contains(&asked), "asked {asked} times in two seconds");
}

#[tokio::test]
async fn answers_come_compressed_where_the_server_does_it() {
    let served = Served::new().await;
    let records: Vec<Value> = (0..100).map(|n| record(&format!("r{n}"))).collect();
    served.post_json(&json!(records)).await;
    let compressed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&compressed);
    let router = served.router.clone().layer(CompressionLayer::new()).layer(from_fn(
        move |request: Request, next: Next| {
            let count = Arc::clone(&count);
            async move {
                let answer: Response = next.run(request).await;
                count.fetch_add(
                    answer.headers().contains_key(header::CONTENT_ENCODING).into(),
                    Ordering::SeqCst,
                );
                answer
            }
        },
    ));
    let client = client_of(router).await;
    assert_eq!(client.list(&[]).await.unwrap().items.len(), 100);
    assert_eq!(compressed.load(Ordering::SeqCst), 1);
}
