//! `POST /api/v1/executions/{id}/reviews?log=&attempt=`: a verdict on one execution.
//!
//! Takes `{"verdict": "effective" | "ineffective" | "harmful", "note", "actor"}`, of which only the verdict is needed; the
//! actor goes into the log as it is given. Answers its receipt: 201, or 200 when the same was said last. 404, 409 and 410
//! as for the execution itself.

use axum::{
    Extension, Json,
    extract::{Request, State, rejection::QueryRejection},
    http::StatusCode,
};
use dualaudit_record::entry::Verdict;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Pairs, wanted};
use crate::{
    access::{Resource, Verb},
    http::{
        Api,
        access::Caller,
        export::Exports,
        limits::Admission,
        object,
        openapi::{Answer, Call, Tag, parameters},
        path::Segments,
        problem::{Kind, Problem},
        said::{self, Actor},
    },
    ingest::Receipt,
    review::{Said, review},
};

/// What somebody says of an execution. Texts have 4,096 bytes at most, without U+0000.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Review {
    /// What it was worth.
    verdict: Verdict,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 4096, pattern = r"^[^\u0000]*$")]
    note: String,
    #[serde(default)]
    actor: Actor,
}

pub(in crate::http) fn call() -> Call {
    let body = json!({"$ref": "#/components/schemas/Review"});
    let example = json!({"verdict": "harmful", "note": "It drained the wrong node.", "actor": "jo"});
    let receipt =
        |description, result| Answer::of::<Receipt>(description).example(said::receipt("run-1", 8, result));
    Call::new(Tag::Executions, "reviewExecution", "A verdict on one execution")
        .saying("Becomes an entry of its log. Of several verdicts on one attempt the newest counts.")
        .given([parameters::id(), parameters::log(), parameters::attempt()])
        .takes("application/json", body, example)
        .with_type::<Review>()
        .answers(201, receipt("It is recorded.", "created"))
        .answers(200, receipt("The same was said last.", "duplicate"))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchExecution, Kind::AmbiguousId, Kind::Purged])
        .fails(Kind::OF_AN_OBJECT)
        .fails([Kind::Conflict])
}

pub(in crate::http) async fn post(
    State(api): State<Api>,
    Extension(exports): Extension<Exports>,
    Extension(admission): Extension<Admission>,
    caller: Caller,
    Segments(id): Segments<String>,
    query: Result<Pairs, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let wanted = wanted(id, query)?;
    let form = "A review is {\"verdict\", \"note\", \"actor\"}";
    let Review { verdict, note, actor } = object::read(form, &admission, request).await?;
    let wanted = caller.changes(&api, (Verb::Update, Resource::ExecutionRecords), wanted).await?;
    let said = Said { verdict, note, actor: caller.actor(actor) };
    let receipt = review(exports.recorder(), &wanted, said).await?;
    Ok((said::status([&receipt]), Json(receipt)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::http::tests::{Answered, Served, posting, record};

    async fn review(served: &Served, path: &str, body: &Value) -> Answered {
        let request = posting(&format!("/api/v1/executions/{path}"));
        served.send(request.body(body.to_string().into()).unwrap()).await
    }

    #[tokio::test]
    async fn a_verdict_is_recorded_and_shown_with_its_execution() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let said = json!({"verdict": "harmful", "note": "it took the wrong node", "actor": "jo"});
        let first = review(&served, "a/reviews", &said).await;
        assert_eq!((first.status.as_u16(), &first.json()["result"]), (201, &json!("created")));
        let again = review(&served, "a/reviews?attempt=1&log=http", &said).await;
        assert_eq!((again.status.as_u16(), &again.json()["result"]), (200, &json!("duplicate")));
        assert_eq!(review(&served, "a/reviews", &json!({"verdict": "effective"})).await.status, 201);
        let reviews = &served.get("/api/v1/executions/a").await.json()["reviews"];
        let shown = |review: &Value| {
            ["index", "verdict", "note", "actor"].map(|name| review[name].to_string().replace('"', ""))
        };
        let shown: Vec<_> = reviews.as_array().unwrap().iter().map(shown).collect();
        assert_eq!(
            shown,
            [["2", "effective", "", "unverified"], ["1", "harmful", "it took the wrong node", "jo"]]
        );
    }

    #[tokio::test]
    async fn what_is_no_review_is_refused_and_said() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let good = json!({"verdict": "effective"});
        for (path, body, status, problem) in [
            ("b/reviews", good.clone(), 404, "no-such-execution"),
            ("a/reviews?attempt=2", good.clone(), 404, "no-such-execution"),
            ("a/reviews?other=2", good.clone(), 400, "invalid-parameter"),
            ("a/reviews", json!({"verdict": "splendid"}), 422, "invalid-record"),
            ("a/reviews", json!({"verdict": "effective", "reason": "x"}), 422, "invalid-record"),
            ("a/reviews", json!({"verdict": "effective", "note": "a\u{0}"}), 422, "invalid-record"),
            ("a/reviews", json!({"verdict": "effective", "note": "x".repeat(4097)}), 422, "invalid-record"),
            ("a/reviews", json!({"verdict": "effective", "actor": " "}), 422, "invalid-record"),
        ] {
            let answered = review(&served, path, &body).await;
            assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (status, problem), "{body}");
        }
        let broken = posting("/api/v1/executions/a/reviews").body("{".into()).unwrap();
        assert_eq!(served.send(broken).await.problem(), "invalid-json");
        assert_eq!(served.get("/api/v1/executions/a/reviews").await.problem(), "method-not-allowed");
        assert_eq!(served.get("/api/v1/executions/a").await.json()["reviews"], json!([]));
    }
}
