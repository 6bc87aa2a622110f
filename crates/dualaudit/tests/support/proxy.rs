//! A proxy in front of the API server that sees each request, can end the process that sent it, and
//! can be cut or fall silent.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Body, extract::Request, response::Response};
use futures::StreamExt;
use kube::Client;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

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
    /// A question who may do what.
    Access,
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
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Client,
    judge: Mutex<Judge>,
    requests: Mutex<Vec<String>>,
    cut: watch::Sender<bool>,
    silent: AtomicBool,
    expire: AtomicBool,
}

impl FaultProxy {
    /// Starts one in front of the test's API server.
    pub async fn start(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            upstream: Client::try_from(config(&cluster.kubeconfig).await).expect("a client"),
            judge: Mutex::new(Arc::new(Mutex::new(|_| Verdict::Pass))),
            requests: Mutex::default(),
            cut: watch::Sender::new(false),
            silent: AtomicBool::new(false),
            expire: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let app = Router::new().fallback(move |request| forward(Arc::clone(&serving), request));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { kubeconfig: write_kubeconfig(cluster.dir.path(), address), shared }
    }

    /// From now on every request is judged by this.
    pub fn judge(&self, judge: impl FnMut(Seam) -> Verdict + Send + 'static) {
        *self.shared.judge.lock().expect("no judge panics") = Arc::new(Mutex::new(judge));
    }

    /// Ends every watch and refuses every request until [`Self::restore`].
    pub fn cut(&self) {
        self.shared.cut.send_replace(true);
    }

    /// Lets requests through again.
    pub fn restore(&self) {
        self.shared.cut.send_replace(false);
    }

    /// From now on no request is answered. Watches that are open go on.
    pub fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// Tells the next watch that the version it asks for is too old, as an API server does after a
    /// long absence: whoever watches must list anew.
    pub fn expire_next_watch(&self) {
        self.shared.expire.store(true, Ordering::SeqCst);
    }

    /// Whether the next watch is still to come.
    pub fn is_expiring(&self) -> bool {
        self.shared.expire.load(Ordering::SeqCst)
    }

    /// Method and path of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("no reader panics").clone()
    }
}

async fn forward(shared: Arc<Shared>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    shared.requests.lock().expect("no reader panics").push(format!("{} {path}", parts.method));
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut cut = shared.cut.subscribe();
    if *cut.borrow() {
        return dropped();
    }
    if shared.silent.load(Ordering::SeqCst) {
        return std::future::pending().await;
    }
    if path.contains("watch=true") && shared.expire.swap(false, Ordering::SeqCst) {
        return too_old();
    }
    let seam = seam_of(&parts.method, &path, &body);
    let judge = Arc::clone(&shared.judge.lock().expect("no judge panics"));
    let verdict = judge.lock().expect("no judge panics")(seam);
    if verdict == Verdict::DropBefore {
        return dropped();
    }
    // The upstream client has credentials and a connection of its own.
    parts.headers.remove("authorization");
    parts.headers.remove("host");
    let mut sent = axum::http::Request::builder().method(parts.method).uri(path);
    *sent.headers_mut().expect("a builder without error") = parts.headers;
    let sent = sent.body(kube::client::Body::from(body)).expect("a request");
    // In a task of its own: what is sent on arrives, also when the sender dies meanwhile.
    let upstream = shared.upstream.clone();
    match tokio::spawn(async move { upstream.send(sent).await }).await.expect("sending does not panic") {
        Ok(_) if verdict == Verdict::DropAfter => dropped(),
        Ok(answer) => {
            let (parts, body) = answer.into_parts();
            let until_cut = async move {
                let _ = cut.wait_for(|cut| *cut).await;
            };
            let body = Body::new(body).into_data_stream().take_until(Box::pin(until_cut));
            Response::from_parts(parts, Body::from_stream(body))
        }
        Err(_) => dropped(),
    }
}

fn too_old() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version",
    });
    let event = json!({ "type": "ERROR", "object": status });
    let answer = Response::builder().header("content-type", "application/json");
    answer.body(Body::from(format!("{event}\n"))).expect("a response")
}

fn dropped() -> Response {
    Response::builder().status(502).body(Body::empty()).expect("a response")
}

fn seam_of(method: &axum::http::Method, path: &str, body: &[u8]) -> Seam {
    let body = String::from_utf8_lossy(body);
    match method.as_str() {
        "POST" if path.contains("/subjectaccessreviews") => Seam::Access,
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
