//! How an execution goes: which steps fail, what is retried, adjusted, paused and rolled back.

use std::time::Duration;

use dualaudit_record::execution::{AdjustmentType, Outcome};
use rand::{RngExt, rngs::StdRng};

use super::{
    catalogue::{Step, Workflow},
    plan::{Change, Moment, pick},
};
use crate::crd::{Phase, StepPhase, WorkflowExecutionSpec};

/// What is to become of an execution. Steps are indexes into the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Completes,
    /// A step that the workflow can do without fails.
    Limps(usize),
    Fails(usize),
    RollsBack(usize),
    TimesOut(usize),
    IsCancelled(usize),
}

/// Everything that happens to an execution, in order; the last moment ends it.
pub(super) fn moments(
    workflow: &Workflow,
    spec: &WorkflowExecutionSpec,
    fail_ratio: f64,
    rng: &mut StdRng,
) -> Vec<Moment> {
    let fate = fate(workflow, fail_ratio, rng);
    let mut script = Script { target: target_name(spec), rng, at: Duration::ZERO, moments: Vec::new() };
    script.wait(0.2, 6.0);
    script.add(Change::Began);
    script.phase(Phase::Planning, "choosing parameters for the target");
    script.wait(0.5, 3.0);
    script.phase(Phase::Validating, "checking permissions and preconditions");
    script.wait(0.5, 2.0);
    script.phase(Phase::Executing, format!("{} steps to run", workflow.steps.len()));

    let mut retries = 0;
    for (index, step) in workflow.steps.iter().enumerate() {
        let number = index as i64 + 1;
        script.maybe_pause(number);
        script.add(Change::StepBegan(number));
        retries += script.maybe_retry(number, step);
        match fate {
            Fate::Limps(at) if at == index => {
                let error = script.failure(step);
                script.run(step, 1.0);
                script.add(Change::StepEnded(number, StepPhase::Failed, Some(error)));
            }
            Fate::Fails(at) | Fate::RollsBack(at) | Fate::TimesOut(at) | Fate::IsCancelled(at)
                if at == index =>
            {
                script.break_off(fate, number, step);
                return script.moments;
            }
            _ => {
                script.run(step, 1.0);
                script.add(Change::StepEnded(number, StepPhase::Completed, None));
            }
        }
    }
    script.phase(Phase::Monitoring, "watching the target");
    script.wait(5.0, 20.0);
    script.complete(fate, workflow.steps.len(), retries);
    script.moments
}

fn fate(workflow: &Workflow, fail_ratio: f64, rng: &mut StdRng) -> Fate {
    let critical: Vec<usize> = (0..workflow.steps.len()).filter(|&at| workflow.steps[at].critical).collect();
    let optional: Vec<usize> = (0..workflow.steps.len()).filter(|&at| !workflow.steps[at].critical).collect();
    if rng.random_bool(fail_ratio) {
        let at = critical[rng.random_range(0..critical.len())];
        return match rng.random_range(0..20) {
            0..9 => Fate::Fails(at),
            9..15 => Fate::RollsBack(at),
            15..18 => Fate::TimesOut(at),
            _ => Fate::IsCancelled(at),
        };
    }
    if !optional.is_empty() && rng.random_bool(fail_ratio / 2.0) {
        return Fate::Limps(optional[rng.random_range(0..optional.len())]);
    }
    Fate::Completes
}

fn target_name(spec: &WorkflowExecutionSpec) -> String {
    spec.target.as_ref().and_then(|target| target.name.clone()).unwrap_or_default()
}

/// Moments in the making.
struct Script<'a> {
    /// Stands in for the placeholders of failures.
    target: String,
    rng: &'a mut StdRng,
    at: Duration,
    moments: Vec<Moment>,
}

impl Script<'_> {
    fn wait(&mut self, from: f64, to: f64) {
        self.at += Duration::from_secs_f64(self.rng.random_range(from..=to));
    }

    /// A part of a usual run of the step.
    fn run(&mut self, step: &Step, part: f64) {
        self.wait(step.seconds.0 as f64 * part, step.seconds.1 as f64 * part);
    }

    fn add(&mut self, change: Change) {
        match self.moments.last_mut() {
            Some(moment) if moment.after == self.at => moment.changes.push(change),
            _ => self.moments.push(Moment { after: self.at, changes: vec![change] }),
        }
    }

    fn phase(&mut self, phase: Phase, message: impl Into<String>) {
        self.add(Change::Phase(phase, message.into()));
    }

    fn failure(&mut self, step: &Step) -> String {
        pick(step.failures, self.rng)
            .replace("{app}", &self.target)
            .replace("{node}", &self.target)
            .replace("{namespace}", "default")
    }

    fn maybe_pause(&mut self, number: i64) {
        if number > 1 && self.rng.random_bool(0.02) {
            self.phase(Phase::Paused, format!("waiting for approval of step {number}"));
            self.wait(5.0, 30.0);
            self.phase(Phase::Executing, "approved");
        }
    }

    /// Says how many retries there were; the engine often changes something for the next run.
    fn maybe_retry(&mut self, number: i64, step: &Step) -> u32 {
        let retries = match self.rng.random_range(0..100) {
            0..2 => 2,
            2..10 => 1,
            _ => 0,
        };
        for retry in 1..=retries {
            self.run(step, 0.6);
            let error = self.failure(step);
            self.add(Change::StepRetried(number, error.clone()));
            if self.rng.random_bool(0.6) {
                let change = self.adjustment(number, step, retry, error);
                self.add(change);
            }
        }
        retries
    }

    fn adjustment(&mut self, number: i64, step: &Step, retry: u32, error: String) -> Change {
        let (kind, from, to) = match self.rng.random_range(0..10) {
            0..5 => {
                let seconds = step.seconds.1 * 3;
                (AdjustmentType::Timeout, format!("{seconds}s"), format!("{}s", seconds * 2))
            }
            5..8 => (AdjustmentType::Retry, format!("backoff {retry}s"), format!("backoff {}s", retry * 5)),
            _ => (AdjustmentType::Parameter, "batchSize=10".to_owned(), "batchSize=5".to_owned()),
        };
        Change::Adjusted { step: number, kind, reason: format!("run {retry} failed: {error}"), from, to }
    }

    /// The step ends the execution.
    fn break_off(&mut self, fate: Fate, number: i64, step: &Step) {
        let error = self.failure(step);
        let (ended_as, phase, message) = match fate {
            Fate::TimesOut(_) => {
                let limit = step.seconds.1 * 3;
                self.at += Duration::from_secs(limit);
                (
                    StepPhase::TimedOut,
                    Phase::TimedOut,
                    format!("step {number} ({}) took longer than {limit}s", step.action),
                )
            }
            Fate::IsCancelled(_) => {
                self.run(step, 0.5);
                (
                    StepPhase::Cancelled,
                    Phase::Cancelled,
                    "cancelled by the on-call engineer: handling it by hand".to_owned(),
                )
            }
            _ => {
                self.run(step, 1.0);
                (StepPhase::Failed, Phase::Failed, format!("step {number} ({}) failed: {error}", step.action))
            }
        };
        let error = (ended_as != StepPhase::Cancelled).then_some(error);
        self.add(Change::StepEnded(number, ended_as, error));
        if let Fate::RollsBack(at @ 1..) = fate {
            self.phase(Phase::RollingBack, format!("undoing {at} steps"));
            for done in (1..number).rev() {
                self.wait(1.0, 8.0);
                self.add(Change::StepRolledBack(done));
            }
        }
        self.wait(0.2, 1.0);
        // Engines report a verdict only where they are sure of one.
        let verdict = (phase == Phase::Failed && self.rng.random_bool(0.3)).then_some((Outcome::Failed, 0.1));
        self.add(Change::Ended { phase, verdict, message });
    }

    fn complete(&mut self, fate: Fate, steps: usize, retries: u32) {
        let limps = matches!(fate, Fate::Limps(_));
        let outcome = if limps { Outcome::Partial } else { Outcome::Success };
        let best = if limps { 0.75 } else { 1.0 } - 0.04 * f64::from(retries.min(4));
        let score = (best - self.rng.random_range(0.0..0.08)).max(0.0);
        let verdict = self.rng.random_bool(0.6).then_some((outcome, (score * 100.0).round() / 100.0));
        let message = match fate {
            Fate::Limps(at) => {
                format!("{} of {steps} steps done; step {} failed and was not critical", steps - 1, at + 1)
            }
            _ => format!("all {steps} steps done"),
        };
        self.add(Change::Ended { phase: Phase::Completed, verdict, message });
    }
}
