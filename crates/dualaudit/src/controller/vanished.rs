//! Resources that are gone: whatever left without its record becomes a record, or a gap (P7).

use std::{collections::HashSet, sync::Arc};

use dualaudit_record::entry::{Gap, GapCause};
use kube::core::DynamicObject;

use super::execute::{Executor, Trouble};
use crate::{
    ingest::{DraftContent, Tracked, TrackedState, TrackingChange},
    source::{self, State},
};

/// Tracked rows read at a time.
const PAGE: u32 = 200;

impl Executor {
    /// Accounts for a resource that is gone, by the last state that was seen of it.
    ///
    /// A state that had ended is recorded; of one that had not, only its absence can be told, and
    /// only after a GET by name has shown it.
    pub(super) async fn settle(&self, gone: &Tracked, object: Option<DynamicObject>) -> Result<(), Trouble> {
        let id = &gone.id;
        let known = self.known_of(id).await?;
        let closed = known.tracked == Some(TrackedState::Closed) || gone.state == TrackedState::Closed;
        let object = object.or_else(|| serde_json::from_str(&gone.last_state).ok());
        let observed = object.as_ref().map(|object| source::observe(object, &self.cluster, self.clock.now()));
        match (observed.map(|observed| observed.state), object) {
            (Some(State::Ended(record)), Some(object)) => {
                let digest = self.ingest.content_digest(&record);
                let same = known.recorded.as_ref().is_some_and(|recorded| {
                    recorded.started_at == record.started_at
                        && recorded.content_digest.is_none_or(|recorded| recorded == digest)
                });
                if !same {
                    let object = serde_json::to_value(&object).expect("an object is JSON");
                    self.ingest.submit(self.ingest.from_resource(*record, object)).await?;
                }
            }
            (Some(State::Unmappable(reason)), Some(object)) if !closed => {
                let object = source::unmarked(&object);
                let draft = self.ingest.quarantine(id, &gone.namespace, &gone.name, &reason, object);
                self.ingest.submit(draft).await?;
            }
            _ if closed => {}
            _ => {
                let present = self.api(&gone.namespace).get_metadata_opt(&gone.name).await?;
                if present.is_some_and(|present| present.metadata.uid.as_ref() == Some(id)) {
                    return Ok(());
                }
                self.ingest.submit(DraftContent::Gap(gap_of(gone))).await?;
            }
        }
        self.ingest.track(TrackingChange::Gone { id: id.clone() });
        Ok(())
    }

    async fn known_of(&self, id: &str) -> Result<crate::ingest::Known, Trouble> {
        let known = self.ingest.known(&[id.to_owned()]).await?.pop();
        Ok(known.unwrap_or_default())
    }

    /// Settles every tracked execution that no listing shows any more.
    pub(super) async fn sweep(self: Arc<Self>, live: HashSet<String>) -> Result<(), Trouble> {
        let mut after = None;
        loop {
            let rows = self.ingest.tracked(after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for row in rows.iter().filter(|row| !live.contains(&row.id)) {
                self.settle(row, None).await?;
            }
        }
    }

    /// Turns the ledger's entries into gaps of the log.
    pub(super) async fn drain_ledger(self: Arc<Self>) -> Result<(), Trouble> {
        for page in self.ledger.pages().await? {
            for released in super::Ledger::entries(&page).map_err(Trouble::Mismatch)? {
                let id = released.id.clone();
                self.ingest.submit(DraftContent::Gap(Gap::from(released))).await?;
                self.ingest.track(TrackingChange::Gone { id });
            }
            self.ledger.discard(&page).await?;
        }
        Ok(())
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
