//! Pages of other sites: a browser reaches what its machine reaches, and does so for any page that it shows.
//!
//! Where nobody is asked who they are, a request must be for a name of this machine, which it is not by a page whose own
//! name was made to lead here (DNS rebinding), and must not be sent by a page of another site. Over TLS it may be for any
//! name: of those the certificate is for, a page of another site has none. Where Kubernetes is asked, a page has no token to
//! show. Either way browsers take answers for what they are called, and give them to no other site.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::{Kind, Problem};
use crate::access::Access;

/// Marks a request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encrypted;

/// Refuses what is asked for by pages of other sites, where anybody may ask.
pub(super) async fn keep_to(State(access): State<Access>, request: Request, next: Next) -> Response {
    let refused = match access {
        Access::Anonymous => {
            let is_any_name = request.extensions().get::<Encrypted>().is_some();
            foreign(request.uri(), request.headers(), request.method().is_safe(), is_any_name)
        }
        Access::Kubernetes(_) => None,
    };
    match refused {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// What every answer tells browsers: to take it for nothing but what it is called
/// (<https://fetch.spec.whatwg.org/#x-content-type-options-header>), and to give it to no other site
/// (<https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header>).
pub(super) async fn keep_in(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("same-origin"));
    response
}

/// Why a request is none of this machine's, if it is not.
fn foreign(uri: &Uri, headers: &HeaderMap, is_safe: bool, is_any_name: bool) -> Option<Problem> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let named = uri.authority().map(Authority::to_string).into_iter();
    let named: Vec<_> = named.chain(headers.get_all(header::HOST).iter().map(text)).collect();
    if let Some(host) = named.iter().find(|authority| !is_any_name && !is_here(authority)) {
        return Some(refused(format!("it is for {host:.64}")));
    }
    let is_ours = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, site)| is_here(site) || named.iter().any(|it| it == site))
    };
    let mut origins = headers.get_all(header::ORIGIN).iter().map(text);
    if let Some(origin) = origins.find(|origin| !is_ours(origin)) {
        return Some(refused(format!("it was sent by a page of {origin:.64}")));
    }
    // Browsers name no origin where a page merely shows or links to something.
    let said = |name: &str, what: &str| headers.get(name).is_some_and(|value| value == what);
    let follows_a_link = is_safe && said("sec-fetch-mode", "navigate") && !uri.path().starts_with("/api/");
    if said("sec-fetch-site", "cross-site") && !follows_a_link {
        return Some(refused("it was sent by a page of another site".to_owned()));
    }
    None
}

fn refused(why: String) -> Problem {
    let detail = format!(
        "This server lets in whoever is on its machine, and no pages of other sites that a browser there shows: {why}. It is \
         to be asked for as localhost, a name that ends with .localhost, 127.0.0.1 or [::1]; a proxy in front of it names \
         one of these. Over TLS, and with --access kubernetes, it has any name."
    );
    Problem::new(Kind::ForeignSite, detail)
}

/// Whether an authority names this machine, whoever resolves it.
fn is_here(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => {
            let name = host.strip_suffix('.').unwrap_or(&host);
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};

    use super::*;
    use crate::http::tests::{Served, posting, record};

    #[test]
    fn only_names_that_lead_here_wherever_they_are_resolved_are_of_this_machine() {
        for (authority, expected) in [
            ("localhost", true),
            ("localhost:8080", true),
            ("LocalHost.", true),
            ("audit.localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("127.8.9.10", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("", false),
            ("audit.example", false),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("127.0.0.1.example", false),
            ("10.0.0.1:8080", false),
            ("0.0.0.0:8080", false),
            ("[::]:8080", false),
            ("2130706433", false),
            ("evil.example@localhost.evil.example", false),
            ("localhost/evil.example", false),
        ] {
            assert_eq!(is_here(authority), expected, "{authority}");
        }
    }

    #[tokio::test]
    async fn what_a_page_of_another_site_asks_for_is_refused_and_records_nothing() {
        let served = Served::new().await;
        let here = ("host", "localhost:8080");
        for (headers, path, expected) in [
            (&[here][..], "/api/v1/executions", 200),
            (&[("host", "audit.localhost")], "/api/v1/executions", 200),
            (&[("host", "rebound.example:8080")], "/api/v1/executions", 403),
            (&[("host", "rebound.example")], "/healthz", 403),
            (&[("host", "rebound.example")], "/docs", 403),
            (&[here], "http://rebound.example/api/v1/executions", 403),
            (&[here, ("origin", "http://localhost:3000")], "/api/v1/executions", 200),
            (&[here, ("origin", "https://evil.example")], "/api/v1/executions", 403),
            (&[here, ("origin", "null")], "/api/v1/executions", 403),
            (&[here, ("origin", "file://")], "/api/v1/executions", 403),
            (&[here, ("sec-fetch-site", "same-origin")], "/api/v1/executions", 200),
            (&[here, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], "/api/v1/executions", 200),
            (&[here, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], "/docs", 403),
            (&[here, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], "/docs", 200),
            (
                &[here, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
                "/api/v1/export?format=csv",
                403,
            ),
        ] {
            let mut request = Request::get(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answered = served.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answered.status.as_u16(), expected, "{headers:?} {path}");
            assert_eq!(answered.header("x-content-type-options"), "nosniff", "{path}");
            if expected == 403 {
                assert_eq!(answered.problem(), "foreign-site", "{headers:?} {path}");
            }
        }
        // A name that its certificate is for is nobody else's.
        for (origin, expected) in [("https://audit.example", 200), ("https://evil.example", 403)] {
            let encrypted =
                Request::get("/api/v1/executions").header("host", "audit.example").extension(Encrypted);
            let encrypted = encrypted.header("origin", origin).body(Body::empty()).unwrap();
            assert_eq!(served.send(encrypted).await.status.as_u16(), expected, "{origin}");
        }
        let sent = posting("/api/v1/executions").header("origin", "https://evil.example");
        let sent = served.send(sent.body(record("evil").to_string().into()).unwrap()).await;
        assert_eq!(sent.problem(), "foreign-site");
        assert_eq!(served.get("/api/v1/executions/evil").await.status, 404);
    }
}
