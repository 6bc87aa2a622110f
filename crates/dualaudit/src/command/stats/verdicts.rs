//! `dualaudit stats verdicts`.

use super::{Common, Present, given, plot};
use crate::{
    command::{
        answers::{Cells, Shape},
        output::{name, shown, time},
    },
    learn::{
        Answer,
        verdicts::{Disagreement, Judged, OfWorkflow, Request, Verdicts},
    },
};

/// What people said of executions, and where they disagree with how these turned out.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    /// What a row is of: workflow or version.
    #[arg(long, value_name = "WHAT")]
    by: Option<String>,
    /// How many to list, up to 1000 [default: 100].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<String>,
}

impl Args {
    /// The parameters beside those of every answer.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        given([("by", &self.by), ("limit", &self.limit)])
    }
}

impl Present for Request {
    type Item = OfWorkflow;
    const SHAPE: &'static Shape<OfWorkflow> = &Shape {
        table: TABLE,
        csv: CSV,
        nothing: "Nothing that ended in this period and fits was reviewed.",
    };

    fn items(answer: &Verdicts) -> &[OfWorkflow] {
        &answer.workflows
    }

    fn notes(answer: &Answer<Verdicts>) -> Vec<String> {
        let Verdicts {
            total: Judged { reviewed, disagreeing, .. },
            more_workflows,
            disagreements,
            disagreements_gone,
            more,
            ..
        } = &answer.answer;
        let mut notes = vec![format!(
            "{} of {} executions were reviewed; verdicts are no part of success.",
            reviewed.count, reviewed.of
        )];
        if *more_workflows {
            notes.push("There are more, which are not listed: see --limit.".to_owned());
        }
        if *disagreeing > 0 {
            notes.push(format!("\n{disagreeing} verdicts disagree with how the execution turned out"));
        }
        notes.extend(disagreements.iter().map(said));
        if *disagreements_gone > 0 {
            notes.push(format!("  {disagreements_gone} more were counted, of executions that were purged."));
        }
        if *more {
            notes.push("  There are more, which are not shown.".to_owned());
        }
        notes
    }
}

fn said(it: &Disagreement) -> String {
    let Disagreement { id, workflow, outcome, verdict, note, actor, reviewed_at, .. } = it;
    let note = if note.is_empty() { String::new() } else { format!(": {}", shown(note)) };
    format!(
        "  {}  {} {} was a {}, {} found it {}{note}",
        time(*reviewed_at),
        shown(workflow),
        shown(id),
        name(outcome),
        shown(actor),
        name(verdict)
    )
}

const TABLE: Cells<OfWorkflow> = &[
    ("WORKFLOW", |it| plot::brief(&it.workflow)),
    ("VERSION", |it| it.version.as_deref().map(plot::brief).unwrap_or_default()),
    ("REVIEWED", |it| plot::rate(&it.judged.reviewed)),
    ("EFFECTIVE", |it| plot::bar_and_rate(&it.judged.effective)),
    ("INEFFECTIVE", |it| plot::rate(&it.judged.ineffective)),
    ("HARMFUL", |it| plot::rate(&it.judged.harmful)),
    ("DISAGREEING", |it| it.judged.disagreeing.to_string()),
];

const CSV: Cells<OfWorkflow> = &[
    ("workflow", |it| it.workflow.clone()),
    ("version", |it| it.version.clone().unwrap_or_default()),
    ("executions", |it| it.judged.reviewed.of.to_string()),
    ("reviewed", |it| it.judged.reviewed.count.to_string()),
    ("effective", |it| it.judged.effective.count.to_string()),
    ("ineffective", |it| it.judged.ineffective.count.to_string()),
    ("harmful", |it| it.judged.harmful.count.to_string()),
    ("effective_rate", |it| plot::number(it.judged.effective.rate, 6)),
    ("effective_rate_lower", |it| plot::number(Some(it.judged.effective.lower), 6)),
    ("effective_rate_upper", |it| plot::number(Some(it.judged.effective.upper), 6)),
    ("insufficient_data", |it| it.judged.effective.insufficient_data.to_string()),
    ("disagreeing", |it| it.judged.disagreeing.to_string()),
];
