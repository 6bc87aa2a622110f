//! Who a log belongs to, as its row says.

use super::{LogOpening, Owner, StoreError};

impl Owner {
    /// Its columns: `owner` and `cluster_uid`.
    pub(super) fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Cluster(uid) => ("cluster", Some(uid)),
            Self::Producers => ("producers", None),
        }
    }
}

impl LogOpening {
    /// Checks that the log belongs to who wants it, given its row's columns.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] when it belongs to another.
    pub(super) fn check_owner(&self, owner: &str, cluster_uid: Option<&str>) -> Result<(), StoreError> {
        let (wanted, wanted_uid) = self.owner.columns();
        if (owner, cluster_uid) == (wanted, wanted_uid) {
            return Ok(());
        }
        let described = |owner: &str, cluster_uid: Option<&str>| match cluster_uid {
            Some(uid) => format!("the cluster whose kube-system namespace has the uid {uid}"),
            None => format!("HTTP {owner}"),
        };
        Err(StoreError::Foreign(format!(
            "the log {:?} belongs to {}, and takes nothing from {}: choose another name for the log",
            self.log,
            described(owner, cluster_uid),
            described(wanted, wanted_uid),
        )))
    }
}
