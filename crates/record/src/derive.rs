//! Values that are derived where the producer gives none.
//!
//! Computed in integers and rounded once, so that the same record gives the same value everywhere.

use crate::{
    WorkflowExecutionAudit,
    execution::{Outcome, Status, StepExecutionAudit, StepStatus},
};

/// The parts of a record that outcome and score are derived from.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "see `WorkflowExecutionAudit`")]
pub struct Work<'a> {
    pub status: Status,
    pub total_steps: u32,
    pub steps_completed: u32,
    pub steps_failed: u32,
    pub rollbacks_performed: u32,
    pub steps: &'a [StepExecutionAudit],
}

impl<'a> From<&'a WorkflowExecutionAudit> for Work<'a> {
    fn from(record: &'a WorkflowExecutionAudit) -> Self {
        Self {
            status: record.status,
            total_steps: record.total_steps,
            steps_completed: record.steps_completed,
            steps_failed: record.steps_failed,
            rollbacks_performed: record.rollbacks_performed,
            steps: &record.step_executions,
        }
    }
}

impl Work<'_> {
    fn steps_that_are(&self, status: StepStatus) -> usize {
        self.steps.iter().filter(|step| step.status == status).count()
    }

    /// It ran to its end and nothing in it failed; a step that ran out of time failed.
    fn completed_cleanly(&self) -> bool {
        let failed = self.steps_that_are(StepStatus::Failed) + self.steps_that_are(StepStatus::TimedOut);
        self.status == Status::Completed && self.steps_failed == 0 && failed == 0
    }

    /// Some step completed and was not rolled back. The steps say so themselves; the counts are
    /// asked only where no steps are given.
    fn some_work_stands(&self) -> bool {
        if self.steps.is_empty() {
            self.steps_completed > self.rollbacks_performed
        } else {
            self.steps_that_are(StepStatus::Completed) > 0
        }
    }

    /// The steps' own word or the count, whichever is more: engines that don't mark the steps still
    /// count the rollbacks, and the other way round.
    fn rolled_back(&self) -> u64 {
        u64::from(self.rollbacks_performed).max(self.steps_that_are(StepStatus::RolledBack) as u64)
    }
}

/// `success` when it completed with no failed step; `partial` when at least one step's work stands
/// and it did not complete cleanly; else `failed`.
pub fn outcome(work: &Work<'_>) -> Outcome {
    if work.completed_cleanly() {
        Outcome::Success
    } else if work.some_work_stands() {
        Outcome::Partial
    } else {
        Outcome::Failed
    }
}

const MILLION: u64 = 1_000_000;
/// In millionths.
const PER_RETRY: u64 = 50_000;
const MOST_FOR_RETRIES: u64 = 200_000;
const PER_ROLLBACK: u64 = 100_000;
const MOST_FOR_ROLLBACKS: u64 = 300_000;

/// completed ÷ (total − skipped), minus 0.05 a retry (0.20 at most) and 0.10 a rolled-back step
/// (0.30 at most), kept within 0.5..1 for a success, 0..0.5 for a failure and 0..1 otherwise. No
/// steps, or all skipped: 1 for a success, 0 otherwise.
///
/// A whole number of millionths, rounded half up, so that sums over scores can be exact.
pub fn score(work: &Work<'_>, outcome: Outcome) -> f64 {
    let skipped = work.steps_that_are(StepStatus::Skipped) as u64;
    let meant = u64::from(work.total_steps).saturating_sub(skipped);
    if meant == 0 {
        return if outcome == Outcome::Success { 1.0 } else { 0.0 };
    }
    let retries: u64 = work.steps.iter().map(|step| u64::from(step.retries_attempted)).sum();
    let penalty = (retries.saturating_mul(PER_RETRY).min(MOST_FOR_RETRIES))
        + (work.rolled_back().saturating_mul(PER_ROLLBACK).min(MOST_FOR_ROLLBACKS));
    // In millionths times `meant`: at most 2^31 · 10^6, far from overflow.
    let earned = u64::from(work.steps_completed).min(meant) * MILLION;
    let left = earned.saturating_sub(penalty * meant);
    let millionths = (left + meant / 2) / meant;
    let (least, most) = match outcome {
        Outcome::Success => (MILLION / 2, MILLION),
        Outcome::Failed => (0, MILLION / 2),
        Outcome::Partial => (0, MILLION),
    };
    millionths.clamp(least, most) as f64 / MILLION as f64
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Status, StepExecutionAudit, StepStatus, Work, outcome, score};
    use Outcome::{Failed, Partial, Success};

    /// `c` completed, `f` failed, `s` skipped, `b` rolled back, `t` timed out, `p` pending,
    /// `x` cancelled; digits are retries of the step before.
    fn steps(text: &str) -> Vec<StepExecutionAudit> {
        let mut steps: Vec<StepExecutionAudit> = Vec::new();
        for char in text.chars() {
            let status = match char {
                'c' => StepStatus::Completed,
                'f' => StepStatus::Failed,
                's' => StepStatus::Skipped,
                'b' => StepStatus::RolledBack,
                't' => StepStatus::TimedOut,
                'p' => StepStatus::Pending,
                'x' => StepStatus::Cancelled,
                retries => {
                    steps.last_mut().unwrap().retries_attempted = retries.to_digit(10).unwrap();
                    continue;
                }
            };
            steps.push(StepExecutionAudit {
                step_number: 1,
                action: String::new(),
                duration: 0,
                status,
                retries_attempted: 0,
                error_message: String::new(),
                name: None,
                started_at: None,
            });
        }
        steps
    }

    #[test]
    fn outcome_and_score_follow_the_rules() {
        // status, (total, completed, failed, rollbacks), steps => outcome, score
        let table = [
            (Status::Completed, (4, 4, 0, 0), "cccc", Success, 1.0),
            (Status::Completed, (4, 4, 0, 0), "", Success, 1.0),
            (Status::Completed, (0, 0, 0, 0), "", Success, 1.0),
            (Status::Completed, (3, 0, 0, 0), "sss", Success, 1.0),
            (Status::Completed, (4, 3, 0, 0), "cccs", Success, 1.0),
            // Retries: 0.05 each, 0.20 at most.
            (Status::Completed, (2, 2, 0, 0), "cc1", Success, 0.95),
            (Status::Completed, (2, 2, 0, 0), "c2c1", Success, 0.85),
            (Status::Completed, (2, 2, 0, 0), "c9c9", Success, 0.8),
            // Rolled-back steps: 0.10 each, 0.30 at most, counted or marked.
            (Status::Completed, (4, 4, 0, 1), "cccc", Success, 0.9),
            (Status::Completed, (4, 3, 0, 0), "cccb", Success, 0.65),
            (Status::Completed, (4, 4, 0, 9), "", Success, 0.7),
            (Status::Completed, (4, 4, 0, 3), "c9ccc", Success, 0.5),
            // A success is worth a half at least.
            (Status::Completed, (4, 0, 0, 0), "", Success, 0.5),
            // Completed, though not cleanly.
            (Status::Completed, (3, 2, 1, 0), "ccf", Partial, 0.666667),
            (Status::Completed, (3, 2, 0, 0), "cct", Partial, 0.666667),
            (Status::Completed, (3, 2, 1, 0), "", Partial, 0.666667),
            (Status::Completed, (1, 0, 1, 0), "f", Failed, 0.0),
            // Not completed.
            (Status::Failed, (3, 1, 1, 0), "cfp", Partial, 0.333333),
            (Status::Failed, (3, 1, 1, 1), "bfp", Failed, 0.233333),
            (Status::Failed, (3, 2, 1, 1), "", Partial, 0.566667),
            (Status::Failed, (3, 2, 1, 2), "", Failed, 0.466667),
            (Status::Failed, (3, 1, 1, 2), "", Failed, 0.133333),
            (Status::Failed, (0, 0, 0, 0), "", Failed, 0.0),
            (Status::Failed, (2, 0, 0, 0), "ss", Failed, 0.0),
            (Status::Cancelled, (2, 2, 0, 0), "cc", Partial, 1.0),
            (Status::Cancelled, (2, 0, 0, 0), "xp", Failed, 0.0),
            (Status::TimedOut, (4, 3, 0, 0), "ccct", Partial, 0.75),
            (Status::Deleted, (4, 1, 0, 0), "cp", Partial, 0.25),
            // The steps are believed before the counts.
            (Status::Failed, (3, 2, 1, 0), "bbf", Failed, 0.466667),
            // A failure is worth a half at most.
            (Status::Failed, (4, 4, 0, 0), "bppp", Failed, 0.5),
            // Never below 0, and counts that contradict the steps don't lift it above 1.
            (Status::Failed, (9, 1, 8, 9), "c9", Partial, 0.0),
            (Status::Cancelled, (4, 4, 0, 0), "css", Partial, 1.0),
        ];
        for (status, (total_steps, steps_completed, steps_failed, rollbacks_performed), text, by, worth) in
            table
        {
            let steps = steps(text);
            let work = Work {
                status,
                total_steps,
                steps_completed,
                steps_failed,
                rollbacks_performed,
                steps: &steps,
            };
            assert_eq!(outcome(&work), by, "{work:?}");
            assert_eq!(score(&work, by), worth, "{work:?}");
        }
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        let most = crate::submitted::MAX_COUNT;
        let steps = vec![StepExecutionAudit { retries_attempted: most, ..steps("c")[0].clone() }; 3];
        let work = Work {
            status: Status::Failed,
            total_steps: most,
            steps_completed: most,
            steps_failed: 0,
            rollbacks_performed: most,
            steps: &steps,
        };
        assert_eq!(score(&work, Partial), 0.5);
        assert_eq!(score(&Work { steps_completed: 1, ..work }, Partial), 0.0);
    }
}
