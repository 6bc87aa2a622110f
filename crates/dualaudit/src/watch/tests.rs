//! Those who follow, on both databases: where they go on, what is passed over, and who does not keep up.

use std::{
    cmp::Reverse,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use dualaudit_record::entry::GapCause;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::{
    live::{LiveExecution, Look, Looked, Place, Sight},
    query::ListRequest,
    store::{
        DraftContent, Store,
        conformance::{
            sample::{append, at, batch, from_producer, from_resource, gap, open, record},
            tampered::Tampered,
        },
        postgres, sqlite,
    },
};

/// Makes a test on each database of a function over a store.
macro_rules! on_both {
    ($($name:ident,)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::sqlite::tests::fresh()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::postgres::tests::fresh()).await;
            })+
        }
    };
}

on_both! {
    each_log_is_told_on_from_where_it_was_told_to,
    what_cannot_be_read_is_passed_over_and_the_rest_is_told,
    who_was_away_for_too_long_is_told_so,
    who_hears_nothing_of_what_is_wanted_is_told_how_far_that_is,
    who_takes_nothing_holds_no_more_than_so_many_bytes,
    who_does_not_keep_up_comes_again_and_misses_nothing,
}

/// What one hears who asks for this, from that position on.
async fn follow(hub: &Hub, asked: &[(&str, &str)], after: Option<Position>) -> Receiver<Arc<Told>> {
    let pairs: Vec<_> = asked.iter().map(|(name, is)| ((*name).to_owned(), (*is).to_owned())).collect();
    let request = ListRequest::of_watch(&pairs, at(0)).unwrap();
    super::follow(hub, Following { request, id: None, after }).await.unwrap()
}

/// What is told up to the first of this event, each by its event and id.
async fn until(heard: &mut Receiver<Arc<Told>>, last: Event) -> (Vec<String>, Option<Position>) {
    let mut told = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await;
        let next = next.expect("something is told").expect("the stream goes on");
        let data: Value = serde_json::from_str(&next.data).unwrap();
        told.push(format!("{} {}", next.event.as_str(), data["id"].as_str().unwrap_or("-")));
        if next.event == last {
            return (told, next.position.clone());
        }
    }
}

fn position(logs: &[(&str, u64)]) -> Position {
    let mut position = Position::default();
    logs.iter().for_each(|(log, next)| position.went_to(log, *next, None));
    position
}

/// The same with a mark of the entry before.
fn marked(logs: &[(&str, u64)], mark: &str) -> Position {
    let mut position = Position::default();
    logs.iter().for_each(|(log, next)| position.went_to(log, *next, Some(mark.to_owned())));
    position
}

/// Where each log goes on.
fn goes_on(position: Option<Position>) -> Vec<(String, u64)> {
    position.iter().flat_map(|it| it.logs()).map(|(log, next)| (log.to_owned(), next)).collect()
}

async fn recorded(store: &dyn Store, log: &str, ids: &[&str]) {
    let drafts = ids.iter().map(|id| from_producer(record(id), None));
    store.append(log, batch(drafts), at(100)).await.unwrap();
}

async fn each_log_is_told_on_from_where_it_was_told_to(store: &impl Tampered) {
    for (log, ids) in [("default", ["a0", "a1", "both"]), ("other", ["b0", "b1", "both"])] {
        open(&**store, log).await;
        recorded(&**store, log, &ids).await;
    }
    let hub = Hub::new(store.shared(), None);
    let end = position(&[("default", 3), ("other", 3)]);
    for (after, asked, told) in [
        (None, vec![], ""),
        (Some(end.clone()), vec![], ""),
        (
            Some(position(&[("default", 1), ("other", 2)])),
            vec![],
            "recorded a1, recorded both, recorded both",
        ),
        // A log that was not there yet is told whole.
        (Some(position(&[("default", 3)])), vec![], "recorded b0, recorded b1, recorded both"),
        (
            Some(position(&[("default", 1), ("other", 1)])),
            vec![("log", "other")],
            "recorded b1, recorded both",
        ),
        (Some(position(&[])), vec![("log", "other"), ("name", "run-b1")], "recorded b1"),
        (Some(position(&[])), vec![("tier", "live")], ""),
        // Of a log that has another entry there.
        (Some(marked(&[("default", 2)], "0011223344556677")), vec![], "reset -"),
        // Ahead of a database that went back, or of a log that is not there.
        (Some(position(&[("default", 4)])), vec![], "reset -"),
        (Some(position(&[("gone", 1)])), vec![], "reset -"),
    ] {
        let mut heard = follow(&hub, &asked, after.clone()).await;
        let (mut events, reached) = until(&mut heard, Event::Ready).await;
        events.retain(|event| !event.starts_with("warning"));
        let expected = if told.is_empty() { "ready -".to_owned() } else { format!("{told}, ready -") };
        let end = goes_on(Some(end.clone()));
        assert_eq!((events.join(", "), goes_on(reached)), (expected, end), "{after:?} {asked:?}");
    }
    let mut heard = follow(&hub, &[("log", "other")], None).await;
    let (_, here) = until(&mut heard, Event::Ready).await;
    recorded(&**store, "default", &["a3"]).await;
    recorded(&**store, "other", &["b3"]).await;
    let (told, reached) = until(&mut heard, Event::Recorded).await;
    assert_eq!((told, reached.unwrap().of_log("other")), (vec!["recorded b3".to_owned()], 4));
    // With the marks that were given out.
    let mut heard = follow(&hub, &[("tier", "stored")], here).await;
    assert_eq!(until(&mut heard, Event::Ready).await.0, ["recorded a3", "recorded b3", "ready -"]);
}

async fn who_hears_nothing_of_what_is_wanted_is_told_how_far_that_is(store: &impl Tampered) {
    open(&**store, "default").await;
    let hub = Hub::new(store.shared(), None);
    let mut heard = follow(&hub, &[("workflow", "never"), ("tier", "stored")], None).await;
    until(&mut heard, Event::Ready).await;
    for chunk in 0..MOST_BEHIND / 10 / 250 {
        let gaps =
            (0..250).map(|n| DraftContent::Gap(gap(&format!("lost-{chunk}-{n}"), None, GapCause::Vanished)));
        append(&**store, gaps.collect::<Vec<_>>()).await;
    }
    let (told, reached) = until(&mut heard, Event::Bookmark).await;
    assert_eq!(
        (told, goes_on(reached)),
        (vec!["bookmark -".to_owned()], vec![("default".to_owned(), MOST_BEHIND / 10)])
    );
}

async fn who_takes_nothing_holds_no_more_than_so_many_bytes(store: &impl Tampered) {
    const LABELS: usize = 5_000;
    const LABEL: usize = 250;
    let count = TOLD_BYTES / (LABELS * LABEL) + 8;
    open(&**store, "default").await;
    let hub = Hub::new(store.shared(), None);
    let asked = [("tier", "stored")];
    let (mut slow, mut quick) = (follow(&hub, &asked, None).await, follow(&hub, &asked, None).await);
    until(&mut slow, Event::Ready).await;
    until(&mut quick, Event::Ready).await;
    let quick = tokio::spawn(async move {
        for _ in 0..count {
            until(&mut quick, Event::Recorded).await;
        }
    });
    for n in 0..count {
        let labels = (0..LABELS).map(|label| (format!("label-{label}"), "x".repeat(LABEL))).collect();
        let large = WorkflowExecutionAudit { labels, ..record(&format!("large-{n}")) };
        append(&**store, [from_resource(large)]).await;
    }
    tokio::time::timeout(Duration::from_secs(60), quick).await.expect("it hears all").unwrap();
    let mut taken = 0;
    while tokio::time::timeout(Duration::from_secs(30), slow.recv()).await.expect("it ends").is_some() {
        taken += 1;
    }
    assert!(taken < count, "{taken} of {count} were told to one who took none");
}

async fn what_cannot_be_read_is_passed_over_and_the_rest_is_told(store: &impl Tampered) {
    open(&**store, "default").await;
    recorded(&**store, "default", &["a", "odd", "b"]).await;
    store.uncheck();
    store.tamper("UPDATE workflow_execution_audit SET status = 'odd' WHERE id = 'odd'");
    let hub = Hub::new(store.shared(), None);
    let mut heard = follow(&hub, &[], Some(position(&[]))).await;
    let (mut told, reached) = until(&mut heard, Event::Ready).await;
    told.retain(|event| !event.starts_with("warning"));
    assert_eq!(
        (told.join(", "), goes_on(reached)),
        ("recorded a, recorded b, ready -".to_owned(), vec![("default".to_owned(), 3)])
    );
    recorded(&**store, "default", &["c"]).await;
    assert_eq!(until(&mut heard, Event::Recorded).await.0, ["recorded c"]);
}

async fn who_was_away_for_too_long_is_told_so(store: &impl Tampered) {
    open(&**store, "default").await;
    let gaps =
        (0..MOST_BEHIND).map(|n| DraftContent::Gap(gap(&format!("lost-{n}"), None, GapCause::Vanished)));
    let gaps: Vec<_> = gaps.collect();
    for gaps in gaps.chunks(250) {
        append(&**store, gaps.to_vec()).await;
    }
    recorded(&**store, "default", &["a"]).await;
    let hub = Hub::new(store.shared(), None);
    for (from, expected) in [(0, "reset -, ready -"), (1, "recorded a, ready -")] {
        let mut heard = follow(&hub, &[], Some(position(&[("default", from)]))).await;
        let (mut told, _) = until(&mut heard, Event::Ready).await;
        told.retain(|event| !event.starts_with("warning"));
        assert_eq!(told.join(", "), expected, "from {from}");
    }
}

/// Nobody looks.
struct Nobody;

#[async_trait]
impl Look for Nobody {
    async fn look(&self, _: &str, _: &str, _: &str) -> Result<Option<Looked>, String> {
        Ok(None)
    }
}

async fn who_does_not_keep_up_comes_again_and_misses_nothing(store: &impl Tampered) {
    open(&**store, "default").await;
    let board = Arc::new(Board::new("default", Arc::new(Nobody)));
    board.set_sight(Sight::Whole);
    let see = |phase: &str| {
        let record = record("running");
        let (log, id) = ("default".to_owned(), record.id.clone());
        let place = Place { created_at: Reverse(record.created_at), log, id, attempt: 1 };
        let live = LiveExecution {
            place,
            record: record.clone(),
            message_clipped: false,
            steps: 0,
            ended: false,
            phase: phase.to_owned(),
            recorded: None,
            review_until: None,
            held: false,
        };
        board.see(live, Arc::new(record));
    };
    see("Pending");
    let hub = Hub::new(store.shared(), Some(Arc::clone(&board)));
    let mut slow = follow(&hub, &[], None).await;
    let (told, reached) = until(&mut slow, Event::Ready).await;
    assert_eq!(told, ["live running", "ready -"]);
    // One who keeps up hears all of it, whatever another does.
    let mut quick = follow(&hub, &[], None).await;
    until(&mut quick, Event::Ready).await;
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let quick = tokio::spawn(async move {
        loop {
            let told = quick.recv().await.expect("it keeps up");
            count.fetch_add(1, Ordering::SeqCst);
            let data: Value = serde_json::from_str(&told.data).unwrap();
            if data["phase"] == "Executing" {
                return;
            }
        }
    });
    let changes = 2 * TOLD;
    for change in 0..changes {
        see(&format!("Phase{change}"));
        while heard.load(Ordering::SeqCst) + 256 < change && !quick.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    append(&**store, [from_resource(record("meanwhile"))]).await;
    see("Executing");
    quick.await.unwrap();
    // Those changes, the last one, and what was recorded between if it was told before that.
    assert!(heard.load(Ordering::SeqCst) > changes);
    let mut until_its_end = 0;
    while tokio::time::timeout(Duration::from_secs(30), slow.recv()).await.expect("it ends").is_some() {
        until_its_end += 1;
    }
    assert!(until_its_end < changes, "{until_its_end} of {changes} were told to one who took none");
    let mut again = follow(&hub, &[], reached).await;
    let (told, _) = until(&mut again, Event::Ready).await;
    assert_eq!(told, ["recorded meanwhile", "live running", "ready -"]);
}
