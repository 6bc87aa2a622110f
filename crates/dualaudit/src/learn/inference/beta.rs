//! The beta distribution where statrs's own ends: large counts, and its inverse.
//!
//! statrs stops its continued fraction after 140 terms, too early for shapes above some ten thousand, and its
//! inverse may never return when a density overflows. Here large shapes take an expansion whose error falls
//! with them, and the inverse is bracketed.

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
    let u = 1.0 - x;
    if u.abs() < 0.01 {
        // Its series at 1: what is left of the quotient there is rounding.
        return u * (1.0 / 3.0 + u * (1.0 / 6.0 + u * (0.1 + u * (1.0 / 15.0 + u / 21.0))));
    }
    (1.0 - x * x + 2.0 * x * x.ln()) / (u * u)
}

/// The x with I_x(a, b) = `probability`, for one in 0..1, to some 13 digits of x and as many decimals of 1:
/// Newton's method from the mean, halving the bracket where a step would leave it. Above 0 and below 1.
pub(crate) fn quantile(a: f64, b: f64, probability: f64) -> f64 {
    let ln_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let density = |x: f64| ((a - 1.0) * x.ln() + (b - 1.0) * (-x).ln_1p() - ln_beta).exp();
    let (mut low, mut high) = (0.0, 1.0);
    let mut x = a / (a + b);
    for _ in 0..100 {
        let beyond = cdf(a, b, x) - probability;
        if beyond > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let mut next = x - beyond / density(x);
        // Also where the density is 0, infinite or not a number.
        if !(low < next && next < high) {
            next = f64::midpoint(low, high);
        }
        let moved = (next - x).abs();
        x = next;
        if moved <= (1e-13 * x.min(1.0 - x)).max(2.0 * f64::EPSILON * x) {
            break;
        }
    }
    x.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON)
}

/// The chance that at most `successes` of `trials` succeed, each with `rate` in 0..1: I_{1−p}(n − k, k + 1).
pub(crate) fn binomial_cdf(successes: u64, trials: u64, rate: f64) -> f64 {
    if successes >= trials {
        return 1.0;
    }
    cdf((trials - successes) as f64, successes as f64 + 1.0, 1.0 - rate)
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_binomial_is_summed_right() {
        // 1 + 10 + 45 of 1024.
        assert!((binomial_cdf(2, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-14);
        assert_eq!(binomial_cdf(10, 10, 0.3), 1.0);
        assert!((binomial_cdf(0, 10, 0.3) - 0.7_f64.powi(10)).abs() < 1e-14);
    }
}
