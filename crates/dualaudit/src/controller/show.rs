//! What a visit shows on the board of live executions: what it sees, and what came of it.

use std::{
    cmp::Reverse,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use dualaudit_record::{WorkflowExecutionAudit, clip::clip};
use kube::{Api, Client, core::DynamicObject};
use serde::Deserialize;

use super::{
    decide::{recorded, review_until},
    execute::Visitor,
    said,
};
use crate::{
    clock::SharedClock,
    ingest::{Ingest, Receipt, TrackedState},
    live::{LiveExecution, Look, Looked, Place, RecordedAs},
    source::{self, Observed, State},
};

/// What a receipt on a resource says of its attempt.
#[derive(Deserialize)]
struct Acknowledged {
    attempt: u32,
}

impl Visitor<'_> {
    /// Puts what is seen and known on the board.
    pub(super) fn show(&self) {
        let board = &self.executor.board;
        let Some(mut whole) = self.whole() else { return };
        self.executor.ingest.redact(&mut whole);
        let mut record = WorkflowExecutionAudit {
            step_executions: Vec::new(),
            adaptive_adjustments: Vec::new(),
            ..whole.clone()
        };
        let mut steps = DefaultHasher::new();
        (&whole.step_executions, &whole.adaptive_adjustments).hash(&mut steps);
        let message_clipped = clip(&mut record.error_message);
        let known = self.known.as_ref();
        let recorded = known.and_then(|known| recorded(&self.observed.state, known));
        let is_closed = known.is_some_and(|known| known.tracked == Some(TrackedState::Closed));
        let place = Place {
            created_at: Reverse(record.created_at),
            // Where it was recorded before that log was succeeded.
            log: recorded.map_or_else(|| board.log(), |it| &it.receipt.log).to_owned(),
            id: record.id.clone(),
            attempt: record.attempt,
        };
        let execution = LiveExecution {
            place,
            record,
            message_clipped,
            steps: steps.finish(),
            ended: matches!(self.observed.state, State::Ended(_)),
            phase: self.observed.phase.clone(),
            recorded: recorded.and_then(|it| {
                Some(RecordedAs { revision: it.receipt.revision?, recorded_at: it.receipt.recorded_at })
            }),
            review_until: recorded
                .filter(|_| !is_closed)
                .map(|recorded| review_until(&self.observed, recorded, self.executor.policy)),
            held: known.is_some_and(|known| known.held),
        };
        board.see(execution, Arc::new(whole));
    }

    /// What its record says; of what has not ended, what it would say now; of what cannot be mapped, what can be read.
    fn whole(&self) -> Option<WorkflowExecutionAudit> {
        let observed = &self.observed;
        let mut record = so_far(observed)?.clone();
        record.attempt = self.attempt();
        if !matches!(observed.state, State::Ended(_)) {
            // Were it to end now: these would change while nothing else does.
            (record.completed_at, record.total_duration) = (record.created_at, 0);
        }
        Some(record)
    }

    /// The attempt that is seen, as far as can be told without asking the database.
    fn attempt(&self) -> u32 {
        let observed = &self.observed;
        let number = |receipt: &Receipt| receipt.attempt.unwrap_or(1);
        if let Some(known) = self.known.as_ref().filter(|known| !known.recorded.is_empty()) {
            let last = known.recorded.iter().map(|it| number(&it.receipt)).max().unwrap_or_default();
            return known.attempt(observed.started_at).map_or(last + 1, |it| number(&it.receipt));
        }
        let receipt = observed.receipt.as_deref().and_then(|text| serde_json::from_str(text).ok());
        match (receipt, &observed.state) {
            (Some(Acknowledged { attempt }), State::Running) => attempt.saturating_add(1),
            (Some(Acknowledged { attempt }), _) => attempt,
            (None, _) => 1,
        }
    }
}

/// What its record says, ended or not; where it cannot be mapped, what can be read.
fn so_far(observed: &Observed) -> Option<&WorkflowExecutionAudit> {
    match &observed.state {
        State::Ended(record) => Some(record),
        State::Running | State::Unmappable(_) => observed.so_far.as_deref(),
    }
}

/// Looks at resources through the API server.
pub struct Cluster {
    /// Asks it.
    pub client: Client,
    /// Knows what may be shown.
    pub ingest: Ingest,
    /// What records call it.
    pub cluster: String,
    /// Tells the time.
    pub clock: SharedClock,
}

#[async_trait]
impl Look for Cluster {
    async fn look(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<Looked>, String> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &source::api_resource());
        let object = api.get_opt(name).await.map_err(|error| said(&error))?;
        let Some(mut object) = object.filter(|object| object.metadata.uid.as_deref() == Some(uid)) else {
            return Ok(None);
        };
        let observed = source::observe(&object, &self.cluster, self.clock.now());
        let record = so_far(&observed);
        object.metadata.managed_fields = None;
        let object = serde_json::to_value(&object).expect("an object is JSON");
        Ok(Some(Looked {
            steps: record.map(|record| record.step_executions.clone()).unwrap_or_default(),
            adjustments: record.map(|record| record.adaptive_adjustments.clone()).unwrap_or_default(),
            resource: self.ingest.redacted_object(object, uid),
        }))
    }
}
