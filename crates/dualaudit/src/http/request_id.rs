//! What tells one request from all others: `X-Request-Id`, in its answer, in problem documents, and in the log's lines.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use crate::clock::entropy;

const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// The most characters of an id that was sent.
const MOST: usize = 128;

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// Gives a request its id: the one it came with, if that can be used, or a new one.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let sent = request.headers().get(NAME).filter(|id| is_usable(id));
    let id = sent
        .cloned()
        .unwrap_or_else(|| HeaderValue::from_str(&hex::encode(entropy::<16>())).expect("hexadecimal digits"));
    let span = tracing::error_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = CURRENT.scope(id.clone(), next.run(request).instrument(span)).await;
    response.headers_mut().insert(NAME, id);
    response
}

/// What is written into logs and answers as it is: nothing that has a meaning there.
fn is_usable(id: &HeaderValue) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=MOST).contains(&id.len()) && id.as_bytes().iter().all(plain)
}

/// The URI of the request that is being answered.
pub(super) fn instance() -> Option<String> {
    CURRENT.try_with(|id| id.to_str().ok().map(|id| format!("urn:dualaudit:request:{id}"))).ok().flatten()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};

    use crate::http::tests::{Answered, Fault, Served, Told};

    async fn asked(served: &Served, id: &str) -> Answered {
        let request = Request::get("/api/v1/executions/nobody").header("x-request-id", id);
        served.send(request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn a_request_keeps_its_id_if_that_can_be_written_anywhere() {
        let served = Served::new().await;
        for id in ["a", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", &"x".repeat(128)] {
            assert_eq!(asked(&served, id).await.header("x-request-id"), id);
        }
        let mut made = Vec::new();
        for id in ["", "a b", "a\"b", "<a>", "{}", &"x".repeat(129)] {
            let answered = asked(&served, id).await;
            let id = answered.header("x-request-id").to_owned();
            assert!(id.len() == 32 && !made.contains(&id), "{id}");
            assert_eq!(answered.json()["instance"], format!("urn:dualaudit:request:{id}"));
            made.push(id);
        }
    }

    #[tokio::test]
    async fn what_the_log_is_told_of_a_request_names_it() {
        let served = Served::new().await;
        served.fail(Fault::Corrupt);
        let told = Told::from_now_on();
        let answered = asked(&served, "the-one").await;
        assert_eq!(answered.status, 500);
        let lines = told.lines("a request failed");
        assert!(lines.len() == 1 && lines[0].contains("the-one"), "{lines:?}");
    }
}
