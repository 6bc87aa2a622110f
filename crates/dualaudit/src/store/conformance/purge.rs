//! Purges: what they are weighed by, what they take, and what stays.

use std::{collections::BTreeSet, sync::Arc};

use dualaudit_record::{Entry, EntryKind, Time, WorkflowExecutionAudit, entry::Covers, selector::Selector};

use super::{
    check::check_log,
    holds::{release, selecting},
    sample::{
        LOG, append, at, batch, from_producer, from_resource, hold, object, open, receipt, record, seen,
        started, stored, tracked,
    },
};
use crate::store::{
    Answer, DraftContent, Filter, Lookup, PurgeDraft, ReceiptResult, Refusal, Store, StoredBody, Tracked,
    TrackedState, TrackingChange, Wanted, Weighed,
};

/// All executions of [`LOG`] that were complete before an instant, weighed in pages of `limit`.
pub(crate) async fn weigh(store: &dyn Store, before: Time, limit: u32) -> Vec<Weighed> {
    weigh_in(store, LOG, before, limit).await
}

/// The same of another log.
pub(crate) async fn weigh_in(store: &dyn Store, log: &str, before: Time, limit: u32) -> Vec<Weighed> {
    let (mut weighed, mut after) = (Vec::new(), None);
    loop {
        let page = store.weigh(log, before, after.as_ref(), limit).await.unwrap();
        weighed.extend(page.executions);
        match page.next {
            Some(next) => after = Some(next),
            None => return weighed,
        }
    }
}

pub(crate) fn part(part: u32, executions: Vec<Weighed>) -> DraftContent {
    DraftContent::Purge(Box::new(PurgeDraft {
        plan: "plan".to_owned(),
        part,
        parts: 9,
        as_of: at(90),
        policy: "7y".to_owned(),
        actor: "retention".to_owned(),
        executions,
    }))
}

fn created(id: &str, second: i64) -> WorkflowExecutionAudit {
    let (created_at, completed_at) = (at(second), at(second + 60));
    WorkflowExecutionAudit { created_at, completed_at, ..record(id) }
}

pub(crate) async fn what_is_weighed_is_all_that_was_complete_before_an_instant(store: &dyn Store) {
    open(store, LOG).await;
    open(store, "other").await;
    // Several at one instant, in either order of id and attempt.
    let records: Vec<WorkflowExecutionAudit> = (0..40)
        .map(|n| WorkflowExecutionAudit {
            attempt: 1 + n % 3,
            ..created(&format!("r{}", n / 3), i64::from(n / 8) * 100)
        })
        .collect();
    append(store, records.iter().map(|record| from_producer(record.clone(), None))).await;
    store.append("other", batch([from_producer(created("elsewhere", 0), None)]), at(100)).await.unwrap();
    let amended = WorkflowExecutionAudit { workflow_name: "drain".to_owned(), ..records[0].clone() };
    let revision = stored(store, from_producer(amended, Some(1))).await;
    seen(store, tracked("r5", None)).await;
    let expected = |before: Time| {
        let complete = records.iter().filter(|record| record.completed_at < before);
        complete.map(|record| (record.id.clone(), record.attempt)).collect::<BTreeSet<_>>()
    };
    for before in [at(0), at(60), at(61), at(300), at(10_000)] {
        for limit in [1, 7, 8, 40, 1000] {
            let weighed = weigh(store, before, limit).await;
            let found: BTreeSet<_> =
                weighed.iter().map(|execution| (execution.id.clone(), execution.attempt)).collect();
            assert_eq!(found.len(), weighed.len(), "each once");
            assert_eq!(found, expected(before), "before {before}, {limit} at a time");
            assert!(weighed.iter().all(|execution| execution.tracked == (execution.id == "r5")));
            assert!(weighed.iter().all(|execution| execution.bytes > 500));
        }
    }
    let weighed = weigh(store, at(10_000), 1000).await;
    let first = weighed.iter().find(|found| (found.id.as_str(), found.attempt) == ("r0", 1)).unwrap();
    assert_eq!(first.entries, [0, revision.index]);
    let names: Vec<&str> = first.facts.iter().map(|facts| facts.workflow_name.as_str()).collect();
    assert_eq!(names, ["drain", "restart-pods"], "of each revision, the latest first");
}

pub(crate) async fn what_was_purged_is_gone_to_readers_and_stays_known(store: &dyn Store) {
    open(store, LOG).await;
    let rerun = || started("a", at(600));
    append(store, [from_resource(record("a")), from_resource(record("b")), from_resource(rerun())]).await;
    let amended = || WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("b") };
    let first = stored(store, from_resource(amended())).await;
    let weighed = weigh(store, at(100), 10).await;
    let goes: Vec<Weighed> = weighed.into_iter().filter(|found| found.attempt == 1).collect();
    assert_eq!(goes.len(), 2);
    let purge = stored(store, part(1, goes.clone())).await;
    assert_eq!((purge.id.as_str(), purge.result), ("", ReceiptResult::Created));

    let wanted = |id: &str, attempt| Wanted { id: id.to_owned(), log: None, attempt };
    for gone in [wanted("a", Some(1)), wanted("b", None)] {
        let Lookup::Purged(purged) = store.get(&gone).await.unwrap() else { panic!("{gone:?}") };
        assert_eq!((purged.by, purged.purged_at), (purge.index, purge.recorded_at));
        assert_eq!(purged.receipt.id, gone.id);
    }
    assert!(matches!(store.get(&wanted("a", None)).await.unwrap(), Lookup::Found(_)));
    let listed = store.list(&Filter::default(), None, 10).await.unwrap().rows;
    let ids: Vec<_> =
        listed.iter().map(|row| (row.execution.record.id.as_str(), row.execution.record.attempt)).collect();
    assert_eq!(ids, [("a", 2)]);
    assert_eq!(store.read_back(LOG, "b", 1).await.unwrap(), None);
    assert_eq!(weigh(store, at(100_000), 10).await.len(), 1);

    // Whatever is sent of them is a duplicate, and nothing is stored of it.
    let other = |id: &str| WorkflowExecutionAudit { workflow_name: "else".to_owned(), ..record(id) };
    for again in [
        from_resource(record("b")),
        from_resource(other("b")),
        from_producer(other("b"), None),
        from_producer(other("b"), Some(2)),
    ] {
        assert_eq!(stored(store, again).await.result, ReceiptResult::Duplicate);
    }
    let known = store.known(LOG, &["a".to_owned(), "b".to_owned()]).await.unwrap();
    let digests =
        |place: usize| known[place].recorded.iter().map(|r| r.content_digest.is_some()).collect::<Vec<_>>();
    assert_eq!((digests(0), digests(1)), (vec![false, true], vec![false]));
    assert_eq!(known[1].recorded[0].receipt.index, first.index);
    // One whose other attempt is there can be held; one that is gone can't.
    let answers = append(store, [hold("b", "late"), hold("a", "in time")]).await;
    assert_eq!(answers[0], Answer::Refused(Refusal::Purged));
    assert_eq!(receipt(answers[1].clone()).result, ReceiptResult::Created);

    let entries = check_log(store, LOG).await;
    let bodies: Vec<bool> = entries.iter().map(|entry| entry.body.entry().is_some()).collect();
    assert_eq!(bodies, [false, false, true, false, true, true]);
    assert_eq!(entries[0].body, StoredBody::Purged { by: purge.index });
    let Some(Entry::Purge(said)) = entries[4].body.entry() else { panic!("a purge") };
    assert_eq!((said.executions, &said.entries), (2, &vec![(0, 1), (3, 3)]));
    assert_eq!(said.statistics.iter().map(|count| count.executions).sum::<u64>(), 2);
    // Sent again, it is known.
    assert_eq!(stored(store, part(1, goes)).await.index, purge.index);
    assert_eq!(check_log(store, LOG).await.len(), 6);
}

pub(crate) async fn a_part_takes_all_that_was_weighed_or_nothing(store: &dyn Store) {
    open(store, LOG).await;
    append(store, ["a", "b", "c"].map(|id| from_producer(record(id), None))).await;
    let weighed = weigh(store, at(100), 10).await;
    let refused = async |why: &str| {
        let before = check_log(store, LOG).await.len();
        let answer = append(store, [part(1, weighed.clone())]).await.remove(0);
        let Answer::Refused(Refusal::Changed(said)) = answer else { panic!("{answer:?}") };
        assert!(said.contains(why), "{said}: {why}");
        assert_eq!(check_log(store, LOG).await.len(), before);
        assert_eq!(store.list(&Filter::default(), None, 10).await.unwrap().rows.len(), 3);
    };
    let shop = Selector { namespace: Some("shop".to_owned()), ..Selector::default() };
    for place in [hold("b", "case 7"), selecting(shop, "case 7")] {
        let placed = stored(store, place).await;
        refused(&format!("held by the hold of entry {}", placed.index)).await;
        stored(store, release(placed.index)).await;
    }
    seen(store, Tracked { state: TrackedState::Closed, running: None, ..tracked("c", None) }).await;
    refused("has a resource").await;
    let gone = TrackingChange::Gone { id: "c".to_owned() };
    store.append(LOG, super::sample::tracking([gone]), at(100)).await.unwrap();
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.5, ..record("a") };
    stored(store, from_producer(amended, Some(1))).await;
    refused("was amended").await;
    let weighed = weigh(store, at(100), 10).await;
    stored(store, part(1, weighed.clone())).await;
    let answer = append(store, [part(2, weighed)]).await.remove(0);
    assert!(
        matches!(&answer, Answer::Refused(Refusal::Changed(said)) if said.contains("was purged")),
        "{answer:?}"
    );
    assert!(store.list(&Filter::default(), None, 10).await.unwrap().rows.is_empty());
    let entries = check_log(store, LOG).await;
    assert_eq!(entries.iter().filter(|entry| entry.kind == EntryKind::Purge).count(), 1);
}

pub(crate) async fn a_purge_and_a_hold_at_once_never_both_win(store: &dyn Store) {
    open(store, LOG).await;
    for round in 0..8 {
        let id = format!("r{round}");
        let with_object = DraftContent::Execution(Box::new(crate::store::ExecutionDraft {
            source: Some(object(format!("{{\"round\":{round}}}"))),
            ..match from_resource(record(&id)) {
                DraftContent::Execution(draft) => *draft,
                other => panic!("{other:?}"),
            }
        }));
        stored(store, with_object).await;
        let weighed = weigh(store, at(100), 100).await.into_iter().filter(|found| found.id == id).collect();
        let (purging, holding) = (batch([part(round + 1, weighed)]), batch([hold(&id, "case")]));
        let (purged, held) = tokio::join!(
            store.append(LOG, Arc::clone(&purging), at(100)),
            store.append(LOG, Arc::clone(&holding), at(100)),
        );
        match (purged.unwrap().remove(0), held.unwrap().remove(0)) {
            (Answer::Stored(_), Answer::Refused(Refusal::Purged))
            | (Answer::Refused(Refusal::Changed(_)), Answer::Stored(_)) => {}
            both => panic!("round {round}: {both:?}"),
        }
    }
    let entries = check_log(store, LOG).await;
    for entry in &entries {
        if let Some(Entry::Hold(hold)) = entry.body.entry() {
            let Covers::ExecutionId(id) = &hold.covers else { panic!("{hold:?}") };
            let wanted = Wanted { id: id.clone(), log: None, attempt: None };
            assert!(matches!(store.get(&wanted).await.unwrap(), Lookup::Found(_)), "{id}");
        }
    }
}
