//! `POST /api/v1/executions/{id}/window?log=&attempt=`: until when the resource of an execution is to stay for review.
//!
//! Takes `{"until", "reason", "actor"}`, or `"window"` in place of `"until"`: how long the window is to be since the
//! execution was first recorded, as the annotation `dualaudit.dev/window` says it. The actor goes into the log as it is
//! given. Answers its receipt: 201, or 200 when the same end was said before. 404, 409 and 410 as for the execution itself;
//! 409 also where the window lasts longer already (`until` says until when), and where there is no resource, or no more.

use axum::{
    Extension, Json,
    extract::{Request, State, rejection::QueryRejection},
    http::StatusCode,
};
use dualaudit_record::Time;
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
    ingest::Receipt,
    review::{Longer, Until, extend},
};

/// How much longer a resource is to stay for review: either `until` or `window`. Texts have 4,096 bytes at most, without
/// U+0000.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Window {
    /// When the window ends.
    until: Option<Time>,
    /// How long it is since the execution was first recorded, such as `48h`.
    window: Option<String>,
    reason: Reason,
    #[serde(default)]
    actor: Actor,
}

pub(in crate::http) fn call() -> Call {
    let body = json!({"$ref": "#/components/schemas/Window"});
    let example = json!({"until": "2036-05-03T12:00:00Z", "reason": "Jo is away.", "actor": "jo"});
    let receipt = |description| Answer::of::<Receipt>(description);
    Call::new(Tag::Executions, "extendWindow", "Keep the resource of an execution for review for longer")
        .saying(
            "Becomes an entry of its log. A window only ever becomes longer: an end before one that was said is a conflict, \
             whose `until` says how long it is; so is a resource that is gone. What producers send has none, and so no window.",
        )
        .given([parameters::id(), parameters::log(), parameters::attempt()])
        .takes("application/json", body, example)
        .with_type::<Window>()
        .answers(201, receipt("It is recorded."))
        .answers(200, receipt("The same end was said before."))
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
    let form = "A longer window is {\"until\" or \"window\", \"reason\", \"actor\"}";
    let Window { until, window, reason: Reason(reason), actor } =
        object::read(form, &admission, request).await?;
    let until = match (until, window) {
        (Some(until), None) => Until::Time(until),
        (None, Some(window)) => Until::window(&window)
            .map_err(|rule| Problem::new(Kind::InvalidRecord, rule).with("field", "window"))?,
        _ => {
            let rule = "Give either until, a time, or window, a duration such as 48h.";
            return Err(Problem::new(Kind::InvalidRecord, rule).with("field", "until"));
        }
    };
    let wanted = caller.changes(&api, (Verb::Update, Resource::ExecutionRecords), wanted).await?;
    let longer = Longer { until, reason, actor: caller.actor(actor) };
    let receipt = extend(exports.recorder(), &wanted, longer, api.clock.now()).await?;
    if let Some(board) = &api.live {
        board.refresh(&receipt.id);
    }
    Ok((said::status([&receipt]), Json(receipt)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::http::tests::{Answered, Served, posting, record};
    use crate::store::conformance::sample;

    async fn longer(served: &Served, path: &str, body: &Value) -> Answered {
        let request = posting(&format!("/api/v1/executions/{path}"));
        served.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// A server whose database has an execution of a cluster, recorded at the instant it is at.
    async fn served() -> Served {
        let served = Served::new().await;
        let store = served.store.inner.as_ref();
        sample::open(store, sample::LOG).await;
        sample::append(store, [sample::from_resource(sample::record("a"))]).await;
        let gone = sample::batch([sample::from_resource(sample::record("gone"))]);
        store.append(sample::LOG, gone, sample::at(1)).await.unwrap();
        sample::seen(store, sample::tracked("a", None)).await;
        served
    }

    #[tokio::test]
    async fn a_window_becomes_longer_once_and_never_shorter() {
        let served = served().await;
        let ends = json!({"until": "2036-05-03T12:00:00Z", "reason": "jo is away", "actor": "jo"});
        let first = longer(&served, "a/window", &ends).await;
        assert_eq!((first.status.as_u16(), &first.json()["result"]), (201, &json!("created")), "{first:?}");
        let again = longer(&served, "a/window?attempt=1&log=default", &ends).await;
        assert_eq!((again.status.as_u16(), &again.json()["result"]), (200, &json!("duplicate")));
        for sooner in [json!({"until": "2036-05-03T11:00:00Z"}), json!({"window": "90000h"})] {
            let mut body = ends.clone();
            body.as_object_mut().unwrap().remove("until");
            body.as_object_mut().unwrap().extend(sooner.as_object().unwrap().clone());
            let refused = longer(&served, "a/window", &body).await;
            assert_eq!(
                (refused.status.as_u16(), refused.problem().as_str()),
                (409, "conflict"),
                "{refused:?}"
            );
            assert_eq!(refused.json()["until"], "2036-05-03T12:00:00.000000Z");
        }
        let later = json!({"window": "9000d", "reason": "and so is jane"});
        assert_eq!(longer(&served, "a/window", &later).await.status, 201);
        let windows = served.get("/api/v1/executions/a").await.json()["windows"].clone();
        let shown: Vec<_> = windows.as_array().unwrap().iter().map(|window| &window["actor"]).collect();
        assert_eq!(shown, ["unverified", "jo"]);
        assert_eq!((&windows[1]["reason"], &windows[1]["index"]), (&json!("jo is away"), &json!(2)));
    }

    #[tokio::test]
    async fn what_is_no_longer_window_is_refused_and_said() {
        let served = served().await;
        served.post_json(&record("produced")).await;
        let good = json!({"until": "2036-05-03T12:00:00Z", "reason": "x"});
        for (path, body, status, kind) in [
            ("b/window", good.clone(), 404, "no-such-execution"),
            ("a/window?attempt=2", good.clone(), 404, "no-such-execution"),
            ("a/window?other=2", good.clone(), 400, "invalid-parameter"),
            ("produced/window", good.clone(), 409, "conflict"),
            ("gone/window", good.clone(), 409, "conflict"),
            ("a/window", json!({"until": "2016-05-03T12:00:00Z", "reason": "x"}), 422, "invalid-record"),
            ("a/window", json!({"until": "tomorrow", "reason": "x"}), 422, "invalid-record"),
            ("a/window", json!({"window": "for ever", "reason": "x"}), 422, "invalid-record"),
            ("a/window", json!({"reason": "x"}), 422, "invalid-record"),
            (
                "a/window",
                json!({"until": "2036-05-03T12:00:00Z", "window": "1h", "reason": "x"}),
                422,
                "invalid-record",
            ),
            ("a/window", json!({"until": "2036-05-03T12:00:00Z"}), 422, "invalid-record"),
            ("a/window", json!({"until": "2036-05-03T12:00:00Z", "reason": " "}), 422, "invalid-record"),
            ("a/window", json!({"window": "99999h", "reason": "x", "note": ""}), 422, "invalid-record"),
        ] {
            let answered = longer(&served, path, &body).await;
            assert_eq!(
                (answered.status.as_u16(), answered.problem().as_str()),
                (status, kind),
                "{path} {body}: {answered:?}"
            );
        }
        assert_eq!(served.get("/api/v1/executions/a").await.json()["windows"], json!([]));
    }
}
