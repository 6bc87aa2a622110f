//! Reads of single executions, and of the whole.

use std::collections::BTreeMap;

use dualaudit_record::{Time, WorkflowExecutionAudit, log::Nonce, time};

use super::{
    check::check_log,
    sample::{
        LOG, append, at, batch, detail, digest_of, from_producer, from_resource, hold, object, open, opening,
        quarantine, record, seen, started, stored, tracked,
    },
};
use crate::store::{
    DraftContent, Filter, Known, LogOpening, Lookup, Owner, RevisionName, RunningAttempt, Store, StoreError,
    Tracked, TrackedState, Wanted, Which,
};

pub(crate) async fn what_is_known_is_said_for_each_id_in_order(store: &dyn Store) {
    open(store, LOG).await;
    store.append(LOG, batch([from_resource(record("a"))]), at(10)).await.unwrap();
    let changed = WorkflowExecutionAudit { effectiveness_score: 0.1, ..record("a") };
    let amended = stored(store, from_resource(changed.clone())).await;
    append(store, [hold("b", "audit"), quarantine("c", "{}")]).await;
    seen(store, tracked("d", None)).await;
    seen(store, tracked("e", Some(at(7)))).await;
    seen(store, Tracked { running: None, ..tracked("f", Some(at(7))) }).await;
    let ids = ["d", "a", "nobody", "b", "c", "e", "f"].map(str::to_owned);
    let known = store.known(LOG, &ids).await.unwrap();
    let open = Known { tracked: Some(TrackedState::Open), ..Known::default() };
    let runs = |started_at| Known { running: Some(RunningAttempt { started_at }), ..open.clone() };
    assert_eq!((&known[0], &known[5], &known[6]), (&runs(None), &runs(Some(at(7))), &open));
    assert!(known[0].may_run(Some(at(0))) && known[5].may_run(Some(at(7))));
    assert!(!known[5].may_run(Some(at(0))) && !known[6].may_run(Some(at(7))));
    let recorded = known[1].recorded.last().unwrap();
    assert_eq!(recorded.receipt, amended);
    assert_eq!(recorded.content_digest, Some(digest_of(&changed)));
    assert_eq!((recorded.started_at, recorded.first_recorded_at), (Some(at(0)), at(10)));
    assert_eq!(known[2], Known::default());
    assert_eq!(known[3], Known { held: true, ..Known::default() });
    assert_eq!(known[4].quarantined, Some((object("{}").digest, at(100))));
}

pub(crate) async fn a_record_reads_back_intact(store: &dyn Store) {
    open(store, LOG).await;
    let changed = WorkflowExecutionAudit { effectiveness_score: 0.1, ..record("a") };
    append(
        store,
        [from_resource(record("a")), from_resource(changed.clone()), from_resource(started("a", at(9)))],
    )
    .await;
    let first = store.read_back(LOG, "a", 1).await.unwrap().unwrap();
    assert_eq!((first.revision, first.content_digest, first.intact), (2, Some(digest_of(&changed)), true));
    let second = store.read_back(LOG, "a", 2).await.unwrap().unwrap();
    assert_eq!((second.revision, second.intact), (1, true));
    assert_eq!(store.read_back(LOG, "a", 3).await.unwrap(), None);
    assert_eq!(store.read_back("other", "a", 1).await.unwrap(), None);
    // Of the latest revision, which its leaf is of.
    for (attempt, nonce) in [(1, Nonce([1; 16])), (2, Nonce([2; 16]))] {
        let wanted = Wanted { id: "a".to_owned(), log: None, attempt: Some(attempt) };
        let Lookup::Found(detail) = store.get(&wanted).await.unwrap() else { panic!("it is there") };
        assert_eq!(detail.nonce, nonce);
    }
}

pub(crate) async fn everything_of_an_id_is_found_in_every_log(store: &dyn Store) {
    open(store, "one").await;
    open(store, "two").await;
    let runs = [started("a", at(0)), started("a", at(600))];
    store.append("two", batch(runs.map(from_resource)), at(1)).await.unwrap();
    store.append("one", batch([from_producer(record("a"), None)]), at(1)).await.unwrap();
    let get = async |id: &str, log: Option<&str>, attempt| {
        let wanted = Wanted { id: id.to_owned(), log: log.map(str::to_owned), attempt };
        match store.get(&wanted).await.unwrap() {
            Lookup::Found(detail) => {
                Ok((detail.log, detail.revisions[0].0.record.attempt, detail.revisions_total))
            }
            other => Err(other),
        }
    };
    let logs = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(get("a", Some("two"), None).await, Ok(("two".to_owned(), 2, 1)));
    assert_eq!(get("a", Some("two"), Some(1)).await, Ok(("two".to_owned(), 1, 1)));
    assert_eq!(get("a", Some("one"), Some(1)).await, Ok(("one".to_owned(), 1, 1)));
    assert_eq!(get("a", None, None).await, Err(Lookup::Ambiguous { logs: logs(&["one", "two"]) }));
    assert_eq!(get("a", Some("two"), Some(3)).await, Err(Lookup::NoAttempt { latest: 2 }));
    let elsewhere = logs(&["one", "two"]);
    assert_eq!(get("a", Some("three"), None).await, Err(Lookup::NotInLog { elsewhere }));
    assert_eq!(get("b", None, None).await, Err(Lookup::NotInLog { elsewhere: Vec::new() }));
}

pub(crate) async fn the_latest_revisions_are_given_and_all_are_counted(store: &dyn Store) {
    open(store, LOG).await;
    for (id, message, revisions, given) in [("many", 1, 23, 20), ("large", 2_000_000, 6, 4)] {
        for revision in 0..revisions {
            let error_message = format!("{revision}{}", "x".repeat(message));
            let sent = WorkflowExecutionAudit { error_message, ..record(id) };
            stored(store, from_producer(sent, (revision > 0).then_some(revision))).await;
        }
        let detail = detail(store, id).await;
        let told: Vec<u32> = detail.revisions.iter().map(|(execution, _)| execution.revision).collect();
        assert_eq!(told, (1..=revisions).rev().take(given).collect::<Vec<_>>());
        assert_eq!(detail.revisions_total, revisions);
    }
}

pub(crate) async fn text_of_every_script_and_times_at_the_edges_survive(store: &dyn Store) {
    open(store, LOG).await;
    let texts = [
        "Ünïcode ✓ 漢字",
        "עברית \u{202e}",
        "\"quoted\" \\ back\nline\ttab\u{1f}",
        "🦀'; DROP TABLE log; --",
        "",
    ];
    let first = time::ZERO;
    let last = Time::from_micros(253_402_300_799_999_999).unwrap();
    for (n, text) in texts.into_iter().enumerate() {
        let text = text.to_owned();
        let mut sent = WorkflowExecutionAudit {
            workflow_name: format!("w{text}"),
            error_message: text.clone(),
            namespace: Some(text.clone()),
            labels: BTreeMap::from([(format!("k{text}"), text.clone())]),
            created_at: [first, last][n % 2],
            completed_at: [Time::from_micros(-1).unwrap(), last][n % 2],
            started_at: Some([Time::from_micros(0).unwrap(), first][n % 2]),
            total_duration: (1 << 53) - 1,
            effectiveness_score: [0.1 + 0.2, 1.0, 5e-324, 0.0, 1.0 / 3.0][n],
            ..record(&format!("id {text} {n}"))
        };
        sent.step_executions[0].error_message = text.clone();
        sent.adaptive_adjustments[0].reason = text.clone();
        stored(store, from_producer(sent.clone(), None)).await;
        let detail = detail(store, &sent.id).await;
        assert_eq!(detail.revisions[0].0.record, sent);
        let named = Filter { workflow: Some(sent.workflow_name.clone()), ..Filter::default() };
        assert_eq!(store.list(&named, None, 10).await.unwrap().rows.len(), 1);
        assert!(store.read_back(LOG, &sent.id, 1).await.unwrap().unwrap().intact);
    }
    check_log(store, LOG).await;
}

pub(crate) async fn large_records_and_objects_survive(store: &dyn Store) {
    open(store, LOG).await;
    let mut sent = record("large");
    sent.error_message = "é".repeat(500_000);
    sent.step_executions[7].error_message = "漢".repeat(300_000);
    let mut content = from_resource(sent.clone());
    if let DraftContent::Execution(draft) = &mut content {
        // Incompressible, as a worst case: 2 MiB.
        let noise: Vec<u8> = (0..2 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        draft.source = Some(object(&noise));
    }
    stored(store, content).await;
    assert_eq!(detail(store, "large").await.revisions[0].0.record, sent);
    assert!(store.read_back(LOG, "large", 1).await.unwrap().unwrap().intact);
    check_log(store, LOG).await;
}

pub(crate) async fn entries_are_found_by_the_names_of_their_revisions(store: &dyn Store) {
    open(store, LOG).await;
    open(store, "other").await;
    store.append("other", batch([from_resource(record("a"))]), at(1)).await.unwrap();
    append(store, [hold("a", "x"), from_resource(record("a")), from_resource(record("\"b\",1,{}'"))]).await;
    let changed = WorkflowExecutionAudit { effectiveness_score: 0.1, ..record("a") };
    append(store, [from_resource(changed), from_resource(started("a", at(7)))]).await;
    let name = |id: &str, attempt, revision| RevisionName { id: id.to_owned(), attempt, revision };
    let names = [
        name("\"b\",1,{}'", 1, 1),
        name("a", 2, 1),
        name("nobody", 1, 1),
        name("a", 1, 2),
        name("a", 1, 3),
        name("a", 1, 1),
    ];
    let entries = async |names: &[RevisionName], from, limit| {
        store.entries(LOG, Which::Revisions(names), from, limit).await.unwrap()
    };
    let all = store.entries(LOG, Which::All, 0, 10).await.unwrap();
    assert_eq!(entries(&names, 0, 10).await, all[1..]);
    assert_eq!(entries(&names, 2, 2).await, all[2..4]);
    assert_eq!(entries(&names[2..3], 0, 10).await, []);
    assert_eq!(entries(&[], 0, 10).await, []);
    assert_eq!(store.entries("nowhere", Which::Revisions(&names), 0, 10).await.unwrap(), []);
    check_log(store, LOG).await;
}

pub(crate) async fn a_log_belongs_to_its_first_owner(store: &dyn Store) {
    let first = store.open_log(opening(LOG)).await.unwrap();
    let again = LogOpening { origin: "other".to_owned(), secret: [9; 32], now: at(99), ..opening(LOG) };
    let again = store.open_log(again).await.unwrap();
    assert_eq!((again.origin, again.secret), (first.origin, first.secret), "both are fixed at first use");
    for owner in [Owner::Cluster("another".to_owned()), Owner::Producers] {
        let error = store.open_log(LogOpening { owner, ..opening(LOG) }).await.err().unwrap();
        let StoreError::Foreign(text) = error else { panic!("{error}") };
        assert!(text.contains("5f0c") && text.contains(LOG), "{text}");
    }
    let producers = LogOpening { owner: Owner::Producers, ..opening("http") };
    store.open_log(producers.clone()).await.unwrap();
    store.open_log(producers).await.unwrap();
    assert!(store.open_log(opening("No Name")).await.is_err());
}
