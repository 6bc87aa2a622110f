//! Executions by step, kind of adjustment, and all else that they are told apart by, from the cells that were found.

use std::collections::BTreeMap;

use dualaudit_record::{
    execution::AdjustmentType,
    statistics::{About, Cell, View},
};

use super::Broken;
use crate::learn::{
    LearnError,
    contrast::{Groups, Kind, Kinds},
    figures::{sample, whole},
    inference::{proportion::Sample, stratified},
    source::{FoundCell, strata, stratum},
};

/// A step: its number, and what it does.
type Step<'f> = (u32, &'f str);
/// A kind of adjustment to a step.
pub(super) type Adjusted<'f> = (u32, &'f str, AdjustmentType);
/// How many executions said each of these.
pub(super) type Texts<'f> = BTreeMap<&'f str, u64>;

/// What was found.
#[derive(Default)]
pub(super) struct Sums<'f> {
    /// How executions turned out that came to a step, and how many of them it broke.
    steps: BTreeMap<Step<'f>, BTreeMap<Kind, (Sample, u64)>>,
    adjusted: BTreeMap<Adjusted<'f>, BTreeMap<Kind, Sample>>,
    reasons: BTreeMap<Adjusted<'f>, Texts<'f>>,
    timeouts: BTreeMap<Adjusted<'f>, Texts<'f>>,
}

/// Executions that came to a step, with an adjustment and without.
pub(super) struct Summed<'f> {
    pub(super) groups: Groups,
    /// How many the step broke.
    broke: BTreeMap<Kind, u64>,
    pub(super) reasons: Texts<'f>,
    pub(super) timeouts: Texts<'f>,
}

impl<'f> Sums<'f> {
    pub(super) fn of(of_strata: &'f [FoundCell], of_texts: &'f [FoundCell]) -> Result<Self, LearnError> {
        let (mut sums, mut kinds) = (Self::default(), Kinds::default());
        for (log, of, cell) in strata(of_strata)? {
            // The workflow is the same of all.
            let kind = kinds.kind(log, &of);
            for ((number, action), step) in &cell.steps {
                let kinds = sums.steps.entry((*number, action)).or_default();
                let (reached, broke) = kinds.entry(kind).or_default();
                *reached = reached.plus(sample(&step.reached));
                *broke += whole(step.broke);
            }
            for ((number, action, adjustment), outcomes) in &cell.adjusted {
                let kinds = sums.adjusted.entry((*number, action, *adjustment)).or_default();
                let with = kinds.entry(kind).or_default();
                *with = with.plus(sample(outcomes));
            }
        }
        for FoundCell { key, cell, .. } in of_texts {
            let Cell::Texts(cell) = cell else { continue };
            let mut parts = key.parts();
            stratum(&mut parts, View::Texts)?;
            let (number, action, about) =
                (parts.number(View::Texts)?, parts.text(View::Texts)?, parts.about()?);
            let texts = match about {
                About::Error => continue,
                About::Reason(kind) => sums.reasons.entry((number, action, kind)),
                About::Timeout => sums.timeouts.entry((number, action, AdjustmentType::Timeout)),
            };
            let count = texts.or_default().entry(parts.text(View::Texts)?).or_default();
            *count += whole(cell.days.values().sum());
        }
        Ok(sums)
    }

    /// Each adjustment that an execution had which counts.
    pub(super) fn adjustments(mut self) -> Vec<(Adjusted<'f>, Summed<'f>)> {
        let nothing = BTreeMap::new();
        let adjusted = std::mem::take(&mut self.adjusted);
        let summed = |(name, with): (Adjusted<'f>, BTreeMap<Kind, Sample>)| {
            let reached = self.steps.get(&(name.0, name.1)).unwrap_or(&nothing);
            let mut groups: Groups = Groups::new();
            for (kind, &with) in &with {
                groups.insert(*kind, stratified::Stratum { with, ..Default::default() });
            }
            for (kind, (reached, _)) in reached {
                let sides = groups.entry(*kind).or_default();
                sides.without = less(*reached, sides.with);
            }
            let broke = reached.iter().map(|(kind, (_, broke))| (*kind, *broke)).collect();
            let reasons = self.reasons.remove(&name).unwrap_or_default();
            let timeouts = self.timeouts.remove(&name).unwrap_or_default();
            (name, Summed { groups, broke, reasons, timeouts })
        };
        adjusted.into_iter().map(summed).collect()
    }
}

/// Who is in the one and not in the other, which is a part of it.
fn less(all: Sample, part: Sample) -> Sample {
    Sample {
        successes: all.successes.saturating_sub(part.successes),
        failures: all.failures.saturating_sub(part.failures),
    }
}

impl<'f> Summed<'f> {
    fn broke(&self, kind: &Kind) -> u64 {
        self.broke.get(kind).copied().unwrap_or_default()
    }

    pub(super) fn broken(&self) -> Broken {
        let mut broken = Broken::default();
        for (kind, sides) in &self.groups {
            let executions = self.broke(kind);
            broken.executions += executions;
            broken.without_at_least += executions.saturating_sub(sides.with.failures);
            broken.without_at_most += executions.min(sides.without.failures);
        }
        broken
    }

    /// The groups without any execution that the step may have broken before it could be adjusted.
    pub(super) fn unbroken(&self) -> Groups {
        let mut groups = self.groups.clone();
        for (kind, sides) in &mut groups {
            sides.without.failures = sides.without.failures.saturating_sub(self.broke(kind));
        }
        groups
    }
}
