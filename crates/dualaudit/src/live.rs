//! What this process sees of live executions: those whose resources exist, be they running, in their review window, or
//! retained.
//!
//! The controller writes it, whoever answers reads it, and nobody asks the cluster for a list. It holds a summary of each,
//! never its object: memory grows with what is live, not with how large that is.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use async_trait::async_trait;
use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    execution::{AdaptiveAdjustment, StepExecutionAudit},
};
use serde_json::Value;
use tokio::sync::{Mutex, broadcast, mpsc, watch};

/// Changes that a follower may be behind before it has to look at everything anew.
const CHANGES: usize = 4096;
/// How long a look may take: whoever asks has the rest to be shown.
const PATIENCE: Duration = Duration::from_secs(3);
/// Executions that may wait to be looked at anew.
const STALE: usize = 256;

/// A live execution, without its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveExecution {
    /// Its place in the order of lists.
    pub place: Place,
    /// What its record says; of what has not ended, what it would say now. No steps, no adjustments, and an error message
    /// as lists have it.
    pub record: WorkflowExecutionAudit,
    /// There is more of its error message, which ends with `…` here.
    pub message_clipped: bool,
    /// Tells states of its steps apart.
    pub steps: u64,
    /// Whether it ended: only then the record's outcome, score, status and end mean anything.
    pub ended: bool,
    /// Its phase, as its resource says.
    pub phase: String,
    /// How far it is recorded.
    pub recorded: Option<RecordedAs>,
    /// When its review window ends, while it waits for that.
    pub review_until: Option<Time>,
    /// It is held beyond its window.
    pub held: bool,
}

/// The latest revision of what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedAs {
    /// Its number.
    pub revision: u32,
    /// When it was recorded.
    pub recorded_at: Time,
}

/// A place in the order of lists: newest `created_at` first, then log, id and attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// `created_at`.
    pub created_at: Reverse<Time>,
    /// The log that its record is, or will be, in.
    pub log: String,
    /// The resource's uid.
    pub id: String,
    /// Which attempt.
    pub attempt: u32,
}

/// How much of a cluster this process sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// It was not listed whole yet.
    #[default]
    Listing,
    /// All of it.
    Whole,
    /// What it was when it was seen last: the API server does not answer.
    Lost,
}

/// Something that changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Changes are numbered as they come.
    pub number: u64,
    /// The execution: as it is now, or as it was when it was seen last.
    pub execution: Arc<LiveExecution>,
    /// As it was before, where it was live already.
    pub before: Option<Arc<LiveExecution>>,
    /// The same with its steps; `None` where it is live no more.
    pub whole: Option<Arc<WorkflowExecutionAudit>>,
}

/// Looks at one resource in the cluster.
#[async_trait]
pub trait Look: Send + Sync + 'static {
    /// The resource of that name, while it has this uid.
    ///
    /// # Errors
    /// A sentence that says why the cluster did not answer.
    async fn look(&self, namespace: &str, name: &str, uid: &str) -> Result<Option<Looked>, String>;
}

/// What a look at a resource shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// Its steps as far as they have come.
    pub steps: Vec<StepExecutionAudit>,
    /// What was adjusted so far.
    pub adjustments: Vec<AdaptiveAdjustment>,
    /// Its JSON, secret values in it replaced.
    pub resource: Value,
}

/// The live executions of one cluster.
pub struct Board {
    log: String,
    /// The only one that is watched, where not all are.
    namespace: Option<String>,
    sight: watch::Sender<Sight>,
    seen: RwLock<Seen>,
    changes: broadcast::Sender<Change>,
    look: Arc<dyn Look>,
    /// Of whom something was recorded that the cluster does not show.
    stale: mpsc::Sender<String>,
    refreshing: Mutex<mpsc::Receiver<String>>,
}

#[derive(Default)]
struct Seen {
    executions: BTreeMap<Place, Arc<LiveExecution>>,
    places: HashMap<String, Place>,
    /// How many there were.
    changes: u64,
}

impl Board {
    /// One of the cluster whose records go into this log; nothing is seen of it yet.
    pub fn new(log: &str, look: Arc<dyn Look>) -> Self {
        let changes = broadcast::Sender::new(CHANGES);
        let (stale, refreshing) = mpsc::channel(STALE);
        Self {
            log: log.to_owned(),
            namespace: None,
            sight: watch::Sender::default(),
            seen: RwLock::default(),
            changes,
            look,
            stale,
            refreshing: Mutex::new(refreshing),
        }
    }

    /// The same of one namespace alone, where one is given.
    #[must_use]
    pub fn of_namespace(self, namespace: Option<String>) -> Self {
        Self { namespace, ..self }
    }

    /// Notes that something was recorded of an execution that the cluster does not show: it is to be looked at anew.
    pub fn refresh(&self, id: &str) {
        // Beyond what may wait, what is shown of one is late until it is looked at for another reason.
        let _ = self.stale.try_send(id.to_owned());
    }

    /// The next execution to be looked at anew.
    pub async fn stale(&self) -> String {
        match self.refreshing.lock().await.recv().await {
            Some(id) => id,
            None => std::future::pending().await,
        }
    }

    /// The cluster's log.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// The only namespace that is watched, where not all are.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// How much of the cluster is seen.
    pub fn sight(&self) -> Sight {
        *self.sight.borrow()
    }

    /// Notes how much of the cluster is seen.
    pub fn set_sight(&self, sight: Sight) {
        self.sight.send_replace(sight);
    }

    /// Waits until the cluster was listed whole, or an API server that does not answer was noticed.
    pub async fn listed(&self) {
        // The sender is this board's own.
        let _ = self.sight.subscribe().wait_for(|sight| *sight != Sight::Listing).await;
    }

    /// Puts an execution up, in place of what was seen of its id before. `whole` is the same with its steps.
    pub fn see(&self, execution: LiveExecution, whole: Arc<WorkflowExecutionAudit>) {
        if self.get(&execution.place.id).is_some_and(|before| *before == execution) {
            return;
        }
        let execution = Arc::new(execution);
        let mut seen = self.write();
        let before = seen.remove(&execution.place.id);
        seen.places.insert(execution.place.id.clone(), execution.place.clone());
        seen.executions.insert(execution.place.clone(), Arc::clone(&execution));
        self.tell(&mut seen, execution, before, Some(whole));
    }

    /// Takes an execution down: its resource is gone.
    pub fn forget(&self, id: &str) {
        let mut seen = self.write();
        if let Some(gone) = seen.remove(id) {
            self.tell(&mut seen, gone, None, None);
        }
    }

    /// Tells a change before there can be another.
    fn tell(
        &self,
        seen: &mut Seen,
        execution: Arc<LiveExecution>,
        before: Option<Arc<LiveExecution>>,
        whole: Option<Arc<WorkflowExecutionAudit>>,
    ) {
        seen.changes += 1;
        // Nobody may be there to hear it.
        let _ = self.changes.send(Change { number: seen.changes, execution, before, whole });
    }

    /// The execution with this id.
    pub fn get(&self, id: &str) -> Option<Arc<LiveExecution>> {
        let seen = self.read();
        let place = seen.places.get(id)?;
        seen.executions.get(place).cloned()
    }

    /// The first `limit` executions after a place that are wanted, in the order of lists.
    pub fn after(
        &self,
        place: Option<&Place>,
        limit: usize,
        wanted: impl Fn(&LiveExecution) -> bool,
    ) -> Vec<Arc<LiveExecution>> {
        let begin = place.map_or(Bound::Unbounded, Bound::Excluded);
        let seen = self.read();
        let rest = seen.executions.range((begin, Bound::Unbounded));
        rest.map(|(_, execution)| execution).filter(|it| wanted(it)).take(limit).cloned().collect()
    }

    /// How many executions are wanted.
    pub fn count(&self, wanted: impl Fn(&LiveExecution) -> bool) -> u64 {
        self.read().executions.values().filter(|it| wanted(it)).count() as u64
    }

    /// All there are, in the order of lists, and the number of the last change that is in them.
    pub fn all(&self) -> (Vec<Arc<LiveExecution>>, u64) {
        let seen = self.read();
        (seen.executions.values().cloned().collect(), seen.changes)
    }

    /// What changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The resource of an execution as it is now in the cluster.
    ///
    /// # Errors
    /// A sentence that says why the cluster did not answer, or that it did not in time.
    pub async fn look(&self, of: &LiveExecution) -> Result<Option<Looked>, String> {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        let (namespace, name) = (named(&of.record.namespace), named(&of.record.name));
        let looked = tokio::time::timeout(PATIENCE, self.look.look(&namespace, &name, &of.place.id));
        looked.await.unwrap_or_else(|_| Err(format!("it did not answer within {PATIENCE:?}")))
    }

    fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Seen> {
        self.seen.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn remove(&mut self, id: &str) -> Option<Arc<LiveExecution>> {
        let place = self.places.remove(id)?;
        self.executions.remove(&place)
    }
}
