//! `POST /api/v1/executions/{id}/erasures?log=`: what of an execution is personal goes, and the rest stays.
//!
//! Takes `{"reason", "actor"}`, which go into the log as they are given, and stay. Of all attempts goes what `docs/retention.md`
//! says. Answers the receipts of the entries that say so: 201, or 200 with that of the last where nothing was left to erase.
//! 404, 409 and 410 as for the execution itself; 409 also while a hold covers it, or its resource is in its cluster.

use axum::{
    Extension, Json,
    extract::{Request, State, rejection::QueryRejection},
    http::StatusCode,
};
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
        said::{self, Actor, Reason},
    },
    query::{self, Erased},
    retention::erase,
};

/// Why what is personal goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Erasure {
    reason: Reason,
    #[serde(default)]
    actor: Actor,
}

pub(in crate::http) fn call() -> Call {
    let body = json!({"$ref": "#/components/schemas/Erasure"});
    let example = json!({"reason": "request 42", "actor": "privacy-office"});
    let receipts = json!({"receipts": [said::receipt("run-1", 9, "created")]});
    let erased = |description| Answer::of::<Erased>(description).example(receipts.clone());
    Call::new(Tag::Compliance, "eraseExecution", "Erase what is personal of one execution, for good")
        .saying(
            "Texts, names, labels and objects of all its attempts go; ids, outcome, counts, times and every proof stay. Becomes an \
             entry of its log, whose reason stays and should name nobody. What a hold covers, or is still in its cluster, is not \
             erased.",
        )
        .given([parameters::id(), parameters::log()])
        .takes("application/json", body, example)
        .with_type::<Erasure>()
        .answers(201, erased("It is erased."))
        .answers(200, erased("It was erased before."))
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
) -> Result<(StatusCode, Json<Erased>), Problem> {
    let wanted = wanted(id, query)?;
    if wanted.attempt.is_some() {
        let rule = "An erasure is of all attempts: leave `attempt` away.";
        return Err(Problem::new(Kind::InvalidParameter, rule).with("field", "attempt"));
    }
    let form = "An erasure is {\"reason\", \"actor\"}";
    let Erasure { reason: Reason(reason), actor } = object::read(form, &admission, request).await?;
    let wanted = caller.changes(&api, (Verb::Delete, Resource::ExecutionRecords), wanted).await?;
    let log = query::detail(api.store.as_ref(), &wanted).await?.log;
    let receipts = erase::erase(exports.recorder(), &log, &wanted.id, &reason, &caller.actor(actor)).await?;
    Ok((said::status(&receipts), Json(Erased { receipts })))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        http::tests::{Answered, Served, posting, record},
        store::conformance::sample,
    };

    async fn erase(served: &Served, path: &str, body: &Value) -> Answered {
        let request = posting(&format!("/api/v1/executions/{path}"));
        served.send(request.body(body.to_string().into()).unwrap()).await
    }

    #[tokio::test]
    async fn what_is_personal_goes_once_and_the_rest_stays() {
        let served = Served::new().await;
        let mut failed = record("a");
        failed["error_message"] = json!("jane.doe could not log in");
        served.post_json(&failed).await;
        let why = json!({"reason": "request 42", "actor": "jo"});
        let first = erase(&served, "a/erasures", &why).await;
        let receipt = &first.json()["receipts"][0];
        assert_eq!(
            (first.status.as_u16(), &receipt["log"], &receipt["index"]),
            (201, &json!("http"), &json!(1)),
            "{first:?}"
        );
        let again = erase(&served, "a/erasures?log=http", &why).await;
        assert_eq!((again.status.as_u16(), &again.json()["receipts"][0]["index"]), (200, &json!(1)));
        let left = served.get("/api/v1/executions/a").await.json();
        assert_eq!((&left["erased"]["index"], &left["record"]["error_message"]), (&json!(1), &Value::Null));
    }

    #[tokio::test]
    async fn what_cannot_be_erased_is_refused_and_stays() {
        let served = Served::new().await;
        let store = served.store.inner.as_ref();
        sample::open(store, sample::LOG).await;
        sample::append(store, [sample::from_resource(sample::record("runs"))]).await;
        sample::seen(store, sample::tracked("runs", None)).await;
        served.post_json(&json!([record("a"), record("held")])).await;
        let hold = json!({"execution_id": "held", "reason": "case 7"});
        let placed = served.send(posting("/api/v1/holds").body(hold.to_string().into()).unwrap()).await;
        assert_eq!(placed.status, 201);
        let why = json!({"reason": "request 42"});
        for (path, body, status, kind) in [
            ("b/erasures", &why, 404, "no-such-execution"),
            ("a/erasures?log=default", &why, 404, "no-such-execution"),
            ("a/erasures?attempt=1", &why, 400, "invalid-parameter"),
            ("a/erasures?other=1", &why, 400, "invalid-parameter"),
            ("held/erasures", &why, 409, "conflict"),
            ("runs/erasures", &why, 409, "conflict"),
            ("a/erasures", &json!({}), 422, "invalid-record"),
            ("a/erasures", &json!({"reason": " "}), 422, "invalid-record"),
            ("a/erasures", &json!({"reason": "x", "actor": ""}), 422, "invalid-record"),
            ("a/erasures", &json!({"reason": "x", "yes": true}), 422, "invalid-record"),
        ] {
            let answered = erase(&served, path, body).await;
            assert_eq!(
                (answered.status.as_u16(), answered.problem().as_str()),
                (status, kind),
                "{path} {body}: {answered:?}"
            );
        }
        for id in ["a", "held", "runs"] {
            let found = served.get(&format!("/api/v1/executions/{id}")).await.json();
            assert_eq!(found["erased"], Value::Null, "{id}");
        }
    }
}
