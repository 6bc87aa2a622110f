//! `dualaudit stats adjustments`.

use super::{Common, Present, plot};
use crate::{
    command::{
        answers::{Cells, Shape},
        output::shown,
    },
    learn::{
        Answer,
        adjustments::{Adjustment, Adjustments, Request, Said, Verdict},
    },
};

/// How executions of a workflow (--workflow) turn out whose steps were adjusted, and those without.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
}

impl Args {
    /// The parameters beside those of every answer.
    #[expect(clippy::unused_self, reason = "as other answers have some")]
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl Present for Request {
    type Item = Adjustment;
    const SHAPE: &'static Shape<Adjustment> =
        &Shape { table: TABLE, csv: CSV, nothing: "No step was adjusted in this period, of what fits." };

    fn items(answer: &Adjustments) -> &[Adjustment] {
        &answer.adjustments
    }

    fn notes(answer: &Answer<Adjustments>) -> Vec<String> {
        let Adjustments { caution, judged, adjustments, more, .. } = &answer.answer;
        let mut notes = Vec::new();
        if !adjustments.is_empty() {
            notes.push(caution.clone());
            notes.push(
                "Difference: success in points among executions that are alike and came to the step."
                    .to_owned(),
            );
        }
        if *judged > 1 {
            notes.push(format!(
                "{judged} are judged: of those that help or hurt, at most 5 % are expected to do so by chance."
            ));
        }
        if adjustments.iter().any(|it| it.hinges_on_broken) {
            notes.push(
                "* Rests on executions that the step itself broke, maybe before they could be adjusted."
                    .to_owned(),
            );
        }
        if adjustments.iter().any(|it| it.success.reversed) {
            notes.push("! All executions together say the opposite of those that are alike.".to_owned());
        }
        if *more {
            notes.push("There are more, which are not shown.".to_owned());
        }
        for it in adjustments {
            if let Some(why) = it.insufficient {
                notes.push(format!("{} is not judged: {}.", name(it), plot::why(why)));
            }
        }
        for it in adjustments {
            notes.extend(said("Reasons", it, &it.reasons));
            notes.extend(said("Timeouts", it, &it.timeouts));
        }
        notes
    }
}

fn name(it: &Adjustment) -> String {
    format!("{} of step {}", it.adjustment_type.as_str(), plot::step(it.step_number, &it.action))
}

fn said(what: &str, of: &Adjustment, said: &Said) -> Vec<String> {
    if said.most.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("\n{what}: {}", name(of))];
    lines.extend(said.most.iter().map(|it| format!("  {:>6}  {}", it.executions, shown(&it.text))));
    if said.others > 0 {
        lines.push(format!("          and {} others", said.others));
    }
    lines
}

const TABLE: Cells<Adjustment> = &[
    ("STEP", |it| format!("{} {}", it.step_number, plot::brief(&it.action))),
    ("ADJUSTED", |it| it.adjustment_type.as_str().to_owned()),
    ("RUNS", |it| format!("{} to {}", it.with.of, it.without.of)),
    ("WITH", |it| plot::rate(&it.with)),
    ("WITHOUT", |it| plot::rate(&it.without)),
    ("DIFFERENCE", |it| plot::points(it.success.difference.as_ref())),
    ("VERDICT", |it| {
        let verdict = match it.verdict {
            Verdict::Helps => "helps ▲",
            Verdict::Hurts => "hurts ▼",
            Verdict::NoDifferenceShown => "no difference shown",
            Verdict::InsufficientData => "insufficient data",
        };
        let mark = |is: bool, mark: &'static str| if is { mark } else { "" };
        format!("{verdict}{}{}", mark(it.hinges_on_broken, " *"), mark(it.success.reversed, " !"))
    }),
];

const CSV: Cells<Adjustment> = &[
    ("step_number", |it| it.step_number.to_string()),
    ("action", |it| it.action.clone()),
    ("adjustment_type", |it| it.adjustment_type.as_str().to_owned()),
    ("verdict", |it| plot::wire(&it.verdict)),
    ("insufficient", |it| it.insufficient.as_ref().map(plot::wire).unwrap_or_default()),
    ("hinges_on_broken", |it| it.hinges_on_broken.to_string()),
    ("with", |it| it.with.of.to_string()),
    ("with_success", |it| it.with.count.to_string()),
    ("without", |it| it.without.of.to_string()),
    ("without_success", |it| it.without.count.to_string()),
    ("difference", |it| plot::number(it.success.difference.map(|it| it.estimate), 6)),
    ("difference_lower", |it| plot::number(it.success.difference.and_then(|it| it.lower), 6)),
    ("difference_upper", |it| plot::number(it.success.difference.and_then(|it| it.upper), 6)),
    ("p_value", |it| plot::p_value(it.success.p_value)),
    ("adjusted_p_value", |it| plot::p_value(it.success.adjusted_p_value)),
    ("raw_difference", |it| plot::number(it.success.raw.map(|it| it.estimate), 6)),
    ("raw_p_value", |it| plot::p_value(it.success.raw_p_value)),
    ("reversed", |it| it.success.reversed.to_string()),
    ("executions_left_out", |it| it.success.executions_left_out.to_string()),
    ("broken", |it| it.broken.executions.to_string()),
];

#[cfg(test)]
mod tests {
    use dualaudit_record::{
        WorkflowExecutionAudit,
        execution::{AdaptiveAdjustment, AdjustmentType, Outcome, StepExecutionAudit, StepStatus},
    };

    use super::*;
    use crate::{
        command::stats::page,
        learn::testing::{Given, asked, ended, execution, now},
    };

    fn drained(kind: Option<AdjustmentType>, reason: &str) -> impl Fn(Outcome) -> WorkflowExecutionAudit {
        move |outcome| {
            let step = StepExecutionAudit {
                step_number: 1,
                action: "drain".into(),
                duration: 1_000_000_000,
                status: if outcome == Outcome::Success { StepStatus::Completed } else { StepStatus::Failed },
                retries_attempted: 0,
                error_message: String::new(),
                name: None,
                started_at: None,
            };
            let adjustment = |adjustment_type| AdaptiveAdjustment {
                step_number: 1,
                adjustment_type,
                reason: reason.into(),
                timestamp: ended(),
                from: Some("30s".into()),
                to: Some("60s".into()),
            };
            WorkflowExecutionAudit {
                step_executions: vec![step],
                adaptive_adjustments: kind.map(adjustment).into_iter().collect(),
                ..execution(outcome)
            }
        }
    }

    #[test]
    fn adjustments_are_shown_with_what_they_say_and_what_they_do_not() {
        let mut given = Given::nothing(now());
        given.so_many(90, 10, drained(Some(AdjustmentType::Timeout), "node web-7 is slow"));
        given.so_many(20, 30, drained(Some(AdjustmentType::Retry), "lost the connection"));
        given.so_many(2, 0, drained(Some(AdjustmentType::Skip), ""));
        given.so_many(60, 40, drained(None, ""));
        let asked = asked::<Request>(&[("workflow", "heal")], now());
        insta::assert_snapshot!(page::<Request>(&given.answer(&asked)));
        insta::assert_snapshot!(page::<Request>(&Given::nothing(now()).answer(&asked)), @r"
        Ended from 2026-04-03T00:00:00Z until 2026-05-01T12:00:00Z.

        No step was adjusted in this period, of what fits.
        ");
    }
}
