//! Entries that are no executions.

use dualaudit_record::{
    Entry, EntryKind,
    day::{Counts, Day},
    entry::{DailyDigest, GapCause},
    execution::QUARANTINE_LABEL,
};

use super::{
    check::check_log,
    sample::{
        LOG, accessed, append, at, detail, exported, from_quarantine, from_resource, gap, hold, open,
        quarantine, receipt, record, seen, stored, tracked,
    },
};
use crate::store::{Answer, DraftContent, Receipt, ReceiptResult, Store, Tracked, TrackedState, Which};

pub(crate) async fn a_gap_is_recorded_once(store: &dyn Store) {
    open(store, LOG).await;
    let vanished = |started_at| DraftContent::Gap(gap("a", started_at, GapCause::Vanished));
    let first = stored(store, vanished(None)).await;
    assert_eq!((first.index, first.attempt, first.revision), (0, None, None));
    let again = stored(store, vanished(None)).await;
    assert_eq!(again, Receipt { result: ReceiptResult::Duplicate, ..first });
    let (reason, actor) = ("the disk is gone".to_owned(), Some("jo".to_owned()));
    let released = GapCause::ReleasedUnrecorded { reason, actor };
    let answers = append(
        store,
        [vanished(Some(at(0))), vanished(Some(at(0))), DraftContent::Gap(gap("a", None, released))],
    )
    .await;
    let indexes: Vec<u64> = answers.into_iter().map(|answer| receipt(answer).index).collect();
    assert_eq!(indexes, [1, 1, 0], "an attempt is missing once, whatever is said of it later");
    check_log(store, LOG).await;
}

pub(crate) async fn an_export_or_an_access_is_told_once(store: &dyn Store) {
    open(store, LOG).await;
    for (told, before) in [(exported as fn(&str) -> DraftContent, 0), (accessed, 2)] {
        let first = stored(store, told("one")).await;
        assert_eq!((first.index, first.id.as_str(), first.result), (before, "", ReceiptResult::Created));
        assert_eq!(stored(store, told("two")).await.index, before + 1);
        let again = stored(store, told("one")).await;
        assert_eq!(again, Receipt { result: ReceiptResult::Duplicate, ..first });
    }
    check_log(store, LOG).await;
}

pub(crate) async fn a_gap_of_what_is_accounted_for_is_none(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("recorded")), quarantine("quarantined", "{}")]).await;
    seen(store, Tracked { state: TrackedState::Closed, running: None, ..tracked("closed", Some(at(0))) })
        .await;
    let size = check_log(store, LOG).await.len();
    for (id, started_at) in [
        ("recorded", Some(at(0))),
        ("recorded", None),
        ("quarantined", None),
        ("quarantined", Some(at(9))),
        ("closed", Some(at(0))),
    ] {
        for cause in
            [GapCause::Vanished, GapCause::ReleasedUnrecorded { reason: "x".to_owned(), actor: None }]
        {
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

pub(crate) async fn a_digest_of_days_is_there_once(store: &dyn Store) {
    open(store, LOG).await;
    let day = Day::of(at(0));
    let digest = |since, recorded| {
        let counts = Counts { seen: recorded, recorded, ..Counts::default() };
        let digest = DailyDigest { since, until: since, first: 0, end: 0, counts, in_flight: None };
        DraftContent::Note(Box::new(Entry::Digest(Box::new(digest))))
    };
    let first = stored(store, digest(day, 1)).await;
    assert_eq!((first.index, first.id.as_str()), (0, ""));
    let answers = append(store, [digest(day, 2), digest(day.next().unwrap(), 3), digest(day, 4)]).await;
    let indexes: Vec<u64> = answers.into_iter().map(|answer| receipt(answer).index).collect();
    assert_eq!(indexes, [0, 1, 0]);
    let entries = check_log(store, LOG).await;
    let Some(Entry::Digest(kept)) = entries[0].body.entry() else { panic!("{entries:?}") };
    assert_eq!((kept.since, kept.counts.recorded), (day, 1));
}

pub(crate) async fn the_object_that_an_entry_keeps_is_given_whole(store: &dyn Store) {
    open(store, LOG).await;
    let contents = [quarantine("a", r#"{"x":1}"#), quarantine("a", r#"{"x":2}"#), from_resource(record("b"))];
    append(store, contents).await;
    append(store, [hold("a", "audit")]).await;
    let mut objects = Vec::new();
    for index in 0..5 {
        let object = store.object(LOG, index).await.unwrap();
        objects.push(object.map(|object| String::from_utf8(object).unwrap()));
    }
    let some = |text: &str| Some(text.to_owned());
    let expected = [some(r#"{"x":1}"#), some(r#"{"x":2}"#), some(r#"{"metadata":{"uid":"b"}}"#), None, None];
    assert_eq!(objects, expected);
    assert_eq!(store.object("other", 0).await.unwrap(), None);
}

pub(crate) async fn what_was_in_quarantine_is_recorded_where_nothing_newer_is(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [quarantine("a", "{}"), quarantine("b", "{}"), from_resource(record("b"))]).await;
    let first = stored(store, from_quarantine(record("a"), 0)).await;
    assert_eq!((first.index, first.attempt, first.revision), (3, Some(1), Some(1)));
    let mut changed = record("b");
    changed.error_message = "as it was before".to_owned();
    for content in [from_quarantine(record("a"), 0), from_quarantine(changed.clone(), 1)] {
        assert_eq!(stored(store, content).await.result, ReceiptResult::Duplicate);
    }
    assert_eq!(detail(store, "a").await.revisions[0].0.record.labels[QUARANTINE_LABEL], "0");

    // What was put in quarantine after it was recorded is a revision, once, whatever it says.
    let later = stored(store, quarantine("b", r#"{"later":1}"#)).await.index;
    let revision = stored(store, from_quarantine(record("b"), later)).await;
    assert_eq!((revision.attempt, revision.revision), (Some(1), Some(2)));
    let again = stored(store, from_quarantine(record("b"), later)).await;
    assert_eq!(again, Receipt { result: ReceiptResult::Duplicate, ..revision });

    // The resource as it is says the same as the newest: nothing new. And another attempt is one.
    assert_eq!(stored(store, from_resource(record("b"))).await.result, ReceiptResult::Duplicate);
    let attempt = stored(store, from_quarantine(started_at_600("b"), later)).await;
    assert_eq!((attempt.attempt, attempt.revision), (Some(2), Some(1)));
    let known = store.known(LOG, &["b".to_owned()]).await.unwrap().remove(0);
    let entry = store.entries(LOG, Which::Kind(EntryKind::Quarantine), later, 1).await.unwrap().remove(0);
    assert_eq!(known.recorded_since(LOG, &entry).unwrap().receipt.index, attempt.index);
    check_log(store, LOG).await;
}

fn started_at_600(id: &str) -> dualaudit_record::WorkflowExecutionAudit {
    super::sample::started(id, at(600))
}
