//! What the program itself must not make good: it takes nothing away that is not what was appended, and what no
//! program would have appended is found however well it is folded into the tree.

use dualaudit_record::checkpoint::{Checkpoint, SignedCheckpoint, SigningKey};

use super::*;
use crate::{
    clock::SystemClock,
    rebuild::rebuild,
    retention::{Appender, Heads, Policy, PurgeError, erase::erase as erase_one, plan, purge},
    store::{
        Mode,
        conformance::{
            erase::erase as erasing,
            holds::release,
            purge::{part, weigh},
            sample::{self, append, at, from_producer, from_resource, hold, open, record, stored},
            tampered::{Tampered, on_both},
        },
    },
};

/// Makes everything that follows from the entries fit them, as whoever owns the database can.
async fn fold(store: &impl Tampered) {
    let head = store.logs().await.unwrap().into_iter().find(|head| head.log == sample::LOG).unwrap();
    let mut looking = store.rebuilds().begin_rebuild(sample::LOG, Mode::Check).await.unwrap();
    let mut tree = dualaudit_record::log::Tree::empty();
    for stored in looking.entries(0, 1000).await.unwrap() {
        tree.push(stored.leaf(sample::LOG).hash());
    }
    drop(looking);
    let checkpoint = Checkpoint { origin: head.origin, size: tree.size(), root: tree.root() };
    let promised = [SignedCheckpoint::sign(checkpoint, &[]).unwrap()];
    let done = rebuild(store.rebuilds(), sample::LOG, Mode::Replace, &promised, |_, _| {}).await.unwrap();
    assert!(done.is_clean());
}

async fn what_was_changed_is_neither_erased_nor_purged(store: &impl Tampered) {
    let inner = &**store;
    open(inner, sample::LOG).await;
    append(inner, ["a", "b", "c"].map(|id| from_producer(record(id), None))).await;
    store.tamper("UPDATE workflow_execution_audit SET total_duration = 7 WHERE id = 'a'");
    store.tamper("UPDATE workflow_execution_audit SET completed_at = created_at WHERE id = 'b'");
    let (clock, extends) = (SystemClock, Heads::default());
    let appender = Appender { store: inner, clock: &clock, extends: &extends };
    let refused = erase_one(&appender, sample::LOG, "a", "request", "me").await.unwrap_err();
    assert!(refused.to_string().contains("entry 0: the body has the digest"), "{refused}");
    erase_one(&appender, sample::LOG, "c", "request", "me").await.unwrap();
    let policy = Policy::parse("keep: 1d").unwrap();
    let plan = plan(inner, &policy, at(10 * 86_400), |_| {}).await.unwrap();
    let refused = purge(&appender, &policy, &plan.id, "me", |_, _| {}).await.unwrap_err();
    assert!(
        matches!(&refused, PurgeError::Store { executions: 0, error: StoreError::Corrupt(_) }),
        "{refused}"
    );
    let found = verify(inner, None, |_| {}).await.unwrap().findings;
    let found: Vec<_> = found.iter().map(|finding| (finding.index.unwrap(), finding.what)).collect();
    assert!(found.contains(&(0, "body digest")) && found.contains(&(1, "body digest")), "{found:?}");
}

async fn what_is_left_of_what_was_erased_is_not_purged_once_it_was_changed(store: &impl Tampered) {
    let inner = &**store;
    open(inner, sample::LOG).await;
    append(inner, ["a", "b"].map(|id| from_producer(record(id), None))).await;
    stored(inner, erasing("a")).await;
    let saved = "CREATE TABLE saved AS SELECT * FROM workflow_execution_audit";
    store.tamper(saved);
    let (clock, extends) = (SystemClock, Heads::default());
    let appender = Appender { store: inner, clock: &clock, extends: &extends };
    let policy = Policy::parse("keep: 1d").unwrap();
    for change in [
        "outcome = 'failed'",
        "completed_at = created_at",
        "nonce = (SELECT nonce FROM saved WHERE id = 'b')",
    ] {
        store.tamper(&format!("UPDATE workflow_execution_audit SET {change} WHERE id = 'a'"));
        let plan = plan(inner, &policy, at(10 * 86_400), |_| {}).await.unwrap();
        let refused = purge(&appender, &policy, &plan.id, "me", |_, _| {}).await.unwrap_err();
        let says = refused.to_string();
        assert!(says.contains("entry 0 is not what was appended: what is left of it"), "{change}: {says}");
        store.tamper(
            "DELETE FROM workflow_execution_audit; INSERT INTO workflow_execution_audit SELECT * FROM saved",
        );
    }
    let plan = plan(inner, &policy, at(10 * 86_400), |_| {}).await.unwrap();
    let purged = purge(&appender, &policy, &plan.id, "me", |_, _| {}).await.unwrap();
    assert_eq!(purged.logs[0].executions, 2, "all was undone");
    assert_eq!(verify(inner, None, |_| {}).await.unwrap().findings, []);
}

async fn what_no_program_would_have_appended_is_found(store: &impl Tampered) {
    let inner = &**store;
    open(inner, sample::LOG).await;
    append(inner, ["a", "b"].map(|id| from_resource(record(id)))).await;
    // A hold that is open while what it covers is erased; its release comes after.
    append(inner, [hold("a", "case")]).await;
    let placed = "UPDATE hold SET released_at = placed_at, released_idx = 3";
    store.tamper(placed);
    stored(inner, erasing("a")).await;
    store.tamper("UPDATE hold SET released_at = NULL, released_idx = NULL");
    fold(store).await;
    let found = verify(inner, None, |_| {}).await.unwrap().findings;
    assert!(found.iter().any(|finding| (finding.index, finding.what) == (Some(3), "hold")), "{found:#?}");
}

async fn a_purge_under_an_open_hold_is_found(store: &impl Tampered) {
    let inner = &**store;
    open(inner, sample::LOG).await;
    append(inner, ["a", "b"].map(|id| from_resource(record(id)))).await;
    append(inner, [hold("a", "case"), hold("b", "case")]).await;
    append(inner, [release(3)]).await;
    // The hold on `a` is out of sight while the purge is appended.
    store.tamper("UPDATE hold SET released_at = placed_at, released_idx = 4 WHERE idx = 2");
    let goes = weigh(inner, at(10_000), 10).await;
    assert_eq!(stored(inner, part(1, goes)).await.index, 5, "with both executions");
    store.tamper("UPDATE hold SET released_at = NULL, released_idx = NULL WHERE idx = 2");
    fold(store).await;
    for _ in 0..2 {
        let findings = verify(inner, None, |_| {}).await.unwrap().findings;
        let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
        let expected = "log default, entry 5, hold: expected nothing that is held taken away, found something of a, on \
                        which a hold was open";
        assert_eq!(found, [expected]);
        // Nor is it forgotten once the rows are gone.
        store.remove_purged().await;
    }
}

async fn what_is_trusted_and_is_not_there_is_found(store: &impl Tampered) {
    let inner = &**store;
    open(inner, sample::LOG).await;
    append(inner, [from_producer(record("a"), None)]).await;
    let origin = inner.logs().await.unwrap().remove(0).origin;
    let key = |origin: &str| {
        let key: SigningKey = SigningKey::secret_text(origin, [1; 32]).unwrap().parse().unwrap();
        vec![key.public().clone()]
    };
    for (origin, what) in [(origin.as_str(), "checkpoint"), ("dualaudit.dev/elsewhere", "log")] {
        let keys = key(origin);
        let against = Against { keys: &keys, ..Against::default() };
        let found = verify_against(inner, None, against, |_| {}).await.unwrap().findings;
        assert!(found.iter().any(|finding| finding.what == what), "{found:#?}");
    }
}

on_both! {
    what_was_changed_is_neither_erased_nor_purged,
    what_is_left_of_what_was_erased_is_not_purged_once_it_was_changed,
    what_no_program_would_have_appended_is_found,
    a_purge_under_an_open_hold_is_found,
    what_is_trusted_and_is_not_there_is_found,
}
