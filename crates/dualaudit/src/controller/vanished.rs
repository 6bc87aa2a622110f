//! Resources that are gone: whatever left without its record becomes a record, or a gap (P7).

use std::{collections::HashSet, future, sync::Arc};

use dualaudit_record::{
    WorkflowExecutionAudit,
    entry::{Gap, GapCause},
};
use futures::{StreamExt, TryStreamExt, stream};
use kube::core::DynamicObject;

use super::execute::{Executor, Trouble};
use crate::{
    ingest::{DraftContent, StoreError, Tracked, TrackedState, TrackingChange},
    source::{self, State},
};

/// Tracked rows read at a time.
const PAGE: u32 = 200;
/// Accounted for at once: what these append shares commits.
const AT_ONCE: usize = 32;

impl Executor {
    /// Accounts for a resource that is gone, by the last state that was seen of it; `object` is that
    /// state where it is at hand as it was.
    ///
    /// A state that had ended is recorded; of one that had not, only its absence can be told, and
    /// only after a GET by name has shown it: made here, or by whoever has no object at hand.
    pub(super) async fn settle(&self, gone: &Tracked, object: Option<DynamicObject>) -> Result<(), Trouble> {
        let known = self.ingest.known(std::slice::from_ref(&gone.id)).await?.pop().unwrap_or_default();
        let closed = known.tracked == Some(TrackedState::Closed) || gone.state == TrackedState::Closed;
        let at_hand = object.is_some();
        let object = object.or_else(|| serde_json::from_str(&gone.last_state).ok());
        let state = object.as_ref().map(|object| self.state_of(object));
        match (state, object) {
            (Some(State::Ended(record)), Some(object)) => {
                let digest = self.ingest.content_digest(&record);
                let same = known.attempt(record.started_at).is_some_and(|recorded| {
                    // What was tracked is redacted, and older than what was recorded since: it never
                    // amends a record.
                    !at_hand || recorded.content_digest.is_none_or(|recorded| recorded == digest)
                });
                if !same {
                    self.record_or_quarantine(gone, *record, &object).await?;
                }
            }
            (Some(State::Unmappable(reason)), Some(object)) if !closed => {
                self.quarantine_gone(gone, &reason, &object).await?;
            }
            _ if closed => {}
            _ if at_hand && self.is_present(gone).await? => return Ok(()),
            _ => {
                self.ingest.submit(DraftContent::Gap(gap_of(gone))).await?;
            }
        }
        self.ingest.track(TrackingChange::Gone { id: gone.id.clone() });
        Ok(())
    }

    fn state_of(&self, object: &DynamicObject) -> State {
        source::observe(object, &self.cluster, self.clock.now()).state
    }

    async fn record_or_quarantine(
        &self,
        gone: &Tracked,
        record: WorkflowExecutionAudit,
        object: &DynamicObject,
    ) -> Result<(), Trouble> {
        let whole = serde_json::to_value(object).expect("an object is JSON");
        match self.ingest.submit(self.ingest.from_resource(record, whole)).await {
            Ok(_) => Ok(()),
            Err(StoreError::Rejected(reason)) => {
                let reason = format!("the database refuses its record: {reason}");
                self.quarantine_gone(gone, &reason, object).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn quarantine_gone(
        &self,
        gone: &Tracked,
        reason: &str,
        object: &DynamicObject,
    ) -> Result<(), Trouble> {
        let object = source::unmarked(object);
        let draft = self.ingest.quarantine(&gone.id, &gone.namespace, &gone.name, reason, object);
        self.ingest.submit(draft).await?;
        Ok(())
    }

    /// Whether the very resource is there, asked by name.
    async fn is_present(&self, gone: &Tracked) -> Result<bool, Trouble> {
        let present = self.api(&gone.namespace).get_metadata_opt(&gone.name).await?;
        Ok(present.is_some_and(|present| present.metadata.uid.as_ref() == Some(&gone.id)))
    }

    /// Settles a tracked execution that no listing shows, unless it came after the listing.
    async fn settle_unless_present(&self, row: Tracked) -> Result<(), Trouble> {
        if self.is_present(&row).await? {
            return Ok(());
        }
        self.settle(&row, None).await
    }

    /// Settles every tracked execution that no listing shows any more. One that cannot be settled
    /// does not keep the others from it.
    pub(super) async fn sweep(self: Arc<Self>, live: HashSet<String>) -> Result<(), Trouble> {
        // What was noted last may not be in the table yet.
        if !self.ingest.flush_tracking().await {
            return Err(Trouble::Mismatch("what was tracked last cannot be stored".to_owned()));
        }
        let mut after = None;
        let mut trouble = None;
        loop {
            let rows = self.ingest.tracked(after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return trouble.map_or(Ok(()), Err) };
            after = Some(last.id.clone());
            let unlisted = rows.into_iter().filter(|row| !live.contains(&row.id));
            let mut settled =
                stream::iter(unlisted).map(|row| self.settle_unless_present(row)).buffer_unordered(AT_ONCE);
            while let Some(settled) = settled.next().await {
                trouble = trouble.or(settled.err());
            }
        }
    }

    /// Turns the ledger's entries into gaps of the log. One that cannot be read stays, is said, and
    /// keeps only its own page.
    pub(super) async fn drain_ledger(self: Arc<Self>) -> Result<(), Trouble> {
        let mut trouble = None;
        for page in self.ledger.pages().await? {
            let (released, unreadable) = super::Ledger::entries(&page);
            stream::iter(released)
                .map(|released| self.ingest.submit(DraftContent::Gap(Gap::from(released))))
                .buffer_unordered(AT_ONCE)
                .try_for_each(|_| future::ready(Ok(())))
                .await?;
            match unreadable {
                None => self.ledger.discard(&page).await?,
                Some(unreadable) => trouble = Some(Trouble::Mismatch(unreadable)),
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}

fn gap_of(gone: &Tracked) -> Gap {
    Gap {
        cause: GapCause::Vanished,
        execution_id: gone.id.clone(),
        namespace: gone.namespace.clone(),
        name: gone.name.clone(),
        started_at: gone.started_at,
        last_phase: gone.phase.clone(),
        last_state: gone.last_state.clone(),
        last_state_digest: None,
        last_seen_at: gone.last_seen_at,
    }
}
