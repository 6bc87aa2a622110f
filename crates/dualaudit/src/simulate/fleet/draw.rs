//! How numbers are drawn.

use std::f64::consts::TAU;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// The generator of the execution with a number. Its output is the same on every machine and in every version.
pub(super) fn generator(seed: u64, number: u64) -> Xoshiro256PlusPlus {
    // The odd factor keeps neighbouring seeds apart.
    Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number))
}

/// From a normal distribution with mean 0 and variance 1 (G. E. P. Box and M. E. Muller, Ann. Math. Stat. 29 (1958)
/// 610–611).
pub(super) fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let (radius, turn): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (TAU * turn).cos()
}

/// Places of a list, each drawn as often as its share says.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    /// Of each place, its share and those before it.
    up_to: Vec<f64>,
}

impl Shares {
    pub(super) fn new(shares: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let mut add = |share: f64| {
            assert!(share >= 0.0, "a share is not negative: {share}");
            sum += share;
            sum
        };
        let up_to: Vec<f64> = shares.into_iter().map(&mut add).collect();
        assert!(up_to.last().is_some_and(|&all| all > 0.0), "there must be something to draw");
        Self { up_to }
    }

    pub(super) fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> usize {
        let last = self.up_to.len() - 1;
        let drawn = rng.random::<f64>() * self.up_to[last];
        self.up_to.partition_point(|&up_to| up_to <= drawn).min(last)
    }
}
