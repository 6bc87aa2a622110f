//! Workflows that are in use, but were never run for an incident type: worth exploring.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Known, LearnError, by_workflow};
use crate::learn::{
    Filters, Links, Period,
    figures::Rate,
    inference::{
        posterior::{Evidence, Posterior},
        proportion::Sample,
    },
    source::FoundCell,
};

/// A workflow that is in use, and was never run for the incident type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Untested {
    /// Its name.
    pub workflow: String,
    /// Why it may be worth a try.
    pub why: Why,
    /// How often it succeeded there, lately.
    pub success: Rate,
    /// How many of its executions there were reviewed as harmful.
    pub harmful: u64,
    /// Where these executions are.
    pub executions: Links,
}

/// Why a workflow may be worth a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UntestedReason)]
pub enum Why {
    /// It ran on the same kind of target in the last 28 days of the period.
    SameTargetKind,
    /// It ran in the same namespace in the last 28 days of the period, if not on the same kind of target.
    SameNamespace,
    /// It ran in the last 28 days of the period.
    InUse,
}

/// Workflows beside those that were tested. Each is there for the first reason that it was found for.
pub(super) struct Others {
    tested: BTreeSet<String>,
    others: BTreeMap<String, Other>,
}

struct Other {
    why: Why,
    filters: Filters,
    known: Known,
}

impl Others {
    /// None yet, and never one of these.
    pub(super) fn but<'w>(tested: impl IntoIterator<Item = &'w str>) -> Self {
        Self { tested: tested.into_iter().map(str::to_owned).collect(), others: BTreeMap::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.others.len()
    }

    /// Adds the workflows of runs that `filters` ask for.
    pub(super) fn add(&mut self, why: Why, filters: &Filters, runs: &[FoundCell]) -> Result<(), LearnError> {
        for (workflow, known) in by_workflow(runs)? {
            if !self.tested.contains(workflow) {
                let filters = filters.of(workflow, None);
                self.others.entry(workflow.to_owned()).or_insert(Other { why, filters, known });
            }
        }
        Ok(())
    }

    /// The first so many: by why they are there, then by what they may be trusted for there.
    pub(super) fn first(self, limit: usize, minimum: u64, period: Period) -> Vec<Untested> {
        let bound =
            |sample| Posterior::of(&Evidence { narrow: Sample::default(), wide: &[sample] }).lower_bound();
        let mut others: Vec<_> =
            self.others.into_iter().map(|(workflow, it)| (bound(it.known.sample), workflow, it)).collect();
        // Stable, so equals stay in the order of their names.
        others.sort_by(|(one, _, it), (other, _, than)| it.why.cmp(&than.why).then(other.total_cmp(one)));
        let told = |(_, workflow, Other { why, filters, known }): (f64, String, Other)| Untested {
            workflow,
            why,
            success: Rate::new(known.sample.successes, known.sample.count(), minimum),
            harmful: known.harmful,
            executions: Links::to(&filters, period),
        };
        others.into_iter().take(limit).map(told).collect()
    }
}
