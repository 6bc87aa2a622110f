//! The way to the cluster, as `kubectl` finds it.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use anyhow::anyhow;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::limit::RateLimitLayer;

/// How long the cluster may take to answer at the start.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// How long an ordinary request may be silent.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a watch may be silent: longer than the API server keeps one open.
pub const WATCH_TIMEOUT: Duration = Duration::from_secs(330);

/// Which cluster, and how hard it may be asked.
#[derive(Clone, Debug, clap::Args)]
pub struct ClusterArgs {
    /// The kubeconfig context to use [default: the current one, or the pod's service account]
    #[arg(long, env = "DUALAUDIT_CONTEXT")]
    pub context: Option<String>,

    /// The kubeconfig file to use [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The most requests a second to send to the API server [default: unlimited, its own priority
    /// and fairness decide]
    #[arg(long, env = "DUALAUDIT_API_QPS", value_name = "N")]
    pub api_qps: Option<NonZeroU32>,
}

impl ClusterArgs {
    /// A client for the cluster, whose requests fail when nothing is heard for `silence`.
    ///
    /// # Errors
    /// When no configuration is found, or it cannot be used: says which and why.
    pub async fn client(&self, silence: Duration) -> anyhow::Result<Client> {
        let mut config = self.config().await?;
        config.read_timeout = Some(silence);
        self.client_of(config)
    }

    /// A client by this configuration, of which it may have been [`ClusterArgs::config`].
    ///
    /// # Errors
    /// When it cannot be used: says why.
    pub(super) fn client_of(&self, config: Config) -> anyhow::Result<Client> {
        let builder = ClientBuilder::try_from(config).map_err(|error| self.unusable(&error))?;
        Ok(match self.api_qps {
            None => builder.build(),
            Some(qps) => builder.with_layer(&evenly(qps.get())).build(),
        })
    }

    /// How the cluster is reached, and as whom.
    ///
    /// # Errors
    /// When no configuration is found, or it cannot be used: says which and why.
    pub(super) async fn config(&self) -> anyhow::Result<Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        // As with kubectl, a kubeconfig that is named is the one to use, in a pod too.
        let config = if let Some(path) = &self.kubeconfig {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| self.unusable(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await
        } else if named().is_some() || self.context.is_some() {
            Config::from_kubeconfig(&options).await
        } else {
            return Config::infer().await.map_err(|error| self.unusable(&error));
        };
        config.map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> anyhow::Error {
        match (&self.kubeconfig, named()) {
            (Some(path), _) => {
                anyhow!("--kubeconfig {} cannot be used: {}", path.display(), first_line(error))
            }
            (None, Some(path)) => anyhow!("KUBECONFIG={path} cannot be used: {}", first_line(error)),
            (None, None) => anyhow!(
                "neither ~/.kube/config nor a pod's service account leads to a cluster, and KUBECONFIG is not \
                 set: {}",
                first_line(error)
            ),
        }
    }
}

/// The kubeconfig that the environment names.
fn named() -> Option<String> {
    std::env::var("KUBECONFIG").ok().filter(|path| !path.is_empty())
}

/// A parser's error goes on with a drawing of the place.
fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// So many a second, in slices of a tenth of a second where that divides well.
fn evenly(qps: u32) -> RateLimitLayer {
    if qps < 10 {
        RateLimitLayer::new(qps.into(), Duration::from_secs(1))
    } else {
        RateLimitLayer::new((qps / 10).into(), Duration::from_millis(100))
    }
}

/// The uid of the cluster's `kube-system` namespace, by which logs know their cluster.
///
/// # Errors
/// When the API server cannot be reached, or does not let us in: one sentence that says so.
pub async fn cluster_uid(client: &Client) -> anyhow::Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let asked = tokio::time::timeout(PATIENCE, namespaces.get("kube-system")).await;
    let answer = asked.map_err(|_| anyhow!("the API server did not answer within {PATIENCE:?}"))?;
    let namespace = answer
        .map_err(|error| told(&error, "install deploy/rbac.yaml, or use an account that is bound to it"))?;
    namespace.metadata.uid.ok_or_else(|| anyhow!("the namespace kube-system has no uid"))
}

/// What the API server says, in one sentence; `otherwise` is what to do where it does not allow it.
pub(super) fn told(error: &kube::Error, otherwise: &str) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            anyhow!(
                "the API server does not accept these credentials ({}): check the kubeconfig",
                status.message
            )
        }
        kube::Error::Api(status) if status.code == 403 => anyhow!("{}: {otherwise}", status.message),
        kube::Error::Api(status) => anyhow!("the API server answered: {}", status.message),
        _ => anyhow!("the API server cannot be reached ({}): check the kubeconfig", root_cause(error)),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
