//! Executions of a fleet whose truth is known: what learning finds in them can be held against it.
//!
//! A [`Truth`] says what there is, how often, and how it truly turns out; with a seed it decides each execution from
//! its number alone. So any can be made again, by several at once, and millions are made without being kept.

mod draw;
mod known;
mod run;
#[cfg(test)]
mod tests;
mod truth;

use dualaudit_record::{Time, WorkflowExecutionAudit};
use rand::{RngExt, rngs::Xoshiro256PlusPlus};

pub use truth::{Adjustment, Context, Drift, Made, Step, Storms, Truth, Version, Workflow};

use draw::{Shares, generator, normal};

const DAY: i64 = 86_400_000_000;

/// So many executions of a fleet, in the order they end in.
#[derive(Clone, Debug)]
pub struct Fleet {
    truth: Truth,
    seed: u64,
    size: u64,
    days: Vec<Day>,
    workflows: Shares,
    versions: Vec<Shares>,
    namespaces: Shares,
    kinds: Shares,
    /// How much likelier or less likely success is, in log odds, by workflow and incident type,
    suited: Vec<Vec<f64>>,
    /// and by workflow and namespace.
    local: Vec<Vec<f64>>,
}

/// What there is of each on a day.
#[derive(Clone, Debug)]
struct Day {
    /// The number of its first execution.
    first: u64,
    incidents: Shares,
    /// What has the executions of each incident type in common on this day, in log odds.
    together: Vec<f64>,
}

/// What an execution is of: places in the lists of a [`Truth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the lists")]
pub struct Of {
    pub workflow: usize,
    /// Among those of the workflow.
    pub version: usize,
    pub namespace: usize,
    pub incident_type: usize,
    pub target_kind: usize,
}

impl Fleet {
    /// So many executions, spread over the days that the truth is of.
    ///
    /// # Panics
    /// When a list is empty, a share is negative, or there is no day.
    pub fn new(truth: Truth, size: u64, seed: u64) -> Self {
        let days = days(&truth, size, seed);
        let mut rng = generator(seed, u64::MAX - 1);
        let mut table = |spread: f64, columns: usize| -> Vec<Vec<f64>> {
            let row = |_| (0..columns).map(|_| spread * normal(&mut rng)).collect();
            (0..truth.workflows.len()).map(row).collect()
        };
        let contexts = |contexts: &[Context]| Shares::new(contexts.iter().map(|it| it.share));
        let versions = |it: &Workflow| Shares::new(it.versions.iter().map(|version| version.share));
        Self {
            days,
            workflows: Shares::new(truth.workflows.iter().map(|it| it.share)),
            versions: truth.workflows.iter().map(versions).collect(),
            namespaces: contexts(&truth.namespaces),
            kinds: contexts(&truth.target_kinds),
            suited: table(truth.suited, truth.incident_types.len()),
            local: table(truth.local, truth.namespaces.len()),
            truth,
            seed,
            size,
        }
    }

    /// The truth that it is of.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How many there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of them, in the order they end in.
    pub fn records(&self) -> impl Iterator<Item = WorkflowExecutionAudit> {
        (0..self.size).map(|number| self.record(number))
    }

    /// The record of one, within every limit and complete. Those beyond the size end after all others, on the last day.
    pub fn record(&self, number: u64) -> WorkflowExecutionAudit {
        let mut rng = generator(self.seed, number);
        let day = self.day(number);
        let of = Of {
            workflow: self.workflows.draw(&mut rng),
            version: 0,
            namespace: self.namespaces.draw(&mut rng),
            incident_type: self.days[day].incidents.draw(&mut rng),
            target_kind: self.kinds.draw(&mut rng),
        };
        let of = Of { version: self.versions[of.workflow].draw(&mut rng), ..of };
        run::record(self, number, day, of, &mut rng)
    }

    /// How many days have gone by before the one that an execution ends on.
    pub fn day(&self, number: u64) -> usize {
        self.days.partition_point(|day| day.first <= number).max(1) - 1
    }

    /// The numbers of those that end on a day.
    pub fn on(&self, day: usize) -> std::ops::Range<u64> {
        let first = |day: usize| self.days.get(day).map_or(self.size, |day| day.first);
        first(day)..first(day + 1)
    }

    /// When one ends.
    pub fn completed_at(&self, number: u64) -> Time {
        let day = self.day(number);
        let first = self.days[day].first;
        let next = self.days.get(day + 1).map_or(self.size.max(first + 1), |next| next.first);
        let within = i128::from(DAY) * i128::from(number - first) / i128::from(next - first);
        let begins = i128::try_from(day).expect("some years") * i128::from(DAY);
        let micros = i64::try_from(begins + within).expect("some years");
        self.truth.began.saturating_add_micros(micros)
    }

    /// How likely success truly is for an execution that nothing is adjusted in, on an ordinary day, so many days
    /// after the first: what storms do on some days is not in it.
    pub fn success(&self, of: Of, day: usize) -> f64 {
        self.chance(of, day, 0.0)
    }

    fn chance(&self, of: Of, day: usize, together: f64) -> f64 {
        let truth = &self.truth;
        let workflow = &truth.workflows[of.workflow];
        let ease = truth.ease(of)
            + self.suited[of.workflow][of.incident_type]
            + self.local[of.workflow][of.namespace]
            + together;
        let drifts: f64 = workflow.drifts.iter().map(|drift| drift.success * drift.part(day)).sum();
        let chance = eased(workflow.success, ease) + workflow.versions[of.version].success + drifts;
        chance.clamp(0.001, 0.999)
    }

    /// What an execution has in common with those of its incident type on that day.
    fn together(&self, day: usize, incident_type: usize) -> f64 {
        self.days[day].together[incident_type]
    }
}

/// A chance whose odds are `e^ease` times as high.
fn eased(chance: f64, ease: f64) -> f64 {
    let odds = chance / (1.0 - chance) * ease.exp();
    if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
}

/// How the executions spread over days and incident types: evenly, but for storms.
fn days(truth: &Truth, size: u64, seed: u64) -> Vec<Day> {
    let mut rng = generator(seed, u64::MAX);
    let mut busy = 0.0;
    let drawn: Vec<(f64, Vec<f64>, Vec<f64>)> = (0..truth.days)
        .map(|_| {
            let began = busy;
            let (shares, together): (Vec<f64>, Vec<f64>) =
                truth.incident_types.iter().map(|it| weather(truth, it.share, &mut rng)).unzip();
            busy += shares.iter().sum::<f64>();
            (began, shares, together)
        })
        .collect();
    let number = |began: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the size")]
        let number = (began / busy * size as f64).round() as u64;
        number
    };
    let day =
        |(began, shares, together)| Day { first: number(began), incidents: Shares::new(shares), together };
    drawn.into_iter().map(day).collect()
}

/// How many incidents of a type there are on a day, and what they have in common.
fn weather(truth: &Truth, share: f64, rng: &mut Xoshiro256PlusPlus) -> (f64, f64) {
    match &truth.storms {
        Some(storms) if rng.random_bool(storms.likelihood) => {
            (share * storms.times, storms.spread * normal(rng))
        }
        _ => (share, 0.0),
    }
}
