//! Entity tags (RFC 9110, section 8.8.3): whoever has an answer already is told so, rather than the answer again.
//!
//! A tag is a digest of the answer's bytes, so it changes whenever they do, and is strong. In another encoding they are
//! other bytes: then the tag names that, too.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use dualaudit_record::digest::Digest;

/// Kept by whoever wants to, and asked about each time.
const ASK_FIRST: HeaderValue = HeaderValue::from_static("no-cache");

/// An answer of these bytes, or that whoever asks has it.
pub(super) fn tagged(asked: &HeaderMap, media_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let bytes = bytes.into();
    let tag = hex::encode(&Digest::sha256(&bytes).0[..16]);
    let (mut response, tag) = match known(asked, &tag) {
        // Of an answer that it is spared the encoding was chosen, too (RFC 9110, section 15.4.5).
        Some(known) => {
            let vary = [(header::VARY, HeaderValue::from_static("accept-encoding"))];
            ((StatusCode::NOT_MODIFIED, vary).into_response(), known)
        }
        None => (([(header::CONTENT_TYPE, media_type)], bytes).into_response(), format!("\"{tag}\"")),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, ASK_FIRST);
    response.headers_mut().insert(header::ETAG, tag.parse().expect("hexadecimal digits in quotes"));
    response
}

/// The tag as whoever asks has it, if they do.
fn known(asked: &HeaderMap, tag: &str) -> Option<String> {
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    for known in lists.flat_map(|list| list.split(',')).map(str::trim) {
        // Whether it is weak makes no difference here (section 13.1.2).
        let strong = known.strip_prefix("W/").unwrap_or(known);
        let opaque = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
        let is_it = opaque.strip_prefix(tag).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        if is_it {
            return Some(strong.to_owned());
        }
        if known == "*" {
            return Some(format!("\"{tag}\""));
        }
    }
    None
}

/// Lets the tag of an answer that was encoded name its encoding.
pub(super) async fn name_encoding(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers();
    let named =
        headers.get(header::ETAG).zip(headers.get(header::CONTENT_ENCODING)).and_then(|(tag, encoding)| {
            let opaque = tag.to_str().ok()?.strip_suffix('"')?;
            format!("{opaque}-{}\"", encoding.to_str().ok()?).parse().ok()
        });
    if let Some(named) = named {
        response.headers_mut().insert(header::ETAG, named);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use serde_json::json;

    use crate::http::tests::{Answered, Served, posting, record};

    async fn asked(served: &Served, headers: &[(&str, &str)]) -> Answered {
        let mut request = Request::get("/api/v1/executions/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        served.send(request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn who_has_an_execution_is_told_so_until_anything_of_it_changes() {
        let served = Served::new().await;
        served.post_json(&record("a")).await;
        let mut seen = Vec::new();
        let mut amended = record("a");
        amended["workflow_version"] = json!("v1.2.1");
        for change in [
            None,
            Some(posting("/api/v1/executions/a/reviews").body(json!({"verdict": "harmful"}).to_string())),
            Some(posting("/api/v1/executions?amend=true").header("if-match", 1).body(amended.to_string())),
        ] {
            if let Some(change) = change {
                assert_eq!(served.send(change.unwrap().map(Body::from)).await.status, 201);
            }
            let first = asked(&served, &[]).await;
            let tag = first.header("etag").to_owned();
            assert!(first.status == 200 && !seen.contains(&tag), "{tag} of {seen:?}");
            for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
                let again = asked(&served, &[("if-none-match", &known)]).await;
                let told = (again.status.as_u16(), again.header("etag"), again.text.as_str());
                assert_eq!(told, (304, tag.as_str(), ""), "{known}");
            }
            let older = seen.join(", ");
            assert_eq!(asked(&served, &[("if-none-match", &older)]).await.status, 200);
            seen.push(tag);
        }
    }

    #[tokio::test]
    async fn an_answer_in_another_encoding_has_another_tag() {
        let served = Served::new().await;
        let mut large = record("a");
        large["error_message"] = "x".repeat(4096).into();
        served.post_json(&large).await;
        let plain = asked(&served, &[]).await.header("etag").to_owned();
        let packed = asked(&served, &[("accept-encoding", "gzip")]).await.header("etag").to_owned();
        assert_eq!(packed, format!("\"{}-gzip\"", plain.trim_matches('"')));
        let again = asked(&served, &[("accept-encoding", "gzip"), ("if-none-match", &packed)]).await;
        assert_eq!((again.status.as_u16(), again.header("etag")), (304, packed.as_str()));
    }
}
