use proptest::{collection, prelude::*};

use super::*;

fn of(successes: u64, failures: u64) -> Sample {
    Sample { successes, failures }
}

fn baseline(days: &[Sample], fleet: f64) -> Option<Baseline> {
    Baseline::of(Days::of(days).all(), fleet)
}

fn pooled(series: &[&[Sample]]) -> f64 {
    let series: Vec<Days> = series.iter().map(|days| Days::of(days)).collect();
    pooled_overdispersion(&series.iter().map(Days::all).collect::<Vec<_>>())
}

/// Kleinman's iteration as it is written: ρ, and the mean at it.
fn plain(series: &[&[Sample]]) -> (f64, f64) {
    let (mut rho, mut mean) = (0.0, f64::NAN);
    for _ in 0..50 {
        let (mut excess, mut most) = (0.0, 0.0);
        for days in series {
            let days: Vec<_> = days.iter().filter(|day| day.count() > 0).collect();
            let weight = |day: &Sample| day.trials() / (1.0 + (day.trials() - 1.0) * rho);
            let total: f64 = days.iter().map(|day| weight(day)).sum();
            mean = days.iter().map(|day| weight(day) * day.rate().unwrap()).sum::<f64>() / total;
            let sum = |of: &dyn Fn(&Sample) -> f64| days.iter().map(|day| of(day)).sum::<f64>();
            let spread = sum(&|day| weight(day) * (day.rate().unwrap() - mean).powi(2));
            let by_chance = sum(&|day| weight(day) / day.trials() * (1.0 - weight(day) / total));
            let by_day = sum(&|day| weight(day) * (1.0 - weight(day) / total));
            excess += spread - mean * (1.0 - mean) * by_chance;
            most += mean * (1.0 - mean) * (by_day - by_chance);
        }
        let next = if most > 0.0 { (excess / most).clamp(0.0, 0.999) } else { 0.0 };
        let moved = (next - rho).abs();
        rho = next;
        if moved <= 1e-13 {
            break;
        }
    }
    (rho, mean)
}

#[test]
fn days_that_tell_nothing_are_no_baseline() {
    assert_eq!(baseline(&[], 0.0), None);
    assert_eq!(baseline(&[of(9, 1), of(0, 0)], 0.0), None);
    assert_eq!(baseline(&[of(1, 0); 28], 0.0), None);
}

#[test]
fn days_that_vary_as_chance_would_are_not_overdispersed() {
    let alike = baseline(&[of(9, 1); 28], 0.0).unwrap();
    assert_eq!((alike.days, alike.runs, alike.overdispersion), (28, 280, 0.0));
    assert!((alike.mean - 0.9).abs() < 1e-15);
    assert!(alike.at_most(of(10, 0)) == 1.0 && alike.at_most(of(0, 0)) == 1.0);
    assert!(alike.at_most(of(4, 6)) < 0.001);
}

#[test]
fn all_or_nothing_days_are_as_correlated_as_can_be() {
    let days: Vec<Sample> = (0..28).map(|day| if day % 2 == 0 { of(10, 0) } else { of(0, 10) }).collect();
    let found = baseline(&days, 0.0).unwrap();
    assert!(found.overdispersion > 0.99 && found.overdispersion < 1.0, "{found:?}");
    assert!(found.at_most(of(0, 10)) > 0.4);
}

#[test]
fn a_storm_among_the_days_before_makes_another_one_no_alarm() {
    let mut days = [of(19, 1); 28];
    let calm = baseline(&days, 0.0).unwrap();
    days[3] = of(5, 15);
    days[17] = of(8, 12);
    let stormy = baseline(&days, 0.0).unwrap();
    let bad = of(11, 9);
    assert!(calm.at_most(bad) < 1e-4 && stormy.at_most(bad) > 0.01, "{calm:?} {stormy:?}");
}

#[test]
fn a_storm_elsewhere_in_the_fleet_makes_one_here_no_surprise() {
    let (calm, mut stormy) = ([of(50, 0); 28], [of(50, 0); 28]);
    stormy[9] = of(10, 40);
    let fleet = pooled(&[&calm, &stormy, &calm]);
    assert!(fleet > 0.3 && fleet < 1.0, "{fleet}");
    assert_eq!(fleet, baseline(&stormy, 0.0).unwrap().overdispersion);
    assert_eq!(pooled(&[&calm, &calm[..1], &[]]), 0.0);
    let [alone, together] = [0.0, fleet].map(|fleet| baseline(&calm, fleet).unwrap().at_most(of(10, 40)));
    assert!(alone < 1e-6 && together > 1e-3, "{alone} {together}");
    assert_eq!(baseline(&calm, f64::NAN), baseline(&calm, 0.0));
}

#[test]
fn many_runs_are_judged_as_one_more_would_be() {
    let baseline = baseline(&[of(900, 100), of(880, 120), of(910, 90)].repeat(9), 0.0).unwrap();
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
        if let Some(baseline) = baseline(&days, 0.0) {
            prop_assert!((0.0..=1.0).contains(&baseline.mean));
            prop_assert!((0.0..1.0).contains(&baseline.overdispersion));
            prop_assert!(baseline.effective_runs.is_finite() && baseline.effective_runs > 0.0);
            let p = baseline.at_most(day);
            prop_assert!(0.0 < p && p <= 1.0, "{}", p);
        }
    }

    #[test]
    fn what_days_vary_by_is_what_kleinmans_iteration_comes_to(
        series in collection::vec(
            collection::vec(
                prop_oneof![3 => (0..60_u64, 0..20_u64), 1 => (0..9_u64, 0..60_u64), 1 => Just((0, 0))], 2..29
            ),
            1..4,
        ),
    ) {
        let series: Vec<Vec<Sample>> =
            series.into_iter().map(|days| days.into_iter().map(|(s, f)| of(s, f)).collect()).collect();
        if let Some(found) = baseline(&series[0], 0.0) {
            let (rho, mean) = plain(&[&series[0]]);
            prop_assert!((found.overdispersion - rho).abs() < 1e-9, "{} for {rho}", found.overdispersion);
            prop_assert!((found.mean - mean).abs() < 1e-9, "{} for {mean}", found.mean);
        }
        let told: Vec<&[Sample]> = series
            .iter()
            .map(Vec::as_slice)
            .filter(|days| days.iter().filter(|day| day.count() > 0).count() > 1)
            .collect();
        let (found, (rho, _)) = (pooled(&told), plain(&told));
        prop_assert!((found - rho).abs() < 1e-9, "{found} for {rho}");
    }

    #[test]
    fn some_days_are_as_if_there_were_no_others(
        days in collection::vec(sample(), 0..40), from in 0..40_usize, until in 0..40_usize
    ) {
        let until = until.min(days.len());
        let from = from.min(until);
        let (of_all, alone) = (Days::of(&days), Days::of(&days[from..until]));
        prop_assert_eq!(Baseline::of(of_all.some(from..until), 0.0), Baseline::of(alone.all(), 0.0));
    }

    #[test]
    fn a_worse_day_is_no_likelier(days in collection::vec((0..30_u64, 0..8_u64), 2..29), n in 1..60_u64) {
        let days: Vec<Sample> = days.into_iter().map(|(s, f)| of(s, f)).collect();
        if let Some(baseline) = baseline(&days, 0.0) {
            let chances: Vec<f64> = (0..=n).map(|k| baseline.at_most(of(k, n - k))).collect();
            prop_assert!(chances.is_sorted(), "{:?}", chances);
        }
    }
}
