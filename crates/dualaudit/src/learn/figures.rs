//! The figures that answers are made of: each with the number of executions behind it, and an interval.

use dualaudit_record::{
    execution::{Outcome, Status},
    statistics::{Counts, Ended, RunsCell, Sketch, Timed},
};
use serde::{Deserialize, Serialize};

use super::inference::{
    proportion::{self, Confidence, Sample},
    quantile_shift::{self, Bin, Bins},
};

/// What every interval states.
pub(super) const CONFIDENCE: Confidence = Confidence::NINETY_FIVE;

/// A share of executions, with Wilson's 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// 0..1; null of none.
    pub rate: Option<f64>,
    /// The lower end of its interval.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
    /// It is made of fewer executions than the minimum.
    pub insufficient_data: bool,
}

impl Rate {
    /// So many of so many.
    pub fn new(count: u64, of: u64, minimum: u64) -> Self {
        let sample = Sample { successes: count, failures: of.saturating_sub(count) };
        let interval = proportion::wilson(sample, CONFIDENCE);
        Self {
            count,
            of,
            rate: sample.rate(),
            lower: interval.lower,
            upper: interval.upper,
            insufficient_data: of < minimum,
        }
    }
}

/// A number, and the ends of its 95 % interval; null where that is open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "the number and the ends")]
pub struct Estimate {
    pub estimate: f64,
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

impl From<proportion::Difference> for Estimate {
    fn from(it: proportion::Difference) -> Self {
        Self { estimate: it.estimate, lower: Some(it.interval.lower), upper: Some(it.interval.upper) }
    }
}

impl From<quantile_shift::Ratio> for Estimate {
    fn from(it: quantile_shift::Ratio) -> Self {
        Self { estimate: it.estimate, lower: it.lower, upper: it.upper }
    }
}

/// A duration in nanoseconds, and the ends of its 95 % interval; null where that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "the duration and the ends")]
#[schema(as = DurationEstimate)]
pub struct Duration {
    pub estimate: u64,
    pub lower: Option<u64>,
    pub upper: Option<u64>,
}

impl From<quantile_shift::Quantile> for Duration {
    fn from(it: quantile_shift::Quantile) -> Self {
        Self {
            estimate: nanoseconds(it.estimate),
            lower: it.lower.map(nanoseconds),
            upper: it.upper.map(nanoseconds),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "durations are below 2^53 ns")]
fn nanoseconds(micros: f64) -> u64 {
    (micros * 1000.0).round() as u64
}

/// How long executions, or something of them, took; to within 1 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Durations {
    /// How many there are.
    pub count: u64,
    /// Their median; null of none.
    pub p50: Option<Duration>,
    /// What 9 in 10 do not exceed.
    pub p90: Option<Duration>,
    /// What 99 in 100 do not exceed.
    pub p99: Option<Duration>,
    /// It is made of fewer executions than the minimum.
    pub insufficient_data: bool,
}

impl Durations {
    /// Of durations in microseconds.
    pub fn of(sketch: &Sketch, minimum: u64) -> Self {
        let bins = bins(sketch);
        let at = |share| quantile_shift::quantile(&bins, share, CONFIDENCE).map(Duration::from);
        let count = bins.total();
        Self { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), insufficient_data: count < minimum }
    }
}

/// What is in a sketch, for inference.
pub(super) fn bins(sketch: &Sketch) -> Bins {
    Bins::of(sketch.bins().map(|(value, count)| Bin { value, count: whole(count) }))
}

/// All durations of a cell, whatever the outcome.
pub(super) fn all_durations(cell: &RunsCell) -> Sketch {
    cell.durations.values().fold(Sketch::default(), |mut all, timed: &Timed| {
        all.merge(&timed.sketch, 1);
        all
    })
}

/// Executions that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InFlight {
    /// How many.
    pub executions: u64,
    /// Of these, how many run for longer than 99 in 100 of their workflow's successful executions took in the period;
    /// where there are fewer of these than the minimum, for longer than a day.
    pub overdue: u64,
    /// There are more of them, which were not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// How executions ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tally {
    /// Those that are part of rates: all but the cancelled and deleted.
    pub executions: u64,
    /// Of these, successes.
    pub success: u64,
    /// Those whose work stands in part.
    pub partial: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those, of any outcome, that ran out of time.
    pub timed_out: u64,
    /// Cancelled; in no rate.
    pub cancelled: u64,
    /// Deleted before they had finished; in no rate.
    pub deleted: u64,
}

impl Tally {
    /// Counts by how executions ended.
    pub fn of(ended: &Counts<Ended>) -> Self {
        let mut tally = Self::default();
        for (ended, &count) in ended {
            tally.add(*ended, whole(count));
        }
        tally
    }

    fn add(&mut self, ended: Ended, count: u64) {
        match ended.status {
            Status::Cancelled => self.cancelled += count,
            Status::Deleted => self.deleted += count,
            Status::Completed | Status::Failed | Status::TimedOut => {
                self.executions += count;
                *match ended.outcome {
                    Outcome::Success => &mut self.success,
                    Outcome::Partial => &mut self.partial,
                    Outcome::Failed => &mut self.failed,
                } += count;
                if ended.status == Status::TimedOut {
                    self.timed_out += count;
                }
            }
        }
    }

    /// Both together.
    #[must_use]
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            executions: self.executions + other.executions,
            success: self.success + other.success,
            partial: self.partial + other.partial,
            failed: self.failed + other.failed,
            timed_out: self.timed_out + other.timed_out,
            cancelled: self.cancelled + other.cancelled,
            deleted: self.deleted + other.deleted,
        }
    }

    /// Success, and all else that counts.
    pub fn sample(self) -> Sample {
        Sample { successes: self.success, failures: self.executions - self.success }
    }
}

/// Counts by outcome, of executions that count, as a sample of success.
pub(super) fn sample(counts: &Counts<Outcome>) -> Sample {
    let of = |outcome| counts.get(&outcome).copied().map_or(0, whole);
    Sample { successes: of(Outcome::Success), failures: of(Outcome::Partial) + of(Outcome::Failed) }
}

/// For figures that are left out where they are nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A sum that counts something. None is negative, but in what is to be taken back.
pub(super) fn whole(sum: i64) -> u64 {
    u64::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_every_figure_is_a_number_or_null() {
        let rate = Rate::new(0, 0, 5);
        assert_eq!(serde_json::to_value(rate).unwrap()["rate"], serde_json::Value::Null);
        assert_eq!((rate.lower, rate.upper, rate.insufficient_data), (0.0, 1.0, true));
        let durations = Durations::of(&Sketch::default(), 1);
        assert_eq!((durations.count, durations.p50, durations.insufficient_data), (0, None, true));
    }

    #[test]
    fn who_was_cancelled_or_deleted_is_in_no_rate() {
        let ended = |outcome, status| (Ended { outcome, status }, 2);
        let tally = Tally::of(&Counts::from([
            ended(Outcome::Success, Status::Completed),
            ended(Outcome::Partial, Status::TimedOut),
            ended(Outcome::Failed, Status::Cancelled),
            ended(Outcome::Failed, Status::Deleted),
        ]));
        let expected = Tally {
            executions: 4,
            success: 2,
            partial: 2,
            timed_out: 2,
            cancelled: 2,
            deleted: 2,
            failed: 0,
        };
        assert_eq!(tally, expected);
        assert_eq!(tally.sample(), Sample { successes: 2, failures: 2 });
    }
}
