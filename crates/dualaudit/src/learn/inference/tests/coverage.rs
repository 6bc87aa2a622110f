//! How often Wilson's interval holds the true rate, by adding up the binomial's probabilities: nothing is
//! drawn.

use crate::learn::inference::proportion::{Confidence, Interval, Sample, wilson};

/// The chance of each number of successes in n, by the ratio of neighbours from the mode on.
fn binomial(n: u32, p: f64) -> Vec<f64> {
    let (trials, odds) = (f64::from(n), p / (1.0 - p));
    let mode = ((trials + 1.0) * p).floor().min(trials) as usize;
    let mut terms = vec![0.0; n as usize + 1];
    terms[mode] = 1.0;
    for k in mode..n as usize {
        terms[k + 1] = terms[k] * odds * (trials - k as f64) / (k as f64 + 1.0);
    }
    for k in (1..=mode).rev() {
        terms[k - 1] = terms[k] * k as f64 / (odds * (trials - k as f64 + 1.0));
    }
    let sum: f64 = terms.iter().sum();
    terms.iter().map(|term| term / sum).collect()
}

/// Mean and minimum over the rates 0.020, 0.021 … 0.980, and where the minimum is.
fn coverage(n: u32) -> (f64, f64, f64) {
    let intervals: Vec<Interval> = (0..=u64::from(n))
        .map(|s| wilson(Sample { successes: s, failures: u64::from(n) - s }, Confidence::NINETY_FIVE))
        .collect();
    let covered: Vec<(f64, f64)> = (20..=980)
        .map(|thousandths| {
            let p = f64::from(thousandths) / 1000.0;
            let holds = |interval: &Interval| interval.lower <= p && p <= interval.upper;
            let chances = binomial(n, p);
            (chances.iter().zip(&intervals).filter(|(_, it)| holds(it)).map(|(chance, _)| chance).sum(), p)
        })
        .collect();
    let mean = covered.iter().map(|(share, _)| share).sum::<f64>() / covered.len() as f64;
    let (minimum, at) =
        covered.into_iter().fold((1.0, 0.0), |least, it| if it.0 < least.0 { it } else { least });
    (mean, minimum, at)
}

#[test]
fn wilsons_interval_holds_the_rate_as_often_as_it_says() {
    for (n, least) in [(10, 0.89), (30, 0.915), (100, 0.925), (1000, 0.94)] {
        let (mean, minimum, at) = coverage(n);
        println!("n = {n}: mean {mean:.4}, minimum {minimum:.4} at a rate of {at}");
        assert!((0.945..=0.96).contains(&mean), "{n}: {mean}");
        assert!(minimum > least, "{n}: {minimum} at {at}");
    }
}
