//! Answers about executions that no store has, such as those of a fleet whose truth is known: from records by their
//! contributions to sums, and from these to what an answer finds.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    statistics::{Contribution, Kept, Sums},
};

use super::{Ask, Found, source::FoundCell};
use crate::store::{WantedCells, found_in};

const SOUND: &str = "keys that contributions gave make sense";

/// Statistics of logs that have come to an instant, in memory.
pub struct Given {
    pub(super) as_of: Time,
    logs: BTreeMap<String, Sums>,
}

impl Given {
    /// None yet.
    pub fn nothing(as_of: Time) -> Self {
        Self { as_of, logs: BTreeMap::new() }
    }

    /// Those of a log's executions.
    pub fn of<'r>(
        log: &str,
        records: impl IntoIterator<Item = &'r WorkflowExecutionAudit>,
        as_of: Time,
    ) -> Self {
        let mut given = Self::nothing(as_of);
        records.into_iter().for_each(|record| given.give(log, &Contribution::of(record), 1));
        given
    }

    /// Adds what an execution gives to a log, `times` over.
    pub fn give(&mut self, log: &str, contribution: &Contribution, times: i64) {
        let sums = match self.logs.get_mut(log) {
            Some(sums) => sums,
            None => self.logs.entry(log.to_owned()).or_default(),
        };
        let shortest = Kept::by(self.as_of).shortest(contribution.hour);
        sums.give_to(shortest, contribution, times);
    }

    /// The cells that are wanted, as a store finds them.
    pub(super) fn found(&self, wanted: &[WantedCells]) -> Found {
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

    /// What is answered when this is all there is. A filter by log is none here: only what is asked about was given.
    ///
    /// # Panics
    /// When an answer takes keys for wrong that contributions gave.
    pub fn ask<A: Ask>(&self, asked: &A) -> A::Answer {
        let mut found = self.found(&asked.reads(self.as_of));
        let then = asked.reads_then(self.as_of, &found).expect(SOUND);
        found.cells.extend(self.found(&then).cells);
        let last = asked.reads_last(self.as_of, &found).expect(SOUND);
        found.last = Some(self.found(&last).cells);
        asked.answer(self.as_of, &found).expect(SOUND)
    }
}
