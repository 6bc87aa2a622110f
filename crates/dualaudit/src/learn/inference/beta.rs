//! The beta distribution where statrs's own ends: large counts, and its inverse.
//!
//! statrs stops its continued fraction after 140 terms, too early for shapes above some ten thousand, and its
//! inverse may never return when a density overflows. Here large shapes take an expansion whose error falls
//! with them, and the inverse is bracketed.

use std::cmp::Ordering;

use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::{beta::beta_reg, gamma::ln_gamma},
};

/// From here on for the smaller shape, the expansion is the better one.
const LARGE: f64 = 3_000.0;

/// The chance that a Beta(a, b) variable is at most x: the regularised incomplete beta function I_x(a, b).
///
/// Shapes are positive and at most some 10^12. The absolute error is below 10⁻⁸ for shapes up to 10^6; beside
/// one of 10^9, a small one has an error of up to 10⁻⁵, from the rounding of the gamma function.
pub(crate) fn cdf(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        0.0
    } else if x >= 1.0 {
        1.0
    } else if a.min(b) < LARGE {
        beta_reg(a, b, x).clamp(0.0, 1.0)
    } else if x < FAR * a / (a + b) {
        0.0
    } else if 1.0 - x < FAR * b / (a + b) {
        1.0
    } else {
        Normal::standard().sf(normal_score(a, b, x))
    }
}

/// A large shape has nothing at this share of its mean, and the terms of the expansion could overflow there.
const FAR: f64 = 1e-6;

/// The normal deviate with I_x(a, b) beyond it (D. B. Peizer and J. W. Pratt, J. Am. Stat. Assoc. 63 (1968)
/// 1416–1456, the binomial of n = a + b − 1 trials with at most a − 1 successes).
fn normal_score(a: f64, b: f64, x: f64) -> f64 {
    let (n, p, q) = (a + b - 1.0, x, 1.0 - x);
    let distance = a - 1.0 / 3.0 - (n + 1.0 / 3.0) * p + 0.02 * (q / a - p / b + (q - 0.5) / (a + b));
    let (s, t) = ((a - 0.5) / (n * p), (b - 0.5) / (n * q));
    distance * ((1.0 + q * skew(s) + p * skew(t)) / ((n + 1.0 / 6.0) * p * q)).sqrt()
}

/// Peizer and Pratt's g(x) = (1 − x² + 2x ln x)/(1 − x)², which is 0 at 1, 1 at 0 and −∞ at ∞.
fn skew(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let u = 1.0 - x;
    if u.abs() < 0.01 {
        // Its series at 1: what is left of the quotient there is rounding.
        return u * (1.0 / 3.0 + u * (1.0 / 6.0 + u * (0.1 + u * (1.0 / 15.0 + u / 21.0))));
    }
    (1.0 - x * x + 2.0 * x * x.ln()) / (u * u)
}

/// The x with I_x(a, b) = `probability`, for one in 0..1, to some 13 digits of x and as many decimals of 1: E. Halley's
/// method from where the expansion has it, halving the bracket where a step would leave it. Above 0 and below 1.
pub(crate) fn quantile(a: f64, b: f64, probability: f64) -> f64 {
    let ln_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let density = |x: f64| ((a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p() - ln_beta).exp();
    let deviation = (a * b / (a + b + 1.0)).sqrt() / (a + b);
    let (mut low, mut high) = (0.0, 1.0);
    let mut x = near(a, b, probability, deviation);
    for _ in 0..100 {
        let beyond = cdf(a, b, x) - probability;
        if beyond > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let step = beyond / density(x);
        // By how much the density changes over half the step.
        let bend = step / 2.0 * ((a - 1.0) / x - (b - 1.0) / (1.0 - x));
        let bent = bend.abs() < 0.5;
        let mut next = x - if bent { step / (1.0 - bend) } else { step };
        // Also where the density is 0, infinite or not a number.
        let halved = !(low < next && next < high);
        if halved {
            next = f64::midpoint(low, high);
        }
        let moved = (next - x).abs();
        x = next;
        // What is left after a step is of the order of its cube.
        let scale = deviation.min(x).min(1.0 - x);
        let done = if bent && !halved { CUBED * scale } else { 1e-13 * x.min(1.0 - x) };
        if moved <= done.max(2.0 * f64::EPSILON * x) {
            break;
        }
    }
    x.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON)
}

/// A step of this part of a distribution's scale leaves nothing to another, when it is cubed.
const CUBED: f64 = 1e-5;

/// Where the expansion has a quantile, roughly; the mean where it has none. Above 0 and below 1.
fn near(a: f64, b: f64, probability: f64, deviation: f64) -> f64 {
    let mean = a / (a + b);
    let score = -Normal::standard().inverse_cdf(probability);
    let mut x = mean;
    for _ in 0..3 {
        // The score falls by 1 where x grows by about its deviation there.
        let here = deviation * (x * (1.0 - x) / (mean * (1.0 - mean))).sqrt();
        let next = x + (normal_score(a, b, x) - score) * here;
        if !next.is_finite() {
            return mean;
        }
        x = next.clamp(x / 8.0, 1.0 - (1.0 - x) / 8.0);
    }
    x
}

/// The chance that at most `successes` of `trials` succeed, each with `rate` in 0..1: I_{1−p}(n − k, k + 1).
pub(crate) fn binomial_cdf(successes: u64, trials: u64, rate: f64) -> f64 {
    if successes >= trials {
        return 1.0;
    }
    cdf((trials - successes) as f64, successes as f64 + 1.0, 1.0 - rate)
}

/// Of shapes of which the smaller is m, the expansion is nearer to the truth than this · m^−3/2: more than four times
/// the distance there is.
const DOUBT: f64 = 0.02;

/// How [`binomial_cdf`] compares with a level in 0..1: by the expansion where that is beyond doubt, at a tenth of the
/// cost.
pub(crate) fn binomial_cdf_against(successes: u64, trials: u64, rate: f64, level: f64) -> Ordering {
    let exact = || binomial_cdf(successes, trials, rate).total_cmp(&level);
    if successes >= trials || !(0.0 < rate && rate < 1.0) {
        return exact();
    }
    let (a, b) = ((trials - successes) as f64, successes as f64 + 1.0);
    let least = a.min(b);
    if least >= LARGE {
        return exact();
    }
    let apart = Normal::standard().sf(normal_score(a, b, 1.0 - rate)) - level;
    // Also where the expansion overflows and is not a number.
    if apart.abs() > DOUBT / (least * least.sqrt()) { apart.total_cmp(&0.0) } else { exact() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_expansion_meets_the_fraction_where_one_takes_over() {
        for (a, b) in [(LARGE, LARGE), (LARGE, 1e5), (1e6, LARGE), (LARGE, 2.0 * LARGE)] {
            let (mean, sd) = (a / (a + b), (a * b / (a + b + 1.0)).sqrt() / (a + b));
            for z in [-4.0, -2.0, -1.0, -0.1, 0.0, 0.5, 1.6, 3.0] {
                let x = mean + z * sd;
                let (fraction, expansion) = (beta_reg(a, b, x), Normal::standard().sf(normal_score(a, b, x)));
                assert!((fraction - expansion).abs() < 1e-8, "{a} {b} {z}: {fraction} {expansion}");
            }
        }
    }

    #[test]
    fn a_quantile_is_where_the_cdf_says() {
        for a in [0.5, 1.0, 2.5, 40.5, 1e3, 2.9e3, 3.1e3, 1e6, 1e9] {
            for b in [0.5, 1.0, 7.5, 300.0, 3.2e3, 1e5, 1e9] {
                for probability in [1e-6, 0.05, 0.5, 0.95, 0.999] {
                    let x = quantile(a, b, probability);
                    assert!(0.0 < x && x < 1.0);
                    // At the end of the range x has too few digits left to say it by.
                    if x < 1.0 - 1e-7 {
                        assert!((cdf(a, b, x) - probability).abs() < 1e-7, "{a} {b} {probability}: {x}");
                    }
                }
            }
        }
    }

    /// By halves, as far as halves go.
    fn plain_quantile(a: f64, b: f64, probability: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            (low, high) = if cdf(a, b, middle) > probability { (low, middle) } else { (middle, high) };
        }
        low
    }

    #[test]
    fn a_binomial_is_summed_right() {
        // 1 + 10 + 45 of 1024.
        assert!((binomial_cdf(2, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-14);
        assert_eq!(binomial_cdf(10, 10, 0.3), 1.0);
        assert!((binomial_cdf(0, 10, 0.3) - 0.7_f64.powi(10)).abs() < 1e-14);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_quantile_is_the_one_found_by_halves(
            a in -0.3..7.0_f64, b in -0.3..7.0_f64, wholly: bool, probability in 0.001..0.999_f64
        ) {
            let shape = |of: f64| if wholly { 10_f64.powf(of).floor() + 0.5 } else { 10_f64.powf(of) };
            let (a, b) = (shape(a), shape(b));
            for probability in [probability, 0.05, 0.95] {
                let (found, plain) = (quantile(a, b, probability), plain_quantile(a, b, probability));
                prop_assert!((found - plain).abs() < 1e-9, "{a} {b} {probability}: {found} for {plain}");
            }
        }

        #[test]
        fn the_expansion_is_as_near_as_it_is_trusted_to_be(
            smaller in 0.0..1.0_f64, times in 0.0..1.0_f64, turned: bool, z in -9.0..9.0_f64
        ) {
            let smaller = LARGE.powf(smaller).floor();
            let larger = (smaller * 1000_f64.powf(times)).floor();
            let (a, b) = if turned { (larger, smaller) } else { (smaller, larger) };
            let x = a / (a + b) + z * (a * b / (a + b + 1.0)).sqrt() / (a + b);
            prop_assume!(0.0 < x && x < 1.0);
            let (fraction, expansion) = (beta_reg(a, b, x), Normal::standard().sf(normal_score(a, b, x)));
            prop_assert!((fraction - expansion).abs() < DOUBT / 4.0 / smaller.powf(1.5), "{fraction} {expansion}");
        }
    }
}
