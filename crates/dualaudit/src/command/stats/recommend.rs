//! `dualaudit stats recommend`.

use super::{Common, Present, given, plot};
use crate::{
    command::{
        answers::{Cells, Shape},
        output::{duration, shown},
    },
    learn::{
        Answer,
        figures::Rate,
        recommend::{Recommendation, Recommended, Request, StepTimeout, Untested, Why},
    },
};

/// Which workflows to try for an incident (--incident-type), best first.
///
/// Workflows are ranked by what they may be trusted for: the rate of success that the true one exceeds with 95 %. What
/// fits all that was given counts in full; what was run for the incident elsewhere counts as 20 executions at most.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// How many to name, up to 10 [default: 5].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<String>,
    /// Rank by draws from what is known, so that what is hardly tried is tried at times; the same seed draws the same.
    #[arg(long, value_name = "SEED", allow_negative_numbers = true)]
    explore: Option<String>,
}

impl Args {
    /// The parameters beside those of every answer.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        given([("limit", &self.limit), ("explore", &self.explore)])
    }
}

impl Present for Request {
    type Item = Recommendation;
    const SHAPE: &'static Shape<Recommendation> =
        &Shape { table: TABLE, csv: CSV, nothing: "No workflow was run for this in the period." };

    fn items(answer: &Recommended) -> &[Recommendation] {
        &answer.recommended
    }

    fn notes(answer: &Answer<Recommended>) -> Vec<String> {
        let Recommended { explore, candidates, recommended, untested } = &answer.answer;
        let ranked = match explore {
            Some(seed) => format!("draws of seed {seed}"),
            None => "what they may be trusted for".to_owned(),
        };
        let mut notes = Vec::new();
        if !recommended.is_empty() {
            notes.push(format!("{} of {candidates} workflows, ranked by {ranked}.", recommended.len()));
        }
        let harmful = recommended.iter().filter(|it| it.harmful > 0);
        notes.extend(harmful.map(|it| {
            format!("{} was found harmful {}: look there first.", shown(&it.workflow), times(it.harmful))
        }));
        for it in recommended.iter().filter(|it| !it.timeouts.steps.is_empty() || it.timeouts.steps_unread) {
            notes.push(format!("\nTimeouts of {} {}", shown(&it.workflow), shown(plot::named(&it.version))));
            notes.extend(it.timeouts.steps.iter().map(timeout));
            if it.timeouts.steps_unread {
                notes.push("  its steps have more names than can be read".to_owned());
            }
            if it.timeouts.steps_left_out > 0 {
                notes.push(format!("  and {} steps more", it.timeouts.steps_left_out));
            }
        }
        if !untested.is_empty() {
            notes.push("\nNever tried for this, and worth exploring".to_owned());
            notes.extend(untested.iter().map(untried));
        }
        notes
    }
}

fn timeout(step: &StepTimeout) -> String {
    let set = step.timeout.map_or_else(|| "too few completed to say".to_owned(), duration);
    let more = if step.cut_off { ": more is needed than was measured" } else { "" };
    let timed_out = match step.timed_out {
        Rate { count: 0, .. } => String::new(),
        Rate { count, of, .. } => format!(", {count} of {of} timed out{more}"),
    };
    format!("  {}: {set}{timed_out}", plot::step(step.step_number, &step.action))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn untried(it: &Untested) -> String {
    let there = match it.why {
        Why::SameTargetKind => "on this kind of target",
        Why::SameNamespace => "in this namespace",
        Why::InUse => "elsewhere",
    };
    let harmful =
        if it.harmful > 0 { format!(", found harmful {}", times(it.harmful)) } else { String::new() };
    let Rate { of, .. } = it.success;
    format!("  {}: {} of {of} runs {there}{harmful}", shown(&it.workflow), plot::rate(&it.success))
}

const TABLE: Cells<Recommendation> = &[
    ("WORKFLOW", |it| plot::brief(&it.workflow)),
    ("VERSION", |it| plot::brief(&it.version)),
    ("TRUSTED FOR", |it| format!("{} {}", plot::bar(it.success.lower, 8), plot::percent(it.success.lower))),
    ("EXPECTED", |it| {
        let mark = if it.success.insufficient_data { " ?" } else { "" };
        format!("{}{mark}", plot::percent(it.success.mean))
    }),
    ("HERE", |it| counted(&it.narrow.success)),
    ("ELSEWHERE", |it| counted(&elsewhere(it))),
    ("HARMFUL", |it| it.harmful.to_string()),
    ("P50 P90 P99", |it| plot::quantiles(&it.duration)),
];

/// The evidence of all wider levels.
fn elsewhere(it: &Recommendation) -> Rate {
    let sum = |of: fn(&Rate) -> u64| it.wide.iter().map(|level| of(&level.success)).sum();
    Rate::new(sum(|rate| rate.count), sum(|rate| rate.of), 0)
}

fn counted(rate: &Rate) -> String {
    format!("{}/{}", rate.count, rate.of)
}

const CSV: Cells<Recommendation> = &[
    ("workflow", |it| it.workflow.clone()),
    ("version", |it| it.version.clone()),
    ("score", |it| plot::number(Some(it.score), 6)),
    ("success_mean", |it| plot::number(Some(it.success.mean), 6)),
    ("success_lower", |it| plot::number(Some(it.success.lower), 6)),
    ("success_upper", |it| plot::number(Some(it.success.upper), 6)),
    ("insufficient_data", |it| it.success.insufficient_data.to_string()),
    ("narrow_success", |it| it.narrow.success.count.to_string()),
    ("narrow_executions", |it| it.narrow.success.of.to_string()),
    ("wide_success", |it| elsewhere(it).count.to_string()),
    ("wide_executions", |it| elsewhere(it).of.to_string()),
    ("harmful", |it| it.harmful.to_string()),
    ("duration_p50_ns", |it| plot::nanoseconds(it.duration.p50)),
    ("duration_p90_ns", |it| plot::nanoseconds(it.duration.p90)),
    ("duration_p99_ns", |it| plot::nanoseconds(it.duration.p99)),
];

#[cfg(test)]
mod tests {
    use dualaudit_record::{
        WorkflowExecutionAudit,
        execution::{Outcome, Status},
        statistics::Contribution,
    };

    use super::*;
    use crate::{
        command::stats::page,
        learn::{
            testing::{Given, asked},
            workflows,
        },
        store::conformance::sample,
    };

    #[test]
    fn a_version_without_a_name_and_a_name_too_long_for_a_table_are_said() {
        let now = sample::at(86_400);
        let (long, short) = ("w".repeat(253), "w".repeat(63));
        let record = WorkflowExecutionAudit {
            workflow_name: long.clone(),
            workflow_version: String::new(),
            ..sample::record("a")
        };
        let given = Given::of("default", &[record], now);
        let incident = ("incident_type", "CrashLoopBackOff");
        let recommended = page::<Request>(&given.answer(&asked::<Request>(&[incident], now)));
        assert!(recommended.contains(&format!("\n{short}…  ")), "{recommended}");
        assert!(recommended.contains(&format!("\nTimeouts of {long} (no version)\n")), "{recommended}");
        let asked = asked::<workflows::Request>(&[("by", "version")], now);
        let workflows = page::<workflows::Request>(&given.answer(&asked));
        assert!(workflows.contains(&format!("\n{short}… (no version)  1 ")), "{workflows}");
    }

    #[test]
    fn recommendations_are_a_table_with_what_to_set_and_what_to_explore_below() {
        let now = sample::at(86_400);
        let mut given = Given::nothing(now);
        for (workflow, incident, namespace, successes, failures) in [
            ("restart-pods", "oom", "shop", 18, 2),
            ("restart-pods", "oom", "bank", 40, 10),
            ("raise-memory", "oom", "shop", 2, 0),
            ("drain-node", "disk", "shop", 9, 1),
        ] {
            for (outcome, times) in [(Outcome::Success, successes), (Outcome::Failed, failures)] {
                let mut record = WorkflowExecutionAudit {
                    workflow_name: workflow.to_owned(),
                    namespace: Some(namespace.to_owned()),
                    incident_type: Some(incident.to_owned()),
                    outcome,
                    status: if outcome == Outcome::Success { Status::Completed } else { Status::Failed },
                    ..sample::record(workflow)
                };
                record.step_executions.truncate(2);
                given.give("default", &Contribution::of(&record), times);
            }
        }
        let request: Request = asked(&[("incident_type", "oom"), ("namespace", "shop")], now);
        let page = page::<Request>(&given.answer(&request));
        insta::assert_snapshot!(page, @"
        Ended from 2025-07-12T00:00:00Z until 2025-10-10T09:00:00Z.

        WORKFLOW      VERSION  TRUSTED FOR    EXPECTED  HERE   ELSEWHERE  HARMFUL  P50 P90 P99
        restart-pods  v1.2     █████▉   74 %  84 %      18/20  40/50      0        12.3s 12.3s 12.3s
        raise-memory  v1.2     ███▌     43 %  83 % ?    2/2    0/0        0        12.3s 12.3s 12.3s

        2 of 2 workflows, ranked by what they may be trusted for.

        Timeouts of restart-pods v1.2
          1 restart-deployment-1: 3.0s
          2 restart-deployment-2: 3.0s

        Timeouts of raise-memory v1.2
          1 restart-deployment-1: too few completed to say
          2 restart-deployment-2: too few completed to say

        Never tried for this, and worth exploring
          drain-node: 90 % (60–98) of 10 runs in this namespace
        ");
    }
}
