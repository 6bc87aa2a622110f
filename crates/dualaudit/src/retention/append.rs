//! How holds, purges and erasures are appended: by the process that was asked for them, and by no other.

use std::collections::BTreeMap;

use dualaudit_record::{log::Nonce, proof};

use crate::{
    clock::{Clock, entropy},
    store::{Answer, Batch, Draft, DraftContent, Store, StoreError},
};

/// By the name of a log, the newest head that it is known to have had, by checkpoints kept outside its database.
pub type Heads = BTreeMap<String, proof::Head>;

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
