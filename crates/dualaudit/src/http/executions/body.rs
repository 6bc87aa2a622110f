//! From a body to the records in it, each still as it was written.

use std::fmt;

use axum::http::HeaderMap;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::http::{
    media::declared,
    problem::{Kind, Problem},
};

/// The most records one request may hold. The least record that is valid has some 300 bytes, so a
/// body rarely holds more; this bounds what many tiny wrong ones can cost.
pub(super) const MAX_RECORDS: usize = 20_000;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// One record, or an array of them.
    Json,
    /// One record a line.
    JsonLines,
}

/// What a body holds.
#[derive(Debug)]
pub(super) struct Submission<'a> {
    /// One record by itself, not in an array or lines: it answers with its own status.
    pub(super) single: bool,
    /// The records in the order sent; a line that is no JSON stands for itself.
    pub(super) records: Vec<Result<&'a [u8], Problem>>,
}

/// What the headers declare the body to be.
pub(super) fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    const LINES: &str = "application/x-ndjson";
    let wanted = "application/json (one record or an array) or application/x-ndjson (one record a line)";
    let declared = declared(headers, &["application/json", LINES], wanted)?;
    Ok(if declared == LINES { Media::JsonLines } else { Media::Json })
}

/// Finds the records in a body.
///
/// # Errors
/// JSON that is malformed anywhere: nothing of it is taken. More records than [`MAX_RECORDS`].
pub(super) fn split(media: Media, body: &[u8]) -> Result<Submission<'_>, Problem> {
    let submission = match media {
        Media::JsonLines => lines(body),
        Media::Json if body.trim_ascii_start().starts_with(b"[") => {
            let Elements { kept, count } = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            if count > kept.len() {
                return Err(too_many(count));
            }
            Submission {
                single: false,
                records: kept.into_iter().map(|raw| Ok(raw.get().as_bytes())).collect(),
            }
        }
        Media::Json => {
            let raw: &RawValue = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            Submission { single: true, records: vec![Ok(raw.get().as_bytes())] }
        }
    };
    if submission.records.len() > MAX_RECORDS {
        return Err(too_many(submission.records.len()));
    }
    Ok(submission)
}

fn lines(body: &[u8]) -> Submission<'_> {
    let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    // One more than allowed is enough to know.
    let records = lines.take(MAX_RECORDS + 1).map(|line| {
        serde_json::from_slice::<&RawValue>(line).map_err(|error| malformed(&error))?;
        Ok(line)
    });
    Submission { single: false, records: records.collect() }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::InvalidJson, format!("The body must be JSON in UTF-8 (RFC 8259): {error}."))
}

fn too_many(count: usize) -> Problem {
    let detail = format!("One request may hold {MAX_RECORDS} records, this one holds {count} or more.");
    Problem::new(Kind::PayloadTooLarge, detail)
}

/// The elements of an array, the first [`MAX_RECORDS`] of them, and how many there are.
struct Elements<'a> {
    kept: Vec<&'a RawValue>,
    count: usize,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < MAX_RECORDS {
                    match array.next_element()? {
                        Some(raw) => kept.push(raw),
                        None => return Ok(Elements { count: kept.len(), kept }),
                    }
                }
                let mut count = kept.len();
                while array.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Elements { kept, count })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn with(header: &'static str, value: &'static str) -> Result<Media, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header, value.parse().unwrap());
        media(&headers)
    }

    #[test]
    fn only_json_and_lines_of_it_are_read() {
        assert_eq!(with("content-type", "application/json"), Ok(Media::Json));
        assert_eq!(with("content-type", "Application/JSON; charset=UTF-8"), Ok(Media::Json));
        assert_eq!(with("content-type", "application/x-ndjson"), Ok(Media::JsonLines));
        assert_eq!(with("content-encoding", "identity"), Ok(Media::Json));
        assert!(media(&HeaderMap::new()).is_err());
        for other in ["text/plain", "application/jsonp", "application/json; charset=latin1", ""] {
            assert!(with("content-type", other).is_err(), "{other}");
        }
        assert!(with("content-encoding", "gzip").is_err());
    }

    #[test]
    fn records_are_found_as_they_were_written() {
        let of = |media, body| {
            let submission = split(media, body).unwrap();
            let records = submission.records.into_iter();
            let texts: Vec<_> = records
                .map(|r| r.map_or("refused".into(), |r| String::from_utf8_lossy(r).into_owned()))
                .collect();
            (submission.single, texts.join(" | "))
        };
        assert_eq!(of(Media::Json, b" {\"a\": 1} "), (true, r#"{"a": 1}"#.into()));
        assert_eq!(of(Media::Json, b"\n[{\"a\": 1}, 2 ]"), (false, r#"{"a": 1} | 2"#.into()));
        assert_eq!(of(Media::Json, b"[]"), (false, String::new()));
        assert_eq!(of(Media::JsonLines, b"{}\r\n\n{\"a\":\n7"), (false, "{} | refused | 7".into()));
        assert_eq!(of(Media::JsonLines, b""), (false, String::new()));
    }

    #[test]
    fn malformed_json_takes_nothing() {
        for body in
            [&b""[..], b"{", b"[{},{]", b"{} {}", b"[{}],", b"\xff", b"[\"\xff\"]", b"{\"a\":\"\xff\"}"]
        {
            let problem = split(Media::Json, body).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidJson, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_number_of_records_is_bounded() {
        let array = format!("[{}]", vec!["1"; MAX_RECORDS + 1].join(","));
        assert_eq!(split(Media::Json, array.as_bytes()).unwrap_err().kind(), Kind::PayloadTooLarge);
        let lines = "1\n".repeat(MAX_RECORDS + 1);
        assert_eq!(split(Media::JsonLines, lines.as_bytes()).unwrap_err().kind(), Kind::PayloadTooLarge);
        let fits = format!("[{}]", vec!["1"; MAX_RECORDS].join(","));
        assert_eq!(split(Media::Json, fits.as_bytes()).unwrap().records.len(), MAX_RECORDS);
    }
}
