//! `dualaudit stats workflows`.

use std::iter;

use super::{Common, Present, given, plot};
use crate::{
    command::answers::{Cells, Shape},
    learn::{
        Answer,
        figures::Tally,
        workflows::{Request, Workflow, Workflows},
    },
};

/// How workflows do: success, effectiveness, time, retries, rollbacks, and what changed since the period before.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// What a row is of: workflow or version.
    #[arg(long, value_name = "WHAT")]
    by: Option<String>,
    /// How many rows to tell, up to 1000: those with the most executions [default: 200].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<String>,
}

impl Args {
    /// The parameters beside those of every answer.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let series = Some("true".to_owned());
        given([("by", &self.by), ("limit", &self.limit), ("series", &series)])
    }
}

impl Present for Request {
    type Item = Workflow;
    const SHAPE: &'static Shape<Workflow> =
        &Shape { table: TABLE, csv: CSV, nothing: "Nothing ended in this period that fits." };

    fn items(answer: &Workflows) -> &[Workflow] {
        &answer.workflows
    }

    fn notes(answer: &Answer<Workflows>) -> Vec<String> {
        let Workflows { total: Tally { executions, cancelled, deleted, .. }, more, .. } = answer.answer;
        let counted = format!(
            "{executions} executions; {cancelled} cancelled and {deleted} deleted ones are in no rate."
        );
        let more = more.then(|| "There are more rows: --limit says how many are told.".to_owned());
        iter::once(counted).chain(more).collect()
    }
}

const TABLE: Cells<Workflow> = &[
    ("WORKFLOW", |it| match &it.version {
        Some(version) => plot::version_of(&it.workflow, version),
        None => plot::brief(&it.workflow),
    }),
    ("RUNS", |it| it.tally.executions.to_string()),
    ("SUCCESS", |it| plot::bar_and_rate(&it.success)),
    ("CHANGE", change),
    ("TREND", |it| {
        plot::sparkline(
            it.series
                .iter()
                .map(|point| (point.executions > 0).then(|| point.success as f64 / point.executions as f64)),
        )
    }),
    ("PARTIAL", |it| it.partial.rate.map(plot::percent).unwrap_or_default()),
    ("FAILED", |it| it.failed.rate.map(plot::percent).unwrap_or_default()),
    ("SCORE", |it| plot::number(it.effectiveness.shrunk.or(it.effectiveness.mean), 2)),
    ("P50 P90 P99", |it| plot::quantiles(&it.duration)),
    ("RETRIED", |it| it.retries.executions.rate.map(plot::percent).unwrap_or_default()),
    ("ROLLED BACK", |it| it.rollbacks.executions.rate.map(plot::percent).unwrap_or_default()),
    ("IN FLIGHT", |it| it.in_flight.executions.to_string()),
];

fn change(it: &Workflow) -> String {
    let Some(change) = it.change.difference else { return String::new() };
    // A change that may be none is not worth an arrow.
    let arrow = match (change.lower, change.upper) {
        (Some(lower), _) if lower > 0.0 => " ▲",
        (_, Some(upper)) if upper < 0.0 => " ▼",
        _ => "",
    };
    // Rounded first, so that nothing has no sign.
    let points = (change.estimate * 100.0).round();
    if points == 0.0 { "0".to_owned() } else { format!("{points:+.0}{arrow}") }
}

const CSV: Cells<Workflow> = &[
    ("workflow", |it| it.workflow.clone()),
    ("version", |it| it.version.clone().unwrap_or_default()),
    ("executions", |it| it.tally.executions.to_string()),
    ("success", |it| it.tally.success.to_string()),
    ("partial", |it| it.tally.partial.to_string()),
    ("failed", |it| it.tally.failed.to_string()),
    ("timed_out", |it| it.tally.timed_out.to_string()),
    ("cancelled", |it| it.tally.cancelled.to_string()),
    ("deleted", |it| it.tally.deleted.to_string()),
    ("success_rate", |it| plot::number(it.success.rate, 6)),
    ("success_rate_lower", |it| plot::number(Some(it.success.lower), 6)),
    ("success_rate_upper", |it| plot::number(Some(it.success.upper), 6)),
    ("insufficient_data", |it| it.success.insufficient_data.to_string()),
    ("success_rate_before", |it| plot::number(it.change.before.rate, 6)),
    ("effectiveness_mean", |it| plot::number(it.effectiveness.mean, 6)),
    ("effectiveness_shrunk", |it| plot::number(it.effectiveness.shrunk, 6)),
    ("duration_p50_ns", |it| plot::nanoseconds(it.duration.p50)),
    ("duration_p90_ns", |it| plot::nanoseconds(it.duration.p90)),
    ("duration_p99_ns", |it| plot::nanoseconds(it.duration.p99)),
    ("queued_p50_ns", |it| plot::nanoseconds(it.queued.p50)),
    ("queued_p90_ns", |it| plot::nanoseconds(it.queued.p90)),
    ("retried_executions", |it| it.retries.executions.count.to_string()),
    ("retries", |it| it.retries.total.to_string()),
    ("rolled_back_executions", |it| it.rollbacks.executions.count.to_string()),
    ("rollbacks", |it| it.rollbacks.total.to_string()),
    ("in_flight", |it| it.in_flight.executions.to_string()),
    ("overdue", |it| it.in_flight.overdue.to_string()),
];
