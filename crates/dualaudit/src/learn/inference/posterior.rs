//! How good a workflow may be held to be, and in which order to try several.

use super::{beta, proportion::Sample};

/// The runs a workflow is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// Where it is to run: the same incident type, target kind and namespace.
    pub narrow: Sample,
    /// Everywhere else that may be looked at, the most alike first, each without those before it.
    pub wide: &'a [Sample],
}

/// A beta distribution of a workflow's rate of success.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    alpha: f64,
    beta: f64,
}

/// As many runs at most is the wide evidence worth.
const PSEUDO_RUNS: f64 = 20.0;
/// H. Jeffreys' prior for a rate, Beta(½, ½): one run's worth, so that even no evidence gives a distribution.
const JEFFREYS: f64 = 0.5;
/// More narrow runs than this are counted as this many with the same rate: the rate is known to 6 digits then,
/// and the beta distribution's numerics are at their best below.
const MOST: f64 = 1e9;

impl Posterior {
    /// Beta(½ + wˢ + s, ½ + wᶠ + f): of the narrow runs s succeeded and f failed, and the wide ones are scaled
    /// down to w = 20 together where there are more: those most alike first, each of the others to what is left. So
    /// what works elsewhere counts until some 20 runs here say otherwise (a power prior: J. G. Ibrahim and M.-H. Chen,
    /// Stat. Sci. 15 (2000) 46–60).
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let (successes, failures) = at_most(evidence.narrow, MOST);
        let mut posterior = Self { alpha: JEFFREYS + successes, beta: JEFFREYS + failures };
        let mut left = PSEUDO_RUNS;
        for wide in evidence.wide {
            let (successes, failures) = at_most(*wide, left);
            posterior.alpha += successes;
            posterior.beta += failures;
            left = (left - successes - failures).max(0.0);
        }
        posterior
    }

    /// The mean, above 0 and below 1.
    pub fn mean(&self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// The rate that the true one exceeds with 95 %: what a workflow may be trusted for. Above 0 and below 1.
    pub fn lower_bound(&self) -> f64 {
        beta::quantile(self.alpha, self.beta, 0.05)
    }

    /// The rate that the true one stays below with 95 %. Above 0 and below 1.
    pub fn upper_bound(&self) -> f64 {
        beta::quantile(self.alpha, self.beta, 0.95)
    }

    /// A rate drawn from it, above 0 and below 1, by the inverse of its distribution.
    pub fn draw(&self, generator: &mut SplitMix64) -> f64 {
        beta::quantile(self.alpha, self.beta, generator.uniform())
    }
}

fn at_most(sample: Sample, runs: f64) -> (f64, f64) {
    let scale = if sample.trials() > runs { runs / sample.trials() } else { 1.0 };
    (sample.successes as f64 * scale, sample.failures as f64 * scale)
}

/// A workflow that may be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// What it is called; unique among those that are ranked.
    pub name: &'a str,
    /// How good it may be held to be.
    pub posterior: Posterior,
}

/// By what candidates are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// The lower bound: never a workflow that was merely lucky.
    LowerBound,
    /// A draw from each (W. R. Thompson, Biometrika 25 (1933) 285–294): each comes first as often as it may be
    /// the best, so what is hardly tried is tried at times. The seed alone decides.
    Explore {
        /// The same gives the same order.
        seed: u64,
    },
}

/// The candidates, best first, each with what it was ranked by; equals by name. The order they came in does not
/// matter.
pub fn rank(mut candidates: Vec<Candidate<'_>>, by: Rank) -> Vec<(Candidate<'_>, f64)> {
    candidates.sort_by(|one, other| one.name.cmp(other.name));
    let mut ranked: Vec<_> = match by {
        Rank::LowerBound => candidates.into_iter().map(|it| (it.posterior.lower_bound(), it)).collect(),
        Rank::Explore { seed } => {
            let mut generator = SplitMix64::new(seed);
            candidates.into_iter().map(|it| (it.posterior.draw(&mut generator), it)).collect::<Vec<_>>()
        }
    };
    // Stable, so equals stay in the order of their names.
    ranked.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    ranked.into_iter().map(|(value, candidate)| (candidate, value)).collect()
}

/// A small generator of numbers that a seed decides (G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014). Not
/// for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Begins with a seed; any is as good as another.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// The next number above 0 and below 1: the middle of one of 2^52 equal parts.
    pub fn uniform(&mut self) -> f64 {
        ((self.next_bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(narrow: (u64, u64), wide: (u64, u64)) -> Posterior {
        let sample = |(successes, failures)| Sample { successes, failures };
        Posterior::of(&Evidence { narrow: sample(narrow), wide: &[sample(wide)] })
    }

    #[test]
    fn bits_are_those_of_the_generator_as_published() {
        let mut generator = SplitMix64::new(1_234_567);
        let found: Vec<u64> = (0..3).map(|_| generator.next_bits()).collect();
        assert_eq!(found, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn wide_evidence_counts_as_20_runs_at_most() {
        assert_eq!(of((0, 0), (900, 100)), Posterior { alpha: 18.5, beta: 2.5 });
        assert_eq!(of((3, 1), (9, 1)), Posterior { alpha: 12.5, beta: 2.5 });
        assert_eq!(of((0, 0), (0, 0)).mean(), 0.5);
    }

    #[test]
    fn what_is_most_alike_counts_before_the_rest() {
        let sample = |successes, failures| Sample { successes, failures };
        let of = |wide: &[Sample]| Posterior::of(&Evidence { narrow: sample(0, 0), wide });
        assert_eq!(of(&[sample(10, 2), sample(0, 80)]), Posterior { alpha: 10.5, beta: 10.5 });
        assert_eq!(of(&[sample(100, 0), sample(0, 80)]), Posterior { alpha: 20.5, beta: 0.5 });
        assert_eq!(of(&[sample(0, 0), sample(3, 1)]), Posterior { alpha: 3.5, beta: 1.5 });
    }

    #[test]
    fn luck_is_not_trusted() {
        let (lucky, proven) = (of((2, 0), (0, 0)), of((180, 20), (0, 0)));
        assert!(lucky.mean() < proven.mean() || lucky.lower_bound() < proven.lower_bound());
        assert!(lucky.lower_bound() < 0.5 && proven.lower_bound() > 0.85);
    }

    #[test]
    fn an_order_depends_on_names_and_seed_alone() {
        let candidates: Vec<Candidate<'_>> = ["delta", "alpha", "echo", "bravo", "charlie"]
            .into_iter()
            .map(|name| Candidate { name, posterior: of((if name == "echo" { 9 } else { 6 }, 3), (50, 10)) })
            .collect();
        let names = |candidates: Vec<Candidate<'static>>, by| -> Vec<&'static str> {
            rank(candidates, by).into_iter().map(|(it, _)| it.name).collect()
        };
        let turned: Vec<Candidate<'_>> = candidates.iter().rev().cloned().collect();
        let by_name = ["echo", "alpha", "bravo", "charlie", "delta"];
        assert_eq!(names(candidates.clone(), Rank::LowerBound), by_name);
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let order = names(candidates.clone(), Rank::Explore { seed });
            assert_eq!(order, names(turned.clone(), Rank::Explore { seed }));
            firsts.insert(order[0]);
        }
        assert!(firsts.len() > 2, "{firsts:?}");
    }

    #[test]
    fn draws_come_as_their_distribution_says() {
        let posterior = of((6, 2), (0, 0));
        let mut generator = SplitMix64::new(7);
        let draws: Vec<f64> = (0..4000).map(|_| posterior.draw(&mut generator)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        // Its standard error is 0.0023.
        assert!((mean - posterior.mean()).abs() < 0.008, "{mean}");
    }

    fn count() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..60_u64, 2 => 0..20_000_u64, 2 => 0..=1_000_000_000_u64, 1 => Just(u64::MAX)]
    }

    proptest! {
        #[test]
        fn a_bound_lies_in_range_below_the_median(a in count(), b in count(), c in count(), d in count()) {
            let posterior = of((a, b), (c, d));
            let bound = posterior.lower_bound();
            prop_assert!(0.0 < bound && bound < 1.0);
            prop_assert!(bound <= beta::quantile(posterior.alpha, posterior.beta, 0.5));
            prop_assert!(bound <= posterior.upper_bound() && posterior.upper_bound() < 1.0);
        }

        #[test]
        fn more_success_is_trusted_more(
            s in 0..100_000_u64, f in 0..100_000_u64, more in 1..1000_u64, wide in (0..500_u64, 0..500_u64)
        ) {
            let bound = of((s, f + more), wide).lower_bound();
            prop_assert!(bound < of((s + more, f), wide).lower_bound(), "for a failure");
            prop_assert!(bound < of((s + more, f + more), wide).lower_bound(), "beside");
        }
    }
}
