//! Two versions of a workflow, or two periods: which one does better.

mod judge;
mod sides;
#[cfg(test)]
mod tests;

use dualaudit_record::{
    Time,
    statistics::{Part, View},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Filters, Found, LearnError, Links, Period, Question, Unanswerable,
    contrast::{Contrast, Insufficient, Kinds},
    figures::{Durations, Estimate, Rate, Tally},
    question::given,
    workflows::By,
};
use crate::{
    parameter::{BadParameter, time},
    store::WantedCells,
};
use judge::{Pair, Side, judged};
use sides::{Group, groups};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// The parameters beside those of every answer.
const ALSO: [&str; 3] = ["against", "against_since", "against_until"];
/// Comparisons that are answered at most.
const COMPARISONS: usize = 500;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer. Where versions are compared, its version is the one that is.
    pub question: Question,
    /// What with.
    pub against: Against,
}

/// What something is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// A version of the workflow that the question names; `None` is the one with the most executions.
    Version(Option<String>),
    /// A period; `None` is the one before, which is as long.
    Period(Option<Period>),
}

impl Ask for Request {
    const NAME: &'static str = "compare";
    type Answer = Comparisons;

    /// Periods are compared where one is given to compare with, or no workflow is named; else versions.
    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &ALSO, DAYS, now)?;
        let against = match given(pairs, "against", |value| Ok(value.to_owned()))? {
            Some(version) => against_version(pairs, &question, version)?,
            None => match against_period(pairs, question.period, now)? {
                None if question.filters.workflow.is_some() => Against::Version(None),
                period => Against::Period(period),
            },
        };
        Ok(Self { question, against })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    fn in_flight(&self) -> Filters {
        self.read()
    }

    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let (read, by) = (self.read(), self.by());
        let of = |period| {
            let ended = match read.workflow {
                Some(_) => read.wanted(View::Strata, period, Part::Ended),
                None => read.runs_by_kind(period),
            };
            [ended, read.runs(by, period, Part::Successful)]
        };
        let periods = [Some(self.period(as_of)), self.other_period(as_of)];
        periods.into_iter().flatten().flat_map(of).collect()
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Comparisons, LearnError> {
        let read = self.read();
        let by = self.by();
        let mut kinds = Kinds::default();
        let mut of =
            |place: usize| groups(by, &mut kinds, &found.cells[2 * place], &found.cells[2 * place + 1]);
        let (period, minimum, nothing) = (self.period(as_of), self.question.minimum, Group::default());
        // Who has not ended yet is missing in a period that is not over, and in no other.
        let side = |of, period: Period, workflow: &str, version| {
            let is_over = period.until <= as_of;
            let in_flight = if is_over { 0 } else { found.flights.of(workflow, version).executions };
            Side { of, period, in_flight }
        };
        let one = of(0)?;
        let Against::Version(baseline) = &self.against else {
            let other_period = self.other_period(as_of).unwrap_or(period);
            let other = of(1)?;
            let mut workflows: Vec<&str> = one.keys().chain(other.keys()).copied().collect();
            workflows.sort_unstable();
            workflows.dedup();
            let version = read.version.as_deref();
            let pairs = workflows.into_iter().map(|workflow| Pair {
                workflow,
                versions: [version; 2],
                sides: [
                    side(one.get(workflow).unwrap_or(&nothing), period, workflow, version),
                    side(other.get(workflow).unwrap_or(&nothing), other_period, workflow, version),
                ],
            });
            let answer = judged(&read, pairs.collect(), minimum);
            return Ok(Comparisons { against_period: Some(other_period), ..answer });
        };
        let asked = self.question.filters.version.as_deref();
        let versions = sides::versions(&one, asked, baseline.as_deref());
        let workflow = read.workflow.as_deref().unwrap_or_default();
        let pairs = versions.into_iter().map(|versions| Pair {
            workflow,
            versions: versions.map(Some),
            sides: versions
                .map(|version| side(one.get(version).unwrap_or(&nothing), period, workflow, Some(version))),
        });
        Ok(judged(&read, pairs.collect(), minimum))
    }
}

impl Request {
    /// Which executions are read: where versions are compared, those of all.
    fn read(&self) -> Filters {
        let mut read = self.question.filters.clone();
        if matches!(self.against, Against::Version(_)) {
            read.version = None;
        }
        read
    }

    /// What groups are made of.
    fn by(&self) -> By {
        if matches!(self.against, Against::Version(_)) { By::Version } else { By::Workflow }
    }

    /// The period that is compared with, if periods are: without what the other one has.
    fn other_period(&self, as_of: Time) -> Option<Period> {
        match self.against {
            Against::Version(_) => None,
            Against::Period(None) => Some(self.period(as_of).before(as_of)),
            Against::Period(Some(other)) => Some(apart(other, self.question.period, as_of)),
        }
    }
}

/// A period that is compared with another, aligned. What both touch is the other's alone.
fn apart(period: Period, other: Period, as_of: Time) -> Period {
    let (aligned, others) = (period.aligned(as_of), other.aligned(as_of));
    if period.since < other.since {
        Period { until: aligned.until.min(others.since), ..aligned }
    } else {
        Period { since: aligned.since.max(others.until), ..aligned }
    }
}

fn against_version(
    pairs: &[(String, String)],
    question: &Question,
    version: String,
) -> Result<Against, BadParameter> {
    let bad = |rule: &str| Err(BadParameter::new("against", &version, rule));
    if pairs.iter().any(|(name, _)| name == "against_since" || name == "against_until") {
        return bad("is a version: compare with that, or with a period (against_since), not with both");
    }
    if question.filters.workflow.is_none() {
        return bad("is a version: name the workflow that it is of");
    }
    if question.filters.version.as_ref() == Some(&version) {
        return bad("must be another version than the one that is compared with it");
    }
    Ok(Against::Version(Some(version)))
}

/// The period to compare with, if one is given: up to where the other begins, or as long as that.
fn against_period(
    pairs: &[(String, String)],
    period: Period,
    now: Time,
) -> Result<Option<Period>, BadParameter> {
    let since = given(pairs, "against_since", |value| time(value, now))?;
    let until = given(pairs, "against_until", |value| time(value, now))?;
    let length = period.until.micros_since(period.since);
    let against = match (since, until) {
        (None, None) => return Ok(None),
        (Some(since), until) => Period { since, until: until.unwrap_or(period.since) },
        (None, Some(until)) => Period { since: until.saturating_add_micros(-length), until },
    };
    let bad = |rule: String| {
        let at_fault =
            pairs.iter().rev().find(|(name, _)| name == "against_since" || name == "against_until");
        let (name, value) = at_fault.expect("one of them was given");
        Err(BadParameter::new(name, value, rule))
    };
    let Period { since, until } = against;
    if since >= until {
        return bad(format!("would be from {since} to {until}: it must begin before it ends"));
    }
    if since < period.until && period.since < until {
        return bad(format!(
            "would be from {since} to {until}, which has in it what the period has that is compared, from {} to {}",
            period.since, period.until
        ));
    }
    let kept = apart(against, period, now);
    if kept.since >= kept.until {
        let Period { since, until } = period.aligned(now);
        return bad(format!(
            "is too near: so long ago, statistics are kept for the whole of {since} to {until} only"
        ));
    }
    Ok(Some(against))
}

/// Comparisons: what does worse first, then what does better, then the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comparisons {
    /// The period that is compared with, where periods are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against_period: Option<Period>,
    /// How many have enough data to be judged. Verdicts are adjusted for so many.
    pub judged: u64,
    /// One a version, or workflow.
    pub comparisons: Vec<Comparison>,
    /// There are more than are answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// A version of a workflow, or a period of it, compared with another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comparison {
    /// Its name.
    pub workflow: String,
    /// Whether it succeeds more often.
    pub verdict: Verdict,
    /// Why that cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insufficient: Option<Insufficient>,
    /// What is compared,
    pub one: Compared,
    /// with what.
    pub against: Compared,
    /// Success of the one less that of the other.
    pub success: Contrast,
    /// How long the successful of the one take, to those of the other.
    pub duration: Pace,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Compared {
    /// Of which version, where only one is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How executions ended.
    pub tally: Tally,
    /// Of those that count, how many succeeded.
    pub success: Rate,
    /// How long the successful took.
    pub duration: Durations,
    /// How many have not ended yet.
    pub in_flight: u64,
    /// Where the executions are.
    pub executions: Links,
}

/// Whether one side does better than the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ComparisonVerdict)]
pub enum Verdict {
    /// It succeeds less often.
    Worse,
    /// It succeeds more often.
    Better,
    /// There may be one, which this many executions do not show.
    NoDifferenceShown,
    /// There are too few executions to say.
    InsufficientData,
}

/// How many times as long successful executions take. They are not told apart by what they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pace {
    /// The ratio of the medians; null where a side has none.
    pub p50: Option<Estimate>,
    /// The ratio of what 9 in 10 do not exceed.
    pub p90: Option<Estimate>,
    /// How probable it is by chance that one side takes as much longer than the other (Mann and Whitney).
    pub p_value: Option<f64>,
    /// The same, adjusted by Benjamini and Hochberg for all that is judged in this answer; null where it is not.
    pub adjusted_p_value: Option<f64>,
    /// Whether the median is longer.
    pub verdict: PaceVerdict,
}

/// Whether one side takes longer than the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaceVerdict {
    /// The median is longer, by more than 2 %.
    Longer,
    /// The median is shorter, by more than 2 %.
    Shorter,
    /// There may be a difference, which this many executions do not show.
    NoDifferenceShown,
    /// There are too few executions to say.
    InsufficientData,
}
