//! Hot spots: the steps of a workflow, by how much of its failures, retries and time each is responsible for.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    day::Day,
    execution::{Outcome, StepStatus, StoredExecution},
    statistics::{About, Cell, Counts, FIRST_WITHOUT_ACTION, Hour, Part, StepCell, TextsCell, View, pattern},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Found, LearnError, Links, Period, Question, Unanswerable,
    figures::{Durations, Rate, Tally, whole},
    question::{boolean, given},
    source::{FoundCell, runs, strata, stratum},
    workflows::By,
};
use crate::{
    parameter::one_of,
    store::{Filter, Listed, Lookup, Store, StoreError, Wanted, WantedCells},
};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// The parameters beside those of every answer.
const ALSO: [&str; 2] = ["sort", "examples"];
/// Patterns of errors that a step is shown with.
const PATTERNS: usize = 5;
/// Executions that are looked through for examples.
const LOOKED_THROUGH: u32 = 20;
/// Steps that are answered at most.
const STEPS: usize = 1000;

/// What is asked of steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer; it names a workflow.
    pub question: Question,
    /// Which steps come first.
    pub sort: Sort,
    /// Whether patterns name an execution that said so, where one of the newest that failed did.
    pub examples: bool,
}

/// Which steps come first: those responsible for most of the workflow's
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// failures,
    #[default]
    Failures,
    /// retries,
    Retries,
    /// time.
    Time,
}

impl Ask for Request {
    const NAME: &'static str = "steps";
    type Answer = Steps;

    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        question.one_workflow()?;
        let sort = given(pairs, "sort", |value| one_of(value, "failures, retries or time"))?;
        let examples = given(pairs, "examples", boolean)?;
        Ok(Self { question, sort: sort.unwrap_or_default(), examples: examples.unwrap_or_default() })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    /// Executions as a whole, their steps, and what was said.
    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let filters = &self.question.filters;
        let period = self.period(as_of);
        let steps = if filters.is_narrow() { View::Strata } else { View::Steps };
        vec![
            filters.runs(By::Workflow, period, Part::Ended),
            filters.wanted(steps, period, Part::All),
            filters.wanted(View::Texts, period, Part::All),
        ]
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Steps, LearnError> {
        let Self { question: Question { filters, minimum, .. }, sort, .. } = self;
        let [of_runs, of_steps, of_texts] = &found.cells[..] else { unreachable!("three were read") };
        let period = self.period(as_of);
        let tallies = runs(of_runs)?.into_values().map(|cell| Tally::of(&cell.ended));
        let tally = tallies.fold(Tally::default(), Tally::plus);
        let cells = steps(of_steps, None)?;
        let errors = errors(of_texts, period)?;
        Ok(answer(&tally, cells, errors, *sort, *minimum, Links::to(filters, period)))
    }

    async fn look_up(
        &self,
        store: &dyn Store,
        _logs: &[String],
        period: Period,
        answer: &mut Steps,
    ) -> Result<(), StoreError> {
        if !self.examples {
            return Ok(());
        }
        let filter = Filter { outcome: Some(Outcome::Failed), ..self.question.filters.listed(period) };
        for Listed { log, execution } in store.list(&filter, None, LOOKED_THROUGH).await?.rows {
            let StoredExecution { record, .. } = execution;
            let name = Example { log: log.clone(), id: record.id.clone(), attempt: record.attempt };
            let wanted = Wanted { id: record.id, log: Some(log), attempt: Some(record.attempt) };
            // It may have been purged since.
            let Lookup::Found(detail) = store.get(&wanted).await? else { continue };
            let Some((execution, _)) = detail.revisions.first() else { continue };
            answer.name(&name, &execution.record);
        }
        Ok(())
    }
}

/// The steps of a workflow, those with most to answer for first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Steps {
    /// How the executions ended whose steps these are.
    pub tally: Tally,
    /// Retries of all steps.
    pub retries: u64,
    /// The time of all steps, in nanoseconds.
    pub time: u64,
    /// One a number and action.
    pub steps: Vec<Step>,
    /// There are more steps than are answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// What is said of executions as a whole.
    pub errors: Errors,
    /// Where the executions are.
    pub executions: Links,
}

/// A step, in the executions that count. Each execution counts once, however often it has the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = WorkflowStep)]
pub struct Step {
    /// Its number in the plan.
    pub number: u32,
    /// What it does.
    pub action: String,
    /// Executions that came to it: it began, or was adjusted.
    pub reached: u64,
    /// Of these, how many succeeded.
    pub success: Rate,
    /// Of those that have it, how many it failed in, or ran out of time in, the last time it was tried.
    pub failed: Rate,
    /// How it ended, the last time it was tried: executions by status.
    pub statuses: BTreeMap<StepStatus, u64>,
    /// How many executions retried it how often: never, once, and so on; the last, six times or more.
    pub retried: [u64; 7],
    /// Of the executions that did not succeed, the share that it failed or ran out of time in. Several steps may have
    /// failed in one.
    pub share_of_failures: Rate,
    /// Its retries.
    pub retries: u64,
    /// Its part of all retries, 0..1; null where there are none.
    pub share_of_retries: Option<f64>,
    /// The time it took in all, in nanoseconds.
    pub time: u64,
    /// Its part of the time of all steps, 0..1; null where there is none.
    pub share_of_time: Option<f64>,
    /// How long it took where it completed.
    pub duration: Durations,
    /// What was said when it failed.
    pub errors: Errors,
}

/// Error messages by what they have in common; of all executions, the cancelled and deleted among them. One that said
/// several is counted with each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = StepErrors)]
pub struct Errors {
    /// The most frequent.
    pub patterns: Vec<Pattern>,
    /// How many other patterns there are.
    pub other_patterns: u64,
    /// How many executions said each of these, added up: one that said several is counted as often.
    pub other_executions: u64,
}

/// A pattern of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ErrorPattern)]
pub struct Pattern {
    /// The message; what differs from one to the other is folded out.
    pub pattern: String,
    /// How many executions said it, of any status.
    pub executions: u64,
    /// The first day that one of them ended, in UTC.
    pub first: Day,
    /// The last.
    pub last: Day,
    /// One of them that counts and failed, if one was found among the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
}

/// Names an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "the names of the record")]
#[schema(as = ExampleExecution)]
pub struct Example {
    pub log: String,
    pub id: String,
    pub attempt: u32,
}

impl Steps {
    /// Names an execution with each pattern that it said and that has no example yet.
    fn name(&mut self, example: &Example, record: &WorkflowExecutionAudit) {
        self.errors.name(example, &record.error_message);
        for said in &record.step_executions {
            let of = |step: &&mut Step| step.number == said.step_number && step.action == said.action;
            if let Some(step) = self.steps.iter_mut().find(of) {
                step.errors.name(example, &said.error_message);
            }
        }
    }
}

/// Names a step: its number, and what it does.
pub(super) type StepName = (u32, String);

/// Sums of steps, of one version, or of all.
pub(super) fn steps(
    found: &[FoundCell],
    version: Option<&str>,
) -> Result<BTreeMap<StepName, StepCell>, LearnError> {
    let mut steps: BTreeMap<StepName, StepCell> = BTreeMap::new();
    for (_, of, cell) in strata(found)? {
        if version.is_some_and(|version| version != of.version) {
            continue;
        }
        for (name, step) in &cell.steps {
            steps.entry(name.clone()).or_default().merge(step, 1);
        }
    }
    for FoundCell { key, cell, .. } in found {
        let Cell::Step(cell) = cell else { continue };
        let mut parts = key.parts();
        parts.text(View::Steps)?;
        let of = parts.text(View::Steps)?;
        if version.is_none_or(|version| version == of) {
            let name = (parts.number(View::Steps)?, parts.text(View::Steps)?.to_owned());
            steps.entry(name).or_default().merge(cell, 1);
        }
    }
    Ok(steps)
}

/// How often each pattern of an error was said, by step and day; of the execution as a whole, no step.
type ErrorsOf = BTreeMap<Option<StepName>, BTreeMap<String, Counts<Hour>>>;

fn errors(found: &[FoundCell], period: Period) -> Result<ErrorsOf, LearnError> {
    let mut errors = ErrorsOf::new();
    for FoundCell { key, cell, .. } in found {
        let Cell::Texts(TextsCell { days }) = cell else { continue };
        let mut parts = key.parts();
        stratum(&mut parts, View::Texts)?;
        let of = match (parts.number(View::Texts)?, parts.text(View::Texts)?) {
            (0, "") => None,
            (FIRST_WITHOUT_ACTION, action) => Some((0, action.to_owned())),
            (number, action) => Some((number, action.to_owned())),
        };
        if parts.about()? != About::Error {
            continue;
        }
        let pattern = parts.text(View::Texts)?.to_owned();
        let counts = errors.entry(of).or_default().entry(pattern).or_default();
        // A day may begin before the period does, whose first hours it has.
        let within = |day: &Hour| day.number() + 24 > period.hours().0.number() && day.start() < period.until;
        for (&day, count) in days.iter().filter(|(day, _)| within(day)) {
            counts.add(day, *count);
        }
    }
    Ok(errors)
}

impl Errors {
    fn name(&mut self, example: &Example, message: &str) {
        let pattern = pattern(message);
        if let Some(said) = self.patterns.iter_mut().find(|said| said.pattern == pattern) {
            said.example.get_or_insert_with(|| example.clone());
        }
    }

    fn of(mut patterns: BTreeMap<String, Counts<Hour>>) -> Self {
        // Those that were not told apart.
        let others = patterns.remove("").unwrap_or_default();
        let untold: u64 = others.values().map(|&count| whole(count)).sum();
        let mut all: Vec<Pattern> = patterns
            .into_iter()
            .filter_map(|(pattern, days)| {
                let mut on =
                    days.iter().filter(|(_, count)| **count > 0).map(|(day, _)| Day::of(day.start()));
                let first = on.next()?;
                let last = on.next_back().unwrap_or(first);
                Some(Pattern { pattern, executions: whole(days.values().sum()), first, last, example: None })
            })
            .collect();
        all.sort_by_key(|pattern| std::cmp::Reverse(pattern.executions));
        let others = all.split_off(PATTERNS.min(all.len()));
        Self {
            patterns: all,
            other_patterns: others.len() as u64,
            other_executions: untold + others.iter().map(|pattern| pattern.executions).sum::<u64>(),
        }
    }
}

fn answer(
    tally: &Tally,
    cells: BTreeMap<StepName, StepCell>,
    mut errors: ErrorsOf,
    sort: Sort,
    minimum: u64,
    executions: Links,
) -> Steps {
    let retries = whole(cells.values().map(|cell| cell.retries).sum());
    let time: u64 = cells.values().map(|cell| nanoseconds(cell.time)).fold(0, u64::saturating_add);
    let failures = tally.executions - tally.success;
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    let of_all = Errors::of(errors.remove(&None).unwrap_or_default());
    let step = |((number, action), cell): (StepName, StepCell)| {
        let of_step = errors.remove(&Some((number, action.clone()))).unwrap_or_default();
        let mut statuses: BTreeMap<StepStatus, u64> = BTreeMap::new();
        let mut retried = [0; 7];
        for (&(status, times), &count) in &cell.ended {
            *statuses.entry(status).or_default() += whole(count);
            retried[usize::from(times).min(6)] += whole(count);
        }
        let had: u64 = statuses.values().sum();
        let broken = |status| statuses.get(&status).copied().unwrap_or_default();
        let reached = super::figures::sample(&cell.reached);
        let of_reached = reached.successes + reached.failures;
        Step {
            number,
            action,
            reached: of_reached,
            success: Rate::new(reached.successes, of_reached, minimum),
            failed: Rate::new(broken(StepStatus::Failed) + broken(StepStatus::TimedOut), had, minimum),
            share_of_failures: Rate::new(whole(cell.broke), failures, minimum),
            retries: whole(cell.retries),
            share_of_retries: share(whole(cell.retries), retries),
            time: nanoseconds(cell.time),
            share_of_time: share(nanoseconds(cell.time), time),
            duration: Durations::of(&cell.completed, minimum),
            errors: Errors::of(of_step),
            statuses,
            retried,
        }
    };
    let mut steps: Vec<Step> = cells.into_iter().map(step).collect();
    // What two have in common, the next tells apart.
    let rank = |step: &Step| {
        let (failures, retries, time) = (step.share_of_failures.count, step.retries, step.time);
        match sort {
            Sort::Failures => (failures, retries, time),
            Sort::Retries => (retries, failures, time),
            Sort::Time => (time, failures, retries),
        }
    };
    steps.sort_by_key(|step| std::cmp::Reverse(rank(step)));
    let more = steps.len() > STEPS;
    steps.truncate(STEPS);
    Steps { tally: *tally, retries, time, steps, more, errors: of_all, executions }
}

fn nanoseconds(micros: i128) -> u64 {
    u64::try_from(micros.saturating_mul(1000)).unwrap_or(if micros < 0 { 0 } else { u64::MAX })
}

#[cfg(test)]
mod tests;
