//! Success of two groups of executions, among those that are alike, and whether it is shown to differ.
//!
//! Two versions do not run for the same incidents in the same places, and a step is not adjusted by lot. So executions
//! are told apart first, and only what is alike is compared.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::statistics::Stratum;
use serde::{Deserialize, Serialize};

use super::{
    figures::{CONFIDENCE, Estimate},
    inference::{
        multiple,
        proportion::{Sample, fisher_exact},
        stratified::{Stratified, Stratum as Sides, stratified},
    },
};

/// At most this share of differences that are said to be shown is expected to be chance.
pub(super) const FALSE_DISCOVERIES: f64 = 0.05;
/// Of the smaller group, the share that has others to compare with from which on it is compared as it is told apart.
const ENOUGH_ALIKE: f64 = 0.75;
/// The share of a group above which what is in flight could turn everything.
const TOO_MANY_IN_FLIGHT: f64 = 0.1;

/// By what executions are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Dimension {
    Log,
    Version,
    Namespace,
    IncidentType,
    TargetKind,
}

use Dimension::{IncidentType, Log, Namespace, TargetKind, Version};

/// Everything that executions are told apart by.
pub(super) const IN_ALL: [Dimension; 5] = [Log, Version, Namespace, IncidentType, TargetKind];
/// All but the version, where groups are made of versions.
pub(super) const BUT_VERSION: [Dimension; 4] = [Log, Namespace, IncidentType, TargetKind];
/// And but the namespace: told apart by that, too, executions of very many workflows would be nearly as many kinds.
pub(super) const BUT_NAMESPACE: [Dimension; 3] = [Log, IncidentType, TargetKind];
/// The two halves of it: where they ran, and what for.
const WHERE: [Dimension; 3] = [Log, Version, Namespace];
const WHAT_FOR: [Dimension; 3] = [Version, IncidentType, TargetKind];

/// Executions that have all in common that they are told apart by: of each dimension, in their order, the number of its
/// value; 0 where it is left out, or empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind([u32; 5]);

/// Numbers for values that executions are told apart by: there are very many kinds, of few values, and numbers are
/// compared at once.
#[derive(Default)]
pub(super) struct Kinds<'f> {
    values: HashMap<&'f str, u32>,
}

impl<'f> Kinds<'f> {
    /// The kind of executions of the log with this place. Where a group is made of what executions are told apart by, such
    /// as of versions, that is left empty.
    pub(super) fn kind(&mut self, log: usize, of: &Stratum<&'f str>) -> Kind {
        let log = u32::try_from(log).unwrap_or(u32::MAX);
        let values =
            [of.version, of.namespace, of.incident_type, of.target_kind].map(|value| self.number(value));
        let [version, namespace, incident_type, target_kind] = values;
        Kind([log, version, namespace, incident_type, target_kind])
    }

    fn number(&mut self, value: &'f str) -> u32 {
        if value.is_empty() {
            return 0;
        }
        let next = u32::try_from(self.values.len() + 1).expect("fewer than the cells that are read");
        *self.values.entry(value).or_insert(next)
    }
}

/// Two groups of executions by kind.
pub(super) type Groups = BTreeMap<Kind, Sides>;

/// Success of one group less that of another, −1..1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Contrast {
    /// Among executions that are alike, with Sato's interval; null where none are. Where they are alike in one of several
    /// ways, it is the way that shows less, and the interval holds those of all.
    pub difference: Option<Estimate>,
    /// How probable a difference as large is by chance.
    pub p_value: Option<f64>,
    /// The same, adjusted by Benjamini and Hochberg for all that is judged in this answer; null where it is not.
    pub adjusted_p_value: Option<f64>,
    /// In what the executions are alike that are compared. In all where three in four of the smaller group are alike to
    /// others of the other group in all; else in each of both, where they ran and what for.
    pub alike_in: Vec<Vec<Dimension>>,
    /// How many kinds of executions there are in both groups.
    pub kinds: u64,
    /// How many are in one only, which are not compared.
    pub kinds_left_out: u64,
    /// How many executions are of these.
    pub executions_left_out: u64,
    /// Of all executions, whatever they are, with Newcombe's interval; null where a group has none.
    pub raw: Option<Estimate>,
    /// How probable that is by chance: Fisher's exact test.
    pub raw_p_value: Option<f64>,
    /// All executions together seem to say the opposite of those that are alike.
    pub reversed: bool,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Insufficient {
    /// A group has fewer executions than the minimum.
    FewExecutions,
    /// Of a group that is compared with another, more than a tenth is in flight, and those that run long may fail.
    InFlight,
    /// Fewer executions than the minimum are alike to others of the other group.
    FewAlike,
}

/// What is shown of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    More,
    Less,
    Nothing,
    Insufficient(Insufficient),
}

/// One way to tell executions apart, and the difference among those that it does not.
struct Alike {
    dimensions: Vec<Dimension>,
    of: Stratified,
    /// Executions of the first and of the second group that are compared.
    compared: [f64; 2],
}

impl Alike {
    fn of(groups: &Groups, dimensions: &[Dimension], apart: &[Dimension]) -> Self {
        let dimensions: Vec<Dimension> = dimensions.iter().copied().filter(|it| apart.contains(it)).collect();
        let mut kinds: Groups = BTreeMap::new();
        for (kind, sides) in groups {
            let of = kinds.entry(told_apart(kind, &dimensions)).or_default();
            *of = Sides { with: of.with.plus(sides.with), without: of.without.plus(sides.without) };
        }
        let kinds: Vec<Sides> = kinds.into_values().collect();
        let mut compared = [0.0, 0.0];
        for kind in kinds.iter().filter(|kind| kind.with.trials() > 0.0 && kind.without.trials() > 0.0) {
            compared[0] += kind.with.trials();
            compared[1] += kind.without.trials();
        }
        Self { dimensions, of: stratified(&kinds, CONFIDENCE), compared }
    }

    fn p_value(&self) -> f64 {
        self.of.within.map_or(1.0, |within| within.p_value)
    }

    /// Whether enough of the smaller group is compared; of two as large, of one.
    fn is_enough(&self, all: [Sample; 2]) -> bool {
        let all = all.map(Sample::trials);
        let smaller = all[0].min(all[1]);
        let compared = |side: usize| all[side] <= smaller && self.compared[side] >= ENOUGH_ALIKE * smaller;
        smaller > 0.0 && (compared(0) || compared(1))
    }
}

/// A kind by some of what it is told apart by.
fn told_apart(Kind(values): &Kind, dimensions: &[Dimension]) -> Kind {
    let mut apart = Kind::default();
    for (place, dimension) in IN_ALL.iter().enumerate() {
        if dimensions.contains(dimension) {
            apart.0[place] = values[place];
        }
    }
    apart
}

impl Contrast {
    /// Of two groups, which are told apart by these; with it, how many executions of each are compared.
    ///
    /// Few executions in many kinds are rarely alike in all: of two hundred in a thousand kinds, half would be left out.
    /// Then they are compared twice, told apart by where they ran, and by what for, and both must say the same. What
    /// ran in one place only, such as a version on trial there, is so never compared with what ran in others.
    pub(super) fn of(groups: &Groups, apart: &[Dimension]) -> (Self, [f64; 2]) {
        let all = groups.values().fold([Sample::default(); 2], |[with, without], sides| {
            [with.plus(sides.with), without.plus(sides.without)]
        });
        let in_all = Alike::of(groups, &IN_ALL, apart);
        let mut ways = vec![in_all];
        if !ways[0].is_enough(all) {
            let halves = [&WHERE, &WHAT_FOR].map(|by| Alike::of(groups, by, apart));
            if halves.iter().all(|half| half.is_enough(all)) {
                ways = halves.into();
            }
        }
        let least = ways.iter().max_by(|one, other| one.p_value().total_cmp(&other.p_value()));
        let least = least.expect("there is one way at least");
        let intervals = ways.iter().filter_map(|way| way.of.within).map(|within| within.difference.interval);
        let lower = intervals.clone().map(|it| it.lower).reduce(f64::min);
        let upper = intervals.map(|it| it.upper).reduce(f64::max);
        let [with, without] = all;
        let contrast = Self {
            difference: least.of.within.map(|within| Estimate {
                estimate: within.difference.estimate,
                lower,
                upper,
            }),
            p_value: least.of.within.map(|within| within.p_value),
            adjusted_p_value: None,
            alike_in: ways.iter().map(|way| way.dimensions.clone()).collect(),
            kinds: least.of.strata,
            kinds_left_out: least.of.strata_left_out,
            executions_left_out: least.of.runs_left_out,
            raw: least.of.raw.map(Estimate::from),
            raw_p_value: least.of.raw.map(|_| fisher_exact(with, without)),
            reversed: least.of.reversed,
        };
        let compared = [0, 1].map(|side| ways.iter().map(|way| way.compared[side]).fold(f64::MAX, f64::min));
        (contrast, compared)
    }

    /// What it shows, once it is adjusted.
    fn shows(&self) -> Shown {
        match (self.difference, self.adjusted_p_value) {
            (Some(Estimate { lower: Some(lower), .. }), Some(p)) if p <= FALSE_DISCOVERIES && lower > 0.0 => {
                Shown::More
            }
            (Some(Estimate { upper: Some(upper), .. }), Some(p)) if p <= FALSE_DISCOVERIES && upper < 0.0 => {
                Shown::Less
            }
            _ => Shown::Nothing,
        }
    }
}

/// A contrast that is to be judged.
pub(super) struct Case {
    pub(super) contrast: Contrast,
    pub(super) insufficient: Option<Insufficient>,
    pub(super) too_many_in_flight: bool,
}

impl Case {
    /// Of two groups, and how many of each are in flight.
    pub(super) fn of(groups: &Groups, apart: &[Dimension], in_flight: [u64; 2], minimum: u64) -> Self {
        let (contrast, compared) = Contrast::of(groups, apart);
        let all = groups.values().fold([0.0, 0.0], |[with, without], sides| {
            [with + sides.with.trials(), without + sides.without.trials()]
        });
        let minimum = minimum.max(1) as f64;
        let too_many_in_flight = all.iter().zip(in_flight).any(|(&ended, flying)| {
            let flying = flying as f64;
            flying > TOO_MANY_IN_FLIGHT * (ended + flying)
        });
        let insufficient = if all.iter().any(|&executions| executions < minimum) {
            Some(Insufficient::FewExecutions)
        } else if too_many_in_flight {
            Some(Insufficient::InFlight)
        } else if compared.iter().any(|&executions| executions < minimum) {
            Some(Insufficient::FewAlike)
        } else {
            None
        };
        Self { contrast, insufficient, too_many_in_flight }
    }

    /// What it shows, once it is adjusted.
    pub(super) fn shows(&self) -> Shown {
        self.insufficient.map_or_else(|| self.contrast.shows(), Shown::Insufficient)
    }
}

/// Adjusts those that can be judged for being many. What cannot is left out: that depends on numbers of executions, not
/// on how they ended, so it favours nothing.
pub(super) fn adjust(cases: &mut [Case]) {
    let judged = cases.iter_mut().filter(|case| case.insufficient.is_none());
    let judged: Vec<&mut Contrast> = judged.map(|case| &mut case.contrast).collect();
    let p_values: Vec<f64> = judged.iter().map(|contrast| contrast.p_value.unwrap_or(1.0)).collect();
    for (contrast, p) in judged.into_iter().zip(multiple::adjusted(&p_values)) {
        contrast.adjusted_p_value = Some(p);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn of(successes: u64, failures: u64) -> Sample {
        Sample { successes, failures }
    }

    /// Kinds by namespace and incident type, with successes and failures of both groups.
    fn groups(kinds: &[(&str, &str, Sample, Sample)]) -> Groups {
        let mut numbers = Kinds::default();
        let kind = |&(namespace, incident_type, with, without)| {
            let of = Stratum { namespace, incident_type, ..Stratum::default() };
            (numbers.kind(0, &of), Sides { with, without })
        };
        kinds.iter().map(kind).collect()
    }

    fn judged(groups: &Groups, in_flight: [u64; 2], minimum: u64) -> (Shown, Contrast) {
        let mut cases = [Case::of(groups, &BUT_VERSION, in_flight, minimum)];
        adjust(&mut cases);
        let [case] = cases;
        (case.shows(), case.contrast)
    }

    #[test]
    fn what_is_shown_is_shown_of_enough_that_are_alike_and_have_ended() {
        use Insufficient::{FewAlike, FewExecutions, InFlight};
        let better = groups(&[("a", "oom", of(90, 10), of(60, 40))]);
        let worse = groups(&[("a", "oom", of(60, 40), of(90, 10))]);
        let same = groups(&[("a", "oom", of(60, 40), of(60, 40))]);
        let apart = groups(&[("a", "oom", of(60, 40), of(0, 0)), ("b", "oom", of(0, 0), of(9, 91))]);
        let one = groups(&[("a", "oom", of(1, 0), of(0, 1))]);
        for (groups, in_flight, minimum, shown) in [
            (&better, [0, 0], 5, Shown::More),
            (&worse, [0, 0], 5, Shown::Less),
            (&same, [0, 0], 5, Shown::Nothing),
            (&better, [11, 11], 5, Shown::More),
            (&better, [12, 0], 5, Shown::Insufficient(InFlight)),
            (&better, [0, 12], 5, Shown::Insufficient(InFlight)),
            (&better, [u64::MAX, u64::MAX], 5, Shown::Insufficient(InFlight)),
            (&better, [0, 0], 100, Shown::More),
            (&better, [0, 0], 101, Shown::Insufficient(FewExecutions)),
            (&better, [0, 0], u64::MAX, Shown::Insufficient(FewExecutions)),
            (&apart, [0, 0], 5, Shown::Insufficient(FewAlike)),
            (&one, [0, 0], 1, Shown::Nothing),
            (&one, [0, 0], 0, Shown::Nothing),
            (&Groups::new(), [0, 0], 0, Shown::Insufficient(FewExecutions)),
        ] {
            assert_eq!(judged(groups, in_flight, minimum).0, shown, "{groups:?} {in_flight:?} {minimum}");
        }
    }

    #[test]
    fn of_nothing_every_figure_is_null() {
        let (shown, contrast) = judged(&Groups::new(), [0, 0], 0);
        assert_eq!(shown, Shown::Insufficient(Insufficient::FewExecutions));
        let json = serde_json::to_value(&contrast).unwrap();
        for figure in ["difference", "p_value", "adjusted_p_value", "raw", "raw_p_value"] {
            assert!(json[figure].is_null(), "{figure} of {json}");
        }
    }

    #[test]
    fn few_in_many_kinds_are_compared_by_where_they_ran_and_by_what_for() {
        // Twenty by twenty kinds, one execution in each: none is alike to another in all.
        let names: Vec<String> = (0..20).map(|name| name.to_string()).collect();
        let mut kinds = Vec::new();
        for (x, namespace) in names.iter().enumerate() {
            for (y, incident) in names.iter().enumerate() {
                let (with, without) = if (x + y) % 2 == 0 {
                    (of(u64::from((x * 7 + y * 3) % 10 < 8), u64::from((x * 7 + y * 3) % 10 >= 8)), of(0, 0))
                } else {
                    (of(0, 0), of(u64::from((x * 3 + y * 7) % 10 < 4), u64::from((x * 3 + y * 7) % 10 >= 4)))
                };
                kinds.push((namespace.as_str(), incident.as_str(), with, without));
            }
        }
        let (shown, contrast) = judged(&groups(&kinds), [0, 0], 5);
        assert_eq!(shown, Shown::More, "{contrast:?}");
        assert_eq!(contrast.alike_in, [vec![Log, Namespace], vec![IncidentType, TargetKind]]);
        assert_eq!((contrast.kinds, contrast.executions_left_out), (20, 0));
    }

    #[test]
    fn what_ran_in_one_place_only_is_not_compared_with_what_ran_in_others() {
        // A version on trial where everything goes well.
        let trial = groups(&[
            ("staging", "oom", of(98, 2), of(0, 0)),
            ("shop", "oom", of(0, 0), of(60, 40)),
            ("bank", "oom", of(0, 0), of(60, 40)),
        ]);
        let (shown, contrast) = judged(&trial, [0, 0], 5);
        assert_eq!(shown, Shown::Insufficient(Insufficient::FewAlike));
        assert!(contrast.raw.unwrap().lower.unwrap() > 0.2 && contrast.difference.is_none());
    }

    #[test]
    fn ways_that_contradict_each_other_show_nothing() {
        // By namespace it is better, by incident type worse; no kind has both groups.
        let (mut kinds, names) = (Vec::new(), ["a", "b", "c", "d"]);
        for (place, namespace) in names.into_iter().enumerate() {
            for (what, incident) in names.into_iter().enumerate() {
                let good = place < 2;
                let with = (place + what) % 2 == 0;
                let sample = match (with, good, what < 2) {
                    (true, true, true) => of(30, 10),
                    (true, true, false) => of(20, 4),
                    (true, false, _) => of(2, 30),
                    (false, true, _) => of(6, 3),
                    (false, false, _) => of(1, 40),
                };
                kinds.push(if with {
                    (namespace, incident, sample, of(0, 0))
                } else {
                    (namespace, incident, of(0, 0), sample)
                });
            }
        }
        let groups = groups(&kinds);
        let contrast = Contrast::of(&groups, &BUT_VERSION).0;
        let [by_place, by_what] =
            [&WHERE, &WHAT_FOR].map(|by| Alike::of(&groups, by, &BUT_VERSION).of.within.unwrap());
        let interval = contrast.difference.unwrap();
        for within in [by_place, by_what] {
            assert!(interval.lower.unwrap() <= within.difference.interval.lower);
            assert!(interval.upper.unwrap() >= within.difference.interval.upper);
            assert!(contrast.p_value.unwrap() >= within.p_value);
        }
    }

    #[test]
    fn of_many_that_differ_by_chance_none_is_shown() {
        // Each has p = 0.03 by itself.
        let chance = groups(&[("a", "oom", of(70, 30), of(55, 45))]);
        let case = || Case::of(&chance, &BUT_VERSION, [0, 0], 5);
        let mut one = [case()];
        adjust(&mut one);
        assert_eq!(one[0].shows(), Shown::More);
        let same = groups(&[("a", "oom", of(60, 40), of(60, 40))]);
        let mut many: Vec<Case> =
            (0..20).map(|_| Case::of(&same, &BUT_VERSION, [0, 0], 5)).chain([case()]).collect();
        // What cannot be judged makes nobody else less sure.
        let few = || Case::of(&chance, &BUT_VERSION, [0, 0], 1000);
        let mut unjudged: Vec<Case> = (0..20).map(|_| few()).chain([case()]).collect();
        adjust(&mut many);
        adjust(&mut unjudged);
        assert_eq!(many.last().unwrap().shows(), Shown::Nothing);
        assert_eq!(unjudged.last().unwrap().shows(), Shown::More);
        assert!(unjudged[0].contrast.adjusted_p_value.is_none());
    }

    fn any_sample() -> impl Strategy<Value = Sample> {
        let count = || prop_oneof![4 => 0..20_u64, 1 => 0..=1_000_000_000_u64, 1 => Just(u64::MAX)];
        (count(), count()).prop_map(|(successes, failures)| of(successes, failures))
    }

    proptest! {
        #[test]
        fn what_is_better_is_worse_the_other_way_round(
            kinds in collection::vec((0..3_usize, 0..3_usize, any_sample(), any_sample()), 0..12),
            in_flight in [0..20_u64, 0..20_u64],
            minimum in 0..20_u64,
        ) {
            const NAMES: [&str; 3] = ["", "a", "b"];
            let made = |turned: bool| {
                let of = |&(x, y, one, other)| {
                    let (with, without) = if turned { (other, one) } else { (one, other) };
                    (NAMES[x], NAMES[y], with, without)
                };
                let kinds: Vec<_> = kinds.iter().map(of).collect();
                groups(&kinds)
            };
            let [one, other] = in_flight;
            let (shown, contrast) = judged(&made(false), [one, other], minimum);
            let (turned, _) = judged(&made(true), [other, one], minimum);
            prop_assert_eq!(turned, match shown {
                Shown::More => Shown::Less,
                Shown::Less => Shown::More,
                same => same,
            });
            for estimate in [contrast.difference, contrast.raw].into_iter().flatten() {
                let (lower, upper) = (estimate.lower.unwrap(), estimate.upper.unwrap());
                prop_assert!(-1.0 <= lower && lower <= estimate.estimate);
                prop_assert!(estimate.estimate <= upper && upper <= 1.0);
            }
            for p in [contrast.p_value, contrast.adjusted_p_value, contrast.raw_p_value].into_iter().flatten() {
                prop_assert!(0.0 < p && p <= 1.0);
            }
        }
    }
}
