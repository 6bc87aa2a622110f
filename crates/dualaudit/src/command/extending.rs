//! What the commands that append by themselves must not append to: a log that was rolled back.

use dualaudit_record::{checkpoint::SignedCheckpoint, proof::Head};

use super::cluster::{CALL_TIMEOUT, ClusterArgs};
use crate::{
    publish::copies::{Copies, Place},
    retention::Heads,
    store::{LogState, Store},
};

/// The copies of checkpoints that a log must extend to be appended to.
#[derive(Clone, Debug, clap::Args)]
pub struct ExtendingArgs {
    /// Where checkpoints are kept outside the database: file:PATH or configmap:NAMESPACE/NAME; any number of them.
    /// A log that does not extend the newest of its own there was rolled back, and takes nothing.
    #[arg(long, env = "DUALAUDIT_CHECKPOINT_COPY", value_name = "PLACE", value_delimiter = ',')]
    checkpoint_copy: Vec<Place>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl ExtendingArgs {
    /// These copies.
    pub(super) fn of(checkpoint_copy: Vec<Place>, cluster: ClusterArgs) -> Self {
        Self { checkpoint_copy, cluster }
    }

    /// By each log that takes anything, the newest head that is kept of it.
    ///
    /// # Errors
    /// A copy that cannot be read: what it holds might be newer than all others.
    pub async fn heads(&self, store: &dyn Store) -> anyhow::Result<Heads> {
        let mut heads = Heads::new();
        if self.checkpoint_copy.is_empty() {
            return Ok(heads);
        }
        let in_cluster = self.checkpoint_copy.iter().any(|place| matches!(place, Place::ConfigMap { .. }));
        let client = if in_cluster { Some(self.cluster.client(CALL_TIMEOUT).await?) } else { None };
        for log in store.logs().await? {
            if log.state != LogState::Open {
                continue;
            }
            let copies = Copies::new(self.checkpoint_copy.clone(), &log.log, client.clone());
            let newest = copies.newest(&log.origin).await?;
            let newest = newest.iter().map(SignedCheckpoint::head).max_by_key(|head| head.size);
            heads.extend(newest.map(|head| (log.log, Head { size: head.size, root: head.root })));
        }
        Ok(heads)
    }
}
