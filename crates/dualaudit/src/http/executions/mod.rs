//! `/api/v1/executions`.

mod body;
pub(super) mod get;
pub(super) mod list;
pub(super) mod post;
pub(super) mod proof;

use axum::extract::{Query, rejection::QueryRejection};

use super::problem::{Kind, Problem};

/// A query string as it was written: which names are known is for each endpoint to say.
type Pairs = Query<Vec<(String, String)>>;

fn pairs(query: Result<Pairs, QueryRejection>) -> Result<Vec<(String, String)>, Problem> {
    match query {
        Ok(Query(pairs)) => Ok(pairs),
        Err(rejection) => Err(Problem::new(Kind::MalformedRequest, rejection.body_text())),
    }
}
