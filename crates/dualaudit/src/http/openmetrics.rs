//! `GET /metrics`: OpenMetrics text.

use axum::{extract::State, http::header, response::IntoResponse};

use serde_json::json;

use super::{
    Api,
    access::Caller,
    openapi::{Answer, Call, Tag},
    problem::{Kind, Problem},
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn call() -> Call {
    Call::new(Tag::Server, "metrics", "What can be seen from outside")
        .answers(
            200,
            Answer::empty("OpenMetrics text.")
                .or("application/openmetrics-text", json!({"type": "string"}))
                .example(json!("# EOF\n")),
        )
        .saying("For those who may get the path `/metrics` of the cluster.")
        .fails([Kind::Unauthenticated, Kind::Forbidden, Kind::ForeignSite, Kind::AccessUnchecked])
        .fails([Kind::MalformedRequest])
        .fails([Kind::TooManyRequests, Kind::Internal, Kind::Timeout])
}

pub(super) async fn metrics(State(api): State<Api>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    caller.path("/metrics").await?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], api.metrics.text()))
}
