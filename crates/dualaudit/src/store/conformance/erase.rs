//! Erasures: what they take, what stays, and what keeps them from it.

use dualaudit_record::{
    Entry, EntryKind, WorkflowExecutionAudit,
    entry::{Covers, GapCause, Hold},
    selector::{LabelRequirement, Selector},
};

use super::{
    Maintained,
    check::check_log,
    holds::{release, selecting},
    purge::{part, weigh},
    sample::{
        LOG, append, at, detail, from_producer, from_resource, gap, hold, open, quarantine, record, seen,
        started, stored, tracked, tracking,
    },
};
use crate::store::{
    Answer, DraftContent, EraseDraft, Filter, Lookup, ReceiptResult, Refusal, Removed, Store, StoredBody,
    StoredEntry, Tracked, TrackedState, TrackingChange, Wanted, Which,
};

pub(crate) fn erase(id: &str) -> DraftContent {
    DraftContent::Erase(Box::new(EraseDraft {
        execution_id: id.to_owned(),
        reason: "request 42".to_owned(),
        actor: "privacy".to_owned(),
        seed: [5; 32],
    }))
}

/// The sample with a name that stands nowhere else.
fn of_jane(id: &str) -> WorkflowExecutionAudit {
    let mut record = record(id);
    let jane = || "jane.doe".to_owned();
    record.error_message = jane();
    record.name = Some(jane());
    record.labels.insert("owner".to_owned(), jane());
    record.target.as_mut().unwrap().name = Some(jane());
    record.step_executions[0].name = Some(jane());
    record.step_executions[1].error_message = jane();
    record.adaptive_adjustments[0].reason = jane();
    record.adaptive_adjustments[0].from = Some(jane());
    record
}

fn says(entry: &StoredEntry, what: &str) -> bool {
    format!("{entry:?}").contains(what)
}

async fn refused(store: &dyn Store, id: &str, expected: Refusal) {
    let before = check_log(store, LOG).await;
    assert_eq!(append(store, [erase(id)]).await, [Answer::Refused(expected)]);
    assert_eq!(check_log(store, LOG).await, before);
}

pub(crate) async fn what_is_personal_of_an_execution_goes_and_the_rest_stays(store: &dyn Store) {
    open(store, LOG).await;
    let rerun = WorkflowExecutionAudit { started_at: Some(at(600)), ..of_jane("a") };
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..of_jane("a") };
    append(
        store,
        [
            from_resource(of_jane("a")),
            from_resource(of_jane("b")),
            from_resource(amended),
            from_resource(rerun),
            DraftContent::Gap(gap("a", Some(at(900)), GapCause::Vanished)),
            quarantine("a", "{\"owner\":\"jane.doe\"}"),
        ],
    )
    .await;
    let before = check_log(store, LOG).await;
    let erasure = stored(store, erase("a")).await;
    assert_eq!((erasure.id.as_str(), erasure.index, erasure.result), ("a", 6, ReceiptResult::Created));

    let entries = check_log(store, LOG).await;
    let Some(Entry::Erasure(said)) = entries[6].body.entry() else { panic!("{:?}", entries[6]) };
    let indexes: Vec<u64> = said.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(
        (said.reason.as_str(), said.actor.as_str(), indexes),
        ("request 42", "privacy", vec![0, 2, 3, 4, 5])
    );
    for (entry, before) in entries.iter().zip(&before) {
        assert_eq!(entry.leaf(LOG), before.leaf(LOG), "no leaf changes");
        let is_a = entry.execution_id.as_deref() == Some("a");
        assert_eq!(matches!(entry.body, StoredBody::Erased { by: 6, .. }), is_a);
        assert_eq!(says(entry, "jane.doe"), !is_a, "{entry:?}");
        assert!(!is_a || !says(entry, "run-a") && !says(entry, "\"status\""), "{entry:?}");
    }

    // What is left is shown, and counts as it did.
    let found = detail(store, "a").await;
    assert_eq!(found.erased.map(|erased| (erased.index, erased.erased_at)), Some((6, erasure.recorded_at)));
    let left = &found.revisions[0].0.record;
    let original = of_jane("a");
    assert_eq!(
        (left.outcome, left.status, left.total_duration, &left.workflow_name, left.step_executions.len()),
        (original.outcome, original.status, original.total_duration, &original.workflow_name, 8)
    );
    assert_eq!(left.step_executions[2].action, original.step_executions[2].action);
    assert_eq!(detail(store, "b").await.erased, None);
    let listed = store.list(&Filter::default(), None, 10).await.unwrap().rows;
    assert_eq!(listed.len(), 3);
    let by_label = Filter { labels: vec![LabelRequirement::Exists("owner".to_owned())], ..Filter::default() };
    assert_eq!(store.list(&by_label, None, 10).await.unwrap().rows.len(), 1);
    for attempt in [1, 2] {
        let read = store.read_back(LOG, "a", attempt).await.unwrap().unwrap();
        assert_eq!((read.intact, read.content_digest), (true, None), "what is left is what was promised");
    }
    assert_eq!(weigh(store, at(10_000), 10).await.len(), 3);

    // Asked again, nothing is left to take.
    let again = stored(store, erase("a")).await;
    assert_eq!((again.index, again.result), (6, ReceiptResult::Duplicate));
    assert_eq!(check_log(store, LOG).await.len(), 7);
}

pub(crate) async fn what_was_erased_does_not_come_back(store: &dyn Store) {
    open(store, LOG).await;
    let lost = || DraftContent::Gap(gap("g", None, GapCause::Vanished));
    append(
        store,
        [from_resource(of_jane("a")), from_producer(of_jane("b"), None), lost(), quarantine("q", "{}")],
    )
    .await;
    for id in ["a", "b", "g", "q"] {
        stored(store, erase(id)).await;
    }
    let before = check_log(store, LOG).await;
    assert_eq!(before.len(), 8);
    let other = |id: &str| WorkflowExecutionAudit { workflow_name: "else".to_owned(), ..of_jane(id) };
    for again in [
        from_resource(of_jane("a")),
        from_resource(other("a")),
        from_producer(of_jane("b"), None),
        from_producer(other("b"), None),
        from_producer(other("b"), Some(1)),
        lost(),
        quarantine("q", "{}"),
    ] {
        assert_eq!(stored(store, again).await.result, ReceiptResult::Duplicate);
    }
    assert_eq!(check_log(store, LOG).await, before);
    let known = store.known(LOG, &["a".to_owned(), "q".to_owned()]).await.unwrap();
    assert_eq!(known[0].recorded[0].content_digest, None);
    assert!(known[1].quarantined.is_some(), "it counts as recorded");

    // Another run of it is another record, and can be erased in its turn.
    let rerun = || WorkflowExecutionAudit { started_at: Some(at(600)), ..of_jane("a") };
    let receipt = stored(store, from_resource(rerun())).await;
    assert_eq!((receipt.attempt, receipt.result), (Some(2), ReceiptResult::Created));
    assert_eq!(detail(store, "a").await.erased, None);
    let second = stored(store, erase("a")).await;
    assert_eq!((second.index, second.result), (9, ReceiptResult::Created));
    let entries = check_log(store, LOG).await;
    let Some(Entry::Erasure(said)) = entries[9].body.entry() else { panic!("{:?}", entries[9]) };
    assert_eq!(said.entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), [8]);
    assert_eq!(stored(store, erase("a")).await.index, 9, "the newest");
    assert_eq!(stored(store, from_resource(rerun())).await.result, ReceiptResult::Duplicate);
}

pub(crate) async fn what_somebody_needs_is_not_erased(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_producer(record("a"), None), from_producer(record("b"), None)]).await;
    let amended = WorkflowExecutionAudit { namespace: Some("web".to_owned()), ..record("a") };
    stored(store, from_producer(amended, Some(1))).await;
    refused(store, "nobody", Refusal::NothingRecorded).await;
    let shop = Selector { namespace: Some("shop".to_owned()), ..Selector::default() };
    for place in [hold("a", "case 7"), selecting(shop, "an earlier revision")] {
        let placed = stored(store, place).await;
        refused(store, "a", Refusal::Held { hold: placed.index }).await;
        stored(store, release(placed.index)).await;
    }
    for state in [TrackedState::Open, TrackedState::Closed] {
        seen(store, Tracked { state, running: None, ..tracked("a", None) }).await;
        refused(store, "a", Refusal::InCluster).await;
    }
    store.append(LOG, tracking([TrackingChange::Gone { id: "a".to_owned() }]), at(100)).await.unwrap();
    let goes = weigh(store, at(100), 10).await.into_iter().filter(|found| found.id == "b").collect();
    stored(store, part(1, goes)).await;
    refused(store, "b", Refusal::Purged).await;
    let erasure = stored(store, erase("a")).await;
    let erased = check_log(store, LOG)
        .await
        .into_iter()
        .filter(|entry| matches!(entry.body, StoredBody::Erased { by, .. } if by == erasure.index));
    assert_eq!(erased.count(), 2);
}

pub(in crate::store) async fn what_is_left_can_be_held_and_purged(store: &impl Maintained) {
    let held = |reason: &str| Hold {
        covers: Covers::ExecutionId("a".to_owned()),
        reason: reason.to_owned(),
        actor: "me".to_owned(),
    };
    open(&**store, LOG).await;
    let rerun = || started("a", at(600));
    append(&**store, [from_resource(record("a")), from_resource(rerun()), from_resource(record("b"))]).await;
    // One attempt goes by its time, the other by an erasure.
    let goes = weigh(&**store, at(10_000), 10).await;
    let first = goes.iter().filter(|found| (found.id.as_str(), found.attempt) == ("a", 1)).cloned().collect();
    stored(&**store, part(1, first)).await;
    let erasure = stored(&**store, erase("a")).await;
    let placed = stored(&**store, DraftContent::Hold(held("of what is left"))).await;
    let rest: Vec<_> =
        weigh(&**store, at(10_000), 10).await.into_iter().filter(|found| found.id == "a").collect();
    let [found] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!((found.attempt, found.outcome), (2, record("a").outcome));
    let answer = append(&**store, [part(2, rest.clone())]).await.remove(0);
    assert!(matches!(answer, Answer::Refused(Refusal::Changed(_))), "{answer:?}");
    stored(&**store, release(placed.index)).await;
    let purge = stored(&**store, part(2, rest)).await;
    let entries = check_log(&**store, LOG).await;
    assert_eq!(entries[1].body, StoredBody::Purged { by: purge.index });
    let Some(Entry::Purge(said)) = entries[purge.index as usize].body.entry() else { panic!("a purge") };
    assert_eq!(said.statistics[0].executions, 1, "it counts as it did");
    let wanted = Wanted { id: "a".to_owned(), log: None, attempt: None };
    assert!(matches!(store.get(&wanted).await.unwrap(), Lookup::Purged(_)));
    assert_eq!(store.remove_purged().await, Removed { executions: 2, months: 0 });
    assert_eq!(check_log(&**store, LOG).await, entries, "the log says the same");
    assert_eq!(store.rows().await, 2);
    let late = append(&**store, [DraftContent::Hold(held("late"))]).await.remove(0);
    assert_eq!(late, Answer::Refused(Refusal::Purged));
    assert_eq!(stored(&**store, erase("a")).await.index, erasure.index);
    for again in [record("a"), rerun()] {
        assert_eq!(stored(&**store, from_resource(again)).await.result, ReceiptResult::Duplicate);
    }
}

pub(crate) async fn an_execution_with_very_much_is_erased_in_parts(store: &dyn Store) {
    open(store, LOG).await;
    let mut record = record("a");
    record.labels.clear();
    let revisions = (0..=210_u32).map(|revision| {
        let record = WorkflowExecutionAudit { total_duration: u64::from(revision), ..record.clone() };
        from_producer(record, (revision > 0).then_some(revision))
    });
    for some in revisions.collect::<Vec<_>>().chunks(70) {
        append(store, some.to_vec()).await;
    }
    let first = stored(store, erase("a")).await;
    assert_eq!(first.result, ReceiptResult::Created);
    // What is half erased is not amended any more.
    record.total_duration = 9999;
    assert_eq!(
        stored(store, from_producer(record.clone(), Some(211))).await.result,
        ReceiptResult::Duplicate
    );
    let second = stored(store, erase("a")).await;
    assert_eq!((second.index, second.result), (first.index + 1, ReceiptResult::Created));
    assert_eq!(stored(store, erase("a")).await.result, ReceiptResult::Duplicate);
    let entries = store.entries(LOG, Which::Kind(EntryKind::Erasure), 0, 10).await.unwrap();
    let counts: Vec<usize> = entries
        .iter()
        .map(|entry| match entry.body.entry() {
            Some(Entry::Erasure(said)) => said.entries.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [200, 11]);
    check_log(store, LOG).await;
}
