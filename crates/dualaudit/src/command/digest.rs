//! `dualaudit log digest`: what days amount to, and what is missing.

use std::{fmt::Write as _, process::ExitCode};

use dualaudit_record::day::Day;

use super::{
    answers::{self, AnswerForm, Cells, Shape},
    kubectl::Reads,
    output::{self, Columns, shown, time},
    reader::ReaderArgs,
    verify::damaged,
    wrong_usage,
};
use crate::completeness::{Asked, LogSummary, Lost, Summary};

/// `log digest`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    reader: ReaderArgs,
    /// This log only; all, unless one is named.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    /// The first day, in UTC, such as 2026-11-01; that of the log's first entry unless given.
    #[arg(long, value_name = "DAY")]
    since: Option<Day>,
    /// The last day; today unless given.
    #[arg(long, value_name = "DAY")]
    until: Option<Day>,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: AnswerForm,
}

impl Args {
    /// Where it reads, which is about whole logs.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.reader, namespace: None }
    }
}

/// Sums up days; exit status 3 where something is missing.
///
/// # Errors
/// What could not be reached or written, and why.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asked = Asked { since: args.since, until: args.until };
    if asked.is_backwards() {
        return Ok(wrong_usage("--since must not be after --until"));
    }
    let summary = match args.reader.open().await?.digests(args.log.as_deref(), asked).await {
        Ok(summary) => summary,
        Err(error) => return damaged(error),
    };
    let out = &mut output::stdout();
    answers::write(out, args.output, &summary, &summary.logs, &SHAPE, || page(&summary))?;
    Ok(if summary.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

static SHAPE: Shape<LogSummary> = Shape { table: TABLE, csv: CSV, nothing: "" };

const TABLE: Cells<LogSummary> = &[
    ("LOG", |log| log.log.clone()),
    ("DAYS", |log| log.days.map_or_else(|| "none".to_owned(), |days| period(days.since, days.until))),
    ("EXECUTIONS", |log| log.executions.to_string()),
    ("RECORDED", |log| log.counts.recorded.to_string()),
    ("REVISIONS", |log| log.counts.revisions.to_string()),
    ("MISSING", |log| log.missing_total.to_string()),
    ("IN FLIGHT", in_flight),
    ("GAPS", |log| log.counts.gaps.to_string()),
    ("QUARANTINED", |log| log.counts.quarantined.to_string()),
    ("HOLDS", |log| log.counts.holds.to_string()),
    ("PURGED", |log| log.counts.purged_executions.to_string()),
];

const CSV: Cells<LogSummary> = &[
    ("log", |log| log.log.clone()),
    ("since", |log| log.days.map_or_else(String::new, |days| days.since.to_string())),
    ("until", |log| log.days.map_or_else(String::new, |days| days.until.to_string())),
    ("executions", |log| log.executions.to_string()),
    ("missing", |log| log.missing_total.to_string()),
    ("in_flight", in_flight),
    ("seen", |log| log.counts.seen.to_string()),
    ("recorded", |log| log.counts.recorded.to_string()),
    ("revisions", |log| log.counts.revisions.to_string()),
    ("gaps", |log| log.counts.gaps.to_string()),
    ("vanished", |log| log.counts.gap_causes.vanished.to_string()),
    ("overtaken", |log| log.counts.gap_causes.overtaken.to_string()),
    ("released_unrecorded", |log| log.counts.gap_causes.released_unrecorded.to_string()),
    ("quarantined", |log| log.counts.quarantined.to_string()),
    ("reviews", |log| log.counts.reviews.to_string()),
    ("windows", |log| log.counts.windows.to_string()),
    ("holds", |log| log.counts.holds.to_string()),
    ("hold_releases", |log| log.counts.hold_releases.to_string()),
    ("purges", |log| log.counts.purges.to_string()),
    ("purged_executions", |log| log.counts.purged_executions.to_string()),
    ("digests", |log| log.digests.to_string()),
    ("without_digest", |log| {
        let runs = log.without_digest.iter().map(|days| period(days.since, days.until));
        runs.collect::<Vec<_>>().join(" ")
    }),
    ("lost_entries", |log| log.lost.as_ref().map_or_else(String::new, |lost| lost.entries.to_string())),
    ("not_counted", |log| {
        let runs = log.not_counted.iter().map(|days| period(days.since, days.until));
        runs.collect::<Vec<_>>().join(" ")
    }),
];

fn in_flight(log: &LogSummary) -> String {
    log.in_flight_total.map_or_else(String::new, |total| total.to_string())
}

fn period(since: Day, until: Day) -> String {
    if since == until { since.to_string() } else { format!("{since}..{until}") }
}

/// A summary for people.
fn page(summary: &Summary) -> String {
    if summary.logs.is_empty() {
        return "There is no log yet.\n".to_owned();
    }
    let (names, rows) = SHAPE.rows(&summary.logs);
    let mut page = Columns::default().lay_out(Some(&names), &rows);
    let executions: u64 = summary.logs.iter().map(|log| log.executions).sum();
    let missing: u64 = summary.logs.iter().map(|log| log.missing_total).sum();
    let missing = match (missing, summary.logs.iter().any(|log| log.lost.is_some())) {
        (0, false) => "none".to_owned(),
        (0, true) => "none known to be".to_owned(),
        (missing, _) => missing.to_string(),
    };
    let _ = writeln!(page, "\n{executions} executions, {missing} missing.");
    for log in &summary.logs {
        details(&mut page, log);
    }
    page
}

fn details(page: &mut String, log: &LogSummary) {
    let name = shown(&log.log);
    if let Some(Lost { log, from, entries }) = &log.lost {
        let what = match entries {
            0 => format!("another entry {from} and what followed it"),
            entries => format!("{entries} entries, from {from} on"),
        };
        let _ = writeln!(
            page,
            "{} was rolled back and lost {what}, before {name} went on: what these told is missing, unless it was recorded \
             anew.",
            shown(log)
        );
    }
    for days in &log.without_digest {
        let _ = writeln!(page, "{name} has no digest of {}.", period(days.since, days.until));
    }
    for days in &log.not_counted {
        let period = period(days.since, days.until);
        let _ = writeln!(
            page,
            "{name}: {period} has too many entries to be counted without a digest, and is only in what is missing."
        );
    }
    if let Some(day) = log.not_over.filter(|_| log.not_counted.is_empty()) {
        let _ = writeln!(page, "{name}: {day} is not over, and what it has so far was counted.");
    }
    let missing: Vec<_> = log
        .missing
        .iter()
        .map(|it| {
            vec![
                format!("{}/{}", log.log, it.index),
                it.execution_id.clone(),
                super::get::resource(Some(&it.namespace), Some(&it.name)),
                it.kind.to_string(),
                it.why.clone(),
            ]
        })
        .collect();
    let header = ["ENTRY", "EXECUTION", "NAMESPACE/NAME", "KIND", "WHY"];
    section(page, &format!("Missing in {name}"), &header, &missing, log.missing_total);
    let in_flight: Vec<_> = log
        .in_flight
        .iter()
        .map(|it| {
            let resource = super::get::resource(Some(&it.namespace), Some(&it.name));
            vec![it.execution_id.clone(), resource, it.phase.clone(), time(it.last_seen_at)]
        })
        .collect();
    let header = ["EXECUTION", "NAMESPACE/NAME", "PHASE", "LAST SEEN"];
    let total = log.in_flight_total.filter(|_| !in_flight.is_empty()).unwrap_or_default();
    section(page, &format!("In flight in {name}"), &header, &in_flight, total);
}

fn section(page: &mut String, title: &str, header: &[&str], rows: &[Vec<String>], total: u64) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{title}");
    for line in Columns::default().lay_out(Some(header), rows).lines() {
        let _ = writeln!(page, "  {line}");
    }
    let more = total.saturating_sub(rows.len() as u64);
    if more > 0 {
        let _ = writeln!(page, "  and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use dualaudit_record::{EntryKind, day::Counts};

    use super::*;
    use crate::completeness::{Days, InFlight, Missing};

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn summary(name: &str) -> LogSummary {
        LogSummary {
            log: name.to_owned(),
            days: Some(Days { since: day("2026-05-01"), until: day("2026-05-03") }),
            executions: 4,
            counts: Counts { seen: 4, recorded: 4, ..Counts::default() },
            digests: 3,
            without_digest: Vec::new(),
            not_over: None,
            not_counted: Vec::new(),
            lost: None,
            missing_total: 0,
            missing: Vec::new(),
            in_flight_total: Some(2),
            in_flight: Vec::new(),
        }
    }

    #[test]
    fn where_nothing_is_missing_a_page_says_so() {
        let page = page(&Summary { logs: vec![summary("default"), summary("http")] });
        assert!(page.contains("2026-05-01..2026-05-03") && !page.contains("Missing"), "{page}");
        assert!(page.ends_with("\n8 executions, none missing.\n"), "{page}");
    }

    #[test]
    fn what_was_lost_before_another_log_went_on_is_told() {
        for (entries, said) in [
            (2, "http was rolled back and lost 2 entries, from 1 on, before http.2 went on: "),
            (
                0,
                "http was rolled back and lost another entry 1 and what followed it, before http.2 went on: ",
            ),
        ] {
            let lost = Some(Lost { log: "http".to_owned(), from: 1, entries });
            let summary = Summary { logs: vec![LogSummary { lost, ..summary("http.2") }] };
            assert!(!summary.is_complete());
            let page = page(&summary);
            assert!(page.contains("\n4 executions, none known to be missing.\n"), "{page}");
            assert!(page.contains(said), "{page}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_commands_no_terminal() {
        let at = "2026-05-02T10:00:00Z".parse().unwrap();
        let mut log = summary("default");
        log.missing.push(Missing {
            kind: EntryKind::Gap,
            index: 17,
            recorded_at: at,
            execution_id: "uid-1".to_owned(),
            namespace: "shop".to_owned(),
            name: "web-1".to_owned(),
            why: "released unrecorded: \u{1b}[2J".to_owned(),
        });
        log.missing_total = 1001;
        log.without_digest.push(Days { since: day("2026-05-02"), until: day("2026-05-02") });
        log.not_over = Some(day("2026-05-03"));
        log.in_flight.push(InFlight {
            execution_id: "uid-2".to_owned(),
            namespace: "shop".to_owned(),
            name: "web-2".to_owned(),
            phase: "Executing".to_owned(),
            last_seen_at: at,
        });
        let uncounted = LogSummary { not_counted: log.without_digest.clone(), ..log.clone() };
        let too_many = "default: 2026-05-02 has too many entries to be counted without a digest";
        assert!(page(&Summary { logs: vec![uncounted] }).contains(too_many));
        let summary = Summary { logs: vec![log] };
        assert!(!summary.is_complete());
        let page = page(&summary);
        for part in [
            "\n4 executions, 1001 missing.\n",
            "default has no digest of 2026-05-02.\n",
            "default: 2026-05-03 is not over, and what it has so far was counted.\n",
            "  default/17  uid-1      shop/web-1      gap   released unrecorded: \\u{1b}[2J\n  and 1000 more\n",
            "  uid-2      shop/web-2      Executing  2026-05-02T10:00:00Z\n  and 1 more\n",
        ] {
            assert!(page.contains(part), "{part:?} in\n{page}");
        }
    }
}
