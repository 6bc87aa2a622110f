//! The public HTTP API.
//!
//! One file an endpoint. Every error is a [`problem::Problem`]; whatever serves a request is bounded
//! in time, in bytes and in number (see [`limits`]).

mod digests;
mod entries;
mod executions;
mod export;
mod healthz;
mod learn;
pub mod limits;
mod log;
mod openmetrics;
mod path;
pub mod problem;
mod readyz;
mod serve;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use tokio::sync::watch::Receiver;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};

use crate::{
    clock::SharedClock,
    ingest::Ingest,
    live::Board,
    metrics::Metrics,
    query::{SharedStore, Sides},
};
use limits::Limits;
use problem::{Kind, Problem};

pub use serve::serve;

/// What the API works on.
#[derive(Clone)]
pub struct Api {
    /// Where everything is read from.
    pub store: SharedStore,
    /// The door into the producers' log.
    pub ingest: Ingest,
    /// What this process sees of a cluster.
    pub live: Option<Arc<Board>>,
    /// Tells the time.
    pub clock: SharedClock,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Doors into other logs that this process appends to.
    pub doors: Vec<Ingest>,
    /// Whether checkpoints are kept outside the database, which a log must extend to be appended to.
    pub keeps_copies: bool,
    /// Becomes true when the process is to stop.
    pub stopping: Receiver<bool>,
}

impl Api {
    /// Both sides of what is told of executions.
    fn sides(&self) -> Sides<'_> {
        Sides { store: self.store.as_ref(), live: self.live.as_deref() }
    }
}

/// The API, with the limits that ship.
pub fn router(api: Api) -> Router {
    router_with(api, Limits::default())
}

/// The API.
pub fn router_with(api: Api, limits: Limits) -> Router {
    let admission = limits::Admission::new(limits);
    let exports = export::Exports::of(&api);
    let watchers = watch::Watchers::of(&api);
    let executions = Router::new()
        .route("/api/v1/executions", post(executions::post::post).get(executions::list::list))
        .route("/api/v1/executions/{id}", get(executions::get::get))
        .route("/api/v1/executions/{id}/proof", get(executions::proof::proof))
        .route("/api/v1/executions/{id}/reviews", post(executions::reviews::post))
        .route("/api/v1/watch", get(watch::watch))
        .route("/api/v1/digests", get(digests::digests))
        .merge(entries::routes())
        .merge(learn::routes())
        .route("/api/v1/export", get(export::export))
        .route("/api/v1/export/{id}", get(export::manifest))
        .route("/api/v1/log/{log}/checkpoint", get(log::checkpoint))
        .route("/api/v1/log/{log}/tile/{*path}", get(log::tile).layer(CompressionLayer::new()))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(from_fn_with_state(admission.clone(), limits::admit));
    // What tells whether the process lives stays outside the bound on requests: an overloaded server
    // is not a dead one.
    let about_us = Router::new()
        .route("/healthz", get(healthz::healthz))
        .route("/readyz", get(readyz::readyz))
        .route("/metrics", get(openmetrics::metrics));
    executions
        .merge(about_us)
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::Extension(admission.clone()))
        .layer(axum::Extension(exports))
        .layer(axum::Extension(watchers))
        .with_state(api)
        .layer(from_fn_with_state(admission, limits::in_time))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(from_fn(limits::trace))
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        Kind::NoSuchPath,
        format!("There is nothing at {}; the API is under /api/v1, see /api/v1/executions.", uri.path()),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{} has no {method}; the Allow header says what it has.", uri.path()),
    )
}
