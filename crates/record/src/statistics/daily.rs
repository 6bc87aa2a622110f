//! What executions come to by day, in plain numbers that SQL can add up.

use std::collections::BTreeMap;

use super::{Contribution, Run, StepRun, Stratum, cell::total};
use crate::{
    day::Day,
    entry::Verdict,
    execution::{Outcome, Status, StepStatus},
};

/// No number of a row is greater, and none less than its negative, so that a month of them fits in 64 bits.
pub const MOST: i64 = 1 << 57;

/// Numbers that are summed, each under the name of its column.
macro_rules! numbers {
    ($(#[$about:meta])* $name:ident: $($(#[$doc:meta])* $field:ident,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$doc])* pub $field: i128,)+
        }

        impl $name {
            /// Their names, in the order of [`Self::values`].
            pub const NAMES: &[&str] = &[$(stringify!($field)),+];

            /// All of them, none beyond [`MOST`].
            pub fn values(&self) -> Vec<i64> {
                [$(self.$field),+].map(at_most).to_vec()
            }

            /// Adds all of another, `times` over.
            pub fn merge(&mut self, other: &Self, times: i64) {
                $(self.$field += other.$field * i128::from(times);)+
            }
        }
    };
}

numbers! {
    /// Executions that ended on a day, and have all in common that they are told apart by.
    ///
    /// Those that were cancelled, or deleted before they had finished, are counted as such, in what they waited, and in
    /// what was said of them, and nowhere else.
    WorkflowDay:
    /// All.
    executions,
    /// Those that succeeded, of those that count.
    success,
    /// Those that succeeded in part.
    partial,
    /// Those that failed.
    failed,
    /// Those that ran out of time, however they turned out.
    timed_out,
    /// Those that were cancelled.
    cancelled,
    /// Those that were deleted before they had finished.
    deleted,
    /// Those that retried any step.
    retried,
    /// Retries of steps.
    retries,
    /// Those that rolled any step back.
    rolled_back,
    /// Steps rolled back.
    rollbacks,
    /// Scores.
    score_count,
    /// Their sum, in millionths.
    score_sum,
    /// Microseconds from start to end.
    duration_sum,
    /// The same of those that succeeded.
    successful_duration_sum,
    /// Those of which it is known how long they waited.
    queued_count,
    /// How long, from creation to start, in microseconds.
    queued_sum,
    /// Those that were found effective by who looked at them last.
    effective,
    /// Those that were found ineffective.
    ineffective,
    /// Those that were found harmful.
    harmful,
}

numbers! {
    /// A step in the executions of a version that ended on a day, and count.
    StepDay:
    /// Executions that came to it.
    reached,
    /// Those in which it completed.
    completed,
    /// Those in which it failed.
    failed,
    /// Those in which it ran out of time.
    timed_out,
    /// Those that did not succeed, of those in which it failed or ran out of time.
    broke,
    /// Retries.
    retries,
    /// Microseconds that it took, all times together.
    duration_sum,
}

/// A step of a version of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepOf {
    /// The workflow.
    pub workflow: String,
    /// Its version.
    pub version: String,
    /// The step's number in the plan.
    pub number: u32,
    /// What it does.
    pub action: String,
}

/// What contributions come to, by day. No row in it is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daily {
    workflows: BTreeMap<(Day, Stratum), WorkflowDay>,
    steps: BTreeMap<(Day, StepOf), StepDay>,
}

impl Daily {
    /// Adds what an execution gives, `times` over.
    pub fn give(&mut self, contribution: &Contribution, times: i64) {
        let Contribution { of, hour, run: Some(run), .. } = contribution else { return };
        let day = Day::of(hour.start());
        change(&mut self.workflows, (day, of.clone()), &WorkflowDay::of(run), times, WorkflowDay::merge);
        if !run.ended().counts() {
            return;
        }
        for step in &run.steps {
            let (workflow, version) = (of.workflow.clone(), of.version.clone());
            let of = StepOf { workflow, version, number: step.number, action: step.action.clone() };
            change(&mut self.steps, (day, of), &StepDay::of(step, run.outcome), times, StepDay::merge);
        }
    }

    /// Adds all of others, `times` over.
    pub fn merge(&mut self, other: &Self, times: i64) {
        for (key, row) in &other.workflows {
            change(&mut self.workflows, key.clone(), row, times, WorkflowDay::merge);
        }
        for (key, row) in &other.steps {
            change(&mut self.steps, key.clone(), row, times, StepDay::merge);
        }
    }

    /// Executions, by day and by what they are told apart by.
    pub fn workflows(&self) -> &BTreeMap<(Day, Stratum), WorkflowDay> {
        &self.workflows
    }

    /// Steps, by day.
    pub fn steps(&self) -> &BTreeMap<(Day, StepOf), StepDay> {
        &self.steps
    }
}

impl WorkflowDay {
    /// One execution.
    fn of(run: &Run) -> Self {
        let said = |verdict: Verdict| i128::from(run.verdict == Some(verdict));
        let row = Self {
            executions: 1,
            cancelled: i128::from(run.status == Status::Cancelled),
            deleted: i128::from(run.status == Status::Deleted),
            queued_count: i128::from(run.queued.is_some()),
            queued_sum: run.queued.unwrap_or_default().into(),
            effective: said(Verdict::Effective),
            ineffective: said(Verdict::Ineffective),
            harmful: said(Verdict::Harmful),
            ..Self::default()
        };
        if !run.ended().counts() {
            return row;
        }
        let turned_out = |outcome: Outcome| i128::from(run.outcome == outcome);
        let retries = total(run.steps.iter().map(|step| step.retries));
        Self {
            success: turned_out(Outcome::Success),
            partial: turned_out(Outcome::Partial),
            failed: turned_out(Outcome::Failed),
            timed_out: i128::from(run.status == Status::TimedOut),
            retried: i128::from(retries > 0),
            retries: retries.into(),
            rolled_back: i128::from(run.rollbacks > 0),
            rollbacks: run.rollbacks.into(),
            score_count: 1,
            score_sum: run.score.into(),
            duration_sum: run.duration.into(),
            successful_duration_sum: i128::from(run.duration) * turned_out(Outcome::Success),
            ..row
        }
    }
}

impl StepDay {
    /// The step in one execution.
    fn of(step: &StepRun, outcome: Outcome) -> Self {
        let ended = |status: StepStatus| i128::from(step.status == status);
        let (failed, timed_out) = (ended(StepStatus::Failed), ended(StepStatus::TimedOut));
        Self {
            reached: step.reached.into(),
            completed: ended(StepStatus::Completed),
            failed,
            timed_out,
            broke: (failed + timed_out) * i128::from(outcome != Outcome::Success),
            retries: total([step.retries]).into(),
            duration_sum: step.duration.into(),
        }
    }
}

fn at_most(number: i128) -> i64 {
    i64::try_from(number.clamp((-MOST).into(), MOST.into())).expect("it is within bounds")
}

/// Adds to a row, and leaves it out if nothing is left of it.
fn change<K: Ord, R: Copy + Default + PartialEq>(
    rows: &mut BTreeMap<K, R>,
    key: K,
    more: &R,
    times: i64,
    merge: fn(&mut R, &R, i64),
) {
    use std::collections::btree_map::Entry;
    match rows.entry(key) {
        Entry::Occupied(mut place) => {
            merge(place.get_mut(), more, times);
            if *place.get() == R::default() {
                place.remove();
            }
        }
        Entry::Vacant(place) => {
            let mut row = R::default();
            merge(&mut row, more, times);
            if row != R::default() {
                place.insert(row);
            }
        }
    }
}
