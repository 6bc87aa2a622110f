//! `dualaudit stats compare`.

use super::{Common, Present, given, plot};
use crate::{
    command::{
        answers::{Cells, Shape},
        output::time,
    },
    learn::{
        Answer,
        compare::{Comparison, Comparisons, PaceVerdict, Request, Verdict},
        contrast::Insufficient,
        figures::Estimate,
    },
};

/// Whether a version of a workflow does better than another, or a period than the one before.
///
/// With --workflow versions are compared over the period: --version with --against, or with the version that ran most;
/// or each version with that. With --against-since, or without --workflow, periods are: each workflow's executions since
/// then with those in --since and --until, or else the period with the one before.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// The version to compare with; unless given, the one with the most executions.
    #[arg(long, value_name = "VERSION")]
    against: Option<String>,
    /// Compare with a period instead, which begins then: a time, or a time ago.
    #[arg(long, value_name = "TIME")]
    against_since: Option<String>,
    /// It ends then; unless given, where the period that is compared begins.
    #[arg(long, value_name = "TIME")]
    against_until: Option<String>,
}

impl Args {
    /// The parameters beside those of every answer.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        given([
            ("against", &self.against),
            ("against_since", &self.against_since),
            ("against_until", &self.against_until),
        ])
    }
}

impl Present for Request {
    type Item = Comparison;
    const SHAPE: &'static Shape<Comparison> = &Shape {
        table: TABLE,
        csv: CSV,
        nothing: "There is nothing to compare: fewer than two versions ended in this period, or nothing that fits.",
    };

    fn items(answer: &Comparisons) -> &[Comparison] {
        &answer.comparisons
    }

    fn notes(answer: &Answer<Comparisons>) -> Vec<String> {
        let Comparisons { against_period, judged, comparisons, more } = &answer.answer;
        let mut notes = Vec::new();
        if let Some(period) = against_period {
            notes.push(format!(
                "Compared with what ended from {} until {}.",
                time(period.since),
                time(period.until)
            ));
        }
        if !comparisons.is_empty() {
            notes.push("Difference: success in points, among executions that are alike.".to_owned());
            notes.push("Time: how many times as long the median success takes.".to_owned());
        }
        if *judged > 1 {
            notes.push(format!(
                "{judged} are judged: of those better or worse, at most 5 % are expected to be so by chance."
            ));
        }
        for (why, count) in insufficient(comparisons) {
            notes.push(format!("{count} not judged: {why}."));
        }
        notes.extend(comparisons.iter().filter(|it| it.success.reversed).map(|it| {
            format!(
                "{}: all executions together say the opposite of those that are alike, so they differ in what they are.",
                name(it)
            )
        }));
        if *more {
            notes.push("There are more, which are not shown.".to_owned());
        }
        notes
    }
}

/// How many are not judged for each reason.
fn insufficient(comparisons: &[Comparison]) -> Vec<(&'static str, usize)> {
    use Insufficient::{FewAlike, FewExecutions, InFlight};
    [FewExecutions, InFlight, FewAlike]
        .into_iter()
        .map(|why| (plot::why(why), comparisons.iter().filter(|it| it.insufficient == Some(why)).count()))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn name(it: &Comparison) -> String {
    match (&it.one.version, &it.against.version) {
        (Some(one), Some(other)) if one != other => {
            format!("{} to {}", plot::version_of(&it.workflow, one), plot::brief(plot::named(other)))
        }
        (Some(version), _) => plot::version_of(&it.workflow, version),
        _ => plot::brief(&it.workflow),
    }
}

const TABLE: Cells<Comparison> = &[
    ("COMPARED", name),
    ("RUNS", |it| format!("{} to {}", it.one.tally.executions, it.against.tally.executions)),
    ("SUCCESS", |it| {
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), plot::percent);
        format!("{} to {}", rate(it.one.success.rate), rate(it.against.success.rate))
    }),
    ("DIFFERENCE", |it| plot::points(it.success.difference.as_ref())),
    ("VERDICT", |it| {
        match it.verdict {
            Verdict::Worse => "worse ▼",
            Verdict::Better => "better ▲",
            Verdict::NoDifferenceShown => "no difference shown",
            Verdict::InsufficientData => "insufficient data",
        }
        .to_owned()
    }),
    ("TIME", |it| ratio(it.duration.p50.as_ref())),
    ("", |it| {
        match it.duration.verdict {
            PaceVerdict::Longer => "longer",
            PaceVerdict::Shorter => "shorter",
            PaceVerdict::NoDifferenceShown | PaceVerdict::InsufficientData => "",
        }
        .to_owned()
    }),
];

fn ratio(ratio: Option<&Estimate>) -> String {
    ratio.map_or_else(
        || "-".to_owned(),
        |it| {
            let end = |end: Option<f64>| end.map_or_else(|| "?".to_owned(), |end| format!("{end:.2}"));
            format!("×{:.2} ({}–{})", it.estimate, end(it.lower), end(it.upper))
        },
    )
}

const CSV: Cells<Comparison> = &[
    ("workflow", |it| it.workflow.clone()),
    ("version", |it| it.one.version.clone().unwrap_or_default()),
    ("against_version", |it| it.against.version.clone().unwrap_or_default()),
    ("verdict", |it| plot::wire(&it.verdict)),
    ("insufficient", |it| it.insufficient.as_ref().map(plot::wire).unwrap_or_default()),
    ("executions", |it| it.one.tally.executions.to_string()),
    ("success", |it| it.one.tally.success.to_string()),
    ("against_executions", |it| it.against.tally.executions.to_string()),
    ("against_success", |it| it.against.tally.success.to_string()),
    ("difference", |it| plot::number(it.success.difference.map(|it| it.estimate), 6)),
    ("difference_lower", |it| plot::number(it.success.difference.and_then(|it| it.lower), 6)),
    ("difference_upper", |it| plot::number(it.success.difference.and_then(|it| it.upper), 6)),
    ("p_value", |it| plot::p_value(it.success.p_value)),
    ("adjusted_p_value", |it| plot::p_value(it.success.adjusted_p_value)),
    ("raw_difference", |it| plot::number(it.success.raw.map(|it| it.estimate), 6)),
    ("reversed", |it| it.success.reversed.to_string()),
    ("executions_left_out", |it| it.success.executions_left_out.to_string()),
    ("duration_verdict", |it| plot::wire(&it.duration.verdict)),
    ("duration_p50_ratio", |it| plot::number(it.duration.p50.map(|it| it.estimate), 4)),
    ("duration_p50_ratio_lower", |it| plot::number(it.duration.p50.and_then(|it| it.lower), 4)),
    ("duration_p50_ratio_upper", |it| plot::number(it.duration.p50.and_then(|it| it.upper), 4)),
    ("duration_p90_ratio", |it| plot::number(it.duration.p90.map(|it| it.estimate), 4)),
    ("in_flight", |it| it.one.in_flight.to_string()),
    ("against_in_flight", |it| it.against.in_flight.to_string()),
];

#[cfg(test)]
mod tests {
    use dualaudit_record::{WorkflowExecutionAudit, execution::Outcome};

    use super::*;
    use crate::{
        command::stats::page,
        learn::testing::{Given, asked, ended, execution, now},
    };

    fn shown(given: &Given, pairs: &[(&str, &str)]) -> String {
        page::<Request>(&given.answer(&asked::<Request>(pairs, now())))
    }

    #[test]
    fn versions_are_shown_side_by_side() {
        let of = |version: &'static str, incident: &'static str, seconds: u64| {
            move |outcome: Outcome| WorkflowExecutionAudit {
                workflow_version: version.into(),
                incident_type: Some(incident.into()),
                total_duration: seconds * 1_000_000_000,
                ..execution(outcome)
            }
        };
        let mut given = Given::nothing(now());
        given.so_many(180, 20, of("v1", "oom", 60));
        given.so_many(70, 30, of("v2", "oom", 90));
        given.so_many(1, 0, of("", "oom", 60));
        given.so_many(81, 6, of("v3", "oom", 60));
        given.so_many(30, 70, of("v3", "disk", 60));
        given.so_many(3, 17, of("v1", "disk", 60));
        insta::assert_snapshot!(shown(&given, &[("workflow", "heal")]));
    }

    #[test]
    fn workflows_are_shown_against_the_period_before() {
        let days_before = |workflow: &'static str, days: i64| {
            move |outcome: Outcome| WorkflowExecutionAudit {
                workflow_name: workflow.into(),
                completed_at: ended().saturating_add_micros(-days * 86_400_000_000),
                ..execution(outcome)
            }
        };
        let mut given = Given::nothing(now());
        given.so_many(80, 20, days_before("heal", 28));
        given.so_many(79, 21, days_before("heal", 0));
        given.so_many(9, 1, days_before("drain", 0));
        insta::assert_snapshot!(shown(&given, &[]));
        insta::assert_snapshot!(shown(&given, &[("namespace", "bank")]), @r"
        Ended from 2026-04-03T00:00:00Z until 2026-05-01T12:00:00Z.

        There is nothing to compare: fewer than two versions ended in this period, or nothing that fits.

        Compared with what ended from 2026-03-05T00:00:00Z until 2026-04-03T00:00:00Z.
        ");
    }
}
