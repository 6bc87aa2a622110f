//! Checkpoints: which are kept, what a log must extend, and logs that go on in the place of others.

use std::sync::Arc;

use dualaudit_record::{
    Entry,
    checkpoint::{Checkpoint, SignedCheckpoint},
    digest::Digest,
    entry::{Heartbeat, Succession},
    proof,
};

use super::{
    Maintained,
    check::check_log,
    sample::{
        LOG, append, at, batch, from_resource, hold, open, opening, receipt, record, seen, stored, tracked,
    },
};
use crate::store::{Answer, Batch, Head, LogState, ReceiptResult, Store, StoreError};

async fn head(store: &dyn Store, log: &str) -> Head {
    store.logs().await.unwrap().into_iter().find(|head| head.log == log).unwrap()
}

async fn proof_head(store: &dyn Store) -> proof::Head {
    let Head { size, root, .. } = head(store, LOG).await;
    proof::Head { size, root }
}

fn checkpoint(size: u64) -> SignedCheckpoint {
    let checkpoint = Checkpoint { origin: opening(LOG).origin, size, root: Digest([7; 32]) };
    SignedCheckpoint::sign(checkpoint, &[]).unwrap()
}

async fn publish(store: &dyn Store, size: u64) -> Result<Vec<Answer>, StoreError> {
    let batch = Batch { checkpoint: Some(checkpoint(size)), ..Batch::default() };
    store.append(LOG, Arc::new(batch), at(100)).await
}

pub(crate) async fn the_newest_checkpoint_is_kept(store: &dyn Store) {
    open(store, LOG).await;
    assert_eq!(head(store, LOG).await.checkpoint, None);
    append(store, (0..5).map(|n| hold("a", &n.to_string()))).await;
    for (size, kept) in [(2, 2), (5, 5), (3, 5), (5, 5)] {
        publish(store, size).await.unwrap();
        assert_eq!(head(store, LOG).await.checkpoint.as_deref(), Some(checkpoint(kept).as_str()));
    }
    let beyond = publish(store, 6).await;
    assert!(matches!(beyond, Err(StoreError::RolledBack(_))), "{beyond:?}");
    check_log(store, LOG).await;
}

pub(crate) async fn a_log_that_does_not_extend_what_it_had_takes_nothing(store: &dyn Store) {
    open(store, LOG).await;
    let mut heads = vec![proof_head(store).await];
    for n in 0..600_u32 {
        if n % 100 == 0 || n > 250 && n < 260 {
            heads.push(proof_head(store).await);
        }
        append(store, [hold("a", &n.to_string())]).await;
    }
    heads.push(proof_head(store).await);
    let extending = |extends: proof::Head, reason: &str| {
        let batch = Arc::unwrap_or_clone(batch([hold("b", reason)]));
        Arc::new(Batch { extends: Some(extends), ..batch })
    };
    for (place, &known) in heads.iter().enumerate() {
        let answers = store.append(LOG, extending(known, &format!("right {place}")), at(100)).await.unwrap();
        assert!(answers[0].is_new());
        let forked = proof::Head { root: Digest([1; 32]), ..known };
        let refused = store.append(LOG, extending(forked, "forked"), at(100)).await;
        assert!(matches!(refused, Err(StoreError::RolledBack(_))), "{known:?}: {refused:?}");
    }
    let size = head(store, LOG).await.size;
    let cut_off = proof::Head { size: size + 1, root: Digest([1; 32]) };
    let refused = store.append(LOG, extending(cut_off, "cut off"), at(100)).await;
    assert!(matches!(refused, Err(StoreError::RolledBack(_))), "{refused:?}");
    assert_eq!(head(store, LOG).await.size, size);
    check_log(store, LOG).await;
}

pub(crate) async fn a_heartbeat_is_there_once_and_only_where_nothing_else_is(store: &dyn Store) {
    open(store, LOG).await;
    let beat = |size| crate::store::DraftContent::Note(Box::new(Entry::Heartbeat(Heartbeat { size })));
    let first = stored(store, beat(0)).await;
    assert_eq!((first.index, first.id.as_str(), first.result), (0, "", ReceiptResult::Created));
    let again = receipt(append(store, [beat(0)]).await.remove(0));
    assert_eq!((again.index, again.result), (0, ReceiptResult::Duplicate));
    assert_eq!(append(store, [hold("a", "x"), beat(1)]).await[1], Answer::Accounted);
    assert_eq!(stored(store, beat(2)).await.index, 2);
    check_log(store, LOG).await;
}

pub(crate) async fn a_log_goes_on_in_the_place_of_one_that_was_rolled_back(store: &impl Maintained) {
    const NEXT: &str = "next";
    let inner: &dyn Store = &**store;
    open(inner, LOG).await;
    let before = stored(inner, from_resource(record("before"))).await;
    seen(inner, tracked("running", None)).await;
    let lost = head(inner, LOG).await;
    for _ in 0..2 {
        store.begin_successor(LOG, NEXT).await;
        let note = Entry::Succession(Succession {
            predecessor: LOG.to_owned(),
            size: lost.size,
            root: lost.root,
            checkpoint: checkpoint(9).as_str().to_owned(),
            reason: "restored".to_owned(),
            actor: "me".to_owned(),
        });
        let note = batch([crate::store::DraftContent::Note(Box::new(note))]);
        let answers = inner.append(NEXT, note, at(100)).await.unwrap();
        assert_eq!(receipt(answers[0].clone()).index, 0);
        store.close_succeeded(LOG, NEXT).await;
    }
    assert_eq!(head(inner, LOG).await.state, LogState::Succeeded { by: NEXT.to_owned() });
    assert_eq!(inner.open_log(opening(LOG)).await.unwrap().name, NEXT);
    let refused = inner.append(LOG, batch([hold("a", "x")]), at(100)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let running = inner.tracked(NEXT, None, 10).await.unwrap();
    assert_eq!(running.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["running"]);

    // What the other recorded is not recorded again.
    let known = inner.known(NEXT, &["before".to_owned(), "after".to_owned()]).await.unwrap();
    assert_eq!(known[0].recorded.len(), 1);
    assert_eq!(known[0].recorded[0].receipt.log, LOG);
    assert!(known[1].recorded.is_empty());
    let answers = inner.append(NEXT, batch([from_resource(record("before"))]), at(100)).await.unwrap();
    let again = receipt(answers[0].clone());
    assert_eq!((again.log.as_str(), again.index), (LOG, before.index));
    assert_eq!(again.result, ReceiptResult::Duplicate);
    let answers = inner.append(NEXT, batch([from_resource(record("after"))]), at(100)).await.unwrap();
    assert_eq!(receipt(answers[0].clone()).index, 1);
    check_log(inner, LOG).await;
    check_log(inner, NEXT).await;
}
