//! Folds what appends give to the statistics, some time after them.

use std::{sync::Arc, time::Duration};

use super::Shared;
use crate::store::{Folding, UnreadableEntry};

/// What is given within this time is folded together.
const DELAY: Duration = Duration::from_secs(1);
/// How long to leave the database alone after it failed.
const PAUSE: Duration = Duration::from_secs(10);

/// Folds what was left by others, and then what is given, for ever. What is not folded yet counts all the same, so
/// nothing waits for this.
pub(super) async fn fold_what_is_given(shared: Arc<Shared>) {
    let mut failed = None;
    loop {
        tokio::time::sleep(DELAY).await;
        match fold(&shared).await {
            Ok(()) => {
                failed = None;
                shared.given.notified().await;
            }
            Err(error) => {
                let text = error.to_string();
                // Once, not each time.
                if failed.as_ref() != Some(&text) {
                    tracing::warn!(log = shared.log.name, %error, "statistics are not folded for now");
                    failed = Some(text);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn fold(shared: &Shared) -> Result<(), crate::store::StoreError> {
    loop {
        match shared.store.fold(&shared.log.name).await? {
            Folding::Done => return Ok(()),
            Folding::More => {}
            Folding::PassedOver(entries) => {
                for UnreadableEntry { index, what } in entries {
                    tracing::warn!(
                        log = shared.log.name,
                        index,
                        what,
                        "statistics lack what this entry gave, as it cannot be read; `dualaudit verify` checks it"
                    );
                }
            }
        }
    }
}
