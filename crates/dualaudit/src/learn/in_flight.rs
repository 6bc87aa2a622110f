//! What has not ended yet, and what of it should have.

use std::collections::BTreeMap;

use dualaudit_record::{Time, execution::Outcome, statistics::Sketch};

use super::{
    Filters,
    figures::InFlight,
    source::{Row, Runs},
};
use crate::store::{self, InFlightFilter, Running, Underway};

/// Executions in flight that one log is asked for at most.
pub(super) const AT_MOST: u32 = 10_000;
/// What runs for longer is overdue, where there is nothing to compare it with.
const DAY: i64 = 86_400_000_000;

/// Executions in flight, and how long those of their workflow take.
#[derive(Clone, Debug, PartialEq)]
pub struct Flights {
    /// By workflow: the version, and since when.
    underway: BTreeMap<String, Vec<(String, Time)>>,
    more: bool,
    now: Time,
    /// By workflow, how long 99 in 100 of the successful took at most, in microseconds.
    usual: BTreeMap<String, i64>,
}

impl Default for Flights {
    fn default() -> Self {
        Self::none(dualaudit_record::time::ZERO)
    }
}

impl Flights {
    /// None yet.
    pub(super) fn none(now: Time) -> Self {
        Self { underway: BTreeMap::new(), more: false, now, usual: BTreeMap::new() }
    }

    /// Those of a log.
    pub(super) fn add(&mut self, found: store::InFlight) {
        for Underway { running: Running { workflow, version, since, .. }, .. } in found.executions {
            self.underway.entry(workflow).or_default().push((version, since));
        }
        self.more |= found.more;
    }

    /// Whether there is any.
    pub(super) fn is_empty(&self) -> bool {
        self.underway.is_empty()
    }

    /// Learns how long executions take; of a workflow with fewer successful ones than `minimum`, nothing.
    pub(super) fn compare_with(&mut self, runs: &Runs<'_>, minimum: u64) {
        let mut successful = BTreeMap::new();
        for ((workflow, _), cell) in runs {
            let Some(timed) = cell.durations.get(&Outcome::Success) else { continue };
            let sketch: &mut Sketch = successful.entry((*workflow).to_owned()).or_default();
            sketch.merge(&timed.sketch, 1);
        }
        self.usual = successful
            .into_iter()
            .filter(|(_, sketch)| u64::try_from(sketch.count()).is_ok_and(|count| count >= minimum))
            .filter_map(|(workflow, sketch)| {
                #[expect(clippy::cast_possible_truncation, reason = "durations are below 2^53 ns")]
                let usual = sketch.quantile(0.99)? as i64;
                Some((workflow, usual))
            })
            .collect();
    }

    /// The workflows that there are any of, and which versions, if these are told apart.
    pub(super) fn rows(&self, by_version: bool) -> impl Iterator<Item = Row<'_>> {
        self.underway.iter().flat_map(move |(workflow, of)| {
            of.iter().map(move |(version, _)| (workflow.as_str(), by_version.then_some(version.as_str())))
        })
    }

    /// All of them.
    pub fn all(&self) -> InFlight {
        let all = self.underway.keys().map(|workflow| self.of(workflow, None));
        all.fold(InFlight { more: self.more, ..InFlight::default() }, |sum, of| InFlight {
            executions: sum.executions + of.executions,
            overdue: sum.overdue + of.overdue,
            more: sum.more,
        })
    }

    /// Those of a workflow, or of one version of it.
    pub fn of(&self, workflow: &str, version: Option<&str>) -> InFlight {
        let usual = self.usual.get(workflow).copied().unwrap_or(DAY);
        let mut count = InFlight { more: self.more, ..InFlight::default() };
        for (of_version, since) in self.underway.get(workflow).into_iter().flatten() {
            if version.is_none_or(|version| version == of_version) {
                count.executions += 1;
                count.overdue += u64::from(self.now.micros_since(*since) > usual);
            }
        }
        count
    }
}

impl From<&Filters> for InFlightFilter {
    fn from(filters: &Filters) -> Self {
        let Filters { workflow, version, namespace, incident_type, target_kind, .. } = filters.clone();
        Self { workflow, version, namespace, incident_type, target_kind }
    }
}
