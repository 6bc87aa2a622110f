//! `dualaudit stats regressions`.

use super::{Common, Present, given, plot};
use crate::{
    command::{
        answers::{Cells, Shape},
        output::name,
    },
    learn::{
        Answer,
        figures::Estimate,
        regressions::{Change, Regression, Regressions, Request, judge::State},
    },
};

/// What got worse: each day that is over, against the 28 days before it.
///
/// A rate of success that fell by 5 points or more, or a median duration that grew by 20 % or more, where that is more
/// than chance: of all that is found on a day, at most 5 % is expected to be nothing.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// What is judged: each workflow or each version [default: workflow].
    #[arg(long, value_name = "WHAT")]
    by: Option<String>,
}

impl Args {
    /// The parameters beside those of every answer.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        given([("by", &self.by)])
    }
}

impl Present for Request {
    type Item = Regression;
    const SHAPE: &'static Shape<Regression> =
        &Shape { table: TABLE, csv: CSV, nothing: "No regression was found on these days." };

    fn items(answer: &Regressions) -> &[Regression] {
        &answer.regressions
    }

    fn notes(answer: &Answer<Regressions>) -> Vec<String> {
        let Regressions { days, not_judged, more, .. } = &answer.answer;
        let judged = days.iter().filter(|day| day.comparisons > 0).count();
        let comparisons: u64 = days.iter().map(|day| day.comparisons).sum();
        let mut notes = vec![format!("{comparisons} comparisons on {judged} days.")];
        let mut also = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("Not judged: {what} ({count})."));
            }
        };
        also(not_judged.days_not_over, "days that are not over yet");
        also(not_judged.days_in_months, "days that are kept in the sums of their months alone");
        also(not_judged.series, "workflows with too few executions a day, or on too few days before");
        if *more {
            notes.push("There are more regressions, which are not shown.".to_owned());
        }
        notes
    }
}

const TABLE: Cells<Regression> = &[
    ("WORKFLOW", |it| plot::brief(&it.workflow)),
    ("VERSION", |it| it.version.as_deref().map(plot::brief).unwrap_or_default()),
    ("LOG", |it| it.log.clone()),
    ("WORSE", |it| measure(&it.change).to_owned()),
    ("WAS", |it| was_and_is(&it.change).0),
    ("IS", |it| was_and_is(&it.change).1),
    ("CHANGE", |it| change(&it.change)),
    ("SINCE", |it| it.since.to_string()),
    ("UNTIL", |it| match it.state {
        State::Lasting => "lasts".to_owned(),
        State::Usual => "usual by now".to_owned(),
        State::Over => it.last.to_string(),
    }),
    ("DAYS", |it| it.days.to_string()),
];

fn measure(change: &Change) -> &'static str {
    match change {
        Change::Success { .. } => "success",
        Change::Duration { .. } => "duration",
    }
}

fn was_and_is(change: &Change) -> (String, String) {
    match change {
        Change::Success { was, is, .. } => (plot::rate(was), plot::rate(is)),
        Change::Duration { was, is, .. } => (plot::median(was), plot::median(is)),
    }
}

fn change(change: &Change) -> String {
    match change {
        Change::Success { difference, .. } => {
            difference.map_or_else(String::new, |it| format!("{:+.0} points", it.estimate * 100.0))
        }
        Change::Duration { ratio, .. } => {
            ratio.map_or_else(String::new, |it| format!("× {:.1}", it.estimate))
        }
    }
}

const CSV: Cells<Regression> = &[
    ("log", |it| it.log.clone()),
    ("workflow", |it| it.workflow.clone()),
    ("version", |it| it.version.clone().unwrap_or_default()),
    ("measure", |it| measure(&it.change).to_owned()),
    ("was", |it| numbers(&it.change).0),
    ("is", |it| numbers(&it.change).1),
    ("change", |it| plot::number(estimate(&it.change).map(|it| it.estimate), 6)),
    ("change_lower", |it| plot::number(estimate(&it.change).and_then(|it| it.lower), 6)),
    ("change_upper", |it| plot::number(estimate(&it.change).and_then(|it| it.upper), 6)),
    ("since", |it| it.since.to_string()),
    ("last", |it| it.last.to_string()),
    ("days", |it| it.days.to_string()),
    ("state", |it| name(&it.state)),
    ("adjusted_p", |it| format!("{:e}", it.adjusted_p)),
];

/// The rate, or the median in nanoseconds.
fn numbers(change: &Change) -> (String, String) {
    match change {
        Change::Success { was, is, .. } => (plot::number(was.rate, 6), plot::number(is.rate, 6)),
        Change::Duration { was, is, .. } => (plot::nanoseconds(was.p50), plot::nanoseconds(is.p50)),
    }
}

/// The difference of the rates, or the ratio of the medians.
fn estimate(change: &Change) -> Option<Estimate> {
    match *change {
        Change::Success { difference, .. } => difference,
        Change::Duration { ratio, .. } => ratio,
    }
}

#[cfg(test)]
mod tests {
    use dualaudit_record::{WorkflowExecutionAudit, execution::Outcome};

    use super::*;
    use crate::{
        command::stats::page,
        learn::testing::{Given, asked, execution, now},
    };

    fn shown(given: &Given, pairs: &[(&str, &str)]) -> String {
        page::<Request>(&given.answer(&asked::<Request>(pairs, now())))
    }

    /// What ended so many days ago, in so many seconds.
    fn ended(workflow: &str, days_ago: i64, seconds: u64) -> impl Fn(Outcome) -> WorkflowExecutionAudit {
        move |outcome| WorkflowExecutionAudit {
            workflow_name: workflow.into(),
            total_duration: seconds * 1_000_000_000,
            completed_at: now().saturating_add_micros(-days_ago * 86_400_000_000),
            ..execution(outcome)
        }
    }

    #[test]
    fn what_got_worse_is_shown_with_what_it_was_and_what_became_of_it() {
        let mut given = Given::nothing(now());
        for days_ago in 1..60 {
            let worse = |days: std::ops::Range<i64>| days.contains(&days_ago);
            let success = |is_worse: bool| if is_worse { (20, 20) } else { (38, 2) };
            let of_days = |days| success(worse(days));
            for (workflow, (successes, failures), seconds) in [
                ("falls", of_days(1..4), 60),
                ("recovers", of_days(3..6), 60),
                ("stays", of_days(1..25), 60),
                ("drags", success(false), if worse(1..3) { 120 } else { 60 }),
                ("steady", success(false), 60),
            ] {
                given.so_many(successes, failures, ended(workflow, days_ago, seconds + days_ago as u64 % 3));
            }
            given.so_many(1, 0, ended("rare", days_ago, 60));
        }
        insta::assert_snapshot!(shown(&given, &[("since", "14d")]));
        insta::assert_snapshot!(shown(&given, &[("workflow", "steady")]), @r"
        Ended from 2026-04-24T00:00:00Z until 2026-05-01T00:00:00Z.

        No regression was found on these days.

        70 comparisons on 7 days.
        Not judged: days that are not over yet (1).
        ");
    }
}
