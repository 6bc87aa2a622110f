//! What learning makes of fleets whose truth is known, tried a few times with fixed seeds; `make learning-report` tries
//! it many times, and docs/learning.md shows what came of it.

use crate::trials::{
    Share, adjustments, compare, figures,
    recommend::{self, Logged},
    regressions::{self, Like, Weather},
    steps,
};

/// So often at least.
#[track_caller]
fn at_least(share: Share, rate: f64) {
    assert!(share.rate() >= rate, "{share}, and not {rate} at least");
}

/// So often at most.
#[track_caller]
fn at_most(share: Share, rate: f64) {
    assert!(share.rate() <= rate, "{share}, and not {rate} at most");
}

#[test]
fn a_version_that_is_worse_by_20_points_is_found_with_200_runs_a_side() {
    let worse = compare::versions(0.9, 0.2, 200, 0..40);
    at_least(worse.worse, 0.9);
    at_most(worse.better, 0.0);
    at_least(worse.covered, 0.85);
}

#[test]
fn versions_that_are_alike_are_rarely_called_otherwise() {
    let alike = compare::versions(0.8, 0.0, 100, 0..60);
    at_most(Share { count: alike.worse.count + alike.better.count, ..alike.worse }, 0.1);
    at_least(alike.covered, 0.9);
}

#[test]
fn a_day_that_is_worse_by_20_points_is_found_with_200_runs() {
    let found = regressions::falls(0.2, Like { workflows: 3, per_day: 200, weather: Weather::Steady }, 0..2);
    at_least(found.at_once, 0.9);
    at_least(found.dated, 0.9);
}

#[test]
fn where_nothing_changes_few_days_raise_an_alarm() {
    for weather in [Weather::Steady, Weather::Stormy] {
        let like = Like { workflows: 10, per_day: 8, weather };
        at_most(regressions::false_alarms(like, 60, 0..1), 0.05);
    }
}

#[test]
fn an_adjustment_that_helps_is_found_and_those_that_only_seem_to_are_not() {
    let friends = adjustments::friends(800, 0..12);
    assert!(
        friends.confounded.seems > 0.1 && friends.died_before.seems > 0.1,
        "{friends:?}: no friends at all"
    );
    at_least(friends.real.helps, 0.9);
    at_most(friends.confounded.helps, 0.1);
    at_most(friends.died_before.helps, 0.1);
    at_most(friends.died_at_the_step.helps_for_sure, 0.1);
}

#[test]
fn the_step_that_fails_is_ranked_first_and_so_are_the_retried_and_the_slow_one() {
    let found = steps::hot_spots(4.0, 200, 0..10);
    at_least(found.failing, 0.9);
    at_least(found.retried, 0.8);
    at_least(found.slow, 1.0);
}

#[test]
fn what_is_recommended_is_the_nearer_to_the_best_the_more_was_logged() {
    let regrets = [10, 30, 100].map(|runs| recommend::regret(Logged::Uniformly, runs, 0..12).recommended);
    assert!(regrets.is_sorted_by(|one, other| one >= other), "{regrets:?}");
    assert!(regrets[2] < 0.02, "{regrets:?}");
    let uneven = recommend::regret(Logged::Unevenly, 10, 0..12);
    assert!(uneven.recommended < uneven.by_lot, "{uneven:?}");
}

#[test]
fn intervals_hold_the_truth() {
    let covered = figures::coverage(0.9, 50, 0..4);
    at_least(covered.success, 0.85);
    at_least(covered.change, 0.85);
    for durations in covered.durations {
        at_least(durations.covered, 0.85);
    }
    assert!(covered.durations[0].error < 0.1, "{covered:?}");
}
