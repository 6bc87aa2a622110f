//! Statistics, counted plainly from the entries of a log: nothing that the store computed is believed.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Entry, WorkflowExecutionAudit,
    entry::Verdict,
    statistics::{Bucket, Cell, Contribution, Hour, Kept, Key, Level, Part, Sums, View},
    time::{MAX, ZERO},
};

use super::{
    check::check_log,
    sample::{LOG, at, batch, from_producer, open, record},
};
use crate::store::{Folding, Head, Store, StoreError, StoredEntry, WantedCells};

/// The same executions are counted in hours, days, weeks and months, whenever they come and whenever they are folded.
pub(crate) async fn what_is_over_is_counted_in_longer_buckets(store: &dyn Store) {
    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    open(store, LOG).await;
    for (visit, day) in [0, 1, 2, 3, 4, 9, 17, 41, 42, 131, 132, 163, 420].into_iter().enumerate() {
        let late = [0, HOUR, 5 * HOUR, DAY, 2 * DAY, 8 * DAY, 33 * DAY, 130 * DAY];
        let records = late.into_iter().map(|late| WorkflowExecutionAudit {
            completed_at: at(day * DAY - late),
            workflow_name: format!("workflow-{}", (day + late) % 5),
            ..record(&format!("{day} {late}"))
        });
        let records = batch(records.map(|record| from_producer(record, None)));
        store.append(LOG, records, at(day * DAY + HOUR)).await.unwrap();
        match visit % 4 {
            0 => drop(check_log(store, LOG).await),
            // Ended in the midst of it.
            1 => drop(store.fold(LOG).await.unwrap()),
            2 => while store.fold(LOG).await.unwrap() == Folding::More {},
            _ => {}
        }
    }
    check_log(store, LOG).await;
}

/// Checks the statistics of a log, as they are, and once they are folded.
pub(super) async fn check_statistics(store: &dyn Store, head: &Head, entries: &[StoredEntry]) {
    if head.recorded_at.is_none() {
        return;
    }
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
    parts_and_periods(store, head, &expected).await;
}

/// Checks cells summed over periods, and parts of cells, of what is expected by buckets.
async fn parts_and_periods(store: &dyn Store, head: &Head, expected: &Sums) {
    let as_of = head.recorded_at.expect("it has entries");
    let last = Hour::of(as_of);
    let days = |days: i32| Hour::from_number(last.number() - days * 24).expect("an hour");
    let (first, end) = (Hour::of(ZERO), Bucket::of(Hour::of(MAX), Level::Hour).end());
    let periods = [(first, end), (days(28), end), (days(90), days(2)), (days(400), days(17))];
    let begins = expected.iter().find(|((view, _, _), _)| *view == View::Runs).map(|((_, _, key), _)| key);
    let begins = [Key::default(), begins.cloned().unwrap_or_default()];
    let mut questions = Vec::new();
    for (&view, (from, until)) in View::ALL.iter().flat_map(|view| periods.map(|period| (view, period))) {
        for (begins, by) in begins.iter().flat_map(|begins| [None, Some(Level::Day)].map(|by| (begins, by))) {
            questions.extend([Part::Ended, Part::Counts, Part::All].map(|part| {
                let begins = begins.clone();
                WantedCells { view, begins, from, until, by, part }
            }));
        }
    }
    let found = store.cells(&head.log, &questions).await.unwrap().cells;
    for (question, found) in questions.iter().zip(found) {
        let places: Vec<_> = found.iter().map(|(stretch, key, _)| (stretch, key)).collect();
        assert!(places.windows(2).all(|two| two[0] < two[1]), "{question:?}");
        let found: BTreeMap<_, _> = found
            .iter()
            .map(|(stretch, key, cell)| ((question.by.map(|_| stretch.from), key.clone()), cell.clone()))
            .collect();
        assert_eq!(found, plain_cells(expected, question), "{question:?}");
    }
}

/// The cells that a question asks for, by the first hour of their stretches where they are told apart by days.
fn plain_cells(expected: &Sums, wanted: &WantedCells) -> BTreeMap<(Option<Hour>, Key), Cell> {
    let mut cells: BTreeMap<(Option<Hour>, Key), Cell> = BTreeMap::new();
    for ((view, bucket, key), cell) in expected.iter() {
        if *view != wanted.view
            || bucket.end() <= wanted.from
            || bucket.start >= wanted.until
            || !key.as_bytes().starts_with(wanted.begins.as_bytes())
        {
            continue;
        }
        let start = wanted.by.map(|level| match bucket.level {
            Level::Hour => Bucket::of(bucket.start, level).start,
            _ => bucket.start,
        });
        cells.entry((start, key.clone())).or_insert_with(|| view.zero()).merge(cell, 1);
    }
    cells.values_mut().for_each(|cell| cell.keep(wanted.part));
    cells.retain(|_, cell| !cell.is_zero());
    cells
}

/// The statistics of a log by its shortest buckets.
async fn statistics(store: &dyn Store, head: &Head) -> Sums {
    let wanted: Vec<WantedCells> = View::ALL
        .iter()
        .map(|&view| {
            let until = Bucket::of(Hour::of(MAX), Level::Hour).end();
            WantedCells::all(view, Key::default(), Hour::of(ZERO), until)
        })
        .collect();
    let found = store.cells(&head.log, &wanted).await.unwrap();
    assert_eq!(found.behind, None);
    let mut sums = Sums::default();
    for (wanted, cells) in wanted.iter().zip(found.cells) {
        for (stretch, key, cell) in cells {
            let bucket = Level::ALL.iter().map(|&level| Bucket::of(stretch.from, level));
            let bucket = bucket.into_iter().find(|&bucket| stretch == bucket.into()).expect("a bucket");
            sums.add(wanted.view, bucket, key, &cell, 1);
        }
    }
    sums
}

/// Of each execution the last attempt counts, in its latest revision and by the newest verdict on it; what was purged, as
/// its purge says.
fn plainly(head: &Head, entries: &[StoredEntry]) -> Sums {
    let mut counted: HashMap<&str, (u32, Option<Contribution>)> = HashMap::new();
    let mut verdicts: HashMap<(&str, u32), Verdict> = HashMap::new();
    let mut sums = Sums::default();
    let kept = Kept::by(head.recorded_at.expect("it has entries"));
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
        if let Some(Entry::Review(review)) = stored.body.left() {
            verdicts.insert((&review.execution_id, review.attempt), review.verdict);
        }
        if let Some(Entry::Purge(purge)) = stored.body.entry() {
            for (times, contribution) in purge.contributed.as_ref().unwrap().unpack().unwrap() {
                sums.give_to(kept.shortest(contribution.hour), &contribution, times);
            }
        }
    }
    for (id, (attempt, contribution)) in counted {
        if let Some(contribution) = contribution {
            let verdict = verdicts.get(&(id, attempt)).copied();
            sums.give_to(kept.shortest(contribution.hour), &contribution.reviewed(verdict), 1);
        }
    }
    sums
}
