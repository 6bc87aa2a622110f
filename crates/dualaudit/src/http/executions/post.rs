//! `POST /api/v1/executions`: one record, a JSON array of them, or NDJSON.
//!
//! Answers `{"receipts":[…],"refused":[{"position","problem"}]}`, receipts in the order sent, positions
//! counted from 0. What is accepted is committed whatever becomes of the rest. An answer with an error's
//! status is a problem document with the same two members in it.
//!
//! `?amend=true` with `If-Match: <revision>` adds a revision to what is recorded; the record must then
//! be the only one.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{
        FromRequest, Request, State,
        rejection::{BytesRejection, FailedToBufferBody, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use dualaudit_record::submitted::Submitted;
use futures::{StreamExt, stream};
use serde::Serialize;

use super::{
    Pairs,
    body::{self, Submission},
    pairs,
};
use crate::{
    http::{
        Api,
        limits::{AGAIN, Admission, BODY_BYTES, Deadline},
        problem::{Kind, Problem, internal},
    },
    ingest::{Answer, BATCH_DRAFTS, Receipt, ReceiptResult, StoreError},
    query::{self, BadParameter},
};

/// How many records of one request are on their way into the log at once: what the next commit takes
/// while one runs.
const UNDER_WAY: usize = 2 * BATCH_DRAFTS;

/// What a request is answered with.
#[derive(Debug, Default, Serialize)]
struct Answered {
    receipts: Vec<Receipt>,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    position: usize,
    problem: Problem,
}

/// What became of one record.
enum Fate {
    Stored(Receipt),
    Refused(Problem),
    /// Not its fault; whether it is stored is not known.
    Failed(Problem),
}

pub(in crate::http) async fn post(
    State(api): State<Api>,
    Extension(admission): Extension<Admission>,
    Extension(deadline): Extension<Deadline>,
    query: Result<Pairs, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let amend = amends(&pairs(query)?, &headers)?;
    let media = body::media(&headers)?;
    let _room = admission.room_for_body(&headers).await;
    let bytes = Bytes::from_request(request, &()).await.map_err(|rejection| unreadable(&rejection))?;
    let submission = body::split(media, &bytes)?;
    if amend.is_some() && submission.records.len() != 1 {
        let detail =
            format!("amend=true is for one record sent alone, and {} were sent.", submission.records.len());
        return Err(Problem::new(Kind::InvalidParameter, detail).with("field", "amend"));
    }
    let Submission { single, records } = submission;
    let records = records.into_iter().map(|record| record.map(|json| bytes.slice_ref(json))).collect();
    Ok(answer(single, record_all(&api, records, amend, deadline).await))
}

/// The revision to amend, if that is what is asked.
fn amends(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    query::reject_repeats(pairs)?;
    let mut amend = false;
    for (name, value) in pairs {
        amend = match (name.as_str(), value.as_str()) {
            ("amend", "true") => true,
            ("amend", "false") => false,
            ("amend", _) => return Err(BadParameter::new(name, value, "must be true or false").into()),
            _ => {
                let rule = "is no parameter of this call; known is amend";
                return Err(BadParameter::new(name, value, rule).into());
            }
        };
    }
    let mut conditions = headers.get_all("if-match").iter();
    let condition = conditions.next();
    if let Some(second) = conditions.next() {
        let value = String::from_utf8_lossy(second.as_bytes());
        return Err(BadParameter::new("If-Match", &value, "is given twice; give it once").into());
    }
    match (amend, condition) {
        (false, None) => Ok(None),
        // To ignore a condition would be to do what the sender ruled out.
        (false, Some(value)) => Err(BadParameter::new(
            "If-Match",
            &String::from_utf8_lossy(value.as_bytes()),
            "has a meaning only with amend=true",
        )
        .into()),
        (true, None) => Err(Problem::new(
            Kind::PreconditionRequired,
            "amend=true needs If-Match: <revision>, the latest revision that you know of.",
        )
        .with("field", "If-Match")),
        (true, Some(value)) => {
            let text = String::from_utf8_lossy(value.as_bytes());
            // Both 3 and "3", the form of an entity tag (RFC 9110, section 8.8.3).
            let number = text.trim().trim_matches('"').parse().ok().filter(|&revision| revision > 0);
            let rule = "must be the number of a revision, such as 1";
            number.map(Some).ok_or_else(|| BadParameter::new("If-Match", &text, rule).into())
        }
    }
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Problem::new(
            Kind::PayloadTooLarge,
            format!("A body may have {} MiB; send the records in several requests.", BODY_BYTES >> 20),
        ),
        _ => Problem::new(Kind::MalformedRequest, "The body ended before it was complete."),
    }
}

/// Hands the records to the log, many at once so that they share commits, and gives their fates in
/// the order sent. At the deadline it gives those there are: whoever was recorded gets the receipt.
async fn record_all(
    api: &Api,
    records: Vec<Result<Bytes, Problem>>,
    amend: Option<u32>,
    deadline: Deadline,
) -> Vec<Fate> {
    let mut fates: Vec<Option<Fate>> = records.iter().map(|_| None).collect();
    // Once the database is gone the rest would only wait for it, one batch after the other.
    let gone = AtomicBool::new(false);
    let gone = &gone;
    let recording = records.into_iter().enumerate().map(|(position, record)| async move {
        if gone.load(Ordering::Relaxed) {
            let gone = StoreError::Unavailable("it was gone already".into());
            return (position, Fate::Failed(gone.into()));
        }
        let fate = record_one(api, record, amend).await;
        if matches!(fate, Fate::Failed(_)) {
            gone.store(true, Ordering::Relaxed);
        }
        (position, fate)
    });
    let recorded = stream::iter(recording).buffer_unordered(UNDER_WAY);
    let mut recorded = pin!(recorded.take_until(tokio::time::sleep_until(deadline.0)));
    while let Some((position, fate)) = recorded.next().await {
        fates[position] = Some(fate);
    }
    fates.into_iter().map(|fate| fate.unwrap_or_else(|| Fate::Failed(late()))).collect()
}

fn late() -> Problem {
    Problem::new(Kind::Timeout, format!("Not all of the records were recorded in time. {AGAIN}"))
}

async fn record_one(api: &Api, record: Result<Bytes, Problem>, amend: Option<u32>) -> Fate {
    let json = match record {
        Ok(json) => json,
        Err(problem) => return Fate::Refused(problem),
    };
    let valid = Submitted::from_json(&json).and_then(|submitted| submitted.validate(api.clock.now()));
    let record = match valid {
        Ok(record) => record,
        Err(invalid) => return Fate::Refused(invalid.into()),
    };
    match api.ingest.submit(api.ingest.from_producer(record, amend)).await {
        Ok(Answer::Stored(receipt)) => Fate::Stored(receipt),
        Ok(Answer::Refused(refusal)) => Fate::Refused(refusal.into()),
        Ok(Answer::Accounted) => Fate::Failed(internal(&"an execution was answered like a gap")),
        Err(error @ StoreError::Rejected(_)) => Fate::Refused(error.into()),
        Err(error) => Fate::Failed(error.into()),
    }
}

fn answer(single: bool, fates: Vec<Fate>) -> Response {
    let mut answered = Answered::default();
    let mut failure: Option<Problem> = None;
    // One line a request, however many of its records the database refuses.
    let mut causes = Vec::new();
    for (position, fate) in fates.into_iter().enumerate() {
        match fate {
            Fate::Stored(receipt) => answered.receipts.push(receipt),
            Fate::Refused(mut problem) => {
                causes.extend(problem.take_cause());
                let problem = problem.with("position", position);
                answered.refused.push(Refused { position, problem });
            }
            // The worst is told: what is broken rather than what is away.
            Fate::Failed(problem)
                if failure.as_ref().is_none_or(|known| known.status() > problem.status()) =>
            {
                failure = Some(problem);
            }
            Fate::Failed(_) => {}
        }
    }
    if let Some(cause) = causes.first() {
        tracing::error!(%cause, records = causes.len(), "the database refuses what passed every check");
    }
    let problem = failure.or_else(|| match answered.refused.as_slice() {
        [refused] if single => Some(refused.problem.clone()),
        refused if answered.receipts.is_empty() && !refused.is_empty() => {
            let detail = format!("{} of {0} records were refused; see `refused`.", refused.len());
            Some(Problem::new(Kind::AllRefused, detail))
        }
        _ => None,
    });
    match problem {
        Some(problem) => with_answered(problem, &answered).into_response(),
        None => {
            let new = answered.receipts.iter().any(|receipt| receipt.result != ReceiptResult::Duplicate);
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            (status, Json(answered)).into_response()
        }
    }
}

fn with_answered(problem: Problem, answered: &Answered) -> Problem {
    match (serde_json::to_value(&answered.receipts), serde_json::to_value(&answered.refused)) {
        (Ok(receipts), Ok(refused)) => problem.with("receipts", receipts).with("refused", refused),
        (Err(error), _) | (_, Err(error)) => internal(&error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body, http::Request};
    use serde_json::{Value, json};

    use super::*;
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
                "title": "The execution is recorded with other content",
                "type": "https://dualaudit.dev/problems/conflict"
              }
            }
          ],
          "status": 409,
          "title": "The execution is recorded with other content",
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
        assert_eq!(
            told(&amend(&served, "1", &changed).await),
            (409, vec![], vec![(0, "stale-revision".into())])
        );
        served.post_json(&record("a")).await;
        assert_eq!(
            told(&amend(&served, "2", &changed).await),
            (409, vec![], vec![(0, "stale-revision".into())])
        );
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
            assert_eq!(
                send(&path, Some("1"), record("a")).await,
                (400, "invalid-parameter".into()),
                "{path}"
            );
        }
        assert_eq!(served.get("/api/v1/executions").await.json()["items"], json!([]));
    }

    #[tokio::test]
    async fn the_good_records_of_a_batch_are_committed_and_each_bad_one_is_told() {
        let served = Served::new().await;
        served.post_json(&record("known")).await;
        let conflict = with(record("known"), "remediation_id", "other");
        let answered = served
            .post_json(
                &json!([record("a"), {"id": "b"}, record("known"), record("c"), conflict, 7, record("a")]),
            )
            .await;
        let refused =
            vec![(1, "invalid-record".into()), (4, "conflict".into()), (5, "invalid-record".into())];
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
        assert_eq!(
            told(&served.post_json(&json!([record("a")])).await),
            (200, vec!["duplicate".into()], vec![])
        );
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
}
