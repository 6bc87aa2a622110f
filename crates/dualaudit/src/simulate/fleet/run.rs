//! How one execution goes.

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    derive::{self, Work},
    execution::{
        AdaptiveAdjustment, AdjustmentType, Outcome, ScoreSource, Status, StepExecutionAudit, StepStatus,
        Target,
    },
};
use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use super::{
    Fleet, Of,
    draw::normal,
    eased,
    truth::{Adjustment, Made, Workflow},
};

const SECOND: f64 = 1e6;
/// Retries that a step is given at most.
const MOST_RETRIES: u32 = 5;

/// What becomes of an execution, step by step.
struct Course {
    /// Where it stops, and how; of a success nowhere.
    stops: Option<(usize, Status)>,
    adjusted: Vec<Adjusted>,
}

/// An adjustment, and the step it was made to.
struct Adjusted {
    step: usize,
    kind: AdjustmentType,
}

pub(super) fn record(
    fleet: &Fleet,
    number: u64,
    day: usize,
    of: Of,
    rng: &mut Xoshiro256PlusPlus,
) -> WorkflowExecutionAudit {
    let truth = fleet.truth();
    let workflow = &truth.workflows[of.workflow];
    let chance = fleet.chance(of, day, fleet.together(day, of.incident_type));
    let course = course(workflow, chance, truth.ease(of), rng);
    let course = interrupted(course, workflow.steps.len(), [truth.cancelled, truth.deleted], rng);
    let usual = workflow.median * workflow.pace(of.version, day) * (workflow.spread * normal(rng)).exp();
    let completed_at = fleet.completed_at(number);
    let mut steps = steps(workflow, &course, usual, rng);
    let duration: u64 = steps.iter().map(|step| step.duration).sum();
    let started_at = completed_at.saturating_add_micros(-micros(duration));
    begin(&mut steps, started_at);
    let status = course.stops.map_or(Status::Completed, |(_, status)| status);
    let rollbacks_performed =
        if status == Status::Failed && rng.random_bool(0.2) { roll_back(&mut steps) } else { 0 };
    let total_steps = u32::try_from(steps.len()).expect("a few steps");
    let count = |status| steps.iter().filter(|step| step.status == status).count() as u64;
    let number_of = |status| u32::try_from(count(status)).expect("a few steps");
    let (completed, failed) = (number_of(StepStatus::Completed), number_of(StepStatus::Failed));
    let work = Work {
        status,
        total_steps,
        steps_completed: completed,
        steps_failed: failed,
        rollbacks_performed,
        steps: &steps,
    };
    let outcome = derive::outcome(&work);
    let score = derive::score(&work, outcome);
    let queued = 1 + rng.random_range(0..30_000_000_u64);
    let namespace = truth.namespaces[of.namespace].name.clone();
    let incident_type = truth.incident_types[of.incident_type].name.clone();
    WorkflowExecutionAudit {
        id: uid(rng),
        attempt: 1,
        remediation_id: format!("rem-{number}"),
        workflow_name: workflow.name.clone(),
        workflow_version: workflow.versions[of.version].name.clone(),
        total_steps,
        steps_completed: completed,
        steps_failed: failed,
        total_duration: duration,
        outcome,
        effectiveness_score: score,
        score_source: ScoreSource::Derived,
        rollbacks_performed,
        adaptive_adjustments: adjustments(&course, &steps),
        step_executions: steps,
        completed_at,
        status,
        error_message: said(outcome, &course, workflow),
        created_at: started_at.saturating_add_micros(-micros(queued * 1000)),
        cluster: None,
        namespace: Some(namespace.clone()),
        name: Some(format!("{}-{number}", workflow.name)),
        source: None,
        started_at: Some(started_at),
        queued_duration: Some(queued * 1000),
        incident_type: Some(incident_type),
        target: Some(Target {
            api_version: Some("apps/v1".to_owned()),
            kind: Some(truth.target_kinds[of.target_kind].name.clone()),
            namespace: Some(namespace),
            name: Some(format!("service-{}", rng.random_range(0..40_u8))),
        }),
        labels: [("team".to_owned(), format!("team-{}", of.namespace % 8))].into(),
    }
}

/// Goes through the steps, each of which is survived with its part of the chance that is left: together they are
/// survived with `chance`, if nothing is adjusted.
fn course(workflow: &Workflow, chance: f64, ease: f64, rng: &mut Xoshiro256PlusPlus) -> Course {
    let mut left = chance;
    let mut breaks: f64 = workflow.steps.iter().map(|step| step.breaks).sum();
    let mut course = Course { stops: None, adjusted: Vec::new() };
    for (at, step) in workflow.steps.iter().enumerate() {
        let mut part = if breaks > 0.0 { step.breaks / breaks } else { 0.0 };
        for adjustment in workflow.adjustments.iter().filter(|it| it.step == at) {
            let early = match adjustment.made {
                Made::Late(share) => part * share,
                Made::Anywhere | Made::WhereItIsEasier(_) => 0.0,
            };
            if !survives(&mut left, &mut part, early, rng) {
                return stopped(course, at, rng);
            }
            if rng.random_bool(made(adjustment, ease)) {
                course.adjusted.push(Adjusted { step: at, kind: adjustment.kind });
                left = (left + adjustment.helps).clamp(0.001, 0.999);
            }
        }
        let rest = part;
        if !survives(&mut left, &mut part, rest, rng) {
            return stopped(course, at, rng);
        }
        breaks -= step.breaks;
    }
    course
}

/// Whether a part of the chance that is left is survived; `left` is then what is left, and `part` what of the step.
fn survives(left: &mut f64, part: &mut f64, now: f64, rng: &mut Xoshiro256PlusPlus) -> bool {
    if now <= 0.0 {
        return true;
    }
    let survived = rng.random_bool(left.powf(now).clamp(0.0, 1.0));
    *left = left.powf(1.0 - now);
    *part = if now < 1.0 { (*part - now) / (1.0 - now) } else { 0.0 };
    survived
}

fn made(adjustment: &Adjustment, ease: f64) -> f64 {
    match adjustment.made {
        Made::WhereItIsEasier(more) => eased(adjustment.share, more * ease),
        Made::Anywhere | Made::Late(_) => adjustment.share,
    }
}

fn stopped(course: Course, at: usize, rng: &mut Xoshiro256PlusPlus) -> Course {
    let status = if rng.random_bool(0.2) { Status::TimedOut } else { Status::Failed };
    Course { stops: Some((at, status)), ..course }
}

/// Somebody stops it somewhere, or deletes it, whatever would have become of it.
fn interrupted(course: Course, steps: usize, chances: [f64; 2], rng: &mut Xoshiro256PlusPlus) -> Course {
    let [cancelled, deleted] = chances;
    let drawn: f64 = rng.random();
    let status = match () {
        () if drawn < cancelled => Status::Cancelled,
        () if drawn < cancelled + deleted => Status::Deleted,
        () => return course,
    };
    let last = course.stops.map_or(steps.saturating_sub(1), |(at, _)| at);
    let at = rng.random_range(0..=last);
    let adjusted = course.adjusted.into_iter().filter(|it| it.step <= at).collect();
    Course { stops: Some((at, status)), adjusted }
}

fn steps(
    workflow: &Workflow,
    course: &Course,
    usual: f64,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<StepExecutionAudit> {
    let all: f64 = workflow.steps.iter().map(|step| step.time).sum();
    let mut steps = Vec::with_capacity(workflow.steps.len());
    for (at, step) in workflow.steps.iter().enumerate() {
        let (status, part) = match course.stops {
            Some((last, _)) if at > last => (StepStatus::Skipped, 0.0),
            Some((last, status)) if at == last => (broken(status), rng.random_range(0.2..1.0)),
            _ => (StepStatus::Completed, 1.0),
        };
        let mut retries = 0;
        while part > 0.0 && retries < MOST_RETRIES && rng.random_bool(step.retries) {
            retries += 1;
        }
        let took = usual * SECOND * step.time / all * part;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "microseconds of some hours"
        )]
        let duration = took.round() as u64 * 1000;
        steps.push(StepExecutionAudit {
            step_number: u32::try_from(at + 1).expect("a few steps"),
            action: step.action.clone(),
            duration,
            status,
            retries_attempted: retries,
            error_message: complaint(status, rng),
            name: None,
            started_at: None,
        });
    }
    steps
}

/// How the step ends that an execution stops at.
fn broken(status: Status) -> StepStatus {
    match status {
        Status::Completed | Status::Failed => StepStatus::Failed,
        Status::TimedOut => StepStatus::TimedOut,
        Status::Cancelled | Status::Deleted => StepStatus::Cancelled,
    }
}

fn complaint(status: StepStatus, rng: &mut Xoshiro256PlusPlus) -> String {
    match status {
        StepStatus::Failed if rng.random_bool(0.5) => {
            format!("{} of 5 replicas are ready", rng.random_range(0..5_u8))
        }
        StepStatus::Failed => "the API server answered 503".to_owned(),
        StepStatus::TimedOut => format!("took longer than {} s", rng.random_range(30..600_u16)),
        _ => String::new(),
    }
}

/// Says when the steps that were reached began.
fn begin(steps: &mut [StepExecutionAudit], mut at: Time) {
    for step in steps.iter_mut().filter(|step| step.status != StepStatus::Skipped) {
        step.started_at = Some(at);
        at = at.saturating_add_micros(micros(step.duration));
    }
}

fn roll_back(steps: &mut [StepExecutionAudit]) -> u32 {
    let mut count = 0;
    for step in steps.iter_mut().filter(|step| step.status == StepStatus::Completed) {
        step.status = StepStatus::RolledBack;
        count += 1;
    }
    count
}

fn adjustments(course: &Course, steps: &[StepExecutionAudit]) -> Vec<AdaptiveAdjustment> {
    let adjustment = |it: &Adjusted| {
        let step = &steps[it.step];
        let is_timeout = it.kind == AdjustmentType::Timeout;
        AdaptiveAdjustment {
            step_number: step.step_number,
            adjustment_type: it.kind,
            reason: "slow rollout".to_owned(),
            timestamp: step.started_at.expect("an adjusted step was reached"),
            from: is_timeout.then(|| "60s".to_owned()),
            to: is_timeout.then(|| "120s".to_owned()),
        }
    };
    course.adjusted.iter().map(adjustment).collect()
}

fn said(outcome: Outcome, course: &Course, workflow: &Workflow) -> String {
    match course.stops {
        Some((at, _)) if outcome != Outcome::Success => {
            format!("step {} ({}) did not succeed", at + 1, workflow.steps[at].action)
        }
        _ => String::new(),
    }
}

/// An id that looks like a uid: in no order.
fn uid(rng: &mut Xoshiro256PlusPlus) -> String {
    let (high, low): (u64, u64) = (rng.random(), rng.random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 50 | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

fn micros(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds / 1000).expect("some hours")
}
