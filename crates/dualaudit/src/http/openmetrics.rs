//! `GET /metrics`: OpenMetrics text.

use axum::{extract::State, http::header, response::IntoResponse};

use serde_json::json;

use super::{
    Api,
    openapi::{Answer, Call, Tag},
    problem::Kind,
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
        .fails([Kind::Internal, Kind::Timeout])
}

pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], api.metrics.text())
}
