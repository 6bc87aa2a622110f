//! Every write of an append fails, before and after it took effect.

use std::sync::Arc;

use dualaudit_record::{EntryKind, WorkflowExecutionAudit, entry::GapCause};
use rusqlite::ffi;

use super::{
    super::write::{Faults, Step},
    Fresh, Options, SqliteStore, fresh,
};
use crate::store::{
    Answer, Batch, DraftContent, Filter, ReceiptResult, Store as _, StoreError, Tracked, TrackedState,
    TrackingChange,
    conformance::{
        check::check_log,
        erase::erase,
        holds::release,
        purge::{part, weigh},
        sample::{
            LOG, append, at, batch, from_producer, from_resource, gap, hold, open, quarantine, receipt,
            record, review, seen, started, stored, tracked, window,
        },
    },
};

/// Fails one step, before or after it took effect, with an error of SQLite's.
#[derive(Clone, Copy, Debug)]
struct Failing {
    step: Step,
    after: bool,
    code: std::ffi::c_int,
}

impl Failing {
    fn fail(self) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(self.code), Some("injected".to_owned()))
    }
}

impl Faults for Failing {
    fn before(&self, step: Step) -> rusqlite::Result<()> {
        if step == self.step && !self.after { Err(self.fail()) } else { Ok(()) }
    }

    fn after(&self, step: Step) -> rusqlite::Result<()> {
        if step == self.step && self.after { Err(self.fail()) } else { Ok(()) }
    }
}

/// Every step an append can take.
const STEPS: [Step; 17] = [
    Step::Entry(EntryKind::Execution),
    Step::Entry(EntryKind::Gap),
    Step::Entry(EntryKind::Quarantine),
    Step::Entry(EntryKind::Hold),
    Step::Row,
    Step::Keep,
    Step::Amend,
    Step::SourceObject,
    Step::Quarantine,
    Step::Hold,
    Step::Seen,
    Step::Accounted,
    Step::Gone,
    Step::GrowTile,
    Step::NewTile,
    Step::Head,
    Step::Commit,
];

/// A log that the [`eventful`] batch takes every step on: two entries short of a full tile.
async fn prepared() -> Fresh {
    let store = fresh();
    open(&*store, LOG).await;
    append(&*store, (0..254).map(|n| from_producer(record(&format!("earlier-{n}")), None))).await;
    seen(&*store, tracked("overtaken", Some(at(0)))).await;
    seen(&*store, tracked("gone", None)).await;
    store
}

fn eventful() -> Arc<Batch> {
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("earlier-7") };
    let batch = batch([
        from_resource(record("new")),
        from_producer(amended, Some(1)),
        from_resource(started("overtaken", at(600))),
        quarantine("unmappable", "{}"),
        hold("new", "audit"),
        DraftContent::Gap(gap("vanished", None, GapCause::Vanished)),
    ]);
    let closed = Tracked { state: TrackedState::Closed, running: None, ..tracked("new", Some(at(0))) };
    let tracking = vec![TrackingChange::Seen(closed), TrackingChange::Gone { id: "gone".to_owned() }];
    Arc::new(Batch { tracking, ..Arc::unwrap_or_clone(batch) })
}

/// The steps that only purges, erasures, reviews, windows and the ends of holds take.
const ENDINGS: [Step; 16] = [
    Step::Entry(EntryKind::HoldRelease),
    Step::Entry(EntryKind::Purge),
    Step::Release,
    Step::Purged,
    Step::PurgePending,
    Step::Entry(EntryKind::Erasure),
    Step::Erased,
    Step::EraseRow,
    Step::EraseRevision,
    Step::EraseBody,
    Step::EraseSourceObject,
    Step::EraseQuarantine,
    Step::EraseReview,
    Step::Entry(EntryKind::Review),
    Step::Review,
    Step::Entry(EntryKind::Window),
];

#[tokio::test]
async fn whichever_write_of_a_release_a_purge_an_erasure_or_a_review_fails_it_can_be_sent_again() {
    let prepared = fresh();
    open(&*prepared, LOG).await;
    append(&*prepared, ["a", "b", "c"].map(|id| from_resource(record(id)))).await;
    stored(&*prepared, hold("c", "audit")).await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("e") };
    append(&*prepared, [from_resource(record("e")), from_resource(amended), quarantine("e", "{}")]).await;
    stored(&*prepared, review("e", None, 1)).await;
    let weighed = weigh(&*prepared, at(100), 10).await.into_iter();
    let goes = weighed.filter(|found| ["a", "b"].contains(&found.id.as_str())).collect();
    let endings = [release(3), part(1, goes), erase("e"), review("c", None, 0), window("c", None, 7000)]
        .map(|ending| batch([ending]));
    for step in ENDINGS.into_iter().chain([Step::Head, Step::Commit]) {
        for after in [false, true] {
            let file = prepared.directory.path().join(format!("{step:?}-{after}.db"));
            prepared.store.backup(&file).await.unwrap();
            let store = SqliteStore::open(&file, Options::default()).unwrap();
            let case = Failing { step, after, code: ffi::SQLITE_IOERR };
            let mut failed = 0;
            for ending in &endings {
                let ended = store.append_with(LOG, Arc::clone(ending), at(200), case).await;
                failed += usize::from(ended.is_err());
                check_log(&store, LOG).await;
                let again = store.append(LOG, Arc::clone(ending), at(300)).await.unwrap().remove(0);
                receipt(again);
            }
            assert!(failed > 0, "{case:?}");
            let entries = check_log(&store, LOG).await;
            let kinds: Vec<EntryKind> = entries[8..].iter().map(|entry| entry.kind).collect();
            let expected = [
                EntryKind::HoldRelease,
                EntryKind::Purge,
                EntryKind::Erasure,
                EntryKind::Review,
                EntryKind::Window,
            ];
            assert_eq!(kinds, expected, "{case:?}");
            let left = store.list(&Filter::default(), None, 10).await.unwrap().rows;
            assert_eq!(left.len(), 2, "{case:?}");
        }
    }
}

#[tokio::test]
async fn whichever_write_fails_the_batch_can_be_sent_again_and_is_stored_once() {
    for step in STEPS {
        for after in [false, true] {
            let store = prepared().await;
            let case = Failing { step, after, code: ffi::SQLITE_IOERR };
            let error = store.store.append_with(LOG, eventful(), at(200), case).await.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{case:?}: {error}");
            let took_effect = step == Step::Commit && after;
            let size = check_log(&*store, LOG).await.len();
            assert_eq!(size, if took_effect { 261 } else { 254 }, "{case:?}");

            let answers = store.append(LOG, eventful(), at(300)).await.unwrap();
            for answer in answers {
                let receipt = receipt(answer);
                assert_eq!(receipt.result == ReceiptResult::Duplicate, took_effect, "{case:?}");
                assert_eq!(receipt.recorded_at, at(if took_effect { 200 } else { 300 }), "{case:?}");
            }
            let entries = check_log(&*store, LOG).await;
            let after_the_earlier: Vec<_> = entries[254..]
                .iter()
                .map(|entry| (entry.kind, entry.execution_id.as_deref().unwrap()))
                .collect();
            let expected = [
                (EntryKind::Execution, "new"),
                (EntryKind::Execution, "earlier-7"),
                (EntryKind::Gap, "overtaken"),
                (EntryKind::Execution, "overtaken"),
                (EntryKind::Quarantine, "unmappable"),
                (EntryKind::Hold, "new"),
                (EntryKind::Gap, "vanished"),
            ];
            assert_eq!(after_the_earlier, expected, "{case:?}");
            let tracked = store.tracked(LOG, None, 10).await.unwrap();
            let tracked: Vec<_> = tracked
                .iter()
                .map(|tracked| (tracked.id.as_str(), tracked.state, tracked.started_at))
                .collect();
            let expected = [
                ("new", TrackedState::Closed, Some(at(0))),
                ("overtaken", TrackedState::Open, Some(at(600))),
            ];
            assert_eq!(tracked, expected, "{case:?}");
            assert!(store.read_back(LOG, "earlier-7", 1).await.unwrap().unwrap().intact, "{case:?}");
        }
    }
}

#[tokio::test]
async fn the_eventful_batch_takes_every_step() {
    #[derive(Clone)]
    struct Seen(Arc<std::sync::Mutex<Vec<Step>>>);
    impl Faults for Seen {
        fn before(&self, step: Step) -> rusqlite::Result<()> {
            self.0.lock().unwrap().push(step);
            Ok(())
        }

        fn after(&self, _: Step) -> rusqlite::Result<()> {
            Ok(())
        }
    }
    let store = prepared().await;
    let taken = Seen(Arc::default());
    store.store.append_with(LOG, eventful(), at(200), taken.clone()).await.unwrap();
    let taken = taken.0.lock().unwrap();
    for step in STEPS {
        assert!(taken.contains(&step), "{step:?}");
    }
}

#[tokio::test]
async fn an_append_that_panics_leaves_the_store_usable() {
    #[derive(Clone, Copy)]
    struct Panicking;
    impl Faults for Panicking {
        fn before(&self, step: Step) -> rusqlite::Result<()> {
            assert_ne!(step, Step::Head, "on purpose");
            Ok(())
        }

        fn after(&self, _: Step) -> rusqlite::Result<()> {
            Ok(())
        }
    }
    let store = prepared().await;
    let error = store.store.append_with(LOG, eventful(), at(200), Panicking).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let answers = store.append(LOG, eventful(), at(300)).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Stored(_))));
    assert_eq!(check_log(&*store, LOG).await.len(), 261);
}

#[tokio::test]
async fn a_commit_that_fails_names_the_file_and_is_open_to_another_try_unless_it_is_damaged() {
    for (code, text, retry) in [
        (ffi::SQLITE_FULL, "the disk is full: make room", true),
        (ffi::SQLITE_BUSY, "locked by another process", true),
        (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, "the commit failed", true),
        (ffi::SQLITE_ERROR, "the commit failed", true),
        (ffi::SQLITE_CORRUPT, "restore a backup", false),
    ] {
        let store = prepared().await;
        let case = Failing { step: Step::Commit, after: false, code };
        let error = store.store.append_with(LOG, eventful(), at(200), case).await.unwrap_err();
        assert_eq!(matches!(error, StoreError::Unavailable(_)), retry, "{error}");
        let error = error.to_string();
        assert!(error.contains("audit.db") && error.contains(text), "{error}");
    }
}
