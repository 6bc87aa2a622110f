//! How holds, purges and erasures are appended: by the process that was asked for them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dualaudit_record::{log::Nonce, proof};

use super::holds::HoldError;
use crate::{
    clock::{Clock, entropy},
    export::{ExportError, Recorder},
    store::{Answer, Batch, Draft, DraftContent, Store, StoreError},
};

/// By the name of a log, the newest head that it is known to have had, by checkpoints kept outside its database.
pub type Heads = BTreeMap<String, proof::Head>;

/// Where holds are appended: by a process that does nothing else, or by one that serves.
#[async_trait]
pub trait Append: Sync {
    /// The database.
    fn store(&self) -> &dyn Store;

    /// Appends one draft to a log.
    ///
    /// # Errors
    /// Those of [`Store::append`]; [`HoldError::Closed`] where the log takes nothing from here.
    async fn submit(&self, log: &str, content: DraftContent) -> Result<Answer, HoldError>;
}

#[async_trait]
impl Append for Appender<'_> {
    fn store(&self) -> &dyn Store {
        self.store
    }

    async fn submit(&self, log: &str, content: DraftContent) -> Result<Answer, HoldError> {
        Ok(self.append(log, content).await?)
    }
}

#[async_trait]
impl Append for Recorder {
    fn store(&self) -> &dyn Store {
        Recorder::store(self).as_ref()
    }

    async fn submit(&self, log: &str, content: DraftContent) -> Result<Answer, HoldError> {
        Recorder::submit(self, log, content).await.map_err(|error| match error {
            ExportError::Store(error) => HoldError::Store(error),
            error => HoldError::Closed(error.to_string()),
        })
    }
}

/// Where something is appended, and when.
pub struct Appender<'a> {
    /// The database.
    pub store: &'a dyn Store,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// What a log must extend to be appended to.
    pub extends: &'a Heads,
}

impl Appender<'_> {
    /// Appends one draft to a log.
    ///
    /// # Errors
    /// Those of [`Store::append`]; [`StoreError::RolledBack`] where the log does not extend what it must.
    pub(super) async fn append(&self, log: &str, content: DraftContent) -> Result<Answer, StoreError> {
        let drafts = vec![Draft::new(Nonce(entropy()), content)];
        let batch = Batch { drafts, extends: self.extends.get(log).copied(), ..Batch::default() };
        let answer = self.store.append(log, batch.into(), self.clock.now()).await?.pop();
        answer.ok_or_else(|| StoreError::Corrupt(format!("log {log}: the database answered nothing")))
    }
}
