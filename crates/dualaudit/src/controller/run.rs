//! Runs the life of every resource: takes events and deadlines, sends visits, minds their number.
//!
//! One visit at a time for each resource, at most `concurrency` in all; the watch is only read
//! while there is room for another, so memory is bounded and an installation with 100,000 existing
//! resources is taken in at the pace of the API server.

mod chores;

use std::{collections::HashSet, future::Future, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use kube::{
    Api, Client,
    core::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use super::{
    Ledger, Policy,
    execute::{Executor, Next, Target, Trouble},
    live::{Live, Visit},
    notice::{Notice, Notices},
    said::watch_said,
    visit::{Done, Errand, LAST_VISITS, version_of, visit},
    vouch::Vouching,
};
use crate::{
    clock::SharedClock,
    ingest::Ingest,
    live::{Board, Sight},
    metrics::Metrics,
    source,
};

use chores::Look;

/// The longest wait between two tries.
const MOST_BACKOFF: Duration = Duration::from_secs(30);
/// How often deadlines are looked at even if none is near: a clock may be set.
const TICK: Duration = Duration::from_secs(10);
/// How often the ledger is looked through, what is tracked where that is owed, and whether the
/// cluster's state went back in time.
const CHORES: Duration = Duration::from_secs(15);
/// How often everything is listed anew: what no event told is found by then.
const RELIST: Duration = Duration::from_secs(3600);
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
    /// For the watch, which may be silent for minutes.
    watch_client: Client,
    options: Options,
    metrics: Arc<Metrics>,
    live: Live,
    visits: JoinSet<Done>,
    /// Visits under way that came from a deadline; they leave room for those that the watch sends.
    due_visits: usize,
    /// Looks through what is tracked for what vanished.
    sweep: JoinSet<Result<(), Trouble>>,
    sweep_owed: bool,
    /// Turns the break-glass ledger into gaps.
    drain: JoinSet<Result<(), Trouble>>,
    /// Looks whether the cluster's state went back in time.
    look: JoinSet<Option<Look>>,
    /// Looks whether the policy is in force by which stamps are believed.
    checking: JoinSet<()>,
    /// The newest version of it that was seen.
    newest: u64,
    /// Tells the visits by when they have to be over.
    stopping: watch::Sender<Option<Instant>>,
    /// The present listing is through: what it did not show is gone.
    listed: bool,
    /// Those of it whose visit was under way when it was through: what is known of them is on the board after that.
    unshown: HashSet<String>,
    dice: u64,
}

impl Controller {
    /// A controller that records through `ingest`, and shows on `board` what is live. `watch_client` may wait for
    /// minutes, `client` gives up sooner.
    pub fn new(
        client: Client,
        watch_client: Client,
        ingest: Ingest,
        board: Arc<Board>,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        options: Options,
    ) -> Self {
        let stopping = watch::Sender::new(None);
        let executor = Executor {
            stopping: stopping.subscribe(),
            ledger: Arc::new(Ledger::new(client.clone(), &options.home)),
            notices: Notices::new(client.clone()),
            vouching: Vouching::new(client.clone()),
            kind: source::api_resource(),
            ingest,
            board,
            clock,
            metrics: Arc::clone(&metrics),
            cluster: options.cluster.clone(),
            home: options.home.clone(),
            policy: options.policy,
            client,
        };
        Self {
            executor: Arc::new(executor),
            watch_client,
            options,
            metrics,
            live: Live::default(),
            visits: JoinSet::new(),
            due_visits: 0,
            sweep: JoinSet::new(),
            sweep_owed: false,
            drain: JoinSet::new(),
            look: JoinSet::new(),
            checking: JoinSet::new(),
            newest: 0,
            stopping,
            listed: false,
            unshown: HashSet::new(),
            dice: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Runs until `stop`, then lets the visits under way finish, for a while: whatever is cut short
    /// can be taken up by the next start, by the resource or by what is tracked of it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let executor = Arc::clone(&self.executor);
        let mut events = self.watch();
        let mut stop = pin!(stop);
        let mut chores = tokio::time::interval(CHORES);
        chores.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut relist = interval_at(Instant::now() + RELIST, RELIST);
        loop {
            let has_room = self.visits.len() < self.options.concurrency;
            let has_room_for_due = self.has_room_for_due();
            let wait = self.until_due();
            tokio::select! {
                () = &mut stop => break,
                Some(done) = self.visits.join_next() => self.finish(done.expect("visits are caught")),
                Some(done) = self.sweep.join_next() => self.finish_sweep(done),
                Some(done) = self.drain.join_next() => self.finish_drain(done),
                Some(look) = self.look.join_next() => if self.finish_look(look) {
                    events = self.watch();
                },
                Some(_) = self.checking.join_next() => {},
                _ = chores.tick() => self.start_chores(),
                _ = relist.tick() => events = self.watch(),
                () = sleep(wait), if has_room_for_due => self.start_due(),
                id = executor.board.stale(), if has_room_for_due => self.refresh(id),
                event = events.next(), if has_room => match event {
                    Some(Ok(event)) => self.take(event),
                    Some(Err(_)) => self.executor.board.set_sight(Sight::Lost),
                    None => break,
                },
            }
        }
        self.stopping.send_replace(Some(Instant::now() + LAST_VISITS));
        while let Some(done) = self.visits.join_next().await {
            self.finish(done.expect("visits are caught"));
        }
        if !self.executor.ingest.flush_tracking().await {
            tracing::error!(
                "the database does not take what was seen last; what vanishes before the next start is known by \
                 an earlier state, or not at all"
            );
        }
    }

    fn watch(&self) -> BoxStream<'static, watcher::Result<watcher::Event<DynamicObject>>> {
        watcher(self.watched(&self.watch_client), watcher::Config::default().page_size(500))
            .inspect_err(|error| tracing::warn!(error = %watch_said(error), "watching failed; trying again"))
            .default_backoff()
            .boxed()
    }

    /// The executions that are watched.
    fn watched(&self, client: &Client) -> Api<DynamicObject> {
        let (client, kind) = (client.clone(), &self.executor.kind);
        match &self.options.watch_namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, kind),
            None => Api::all_with(client, kind),
        }
    }

    fn take(&mut self, event: watcher::Event<DynamicObject>) {
        use watcher::Event;
        match event {
            Event::Init => {
                self.live.listing += 1;
                self.listed = false;
            }
            Event::InitApply(object) => self.see(object, true),
            Event::Apply(object) => self.see(object, false),
            Event::Delete(object) => {
                let Some(id) = self.meet(&object) else { return };
                self.send(id, Errand::Gone(object));
            }
            Event::InitDone => {
                for id in self.live.forget_unlisted() {
                    self.executor.board.forget(&id);
                }
                self.listed = true;
                self.unshown = self.live.visited_ids().cloned().collect();
                self.note_sight();
                self.sweep_owed = true;
                self.start_chores();
            }
        }
        self.metrics.live.set(self.live.len() as i64);
    }

    /// The board shows all there is once all that was listed was visited.
    fn note_sight(&self) {
        if self.listed && self.unshown.is_empty() {
            self.executor.board.set_sight(Sight::Whole);
        }
    }

    /// Makes sure that a resource is remembered, as seen by the present listing or after it.
    fn meet(&mut self, object: &DynamicObject) -> Option<String> {
        let metadata = &object.metadata;
        let id = metadata.uid.clone()?;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        let listing = self.live.listing;
        self.live.get_or_insert(&id, namespace, name).listing = listing;
        self.newest = self.newest.max(version_of(object));
        Some(id)
    }

    fn see(&mut self, object: DynamicObject, is_listed: bool) {
        let Some(id) = self.meet(&object) else { return };
        let version = version_of(&object);
        let newest = self.live.get(&id).map_or(0, |summary| summary.version);
        if version == 0 || version > newest {
            return self.send(id, Errand::Seen(object));
        }
        // Older than what was looked at: an event that comes late says nothing. A list may be late
        // too, or tell that etcd was restored to an earlier state; only a look decides.
        if is_listed && version < newest {
            self.send_to_look(id);
        }
    }

    fn send_to_look(&mut self, id: String) {
        let Some(summary) = self.live.get(&id) else { return };
        let errand = Errand::Fetch { namespace: summary.namespace.clone(), name: summary.name.clone() };
        self.send(id, errand);
    }

    /// Looks at an execution anew of which something was recorded that the cluster does not show; once the visit under way
    /// is over, if there is one, and never in place of what waits for that: it may be the last state there was.
    fn refresh(&mut self, id: String) {
        let Some(summary) = self.live.get(&id) else { return };
        if matches!(summary.visit, Visit::Busy(_)) {
            summary.is_stale = true;
            return;
        }
        summary.known = None;
        self.send_to_look(id);
    }

    /// Sends a visit now, or after the one under way.
    fn send(&mut self, id: String, errand: Errand) {
        let Some(summary) = self.live.get(&id) else { return };
        if let Visit::Busy(waiting) = &mut summary.visit {
            *waiting = Some(Box::new(errand));
            return;
        }
        summary.visit = Visit::Busy(None);
        let (known, overfull) = (summary.known.take(), summary.overfull);
        self.live.set_due(&id, None);
        self.due_visits += usize::from(matches!(errand, Errand::Fetch { .. }));
        self.visits.spawn(visit(Arc::clone(&self.executor), id, errand, known, overfull));
    }

    fn finish(&mut self, done: Done) {
        self.due_visits -= usize::from(done.was_due);
        if self.executor.ledger.take_written() {
            self.start_drain();
        }
        // Once it is lost, it is whole again when the API server answers.
        if self.unshown.remove(&done.id) && self.executor.board.sight() == Sight::Listing {
            self.note_sight();
        }
        let now = self.executor.clock.now();
        let listing = self.live.listing;
        let Some(summary) = self.live.get(&done.id) else { return };
        let waiting = match std::mem::take(&mut summary.visit) {
            Visit::Busy(waiting) => waiting,
            Visit::Idle => None,
        };
        let is_stale = std::mem::take(&mut summary.is_stale);
        summary.known = done.known.filter(|_| !is_stale);
        if done.version != 0 {
            summary.version = done.version;
        }
        let is_unlisted = self.listed && summary.listing != listing;
        if waiting.is_none() && (done.gone || is_unlisted) {
            self.sweep_owed |= is_unlisted || done.was_due || done.result.is_err();
            self.live.remove(&done.id);
            self.executor.board.forget(&done.id);
            self.metrics.live.set(self.live.len() as i64);
            return;
        }
        let next = match done.result {
            Ok(next) => {
                summary.failures = 0;
                summary.blocked_since = None;
                summary.overfull = false;
                if is_stale { Next::Refetch } else { next }
            }
            Err(trouble) => {
                summary.failures += 1;
                let failures = summary.failures;
                // Where nobody could look, what was owed before is owed still.
                if done.owed.unwrap_or(summary.blocked_since.is_some()) {
                    summary.blocked_since.get_or_insert(now);
                } else {
                    summary.blocked_since = None;
                }
                self.lament(&done.id, &trouble);
                Next::At(now.saturating_add_micros(self.backoff(failures)))
            }
        };
        let (retained, due) = match next {
            Next::Watch => (None, None),
            Next::At(due) => (None, Some(due)),
            Next::Refetch => (None, Some(now)),
            Next::Review { since, until } => (Some(since), Some(until)),
        };
        self.live.set_retained(&done.id, retained);
        self.live.set_due(&done.id, due);
        if let Some(errand) = waiting {
            self.pass_on(done.id, *errand);
        }
        if let Some(most) = self.options.max_retained {
            self.live.shed(most, now);
        }
        self.metrics.retained.set(self.live.retained() as i64);
    }

    /// Sends the errand that waited for a visit to end. At the end only what no listing will show again
    /// still matters.
    fn pass_on(&mut self, id: String, errand: Errand) {
        let is_stopping = self.stopping.borrow().is_some();
        match errand {
            Errand::Seen(_) | Errand::Fetch { .. } if is_stopping => {}
            Errand::Seen(object) => self.see(object, false),
            errand => self.send(id, errand),
        }
    }

    /// A line for whoever looks closely, and an event once an execution waits for its record in vain.
    fn lament(&mut self, id: &str, trouble: &Trouble) {
        let Some(summary) = self.live.get(id) else { return };
        let failures = summary.failures;
        let is_blocked = summary.blocked_since.is_some();
        let target =
            Target { id: id.to_owned(), namespace: summary.namespace.clone(), name: summary.name.clone() };
        tracing::debug!(namespace = %target.namespace, name = %target.name, failures, %trouble, "a visit failed");
        if is_blocked && failures == BLOCKED_AFTER {
            let note = format!("it cannot be recorded yet, and stays until it is: {trouble}");
            self.executor.notices.publish(&target, Notice::Blocked, &note, None);
        }
    }

    /// Microseconds to wait before the next try: doubling, with jitter, so that what failed
    /// together does not come back together.
    fn backoff(&mut self, failures: u32) -> i64 {
        let whole = Duration::from_millis(100).saturating_mul(1 << failures.min(10)).min(MOST_BACKOFF);
        // Spread, not secrecy.
        self.dice = self.dice.wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31).wrapping_add(1);
        let micros = i64::try_from(whole.as_micros()).expect("at most 30 s");
        micros / 2 + i64::try_from(self.dice % 1_000_000).expect("below a million") * (micros / 2) / 1_000_000
    }

    /// Deadlines may fill half of the places: while many are due, or hang, the watch goes on.
    fn has_room_for_due(&self) -> bool {
        let concurrency = self.options.concurrency;
        self.visits.len() < concurrency && self.due_visits < concurrency.div_ceil(2)
    }

    fn until_due(&self) -> Duration {
        let Some(due) = self.live.next_due() else { return TICK };
        let micros = due.micros_since(self.executor.clock.now()).max(0);
        Duration::from_micros(micros.unsigned_abs()).min(TICK)
    }

    fn start_due(&mut self) {
        let now = self.executor.clock.now();
        while self.has_room_for_due()
            && let Some(id) = self.live.take_due(now)
        {
            if self.live.get(&id).is_some_and(|summary| matches!(summary.visit, Visit::Idle)) {
                self.send_to_look(id);
            }
        }
    }
}
