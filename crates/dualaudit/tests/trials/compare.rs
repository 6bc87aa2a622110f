//! Two versions of a workflow, beside each other.

use std::ops::Range;

use dualaudit::{
    learn::compare::{Comparisons, Request, Verdict},
    simulate::fleet::{Fleet, Truth, Version},
};

use super::{Share, ask, began, each, given};

/// What is said of a version that succeeds less often than another by as many points as it is worse.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub worse: Share,
    pub better: Share,
    /// The interval of the difference held the truth, where there was one.
    pub covered: Share,
}

/// Some `runs` a version, in namespaces and for incidents some of which are harder than others.
pub fn versions(success: f64, drop: f64, runs: u64, seeds: Range<u64>) -> Found {
    let compared = each(seeds, |seed| {
        let fleet = Fleet::new(truth(success, drop), 2 * runs, seed);
        let pairs = [("workflow", "workflow-0"), ("version", "v2"), ("against", "v1")];
        let Comparisons { mut comparisons, .. } = ask::<Request>(&given(&fleet), &fleet, &pairs);
        assert_eq!(comparisons.len(), 1, "one comparison was asked for");
        comparisons.remove(0)
    });
    let mut found = Found::default();
    for one in compared {
        found.worse.add(one.verdict == Verdict::Worse);
        found.better.add(one.verdict == Verdict::Better);
        if let Some((lower, upper)) = one.success.difference.and_then(|it| it.lower.zip(it.upper)) {
            found.covered.add((lower..=upper).contains(&-drop));
        }
    }
    found
}

fn truth(success: f64, drop: f64) -> Truth {
    let mut truth = Truth::steady(1, 28, began());
    for (place, ease) in [0.0, 0.4, -0.4, 0.2].into_iter().enumerate() {
        truth.incident_types[place].ease = ease;
    }
    let worse = Version { success: -drop, ..Version::plain("v2", 1.0) };
    truth.workflows[0].versions.push(worse);
    truth.workflows[0].success = success;
    truth
}
