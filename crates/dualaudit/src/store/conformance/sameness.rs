//! The same operations on every store leave the same state.
//!
//! Several writers work at once. Each has a log of its own, in which everything has to come out the same to
//! the last bit, and does the same in a log that all share, among executions of its own: there entries come
//! in any order, and everything else has to be the same.

use std::{collections::BTreeSet, sync::Arc};

use dualaudit_record::{
    Entry, EntryKind, WorkflowExecutionAudit,
    day::{Counts, Day},
    entry::{Covers, DailyDigest, GapCause, Heartbeat, Hold},
    log::Nonce,
    selector::{LabelRequirement, Selector},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    Maintained,
    check::check_log,
    erase::erase,
    purge::weigh_in,
    sample::{
        accessed, at, exported, from_producer, from_quarantine, from_resource, gap, open, opening,
        quarantine, record, review, tracked, window,
    },
};
use crate::store::{
    Answer, Batch, Draft, DraftContent, Filter, Known, PurgeDraft, Receipt, ReceiptResult, Refusal, Store,
    StoredBody, StoredEntry, Tracked, TrackedState, TrackingChange, Weighed, postgres, sqlite,
};

const WRITERS: usize = 4;
const OPERATIONS: usize = 400;
const SHARED: &str = "shared";

/// What a writer does; numbers say to which of its executions, and which of a few contents.
#[derive(Clone, Debug)]
enum Operation {
    Record {
        id: u8,
        content: u8,
        started: u8,
        is_resource: bool,
        amend: Option<u32>,
    },
    Gap {
        id: u8,
        started: Option<u8>,
    },
    Quarantine {
        id: u8,
        content: u8,
    },
    Seen {
        id: u8,
        started: Option<u8>,
        closed: bool,
    },
    Gone {
        id: u8,
    },
    Hold {
        id: u8,
        reason: u8,
    },
    HoldSelected {
        content: u8,
        reason: u8,
    },
    /// The hold that was placed so many holds ago.
    Release {
        ago: usize,
    },
    /// Of these executions what is there.
    Purge {
        ids: [u8; 3],
    },
    /// After its resource is gone, or while it may be there.
    Erase {
        id: u8,
        gone: bool,
    },
    /// Of the attempt that began so, or the latest.
    Review {
        id: u8,
        content: u8,
        started: Option<u8>,
    },
    /// Of the attempt that began so, or the latest.
    Window {
        id: u8,
        until: u8,
        started: Option<u8>,
    },
    /// In its own log, as what follows: in the other it depends on who comes when.
    Heartbeat,
    /// Of what was put in quarantine last.
    Retry {
        id: u8,
        content: u8,
        started: u8,
    },
    Digest,
    Export {
        content: u8,
    },
    Access {
        content: u8,
    },
    Remove,
}

fn operation(random: &mut StdRng) -> Operation {
    let id = random.random_range(0..12);
    let content = random.random_range(0..4);
    let started = random.random_range(0..3);
    match random.random_range(0..100) {
        0..31 => Operation::Record {
            id,
            content,
            started,
            is_resource: random.random_bool(0.5),
            amend: random.random_bool(0.3).then(|| random.random_range(1..4)),
        },
        31..34 => Operation::Access { content },
        34..38 => {
            let started = random.random_bool(0.4).then_some(started);
            if content.is_multiple_of(3) {
                Operation::Window { id, until: content, started }
            } else {
                Operation::Review { id, content, started }
            }
        }
        38..40 => Operation::Retry { id, content, started },
        40..42 => Operation::Digest,
        42..44 => Operation::Heartbeat,
        44..50 => Operation::Gap { id, started: random.random_bool(0.7).then_some(started) },
        50..54 => Operation::Quarantine { id, content },
        54..60 => Operation::Seen {
            id,
            started: random.random_bool(0.7).then_some(started),
            closed: random.random_bool(0.5),
        },
        60..70 => Operation::Gone { id },
        70..74 => Operation::Hold { id, reason: content },
        74..76 => Operation::HoldSelected { content, reason: started },
        76..83 => Operation::Release { ago: random.random_range(0..4) },
        83..86 => Operation::Export { content },
        86..91 => Operation::Erase { id, gone: random.random_bool(0.5) },
        91..99 => Operation::Purge { ids: [id, random.random_range(0..12), random.random_range(0..12)] },
        _ => Operation::Remove,
    }
}

/// One of those who write, in one of the logs.
struct Writer<'s> {
    store: &'s dyn Store,
    log: String,
    number: usize,
    /// Of each hold it placed.
    holds: Vec<Receipt>,
    /// The entry of what it put in quarantine last.
    quarantined: u64,
    answers: Vec<Answer>,
}

impl Writer<'_> {
    fn id(&self, id: u8) -> String {
        format!("w{}-{id}", self.number)
    }

    fn record(&self, id: u8, content: u8, started: u8) -> WorkflowExecutionAudit {
        WorkflowExecutionAudit {
            attempt: u32::from(started) + 1,
            started_at: Some(at(i64::from(started) * 100)),
            completed_at: at(i64::from(started) * 100 + 60),
            effectiveness_score: f64::from(content) / 4.0,
            workflow_name: format!("workflow-{content}"),
            labels: [("writer".to_owned(), self.number.to_string())].into(),
            ..record(&self.id(id))
        }
    }

    async fn act(&mut self, place: usize, operation: &Operation) {
        // In a log of its own, time goes on; where others write it would differ with the order.
        let now = if self.log == SHARED { at(1000) } else { at(1000 + i64::try_from(place).unwrap()) };
        let nonce = Nonce(std::array::from_fn(|byte| (place >> (8 * (byte % 4)) & 0xff) as u8));
        let mut batch = Batch::default();
        let content = match operation {
            Operation::Record { id, content, started, is_resource: true, .. } => {
                Some(from_resource(self.record(*id, *content, *started)))
            }
            Operation::Record { id, content, started, amend, .. } => {
                Some(from_producer(self.record(*id, *content, *started), *amend))
            }
            Operation::Gap { id, started } => {
                let started = started.map(|started| at(i64::from(started) * 100));
                Some(DraftContent::Gap(gap(&self.id(*id), started, GapCause::Vanished)))
            }
            Operation::Quarantine { id, content } => Some(quarantine(&self.id(*id), &content.to_string())),
            Operation::Hold { id, reason } => Some(self.hold(Covers::ExecutionId(self.id(*id)), *reason)),
            Operation::HoldSelected { content, reason } => {
                let own = LabelRequirement::In("writer".to_owned(), vec![self.number.to_string()]);
                let workflow_name = Some(format!("workflow-{content}"));
                let selector = Selector { workflow_name, labels: vec![own], ..Selector::default() };
                Some(self.hold(Covers::Selector(selector), *reason))
            }
            Operation::Release { ago } => {
                let hold = self.holds.iter().rev().nth(*ago).map_or(u64::MAX >> 1, |placed| placed.index);
                Some(DraftContent::HoldRelease { hold, reason: "over".to_owned(), actor: "me".to_owned() })
            }
            Operation::Purge { ids } => Some(self.purge(place, ids).await),
            Operation::Erase { id, gone } => {
                if *gone {
                    batch.tracking.push(TrackingChange::Gone { id: self.id(*id) });
                }
                Some(erase(&self.id(*id)))
            }
            Operation::Review { id, content, started } => {
                let attempt = started.map(|started| u32::from(started) + 1);
                Some(review(&self.id(*id), attempt, *content))
            }
            Operation::Window { id, until, started } => {
                let attempt = started.map(|started| u32::from(started) + 1);
                Some(window(&self.id(*id), attempt, i64::from(*until)))
            }
            Operation::Seen { id, started, closed } => {
                let open = tracked(&self.id(*id), started.map(|started| at(i64::from(started) * 100)));
                let seen = if *closed {
                    Tracked { state: TrackedState::Closed, running: None, ..open }
                } else {
                    open
                };
                batch.tracking.push(TrackingChange::Seen(seen));
                None
            }
            Operation::Gone { id } => {
                batch.tracking.push(TrackingChange::Gone { id: self.id(*id) });
                None
            }
            Operation::Heartbeat | Operation::Retry { .. } | Operation::Digest if self.log == SHARED => {
                return;
            }
            Operation::Retry { id, content, started } => {
                Some(from_quarantine(self.record(*id, *content, *started), self.quarantined))
            }
            Operation::Digest => {
                let day = Day::of(at(86_400 * i64::try_from(place).unwrap()));
                let counts = Counts::default();
                let digest = DailyDigest {
                    since: day,
                    until: day,
                    first: 0,
                    end: 0,
                    counts,
                    in_flight: Some(place as u64),
                };
                Some(DraftContent::Note(Box::new(Entry::Digest(Box::new(digest)))))
            }
            Operation::Heartbeat => {
                let heads = self.store.logs().await.unwrap();
                let head = heads.iter().find(|head| head.log == self.log).unwrap();
                Some(DraftContent::Note(Box::new(Entry::Heartbeat(Heartbeat { size: head.size }))))
            }
            Operation::Export { content } => Some(exported(&format!("w{}-{content}", self.number))),
            Operation::Access { content } => Some(accessed(&format!("w{}-{content}", self.number))),
            Operation::Remove => return,
        };
        let is_hold = matches!(content, Some(DraftContent::Hold(_)));
        let is_quarantine = matches!(content, Some(DraftContent::Quarantine { .. }));
        batch.drafts.extend(content.map(|content| Draft::new(nonce, content)));
        let answers = self.store.append(&self.log, Arc::new(batch), now).await.unwrap();
        if is_hold && let [Answer::Stored(receipt)] = &answers[..] {
            self.holds.push(receipt.clone());
        }
        if is_quarantine && let [Answer::Stored(receipt)] = &answers[..] {
            self.quarantined = receipt.index;
        }
        self.answers.extend(answers);
    }

    fn hold(&self, covers: Covers, reason: u8) -> DraftContent {
        DraftContent::Hold(Hold { covers, reason: format!("reason {reason}"), actor: "me".to_owned() })
    }

    async fn purge(&self, place: usize, ids: &[u8; 3]) -> DraftContent {
        let ids = ids.map(|id| self.id(id));
        let weighed = weigh_in(self.store, &self.log, at(500), 1000).await;
        let executions = weighed.into_iter().filter(|execution| ids.contains(&execution.id)).collect();
        DraftContent::Purge(Box::new(PurgeDraft {
            plan: format!("plan-{}", self.number),
            part: u32::try_from(place).unwrap(),
            parts: 1,
            as_of: at(500),
            policy: "7y".to_owned(),
            actor: "me".to_owned(),
            executions,
        }))
    }
}

/// All that can be seen of a log, to the last bit.
#[derive(Debug, PartialEq)]
struct Exact {
    root: String,
    entries: Vec<StoredEntry>,
    answers: Vec<Answer>,
    known: Vec<Known>,
    tracked: Vec<Tracked>,
    weighed: Vec<Weighed>,
    listed: Vec<(String, u32, u32)>,
}

/// What is left of it where the order of entries, and so their indexes, may differ.
#[derive(Debug, PartialEq)]
struct Unordered {
    entries: BTreeSet<String>,
    answers: Vec<String>,
    held: Vec<bool>,
    tracked: Vec<Tracked>,
    weighed: Vec<(String, u32, usize)>,
    listed: Vec<(String, u32, u32)>,
}

/// Lets the writers work on a store, and says how it is then.
async fn worked(store: &impl Maintained) -> (Vec<Exact>, Vec<Unordered>) {
    open(&**store, SHARED).await;
    for number in 0..WRITERS {
        store.open_log(opening(&own(number))).await.unwrap();
    }
    let write = async |number: usize| {
        let mut random = StdRng::seed_from_u64(number as u64);
        let writer = |log: String| Writer {
            store: &**store,
            log,
            number,
            holds: Vec::new(),
            quarantined: 0,
            answers: Vec::new(),
        };
        let (mut own, mut shared) = (writer(own(number)), writer(SHARED.to_owned()));
        for place in 0..OPERATIONS {
            let operation = operation(&mut random);
            own.act(place, &operation).await;
            shared.act(place, &operation).await;
            if matches!(operation, Operation::Remove) {
                store.remove_purged().await;
            }
        }
        (own.answers, shared.answers)
    };
    let answers = futures::future::join_all((0..WRITERS).map(write)).await;
    store.remove_purged().await;
    let shared = check_log(&**store, SHARED).await;
    let (mut exact, mut unordered) = (Vec::new(), Vec::new());
    for (number, (of_own, of_shared)) in answers.into_iter().enumerate() {
        exact.push(exactly(&**store, number, of_own).await);
        unordered.push(in_any_order(&**store, number, &shared, of_shared).await);
    }
    (exact, unordered)
}

fn own(number: usize) -> String {
    format!("own-{number}")
}

fn ids(number: usize) -> Vec<String> {
    (0..12).map(|id| format!("w{number}-{id}")).collect()
}

async fn exactly(store: &dyn Store, number: usize, answers: Vec<Answer>) -> Exact {
    let log = own(number);
    let entries = check_log(store, &log).await;
    let heads = store.logs().await.unwrap();
    Exact {
        root: heads.into_iter().find(|head| head.log == log).unwrap().root.to_string(),
        entries,
        answers,
        known: store.known(&log, &ids(number)).await.unwrap(),
        tracked: store.tracked(&log, None, 100).await.unwrap(),
        weighed: weighed(store, &log).await,
        listed: listed(store, &log, number).await,
    }
}

async fn in_any_order(
    store: &dyn Store,
    number: usize,
    shared: &[StoredEntry],
    answers: Vec<Answer>,
) -> Unordered {
    let own = format!("w{number}-");
    let is_own = |id: &str| id.starts_with(&own);
    let entries = shared.iter().filter(|entry| entry.execution_id.as_deref().is_some_and(is_own));
    let known = store.known(SHARED, &ids(number)).await.unwrap();
    let tracked = store.tracked(SHARED, None, 100).await.unwrap();
    let weighed = weighed(store, SHARED).await.into_iter().filter(|execution| is_own(&execution.id));
    Unordered {
        entries: entries.map(without_place).collect(),
        answers: answers.iter().map(answer_without_place).collect(),
        held: known.iter().map(|known| known.held).collect(),
        tracked: tracked.into_iter().filter(|tracked| is_own(&tracked.id)).collect(),
        weighed: weighed.map(|found| (found.id, found.attempt, found.entries.len())).collect(),
        listed: listed(store, SHARED, number).await,
    }
}

async fn weighed(store: &dyn Store, log: &str) -> Vec<Weighed> {
    let weighed = weigh_in(store, log, at(10_000), 1000).await;
    // What they take differs with the database.
    weighed.into_iter().map(|execution| Weighed { bytes: 0, ..execution }).collect()
}

async fn listed(store: &dyn Store, log: &str, number: usize) -> Vec<(String, u32, u32)> {
    let filter = Filter { log: Some(log.to_owned()), ..Filter::default() };
    let rows = store.list(&filter, None, 1000).await.unwrap().rows.into_iter().map(|row| row.execution);
    let own = rows.filter(|execution| execution.record.id.starts_with(&format!("w{number}-")));
    own.map(|execution| (execution.record.id, execution.record.attempt, execution.revision)).collect()
}

/// An entry without what depends on its place; a release says the place of its hold.
fn without_place(entry: &StoredEntry) -> String {
    let said = match entry.body.entry() {
        Some(Entry::HoldRelease(_)) => "a release".to_owned(),
        Some(Entry::Erasure(erasure)) => format!("an erasure of {} entries", erasure.entries.len()),
        Some(_) => entry.body_digest.to_string(),
        None => match &entry.body {
            StoredBody::Erased { rest, .. } => format!("erased, {}, {rest:?}", entry.body_digest),
            _ => format!("purged, {}", entry.body_digest),
        },
    };
    let StoredEntry { kind, execution_id, attempt, revision, started_at, .. } = entry;
    format!("{kind} {execution_id:?} {attempt:?} {revision:?} {started_at:?} {said}")
}

fn answer_without_place(answer: &Answer) -> String {
    match answer {
        Answer::Stored(Receipt { id, attempt, revision, result, .. }) => {
            format!("{id} {attempt:?} {revision:?} {result:?}")
        }
        Answer::Refused(Refusal::Changed(_)) => "changed".to_owned(),
        Answer::Refused(Refusal::Held { .. }) => "held".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_thousand_random_operations_of_several_writers_leave_every_store_in_the_same_state() {
    let (in_sqlite, in_postgres) = (sqlite::tests::fresh(), postgres::tests::fresh());
    let (of_sqlite, of_postgres) = tokio::join!(worked(&in_sqlite), worked(&in_postgres));
    for (number, (sqlite, postgres)) in of_sqlite.0.iter().zip(&of_postgres.0).enumerate() {
        for (place, (a, b)) in sqlite.answers.iter().zip(&postgres.answers).enumerate() {
            assert_eq!(a, b, "answer {place} of writer {number}");
        }
        assert_eq!(sqlite, postgres, "the log of writer {number}");
    }
    assert_eq!(of_sqlite.1, of_postgres.1, "the log that all share");
    // It is a good mixture.
    let entries: Vec<&StoredEntry> = of_sqlite.0.iter().flat_map(|exact| &exact.entries).collect();
    for kind in EntryKind::ALL.into_iter().filter(|kind| *kind != EntryKind::Succession) {
        let found = entries.iter().filter(|entry| entry.kind == kind).count();
        assert!(found >= 10, "{found} entries of kind {kind}");
    }
    let erased = entries.iter().filter(|entry| matches!(entry.body, StoredBody::Erased { .. })).count();
    assert!(erased > 20, "{erased} are erased");
    let purged = entries.iter().filter(|entry| matches!(entry.body, StoredBody::Purged { .. })).count();
    assert!(purged > 20, "{purged} are purged");
    let answers: Vec<&Answer> = of_sqlite.0.iter().flat_map(|exact| &exact.answers).collect();
    let refused =
        answers.iter().filter(|answer| matches!(answer, Answer::Refused(Refusal::Changed(_)))).count();
    assert!(refused > 5, "{refused} purges were refused");
    let amended =
        |answer: &&&Answer| matches!(answer, Answer::Stored(Receipt { result: ReceiptResult::Amended, .. }));
    assert!(answers.iter().filter(amended).count() > 20);
}
