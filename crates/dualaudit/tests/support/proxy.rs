//! A proxy in front of the API server that sees each request and can end the process that sent it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;

use super::{cluster::Cluster, control_plane::config};

/// A point in the life of one resource at which a process can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seam {
    /// A request that puts a receipt on a resource.
    Receipt,
    /// A request that deletes a resource.
    Delete,
    /// A request that changes finalizers after a deletion.
    Finalizer,
    /// Anything else.
    Other,
}

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Sends it on.
    Pass,
    /// Drops it: the API server never sees it.
    DropBefore,
    /// Sends it on and drops the answer.
    DropAfter,
}

type Judge = Arc<Mutex<dyn FnMut(Seam) -> Verdict + Send>>;

/// A running proxy.
pub struct FaultProxy {
    /// A kubeconfig that leads through it, with dualaudit's own rights.
    pub kubeconfig: PathBuf,
    judge: Arc<Mutex<Judge>>,
}

impl FaultProxy {
    /// Starts one in front of the test's API server.
    pub async fn start(cluster: &Cluster) -> Self {
        let upstream = Client::try_from(config(&cluster.kubeconfig).await).expect("a client");
        let judge: Judge = Arc::new(Mutex::new(|_| Verdict::Pass));
        let judge = Arc::new(Mutex::new(judge));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let seen_by = Arc::clone(&judge);
        let app = Router::new()
            .fallback(move |request: Request| forward(upstream.clone(), Arc::clone(&seen_by), request));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { kubeconfig: write_kubeconfig(cluster.dir.path(), address), judge }
    }

    /// From now on every request is judged by this.
    pub fn judge(&self, judge: impl FnMut(Seam) -> Verdict + Send + 'static) {
        *self.judge.lock().expect("no judge panics") = Arc::new(Mutex::new(judge));
    }
}

async fn forward(upstream: Client, judge: Arc<Mutex<Judge>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let seam = seam_of(&parts.method, &body);
    let judge = Arc::clone(&judge.lock().expect("no judge panics"));
    let verdict = judge.lock().expect("no judge panics")(seam);
    if verdict == Verdict::DropBefore {
        return dropped();
    }
    // The upstream client has credentials and a connection of its own.
    parts.headers.remove("authorization");
    parts.headers.remove("host");
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut sent = axum::http::Request::builder().method(parts.method).uri(path);
    *sent.headers_mut().expect("a builder without error") = parts.headers;
    let sent = sent.body(kube::client::Body::from(body)).expect("a request");
    match upstream.send(sent).await {
        Ok(_) if verdict == Verdict::DropAfter => dropped(),
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            Response::from_parts(parts, Body::new(body))
        }
        Err(_) => dropped(),
    }
}

fn dropped() -> Response {
    Response::builder().status(502).body(Body::empty()).expect("a response")
}

fn seam_of(method: &axum::http::Method, body: &[u8]) -> Seam {
    let body = String::from_utf8_lossy(body);
    match method.as_str() {
        "DELETE" => Seam::Delete,
        "PATCH" if body.contains("dualaudit.dev/receipt") => Seam::Receipt,
        "PATCH" if body.contains("\"finalizers\":[]") => Seam::Finalizer,
        _ => Seam::Other,
    }
}

fn write_kubeconfig(dir: &Path, address: SocketAddr) -> PathBuf {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "proxied", "user": {} }],
        "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxied" } }],
        "current-context": "proxy",
    });
    let path = dir.join("proxy.kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).expect("the kubeconfig is written");
    path
}
