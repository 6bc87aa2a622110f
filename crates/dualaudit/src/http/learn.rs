//! `GET /api/v1/learn/{answer}`: what works, what breaks, what to try next; see [`crate::learn`].
//!
//! Parameters: those of the answer. A filter that there is not is answered with 422, which names those there are.

use axum::{
    Json,
    extract::{State, rejection::QueryRejection},
};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Api,
    access::Caller,
    executions::{Pairs, pairs},
    openapi::{
        Answer as Answered, Call, Routes, Tag,
        parameters::{self, Parameter, one_of, query, text, text_or_empty, time, whole},
    },
    problem::{Kind, Problem},
};
use crate::{
    access::Verb,
    learn::{
        self, Answer, Ask, adjustments, compare, question::MINIMUM, recommend, regressions, steps, verdicts,
        workflows,
    },
};

/// One path an answer.
pub(super) fn routes() -> Routes {
    let by = || query("by", "What a row is of.", one_of(&["workflow", "version"]), "version");
    let routes = route::<workflows::Request>(
        Routes::default(),
        call::<workflows::Workflows>("Workflows", "How workflows do, the most run first")
            .given([workflow(), by()])
            .given([query("series", "With how it came about, stretch by stretch.", boolean(), "true")])
            .given([parameters::limit(1000, 200)]),
    );
    let routes = route::<steps::Request>(
        routes,
        call::<steps::Steps>("Steps", "The steps of a workflow, those with most to answer for first")
            .given([workflow().required()])
            .given([query("sort", "By what.", one_of(&["failures", "retries", "time"]), "time")])
            .given([query(
                "examples",
                "With executions that said what is told of errors.",
                boolean(),
                "true",
            )]),
    );
    let routes = route::<adjustments::Request>(
        routes,
        call::<adjustments::Adjustments>("Adjustments", "What adjustments to steps are associated with")
            .given([workflow().required()]),
    );
    let routes = route::<compare::Request>(
        routes,
        call::<compare::Comparisons>("Compare", "Two versions of a workflow, or two periods")
            .given([workflow()])
            .given([query(
                "against",
                "The version to compare with, of the workflow that is named; the one before unless given. Not with a period.",
                text_or_empty(),
                "v1.1.0",
            )])
            .given([
                time("against_since", "When the period to compare with begins.", "56d"),
                time("against_until", "When it ends; where the other begins unless given.", "28d"),
            ]),
    );
    let routes = route::<regressions::Request>(
        routes,
        call::<regressions::Regressions>("Regressions", "What got worse, day by day")
            .given([workflow(), by()]),
    );
    let seed = json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX});
    let routes = route::<recommend::Request>(
        routes,
        call::<recommend::Recommended>("Recommend", "What to try for a kind of incident, ranked")
            .given([workflow(), parameters::limit(10, 5)])
            .given([query("explore", "Ranks by draws, of this seed, rather than by lower bounds.", seed, 7)]),
    );
    route::<verdicts::Request>(
        routes,
        call::<verdicts::Verdicts>("Verdicts", "What people said of executions, and where it disagrees")
            .given([workflow(), by(), parameters::limit(1000, 100)]),
    )
}

fn route<A: Ask + 'static>(routes: Routes, call: Call) -> Routes {
    routes.get(&format!("/api/v1/learn/{}", A::NAME), answer::<A>, call)
}

/// What is said of an answer, and of the parameters that each has but for the workflow.
fn call<T: ToSchema>(name: &str, summary: &str) -> Call
where
    Answer<T>: ToSchema,
{
    let incident = query("incident_type", "The kind of incident.", text_or_empty(), "OOMKilled");
    Call::new(Tag::Learning, format!("learn{name}"), summary)
        .saying("Of executions that ended in a period. Figures say how many executions they are made of, and their interval.")
        .given([
            query("log", "The log they are in.", text(), "http"),
            query("version", "The workflow's version; empty: those that have none.", text_or_empty(), "v1.2.0"),
            query("namespace", "The resource's namespace; empty: those that have none.", text_or_empty(), "shop"),
            if name == "Recommend" { incident.required() } else { incident },
            query("target_kind", "The kind of what they worked on; empty: those that do not say.", text_or_empty(), "Deployment"),
            time("since", "When the period begins, which must be before it ends.", "7d"),
            time("until", "When it ends; now unless given.", "1h"),
            query(
                "minimum",
                "Executions under which a figure says `insufficient_data`.",
                whole(1_000_000, MINIMUM),
                10,
            ),
        ])
        .answers(200, Answered::of::<Answer<T>>("The answer."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::UnknownFilter, Kind::NoSuchLog])
}

fn workflow() -> Parameter {
    query("workflow", "The workflow's name.", text(), "restart-deployment")
}

fn boolean() -> serde_json::Value {
    one_of(&["true", "false"])
}

async fn answer<A: Ask>(
    State(api): State<Api>,
    caller: Caller,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<Answer<A::Answer>>, Problem> {
    let now = api.clock.now();
    let pairs = pairs(query)?;
    let asked = A::parse(&pairs, now)?;
    // What is learned in one place is evidence for another: all that they may read counts.
    let seen = caller.reads(&api, Verb::List, &[]).await?;
    Ok(Json(learn::ask(seen.store.as_ref(), &asked, now).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        http::tests::{Served, now, record},
        store::{
            Running, Store as _, Tracked, TrackingChange,
            conformance::sample::{LOG, open, running, seen, tracked, tracking},
        },
    };

    /// Twenty executions of one workflow, of which the odd ones failed at their second step.
    async fn served() -> Served {
        let served = Served::new().await;
        let records: Vec<Value> = (0..20).map(|n| execution(n, n % 2 == 0)).collect();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        served
    }

    fn execution(n: i32, succeeds: bool) -> Value {
        let mut record = record(&format!("r{n}"));
        record["namespace"] = "shop".into();
        record["incident_type"] = "oom".into();
        record["total_duration"] = (60_000_000_000_i64 + i64::from(n) * 1_000_000_000).into();
        if !succeeds {
            record["outcome"] = "failed".into();
            record["status"] = "failed".into();
            record["effectiveness_score"] = 0.1.into();
            record["steps_completed"] = 1.into();
            record["steps_failed"] = 1.into();
            record["step_executions"][1]["status"] = "failed".into();
            record["step_executions"][1]["error_message"] = format!("pod web-{n}a is not ready").into();
        }
        record
    }

    #[tokio::test]
    async fn a_workflow_says_how_it_does_and_of_how_many_executions() {
        let served = served().await;
        let answer = served.get("/api/v1/learn/workflows?namespace=shop&since=24h&series=true").await.json();
        assert_eq!(answer["period"]["since"], "2026-04-30T12:00:00.000000Z");
        assert_eq!(answer["filters"], json!({"namespace": "shop"}));
        let workflow = &answer["workflows"][0];
        assert_eq!(workflow["workflow"], "restart-deployment");
        assert_eq!((&workflow["success"]["count"], &workflow["success"]["of"]), (&json!(10), &json!(20)));
        assert_eq!(workflow["success"]["rate"], 0.5);
        assert!((workflow["success"]["lower"].as_f64().unwrap() - 0.299_29).abs() < 1e-4, "Wilson's");
        assert_eq!(workflow["effectiveness"]["unshrunk"], "no_incident_type");
        assert_eq!(workflow["duration"]["count"], 10);
        assert_eq!(workflow["change"]["difference"], Value::Null);
        assert_eq!(workflow["series"][0]["executions"], 20);
        let all = workflow["executions"]["all"].as_str().unwrap();
        assert_eq!(served.get(all).await.json()["items"].as_array().unwrap().len(), 20, "{all}");
        let failed = workflow["executions"]["failed"].as_str().unwrap();
        assert_eq!(served.get(failed).await.json()["items"].as_array().unwrap().len(), 10, "{failed}");
    }

    #[tokio::test]
    async fn a_step_says_what_it_is_responsible_for() {
        let served = served().await;
        for filter in ["", "&namespace=shop", "&version=v1.2.0&incident_type=oom"] {
            let path = format!("/api/v1/learn/steps?workflow=restart-deployment{filter}");
            let answer = served.get(&path).await.json();
            let first = &answer["steps"][0];
            assert_eq!((&first["number"], &first["reached"]), (&json!(2), &json!(20)), "{path}");
            assert_eq!(first["share_of_failures"]["rate"], 1.0);
            assert_eq!(first["statuses"], json!({"completed": 10, "failed": 10}));
            let errors = &first["errors"]["patterns"];
            assert_eq!(errors[0]["pattern"], "pod <name> is not ready");
            assert_eq!(
                (&errors[0]["executions"], &errors[0]["first"], &errors[0]["last"]),
                (&json!(10), &json!("2026-05-01"), &json!("2026-05-01"))
            );
        }
        let example = "/api/v1/learn/steps?workflow=restart-deployment&examples=true";
        let answer = served.get(example).await.json();
        let example = answer["steps"][0]["errors"]["patterns"][0]["example"]["id"].as_str().unwrap();
        let record = served.get(&format!("/api/v1/executions/{example}")).await.json();
        assert_eq!(record["record"]["outcome"], "failed");
        let none = served.get("/api/v1/learn/steps?workflow=restart-deployment&namespace=bank").await.json();
        assert_eq!((&none["steps"], &none["tally"]["executions"]), (&json!([]), &json!(0)));
    }

    /// So many executions of a version, the first of which succeed.
    fn of_version(version: &str, successes: i32, of: i32, adjusted: bool) -> Vec<Value> {
        let record = |n: i32| {
            let mut record = execution(n, n < successes);
            record["id"] = format!("{version}-{adjusted}-{n}").into();
            record["workflow_version"] = version.into();
            if adjusted {
                record["adaptive_adjustments"] = json!([{
                    "step_number": 1, "adjustment_type": "timeout", "reason": "node web-7 is slow",
                    "timestamp": "2026-05-01T07:59:00Z", "from": "30s", "to": "60s",
                }]);
            }
            record
        };
        (0..of).map(record).collect()
    }

    #[tokio::test]
    async fn versions_and_periods_are_compared() {
        let served = Served::new().await;
        let records = [of_version("v1", 36, 40, false), of_version("v2", 20, 40, false)].concat();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        let path = "/api/v1/learn/compare?workflow=restart-deployment&version=v2&against=v1";
        let answer = served.get(path).await.json();
        let it = &answer["comparisons"][0];
        assert_eq!(
            (&it["verdict"], &it["duration"]["verdict"]),
            (&json!("worse"), &json!("no_difference_shown"))
        );
        assert!((it["success"]["difference"]["estimate"].as_f64().unwrap() + 0.4).abs() < 1e-9, "{it}");
        assert_eq!(
            (&it["one"]["tally"]["executions"], &it["against"]["success"]["count"]),
            (&json!(40), &json!(36))
        );
        let failed = it["one"]["executions"]["failed"].as_str().unwrap();
        assert_eq!(served.get(failed).await.json()["items"].as_array().unwrap().len(), 20, "{failed}");
        let answer = served.get("/api/v1/learn/compare?since=1d").await.json();
        assert_eq!(answer["comparisons"][0]["insufficient"], "few_executions");
        assert_eq!(answer["against_period"]["until"], answer["period"]["since"]);
    }

    #[tokio::test]
    async fn nothing_is_said_of_a_version_of_which_more_than_a_tenth_is_in_flight() {
        let served = Served::new().await;
        let records = [of_version("v1", 36, 40, false), of_version("v2", 20, 40, false)].concat();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        open(served.store.as_ref(), LOG).await;
        let begins = async |numbers: std::ops::Range<usize>| {
            for number in numbers {
                let running = running("restart-deployment", now());
                let running = Some(Box::new(Running { version: "v2".to_owned(), ..*running }));
                let underway = Tracked { running, ..tracked(&number.to_string(), Some(now())) };
                seen(served.store.as_ref(), underway).await;
            }
        };
        let compared = async || {
            let path = "/api/v1/learn/compare?workflow=restart-deployment&version=v2&against=v1";
            let answer = served.get(path).await.json();
            let it = &answer["comparisons"][0];
            let in_flight = [&answer["in_flight"]["executions"], &it["one"]["in_flight"]];
            assert_eq!((in_flight[0], &it["against"]["in_flight"]), (in_flight[1], &json!(0)));
            json!([in_flight[0], it["verdict"], it["insufficient"]])
        };
        // Of 44 in all, and of 45.
        begins(0..4).await;
        assert_eq!(compared().await, json!([4, "worse", null]));
        begins(4..5).await;
        assert_eq!(compared().await, json!([5, "insufficient_data", "in_flight"]));
        let gone = TrackingChange::Gone { id: "0".to_owned() };
        served.store.append(LOG, tracking([gone]), now()).await.unwrap();
        assert_eq!(compared().await, json!([4, "worse", null]));
    }

    #[tokio::test]
    async fn adjustments_are_told_with_what_they_are_associated_with() {
        let served = Served::new().await;
        let records = [of_version("v1", 36, 40, true), of_version("v1", 20, 40, false)].concat();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        let answer = served.get("/api/v1/learn/adjustments?workflow=restart-deployment").await.json();
        assert_eq!(answer["association"], true);
        let it = &answer["adjustments"][0];
        assert_eq!((&it["step_number"], &it["adjustment_type"]), (&json!(1), &json!("timeout")));
        assert_eq!((&it["verdict"], &it["hinges_on_broken"]), (&json!("helps"), &json!(false)));
        assert_eq!(it["reasons"]["most"], json!([{"text": "node <name> is slow", "executions": 40}]));
        assert_eq!(it["timeouts"]["most"], json!([{"text": "30s → 60s", "executions": 40}]));
    }

    #[tokio::test]
    async fn a_workflow_is_recommended_with_the_evidence() {
        let served = served().await;
        let path = "/api/v1/learn/recommend?incident_type=oom&namespace=shop&log=http";
        let answer = served.get(path).await.json();
        let first = &answer["recommended"][0];
        assert_eq!((&first["workflow"], &first["version"]), (&json!("restart-deployment"), &json!("v1.2.0")));
        assert_eq!(
            (&first["narrow"]["success"]["count"], &first["narrow"]["success"]["of"]),
            (&json!(10), &json!(20))
        );
        assert_eq!(first["wide"][0]["success"]["of"], 0);
        assert_eq!((&first["score"], &answer["candidates"]), (&first["success"]["lower"], &json!(1)));
        assert_eq!(first["duration"]["count"], 10);
        assert_eq!(
            (&first["steps"][1]["action"], &first["steps"][1]["duration"]["count"]),
            (&json!("restart"), &json!(10))
        );
        let all = first["narrow"]["executions"]["all"].as_str().unwrap();
        assert_eq!(served.get(all).await.json()["items"].as_array().unwrap().len(), 20, "{all}");

        let other = served.get("/api/v1/learn/recommend?incident_type=disk&namespace=shop").await.json();
        assert_eq!(
            (&other["recommended"], &other["untested"][0]["why"]),
            (&json!([]), &json!("same_namespace"))
        );
    }

    #[tokio::test]
    async fn a_regression_is_found_and_says_when_it_began() {
        let served = Served::new().await;
        let records: Vec<Value> = (0..300)
            .map(|n| {
                // Ten a day; of those of the last two days that are over, one in five succeeds.
                let days_ago = n / 10 + 1;
                let mut record = execution(n, days_ago > 2 || n % 5 == 0);
                let ended = now().saturating_add_micros(-i64::from(days_ago) * 86_400_000_000);
                record["completed_at"] = ended.to_string().into();
                record
            })
            .collect();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        let answer = served.get("/api/v1/learn/regressions").await.json();
        assert_eq!(answer["period"]["until"], "2026-05-01T00:00:00.000000Z");
        let found = &answer["regressions"][0];
        assert_eq!((&found["measure"], &found["state"]), (&json!("success"), &json!("lasting")));
        assert_eq!((&found["since"], &found["last"]), (&json!("2026-04-29"), &json!("2026-04-30")));
        assert_eq!((&found["is"]["count"], &found["is"]["of"]), (&json!(4), &json!(20)));
        let all = found["executions"]["all"].as_str().unwrap();
        assert_eq!(served.get(all).await.json()["items"].as_array().unwrap().len(), 20, "{all}");
    }

    /// Thirty days of ten executions that count: lately they fail, some in their second attempt, beside which the first is
    /// recorded, before or after it. On each day one is cancelled, and one deleted.
    fn days_with_what_does_not_count() -> Vec<Value> {
        let mut records = Vec::new();
        for day in 1..=30 {
            let ended = now().saturating_add_micros(-i64::from(day) * 86_400_000_000).to_string();
            let of = |n: i32, succeeds, status: Option<&str>| {
                let mut record = execution(day * 100 + n, succeeds);
                record["completed_at"] = ended.clone().into();
                record["workflow_version"] = if n % 2 == 0 { "v1" } else { "v2" }.into();
                if let Some(status) = status {
                    record["status"] = status.into();
                }
                record
            };
            for n in 0..10 {
                let mut last = of(n, day > 2 && n != 3 || n % 5 == 0, None);
                if n % 5 != 1 {
                    records.push(last);
                    continue;
                }
                last["attempt"] = 2.into();
                let first = of(n, false, None);
                records.extend(if day % 2 == 0 { [first, last] } else { [last, first] });
            }
            records.extend([of(10, false, Some("cancelled")), of(11, false, Some("deleted"))]);
        }
        records
    }

    #[tokio::test]
    async fn links_lead_to_as_many_executions_as_are_counted() {
        let served = Served::new().await;
        let records = days_with_what_does_not_count();
        assert_eq!(served.post_json(&json!(records)).await.status, 201);
        let answer = async |path: &str| served.get(&format!("/api/v1/learn/{path}")).await.json();
        let listed = async |links: &Value, which: &str| {
            let path = format!("{}&limit=1000", links[which].as_str().unwrap());
            served.get(&path).await.json()["items"].as_array().unwrap().len() as u64
        };
        let lead_to = async |links: &Value, executions: u64, failed: u64| {
            assert!(executions > 0, "{links}");
            assert_eq!(
                (listed(links, "all").await, listed(links, "failed").await),
                (executions, failed),
                "{links}"
            );
        };
        let lead_to_those_of = async |it: &Value, rate: &Value| {
            let of = rate["of"].as_u64().unwrap();
            lead_to(&it["executions"], of, of - rate["count"].as_u64().unwrap()).await;
        };
        let all = served.get("/api/v1/executions?limit=1000").await.json();
        assert_eq!(all["items"].as_array().unwrap().len(), 30 * (10 + 2 + 2));

        let found = answer("workflows?by=version&since=400d").await;
        assert_eq!((&found["total"]["executions"], &found["total"]["cancelled"]), (&json!(300), &json!(30)));
        assert_eq!(found["total"]["failed"], 28 + 2 * 8);
        for row in found["workflows"].as_array().unwrap() {
            lead_to_those_of(row, &row["success"]).await;
        }
        let steps = answer("steps?workflow=restart-deployment&namespace=shop").await;
        let of = |name: &str| steps["tally"][name].as_u64().unwrap();
        lead_to(&steps["executions"], of("executions"), of("failed")).await;
        // One that was cancelled, or is not the last attempt, is no example.
        let examples = answer("steps?workflow=restart-deployment&since=3d&examples=true").await;
        let example = &examples["steps"][0]["errors"]["patterns"][0]["example"];
        let id = example["id"].as_str().unwrap();
        let record = served.get(&format!("/api/v1/executions/{id}")).await.json()["record"].take();
        assert_eq!((&record["status"], &record["attempt"]), (&json!("failed"), &example["attempt"]));
        let adjustments = answer("adjustments?workflow=restart-deployment&namespace=shop").await;
        assert_eq!(adjustments["executions"], steps["executions"]);
        for compared in ["compare?workflow=restart-deployment&version=v2&against=v1", "compare?since=10d"] {
            let found = answer(compared).await["comparisons"][0].take();
            for side in ["one", "against"] {
                lead_to_those_of(&found[side], &found[side]["success"]).await;
            }
        }
        let found = answer("regressions").await["regressions"][0].take();
        lead_to_those_of(&found, &found["is"]).await;
        let before = json!({"executions": found["executions_before"]});
        lead_to_those_of(&before, &found["was"]).await;
        let found = answer("recommend?incident_type=oom&namespace=shop").await["recommended"][0].take();
        lead_to_those_of(&found["narrow"], &found["narrow"]["success"]).await;
        let found = answer("recommend?incident_type=disk&namespace=shop").await["untested"][0].take();
        lead_to_those_of(&found, &found["success"]).await;
    }

    #[tokio::test]
    async fn what_is_asked_wrongly_is_said() {
        let served = Served::new().await;
        let answered = served.get("/api/v1/learn/workflows?outcome=failed").await;
        assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (422, "unknown-filter"));
        assert!(answered.json()["filters"].as_array().unwrap().contains(&json!("incident_type")));
        for path in [
            "workflows?since=1h&until=2h",
            "workflows?since=yesterday",
            "workflows?minimum=0",
            "workflows?minimum=99999999",
            "workflows?by=step",
            "workflows?series=yes",
            "workflows?log=http&log=http",
            "steps",
            "steps?workflow=a&sort=name",
            "steps?workflow=a&examples=1",
            "adjustments",
            "compare?against=v1",
            "compare?workflow=a&version=v1&against=v1",
            "compare?workflow=a&against=v1&against_since=60d",
            "compare?against_since=tomorrow",
            "regressions?by=step",
            "recommend",
            "recommend?incident_type=a&limit=11",
            "recommend?incident_type=a&explore=x",
            "verdicts?limit=0",
            "verdicts?limit=1001",
        ] {
            let answered = served.get(&format!("/api/v1/learn/{path}")).await;
            assert_eq!(
                (answered.status.as_u16(), answered.problem().as_str()),
                (400, "invalid-parameter"),
                "{path}"
            );
        }
        assert_eq!(served.get("/api/v1/learn/workflows?log=other").await.problem(), "no-such-log");
    }

    #[tokio::test]
    async fn before_the_first_year_nothing_is_counted() {
        let served = Served::new().await;
        let mut record = record("a");
        record["completed_at"] = "0001-01-01T00:30:00Z".into();
        assert_eq!(served.post_json(&record).await.status, 201);
        let first = "since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z";
        let answer = served.get(&format!("/api/v1/learn/workflows?{first}")).await.json();
        let workflow = &answer["workflows"][0];
        assert_eq!((&workflow["success"]["of"], &workflow["change"]["before"]["of"]), (&json!(1), &json!(0)));
        assert_eq!(answer["before"]["since"], answer["before"]["until"]);
        let answer = served.get(&format!("/api/v1/learn/compare?{first}")).await.json();
        let tallies = ["one", "against"].map(|side| &answer["comparisons"][0][side]["tally"]["executions"]);
        assert_eq!(tallies, [&json!(1), &json!(0)]);
    }

    #[tokio::test]
    async fn where_there_is_nothing_every_answer_says_so() {
        let served = Served::new().await;
        for path in [
            "workflows?series=true",
            "workflows?incident_type=",
            "workflows?until=40d",
            "steps?workflow=none&minimum=1000000",
            "adjustments?workflow=none&minimum=1",
            "compare",
            "compare?workflow=none",
            "compare?workflow=none&version=a&against=b&minimum=1000000",
            "compare?against_since=3650d&against_until=1000d",
            "regressions?since=400d&by=version",
            "recommend?incident_type=&namespace=none&minimum=1000000",
            "recommend?incident_type=oom&explore=7",
            "verdicts?limit=1000",
        ] {
            let answered = served.get(&format!("/api/v1/learn/{path}")).await;
            assert_eq!(answered.status, 200, "{}", answered.text);
        }
    }
}
