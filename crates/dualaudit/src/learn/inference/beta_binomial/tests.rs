use proptest::{collection, prelude::*};

use super::*;

fn of(successes: u64, failures: u64) -> Sample {
    Sample { successes, failures }
}

#[test]
fn days_that_tell_nothing_are_no_baseline() {
    assert_eq!(Baseline::of(&[], 0.0), None);
    assert_eq!(Baseline::of(&[of(9, 1), of(0, 0)], 0.0), None);
    assert_eq!(Baseline::of(&[of(1, 0); 28], 0.0), None);
}

#[test]
fn days_that_vary_as_chance_would_are_not_overdispersed() {
    let alike = Baseline::of(&[of(9, 1); 28], 0.0).unwrap();
    assert_eq!((alike.days, alike.runs, alike.overdispersion), (28, 280, 0.0));
    assert!((alike.mean - 0.9).abs() < 1e-15);
    assert!(alike.at_most(of(10, 0)) == 1.0 && alike.at_most(of(0, 0)) == 1.0);
    assert!(alike.at_most(of(4, 6)) < 0.001);
}

#[test]
fn all_or_nothing_days_are_as_correlated_as_can_be() {
    let days: Vec<Sample> = (0..28).map(|day| if day % 2 == 0 { of(10, 0) } else { of(0, 10) }).collect();
    let found = Baseline::of(&days, 0.0).unwrap();
    assert!(found.overdispersion > 0.99 && found.overdispersion < 1.0, "{found:?}");
    assert!(found.at_most(of(0, 10)) > 0.4);
}

#[test]
fn a_storm_among_the_days_before_makes_another_one_no_alarm() {
    let mut days = [of(19, 1); 28];
    let calm = Baseline::of(&days, 0.0).unwrap();
    days[3] = of(5, 15);
    days[17] = of(8, 12);
    let stormy = Baseline::of(&days, 0.0).unwrap();
    let bad = of(11, 9);
    assert!(calm.at_most(bad) < 1e-4 && stormy.at_most(bad) > 0.01, "{calm:?} {stormy:?}");
}

#[test]
fn a_storm_elsewhere_in_the_fleet_makes_one_here_no_surprise() {
    let (calm, mut stormy) = ([of(50, 0); 28], [of(50, 0); 28]);
    stormy[9] = of(10, 40);
    let fleet = pooled_overdispersion(&[&calm, &stormy, &calm]);
    assert!(fleet > 0.3 && fleet < 1.0, "{fleet}");
    assert_eq!(fleet, Baseline::of(&stormy, 0.0).unwrap().overdispersion);
    assert_eq!(pooled_overdispersion(&[&calm, &calm[..1], &[]]), 0.0);
    let [alone, together] = [0.0, fleet].map(|fleet| Baseline::of(&calm, fleet).unwrap().at_most(of(10, 40)));
    assert!(alone < 1e-6 && together > 1e-3, "{alone} {together}");
    assert_eq!(Baseline::of(&calm, f64::NAN), Baseline::of(&calm, 0.0));
}

#[test]
fn many_runs_are_judged_as_one_more_would_be() {
    let baseline = Baseline::of(&[of(900, 100), of(880, 120), of(910, 90)].repeat(9), 0.0).unwrap();
    let (added, expanded) = (baseline.at_most(of(870_000, 130_000)), baseline.at_most(of(870_001, 130_000)));
    assert!((added - expanded).abs() < 1e-3 * added, "{added} {expanded}");
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..40_u64, 2 => 0..=100_000_u64, 1 => 0..=1_000_000_000_u64, 1 => Just(u64::MAX)]
}

fn sample() -> impl Strategy<Value = Sample> {
    (count(), count()).prop_map(|(successes, failures)| of(successes, failures))
}

proptest! {
    #[test]
    fn every_figure_lies_in_range(days in collection::vec(sample(), 0..29), day in sample()) {
        if let Some(baseline) = Baseline::of(&days, 0.0) {
            prop_assert!((0.0..=1.0).contains(&baseline.mean));
            prop_assert!((0.0..1.0).contains(&baseline.overdispersion));
            prop_assert!(baseline.effective_runs.is_finite() && baseline.effective_runs > 0.0);
            let p = baseline.at_most(day);
            prop_assert!(0.0 < p && p <= 1.0, "{}", p);
        }
    }

    #[test]
    fn a_worse_day_is_no_likelier(days in collection::vec((0..30_u64, 0..8_u64), 2..29), n in 1..60_u64) {
        let days: Vec<Sample> = days.into_iter().map(|(s, f)| of(s, f)).collect();
        if let Some(baseline) = Baseline::of(&days, 0.0) {
            let chances: Vec<f64> = (0..=n).map(|k| baseline.at_most(of(k, n - k))).collect();
            prop_assert!(chances.is_sorted(), "{:?}", chances);
        }
    }
}
