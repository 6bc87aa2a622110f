//! `POST /api/v1/log/{log}/verifications`: puts on record that somebody verified a log.
//!
//! Takes `{"size", "root", "findings", "actor"}`: how many entries were verified, the root that came out, and how much was
//! found wrong. It is the word of whoever says it: nothing of it is checked here, but that the log has so many entries.

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::StatusCode,
};
use dualaudit_record::{
    access::{Decision, Event, Verified},
    digest::Digest,
    entry::unfit_text,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Api,
    access::Caller,
    limits::Admission,
    object,
    openapi::{Answer, Call, Tag, parameters},
    path::Segments,
    problem::{Kind, Problem},
    said::{self, Actor},
    trail,
};
use crate::{
    access::{Act, Resource, Verb},
    ingest::Receipt,
    query::meant,
};

/// That somebody verified a log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Verification {
    /// How many entries of it, from the first on.
    size: u64,
    /// The RFC 6962 root over these, as it came out.
    root: Digest,
    /// How much was found wrong.
    #[serde(default)]
    findings: u64,
    #[serde(default)]
    actor: Actor,
}

pub(super) fn call() -> Call {
    let body = json!({"$ref": "#/components/schemas/Verification"});
    let root = "2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3";
    let example = json!({"size": 300, "root": root, "findings": 0, "actor": "jo"});
    let receipt = Answer::of::<Receipt>(
        "It is on record: the receipt of the entry that says so, which may tell of others, too.",
    );
    let receipt = receipt.example(said::receipt("", 311, "created"));
    Call::new(Tag::Proof, "recordVerification", "Put on record that somebody verified a log")
        .saying(
            "How far, and with what result. It is the word of whoever says it: that the log has so many entries is all that is \
             checked of it.",
        )
        .given([parameters::log_in_path()])
        .takes("application/json", body, example)
        .with_type::<Verification>()
        .answers(201, receipt)
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchLog])
        .fails(Kind::OF_AN_OBJECT)
}

pub(super) async fn post(
    State(api): State<Api>,
    Extension(admission): Extension<Admission>,
    caller: Caller,
    Segments(log): Segments<String>,
    request: Request,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let act = Act::in_log(Verb::Verify, Resource::Logs, &log);
    let seen = caller.whole(&api, (act.verb, act.resource), Some(&log)).await?;
    let form = "A verification is {\"size\", \"root\", \"findings\", \"actor\"}";
    let Verification { size, root, findings, actor } = object::read(form, &admission, request).await?;
    let unfit = |why: String| Problem::new(Kind::InvalidRecord, why);
    if let Some(rule) = unfit_text(&actor.0) {
        return Err(unfit(format!("The actor {rule}.")));
    }
    let heads = meant(seen.store.logs().await?, Some(&log))?;
    let there = heads.first().map_or(0, |head| head.size);
    if there < size {
        return Err(unfit(format!("The log {log} has {there} entries, and not {size}.")));
    }
    let verified = Some(Verified { size, root, findings });
    let actor = caller.actor(actor);
    let event = Event { verified, ..act.event(Some(&actor), Decision::Allow) };
    Ok((StatusCode::CREATED, Json(trail::allow(&api, event).await?)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::http::tests::{Answered, Served, posting, record};

    const ROOT: &str = "2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3";

    async fn verified(served: &Served, log: &str, body: &Value) -> Answered {
        let request = posting(&format!("/api/v1/log/{log}/verifications"));
        served.send(request.body(body.to_string().into()).unwrap()).await
    }

    #[tokio::test]
    async fn a_verification_is_on_record_with_who_and_how_far() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let answered = verified(&served, "http", &json!({"size": 1, "root": ROOT, "actor": "jo"})).await;
        assert_eq!((answered.status.as_u16(), &answered.json()["index"]), (201, &json!(1)));
        let said = served.get("/api/v1/accesses/http/1").await.json();
        let act = json!({
            "actor": "jo", "decision": "allow", "verb": "verify", "resource": "logs", "log": "http", "count": 1,
            "verified": {"size": 1, "root": ROOT, "findings": 0},
        });
        assert_eq!(said["access"]["acts"], json!([act]));
    }

    #[tokio::test]
    async fn what_cannot_have_been_verified_is_refused_and_said() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let good = json!({"size": 1, "root": ROOT});
        for (log, body, status, problem) in [
            ("other", good.clone(), 404, "no-such-log"),
            ("http", json!({"size": 2, "root": ROOT}), 422, "invalid-record"),
            ("http", json!({"size": -1, "root": ROOT}), 422, "invalid-record"),
            ("http", json!({"size": 1}), 422, "invalid-record"),
            ("http", json!({"size": 1, "root": "x"}), 422, "invalid-record"),
            ("http", json!({"size": 1, "root": ROOT, "actor": " "}), 422, "invalid-record"),
            ("http", json!({"size": 1, "root": ROOT, "result": "sound"}), 422, "invalid-record"),
        ] {
            let answered = verified(&served, log, &body).await;
            assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (status, problem), "{body}");
        }
        let broken = posting("/api/v1/log/http/verifications").body("{".into()).unwrap();
        assert_eq!(served.send(broken).await.problem(), "invalid-json");
        assert_eq!(served.get("/api/v1/accesses").await.json()["items"], json!([]));
    }
}
