//! Two years of executions of 200 workflows with 3 versions each, in 50 namespaces, for 20 types of incidents on 4 kinds
//! of targets, of each of which the n-th comes 1/n as often as the first (Zipf).

use dualaudit_record::{
    Time, WorkflowExecutionAudit, derive,
    execution::{
        AdaptiveAdjustment, AdjustmentType, Outcome, ScoreSource, Status, StepExecutionAudit, StepStatus,
        Target,
    },
};

use crate::records;

const WORKFLOWS: usize = 200;
const VERSIONS: usize = 3;
const NAMESPACES: usize = 50;
const INCIDENTS: usize = 20;
const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Node"];
const ACTIONS: [&str; 6] = [
    "restart-deployment",
    "cordon-node",
    "scale-deployment",
    "rollback-release",
    "wait-for-rollout",
    "verify",
];
const STEPS: u32 = 8;

/// What an execution is told apart by.
pub(crate) struct Drawn {
    pub(crate) workflow: String,
    pub(crate) namespace: String,
    pub(crate) incident_type: String,
    pub(crate) target_kind: &'static str,
}

/// Numbers that look random (SplitMix64), the same of the same seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    /// By Zipf's law with exponent 1.
    fn zipf(&mut self, count: usize) -> usize {
        let harmonic: f64 = (1..=count).map(|n| 1.0 / n as f64).sum();
        let mut left = self.part() * harmonic;
        (1..=count)
            .find(|n| {
                left -= 1.0 / *n as f64;
                left < 0.0
            })
            .unwrap_or(count)
            - 1
    }

    pub(crate) fn drawn(&mut self) -> Drawn {
        Drawn {
            workflow: format!("remediate-workflow-{:03}", self.zipf(WORKFLOWS)),
            namespace: format!("namespace-{:02}", self.zipf(NAMESPACES)),
            incident_type: format!("IncidentType{:02}", self.zipf(INCIDENTS)),
            target_kind: KINDS[self.zipf(KINDS.len())],
        }
    }
}

/// An execution that ended then.
pub(crate) fn record(number: usize, completed_at: Time) -> WorkflowExecutionAudit {
    let mut draw = Draw::of(number as u64);
    let Drawn { workflow, namespace, incident_type, target_kind } = draw.drawn();
    let version = draw.zipf(VERSIONS);
    let status = match draw.below(1000) {
        0..900 => Status::Completed,
        900..970 => Status::Failed,
        970..990 => Status::TimedOut,
        990..998 => Status::Cancelled,
        _ => Status::Deleted,
    };
    // Seconds to an hour, most of them minutes.
    let duration = (5e6 * 700_f64.powf((draw.part() + draw.part()) / 2.0)) as u64;
    let stops = if status == Status::Completed { STEPS } else { draw.below(STEPS.into()) as u32 };
    let actions = workflow.bytes().map(usize::from).sum::<usize>();
    let steps: Vec<StepExecutionAudit> = (0..STEPS)
        .map(|number| {
            let retries = u32::from(draw.below(12) == 0);
            StepExecutionAudit {
                step_number: number + 1,
                action: ACTIONS[(actions + number as usize) % ACTIONS.len()].to_owned(),
                duration: (duration / u64::from(STEPS)).min(draw.below(duration)) * 1_000,
                status: match number {
                    _ if number < stops => StepStatus::Completed,
                    _ if number == stops => StepStatus::Failed,
                    _ => StepStatus::Skipped,
                },
                retries_attempted: retries,
                error_message: match number == stops || retries > 0 {
                    true => format!("the deployment took longer than its timeout of {} s", draw.below(900)),
                    false => String::new(),
                },
                name: None,
                started_at: None,
            }
        })
        .collect();
    let count = |status| steps.iter().filter(|step| step.status == status).count() as u32;
    let (completed, failed) = (count(StepStatus::Completed), count(StepStatus::Failed));
    let work = derive::Work {
        status,
        total_steps: STEPS,
        steps_completed: completed,
        steps_failed: failed,
        rollbacks_performed: 0,
        steps: &steps,
    };
    let outcome = derive::outcome(&work);
    let adjustments = (draw.below(10) == 0).then(|| AdaptiveAdjustment {
        step_number: 1 + draw.below(STEPS.into()) as u32,
        adjustment_type: AdjustmentType::Timeout,
        reason: "the node is slow".to_owned(),
        timestamp: completed_at,
        from: Some("30s".to_owned()),
        to: Some("60s".to_owned()),
    });
    WorkflowExecutionAudit {
        id: format!("{number:016x}"),
        workflow_name: workflow,
        workflow_version: format!("v1.{version}.0"),
        total_steps: STEPS,
        steps_completed: completed,
        steps_failed: failed,
        total_duration: duration * 1_000,
        outcome,
        effectiveness_score: derive::score(&work, outcome),
        score_source: ScoreSource::Derived,
        step_executions: steps,
        adaptive_adjustments: adjustments.into_iter().collect(),
        completed_at,
        status,
        error_message: if outcome == Outcome::Success { "" } else { "a step did not succeed" }.to_owned(),
        created_at: completed_at.saturating_add_micros(-i64::try_from(duration).unwrap_or(0)),
        namespace: Some(namespace),
        queued_duration: Some(draw.below(60_000_000) * 1_000),
        incident_type: Some(incident_type),
        target: Some(Target {
            api_version: None,
            kind: Some(target_kind.to_owned()),
            namespace: None,
            name: None,
        }),
        ..records::record(number)
    }
}
