//! Which side does better, among many that are compared.

use dualaudit_record::statistics::RELATIVE_ERROR;

use super::{
    COMPARISONS, Compared, Comparison, Comparisons, Filters, Links, Pace, PaceVerdict, Period, Verdict,
    sides::Group,
};
use crate::learn::{
    contrast::{BUT_NAMESPACE, BUT_VERSION, Case, Dimension, FALSE_DISCOVERIES, Groups, Shown, adjust},
    figures::{CONFIDENCE, Durations, Estimate, Rate, Tally, bins},
    inference::{
        multiple,
        quantile_shift::{Bins, quantile, ratio, shift},
        stratified,
    },
};

/// Durations whose ratio is nearer to 1 than this are not told apart: they may lie in neighbouring bins, and be as near as
/// one likes.
const SAME_DURATION: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR) + 1e-9;

/// What is to be compared.
pub(super) struct Pair<'f> {
    pub(super) workflow: &'f str,
    pub(super) versions: [Option<&'f str>; 2],
    pub(super) sides: [Side<'f>; 2],
}

/// One side.
#[derive(Clone, Copy)]
pub(super) struct Side<'f> {
    pub(super) of: &'f Group,
    pub(super) period: Period,
    /// How many have not ended yet.
    pub(super) in_flight: u64,
}

impl<'f> Pair<'f> {
    fn groups(&self) -> Groups {
        let mut groups = Groups::new();
        let [one, other] = self.sides.map(|side| &side.of.kinds);
        for (&kind, &with) in one {
            groups.insert(kind, stratified::Stratum { with, ..Default::default() });
        }
        for (&kind, &without) in other {
            groups.entry(kind).or_default().without = without;
        }
        groups
    }
}

/// Whether executions that are read are told apart by their namespaces.
fn by_namespace(read: &Filters) -> bool {
    read.workflow.is_some() || read.namespace.is_some()
}

/// Compares the sides of each pair; of those who read the groups, `filters` are the ones.
pub(super) fn judged(filters: &Filters, pairs: Vec<Pair<'_>>, minimum: u64) -> Comparisons {
    let apart: &[Dimension] = if by_namespace(filters) { &BUT_VERSION } else { &BUT_NAMESPACE };
    let in_flight = |pair: &Pair<'_>| pair.sides.map(|side| side.in_flight);
    let mut cases: Vec<Case> =
        pairs.iter().map(|pair| Case::of(&pair.groups(), apart, in_flight(pair), minimum)).collect();
    adjust(&mut cases);
    let judged = cases.iter().filter(|case| case.insufficient.is_none()).count() as u64;
    let paces = paces(&pairs, &cases, minimum);
    let mut comparisons: Vec<Comparison> = pairs
        .into_iter()
        .zip(cases)
        .zip(paces)
        .map(|((pair, case), duration)| {
            let (verdict, insufficient) = match case.shows() {
                Shown::More => (Verdict::Better, None),
                Shown::Less => (Verdict::Worse, None),
                Shown::Nothing => (Verdict::NoDifferenceShown, None),
                Shown::Insufficient(why) => (Verdict::InsufficientData, Some(why)),
            };
            let [one, against] = [0, 1].map(|place| {
                compared(filters, pair.workflow, pair.versions[place], pair.sides[place], minimum)
            });
            let workflow = pair.workflow.to_owned();
            Comparison { workflow, verdict, insufficient, one, against, success: case.contrast, duration }
        })
        .collect();
    comparisons.sort_by(|one, other| {
        let p = |it: &Comparison| it.success.p_value.unwrap_or(1.0);
        one.verdict.cmp(&other.verdict).then(p(one).total_cmp(&p(other)))
    });
    let more = comparisons.len() > COMPARISONS;
    comparisons.truncate(COMPARISONS);
    Comparisons { against_period: None, judged, comparisons, more }
}

fn compared(
    filters: &Filters,
    workflow: &str,
    version: Option<&str>,
    side: Side<'_>,
    minimum: u64,
) -> Compared {
    let Side { of, period, in_flight } = side;
    let tally = Tally::of(&of.ended);
    Compared {
        version: version.map(str::to_owned),
        tally,
        success: Rate::new(tally.success, tally.executions, minimum),
        duration: Durations::of(&of.successful, minimum),
        in_flight,
        executions: Links::to(&filters.of(workflow, version), period),
    }
}

/// How long the successful take. Of what is in flight in too great a number, the longest are missing, and so it is as
/// insufficient for this.
fn paces(pairs: &[Pair<'_>], cases: &[Case], minimum: u64) -> Vec<Pace> {
    let sides: Vec<[Bins; 2]> =
        pairs.iter().map(|pair| pair.sides.map(|side| bins(&side.of.successful))).collect();
    let is_enough = |place: usize| {
        let few = sides[place].iter().any(|side| side.total() < minimum.max(1));
        !few && !cases[place].too_many_in_flight
    };
    let mut paces: Vec<Pace> = sides.iter().map(pace).collect();
    let judged: Vec<usize> = (0..paces.len()).filter(|&place| is_enough(place)).collect();
    let p_values: Vec<f64> = judged.iter().map(|&place| paces[place].p_value.unwrap_or(1.0)).collect();
    for (place, p) in judged.into_iter().zip(multiple::adjusted(&p_values)) {
        let pace = &mut paces[place];
        pace.adjusted_p_value = Some(p);
        pace.verdict = match pace.p50 {
            Some(Estimate { lower: Some(lower), .. }) if lower > SAME_DURATION && p <= FALSE_DISCOVERIES => {
                PaceVerdict::Longer
            }
            Some(Estimate { upper: Some(upper), .. })
                if upper < 1.0 / SAME_DURATION && p <= FALSE_DISCOVERIES =>
            {
                PaceVerdict::Shorter
            }
            _ => PaceVerdict::NoDifferenceShown,
        };
    }
    paces
}

/// Unjudged yet.
fn pace([one, other]: &[Bins; 2]) -> Pace {
    let at = |share| {
        let [one, other] = [one, other].map(|side| quantile(side, share, CONFIDENCE));
        one.zip(other).map(|(one, other)| ratio(&one, &other).into())
    };
    Pace {
        p50: at(0.5),
        p90: at(0.9),
        p_value: shift(one, other).map(|shift| shift.p_value),
        adjusted_p_value: None,
        verdict: PaceVerdict::InsufficientData,
    }
}
