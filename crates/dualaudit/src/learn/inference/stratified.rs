//! The difference of two rates among runs that are alike: stratified by what could make them differ otherwise.

use crate::learn::inference::proportion::{Confidence, Difference, Interval, Sample, difference, two_sided};

/// Runs that are alike (one incident type, target kind and namespace), with what is looked at and without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the two arms of a 2×2 table")]
pub struct Stratum {
    pub with: Sample,
    pub without: Sample,
}

/// The difference within strata, beside the one that ignores them. An association: strata take away only what
/// they are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stratified {
    /// Within strata; none when no stratum has runs on both sides.
    pub within: Option<Within>,
    /// Of all runs together, with Newcombe's interval; none when a side has no runs at all.
    pub raw: Option<Difference>,
    /// Both differences are there, neither is 0, and they point in opposite directions (Simpson's paradox).
    /// Judged by the estimates alone: it warns against the raw one and proves nothing itself.
    pub reversed: bool,
    /// How many strata have runs on both sides.
    pub strata: u64,
    /// How many have runs on one side only: they can't tell the sides apart, and only `raw` counts them.
    pub strata_left_out: u64,
    /// How many runs are in those.
    pub runs_left_out: u64,
}

/// A Mantel–Haenszel difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Within {
    /// The rate with less the rate without, −1..1, and its interval.
    pub difference: Difference,
    /// Two-sided, that there is none within any stratum: above 0, at most 1.
    pub p_value: f64,
}

/// A difference of rates that is smaller than this may be rounding alone.
const ZERO: f64 = 1e-13;

/// The difference of success with and without, within strata and overall.
pub fn stratified(strata: &[Stratum], confidence: Confidence) -> Stratified {
    let (informative, left_out): (Vec<Stratum>, Vec<Stratum>) =
        strata.iter().partition(|stratum| stratum.with.trials() > 0.0 && stratum.without.trials() > 0.0);
    let all = strata.iter().fold(Stratum::default(), |all, stratum| Stratum {
        with: all.with.plus(stratum.with),
        without: all.without.plus(stratum.without),
    });
    let raw = difference(all.with, all.without, confidence);
    let within = (!informative.is_empty()).then(|| mantel_haenszel(&informative, confidence));
    let reversed = within.zip(raw).is_some_and(|(within, raw)| {
        let (one, other) = (within.difference.estimate, raw.estimate);
        one.abs() > ZERO && other.abs() > ZERO && (one > 0.0) != (other > 0.0)
    });
    let runs = |stratum: &Stratum| {
        let Sample { successes, failures } = stratum.with.plus(stratum.without);
        successes.saturating_add(failures)
    };
    Stratified {
        within,
        raw,
        reversed,
        strata: informative.len() as u64,
        // Strata without any runs are no strata.
        strata_left_out: left_out.iter().filter(|stratum| runs(stratum) > 0).count() as u64,
        runs_left_out: left_out.iter().map(runs).fold(0, u64::saturating_add),
    }
}

/// The Mantel–Haenszel difference δ = Σ wᵢ(aᵢ/n₁ᵢ − cᵢ/n₀ᵢ)/W, wᵢ = n₁ᵢn₀ᵢ/Nᵢ, W = Σ wᵢ (S. Greenland and J. M.
/// Robins, Biometrics 41 (1985) 55–68), where of n₁ runs with and n₀ without, a and c succeeded.
///
/// Its variance is Sato's, (δP + Q)/W², good for few large strata and for many small ones (T. Sato, Biometrics
/// 45 (1989) 1323–1324): P = Σ (cn₁² − an₀² + n₁n₀(n₀ − n₁)/2)/N², Q = Σ (a(n₀ − c) + c(n₁ − a))/2N. Being
/// linear in δ it can be inverted: the interval is the differences within z of their own standard error (B.
/// Klingenberg, Statist. Med. 33 (2014) 2968–2983), that is m ± √(m² − δ² + z²Q/W²), m = δ + z²P/2W². Unlike δ
/// ± z·se it has a width where all with succeeded and all without failed. The p-value is of δW/√Q, the same
/// statistic at no difference.
///
/// Where each stratum all succeeded or all failed, Q and so that width are 0. There the interval combines
/// Newcombe's of each stratum by the squares of their distances (the weighted MOVER: X. Yan and X. G. Su, Stat.
/// Biopharm. Res. 2 (2010) 329–335), and p is 1.
fn mantel_haenszel(strata: &[Stratum], confidence: Confidence) -> Within {
    let (mut effect, mut weight, mut p, mut q) = (0.0, 0.0, 0.0, 0.0);
    for Stratum { with, without } in strata {
        let (a, b) = (with.successes as f64, with.failures as f64);
        let (c, d) = (without.successes as f64, without.failures as f64);
        let (n1, n0, n) = (a + b, c + d, a + b + c + d);
        // Of N, so that no product of counts overflows what can be told apart.
        let (share1, share0) = (n1 / n, n0 / n);
        effect += a * share0 - c * share1;
        weight += n1 * share0;
        p += c * share1 * share1 - a * share0 * share0 + share1 * share0 * (n0 - n1) / 2.0;
        q += (a * (d / n) + c * (b / n)) / 2.0;
    }
    let z = confidence.z();
    let estimate = (effect / weight).clamp(-1.0, 1.0);
    let (lower, upper) = if q > 0.0 {
        let middle = estimate + (z / weight) * (z / weight) * p / 2.0;
        let square = middle * middle - estimate * estimate + (z / weight) * (z / weight) * q;
        let half = square.max(0.0).sqrt();
        (middle - half, middle + half)
    } else {
        let (mut below, mut above) = (0.0, 0.0);
        for stratum in strata {
            let Some(it) = difference(stratum.with, stratum.without, confidence) else { continue };
            let share = stratum.with.trials()
                * (stratum.without.trials() / (stratum.with.trials() + stratum.without.trials()))
                / weight;
            below += (share * (it.estimate - it.interval.lower)).powi(2);
            above += (share * (it.interval.upper - it.estimate)).powi(2);
        }
        (estimate - below.sqrt(), estimate + above.sqrt())
    };
    let interval = Interval { lower: lower.clamp(-1.0, estimate), upper: upper.clamp(estimate, 1.0) };
    let p_value = if q > 0.0 { two_sided(effect / q.sqrt()) } else { 1.0 };
    Within { difference: Difference { estimate, interval }, p_value }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn stratum(a: u64, b: u64, c: u64, d: u64) -> Stratum {
        let of = |successes, failures| Sample { successes, failures };
        Stratum { with: of(a, b), without: of(c, d) }
    }

    fn of(strata: &[Stratum]) -> Stratified {
        stratified(strata, Confidence::NINETY_FIVE)
    }

    #[test]
    fn a_stratum_with_runs_on_one_side_tells_nothing_and_is_counted() {
        let found = of(&[stratum(8, 2, 5, 5), stratum(9, 1, 0, 0), stratum(0, 0, 2, 1), stratum(0, 0, 0, 0)]);
        assert_eq!((found.strata, found.strata_left_out, found.runs_left_out), (1, 2, 13));
        assert!((found.within.unwrap().difference.estimate - 0.3).abs() < 1e-15);
        let nothing = of(&[stratum(9, 1, 0, 0), stratum(0, 0, 2, 1)]);
        assert!(nothing.within.is_none() && nothing.raw.is_some() && !nothing.reversed);
        assert!(of(&[]).raw.is_none());
    }

    #[test]
    fn what_only_seems_to_help_is_seen_as_reversed() {
        // Kidney stones (C. R. Charig et al., Br. Med. J. 292 (1986) 879–882): open surgery against the other.
        let found = of(&[stratum(81, 6, 234, 36), stratum(192, 71, 55, 25)]);
        assert!(found.raw.unwrap().estimate < 0.0 && found.within.unwrap().difference.estimate > 0.0);
        assert!(found.reversed);
        assert!(!of(&[stratum(8, 2, 5, 5), stratum(4, 6, 1, 9)]).reversed);
        // The same in both strata, and confounded: no difference within is no reversal.
        assert!(!of(&[stratum(18, 2, 9, 1), stratum(1, 9, 2, 18)]).reversed);
    }

    #[test]
    fn one_stratum_where_nothing_varies_has_newcombes_interval() {
        let only = stratum(5, 0, 7, 0);
        let found = of(&[only]);
        let (within, raw) = (found.within.unwrap().difference, found.raw.unwrap());
        assert!((within.interval.lower - raw.interval.lower).abs() < 1e-15);
        assert!((within.interval.upper - raw.interval.upper).abs() < 1e-15);
    }

    #[test]
    fn an_interval_has_a_width_where_nothing_varies() {
        for strata in [
            vec![stratum(5, 0, 5, 0)],
            vec![stratum(5, 0, 0, 5)],
            vec![stratum(3, 0, 3, 0), stratum(0, 4, 0, 2)],
        ] {
            let Interval { lower, upper } = of(&strata).within.unwrap().difference.interval;
            assert!(upper - lower > 0.3, "{strata:?}: {lower} {upper}");
        }
    }

    fn count() -> impl Strategy<Value = u64> {
        prop_oneof![5 => 0..30_u64, 2 => 0..=1_000_000_000_u64, 1 => Just(u64::MAX)]
    }

    prop_compose! {
        fn any_stratum()(a in count(), b in count(), c in count(), d in count()) -> Stratum {
            stratum(a, b, c, d)
        }
    }

    proptest! {
        #[test]
        fn a_difference_lies_in_range_and_turns_with_its_sides(strata in collection::vec(any_stratum(), 0..12)) {
            let turned: Vec<Stratum> =
                strata.iter().map(|it| Stratum { with: it.without, without: it.with }).collect();
            let (it, turned) = (of(&strata), of(&turned));
            prop_assert_eq!(it.within.is_some(), it.strata > 0);
            if let (Some(it), Some(turned)) = (it.within, turned.within) {
                let Interval { lower, upper } = it.difference.interval;
                let estimate = it.difference.estimate;
                prop_assert!(-1.0 <= lower && lower <= estimate && estimate <= upper && upper <= 1.0);
                prop_assert!((estimate + turned.difference.estimate).abs() < 1e-9);
                prop_assert!((lower + turned.difference.interval.upper).abs() < 1e-6);
                prop_assert!(0.0 < it.p_value && it.p_value <= 1.0);
            }
        }
    }
}
