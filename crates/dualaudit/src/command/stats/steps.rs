//! `dualaudit stats steps`.

use super::{Common, Present, given, plot};
use crate::{
    command::{
        answers::{Cells, Shape},
        output::{duration, shown},
    },
    learn::{
        Answer,
        steps::{Errors, Request, Step, Steps},
    },
};

/// Which steps of a workflow (--workflow) are responsible for its failures, retries and time.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// Which come first: those with most failures, retries or time.
    #[arg(long, value_name = "WHAT")]
    sort: Option<String>,
}

impl Args {
    /// The parameters beside those of every answer.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        given([("sort", &self.sort)])
    }
}

impl Present for Request {
    type Item = Step;
    const SHAPE: &'static Shape<Step> =
        &Shape { table: TABLE, csv: CSV, nothing: "Nothing ended in this period that fits." };

    fn items(answer: &Steps) -> &[Step] {
        &answer.steps
    }

    fn notes(answer: &Answer<Steps>) -> Vec<String> {
        let Steps { tally, steps, errors, more, .. } = &answer.answer;
        let mut notes =
            vec![format!("{} executions, {} of which succeeded.", tally.executions, tally.success)];
        if *more {
            notes.push("There are more steps, which are not shown.".to_owned());
        }
        for step in steps.iter().filter(|step| !step.errors.patterns.is_empty()) {
            notes.push(format!("\nErrors of step {}", plot::step(step.number, &step.action)));
            notes.extend(said(&step.errors));
        }
        if !errors.patterns.is_empty() {
            notes.push("\nErrors of executions as a whole".to_owned());
            notes.extend(said(errors));
        }
        notes
    }
}

fn said(errors: &Errors) -> Vec<String> {
    let mut lines: Vec<String> = errors
        .patterns
        .iter()
        .map(|it| {
            let days =
                if it.first == it.last { it.first.to_string() } else { format!("{}..{}", it.first, it.last) };
            format!("  {:>6}  {}  {days}", it.executions, shown(&it.pattern))
        })
        .collect();
    if errors.other_patterns > 0 {
        lines.push(format!("  {:>6}  in {} other patterns", errors.other_executions, errors.other_patterns));
    }
    lines
}

const TABLE: Cells<Step> = &[
    ("STEP", |it| format!("{} {}", it.number, plot::brief(&it.action))),
    ("REACHED", |it| it.reached.to_string()),
    ("FAILED", |it| plot::rate(&it.failed)),
    ("OF FAILURES", |it| share(it.share_of_failures.rate)),
    ("OF RETRIES", |it| share(it.share_of_retries)),
    ("OF TIME", |it| share(it.share_of_time)),
    ("P50 P90 P99", |it| plot::quantiles(&it.duration)),
    ("IN ALL", |it| duration(it.time)),
];

fn share(share: Option<f64>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |share| format!("{} {:>5}", plot::bar(share, 6), plot::percent(share)),
    )
}

const CSV: Cells<Step> = &[
    ("step_number", |it| it.number.to_string()),
    ("action", |it| it.action.clone()),
    ("reached", |it| it.reached.to_string()),
    ("success", |it| it.success.count.to_string()),
    ("failed", |it| it.failed.count.to_string()),
    ("failed_of", |it| it.failed.of.to_string()),
    ("failed_rate", |it| plot::number(it.failed.rate, 6)),
    ("failed_rate_lower", |it| plot::number(Some(it.failed.lower), 6)),
    ("failed_rate_upper", |it| plot::number(Some(it.failed.upper), 6)),
    ("insufficient_data", |it| it.failed.insufficient_data.to_string()),
    ("share_of_failures", |it| plot::number(it.share_of_failures.rate, 6)),
    ("retries", |it| it.retries.to_string()),
    ("share_of_retries", |it| plot::number(it.share_of_retries, 6)),
    ("time_ns", |it| it.time.to_string()),
    ("share_of_time", |it| plot::number(it.share_of_time, 6)),
    ("duration_p50_ns", |it| plot::nanoseconds(it.duration.p50)),
    ("duration_p90_ns", |it| plot::nanoseconds(it.duration.p90)),
    ("duration_p99_ns", |it| plot::nanoseconds(it.duration.p99)),
];
