//! `GET /readyz`: the database answers.

use std::time::Duration;

use axum::extract::State;

use super::{Api, problem::Problem};
use crate::query::{self, StoreError};

/// Whoever asks gives up after a few seconds, so the answer has to be there before.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    match tokio::time::timeout(PATIENCE, query::ready(api.store.as_ref())).await {
        Ok(answer) => answer?,
        Err(_) => return Err(StoreError::Unavailable(format!("no answer within {PATIENCE:?}")).into()),
    }
    Ok("ok\n")
}
