//! What is done beside visits, each at most once at a time: what vanished is looked for, the break-glass ledger taken over, and
//! it is looked whether the cluster's state went back in time, and whether stamps can be believed.

use std::{collections::HashSet, sync::Arc};

use kube::api::ListParams;
use tokio::task::JoinError;

use super::{Controller, Trouble};

impl Controller {
    /// Starts what is owed. Also where the gauges of lasting trouble are set.
    pub(super) fn start_chores(&mut self) {
        let now = self.executor.clock.now();
        let blocked = self.live.summaries().filter_map(|summary| summary.blocked_since);
        let (count, oldest) = blocked.fold((0, now), |(count, oldest), since| (count + 1, oldest.min(since)));
        self.metrics.blocked.set(count);
        self.metrics.blocked_oldest_seconds.set(now.micros_since(oldest) / 1_000_000);
        if self.sweep_owed && self.listed && self.sweep.is_empty() {
            self.sweep_owed = false;
            let live: HashSet<_> = self.live.listed_ids().cloned().collect();
            self.sweep.spawn(Arc::clone(&self.executor).sweep(live));
        }
        // The command line writes to the ledger too.
        self.start_drain();
        self.start_look();
        self.start_checking();
    }

    /// Looks whether stamps can be believed, so that the log says when that changes.
    fn start_checking(&mut self) {
        if self.checking.is_empty() {
            let executor = Arc::clone(&self.executor);
            // Where the API server is away the watch says so.
            self.checking.spawn(async move { drop(executor.vouching.standing().await) });
        }
    }

    pub(super) fn start_drain(&mut self) {
        if self.drain.is_empty() {
            self.drain.spawn(Arc::clone(&self.executor).drain_ledger());
        }
    }

    pub(super) fn finish_sweep(&mut self, done: Result<Result<(), Trouble>, JoinError>) {
        if let Err(trouble) = done.unwrap_or_else(|error| Err(defect(&error))) {
            tracing::warn!(%trouble, "not every execution that is gone could be accounted for; trying again");
            self.sweep_owed = true;
        }
    }

    pub(super) fn finish_drain(&mut self, done: Result<Result<(), Trouble>, JoinError>) {
        if let Err(trouble) = done.unwrap_or_else(|error| Err(defect(&error))) {
            tracing::warn!(%trouble, "the break-glass ledger could not be taken over; trying again");
        }
    }

    /// Asks how far the cluster's state has come.
    fn start_look(&mut self) {
        if self.look.is_empty() {
            let (api, before) = (self.watched(&self.executor.client), self.newest);
            self.look.spawn(async move {
                // Where the API server is away the watch says so.
                let list = api.list_metadata(&ListParams::default().limit(1)).await.ok()?;
                let now = list.metadata.resource_version?.parse().ok()?;
                Some(Look { before, now })
            });
        }
    }

    /// Whether the cluster's state went back in time, so that everything has to be listed anew: a watch
    /// that goes on from a version still to come shows nothing until then.
    pub(super) fn finish_look(&mut self, look: Result<Option<Look>, JoinError>) -> bool {
        let Ok(Some(Look { before, now })) = look else { return false };
        self.note_sight();
        if now >= before {
            self.newest = self.newest.max(now);
            return false;
        }
        tracing::warn!(
            "the cluster's state went back from version {before} to {now}, as when etcd is restored; listing \
             everything anew"
        );
        self.newest = now;
        true
    }
}

/// How far the cluster's state has come.
pub(super) struct Look {
    /// The newest version that had been seen when it was asked.
    before: u64,
    /// The version it is at.
    now: u64,
}

/// A panic in a chore is trouble like any other.
fn defect(error: &JoinError) -> Trouble {
    Trouble::Mismatch(format!("a defect of dualaudit: {error}"))
}
