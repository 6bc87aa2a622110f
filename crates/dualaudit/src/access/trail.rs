//! Puts on record who asked for what: what was let before it is answered, and what was refused soon after.
//!
//! # Guarantees
//! - What [`Trail::allow`] answers is in the log.
//! - Whatever is asked, and however often, one entry at a time waits for the log, and each has [`MAX_ACTS`] acts at most:
//!   readers cost an append one entry. Those who are refused without end make one of [`REFUSED`] acts at first each second, and
//!   then less and less often, down to one in [`LONGEST_PAUSE`]; what is of more kinds is counted.
//! - An entry that the log did not take is sent again as it is, until the log has it, once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dualaudit_record::{
    Entry, Time,
    access::{Access, Act, Event, MAX_ACTS},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    clock::{SharedClock, entropy},
    ingest::{Answer, DraftContent, Ingest, Receipt, StoreError},
};

/// Acts that wait to be looked at, which takes no time to speak of.
const QUEUE: usize = 1024;
/// How long refusals wait for others at first, and how long the log is left alone that did not take an entry.
const PAUSE: Duration = Duration::from_secs(1);
/// How long they wait once they go on without end.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Refusals that an entry tells apart.
const REFUSED: usize = 50;
/// How long somebody waits for their reading to be on record.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to try at shutdown.
const FAREWELL: Duration = Duration::from_secs(10);

/// Where it is told who asked for what. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    queue: mpsc::Sender<Told>,
    clock: SharedClock,
    /// Refusals that found the queue full.
    missed: Arc<AtomicU64>,
}

/// What goes into the log: [`Recording::run`] has to run for it.
pub struct Recording {
    door: Ingest,
    queue: mpsc::Receiver<Told>,
    missed: Arc<AtomicU64>,
    waiting: Waiting,
    /// What the log did not take.
    unsent: Option<Access>,
    /// When the newest entry was sent, and how long refusals wait for the next.
    last: Instant,
    pause: Duration,
}

struct Told {
    event: Event,
    at: Time,
    answer: Option<Reply>,
}

type Reply = oneshot::Sender<Result<Receipt, StoreError>>;

impl Trail {
    /// Into the log behind this door.
    pub fn into_log(door: Ingest, clock: SharedClock) -> (Self, Recording) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let missed = Arc::new(AtomicU64::new(0));
        let trail = Self { queue: sender, clock, missed: Arc::clone(&missed) };
        let (waiting, last, pause) = (Waiting::default(), Instant::now(), Duration::ZERO);
        (trail, Recording { door, queue, missed, waiting, unsent: None, last, pause })
    }

    /// Puts on record that somebody was let do this, and answers the receipt of the entry that says so.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and others of an append: then they must not get what they asked for. It may be on record
    /// all the same.
    pub async fn allow(&self, event: Event) -> Result<Receipt, StoreError> {
        let unheard = || StoreError::Unavailable("what is asked for cannot be put on record".to_owned());
        let (answer, answered) = oneshot::channel();
        let told = Told { event, at: self.clock.now(), answer: Some(answer) };
        let told = async {
            self.queue.send(told).await.map_err(|_| unheard())?;
            answered.await.map_err(|_| unheard())?
        };
        tokio::time::timeout(PATIENCE, told).await.map_err(|_| unheard())?
    }

    /// Notes that somebody was refused. Never waits, so that nobody learns by the time it takes what there is.
    pub fn forbid(&self, event: Event) {
        if self.queue.try_send(Told { event, at: self.clock.now(), answer: None }).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the next entry says.
#[derive(Default)]
struct Waiting {
    acts: BTreeMap<Event, u64>,
    /// How many of them are refusals.
    refused: usize,
    others: u64,
    /// When the first and the last of it was asked.
    times: Option<(Time, Time)>,
    replies: Vec<Reply>,
}

impl Waiting {
    fn note(&mut self, Told { event, at, answer }: Told) {
        let is_new = !self.acts.contains_key(&event);
        let is_full = self.acts.len() >= MAX_ACTS || answer.is_none() && self.refused >= REFUSED;
        if is_new && is_full {
            match answer {
                Some(answer) => {
                    let why = "more is asked for at once than can be put on record".to_owned();
                    let _ = answer.send(Err(StoreError::Unavailable(why)));
                    return;
                }
                None => self.others += 1,
            }
        } else {
            self.refused += usize::from(is_new && answer.is_none());
            *self.acts.entry(event).or_default() += 1;
            self.replies.extend(answer);
        }
        let (since, until) = self.times.unwrap_or((at, at));
        self.times = Some((since.min(at), until.max(at)));
    }

    /// The entry that says it, and who waits for that.
    fn take(&mut self, missed: &AtomicU64) -> Option<(Access, Vec<Reply>)> {
        let (since, until) = self.times?;
        let Self { acts, others, replies, .. } = std::mem::take(self);
        let acts = acts.into_iter().map(|(event, count)| Act { event, count }).collect();
        let others = others.saturating_add(missed.swap(0, Ordering::Relaxed));
        Some((Access { access: hex::encode(entropy::<16>()), since, until, acts, others }, replies))
    }
}

impl Recording {
    /// Runs until it is told to stop, and then until what was told is in the log, or would not go there for too long.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut due = Instant::now();
        loop {
            let is_idle = self.is_idle();
            tokio::select! {
                biased;
                () = &mut stop => break,
                // Before what comes meanwhile, or those who are refused without end would keep it from the log.
                () = tokio::time::sleep_until(due), if !is_idle => {
                    let is_awaited = !self.waiting.replies.is_empty();
                    self.send().await;
                    self.last = Instant::now();
                    if !is_awaited {
                        self.pause = (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE);
                    }
                    due = self.last + PAUSE;
                }
                Some(told) = self.queue.recv() => {
                    // Whoever waits for it does not wait for others.
                    if told.answer.is_some() {
                        due = Instant::now();
                    } else if is_idle {
                        // Whoever comes after a while of quiet is waited for as the first.
                        if self.last.elapsed() > 2 * self.pause {
                            self.pause = Duration::ZERO;
                        }
                        due = (Instant::now() + PAUSE).max(self.last + self.pause);
                    }
                    self.waiting.note(told);
                }
            }
        }
        let farewell = async {
            self.take_in();
            while !self.is_idle() {
                if !self.send().await {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::error!("who was refused last could not be put on record before the stop");
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.times.is_none() && self.unsent.is_none()
    }

    /// Takes in what has been told by now.
    fn take_in(&mut self) {
        for _ in 0..QUEUE {
            let Ok(told) = self.queue.try_recv() else { return };
            self.waiting.note(told);
        }
    }

    /// Sends what the log did not take, or else what waits; answers whether the log took it. While it takes nothing, nobody
    /// gets what would have to be on record.
    async fn send(&mut self) -> bool {
        self.take_in();
        let was_refused = self.unsent.is_some();
        let again = self.unsent.take().map(|access| (access, Vec::new()));
        let Some((access, replies)) = again.or_else(|| self.waiting.take(&self.missed)) else { return true };
        match self.append(access.clone()).await {
            Ok(receipt) => {
                if was_refused {
                    tracing::info!("what is asked for is put on record again");
                }
                for reply in replies {
                    let _ = reply.send(Ok(receipt.clone()));
                }
                true
            }
            Err(error) => {
                if !was_refused {
                    tracing::warn!(%error, "what is asked for cannot be put on record; trying again");
                }
                self.unsent = Some(access);
                for reply in replies.into_iter().chain(std::mem::take(&mut self.waiting.replies)) {
                    let _ = reply.send(Err(StoreError::Unavailable(error.to_string())));
                }
                false
            }
        }
    }

    async fn append(&self, access: Access) -> Result<Receipt, StoreError> {
        let content = DraftContent::Note(Box::new(Entry::Access(Box::new(access))));
        match self.door.submit(content).await? {
            Answer::Stored(receipt) => Ok(receipt),
            other => Err(StoreError::Rejected(format!("the database answered {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::atomic::AtomicI64};

    use dualaudit_record::{EntryKind, access::Decision};
    use futures::future::join_all;

    use super::*;
    use crate::{
        http::tests::{Fault, Served, Ticking, door, now},
        store::{SharedStore, StoredEntry, Which},
    };
    fn event(id: usize, decision: Decision) -> Event {
        Event {
            actor: Some("jo".to_owned()),
            decision,
            verb: "get".to_owned(),
            resource: "executionrecords/source".to_owned(),
            namespace: Some("shop".to_owned()),
            log: Some("http".to_owned()),
            execution_id: Some(format!("run-{id}")),
            verified: None,
        }
    }

    /// A trail into a log of its own, and how to end it.
    async fn trail(served: &Served) -> (Trail, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let store: SharedStore = served.store.clone();
        let clock = Arc::new(Ticking(AtomicI64::new(now().as_micros())));
        let (trail, recording) = Trail::into_log(door(store, "trail", clock.clone()).await, clock);
        let (end, ended) = oneshot::channel();
        let running = tokio::spawn(recording.run(async { ended.await.unwrap() }));
        (trail, end, running)
    }

    /// What is on record, an entry after the other.
    async fn recorded(served: &Served) -> Vec<Access> {
        let entries =
            served.store.inner.entries("trail", Which::Kind(EntryKind::Access), 0, 1000).await.unwrap();
        let access = |entry: &StoredEntry| match entry.body.entry() {
            Some(Entry::Access(access)) => Access::clone(access),
            other => panic!("no access: {other:?}"),
        };
        entries.iter().map(access).collect()
    }

    fn total(accesses: &[Access]) -> u64 {
        accesses.iter().map(Access::count).sum()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_allowed_is_on_record_before_it_is_answered_and_shares_entries() {
        let served = Served::new().await;
        let (trail, _end, _running) = trail(&served).await;
        let one = trail.allow(event(0, Decision::Allow)).await.unwrap();
        assert_eq!((one.log.as_str(), one.index), ("trail", 0));
        let many = join_all((0..300).map(|n| trail.allow(event(n % 3, Decision::Allow)))).await;
        let indexes: BTreeSet<u64> = many.into_iter().map(|told| told.unwrap().index).collect();
        let recorded = recorded(&served).await;
        assert_eq!(total(&recorded), 301);
        assert_eq!(recorded.len(), 1 + indexes.len(), "each was answered with the entry that tells of it");
        assert!(recorded.len() < 100, "{} entries", recorded.len());
        assert!(recorded.iter().all(|access| access.acts.len() <= 3 && access.since <= access.until));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn refusals_without_end_make_an_entry_a_second_of_bounded_size_that_counts_all() {
        let served = Served::new().await;
        let (trail, end, running) = trail(&served).await;
        let began = std::time::Instant::now();
        for n in 0..3000 {
            trail.forbid(event(n % 700, Decision::Forbid));
            if n % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        end.send(()).unwrap();
        running.await.unwrap();
        let most = 2 + began.elapsed().as_secs() as usize;
        let recorded = recorded(&served).await;
        assert_eq!(total(&recorded), 3000);
        assert!(recorded.len() <= most, "{} entries in {most} s", recorded.len());
        assert!(recorded.iter().all(|access| access.acts.len() <= MAX_ACTS));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn while_the_log_takes_nothing_nobody_is_let_and_refusals_are_kept_and_told_once() {
        let served = Served::new().await;
        let (trail, end, running) = trail(&served).await;
        served.fail(Fault::Unavailable);
        trail.forbid(event(0, Decision::Forbid));
        let refused = trail.allow(event(1, Decision::Allow)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        trail.forbid(event(2, Decision::Forbid));
        assert!(trail.allow(event(1, Decision::Allow)).await.is_err());
        served.fail(Fault::None);
        trail.allow(event(3, Decision::Allow)).await.unwrap();
        end.send(()).unwrap();
        running.await.unwrap();
        let recorded = recorded(&served).await;
        let count = |id: usize, decision| {
            let acts = recorded.iter().flat_map(|access| &access.acts);
            acts.filter(|act| act.event == event(id, decision)).map(|act| act.count).sum::<u64>()
        };
        assert_eq!([0, 2].map(|id| count(id, Decision::Forbid)), [1, 1]);
        assert_eq!(count(3, Decision::Allow), 1);
        assert!(count(1, Decision::Allow) <= 2, "who was not let may be on record");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_refused_last_is_on_record_at_the_end() {
        let served = Served::new().await;
        let (trail, end, running) = trail(&served).await;
        trail.forbid(event(0, Decision::Forbid));
        end.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(total(&recorded(&served).await), 1);
    }
}
