//! Runs the life of every resource: takes events and deadlines, sends visits, minds their number.
//!
//! One visit at a time for each resource, at most `concurrency` in all; the watch is only read
//! while there is room for another, so memory is bounded and an installation with 100,000 existing
//! resources is taken in at the pace of the API server.

use std::{
    collections::HashSet, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration,
};

use dualaudit_record::Time;
use futures::{FutureExt, StreamExt, TryStreamExt};
use kube::{
    Api, Client,
    core::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{task::JoinSet, time::sleep};

use super::{
    Ledger, Policy,
    execute::{Executor, Next, Trouble},
    live::{Live, News, Visit},
    notice::{Notice, Notices},
    said::watch_said,
};
use crate::{
    clock::SharedClock,
    ingest::{Ingest, Known, StoreError, Tracked, TrackedState},
    metrics::Metrics,
    source,
};

/// The longest wait between two tries.
const MOST_BACKOFF: Duration = Duration::from_secs(30);
/// How often deadlines are looked at even if none is near: a clock may be set.
const TICK: Duration = Duration::from_secs(10);
/// How often the ledger and the tracked executions are looked through after something went wrong.
const SWEEP: Duration = Duration::from_secs(15);
/// How long one visit may take.
const LONGEST_VISIT: Duration = Duration::from_secs(60);
/// Failed visits after which an execution is said to be blocked.
const BLOCKED_AFTER: u32 = 3;

/// What the operator has set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Window and clean-up.
    pub policy: Policy,
    /// The most finished executions kept in the cluster; beyond it the oldest leave early.
    pub max_retained: Option<usize>,
    /// Visits at once.
    pub concurrency: usize,
    /// The log's name, which goes into records as `cluster`.
    pub cluster: String,
    /// Watch this namespace only.
    pub watch_namespace: Option<String>,
    /// dualaudit's own namespace.
    pub home: String,
}

/// The controller of one cluster.
pub struct Controller {
    executor: Arc<Executor>,
    options: Options,
    metrics: Arc<Metrics>,
    live: Live,
    visits: JoinSet<Done>,
    /// Looks through what is tracked, or through the ledger; one at a time.
    chores: JoinSet<Result<(), Trouble>>,
    /// Since when a sweep is owed.
    sweep_owed: bool,
    drain_owed: bool,
    /// The first listing is through: what is not live now is gone.
    listed: bool,
    dice: u64,
}

/// A visit that ended.
struct Done {
    id: String,
    result: Result<Next, Trouble>,
    known: Option<Known>,
    version: u64,
    retained_since: Option<Time>,
    /// It ended and its record is still owed.
    owed: bool,
    gone: bool,
}

impl Controller {
    /// A controller that records through `ingest`.
    pub fn new(
        client: Client,
        ingest: Ingest,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        options: Options,
    ) -> Self {
        let executor = Executor {
            ledger: Arc::new(Ledger::new(client.clone(), &options.home)),
            notices: Notices::new(client.clone()),
            kind: source::api_resource(),
            ingest,
            clock,
            metrics: Arc::clone(&metrics),
            cluster: options.cluster.clone(),
            home: options.home.clone(),
            policy: options.policy,
            client,
        };
        Self {
            executor: Arc::new(executor),
            options,
            metrics,
            live: Live::default(),
            visits: JoinSet::new(),
            chores: JoinSet::new(),
            sweep_owed: false,
            drain_owed: true,
            listed: false,
            dice: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Runs until `stop`, then lets the visits under way finish.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let executor = Arc::clone(&self.executor);
        let client = executor.client.clone();
        let api: Api<DynamicObject> = match &self.options.watch_namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &executor.kind),
            None => Api::all_with(client, &executor.kind),
        };
        let events = watcher(api, watcher::Config::default().page_size(500))
            .inspect_err(|error| tracing::warn!(error = %watch_said(error), "watching failed; trying again"))
            .default_backoff();
        let mut events = pin!(events);
        let mut stop = pin!(stop);
        let mut chores = tokio::time::interval(SWEEP);
        loop {
            let has_room = self.visits.len() < self.options.concurrency;
            let wait = self.until_due();
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(done) = self.visits.join_next() => self.finish(done.expect("visits are caught")),
                Some(done) = self.chores.join_next() => self.finish_chore(done.expect("a chore does not panic")),
                _ = chores.tick() => {
                    // The command line writes to the ledger too.
                    self.drain_owed = true;
                    self.start_chores();
                }
                () = sleep(wait), if has_room => self.start_due(),
                event = events.next(), if has_room => match event {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(_)) => {}
                    None => break,
                },
            }
        }
        while let Some(done) = self.visits.join_next().await {
            self.finish(done.expect("visits are caught"));
        }
        self.executor.ingest.flush_tracking().await;
    }

    fn take(&mut self, event: watcher::Event<DynamicObject>) {
        use watcher::Event;
        match event {
            Event::Init => self.live.listing += 1,
            Event::InitApply(object) => self.hear(News::Seen(object), true),
            Event::Apply(object) => self.hear(News::Seen(object), false),
            Event::Delete(object) => self.hear(News::Gone(object), false),
            Event::InitDone => {
                self.live.forget_unlisted();
                self.listed = true;
                self.sweep_owed = true;
                self.start_chores();
            }
        }
        self.metrics.live.set(self.live.len() as i64);
    }

    /// News of one resource: a visit now, or after the one under way.
    fn hear(&mut self, news: News, is_listed: bool) {
        let (News::Seen(object) | News::Gone(object)) = &news;
        let metadata = &object.metadata;
        let Some(id) = metadata.uid.clone() else { return };
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        let version = version_of(object);
        let listing = self.live.listing;
        let summary = self.live.get_or_insert(&id, namespace, name);
        summary.listing = listing;
        // Older news of a state that was already looked at. A listing is believed whatever it says:
        // a restored etcd goes back in time.
        if matches!(news, News::Seen(_)) && !is_listed && version != 0 && version <= summary.version {
            return;
        }
        if let Visit::Busy(waiting) = &mut summary.visit {
            *waiting = Some(Box::new(news));
            return;
        }
        self.visit(id, Some(news));
    }

    /// Sends a visit; without news it fetches the resource first.
    fn visit(&mut self, id: String, news: Option<News>) {
        let Some(summary) = self.live.get(&id) else { return };
        summary.visit = Visit::Busy(None);
        let known = summary.known.take();
        let overfull = summary.overfull;
        let (namespace, name) = (summary.namespace.clone(), summary.name.clone());
        self.live.set_due(&id, None);
        let executor = Arc::clone(&self.executor);
        let uid = id.clone();
        let visit = async move {
            match news {
                Some(News::Seen(object)) => visit(&executor, uid, object, known, overfull).await,
                Some(News::Gone(object)) => farewell(&executor, uid, object).await,
                None => match executor.api(&namespace).get_opt(&name).await {
                    Ok(Some(object)) if object.metadata.uid.as_ref() == Some(&uid) => {
                        visit(&executor, uid, object, known, overfull).await
                    }
                    // Its deletion is, or will be, told by the watch.
                    Ok(_) => Done::quiet(uid, known, Ok(Next::Watch)),
                    Err(error) => Done::quiet(uid, known, Err(error.into())),
                },
            }
        };
        // Neither a defect met in one resource nor a server that does not answer may stop the
        // others. Every step can be taken again, so a visit may end anywhere.
        let visit = tokio::time::timeout(LONGEST_VISIT, AssertUnwindSafe(visit).catch_unwind());
        self.visits.spawn(visit.map(move |done| {
            let trouble = match done {
                Ok(Ok(done)) => return done,
                Ok(Err(_)) => "a defect of dualaudit: the visit panicked".to_owned(),
                Err(_) => format!("no answer within {LONGEST_VISIT:?}"),
            };
            Done::quiet(id, None, Err(Trouble::Mismatch(trouble)))
        }));
    }

    fn finish(&mut self, done: Done) {
        if self.executor.ledger.take_written() {
            self.drain_owed = true;
            self.start_chores();
        }
        let now = self.executor.clock.now();
        let Some(summary) = self.live.get(&done.id) else { return };
        let waiting = match std::mem::take(&mut summary.visit) {
            Visit::Busy(waiting) => waiting,
            Visit::Idle => None,
        };
        summary.known = done.known;
        summary.version = summary.version.max(done.version);
        if done.gone && waiting.is_none() {
            if done.result.is_err() {
                self.sweep_owed = true;
            }
            self.live.remove(&done.id);
            return;
        }
        let next = match done.result {
            Ok(next) => {
                summary.failures = 0;
                summary.blocked_since = None;
                summary.overfull = false;
                next
            }
            Err(trouble) => {
                summary.failures += 1;
                if done.owed {
                    summary.blocked_since.get_or_insert(now);
                }
                let failures = summary.failures;
                self.lament(&done.id, failures, done.owed, &trouble);
                Next::At(now.saturating_add_micros(self.backoff(failures)))
            }
        };
        self.live.set_retained(&done.id, done.retained_since);
        if let Some(news) = waiting {
            // Stale news of what this visit already saw is dropped, as in `hear`.
            let stale = match &*news {
                News::Seen(object) => {
                    let version = version_of(object);
                    version != 0 && self.live.get(&done.id).is_some_and(|summary| version <= summary.version)
                }
                News::Gone(_) => false,
            };
            if !stale {
                return self.visit(done.id, Some(*news));
            }
        }
        match next {
            Next::Watch => self.live.set_due(&done.id, None),
            Next::At(due) => self.live.set_due(&done.id, Some(due)),
            Next::Refetch => self.live.set_due(&done.id, Some(now)),
        }
        if let Some(most) = self.options.max_retained {
            self.live.shed(most, now);
        }
        self.metrics.retained.set(self.live.retained() as i64);
    }

    /// One clear line for trouble, and an event once it lasts.
    fn lament(&mut self, id: &str, failures: u32, owed: bool, trouble: &Trouble) {
        let Some(summary) = self.live.get(id) else { return };
        let target = super::execute::Target {
            id: id.to_owned(),
            namespace: summary.namespace.clone(),
            name: summary.name.clone(),
        };
        tracing::debug!(namespace = %target.namespace, name = %target.name, failures, %trouble, "a visit failed");
        if failures != BLOCKED_AFTER {
            return;
        }
        if owed || matches!(trouble, Trouble::Store(StoreError::Corrupt(_)) | Trouble::Mismatch(_)) {
            let note = format!("it cannot be recorded yet, and stays until it is: {trouble}");
            self.executor.notices.publish(&target, Notice::Blocked, &note, None);
        }
    }

    /// Microseconds to wait before the next try: doubling, with jitter, so that what failed
    /// together does not come back together.
    fn backoff(&mut self, failures: u32) -> i64 {
        let whole = Duration::from_millis(100).saturating_mul(1 << failures.min(10)).min(MOST_BACKOFF);
        // splitmix64: spread, not secrecy.
        self.dice = self.dice.wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31).wrapping_add(1);
        let micros = i64::try_from(whole.as_micros()).expect("at most 30 s");
        micros / 2 + i64::try_from(self.dice % 1_000_000).expect("below a million") * (micros / 2) / 1_000_000
    }

    fn until_due(&self) -> Duration {
        let Some(due) = self.live.next_due() else { return TICK };
        let micros = due.micros_since(self.executor.clock.now()).max(0);
        Duration::from_micros(micros.unsigned_abs()).min(TICK)
    }

    fn start_due(&mut self) {
        let now = self.executor.clock.now();
        while self.visits.len() < self.options.concurrency
            && let Some(id) = self.live.take_due(now)
        {
            if self.live.get(&id).is_some_and(|summary| matches!(summary.visit, Visit::Idle)) {
                self.visit(id, None);
            }
        }
    }

    /// Starts what is owed and cannot run twice at once. Also where the gauges of lasting trouble
    /// are set.
    fn start_chores(&mut self) {
        let now = self.executor.clock.now();
        let blocked = self.live.summaries().filter_map(|summary| summary.blocked_since);
        let (count, oldest) = blocked.fold((0, now), |(count, oldest), since| (count + 1, oldest.min(since)));
        self.metrics.blocked.set(count);
        self.metrics.blocked_oldest_seconds.set(now.micros_since(oldest) / 1_000_000);
        if !self.chores.is_empty() {
            return;
        }
        let executor = Arc::clone(&self.executor);
        if std::mem::take(&mut self.drain_owed) {
            self.chores.spawn(executor.drain_ledger());
        } else if self.sweep_owed && self.listed {
            self.sweep_owed = false;
            let live: HashSet<_> = self.live.ids().cloned().collect();
            self.chores.spawn(executor.sweep(live));
        }
    }

    fn finish_chore(&mut self, result: Result<(), Trouble>) {
        match result {
            Ok(()) => self.start_chores(),
            Err(trouble) => {
                tracing::warn!(%trouble, "looking for lost executions failed; trying again");
                self.sweep_owed = true;
                self.drain_owed = true;
            }
        }
    }
}

impl Done {
    /// A visit that saw nothing.
    fn quiet(id: String, known: Option<Known>, result: Result<Next, Trouble>) -> Self {
        Self { id, result, known, version: 0, retained_since: None, owed: false, gone: false }
    }
}

async fn visit(
    executor: &Executor,
    id: String,
    object: DynamicObject,
    known: Option<Known>,
    overfull: bool,
) -> Done {
    let version = version_of(&object);
    let mut visitor = executor.visitor(object, known, overfull);
    let result = visitor.advance().await;
    let owed = result.is_err() && visitor.is_blocked();
    if owed {
        // Should it vanish before it can be recorded, this is what is left of it.
        visitor.track(TrackedState::Open);
    }
    let retained_since = visitor.retained_since();
    // What failed may rest on what was believed: ask the store again.
    let known = if result.is_err() { None } else { visitor.known };
    Done { id, result, known, version, retained_since, owed, gone: false }
}

/// The resource is gone, and this was its last state.
async fn farewell(executor: &Executor, id: String, object: DynamicObject) -> Done {
    let tracked: Tracked = executor.visitor(object.clone(), None, false).tracked(TrackedState::Open);
    let result = executor.settle(&tracked, Some(object)).await;
    if result.is_err() {
        executor.ingest.track(crate::ingest::TrackingChange::Seen(tracked));
    }
    Done { gone: true, ..Done::quiet(id, None, result.map(|()| Next::Watch)) }
}

/// The resource version as a number, by which Kubernetes orders the states of one resource since
/// 1.35; 0 when it is none.
fn version_of(object: &DynamicObject) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
