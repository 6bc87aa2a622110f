//! The figures of twenty workflows that are alike: whether their intervals hold the truth, and how far durations are off.

use std::ops::Range;

use dualaudit::{
    learn::{
        figures::Duration,
        workflows::{Request, Workflows},
    },
    simulate::fleet::{Fleet, Truth},
};

use super::{DAY, Share, ask_over, began, each, given};

const WORKFLOWS: usize = 20;
/// The 50th, 90th and 99th percentile of the normal distribution with variance 1.
const NORMAL: [f64; 3] = [0.0, 1.281_552, 2.326_348];

/// How often intervals held the truth; they are meant to in 95 % of trials.
#[derive(Clone, Copy, Debug, Default)]
pub struct Covered {
    pub success: Share,
    /// That success changed by nothing since the period before.
    pub change: Share,
    /// Of the successful; what has no lower or upper end is held to have none.
    pub durations: [Durations; 3],
}

/// A percentile of durations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Durations {
    pub covered: Share,
    /// The part by which the estimate is off, on average.
    pub error: f64,
}

/// Some `runs` a workflow in each of two periods of two weeks.
pub fn coverage(success: f64, runs: u64, seeds: Range<u64>) -> Covered {
    let answers = each(seeds, |seed| {
        let mut truth = Truth::steady(WORKFLOWS, 28, began());
        truth.workflows.iter_mut().for_each(|workflow| workflow.success = success);
        let fleet = Fleet::new(truth, 2 * runs * WORKFLOWS as u64, seed);
        let since = began().saturating_add_micros(14 * DAY);
        ask_over::<Request>(&given(&fleet), &fleet, since, &[])
    });
    let mut covered = Covered::default();
    for Workflows { workflows, .. } in answers {
        for workflow in workflows {
            covered.success.add((workflow.success.lower..=workflow.success.upper).contains(&success));
            if let Some((lower, upper)) = workflow.change.difference.and_then(|it| it.lower.zip(it.upper)) {
                covered.change.add((lower..=upper).contains(&0.0));
            }
            let durations = [workflow.duration.p50, workflow.duration.p90, workflow.duration.p99];
            for (place, found) in durations.into_iter().enumerate() {
                let Some(found) = found else { continue };
                let truth = 120e9 * (0.5 * NORMAL[place]).exp();
                let of = &mut covered.durations[place];
                of.covered.add(holds(&found, truth));
                of.error += (found.estimate as f64 / truth - 1.0).abs();
            }
        }
    }
    for of in &mut covered.durations {
        of.error /= f64::from(of.covered.of.max(1));
    }
    covered
}

fn holds(found: &Duration, truth: f64) -> bool {
    found.lower.is_none_or(|lower| lower as f64 <= truth)
        && found.upper.is_none_or(|upper| upper as f64 >= truth)
}
