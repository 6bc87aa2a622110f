//! A workflow whose fourth step breaks it more often than any other does, whose second is retried, and whose fifth takes
//! long.

use std::ops::Range;

use dualaudit::{
    learn::steps::Request,
    simulate::fleet::{Fleet, Truth},
};

use super::{Share, ask, began, each, given};

/// How often the right step came first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub failing: Share,
    pub retried: Share,
    pub slow: Share,
}

/// Each of these steps does so `times` as often, or takes so many times as long, as each of the others.
pub fn hot_spots(times: f64, runs: u64, seeds: Range<u64>) -> Found {
    let firsts = each(seeds, |seed| {
        let mut truth = Truth::steady(1, 28, began());
        let steps = &mut truth.workflows[0].steps;
        steps[3].breaks = times;
        steps[1].retries *= times;
        steps[4].time = times;
        truth.workflows[0].success = 0.8;
        let fleet = Fleet::new(truth, runs, seed);
        let given = given(&fleet);
        ["failures", "retries", "time"].map(|sort| {
            let pairs = [("workflow", "workflow-0"), ("sort", sort)];
            ask::<Request>(&given, &fleet, &pairs).steps[0].number
        })
    });
    let mut found = Found::default();
    for [failing, retried, slow] in firsts {
        found.failing.add(failing == 4);
        found.retried.add(retried == 2);
        found.slow.add(slow == 5);
    }
    found
}
