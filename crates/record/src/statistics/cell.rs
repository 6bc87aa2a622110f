//! What is summed for each key of a view.

use serde::{Deserialize, Serialize};

use super::{
    Hour, Sketch, Sorted,
    contribution::{Run, StepRun},
};
use crate::{
    entry::Verdict,
    execution::{AdjustmentType, Outcome, ScoreSource, Status, StepStatus},
    submitted::MAX_COUNT,
};

/// Retries from here on are counted together.
const MANY_RETRIES: u8 = 6;

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// By its work.
    pub outcome: Outcome,
    /// By its end.
    pub status: Status,
}

impl Ended {
    /// Whether it says something of what works: whoever was cancelled or deleted does not, and is no part of any rate.
    pub fn counts(self) -> bool {
        !matches!(self.status, Status::Cancelled | Status::Deleted)
    }
}

impl Run {
    /// How it ended.
    pub fn ended(&self) -> Ended {
        Ended { outcome: self.outcome, status: self.status }
    }
}

/// How much of a cell is needed: the less, the faster it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// How many executions ended how, and nothing else; of [`View::Steps`](super::View::Steps) and
    /// [`View::Texts`](super::View::Texts) as much as [`Self::Counts`].
    Ended,
    /// All but how durations are spread: no [`Timed`] and no [`Sketch`].
    Counts,
    /// How the durations of what succeeded are spread, and nothing else; of [`View::Texts`](super::View::Texts) all of it.
    Successful,
    /// Of executions, both: how many ended how, and how the durations of what succeeded are spread; of other views all of it.
    EndedAndSuccessful,
    /// All of it.
    #[default]
    All,
}

/// Counts by something; those of which there are none are left out.
pub type Counts<K> = Sorted<K, i64>;

/// A sum of what executions gave. All numbers may be negative in what is to be taken back, and none is in a whole.
///
/// No sum of 2^32 executions overflows: one gives at most [`MAX_COUNT`] to any number, but to sums of durations, which
/// have 128 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see what they hold")]
pub enum Cell {
    Runs(RunsCell),
    Step(StepCell),
    Stratum(Box<StratumCell>),
    Texts(TextsCell),
}

/// Executions of a version of a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunsCell {
    /// How many ended how.
    pub ended: Counts<Ended>,
    /// Effectiveness of those that count, by where the score comes from.
    pub scores: Sorted<ScoreSource, Scores>,
    /// Steps rolled back, by those that count.
    pub rollbacks: i64,
    /// How many of those that count rolled any back.
    pub rolled_back: i64,
    /// Retries of steps, by those that count.
    pub retries: i64,
    /// How many of those that count retried any.
    pub retried: i64,
    /// How all those that somebody judged turned out.
    pub verdicts: Counts<(Verdict, Outcome)>,
    /// From start to end, of those that count.
    pub durations: Sorted<Outcome, Timed>,
    /// From creation to start, of all of which it is known.
    pub queued: Timed,
}

/// Scores in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scores {
    /// How many.
    pub count: i64,
    /// Their sum.
    pub sum: i64,
    /// The sum of their squares, in millionths, each rounded towards zero.
    pub squares: i64,
}

/// Durations: how they are spread, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// How they are spread.
    pub sketch: Sketch,
    /// Microseconds.
    pub sum: i128,
}

/// A step of a version of a workflow, in the executions that count. Each execution counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepCell {
    /// How the executions that reached it turned out.
    pub reached: Counts<Outcome>,
    /// How it ended, after how many retries (of 6 and more: 6).
    pub ended: Counts<(StepStatus, u8)>,
    /// Of the executions that it failed in, or ran out of time in, how many succeeded not.
    pub broke: i64,
    /// All retries.
    pub retries: i64,
    /// All microseconds that it took.
    pub time: i128,
    /// How long it took where it completed.
    pub completed: Sketch,
}

/// Executions that have all in common that they are told apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StratumCell {
    /// How many ended how.
    pub ended: Counts<Ended>,
    /// How long the successful took.
    pub successful: Sketch,
    /// Each step, by number and action.
    pub steps: Sorted<(u32, String), StepCell>,
    /// How the executions that count turned out whose step was adjusted in this way.
    pub adjusted: Sorted<(u32, String, AdjustmentType), Counts<Outcome>>,
}

/// How many executions that ended on each day said it, by the day's first hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextsCell {
    /// How many.
    pub days: Counts<Hour>,
}

impl Cell {
    /// Adds all of another of the same view, `times` over.
    ///
    /// # Panics
    /// When it is of another view.
    pub fn merge(&mut self, other: &Self, times: i64) {
        match (self, other) {
            (Self::Runs(cell), Self::Runs(other)) => cell.merge(other, times),
            (Self::Step(cell), Self::Step(other)) => cell.merge(other, times),
            (Self::Stratum(cell), Self::Stratum(other)) => cell.merge(other, times),
            (Self::Texts(cell), Self::Texts(other)) => cell.merge(other, times),
            _ => unreachable!("cells of different views have different keys"),
        }
    }

    /// Leaves of it what is in a part.
    pub fn keep(&mut self, part: Part) {
        match part {
            Part::All => {}
            Part::Successful => self.keep_successful(),
            Part::EndedAndSuccessful => {
                if let Self::Runs(cell) = self {
                    let ended = std::mem::take(&mut cell.ended);
                    cell.keep_successful();
                    cell.ended = ended;
                }
            }
            Part::Counts => self.drop_durations(),
            Part::Ended => {
                self.drop_durations();
                match self {
                    Self::Runs(cell) => {
                        *cell = RunsCell { ended: std::mem::take(&mut cell.ended), ..RunsCell::default() };
                    }
                    Self::Stratum(cell) => {
                        cell.steps.clear();
                        cell.adjusted.clear();
                    }
                    Self::Step(_) | Self::Texts(_) => {}
                }
            }
        }
    }

    fn drop_durations(&mut self) {
        match self {
            Self::Runs(cell) => {
                cell.durations.clear();
                cell.queued = Timed::default();
            }
            Self::Step(cell) => cell.completed = Sketch::default(),
            Self::Stratum(cell) => {
                cell.successful = Sketch::default();
                cell.steps.change_all(|_, step| step.completed = Sketch::default());
            }
            Self::Texts(_) => {}
        }
    }

    fn keep_successful(&mut self) {
        match self {
            Self::Runs(cell) => cell.keep_successful(),
            Self::Step(cell) => *cell = cell.take_spread(),
            Self::Stratum(cell) => {
                cell.steps.change_all(|_, step| *step = step.take_spread());
                cell.ended.clear();
                cell.adjusted.clear();
            }
            Self::Texts(_) => {}
        }
    }

    /// Whether nothing is left of it.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Runs(cell) => *cell == RunsCell::default(),
            Self::Step(cell) => *cell == StepCell::default(),
            Self::Stratum(cell) => **cell == StratumCell::default(),
            Self::Texts(cell) => *cell == TextsCell::default(),
        }
    }
}

impl RunsCell {
    fn keep_successful(&mut self) {
        let mut durations = std::mem::take(&mut self.durations);
        durations.change_all(|outcome, timed| {
            if *outcome != Outcome::Success {
                *timed = Timed::default();
            }
        });
        *self = Self { durations, ..Self::default() };
    }

    /// Adds one execution, `times` over.
    pub fn give(&mut self, run: &Run, times: i64) {
        self.ended.add(run.ended(), times);
        if let Some(queued) = run.queued {
            self.queued.add(queued, times);
        }
        if let Some(verdict) = run.verdict {
            self.verdicts.add((verdict, run.outcome), times);
        }
        if !run.ended().counts() {
            return;
        }
        let retries = total(run.steps.iter().map(|step| step.retries));
        self.scores.change(run.score_source, |scores| scores.merge(&Scores::of(run.score), times));
        self.rollbacks += i64::from(run.rollbacks) * times;
        self.rolled_back += i64::from(run.rollbacks > 0) * times;
        self.retries += retries * times;
        self.retried += i64::from(retries > 0) * times;
        self.durations.change(run.outcome, |timed| timed.add(run.duration, times));
    }

    /// Adds all of another, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        let Self { ended, scores, rollbacks, rolled_back, retries, retried, verdicts, durations, queued } =
            other;
        add(&mut self.ended, ended, times);
        self.scores.merge(scores, |mine, theirs| mine.merge(theirs, times));
        self.rollbacks += rollbacks * times;
        self.rolled_back += rolled_back * times;
        self.retries += retries * times;
        self.retried += retried * times;
        self.durations.merge(durations, |mine, theirs| mine.merge(theirs, times));
        self.queued.merge(queued, times);
        add(&mut self.verdicts, verdicts, times);
    }
}

impl Scores {
    fn of(score: u32) -> Self {
        let score = i64::from(score);
        Self { count: 1, sum: score, squares: score * score / 1_000_000 }
    }

    /// Adds all of others, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        self.count += other.count * times;
        self.sum += other.sum * times;
        self.squares += other.squares * times;
    }
}

impl Timed {
    fn add(&mut self, micros: u64, times: i64) {
        self.sketch.add(micros, times);
        self.sum += i128::from(micros) * i128::from(times);
    }

    /// Adds all of others, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        self.sketch.merge(&other.sketch, times);
        self.sum += other.sum * i128::from(times);
    }
}

impl StepCell {
    /// Takes how its durations are spread out of it.
    pub(super) fn take_spread(&mut self) -> Self {
        Self { completed: std::mem::take(&mut self.completed), ..Self::default() }
    }

    /// Adds one execution that counts, `times` over.
    pub fn give(&mut self, step: &StepRun, outcome: Outcome, times: i64) {
        let retries = u8::try_from(step.retries).unwrap_or(MANY_RETRIES).min(MANY_RETRIES);
        let failed = matches!(step.status, StepStatus::Failed | StepStatus::TimedOut);
        if step.reached {
            self.reached.add(outcome, times);
        }
        self.ended.add((step.status, retries), times);
        self.broke += i64::from(failed && outcome != Outcome::Success) * times;
        self.retries += total([step.retries]) * times;
        self.time += i128::from(step.duration) * i128::from(times);
        if step.status == StepStatus::Completed {
            self.completed.add(step.duration, times);
        }
    }

    /// Adds all of another, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        let Self { reached, ended, broke, retries, time, completed } = other;
        add(&mut self.reached, reached, times);
        add(&mut self.ended, ended, times);
        self.broke += broke * times;
        self.retries += retries * times;
        self.time += time * i128::from(times);
        self.completed.merge(completed, times);
    }
}

impl StratumCell {
    /// Adds one execution, `times` over.
    pub fn give(&mut self, run: &Run, times: i64) {
        self.ended.add(run.ended(), times);
        if !run.ended().counts() {
            return;
        }
        if run.outcome == Outcome::Success {
            self.successful.add(run.duration, times);
        }
        for step in &run.steps {
            let place = (step.number, step.action.clone());
            self.steps.change(place, |cell| cell.give(step, run.outcome, times));
        }
        for it in &run.adjustments {
            let place = (it.number, it.action.clone(), it.kind);
            self.adjusted.change(place, |counts| counts.add(run.outcome, times));
        }
    }

    /// Adds all of another, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        let Self { ended, successful, steps, adjusted } = other;
        add(&mut self.ended, ended, times);
        self.successful.merge(successful, times);
        self.steps.merge(steps, |mine, theirs| mine.merge(theirs, times));
        self.adjusted.merge(adjusted, |mine, theirs| add(mine, theirs, times));
    }
}

impl TextsCell {
    /// Adds one execution, `times` over, that ended on the day that begins with this hour.
    pub fn give(&mut self, day: Hour, times: i64) {
        self.days.add(day, times);
    }

    /// Adds all of another, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        add(&mut self.days, &other.days, times);
    }
}

/// What the retries of one execution, or of a step in it, come to: no more than any other count, of which a sum over
/// 2^32 executions fits in 64 bits.
pub(super) fn total(retries: impl IntoIterator<Item = u64>) -> i64 {
    let sum = retries.into_iter().fold(0, u64::saturating_add);
    sum.min(MAX_COUNT.into()).cast_signed()
}

fn add<K: Ord + Clone>(counts: &mut Counts<K>, more: &Counts<K>, times: i64) {
    counts.merge(more, |mine, theirs| *mine += theirs * times);
}
