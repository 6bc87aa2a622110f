//! A workflow in which one adjustment helps, and three only seem to.

use std::ops::Range;

use dualaudit::{
    learn::adjustments::{Adjustment as Answered, Request, Verdict},
    simulate::fleet::{Adjustment, Fleet, Made, Truth},
};
use dualaudit_record::{
    WorkflowExecutionAudit,
    execution::{AdjustmentType, Outcome},
};

use super::{Share, ask, began, each, given};

/// What is said of an adjustment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// That it helps.
    pub helps: Share,
    /// That it helps, without saying that this hinges on executions which may have ended before it could be made.
    pub helps_for_sure: Share,
    /// Success with it less success without, over all executions, on average: what it seems to do to somebody who does
    /// not look closer.
    pub seems: f64,
}

/// What is said of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Friends {
    /// Helps by 20 points.
    pub real: Found,
    /// Is made where things go well anyway.
    pub confounded: Found,
    /// Is made at the last step: who has it has survived all others.
    pub died_before: Found,
    /// Is made once most of what can go wrong in its step has not.
    pub died_at_the_step: Found,
}

const KINDS: [AdjustmentType; 4] =
    [AdjustmentType::Timeout, AdjustmentType::Parameter, AdjustmentType::Skip, AdjustmentType::Retry];

/// Over so many executions.
pub fn friends(runs: u64, seeds: Range<u64>) -> Friends {
    let said = each(seeds, |seed| {
        let fleet = Fleet::new(truth(), runs, seed);
        let answer = ask::<Request>(&given(&fleet), &fleet, &[("workflow", "workflow-0")]);
        let records: Vec<_> = fleet.records().collect();
        KINDS.map(|kind| {
            let is_it = |it: &&Answered| it.adjustment_type == kind;
            let answered = answer.adjustments.iter().find(is_it).expect("each kind is made to one step");
            let helps = answered.verdict == Verdict::Helps;
            (helps, helps && !answered.hinges_on_broken, seems(&records, kind))
        })
    });
    let mut found = [Found::default(); 4];
    for of in &said {
        for (found, &(helps, helps_for_sure, seems)) in found.iter_mut().zip(of) {
            found.helps.add(helps);
            found.helps_for_sure.add(helps_for_sure);
            found.seems += seems / said.len() as f64;
        }
    }
    let [real, confounded, died_before, died_at_the_step] = found;
    Friends { real, confounded, died_before, died_at_the_step }
}

fn truth() -> Truth {
    let mut truth = Truth::steady(1, 28, began());
    truth.incident_types.truncate(2);
    truth.incident_types[0].ease = 1.0;
    truth.incident_types[1].ease = -1.0;
    let workflow = &mut truth.workflows[0];
    workflow.success = 0.6;
    workflow.steps[3].breaks = 3.0;
    let adjustment =
        |place: usize, step, made, helps| Adjustment { step, kind: KINDS[place], share: 0.5, made, helps };
    workflow.adjustments = vec![
        adjustment(1, 0, Made::WhereItIsEasier(1.5), 0.0),
        adjustment(0, 1, Made::Anywhere, 0.2),
        adjustment(3, 3, Made::Late(0.8), 0.0),
        adjustment(2, 5, Made::Anywhere, 0.0),
    ];
    truth
}

fn seems(records: &[WorkflowExecutionAudit], kind: AdjustmentType) -> f64 {
    let has =
        |it: &WorkflowExecutionAudit| it.adaptive_adjustments.iter().any(|it| it.adjustment_type == kind);
    let rate = |with: bool| {
        let of: Vec<_> = records.iter().filter(|it| has(it) == with).collect();
        let won = of.iter().filter(|it| it.outcome == Outcome::Success).count();
        won as f64 / of.len().max(1) as f64
    };
    rate(true) - rate(false)
}
