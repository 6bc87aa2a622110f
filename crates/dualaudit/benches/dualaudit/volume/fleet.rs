//! Two years of executions of a fleet: each is made of its number alone, so that whoever asks for one
//! later can make it again.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit, derive,
    execution::{Outcome, ScoreSource, Status, StepExecutionAudit, StepStatus, Target},
};

/// Clusters, each a log of its own.
pub(crate) const LOGS: usize = 4;
/// Months that the executions are spread over.
pub(crate) const MONTHS: i32 = 24;

const WORKFLOWS: u64 = 200;
const NAMESPACES: u64 = 60;
const TARGETS: u64 = 3_000;
const INCIDENTS: u64 = 30;
const TEAMS: u64 = 20;
const STEPS: u32 = 8;
/// Executions that try to remediate the same.
const TRIES: u64 = 3;

const ACTIONS: [&str; 6] = [
    "restart-deployment",
    "cordon-node",
    "scale-deployment",
    "rollback-release",
    "wait-for-rollout",
    "verify-endpoints",
];

/// So many executions, in the order they end in.
#[derive(Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) size: usize,
    pub(crate) began: Time,
    pub(crate) ended: Time,
}

impl Fleet {
    /// The log that an execution is in.
    pub(crate) fn log(number: usize) -> String {
        format!("cluster-{}", number % LOGS)
    }

    /// When one has ended; those beyond the size do so after all others.
    pub(crate) fn completed_at(&self, number: usize) -> Time {
        let span = i128::from(self.ended.micros_since(self.began));
        let offset = span * number as i128 / self.size as i128;
        self.began.saturating_add_micros(i64::try_from(offset).expect("some years"))
    }

    pub(crate) fn record(&self, number: usize) -> WorkflowExecutionAudit {
        let mut draw = Draw::of(number as u64);
        let workflow = draw.skewed(WORKFLOWS);
        let target = draw.skewed(TARGETS);
        let status = match draw.below(1000) {
            0..900 => Status::Completed,
            900..970 => Status::Failed,
            970..990 => Status::TimedOut,
            990..998 => Status::Cancelled,
            _ => Status::Deleted,
        };
        let completed_at = self.completed_at(number);
        // Seconds to an hour, most of them short; waiting at most a minute before.
        let duration = 5_000_000 + draw.skewed(600) * draw.skewed(6_000) * 1_000;
        let queued = draw.below(60_000_000);
        let started_at = completed_at.saturating_add_micros(-as_micros(duration));
        let steps = steps(&mut draw, status, started_at, duration);
        let completed = count(&steps, StepStatus::Completed);
        let failed = count(&steps, StepStatus::Failed);
        let work = derive::Work {
            status,
            total_steps: STEPS,
            steps_completed: completed,
            steps_failed: failed,
            rollbacks_performed: 0,
            steps: &steps,
        };
        let outcome = derive::outcome(&work);
        let namespace = format!("shop-{}", target % NAMESPACES);
        WorkflowExecutionAudit {
            id: uid(number),
            attempt: 1,
            remediation_id: format!("rem-{:016x}", mix((number as u64 / TRIES) ^ 0x5EED)),
            workflow_name: format!("remediate-workflow-{workflow}"),
            workflow_version: format!("v1.{}.0", (workflow + draw.skewed(6)) % 12),
            total_steps: STEPS,
            steps_completed: completed,
            steps_failed: failed,
            total_duration: duration * 1_000,
            outcome,
            effectiveness_score: derive::score(&work, outcome),
            score_source: ScoreSource::Derived,
            rollbacks_performed: 0,
            step_executions: steps,
            adaptive_adjustments: Vec::new(),
            completed_at,
            status,
            error_message: if outcome == Outcome::Success { "" } else { "a step did not succeed" }.to_owned(),
            created_at: started_at.saturating_add_micros(-as_micros(queued)),
            cluster: Some(Self::log(number)),
            namespace: Some(namespace.clone()),
            name: Some(format!("remediate-{number}")),
            source: None,
            started_at: Some(started_at),
            queued_duration: Some(queued * 1_000),
            incident_type: Some(format!("Incident{}", draw.skewed(INCIDENTS))),
            target: Some(Target {
                api_version: Some("apps/v1".to_owned()),
                kind: Some("Deployment".to_owned()),
                namespace: Some(namespace),
                name: Some(format!("service-{target}")),
            }),
            labels: BTreeMap::from([
                ("team".to_owned(), format!("team-{}", draw.skewed(TEAMS))),
                ("severity".to_owned(), ["low", "medium", "high", "critical"][draw.at_most(3)].to_owned()),
            ]),
        }
    }
}

/// The id of an execution: as a uid, in no order.
pub(crate) fn uid(number: usize) -> String {
    let (high, low) = (mix(number as u64), mix(!(number as u64)));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 50 | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

fn steps(draw: &mut Draw, status: Status, began: Time, duration: u64) -> Vec<StepExecutionAudit> {
    // One that did not complete stops at one of its steps, or at none.
    let stops = if status == Status::Completed { STEPS } else { u32::try_from(draw.below(8)).unwrap_or(0) };
    let each = duration / u64::from(STEPS);
    let step = |number| {
        let action = ACTIONS[draw.at_most(ACTIONS.len() - 1)];
        let retries = u32::try_from(draw.skewed(12) / 9).unwrap_or(0);
        let status = match number {
            _ if number < stops => StepStatus::Completed,
            _ if number == stops => StepStatus::Failed,
            _ => StepStatus::Skipped,
        };
        let error_message = if retries > 0 || status == StepStatus::Failed {
            format!("the deployment took longer than its timeout of {} s", draw.below(900))
        } else {
            String::new()
        };
        let took = draw.below(each.max(1));
        StepExecutionAudit {
            step_number: number + 1,
            action: action.to_owned(),
            duration: took * 1_000,
            status,
            retries_attempted: retries,
            error_message,
            name: Some(format!("{action}-of-shard-{number}")),
            started_at: Some(began.saturating_add_micros(as_micros(each * u64::from(number)))),
        }
    };
    (0..STEPS).map(step).collect()
}

fn count(steps: &[StepExecutionAudit], status: StepStatus) -> u32 {
    u32::try_from(steps.iter().filter(|step| step.status == status).count()).unwrap_or(0)
}

fn as_micros(duration: u64) -> i64 {
    i64::try_from(duration).expect("a short time")
}

/// Numbers that look random, the same of the same seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn of(seed: u64) -> Self {
        Self(mix(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    pub(crate) fn at_most(&mut self, last: usize) -> usize {
        usize::try_from(self.below(last as u64 + 1)).unwrap_or(0)
    }

    /// Small ones more often, as fleets have few of most of what they have: of 200, the first comes 7
    /// times in a hundred, the last once in 400.
    fn skewed(&mut self, end: u64) -> u64 {
        let part = self.below(1 << 20);
        (part * part * end) >> 40
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// 2014): each input has an output of its own.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
