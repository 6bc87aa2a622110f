//! Following both sides: what is recorded, as it is recorded, and what changes in the cluster.
//!
//! # Guarantees
//! - What is recorded is told in the order of its log, none left out, also to one that was away and comes back with the
//!   position it had: as long as no more than [`MOST_BEHIND`] entries came meanwhile.
//! - What is live is told whole at first, and then each change. A stream ends whose reader does not keep up: it comes again.
//! - One reader of the database and one of the cluster serve all who follow, and none where nobody does.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use dualaudit_record::{
    Entry, WorkflowExecutionAudit,
    execution::{AdaptiveAdjustment, StepExecutionAudit, StoredExecution},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    live::{Board, Change},
    query::{Missing, Sides, Summary, Warning},
    store::{Head, SharedStore, Store, StoreError, StoredEntry, UnreadableEntry, Which},
};

mod follow;
mod position;
#[cfg(test)]
mod tests;

pub use follow::{Following, follow};
use position::mark;
pub use position::{BadPosition, Position};

/// How often the logs are looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long a database that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// Entries that are read at once.
const PAGE: u32 = 256;
/// What may be told before the slowest of those who follow has taken it.
const TOLD: usize = 4096;
/// Bytes of its rows, beside each of which is as much that is asked about: beyond this whoever takes nothing more has to come
/// again.
const TOLD_BYTES: usize = 32 << 20;
/// Entries that one may be behind and still be told each of them.
pub const MOST_BEHIND: u64 = 10_000;

/// Something that is told.
#[derive(Debug)]
pub struct Told {
    /// What it is.
    pub event: Event,
    /// What it says, in JSON.
    pub data: String,
    /// Where one goes on who has heard this; nowhere, where it is about what is live.
    pub position: Option<Position>,
    of: Of,
    _held: Option<Held>,
}

/// Bytes that count as long as they are held.
#[derive(Debug)]
struct Held(usize, Arc<watch::Sender<usize>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.1.send_modify(|all| *all -= self.0);
    }
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A live execution as it is now: first all there are, then those that change.
    Live,
    /// An execution is live no more.
    Gone,
    /// An execution was recorded, or amended.
    Recorded,
    /// All that was live was told.
    Ready,
    /// Nothing that is wanted happened up to here.
    Bookmark,
    /// What was told before is not to be gone on with: everything is told anew.
    Reset,
    /// Something is missing from now on.
    Warning,
}

impl Event {
    /// Its name in a stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Gone => "gone",
            Self::Recorded => "recorded",
            Self::Ready => "ready",
            Self::Bookmark => "bookmark",
            Self::Reset => "reset",
            Self::Warning => "warning",
        }
    }
}

/// Of whom something is told.
#[derive(Debug)]
enum Of {
    Recorded {
        log: String,
        record: Box<WorkflowExecutionAudit>,
    },
    Live(Change),
    /// Of what is live of a cluster, by its log.
    Cluster(String),
    All,
    /// Of all, and everybody has to come again.
    Over,
}

/// A live execution as it is told.
#[derive(Serialize)]
struct LiveTold<'a> {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_executions: Option<&'a [StepExecutionAudit]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive_adjustments: Option<&'a [AdaptiveAdjustment]>,
}

/// Where those who follow meet. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    store: SharedStore,
    live: Option<Arc<Board>>,
    feed: Arc<tokio::sync::Mutex<Weak<Feed>>>,
}

/// What all who follow are told. It ends with the last of them.
struct Feed {
    shared: Arc<Shared>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

struct Shared {
    live: Option<Arc<Board>>,
    told: broadcast::Sender<Arc<Told>>,
    /// How far the logs were told.
    position: Mutex<Position>,
    /// Bytes of what is told and not yet taken by all.
    held: Arc<watch::Sender<usize>>,
}

impl Hub {
    /// One for this store, and what this process sees of a cluster.
    pub fn new(store: SharedStore, live: Option<Arc<Board>>) -> Self {
        Self { store, live, feed: Arc::default() }
    }

    fn sides(&self) -> Sides<'_> {
        Sides { store: self.store.as_ref(), live: self.live.as_deref() }
    }

    /// The feed that runs, or a new one from where the logs are now.
    async fn feed(&self) -> Result<Arc<Feed>, StoreError> {
        let mut feed = self.feed.lock().await;
        if let Some(running) = feed.upgrade() {
            return Ok(running);
        }
        let position = at_the_end(self.store.as_ref()).await?;
        let (live, told) = (self.live.clone(), broadcast::Sender::new(TOLD));
        let shared = Arc::new(Shared { live, told, position: position.into(), held: Arc::default() });
        let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(tell_recorded(
            self.store.clone(),
            Arc::clone(&shared),
        )))];
        if let Some(board) = &self.live {
            let tell = tell_live(Arc::clone(board), board.changes(), Arc::clone(&shared));
            tasks.push(AbortOnDropHandle::new(tokio::spawn(tell)));
        }
        let running = Arc::new(Feed { shared, _tasks: tasks });
        *feed = Arc::downgrade(&running);
        Ok(running)
    }
}

impl Shared {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is told from now on, and how far it was told before.
    fn listen(&self) -> (broadcast::Receiver<Arc<Told>>, Position) {
        let position = self.position();
        (self.told.subscribe(), position.clone())
    }

    fn tell(&self, told: Told) {
        let bytes = told.data.len();
        self.held.send_modify(|all| *all += bytes);
        let held = Held(bytes, Arc::clone(&self.held));
        // Nobody may be left to hear it.
        let _ = self.told.send(Arc::new(Told { _held: Some(held), ..told }));
    }

    /// Ends when more is held than may be.
    async fn overfull(&self) {
        // The sender is here.
        let _ = self.held.subscribe().wait_for(|&bytes| bytes > TOLD_BYTES).await;
    }

    /// Tells an entry, if it is an execution's, and that its log was told up to there.
    fn tell_entry(&self, log: &str, entry: Result<StoredEntry, UnreadableEntry>) {
        if let Some(told) = recorded(log, entry, &mut self.position(), self.live.as_deref()) {
            self.tell(told);
        }
    }
}

/// Goes past an entry, and says what is told of it: nothing but of an execution's. One that cannot be read is passed over:
/// `verify` names it.
fn recorded(
    log: &str,
    entry: Result<StoredEntry, UnreadableEntry>,
    position: &mut Position,
    live: Option<&Board>,
) -> Option<Told> {
    let (index, mark) = place(&entry);
    position.went_to(log, index + 1, mark);
    let Entry::Execution(execution) = entry.ok()?.body.left()?.clone() else { return None };
    let StoredExecution { record, .. } = &*execution;
    // What is asked about, without what may be large.
    let asked_about = WorkflowExecutionAudit {
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        error_message: String::new(),
        ..record.clone()
    };
    let of = Of::Recorded { log: log.to_owned(), record: Box::new(asked_about) };
    let summary = Summary::recorded(log, *execution, live);
    Some(Told {
        event: Event::Recorded,
        data: serde_json::to_string(&summary).expect("a row is JSON"),
        position: Some(position.clone()),
        of,
        _held: None,
    })
}

/// The index of an entry, and its mark where it can be read.
fn place(entry: &Result<StoredEntry, UnreadableEntry>) -> (u64, Option<String>) {
    match entry {
        Ok(entry) => (entry.index, Some(mark(&entry.leaf_hash))),
        Err(unreadable) => (unreadable.index, None),
    }
}

/// The end of all logs.
async fn at_the_end(store: &dyn Store) -> Result<Position, StoreError> {
    let mut position = Position::default();
    for Head { log, size, .. } in store.logs().await? {
        let last = match size.checked_sub(1) {
            Some(last) => store.read_entries(&log, Which::All, last, 1).await?,
            None => Vec::new(),
        };
        let mark = last.first().and_then(|entry| place(entry).1);
        position.went_to(&log, size, mark);
    }
    Ok(position)
}

impl Told {
    fn change(change: Change) -> Self {
        let event = if change.whole.is_some() { Event::Live } else { Event::Gone };
        Self::live(event, change)
    }

    /// That one is live, or was.
    fn live(event: Event, change: Change) -> Self {
        let summary = Summary::live(&change.execution);
        let summary = if event == Event::Gone { summary.gone() } else { summary };
        let told = match &change.whole {
            Some(whole) => LiveTold {
                summary,
                step_executions: Some(&whole.step_executions),
                adaptive_adjustments: Some(&whole.adaptive_adjustments),
            },
            None => LiveTold { summary, step_executions: None, adaptive_adjustments: None },
        };
        let data = serde_json::to_string(&told).expect("a row is JSON");
        Self { event, data, position: None, of: Of::Live(change), _held: None }
    }

    fn to_all(event: Event, data: String, position: Option<Position>) -> Self {
        Self { event, data, position, of: Of::All, _held: None }
    }

    fn warning(warning: &Warning) -> Self {
        let data = serde_json::to_string(warning).expect("a warning is JSON");
        let of = warning.log.clone().map_or(Of::All, Of::Cluster);
        Self { event: Event::Warning, data, position: None, of, _held: None }
    }
}

/// Tells what is recorded, log by log.
async fn tell_recorded(store: SharedStore, shared: Arc<Shared>) {
    let mut was_away = false;
    loop {
        tokio::time::sleep(if was_away { PAUSE } else { POLL }).await;
        let told = tell_new_entries(&store, &shared).await;
        if let (Err(error), false) = (&told, was_away) {
            // Why is for the log alone: it may name paths.
            tracing::warn!(%error, "what is recorded cannot be told at present");
            let detail = "the database does not answer at present; what is recorded meanwhile is told later"
                .to_owned();
            shared.tell(Told::warning(&Warning { missing: Missing::Stored, log: None, detail }));
        }
        was_away = told.is_err();
    }
}

async fn tell_new_entries(store: &SharedStore, shared: &Shared) -> Result<(), StoreError> {
    // A log that cannot be read stops nobody who follows the others.
    for head in store.read_logs().await?.into_iter().flatten() {
        loop {
            let from = shared.position().of_log(&head.log);
            if from >= head.size {
                break;
            }
            let entries = store.read_entries(&head.log, Which::All, from, PAGE).await?;
            if entries.is_empty() {
                break;
            }
            entries.into_iter().for_each(|entry| shared.tell_entry(&head.log, entry));
        }
    }
    Ok(())
}

/// Tells what changes in the cluster.
async fn tell_live(board: Arc<Board>, mut changes: broadcast::Receiver<Change>, shared: Arc<Shared>) {
    let mut look = tokio::time::interval(PAUSE);
    let mut sight = board.sight();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            _ = look.tick() => {
                let before = std::mem::replace(&mut sight, board.sight());
                let lost = Warning::of_sight(&board).filter(|_| sight != before);
                lost.iter().for_each(|warning| shared.tell(Told::warning(warning)));
                continue;
            }
        };
        match change {
            Ok(change) => shared.tell(Told::change(change)),
            // More changed at once than is kept.
            Err(broadcast::error::RecvError::Lagged(_)) => {
                changes = board.changes();
                shared.tell(Told { of: Of::Over, ..Told::to_all(Event::Reset, String::new(), None) });
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
