//! The public HTTP API.
//!
//! One file an endpoint. Every error is a [`problem::Problem`]; whatever serves a request is bounded
//! in time, in bytes and in number (see [`limits`]).

mod access;
mod attention;
mod compression;
mod digests;
mod docs;
mod entries;
mod etag;
mod executions;
mod export;
mod handshake;
mod healthz;
mod holds;
mod learn;
pub mod limits;
mod log;
mod media;
mod message;
mod object;
mod openapi;
mod openmetrics;
mod path;
mod peers;
pub mod problem;
mod rates;
mod readyz;
mod request_id;
mod said;
mod serve;
mod site;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tls;
mod trail;
mod verifications;
mod watch;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware::{from_fn, from_fn_with_state, map_response},
};
use tokio::sync::watch::Receiver;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    access::{Access, Trail},
    clock::SharedClock,
    ingest::Ingest,
    live::Board,
    metrics::Metrics,
    query::SharedStore,
};
use limits::Limits;
use openapi::Routes;
use problem::{Kind, Problem};

pub use openapi::openapi_json;
pub use rates::Rate;
pub use serve::{serve, serve_tls};
pub use tls::{Tls, TlsError};

/// What the API works on.
#[derive(Clone)]
pub struct Api {
    /// Who may do what.
    pub access: Access,
    /// Where it is put on record who did what, and who was refused.
    pub trail: Trail,
    /// Where everything is read from, all of it: what somebody may read is handed out by [`access::Caller`].
    pub store: SharedStore,
    /// The doors into producers' logs. What names none goes into the first.
    pub producers: Vec<Ingest>,
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

/// The API, with the limits that ship.
pub fn router(api: Api) -> Router {
    router_with(api, Limits::default())
}

/// The API.
pub fn router_with(api: Api, limits: Limits) -> Router {
    let admission = limits::Admission::new(limits);
    let exports = export::Exports::of(&api);
    let watchers = watch::Watchers::of(&api);
    let door = access::Door::of(&api);
    let identify = || from_fn_with_state(door.clone(), access::identify);
    let access = api.access.clone();
    let rates = limits.rate.map(rates::Rates::new);
    let rated = || from_fn_with_state(rates.clone(), rates::limit);
    let calls = calls()
        .router()
        .layer(identify())
        .merge(files().router())
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(from_fn_with_state(admission.clone(), limits::admit))
        .layer(rated());
    // What tells whether the process lives stays outside the bound on requests: an overloaded server
    // is not a dead one.
    calls
        .merge(measures().router().layer(identify()).layer(rated()))
        .merge(about_us().router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::Extension(admission.clone()))
        .layer(axum::Extension(exports))
        .layer(axum::Extension(watchers))
        .with_state(api)
        .layer(from_fn_with_state(admission, limits::in_time))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(from_fn_with_state(access, site::keep_to))
        .layer(from_fn(message::read_one_way))
        .layer(map_response(site::keep_in))
        .layer(from_fn(limits::trace))
        .layer(from_fn(request_id::identify))
        .layer(compression::layer())
        .layer(from_fn(etag::name_encoding))
}

/// What the API has.
fn calls() -> Routes {
    Routes::default()
        .post("/api/v1/executions", executions::post::post, executions::post::call())
        .get("/api/v1/executions", executions::list::list, executions::list::call())
        .get("/api/v1/executions/{id}", executions::get::get, executions::get::call())
        .get("/api/v1/executions/{id}/source", executions::source::get, executions::source::call())
        .get("/api/v1/executions/{id}/proof", executions::proof::proof, executions::proof::call())
        .post("/api/v1/executions/{id}/reviews", executions::reviews::post, executions::reviews::call())
        .post("/api/v1/executions/{id}/window", executions::window::post, executions::window::call())
        .post("/api/v1/executions/{id}/erasures", executions::erasures::post, executions::erasures::call())
        .get("/api/v1/watch", watch::watch, watch::call())
        .get("/api/v1/digests", digests::digests, digests::call())
        .merge(entries::routes())
        .post("/api/v1/holds", holds::place, holds::place_call())
        .post("/api/v1/holds/{log}/{index}/release", holds::release, holds::release_call())
        .merge(learn::routes())
        .get("/api/v1/export", export::export, export::call())
        .get("/api/v1/export/{id}", export::manifest, export::manifest_call())
        .get("/api/v1/log/{log}/checkpoint", log::checkpoint, log::checkpoint_call())
        .get("/api/v1/log/{log}/tile/{*path}", log::tile, log::tile_call())
        .post("/api/v1/log/{log}/verifications", verifications::post, verifications::call())
}

/// What there is to read of the API, for whoever reaches it.
fn files() -> Routes {
    Routes::default()
        .get("/openapi.json", openapi::serve, openapi::call())
        .get("/docs", docs::page, docs::page_call())
        .get("/docs/{file}", docs::file, docs::file_call())
}

/// What tells how the server does, for whoever may read it.
fn measures() -> Routes {
    Routes::default().get("/metrics", openmetrics::metrics, openmetrics::call())
}

/// What tells whether the server does, for whoever reaches it.
fn about_us() -> Routes {
    Routes::default().get("/healthz", healthz::healthz, healthz::call()).get(
        "/readyz",
        readyz::readyz,
        readyz::call(),
    )
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
