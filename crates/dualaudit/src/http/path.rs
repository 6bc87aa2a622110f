//! What a path says: one place where what cannot be read of it becomes a problem.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};

/// The segments of a path that its route names, decoded; a [`Kind::MalformedRequest`] where they cannot be, as
/// those that are no UTF-8.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(Problem::new(Kind::MalformedRequest, rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::tests::Served;

    #[tokio::test]
    async fn a_path_that_cannot_be_decoded_is_a_problem_wherever_it_is() {
        let served = Served::new().await;
        for path in [
            "/api/v1/export/%ff",
            "/api/v1/executions/%ff",
            "/api/v1/executions/%ff/proof",
            "/api/v1/gaps/%ff/0",
            "/api/v1/gaps/http/x",
            "/api/v1/quarantine/http/%ff",
            "/api/v1/purges/http/-1",
            "/api/v1/log/%ff/checkpoint",
            "/api/v1/log/http/tile/%ff",
            "/api/v1/log/%ff/tile/0/000",
        ] {
            let answered = served.get(path).await;
            assert_eq!(answered.header("content-type"), "application/problem+json", "{path}");
            assert_eq!(
                (answered.status.as_u16(), answered.problem().as_str()),
                (400, "malformed-request"),
                "{path}"
            );
        }
    }
}
