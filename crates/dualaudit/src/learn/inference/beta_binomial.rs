//! Whether a day is worse than the days before it, where the runs of a day share its luck: an incident storm
//! fails many at once, so they are not independent.
//!
//! Each day has a rate of its own, drawn from a beta distribution with mean μ; its runs succeed by it. ρ is the
//! correlation of two runs of one day: the rate of a day with n runs varies by μ(1 − μ)(ρ + (1 − ρ)/n).

use std::{ops::Range, sync::OnceLock};

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{beta, proportion::Sample};

/// What a series did day by day, in the form that is asked about over and over.
#[derive(Clone, Debug, PartialEq)]
pub struct Days {
    /// Of each day, and of the end: how many before it have runs.
    before: Vec<usize>,
    /// Of each day with runs: how many,
    counts: Vec<u64>,
    /// the same as a float,
    runs: Vec<f64>,
    /// and the share that succeeded.
    rates: Vec<f64>,
}

impl Default for Days {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Days {
    /// Of what happened each day.
    pub fn of(days: &[Sample]) -> Self {
        let with: Vec<&Sample> = days.iter().filter(|day| day.count() > 0).collect();
        let upto = days.iter().scan(0, |with, day| {
            *with += usize::from(day.count() > 0);
            Some(*with)
        });
        Self {
            before: std::iter::once(0).chain(upto).collect(),
            counts: with.iter().map(|day| day.count()).collect(),
            runs: with.iter().map(|day| day.trials()).collect(),
            rates: with.iter().filter_map(|day| day.rate()).collect(),
        }
    }

    /// All of them.
    pub fn all(&self) -> Window<'_> {
        self.some(0..self.before.len() - 1)
    }

    /// Some days in a row, which have to be among them.
    pub fn some(&self, days: Range<usize>) -> Window<'_> {
        let with = self.before[days.start]..self.before[days.end];
        Window {
            counts: &self.counts[with.clone()],
            runs: &self.runs[with.clone()],
            rates: &self.rates[with],
        }
    }
}

/// Days in a row of a series: those of them that have runs.
#[derive(Clone, Copy, Debug)]
pub struct Window<'d> {
    counts: &'d [u64],
    runs: &'d [f64],
    rates: &'d [f64],
}

impl Window<'_> {
    /// How many days have runs.
    pub fn days(self) -> usize {
        self.counts.len()
    }
}

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
    pub fn of(days: Window<'_>, fleet: f64) -> Option<Self> {
        if days.days() < 2 || days.runs.iter().all(|&runs| runs < 2.0) {
            return None;
        }
        let mut weights = Vec::with_capacity(days.days());
        let rho = settled(&[days], &mut weights);
        let moments = Moments::of(days, rho, &mut weights);
        let freedom = days.days() - 1;
        let known = if fleet > 0.0 { fleet.min(MOST) } else { 0.0 };
        let cautious = moments.overdispersion(freedom as f64 / least_spread(freedom)).max(known);
        let effective_runs: f64 = days.runs.iter().map(|runs| runs * worth(*runs, cautious)).sum();
        let judged = |share: f64| (share * effective_runs + JEFFREYS) / (effective_runs + 2.0 * JEFFREYS);
        let overdispersion = cautious + (1.0 - cautious) / (effective_runs + 2.0 * JEFFREYS + 1.0);
        let overdispersion = overdispersion.max(LEAST);
        Some(Self {
            days: days.days() as u64,
            runs: days.counts.iter().fold(0, |runs, &count| runs.saturating_add(count)),
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

/// The χ² with so many degrees of freedom that only 1 in 5 are below.
fn least_spread(freedom: usize) -> f64 {
    static KNOWN: [OnceLock<f64>; 64] = [const { OnceLock::new() }; 64];
    let of = || ChiSquared::new(freedom as f64).map_or(freedom as f64, |chi| chi.inverse_cdf(UNDERESTIMATED));
    KNOWN.get(freedom).map_or_else(of, |known| *known.get_or_init(of))
}

/// How many independent runs each of a day's runs is worth.
fn worth(runs: f64, rho: f64) -> f64 {
    1.0 / (1.0 + (runs - 1.0) * rho)
}

/// Kleinman's sums.
#[derive(Default)]
struct Moments {
    mean: f64,
    /// How much the days vary.
    spread: f64,
    /// How much they would by chance alone,
    chance: f64,
    /// and by how much more if ρ were 1.
    most: f64,
}

impl Moments {
    /// `worths` is used to work in.
    fn of(days: Window<'_>, rho: f64, worths: &mut Vec<f64>) -> Self {
        worths.clear();
        worths.extend(days.runs.iter().map(|&runs| worth(runs, rho)));
        let [total, successes] =
            summed(worths, days, |worth, runs, rate| [worth * runs, worth * runs * rate]);
        let mean = successes / total;
        let [spread, by_chance, by_day] = summed(worths, days, |worth, runs, rate| {
            let weight = worth * runs;
            let rest = 1.0 - weight / total;
            [weight * (rate - mean) * (rate - mean), worth * rest, weight * rest]
        });
        let mean = mean.clamp(0.0, 1.0);
        let varies = mean * (1.0 - mean);
        Self { mean, spread, chance: varies * by_chance, most: varies * (by_day - by_chance) }
    }

    /// Those of several series as one equation.
    fn plus(self, other: &Self) -> Self {
        Self {
            mean: self.mean,
            spread: self.spread + other.spread,
            chance: self.chance + other.chance,
            most: self.most + other.most,
        }
    }

    /// The ρ that they give, if the spread were `inflation` times as large.
    fn overdispersion(&self, inflation: f64) -> f64 {
        if self.most <= 0.0 {
            return 0.0;
        }
        ((self.spread * inflation - self.chance) / self.most).clamp(0.0, MOST)
    }
}

/// Sums over days of what each gives, four days at a time.
fn summed<const N: usize>(
    worths: &[f64],
    days: Window<'_>,
    of: impl Fn(f64, f64, f64) -> [f64; N],
) -> [f64; N] {
    const LANES: usize = 4;
    let mut sums = [[0.0; LANES]; N];
    let [(worths, worths_left), (runs, runs_left), (rates, rates_left)] =
        [worths, days.runs, days.rates].map(|of| of.as_chunks::<LANES>());
    for ((worths, runs), rates) in worths.iter().zip(runs).zip(rates) {
        for lane in 0..LANES {
            let given = of(worths[lane], runs[lane], rates[lane]);
            for (sums, given) in sums.iter_mut().zip(given) {
                sums[lane] += given;
            }
        }
    }
    for (lane, ((worth, runs), rate)) in worths_left.iter().zip(runs_left).zip(rates_left).enumerate() {
        for (sums, given) in sums.iter_mut().zip(of(*worth, *runs, *rate)) {
            sums[lane] += given;
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}

/// Kleinman's iteration. `worths` is used to work in.
fn settled(series: &[Window<'_>], worths: &mut Vec<f64>) -> f64 {
    let mut next = |rho: f64| {
        let each = series.iter().map(|days| Moments::of(*days, rho, worths));
        each.fold(Moments::default(), |all, one| all.plus(&one)).overdispersion(1.0)
    };
    if let Some(rho) = extrapolated(&mut next) {
        return rho;
    }
    let mut rho = 0.0;
    // It settles within some ten steps, or swings between two values that are as good as each other.
    for _ in 0..ITERATIONS {
        let at = next(rho);
        let moved = (at - rho).abs();
        rho = at;
        if moved <= SETTLED {
            break;
        }
    }
    rho
}

/// How often a value is put in at most,
const ITERATIONS: u32 = 50;
/// and how much it moves when it is as good as another.
const SETTLED: f64 = 1e-13;
/// Steps that shrink at least by this come to the same end whichever way it is reached: the fiftieth is 10⁻¹⁵ of the
/// first.
const SHRINKING: f64 = 0.5;

/// Where a function comes to when it is put in again and again, from 0 on, by the secant through the last two. None
/// where its steps don't shrink at once.
fn extrapolated(next: &mut impl FnMut(f64) -> f64) -> Option<f64> {
    let (mut before, mut from) = (0.0, next(0.0));
    if from <= SETTLED {
        return Some(from);
    }
    let mut at = from;
    for _ in 0..ITERATIONS {
        let to = next(at);
        if (to - at).abs() <= SETTLED {
            return Some(to);
        }
        let slope = (to - from) / (at - before);
        if slope.is_nan() || slope.abs() > SHRINKING {
            return None;
        }
        (before, from) = (at, to);
        at = (at + (to - at) / (1.0 - slope)).clamp(0.0, MOST);
    }
    None
}

/// The overdispersion that many series have in common, each about a mean of its own: Kleinman's equation with
/// both sides added up over the series. 0 or more and below 1; 0 where nothing tells.
pub fn pooled_overdispersion(series: &[Window<'_>]) -> f64 {
    let series: Vec<Window<'_>> = series.iter().copied().filter(|days| days.days() > 1).collect();
    settled(&series, &mut Vec::new())
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
        term *= ((x + 1.0) * (n - x - 1.0 + beta)) / ((n - x) * (x + alpha));
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
