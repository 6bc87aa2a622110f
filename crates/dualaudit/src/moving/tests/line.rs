//! Logs that go on in the place of others, which were rolled back.

use dualaudit_record::{
    Entry, EntryKind,
    checkpoint::{Checkpoint, SignedCheckpoint},
    entry,
};

use super::*;
use crate::store::{Batch, Succession as _, Which};

/// The line, as its names are in no order.
const LINE: [&str; 3] = [LOG, "zz", "after"];

/// A file in which one log goes on in the place of the first, and another in the place of that, and each is published.
async fn succeeded() -> File {
    let file = File::new();
    let store = &file.store;
    open(store, LOG).await;
    for (place, log) in LINE.into_iter().enumerate() {
        if let Some(before) = place.checked_sub(1).map(|before| LINE[before]) {
            begin(&file, before, log).await;
            store.close_succeeded(before, log).await.unwrap();
        }
        let runs = (0..40).map(|n| from_producer(record(&format!("{log}-{n}")), None));
        store.append(log, batch(runs), at(1)).await.unwrap();
        let running = TrackingChange::Seen(tracked(&format!("{log}-runs"), Some(at(1))));
        store.append(log, tracking([running]), at(1)).await.unwrap();
        let Head { origin, size, root, .. } = head(store, log).await.unwrap();
        let checkpoint = SignedCheckpoint::sign(Checkpoint { origin, size, root }, &[]).unwrap();
        let published = Batch { checkpoint: Some(checkpoint), ..Batch::default() };
        store.append(log, published.into(), at(1)).await.unwrap();
    }
    file
}

/// A successor with its first entry, before the log in whose place it goes on is closed.
async fn begin(file: &File, before: &str, log: &str) {
    file.store.begin_successor(before, log, &format!("dualaudit.dev/{log}"), at(1)).await.unwrap();
    let Head { size, root, checkpoint, .. } = head(&file.store, before).await.unwrap();
    let said = entry::Succession {
        predecessor: before.to_owned(),
        size,
        root,
        checkpoint: checkpoint.unwrap_or_default(),
        reason: "restored".to_owned(),
        actor: "me".to_owned(),
    };
    let said = DraftContent::Note(Box::new(Entry::Succession(said)));
    file.store.append(log, batch([said]), at(1)).await.unwrap();
}

/// That the whole line is the same in both, and goes on at its end.
async fn same_line(file: &File, target: &Fresh) {
    let (here, there): (&dyn Store, &dyn Store) = (&file.store, &target.store);
    for (place, log) in LINE.into_iter().enumerate() {
        let (left, arrived) = (head(here, log).await.unwrap(), head(there, log).await.unwrap());
        let state =
            LINE.get(place + 1).map_or(LogState::Open, |by| LogState::Succeeded { by: (*by).to_owned() });
        assert!(left.checkpoint.is_some());
        assert_eq!(Head { state, ..left }, arrived, "{log}");
        let of = async |store: &dyn Store| store.entries(log, Which::All, 0, 1000).await.unwrap();
        assert_eq!(of(here).await, of(there).await);
        let of = async |store: &dyn Store| store.tracked(log, None, 1000).await.unwrap();
        assert_eq!(of(here).await, of(there).await);
    }
    for store in [here, there] {
        assert_eq!(verify(store, None, |_| {}).await.unwrap().findings, []);
    }
}

#[tokio::test]
async fn a_line_of_logs_arrives_as_it_was_and_goes_on_at_its_end() {
    let (file, target) = (succeeded().await, fresh());
    let sizes = |earlier| {
        let mut moved: Vec<_> = [(LOG, 40), ("zz", 41), ("after", 41)]
            .map(|(log, entries)| MovedLog { log: log.to_owned(), entries, earlier })
            .into();
        moved.sort_by(|one, other| one.log.cmp(&other.log));
        moved
    };
    assert_eq!(moved(&file, &target).await, sizes(false));
    same_line(&file, &target).await;
    assert_eq!(moved(&file, &target).await, sizes(true), "it moves once");
    // It is opened at its end, which knows what all of it recorded.
    assert_eq!(target.open_log(opening(LOG)).await.unwrap().name, "after");
    let Err(StoreError::Foreign(said)) = file.store.open_log(opening(LOG)).await else { panic!("it opened") };
    assert!(said.contains("moved to postgres://here/audit"), "{said}");
    let again = LINE.map(|log| from_producer(record(&format!("{log}-7")), None));
    let answers = target.append("after", batch(again), at(2)).await.unwrap();
    for (log, answer) in LINE.into_iter().zip(answers) {
        let receipt = receipt(answer);
        assert_eq!((receipt.log.as_str(), receipt.result), (log, ReceiptResult::Duplicate));
    }
    for log in [LOG, "zz"] {
        let said = target.append(log, batch([from_producer(record("more"), None)]), at(2)).await.unwrap_err();
        assert!(said.to_string().contains("goes on in its place"), "{said}");
    }
    let more = target.append("after", batch([from_producer(record("more"), None)]), at(2)).await.unwrap();
    assert_eq!(receipt(more.into_iter().next().unwrap()).index, 41);
    assert_eq!(verify(&target.store, None, |_| {}).await.unwrap().findings, []);
}

#[tokio::test]
async fn wherever_the_move_of_a_line_stops_it_goes_on_in_one_place_at_most_and_the_same_again_ends_it() {
    let original = succeeded().await;
    for number in 0_usize.. {
        let (file, target) = (original.copy().await, fresh());
        let ended = moving(&file, &target, &mut stopping_at(number)).await;
        for log in [LOG, "zz"] {
            let state = head(&*target, log).await.map(|head| head.state);
            assert!(!matches!(state, Some(LogState::Open)), "{number}: {log}");
        }
        let there = head(&*target, "after").await.map(|head| head.state);
        let here = head(&file.store, "after").await.unwrap().state;
        assert!(there != Some(LogState::Open) || here != LogState::Open, "{number}");
        if here == LogState::Open {
            let more = batch([from_producer(record("meanwhile"), None)]);
            file.store.append("after", more, at(2)).await.unwrap();
        }
        moved(&file, &target).await;
        same_line(&file, &target).await;
        if ended.is_ok() {
            assert!(number > 12, "{number}");
            break;
        }
        assert!(matches!(ended, Err(MoveError::Stopped)), "{number}: {ended:?}");
    }
}

#[tokio::test]
async fn a_line_is_neither_parted_nor_moved_before_it_is_one() {
    let (file, target) = (succeeded().await, fresh());
    let (from, to) = ("sqlite:/audit.db".to_owned(), HERE.to_owned());
    let journey = Journey { source: &file.store, target: &target.store, from, to, clock: &Still };
    for named in [&[LOG][..], &["after"], &[LOG, "zz"], &["zz", "after"]] {
        let named: Vec<String> = named.iter().map(|&log| log.to_owned()).collect();
        let said = move_logs(&journey, &named, &mut |_| Ok(())).await.unwrap_err().to_string();
        assert!(said.contains("they move together"), "{said}");
    }
    begin(&file, "after", "last").await;
    let said = moving(&file, &target, &mut |_| Ok(())).await.unwrap_err().to_string();
    assert!(said.contains("log succeed --log after` was ended; run it again"), "{said}");
    assert_eq!(target.logs().await.unwrap(), []);
    file.store.close_succeeded("after", "last").await.unwrap();
    moved(&file, &target).await;
    assert_eq!(target.open_log(opening(LOG)).await.unwrap().name, "last");
    let kinds = target.entries("last", Which::Kind(EntryKind::Succession), 0, 10).await.unwrap();
    assert_eq!(kinds.len(), 1);
}
