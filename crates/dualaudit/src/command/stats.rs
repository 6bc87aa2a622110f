//! `dualaudit stats …`: what works, what breaks, what to try next. One file an answer.

mod adjustments;
mod compare;
mod plot;
mod recommend;
mod regressions;
mod steps;
mod verdicts;
mod workflows;

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{
    answers::{self, AnswerForm, Shape},
    kubectl::Reads,
    output::{self, Columns, shown, time},
    pages::asked_wrongly,
    reader::ReaderArgs,
    verify::damaged,
    wrong_usage,
};
use crate::{
    clock::{Clock, SystemClock},
    learn::{self, Answer, Ask, Unanswerable},
};

const EXAMPLES: &str = "\
Examples:
  dualaudit stats workflows --since 7d
  dualaudit stats steps --workflow restart-deployment
  dualaudit stats workflows --incident-type oom -n shop -o json
  dualaudit stats adjustments --workflow restart-pods
  dualaudit stats compare --workflow restart-pods --version v3 --against v2
  dualaudit stats compare --since 7d
  dualaudit stats regressions --since 14d
  dualaudit stats recommend --incident-type oom --target-kind Deployment -n shop
  dualaudit stats verdicts --since 28d";

/// Ask what works, what breaks, and what to try next.
///
/// Answers come from statistics that are kept with each record and outlast it. Every figure says how many executions it
/// is made of; ranges are 95 % intervals.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    Workflows(Box<workflows::Args>),
    Steps(Box<steps::Args>),
    Adjustments(Box<adjustments::Args>),
    Compare(Box<compare::Args>),
    Regressions(Box<regressions::Args>),
    Recommend(Box<recommend::Args>),
    Verdicts(Box<verdicts::Args>),
}

impl Args {
    /// Where it reads, and which namespace it is about.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        let common = match &mut self.action {
            Action::Workflows(args) => &mut args.common,
            Action::Steps(args) => &mut args.common,
            Action::Adjustments(args) => &mut args.common,
            Action::Compare(args) => &mut args.common,
            Action::Regressions(args) => &mut args.common,
            Action::Recommend(args) => &mut args.common,
            Action::Verdicts(args) => &mut args.common,
        };
        Reads { reader: &mut common.reader, namespace: Some(&mut common.namespace) }
    }
}

/// Asks.
///
/// # Errors
/// What could not be reached or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Workflows(args) => answer::<learn::workflows::Request>(&args.common, args.pairs()).await,
        Action::Steps(args) => answer::<learn::steps::Request>(&args.common, args.pairs()).await,
        Action::Adjustments(args) => answer::<learn::adjustments::Request>(&args.common, args.pairs()).await,
        Action::Compare(args) => answer::<learn::compare::Request>(&args.common, args.pairs()).await,
        Action::Regressions(args) => answer::<learn::regressions::Request>(&args.common, args.pairs()).await,
        Action::Recommend(args) => answer::<learn::recommend::Request>(&args.common, args.pairs()).await,
        Action::Verdicts(args) => answer::<learn::verdicts::Request>(&args.common, args.pairs()).await,
    }
}

/// What every answer is asked.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    reader: ReaderArgs,
    /// The workflow's name.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// The workflow's version.
    #[arg(long)]
    version: Option<String>,
    /// The log it is in: a cluster's name, or http.
    #[arg(long)]
    log: Option<String>,
    /// The namespace it ran in.
    #[arg(short, long)]
    namespace: Option<String>,
    /// The kind of incident it answers.
    #[arg(long, value_name = "TYPE")]
    incident_type: Option<String>,
    /// The kind of what it worked on, such as Deployment.
    #[arg(long, value_name = "KIND")]
    target_kind: Option<String>,
    /// Ended at or after: a time, or a time ago such as 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Ended before: a time, or a time ago.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With fewer executions than this, figures are marked as of insufficient data [default: 5].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    minimum: Option<String>,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: AnswerForm,
}

impl Common {
    /// As parameters of the API.
    fn pairs(&self) -> Vec<(String, String)> {
        given([
            ("workflow", &self.workflow),
            ("version", &self.version),
            ("log", &self.log),
            ("namespace", &self.namespace),
            ("incident_type", &self.incident_type),
            ("target_kind", &self.target_kind),
            ("since", &self.since),
            ("until", &self.until),
            ("minimum", &self.minimum),
        ])
    }
}

/// The flags that were given, as parameters of the API.
fn given<const N: usize>(flags: [(&str, &Option<String>); N]) -> Vec<(String, String)> {
    let given = flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
    given.collect()
}

/// How an answer is shown.
trait Present: Ask {
    /// What CSV has a line of.
    type Item: Serialize + 'static;
    /// The columns of these, for CSV and for tables.
    const SHAPE: &'static Shape<Self::Item>;

    /// Those of an answer.
    fn items(answer: &Self::Answer) -> &[Self::Item];

    /// What people are told below the table.
    fn notes(_: &Answer<Self::Answer>) -> Vec<String> {
        Vec::new()
    }
}

/// Asks, and writes the answer in the form asked for.
async fn answer<A: Present>(common: &Common, also: Vec<(String, String)>) -> anyhow::Result<ExitCode> {
    let mut pairs = common.pairs();
    pairs.extend(also);
    // What is asked wrongly is told first, whatever becomes of the database.
    match A::parse(&pairs, SystemClock.now()) {
        Ok(_) => {}
        Err(Unanswerable::Bad(bad)) => return Ok(asked_wrongly(&bad)),
        Err(error) => return Ok(wrong_usage(&error.to_string())),
    }
    let answer = match common.reader.open().await?.learn::<A>(&pairs).await {
        Ok(answer) => answer,
        Err(error) => return damaged(error),
    };
    if common.output == AnswerForm::Csv {
        // Which has no place for it.
        lacks(&answer).iter().for_each(|what| eprintln!("{what}"));
    }
    write::<A>(&mut output::stdout(), common.output, &answer)?;
    Ok(ExitCode::SUCCESS)
}

fn write<A: Present>(
    out: &mut impl std::io::Write,
    form: AnswerForm,
    answer: &Answer<A::Answer>,
) -> anyhow::Result<()> {
    answers::write(out, form, answer, A::items(&answer.answer), A::SHAPE, || page::<A>(answer))
}

/// An answer for people.
fn page<A: Present>(answer: &Answer<A::Answer>) -> String {
    let mut page =
        format!("Ended from {} until {}.\n\n", time(answer.period.since), time(answer.period.until));
    let items = A::items(&answer.answer);
    if items.is_empty() {
        page.push_str(A::SHAPE.nothing);
        page.push('\n');
    } else {
        let (names, rows) = A::SHAPE.rows(items);
        page.push_str(&Columns::default().lay_out(Some(&names), &rows));
    }
    let mut notes = A::notes(answer);
    if answer.in_flight.executions > 0 {
        let more = if answer.in_flight.more { "more than " } else { "" };
        notes.push(format!(
            "{more}{} in flight, {} of them overdue.",
            answer.in_flight.executions, answer.in_flight.overdue
        ));
    }
    notes.extend(lacks(answer));
    if !notes.is_empty() {
        page.push('\n');
    }
    for note in notes {
        page.push_str(&note);
        page.push('\n');
    }
    page
}

/// What people are told that statistics lack.
fn lacks<T>(answer: &Answer<T>) -> Vec<String> {
    let incomplete = answer.incomplete.iter().map(|log| {
        format!(
            "Incomplete: of the log {}, {} of {} older entries are counted so far.",
            shown(&log.log),
            log.folded,
            log.of
        )
    });
    let passed_over = answer.passed_over.iter().map(|log| {
        format!(
            "Not counted: {} entries of the log {} could not be read when they were to be; `dualaudit verify` names them.",
            log.entries,
            shown(&log.log)
        )
    });
    incomplete.chain(passed_over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{
        Incomplete, PassedOver,
        testing::{Given, asked, now},
        workflows::Request,
    };

    #[test]
    fn what_statistics_lack_is_said_below_an_answer() {
        let answer = Answer {
            incomplete: vec![Incomplete { log: "http".into(), folded: 3, of: 9 }],
            passed_over: vec![PassedOver { log: "east".into(), entries: 2 }],
            ..Given::nothing(now()).answer(&asked::<Request>(&[], now()))
        };
        insta::assert_snapshot!(lacks(&answer).join("\n"), @r"
        Incomplete: of the log http, 3 of 9 older entries are counted so far.
        Not counted: 2 entries of the log east could not be read when they were to be; `dualaudit verify` names them.
        ");
        assert!(page::<Request>(&answer).ends_with(&format!("\n{}\n", lacks(&answer).join("\n"))));
    }
}
