//! Makes a plan happen on a cluster.
//!
//! Guarantees: at most `concurrency` requests or live executions at a time; every request is tried
//! again a bounded number of times while the API server is unreachable, overloaded or failing; when
//! told to stop, nothing new begins and what runs is cancelled.
//!
//! Status patches are merge patches without a resourceVersion: the finalizers and annotations that
//! others write meanwhile are no conflict.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::{Stream, StreamExt, TryStreamExt, stream};
use kube::Client;
use tokio::time::{Instant, Interval};
use tokio_util::sync::CancellationToken;

use super::{Execution, Plan, requests::Requests};
use crate::{
    clock::SharedClock,
    crd::{Phase, WorkflowExecutionStatus},
};

/// How a plan is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; created when it is missing.
    pub namespace: String,
    /// Executions begun a second ([`Mode::Live`]) or finished a second ([`Mode::Prepared`]); infinite
    /// for as fast as possible.
    pub rate: f64,
    /// How many times faster than real workflows.
    pub speedup: f64,
    /// The most at a time.
    pub concurrency: usize,
    /// What is being tried out.
    pub mode: Mode,
}

/// What is being tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each execution is created and runs through its phases as time passes.
    Live,
    /// All are created first, with the finalizer; then each finishes in a single status patch. Shows
    /// how fast finished executions are recorded, and nothing else.
    Prepared,
}

/// What just happened, for progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// One was created.
    Created,
    /// One ended in this phase.
    Ended(Phase),
    /// Somebody deleted one before it ended.
    Vanished,
}

/// What happened in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many were created.
    pub created: u64,
    /// How many ended, by phase.
    pub ended: BTreeMap<String, u64>,
    /// How many were deleted by somebody else before they ended.
    pub vanished: u64,
}

/// Why a simulation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The same plan ran here before.
    #[error(
        "{namespace}/{name} exists already: choose another --seed, or remove the former run's executions"
    )]
    Exists {
        /// Where.
        namespace: String,
        /// What.
        name: String,
    },
    /// The API server refused, or stayed away.
    #[error("cannot {what}: {error}")]
    Refused {
        /// What was tried.
        what: String,
        /// What it said.
        error: Box<kube::Error>,
    },
}

/// Runs a plan to its end, or until `stop`.
///
/// # Errors
/// The first request that failed for good. What was created stays.
pub async fn run(
    client: Client,
    plan: &Plan,
    options: &Options,
    clock: &SharedClock,
    stop: &CancellationToken,
    progress: &(dyn Fn(Event) + Send + Sync),
) -> Result<Summary, Error> {
    let requests = Requests::new(client, &options.namespace);
    requests.ensure_namespace().await?;
    let engine = Engine { requests, options, clock, stop, progress, summary: Mutex::default() };
    let engine = &engine;
    let at_once = options.concurrency.max(1);
    if options.mode == Mode::Prepared {
        let create = |execution| async move { engine.create(&execution).await };
        let all = paced(plan, f64::INFINITY, stop).map(create).buffer_unordered(at_once);
        all.try_collect::<()>().await?;
    }
    let drive = |execution| async move {
        match options.mode {
            Mode::Live => engine.live(&execution).await,
            Mode::Prepared => engine.finish(&execution).await,
        }
    };
    paced(plan, options.rate, stop).map(drive).buffer_unordered(at_once).try_collect::<()>().await?;
    Ok(engine.summary.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// The executions of a plan, `rate` a second, ending early at `stop`. What fell behind is caught up
/// on, so that a stall does not lower the load.
fn paced<'a>(
    plan: &'a Plan,
    rate: f64,
    stop: &'a CancellationToken,
) -> impl Stream<Item = Execution> + Send + 'a {
    let ticks =
        rate.is_finite().then(|| tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(1e-6))));
    stream::unfold((0, ticks), move |(n, mut ticks): (u64, Option<Interval>)| async move {
        if n == plan.count() {
            return None;
        }
        if let Some(ticks) = &mut ticks {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => {}
            }
        }
        (!stop.is_cancelled()).then(|| (plan.execution(n), (n + 1, ticks)))
    })
}

struct Engine<'a> {
    requests: Requests,
    options: &'a Options,
    clock: &'a SharedClock,
    stop: &'a CancellationToken,
    progress: &'a (dyn Fn(Event) + Send + Sync),
    summary: Mutex<Summary>,
}

impl Engine<'_> {
    async fn create(&self, execution: &Execution) -> Result<(), Error> {
        self.requests.create(execution, self.options.mode == Mode::Prepared).await?;
        self.note(Event::Created);
        Ok(())
    }

    /// Creates one and lets it run through its moments as time passes.
    async fn live(&self, execution: &Execution) -> Result<(), Error> {
        self.create(execution).await?;
        let created = Instant::now();
        let mut status = WorkflowExecutionStatus::default();
        for moment in execution.moments() {
            let due = created + moment.after.div_f64(self.options.speedup);
            let stopped = tokio::select! {
                () = tokio::time::sleep_until(due) => false,
                () = self.stop.cancelled() => true,
            };
            if stopped {
                execution.cancel(&mut status, "the engine was stopped", self.clock.now());
            } else {
                execution.advance(&mut status, moment, self.clock.now());
            }
            if !self.write(execution, &status).await? || stopped {
                break;
            }
        }
        Ok(())
    }

    /// Brings one to its end in a single patch.
    async fn finish(&self, execution: &Execution) -> Result<(), Error> {
        let length = execution.moments().last().map_or(Duration::ZERO, |moment| moment.after);
        let micros = length.div_f64(self.options.speedup).as_micros() as i64;
        let now = self.clock.now();
        let status = execution.finished_status(now.saturating_add_micros(-micros), now);
        self.write(execution, &status).await.map(drop)
    }

    /// Writes a status; false when somebody deleted the execution meanwhile.
    async fn write(&self, execution: &Execution, status: &WorkflowExecutionStatus) -> Result<bool, Error> {
        let there = self.requests.write_status(execution, status).await?;
        if !there {
            self.note(Event::Vanished);
        } else if status.completion_time.is_some() {
            status.phase.into_iter().for_each(|phase| self.note(Event::Ended(phase)));
        }
        Ok(there)
    }

    fn note(&self, event: Event) {
        let mut summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Created => summary.created += 1,
            Event::Vanished => summary.vanished += 1,
            Event::Ended(phase) => *summary.ended.entry(format!("{phase:?}")).or_default() += 1,
        }
        drop(summary);
        (self.progress)(event);
    }
}
