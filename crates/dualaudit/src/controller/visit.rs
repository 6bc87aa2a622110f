//! One visit to one resource as a task: it always ends, and always says what came of it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use kube::core::DynamicObject;
use tokio::time::{Instant, sleep_until};

use super::execute::{Executor, Next, Trouble};
use crate::ingest::{Known, TrackedState, TrackingChange};

/// How long one visit may take.
const LONGEST_VISIT: Duration = Duration::from_secs(60);
/// How long visits may go on once dualaudit stops.
pub(super) const LAST_VISITS: Duration = Duration::from_secs(5);
/// By so much settling a resource that is gone ends before its visit has to, so that what is left of
/// it is still noted.
const TIME_TO_NOTE: Duration = Duration::from_secs(1);

/// Why somebody goes there.
pub(super) enum Errand {
    /// The watch showed this state of it.
    Seen(DynamicObject),
    /// The watch said that it is gone, and this was its last state.
    Gone(DynamicObject),
    /// It is time, or it changed: look at it afresh.
    Fetch { namespace: String, name: String },
}

/// A visit that ended.
pub(super) struct Done {
    pub(super) id: String,
    pub(super) result: Result<Next, Trouble>,
    pub(super) known: Option<Known>,
    /// The version of the state that was looked at; 0 when none was.
    pub(super) version: u64,
    /// Whether it ended and its record is still owed, or cannot be read back; `None` when nobody could
    /// look.
    pub(super) owed: Option<bool>,
    /// It is not there any more. With an error, what is left of it is tracked.
    pub(super) gone: bool,
    /// It came from a deadline and not from the watch.
    pub(super) was_due: bool,
}

impl Done {
    fn blind(id: String, known: Option<Known>, result: Result<Next, Trouble>) -> Self {
        Self { id, result, known, version: 0, owed: None, gone: false, was_due: false }
    }
}

/// Carries an errand out. Neither a defect met in one resource nor a server that does not answer
/// may stop the others; every step can be taken again, so a visit may end anywhere.
pub(super) async fn visit(
    executor: Arc<Executor>,
    id: String,
    errand: Errand,
    known: Option<Known>,
    overfull: bool,
) -> Done {
    let gone = matches!(errand, Errand::Gone(_));
    let was_due = matches!(errand, Errand::Fetch { .. });
    let work = AssertUnwindSafe(carry_out(&executor, id.clone(), errand, known, overfull)).catch_unwind();
    let trouble = tokio::select! {
        biased;
        done = work => match done {
            Ok(done) => return Done { was_due, ..done },
            Err(_) => "a defect of dualaudit: the visit panicked",
        },
        trouble = too_late(&executor, Duration::ZERO) => trouble,
    };
    Done { gone, was_due, ..Done::blind(id, None, Err(Trouble::Mismatch(trouble.to_owned()))) }
}

/// Comes so much `sooner` than a visit that began now has to be over, and says why.
async fn too_late(executor: &Executor, sooner: Duration) -> &'static str {
    let began = Instant::now();
    let mut stopping = executor.stopping.clone();
    let last = async {
        let end = stopping.wait_for(Option::is_some).await.ok().and_then(|end| *end);
        match end {
            Some(end) => sleep_until(end - sooner).await,
            // Whoever says when to stop is gone, and took the visits along.
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = sleep_until(began + LONGEST_VISIT - sooner) => "no answer within a minute",
        () = last => "no answer before dualaudit stopped",
    }
}

async fn carry_out(
    executor: &Executor,
    id: String,
    errand: Errand,
    known: Option<Known>,
    overfull: bool,
) -> Done {
    match errand {
        Errand::Seen(object) => look(executor, id, object, known, overfull).await,
        Errand::Gone(object) => farewell(executor, id, object).await,
        Errand::Fetch { namespace, name } => match executor.api(&namespace).get_opt(&name).await {
            Ok(Some(object)) if object.metadata.uid.as_ref() == Some(&id) => {
                look(executor, id, object, known, overfull).await
            }
            // The watch may have told its end already, and may not: what is tracked of it tells.
            Ok(_) => Done { gone: true, ..Done::blind(id, known, Ok(Next::Watch)) },
            Err(error) => Done::blind(id, known, Err(error.into())),
        },
    }
}

async fn look(
    executor: &Executor,
    id: String,
    object: DynamicObject,
    known: Option<Known>,
    overfull: bool,
) -> Done {
    let version = version_of(&object);
    let mut visitor = executor.visitor(object, known, overfull);
    visitor.show();
    let result = visitor.advance().await;
    visitor.show();
    let owed = result.is_err() && visitor.is_owed();
    let unproved = matches!(result, Err(Trouble::ReadBack { .. }));
    if owed {
        // Should it vanish before it can be recorded, this is what is left of it.
        visitor.track(TrackedState::Open);
    }
    // What failed may rest on what was believed: ask the store again.
    let known = if result.is_err() { None } else { visitor.known };
    Done { id, result, known, version, owed: Some(owed || unproved), gone: false, was_due: false }
}

/// The resource is gone, and this was its last state.
async fn farewell(executor: &Executor, id: String, object: DynamicObject) -> Done {
    let tracked = executor.visitor(object.clone(), None, false).tracked(TrackedState::Open);
    let result = tokio::select! {
        biased;
        settled = executor.settle(&tracked, Some(object)) => settled.map(|()| Next::Watch),
        trouble = too_late(executor, TIME_TO_NOTE) => Err(Trouble::Mismatch(trouble.to_owned())),
    };
    if result.is_err() {
        executor.ingest.track(TrackingChange::Seen(tracked));
    }
    Done { gone: true, ..Done::blind(id, None, result) }
}

/// The resource version as a number, by which Kubernetes orders the states of one resource since
/// 1.35; 0 when it is none.
pub(super) fn version_of(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
