//! `GET /healthz`: the process is alive. Says nothing about the database.

use serde_json::json;

use super::{
    openapi::{Answer, Call, Tag},
    problem::Kind,
};

pub(super) fn call() -> Call {
    Call::new(Tag::Server, "isAlive", "The process is alive")
        .saying("Says nothing about the database.")
        .answers(200, ok())
        .fails([Kind::ForeignSite, Kind::MalformedRequest, Kind::Internal, Kind::Timeout])
}

/// What is said where all is well.
pub(super) fn ok() -> Answer {
    Answer::empty("It is.")
        .or("text/plain", json!({"type": "string", "const": "ok\n"}))
        .example(json!("ok\n"))
}

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}
