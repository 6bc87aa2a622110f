//! What answers ask of the statistics.

use dualaudit::store::WantedCells;
use dualaudit_record::{
    Time,
    statistics::{Hour, Key, Level, Part, Scope, View},
};

use super::fleet::{Draw, Drawn};

/// A question: of a sample's number and the end of all executions, what is asked for, one after the other.
pub(crate) type Question = fn(u64, Time) -> Vec<Vec<WantedCells>>;

/// Days before the end, and whether the period ends there or as long before.
fn period(days: i64, ended: Time, before: bool) -> (Hour, Hour) {
    let end = ended.saturating_add_micros(3_600_000_000);
    let back = |days: i64| Hour::of(end.saturating_add_micros(-days * 86_400_000_000));
    if before { (back(2 * days), back(days)) } else { (back(days), Hour::of(end)) }
}

fn wanted(view: View, begins: Key, days: i64, ended: Time, by: Option<Level>, part: Part) -> WantedCells {
    let (from, until) = period(days, ended, false);
    WantedCells { view, begins, from, until, by, part }
}

/// What the workflows of a scope did, and before, and a series.
fn workflows(begins: Key, days: i64, ended: Time, part: Part) -> Vec<Vec<WantedCells>> {
    let now = wanted(View::Runs, begins, days, ended, None, part);
    let (from, until) = period(days, ended, true);
    let before = WantedCells { from, until, ..now.clone() };
    let series = WantedCells { by: Some(Level::Day), part: Part::Ended, ..now.clone() };
    vec![vec![now, before, series]]
}

fn all() -> Key {
    Key::scope(Scope::All, &[])
}

fn drawn(sample: u64) -> Drawn {
    Draw::of(sample ^ 0x5EED).drawn()
}

fn recommend(drawn: &Drawn, days: i64, ended: Time) -> Vec<Vec<WantedCells>> {
    let Drawn { namespace, incident_type, target_kind, .. } = drawn;
    let narrow = Key::scope(
        Scope::NamespaceIncidentTypeAndTargetKind,
        &[namespace.as_str(), incident_type.as_str(), *target_kind],
    );
    let wide = Key::scope(Scope::IncidentTypeAndTargetKind, &[incident_type.as_str(), *target_kind]);
    let runs = [narrow, wide].map(|begins| wanted(View::Runs, begins, days, ended, None, Part::Ended));
    let steps = [0, 1, 2].map(|place| {
        let begins = Key::workflow(&format!("remediate-workflow-{place:03}"));
        wanted(View::Steps, begins, days, ended, None, Part::All)
    });
    vec![runs.to_vec(), steps.to_vec()]
}

fn of_workflow(view: View, workflow: &str, days: i64, ended: Time, part: Part) -> Vec<Vec<WantedCells>> {
    vec![vec![wanted(view, Key::workflow(workflow), days, ended, None, part)]]
}

const TOP: &str = "remediate-workflow-000";

pub(crate) const QUESTIONS: [(&str, Question); 20] = [
    ("workflows, 7 days, counts", |_, ended| workflows(all(), 7, ended, Part::Counts)),
    ("workflows, 28 days, counts", |_, ended| workflows(all(), 28, ended, Part::Counts)),
    ("workflows, 90 days, counts", |_, ended| workflows(all(), 90, ended, Part::Counts)),
    ("workflows, a year, counts", |_, ended| workflows(all(), 365, ended, Part::Counts)),
    ("workflows, 28 days, durations too", |_, ended| workflows(all(), 28, ended, Part::All)),
    ("workflows of a namespace, 28 days, durations", |sample, ended| {
        let begins = Key::scope(Scope::Namespace, &[drawn(sample).namespace.as_str()]);
        workflows(begins, 28, ended, Part::All)
    }),
    ("recommend, 28 days", |sample, ended| recommend(&drawn(sample), 28, ended)),
    ("recommend, 90 days", |sample, ended| recommend(&drawn(sample), 90, ended)),
    ("recommend, a year", |sample, ended| recommend(&drawn(sample), 365, ended)),
    ("regressions: 35 days, ended", |_, ended| {
        vec![vec![wanted(View::Runs, all(), 35, ended, Some(Level::Day), Part::Ended)]]
    }),
    ("regressions: 35 days, durations too", |_, ended| {
        vec![vec![wanted(View::Runs, all(), 35, ended, Some(Level::Day), Part::All)]]
    }),
    ("compare: strata of the top workflow, 28 days", |_, ended| {
        of_workflow(View::Strata, TOP, 28, ended, Part::Ended)
    }),
    ("compare: the same, 90 days", |_, ended| of_workflow(View::Strata, TOP, 90, ended, Part::Ended)),
    ("compare: strata of any workflow, 28 days", |sample, ended| {
        of_workflow(View::Strata, &drawn(sample).workflow, 28, ended, Part::Ended)
    }),
    ("adjustments: of the top workflow, 28 days", |_, ended| {
        of_workflow(View::Strata, TOP, 28, ended, Part::Counts)
    }),
    ("adjustments: of any workflow, 28 days", |sample, ended| {
        of_workflow(View::Strata, &drawn(sample).workflow, 28, ended, Part::Counts)
    }),
    ("steps: of the top workflow, 28 days", |_, ended| of_workflow(View::Steps, TOP, 28, ended, Part::All)),
    ("steps: in strata of any workflow, 28 days", |sample, ended| {
        of_workflow(View::Strata, &drawn(sample).workflow, 28, ended, Part::All)
    }),
    ("texts of the top workflow, 28 days", |_, ended| of_workflow(View::Texts, TOP, 28, ended, Part::All)),
    ("texts of any workflow, 28 days", |sample, ended| {
        of_workflow(View::Texts, &drawn(sample).workflow, 28, ended, Part::All)
    }),
];
