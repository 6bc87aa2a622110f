//! Whether a day is worse than the days before it, where the runs of a day share its luck: an incident storm
//! fails many at once, so they are not independent.
//!
//! Each day has a rate of its own, drawn from a beta distribution with mean μ; its runs succeed by it. ρ is the
//! correlation of two runs of one day: the rate of a day with n runs varies by μ(1 − μ)(ρ + (1 − ρ)/n).

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{beta, proportion::Sample};

/// What is known of days from those that were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// How many days have runs.
    pub days: u64,
    /// How many runs they have.
    pub runs: u64,
    /// The mean rate, 0..1.
    pub mean: f64,
    /// ρ, 0 or more and below 1: 0 when days vary no more than chance alone makes them.
    pub overdispersion: f64,
    /// As many independent runs would tell the mean as well: Σ nᵢ/(1 + (nᵢ − 1)ρ), with the ρ that a day is
    /// judged by.
    pub effective_runs: f64,
    /// What the next day is judged by.
    ahead: Ahead,
}

/// The beta distribution of the next day's rate: with the mean's and the overdispersion's uncertainty.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ahead {
    /// The mean of its successes, above 0.
    mean: f64,
    /// And of its failures, above 0: the rest of 1, but not from a difference that may round to 0.
    failing: f64,
    /// 1 / (α + β + 1), above 0 and below 1.
    overdispersion: f64,
}

/// Nothing more is overdispersed than this: at 1 the shapes would be 0.
const MOST: f64 = 0.999;
/// Nothing is known better than by 10^12 runs, above which the beta distribution's numerics lose digits.
const LEAST: f64 = 1e-12;
/// A day is judged by the overdispersion at which only 1 in 5 baselines would vary as little as this one did. With
/// the 27 degrees of freedom of 28 days this widens a day's standard deviation by up to 14 %, which covers the
/// p-values down to some 10⁻⁴ as Student's t covers them against the normal.
const UNDERESTIMATED: f64 = 0.2;
/// Half a success and half a failure (H. Jeffreys), so that no rate is held to be impossible.
const JEFFREYS: f64 = 0.5;

impl Baseline {
    /// Estimates mean and overdispersion by moments (J. C. Kleinman, J. Am. Stat. Assoc. 68 (1973) 46–54): with
    /// weights w, W their sum, p = Σ wᵢpᵢ/W and S = Σ wᵢ(pᵢ − p)², the expectation of S is p(1 − p)(A + ρ(B −
    /// A)) with A = Σ (wᵢ/nᵢ)(1 − wᵢ/W), B = Σ wᵢ(1 − wᵢ/W). Weights begin as nᵢ and become nᵢ/(1 + (nᵢ − 1)ρ),
    /// until ρ stays.
    ///
    /// `fleet` is the [`pooled_overdispersion`] of all that is judged together, and 0 where it isn't known: a
    /// storm that comes twice a year is in few baselines, but all can learn from those.
    ///
    /// None when fewer than two days have runs, or none has two: then nothing tells how days vary.
    pub fn of(days: &[Sample], fleet: f64) -> Option<Self> {
        let days: Vec<Day> = days.iter().filter_map(Day::of).collect();
        if days.len() < 2 || days.iter().all(|day| day.runs < 2.0) {
            return None;
        }
        let rho = settled(std::slice::from_ref(&days));
        let moments = Moments::of(&days, rho);
        let seen = days.len() as f64;
        let least = ChiSquared::new(seen - 1.0).map_or(seen - 1.0, |chi| chi.inverse_cdf(UNDERESTIMATED));
        let known = if fleet > 0.0 { fleet.min(MOST) } else { 0.0 };
        let cautious = overdispersion(&[&moments], (seen - 1.0) / least).max(known);
        let effective_runs: f64 = days.iter().map(|day| day.weight(cautious)).sum();
        let judged = |share: f64| (share * effective_runs + JEFFREYS) / (effective_runs + 2.0 * JEFFREYS);
        let overdispersion = cautious + (1.0 - cautious) / (effective_runs + 2.0 * JEFFREYS + 1.0);
        let overdispersion = overdispersion.max(LEAST);
        Some(Self {
            days: days.len() as u64,
            runs: days.iter().fold(0, |runs, day| runs.saturating_add(day.count)),
            mean: moments.mean,
            overdispersion: rho,
            effective_runs,
            ahead: Ahead { mean: judged(moments.mean), failing: judged(1.0 - moments.mean), overdispersion },
        })
    }

    /// The chance that another day with as many runs has at most as many successes, when nothing has changed:
    /// above 0, at most 1; 1 for a day without runs. It counts the day itself in whole (no mid-p), so it errs
    /// to 1.
    ///
    /// The next day's rate is beta-binomial about a mean that is known as well as the effective runs tell it:
    /// the mean's posterior is Beta(Mμ + ½, M(1 − μ) + ½). The variance of both together is that of one beta
    /// distribution with ρ' = ρ + (1 − ρ)/(M + 2), which is exact at ρ = 0 and is taken otherwise. For ρ stands
    /// its upper 80 % limit, from S·(k − 1)/χ²₀.₂(k − 1) in place of S for k days, or the fleet's where that is
    /// more. With the estimate itself, which as often as not is too small, alarms at 0.001 would be two or three
    /// times too many; without the fleet's, ten times where storms are so rare that most baselines have none. With
    /// both, simulated alarms of like series are at their level or under it, from 0.05 down to 0.0001.
    pub fn at_most(&self, day: Sample) -> f64 {
        self.ahead.at_most(day)
    }
}

struct Day {
    count: u64,
    runs: f64,
    rate: f64,
}

impl Day {
    fn of(sample: &Sample) -> Option<Self> {
        let count = sample.successes.saturating_add(sample.failures);
        sample.rate().map(|rate| Self { count, runs: sample.trials(), rate })
    }

    /// How many independent runs it is worth.
    fn weight(&self, rho: f64) -> f64 {
        self.runs / (1.0 + (self.runs - 1.0) * rho)
    }
}

/// Kleinman's sums.
struct Moments {
    mean: f64,
    spread: f64,
    by_chance: f64,
    by_day: f64,
}

impl Moments {
    fn of(days: &[Day], rho: f64) -> Self {
        let total: f64 = days.iter().map(|day| day.weight(rho)).sum();
        let mean = days.iter().map(|day| day.weight(rho) * day.rate).sum::<f64>() / total;
        let mut moments = Self { mean: mean.clamp(0.0, 1.0), spread: 0.0, by_chance: 0.0, by_day: 0.0 };
        for day in days {
            let weight = day.weight(rho);
            let share = weight * (1.0 - weight / total);
            moments.spread += weight * (day.rate - mean) * (day.rate - mean);
            moments.by_chance += share / day.runs;
            moments.by_day += share;
        }
        moments
    }

    /// How much more the days vary than by chance, if the spread were `inflation` times as large.
    fn excess(&self, inflation: f64) -> f64 {
        self.spread * inflation - self.mean * (1.0 - self.mean) * self.by_chance
    }

    /// By how much they would if ρ were 1.
    fn most_excess(&self) -> f64 {
        self.mean * (1.0 - self.mean) * (self.by_day - self.by_chance)
    }
}

/// The one ρ that the sums of one or more series give, if their spreads were `inflation` times as large.
fn overdispersion(series: &[&Moments], inflation: f64) -> f64 {
    let most: f64 = series.iter().map(|moments| moments.most_excess()).sum();
    if most <= 0.0 {
        return 0.0;
    }
    (series.iter().map(|moments| moments.excess(inflation)).sum::<f64>() / most).clamp(0.0, MOST)
}

/// Kleinman's iteration.
fn settled(series: &[Vec<Day>]) -> f64 {
    let mut rho = 0.0;
    // It settles within some ten steps, or swings between two values that are as good as each other.
    for _ in 0..50 {
        let moments: Vec<Moments> = series.iter().map(|days| Moments::of(days, rho)).collect();
        let next = overdispersion(&moments.iter().collect::<Vec<_>>(), 1.0);
        let moved = (next - rho).abs();
        rho = next;
        if moved <= 1e-13 {
            break;
        }
    }
    rho
}

/// The overdispersion that many series have in common, each about a mean of its own: Kleinman's equation with
/// both sides added up over the series. 0 or more and below 1; 0 where nothing tells.
pub fn pooled_overdispersion(series: &[&[Sample]]) -> f64 {
    let series: Vec<Vec<Day>> = series
        .iter()
        .map(|days| days.iter().filter_map(Day::of).collect::<Vec<_>>())
        .filter(|days| days.len() > 1)
        .collect();
    settled(&series)
}

/// The most runs of a day whose chances are added up one by one.
const ADDED: f64 = 1e6;
/// A term this small beside the sum can't change it.
const NEGLIGIBLE: f64 = 1e-17;

impl Ahead {
    fn at_most(&self, day: Sample) -> f64 {
        let (n, k) = (day.trials(), day.successes as f64);
        if day.failures == 0 {
            return 1.0;
        }
        let p = if n <= ADDED {
            let total = 1.0 / self.overdispersion - 1.0;
            beta_binomial_cdf(k, n, self.mean * total, self.failing * total)
        } else {
            // So many runs show their day's rate: a beta distribution with the variance of the share of
            // successes.
            let overdispersion = self.overdispersion + (1.0 - self.overdispersion) / n;
            let total = 1.0 / overdispersion - 1.0;
            beta::cdf(self.mean * total, self.failing * total, (k + 0.5) / n)
        };
        p.clamp(f64::MIN_POSITIVE, 1.0)
    }
}

/// The chance of at most k successes in n runs (J. G. Skellam, J. R. Stat. Soc. B 10 (1948) 257–261).
///
/// The probabilities are C(n, x)·B(x + α, n − x + β)/B(α, β). Here each is taken from its neighbour, relative
/// to the one at the mean, and the sum of those up to k is divided by the sum of all: no gamma function, whose
/// rounding at large n would be seen in the tail. At most n steps.
fn beta_binomial_cdf(k: f64, n: f64, alpha: f64, beta: f64) -> f64 {
    let up = |x: f64| ((n - x) * (x + alpha)) / ((x + 1.0) * (n - x - 1.0 + beta));
    // With both shapes at 1 or more, probabilities fall from the mode on; otherwise they may rise again at an
    // end.
    let one_peak = alpha >= 1.0 && beta >= 1.0;
    let start = (n * alpha / (alpha + beta)).floor().clamp(0.0, n);
    let (mut all, mut tail) = (1.0, if start <= k { 1.0 } else { 0.0 });

    let (mut x, mut term) = (start, 1.0);
    while x > 0.0 && term >= f64::MIN_POSITIVE {
        x -= 1.0;
        term /= up(x);
        all += term;
        if x <= k {
            tail += term;
            if one_peak && term * x <= NEGLIGIBLE * tail {
                break;
            }
        }
    }
    (x, term) = (start, 1.0);
    while x < n && term >= f64::MIN_POSITIVE {
        term *= up(x);
        x += 1.0;
        all += term;
        if x <= k {
            tail += term;
        }
        if one_peak && term * (n - x) <= NEGLIGIBLE * all {
            break;
        }
    }
    tail / all
}

#[cfg(test)]
mod tests;
