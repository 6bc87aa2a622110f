//! Answers about executions that no store has: from records by their contributions to sums, and from these to what an
//! answer finds.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    execution::{Outcome, Status, Target},
    statistics::{Contribution, Kept, Sums},
};

use super::{Answer, Ask, Found, Question, figures::InFlight, source::FoundCell};
use crate::store::{WantedCells, conformance::sample, found_in};

/// Statistics of logs that have come to an instant, in memory.
pub(crate) struct Given {
    as_of: Time,
    logs: BTreeMap<String, Sums>,
}

impl Given {
    /// None yet.
    pub(crate) fn nothing(as_of: Time) -> Self {
        Self { as_of, logs: BTreeMap::new() }
    }

    /// Those of a log's executions.
    pub(crate) fn of<'r>(
        log: &str,
        records: impl IntoIterator<Item = &'r WorkflowExecutionAudit>,
        as_of: Time,
    ) -> Self {
        let mut given = Self::nothing(as_of);
        records.into_iter().for_each(|record| given.give(log, &Contribution::of(record), 1));
        given
    }

    /// Adds what an execution gives to a log, `times` over.
    pub(crate) fn give(&mut self, log: &str, contribution: &Contribution, times: i64) {
        let sums = match self.logs.get_mut(log) {
            Some(sums) => sums,
            None => self.logs.entry(log.to_owned()).or_default(),
        };
        let shortest = Kept::by(self.as_of).shortest(contribution.hour);
        sums.give_to(shortest, contribution, times);
    }

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

    /// The cells that are wanted, as a store finds them.
    pub(crate) fn found(&self, wanted: &[WantedCells]) -> Found {
        let mut found = Found {
            logs: self.logs.keys().cloned().collect(),
            cells: vec![Vec::new(); wanted.len()],
            ..Found::default()
        };
        for (log, sums) in self.logs.values().enumerate() {
            for (found, cells) in found.cells.iter_mut().zip(found_in(wanted, sums, self.as_of)) {
                found.extend(cells.into_iter().map(|(stretch, key, cell)| FoundCell {
                    log,
                    stretch,
                    key,
                    cell,
                }));
            }
        }
        found
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
            answer: self.ask(asked),
        }
    }

    /// What is answered when this is all there is. A filter by log is none here: only what is asked about was given.
    pub(crate) fn ask<A: Ask>(&self, asked: &A) -> A::Answer {
        let mut found = self.found(&asked.reads(self.as_of));
        let then = asked.reads_then(self.as_of, &found).unwrap();
        found.cells.extend(self.found(&then).cells);
        asked.answer(self.as_of, &found).unwrap()
    }

    /// The same with what it is an answer to.
    pub(crate) fn answer<A: Ask>(&self, asked: &A) -> Answer<A::Answer> {
        Answer {
            period: asked.period(self.as_of),
            filters: asked.question().filters.clone(),
            minimum: asked.question().minimum,
            in_flight: InFlight::default(),
            incomplete: Vec::new(),
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
