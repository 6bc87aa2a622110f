//! Recording over HTTP.

use std::time::Duration;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use super::{fate::UNDER_WAY, *};
use crate::http::{
    limits::Limits,
    tests::{Answered, Fault, Served, Told, posting, record},
};

fn with(mut record: Value, field: &str, value: impl Into<Value>) -> Value {
    record[field] = value.into();
    record
}

async fn amend(served: &Served, if_match: &str, record: &Value) -> Answered {
    let request = posting("/api/v1/executions?amend=true").header("if-match", if_match);
    served.send(request.body(Body::from(record.to_string())).unwrap()).await
}

/// Status, results of the receipts, positions and types of what was refused.
fn told(answered: &Answered) -> (u16, Vec<String>, Vec<(u64, String)>) {
    let json = answered.json();
    let text = |value: &Value| value.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let receipts = json["receipts"].as_array().unwrap().iter().map(|r| text(&r["result"])).collect();
    let refused = json["refused"].as_array().unwrap().iter();
    let refused = refused.map(|r| (r["position"].as_u64().unwrap(), text(&r["problem"]["type"])));
    (answered.status.as_u16(), receipts, refused.collect())
}

#[tokio::test]
async fn a_single_record_that_is_new_is_told_with_where_it_is() {
    let served = Served::new().await;
    for id in ["a", "team/42 ?x#y+z%", "é 漢"] {
        let created = served.post_json(&record(id)).await;
        let found = served.get(created.header("location")).await;
        assert_eq!((created.status.as_u16(), &found.json()["record"]["id"]), (201, &json!(id)));
        assert_eq!(served.post_json(&record(id)).await.header("location"), "", "it is not new");
    }
    assert_eq!(served.post_json(&json!([record("b")])).await.header("location"), "");
}

#[tokio::test]
async fn a_record_is_created_once_and_a_duplicate_ever_after() {
    let served = Served::new().await;
    let first = served.post_json(&record("a")).await;
    assert_eq!(told(&first), (201, vec!["created".into()], vec![]));
    insta::assert_json_snapshot!(first.json(), {".receipts[].leaf_hash" => "…"}, @r#"
    {
      "receipts": [
        {
          "attempt": 1,
          "id": "a",
          "index": 0,
          "leaf_hash": "…",
          "log": "http",
          "recorded_at": "2026-05-01T12:00:00.000002Z",
          "result": "created",
          "revision": 1
        }
      ],
      "refused": []
    }
    "#);
    let again = served.post_json(&record("a")).await;
    assert_eq!(told(&again), (200, vec!["duplicate".into()], vec![]));
    let (first, again) = (&first.json()["receipts"][0], &again.json()["receipts"][0]);
    assert_eq!(with(first.clone(), "result", ""), with(again.clone(), "result", ""));
}

#[tokio::test]
async fn other_content_under_a_known_id_is_a_conflict() {
    let served = Served::new().await;
    served.post_json(&record("a")).await;
    let answered = served.post_json(&with(record("a"), "workflow_version", "v2")).await;
    assert_eq!(told(&answered), (409, vec![], vec![(0, "conflict".into())]));
    insta::assert_json_snapshot!(answered.json(), @r#"
    {
      "detail": "This id and attempt are recorded with other content. To add a revision, send the record alone with ?amend=true and If-Match: 1.",
      "instance": "urn:dualaudit:request:test",
      "latest_revision": 1,
      "position": 0,
      "receipts": [],
      "refused": [
        {
          "position": 0,
          "problem": {
            "detail": "This id and attempt are recorded with other content. To add a revision, send the record alone with ?amend=true and If-Match: 1.",
            "latest_revision": 1,
            "position": 0,
            "status": 409,
            "title": "This is at odds with what is recorded",
            "type": "https://dualaudit.dev/problems/conflict"
          }
        }
      ],
      "status": 409,
      "title": "This is at odds with what is recorded",
      "type": "https://dualaudit.dev/problems/conflict"
    }
    "#);
}

#[tokio::test]
async fn a_record_that_breaks_a_rule_is_told_which_and_where() {
    let served = Served::new().await;
    let answered = served.post_json(&with(record("a"), "completed_at", "0001-01-01T00:00:00Z")).await;
    assert_eq!(answered.problem(), "invalid-record");
    insta::assert_json_snapshot!(answered.json(), @r#"
    {
      "detail": "completed_at: is Go's zero time (0001-01-01T00:00:00Z), which means it was never set",
      "field": "completed_at",
      "instance": "urn:dualaudit:request:test",
      "position": 0,
      "receipts": [],
      "refused": [
        {
          "position": 0,
          "problem": {
            "detail": "completed_at: is Go's zero time (0001-01-01T00:00:00Z), which means it was never set",
            "field": "completed_at",
            "position": 0,
            "rule": "is Go's zero time (0001-01-01T00:00:00Z), which means it was never set",
            "status": 422,
            "title": "The record breaks a rule",
            "type": "https://dualaudit.dev/problems/invalid-record"
          }
        }
      ],
      "rule": "is Go's zero time (0001-01-01T00:00:00Z), which means it was never set",
      "status": 422,
      "title": "The record breaks a rule",
      "type": "https://dualaudit.dev/problems/invalid-record"
    }
    "#);
    let answered = served.post_json(&with(record("a"), "colour", "red")).await;
    assert_eq!((answered.status.as_u16(), answered.json()["field"].as_str()), (422, Some("colour")));
}

#[tokio::test]
async fn an_amendment_of_the_latest_revision_makes_a_new_one() {
    let served = Served::new().await;
    let changed = with(record("a"), "effectiveness_score", 0.5);
    assert_eq!(told(&amend(&served, "1", &changed).await), (409, vec![], vec![(0, "stale-revision".into())]));
    served.post_json(&record("a")).await;
    assert_eq!(told(&amend(&served, "2", &changed).await), (409, vec![], vec![(0, "stale-revision".into())]));
    let amended = amend(&served, "\"1\"", &changed).await;
    assert_eq!(told(&amended), (201, vec!["amended".into()], vec![]));
    assert_eq!(amended.json()["receipts"][0]["revision"], 2);
    // Sent again, as after a lost answer: it is there already.
    assert_eq!(told(&amend(&served, "1", &changed).await), (200, vec!["duplicate".into()], vec![]));
    assert_eq!(told(&served.post_json(&record("a")).await), (200, vec!["duplicate".into()], vec![]));
    let again = amend(&served, "1", &with(record("a"), "effectiveness_score", 0.25)).await;
    assert_eq!((again.status.as_u16(), &again.json()["latest_revision"]), (409, &json!(2)));
}

#[tokio::test]
async fn an_amendment_is_sent_alone_and_names_its_revision() {
    let served = Served::new().await;
    let send = async |path: &str, if_match: Option<&str>, body: Value| {
        let mut request = posting(path);
        if let Some(revision) = if_match {
            request = request.header("if-match", revision);
        }
        let answered = served.send(request.body(Body::from(body.to_string())).unwrap()).await;
        (answered.status.as_u16(), answered.problem())
    };
    let amending = "/api/v1/executions?amend=true";
    let two = json!([record("a"), record("b")]);
    assert_eq!(send(amending, Some("1"), two).await, (400, "invalid-parameter".into()));
    assert_eq!(send(amending, None, record("a")).await, (428, "precondition-required".into()));
    for wrong in ["0", "-1", "*", "one", "4294967296"] {
        assert_eq!(send(amending, Some(wrong), record("a")).await, (400, "invalid-parameter".into()));
    }
    let twice = posting(amending).header("if-match", "1").header("if-match", "1");
    let twice = served.send(twice.body(Body::from(record("a").to_string())).unwrap()).await;
    assert_eq!((twice.status.as_u16(), twice.problem()), (400, "invalid-parameter".into()));
    for path in ["", "?amend=yes", "?amend=false", "?force=true", "?amend=false&amend=true"] {
        let path = format!("/api/v1/executions{path}");
        assert_eq!(send(&path, Some("1"), record("a")).await, (400, "invalid-parameter".into()), "{path}");
    }
    assert_eq!(served.get("/api/v1/executions").await.json()["items"], json!([]));
}

#[tokio::test]
async fn the_good_records_of_a_batch_are_committed_and_each_bad_one_is_told() {
    let served = Served::new().await;
    served.post_json(&record("known")).await;
    let conflict = with(record("known"), "remediation_id", "other");
    let answered = served
        .post_json(&json!([record("a"), {"id": "b"}, record("known"), record("c"), conflict, 7, record("a")]))
        .await;
    let refused = vec![(1, "invalid-record".into()), (4, "conflict".into()), (5, "invalid-record".into())];
    let results = ["created", "duplicate", "created", "duplicate"].map(str::to_owned).to_vec();
    assert_eq!(told(&answered), (201, results, refused));
    let ids: Vec<_> =
        answered.json()["receipts"].as_array().unwrap().iter().map(|r| r["id"].clone()).collect();
    assert_eq!(ids, ["a", "known", "c", "a"]);
}

#[tokio::test]
async fn a_batch_answers_200_when_all_was_there_and_422_when_all_was_refused() {
    let served = Served::new().await;
    assert_eq!(told(&served.post_json(&json!([])).await), (200, vec![], vec![]));
    served.post_json(&record("a")).await;
    assert_eq!(told(&served.post_json(&json!([record("a")])).await), (200, vec!["duplicate".into()], vec![]));
    let answered = served.post_json(&json!([{"id": "b"}, {"id": "c"}])).await;
    assert_eq!(told(&answered).0, 422);
    assert_eq!(answered.problem(), "all-refused");
    assert_eq!(answered.json()["detail"], "2 of 2 records were refused; see `refused`.");
}

#[tokio::test]
async fn lines_stand_alone_and_malformed_json_takes_nothing() {
    let served = Served::new().await;
    let body = format!("{}\n\n{{\"id\":\n{}\n", record("a"), record("b"));
    let request = Request::post("/api/v1/executions").header("content-type", "application/x-ndjson");
    let answered = served.send(request.body(Body::from(body)).unwrap()).await;
    let created = vec!["created".to_owned(); 2];
    assert_eq!(told(&answered), (201, created, vec![(1, "invalid-json".into())]));
    let answered = served.post(format!("[{},{{]", record("c"))).await;
    assert_eq!((answered.status.as_u16(), answered.problem()), (400, "invalid-json".into()));
    insta::assert_json_snapshot!(answered.json(), @r#"
    {
      "detail": "The body must be JSON in UTF-8 (RFC 8259): key must be a string at line 1 column 583.",
      "instance": "urn:dualaudit:request:test",
      "status": 400,
      "title": "The body is not JSON",
      "type": "https://dualaudit.dev/problems/invalid-json"
    }
    "#);
    assert_eq!(served.get("/api/v1/executions/c").await.status, 404);
}

#[tokio::test]
async fn what_no_json_can_hold_is_malformed_and_the_records_beside_it_stand() {
    let served = Served::new().await;
    let half = record("b").to_string().replace("rem-1", r"\ud800");
    let huge = record("c").to_string().replace("0.95", "1e999");
    for (body, field) in [(&half, "remediation_id"), (&huge, "effectiveness_score")] {
        let answered = served.post(body.clone()).await;
        assert_eq!((answered.status.as_u16(), answered.problem()), (400, "invalid-json".into()));
        assert_eq!(answered.json()["field"], field);
    }
    let refused = vec![(1, "invalid-json".into()), (2, "invalid-json".into())];
    let lines = format!("{}\n{half}\n{huge}\n", record("a"));
    let request = Request::post("/api/v1/executions").header("content-type", "application/x-ndjson");
    let answered = served.send(request.body(Body::from(lines)).unwrap()).await;
    assert_eq!(told(&answered), (201, vec!["created".into()], refused.clone()));
    let answered = served.post(format!("[{},{half},{huge}]", record("a"))).await;
    assert_eq!(told(&answered), (200, vec!["duplicate".into()], refused));
}

#[tokio::test]
async fn a_body_of_another_type_or_beyond_its_limit_is_refused() {
    let served = Served::new().await;
    let request = Request::post("/api/v1/executions").body(Body::from("{}")).unwrap();
    let answered = served.send(request).await;
    assert_eq!((answered.status.as_u16(), answered.problem()), (415, "unsupported-media-type".into()));
    insta::assert_json_snapshot!(answered.json(), @r#"
    {
      "detail": "The body must be application/json (one record or an array) or application/x-ndjson (one record a line), and is declared as nothing: Content-Type is missing.",
      "instance": "urn:dualaudit:request:test",
      "status": 415,
      "title": "The body is of another type",
      "type": "https://dualaudit.dev/problems/unsupported-media-type"
    }
    "#);
    let answered = served.post(vec![b' '; BODY_BYTES + 1]).await;
    assert_eq!((answered.status.as_u16(), answered.problem()), (413, "payload-too-large".into()));
    // Between axum's own default and ours.
    let mut body = record("a").to_string().into_bytes();
    body.resize(BODY_BYTES, b' ');
    assert_eq!(served.post(body).await.status, 201);
}

#[tokio::test]
async fn a_store_that_goes_away_is_a_503_with_the_receipts_so_far() {
    let served = Served::new().await;
    served.fail(Fault::GoneAfterOneAppend);
    let records: Vec<_> = (0..2 * UNDER_WAY).map(|n| record(&format!("r{n}"))).collect();
    let answered = served.post_json(&json!(records)).await;
    assert_eq!((answered.status.as_u16(), answered.problem()), (503, "unavailable".into()));
    assert_eq!(answered.header("retry-after"), "2");
    assert!(!answered.text.contains("secret"), "{}", answered.text);
    let receipts = answered.json()["receipts"].as_array().unwrap().len();
    assert!((1..records.len()).contains(&receipts), "{receipts}");
    // Sent again, everything is there exactly once.
    served.fail(Fault::None);
    let (status, results, refused) = told(&served.post_json(&json!(records)).await);
    assert_eq!((status, results.len(), refused), (201, records.len(), vec![]));
    assert_eq!(results.iter().filter(|result| *result == "duplicate").count(), receipts);
}

#[tokio::test]
async fn a_store_that_hangs_is_a_503_with_the_receipts_so_far() {
    let served = Served::with(Limits { time: Duration::from_secs(5), ..Limits::default() }).await;
    served.fail(Fault::HangsAfterOneAppend);
    let records: Vec<_> = (0..2 * UNDER_WAY).map(|n| record(&format!("r{n}"))).collect();
    let answered = served.post_json(&json!(records)).await;
    assert_eq!((answered.status.as_u16(), answered.problem()), (503, "timeout".into()));
    assert_eq!(answered.header("retry-after"), "2");
    let (_, results, refused) = told(&answered);
    assert!((1..records.len()).contains(&results.len()), "{}", results.len());
    assert_eq!(refused, vec![]);
}

#[tokio::test]
async fn a_request_that_fails_is_one_line_in_the_log_however_many_its_records() {
    let served = Served::new().await;
    let records: Vec<_> = (0..3 * UNDER_WAY).map(|n| record(&format!("r{n}"))).collect();
    served.fail(Fault::Unavailable);
    let told = Told::from_now_on();
    assert_eq!(served.post_json(&json!(records)).await.status, 503);
    assert_eq!(told.lines("a request could not be served").len(), 1);
    assert_eq!(told.lines("/secret/path").len(), 1);

    served.fail(Fault::Rejects);
    let told = Told::from_now_on();
    assert_eq!(served.post_json(&json!(records[..3])).await.problem(), "all-refused");
    let lines = told.lines("/secret/path");
    assert!(lines.len() == 1 && lines[0].contains("records=3"), "{lines:?}");
}
