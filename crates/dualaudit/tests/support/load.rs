//! Many resources at once, made and changed as fast as the API server takes them.

use std::{future::Future, ops::Range};

use futures::{StreamExt, stream};
use kube::{
    api::{ListParams, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::json;

use super::cluster::{Cluster, eventually, finished};

/// Requests at once, the same for dualaudit and for a client measured beside it.
pub const CONCURRENCY: usize = 64;

/// Runs one request a name, so many at once; the answers come in no order.
pub async fn each<T, F: Future<Output = T>>(numbers: Range<usize>, act: impl Fn(String) -> F) -> Vec<T> {
    stream::iter(numbers.map(|number| format!("load-{number}")))
        .map(act)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

impl Cluster {
    /// Creates executions of two steps, which have not begun; their uids.
    pub async fn create_many(&self, numbers: Range<usize>) -> Vec<String> {
        each(numbers, |name| async move { self.create(&name).await.metadata.uid.expect("a uid") }).await
    }

    /// Finishes them, as an engine does that tries again while the API server is away.
    pub async fn finish_many(&self, numbers: Range<usize>) {
        let patch = Patch::Merge(json!({ "status": finished() }));
        let (api, patch) = (&self.executions(), &patch);
        each(numbers, |name| async move {
            eventually(&format!("{name} is finished"), || async {
                api.patch_status(&name, &PatchParams::default(), patch).await.ok()
            })
            .await;
        })
        .await;
    }

    /// Takes every finalizer off by hand, and deletes.
    pub async fn lose_many(&self, numbers: Range<usize>) {
        each(numbers, |name| async move {
            self.strip(&name).await;
            self.delete(&name).await;
        })
        .await;
    }

    /// The metadata of every execution that is still there.
    pub async fn present(&self) -> Vec<PartialObjectMeta<DynamicObject>> {
        eventually("the API server lists", || async {
            self.executions().list_metadata(&ListParams::default()).await.ok()
        })
        .await
        .items
    }

    /// Waits until no execution is left.
    pub async fn all_gone(&self) {
        eventually("every execution is gone", || async { self.present().await.is_empty().then_some(()) })
            .await;
    }
}
