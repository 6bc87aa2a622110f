//! `GET /docs`: the API to read and to try in a browser (Swagger UI), with nothing from another host.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use utoipa_swagger_ui::Config;

use super::{
    openapi::{Answer, Call, Header, Tag, parameters},
    path::Segments,
    problem::{Kind, Problem, internal},
};

const PAGE: &str = include_str!("docs/page.html");
const BEGIN: &str = include_str!("docs/begin.js");
const FILES: [&str; 3] = ["begin.js", "swagger-ui.css", "swagger-ui-bundle.js"];

/// What the page may load, and from where: of itself alone. Swagger UI has its pictures as `data:` URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn page_call() -> Call {
    let policy = Header {
        name: "Content-Security-Policy",
        description: "What the page may load: nothing of another host.",
        example: POLICY,
    };
    Call::new(Tag::Server, "docs", "This document, to read and to try in a browser")
        .answers(
            200,
            Answer::empty("The page.")
                .or("text/html", json!({"type": "string"}))
                .example(json!("<!doctype html>"))
                .header(policy),
        )
        .fails(Kind::OF_EVERY_FILE)
}

pub(super) fn file_call() -> Call {
    let file = parameters::path("file", "Its name.", parameters::one_of(&FILES), FILES[0]);
    let text = || json!({"type": "string"});
    Call::new(Tag::Server, "docsFile", "A file of the page")
        .given([file])
        .answers(200, Answer::empty("The file.").or("text/css", text()).or("text/javascript", text()))
        .fails(Kind::OF_EVERY_FILE)
        .fails([Kind::NoSuchPath])
}

pub(super) async fn page() -> Response {
    guarded("text/html; charset=utf-8", PAGE)
}

pub(super) async fn file(Segments(name): Segments<String>) -> Result<Response, Problem> {
    if name == "begin.js" {
        return Ok(guarded("text/javascript; charset=utf-8", BEGIN));
    }
    if !FILES.contains(&name.as_str()) {
        let detail = format!("The page /docs has no file {name:.64}.");
        return Err(Problem::new(Kind::NoSuchPath, detail));
    }
    let file = utoipa_swagger_ui::serve(&name, Arc::new(Config::from("openapi.json")));
    let file = file.ok().flatten().ok_or_else(|| internal(&format_args!("Swagger UI has no {name}")))?;
    let media_type =
        if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    Ok(guarded(media_type, file.bytes.into_owned()))
}

fn guarded(media_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::tests::Served;

    #[tokio::test]
    async fn the_page_loads_its_own_files_and_nothing_else() {
        let served = Served::new().await;
        let page = served.get("/docs").await;
        assert_eq!(page.header("content-security-policy"), POLICY);
        let loaded: BTreeSet<&str> = page
            .text
            .split(['"', '\''])
            .filter(|text| text.contains('/') || text.ends_with(".js"))
            .filter(|text| !text.contains('<'))
            .collect();
        assert_eq!(loaded, FILES.map(|file| format!("docs/{file}")).iter().map(String::as_str).collect());
        for file in FILES {
            let answered = served.get(&format!("/docs/{file}")).await;
            assert_eq!(
                (answered.status.as_u16(), answered.header("x-content-type-options")),
                (200, "nosniff")
            );
            assert!(
                answered.header("content-type").starts_with("text/") && !answered.text.is_empty(),
                "{file}"
            );
        }
        assert!(served.get("/docs/begin.js").await.text.contains("openapi.json"));
        assert_eq!(served.get("/docs/index.html").await.problem(), "no-such-path");
        // Neither styles nor scripts stand in the page, which its policy would not let act.
        assert!(!page.text.contains("<style") && !page.text.contains("<script>"), "{}", page.text);
    }
}
