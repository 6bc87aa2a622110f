//! The body of a call that takes one JSON object: bounded, and read in one place.

use std::error::Error as _;

use axum::{body::to_bytes, extract::Request};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::{
    limits::{Admission, announced},
    media,
    problem::{Kind, Problem},
};

/// The most that such a body may have. What most is allowed in is a selector of 32 labels with 100 values of 253 bytes each.
pub(super) const OBJECT_BYTES: usize = 1 << 20;

/// Reads the object. `form` says what it looks like, as the beginning of a sentence.
///
/// # Errors
/// A body that is not declared as JSON, has more than [`OBJECT_BYTES`], ends early, is no JSON, or is another object: names
/// the field.
pub(super) async fn read<T: DeserializeOwned>(
    form: &str,
    admission: &Admission,
    request: Request,
) -> Result<T, Problem> {
    media::declared(request.headers(), &["application/json"], "application/json")?;
    if announced(request.headers()).is_some_and(|bytes| bytes > OBJECT_BYTES as u64) {
        return Err(too_large());
    }
    let _room = admission.room_for_body(request.headers(), OBJECT_BYTES).await;
    let body = to_bytes(request.into_body(), OBJECT_BYTES).await.map_err(|error| {
        let is_too_large = error.source().is_some_and(|source| source.is::<LengthLimitError>());
        if is_too_large { too_large() } else { ended_early() }
    })?;
    parse(form, &body)
}

/// What is said of a body of which a part is missing.
pub(super) fn ended_early() -> Problem {
    Problem::new(Kind::MalformedRequest, "The body ended before it was complete.")
}

fn too_large() -> Problem {
    Problem::new(Kind::PayloadTooLarge, format!("This body may have {} MiB.", OBJECT_BYTES >> 20))
}

fn parse<T: DeserializeOwned>(form: &str, body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json);
    let read = read.map_err(|error| (error.path().to_string(), error.into_inner()));
    let read = read.and_then(|read| json.end().map(|()| read).map_err(|error| (".".to_owned(), error)));
    read.map_err(|(field, error)| {
        let kind = if error.is_data() { Kind::InvalidRecord } else { Kind::InvalidJson };
        let problem = Problem::new(kind, format!("{form}: {:.300}.", error.to_string()));
        // A dot stands for the whole of it.
        if field == "." { problem } else { problem.with("field", clipped(&field)) }
    })
}

/// The beginning of a path: keys in it are as long as whoever sent them likes.
fn clipped(field: &str) -> String {
    field.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::json;

    use super::*;
    use crate::http::tests::{Served, posting, record};

    const OBJECTS: [&str; 5] = [
        "/api/v1/executions/a/reviews",
        "/api/v1/executions/a/window",
        "/api/v1/holds",
        "/api/v1/holds/http/0/release",
        "/api/v1/log/http/verifications",
    ];

    #[tokio::test]
    async fn what_is_no_json_as_it_is_is_refused_before_it_is_read() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        for path in OBJECTS {
            let post = || axum::http::Request::post(path);
            let json = || post().header("content-type", "application/json");
            for (request, status, kind) in [
                (post(), 415, "unsupported-media-type"),
                (post().header("content-type", "text/plain"), 415, "unsupported-media-type"),
                (
                    post().header("content-type", "application/json; charset=utf-16"),
                    415,
                    "unsupported-media-type",
                ),
                (json().header("content-type", "application/json"), 415, "unsupported-media-type"),
                (json().header("content-encoding", "gzip"), 415, "unsupported-media-type"),
                (json().header("content-encoding", "identity, gzip"), 415, "unsupported-media-type"),
                (json().header("content-length", OBJECT_BYTES + 1), 413, "payload-too-large"),
                (json(), 400, "invalid-json"),
            ] {
                let answered = served.send(request.body(Body::from("{")).unwrap()).await;
                assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (status, kind), "{path}");
            }
            let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(OBJECT_BYTES));
            assert_eq!(
                served.send(posting(path).body(large.into()).unwrap()).await.problem(),
                "payload-too-large"
            );
        }
    }

    #[tokio::test]
    async fn what_is_wrong_in_an_object_is_named() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let labels = json!([{"key": "team", "operator": "Near", "values": []}]);
        for (path, body, field) in [
            (OBJECTS[0], json!({"verdict": "splendid"}), "verdict"),
            (
                OBJECTS[2],
                json!({"selector": {"labels": labels}, "reason": "x"}),
                "selector.labels[0].operator",
            ),
            (OBJECTS[3], json!({"reason": null}), "reason"),
        ] {
            let answered = served.send(posting(path).body(body.to_string().into()).unwrap()).await;
            assert_eq!(
                (answered.problem().as_str(), &answered.json()["field"]),
                ("invalid-record", &json!(field))
            );
        }
    }
}
