//! Values that SciPy, exact fractions and many-digit arithmetic give: `values.py` beside this makes `values.json`.

use crate::learn::inference::{
    beta_binomial::{Baseline, Days},
    multiple::adjusted,
    posterior::{Evidence, Posterior},
    proportion::{Confidence, Sample, difference, fisher_exact, wilson},
    quantile_shift::{Bin, Bins, quantile, shift},
    shrinkage::{Scores, Shrinkage, shrink},
    stratified::{Stratum, stratified},
};
use serde_json::Value;

fn cases(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("reference/values.json")).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect()
}

fn sample(value: &Value) -> Sample {
    let it = counts(value);
    Sample { successes: it[0], failures: it[1] }
}

fn table(value: &Value) -> (Sample, Sample) {
    let it = counts(value);
    (Sample { successes: it[0], failures: it[1] }, Sample { successes: it[2], failures: it[3] })
}

fn bins(value: &Value) -> Bins {
    let bin = |it: &Value| Bin { value: number(&it[0]), count: it[1].as_u64().unwrap() };
    Bins::of(value.as_array().unwrap().iter().map(bin))
}

/// Equal to a relative 10⁻⁹; what should be 0 may be off by rounding.
#[track_caller]
fn same(found: f64, expected: &Value, case: &Value) {
    near(found, expected, 1e-9, 1e-14, case);
}

/// Equal to a relative 10⁻⁹ however small: a p-value.
#[track_caller]
fn same_p(found: f64, expected: &Value, case: &Value) {
    near(found, expected, 1e-9, 0.0, case);
}

#[track_caller]
fn near(found: f64, expected: &Value, relative: f64, absolute: f64, case: &Value) {
    let expected = number(expected);
    let close = (found - expected).abs() <= relative * expected.abs() + absolute;
    assert!(close, "{found} for {expected} in {case}");
}

#[test]
fn wilsons_interval() {
    for case in cases("wilson") {
        let found = wilson(sample(&case["sample"]), Confidence::new(number(&case["confidence"])).unwrap());
        same(found.lower, &case["lower"], &case);
        same(found.upper, &case["upper"], &case);
    }
}

#[test]
fn newcombes_interval() {
    for case in cases("newcombe") {
        let (one, other) = table(&case["table"]);
        let found = difference(one, other, Confidence::NINETY_FIVE).unwrap();
        same(found.estimate, &case["estimate"], &case);
        same(found.interval.lower, &case["lower"], &case);
        same(found.interval.upper, &case["upper"], &case);
    }
}

#[test]
fn fishers_exact_test() {
    for case in cases("fisher") {
        let (one, other) = table(&case["table"]);
        same_p(fisher_exact(one, other), &case["p"], &case);
    }
}

#[test]
fn mantel_and_haenszels_difference() {
    for case in cases("mantel_haenszel") {
        let strata: Vec<Stratum> = case["strata"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                let (with, without) = table(it);
                Stratum { with, without }
            })
            .collect();
        let found = stratified(&strata, Confidence::NINETY_FIVE).within.unwrap();
        same(found.difference.estimate, &case["estimate"], &case);
        same(found.difference.interval.lower, &case["lower"], &case);
        same(found.difference.interval.upper, &case["upper"], &case);
        same_p(found.p_value, &case["p"], &case);
    }
}

#[test]
fn benjamini_and_hochbergs_adjustment() {
    for case in cases("adjusted") {
        let expected = case["q"].as_array().unwrap();
        for (found, expected) in adjusted(&numbers(&case["p"])).into_iter().zip(expected) {
            same(found, expected, &case);
        }
    }
}

#[test]
fn kleinmans_moments_and_the_beta_binomial() {
    for case in cases("beta_binomial") {
        let days: Vec<Sample> = case["days"].as_array().unwrap().iter().map(sample).collect();
        let found = Baseline::of(Days::of(&days).all(), 0.0).unwrap();
        same(found.mean, &case["mean"], &case);
        same(found.overdispersion, &case["rho"], &case);
        same(found.effective_runs, &case["runs"], &case);
        for judged in case["judged"].as_array().unwrap() {
            same_p(found.at_most(sample(&judged["day"])), &judged["p"], judged);
        }
    }
}

#[test]
fn dersimonian_and_lairds_variance_and_what_is_shrunk_by_it() {
    for case in cases("shrinkage") {
        let group: Vec<Scores> = case["group"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| Scores {
                runs: it[0].as_u64().unwrap(),
                mean: number(&it[1]),
                variance: number(&it[2]),
            })
            .collect();
        let Shrinkage::Shrunk(found) = shrink(&group) else { panic!("{case}") };
        same(found.within, &case["within"], &case);
        same(found.between, &case["between"], &case);
        same(found.mean, &case["mean"], &case);
        for (at, it) in found.workflows.iter().enumerate() {
            same(it.weight, &case["weights"][at], &case);
            same(it.mean, &case["means"][at], &case);
        }
    }
}

#[test]
fn the_lower_bound_of_a_posterior() {
    for case in cases("posterior") {
        let found =
            Posterior::of(&Evidence { narrow: sample(&case["narrow"]), wide: &[sample(&case["wide"])] });
        same(found.mean(), &case["mean"], &case);
        same(found.lower_bound(), &case["lower"], &case);
    }
}

#[test]
fn the_ranks_of_a_quantiles_interval() {
    for case in cases("quantile") {
        let (n, ranks) = (case["n"].as_u64().unwrap(), counts(&case["ranks"]));
        // Values that are their own ranks, but for those that are not asked about.
        let mut at: Vec<u64> = ranks.iter().copied().filter(|rank| (1..=n).contains(rank)).collect();
        at.push(n);
        at.dedup();
        let mut before = 0;
        let mut bins = Vec::new();
        for rank in at {
            if rank > before + 1 {
                bins.push(Bin { value: (rank - 1) as f64, count: rank - 1 - before });
            }
            bins.push(Bin { value: rank as f64, count: 1 });
            before = rank;
        }
        let confidence = Confidence::new(number(&case["confidence"])).unwrap();
        let found = quantile(&Bins::of(bins), number(&case["share"]), confidence).unwrap();
        let expected = ranks.iter().map(|&rank| (1..=n).contains(&rank).then_some(rank as f64));
        assert_eq!(vec![found.lower, found.upper], expected.collect::<Vec<_>>(), "{case}");
    }
}

#[test]
fn mann_and_whitneys_test() {
    for case in cases("shift") {
        let found = shift(&bins(&case["one"]), &bins(&case["other"])).unwrap();
        same(found.larger, &case["larger"], &case);
        same_p(found.p_value, &case["p"], &case);
    }
}
