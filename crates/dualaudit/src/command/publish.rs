//! How the checkpoints of a log are signed, kept and cosigned: the flags, and what comes of them.

use std::sync::Arc;

use anyhow::anyhow;
use kube::Client;

use super::cluster::{CALL_TIMEOUT, ClusterArgs};
use crate::{
    clock::SharedClock,
    ingest::Ingest,
    metrics::Metrics,
    publish::{
        Publisher,
        copies::{Copies, Place},
        keys::{self, KeySource},
        witness::{Witness, WitnessAddress},
    },
    store::SharedStore,
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Checkpoints")]
pub(super) struct PublishArgs {
    /// Keys that sign the logs' checkpoints, as `dualaudit log keygen` makes them: a file, or
    /// secret:NAMESPACE/NAME[/KEY] of the cluster
    #[arg(long, env = "DUALAUDIT_LOG_KEY", value_name = "SOURCE")]
    log_key: Option<KeySource>,

    /// Where each checkpoint is kept outside the database: file:PATH, or configmap:NAMESPACE/NAME of the
    /// cluster; any number of them
    #[arg(long, env = "DUALAUDIT_CHECKPOINT_COPY", value_name = "PLACE", value_delimiter = ',')]
    checkpoint_copy: Vec<Place>,

    /// A witness that cosigns (C2SP tlog-witness): its URL and its public key; any number of them
    #[arg(
        long,
        env = "DUALAUDIT_WITNESS",
        hide_env_values = true,
        value_name = "URL=PUBLIC_KEY",
        value_delimiter = ','
    )]
    witness: Vec<WitnessAddress>,
}

impl PublishArgs {
    /// Whether checkpoints are kept anywhere outside the database.
    pub(super) fn keeps_copies(&self) -> bool {
        !self.checkpoint_copy.is_empty()
    }

    /// What makes the checkpoints of one log.
    ///
    /// # Errors
    /// Keys that cannot be read; a cluster that is needed and cannot be reached.
    pub(super) async fn publisher(
        &self,
        store: SharedStore,
        ingest: Ingest,
        cluster: &ClusterArgs,
        clock: SharedClock,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Publisher> {
        let client = self.client(cluster).await?;
        let log = ingest.log().clone();
        let keys = match &self.log_key {
            Some(source) => keys::of_origin(keys::read(source, client.as_ref()).await?, &log.origin),
            None => Vec::new(),
        };
        if keys.is_empty() && self.log_key.is_some() {
            tracing::warn!(
                log = log.name,
                origin = log.origin,
                "the log's checkpoints are unsigned: --log-key holds no key for its origin (`dualaudit log keygen --log`)"
            );
        } else if keys.is_empty() {
            tracing::info!(
                log = log.name,
                origin = log.origin,
                "the log's checkpoints are unsigned: there is no key for its origin (--log-key, `dualaudit log keygen`)"
            );
        }
        let witnesses = self.witness.iter().cloned().map(Witness::new).collect::<Result<_, _>>();
        let publisher = Publisher {
            store,
            ingest,
            keys,
            copies: Copies::new(self.checkpoint_copy.clone(), &log.name, client),
            witnesses: witnesses.map_err(|error| anyhow!("no TLS to witnesses: {error}"))?,
            clock,
            metrics,
        };
        if let Err(error) = publisher.read_copies().await {
            tracing::warn!(%error, "nothing is recorded until the copies of checkpoints were read");
        }
        Ok(publisher)
    }

    async fn client(&self, cluster: &ClusterArgs) -> anyhow::Result<Option<Client>> {
        let in_cluster = |place: &Place| matches!(place, Place::ConfigMap { .. });
        let needs_one = matches!(self.log_key, Some(KeySource::Secret { .. }))
            || self.checkpoint_copy.iter().any(in_cluster);
        if needs_one { Ok(Some(cluster.client(CALL_TIMEOUT).await?)) } else { Ok(None) }
    }
}
