//! Holds: what they cover, and how they end.

use dualaudit_record::{
    Entry, EntryKind, WorkflowExecutionAudit,
    entry::{Covers, Hold},
    selector::{LabelRequirement, Selector},
};

use super::{
    check::check_log,
    sample::{LOG, append, detail, from_producer, from_resource, hold, open, receipt, record, stored},
};
use crate::store::{Answer, DraftContent, Receipt, ReceiptResult, Refusal, Store, Which};

pub(crate) fn selecting(selector: Selector, reason: &str) -> DraftContent {
    let covers = Covers::Selector(selector);
    DraftContent::Hold(Hold { covers, reason: reason.to_owned(), actor: "counsel".to_owned() })
}

pub(crate) fn release(hold: u64) -> DraftContent {
    let (reason, actor) = ("the case is closed".to_owned(), "counsel".to_owned());
    DraftContent::HoldRelease { hold, reason, actor }
}

async fn held(store: &dyn Store, ids: &[&str]) -> Vec<bool> {
    let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
    store.known(LOG, &ids).await.unwrap().into_iter().map(|known| known.held).collect()
}

pub(crate) async fn a_hold_covers_what_it_selects_recorded_or_still_to_come(store: &dyn Store) {
    open(store, LOG).await;
    let text = |text: &str| Some(text.to_owned());
    let other = |id: &str| WorkflowExecutionAudit {
        remediation_id: "rem-8".to_owned(),
        workflow_name: "drain".to_owned(),
        namespace: None,
        labels: [("team".to_owned(), "web".to_owned())].into(),
        ..record(id)
    };
    let amended = WorkflowExecutionAudit { remediation_id: "rem-9".to_owned(), ..record("a") };
    append(store, [from_producer(record("a"), None), from_producer(other("b"), None)]).await;
    stored(store, from_producer(amended, Some(1))).await;
    for (selector, expected) in [
        // By an earlier revision, too: an amendment slips out of no hold.
        (Selector { remediation_id: text("rem-7"), ..Selector::default() }, [true, false, true]),
        (Selector { remediation_id: text("rem-9"), ..Selector::default() }, [true, false, false]),
        (Selector { workflow_name: text("drain"), ..Selector::default() }, [false, true, false]),
        (Selector { namespace: text("shop"), ..Selector::default() }, [true, false, true]),
        (
            Selector {
                labels: vec![LabelRequirement::In("team".to_owned(), vec!["web".to_owned(), "x".to_owned()])],
                ..Selector::default()
            },
            [false, true, false],
        ),
        (
            Selector { workflow_name: text("drain"), namespace: text("shop"), ..Selector::default() },
            [false, false, false],
        ),
    ] {
        let placed = stored(store, selecting(selector.clone(), "case 7")).await;
        assert_eq!((placed.id.as_str(), placed.attempt), ("", None));
        append(store, [from_resource(record("c"))]).await;
        assert_eq!(held(store, &["a", "b", "c"]).await, expected, "{selector:?}");
        assert_eq!(held(store, &["unheard-of"]).await, [false]);
        let shown: Vec<u64> = detail(store, "a").await.holds.iter().map(|row| row.index).collect();
        assert_eq!(shown, if expected[0] { vec![placed.index] } else { Vec::new() });
        stored(store, release(placed.index)).await;
        assert_eq!(held(store, &["a", "b", "c"]).await, [false; 3]);
    }
    check_log(store, LOG).await;
}

pub(crate) async fn a_hold_is_released_once_and_can_be_placed_again(store: &dyn Store) {
    open(store, LOG).await;
    let shop = || selecting(Selector { namespace: Some("shop".to_owned()), ..Selector::default() }, "case 7");
    append(store, [from_resource(record("a"))]).await;
    for place in [shop(), hold("a", "case 7")] {
        let first = stored(store, place.clone()).await;
        let again = append(store, [place.clone(), place.clone()]).await;
        for answer in again {
            let expected = Receipt { result: ReceiptResult::Duplicate, ..first.clone() };
            assert_eq!(receipt(answer), expected, "an open hold is placed once");
        }
        let answers = append(store, [release(first.index), release(first.index)]).await;
        let receipts: Vec<Receipt> = answers.into_iter().map(receipt).collect();
        assert_eq!(receipts[1], Receipt { result: ReceiptResult::Duplicate, ..receipts[0].clone() });
        assert_eq!(receipt(append(store, [release(first.index)]).await.remove(0)), receipts[1]);
        assert_eq!(held(store, &["a"]).await, [false]);
        let second = stored(store, place).await;
        assert_eq!(second.result, ReceiptResult::Created);
        assert_eq!(held(store, &["a"]).await, [true]);
        stored(store, release(second.index)).await;
    }
    check_log(store, LOG).await;
}

pub(crate) async fn a_release_of_no_hold_is_refused(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("a"))]).await;
    for index in [0, 7, u64::MAX] {
        let answers = append(store, [release(index), hold("a", "audit")]).await;
        assert_eq!(answers[0], Answer::Refused(Refusal::NoSuchHold), "{index}");
    }
    assert_eq!(check_log(store, LOG).await.len(), 2);
}

pub(crate) async fn entries_are_listed_by_kind(store: &dyn Store) {
    open(store, LOG).await;
    append(store, [from_resource(record("a")), hold("a", "audit"), from_resource(record("b"))]).await;
    append(store, [hold("b", "audit"), release(1), from_resource(record("c")), hold("c", "audit")]).await;
    let listed = async |kind, from, limit| {
        let entries = store.entries(LOG, Which::Kind(kind), from, limit).await.unwrap();
        entries.into_iter().map(|entry| entry.index).collect::<Vec<u64>>()
    };
    assert_eq!(listed(EntryKind::Hold, 0, 10).await, [1, 3, 6]);
    assert_eq!(listed(EntryKind::Hold, 2, 1).await, [3]);
    assert_eq!(listed(EntryKind::Execution, 1, 10).await, [2, 5]);
    assert_eq!(listed(EntryKind::HoldRelease, 0, 10).await, [4]);
    assert!(listed(EntryKind::Purge, 0, 10).await.is_empty());
    let released = store.entries(LOG, Which::Kind(EntryKind::HoldRelease), 0, 1).await.unwrap().remove(0);
    let Some(Entry::HoldRelease(said)) = released.body.entry() else { panic!("a release") };
    assert_eq!((said.hold, said.execution_id.as_deref()), (1, Some("a")));
}
