//! What the simulator does, decided from a seed: the same seed gives the same executions, whatever
//! their number and the order they are asked for in.

use std::{collections::BTreeMap, time::Duration};

use dualaudit_record::{
    Time,
    execution::{AdjustmentType, Outcome},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self, Condition};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value};

use super::{
    catalogue::{APPS, NAMESPACES, TEAMS, WORKFLOWS, Workflow},
    scenario,
};
use crate::crd::{
    Adjustment, Phase, PlannedStep, RemediationRef, StepPhase, StepState, TargetRef, WorkflowExecution,
    WorkflowExecutionSpec, WorkflowExecutionStatus, WorkflowRef,
};

/// Label with the seed on everything simulated, so that one run can be found and removed.
pub const LABEL: &str = "dualaudit.dev/simulation";

/// A number of executions, decided by a seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    seed: u64,
    count: u64,
    fail_ratio: f64,
}

/// One execution: what is asked for, and how it will go.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    name: String,
    labels: BTreeMap<String, String>,
    spec: WorkflowExecutionSpec,
    moments: Vec<Moment>,
}

/// Changes that show at the same instant, and so take one status patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Since creation, at the speed of real workflows.
    pub after: Duration,
    /// In order.
    pub(super) changes: Vec<Change>,
}

/// One thing that happens to an execution.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Began,
    Phase(Phase, String),
    StepBegan(i64),
    /// A run of the step failed and another begins.
    StepRetried(i64, String),
    StepEnded(i64, StepPhase, Option<String>),
    StepRolledBack(i64),
    Adjusted {
        step: i64,
        kind: AdjustmentType,
        reason: String,
        from: String,
        to: String,
    },
    Ended {
        phase: Phase,
        verdict: Option<(Outcome, f64)>,
        message: String,
    },
}

impl Plan {
    /// `fail_ratio` of the executions, from 0 to 1, do not complete; a few more complete with a
    /// failed step, none of them at 0.
    pub fn new(seed: u64, count: u64, fail_ratio: f64) -> Self {
        Self { seed, count, fail_ratio: fail_ratio.clamp(0.0, 1.0) }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The `n`th execution, named `<workflow>-<seed>-<n>`.
    pub fn execution(&self, n: u64) -> Execution {
        // Each has a generator of its own; the odd factor keeps neighbouring seeds apart.
        let rng = &mut StdRng::seed_from_u64(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(n));
        let workflow = &WORKFLOWS[rng.random_range(0..WORKFLOWS.len())];
        let (version, proneness) = workflow.versions[rng.random_range(0..workflow.versions.len())];
        let spec = spec(workflow, version, rng);
        // Keeps 0 and 1 where they are, whatever the version.
        let fail_ratio = self.fail_ratio.powf(1.0 / proneness);
        Execution {
            name: format!("{}-{}-{n}", workflow.name, self.seed),
            labels: BTreeMap::from([
                (LABEL.to_owned(), self.seed.to_string()),
                ("team".to_owned(), pick(TEAMS, rng).to_owned()),
                ("severity".to_owned(), pick(&["critical", "warning", "warning"], rng).to_owned()),
            ]),
            moments: scenario::moments(workflow, &spec, fail_ratio, rng),
            spec,
        }
    }

    /// All of them, in order.
    pub fn executions(self) -> impl Iterator<Item = Execution> {
        (0..self.count).map(move |n| self.execution(n))
    }
}

impl Execution {
    /// The resource's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The resource as its engine creates it.
    pub fn resource(&self, namespace: &str) -> WorkflowExecution {
        let mut resource = WorkflowExecution::new(&self.name, self.spec.clone());
        resource.metadata.namespace = Some(namespace.to_owned());
        resource.metadata.labels = Some(self.labels.clone());
        resource
    }

    /// What happens to it, in order.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Brings `status` forward by one moment, which happens `now`.
    pub fn advance(&self, status: &mut WorkflowExecutionStatus, moment: &Moment, now: Time) {
        for change in &moment.changes {
            self.apply(status, change, now);
        }
    }

    /// Its last status, as if it had run from `start` to `end`: everything in one patch.
    pub fn finished_status(&self, start: Time, end: Time) -> WorkflowExecutionStatus {
        let began = self.moments.first().map_or(Duration::ZERO, |moment| moment.after);
        let whole = self.moments.last().map_or(Duration::ZERO, |moment| moment.after) - began;
        let span = end.micros_since(start).max(0) as f64;
        let mut status = WorkflowExecutionStatus::default();
        for moment in &self.moments {
            let part = (moment.after - began).div_duration_f64(whole.max(Duration::from_nanos(1)));
            self.advance(&mut status, moment, start.saturating_add_micros((span * part) as i64));
        }
        status
    }

    /// Ends it early, as an engine does that is told to stop.
    pub fn cancel(&self, status: &mut WorkflowExecutionStatus, message: &str, now: Time) {
        let running: Vec<i64> =
            status.steps.iter().filter(|step| step.end_time.is_none()).map(|s| s.number).collect();
        for number in running {
            self.apply(status, &Change::StepEnded(number, StepPhase::Cancelled, None), now);
        }
        let ended = Change::Ended { phase: Phase::Cancelled, verdict: None, message: message.to_owned() };
        self.apply(status, &ended, now);
    }

    fn apply(&self, status: &mut WorkflowExecutionStatus, change: &Change, now: Time) {
        let mut step = |number: i64, change: &dyn Fn(&mut StepState)| {
            status.steps.iter_mut().filter(|step| step.number == number).for_each(change);
        };
        match change {
            Change::Began => status.start_time = Some(now),
            Change::Phase(phase, message) => {
                status.phase = Some(*phase);
                status.message = Some(message.clone());
            }
            Change::StepBegan(number) => status.steps.push(self.begun_step(*number, now)),
            Change::StepRetried(number, error) => step(*number, &|step| {
                step.retries_attempted = Some(step.retries_attempted.unwrap_or(0) + 1);
                step.error_message = Some(error.clone());
            }),
            Change::StepEnded(number, phase, error) => step(*number, &|step| {
                step.status = *phase;
                step.end_time = Some(now);
                // What a retry overcame is no error of the step.
                step.error_message = error.clone();
            }),
            Change::StepRolledBack(number) => {
                step(*number, &|step| step.status = StepPhase::RolledBack);
                status.rollbacks_performed = Some(status.rollbacks_performed.unwrap_or(0) + 1);
            }
            Change::Adjusted { step, kind, reason, from, to } => {
                status.adaptive_adjustments.push(Adjustment {
                    time: now,
                    step_number: *step,
                    kind: *kind,
                    reason: reason.clone(),
                    from: Some(from.clone()),
                    to: Some(to.clone()),
                })
            }
            Change::Ended { phase, verdict, message } => {
                status.phase = Some(*phase);
                status.message = Some(message.clone());
                status.completion_time = Some(now);
                status.outcome = verdict.map(|(outcome, _)| outcome);
                status.effectiveness_score = verdict.map(|(_, score)| score);
                status.conditions = conditions(*phase, message, now);
            }
        }
    }

    fn begun_step(&self, number: i64, now: Time) -> StepState {
        let planned = self.spec.steps.iter().find(|step| step.number == number);
        StepState {
            number,
            action: planned.map(|planned| planned.action.clone()),
            status: StepPhase::Executing,
            start_time: Some(now),
            end_time: None,
            retries_attempted: None,
            error_message: None,
        }
    }
}

/// `Complete` or `Failed`, for `kubectl wait`.
fn conditions(phase: Phase, message: &str, now: Time) -> Vec<Condition> {
    let completed = phase == Phase::Completed;
    vec![Condition {
        type_: if completed { "Complete" } else { "Failed" }.to_owned(),
        status: "True".to_owned(),
        reason: format!("{phase:?}"),
        message: message.to_owned(),
        last_transition_time: v1::Time(now.to_timestamp()),
        observed_generation: None,
    }]
}

fn spec(workflow: &Workflow, version: &str, rng: &mut StdRng) -> WorkflowExecutionSpec {
    let (app, namespace) = (pick(APPS, rng), pick(NAMESPACES, rng));
    let node = format!("worker-{:02}", rng.random_range(1..=24));
    let secret = format!("not-a-real-secret-{:012x}", rng.random_range(0..1_u64 << 48));
    let fill = |text: &str| {
        text.replace("{app}", app)
            .replace("{namespace}", namespace)
            .replace("{node}", &node)
            .replace("{secret}", &secret)
    };
    let value = |text: &str| {
        let text = fill(text);
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    let on_node = workflow.target.1 == "Node";
    let steps = (1..).zip(workflow.steps).map(|(number, step)| PlannedStep {
        number,
        name: Some(step.name.to_owned()),
        action: step.action.to_owned(),
        parameters: step
            .parameters
            .iter()
            .map(|(key, text)| ((*key).to_owned(), value(text)))
            .collect::<Map<_, _>>(),
        depends_on: if number > 1 { vec![number - 1] } else { Vec::new() },
        max_retries: Some(2),
        timeout: Some(format!("{}s", step.seconds.1 * 3)),
        critical: Some(step.critical),
    });
    WorkflowExecutionSpec {
        remediation_ref: Some(RemediationRef {
            name: format!("{}-{:08x}", workflow.incident_type.to_lowercase(), rng.random_range(0..=u32::MAX)),
            namespace: None,
        }),
        workflow: WorkflowRef { name: workflow.name.to_owned(), version: version.to_owned() },
        incident_type: Some(workflow.incident_type.to_owned()),
        target: Some(TargetRef {
            api_version: Some(workflow.target.0.to_owned()),
            kind: Some(workflow.target.1.to_owned()),
            namespace: (!on_node).then(|| namespace.to_owned()),
            name: Some(if on_node { node.clone() } else { app.to_owned() }),
        }),
        steps: steps.collect(),
    }
}

/// One of several; `choices` is never empty.
pub(super) fn pick<'a>(choices: &[&'a str], rng: &mut StdRng) -> &'a str {
    choices.choose(rng).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
