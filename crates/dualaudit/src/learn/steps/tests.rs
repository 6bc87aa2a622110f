use dualaudit_record::execution::StepExecutionAudit;

use super::*;
use crate::learn::testing::{Given, asked, execution, now};

#[test]
fn what_a_first_step_without_an_action_said_is_told_from_what_its_execution_said() {
    let step = |step_number, action: &str, error_message: &str| StepExecutionAudit {
        step_number,
        action: action.into(),
        duration: 1_000_000_000,
        status: StepStatus::Failed,
        retries_attempted: 0,
        error_message: error_message.into(),
        name: None,
        started_at: None,
    };
    let mut given = Given::nothing(now());
    given.so_many(0, 1, |outcome| WorkflowExecutionAudit {
        error_message: "it is over".into(),
        step_executions: vec![step(0, "", "no node"), step(0, "scale", "no pod"), step(1, "", "no disk")],
        ..execution(outcome)
    });
    let answer = given.ask(&asked::<Request>(&[("workflow", "heal")], now()));
    let said = |errors: &Errors| match &errors.patterns[..] {
        [only] => only.pattern.clone(),
        patterns => panic!("{patterns:?}"),
    };
    assert_eq!(said(&answer.errors), "it is over");
    let steps: Vec<_> =
        answer.steps.iter().map(|step| (step.number, step.action.as_str(), said(&step.errors))).collect();
    assert_eq!(steps, [(0, "", "no node".into()), (0, "scale", "no pod".into()), (1, "", "no disk".into())]);
}
