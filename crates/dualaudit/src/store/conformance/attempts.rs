//! Attempts of a resource: how they are numbered, and what overtakes what.

use dualaudit_record::{Entry, EntryKind, WorkflowExecutionAudit, entry::GapCause};

use super::{
    check::check_log,
    sample::{LOG, append, at, batch, from_resource, open, receipt, record, seen, started, stored, tracked},
};
use crate::store::{Batch, ReceiptResult, Store, StoredEntry, Tracked, TrackedState, TrackingChange};

fn gap_of(entry: &StoredEntry) -> &dualaudit_record::entry::Gap {
    match entry.body.entry() {
        Some(Entry::Gap(gap)) => gap,
        other => panic!("no gap: {other:?}"),
    }
}

pub(crate) async fn a_resource_is_amended_when_it_changes_and_numbered_when_it_starts_again(
    store: &dyn Store,
) {
    open(store, LOG).await;
    let scored = WorkflowExecutionAudit { effectiveness_score: 0.5, ..started("a", at(0)) };
    let rerun = started("a", at(600));
    let rerun_scored = WorkflowExecutionAudit { effectiveness_score: 0.5, ..rerun.clone() };
    for (sent, attempt, revision, result) in [
        (started("a", at(0)), 1, 1, ReceiptResult::Created),
        (scored.clone(), 1, 2, ReceiptResult::Amended),
        (scored.clone(), 1, 2, ReceiptResult::Duplicate),
        (rerun.clone(), 2, 1, ReceiptResult::Created),
        (rerun_scored, 2, 2, ReceiptResult::Amended),
        (scored, 1, 2, ReceiptResult::Duplicate),
    ] {
        let receipt = stored(store, from_resource(sent)).await;
        assert_eq!(
            (receipt.attempt, receipt.revision, receipt.result),
            (Some(attempt), Some(revision), result)
        );
    }
    let known = store.known(LOG, &["a".to_owned()]).await.unwrap().remove(0).recorded.pop().unwrap();
    assert_eq!((known.receipt.attempt, known.receipt.revision), (Some(2), Some(2)));
    assert_eq!(known.started_at, rerun.started_at);
    assert_eq!(check_log(store, LOG).await.len(), 4);
}

pub(crate) async fn a_resource_that_returns_to_an_earlier_content_is_a_new_revision(store: &dyn Store) {
    open(store, LOG).await;
    let scored = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("a") };
    for (sent, revision) in [(record("a"), 1), (scored, 2), (record("a"), 3)] {
        assert_eq!(stored(store, from_resource(sent)).await.revision, Some(revision));
    }
    assert_eq!(check_log(store, LOG).await.len(), 3);
}

pub(crate) async fn two_attempts_in_one_batch_are_numbered_in_its_order(store: &dyn Store) {
    open(store, LOG).await;
    let unstarted = WorkflowExecutionAudit { started_at: None, ..record("a") };
    let sent = [started("a", at(0)), started("a", at(600)), unstarted, started("a", at(0))];
    let answers = append(store, sent.map(from_resource)).await;
    let attempts: Vec<_> = answers.into_iter().map(|answer| receipt(answer).attempt).collect();
    assert_eq!(attempts, [Some(1), Some(2), Some(3), Some(1)]);
    assert_eq!(check_log(store, LOG).await.len(), 3);
}

pub(crate) async fn an_attempt_overtaken_unrecorded_leaves_a_gap_before_its_successor(store: &dyn Store) {
    open(store, LOG).await;
    seen(store, tracked("a", Some(at(0)))).await;
    let receipt = stored(store, from_resource(started("a", at(600)))).await;
    assert_eq!((receipt.attempt, receipt.index), (Some(1), 1));
    let entries = check_log(store, LOG).await;
    let gap = gap_of(&entries[0]);
    assert_eq!((&gap.cause, gap.started_at), (&GapCause::Overtaken, Some(at(0))));
    assert_eq!(gap.last_state, tracked("a", None).last_state);
    // The row now stands for the recorded attempt, and says nothing more about the other.
    seen(store, tracked("a", Some(at(600)))).await;
    stored(store, from_resource(started("a", at(600)))).await;
    stored(store, from_resource(started("a", at(900)))).await;
    assert_eq!(check_log(store, LOG).await.len(), 3, "a recorded attempt that is overtaken is no gap");
}

pub(crate) async fn an_attempt_that_is_noted_along_with_its_successor_leaves_a_gap_with_its_last_state(
    store: &dyn Store,
) {
    open(store, LOG).await;
    let began = tracked("a", Some(at(0)));
    let ended = Tracked { phase: "Completed".to_owned(), ..began.clone() };
    for (id, before) in [("a", Some(began)), ("b", Some(tracked("b", None))), ("c", None)] {
        if let Some(before) = before {
            seen(store, before).await;
        }
        let noted = Tracked { id: id.to_owned(), ..ended.clone() };
        let drafts = batch([from_resource(started(id, at(600)))]).drafts.clone();
        let tracking = vec![TrackingChange::Seen(noted)];
        store.append(LOG, Batch { drafts, tracking, ..Batch::default() }.into(), at(100)).await.unwrap();
        let entries = check_log(store, LOG).await;
        let [.., gap, record] = &entries[..] else { panic!("{id}: {entries:?}") };
        assert_eq!((gap_of(gap).execution_id.as_str(), record.kind), (id, EntryKind::Execution));
        assert_eq!((gap_of(gap).started_at, gap_of(gap).last_phase.as_str()), (Some(at(0)), "Completed"));
    }
    assert_eq!(check_log(store, LOG).await.len(), 6);
}

pub(crate) async fn an_older_attempt_that_arrives_late_overtakes_nothing(store: &dyn Store) {
    open(store, LOG).await;
    seen(store, tracked("a", Some(at(600)))).await;
    stored(store, from_resource(started("a", at(0)))).await;
    let entries = check_log(store, LOG).await;
    assert_eq!(entries.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [EntryKind::Execution]);
}

pub(crate) async fn an_execution_that_merely_starts_leaves_no_gap(store: &dyn Store) {
    open(store, LOG).await;
    seen(store, tracked("a", None)).await;
    seen(store, tracked("a", Some(at(0)))).await;
    seen(store, crate::store::Tracked { phase: "Monitoring".to_owned(), ..tracked("a", Some(at(0))) }).await;
    stored(store, from_resource(started("a", at(0)))).await;
    assert_eq!(check_log(store, LOG).await.len(), 1);
}

pub(crate) async fn a_running_attempt_overtaken_by_another_leaves_a_gap(store: &dyn Store) {
    open(store, LOG).await;
    seen(store, tracked("a", Some(at(0)))).await;
    seen(store, tracked("a", Some(at(600)))).await;
    seen(store, tracked("a", Some(at(600)))).await;
    let entries = check_log(store, LOG).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(gap_of(&entries[0]).started_at, Some(at(0)));
    let closed =
        crate::store::Tracked { state: TrackedState::Closed, running: None, ..tracked("a", Some(at(600))) };
    stored(store, from_resource(started("a", at(600)))).await;
    seen(store, closed).await;
    seen(store, tracked("a", Some(at(900)))).await;
    assert_eq!(check_log(store, LOG).await.len(), 2, "a closed attempt that is overtaken is no gap");
}

pub(crate) async fn a_start_that_is_cleared_for_a_while_overtakes_nothing_and_is_not_forgotten(
    store: &dyn Store,
) {
    open(store, LOG).await;
    seen(store, tracked("a", Some(at(0)))).await;
    seen(store, tracked("a", None)).await;
    assert_eq!(store.tracked(LOG, None, 1).await.unwrap()[0].started_at, Some(at(0)));
    seen(store, tracked("a", Some(at(0)))).await;
    assert!(check_log(store, LOG).await.is_empty());
    seen(store, tracked("a", None)).await;
    seen(store, tracked("a", Some(at(600)))).await;
    assert_eq!(gap_of(&check_log(store, LOG).await[0]).started_at, Some(at(0)));
    let closed =
        crate::store::Tracked { state: TrackedState::Closed, running: None, ..tracked("a", Some(at(600))) };
    stored(store, from_resource(started("a", at(600)))).await;
    seen(store, closed).await;
    seen(store, tracked("a", None)).await;
    assert_eq!(store.tracked(LOG, None, 1).await.unwrap()[0].started_at, None, "another attempt");
}
