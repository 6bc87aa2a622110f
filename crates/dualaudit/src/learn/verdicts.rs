//! What people said of executions: their verdicts, as a proportion of what was reviewed, and where they disagree with
//! how the execution turned out.

use std::borrow::Cow;

use dualaudit_record::{
    Time,
    entry::{Review, Verdict},
    execution::Outcome,
    statistics::{Part, RunsCell, Stratum},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Found, LearnError, Links, Period, Question, Unanswerable,
    figures::{Rate, Tally, whole},
    question::given,
    source::{Row, runs},
    workflows::By,
};
use crate::{
    parameter::one_of,
    store::{self, Lookup, Store, StoreError, Wanted, WantedCells, WantedDisagreements},
};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// The parameters beside those of every answer.
const ALSO: [&str; 1] = ["by"];
/// Disagreements that are listed at most.
const LISTED: usize = 50;

/// What is asked of verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer.
    pub question: Question,
    /// What a row is of.
    pub by: By,
}

impl Ask for Request {
    const NAME: &'static str = "verdicts";
    type Answer = Verdicts;

    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        let by = given(pairs, "by", |value| one_of(value, "workflow or version"))?;
        Ok(Self { question, by: by.unwrap_or_default() })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        vec![self.question.filters.runs(self.by, self.period(as_of), Part::Counts)]
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Verdicts, LearnError> {
        let Self { question: Question { filters, minimum, .. }, by } = self;
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
            std::cmp::Reverse((row.judged.harmful.count, row.judged.disagreeing, row.judged.reviewed.count))
        });
        Ok(Verdicts {
            total: Judged::of(&total, *minimum),
            workflows,
            disagreements: Vec::new(),
            more: false,
        })
    }

    async fn look_up(
        &self,
        store: &dyn Store,
        period: Period,
        answer: &mut Verdicts,
    ) -> Result<(), StoreError> {
        if answer.total.disagreeing == 0 {
            return Ok(());
        }
        let filters = &self.question.filters;
        let logs: Vec<String> = match &filters.log {
            Some(log) => vec![log.clone()],
            None => store.logs().await?.into_iter().map(|head| head.log).collect(),
        };
        for log in logs {
            let wanted = WantedDisagreements {
                log,
                workflow: filters.workflow.clone(),
                before: None,
                limit: u32::try_from(LISTED).expect("there are few") + 1,
            };
            let found = store.disagreements(&wanted).await?;
            answer.more |= found.next.is_some();
            for it in found.found {
                if self.asks_for(store, period, &wanted.log, &it).await? {
                    answer.disagreements.push(Disagreement::of(wanted.log.clone(), it));
                }
            }
        }
        answer.disagreements.sort_by_key(|it| std::cmp::Reverse(it.reviewed_at));
        answer.more |= answer.disagreements.len() > LISTED;
        answer.disagreements.truncate(LISTED);
        Ok(())
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Of all that was asked for.
    pub total: Judged,
    /// One a workflow, or version, that was reviewed; those with harmful verdicts first.
    pub workflows: Vec<OfWorkflow>,
    /// Executions whose newest verdict disagrees with how they turned out, the newest review first.
    pub disagreements: Vec<Disagreement>,
    /// There are more of these, which were not looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// What people said of the executions of a workflow, or of one version of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfWorkflow {
    /// Its name.
    pub workflow: String,
    /// Which version, where versions are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What they said.
    #[serde(flatten)]
    pub judged: Judged,
    /// Where the executions are.
    pub executions: Links,
}

/// Verdicts of executions; of each, the newest. They are no part of success.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
