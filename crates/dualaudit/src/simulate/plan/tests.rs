//! What every planned execution must be like, whatever the seed.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const START: &str = "2026-03-01T10:00:00Z";
const END: &str = "2026-03-01T10:05:00Z";

fn finished(execution: &Execution) -> WorkflowExecutionStatus {
    execution.finished_status(START.parse().unwrap(), END.parse().unwrap())
}

fn is_terminal(phase: Option<Phase>) -> bool {
    use Phase::{Cancelled, Completed, Failed, TimedOut};
    matches!(phase, Some(Completed | Failed | Cancelled | TimedOut))
}

#[test]
fn the_same_seed_gives_the_same_executions_whatever_their_number() {
    let (few, many) = (Plan::new(7, 3, 0.5), Plan::new(7, 300, 0.5));
    assert!(few.executions().eq(many.executions().take(3)));
    assert_ne!(few.execution(0).moments(), Plan::new(8, 3, 0.5).execution(0).moments());
}

#[test]
fn names_are_unique_and_fit_kubernetes() {
    let plan = Plan::new(u64::MAX, 500, 0.2);
    let names: HashSet<String> = plan.executions().map(|execution| execution.name().to_owned()).collect();
    assert_eq!(names.len(), 500);
    for name in names {
        assert!(name.len() <= 253, "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
    }
}

#[test]
fn about_as_many_fail_as_asked() {
    let failed = |ratio| {
        let ended = Plan::new(1, 1_000, ratio).executions().map(|execution| finished(&execution).phase);
        ended.filter(|phase| *phase != Some(Phase::Completed)).count()
    };
    assert_eq!(failed(0.0), 0);
    assert_eq!(failed(1.0), 1_000);
    assert!((150..300).contains(&failed(0.2)), "{}", failed(0.2));
}

#[test]
fn without_failures_every_step_completes() {
    for execution in Plan::new(2, 200, 0.0).executions() {
        let status = finished(&execution);
        assert!(status.steps.iter().all(|step| step.status == StepPhase::Completed), "{status:?}");
        assert_eq!(status.steps.len(), execution.spec.steps.len());
        assert_ne!(status.outcome, Some(Outcome::Partial));
    }
}

#[test]
fn a_few_hundred_executions_show_everything_that_can_happen() {
    let plan = Plan::new(3, 400, 0.4);
    let statuses: Vec<_> = plan.executions().map(|execution| finished(&execution)).collect();
    let workflows: HashSet<_> =
        plan.executions().map(|execution| execution.spec.workflow.name.clone()).collect();
    assert_eq!(workflows.len(), WORKFLOWS.len());
    for phase in [Phase::Completed, Phase::Failed, Phase::Cancelled, Phase::TimedOut] {
        assert!(statuses.iter().any(|status| status.phase == Some(phase)), "{phase:?}");
    }
    assert!(statuses.iter().any(|status| status.rollbacks_performed > Some(0)));
    assert!(statuses.iter().any(|status| !status.adaptive_adjustments.is_empty()));
    assert!(statuses.iter().any(|status| status.outcome == Some(Outcome::Partial)));
    assert!(statuses.iter().any(|status| status.steps.iter().any(|s| s.retries_attempted > Some(0))));
    let paused = |execution: &Execution| {
        let changes = execution.moments().iter().flat_map(|moment| &moment.changes);
        changes.into_iter().any(|change| matches!(change, Change::Phase(Phase::Paused, _)))
    };
    assert!(plan.executions().any(|execution| paused(&execution)));
}

#[test]
fn no_placeholder_is_left_and_secrets_are_there_to_be_redacted() {
    let mut secrets = 0;
    for execution in Plan::new(4, 200, 0.5).executions() {
        let text = serde_json::to_string(&(execution.resource("n"), finished(&execution))).unwrap();
        for placeholder in ["{app}", "{node}", "{namespace}", "{secret}"] {
            assert!(!text.contains(placeholder), "{placeholder} in {text}");
        }
        secrets += usize::from(text.contains("not-a-real-secret"));
    }
    assert!(secrets > 100, "{secrets}");
}

#[test]
fn a_cancelled_execution_leaves_nothing_running() {
    let execution = Plan::new(5, 1, 0.0).execution(0);
    let mut status = WorkflowExecutionStatus::default();
    for moment in execution.moments().iter().take(4) {
        execution.advance(&mut status, moment, START.parse().unwrap());
    }
    execution.cancel(&mut status, "the engine was stopped", END.parse().unwrap());
    assert_eq!(status.phase, Some(Phase::Cancelled));
    assert_eq!(status.completion_time, Some(END.parse().unwrap()));
    assert!(!status.steps.is_empty() && status.steps.iter().all(|step| step.end_time.is_some()));
    assert_eq!(status.conditions[0].type_, "Failed");
}

proptest! {
    #[test]
    fn every_execution_runs_from_start_to_end_and_ends_once(seed: u64, n in 0..1_000_u64, ratio in 0.0..=1.0) {
        let execution = Plan::new(seed, 1_000, ratio).execution(n);
        let moments = execution.moments();
        prop_assert!(moments.windows(2).all(|pair| pair[0].after < pair[1].after));
        let mut status = WorkflowExecutionStatus::default();
        for moment in moments {
            prop_assert!(!is_terminal(status.phase), "something happens after the end");
            execution.advance(&mut status, moment, START.parse().unwrap());
        }
        prop_assert!(is_terminal(status.phase));

        let status = finished(&execution);
        prop_assert_eq!(status.start_time, Some(START.parse().unwrap()));
        prop_assert_eq!(status.completion_time, Some(END.parse().unwrap()));
        prop_assert!(status.steps.iter().all(|step| step.status != StepPhase::Executing));
        prop_assert!(status.steps.iter().all(|step| step.start_time <= step.end_time));
        prop_assert_eq!(status.conditions.len(), 1);
        prop_assert!(status.effectiveness_score.is_none_or(|score| (0.0..=1.0).contains(&score)));
    }
}
