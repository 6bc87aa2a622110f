//! Messages that two readers could read in two ways (RFC 9112, sections 3.2 and 6.3): what hyper lets pass and what stands
//! between it and the client might not.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::{Kind, Problem};

/// Refuses a request over HTTP/1 that does not say, once and plainly, for which host it is, or that is transferred in another
/// way than by length or in chunks. Nothing more is read from its connection.
pub(super) async fn read_one_way(request: Request, next: Next) -> Response {
    let is_http_1 = matches!(request.version(), Version::HTTP_10 | Version::HTTP_11);
    let refused = host(request.version(), request.headers()).or_else(|| transfer(request.headers()));
    let Some(detail) = refused.filter(|_| is_http_1) else { return next.run(request).await };
    let mut response = Problem::new(Kind::MalformedRequest, detail).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn host(version: Version, headers: &HeaderMap) -> Option<&'static str> {
    let mut named = headers.get_all(header::HOST).iter();
    match (named.next(), named.next()) {
        (None, _) if version == Version::HTTP_10 => None,
        (None, _) => Some("A request over HTTP/1.1 has a Host header, and this one has none."),
        (Some(host), None) => {
            let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
            let is_one = authority.is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'));
            (!is_one).then_some("The Host header is not the name of a host, with or without a port.")
        }
        (Some(_), Some(_)) => Some("A request has one Host header, and this one has several."),
    }
}

fn transfer(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next()?;
    let is_plain = codings.next().is_none() && first.as_bytes().eq_ignore_ascii_case(b"chunked");
    (!is_plain).then_some(
        "A body is transferred by Content-Length, or by `Transfer-Encoding: chunked` and nothing else.",
    )
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};

    use crate::http::tests::Served;

    #[tokio::test]
    async fn a_request_says_once_and_plainly_for_whom_it_is_and_how_long() {
        let served = Served::new().await;
        for (headers, expected) in [
            (&[("host", "localhost:8080")][..], 200),
            (&[("host", "localhost"), ("host", "localhost")], 400),
            (&[("host", "")], 400),
            (&[("host", "local host")], 400),
            (&[("host", "localhost/x")], 400),
            (&[("host", "jo@localhost")], 400),
            (&[("host", "localhost:80:80")], 400),
            (&[("host", "localhost"), ("transfer-encoding", "Chunked")], 200),
            (&[("host", "localhost"), ("transfer-encoding", "gzip, chunked")], 400),
            (
                &[("host", "localhost"), ("transfer-encoding", "identity"), ("transfer-encoding", "chunked")],
                400,
            ),
            (&[("host", "localhost"), ("transfer-encoding", "chunked, chunked")], 400),
        ] {
            let mut request = Request::get("/api/v1/executions");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answered = served.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answered.status.as_u16(), expected, "{headers:?}");
            if expected == 400 {
                let said = (answered.problem(), answered.header("connection").to_owned());
                assert_eq!(said, ("malformed-request".to_owned(), "close".to_owned()), "{headers:?}");
            }
        }
    }
}
