//! `GET /api/v1/executions/{id}/proof?log=&attempt=`: one execution with all that proves it.
//!
//! Answers a bundle: the leaf, the body, and a C2SP `tlog-proof` of the latest revision; of what was purged,
//! without the body. 503 while no checkpoint covers it, which takes a second or two.

use axum::{
    Json,
    extract::{State, rejection::QueryRejection},
};
use dualaudit_record::proof::Bundle;

use super::{Pairs, wanted};
use crate::{
    access::{Resource, Verb},
    http::{
        Api,
        access::Caller,
        openapi::{Answer, Call, Tag, parameters},
        path::Segments,
        problem::{Kind, Problem, internal},
    },
    proof::Bundler,
    query::{self, GetError, Which},
};

pub(in crate::http) fn call() -> Call {
    Call::new(Tag::Proof, "getProof", "One execution with all that proves it, offline")
        .saying("The leaf, the body, and a C2SP `tlog-proof` of the latest revision; of what was purged, without the body.")
        .given([parameters::id(), parameters::log(), parameters::attempt()])
        .answers(200, Answer::of::<Bundle>("The bundle."))
        .fails(Kind::OF_EVERY_CALL)
        .fails([Kind::NoSuchExecution, Kind::AmbiguousId, Kind::NotYetSigned])
}

pub(in crate::http) async fn proof(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<Bundle>, Problem> {
    let wanted = wanted(id, query)?;
    let seen = caller.one(&api, (Verb::Get, Resource::ExecutionRecords), &wanted).await?;
    // One does not wait for the other.
    let (found, heads) = tokio::join!(query::detail(seen.store.as_ref(), &wanted), api.store.logs());
    caller.also(&api, (Verb::Get, Resource::Logs), &wanted, &found).await?;
    let (found, receipt) = match found {
        Ok(detail) => {
            let latest = detail.revisions.into_iter().next();
            let (record, receipt) =
                latest.ok_or_else(|| internal(&format_args!("{} has no revision", wanted.id)))?;
            (Some((record, detail.nonce)), receipt)
        }
        Err(GetError::Purged(purged)) => (None, purged.receipt),
        Err(error) => return Err(error.into()),
    };
    let mut bundler = Bundler::published_in(api.store.clone(), heads?, &receipt.log)?;
    if let Some((record, nonce)) = found
        && let Some(bundle) = bundler.bundle_of(&receipt, record, nonce).await?
    {
        return Ok(Json(bundle));
    }
    let entry = api.store.entries(&receipt.log, Which::All, receipt.index, 1).await?.into_iter().next();
    let entry = entry.filter(|entry| entry.index == receipt.index).ok_or_else(|| {
        internal(&format_args!("log {} has no entry {}, which a receipt names", receipt.log, receipt.index))
    })?;
    Ok(Json(bundler.bundle(&entry).await?))
}

#[cfg(test)]
mod tests {
    use dualaudit_record::proof::Bundle;

    use crate::http::tests::{Served, record};

    #[tokio::test]
    async fn an_execution_comes_with_all_that_proves_it() {
        let served = Served::new().await;
        for id in ["a", "b", "c"] {
            served.post_json(&record(id)).await;
        }
        assert_eq!(served.get("/api/v1/executions/b/proof").await.problem(), "not-yet-signed");
        served.publish().await;
        served.post_json(&record("later")).await;
        assert_eq!(served.get("/api/v1/executions/later/proof").await.problem(), "not-yet-signed");
        let answered = served.get("/api/v1/executions/b/proof").await;
        assert_eq!(answered.status, 200);
        let bundle: Bundle = serde_json::from_value(answered.json()).unwrap();
        let proved = bundle.verify(&[]).unwrap();
        assert_eq!(proved.entry.unwrap().0.execution_id(), Some("b"));
        assert_eq!(proved.proof.checkpoint.head().size, 3);
        assert!(!proved.proof.checkpoint.is_signed(), "nobody signs here");
    }

    #[tokio::test]
    async fn an_execution_that_is_not_there_has_no_proof() {
        let served = Served::new().await;
        for (path, status) in [
            ("/api/v1/executions/x/proof", 404),
            ("/api/v1/executions/x/proof?attempt=x", 400),
            ("/api/v1/executions/x/proof?other=1", 400),
        ] {
            assert_eq!(served.get(path).await.status, status, "{path}");
        }
    }
}
