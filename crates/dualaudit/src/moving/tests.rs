//! Moves from real files to a real server, stopped wherever they can be.

use std::{collections::BTreeSet, sync::Mutex};

use dualaudit_record::{Time, WorkflowExecutionAudit, entry::GapCause, log::TileId, selector::Selector};
use tempfile::TempDir;

use super::*;
use crate::store::{
    Answer, DraftContent, Filter, Head, LogOpening, LogState, Lookup, Owner, ReceiptResult, Store,
    TrackingChange, Wanted,
    conformance::{
        check::check_log,
        erase::erase,
        holds::{release, selecting},
        purge::{part, weigh},
        sample::{
            LOG, append, at, batch, from_producer, from_resource, gap, hold, object, open, opening,
            quarantine, receipt, record, review, seen, started, stored, tracked, tracking, window,
        },
    },
    postgres::tests::{Fresh, fresh},
    sqlite::Options,
};

mod arriving;
mod line;
mod stopped;

const HERE: &str = "postgres://here/audit";

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        at(1_000)
    }
}

/// A file with a log of its own.
struct File {
    store: SqliteStore,
    dir: TempDir,
}

impl File {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("audit.db"), Options::default()).unwrap();
        Self { store, dir }
    }

    async fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("audit.db");
        self.store.backup(&file).await.unwrap();
        Self { store: SqliteStore::open(file, Options::default()).unwrap(), dir }
    }

    fn shell(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("audit.db")).unwrap()
    }

    /// With every kind of entry, in several pages and tiles, tracked executions, and an empty log.
    async fn eventful() -> Self {
        let file = Self::new();
        let store = &file.store;
        open(store, LOG).await;
        let producers = LogOpening { owner: Owner::Producers, secret: [9; 32], ..opening("http") };
        store.open_log(producers).await.unwrap();
        let runs = (0..270).map(|n| from_producer(record(&format!("run-{n}")), None));
        append(store, runs).await;
        for (id, revision, score) in
            [("run-1", 1, 0.1), ("run-1", 2, 0.2), ("run-2", 1, 0.3), ("run-3", 1, 0.4), ("run-33", 1, 0.5)]
        {
            stored(store, from_producer(scored(id, score), Some(revision))).await;
        }
        for attempt in [0, 600, 1200] {
            stored(store, from_resource(started("again", at(attempt)))).await;
        }
        for id in ["unmappable", "unreadable"] {
            append(store, [large(&format!("large-{id}")), quarantine(id, r#"{"x":1}"#)]).await;
        }
        for id in ["vanished", "missing"] {
            append(store, [DraftContent::Gap(gap(id, None, GapCause::Vanished))]).await;
        }
        append(store, [large("large")]).await;
        seen(store, tracked("overtaken", Some(at(0)))).await;
        stored(store, from_resource(started("overtaken", at(600)))).await;
        let selector = Selector { namespace: Some("elsewhere".to_owned()), ..Selector::default() };
        append(store, [hold("run-7", "audit"), hold("run-8", "audit"), selecting(selector, "case 7")]).await;
        let held = stored(store, hold("run-9", "a while")).await;
        stored(store, release(held.index)).await;
        append(store, ["run-1", "run-33", "run-40"].map(|id| review(id, None, 1))).await;
        stored(store, review("run-40", None, 2)).await;
        append(store, [window("run-33", None, 7000), window("run-40", None, 7000)]).await;
        purge(store, 1, &["run-1", "run-20", "run-21"]).await;
        crate::store::sqlite::maintain(file.dir.path().join("audit.db")).unwrap();
        for id in ["run-33", "run-31", "again", "unmappable", "vanished", "large-unmappable"] {
            stored(store, erase(id)).await;
        }
        purge(store, 2, &["run-2", "run-30", "run-31"]).await;
        for n in 0..40 {
            seen(store, tracked(&format!("live-{n}"), Some(at(n)))).await;
        }
        file
    }
}

fn scored(id: &str, effectiveness_score: f64) -> WorkflowExecutionAudit {
    WorkflowExecutionAudit { effectiveness_score, ..record(id) }
}

/// An execution with an object of 2 MiB that does not compress.
fn large(id: &str) -> DraftContent {
    let mut content = from_resource(record(id));
    if let DraftContent::Execution(draft) = &mut content {
        let noise: Vec<u8> = (0..2 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        draft.source = Some(object(&noise));
    }
    content
}

async fn purge(store: &dyn Store, number: u32, ids: &[&str]) {
    let mut weighed = weigh(store, at(1_000_000), 500).await;
    weighed.retain(|execution| ids.contains(&execution.id.as_str()));
    assert_eq!(weighed.len(), ids.len());
    stored(store, part(number, weighed)).await;
}

async fn moving(file: &File, target: &Fresh, watch: &mut Watch<'_>) -> Result<Vec<MovedLog>, MoveError> {
    let (from, to) = ("sqlite:/audit.db".to_owned(), HERE.to_owned());
    let journey = Journey { source: &file.store, target: &target.store, from, to, clock: &Still };
    move_logs(&journey, &[], watch).await
}

async fn moved(file: &File, target: &Fresh) -> Vec<MovedLog> {
    moving(file, target, &mut |_| Ok(())).await.unwrap()
}

async fn head(store: &dyn Store, log: &str) -> Option<Head> {
    store.logs().await.unwrap().into_iter().find(|head| head.log == log)
}

/// That everything of the log is the same in both, and agrees with itself.
async fn same(file: &File, target: &Fresh) {
    let (here, there): (&dyn Store, &dyn Store) = (&file.store, &target.store);
    let (left, arrived) = (check_log(here, LOG).await, check_log(there, LOG).await);
    assert_eq!(left.len(), arrived.len());
    for (left, arrived) in left.iter().zip(&arrived) {
        assert_eq!(left, arrived);
    }
    for log in [LOG, "http"] {
        let (left, arrived) = (head(here, log).await.unwrap(), head(there, log).await.unwrap());
        assert_eq!(Head { state: LogState::Open, ..left }, arrived);
        let hashes = (0..2).flat_map(|level| (0..100).map(move |index| TileId::Hashes { level, index }));
        let wanted: Vec<TileId> = hashes.chain((0..100).map(|index| TileId::Entries { index })).collect();
        let tiles = async |store: &dyn Store| store.tiles(log, &wanted).await.unwrap();
        assert_eq!(tiles(here).await, tiles(there).await);
        let tracked = async |store: &dyn Store| store.tracked(log, None, 1000).await.unwrap();
        assert_eq!(tracked(here).await, tracked(there).await);
    }
    let ids: BTreeSet<String> = left.iter().filter_map(|entry| entry.execution_id.clone()).collect();
    let ids = Vec::from_iter(ids);
    let known = async |store: &dyn Store| store.known(LOG, &ids).await.unwrap();
    for (left, arrived) in known(here).await.into_iter().zip(known(there).await) {
        assert_eq!(left, arrived);
    }
    for id in ["run-1", "run-2", "run-3", "run-33", "again", "large", "run-30"] {
        let wanted = Wanted { id: id.to_owned(), log: None, attempt: None };
        assert_eq!(here.get(&wanted).await.unwrap(), there.get(&wanted).await.unwrap(), "{id}");
    }
    for store in [here, there] {
        assert_eq!(verify(store, None, |_| {}).await.unwrap().findings, []);
    }
}

/// Why a log takes no append.
async fn refusal(store: &dyn Store, log: &str) -> String {
    let drafts = batch([from_producer(record("refused"), None)]);
    let Err(StoreError::Unavailable(appending)) = store.append(log, drafts, at(1)).await else {
        panic!("it took an append")
    };
    let tracks = tracking([TrackingChange::Gone { id: "live-1".to_owned() }]);
    let Err(StoreError::Unavailable(_)) = store.append(log, tracks, at(1)).await else {
        panic!("it took what is tracked")
    };
    let Err(StoreError::Foreign(opening)) = store.open_log(opening(log)).await else { panic!("it opened") };
    assert!(appending.ends_with(&opening), "{appending}");
    opening
}

#[tokio::test]
async fn a_log_with_every_kind_of_entry_arrives_entry_for_entry_and_goes_on_there() {
    let (file, target) = (File::eventful().await, fresh());
    let size = head(&file.store, LOG).await.unwrap().size;
    let expected = |earlier| {
        [(LOG, size), ("http", 0)].map(|(log, entries)| MovedLog { log: log.to_owned(), entries, earlier })
    };
    assert_eq!(moved(&file, &target).await, expected(false));
    same(&file, &target).await;
    assert_eq!(moved(&file, &target).await, expected(true), "it moves once");

    let said = refusal(&file.store, LOG).await;
    assert!(said.contains("moved to postgres://here/audit, and takes nothing here any more"), "{said}");
    let by_hand = "UPDATE log SET size = size + 1; DELETE FROM tracked; UPDATE tracked SET phase = '';
        INSERT INTO tracked (log, id, namespace, name, phase, started_at, last_state, last_seen_at, state)
        SELECT log, id || 'x', namespace, name, phase, started_at, last_state, last_seen_at, state FROM tracked; DELETE FROM moved; UPDATE moved SET destination = ''; UPDATE moved SET opened_at = NULL";
    for statement in by_hand.split(';') {
        file.shell().execute_batch(statement).expect_err(statement);
    }

    // Receipts are those of then, and holds hold.
    let again = append(&*target, (3..12).map(|n| from_producer(record(&format!("run-{n}")), None))).await;
    for (n, answer) in (3..).zip(again) {
        let receipt = receipt(answer);
        assert_eq!((receipt.index, receipt.result), (n, ReceiptResult::Duplicate));
    }
    let Answer::Stored(purged) = append(&*target, [from_producer(record("run-20"), None)]).await.remove(0)
    else {
        panic!("what was purged is known")
    };
    assert_eq!((purged.index, purged.result), (20, ReceiptResult::Duplicate));
    let held = target.known(LOG, &["run-7".to_owned(), "run-9".to_owned()]).await.unwrap();
    assert_eq!(held.iter().map(|known| known.held).collect::<Vec<_>>(), [true, false]);
    assert_eq!(stored(&*target, from_producer(scored("run-3", 0.6), Some(2))).await.index, size);
    assert_eq!(stored(&*target, from_resource(started("again", at(1800)))).await.attempt, Some(4));
    crate::store::postgres::maintain(&target.location(), at(0)).await.unwrap();
    check_log(&*target, LOG).await;
    assert_eq!(verify(&target.store, None, |_| {}).await.unwrap().findings, []);
}

#[tokio::test]
async fn what_is_appended_amended_and_purged_while_a_log_is_copied_arrives_so() {
    let (file, target) = (File::eventful().await, fresh());
    stops_before(&file, &target, Step::Track).await;
    let store = &file.store;
    for id in ["run-40", "run-41", "run-42"] {
        stored(store, from_producer(scored(id, 0.9), Some(1))).await;
    }
    purge(store, 3, &["run-40", "run-50"]).await;
    crate::store::sqlite::maintain(file.dir.path().join("audit.db")).unwrap();
    purge(store, 4, &["run-41", "run-51"]).await;
    stored(store, from_producer(scored("run-42", 0.8), Some(2))).await;
    // What came whole is erased, and of that some is purged; so is some of what came erased.
    for id in ["run-42", "run-52", "run-53", "run-54", "unreadable", "missing", "large"] {
        stored(store, erase(id)).await;
    }
    purge(store, 5, &["run-52", "run-33"]).await;
    crate::store::sqlite::maintain(file.dir.path().join("audit.db")).unwrap();
    purge(store, 6, &["run-53"]).await;
    let gone = TrackingChange::Gone { id: "live-3".to_owned() };
    store.append(LOG, tracking([gone, TrackingChange::Seen(tracked("new", None))]), at(1)).await.unwrap();
    moved(&file, &target).await;
    same(&file, &target).await;
    crate::store::postgres::maintain(&target.location(), at(0)).await.unwrap();
    same(&file, &target).await;
}

#[tokio::test]
async fn some_logs_can_be_moved_and_others_stay() {
    let (file, target) = (File::eventful().await, fresh());
    let journey = |named: &'static [&'static str]| {
        let named: Vec<String> = named.iter().map(|&name| name.to_owned()).collect();
        let (source, target) = (&file.store, &target.store);
        async move {
            let (from, to) = ("sqlite:/audit.db".to_owned(), HERE.to_owned());
            let journey = Journey { source, target, from, to, clock: &Still };
            move_logs(&journey, &named, &mut |_| Ok(())).await
        }
    };
    assert_eq!(journey(&["http"]).await.unwrap().len(), 1);
    stored(&file.store, from_producer(record("more"), None)).await;
    assert!(head(&*target, LOG).await.is_none());
    let said = journey(&["http", "hppt"]).await.unwrap_err().to_string();
    assert_eq!(said, "there is no log hppt; there are: default, http");
}

/// Stops before the step with this number; of verifying only the first counts.
fn stopping_at(number: usize) -> impl FnMut(Step<'_>) -> Result<(), MoveError> + Send {
    let mut left = number;
    move |step| {
        if matches!(step, Step::Verify { done: 1.., .. }) {
            return Ok(());
        }
        left = left.checked_sub(1).ok_or(MoveError::Stopped)?;
        Ok(())
    }
}

/// Moves until a step that is the same as `last`, whatever it says besides.
async fn stops_before(file: &File, target: &Fresh, last: Step<'_>) {
    let is_last = |step: Step<'_>| std::mem::discriminant(&step) == std::mem::discriminant(&last);
    let stopped =
        moving(file, target, &mut |step| if is_last(step) { Err(MoveError::Stopped) } else { Ok(()) }).await;
    assert!(matches!(stopped, Err(MoveError::Stopped)), "{stopped:?}");
}
