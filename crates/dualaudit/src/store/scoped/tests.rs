//! What somebody sees of one log, beside what all see of another that has only that.

use dualaudit_record::{
    entry::Verdict,
    execution::{Outcome, Status},
    statistics::{Cell, Hour, Key, Keys, Level, Part, Stratum, View},
};
use proptest::{prelude::*, sample::select, strategy::ValueTree as _, test_runner::TestRunner};
use tempfile::TempDir;

use super::*;
use crate::store::{
    DraftContent, ReviewDraft, TrackedState, TrackingChange,
    conformance::sample::{at, batch, from_producer, open, record, running, tracked, tracking},
    sqlite::{Options, SqliteStore},
};

const DAY: i64 = 86_400;
const NAMESPACES: [&str; 4] = ["shop", "bank", "left", "none-of-it"];

fn any_record() -> impl Strategy<Value = WorkflowExecutionAudit> {
    let text = |values: &[&'static str]| select(values.to_vec()).prop_map(str::to_owned);
    (
        (text(&["restart", "scale"]), text(&["v1", "v2"]), text(&NAMESPACES)),
        (text(&["oom", "disk"]), text(&["Pod", "Node"])),
        (select(vec![Outcome::Success, Outcome::Failed]), select(vec![Status::Completed, Status::Failed])),
        (-200..0_i64, 0..DAY / 60),
        select(vec!["", "timeout after 3 s", "disk full"]),
    )
        .prop_map(
            |((workflow, version, namespace), (incident, kind), (outcome, status), (day, minute), error)| {
                let mut it = record("");
                it.workflow_name = workflow;
                it.workflow_version = version;
                it.namespace = Some(namespace);
                it.incident_type = Some(incident);
                it.target.get_or_insert_default().kind = Some(kind);
                (it.outcome, it.status) = (outcome, status);
                it.created_at = at(day * DAY + 60 * minute);
                it.started_at = Some(it.created_at);
                it.completed_at = at(day * DAY + 60 * minute + 30);
                it.error_message = error.to_owned();
                it
            },
        )
}

/// Of `shop` what was created since the beginning of a day that is not told apart any more but by its month, of `bank` all,
/// of `left` what was created since hours ago.
fn reach() -> Reach {
    let since = [("shop", at(-120 * DAY)), ("bank", at(-1000 * DAY)), ("left", at(-DAY))];
    let namespaces = since.map(|(name, since)| (name.to_owned(), since));
    Reach::of([("all".to_owned(), Within::Namespaces(namespaces.into()))])
}

/// A log with all of these, and one with only what may be read.
async fn filled() -> (TempDir, SharedStore, Vec<WorkflowExecutionAudit>) {
    let dir = tempfile::tempdir().unwrap();
    let store: SharedStore =
        Arc::new(SqliteStore::open(dir.path().join("test.db"), Options::default()).unwrap());
    let mut runner = TestRunner::deterministic();
    let mut records = Vec::new();
    for n in 0..400 {
        let mut next = any_record().new_tree(&mut runner).unwrap().current();
        next.id = format!("{n}");
        records.push(next);
    }
    let reach = reach();
    let seen: Vec<_> = records.iter().filter(|it| reach.sees("all", it)).cloned().collect();
    for (log, records) in [("all", &records), ("seen", &seen)] {
        open(store.as_ref(), log).await;
        for some in records.chunks(100) {
            let drafts = some.iter().map(|it| from_producer(it.clone(), None));
            store.append(log, batch(drafts), at(0)).await.unwrap();
        }
        let said = records.iter().filter(|it| it.id.ends_with(['1', '5', '7'])).map(|it| {
            DraftContent::Review(ReviewDraft {
                execution_id: it.id.clone(),
                attempt: None,
                verdict: Verdict::Harmful,
                note: String::new(),
                actor: "jo".to_owned(),
                stands: false,
            })
        });
        store.append(log, batch(said.collect::<Vec<_>>()), at(1)).await.unwrap();
        while store.fold(log).await.unwrap() != Folding::Done {}
    }
    (dir, store, seen)
}

fn scoped(store: &SharedStore, reach: Reach) -> Scoped {
    Scoped::within(Arc::clone(store), Arc::new(reach))
}

#[tokio::test]
async fn lists_and_counts_have_what_may_be_read_in_few_namespaces_and_in_many() {
    let (_dir, store, mut seen) = filled().await;
    seen.sort_by_key(|it| (std::cmp::Reverse(it.created_at), it.id.clone()));
    let few = reach();
    let Some(Within::Namespaces(namespaces)) = few.of_log("all") else { panic!("they are namespaces") };
    let mut many = namespaces.clone();
    many.extend((0..20).map(|n| (format!("empty-{n}"), at(0))));
    let many = Reach::of([("all".to_owned(), Within::Namespaces(many))]);
    for (reach, is_few) in [(few, true), (many, false)] {
        let scoped = scoped(&store, reach);
        for filter in [
            Filter::default(),
            Filter { workflow: Some("scale".to_owned()), ..Filter::default() },
            Filter { namespace: Some("bank".to_owned()), since: Some(at(-150 * DAY)), ..Filter::default() },
            Filter { namespace: Some("none-of-it".to_owned()), ..Filter::default() },
            Filter { log: Some("seen".to_owned()), ..Filter::default() },
        ] {
            assert_eq!(
                scoped.lanes(&filter).is_some(),
                is_few || filter.namespace.is_some() || filter.log.is_some()
            );
            let passes = |it: &&WorkflowExecutionAudit| filter.passes("all", it, true);
            let expected: Vec<&String> = seen.iter().filter(passes).map(|it| &it.id).collect();
            for limit in [1, 7, 1000] {
                let mut found: Vec<Listed> = Vec::new();
                loop {
                    let after = found.last().map(|it| {
                        let record = &it.execution.record;
                        Cursor {
                            created_at: record.created_at,
                            log: it.log.clone(),
                            id: record.id.clone(),
                            attempt: record.attempt,
                        }
                    });
                    let page = scoped.list(&filter, after.as_ref(), limit).await.unwrap();
                    assert!(page.rows.len() <= limit as usize);
                    found.extend(page.rows);
                    if !page.more {
                        break;
                    }
                }
                let found: Vec<&String> = found.iter().map(|it| &it.execution.record.id).collect();
                assert_eq!(found, expected, "{filter:?}");
            }
            assert_eq!(scoped.count(&filter, 1000).await.unwrap(), expected.len() as u64);
        }
    }
}

/// Statistics as they are of a log that never had the rest, but for the bucket in which a namespace began.
#[tokio::test]
async fn sums_are_of_what_may_be_read() {
    let (_dir, store, seen) = filled().await;
    let scoped = scoped(&store, reach());
    // Nothing is left of `shop` in the month in which it began: what is asked begins later.
    let from = Hour::of(at(-80 * DAY));
    let mut asked = Vec::new();
    let strata = [
        Stratum::default(),
        Stratum { workflow: Some("scale"), ..Stratum::default() },
        Stratum { incident_type: Some("oom"), ..Stratum::default() },
        Stratum { target_kind: Some("Pod"), version: Some("v1"), ..Stratum::default() },
        Stratum { incident_type: Some("oom"), target_kind: Some("Pod"), ..Stratum::default() },
        Stratum { namespace: Some("bank"), ..Stratum::default() },
        Stratum { namespace: Some("none-of-it"), target_kind: Some("Pod"), ..Stratum::default() },
    ];
    for of in &strata {
        for by_version in [false, true] {
            asked.push(Keys::of_runs(of, by_version));
        }
        let texts = [of.workflow, of.version, of.namespace, of.incident_type, of.target_kind];
        // Steps alone are told apart by no namespace.
        if of.workflow.is_some() {
            asked.push((View::Steps, Keys::of(Key::default(), &texts[..2])));
        }
        asked.extend([View::Strata, View::Texts].map(|view| (view, Keys::of(Key::default(), &texts))));
    }
    let mut wanted = Vec::new();
    for (view, keys) in asked {
        for (by, part) in [(None, Part::All), (Some(Level::Day), Part::Ended)] {
            let keys = keys.clone();
            wanted.push(WantedCells { view, keys, from, until: Hour::of(at(DAY)), by, part });
        }
    }
    let found = scoped.cells("all", &wanted).await.unwrap();
    let expected = store.cells("seen", &wanted).await.unwrap();
    let mut nonempty = 0;
    for ((found, expected), wanted) in found.cells.iter().zip(&expected.cells).zip(&wanted) {
        let cells = |placed: &[crate::store::Placed]| {
            let placed = placed
                .iter()
                .map(|(stretch, key, cell)| (wanted.by.map(|_| *stretch), key.clone(), cell.clone()));
            placed.collect::<Vec<_>>()
        };
        assert_eq!(cells(found), cells(expected), "{wanted:?}");
        nonempty += usize::from(!found.is_empty());
    }
    assert!(nonempty > 40 && nonempty < wanted.len(), "{nonempty} of {}", wanted.len());
    // Of the time before, nothing that is not there: each of its months is whole or missing.
    let all = WantedCells { from: Hour::of(at(-300 * DAY)), ..wanted[0].clone() };
    let runs = |placed: &[crate::store::Placed]| {
        let runs = placed.iter().map(|(_, _, cell)| match cell {
            Cell::Runs(runs) => runs.ended.values().sum::<i64>(),
            _ => 0,
        });
        runs.sum::<i64>()
    };
    let found = scoped.cells("all", std::slice::from_ref(&all)).await.unwrap();
    let found = usize::try_from(runs(&found.cells[0])).unwrap();
    assert!(found <= seen.len() && found > seen.len() / 2, "{found} of {}", seen.len());
}

#[tokio::test]
async fn what_is_in_flight_and_what_disagrees_is_of_what_may_be_read() {
    let (_dir, store, _) = filled().await;
    let in_namespace = |n: usize| {
        let mut it = tracked(&format!("running-{n}"), Some(at(-60)));
        it.namespace = NAMESPACES[n % 4].to_owned();
        it.state = TrackedState::Open;
        it.running = Some(running(["restart", "scale"][n % 2], at(-60 + i64::try_from(n).unwrap())));
        it
    };
    for (log, which) in [("all", vec![0, 1, 2, 3, 4, 5, 6, 7]), ("seen", vec![0, 1, 2, 4, 5, 6])] {
        let seen = which.into_iter().map(|n| TrackingChange::Seen(in_namespace(n)));
        store.append(log, tracking(seen.collect::<Vec<_>>()), at(2)).await.unwrap();
    }
    let scoped = scoped(&store, reach());
    for limit in [2, 100] {
        for filter in [
            InFlightFilter::default(),
            InFlightFilter { namespace: Some("bank".to_owned()), ..InFlightFilter::default() },
            InFlightFilter { namespace: Some("none-of-it".to_owned()), ..InFlightFilter::default() },
        ] {
            let found = scoped.in_flight("all", &filter, limit).await.unwrap();
            let mut expected = store.in_flight("seen", &filter, limit).await.unwrap();
            if filter.namespace.as_deref() == Some("none-of-it") {
                expected = InFlight::default();
            }
            assert_eq!(found, expected, "{filter:?}");
        }
    }
    let ids = async |store: &dyn Store, log: &str| {
        let mut wanted = WantedDisagreements { log: log.to_owned(), workflow: None, before: None, limit: 10 };
        let mut ids = Vec::new();
        loop {
            let found = store.disagreements(&wanted).await.unwrap();
            ids.extend(found.found.into_iter().map(|it| it.review.review.execution_id));
            wanted.before = found.next;
            if found.next.is_none() {
                return ids;
            }
        }
    };
    let (mut found, mut expected) = (ids(&scoped, "all").await, Vec::new());
    for id in ids(store.as_ref(), "all").await {
        let of = Wanted { id: id.clone(), log: Some("all".to_owned()), attempt: None };
        if matches!(scoped.get(&of).await.unwrap(), Lookup::Found(_)) {
            expected.push(id);
        }
    }
    found.sort();
    expected.sort();
    assert!(!found.is_empty());
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_may_not_be_read_is_answered_like_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let store: SharedStore =
        Arc::new(SqliteStore::open(dir.path().join("test.db"), Options::default()).unwrap());
    let of = |id: &str, namespace: &str| {
        let it = WorkflowExecutionAudit { namespace: Some(namespace.to_owned()), ..record(id) };
        from_producer(it, None)
    };
    for (log, drafts) in [
        ("one", vec![of("mine", "shop"), of("both", "shop"), of("theirs", "bank"), of("split", "bank")]),
        ("two", vec![of("both", "shop"), of("split", "shop")]),
    ] {
        open(store.as_ref(), log).await;
        store.append(log, batch(drafts), at(1)).await.unwrap();
    }
    let shop = || Within::Namespaces([("shop".to_owned(), at(-DAY))].into());
    let scoped = scoped(&store, Reach::of([("one".to_owned(), shop()), ("two".to_owned(), shop())]));
    let get = async |id: &str, log: Option<&str>, attempt| {
        let wanted = Wanted { id: id.to_owned(), log: log.map(str::to_owned), attempt };
        match scoped.get(&wanted).await.unwrap() {
            Lookup::Found(detail) => format!("in {}", detail.log),
            Lookup::NotInLog { elsewhere } => format!("not there, but in {elsewhere:?}"),
            Lookup::Ambiguous { logs } => format!("in {logs:?}"),
            other => format!("{other:?}"),
        }
    };
    for (id, log, attempt, expected) in [
        ("mine", None, None, "in one"),
        ("mine", Some("two"), None, "not there, but in [\"one\"]"),
        ("mine", Some("one"), Some(2), "NoAttempt { latest: 1 }"),
        ("both", None, None, "in [\"one\", \"two\"]"),
        ("both", Some("two"), None, "in two"),
        ("split", None, None, "in two"),
        ("split", Some("one"), None, "not there, but in [\"two\"]"),
        ("split", None, Some(1), "in two"),
        ("theirs", None, None, "not there, but in []"),
        ("theirs", None, Some(2), "not there, but in []"),
        ("theirs", Some("one"), None, "not there, but in []"),
        ("theirs", Some("one"), Some(2), "not there, but in []"),
        ("nobody's", Some("one"), Some(2), "not there, but in []"),
        ("nobody's", None, None, "not there, but in []"),
    ] {
        assert_eq!(get(id, log, attempt).await, expected, "{id} {log:?} {attempt:?}");
    }
    assert!(matches!(scoped.entries("one", Which::All, 0, 1).await, Err(StoreError::Foreign(_))));
    assert!(matches!(scoped.tiles("one", &[]).await, Err(StoreError::Foreign(_))));
    assert_eq!(scoped.logs().await.unwrap().len(), 2);
}
