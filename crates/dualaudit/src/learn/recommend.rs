//! What to try for an incident: workflows, ranked by what they may be trusted for, with the evidence.
//!
//! *Narrow* evidence fits all that was given; *wide* evidence is what there is besides: first without the log and the
//! namespace, then without the kind of target. Wide evidence counts as 20 executions at most, so that it decides only
//! as long as little is known where the workflow is to run. The levels are the same for every candidate.

use std::collections::BTreeMap;

use dualaudit_record::{
    Time,
    entry::Verdict,
    execution::Outcome,
    statistics::{Cell, Hour, Kept, Key, KeyError, Part, RunsCell, Sketch, View},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Filters, Found, LearnError, Links, Period, Question, Unanswerable,
    figures::{Durations, InFlight, Rate, Tally, whole},
    inference::{
        posterior::{self, Posterior, Rank},
        proportion::Sample,
    },
    question::given,
    source::{FoundCell, Row, Runs, of_log, row, runs},
    workflows::By,
};
use crate::{parameter, store::WantedCells};

mod timeouts;
mod untested;

pub use timeouts::{StepTimeout, Timeouts};
use untested::Others;
pub use untested::{Untested, Why};

/// The period unless another is asked for, in days.
const DAYS: i64 = 90;
/// Which version is the present one, and which workflows are in use, show the last days of the period.
const LATELY: i64 = 28 * 86_400_000_000;
/// The parameters beside those of every answer.
const ALSO: [&str; 2] = ["limit", "explore"];
/// How many workflows are named unless asked otherwise,
const LIMIT: u32 = 5;
/// and at most.
const MOST: u32 = 10;

/// What is asked for recommendations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer; the incident type is given.
    pub question: Question,
    /// How many workflows are named at most, and how many untested ones.
    pub limit: usize,
    /// What draws depend on, where workflows are ranked by draws.
    pub explore: Option<u32>,
}

impl Ask for Request {
    const NAME: &'static str = "recommend";
    const ALL_LOGS: bool = true;
    type Answer = Recommended;

    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        question.one_incident_type()?;
        let limit = given(pairs, "limit", |value| parameter::whole(value, MOST))?;
        let seed =
            |value: &str| value.parse().map_err(|_| format!("must be a whole number up to {}", u32::MAX));
        let explore = given(pairs, "explore", seed)?;
        Ok(Self { question, limit: limit.unwrap_or(LIMIT) as usize, explore })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let Times { all, lately, before } = self.times(as_of);
        let widest = self.widest();
        let mut reads: Vec<_> = self.narrower().iter().map(|level| counts(level, all)).collect();
        reads.extend([lately, before].map(|period| counts(&widest, period)));
        reads.extend(self.alike().iter().map(|(_, filters)| counts(filters, lately)));
        reads
    }

    /// Of the workflows that are named: their versions, and how long they take. And all workflows, where too few are known
    /// for what is alike.
    fn reads_then(&self, as_of: Time, found: &Found) -> Result<Vec<WantedCells>, LearnError> {
        let Sorted { named, untested, .. } = self.sorted(found)?;
        let Times { all, lately, before } = self.times(as_of);
        let mut reads = Vec::new();
        for Ranked { candidate, .. } in &named {
            let versions = self.widest().of(&candidate.workflow, None);
            let in_use = if candidate.was_run_lately { lately } else { before };
            reads.push(versions.runs(By::Version, in_use, Part::Ended));
            reads.push(self.timed(candidate).runs(By::Workflow, all, Part::Successful));
        }
        if untested.len() < self.limit {
            reads.push(counts(&self.everywhere(), lately));
        }
        Ok(reads)
    }

    /// The steps of the versions that are named: some workflows have ever other ones.
    fn reads_last(&self, as_of: Time, found: &Found) -> Result<Vec<WantedCells>, LearnError> {
        let all = self.times(as_of).all;
        let mut reads = Vec::new();
        for [versions, _timed] in found.cells[self.reads(as_of).len()..].as_chunks().0 {
            let (of, period) = match most_run(&runs(versions)?) {
                Some((workflow, version)) => (Filters::default().of(workflow, version), all),
                None => (Filters::default(), Period { until: all.since, ..all }),
            };
            reads.push(of.wanted(View::Steps, period, Part::All));
        }
        Ok(reads)
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Recommended, LearnError> {
        let Sorted { named, mut untested, tested } = self.sorted(found)?;
        let Times { all, lately, .. } = self.times(as_of);
        let mut then = found.cells[self.reads(as_of).len()..].iter();
        let mut next = || then.next().map(Vec::as_slice).unwrap_or_default();
        let mut steps = found.last.as_ref().map(|last| last.iter());
        let mut recommended = Vec::new();
        for ranked in named {
            let steps = steps.as_mut().map(|steps| steps.next().map(Vec::as_slice).unwrap_or_default());
            let own = Own { versions: next(), timed: next(), steps };
            recommended.push(self.recommendation(ranked, all, found, &own)?);
        }
        if untested.len() < self.limit {
            untested.add(Why::InUse, &self.everywhere(), next())?;
        }
        let untested = untested.first(self.limit, self.question.minimum, lately);
        Ok(Recommended { explore: self.explore, candidates: tested as u64, recommended, untested })
    }
}

/// The workflows to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recommended {
    /// The seed of the draws that workflows are ranked by; none where they are ranked by lower bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explore: Option<u32>,
    /// How many workflows were run for this incident type, and so ranked; of those of which all was cancelled or
    /// deleted, the ones that were found harmful.
    pub candidates: u64,
    /// The first of them, as many as asked for.
    pub recommended: Vec<Recommendation>,
    /// Workflows that are in use and were never run for this incident type, those for what is most alike first, as many
    /// as asked for.
    pub untested: Vec<Untested>,
}

/// A workflow to try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recommendation {
    /// Its name.
    pub workflow: String,
    /// Its version that was run most for this incident type in the last 28 days of the period; in all of it, where it
    /// was not run in these.
    pub version: String,
    /// What it is ranked by: the lower bound of its success, or a draw.
    pub score: f64,
    /// How likely it is to succeed, by all the evidence.
    pub success: Success,
    /// The evidence that fits all that was given.
    pub narrow: Evidence,
    /// What there is besides, the most alike first; each is without those before it.
    pub wide: Vec<Evidence>,
    /// How many of its executions for this incident type were reviewed as harmful: somebody should look at these first.
    pub harmful: u64,
    /// What has not ended yet of what fits all that was given.
    pub in_flight: InFlight,
    /// How long the successful of all its versions took,
    pub duration: Durations,
    /// among these executions: those that fit all that was given, if there are enough, else all for this incident type.
    pub duration_of: Filters,
    /// How long the steps of the version may take, in whatever it was run for.
    #[serde(flatten)]
    pub timeouts: Timeouts,
}

/// How likely success is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LikelySuccess)]
pub struct Success {
    /// The expectation, above 0 and below 1.
    pub mean: f64,
    /// The true rate is above this with 95 %,
    pub lower: f64,
    /// and below this with 95 %.
    pub upper: f64,
    /// All evidence together has fewer executions than the minimum.
    pub insufficient_data: bool,
}

/// Evidence of one level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// Of which executions, but for those of the levels before.
    pub filters: Filters,
    /// How many succeeded.
    pub success: Rate,
    /// Where the executions are, those of the levels before among them.
    pub executions: Links,
}

/// A workflow that was run for the incident type.
struct Candidate {
    workflow: String,
    /// By level, each without those before.
    evidence: Vec<Sample>,
    harmful: u64,
    was_run_lately: bool,
}

struct Ranked {
    candidate: Candidate,
    posterior: Posterior,
    /// What it is ranked by.
    score: f64,
}

/// What may be tried.
struct Sorted {
    /// The first ones of those that were run for the incident type,
    named: Vec<Ranked>,
    /// of so many,
    tested: usize,
    /// and others.
    untested: Others,
}

/// What was found of a workflow that is named.
struct Own<'f> {
    /// Its versions, lately if it was run then.
    versions: &'f [FoundCell],
    /// How long it takes.
    timed: &'f [FoundCell],
    /// The steps of the version; `None` where they are more than are read.
    steps: Option<&'f [FoundCell]>,
}

/// A period, and what it is put together from.
struct Times {
    all: Period,
    /// The last days, from where a bucket begins,
    lately: Period,
    /// and those before.
    before: Period,
}

fn counts(filters: &Filters, period: Period) -> WantedCells {
    filters.runs(By::Workflow, period, Part::Counts)
}

impl Request {
    fn times(&self, as_of: Time) -> Times {
        let all = self.period(as_of);
        let begins = Hour::of(all.until.saturating_add_micros(-LATELY).max(all.since));
        let since = Kept::by(as_of).shortest(begins).start.start().max(all.since);
        Times { all, lately: Period { since, ..all }, before: Period { until: since, ..all } }
    }

    /// The levels of evidence, from what fits all that was given to all for the incident type. Each has all executions
    /// of those before.
    fn levels(&self) -> Vec<Filters> {
        let asked = &self.question.filters;
        let anywhere = Filters { log: None, namespace: None, ..asked.clone() };
        let any_target = Filters { target_kind: None, ..anywhere.clone() };
        let mut levels = vec![asked.clone(), anywhere, any_target];
        levels.dedup();
        levels
    }

    /// The levels but the widest.
    fn narrower(&self) -> Vec<Filters> {
        let mut levels = self.levels();
        levels.pop();
        levels
    }

    /// All for the incident type, in all logs.
    fn widest(&self) -> Filters {
        self.levels().pop().expect("there is a level")
    }

    /// Where workflows are looked for that were never run for the incident type.
    fn alike(&self) -> Vec<(Why, Filters)> {
        let Filters { namespace, target_kind, .. } = self.question.filters.clone();
        let everywhere = self.everywhere();
        let kind = target_kind.map(|it| Filters { target_kind: Some(it), ..everywhere.clone() });
        let namespace = namespace.map(|it| Filters { namespace: Some(it), ..everywhere.clone() });
        let kind = kind.map(|filters| (Why::SameTargetKind, filters));
        kind.into_iter().chain(namespace.map(|filters| (Why::SameNamespace, filters))).collect()
    }

    fn everywhere(&self) -> Filters {
        let Filters { workflow, version, .. } = self.question.filters.clone();
        Filters { workflow, version, ..Filters::default() }
    }

    /// Ranks what was found of [`Ask::reads`].
    fn sorted(&self, found: &Found) -> Result<Sorted, LearnError> {
        let mut cells = found.cells.iter().map(Vec::as_slice);
        let mut next = || cells.next().unwrap_or_default();
        let mut by_level = Vec::new();
        for filters in &self.narrower() {
            by_level.push(by_workflow(of_log(filters, &found.logs, next()))?);
        }
        let (lately, before) = (next(), next());
        let mut in_use = by_workflow(lately)?;
        in_use.retain(|_, known| known.sample.count() > 0);
        let tested = by_workflow(lately.iter().chain(before))?;
        let mut untested = Others::but(tested.keys().copied());
        for (why, filters) in self.alike() {
            untested.add(why, &filters, next())?;
        }
        let of = |known: Option<&Known>| known.map(|it| it.sample).unwrap_or_default();
        let candidates = tested.iter().map(|(&workflow, known)| {
            let samples = by_level.iter().map(|level| of(level.get(workflow))).chain([known.sample]);
            let candidate = Candidate {
                workflow: workflow.to_owned(),
                evidence: each_without_those_before(samples),
                harmful: known.harmful,
                was_run_lately: in_use.contains_key(workflow) || known.sample.count() == 0,
            };
            (workflow.to_owned(), candidate)
        });
        Ok(Sorted { named: self.ranked(candidates.collect()), tested: tested.len(), untested })
    }

    /// The first candidates, as many as asked for.
    fn ranked(&self, mut candidates: BTreeMap<String, Candidate>) -> Vec<Ranked> {
        let rank = self.explore.map_or(Rank::LowerBound, |seed| Rank::Explore { seed: seed.into() });
        let of = |it: &Candidate| {
            let (narrow, wide) = it.evidence.split_first().expect("there is a level");
            Posterior::of(&posterior::Evidence { narrow: *narrow, wide })
        };
        let posteriors: Vec<_> = candidates.values().map(|it| (it.workflow.clone(), of(it))).collect();
        let named =
            posteriors.iter().map(|(name, posterior)| posterior::Candidate { name, posterior: *posterior });
        posterior::rank(named.collect(), rank)
            .into_iter()
            .take(self.limit)
            .filter_map(|(posterior::Candidate { name, posterior }, score)| {
                Some(Ranked { candidate: candidates.remove(name)?, posterior, score })
            })
            .collect()
    }

    /// The executions whose durations are told: those that fit all that was given, if enough of them succeeded.
    fn timed(&self, candidate: &Candidate) -> Filters {
        let mut levels = self.levels();
        let enough = candidate.evidence[0].successes >= self.question.minimum;
        let level = if enough { levels.swap_remove(0) } else { levels.pop().expect("there is a level") };
        level.of(&candidate.workflow, None)
    }

    fn recommendation(
        &self,
        ranked: Ranked,
        period: Period,
        found: &Found,
        own: &Own<'_>,
    ) -> Result<Recommendation, LearnError> {
        let Ranked { candidate, posterior, score } = ranked;
        let minimum = self.question.minimum;
        let duration_of = self.timed(&candidate);
        let mut successful = Sketch::default();
        for cell in runs(of_log(&duration_of, &found.logs, own.timed))?.values() {
            if let Some(timed) = cell.durations.get(&Outcome::Success) {
                successful.merge(&timed.sketch, 1);
            }
        }
        let all = candidate.evidence.iter().fold(Sample::default(), |all, level| all.plus(*level));
        let mut evidence = self.levels().into_iter().zip(&candidate.evidence).map(|(filters, sample)| {
            let filters = filters.of(&candidate.workflow, None);
            let success = Rate::new(sample.successes, sample.count(), minimum);
            Evidence { executions: Links::to(&filters, period), success, filters }
        });
        let narrow = evidence.next().expect("there is a level");
        let wide = evidence.collect();
        let most_run = most_run(&runs(own.versions)?);
        let version = most_run.and_then(|(_, version)| version).unwrap_or_default().to_owned();
        Ok(Recommendation {
            score,
            success: Success {
                mean: posterior.mean(),
                lower: posterior.lower_bound(),
                upper: posterior.upper_bound(),
                insufficient_data: all.count() < minimum,
            },
            narrow,
            wide,
            harmful: candidate.harmful,
            in_flight: found.flights.of(&candidate.workflow, None),
            duration: Durations::of(&successful, minimum),
            duration_of,
            timeouts: match own.steps {
                Some(steps) => Timeouts::of(steps, &version, minimum)?,
                None => Timeouts { steps_unread: true, ..Timeouts::default() },
            },
            workflow: candidate.workflow,
            version,
        })
    }
}

/// What is known of a workflow.
#[derive(Clone, Copy, Default)]
struct Known {
    sample: Sample,
    harmful: u64,
}

/// All versions together, of the workflows of which anything counts, or was harmful.
fn by_workflow<'f>(
    found: impl IntoIterator<Item = &'f FoundCell>,
) -> Result<BTreeMap<&'f str, Known>, LearnError> {
    let mut known: BTreeMap<&str, Known> = BTreeMap::new();
    for FoundCell { key, cell, .. } in found {
        let Cell::Runs(cell) = cell else { continue };
        let known = known.entry(workflow(key)?).or_default();
        known.sample = known.sample.plus(Tally::of(&cell.ended).sample());
        known.harmful += harmful(cell);
    }
    known.retain(|_, known| known.sample.count() > 0 || known.harmful > 0);
    Ok(known)
}

fn workflow(key: &Key) -> Result<&str, KeyError> {
    Ok(row(key)?.0)
}

/// How many executions were reviewed as harmful.
fn harmful(cell: &RunsCell) -> u64 {
    let harmful = cell.verdicts.iter().filter(|((verdict, _), _)| *verdict == Verdict::Harmful);
    harmful.map(|(_, &count)| whole(count)).sum()
}

fn each_without_those_before(samples: impl IntoIterator<Item = Sample>) -> Vec<Sample> {
    let mut before = Sample::default();
    let without = |sample: Sample| {
        let rest = Sample {
            successes: sample.successes.saturating_sub(before.successes),
            failures: sample.failures.saturating_sub(before.failures),
        };
        before = sample;
        rest
    };
    samples.into_iter().map(without).collect()
}

/// The version that was run most; of several, that which succeeded most, and then the last by name.
fn most_run<'f>(runs: &Runs<'f>) -> Option<Row<'f>> {
    let most = runs.iter().max_by_key(|(row, cell)| {
        let Tally { executions, success, .. } = Tally::of(&cell.ended);
        (executions, success, **row)
    });
    most.map(|(row, _)| *row)
}

#[cfg(test)]
mod tests;
