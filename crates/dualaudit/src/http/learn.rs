//! `GET /api/v1/learn/{answer}`: what works, what breaks, what to try next; see [`crate::learn`].
//!
//! Parameters: those of the answer. A filter that there is not is answered with 422, which names those there are.

use axum::{
    Json, Router,
    extract::{State, rejection::QueryRejection},
    routing::get,
};

use super::{
    Api,
    executions::{Pairs, pairs},
    problem::Problem,
};
use crate::learn::{self, Answer, Ask, workflows};

/// One path an answer.
pub(super) fn routes() -> Router<Api> {
    route::<workflows::Request>(Router::new())
}

fn route<A: Ask + 'static>(router: Router<Api>) -> Router<Api> {
    router.route(&format!("/api/v1/learn/{}", A::NAME), get(answer::<A>))
}

async fn answer<A: Ask>(
    State(api): State<Api>,
    query: Result<Pairs, QueryRejection>,
) -> Result<Json<Answer<A::Answer>>, Problem> {
    let now = api.clock.now();
    let asked = A::parse(&pairs(query)?, now)?;
    Ok(Json(learn::ask(api.store.as_ref(), &asked, now).await?))
}
