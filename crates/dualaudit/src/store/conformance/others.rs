//! Entries that are no executions.

use dualaudit_record::{EntryKind, entry::GapCause};

use super::{
    check::check_log,
    sample::{
        LOG, append, at, detail, from_resource, gap, hold, open, quarantine, receipt, record, seen, stored,
        tracked,
    },
};
use crate::store::{Answer, DraftContent, Receipt, ReceiptResult, Store, Tracked, TrackedState};

pub(crate) async fn a_gap_is_recorded_once(store: &dyn Store) {
    open(store, LOG).await;
    let vanished = |started_at| DraftContent::Gap(gap("a", started_at, GapCause::Vanished));
    let first = stored(store, vanished(None)).await;
    assert_eq!((first.index, first.attempt, first.revision), (0, None, None));
    let again = stored(store, vanished(None)).await;
    assert_eq!(again, Receipt { result: ReceiptResult::Duplicate, ..first });
    let released = GapCause::ReleasedUnrecorded { reason: "the disk is gone".to_owned() };
    let answers = append(
        store,
        [vanished(Some(at(0))), vanished(Some(at(0))), DraftContent::Gap(gap("a", None, released))],
    )
    .await;
    let indexes: Vec<u64> = answers.into_iter().map(|answer| receipt(answer).index).collect();
    assert_eq!(indexes, [1, 1, 0], "an attempt is missing once, whatever is said of it later");
    check_log(store, LOG).await;
}

pub(crate) async fn a_gap_of_what_is_accounted_for_is_none(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("recorded")), quarantine("quarantined", "{}")]).await;
    seen(store, Tracked { state: TrackedState::Closed, ..tracked("closed", Some(at(0))) }).await;
    let size = check_log(store, LOG).await.len();
    for (id, started_at) in [
        ("recorded", Some(at(0))),
        ("recorded", None),
        ("quarantined", None),
        ("quarantined", Some(at(9))),
        ("closed", Some(at(0))),
    ] {
        for cause in [GapCause::Vanished, GapCause::ReleasedUnrecorded { reason: "x".to_owned() }] {
            let answers = append(store, [DraftContent::Gap(gap(id, started_at, cause))]).await;
            assert_eq!(answers, [Answer::Accounted], "{id} {started_at:?}");
        }
    }
    assert_eq!(check_log(store, LOG).await.len(), size);
    let later = DraftContent::Gap(gap("recorded", Some(at(600)), GapCause::Vanished));
    assert_eq!(stored(store, later).await.result, ReceiptResult::Created, "another attempt is one");
}

pub(crate) async fn what_went_on_after_its_quarantine_is_a_gap_when_it_is_gone(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [quarantine("a", "{}"), quarantine("b", "{}")]).await;
    for (id, last_seen_at) in [("a", at(100)), ("b", at(101))] {
        seen(store, Tracked { last_seen_at, ..tracked(id, None) }).await;
    }
    let vanished = ["a", "b"].map(|id| DraftContent::Gap(gap(id, None, GapCause::Vanished)));
    let answers = append(store, vanished).await;
    assert_eq!(answers[0], Answer::Accounted);
    assert_eq!(receipt(answers[1].clone()).result, ReceiptResult::Created);
    check_log(store, LOG).await;
}

pub(crate) async fn a_quarantined_object_is_kept_once_for_each_content(store: &dyn Store) {
    open(store, LOG).await;
    let first = stored(store, quarantine("a", r#"{"x":1}"#)).await;
    let again = stored(store, quarantine("a", r#"{"x":1}"#)).await;
    assert_eq!(again, Receipt { result: ReceiptResult::Duplicate, ..first });
    let other = stored(store, quarantine("a", r#"{"x":2}"#)).await;
    assert_eq!((other.index, other.result), (1, ReceiptResult::Created));
    let known = store.known(LOG, &["a".to_owned()]).await.unwrap().remove(0);
    assert_eq!(known.quarantined.unwrap().0, super::sample::object(r#"{"x":2}"#).digest);
    let entries = check_log(store, LOG).await;
    assert!(entries.iter().all(|entry| entry.kind == EntryKind::Quarantine));
}

pub(crate) async fn a_hold_is_placed_once_for_each_reason(store: &dyn Store) {
    open(store, LOG).await;
    let answers =
        append(store, [hold("a", "audit"), hold("a", "audit"), hold("a", "dispute"), hold("b", "audit")])
            .await;
    let receipts: Vec<Receipt> = answers.into_iter().map(receipt).collect();
    let indexes: Vec<u64> = receipts.iter().map(|receipt| receipt.index).collect();
    assert_eq!(indexes, [0, 0, 1, 2]);
    assert_eq!(receipts[1].result, ReceiptResult::Duplicate);
    stored(store, from_resource(record("a"))).await;
    let holds = detail(store, "a").await.holds;
    let reasons: Vec<&str> = holds.iter().map(|row| row.hold.reason.as_str()).collect();
    assert_eq!(reasons, ["audit", "dispute"]);
    let known = store.known(LOG, &["a".to_owned(), "c".to_owned()]).await.unwrap();
    assert_eq!([known[0].held, known[1].held], [true, false]);
    check_log(store, LOG).await;
}
