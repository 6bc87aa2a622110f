//! Durations from sketches: a quantile with its interval, the ratio of two, and whether one side is longer.
//!
//! A sketch tells how many values fell into each bin, and a bin's one value stands for all of them. What is
//! computed here is exact for those values; the sketch's own relative error (1 %, so 2 % in a ratio) comes on
//! top.

use super::{
    beta::binomial_cdf_against,
    proportion::{Confidence, two_sided},
};

/// Values that a sketch does not tell apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// What stands for them, in µs. Below 1 it counts as 1, so that it has a logarithm.
    pub value: f64,
    /// How many there are.
    pub count: u64,
}

/// A sketch's bins in the order of their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bins {
    /// Each value once, from 1 to 10^18 µs, and each count above 0.
    bins: Vec<Bin>,
    /// How many values there are up to each bin and in it; ends with the total.
    up_to: Vec<u64>,
}

/// Longer than any duration: some 30,000 years in µs.
const LONGEST: f64 = 1e18;

impl Bins {
    /// Takes bins in any order; equal values come together. A bin whose value is not a number is left out.
    pub fn of(bins: impl IntoIterator<Item = Bin>) -> Self {
        let mut sorted: Vec<Bin> = bins
            .into_iter()
            .filter(|bin| bin.count > 0 && !bin.value.is_nan())
            .map(|bin| Bin { value: bin.value.clamp(1.0, LONGEST), ..bin })
            .collect();
        sorted.sort_by(|one, other| one.value.total_cmp(&other.value));
        sorted.dedup_by(|later, kept| {
            let same = later.value == kept.value;
            if same {
                kept.count = kept.count.saturating_add(later.count);
            }
            same
        });
        let added = |total: &mut u64, bin: &Bin| {
            *total = total.saturating_add(bin.count);
            Some(*total)
        };
        let up_to = sorted.iter().scan(0, added).collect();
        Self { bins: sorted, up_to }
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.up_to.last().copied().unwrap_or_default()
    }

    /// The value with this rank, from 1 to the total.
    fn value_at(&self, rank: u64) -> Option<f64> {
        self.bins.get(self.up_to.partition_point(|&up_to| up_to < rank)).map(|bin| bin.value)
    }
}

/// A quantile of a sample, µs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// The least value with at least the asked share at or below it.
    pub estimate: f64,
    /// The lower end of its interval; none when too few values lie below to give one.
    pub lower: Option<f64>,
    /// The upper end; none when too few lie above, as for the 99th percentile of fewer than 368 values at 95 %.
    pub upper: Option<f64>,
}

/// A quantile with an interval that holds for any distribution (W. J. Conover, Practical Nonparametric
/// Statistics, 3rd ed. 1999, section 3.2): of n values as many lie below the true quantile as Bin(n, share)
/// says, so the largest rank r with P(B ≤ r − 1) ≤ α/2 and the smallest s with P(B ≥ s) ≤ α/2 hold it between
/// the r-th and the s-th value with at least the confidence asked for. A rank below 1 or above n is no value,
/// and the interval is open there.
///
/// `share` is above 0 and below 1, else none; none also of no values.
pub fn quantile(bins: &Bins, share: f64, confidence: Confidence) -> Option<Quantile> {
    if bins.total() == 0 || !(0.0 < share && share < 1.0) {
        return None;
    }
    let n = bins.total();
    // The rounding of share·n upward, 0.9 · 10 say, must not skip a value; f64 has 16 digits.
    let rank = ((share * n as f64) * (1.0 - 1e-15)).ceil().clamp(1.0, n as f64) as u64;
    let (lower, upper) = ranks(n, share, confidence);
    Some(Quantile {
        estimate: bins.value_at(rank)?,
        lower: if lower == 0 { None } else { bins.value_at(lower) },
        upper: if upper > n { None } else { bins.value_at(upper) },
    })
}

/// The ranks that hold the quantile between them: the lower is 0, and the upper n + 1, where that end is open.
fn ranks(n: u64, share: f64, confidence: Confidence) -> (u64, u64) {
    let (tail, count) = (confidence.tail(), n as f64);
    // Where they are by the first terms of the expansion of E. A. Cornish and R. A. Fisher (Rev. Inst. Int. Stat. 5
    // (1938) 307–320), which is mostly right.
    let z = confidence.z();
    let (mean, sd) = (share * count, (share * (1.0 - share) * count).sqrt());
    let middle = mean + (z * z - 1.0) * (1.0 - 2.0 * share) / 6.0 - 0.5;
    let near = |k: f64| k.ceil().clamp(0.0, count) as u64;
    // The number of k with P(B ≤ k) ≤ α/2 is the lower rank, and with P(B ≤ k) < 1 − α/2 one less than the
    // upper.
    let lower = first(n, near(middle - z * sd), |k| binomial_cdf_against(k, n, share, tail).is_gt());
    let upper = first(n, near(middle + z * sd), |k| binomial_cdf_against(k, n, share, 1.0 - tail).is_ge());
    (lower, upper.saturating_add(1))
}

/// The first k in 0..=n that `holds`, which does for n and for all after the first: looked for from `near` on, ever
/// farther, and then by halves.
fn first(n: u64, near: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let mut step = 1;
    let (mut low, mut high) = (0, n);
    if holds(near) {
        high = near;
        while high > low {
            let below = high.saturating_sub(step);
            if !holds(below) {
                low = below + 1;
                break;
            }
            high = below;
            step = step.saturating_mul(2);
        }
    } else {
        low = near.saturating_add(1);
        while low < high {
            let above = low.saturating_add(step - 1).min(n);
            if holds(above) {
                high = above;
                break;
            }
            low = above + 1;
            step = step.saturating_mul(2);
        }
    }
    while low < high {
        let middle = low.midpoint(high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// How many times as long one side takes as the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Above 0.
    pub estimate: f64,
    /// The lower end of its interval; none where a quantile's interval is open.
    pub lower: Option<f64>,
    /// The upper end; none where a quantile's interval is open.
    pub upper: Option<f64>,
}

/// The ratio of two quantiles. On logarithms it is a difference, whose interval is made from both by the
/// squares of their distances (the MOVER: G. Y. Zou and A. Donner, Statist. Med. 27 (2008) 1693–1702): down by
/// √(ln(q₁/l₁)² + ln(u₂/q₂)²) and up by √(ln(u₁/q₁)² + ln(q₂/l₂)²).
///
/// The delta method would need the density at the quantile, which bins give badly, and would make the interval
/// symmetric, which that of a high quantile is not. This takes both intervals as they are, and inverting the
/// ratio inverts its interval.
pub fn ratio(one: &Quantile, other: &Quantile) -> Ratio {
    let far = |from: f64, to: Option<f64>| to.map(|to| (to / from).ln());
    let estimate = one.estimate / other.estimate;
    let beyond = |x: Option<f64>, y: Option<f64>| x.zip(y).map(|(x, y)| x.hypot(y));
    let down = beyond(far(one.estimate, one.lower), far(other.estimate, other.upper));
    let up = beyond(far(one.estimate, one.upper), far(other.estimate, other.lower));
    Ratio {
        estimate,
        lower: down.map(|distance| estimate * (-distance).exp()),
        upper: up.map(|distance| estimate * distance.exp()),
    }
}

/// Whether one side's values are larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The chance that a value of the first side is the larger of two, equal ones counted half: ½ when neither
    /// is.
    pub larger: f64,
    /// Two-sided, that the sides don't differ: above 0, at most 1.
    pub p_value: f64,
}

/// The Mann–Whitney test on binned values (H. B. Mann and D. R. Whitney, Ann. Math. Stat. 18 (1947) 50–60),
/// where values of one bin are tied. U = Σ over the first side's values of how many of the second lie below,
/// ties half, is near normal about n₁n₂/2 with variance n₁n₂/12·(n + 1 − Σ (t³ − t)/(n(n − 1))) for ties of t,
/// and is taken ½ nearer (as R and SciPy do). From some 10 values a side on that is good to a few per cent of
/// p.
///
/// Both sides must be binned alike. Values of one day that depend on each other make p too small: compare days
/// then. None when a side has no values; p is 1 where all are tied.
pub fn shift(one: &Bins, other: &Bins) -> Option<Shift> {
    if one.total() == 0 || other.total() == 0 {
        return None;
    }
    let all = |bins: &Bins| bins.bins.iter().map(|bin| bin.count as f64).sum::<f64>();
    let (n1, n2) = (all(one), all(other));
    let n = n1 + n2;
    // As shares of all, so that no product of counts overflows. `below` counts the second side's.
    let (mut larger, mut below, mut ties) = (0.0, 0.0, 0.0);
    let (mut left, mut right) = (one.bins.iter().peekable(), other.bins.iter().peekable());
    loop {
        let value = match (left.peek(), right.peek()) {
            (Some(one), Some(other)) => one.value.min(other.value),
            (Some(bin), None) | (None, Some(bin)) => bin.value,
            (None, None) => break,
        };
        let a = left.next_if(|bin| bin.value == value).map_or(0.0, |bin| bin.count as f64);
        let b = right.next_if(|bin| bin.value == value).map_or(0.0, |bin| bin.count as f64);
        larger += (a / n1) * ((below + b / 2.0) / n2);
        below += b;
        let t = a + b;
        ties += (t / n) * ((t - 1.0) / (n - 1.0)) * (t + 1.0);
    }
    let larger = larger.clamp(0.0, 1.0);
    let variance = (n + 1.0 - ties) / 12.0 / n1 / n2;
    if variance <= 0.0 {
        return Some(Shift { larger, p_value: 1.0 });
    }
    let distance = ((larger - 0.5).abs() - 0.5 / n1 / n2).max(0.0);
    Some(Shift { larger, p_value: two_sided(distance / variance.sqrt()) })
}

#[cfg(test)]
mod tests;
