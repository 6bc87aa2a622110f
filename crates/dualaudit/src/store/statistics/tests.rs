use dualaudit_record::statistics::{About, Contribution, Text};

use super::*;
use crate::store::conformance::sample::{at, record};

/// Pages of what one execution gives that said so many things, and the bucket that they are of.
fn pages(said: usize) -> Vec<(PageId, Vec<u8>)> {
    let mut contribution = Contribution::of(&record("any"));
    let text =
        |n| Text { number: 1, action: "scale".to_owned(), about: About::Error, pattern: format!("p{n:06}") };
    contribution.texts = (0..said).map(text).collect();
    let mut sums = Sums::default();
    sums.give_to(Bucket::of(contribution.hour, Level::Hour), &contribution, 1);
    let changes = page::add(&[], BTreeMap::new(), sums).unwrap();
    let put = changes.into_iter().map(|change| match change {
        page::Change::Put(id, bytes) => (id, bytes),
        page::Change::Remove(id) => panic!("nothing was there of {id:?}"),
    });
    put.collect()
}

fn all(view: View) -> [WantedCells; 1] {
    [WantedCells { by: None, ..WantedCells::all(view, Key::default(), Hour::of(at(0)), Hour::of(at(7200))) }]
}

#[test]
fn patterns_beyond_those_that_are_told_apart_are_counted_together() {
    let wanted = all(View::Texts);
    let mut findings = Findings::new(&wanted, at(0));
    for (id, bytes) in pages(MOST_PATTERNS + 7).iter().filter(|(id, _)| id.slice == Slice::Texts) {
        findings.page(0, id, bytes).unwrap();
    }
    let found = findings.found().remove(0);
    assert_eq!(found.len(), MOST_PATTERNS + 1);
    let (_, others, cell) = &found[0];
    assert_eq!(others, &found[1].1.other_patterns().unwrap());
    let Cell::Texts(cell) = cell else { panic!("{cell:?}") };
    assert_eq!(cell.days.values().sum::<i64>(), 7);
}

#[test]
fn what_one_question_reads_is_bounded() {
    let wanted = all(View::Runs);
    let pages = pages(0);
    let (id, bytes) = pages.iter().find(|(id, _)| id.slice == Slice::Runs).unwrap();
    for (most_cells, most_bytes, is_too_much) in
        [(6, bytes.len(), false), (5, bytes.len(), true), (6, bytes.len() - 1, true)]
    {
        let mut findings = Findings { most_cells, most_bytes, ..Findings::new(&wanted, at(0)) };
        let found = findings.page(0, id, bytes);
        assert_eq!(matches!(found, Err(NotFound::TooMuch)), is_too_much, "{most_cells} {most_bytes}");
    }
    // What is not folded yet is read as well.
    let pending = [Packed::of([(1, &Contribution::of(&record("any")))])];
    let bytes = pending[0].as_bytes().len();
    for (most_cells, most_bytes, is_too_much) in [(6, bytes, false), (5, bytes, true), (6, bytes - 1, true)] {
        let mut findings = Findings { most_cells, most_bytes, ..Findings::new(&wanted, at(0)) };
        let found = findings.pending(&pending);
        assert_eq!(matches!(found, Err(NotFound::TooMuch)), is_too_much, "{most_cells} {most_bytes}");
    }
}
