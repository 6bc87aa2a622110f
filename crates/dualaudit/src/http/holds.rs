//! `POST /api/v1/holds`: keeps executions, whatever the time; `POST /api/v1/holds/{log}/{index}/release` ends that.
//!
//! A hold is `{"execution_id" or "selector", "reason", "actor", "logs"}`. Without `logs` it is placed in every log there is,
//! or of one execution in those that have it. Answers a receipt for each: 201, or 200 when it was placed, or released,
//! before. The actor goes into the log as it is given. 404 names what there is not, 409 says why a log takes none.

use axum::{
    Extension, Json,
    extract::{Request, State, rejection::QueryRejection},
    http::StatusCode,
};
use dualaudit_record::{
    entry::{Covers, Hold},
    selector::Selector,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Api,
    access::Caller,
    executions::{Pairs, pairs},
    export::Exports,
    limits::Admission,
    object,
    openapi::{Answer, Call, Tag, parameters},
    path::Segments,
    problem::{Kind, Problem},
    said::{self, Actor, Reason},
};
use crate::{ingest::Receipt, parameter, query::Placed, retention::holds};

/// What is to be kept: either `execution_id`, one with all its attempts, or `selector`, all that have what it asks for, those
/// that are recorded and those to come. Texts have 4,096 bytes at most, without U+0000, and names 253.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewHold {
    /// The execution.
    #[schema(max_length = 253, pattern = r"^[^\u0000]*[^\s\u0000][^\u0000]*$")]
    execution_id: Option<String>,
    /// What executions have in common; something must be asked for.
    selector: Option<Selector>,
    reason: Reason,
    #[serde(default)]
    actor: Actor,
    /// The logs that it is placed in.
    #[serde(default)]
    logs: Vec<String>,
}

/// Why something is kept no longer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    reason: Reason,
    #[serde(default)]
    actor: Actor,
}

pub(super) fn place_call() -> Call {
    let body = json!({"$ref": "#/components/schemas/NewHold"});
    let selector = json!({"workflow_name": "restart-deployment", "namespace": "shop"});
    let example = json!({"selector": selector, "reason": "case 4711", "actor": "jo"});
    let placed = |description| {
        Answer::of::<Placed>(description).example(json!({"receipts": [said::receipt("", 9, "created")]}))
    };
    Call::new(Tag::Compliance, "placeHold", "Keep executions, whatever the time")
        .saying(
            "Becomes an entry of each of the logs: nothing that it covers is purged, and no resource of it leaves its cluster, \
             until it is released.",
        )
        .takes("application/json", body, example)
        .with_type::<NewHold>()
        .answers(201, placed("It is placed."))
        .answers(200, placed("It was placed before, for the same reason."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchExecution, Kind::NoSuchLog])
        .fails(Kind::OF_AN_OBJECT)
        .fails([Kind::Conflict, Kind::Purged])
}

pub(super) fn release_call() -> Call {
    let body = json!({"$ref": "#/components/schemas/Release"});
    let example = json!({"reason": "case 4711 is closed", "actor": "jo"});
    let index = json!({"type": "integer", "format": "int64", "minimum": 0});
    let released = |description| Answer::of::<Receipt>(description).example(said::receipt("", 14, "created"));
    Call::new(Tag::Compliance, "releaseHold", "Keep something no longer")
        .saying("Becomes an entry of the log. What other holds cover stays.")
        .given([
            parameters::log_in_path(),
            parameters::path("index", "The index of the hold's entry.", index, 9),
        ])
        .takes("application/json", body, example)
        .with_type::<Release>()
        .answers(201, released("It is released."))
        .answers(200, released("It was released before."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog, Kind::NoSuchEntry])
        .fails(Kind::OF_AN_OBJECT)
        .fails([Kind::Conflict])
}

pub(super) async fn place(
    State(api): State<Api>,
    Extension(exports): Extension<Exports>,
    Extension(admission): Extension<Admission>,
    caller: Caller,
    query: Result<Pairs, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Placed>), Problem> {
    parameter::no_parameters(&pairs(query)?)?;
    let form = "A hold is {\"execution_id\" or \"selector\", \"reason\", \"actor\", \"logs\"}";
    let NewHold { execution_id, selector, reason: Reason(reason), actor, logs } =
        object::read(form, &admission, request).await?;
    let covers = match (execution_id, selector) {
        (Some(id), None) => Covers::ExecutionId(id),
        (None, Some(selector)) => Covers::Selector(selector),
        _ => {
            let rule = "Give either execution_id, or a selector.";
            return Err(Problem::new(Kind::InvalidRecord, rule).with("field", "execution_id"));
        }
    };
    let logs = caller.holds(&api, &covers, logs).await?;
    let hold = Hold { covers, reason, actor: caller.actor(actor) };
    let receipts = holds::add(exports.recorder(), &logs, &hold).await?;
    if let (Some(board), Some(id)) = (&api.live, hold.covers.execution_id()) {
        board.refresh(id);
    }
    Ok((said::status(&receipts), Json(Placed { receipts })))
}

pub(super) async fn release(
    State(api): State<Api>,
    Extension(exports): Extension<Exports>,
    Extension(admission): Extension<Admission>,
    caller: Caller,
    Segments((log, index)): Segments<(String, u64)>,
    query: Result<Pairs, QueryRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    parameter::no_parameters(&pairs(query)?)?;
    let form = "A release is {\"reason\", \"actor\"}";
    let Release { reason: Reason(reason), actor } = object::read(form, &admission, request).await?;
    caller.releases(&api, &log, index).await?;
    let actor = caller.actor(actor);
    let receipt = holds::release(exports.recorder(), &log, index, &reason, &actor).await?;
    Ok((said::status([&receipt]), Json(receipt)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::http::tests::{Answered, Served, posting, record};

    async fn post(served: &Served, path: &str, body: &Value) -> Answered {
        served.send(posting(&format!("/api/v1/holds{path}")).body(body.to_string().into()).unwrap()).await
    }

    async fn served() -> Served {
        let served = Served::new().await;
        served.post_json(&json!([record("a"), record("b")])).await;
        served
    }

    #[tokio::test]
    async fn a_hold_is_placed_once_shown_listed_and_released_once() {
        let served = served().await;
        let one = json!({"execution_id": "a", "reason": "case 7", "actor": "jo"});
        let labels = json!([{"key": "team", "operator": "In", "values": ["a", ""]}]);
        let some = json!({
            "selector": {"workflow_name": "restart-deployment", "labels": labels}, "reason": "case 8", "logs": ["http"],
        });
        let mut receipts = Vec::new();
        for (hold, index) in [(&one, 2), (&some, 3)] {
            let first = post(&served, "", hold).await;
            assert_eq!(
                (first.status.as_u16(), &first.json()["receipts"][0]["index"]),
                (201, &json!(index)),
                "{first:?}"
            );
            let again = post(&served, "", hold).await;
            assert_eq!(
                (again.status.as_u16(), &again.json()["receipts"][0]["result"]),
                (200, &json!("duplicate"))
            );
            receipts.push(first.json()["receipts"][0].clone());
        }
        let held = served.get("/api/v1/executions/a").await.json()["holds"].clone();
        assert_eq!((held.as_array().unwrap().len(), &held[0]["actor"]), (1, &json!("jo")), "{held}");
        let release = json!({"reason": "over"});
        let first = post(&served, "/http/2/release", &release).await;
        assert_eq!((first.status.as_u16(), &first.json()["index"]), (201, &json!(4)), "{first:?}");
        assert_eq!(post(&served, "/http/2/release", &release).await.status, 200);
        assert_eq!(served.get("/api/v1/executions/a").await.json()["holds"], json!([]));
        let listed = async |asked: &str| {
            let page = served.get(&format!("/api/v1/holds{asked}")).await.json();
            let items = page["items"].as_array().unwrap().clone();
            items.iter().map(|item| item["index"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((listed("").await, listed("?released=true&log=http").await), (vec![3], vec![2, 3]));
        let ended = served.get("/api/v1/holds/http/2").await.json();
        assert_eq!((&ended["hold"]["execution_id"], &ended["released"]["index"]), (&json!("a"), &json!(4)));
        assert_eq!(ended["released"]["released_at"], first.json()["recorded_at"]);
        let open = served.get("/api/v1/holds/http/3").await.json();
        assert_eq!((&open["hold"]["selector"]["labels"], &open["released"]), (&labels, &Value::Null));
        let page = served.get("/api/v1/holds?released=true&limit=1").await.json();
        let next = page["next_cursor"].as_str().unwrap();
        assert_eq!(listed(&format!("?released=true&limit=1&cursor={next}")).await, [3]);
        let others = served.get(&format!("/api/v1/holds?limit=1&cursor={next}")).await;
        assert_eq!(others.problem(), "invalid-parameter");
    }

    #[tokio::test]
    async fn what_is_no_hold_is_refused_and_said() {
        let served = served().await;
        let of = |selector: Value| json!({"selector": selector, "reason": "x"});
        let label = |values: usize| {
            let values: Vec<_> = (0..values).map(|n| n.to_string()).collect();
            json!({"key": "team", "operator": "In", "values": values})
        };
        let labels = |count: usize| of(json!({"labels": vec![label(1); count]}));
        for (body, status, problem) in [
            (json!({"execution_id": "nobody", "reason": "x"}), 404, "no-such-execution"),
            (json!({"execution_id": "a", "reason": "x", "logs": ["other"]}), 404, "no-such-log"),
            (json!({"execution_id": "a", "reason": " "}), 422, "invalid-record"),
            (json!({"execution_id": "a", "reason": "a\u{0}"}), 422, "invalid-record"),
            (json!({"execution_id": "a", "reason": "x", "actor": ""}), 422, "invalid-record"),
            (
                json!({"execution_id": "a", "selector": {"namespace": "x"}, "reason": "x"}),
                422,
                "invalid-record",
            ),
            (json!({"reason": "x"}), 422, "invalid-record"),
            (of(json!({})), 422, "invalid-record"),
            (of(json!({"colour": "red"})), 422, "invalid-record"),
            (of(json!({"namespace": "x".repeat(254)})), 422, "invalid-record"),
            (of(json!({"labels": [{"key": "", "operator": "Exists"}]})), 422, "invalid-record"),
            (of(json!({"labels": [{"key": "a\u{0}", "operator": "Exists"}]})), 422, "invalid-record"),
            (of(json!({"labels": [label(0)]})), 422, "invalid-record"),
            (of(json!({"labels": [label(101)]})), 422, "invalid-record"),
            (labels(33), 422, "invalid-record"),
        ] {
            let answered = post(&served, "", &body).await;
            assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (status, problem), "{body}");
        }
        assert_eq!(post(&served, "", &labels(32)).await.status, 201);
        for (path, status, problem) in [
            ("/http/0/release", 404, "no-such-entry"),
            ("/http/99/release", 404, "no-such-entry"),
            ("/other/2/release", 404, "no-such-log"),
            ("/http/x/release", 400, "malformed-request"),
            ("/http/2/release?force=true", 400, "invalid-parameter"),
        ] {
            let answered = post(&served, path, &json!({"reason": "over"})).await;
            assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (status, problem), "{path}");
        }
        let broken = posting("/api/v1/holds").body("{".into()).unwrap();
        assert_eq!(served.send(broken).await.problem(), "invalid-json");
    }
}
