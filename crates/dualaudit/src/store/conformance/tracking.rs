//! What is tracked.

use std::sync::Arc;

use dualaudit_record::{WorkflowExecutionAudit, entry::GapCause};

use super::{
    Maintained,
    sample::{
        LOG, append, at, batch, from_producer, from_resource, gap, open, quarantine, record, running, seen,
        started, stored, tracked, tracking,
    },
};
use crate::store::{
    Batch, DraftContent, InFlightFilter, Running, Store, Tracked, TrackedState, TrackingChange, Underway,
};

pub(crate) async fn what_is_tracked_is_listed_in_pages_and_forgotten_when_it_is_gone(store: &dyn Store) {
    open(store, LOG).await;
    open(store, "other").await;
    let ids: Vec<String> = (0..25).map(|n| format!("{n:02}")).collect();
    let changes = ids.iter().rev().map(|id| TrackingChange::Seen(tracked(id, None)));
    store.append(LOG, tracking(changes), at(1)).await.unwrap();
    let mut found: Vec<Tracked> = Vec::new();
    loop {
        let after = found.last().map(|tracked| tracked.id.clone());
        let page = store.tracked(LOG, after.as_deref(), 10).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, ids.iter().map(|id| tracked(id, None)).collect::<Vec<_>>());
    assert_eq!(store.tracked("other", None, 10).await.unwrap(), []);

    let later = Tracked { phase: "Monitoring".to_owned(), last_seen_at: at(9), ..tracked("03", Some(at(2))) };
    seen(store, later.clone()).await;
    let gone = ["00", "01", "01", "never"].map(|id| TrackingChange::Gone { id: id.to_owned() });
    store.append(LOG, tracking(gone), at(1)).await.unwrap();
    assert_eq!(store.tracked(LOG, None, 2).await.unwrap(), [tracked("02", None), later]);
}

pub(crate) async fn what_is_seen_by_name_only_keeps_the_state_seen_before(store: &dyn Store) {
    open(store, LOG).await;
    let named = |id| Tracked { last_state: String::new(), phase: String::new(), ..tracked(id, None) };
    seen(store, tracked("a", None)).await;
    seen(store, named("a")).await;
    seen(store, named("b")).await;
    let found = store.tracked(LOG, None, 10).await.unwrap();
    assert_eq!(found, [Tracked { phase: String::new(), ..tracked("a", None) }, named("b")]);
}

/// The workflows that are in flight in [`LOG`], and since when.
async fn in_flight(store: &dyn Store) -> Vec<(String, dualaudit_record::Time)> {
    in_flight_of(store, LOG).await
}

async fn in_flight_of(store: &dyn Store, log: &str) -> Vec<(String, dualaudit_record::Time)> {
    let found = store.in_flight(log, &InFlightFilter::default(), 1000).await.unwrap();
    assert!(!found.more);
    found.executions.into_iter().map(|found| (found.running.workflow, found.running.since)).collect()
}

/// An execution that began then, of a workflow named like it.
fn runs(id: &str, seconds: i64) -> Tracked {
    Tracked { running: Some(running(id, at(seconds))), ..tracked(id, Some(at(seconds))) }
}

pub(crate) async fn what_runs_is_in_flight_and_found_by_what_it_is(store: &dyn Store) {
    open(store, LOG).await;
    open(store, "other").await;
    let mut all = Vec::new();
    let mut changes = Vec::new();
    for n in 0..32 {
        let either =
            |bit: u32, one: &str, other: &str| if n >> bit & 1 == 0 { one } else { other }.to_owned();
        let running = Running {
            workflow: either(0, "drain", "restart"),
            version: either(1, "", "v2"),
            incident_type: either(2, "", "OOMKilled"),
            target_kind: either(3, "Node", "Pod"),
            since: at(i64::from(n)),
        };
        let namespace = either(4, "shop", "web");
        all.push(Underway { namespace: namespace.clone(), running: running.clone() });
        let id = format!("{n:02}");
        changes.push(TrackingChange::Seen(Tracked {
            namespace,
            running: Some(Box::new(running)),
            ..tracked(&id, None)
        }));
    }
    store.append(LOG, tracking(changes), at(1)).await.unwrap();
    store.append("other", tracking([TrackingChange::Seen(tracked("elsewhere", None))]), at(1)).await.unwrap();
    append(store, [from_producer(record("sent"), None)]).await;
    all.sort_by_key(|Underway { namespace, running: it }| {
        let texts =
            [&it.workflow, &it.version, namespace, &it.incident_type, &it.target_kind].map(Clone::clone);
        (texts, it.since)
    });
    let text = |text: &str| Some(text.to_owned());
    for bits in 0..32 {
        let given = |bit: u32, value: &str| text(value).filter(|_| bits >> bit & 1 == 1);
        let filter = InFlightFilter {
            workflow: given(0, "restart"),
            version: given(1, ""),
            namespace: given(2, "web"),
            incident_type: given(3, ""),
            target_kind: given(4, "Pod"),
        };
        let is =
            |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let mut expected = all.clone();
        expected.retain(|Underway { namespace, running: it }| {
            is(&filter.workflow, &it.workflow)
                && is(&filter.version, &it.version)
                && is(&filter.namespace, namespace)
                && is(&filter.incident_type, &it.incident_type)
                && is(&filter.target_kind, &it.target_kind)
        });
        assert_eq!(expected.len(), 32 >> u32::count_ones(bits));
        let found = store.in_flight(LOG, &filter, 32).await.unwrap();
        assert_eq!((found.executions, found.more), (expected.clone(), false), "{filter:?}");
        let some = store.in_flight(LOG, &filter, 3).await.unwrap();
        let more = expected.len() > 3;
        expected.truncate(3);
        assert_eq!((some.executions, some.more), (expected, more), "{filter:?}");
    }
    let unknown = InFlightFilter { workflow: text("Restart"), ..InFlightFilter::default() };
    assert_eq!(store.in_flight(LOG, &unknown, 9).await.unwrap().executions, []);
    assert_eq!(store.in_flight("never opened", &InFlightFilter::default(), 9).await.unwrap().executions, []);
}

pub(crate) async fn what_ends_is_accounted_for_or_gone_is_not_in_flight(store: &dyn Store) {
    open(store, LOG).await;
    for id in
        ["ended", "recorded", "quarantined", "vanished", "retained", "gone", "overtaken", "runs", "waits"]
    {
        seen(store, runs(id, 0)).await;
    }
    seen(store, Tracked { running: Some(running("waits", at(-5))), ..tracked("waits", None) }).await;
    assert_eq!(in_flight(store).await.len(), 9);
    seen(store, Tracked { running: None, ..runs("ended", 0) }).await;
    stored(store, from_resource(started("recorded", at(0)))).await;
    stored(store, quarantine("quarantined", "{}")).await;
    stored(store, DraftContent::Gap(gap("vanished", Some(at(0)), GapCause::Vanished))).await;
    seen(store, Tracked { state: TrackedState::Closed, running: None, ..runs("retained", 0) }).await;
    let gone = TrackingChange::Gone { id: "gone".to_owned() };
    store.append(LOG, tracking([gone]), at(50)).await.unwrap();
    stored(store, from_resource(started("overtaken", at(600)))).await;
    // A start that none had been seen of before.
    stored(store, from_resource(started("waits", at(7)))).await;
    assert_eq!(in_flight(store).await, [("runs".to_owned(), at(0))]);
    assert_eq!(store.tracked(LOG, None, 100).await.unwrap().len(), 8);
}

pub(crate) async fn what_is_recorded_again_is_not_in_flight_and_what_runs_again_is(store: &dyn Store) {
    open(store, LOG).await;
    let ended = |second| batch([from_resource(started("a", at(second)))]);
    let and_seen = |batch: Arc<Batch>, second| {
        let tracking = vec![TrackingChange::Seen(runs("a", second))];
        Arc::new(Batch { tracking, ..Arc::unwrap_or_clone(batch) })
    };
    // It was seen to run just before; and the batch has to be appended again.
    for _ in 0..2 {
        store.append(LOG, and_seen(ended(0), 0), at(100)).await.unwrap();
        assert_eq!(in_flight(store).await, []);
    }
    seen(store, runs("a", 600)).await;
    assert_eq!(in_flight(store).await, [("a".to_owned(), at(600))]);
    // What arrives late is of the attempt before.
    store.append(LOG, ended(0), at(100)).await.unwrap();
    let scored = WorkflowExecutionAudit { effectiveness_score: 0.5, ..started("a", at(0)) };
    stored(store, from_resource(scored)).await;
    assert_eq!(in_flight(store).await, [("a".to_owned(), at(600))]);
    store.append(LOG, ended(600), at(100)).await.unwrap();
    assert_eq!(in_flight(store).await, []);

    // An object that cannot be mapped counts as recorded until it is seen to run again.
    seen(store, runs("b", 0)).await;
    for _ in 0..2 {
        stored(store, quarantine("b", "{}")).await;
        assert_eq!(in_flight(store).await, []);
        seen(store, runs("b", 0)).await;
        assert_eq!(in_flight(store).await, [("b".to_owned(), at(0))]);
    }
}

pub(crate) async fn an_attempt_runs_since_it_began(store: &dyn Store) {
    open(store, LOG).await;
    let waits = |seconds| Tracked { running: Some(running("a", at(seconds))), ..tracked("a", None) };
    seen(store, waits(-9)).await;
    assert_eq!(in_flight(store).await, [("a".to_owned(), at(-9))]);
    seen(store, runs("a", 5)).await;
    assert_eq!(in_flight(store).await, [("a".to_owned(), at(5))]);
    // Some engines clear the start for a while.
    seen(store, waits(-9)).await;
    assert_eq!(in_flight(store).await, [("a".to_owned(), at(5))]);
    seen(store, runs("a", 600)).await;
    assert_eq!(in_flight(store).await, [("a".to_owned(), at(600))]);
    // What runs may change its workflow with its engine.
    seen(store, Tracked { running: Some(running("b", at(600))), ..tracked("a", Some(at(600))) }).await;
    assert_eq!(in_flight(store).await, [("b".to_owned(), at(600))]);
}

pub(crate) async fn what_is_in_flight_goes_on_with_the_successor_of_its_log(store: &impl Maintained) {
    open(&**store, LOG).await;
    seen(&**store, runs("a", 0)).await;
    stored(&**store, from_producer(record("b"), None)).await;
    store.begin_successor(LOG, "next").await;
    store.close_succeeded(LOG, "next").await;
    assert_eq!(in_flight(&**store).await, []);
    assert_eq!(in_flight_of(&**store, "next").await, [("a".to_owned(), at(0))]);
    assert_eq!(store.tracked("next", None, 9).await.unwrap(), [runs("a", 0)]);
}
