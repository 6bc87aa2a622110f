//! Problems in OpenAPI: one schema of them all, and of each call those it may answer with.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Header, schemas::Schemas};
use crate::http::problem::Kind;

const NAME: &str = "Problem";

/// When to try again.
const RETRY_AFTER: Header =
    Header { name: "Retry-After", description: "Seconds to wait before the next try.", example: "2" };

const CHALLENGE: Header = Header {
    name: "WWW-Authenticate",
    description: "How a request says whose it is.",
    example: "Bearer realm=\"dualaudit\"",
};

const ALLOW: Header =
    Header { name: "Allow", description: "The methods that the path has.", example: "GET,HEAD" };

/// The responses that tell of these problems: one a status.
pub(super) fn failures(kinds: &[Kind], schemas: &mut Schemas) -> Map<String, Value> {
    schemas.insert(NAME, problem());
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for &kind in kinds {
        let same = by_status.entry(kind.status().as_u16()).or_default();
        if !same.contains(&kind) {
            same.push(kind);
        }
    }
    by_status.into_iter().map(|(status, kinds)| (status.to_string(), response(status, &kinds))).collect()
}

fn response(status: u16, kinds: &[Kind]) -> Value {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let types: Vec<String> = kinds.iter().map(|kind| kind.uri()).collect();
    let reference = |kind: &Kind| json!({"$ref": format!("#/components/examples/{}", kind.slug())});
    let examples: Map<String, Value> =
        kinds.iter().map(|kind| (kind.slug().to_owned(), reference(kind))).collect();
    let retried = kinds.iter().any(|kind| kind.is_retried());
    let headers: Map<String, Value> =
        [(retried, RETRY_AFTER), (status == 405, ALLOW), (status == 401, CHALLENGE)]
            .into_iter()
            .filter(|(is_there, _)| *is_there)
            .map(|(_, header)| (header.name.to_owned(), header.said()))
            .collect();
    json!({
        "description": titles.join(", or: "),
        "headers": headers,
        "content": {"application/problem+json": {
            "schema": {"allOf": [
                {"$ref": format!("#/components/schemas/{NAME}")},
                {"properties": {"type": {"enum": types}, "status": {"const": status}}},
            ]},
            "examples": examples,
        }},
    })
}

/// An example of each, by its name.
pub(super) fn examples() -> Map<String, Value> {
    let of = |kind: Kind| {
        json!({
            "type": kind.uri(),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "detail": example(kind),
            "instance": "urn:dualaudit:request:6f1c2b3a4d5e6f708192a3b4c5d6e7f8",
        })
    };
    Kind::ALL.into_iter().map(|kind| (kind.slug().to_owned(), json!({"value": of(kind)}))).collect()
}

/// What one of them says of an occurrence.
fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthenticated => {
            "A request needs one `Authorization: Bearer` header, with a token of Kubernetes."
        }
        Kind::Forbidden => "jo may not list dualaudit.dev executionrecords in namespace \"shop\".",
        Kind::ForeignSite => {
            "This server lets in whoever is on its machine, and no pages of other sites that a browser there shows: it is for audit.example."
        }
        Kind::AccessUnchecked => "Kubernetes does not say at present who this is, or what they may do.",
        Kind::MalformedRequest => "Invalid URL: Invalid UTF-8 in `id`",
        Kind::InvalidJson => {
            "The body must be JSON in UTF-8 (RFC 8259): EOF while parsing an object at line 1 column 1."
        }
        Kind::InvalidParameter => "limit=\"1001\": must be a whole number from 1 to 1000",
        Kind::UnknownFilter => "colour is no filter of this answer; there are: log, workflow, version",
        Kind::NoSuchPath => {
            "There is nothing at /api/v1/nonsense; the API is under /api/v1, see /api/v1/executions."
        }
        Kind::NoSuchExecution => "there is no execution run-1",
        Kind::NoSuchSource => "execution run-1 was sent by a producer, without an object",
        Kind::Purged => {
            "execution run-1 attempt 1 was purged at 2026-05-01T12:00:00.000000Z: entry 7 of log http says so; its receipt stays valid"
        }
        Kind::NoSuchLog => "there is no log other; there are: default, http",
        Kind::NoSuchEntry => "log http has no entry 7 of kind gap",
        Kind::NoSuchTile => "The checkpoint of the log http covers 300 entries, and so no tile/0/002.",
        Kind::NotYetSigned => "the log http has no checkpoint yet",
        Kind::NoSuchExport => "No export 0 was made here lately.",
        Kind::MethodNotAllowed => "/api/v1/executions has no DELETE; the Allow header says what it has.",
        Kind::AmbiguousId => "run-1 is in 2 logs; name one of them: http, other",
        Kind::Conflict => {
            "This id and attempt are recorded with other content. To add a revision, send the record alone with \
             ?amend=true and If-Match: 1."
        }
        Kind::StaleRevision => "If-Match names a revision that is not the latest, which is 2.",
        Kind::PayloadTooLarge => "A body may have 8 MiB; send the records in several requests.",
        Kind::UnsupportedMediaType => {
            "The body must be application/json (one record or an array) or application/x-ndjson (one record a line), \
             and is declared as text/plain."
        }
        Kind::InvalidRecord => "completed_at: is required",
        Kind::AllRefused => "2 of 2 records were refused; see `refused`.",
        Kind::RejectedByDatabase => {
            "The database refuses it though it breaks no known rule; the server's log says why."
        }
        Kind::PreconditionRequired => {
            "amend=true needs If-Match: <revision>, the latest revision that you know of."
        }
        Kind::TooManyRequests => {
            "This address sent 5000 requests at once and 1000 a second, which is the limit."
        }
        Kind::Internal => "The server's log says what happened.",
        Kind::Unavailable => {
            "The database does not answer at present. Sending the same request again is safe."
        }
        Kind::QuestionTooSlow => "The question took longer than 10 s.",
        Kind::Overloaded => "256 such requests are under way, which is the limit.",
        Kind::Timeout => "The request was not done after 30 s.",
    }
}

/// A problem document.
fn problem() -> Value {
    let types: Vec<String> = Kind::ALL.iter().map(|kind| kind.uri()).collect();
    let text = |description: &str| json!({"type": "string", "description": description});
    let index = |description: &str| json!({"type": "integer", "format": "int64", "minimum": 0, "description": description});
    let texts =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457). What else a type has is said of the member.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri", "enum": types, "description": "Which problem it is; it stays."},
            "title": text("The same for every problem of the type."),
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The status of the answer."},
            "detail": text("What was expected and found, and what to do."),
            "instance": {"type": "string", "format": "uri-reference", "description": "This request, by its X-Request-Id: `urn:dualaudit:request:ID`."},
            "field": text("The field or parameter at fault."),
            "rule": text("What is allowed there."),
            "position": index("Of a record among several: its place, from 0."),
            "filters": texts("unknown-filter: those there are."),
            "logs": texts("no-such-log: those there are; ambiguous-id: those that have the id."),
            "latest_revision": {"type": ["integer", "null"], "format": "int32", "minimum": 1, "description": "conflict, stale-revision: the latest; null where nothing is recorded."},
            "receipt": {"$ref": "#/components/schemas/Receipt"},
            "purge": index("purged: the index of the entry that says so."),
            "purged_at": {"$ref": "#/components/schemas/Time"},
            "receipts": {"type": "array", "items": {"$ref": "#/components/schemas/Receipt"}, "description": "What was recorded all the same, in the order sent."},
            "refused": {"type": "array", "items": {"$ref": "#/components/schemas/Refused"}, "description": "What was not, and why."},
        },
    })
}
