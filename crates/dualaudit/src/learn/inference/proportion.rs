//! Rates of success: their intervals, the difference of two, and whether it may be chance.

use std::sync::LazyLock;

use statrs::{
    distribution::{ContinuousCDF, Normal},
    function::erf::erfc,
};

/// Runs of one kind, each of which succeeded or did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "two counts of runs")]
pub struct Sample {
    pub successes: u64,
    pub failures: u64,
}

impl Sample {
    /// How many runs there are. A float, so that no two counts overflow it; exact up to 2^53.
    pub fn trials(self) -> f64 {
        self.successes as f64 + self.failures as f64
    }

    /// How many runs there are, as far as a count goes.
    pub fn count(self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// The share of successes, 0..1; none of no runs.
    pub fn rate(self) -> Option<f64> {
        (self.trials() > 0.0).then(|| self.successes as f64 / self.trials())
    }

    /// Both samples as one.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            successes: self.successes.saturating_add(other.successes),
            failures: self.failures.saturating_add(other.failures),
        }
    }
}

/// A closed interval; `lower` is at most `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "its two ends")]
pub struct Interval {
    pub lower: f64,
    pub upper: f64,
}

/// How often an interval is to hold the truth: above 0, below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence(f64);

impl Confidence {
    /// What every answer states unless asked otherwise.
    pub const NINETY_FIVE: Self = Self(0.95);

    /// None unless it is within 0.001..0.999999, where the normal quantile is good.
    pub fn new(confidence: f64) -> Option<Self> {
        (0.001..=0.999_999).contains(&confidence).then_some(Self(confidence))
    }

    /// What may lie beyond each end of a two-sided interval: 0.025 for 95 %.
    pub fn tail(self) -> f64 {
        (1.0 - self.0) / 2.0
    }

    /// The normal quantile of a two-sided interval: 1.96 for 95 %.
    pub fn z(self) -> f64 {
        // The one that is asked for with every rate.
        static OF_NINETY_FIVE: LazyLock<f64> =
            LazyLock::new(|| Normal::standard().inverse_cdf(1.0 - Confidence::NINETY_FIVE.tail()));
        if self == Self::NINETY_FIVE {
            return *OF_NINETY_FIVE;
        }
        Normal::standard().inverse_cdf(1.0 - self.tail())
    }
}

impl Default for Confidence {
    fn default() -> Self {
        Self::NINETY_FIVE
    }
}

/// The chance that a standard normal is at least as far from 0 as `z`: above 0, at most 1. What would underflow
/// is the least positive normal number.
pub(crate) fn two_sided(z: f64) -> f64 {
    erfc(z.abs() / std::f64::consts::SQRT_2).clamp(f64::MIN_POSITIVE, 1.0)
}

/// The score interval of a rate (E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209–212): the rates p for which
/// |s/n − p| ≤ z·√(p(1−p)/n), that is the roots of (n + z²)p² − (2s + z²)p + s²/n = 0.
///
/// The lower root is taken from the product of both, so that neither is a difference of near numbers. It is 0
/// where nothing succeeded and the upper is 1 where nothing failed; of no runs it is 0..1.
pub fn wilson(sample: Sample, confidence: Confidence) -> Interval {
    let Some(rate) = sample.rate() else {
        return Interval { lower: 0.0, upper: 1.0 };
    };
    let (n, s, f) = (sample.trials(), sample.successes as f64, sample.failures as f64);
    let z = confidence.z();
    let larger = 2.0 * s + z * z + z * (z * z + 4.0 * s * (f / n)).sqrt();
    let lower = 2.0 * s * (s / n) / larger;
    let upper = if sample.failures == 0 { 1.0 } else { larger / (2.0 * (n + z * z)) };
    Interval { lower: lower.clamp(0.0, rate), upper: upper.clamp(rate, 1.0) }
}

/// A difference of two rates, −1..1, the first less the second.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the estimate and its interval")]
pub struct Difference {
    pub estimate: f64,
    pub interval: Interval,
}

/// The rate of `one` less that of `other`, with the hybrid score interval (R. G. Newcombe, Statist. Med. 17
/// (1998) 873–890, method 10): from d = p₁ − p₂ down by √((p₁−l₁)² + (u₂−p₂)²) and up by √((u₁−p₁)² +
/// (p₂−l₂)²), where l and u are Wilson's. It has a width even where all succeeded. None when either has no
/// runs.
pub fn difference(one: Sample, other: Sample, confidence: Confidence) -> Option<Difference> {
    let (p1, p2) = (one.rate()?, other.rate()?);
    let (w1, w2) = (wilson(one, confidence), wilson(other, confidence));
    let estimate = p1 - p2;
    let interval = Interval {
        lower: (estimate - (p1 - w1.lower).hypot(w2.upper - p2)).max(-1.0),
        upper: (estimate + (w1.upper - p1).hypot(p2 - w2.lower)).min(1.0),
    };
    Some(Difference { estimate, interval })
}

/// A term this small beside the sum can't change it.
const NEGLIGIBLE: f64 = 1e-17;
/// As R has it: probabilities that are equal in exact arithmetic must not differ by rounding.
const TIE: f64 = 1.0 + 1e-7;
/// Above this variance of the hypergeometric (some 10^9 runs) the walk would be long, and the normal limit is
/// off by less than one in a hundred of p down to 10⁻⁹.
const WALKED: f64 = 1e8;

/// Fisher's exact test, two-sided: the probability, given both margins, of a table that is at most as probable
/// as this one (R. A. Fisher, J. R. Stat. Soc. 98 (1935) 39–82; the rule of R's `fisher.test`, with its
/// tolerance of 10⁻⁷). Above 0, at most 1; 1 where a margin is empty, and 2.2·10⁻³⁰⁸ where it would underflow.
///
/// Probabilities are taken relative to the mode's, by the ratio of neighbours, and divided by their sum: no
/// factorial is needed, so large counts cost no digits. A walk ends where what is left can't be seen, after
/// some 9 standard deviations, or 38 where the table itself lies that far out.
pub fn fisher_exact(one: Sample, other: Sample) -> f64 {
    // Neither the order of the samples nor what is called a success matters. Turned so that the first sample
    // and the successes are the smaller halves, the first sample's successes begin at 0.
    let (one, other) = if one.trials() > other.trials() { (other, one) } else { (one, other) };
    let (mut a, mut b) = (one.successes as f64, one.failures as f64);
    let (mut c, mut d) = (other.successes as f64, other.failures as f64);
    if a + c > b + d {
        (a, b, c, d) = (b, a, d, c);
    }
    let (of_one, of_other, good, bad) = (a + b, c + d, a + c, b + d);
    let n = of_one + of_other;
    if of_one == 0.0 || good == 0.0 {
        return 1.0;
    }
    let mean = of_one * (good / n);
    let variance = mean * (of_other / n) * (bad / (n - 1.0));
    if variance > WALKED {
        return two_sided(((a - mean).abs() - 0.5).max(0.0) / variance.sqrt());
    }

    let most = good.min(of_one);
    let mode = ((of_one + 1.0) * ((good + 1.0) / (n + 2.0))).floor().min(most);
    let up = |x: f64| ((of_one - x) / (x + 1.0)) * ((good - x) / (of_other - good + x + 1.0));
    let down = |x: f64| 1.0 / up(x - 1.0);
    let observed = if a >= mode { relative(mode, a, 1.0, up) } else { relative(mode, a, -1.0, down) } * TIE;
    if observed == 0.0 {
        return f64::MIN_POSITIVE;
    }
    let (rare_below, below) = tail(mode, 0.0, -1.0, down, observed);
    let (rare_above, above) = tail(mode, most, 1.0, up, observed);
    let rare_mode = if observed >= 1.0 { 1.0 } else { 0.0 };
    let p = (rare_below + rare_above + rare_mode) / (below + above + 1.0);
    p.clamp(f64::MIN_POSITIVE, 1.0)
}

/// How probable the table at `x` is, relative to that at `mode`; 0 when it underflows.
fn relative(mode: f64, x: f64, step: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut at, mut term) = (mode, 1.0);
    while at != x {
        term *= ratio(at);
        at += step;
        // Below this it would be rounded to itself for ever.
        if term < f64::MIN_POSITIVE {
            return 0.0;
        }
    }
    term
}

/// The sum of the relative probabilities beyond the mode as far as `end` that are at most `observed`, and the
/// sum of all.
fn tail(mode: f64, end: f64, step: f64, ratio: impl Fn(f64) -> f64, observed: f64) -> (f64, f64) {
    let (mut at, mut term, mut rare, mut all) = (mode, 1.0, 0.0, 0.0);
    while at != end {
        term *= ratio(at);
        at += step;
        all += term;
        if term <= observed {
            rare += term;
        }
        // The terms fall, so the rest is at most this. Before the first rare one it says nothing about them.
        let rest = term * (end - at).abs();
        if rest <= NEGLIGIBLE * rare || term < f64::MIN_POSITIVE {
            break;
        }
    }
    (rare, all)
}

#[cfg(test)]
mod tests;
