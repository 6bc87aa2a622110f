//! Statistics, counted plainly from the entries of a log: nothing that the store computed is believed.

use std::collections::HashMap;

use dualaudit_record::{
    Entry,
    statistics::{Bucket, Contribution, Hour, Key, Level, Sums, View},
    time::{MAX, ZERO},
};

use crate::store::{Folding, Head, Store, StoreError, StoredEntry, WantedCells};

/// Checks the statistics of a log, as they are, and once they are folded.
pub(super) async fn check_statistics(store: &dyn Store, head: &Head, entries: &[StoredEntry]) {
    let Some(as_of) = head.recorded_at else { return };
    let expected = plainly(head, entries);
    let is_behind = store.cells(&head.log, &[]).await.unwrap().behind.is_some();
    if !is_behind {
        assert_eq!(statistics(store, head).await, expected, "not all of it folded");
    }
    loop {
        match store.fold(&head.log).await {
            Ok(Folding::More) => {}
            Ok(Folding::Done) => break,
            Err(StoreError::Unavailable(why)) if why.contains("for reading only") => return,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(statistics(store, head).await, expected, "folded");
    for (_, bucket, _) in cells(store, head).await.iter().map(|((view, bucket, key), _)| (view, bucket, key))
    {
        assert_eq!(bucket.rolled(as_of), *bucket, "what is folded is in the buckets of its time");
    }
}

/// The statistics of a log by hours, where hours are kept, and longer buckets, as of its head.
async fn statistics(store: &dyn Store, head: &Head) -> Sums {
    let as_of = head.recorded_at.expect("it has entries");
    let mut sums = Sums::default();
    for ((view, bucket, key), cell) in cells(store, head).await.iter() {
        sums.add(*view, bucket.rolled(as_of), key.clone(), cell, 1);
    }
    sums
}

async fn cells(store: &dyn Store, head: &Head) -> Sums {
    let wanted: Vec<WantedCells> = View::ALL
        .iter()
        .map(|&view| WantedCells {
            view,
            begins: Key::default(),
            from: Hour::of(ZERO),
            until: Bucket::of(Hour::of(MAX), Level::Hour).end(),
        })
        .collect();
    let found = store.cells(&head.log, &wanted).await.unwrap();
    assert_eq!(found.behind, None);
    let mut sums = Sums::default();
    for (wanted, cells) in wanted.iter().zip(found.cells) {
        for (bucket, key, cell) in cells {
            sums.add(wanted.view, bucket, key, &cell, 1);
        }
    }
    sums
}

/// Of each execution the last attempt counts, in its latest revision; what was purged, as its purge says.
fn plainly(head: &Head, entries: &[StoredEntry]) -> Sums {
    let mut counted: HashMap<&str, (u32, Option<Contribution>)> = HashMap::new();
    let mut sums = Sums::default();
    let as_of = head.recorded_at.expect("it has entries");
    for stored in entries {
        if let (Some(id), Some(attempt)) = (stored.execution_id.as_deref(), stored.attempt) {
            let contribution = match stored.body.left() {
                Some(Entry::Execution(execution)) => Some(Contribution::of(&execution.record)),
                _ => None,
            };
            if counted.get(id).is_none_or(|(last, _)| *last <= attempt) {
                counted.insert(id, (attempt, contribution));
            }
        }
        if let Some(Entry::Purge(purge)) = stored.body.entry() {
            for (times, contribution) in purge.contributed.as_ref().unwrap().unpack().unwrap() {
                sums.give(&contribution, times, as_of);
            }
        }
    }
    for (_, contribution) in counted.into_values() {
        if let Some(contribution) = contribution {
            sums.give(&contribution, 1, as_of);
        }
    }
    sums
}
