//! `GET /api/v1/executions`: a page of what is recorded, newest `created_at` first.
//!
//! Parameters: those of [`crate::query::ListRequest`]. Answers `{"items":[…],"next_cursor"}`; 400 names
//! a parameter that is unknown, given twice or out of bounds.

use axum::{
    Json,
    extract::{State, rejection::QueryRejection},
};
use serde_json::json;

use super::{Pairs, pairs};
use crate::{
    access::Verb,
    http::{
        Api,
        access::Caller,
        openapi::{Answer, Call, Tag, parameters},
        problem::{Kind, Problem},
    },
    query::{self, DEFAULT_LIMIT, ListRequest, MAX_LIMIT, Page},
};

pub(in crate::http) fn call() -> Call {
    Call::new(Tag::Executions, "listExecutions", "A page of executions, newest first")
        .saying(
            "Live and recorded executions as one list, ordered by `created_at`, then log, id and attempt: a row never moves, so \
             following `next_cursor` gives each once. `warnings` say what of a side is missing. Steps and adjustments are left out, and a long `error_message` is clipped.",
        )
        .given(parameters::filters())
        .given(parameters::sides())
        .given([parameters::count(), parameters::limit(MAX_LIMIT, DEFAULT_LIMIT), parameters::cursor()])
        .answers(200, Answer::of::<Page>("A page.").example(json!({"items": [], "next_cursor": null})))
        .fails(Kind::OF_EVERY_CALL)
}

pub(in crate::http) async fn list(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let pairs = pairs(query)?;
    let mut request = ListRequest::parse(&pairs, api.clock.now())?;
    let seen = caller.reads(&api, Verb::List, &pairs).await?;
    request.filter.within = seen.reach.clone();
    Ok(Json(query::list(seen.sides(), &request).await?))
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, sync::Arc};

    use async_trait::async_trait;
    use serde_json::{Value, json};

    use crate::{
        http::{
            limits::Limits,
            tests::{Fault, Served, record},
        },
        live::{Board, LiveExecution, Look, Looked, Place, Sight},
        store::conformance::sample,
    };

    /// A cluster that does not answer.
    struct Away;

    #[async_trait]
    impl Look for Away {
        async fn look(&self, _: &str, _: &str, _: &str) -> Result<Option<Looked>, String> {
            Err("no route to /secret/path".to_owned())
        }
    }

    /// A board with one execution that runs.
    fn board() -> Arc<Board> {
        board_of(None)
    }

    /// The same of one namespace.
    fn board_of(namespace: Option<&str>) -> Arc<Board> {
        seen(Board::new("default", Arc::new(Away)).of_namespace(namespace.map(str::to_owned)))
    }

    fn seen(board: Board) -> Arc<Board> {
        let record = sample::record("running");
        let place = Place {
            created_at: Reverse(record.created_at),
            log: "default".to_owned(),
            id: record.id.clone(),
            attempt: record.attempt,
        };
        let live = LiveExecution {
            place,
            record: record.clone(),
            message_clipped: false,
            steps: 0,
            ended: false,
            phase: "Executing".to_owned(),
            recorded: None,
            review_until: None,
            held: false,
        };
        board.see(live, Arc::new(record));
        Arc::new(board)
    }

    #[tokio::test]
    async fn where_a_side_is_away_the_other_comes_with_a_warning_that_names_no_path() {
        let served = Served::seeing(Some(board()), Limits::default()).await;
        served.post_json(&record("recorded")).await;
        let missing = |answered: &Value| -> Vec<String> {
            let missing = answered["warnings"].as_array().unwrap().iter().map(|it| it["missing"].to_string());
            missing.collect()
        };
        let page = served.get("/api/v1/executions").await;
        assert_eq!((ids(&page.json()).len(), missing(&page.json())), (2, vec!["\"live\"".to_owned()]));
        served.fail(Fault::Unavailable);
        for (path, seen) in [("", "/items/0/phase"), ("/running", "/live/phase")] {
            let answered = served.get(&format!("/api/v1/executions{path}")).await;
            assert_eq!(answered.status, 200, "{}", answered.text);
            assert_eq!(answered.json().pointer(seen), Some(&json!("Executing")), "{}", answered.text);
            assert_eq!(missing(&answered.json())[0], "\"stored\"", "{}", answered.text);
            assert!(!answered.text.contains("secret"), "{}", answered.text);
        }
        // What only the database can answer is not answered by halves.
        for path in ["?tier=stored", "?review=any", "/recorded"] {
            assert_eq!(served.get(&format!("/api/v1/executions{path}")).await.problem(), "unavailable");
        }
    }

    /// A cluster that says nothing.
    struct Silent;

    #[async_trait]
    impl Look for Silent {
        async fn look(&self, _: &str, _: &str, _: &str) -> Result<Option<Looked>, String> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_cluster_that_falls_silent_is_not_waited_for() {
        let served =
            Served::seeing(Some(seen(Board::new("default", Arc::new(Silent)))), Limits::default()).await;
        let answered = served.get("/api/v1/executions/running").await;
        assert_eq!((answered.status.as_u16(), &answered.json()["live"]["phase"]), (200, &json!("Executing")));
        assert_eq!(answered.json()["warnings"][0]["missing"], "live_changes", "{}", answered.text);
    }

    #[tokio::test]
    async fn nothing_that_is_recorded_elsewhere_takes_a_live_execution_of_its_id_out_of_sight() {
        let served = Served::seeing(Some(board()), Limits::default()).await;
        served.post_json(&record("running")).await;
        let answered = served.get("/api/v1/executions/running").await;
        assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (409, "ambiguous-id"));
        assert_eq!(answered.json()["logs"], json!(["default", "http"]));
        let of = async |log: &str| served.get(&format!("/api/v1/executions/running?log={log}")).await.json();
        let (produced, live) = (of("http").await, of("default").await);
        assert_eq!((&produced["receipt"]["log"], &produced["live"]), (&json!("http"), &Value::Null));
        assert_eq!((&live["record"], &live["live"]["phase"]), (&Value::Null, &json!("Executing")));
        assert_eq!(ids(&served.get("/api/v1/executions").await.json()), ["running", "running"]);
    }

    #[tokio::test]
    async fn what_may_be_live_and_is_not_seen_is_said_also_of_one_that_is_not_there() {
        let detail = |answered: &Value| answered["warnings"][0]["detail"].as_str().map(str::to_owned);
        let board = board_of(Some("shop"));
        let served = Served::seeing(Some(Arc::clone(&board)), Limits::default()).await;
        let missing = served.get("/api/v1/executions/nobody").await.json()["detail"].to_string();
        assert!(
            missing.contains("there is no execution nobody; the executions of default are still being read"),
            "{missing}"
        );
        board.set_sight(Sight::Whole);
        let alone = "this server watches the namespace shop alone: what is live in others is not seen";
        for (asked, is_said) in
            [("", true), ("?namespace=bank", true), ("?namespace=shop", false), ("?log=http", false)]
        {
            let page = served.get(&format!("/api/v1/executions{asked}")).await.json();
            assert_eq!(detail(&page).is_some_and(|said| said.contains(alone)), is_said, "{asked}: {page}");
        }
        let missing = served.get("/api/v1/executions/nobody").await.json()["detail"].to_string();
        assert!(missing.contains(alone), "{missing}");
    }

    async fn served_with(count: usize) -> Served {
        let served = Served::new().await;
        let records: Vec<_> = (0..count)
            .map(|n| {
                let mut record = record(&format!("r{n:03}"));
                // Several of each instant, so that pages break within them.
                record["created_at"] = format!("2026-04-30T10:00:{:02}Z", n / 4).into();
                record["labels"] = json!({"team": if n % 2 == 0 { "a" } else { "b" }});
                record
            })
            .collect();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        served
    }

    fn ids(page: &Value) -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn an_item_says_what_the_record_says_but_its_steps() {
        let served = served_with(1).await;
        insta::assert_json_snapshot!(served.get("/api/v1/executions").await.json(), @r#"
        {
          "items": [
            {
              "attempt": 1,
              "completed_at": "2026-05-01T08:00:00.123456Z",
              "created_at": "2026-04-30T10:00:00.000000Z",
              "effectiveness_score": 0.95,
              "id": "r000",
              "labels": {
                "team": "a"
              },
              "log": "http",
              "outcome": "success",
              "phase": "Completed",
              "recorded_at": "2026-05-01T12:00:00.000002Z",
              "remediation_id": "rem-1",
              "revision": 1,
              "rollbacks_performed": 0,
              "score_source": "reported",
              "status": "completed",
              "steps_completed": 2,
              "steps_failed": 0,
              "tiers": [
                "stored"
              ],
              "total_duration": 90000000000,
              "total_steps": 2,
              "workflow_name": "restart-deployment",
              "workflow_version": "v1.2.0"
            }
          ],
          "next_cursor": null
        }
        "#);
    }

    #[tokio::test]
    async fn a_long_message_is_clipped_in_a_list_and_whole_by_itself() {
        let served = Served::new().await;
        let mut long = record("a");
        long["error_message"] = "x".repeat(100_000).into();
        assert_eq!(served.post_json(&long).await.status, 201);
        let page = served.get("/api/v1/executions").await;
        let item = &page.json()["items"][0];
        assert_eq!(item["error_message_clipped"], true);
        assert!(item["error_message"].as_str().unwrap().ends_with("x…") && page.text.len() < 3_000);
        let found = served.get("/api/v1/executions/a").await.json();
        assert_eq!(found["record"]["error_message"], long["error_message"]);
    }

    #[tokio::test]
    async fn pages_give_each_row_once_whatever_is_recorded_meanwhile() {
        let served = served_with(50).await;
        let whole = ids(&served.get("/api/v1/executions?labels=team%3Da&limit=1000").await.json());
        assert_eq!(whole.len(), 25);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                served.get(&format!("/api/v1/executions?limit=3&labels=team%3Da{cursor}")).await.json();
            seen.extend(ids(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            let newer = record(&format!("newer{}", seen.len()));
            assert_eq!(served.post_json(&newer).await.status, 201);
        }
        assert_eq!(seen, whole);
    }

    #[tokio::test]
    async fn a_last_page_that_is_full_has_no_next() {
        let served = served_with(4).await;
        let page = served.get("/api/v1/executions?limit=4").await.json();
        assert_eq!((ids(&page).len(), &page["next_cursor"]), (4, &Value::Null));
    }

    #[tokio::test]
    async fn a_parameter_that_cannot_be_used_is_named_with_what_is_allowed() {
        let served = served_with(5).await;
        let answered = served.get("/api/v1/executions?limit=1001").await;
        assert_eq!(answered.status, 400);
        insta::assert_json_snapshot!(answered.json(), @r#"
        {
          "detail": "limit=\"1001\": must be a whole number from 1 to 1000",
          "field": "limit",
          "instance": "urn:dualaudit:request:test",
          "rule": "must be a whole number from 1 to 1000",
          "status": 400,
          "title": "A parameter cannot be used",
          "type": "https://dualaudit.dev/problems/invalid-parameter"
        }
        "#);
        let page = served.get("/api/v1/executions?limit=2").await.json();
        let cursor = page["next_cursor"].as_str().unwrap();
        let edited = cursor.replacen(&cursor[10..11], if &cursor[10..11] == "A" { "B" } else { "A" }, 1);
        for (query, rule) in [
            (
                format!("cursor={edited}"),
                "must be a next_cursor exactly as this API gave it; this one is cut off or altered",
            ),
            (
                format!("cursor={cursor}&log=http"),
                "belongs to a list with other filters; send it with the filters it came from",
            ),
            ("limit=1&limit=2".into(), "is given twice; give it once"),
        ] {
            let answered = served.get(&format!("/api/v1/executions?{query}")).await;
            assert_eq!(
                (answered.problem().as_str(), answered.json()["rule"].as_str()),
                ("invalid-parameter", Some(rule))
            );
        }
    }
}
