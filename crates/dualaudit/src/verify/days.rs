//! The digest of each day against the entries of that day, counted anew while they stream by.
//!
//! How many executions were in flight no entry tells, so that is taken as it was said. The cause of a gap, and what
//! went by a purge, is counted where the body is there.

use std::collections::VecDeque;

use dualaudit_record::{
    Entry, Time,
    day::{Counts, Day},
    entry::DailyDigest,
};

use super::entry::Find;
use crate::store::StoredEntry;

/// The entries of a day.
struct Run {
    day: Day,
    first: u64,
    end: u64,
    counts: Counts,
}

/// The days that were read and have no digest yet. Their number is what bounds the memory: each is once a day.
pub(super) struct Days {
    /// From which entry on the log is read.
    from: u64,
    /// Where the next digest begins, once that is known.
    next: Option<(Option<Day>, u64)>,
    undigested: VecDeque<Run>,
}

impl Days {
    /// Of a log that is read from an entry on.
    pub(super) fn from(from: u64) -> Self {
        Self { from, next: None, undigested: VecDeque::new() }
    }

    /// Counts an entry, and checks it if it is a digest.
    pub(super) fn check(&mut self, stored: &StoredEntry, find: Find<'_>) {
        let day = self.count(stored);
        if self.from == 0 {
            self.next.get_or_insert((Some(day), stored.index));
        }
        if let Some(Entry::Digest(digest)) = stored.body.entry() {
            self.digest(digest, stored.recorded_at, find);
        }
    }

    fn count(&mut self, stored: &StoredEntry) -> Day {
        let day = Day::of(stored.recorded_at);
        let (first, end) = (stored.index, stored.index + 1);
        // An entry that is of an earlier day than the one before it is found by its time.
        if self.undigested.back().is_none_or(|last| last.day < day) {
            self.undigested.push_back(Run { day, first, end, counts: Counts::default() });
        }
        if let Some(run) = self.undigested.back_mut() {
            run.end = end;
            run.counts.leaf(stored.kind, stored.revision);
            if let Some(said) = stored.body.left() {
                run.counts.said(said);
            }
        }
        day
    }

    fn digest(&mut self, digest: &DailyDigest, recorded_at: Time, find: Find<'_>) {
        let DailyDigest { since, until, first, end, counts, .. } = digest;
        if until < since || Day::of(recorded_at) <= *until {
            let found = format!("one of {since} to {until}, made at {recorded_at}");
            find("digest", "one of days that were over".to_owned(), found);
        }
        let begins = |day: Option<Day>, first: u64| {
            let day = day.map_or_else(|| "no day".to_owned(), |day| day.to_string());
            format!("one that begins on {day}, at entry {first}")
        };
        if let Some(next) = self.next.filter(|next| *next != (Some(*since), *first)) {
            find("digest", begins(next.0, next.1), begins(Some(*since), *first));
        }
        self.next = Some((until.next(), *end));
        let mut counted = Run { day: *since, first: *first, end: *first, counts: Counts::default() };
        while let Some(run) = self.undigested.pop_front_if(|run| run.day <= *until) {
            // What is before its first day was told already: it has no digest.
            if run.day >= *since {
                counted.counts.add(&run.counts);
                counted.first = run.first.min(counted.first);
                counted.end = run.end;
            }
        }
        if *first < self.from {
            return;
        }
        if (counted.first, counted.end) != (*first, *end) {
            let shown = |first, end| format!("the entries from {first} up to {end}");
            find("digest", shown(counted.first, counted.end), shown(*first, *end));
        } else if !counted.counts.agree_with(counts) {
            find("digest", shown(&counted.counts), shown(counts));
        } else if since != until && first != end {
            find("digest", format!("one of {since}"), format!("one of {since} to {until}"));
        }
    }
}

fn shown(counts: &Counts) -> String {
    serde_json::to_string(counts).unwrap_or_default()
}
