//! Paths, each served only with what is said of it.

use std::collections::BTreeMap;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, get, post},
};

use super::Call;
use crate::http::Api;

/// Paths, what serves them, and what is said of them.
#[derive(Default)]
pub(in crate::http) struct Routes {
    router: Router<Api>,
    said: BTreeMap<String, BTreeMap<&'static str, Call>>,
}

impl Routes {
    /// With one more path that is read.
    #[must_use]
    pub(in crate::http) fn get<H, T>(self, path: &str, serve: H, call: Call) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.with(path, "get", get(serve), call)
    }

    /// With one more path that is written to.
    #[must_use]
    pub(in crate::http) fn post<H, T>(self, path: &str, serve: H, call: Call) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.with(path, "post", post(serve), call)
    }

    fn with(mut self, path: &str, method: &'static str, served: MethodRouter<Api>, call: Call) -> Self {
        self.router = self.router.route(path, served);
        // OpenAPI has no name for what goes on over slashes.
        self.said.entry(path.replace("{*", "{")).or_default().insert(method, call);
        self
    }

    /// With those of another.
    #[must_use]
    pub(in crate::http) fn merge(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        for (path, methods) in others.said {
            self.said.entry(path).or_default().extend(methods);
        }
        self
    }

    /// What serves them.
    pub(in crate::http) fn router(self) -> Router<Api> {
        self.router
    }

    /// What is said of them, by path and method.
    pub(super) fn said(&self) -> &BTreeMap<String, BTreeMap<&'static str, Call>> {
        &self.said
    }
}
