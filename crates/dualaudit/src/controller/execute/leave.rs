//! The steps after which a resource may be gone: nothing here is done before its end is in the log,
//! read back, or on the break-glass ledger.

use dualaudit_record::digest::Digest;
use kube::api::{DeleteParams, Preconditions};
use serde_json::json;

use super::{Next, PATIENCE, Protection, Trouble, Visitor, unless_changed};
use crate::{
    controller::{Cleanup, Released, decide::review_until, notice::Notice},
    ingest::TrackedState,
    source::{State, annotation},
};

impl Visitor<'_> {
    /// The window is over. Whatever changed since this object was read fails the precondition.
    pub(super) async fn release(&mut self, cleanup: Cleanup) -> Result<Option<Next>, Trouble> {
        self.consult().await?;
        if self.known.as_ref().is_some_and(|known| known.held) || self.is_extended() {
            return Ok(None);
        }
        self.read_back().await?;
        let released = match cleanup {
            Cleanup::Retain => self.retain().await?,
            Cleanup::Delete => self.delete().await?,
        };
        if matches!(released, Some(Next::Watch)) {
            self.executor.metrics.released.inc();
            self.say_if_early();
        }
        Ok(released)
    }

    /// Whether somebody made its window longer since it was last asked.
    fn is_extended(&self) -> bool {
        let due =
            self.recorded().map(|recorded| review_until(&self.observed, recorded, self.executor.policy));
        !self.overfull && due.is_some_and(|due| self.executor.clock.now() < due)
    }

    fn say_if_early(&self) {
        if self.overfull {
            let note = "more finished executions are retained than --max-retained allows";
            self.executor.notices.publish(&self.target(), Notice::ReleasedEarly, note, None);
        }
    }

    async fn retain(&mut self) -> Result<Option<Next>, Trouble> {
        if let Some(tool) = &self.observed.recreated_by {
            let note = format!("it stays, because it is {tool} and might be created and run again");
            self.executor.notices.publish(&self.target(), Notice::Retained, &note, None);
        }
        self.track(TrackedState::Closed);
        self.known.get_or_insert_default().tracked = Some(TrackedState::Closed);
        self.patch_metadata(json!({}), Protection::Off).await
    }

    async fn delete(&mut self) -> Result<Option<Next>, Trouble> {
        let preconditions = Preconditions {
            uid: Some(self.observed.id.clone()),
            resource_version: Some(self.observed.resource_version.clone()),
        };
        let params = DeleteParams::background().preconditions(preconditions);
        let api = self.executor.api(&self.observed.namespace);
        match api.delete(&self.observed.name, &params).await {
            // Somebody else's finalizer is at work now, and what it adds is a revision.
            Ok(_) if self.observed.has_foreign_finalizer() => {
                self.say_if_early();
                Ok(Some(Next::Refetch))
            }
            Ok(either::Either::Left(object)) => {
                self.take_metadata(object.metadata);
                self.patch_metadata(json!({}), Protection::Off).await
            }
            Ok(either::Either::Right(_)) => Ok(Some(Next::Watch)),
            Err(error) => unless_changed(error),
        }
    }

    /// Somebody deleted it: what is in the log is read back, and the finalizer goes.
    pub(super) async fn let_go(&mut self) -> Result<Option<Next>, Trouble> {
        self.consult().await?;
        if self.is_owed() {
            return Ok(None);
        }
        if matches!(self.observed.state, State::Ended(_)) {
            self.read_back().await?;
        }
        self.patch_metadata(json!({}), Protection::Off).await
    }

    /// P2: the final observed state is committed and reads back with the same digest.
    async fn read_back(&self) -> Result<(), Trouble> {
        let receipt = self.recorded().map(|recorded| &recorded.receipt);
        let attempt = receipt.and_then(|receipt| receipt.attempt).unwrap_or_default();
        let found = match receipt {
            Some(receipt) => self.executor.ingest.read_back(&receipt.log, &self.observed.id, attempt).await?,
            None => None,
        };
        let problem = match found {
            None => "it is not there",
            Some(found) if !found.intact => "the row does not match its entry in the log",
            // Purged content counts as recorded; it cannot be compared any more.
            Some(found) if found.content_digest.is_some() && found.content_digest != self.digest => {
                "it says something else than the resource"
            }
            Some(_) => return Ok(()),
        };
        Err(Trouble::ReadBack { id: self.observed.id.clone(), attempt, problem })
    }

    /// Lets it go, recorded if that is possible and otherwise by an entry in the ledger, which
    /// becomes a gap in the log.
    pub(super) async fn break_glass(&mut self, reason: String) -> Result<Option<Next>, Trouble> {
        let recorded = tokio::time::timeout(PATIENCE, self.record_for_release()).await;
        if !matches!(recorded, Ok(Ok(true))) {
            let actor = self.actor(annotation::RELEASE_UNRECORDED).await?;
            let tracked = self.tracked(TrackedState::Closed);
            let released = Released {
                id: tracked.id,
                namespace: tracked.namespace,
                name: tracked.name,
                phase: tracked.phase,
                started_at: tracked.started_at,
                digest: Digest::sha256(tracked.last_state.as_bytes()),
                reason: reason.clone(),
                actor: Some(actor),
                released_at: tracked.last_seen_at,
            };
            self.executor.ledger.write(&[released]).await?;
            let home = Some(self.executor.home.as_str());
            self.executor.notices.publish(&self.target(), Notice::ReleasedUnrecorded, &reason, home);
        }
        self.patch_metadata(json!({}), Protection::Off).await
    }

    /// Whether its end is in the log, after trying once to put it there.
    async fn record_for_release(&mut self) -> Result<bool, Trouble> {
        if matches!(self.observed.state, State::Ended(_)) {
            self.consult().await?;
            if self.is_owed() {
                self.record().await?;
            }
        }
        // The database may have refused the record, which leaves the object to be kept whole.
        if let State::Unmappable(reason) = &self.observed.state {
            let reason = reason.clone();
            self.quarantine(&reason).await?;
            return Ok(!self.is_owed());
        }
        if matches!(self.observed.state, State::Running) || self.is_owed() {
            return Ok(false);
        }
        self.read_back().await?;
        Ok(true)
    }
}
