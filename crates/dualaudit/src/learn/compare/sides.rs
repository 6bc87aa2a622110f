//! What is compared: executions by workflow, or version, from the cells that were found.

use std::collections::BTreeMap;

use dualaudit_record::{
    execution::Outcome,
    statistics::{Cell, Counts, Ended, Sketch, Stratum},
};

use crate::learn::{
    LearnError,
    contrast::{Kind, Kinds},
    figures::Tally,
    inference::proportion::Sample,
    source::{FoundCell, kind, runs},
    workflows::By,
};

/// Executions that are compared with others.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// How they ended.
    pub(super) ended: Counts<Ended>,
    /// Those that count, by what they are; not by version, which is part of what is compared.
    pub(super) kinds: BTreeMap<Kind, Sample>,
    /// How long the successful took.
    pub(super) successful: Sketch,
}

/// Groups by name: from the cells that tell all apart, and from those that say
/// how long executions took.
pub(super) fn groups<'f>(
    by: By,
    kinds: &mut Kinds<'f>,
    apart: &'f [FoundCell],
    took: &'f [FoundCell],
) -> Result<BTreeMap<&'f str, Group>, LearnError> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for FoundCell { log, key, cell, .. } in apart {
        let ended = match cell {
            Cell::Stratum(cell) => &cell.ended,
            Cell::Runs(cell) => &cell.ended,
            Cell::Step(_) | Cell::Texts(_) => continue,
        };
        let of = kind(key, cell)?;
        let group = groups.entry(if by == By::Version { of.version } else { of.workflow }).or_default();
        group.ended.merge(ended, |all, count| *all += count);
        let kind = kinds.kind(*log, &Stratum { version: "", ..of });
        let kind = group.kinds.entry(kind).or_default();
        *kind = kind.plus(Tally::of(ended).sample());
    }
    for ((workflow, version), cell) in runs(took)? {
        if let Some(successful) = cell.durations.get(&Outcome::Success) {
            let name = version.filter(|_| by == By::Version).unwrap_or(workflow);
            groups.entry(name).or_default().successful.merge(&successful.sketch, 1);
        }
    }
    Ok(groups)
}

/// Which versions are compared, each with which: the one asked for or all others, with the baseline asked for or the
/// version with the most executions, of equals the first by name.
pub(super) fn versions<'f>(
    groups: &BTreeMap<&'f str, Group>,
    asked: Option<&'f str>,
    baseline: Option<&'f str>,
) -> Vec<[&'f str; 2]> {
    let others = || groups.keys().copied().filter(|&version| asked != Some(version));
    let executions = |version: &str| Tally::of(&groups[version].ended).executions;
    let most = || others().max_by_key(|version| (executions(version), std::cmp::Reverse(*version)));
    let Some(baseline) = baseline.or_else(most) else { return Vec::new() };
    match asked {
        Some(version) => vec![[version, baseline]],
        None => others().filter(|&version| version != baseline).map(|version| [version, baseline]).collect(),
    }
}
