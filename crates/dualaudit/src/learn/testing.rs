//! What tests of answers share.

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    execution::{Outcome, Status, Target},
    statistics::Contribution,
};

pub(crate) use super::given::Given;
use super::{Answer, Ask, Question, figures::InFlight};
use crate::store::conformance::sample;

impl Given {
    /// Adds executions that are alike but for how they ended: so many successes, and so many failures.
    pub(crate) fn so_many(
        &mut self,
        successes: i64,
        failures: i64,
        of: impl Fn(Outcome) -> WorkflowExecutionAudit,
    ) {
        for (outcome, times) in [(Outcome::Success, successes), (Outcome::Failed, failures)] {
            self.give("default", &Contribution::of(&of(outcome)), times);
        }
    }

    /// The whole of an answer, as people and programs get it.
    pub(crate) fn answer<A: Ask>(&self, asked: &A) -> Answer<A::Answer> {
        let Question { filters, minimum, .. } = asked.question().clone();
        Answer {
            period: asked.period(self.as_of),
            filters,
            minimum,
            in_flight: InFlight::default(),
            incomplete: Vec::new(),
            passed_over: Vec::new(),
            answer: self.ask(asked),
        }
    }
}

/// What is asked with these parameters, now.
pub(crate) fn asked<A: Ask>(pairs: &[(&str, &str)], now: Time) -> A {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    A::parse(&pairs, now).unwrap()
}

/// When the executions ended that tests make: in a day that is kept as one, of a month whose days are.
pub(crate) fn ended() -> Time {
    "2026-04-20T12:00:00Z".parse().unwrap()
}

/// Some days after that: what tests ask at.
pub(crate) fn now() -> Time {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// An execution of `heal` v1 of a minute, which ended in this way, in the namespace `shop` for `oom` of a Deployment, of
/// which nothing else is known.
pub(crate) fn execution(outcome: Outcome) -> WorkflowExecutionAudit {
    let target = Target { kind: Some("Deployment".into()), ..Target::default() };
    WorkflowExecutionAudit {
        workflow_name: "heal".into(),
        workflow_version: "v1".into(),
        namespace: Some("shop".into()),
        incident_type: Some("oom".into()),
        target: Some(target),
        outcome,
        status: if outcome == Outcome::Success { Status::Completed } else { Status::Failed },
        total_duration: 60_000_000_000,
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        error_message: String::new(),
        completed_at: ended(),
        ..sample::record("execution")
    }
}
