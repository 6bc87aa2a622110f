use dualaudit_record::statistics::{Contribution, Level};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::store::conformance::sample::{at, record};

/// What executions of so many workflows, one each, give.
fn sums(workflows: &[u32], times: i64) -> Sums {
    let mut sums = Sums::default();
    for workflow in workflows {
        let mut record = record("any");
        record.workflow_name = format!("workflow-{workflow}");
        let contribution = Contribution::of(&record);
        sums.give_to(Bucket::of(contribution.hour, Level::Day), &contribution, times);
    }
    sums
}

/// Pages as a database keeps them.
#[derive(Default)]
struct Stored(BTreeMap<PageId, Vec<u8>>);

impl Stored {
    fn add(&mut self, sums: Sums) {
        let known: Vec<PageId> = self.0.keys().cloned().collect();
        let loaded = touched(&known, &sums).into_iter().map(|id| {
            let bytes = self.0[&id].clone();
            (id, bytes)
        });
        for change in add(&known, loaded.collect(), sums).unwrap() {
            match change {
                Change::Put(id, bytes) => drop(self.0.insert(id, bytes)),
                Change::Remove(id) => drop(self.0.remove(&id).expect("only what is there is removed")),
            }
        }
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for (id, bytes) in &self.0 {
            let mut last = None;
            for (key, cell) in read(id, bytes).unwrap() {
                assert!(last.as_ref().is_none_or(|last| *last < key), "keys are in order");
                assert!(key >= id.first, "no key is before the page's first");
                sums.add(id.slice.view(), id.bucket, key.clone(), &cell, 1);
                last = Some(key);
            }
            assert!(last.is_some(), "no page is empty");
        }
        sums
    }
}

#[test]
fn pages_are_divided_where_they_are_full() {
    let mut stored = Stored::default();
    let workflows: Vec<u32> = (0..1000).collect();
    stored.add(sums(&workflows, 1));
    let runs = stored.0.iter().filter(|(id, _)| id.slice == Slice::Runs);
    let sizes: Vec<usize> = runs.map(|(_, bytes)| bytes.len()).collect();
    assert!(sizes.len() > 10, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= FULL), "{sizes:?}");
    assert_eq!(stored.sums(), sums(&workflows, 1));
    let before = stored.0.len();
    stored.add(sums(&[17], 1));
    assert_eq!(stored.0.len(), before, "there is room in each");
}

#[test]
fn what_is_no_page_is_told() {
    let bucket = Bucket::of(dualaudit_record::statistics::Hour::of(at(0)), Level::Day);
    let id = PageId { slice: Slice::Steps, bucket, first: Key::default() };
    let error = |bytes: &[u8]| read(&id, bytes).unwrap_err().to_string();
    assert!(error(&[]).contains("a page of steps"));
    assert!(error(&[9]).contains("its form is 9"));
    assert!(error(&[FORM, 0, 3, 0, 0]).contains("more in common"));
    assert!(error(&[FORM, 0, 0, 200]).contains("a page of steps"));
    assert!(error(&[FORM, 0, 0, 0, 1, 1]).contains("a page of steps"));
}

proptest! {
    #[test]
    fn pages_hold_the_sum_of_all_that_was_added_and_nothing_of_what_was_taken_back(
        some in vec(0..40_u32, 0..40),
        more in vec(0..40_u32, 0..40),
    ) {
        let mut stored = Stored::default();
        stored.add(sums(&some, 1));
        stored.add(sums(&more, 1));
        let all: Vec<u32> = some.iter().chain(&more).copied().collect();
        prop_assert_eq!(stored.sums(), sums(&all, 1));
        stored.add(sums(&some, -1));
        prop_assert_eq!(stored.sums(), sums(&more, 1));
        stored.add(sums(&more, -1));
        prop_assert!(stored.0.is_empty());
    }
}
