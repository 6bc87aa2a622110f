//! Appends of executions.

use std::sync::Arc;

use dualaudit_record::{Entry, EntryKind, WorkflowExecutionAudit};

use super::{
    check::check_log,
    sample::{
        LOG, append as append_drafts, at, batch, detail, from_producer, from_resource, open, receipt, record,
        started, stored,
    },
};
use crate::store::{Answer, Receipt, ReceiptResult, Refusal, Store, StoreError};

fn result(answer: &Answer) -> ReceiptResult {
    match answer {
        Answer::Stored(receipt) => receipt.result,
        other => panic!("not stored: {other:?}"),
    }
}

pub(crate) async fn a_record_gets_a_receipt_and_comes_back_field_for_field(store: &dyn Store) {
    open(store, LOG).await;
    let sent = record("a");
    let receipt = stored(store, from_resource(sent.clone())).await;
    assert_eq!((receipt.id.as_str(), receipt.log.as_str(), receipt.index), ("a", LOG, 0));
    assert_eq!((receipt.attempt, receipt.revision), (Some(1), Some(1)));
    assert_eq!((receipt.recorded_at, receipt.result), (at(100), ReceiptResult::Created));
    let entries = check_log(store, LOG).await;
    assert_eq!(entries[0].leaf_hash, receipt.leaf_hash);
    let Some(Entry::Execution(found)) = entries[0].body.entry() else { panic!("an execution") };
    assert_eq!(found.record, sent);
    assert!(found.source_digest.is_some());

    let bare = WorkflowExecutionAudit {
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        cluster: None,
        namespace: None,
        name: None,
        source: None,
        started_at: None,
        queued_duration: None,
        incident_type: None,
        target: None,
        labels: Default::default(),
        remediation_id: String::new(),
        ..record("bare")
    };
    stored(store, from_producer(bare.clone(), None)).await;
    let detail = detail(store, "bare").await;
    assert_eq!(detail.revisions[0].0.record, bare);
    check_log(store, LOG).await;
}

pub(crate) async fn a_batch_is_answered_in_its_order_and_its_entries_are_dense(store: &dyn Store) {
    open(store, LOG).await;
    for round in 0..3 {
        let ids: Vec<String> = (0..100).map(|n| format!("{round}-{}", (n * 37) % 100)).collect();
        let answers = append_drafts(store, ids.iter().map(|id| from_resource(record(id)))).await;
        for (place, (answer, id)) in answers.into_iter().zip(&ids).enumerate() {
            let receipt = receipt(answer);
            assert_eq!((&receipt.id, receipt.index), (id, round * 100 + place as u64));
        }
    }
    assert_eq!(check_log(store, LOG).await.len(), 300);
}

pub(crate) async fn recorded_at_never_runs_backwards(store: &dyn Store) {
    open(store, LOG).await;
    for (id, now, recorded_at) in [("a", 100, 100), ("b", 40, 100), ("c", 101, 101)] {
        let answers = store.append(LOG, batch([from_resource(record(id))]), at(now)).await.unwrap();
        assert_eq!(receipt(answers[0].clone()).recorded_at, at(recorded_at));
    }
    check_log(store, LOG).await;
}

pub(crate) async fn what_is_sent_again_answers_with_its_first_receipt(store: &dyn Store) {
    open(store, LOG).await;
    for content in [from_resource(record("a")), from_producer(record("b"), None)] {
        let first = stored(store, content.clone()).await;
        let again = store.append(LOG, batch([content]), at(500)).await.unwrap();
        let expected = Receipt { result: ReceiptResult::Duplicate, ..first };
        assert_eq!(again, [Answer::Stored(expected)]);
    }
    assert_eq!(check_log(store, LOG).await.len(), 2);
}

pub(crate) async fn a_record_twice_in_one_batch_is_stored_once(store: &dyn Store) {
    open(store, LOG).await;
    let answers = append_drafts(
        store,
        [
            from_producer(record("a"), None),
            from_producer(record("b"), None),
            from_producer(record("a"), None),
        ],
    )
    .await;
    let receipts: Vec<Receipt> = answers.into_iter().map(receipt).collect();
    assert_eq!(receipts[2].index, receipts[0].index);
    assert_eq!(receipts[2].leaf_hash, receipts[0].leaf_hash);
    assert_eq!(receipts[2].result, ReceiptResult::Duplicate);
    assert_eq!(check_log(store, LOG).await.len(), 2);
}

pub(crate) async fn another_content_from_a_producer_is_refused_and_stops_nothing_else(store: &dyn Store) {
    open(store, LOG).await;
    stored(store, from_producer(record("a"), None)).await;
    let changed = WorkflowExecutionAudit { error_message: "another".to_owned(), ..record("a") };
    let answers = append_drafts(
        store,
        [from_producer(record("b"), None), from_producer(changed, None), from_producer(record("c"), None)],
    )
    .await;
    assert_eq!(result(&answers[0]), ReceiptResult::Created);
    assert_eq!(answers[1], Answer::Refused(Refusal::Conflict { latest_revision: 1 }));
    assert_eq!(result(&answers[2]), ReceiptResult::Created);
    let second = WorkflowExecutionAudit { attempt: 2, ..record("a") };
    assert_eq!(stored(store, from_producer(second, None)).await.attempt, Some(2));
    assert_eq!(check_log(store, LOG).await.len(), 4);
}

pub(crate) async fn an_amendment_keeps_the_old_revision_and_its_created_at(store: &dyn Store) {
    open(store, LOG).await;
    let first = record("a");
    let second = WorkflowExecutionAudit {
        effectiveness_score: 0.25,
        created_at: at(-99),
        target: None,
        ..record("a")
    };
    stored(store, from_producer(first.clone(), None)).await;
    let amended = stored(store, from_producer(second.clone(), Some(1))).await;
    assert_eq!((amended.revision, amended.result, amended.index), (Some(2), ReceiptResult::Amended, 1));
    let detail = detail(store, "a").await;
    let kept = WorkflowExecutionAudit { created_at: first.created_at, ..second.clone() };
    let records: Vec<_> = detail.revisions.iter().map(|(execution, _)| &execution.record).collect();
    assert_eq!(records, [&kept, &first]);
    // Each revision still answers with its own receipt.
    assert_eq!(stored(store, from_producer(first, None)).await.index, 0);
    assert_eq!(stored(store, from_producer(second, None)).await.index, 1);
    assert_eq!(check_log(store, LOG).await.len(), 2);
}

pub(crate) async fn a_record_that_differs_in_created_at_only_is_a_duplicate(store: &dyn Store) {
    open(store, LOG).await;
    let moved = |record| WorkflowExecutionAudit { created_at: at(-99), ..record };
    let first = record("a");
    let second = WorkflowExecutionAudit { effectiveness_score: 0.25, ..first.clone() };
    stored(store, from_producer(first.clone(), None)).await;
    for amend in [Some(1), None, Some(7)] {
        let again = stored(store, from_producer(moved(first.clone()), amend)).await;
        assert_eq!((again.result, again.index), (ReceiptResult::Duplicate, 0), "{amend:?}");
    }
    stored(store, from_producer(second.clone(), Some(1))).await;
    let again = stored(store, from_producer(moved(second.clone()), None)).await;
    assert_eq!((again.result, again.index), (ReceiptResult::Duplicate, 1));
    let third = WorkflowExecutionAudit { error_message: "x".to_owned(), ..moved(second) };
    let answers = append_drafts(store, [from_producer(third, None)]).await;
    assert_eq!(answers, [Answer::Refused(Refusal::Conflict { latest_revision: 2 })]);
    assert_eq!(check_log(store, LOG).await.len(), 2);
}

pub(crate) async fn a_difference_that_is_redacted_here_is_a_difference(store: &dyn Store) {
    open(store, LOG).await;
    stored(store, from_producer(record("a"), None)).await;
    let mut sent = from_producer(record("a"), Some(1));
    let crate::store::DraftContent::Execution(draft) = &mut sent else { unreachable!() };
    draft.content_digest = dualaudit_record::digest::Digest([1; 32]);
    assert_eq!(stored(store, sent).await.result, ReceiptResult::Amended);
}

pub(crate) async fn an_amendment_of_another_revision_than_the_latest_is_stale(store: &dyn Store) {
    open(store, LOG).await;
    let changed = |message: &str| WorkflowExecutionAudit { error_message: message.to_owned(), ..record("a") };
    let answers = append_drafts(store, [from_producer(changed("x"), Some(1))]).await;
    assert_eq!(answers, [Answer::Refused(Refusal::Stale { latest_revision: None })]);
    stored(store, from_producer(changed("x"), None)).await;
    stored(store, from_producer(changed("y"), Some(1))).await;
    for named in [1, 3] {
        let answers = append_drafts(store, [from_producer(changed("z"), Some(named))]).await;
        assert_eq!(answers, [Answer::Refused(Refusal::Stale { latest_revision: Some(2) })]);
    }
    assert_eq!(check_log(store, LOG).await.len(), 2);
}

pub(crate) async fn logs_share_nothing(store: &dyn Store) {
    open(store, "one").await;
    open(store, "two").await;
    for log in ["one", "two", "one"] {
        store.append(log, batch([from_resource(record("a"))]), at(100)).await.unwrap();
    }
    store.append("two", batch([from_resource(record("b"))]), at(7)).await.unwrap();
    assert_eq!(check_log(store, "one").await.len(), 1);
    assert_eq!(check_log(store, "two").await.len(), 2);
    let names: Vec<String> = store.logs().await.unwrap().into_iter().map(|head| head.log).collect();
    assert_eq!(names, ["one", "two"]);
}

pub(crate) async fn a_log_that_was_never_opened_takes_nothing(store: &dyn Store) {
    let error = store.append("nowhere", batch([from_resource(record("a"))]), at(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected(_)), "{error}");
    assert!(store.logs().await.unwrap().is_empty());
}

pub(crate) async fn the_tree_is_right_across_its_tiles(store: &dyn Store) {
    open(store, LOG).await;
    let mut sizes = Vec::new();
    for (round, count) in [1, 254, 1, 1, 255, 256, 130].into_iter().enumerate() {
        let drafts = (0..count).map(|n| from_producer(record(&format!("{round}-{n}")), None));
        append_drafts(store, drafts).await;
        sizes.push(check_log(store, LOG).await.len());
    }
    assert_eq!(sizes, [1, 255, 256, 257, 512, 768, 898]);
}

pub(crate) async fn concurrent_appenders_lose_and_repeat_nothing(store: &dyn Store) {
    open(store, LOG).await;
    let appender = |who: usize| async move {
        for n in 0..20 {
            // Every id is sent by two appenders.
            let ids = [format!("{}-{n}", who % 2), format!("own-{who}-{n}")];
            append_drafts(store, ids.iter().map(|id| from_producer(record(id), None))).await;
        }
    };
    futures::future::join_all((0..4).map(appender)).await;
    let entries = check_log(store, LOG).await;
    assert_eq!(entries.len(), 2 * 20 + 4 * 20);
    assert!(entries.iter().all(|entry| entry.kind == EntryKind::Execution));
}

pub(crate) async fn an_empty_batch_changes_nothing(store: &dyn Store) {
    open(store, LOG).await;
    assert_eq!(store.append(LOG, Arc::default(), at(9)).await.unwrap(), []);
    let again = from_resource(started("a", at(0)));
    stored(store, again.clone()).await;
    let before = store.logs().await.unwrap();
    store.append(LOG, batch([again]), at(999)).await.unwrap();
    assert_eq!(store.logs().await.unwrap(), before, "a duplicate moves nothing");
}
