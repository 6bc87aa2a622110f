//! What a body is declared to be: JSON in UTF-8, as it is.

use axum::http::{HeaderMap, header};

use super::problem::{Kind, Problem};

/// The media type that these headers declare, in lower case and without parameters, if it is one of those that are `read`.
///
/// # Errors
/// None, another, or another charset; a compressed body: what it would become is bounded by nothing that its sender says.
pub(super) fn declared(
    headers: &HeaderMap,
    read: &[&'static str],
    wanted: &str,
) -> Result<&'static str, Problem> {
    let unsupported = |found: &str| {
        let detail = format!("The body must be {wanted}, and is declared as {found:.256}.");
        Problem::new(Kind::UnsupportedMediaType, detail)
    };
    if let Some(encoding) = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .find(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        return Err(unsupported(&format!("compressed ({encoding:.64}): send it as it is")));
    }
    let mut declared = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(type_), other) = (declared.next(), declared.next()) else {
        return Err(unsupported("nothing: Content-Type is missing"));
    };
    if other.is_some() {
        return Err(unsupported("several things: Content-Type is given more than once"));
    }
    let text = type_.to_str().unwrap_or_default();
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let charset = parameters.trim().to_ascii_lowercase();
    if !matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"") {
        return Err(unsupported(text));
    }
    let essence = essence.trim();
    let known = read.iter().find(|type_| type_.eq_ignore_ascii_case(essence));
    known.copied().ok_or_else(|| unsupported(text))
}
