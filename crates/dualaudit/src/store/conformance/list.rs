//! Lists, against a plain list in memory.

use std::{cmp::Reverse, sync::Arc};

use dualaudit_record::{
    WorkflowExecutionAudit,
    execution::{Outcome, Status, Target},
};
use proptest::{
    bool::weighted,
    collection::{btree_map, vec},
    option,
    prelude::{Just, Strategy, any},
    prop_oneof,
    sample::select,
    strategy::ValueTree as _,
    test_runner::TestRunner,
};

use super::{
    Maintained,
    purge::{part, weigh_in},
    sample::{at, batch, from_producer, open, record},
};
use crate::store::{Cursor, Filter, LabelRequirement, Listed, Page, Reach, Store, Within};

const LOGS: [&str; 2] = ["one", "two"];

fn label_key() -> impl Strategy<Value = String> {
    select(vec!["team", "a.b/c", "quote\"d", "tab\there", "ключ"]).prop_map(str::to_owned)
}

fn label_value() -> impl Strategy<Value = String> {
    select(vec!["", "x", "é\\", "null"]).prop_map(str::to_owned)
}

/// Records that collide in everything lists are filtered and ordered by.
fn any_record() -> impl Strategy<Value = WorkflowExecutionAudit> {
    let text = |values: Vec<&'static str>| select(values).prop_map(str::to_owned);
    (
        (
            (0..4i64, 0..4i64),
            1..3u32,
            text(vec!["restart", "scale", "ü"]),
            text(vec!["v1", ""]),
            text(vec!["", "rem-1"]),
        ),
        (
            select(vec![Outcome::Success, Outcome::Failed]),
            select(vec![Status::Completed, Status::Cancelled, Status::Deleted]),
        ),
        (
            option::of(text(vec!["shop", "bank", "quote\"d"])),
            option::of(text(vec!["web-1", "web-2"])),
            option::of(text(vec!["oom"])),
            option::of(any_target()),
        ),
        (
            select(vec![0, 5, 1 << 52]),
            select(vec![0.0, 0.3, 1.0]),
            btree_map(label_key(), label_value(), 0..3),
        ),
        "[a-cé]{1,3}",
    )
        .prop_map(|(identity, ends, places, numbers, id)| {
            let ((second, ended), attempt, workflow_name, workflow_version, remediation_id) = identity;
            let (namespace, name, incident_type, target) = places;
            let (total_duration, effectiveness_score, labels) = numbers;
            WorkflowExecutionAudit {
                created_at: at(second),
                completed_at: at(ended),
                attempt,
                workflow_name,
                workflow_version,
                remediation_id,
                outcome: ends.0,
                status: ends.1,
                cluster: namespace.clone(),
                namespace,
                name,
                incident_type,
                target,
                total_duration,
                effectiveness_score,
                labels,
                ..record(&id)
            }
        })
}

fn any_target() -> impl Strategy<Value = Target> {
    (option::of(select(vec!["Pod", "Deployment"])), option::of(select(vec!["cart", "a/b"]))).prop_map(
        |(kind, name)| Target {
            api_version: Some("v1".to_owned()),
            kind: kind.map(str::to_owned),
            namespace: None,
            name: name.map(str::to_owned),
        },
    )
}

fn any_requirement() -> impl Strategy<Value = LabelRequirement> {
    prop_oneof![
        (label_key(), vec(label_value(), 1..3)).prop_map(|(key, values)| LabelRequirement::In(key, values)),
        (label_key(), vec(label_value(), 1..3))
            .prop_map(|(key, values)| LabelRequirement::NotIn(key, values)),
        label_key().prop_map(LabelRequirement::Exists),
        label_key().prop_map(LabelRequirement::Absent),
    ]
}

/// Filters of a few parts: each part is given one time in six.
fn any_filter() -> impl Strategy<Value = Filter> {
    fn rarely<T: Strategy>(part: T) -> impl Strategy<Value = Option<T::Value>>
    where
        T::Value: Clone + std::fmt::Debug,
    {
        option::weighted(0.17, part)
    }
    let text = |values: Vec<&'static str>| rarely(select(values).prop_map(str::to_owned));
    (
        (
            text(vec!["one", "two", "three"]),
            text(vec!["restart", "ü", "none"]),
            text(vec!["v1", ""]),
            text(vec!["", "rem-1"]),
        ),
        (
            rarely(Just(Outcome::Failed)),
            rarely(Just(Status::Deleted)),
            text(vec!["shop"]),
            text(vec!["bank", ""]),
        ),
        (
            text(vec!["oom", ""]),
            text(vec!["cart", "Pod/cart", "Pod/a/b", "Pod/"]),
            text(vec!["Pod", ""]),
            (rarely(0..5i64), rarely(0..5i64)),
        ),
        (
            rarely(0..5i64),
            rarely(0..5i64),
            rarely(select(vec![0u64, 5, u64::MAX])),
            rarely(select(vec![0u64, 5])),
        ),
        (
            rarely(Just(0.3)),
            rarely(Just(0.3)),
            vec(any_requirement(), 0..2),
            weighted(0.17),
            text(vec!["web-1", ""]),
            rarely(any_reach().prop_map(Arc::new)),
        ),
    )
        .prop_map(|(names, ends, places, ranges, rest)| Filter {
            log: names.0,
            workflow: names.1,
            version: names.2,
            remediation_id: names.3,
            outcome: ends.0,
            status: ends.1,
            cluster: ends.2,
            namespace: ends.3,
            incident_type: places.0,
            target: places.1,
            target_kind: places.2,
            completed_since: places.3.0.map(at),
            completed_until: places.3.1.map(at),
            since: ranges.0.map(at),
            until: ranges.1.map(at),
            min_duration: ranges.2,
            max_duration: ranges.3,
            min_score: rest.0,
            max_score: rest.1,
            labels: rest.2,
            counted: rest.3,
            name: rest.4,
            review: None,
            within: rest.5,
        })
}

/// Whole logs, namespaces of others, and nothing at all.
fn any_reach() -> impl Strategy<Value = Reach> {
    let namespaces = btree_map(
        select(vec!["shop", "bank", "quote\"d"]).prop_map(str::to_owned),
        (0..4i64).prop_map(at),
        0..3,
    );
    let within = prop_oneof![Just(Within::Whole), namespaces.prop_map(Within::Namespaces)];
    btree_map(select(vec!["one", "two", "three"]).prop_map(str::to_owned), within, 0..3).prop_map(Reach::of)
}

/// Whether rates are of a record, among all that there are.
fn counts(log: &str, record: &WorkflowExecutionAudit, all: &[(&str, WorkflowExecutionAudit)]) -> bool {
    let is_later = |(of, other): &(&str, WorkflowExecutionAudit)| {
        *of == log && other.id == record.id && other.attempt > record.attempt
    };
    !matches!(record.status, Status::Cancelled | Status::Deleted) && !all.iter().any(is_later)
}

fn cursor(listed: &Listed) -> Cursor {
    let record = &listed.execution.record;
    Cursor {
        created_at: record.created_at,
        log: listed.log.clone(),
        id: record.id.clone(),
        attempt: record.attempt,
    }
}

async fn in_pages(store: &dyn Store, filter: &Filter, size: u32) -> Vec<Listed> {
    let mut found: Vec<Listed> = Vec::new();
    loop {
        let after = found.last().map(cursor);
        let Page { rows, more } = store.list(filter, after.as_ref(), size).await.unwrap();
        assert!(rows.len() <= size as usize && (!more || !rows.is_empty()));
        found.extend(rows);
        if !more {
            let after = found.last().map(cursor);
            assert_eq!(store.list(filter, after.as_ref(), size).await.unwrap().rows, found[..0]);
            return found;
        }
    }
}

pub(crate) async fn a_page_of_large_rows_ends_early_and_says_so(store: &dyn Store) {
    open(store, "one").await;
    for n in 0..10 {
        let large = WorkflowExecutionAudit {
            created_at: at(-n / 3),
            error_message: "x".repeat(1_500_000),
            ..record(&n.to_string())
        };
        store.append("one", batch([from_producer(large, None)]), at(1)).await.unwrap();
    }
    let page = store.list(&Filter::default(), None, 100).await.unwrap();
    assert_eq!((page.rows.len(), page.more), (5, true));
    let ids: Vec<String> = in_pages(store, &Filter::default(), 100)
        .await
        .into_iter()
        .map(|row| row.execution.record.id)
        .collect();
    assert_eq!(ids, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

pub(crate) async fn pages_join_to_the_whole_list_whatever_the_filter(store: &dyn Store) {
    let mut runner = TestRunner::deterministic();
    let mut generated = |strategy: &dyn Fn(&mut TestRunner) -> WorkflowExecutionAudit| strategy(&mut runner);
    let mut model = Vec::new();
    for log in LOGS {
        open(store, log).await;
        let mut records: Vec<WorkflowExecutionAudit> =
            (0..150).map(|_| generated(&|runner| any_record().new_tree(runner).unwrap().current())).collect();
        records.sort_by(|a, b| (&a.id, a.attempt).cmp(&(&b.id, b.attempt)));
        records.dedup_by(|a, b| (&a.id, a.attempt) == (&b.id, b.attempt));
        // In one log later attempts come first.
        if log == "two" {
            records.reverse();
        }
        let drafts = records.iter().map(|record| from_producer(record.clone(), None));
        store.append(log, batch(drafts), at(1)).await.unwrap();
        model.extend(records.into_iter().map(|record| (log, record)));
    }
    model.sort_by_key(|(log, record)| (Reverse(record.created_at), *log, record.id.clone(), record.attempt));
    let mut runner = TestRunner::deterministic();
    let mut nonempty = 0;
    for _ in 0..400 {
        let filter = any_filter().new_tree(&mut runner).unwrap().current();
        let size = any::<u32>().new_tree(&mut runner).unwrap().current() % 40 + 1;
        let expected: Vec<_> = model
            .iter()
            .filter(|(log, record)| {
                filter.passes(log, record, true) && (!filter.counted || counts(log, record, &model))
            })
            .map(|(log, record)| {
                let bare = WorkflowExecutionAudit {
                    step_executions: Vec::new(),
                    adaptive_adjustments: Vec::new(),
                    ..record.clone()
                };
                ((*log).to_owned(), bare)
            })
            .collect();
        let found: Vec<_> = in_pages(store, &filter, size)
            .await
            .into_iter()
            .map(|listed| (listed.log, listed.execution.record))
            .collect();
        assert_eq!(found, expected, "{filter:?} in pages of {size}");
        for most in [1, size, 1000] {
            let counted = store.count(&filter, most).await.unwrap();
            assert_eq!(counted, expected.len().min(most as usize) as u64, "{filter:?} of {most}");
        }
        nonempty += usize::from(!found.is_empty());
    }
    assert!(nonempty > 100, "the filters find something: {nonempty} of 400");
}

pub(crate) async fn only_the_last_attempt_counts_whatever_became_of_it(store: &impl Maintained) {
    open(&**store, "one").await;
    open(&**store, "two").await;
    let ended = |id: &str, attempt, status| {
        let record = WorkflowExecutionAudit { attempt, status, outcome: Outcome::Failed, ..record(id) };
        from_producer(record, None)
    };
    let first = [
        ended("again", 1, Status::Failed),
        ended("late", 2, Status::Completed),
        ended("purged", 1, Status::Completed),
        ended("ended", 1, Status::Completed),
        ended("cancelled", 1, Status::Cancelled),
        ended("deleted", 1, Status::Deleted),
        ended("timed-out", 1, Status::TimedOut),
    ];
    store.append("one", batch(first), at(1)).await.unwrap();
    let then = [
        ended("again", 2, Status::Failed),
        ended("late", 1, Status::Failed),
        ended("purged", 2, Status::Completed),
        ended("ended", 2, Status::Cancelled),
    ];
    store.append("one", batch(then), at(2)).await.unwrap();
    // Another log has executions of its own.
    store.append("two", batch([ended("timed-out", 2, Status::Failed)]), at(3)).await.unwrap();
    let counted = async |log: Option<&str>| {
        let log = log.map(str::to_owned);
        let filter = Filter { counted: true, outcome: Some(Outcome::Failed), log, ..Filter::default() };
        let found = in_pages(&**store, &filter, 2).await;
        let name = |row: Listed| format!("{} {}", row.execution.record.id, row.execution.record.attempt);
        found.into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(counted(Some("one")).await, ["again 2", "late 2", "purged 2", "timed-out 1"]);
    assert_eq!(counted(None).await, ["again 2", "late 2", "purged 2", "timed-out 1", "timed-out 2"]);
    let weighed = weigh_in(&**store, "one", at(1_000), 100).await;
    let goes = weighed.into_iter().filter(|it| (it.id.as_str(), it.attempt) == ("purged", 2)).collect();
    store.append("one", batch([part(1, goes)]), at(100)).await.unwrap();
    // Now, and once its row is gone, too.
    let left = ["again 2", "late 2", "timed-out 1"];
    assert_eq!(counted(Some("one")).await, left);
    assert_eq!(store.remove_purged().await.executions, 1);
    assert_eq!(counted(Some("one")).await, left);
}

pub(crate) async fn pages_miss_and_repeat_nothing_while_others_insert(store: &dyn Store) {
    open(store, "one").await;
    let at_second = |id: String, second: i64| {
        from_producer(WorkflowExecutionAudit { created_at: at(second), ..record(&id) }, None)
    };
    let before: Vec<_> = (0..200).map(|n| at_second(format!("old-{n:03}"), n % 7)).collect();
    store.append("one", batch(before), at(1)).await.unwrap();
    let mut found: Vec<Listed> = Vec::new();
    for round in 0.. {
        let after = found.last().map(cursor);
        let Page { rows, more } = store.list(&Filter::default(), after.as_ref(), 9).await.unwrap();
        found.extend(rows);
        if !more {
            break;
        }
        let more = (0..3).map(|n| at_second(format!("new-{round}-{n}"), (round + n) % 7));
        store.append("one", batch(more), at(1)).await.unwrap();
        assert!(round < 10_000, "it ends");
    }
    let old = found.iter().filter(|listed| listed.execution.record.id.starts_with("old")).count();
    assert_eq!(old, 200);
    let cursors: Vec<_> = found.iter().map(cursor).collect();
    assert!(cursors.is_sorted_by_key(|at| (
        Reverse(at.created_at),
        at.log.clone(),
        at.id.clone(),
        at.attempt
    )));
    assert!(cursors.windows(2).all(|pair| pair[0] != pair[1]));
}
