//! `GET /readyz`: the database answers questions.
//!
//! Ready means that requests are worth sending here, not that every one will succeed. With a full disk the
//! database still answers questions, and so are they answered here; a record sent meanwhile gets a 503 with
//! Retry-After, which says more than the refused connection that unreadiness would make of it, and of every
//! question besides. That nothing can be recorded is told by `dualaudit_append_failures_total`,
//! `dualaudit_blocked_executions` and `dualaudit doctor`.

use std::time::Duration;

use axum::extract::State;

use super::{
    Api, healthz,
    openapi::{Call, Tag},
    problem::{Kind, Problem},
};
use crate::query::{self, StoreError};

/// Whoever asks gives up after a few seconds, so the answer has to be there before.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn call() -> Call {
    Call::new(Tag::Server, "isReady", "The database answers questions").answers(200, healthz::ok()).fails([
        Kind::ForeignSite,
        Kind::MalformedRequest,
        Kind::Internal,
        Kind::Unavailable,
        Kind::Timeout,
        Kind::QuestionTooSlow,
    ])
}

pub(super) async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    match tokio::time::timeout(PATIENCE, query::ready(api.store.as_ref())).await {
        Ok(answer) => answer?,
        Err(_) => return Err(StoreError::Unavailable(format!("no answer within {PATIENCE:?}")).into()),
    }
    Ok("ok\n")
}
