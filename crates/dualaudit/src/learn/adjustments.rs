//! Adjustments to steps: how executions turn out with each, and without.
//!
//! Compared are executions that came to the step, of the same version, for the same incident type and kind of target, in
//! the same namespace. So neither seems to help what is done where things go well anyway, nor what only those can have
//! that lived to see the step.
//!
//! What remains is told, not mended. An execution that the step itself broke had perhaps no time to be adjusted, and is
//! then one without. How many those were is known within bounds ([`Broken`]): which of them had been adjusted is not. They
//! cannot just be left out, because what really helps does so by letting the step pass. So a verdict that would not stand
//! without them says so ([`Adjustment::hinges_on_broken`]). And what is adjusted because it goes badly turns out badly: an
//! adjustment that hurts may be one that is made where things hurt.

mod sums;
#[cfg(test)]
mod tests;

use dualaudit_record::{
    Time,
    execution::AdjustmentType,
    statistics::{Part, View},
};
use serde::{Deserialize, Serialize};

use super::{
    Ask, Found, LearnError, Links, Question, Unanswerable,
    contrast::{Case, Contrast, IN_ALL, Insufficient, Shown, adjust},
    figures::Rate,
    inference::proportion::Sample,
};
use crate::store::WantedCells;
use sums::{Summed, Sums};

/// The period unless another is asked for, in days.
const DAYS: i64 = 28;
/// Adjustments that are answered at most.
const ADJUSTMENTS: usize = 500;
/// Reasons, and timeouts, that each is shown with.
const SAID: usize = 5;
/// What the answer does not say.
pub const CAUTION: &str = "An association, not an effect: steps are adjusted for a reason, often because they go badly, and \
                           only what makes executions differ in version, namespace, incident type and kind of target is \
                           taken into account.";

/// What is asked of adjustments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As of every answer; it names a workflow.
    pub question: Question,
}

impl Ask for Request {
    const NAME: &'static str = "adjustments";
    type Answer = Adjustments;

    fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, Unanswerable> {
        let question = Question::parse(pairs, &[], DAYS, now)?;
        question.one_workflow()?;
        Ok(Self { question })
    }

    fn question(&self) -> &Question {
        &self.question
    }

    /// Executions with their steps by what they are, and what was said.
    fn reads(&self, as_of: Time) -> Vec<WantedCells> {
        let (period, filters) = (self.period(as_of), &self.question.filters);
        vec![
            filters.wanted(View::Strata, period, Part::Counts),
            filters.wanted(View::Texts, period, Part::All),
        ]
    }

    fn answer(&self, as_of: Time, found: &Found) -> Result<Adjustments, LearnError> {
        let filters = &self.question.filters;
        let sums = Sums::of(&found.cells[0], &found.cells[1])?;
        Ok(answer(sums, self.question.minimum, &Links::to(filters, self.period(as_of))))
    }
}

/// Adjustments to the steps of a workflow: what helps first, then what hurts, then the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Adjustments {
    /// Always: what executions have in common with their outcome need not be what brought it about.
    pub association: bool,
    /// The same in words.
    pub caution: String,
    /// How many have enough data to be judged. Verdicts are adjusted for so many.
    pub judged: u64,
    /// One a step and kind.
    pub adjustments: Vec<Adjustment>,
    /// There are more than are answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Where the executions are.
    pub executions: Links,
}

/// A kind of adjustment to a step, among the executions that count and came to that step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Adjustment {
    /// Number of the step.
    pub step_number: u32,
    /// What it does; empty of a step that the executions do not have.
    pub action: String,
    /// What kind of change.
    pub adjustment_type: AdjustmentType,
    /// What it is associated with.
    pub verdict: Verdict,
    /// Why that cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insufficient: Option<Insufficient>,
    /// It is said to help, and would not be without the executions that the step broke unadjusted, which may have been
    /// broken before they could be adjusted.
    pub hinges_on_broken: bool,
    /// Of those that had it, how many succeeded.
    pub with: Rate,
    /// Of those that came to the step and did not have it, how many did. They may have had others.
    pub without: Rate,
    /// Success with, less success without.
    pub success: Contrast,
    /// Executions that the step broke.
    pub broken: Broken,
    /// Why it was made, by pattern; of all executions, the cancelled and deleted among them.
    pub reasons: Said,
    /// From what to what timeouts were changed.
    pub timeouts: Said,
}

/// Executions that did not succeed and whose step failed or ran out of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = BrokenExecutions)]
pub struct Broken {
    /// How many, with the adjustment or without.
    pub executions: u64,
    /// As many of them as cannot have had it,
    pub without_at_least: u64,
    /// and as many as may not have had it.
    pub without_at_most: u64,
}

/// What success with an adjustment is, to success without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AdjustmentVerdict)]
pub enum Verdict {
    /// More frequent.
    Helps,
    /// Less frequent.
    Hurts,
    /// There may be a difference, which this many executions do not show.
    NoDifferenceShown,
    /// There are too few executions to say.
    InsufficientData,
}

/// What was said most often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SaidOfAdjustment)]
pub struct Said {
    /// The most frequent.
    pub most: Vec<Text>,
    /// How many others there are.
    pub others: u64,
}

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SaidText)]
pub struct Text {
    /// What.
    pub text: String,
    /// By how many executions.
    pub executions: u64,
}

/// The answer, from sums.
fn answer(sums: Sums<'_>, minimum: u64, executions: &Links) -> Adjustments {
    let adjustments = sums.adjustments();
    // Each is in the stratum of its version, and who is in flight has not come to a step for good.
    let mut cases: Vec<Case> =
        adjustments.iter().map(|(_, it)| Case::of(&it.groups, &IN_ALL, [0, 0], minimum)).collect();
    adjust(&mut cases);
    let judged = cases.iter().filter(|case| case.insufficient.is_none()).count() as u64;
    let mut adjustments: Vec<Adjustment> = adjustments
        .iter()
        .zip(cases)
        .map(|(((number, action, kind), it), case)| {
            let (verdict, insufficient) = match case.shows() {
                Shown::More => (Verdict::Helps, None),
                Shown::Less => (Verdict::Hurts, None),
                Shown::Nothing => (Verdict::NoDifferenceShown, None),
                Shown::Insufficient(why) => (Verdict::InsufficientData, Some(why)),
            };
            let [with, without] =
                it.groups.values().fold([Sample::default(); 2], |[with, without], sides| {
                    [with.plus(sides.with), without.plus(sides.without)]
                });
            let rate = |of: Sample| Rate::new(of.successes, of.successes + of.failures, minimum);
            Adjustment {
                step_number: *number,
                action: (*action).to_owned(),
                adjustment_type: *kind,
                verdict,
                insufficient,
                hinges_on_broken: verdict == Verdict::Helps && !helps_all_others(it, minimum),
                with: rate(with),
                without: rate(without),
                success: case.contrast,
                broken: it.broken(),
                reasons: Said::of(&it.reasons),
                timeouts: Said::of(&it.timeouts),
            }
        })
        .collect();
    adjustments.sort_by(|one, other| {
        let p = |it: &Adjustment| it.success.p_value.unwrap_or(1.0);
        one.verdict.cmp(&other.verdict).then(p(one).total_cmp(&p(other)))
    });
    let more = adjustments.len() > ADJUSTMENTS;
    adjustments.truncate(ADJUSTMENTS);
    let (caution, executions) = (CAUTION.to_owned(), executions.clone());
    Adjustments { association: true, caution, judged, adjustments, more, executions }
}

/// Whether success is more frequent with an adjustment than among those without it that the step did not break.
fn helps_all_others(of: &Summed<'_>, minimum: u64) -> bool {
    let mut case = [Case::of(&of.unbroken(), &IN_ALL, [0, 0], minimum)];
    adjust(&mut case);
    let [case] = case;
    case.shows() == Shown::More
}

impl Said {
    fn of(texts: &sums::Texts<'_>) -> Self {
        let text =
            |(text, executions): (&&str, &u64)| Text { text: (*text).to_owned(), executions: *executions };
        // An empty one stands for those that were not told apart.
        let untold = u64::from(texts.contains_key(""));
        let mut most: Vec<Text> = texts.iter().filter(|(text, _)| !text.is_empty()).map(text).collect();
        most.sort_by_key(|it| std::cmp::Reverse(it.executions));
        let others = most.split_off(SAID.min(most.len())).len() as u64 + untold;
        Self { most, others }
    }
}
