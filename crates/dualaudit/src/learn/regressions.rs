//! What got worse: each day that is over is judged once, against the 28 days before it.
//!
//! A series is a workflow, or a version of one, in a log. It is judged by its rate of success, and by how long the
//! successful took; of all that is judged on a day, at most 5 % of what is found is expected to be nothing.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    day::Day,
    execution::Outcome,
    statistics::{Cell, Kept, Level, Part, Sketch},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Filters, Found, LearnError, Links, Period, Question, Unanswerable,
    figures::{CONFIDENCE, Durations, Estimate, Rate, Tally, bins},
    inference::{
        proportion::{Sample, difference},
        quantile_shift::{quantile, ratio},
    },
    question::given,
    source::{FoundCell, row},
    workflows::By,
};
use crate::{parameter::one_of, store::WantedCells};

pub mod judge;

use judge::{Daily, Measure, Run, State, judge};

/// The period unless another is asked for, in days.
const DAYS: i64 = 7;
const MICROS: i64 = 86_400_000_000;
/// The parameters beside those of every answer.
const ALSO: [&str; 1] = ["by"];
/// How many regressions are told at most.
const MOST: usize = 1000;

/// What is asked of regressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer.
    pub question: Question,
    /// What a series is of.
    pub by: By,
}

impl Ask for Request {
    const NAME: &'static str = "regressions";
    type Answer = Regressions;

    /// Where a version is asked for, versions are told apart.
    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        let by = given(pairs, "by", |value| one_of(value, "workflow or version"))?.unwrap_or_default();
        let by = if question.filters.version.is_some() { By::Version } else { by };
        Ok(Self { question, by })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    /// The days that are touched, but for those that are not over yet.
    fn period(&self, as_of: Time) -> Period {
        let Period { since, until } = self.question.period;
        let last = Day::of(until.saturating_add_micros(-1));
        let until = last.start().saturating_add_micros(MICROS).min(Day::of(as_of).start());
        Period { since: Day::of(since).start().min(until), until }
    }

    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let read = self.judged().runs(self.by, self.read(as_of), Part::EndedAndSuccessful);
        vec![WantedCells { by: Some(Level::Day), ..read }]
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Regressions, LearnError> {
        let read = self.read(as_of);
        let fleet = self.fleet(read, found.cells.iter().flatten())?;
        let days = days_between(read.since, self.period(as_of).since);
        Ok(self.judged_days(as_of, &found.logs, &fleet, days))
    }
}

/// What got worse, the latest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Regressions {
    /// Those found on any day of the period; what lasts comes first, and of that what began last.
    pub regressions: Vec<Regression>,
    /// There are more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// What was judged on each day of the period.
    pub days: Vec<JudgedDay>,
    /// What could not be judged.
    pub not_judged: NotJudged,
}

/// What was judged on a day, whatever workflow is asked about: how sure a finding has to be depends on all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgedDay {
    /// Which day of UTC.
    pub day: Day,
    /// How many series had enough executions, on the day and before it.
    pub series: u64,
    /// How many comparisons that makes: of success, and of durations.
    pub comparisons: u64,
    /// How many regressions were found.
    pub found: u64,
}

/// What could not be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NotJudged {
    /// Days of the period that are not over yet.
    pub days_not_over: u64,
    /// Days that are kept in the sums of their months alone.
    pub days_in_months: u64,
    /// Series of those asked about that had executions in the period, and on no day enough of them, or on too few days
    /// before.
    pub series: u64,
}

/// Something that got worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Regression {
    /// The log it is in.
    pub log: String,
    /// The workflow.
    pub workflow: String,
    /// Which version, where versions are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The first of the days in a row that it was found on.
    pub since: Day,
    /// The last.
    pub last: Day,
    /// On how many days it was found.
    pub days: u64,
    /// What became of it.
    pub state: State,
    /// What it was, and what it is.
    #[serde(flatten)]
    pub change: Change,
    /// How likely it is nothing, at most: the p-value of the day that shows it best, adjusted for all that was judged on
    /// that day (Benjamini and Hochberg).
    pub adjusted_p: f64,
    /// The days it is compared with.
    pub before: Period,
    /// Where the executions are from the first to the last day.
    pub executions: Links,
    /// Where those are that they are compared with.
    pub executions_before: Links,
}

/// What it was on the days before, and what it is from the first to the last day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "measure", rename_all = "snake_case")]
#[schema(as = RegressionChange)]
pub enum Change {
    /// The share that succeeded fell.
    Success {
        /// What it was.
        was: Rate,
        /// What it is.
        is: Rate,
        /// The rate less what it was, with Newcombe's interval.
        difference: Option<Estimate>,
    },
    /// The successful take longer.
    Duration {
        /// How long they took.
        was: Durations,
        /// How long they take.
        is: Durations,
        /// How many times as long the median is.
        ratio: Option<Estimate>,
    },
}

/// A log's place, a workflow, and which version, if they are told apart.
type Series = (usize, String, Option<String>);

impl Request {
    /// Which executions are judged: of all workflows, so that what is found does not depend on which is asked about.
    fn judged(&self) -> Filters {
        Filters { workflow: None, version: None, ..self.question.filters.clone() }
    }

    fn is_asked(&self, (_, workflow, version): &Series) -> bool {
        let Filters { workflow: asked, version: asked_version, .. } = &self.question.filters;
        asked.as_ref().is_none_or(|it| it == workflow)
            && (asked_version.is_none() || asked_version == version)
    }

    /// The days up to the period's end that are told apart. What is found on a day depends on those before it, whichever
    /// are asked about: so all are judged.
    fn read(&self, as_of: Time) -> Period {
        let until = self.period(as_of).until;
        Period { since: first_told_apart(dualaudit_record::time::ZERO, as_of).min(until), until }
    }

    /// What each series did on each of the days that were read.
    fn fleet<'f>(
        &self,
        read: Period,
        cells: impl IntoIterator<Item = &'f FoundCell>,
    ) -> Result<BTreeMap<Series, Daily>, LearnError> {
        let days = days_between(read.since, read.until);
        let mut fleet: BTreeMap<Series, Vec<(Sample, Sketch)>> = BTreeMap::new();
        for FoundCell { log, stretch, key, cell } in cells {
            let Cell::Runs(cell) = cell else { continue };
            let (workflow, version) = row(key)?;
            let begins = stretch.from.start();
            let day = days_between(read.since, begins);
            // What is kept by months is no day.
            if stretch.until.start() > begins.saturating_add_micros(MICROS)
                || begins < read.since
                || day >= days
            {
                continue;
            }
            let series = fleet.entry((*log, workflow.to_owned(), version.map(str::to_owned)));
            let (sample, successful) = &mut series.or_insert_with(|| vec![Default::default(); days])[day];
            *sample = sample.plus(Tally::of(&cell.ended).sample());
            if let Some(timed) = cell.durations.get(&Outcome::Success) {
                successful.merge(&timed.sketch, 1);
            }
        }
        Ok(fleet.into_iter().map(|(series, days)| (series, Daily::of(days))).collect())
    }

    /// What was found on the days from `from` on, of those that were read.
    fn judged_days(
        &self,
        as_of: Time,
        logs: &[String],
        fleet: &BTreeMap<Series, Daily>,
        from: usize,
    ) -> Regressions {
        let (names, dailies): (Vec<&Series>, Vec<&Daily>) = fleet.iter().unzip();
        let read = self.read(as_of);
        let judged = judge(&dailies, from, self.question.minimum);
        let mut runs: Vec<&Run> = judged.runs.iter().filter(|run| self.is_asked(names[run.series])).collect();
        runs.sort_by(|one, other| {
            let order = |run: &Run| (run.state, std::cmp::Reverse(run.since));
            order(one).cmp(&order(other)).then(one.adjusted.total_cmp(&other.adjusted))
        });
        let told = runs
            .iter()
            .take(MOST)
            .map(|run| self.regression(read.since, logs, names[run.series], dailies[run.series], run));
        let series = names.iter().enumerate().filter(|(place, name)| {
            let any = dailies[*place].sample(from..days_between(read.since, read.until)).count() > 0;
            any && self.is_asked(name) && !judged.series.contains(place)
        });
        Regressions {
            more: runs.len() > MOST,
            regressions: told.collect(),
            not_judged: NotJudged { series: series.count() as u64, ..self.days_not_judged(as_of) },
            days: (from..days_between(read.since, read.until))
                .map(|place| {
                    let it = judged.days.get(place - from).copied().unwrap_or_default();
                    JudgedDay {
                        day: Day::of(nth(read.since, place)),
                        series: it.series,
                        comparisons: it.tests,
                        found: it.found,
                    }
                })
                .collect(),
        }
    }

    fn days_not_judged(&self, as_of: Time) -> NotJudged {
        let Period { since, until } = self.period(as_of);
        let asked = Day::of(self.question.period.until.saturating_add_micros(-1)).start();
        let over = until.max(Day::of(self.question.period.since).start());
        NotJudged {
            days_not_over: days_between(over, asked.saturating_add_micros(MICROS)) as u64,
            days_in_months: days_between(since, first_told_apart(since, as_of).min(until)) as u64,
            series: 0,
        }
    }

    fn regression(
        &self,
        first: Time,
        logs: &[String],
        series: &Series,
        daily: &Daily,
        run: &Run,
    ) -> Regression {
        let minimum = self.question.minimum;
        let (log, workflow, version) = series.clone();
        let filters = Filters {
            log: Some(logs[log].clone()),
            ..self.question.filters.of(&workflow, version.as_deref())
        };
        let before = Period { since: nth(first, run.before.start), until: nth(first, run.before.end) };
        let period = Period { since: nth(first, run.since), until: nth(first, run.last + 1) };
        let ((was, long), (is, longer)) = (daily.sum(run.before.clone()), daily.sum(run.since..run.last + 1));
        let rate = |of: Sample| Rate::new(of.successes, of.count(), minimum);
        let change = match run.measure {
            Measure::Success => Change::Success {
                was: rate(was),
                is: rate(is),
                difference: difference(is, was, CONFIDENCE).map(Estimate::from),
            },
            Measure::Duration => {
                let median = |sketch| quantile(&bins(sketch), 0.5, CONFIDENCE);
                let medians = median(&longer).zip(median(&long));
                Change::Duration {
                    was: Durations::of(&long, minimum),
                    is: Durations::of(&longer, minimum),
                    ratio: medians.map(|(is, was)| ratio(&is, &was).into()),
                }
            }
        };
        Regression {
            log: logs[log].clone(),
            workflow,
            version,
            since: Day::of(period.since),
            last: Day::of(nth(first, run.last)),
            days: run.found,
            state: run.state,
            change,
            adjusted_p: run.adjusted,
            before,
            executions: Links::to(&filters, period),
            executions_before: Links::to(&filters, before),
        }
    }
}

/// The first day from this one on that is told apart from its month.
fn first_told_apart(day: Time, as_of: Time) -> Time {
    day.max(Kept::by(as_of).days_from().start())
}

/// How many days one instant is after another; none where it is before it.
fn days_between(since: Time, until: Time) -> usize {
    usize::try_from(until.micros_since(since).div_euclid(MICROS)).unwrap_or_default()
}

/// The beginning of the day so many days after another.
fn nth(first: Time, days: usize) -> Time {
    first.saturating_add_micros(i64::try_from(days).unwrap_or(i64::MAX / MICROS).saturating_mul(MICROS))
}

#[cfg(test)]
mod tests;
