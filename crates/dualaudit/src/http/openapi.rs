//! `GET /openapi.json`: what the API has, in OpenAPI 3.1.
//!
//! A route is served only together with what is said of it (see [`Routes`]), so neither lacks what the other has.
//! Schemas are those of the types that are read and written.

mod answer;
mod call;
mod examples;
mod failures;
pub(super) mod parameters;
mod routes;
mod schemas;

use std::sync::OnceLock;

use axum::{http::HeaderMap, response::Response};
use bytes::Bytes;
use serde_json::{Value, json};

pub(super) use answer::{Answer, Header};
pub(super) use call::{Call, Tag};
pub(super) use routes::Routes;

use self::call::REQUEST_ID;
use super::{etag::tagged, problem::Kind};

/// What is said of the API as a whole.
const ABOUT: &str = "\
What is recorded of workflow executions: one log of entries a cluster, and one of HTTP producers, each provable.

- Times are RFC 3339, durations whole nanoseconds. `null` is the same as absent.
- Lists are pages: `next_cursor` is the `cursor` of the next, with the same filters; `null` after the last.
- Errors are problem documents (RFC 9457), of types that stay. 429 and 503 say when to try again in Retry-After; sending \
again is always safe.
- An unknown parameter, or one that is given twice, is an error. HEAD is answered wherever GET is.
- Answers are compressed (gzip, zstd) for those who accept it.
- A request may bring an `X-Request-Id`; its answer has that, or a new one, and a problem document names it as `instance`.
";

/// The document of all that these routes have.
pub(super) fn document<'r>(all: impl IntoIterator<Item = &'r Routes>) -> Value {
    let (mut paths, mut schemas) = (serde_json::Map::new(), schemas::Schemas::default());
    for routes in all {
        for (path, methods) in routes.said() {
            let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
            for (method, call) in methods {
                item[method] = call.said(&mut schemas);
            }
        }
    }
    let tags = Tag::ALL.map(|tag| json!({"name": tag.name(), "description": tag.description()}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "dualaudit",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": env!("CARGO_PKG_LICENSE")},
        },
        "servers": [{"url": "/", "description": "Where this document was read"}],
        // Whoever reaches a server on a loopback address needs no token, unless it was told otherwise.
        "security": [{"bearer": []}, {}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "examples": failures::examples(),
            "securitySchemes": {"bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token that the cluster knows, such as a service account's.",
            }},
            "headers": {REQUEST_ID.name: REQUEST_ID.said()},
        },
    })
}

/// The document as it is served, and as `docs/openapi.json` holds it: the same for every server of a version.
pub fn openapi_json() -> &'static [u8] {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let document = document([&super::calls(), &super::files(), &super::measures(), &super::about_us()]);
        let mut json = serde_json::to_vec_pretty(&document).expect("a document is JSON");
        json.push(b'\n');
        json.into()
    })
}

pub(super) async fn serve(asked: HeaderMap) -> Response {
    tagged(&asked, "application/json", openapi_json())
}

pub(super) fn call() -> Call {
    Call::new(Tag::Server, "openapi", "This document")
        .tagged(Answer::json("The document.", json!({"type": "object"})))
        .fails(Kind::OF_EVERY_FILE)
}

#[cfg(test)]
mod tests;
