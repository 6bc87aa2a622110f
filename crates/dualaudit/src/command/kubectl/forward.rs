//! A port of loopback that leads to a pod, by the API server, as `kubectl port-forward` has it.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::Portforwarder};
use tokio::{
    io::{copy, split},
    net::{TcpListener, TcpStream},
};

use super::find::{ALLOWED, Target};
use crate::command::cluster::told;

/// A port that is forwarded while the process lives. Whoever may run programs on this machine can use it, as with
/// `kubectl port-forward`.
pub(super) struct Forward {
    address: SocketAddr,
    target: Target,
    /// What the last connection came to, where the pod did not take it.
    failure: Failure,
}

type Failure = Arc<Mutex<Option<String>>>;

impl Forward {
    /// Opens the port, once the API server leads to the pod.
    ///
    /// # Errors
    /// That it does not, and why.
    pub(super) async fn open(client: Client, target: Target) -> anyhow::Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client, &target.namespace);
        let first = pods.portforward(&target.pod, &[target.port]).await;
        let first = first.map_err(|error| refused(&error, &target))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("opening a port")?;
        let address = listener.local_addr()?;
        let failure = Failure::default();
        tokio::spawn(accept(listener, pods, target.clone(), first, Arc::clone(&failure)));
        Ok(Self { address, target, failure })
    }

    /// The server. One that speaks TLS has a certificate for the name of its Service.
    pub(super) fn url(&self) -> String {
        let Target { namespace, service, is_encrypted, .. } = &self.target;
        match is_encrypted {
            true => format!("https://{service}.{namespace}.svc:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// Where it is to be found.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { namespace, pod, port, .. } = &self.target;
        write!(f, "by port {port} of the pod {namespace}/{pod}")?;
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// Leads each connection to the pod, the first by what is open already.
async fn accept(
    listener: TcpListener,
    pods: Api<Pod>,
    target: Target,
    first: Portforwarder,
    failure: Failure,
) {
    let mut first = Some(first);
    while let Ok((local, _)) = listener.accept().await {
        let (pods, target, failure, open) =
            (pods.clone(), target.clone(), Arc::clone(&failure), first.take());
        tokio::spawn(async move {
            let carried = match open {
                Some(open) => carry(local, open, target.port).await,
                None => match pods.portforward(&target.pod, &[target.port]).await {
                    Ok(open) => carry(local, open, target.port).await,
                    Err(error) => Err(refused(&error, &target).to_string()),
                },
            };
            if let Err(why) = carried {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            }
        });
    }
}

/// Carries bytes until one side has said all: an HTTP client that closes wants no answer any more.
async fn carry(local: TcpStream, mut open: Portforwarder, port: u16) -> Result<(), String> {
    let (Some(remote), Some(error)) = (open.take_stream(port), open.take_error(port)) else {
        return Err(format!("port {port} was not opened"));
    };
    let ((mut from_pod, mut to_pod), (mut from_here, mut to_here)) = (split(remote), local.into_split());
    let is_over = tokio::select! {
        copied = copy(&mut from_here, &mut to_pod) => copied.is_ok(),
        _ = copy(&mut from_pod, &mut to_here) => false,
    };
    if is_over {
        open.abort();
        return Ok(());
    }
    // The pod's side ended: it says so where it never began.
    match error.await {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

/// What to do where the API server does not lead to the pod.
fn refused(error: &kube::Error, target: &Target) -> anyhow::Error {
    let Target { namespace, pod, .. } = target;
    match error {
        kube::Error::UpgradeConnection(error) => {
            anyhow!("the API server does not forward a port to the pod {namespace}/{pod}: {error}")
        }
        error => told(error, ALLOWED),
    }
}
