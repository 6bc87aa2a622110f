use proptest::prelude::*;

use super::*;

fn of(successes: u64, failures: u64) -> Sample {
    Sample { successes, failures }
}

/// Small counts, which tables are made of, and those that sums and products could overflow.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..40_u64, 3 => 0..=1_000_000_000_u64, 1 => Just(u64::MAX)]
}

fn sample() -> impl Strategy<Value = Sample> {
    (count(), count()).prop_map(|(successes, failures)| of(successes, failures))
}

#[test]
fn no_runs_say_nothing() {
    let none = Sample::default();
    assert_eq!(wilson(none, Confidence::NINETY_FIVE), Interval { lower: 0.0, upper: 1.0 });
    assert_eq!(none.rate(), None);
    assert_eq!(difference(none, of(3, 1), Confidence::NINETY_FIVE), None);
    assert_eq!(fisher_exact(none, of(3, 1)), 1.0);
    assert_eq!(fisher_exact(of(3, 0), of(4, 0)), 1.0);
}

#[test]
fn a_confidence_is_within_what_its_quantile_is_good_for() {
    for confidence in [0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Confidence::new(confidence), None);
    }
    assert!((Confidence::NINETY_FIVE.z() - 1.959_963_984_540_054).abs() < 1e-14);
}

#[test]
fn all_that_succeeded_leave_room_for_failure() {
    let all = wilson(of(10, 0), Confidence::NINETY_FIVE);
    assert!(all.upper == 1.0 && (0.70..0.75).contains(&all.lower), "{all:?}");
    let none = difference(of(5, 0), of(5, 0), Confidence::NINETY_FIVE).unwrap();
    assert!(none.estimate == 0.0 && none.interval.upper > 0.4, "{none:?}");
}

#[test]
fn a_table_that_cannot_be_chance_has_the_least_p_and_not_0() {
    let p = fisher_exact(of(1_000_000_000, 0), of(0, 1_000_000_000));
    assert_eq!(p, f64::MIN_POSITIVE);
}

proptest! {
    #[test]
    fn an_interval_holds_its_estimate_and_lies_in_range(sample in sample(), confidence in 0.001..0.999_f64) {
        let Interval { lower, upper } = wilson(sample, Confidence::new(confidence).unwrap());
        prop_assert!(0.0 <= lower && lower <= upper && upper <= 1.0);
        if let Some(rate) = sample.rate() {
            prop_assert!(lower <= rate && rate <= upper);
        }
    }

    #[test]
    fn failures_are_to_successes_as_successes_to_failures(sample in sample()) {
        let it = wilson(sample, Confidence::NINETY_FIVE);
        let turned = wilson(of(sample.failures, sample.successes), Confidence::NINETY_FIVE);
        prop_assert!((it.lower - (1.0 - turned.upper)).abs() < 1e-14);
        prop_assert!((it.upper - (1.0 - turned.lower)).abs() < 1e-14);
    }

    #[test]
    fn a_difference_lies_in_range_and_turns_with_its_sides(one in sample(), other in sample()) {
        let (it, turned) = (difference(one, other, Confidence::NINETY_FIVE),
            difference(other, one, Confidence::NINETY_FIVE));
        prop_assert_eq!(it.is_some(), one.trials() > 0.0 && other.trials() > 0.0);
        if let (Some(it), Some(turned)) = (it, turned) {
            let Interval { lower, upper } = it.interval;
            prop_assert!(-1.0 <= lower && lower <= it.estimate && it.estimate <= upper && upper <= 1.0);
            prop_assert!((it.estimate + turned.estimate).abs() < 1e-14);
            prop_assert!((lower + turned.interval.upper).abs() < 1e-14);
        }
    }
}

proptest! {
    // Each may walk a million tables.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn p_is_a_probability_and_does_not_know_names(one in sample(), other in sample()) {
        let p = fisher_exact(one, other);
        prop_assert!(0.0 < p && p <= 1.0);
        prop_assert_eq!(p, fisher_exact(other, one));
        let turned = fisher_exact(of(one.failures, one.successes), of(other.failures, other.successes));
        prop_assert!((p - turned).abs() <= 1e-9 * p, "{} {}", p, turned);
    }
}
