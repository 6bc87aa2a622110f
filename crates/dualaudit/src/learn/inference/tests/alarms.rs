//! How often a day raises an alarm when nothing has changed, and when something has.

use crate::learn::inference::{
    beta_binomial::{Baseline, Days, pooled_overdispersion},
    posterior::SplitMix64,
    proportion::Sample,
};

/// A fleet of series alike.
#[derive(Clone, Copy, Debug)]
struct Series {
    mean: f64,
    rho: f64,
    /// Runs of a day, give or take half of them.
    runs: u64,
}

impl Series {
    /// A day's runs from Pólya's urn: each makes the next of its kind likelier, so that together they are
    /// beta-binomial.
    fn day(&self, mean: f64, generator: &mut SplitMix64) -> Sample {
        let n = self.runs / 2 + generator.next_bits() % (self.runs + 1);
        let total = if self.rho > 0.0 { 1.0 / self.rho - 1.0 } else { 1e18 };
        let mut day = Sample::default();
        for _ in 0..n {
            let rate = (mean * total + day.successes as f64) / (total + day.trials());
            if generator.uniform() < rate {
                day.successes += 1;
            } else {
                day.failures += 1;
            }
        }
        day
    }

    fn month(&self, generator: &mut SplitMix64) -> Vec<Sample> {
        (0..28).map(|_| self.day(self.mean, generator)).collect()
    }

    /// What a fleet of 50 such series shows.
    fn fleet(&self) -> f64 {
        let mut generator = SplitMix64::new(50);
        let series: Vec<Days> = (0..50).map(|_| Days::of(&self.month(&mut generator))).collect();
        pooled_overdispersion(&series.iter().map(Days::all).collect::<Vec<_>>())
    }

    /// The share of trials in which the day after 28 days comes out below each level.
    fn alarms<const N: usize>(&self, fleet: f64, now: f64, levels: [f64; N], trials: u32) -> [f64; N] {
        let mut generator = SplitMix64::new(28);
        let mut alarms = [0_u32; N];
        for _ in 0..trials {
            let days = Days::of(&self.month(&mut generator));
            let day = self.day(now, &mut generator);
            let Some(baseline) = Baseline::of(days.all(), fleet) else { continue };
            let p = baseline.at_most(day);
            for (alarms, level) in alarms.iter_mut().zip(levels) {
                *alarms += u32::from(p <= level);
            }
        }
        alarms.map(|alarms| f64::from(alarms) / f64::from(trials))
    }
}

#[test]
fn nothing_new_alarms_no_more_often_than_its_level() {
    let trials = 4_000;
    for mean in [0.5, 0.8, 0.95] {
        for rho in [0.0, 0.05, 0.2] {
            for runs in [4, 20] {
                let series = Series { mean, rho, runs };
                let levels = [0.05, 0.01];
                for (found, level) in series.alarms(0.0, mean, levels, trials).into_iter().zip(levels) {
                    // Three standard errors of the simulation above the level.
                    let most = level + 3.0 * (level / f64::from(trials)).sqrt();
                    assert!(found <= most, "{series:?}: {found} at {level}");
                }
            }
        }
    }
}

#[test]
fn a_drop_of_20_points_is_seen_on_its_first_day() {
    for (series, power) in [
        (Series { mean: 0.95, rho: 0.0, runs: 50 }, 0.9),
        (Series { mean: 0.9, rho: 0.0, runs: 200 }, 0.9),
        (Series { mean: 0.9, rho: 0.005, runs: 200 }, 0.9),
    ] {
        let [found] = series.alarms(0.0, series.mean - 0.2, [0.01], 200);
        assert!(found >= power, "{series:?}: {found}");
    }
}

#[test]
fn rare_storms_alarm_no_more_often_than_their_level_where_the_fleet_has_seen_some() {
    let (series, trials) = (Series { mean: 0.99, rho: 0.2, runs: 20 }, 4_000);
    let [alone] = series.alarms(0.0, series.mean, [0.001], trials);
    let [together] = series.alarms(series.fleet(), series.mean, [0.001], trials);
    assert!(alone > 0.005, "{alone}: the fleet is not needed any more");
    assert!(together < 0.003, "{together}");
}
