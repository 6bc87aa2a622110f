//! Carries out one step on one resource. The only place of the controller that writes.

use std::{sync::Arc, time::Duration};

use dualaudit_record::{Time, digest::Digest};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    Ledger, Policy,
    decide::{Situation, Step, decide, is_quarantined, is_recorded, recorded},
    notice::{Notice, Notices},
    receipt_annotation, said,
    vouch::Vouching,
};
use crate::{
    clock::SharedClock,
    ingest::{
        Answer, DraftContent, Ingest, Known, Receipt, Recorded, Running, RunningAttempt, StoreError, Tracked,
        TrackedState, TrackingChange,
    },
    live::Board,
    metrics::Metrics,
    source::{self, FINALIZER, Observed, State, annotation},
};

mod leave;
mod written;

/// Who changed it, in `metadata.managedFields`.
pub(super) const FIELD_MANAGER: &str = "dualaudit";
/// More steps than any resource needs in one visit; beyond it something turns in a circle.
const MOST_STEPS: usize = 12;
/// The actor where nothing vouches for a name.
pub(super) const UNVERIFIED: &str = "unverified";
/// How long break glass waits for the database before it does without.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Target {
    pub(super) fn of(observed: &Observed) -> Self {
        Self { id: observed.id.clone(), namespace: observed.namespace.clone(), name: observed.name.clone() }
    }

    pub(super) fn reference(&self) -> ObjectReference {
        let kind = source::api_resource();
        ObjectReference {
            api_version: Some(kind.api_version),
            kind: Some(kind.kind),
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            uid: Some(self.id.clone()),
            ..ObjectReference::default()
        }
    }
}

/// What came of a visit.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing to do until it changes.
    Watch,
    /// Look again then.
    At(Time),
    /// It waits for nothing but its window, which began at `since`.
    Review { since: Time, until: Time },
    /// It changed under our hands: look again at once, afresh.
    Refetch,
}

/// Why a visit failed. All of it is tried again, with backoff.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the API server: {}", said(.0))]
    Api(#[from] kube::Error),
    #[error("the record of {id} attempt {attempt} was read back: {problem}")]
    ReadBack { id: String, attempt: u32, problem: &'static str },
    #[error("{0}")]
    Mismatch(String),
}

/// Everything a visit needs. Shared by all visits.
pub(super) struct Executor {
    pub(super) client: Client,
    pub(super) kind: ApiResource,
    pub(super) ingest: Ingest,
    pub(super) board: Arc<Board>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) notices: Notices,
    pub(super) vouching: Vouching,
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) cluster: String,
    /// dualaudit's own namespace.
    pub(super) home: String,
    pub(super) policy: Policy,
    /// When visits have to be over, once dualaudit stops.
    pub(super) stopping: watch::Receiver<Option<Instant>>,
}

/// One visit to one resource: decide, act, decide again, until there is nothing to do.
pub(super) struct Visitor<'a> {
    pub(super) executor: &'a Executor,
    object: DynamicObject,
    pub(super) observed: Observed,
    digest: Option<Digest>,
    pub(super) known: Option<Known>,
    overfull: bool,
}

impl Executor {
    pub(super) fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.kind)
    }

    pub(super) fn visitor(&self, object: DynamicObject, known: Option<Known>, overfull: bool) -> Visitor<'_> {
        let observed = source::observe(&object, &self.cluster, self.clock.now());
        let digest = self.state_digest(&object, &observed);
        Visitor { executor: self, object, observed, digest, known, overfull }
    }

    /// What "nothing new" is judged by.
    fn state_digest(&self, object: &DynamicObject, observed: &Observed) -> Option<Digest> {
        match &observed.state {
            State::Running => None,
            State::Ended(record) => Some(self.ingest.content_digest(record)),
            State::Unmappable(_) => {
                let state = self.ingest.redacted(source::unmarked(object), &observed.id);
                Some(Digest::sha256(state.as_bytes()))
            }
        }
    }
}

impl Visitor<'_> {
    /// Takes the resource as far as it goes now.
    pub(super) async fn advance(&mut self) -> Result<Next, Trouble> {
        self.track_if_running();
        self.complain_about_annotations();
        for _ in 0..MOST_STEPS {
            let now = self.executor.clock.now();
            let situation = Situation {
                observed: &self.observed,
                digest: self.digest,
                known: self.known.as_ref(),
                overfull: self.overfull,
            };
            let next = match decide(situation, self.executor.policy, now) {
                Step::Watch => Some(Next::Watch),
                Step::WaitUntil(until) => Some(self.waiting(until)),
                Step::Consult => self.consult().await?,
                Step::Protect => self.patch_metadata(json!({}), Protection::On).await?,
                Step::Record => self.record().await?,
                Step::Quarantine(reason) => self.quarantine(&reason).await?,
                Step::PlaceHold(reason) => self.place_hold(reason).await?,
                Step::Review(judged) => self.review(judged).await?,
                Step::Extend(until) => self.extend(until).await?,
                Step::Acknowledge { protect } => self.acknowledge(protect).await?,
                Step::Release(cleanup) => self.release(cleanup).await?,
                Step::LetGo => self.let_go().await?,
                Step::BreakGlass(reason) => self.break_glass(reason).await?,
            };
            if let Some(next) = next {
                return Ok(next);
            }
        }
        Err(Trouble::Mismatch(format!("{MOST_STEPS} steps did not settle it")))
    }

    fn waiting(&self, until: Time) -> Next {
        match self.recorded() {
            Some(recorded) => Next::Review { since: recorded.first_recorded_at, until },
            None => Next::At(until),
        }
    }

    fn recorded(&self) -> Option<&Recorded> {
        recorded(&self.observed.state, self.known.as_ref()?)
    }

    pub(super) fn target(&self) -> Target {
        Target::of(&self.observed)
    }

    /// Whether it ended, or cannot be mapped, and that is not in the log yet as far as we know.
    pub(super) fn is_owed(&self) -> bool {
        let known = self.known.as_ref();
        match &self.observed.state {
            State::Running => false,
            State::Ended(record) => !known.is_some_and(|known| is_recorded(record, self.digest, known)),
            State::Unmappable(_) => !known.is_some_and(|known| is_quarantined(self.digest, known)),
        }
    }

    /// The row by which it is remembered, should it vanish.
    pub(super) fn tracked(&self, state: TrackedState) -> Tracked {
        let object = source::unmarked(&self.object);
        let now = self.executor.clock.now();
        let run = self.observed.run.clone().filter(|_| state == TrackedState::Open);
        Tracked {
            id: self.observed.id.clone(),
            namespace: self.observed.namespace.clone(),
            name: self.observed.name.clone(),
            phase: self.observed.phase.clone(),
            started_at: self.observed.started_at,
            last_state: self.executor.ingest.redacted(object, &self.observed.id),
            last_seen_at: now,
            state,
            running: run.map(|run| {
                Box::new(Running {
                    workflow: run.workflow,
                    version: run.version,
                    incident_type: run.incident_type,
                    target_kind: run.target_kind,
                    since: run.since.unwrap_or(now),
                })
            }),
        }
    }

    pub(super) fn track(&self, state: TrackedState) {
        self.executor.ingest.track(TrackingChange::Seen(self.tracked(state)));
    }

    fn track_if_running(&mut self) {
        if matches!(self.observed.state, State::Running) && self.observed.release_unrecorded.is_none() {
            self.track(TrackedState::Open);
            self.know_that_it_runs();
        }
    }

    /// The store is told so with the next append, and may not know it yet.
    fn know_that_it_runs(&mut self) {
        if let (State::Running, Some(known)) = (&self.observed.state, &mut self.known) {
            known.running = Some(RunningAttempt { started_at: self.observed.started_at });
        }
    }

    async fn consult(&mut self) -> Result<Option<Next>, Trouble> {
        let judged = self.known.take().and_then(|known| known.judged);
        self.known = self.executor.ingest.known(std::slice::from_ref(&self.observed.id)).await?.pop();
        if let Some(known) = &mut self.known {
            known.judged = judged;
        }
        self.know_that_it_runs();
        Ok(None)
    }

    /// Appends the record. What the database refuses for good is quarantined with its reason.
    async fn record(&mut self) -> Result<Option<Next>, Trouble> {
        let State::Ended(record) = &self.observed.state else { return Ok(Some(Next::Watch)) };
        let started_at = record.started_at;
        let object = serde_json::to_value(&self.object).expect("an object is JSON");
        let draft = self.executor.ingest.from_resource((**record).clone(), object);
        match self.executor.ingest.submit(draft).await {
            Ok(Answer::Stored(receipt)) => self.note_recorded(receipt, started_at).await,
            Ok(Answer::Refused(_) | Answer::Accounted) => self.consult().await,
            Err(StoreError::Rejected(reason)) => {
                self.observed.state = State::Unmappable(format!("the database refuses its record: {reason}"));
                self.digest = self.executor.state_digest(&self.object, &self.observed);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers a receipt. The window starts with the first revision, which a later one's receipt
    /// does not tell.
    async fn note_recorded(
        &mut self,
        receipt: Receipt,
        started_at: Option<Time>,
    ) -> Result<Option<Next>, Trouble> {
        if receipt.revision != Some(1) {
            return self.consult().await;
        }
        let first_recorded_at = receipt.recorded_at;
        let content_digest = self.digest;
        let recorded =
            Recorded { receipt, content_digest, started_at, first_recorded_at, extended_until: None };
        let known = self.known.get_or_insert_default();
        if known.may_run(started_at) {
            known.running = None;
        }
        known.recorded.retain(|before| before.started_at != started_at);
        known.recorded.push(recorded);
        // A new attempt of a retained resource starts at the beginning.
        known.tracked = known.tracked.map(|_| TrackedState::Open);
        Ok(None)
    }

    async fn quarantine(&mut self, reason: &str) -> Result<Option<Next>, Trouble> {
        let observed = &self.observed;
        let draft = self.executor.ingest.quarantine(
            &observed.id,
            &observed.namespace,
            &observed.name,
            reason,
            source::unmarked(&self.object),
        );
        let DraftContent::Quarantine { entry, .. } = &draft else { unreachable!("it is a quarantine") };
        let digest = entry.source_digest;
        if let Answer::Stored(receipt) = self.executor.ingest.submit(draft).await? {
            let known = self.known.get_or_insert_default();
            known.quarantined = Some((digest, receipt.recorded_at));
            self.executor.notices.publish(&self.target(), Notice::Quarantined, reason, None);
        }
        Ok(None)
    }

    async fn acknowledge(&mut self, protect: bool) -> Result<Option<Next>, Trouble> {
        let Some(recorded) = self.recorded() else { return self.consult().await };
        let annotations = json!({
            annotation::RECEIPT: receipt_annotation(&recorded.receipt),
            annotation::RECORDED_AT: recorded.first_recorded_at.to_string(),
        });
        let protection = if protect { Protection::On } else { Protection::Unchanged };
        let patched = self.patch_metadata(json!({ "annotations": annotations }), protection).await?;
        if patched.is_none() {
            self.executor.metrics.receipts.inc();
        }
        Ok(patched)
    }

    /// One metadata patch. Annotations carry the uid, so that a busy engine cannot starve them; the
    /// finalizer also carries the version it was seen at, and only ours is touched.
    async fn patch_metadata(
        &mut self,
        mut metadata: Value,
        protection: Protection,
    ) -> Result<Option<Next>, Trouble> {
        metadata["uid"] = json!(self.observed.id);
        let mut finalizers = self.observed.finalizers.clone();
        match protection {
            Protection::Unchanged => {}
            Protection::On => finalizers.push(FINALIZER.to_owned()),
            Protection::Off => finalizers.retain(|name| name != FINALIZER),
        }
        let is_exclusive = finalizers != self.observed.finalizers;
        if is_exclusive {
            metadata["resourceVersion"] = json!(self.observed.resource_version);
            metadata["finalizers"] = json!(finalizers);
        }
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let api = self.executor.api(&self.observed.namespace);
        match api.patch_metadata(&self.observed.name, &PatchParams::apply(FIELD_MANAGER), &patch).await {
            Ok(patched) if is_exclusive => {
                self.take_metadata(patched.metadata);
                Ok((protection == Protection::Off).then_some(Next::Watch))
            }
            Ok(patched) => {
                // Others may have written between our read and this patch. The version stays that of
                // what was looked at, so that nothing irrevocable rests on what was not.
                self.take_receipt(&patched.metadata);
                Ok((protection == Protection::Off).then_some(Next::Watch))
            }
            Err(error) => unless_changed(error),
        }
    }

    /// Takes over the metadata after a write that carried the version: nobody else wrote in between.
    fn take_metadata(&mut self, metadata: ObjectMeta) {
        self.take_receipt(&metadata);
        self.observed.finalizers = metadata.finalizers.unwrap_or_default();
        self.observed.resource_version = metadata.resource_version.unwrap_or_default();
    }

    fn take_receipt(&mut self, metadata: &ObjectMeta) {
        self.observed.receipt =
            metadata.annotations.as_ref().and_then(|all| all.get(annotation::RECEIPT).cloned());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    Unchanged,
    On,
    Off,
}

/// A conflict means that somebody changed it, and not found that it went: both are news, not
/// trouble, and the news may still be on its way.
fn unless_changed(error: kube::Error) -> Result<Option<Next>, Trouble> {
    match &error {
        kube::Error::Api(status) if status.is_conflict() => Ok(Some(Next::Refetch)),
        kube::Error::Api(status) if status.is_not_found() => Ok(Some(Next::Watch)),
        _ => Err(error.into()),
    }
}
