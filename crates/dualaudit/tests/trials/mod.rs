//! What learning makes of fleets whose truth is known: each trial is a fleet of its own, decided by a seed, and what is
//! answered about it is held against the truth.
//!
//! `integration/learning.rs` tries few, always the same; `make learning-report` tries many, and writes what came of them
//! into docs/learning.md.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

pub mod adjustments;
pub mod compare;
pub mod figures;
pub mod recommend;
pub mod regressions;
pub mod steps;

use std::{
    fmt,
    num::NonZero,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use dualaudit::{
    learn::{Ask, given::Given},
    simulate::fleet::{Fleet, Truth},
};
use dualaudit_record::{Time, statistics::Contribution};

const DAY: i64 = 86_400_000_000;

/// The first instant of every fleet.
pub fn began() -> Time {
    "2025-03-01T00:00:00Z".parse().unwrap()
}

/// The end of a fleet's last day: nothing is recorded after it.
pub fn ended(truth: &Truth) -> Time {
    truth.began.saturating_add_micros(i64::from(truth.days) * DAY)
}

/// What a fleet gives to the statistics.
pub fn given(fleet: &Fleet) -> Given {
    let mut given = Given::nothing(ended(fleet.truth()));
    fleet.records().for_each(|record| given.give("default", &Contribution::of(&record), 1));
    given
}

/// What is answered about all of a fleet's executions.
pub fn ask<A: Ask>(given: &Given, fleet: &Fleet, pairs: &[(&str, &str)]) -> A::Answer {
    let truth = fleet.truth();
    ask_over::<A>(given, fleet, truth.began, pairs)
}

/// What is answered about those that ended from an instant on.
pub fn ask_over<A: Ask>(given: &Given, fleet: &Fleet, since: Time, pairs: &[(&str, &str)]) -> A::Answer {
    let mut all = vec![("since".to_owned(), since.to_string())];
    all.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    given.ask(&A::parse(&all, ended(fleet.truth())).unwrap())
}

/// What comes of each trial, in their order; as many go on at once as there are processors.
pub fn each<T: Send>(seeds: Range<u64>, trial: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return done;
            }
            done.push((seed, trial(seed)));
        }
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let mut done: Vec<(u64, T)> = thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    done.sort_unstable_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, it)| it).collect()
}

/// In how many of how many trials something was so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub count: u32,
    pub of: u32,
}

impl Share {
    pub fn add(&mut self, is_so: bool) {
        *self = Self { count: self.count + u32::from(is_so), of: self.of + 1 };
    }

    /// 0..1; of no trials 0.
    pub fn rate(self) -> f64 {
        f64::from(self.count) / f64::from(self.of.max(1))
    }
}

/// As in `93.5 % (187 of 200)`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} % ({} of {})", self.rate() * 100.0, self.count, self.of)
    }
}
