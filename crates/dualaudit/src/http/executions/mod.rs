//! `/api/v1/executions`.

mod body;
pub(super) mod erasures;
pub(super) mod get;
pub(super) mod list;
pub(super) mod post;
pub(super) mod proof;
pub(super) mod reviews;
pub(super) mod source;
pub(super) mod window;

use axum::extract::{Query, rejection::QueryRejection};

use super::problem::{Kind, Problem};
use crate::query::{self, Wanted};

/// A query string as it was written: which names are known is for each endpoint to say.
pub(super) type Pairs = Query<Vec<(String, String)>>;

pub(super) fn pairs(query: Result<Pairs, QueryRejection>) -> Result<Vec<(String, String)>, Problem> {
    match query {
        Ok(Query(pairs)) => Ok(pairs),
        Err(rejection) => Err(Problem::new(Kind::MalformedRequest, rejection.body_text())),
    }
}

/// Which execution a path and its query mean.
fn wanted(id: String, query: Result<Pairs, QueryRejection>) -> Result<Wanted, Problem> {
    Ok(query::wanted(id, &pairs(query)?)?)
}
