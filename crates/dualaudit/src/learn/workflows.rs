//! How workflows do: success, effectiveness, time, retries and rollbacks, and what changed since the period before.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    execution::{Outcome, ScoreSource},
    statistics::{Cell, Counts, Ended, RunsCell, Scores, Stretch, View},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Filters, Flights, Found, LearnError, Links, Period, Question, Unanswerable,
    figures::{CONFIDENCE, Durations, Estimate, InFlight, Rate, Tally, all_durations, whole},
    inference::{
        proportion::difference,
        shrinkage::{self, Shrinkage, shrink},
    },
    question::{boolean, given},
    source::{FoundCell, runs, wanted, wanted_series},
};
use crate::{parameter::one_of, store::WantedCells};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// The parameters beside those of every answer.
const ALSO: [&str; 2] = ["by", "series"];

/// What is asked of workflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer.
    pub question: Question,
    /// What a row is of.
    pub by: By,
    /// Whether rows say how they came about, bucket by bucket.
    pub series: bool,
}

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A workflow, all its versions.
    #[default]
    Workflow,
    /// A version of a workflow.
    Version,
}

impl Ask for Request {
    const NAME: &'static str = "workflows";
    type Answer = Workflows;

    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        let by = given(pairs, "by", |value| one_of(value, "workflow or version"))?;
        let series = given(pairs, "series", boolean)?;
        Ok(Self { question, by: by.unwrap_or_default(), series: series.unwrap_or_default() })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    /// The period, and the one before; and the period as a series.
    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let period = self.period(as_of);
        let begins = self.question.filters.runs_begin();
        let mut reads = vec![
            wanted(View::Runs, begins.clone(), period),
            wanted(View::Runs, begins.clone(), period.before(as_of)),
        ];
        reads.extend(self.series.then(|| wanted_series(View::Runs, begins, period)));
        reads
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Workflows, LearnError> {
        let Self { question, by, series } = self;
        let period = self.period(as_of);
        let of = |place: usize| runs(&question.filters, &found.cells[place]).map(|runs| grouped(*by, runs));
        let sums = Sums { runs: of(0)?, before: of(1)? };
        let points = if *series { points(*by, &question.filters, &found.cells[2])? } else { BTreeMap::new() };
        Ok(answer(question, period, period.before(as_of), &sums, &found.flights, points))
    }
}

/// How workflows do, the most run first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflows {
    /// The period that changes are since.
    pub before: Period,
    /// All executions that were asked for.
    pub total: Tally,
    /// One a workflow, or version.
    pub workflows: Vec<Workflow>,
}

/// How a workflow, or one version of it, does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name.
    pub workflow: String,
    /// Which version, where versions are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How executions ended.
    pub tally: Tally,
    /// Of those that count, how many succeeded,
    pub success: Rate,
    /// how many did in part,
    pub partial: Rate,
    /// and how many failed.
    pub failed: Rate,
    /// How well they did.
    pub effectiveness: Effectiveness,
    /// How long the successful took.
    pub duration: Durations,
    /// How long all took that count.
    pub duration_of_all: Durations,
    /// How long executions waited from their creation to their start, where that is known.
    pub queued: Durations,
    /// Of those that count, how many retried a step, and how often.
    pub retries: Repeated,
    /// How many rolled steps back, and how many steps.
    pub rollbacks: Repeated,
    /// What changed since the period before.
    pub change: Change,
    /// What has not ended yet.
    pub in_flight: InFlight,
    /// How it came about, stretch by stretch, hours, days or months; none unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Point>,
    /// Where the executions are.
    pub executions: Links,
}

/// Scores, 0..1, of executions that count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effectiveness {
    /// How many.
    pub count: u64,
    /// Of these, how many were reported; the others were derived.
    pub reported: u64,
    /// Their mean; null of none.
    pub mean: Option<f64>,
    /// The mean, drawn towards that of the workflows for the same incident type, the more the fewer executions there
    /// are; only where an incident type is asked for, and at least three workflows of it have scores.
    pub shrunk: Option<f64>,
    /// How much of that is its own, 0..1.
    pub weight: Option<f64>,
    /// Why there is no shrunk mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unshrunk: Option<Unshrunk>,
    /// It is made of fewer executions than the minimum.
    pub insufficient_data: bool,
}

/// Why a mean stands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unshrunk {
    /// No incident type was asked for: workflows for different incidents have no common mean.
    NoIncidentType,
    /// Fewer than three workflows have scores: nothing tells how workflows differ.
    TooFewWorkflows,
    /// No workflow has two scores: nothing tells how executions differ.
    SingleExecutions,
}

/// How many executions did something again, and how often in all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeated {
    /// How many executions.
    pub executions: Rate,
    /// How often, in all of them.
    pub total: u64,
}

/// Success, against the period before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Success in the period before.
    pub before: Rate,
    /// The rate less that of the period before, with Newcombe's interval; null where either has no executions.
    pub difference: Option<Estimate>,
}

/// A stretch of time of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// When it begins and ends.
    #[serde(flatten)]
    pub period: Period,
    /// Executions that count.
    pub executions: u64,
    /// Of these, how many succeeded.
    pub success: u64,
}

/// What a row is of: a workflow, and which version, if they are told apart.
pub(super) type Row = (String, Option<String>);

/// Sums of runs by row.
pub(super) fn grouped(by: By, runs: BTreeMap<(String, String), RunsCell>) -> BTreeMap<Row, RunsCell> {
    let mut rows: BTreeMap<Row, RunsCell> = BTreeMap::new();
    for ((workflow, version), cell) in runs {
        rows.entry((workflow, (by == By::Version).then_some(version))).or_default().merge(&cell, 1);
    }
    rows
}

/// How executions ended in each stretch of time, by row.
fn points(by: By, filters: &Filters, cells: &[FoundCell]) -> Result<BTreeMap<Row, Vec<Point>>, LearnError> {
    let mut ended: BTreeMap<Row, BTreeMap<Stretch, Counts<Ended>>> = BTreeMap::new();
    for FoundCell { stretch, key, cell, .. } in cells {
        let (Cell::Runs(cell), Some((workflow, version))) = (cell, filters.runs_key(key)?) else { continue };
        let row = (workflow.to_owned(), (by == By::Version).then(|| version.to_owned()));
        let counts = ended.entry(row).or_default().entry(*stretch).or_default();
        cell.ended.iter().for_each(|(&ended, count)| *counts.entry(ended).or_default() += count);
    }
    let series = |stretches: BTreeMap<Stretch, Counts<Ended>>| {
        let points = stretches.into_iter().map(|(stretch, ended)| {
            let Tally { executions, success, .. } = Tally::of(&ended);
            let period = Period { since: stretch.from.start(), until: stretch.until.start() };
            Point { period, executions, success }
        });
        points.collect()
    };
    Ok(ended.into_iter().map(|(row, buckets)| (row, series(buckets))).collect())
}

/// What the answer is made of, by row.
struct Sums {
    runs: BTreeMap<Row, RunsCell>,
    before: BTreeMap<Row, RunsCell>,
}

/// The answer, from sums of the period and of the one before.
fn answer(
    question: &Question,
    period: Period,
    before: Period,
    sums: &Sums,
    flights: &Flights,
    mut series: BTreeMap<Row, Vec<Point>>,
) -> Workflows {
    let minimum = question.minimum;
    let scores: Vec<Scores> = sums.runs.values().map(scores).collect();
    let group = shrunk(question.filters.incident_type.is_some(), &scores);
    let mut rows = Vec::new();
    let mut total = Counts::<Ended>::new();
    for (place, (row, cell)) in sums.runs.iter().enumerate() {
        cell.ended.iter().for_each(|(&ended, count)| *total.entry(ended).or_default() += count);
        let tally = Tally::of(&cell.ended);
        let earlier = sums.before.get(row).map(|cell| Tally::of(&cell.ended)).unwrap_or_default();
        let rate = |count| Rate::new(count, tally.executions, minimum);
        let successful = cell.durations.get(&Outcome::Success).map(|timed| timed.sketch.clone());
        let reported = cell.scores.get(&ScoreSource::Reported).map_or(0, |scores| whole(scores.count));
        let effectiveness = effectiveness(&scores[place], reported, &group, place, minimum);
        let repeated =
            |executions, total| Repeated { executions: rate(whole(executions)), total: whole(total) };
        let (workflow, version) = row.clone();
        rows.push(Workflow {
            tally,
            success: rate(tally.success),
            partial: rate(tally.partial),
            failed: rate(tally.failed),
            effectiveness,
            duration: Durations::of(&successful.unwrap_or_default(), minimum),
            duration_of_all: Durations::of(&all_durations(cell), minimum),
            queued: Durations::of(&cell.queued.sketch, minimum),
            retries: repeated(cell.retried, cell.retries),
            rollbacks: repeated(cell.rolled_back, cell.rollbacks),
            change: Change {
                before: Rate::new(earlier.success, earlier.executions, minimum),
                difference: difference(tally.sample(), earlier.sample(), CONFIDENCE).map(Estimate::from),
            },
            in_flight: flights.of(&row.0, row.1.as_deref()),
            series: series.remove(row).unwrap_or_default(),
            executions: Links::to(&question.filters.of(&workflow, version.as_deref()), period),
            workflow,
            version,
        });
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.tally.executions));
    Workflows { before, total: Tally::of(&total), workflows: rows }
}

/// All scores of a cell, wherever they come from.
fn scores(cell: &RunsCell) -> Scores {
    cell.scores.values().fold(Scores::default(), |mut all, scores| {
        all.merge(scores, 1);
        all
    })
}

/// Scores as inference takes them, 0..1.
fn moments(scores: &Scores) -> shrinkage::Scores {
    let count = whole(scores.count);
    let n = count as f64;
    let mean = if count == 0 { 0.0 } else { scores.sum as f64 / 1e6 / n };
    let deviations = (scores.squares as f64 / 1e6 - n * mean * mean).max(0.0);
    let variance = if count < 2 { 0.0 } else { deviations / (n - 1.0) };
    shrinkage::Scores { runs: count, mean, variance }
}

fn shrunk(of_one_type: bool, scores: &[Scores]) -> Result<Vec<shrinkage::Shrunk>, Unshrunk> {
    if !of_one_type {
        return Err(Unshrunk::NoIncidentType);
    }
    match shrink(&scores.iter().map(moments).collect::<Vec<_>>()) {
        Shrinkage::TooFewWorkflows => Err(Unshrunk::TooFewWorkflows),
        Shrinkage::SingleRuns => Err(Unshrunk::SingleExecutions),
        Shrinkage::Shrunk(group) => Ok(group.workflows),
    }
}

fn effectiveness(
    scores: &Scores,
    reported: u64,
    group: &Result<Vec<shrinkage::Shrunk>, Unshrunk>,
    place: usize,
    minimum: u64,
) -> Effectiveness {
    let count = whole(scores.count);
    let shrunk = group.as_ref().ok().map(|group| group[place]);
    Effectiveness {
        count,
        reported,
        mean: (count > 0).then(|| moments(scores).mean),
        shrunk: shrunk.map(|shrunk| shrunk.mean),
        weight: shrunk.map(|shrunk| shrunk.weight),
        unshrunk: group.as_ref().err().copied(),
        insufficient_data: count < minimum,
    }
}

#[cfg(test)]
mod tests {
    use dualaudit_record::WorkflowExecutionAudit;

    use super::*;
    use crate::{
        learn::testing::{Given, asked},
        store::conformance::sample,
    };

    #[test]
    fn sums_of_records_are_asked_as_a_store_is() {
        let now = sample::at(3600);
        let of = |id: &str, outcome| WorkflowExecutionAudit {
            outcome,
            completed_at: sample::at(0),
            ..sample::record(id)
        };
        let records = [of("a", Outcome::Success), of("b", Outcome::Failed)];
        let answer = Given::of("default", &records, now).ask(&asked::<Request>(&[], now));
        assert_eq!((answer.total.executions, answer.total.success, answer.workflows.len()), (2, 1, 1));
        let elsewhere = asked::<Request>(&[("namespace", "nowhere")], now);
        assert_eq!(Given::of("default", &records, now).ask(&elsewhere).total.executions, 0);
    }
}
