//! `GET /api/v1/executions/{id}?log=&attempt=`: one execution in full.
//!
//! Answers the latest attempt unless one is named; 404 when there is none like that, 409 with `logs`
//! when the id is in several logs and none is named. The answer has an entity tag, which changes whenever it would.

use axum::{
    extract::{State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};

use super::{Pairs, wanted};
use crate::{
    access::{Resource, Verb},
    http::{
        Api,
        access::Caller,
        etag::tagged,
        openapi::{Answer, Call, Tag, parameters},
        path::Segments,
        problem::{Kind, Problem, internal},
        trail,
    },
    query::{self, Found, Missing, Summary, Wanted, Warning},
};

pub(in crate::http) fn call() -> Call {
    Call::new(Tag::Executions, "getExecution", "One execution in full")
        .saying("The latest attempt unless one is named, with its revisions, receipt, reviews and holds.")
        .given([parameters::id(), parameters::log(), parameters::attempt()])
        .tagged(Answer::of::<Found>("The execution."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchExecution, Kind::AmbiguousId, Kind::Purged])
}

pub(in crate::http) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
    query: Result<Pairs, QueryRejection>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = wanted(id, query)?;
    let seen = caller.one(&api, (Verb::Get, Resource::ExecutionRecords), &wanted).await?;
    let mut found: Found = query::get(seen.sides(), &wanted).await?;
    if found.live.as_ref().is_some_and(|live| live.resource.is_some()) {
        guard_resource(&api, &caller, &wanted, &mut found).await?;
    }
    let json = serde_json::to_vec(&found).map_err(|error| internal(&error))?;
    Ok(tagged(&asked, "application/json", json))
}

/// Leaves the object as it is now to those who may read the one that is recorded, once it is on record that they do.
async fn guard_resource(
    api: &Api,
    caller: &Caller,
    wanted: &Wanted,
    Found { live, warnings, .. }: &mut Found,
) -> Result<(), Problem> {
    let (Some(reader), Some(live)) = (caller.name(), live) else { return Ok(()) };
    if !caller.one(api, (Verb::Get, Resource::Source), wanted).await?.has_live() {
        live.resource = None;
        return Ok(());
    }
    let Summary { log, namespace, id, .. } = &live.summary;
    let is_away = warnings.iter().any(|warning| warning.missing == Missing::Stored);
    let event = trail::of_source(reader, log, namespace.clone(), Some(id));
    if is_away || trail::allow(api, event).await.is_err() {
        live.resource = None;
        let detail =
            "its resource is not shown: that it is read cannot be put on record at present".to_owned();
        warnings.push(Warning { missing: Missing::LiveChanges, log: Some(log.clone()), detail });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicI64};

    use dualaudit_record::submitted::Submitted;

    use crate::http::tests::{Served, Ticking, door, now, posting, record};

    #[tokio::test]
    async fn a_record_comes_back_as_it_was_sent_with_what_the_server_adds() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let answered = served.get("/api/v1/executions/a").await;
        assert_eq!(answered.status, 200);
        insta::assert_json_snapshot!(answered.json(), {".**.leaf_hash" => "…"}, @r#"
        {
          "holds": [],
          "live": null,
          "receipt": {
            "attempt": 1,
            "id": "a",
            "index": 0,
            "leaf_hash": "…",
            "log": "http",
            "recorded_at": "2026-05-01T12:00:00.000002Z",
            "result": "created",
            "revision": 1
          },
          "record": {
            "adaptive_adjustments": [],
            "attempt": 1,
            "completed_at": "2026-05-01T08:00:00.123456Z",
            "created_at": "2026-05-01T07:58:30.123456Z",
            "effectiveness_score": 0.95,
            "id": "a",
            "outcome": "success",
            "recorded_at": "2026-05-01T12:00:00.000002Z",
            "remediation_id": "rem-1",
            "revision": 1,
            "rollbacks_performed": 0,
            "score_source": "reported",
            "status": "completed",
            "step_executions": [
              {
                "action": "drain",
                "duration": 30000000000,
                "retries_attempted": 0,
                "status": "completed",
                "step_number": 1
              },
              {
                "action": "restart",
                "duration": 60000000000,
                "retries_attempted": 1,
                "status": "completed",
                "step_number": 2
              }
            ],
            "steps_completed": 2,
            "steps_failed": 0,
            "total_duration": 90000000000,
            "total_steps": 2,
            "workflow_name": "restart-deployment",
            "workflow_version": "v1.2.0"
          },
          "reviews": [],
          "revisions": [
            {
              "receipt": {
                "attempt": 1,
                "id": "a",
                "index": 0,
                "leaf_hash": "…",
                "log": "http",
                "recorded_at": "2026-05-01T12:00:00.000002Z",
                "result": "created",
                "revision": 1
              },
              "record": {
                "adaptive_adjustments": [],
                "attempt": 1,
                "completed_at": "2026-05-01T08:00:00.123456Z",
                "created_at": "2026-05-01T07:58:30.123456Z",
                "effectiveness_score": 0.95,
                "id": "a",
                "outcome": "success",
                "recorded_at": "2026-05-01T12:00:00.000002Z",
                "remediation_id": "rem-1",
                "revision": 1,
                "rollbacks_performed": 0,
                "score_source": "reported",
                "status": "completed",
                "step_executions": [
                  {
                    "action": "drain",
                    "duration": 30000000000,
                    "retries_attempted": 0,
                    "status": "completed",
                    "step_number": 1
                  },
                  {
                    "action": "restart",
                    "duration": 60000000000,
                    "retries_attempted": 1,
                    "status": "completed",
                    "step_number": 2
                  }
                ],
                "steps_completed": 2,
                "steps_failed": 0,
                "total_duration": 90000000000,
                "total_steps": 2,
                "workflow_name": "restart-deployment",
                "workflow_version": "v1.2.0"
              }
            }
          ],
          "revisions_total": 1,
          "windows": []
        }
        "#);
    }

    #[tokio::test]
    async fn an_id_may_hold_anything_that_a_path_can_escape() {
        let served = Served::new().await;
        for (id, path) in
            [("team/42?x#y", "team%2F42%3Fx%23y"), ("é 漢%", "%C3%A9%20%E6%BC%A2%25"), ("a+b;c", "a+b;c")]
        {
            assert_eq!(served.post_json(&record(id)).await.status, 201);
            let answered = served.get(&format!("/api/v1/executions/{path}")).await;
            assert_eq!(answered.json()["record"]["id"], id);
        }
        for (path, problem) in [("a%00", "no-such-execution"), ("%FF", "malformed-request")] {
            assert_eq!(served.get(&format!("/api/v1/executions/{path}")).await.problem(), problem);
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_as_far_as_it_fits() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let answered = served.get("/api/v1/executions/b").await;
        assert_eq!(answered.status, 404);
        insta::assert_json_snapshot!(answered.json(), @r#"
        {
          "detail": "there is no execution b",
          "instance": "urn:dualaudit:request:test",
          "status": 404,
          "title": "There is no such execution",
          "type": "https://dualaudit.dev/problems/no-such-execution"
        }
        "#);
        let detail = async |path: &str| served.get(path).await.json()["detail"].as_str().unwrap().to_owned();
        insta::assert_snapshot!(detail("/api/v1/executions/a?attempt=2").await, @"there is no attempt 2 of execution a; the latest is 1");
        insta::assert_snapshot!(detail("/api/v1/executions/a?log=prod").await, @"there is no execution a in log prod; it is in http");
        insta::assert_snapshot!(detail("/api/v1/executions/a?attempt=0").await, @r#"attempt="0": must be a whole number from 1 to 2147483647"#);
        insta::assert_snapshot!(detail("/api/v1/executions/a?tier=live").await, @r#"tier="live": is no parameter of this call; known are log and attempt"#);
    }

    #[tokio::test]
    async fn the_latest_attempt_is_shown_unless_one_is_named() {
        let served = Served::new().await;
        for attempt in [2, 10, 1] {
            let mut record = record("a");
            record["attempt"] = attempt.into();
            assert_eq!(served.post_json(&record).await.status, 201);
        }
        let attempt = async |path: &str| served.get(path).await.json()["record"]["attempt"].as_u64();
        assert_eq!(attempt("/api/v1/executions/a").await, Some(10));
        assert_eq!(attempt("/api/v1/executions/a?attempt=2&log=http").await, Some(2));
    }

    #[tokio::test]
    async fn an_id_in_two_logs_is_a_conflict_that_lists_them() {
        let served = Served::new().await;
        let clock = Arc::new(Ticking(AtomicI64::new(now().as_micros())));
        let other = door(served.store.inner.clone(), "other", clock).await;
        let valid =
            Submitted::from_json(record("a").to_string().as_bytes()).unwrap().validate(now()).unwrap();
        other.submit(other.from_producer(valid, None)).await.unwrap();
        served.post_json(&record("a")).await;
        let answered = served.get("/api/v1/executions/a").await;
        assert_eq!(answered.status, 409);
        insta::assert_json_snapshot!(answered.json(), @r#"
        {
          "detail": "a is in 2 logs; name one of them: http, other",
          "instance": "urn:dualaudit:request:test",
          "logs": [
            "http",
            "other"
          ],
          "status": 409,
          "title": "The id is in several logs",
          "type": "https://dualaudit.dev/problems/ambiguous-id"
        }
        "#);
        let named = served.get("/api/v1/executions/a?log=other").await;
        assert_eq!(named.json()["receipt"]["log"], "other");
    }

    #[tokio::test]
    async fn revisions_are_bounded_in_number_and_in_bytes_and_counted() {
        let served = Served::new().await;
        for (id, message, revisions, given) in [("many", 1, 23, 20), ("large", 2_000_000, 6, 4)] {
            for revision in 0..revisions {
                let mut record = record(id);
                record["error_message"] = format!("{revision}{}", "x".repeat(message)).into();
                let request = match revision {
                    0 => posting("/api/v1/executions"),
                    _ => posting("/api/v1/executions?amend=true").header("if-match", revision),
                };
                let answered = served.send(request.body(record.to_string().into()).unwrap()).await;
                assert_eq!(answered.status, 201, "{}", answered.text);
            }
            let found = served.get(&format!("/api/v1/executions/{id}")).await.json();
            assert_eq!(found["revisions_total"], revisions);
            let told: Vec<_> = found["revisions"].as_array().unwrap().iter().collect();
            assert_eq!((told.len(), &told[0]["record"]), (given, &found["record"]));
            assert_eq!(found["record"]["revision"], revisions);
        }
    }
}
