//! What people said of executions: their verdicts, as a proportion of what was reviewed, and where they disagree with
//! how the execution turned out.

use std::{borrow::Cow, cmp::Reverse, collections::VecDeque};

use dualaudit_record::{
    Time,
    entry::{Review, Verdict},
    execution::Outcome,
    statistics::{Part, RunsCell, Stratum},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Filters, Found, LearnError, Links, Period, Question, Unanswerable,
    figures::{Rate, Tally, is_zero, whole},
    question::given,
    source::{Row, runs},
    workflows::By,
};
use crate::{
    parameter::{self, one_of},
    store::{self, Lookup, Store, StoreError, Wanted, WantedCells, WantedDisagreements},
};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// The parameters beside those of every answer.
const ALSO: [&str; 2] = ["by", "limit"];
/// How many workflows are listed unless asked otherwise,
const LIMIT: u32 = 100;
/// and at most.
const MOST: u32 = 1000;
/// Disagreements that are listed at most.
const LISTED: usize = 50;
/// How often the store is asked for disagreements in all, unless there are more logs; each time it looks at 1,000
/// reviews at most.
const LOOKS: usize = 10;

/// What is asked of verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer.
    pub question: Question,
    /// What a row is of.
    pub by: By,
    /// How many rows there are at most.
    pub limit: usize,
}

impl Ask for Request {
    const NAME: &'static str = "verdicts";
    type Answer = Verdicts;

    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        let by = given(pairs, "by", |value| one_of(value, "workflow or version"))?;
        let limit = given(pairs, "limit", |value| parameter::whole(value, MOST))?.unwrap_or(LIMIT);
        Ok(Self { question, by: by.unwrap_or_default(), limit: limit as usize })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        vec![self.question.filters.runs(self.by, self.period(as_of), Part::Counts)]
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Verdicts, LearnError> {
        let Self { question: Question { filters, minimum, .. }, by, limit } = self;
        let rows = runs(&found.cells[0])?;
        let period = self.period(as_of);
        let mut total = RunsCell::default();
        rows.values().for_each(|cell| total.merge(cell, 1));
        let of_row = |(&(workflow, version), cell): (&Row<'_>, &Cow<'_, RunsCell>)| OfWorkflow {
            workflow: workflow.to_owned(),
            version: version.filter(|_| *by == By::Version).map(str::to_owned),
            judged: Judged::of(cell, *minimum),
            executions: Links::to(&filters.of(workflow, version), period),
        };
        let mut workflows: Vec<OfWorkflow> = rows.iter().map(of_row).collect();
        workflows.retain(|row| row.judged.reviewed.count > 0);
        workflows.sort_by_key(|row| {
            Reverse((row.judged.harmful.count, row.judged.disagreeing, row.judged.reviewed.count))
        });
        let more_workflows = workflows.len() > *limit;
        workflows.truncate(*limit);
        Ok(Verdicts {
            total: Judged::of(&total, *minimum),
            workflows,
            more_workflows,
            disagreements: Vec::new(),
            disagreements_gone: 0,
            more: false,
        })
    }

    async fn look_up(
        &self,
        store: &dyn Store,
        logs: &[String],
        period: Period,
        answer: &mut Verdicts,
    ) -> Result<(), StoreError> {
        let Verdicts { total: Judged { disagreeing, .. }, disagreements, disagreements_gone, .. } = answer;
        let mut looks = 0;
        // Log by log, and again where what was found is not what is asked for.
        let mut left: VecDeque<Looking> = logs.iter().map(Looking::begin).collect();
        let mut more = false;
        // What was counted is all there is.
        while (disagreements.len() as u64) < *disagreeing
            && (looks < LOOKS.max(logs.len()))
            && let Some(mut looking) = left.pop_front()
        {
            looks += 1;
            let found = store.disagreements(&looking.wanted(&self.question.filters)).await?;
            for it in found.found {
                if self.asks_for(store, period, looking.log, &it).await? {
                    looking.found += 1;
                    disagreements.push(Disagreement::of(looking.log.clone(), it));
                }
            }
            looking.before = found.next;
            match found.next {
                Some(_) if looking.found < LISTED => left.push_back(looking),
                next => more |= next.is_some(),
            }
        }
        disagreements.sort_by_key(|it| Reverse(it.reviewed_at));
        more |= !left.is_empty();
        // Reviews of what was purged are counted, and lead to no execution any more.
        if !more {
            *disagreements_gone = (*disagreeing).saturating_sub(disagreements.len() as u64);
        }
        answer.more = (more && (disagreements.len() as u64) < *disagreeing) || disagreements.len() > LISTED;
        disagreements.truncate(LISTED);
        Ok(())
    }
}

/// How far a log was looked through for disagreements.
struct Looking<'l> {
    log: &'l String,
    before: Option<u64>,
    /// How many were found that are asked for.
    found: usize,
}

impl<'l> Looking<'l> {
    fn begin(log: &'l String) -> Self {
        Self { log, before: None, found: 0 }
    }

    fn wanted(&self, filters: &Filters) -> WantedDisagreements {
        WantedDisagreements {
            log: self.log.clone(),
            workflow: filters.workflow.clone(),
            before: self.before,
            limit: u32::try_from(LISTED).expect("there are few"),
        }
    }
}

impl Request {
    /// Whether a disagreement is asked for. What it does not say of its execution is looked up.
    async fn asks_for(
        &self,
        store: &dyn Store,
        period: Period,
        log: &str,
        it: &store::Disagreement,
    ) -> Result<bool, StoreError> {
        let filters = &self.question.filters;
        let ended = it.completed_at >= period.since && it.completed_at < period.until;
        if !ended || !filters.is_of(&it.workflow, &it.version) {
            return Ok(false);
        }
        if !filters.is_narrow() {
            return Ok(true);
        }
        let Review { execution_id, attempt, .. } = &it.review.review;
        let wanted = Wanted { id: execution_id.clone(), log: Some(log.to_owned()), attempt: Some(*attempt) };
        let Lookup::Found(detail) = store.get(&wanted).await? else { return Ok(false) };
        let Some((execution, _)) = detail.revisions.first() else { return Ok(false) };
        Ok(filters.has(&Stratum::of(&execution.record).as_deref()))
    }
}

/// What people said of executions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Verdicts {
    /// Of all that was asked for.
    pub total: Judged,
    /// One a workflow, or version, that was reviewed, as many as asked for; those with harmful verdicts first.
    pub workflows: Vec<OfWorkflow>,
    /// There are more of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_workflows: bool,
    /// Executions whose newest verdict disagrees with how they turned out, the newest review first.
    pub disagreements: Vec<Disagreement>,
    /// How many more were counted, of executions that are there no more: they were purged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disagreements_gone: u64,
    /// There are more of these, or there may be: only so many reviews are looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// What people said of the executions of a workflow, or of one version of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = VerdictsOfWorkflow)]
pub struct OfWorkflow {
    /// Its name.
    pub workflow: String,
    /// Which version, where versions are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What they said.
    #[serde(flatten)]
    pub judged: Judged,
    /// Where the executions are that count, so without the cancelled and deleted, which verdicts are of, too.
    pub executions: Links,
}

/// Verdicts of executions; of each, the newest. They are no part of success.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = JudgedExecutions)]
pub struct Judged {
    /// Of all executions, the cancelled and deleted among them, how many were reviewed.
    pub reviewed: Rate,
    /// Of the reviewed, how many were found effective,
    pub effective: Rate,
    /// ineffective,
    pub ineffective: Rate,
    /// or harmful.
    pub harmful: Rate,
    /// How many were found effective and were no success, or were one and found ineffective or harmful.
    pub disagreeing: u64,
}

impl Judged {
    fn of(cell: &RunsCell, minimum: u64) -> Self {
        let Tally { executions, cancelled, deleted, .. } = Tally::of(&cell.ended);
        let of = |verdict| -> u64 {
            let said = cell.verdicts.iter().filter(|((said, _), _)| *said == verdict);
            said.map(|(_, &count)| whole(count)).sum()
        };
        let reviewed: u64 = cell.verdicts.values().map(|&count| whole(count)).sum();
        let rate = |verdict| Rate::new(of(verdict), reviewed, minimum);
        let disagrees = |(verdict, outcome): &(Verdict, Outcome)| {
            (*verdict == Verdict::Effective) != (*outcome == Outcome::Success)
        };
        Self {
            reviewed: Rate::new(reviewed, executions + cancelled + deleted, minimum),
            effective: rate(Verdict::Effective),
            ineffective: rate(Verdict::Ineffective),
            harmful: rate(Verdict::Harmful),
            disagreeing: cell
                .verdicts
                .iter()
                .filter(|(said, _)| disagrees(said))
                .map(|(_, &count)| whole(count))
                .sum(),
        }
    }
}

/// An execution whose newest verdict disagrees with how it turned out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Disagreement {
    /// Its log.
    pub log: String,
    /// Its id.
    pub id: String,
    /// Which attempt of it.
    pub attempt: u32,
    /// Its workflow.
    pub workflow: String,
    /// And the version.
    pub version: String,
    /// How it turned out.
    pub outcome: Outcome,
    /// What was said of it.
    pub verdict: Verdict,
    /// What else was said; empty where nothing was.
    pub note: String,
    /// Who said so.
    pub actor: String,
    /// When it was recorded.
    pub reviewed_at: Time,
}

impl Disagreement {
    fn of(log: String, it: store::Disagreement) -> Self {
        let store::Disagreement { review, workflow, version, outcome, .. } = it;
        let Review { execution_id: id, attempt, verdict, note, actor } = review.review;
        let reviewed_at = review.recorded_at;
        Self { log, id, attempt, workflow, version, outcome, verdict, note, actor, reviewed_at }
    }
}

#[cfg(test)]
mod tests;
