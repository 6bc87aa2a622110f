//! `GET /api/v1/executions/{id}/source?log=&attempt=`: the object that an execution was recorded from, as it was observed.
//!
//! Answers the bytes that `source_digest` of its latest revision is the SHA-256 of: JSON, in which the values of secrets are
//! replaced. That it was read is an entry of the log before it is answered. 404 says why there is none; 409 and 410 as for the
//! execution itself.

use axum::{
    extract::{State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use serde_json::json;

use super::{Pairs, wanted};
use crate::{
    access::{Resource, Verb},
    http::{
        Api,
        access::Caller,
        etag::tagged,
        openapi::{Answer, Call, Tag, parameters},
        path::Segments,
        problem::{Kind, Problem},
        said::Actor,
        trail,
    },
    query::{self, Detail, Sides, Wanted},
};

pub(in crate::http) fn call() -> Call {
    let example = json!({
        "apiVersion": "dualaudit.dev/v1alpha1", "kind": "WorkflowExecution",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "8d5b1c9e-2f3a-4b6c-9d0e-1f2a3b4c5d6e"},
        "spec": {"workflow": {"name": "restart-deployment", "version": "v1.2.0"}},
        "status": {"phase": "Completed"},
    });
    Call::new(Tag::Executions, "getSource", "The object that an execution was recorded from")
        .saying(
            "As it was observed for the latest revision, with secret values replaced: the bytes that `source_digest` is the \
             SHA-256 of. What producers send has none, and what was erased has none any more. Who reads it is put on record \
             first: where that cannot be, nobody reads it (503).",
        )
        .given([parameters::id(), parameters::log(), parameters::attempt()])
        .tagged(Answer::json("The object.", json!({"type": "object"})).example(example))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchExecution, Kind::NoSuchSource, Kind::AmbiguousId, Kind::Purged])
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
    let found = query::detail(seen.store.as_ref(), &wanted).await;
    caller.also(&api, (Verb::Get, Resource::Source), &wanted, &found).await?;
    let Detail { log, mut revisions, .. } = match found {
        Ok(detail) => detail,
        // What is live says more of why there is none.
        Err(error) => {
            query::source(seen.sides(), &wanted).await?;
            return Err(error.into());
        }
    };
    let wanted = Wanted { log: Some(log.clone()), ..wanted };
    let sides = Sides { store: api.store.as_ref(), ..seen.sides() };
    let object = query::source(sides, &wanted).await?;
    let namespace = revisions.swap_remove(0).0.record.namespace;
    let reader = caller.actor(Actor::default());
    trail::allow(&api, trail::of_source(&reader, &log, namespace, Some(&wanted.id))).await?;
    Ok(tagged(&asked, "application/json", object))
}

#[cfg(test)]
mod tests {
    use dualaudit_record::digest::Digest;
    use serde_json::json;

    use crate::{
        http::tests::{Fault, Served, record},
        store::conformance::{erase::erase, sample},
    };

    #[tokio::test]
    async fn the_object_comes_as_its_digest_says_and_who_has_it_is_told_so() {
        let served = Served::new().await;
        let store = served.store.inner.as_ref();
        sample::open(store, sample::LOG).await;
        sample::append(store, [sample::from_resource(sample::record("a"))]).await;
        let answered = served.get("/api/v1/executions/a/source?log=default&attempt=1").await;
        assert_eq!((answered.status.as_u16(), answered.json()), (200, json!({"metadata": {"uid": "a"}})));
        let record = served.get("/api/v1/executions/a").await.json()["record"].clone();
        assert_eq!(record["source_digest"], json!(Digest::sha256(&answered.body)));
        let again = axum::http::Request::get("/api/v1/executions/a/source");
        let again = again.header("if-none-match", answered.header("etag")).body(axum::body::Body::empty());
        assert_eq!(served.send(again.unwrap()).await.status, 304);
    }

    #[tokio::test]
    async fn who_reads_it_is_on_record_or_does_not_read_it() {
        let served = Served::new().await;
        let store = served.store.inner.as_ref();
        sample::open(store, sample::LOG).await;
        sample::append(store, [sample::from_resource(sample::record("a"))]).await;
        assert_eq!(served.get("/api/v1/executions/a/source").await.status, 200);
        let entry = served.get("/api/v1/accesses").await.json()["items"][0].clone();
        let act = json!({
            "actor": "unverified", "decision": "allow", "verb": "get", "resource": "executionrecords/source",
            "namespace": "shop", "log": "default", "execution_id": "a", "count": 1,
        });
        assert_eq!((&entry["log"], &entry["access"]["acts"]), (&json!("http"), &json!([act])));
        served.fail(Fault::TakesNothing);
        let answered = served.get("/api/v1/executions/a/source").await;
        assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (503, "unavailable"));
        assert_eq!(served.get("/api/v1/executions/a").await.status, 200);
    }

    #[tokio::test]
    async fn where_there_is_none_it_is_said_why() {
        let served = Served::new().await;
        served.post_json(&record("produced")).await;
        let store = served.store.inner.as_ref();
        sample::open(store, sample::LOG).await;
        sample::append(store, [sample::from_resource(sample::record("erased"))]).await;
        sample::append(store, [erase("erased")]).await;
        for (path, status, problem, why) in [
            (
                "produced/source",
                404,
                "no-such-source",
                "execution produced was sent by a producer, without an object",
            ),
            ("erased/source", 404, "no-such-source", "was erased: entry 1 of log default says so"),
            ("nobody/source", 404, "no-such-execution", "there is no execution nobody"),
            ("produced/source?log=other", 404, "no-such-execution", "it is in http"),
            ("produced/source?colour=red", 400, "invalid-parameter", "colour"),
        ] {
            let answered = served.get(&format!("/api/v1/executions/{path}")).await;
            assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (status, problem), "{path}");
            assert!(answered.json()["detail"].as_str().unwrap().contains(why), "{}", answered.text);
        }
    }
}
