//! `GET /metrics`: OpenMetrics text.

use axum::{extract::State, http::header, response::IntoResponse};

use super::Api;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], api.metrics.text())
}
