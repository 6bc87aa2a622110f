//! How workflows do: success, effectiveness, time, retries and rollbacks, and what changed since the period before.

use std::{borrow::Cow, collections::BTreeMap};

use dualaudit_record::{
    Time,
    execution::{Outcome, ScoreSource},
    statistics::{Cell, Counts, Ended, Kept, Part, RunsCell, Scores, Sketch, Stretch},
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
    source::{FoundCell, Row, Runs, row, runs},
};
use crate::{
    parameter::{one_of, whole as whole_number},
    store::WantedCells,
};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// The parameters beside those of every answer.
const ALSO: [&str; 3] = ["by", "series", "limit"];
/// How many rows are told unless asked otherwise,
const LIMIT: u32 = 200;
/// and at most.
const MOST: u32 = 1000;

/// What is asked of workflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer.
    pub question: Question,
    /// What a row is of.
    pub by: By,
    /// Whether rows say how they came about, bucket by bucket.
    pub series: bool,
    /// How many rows are told at most.
    pub limit: usize,
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
        let limit = given(pairs, "limit", |value| whole_number(value, MOST))?.unwrap_or(LIMIT);
        Ok(Self {
            question,
            by: by.unwrap_or_default(),
            series: series.unwrap_or_default(),
            limit: limit as usize,
        })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    /// The period, and the one before; the period as a series; and the workflows that one is compared with.
    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let period = self.period(as_of);
        let Self { question: Question { filters, .. }, by, series, .. } = self;
        let mut reads =
            vec![filters.runs(*by, period, Part::All), filters.runs(*by, period.before(as_of), Part::Ended)];
        reads.extend(series.then(|| filters.series(*by, period)));
        reads.extend(self.group().map(|group| group.runs(By::Workflow, period, Part::Counts)));
        reads
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Workflows, LearnError> {
        let period = self.period(as_of);
        let mut sums = Sums { runs: runs(&found.cells[0])?, before: runs(&found.cells[1])? };
        // Of what only hangs nothing ended, and it must be seen all the same.
        for row in found.flights.rows(self.by == By::Version || self.question.filters.version.is_some()) {
            sums.runs.entry(row).or_default();
        }
        let series = if self.series { ended_by_stretch(&found.cells[2], as_of)? } else { BTreeMap::new() };
        let group = match (self.group(), found.cells.last()) {
            (Some(_), Some(group)) => self.shrunk(&runs(group)?),
            _ => self.shrunk(&sums.runs),
        };
        Ok(self.told(period, period.before(as_of), &sums, &found.flights, &series, &group))
    }
}

/// How workflows do, the most run first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Workflows {
    /// The period that changes are since.
    pub before: Period,
    /// All executions that were asked for.
    pub total: Tally,
    /// One a workflow, or version.
    pub workflows: Vec<Workflow>,
    /// There are more than were asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// How a workflow, or one version of it, does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Effectiveness {
    /// How many.
    pub count: u64,
    /// Of these, how many were reported; the others were derived.
    pub reported: u64,
    /// Their mean; null of none.
    pub mean: Option<f64>,
    /// The mean, drawn towards that of the workflows for the same incident type, the more the fewer executions there
    /// are; only where an incident type is asked for, and at least three workflows of it have scores. Which one is asked
    /// about makes no difference.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unshrunk {
    /// No incident type was asked for: workflows for different incidents have no common mean.
    NoIncidentType,
    /// Versions are told apart: only workflows are drawn towards each other.
    Versions,
    /// Fewer than three workflows have scores: nothing tells how workflows differ.
    TooFewWorkflows,
    /// No workflow has two scores: nothing tells how executions differ.
    SingleExecutions,
}

/// How many executions did something again, and how often in all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Repeated {
    /// How many executions.
    pub executions: Rate,
    /// How often, in all of them.
    pub total: u64,
}

/// Success, against the period before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SuccessChange)]
pub struct Change {
    /// Success in the period before.
    pub before: Rate,
    /// The rate less that of the period before, with Newcombe's interval; null where either has no executions.
    pub difference: Option<Estimate>,
}

/// A stretch of time of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SeriesPoint)]
pub struct Point {
    /// When it begins and ends.
    #[serde(flatten)]
    pub period: Period,
    /// Executions that count.
    pub executions: u64,
    /// Of these, how many succeeded.
    pub success: u64,
}

/// How executions ended in each stretch of time, by row.
type Series<'f> = BTreeMap<Row<'f>, BTreeMap<Stretch, Counts<Ended>>>;

/// A log that has not come to `as_of` may tell shorter stretches apart than others do: these are put together.
fn ended_by_stretch(cells: &[FoundCell], as_of: Time) -> Result<Series<'_>, LearnError> {
    let mut ended = Series::new();
    for FoundCell { stretch, key, cell, .. } in cells {
        let Cell::Runs(cell) = cell else { continue };
        let stretch = Kept::by(as_of).outward(*stretch);
        let counts = ended.entry(row(key)?).or_default().entry(stretch).or_default();
        counts.merge(&cell.ended, |all, count| *all += count);
    }
    Ok(ended)
}

fn points(stretches: &BTreeMap<Stretch, Counts<Ended>>) -> Vec<Point> {
    let point = |(stretch, ended): (&Stretch, &Counts<Ended>)| {
        let Tally { executions, success, .. } = Tally::of(ended);
        let period = Period { since: stretch.from.start(), until: stretch.until.start() };
        Point { period, executions, success }
    };
    stretches.iter().map(point).collect()
}

/// The means of workflows, drawn towards that of all, or why they are not.
type Group<'f> = Result<BTreeMap<&'f str, shrinkage::Shrunk>, Unshrunk>;

/// What the answer is made of, by row.
struct Sums<'f> {
    runs: Runs<'f>,
    before: Runs<'f>,
}

impl Request {
    /// The workflows among which one that is asked about stands, where it alone is.
    fn group(&self) -> Option<Filters> {
        let filters = &self.question.filters;
        let is_one_of_a_type = filters.workflow.is_some() && filters.incident_type.is_some();
        (is_one_of_a_type && !self.tells_versions()).then(|| Filters {
            workflow: None,
            version: None,
            ..filters.clone()
        })
    }

    fn tells_versions(&self) -> bool {
        self.by == By::Version || self.question.filters.version.is_some()
    }

    /// The means of a group of workflows, each drawn towards that of all.
    fn shrunk<'f>(&self, group: &Runs<'f>) -> Group<'f> {
        if self.question.filters.incident_type.is_none() {
            return Err(Unshrunk::NoIncidentType);
        }
        if self.tells_versions() {
            return Err(Unshrunk::Versions);
        }
        let scores: Vec<_> = group.values().map(|cell| moments(&scores(cell))).collect();
        match shrink(&scores) {
            Shrinkage::TooFewWorkflows => Err(Unshrunk::TooFewWorkflows),
            Shrinkage::SingleRuns => Err(Unshrunk::SingleExecutions),
            Shrinkage::Shrunk(shrunk) => {
                Ok(group.keys().map(|(workflow, _)| *workflow).zip(shrunk.workflows).collect())
            }
        }
    }

    /// The answer, from sums of the period and of the one before.
    fn told(
        &self,
        period: Period,
        before: Period,
        sums: &Sums<'_>,
        flights: &Flights,
        series: &Series<'_>,
        group: &Group<'_>,
    ) -> Workflows {
        let Self { question: Question { filters, minimum, .. }, limit, .. } = self;
        let minimum = *minimum;
        let tallies: Vec<Tally> = sums.runs.values().map(|cell| Tally::of(&cell.ended)).collect();
        let mut ranked: Vec<_> = sums.runs.iter().enumerate().collect();
        // Stable, so equals stay in the order of their names.
        ranked.sort_by_key(|(place, _)| std::cmp::Reverse(tallies[*place].executions));
        let more = ranked.len() > *limit;
        let told = |(place, (row, cell)): (usize, (&Row<'_>, &Cow<'_, RunsCell>))| {
            let (tally, (workflow, version)) = (tallies[place], *row);
            let earlier = sums.before.get(row).map(|cell| Tally::of(&cell.ended)).unwrap_or_default();
            let rate = |count| Rate::new(count, tally.executions, minimum);
            let successful = cell.durations.get(&Outcome::Success).map(|timed| &timed.sketch);
            let reported = cell.scores.get(&ScoreSource::Reported).map_or(0, |scores| whole(scores.count));
            let repeated =
                |executions, total| Repeated { executions: rate(whole(executions)), total: whole(total) };
            Workflow {
                workflow: workflow.to_owned(),
                version: version.filter(|_| self.by == By::Version).map(str::to_owned),
                tally,
                success: rate(tally.success),
                partial: rate(tally.partial),
                failed: rate(tally.failed),
                effectiveness: effectiveness(&scores(cell), reported, group, workflow, minimum),
                duration: Durations::of(successful.unwrap_or(&Sketch::default()), minimum),
                duration_of_all: Durations::of(&all_durations(cell), minimum),
                queued: Durations::of(&cell.queued.sketch, minimum),
                retries: repeated(cell.retried, cell.retries),
                rollbacks: repeated(cell.rolled_back, cell.rollbacks),
                change: Change {
                    before: Rate::new(earlier.success, earlier.executions, minimum),
                    difference: difference(tally.sample(), earlier.sample(), CONFIDENCE).map(Estimate::from),
                },
                in_flight: flights.of(workflow, version),
                series: series.get(row).map(points).unwrap_or_default(),
                executions: Links::to(&filters.of(workflow, version), period),
            }
        };
        Workflows {
            before,
            total: tallies.iter().copied().fold(Tally::default(), Tally::plus),
            workflows: ranked.into_iter().take(*limit).map(told).collect(),
            more,
        }
    }
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

fn effectiveness(
    scores: &Scores,
    reported: u64,
    group: &Group<'_>,
    workflow: &str,
    minimum: u64,
) -> Effectiveness {
    let count = whole(scores.count);
    let shrunk = group.as_ref().ok().and_then(|group| group.get(workflow));
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

    #[test]
    fn a_mean_is_drawn_the_same_whichever_workflow_is_asked_about() {
        let now = sample::at(3600);
        let of = |workflow: &str, n: i32| WorkflowExecutionAudit {
            workflow_name: workflow.to_owned(),
            incident_type: Some("oom".to_owned()),
            effectiveness_score: f64::from(n) / 10.0,
            completed_at: sample::at(0),
            ..sample::record(&format!("{workflow}-{n}"))
        };
        let records: Vec<_> = [("a", 1), ("b", 3), ("c", 5)]
            .into_iter()
            .flat_map(|(it, n)| [of(it, n), of(it, n + 2)])
            .collect();
        let given = Given::of("default", &records, now);
        let ask = |pairs: &[(&str, &str)]| {
            let answer = given.ask(&asked::<Request>(pairs, now));
            answer.workflows.into_iter().find(|it| it.workflow == "b").unwrap().effectiveness
        };
        let among_all = ask(&[("incident_type", "oom")]);
        assert!(among_all.weight.is_some_and(|weight| weight > 0.0 && weight < 1.0), "{among_all:?}");
        assert_eq!(ask(&[("incident_type", "oom"), ("workflow", "b")]), among_all);
        assert_eq!(ask(&[("incident_type", "oom"), ("by", "version")]).unshrunk, Some(Unshrunk::Versions));
        assert_eq!(ask(&[("workflow", "b")]).unshrunk, Some(Unshrunk::NoIncidentType));
    }
}
