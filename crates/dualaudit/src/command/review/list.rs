//! `dualaudit review list`: what is in its review window and not yet reviewed, the earliest deadline first.

use std::{io::Write, process::ExitCode};

use anyhow::bail;

use crate::{
    client::Client,
    command::{
        columns::{Look, Shape},
        kubectl::Reads,
        list::{self, Filters},
        output::{self, Out},
        pages::{PageArgs, Printer, asked_wrongly},
        reader::{Reader, ReaderArgs},
        wrong_usage,
    },
    query::{MAX_LIMIT, Summary},
};

const EXAMPLES: &str = "\
Examples:
  dualaudit review list --server http://127.0.0.1:8080
  kubectl dualaudit review list -n shop --workflow restart-pods
  dualaudit review list -l team=payments -o csv > to-review.csv";

/// List what is in its review window and not yet reviewed, the earliest deadline first.
///
/// It is asked of a running dualaudit, which sees what is in its cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) reader: ReaderArgs,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    pages: PageArgs,
}

impl Args {
    /// All of them, for people.
    pub(super) fn of(reader: ReaderArgs, namespace: Option<String>) -> Self {
        let mut all = Self { reader, filters: Filters::default(), pages: PageArgs::default() };
        *all.filters.namespace() = namespace;
        all
    }

    /// Where it reads, and which namespace it is about.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.reader, namespace: Some(self.filters.namespace()) }
    }
}

/// Lists.
///
/// # Errors
/// What could not be reached or written, and why.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.pages.cursor.is_some() {
        return Ok(wrong_usage("--cursor: this list is in the order of its deadlines, and is read whole"));
    }
    let printer = match args.pages.printer(&SHAPE, Look::of_stdout()) {
        Ok(printer) => printer,
        Err(bad) => return Ok(asked_wrongly(&bad)),
    };
    let client = match args.reader.is_server() {
        true => args.reader.open().await?,
        false => bail!(
            "what is in its review window is seen by a running dualaudit: name it by --server, or ask by `kubectl \
             dualaudit review list`"
        ),
    };
    let Reader::Server(client) = client else { bail!("--server names no server") };
    write(args, &client, printer, &mut output::stdout()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn write<W: Write>(
    args: &Args,
    client: &Client,
    mut printer: Printer<Summary>,
    out: &mut Out<W>,
) -> anyhow::Result<()> {
    let mut awaited = awaited(args, client).await?;
    awaited.sort_by(|a, b| (a.review_until, &a.log, &a.id).cmp(&(b.review_until, &b.log, &b.id)));
    let all = awaited.len();
    awaited.truncate(args.pages.most());
    printer.page(out, &awaited)?;
    printer.end(out, None)?;
    out.flush()?;
    if all > awaited.len() {
        eprintln!("{} more are to be reviewed; list --all.", all - awaited.len());
    }
    Ok(())
}

/// Those that wait for a review: no more than are live, of which the server has as much in memory.
async fn awaited(args: &Args, client: &Client) -> anyhow::Result<Vec<Summary>> {
    let mut pairs = args.filters.pairs();
    for (name, value) in [("review", "none"), ("tier", "live"), ("limit", &MAX_LIMIT.to_string())] {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    let mut awaited = Vec::new();
    loop {
        let page = client.list(&pairs).await?;
        for warning in &page.warnings {
            eprintln!("warning: {}", warning.detail);
        }
        awaited.extend(page.items.into_iter().filter(|item| item.review_until.is_some()));
        let Some(cursor) = page.next_cursor else { return Ok(awaited) };
        pairs.retain(|(name, _)| name != "cursor");
        pairs.push(("cursor".to_owned(), cursor));
    }
}

static SHAPE: Shape<Summary> = Shape {
    columns: list::COLUMNS,
    table: &[
        "review_until",
        "id",
        "resource",
        "workflow_name",
        "workflow_version",
        "outcome",
        "effectiveness_score",
        "steps",
        "log",
    ],
    wide: &["remediation_id", "incident_type", "target", "completed_at", "error_message"],
    csv: list::SHAPE.csv,
    name: list::SHAPE.name,
    nothing: "Nothing in its review window is left to review.",
};

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches};
    use dualaudit_record::Time;
    use serde_json::{Value, json};

    use super::*;
    use crate::command::pages::Paged;

    fn args(line: &str) -> Args {
        let command = Args::augment_args(clap::Command::new("list"));
        let words = std::iter::once("list").chain(line.split_whitespace());
        Args::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn item(id: &str, until: Option<&str>) -> Value {
        json!({
            "id": id, "attempt": 1, "remediation_id": "rem-1", "workflow_name": "restart", "workflow_version": "v1",
            "total_steps": 2, "steps_completed": 1, "steps_failed": 1, "total_duration": 9_000_000_000_u64,
            "outcome": "partial", "effectiveness_score": 0.5, "score_source": "derived", "rollbacks_performed": 0,
            "completed_at": "2026-05-01T08:00:00.000000Z", "status": "failed", "error_message": "no quota",
            "created_at": "2026-05-01T07:00:00.000000Z", "namespace": "shop", "name": format!("run-{id}"), "revision": 1,
            "recorded_at": "2026-05-01T08:00:01.000000Z", "log": "prod", "tiers": ["live", "stored"],
            "phase": "Failed", "review_until": until.map(|until| until.parse::<Time>().unwrap()),
        })
    }

    #[test]
    fn what_is_to_be_reviewed_is_a_table_with_the_deadline_first() {
        let rows = [item("b", Some("2026-05-02T08:00:01Z")), item("a", Some("2026-05-02T09:00:01Z"))];
        let rows: Vec<Summary> = rows.into_iter().map(|row| serde_json::from_value(row).unwrap()).collect();
        let now = "2026-05-01T08:00:01Z".parse().unwrap();
        let look = Look { on_terminal: false, in_colour: false, now };
        let text = Paged::of("").written(&SHAPE, look, &rows);
        insta::assert_snapshot!(text, @r"
        REVIEW UNTIL  ID  NAMESPACE/NAME  WORKFLOW  VERSION  OUTCOME  SCORE  STEPS  LOG
        in 24h        b   shop/run-b      restart   v1       partial  0.50   1/2    prod
        in 25h        a   shop/run-a      restart   v1       partial  0.50   1/2    prod
        ");
    }

    #[tokio::test]
    async fn it_is_asked_of_a_server() {
        let error = run(&args("--database sqlite:nowhere.db")).await.unwrap_err().to_string();
        assert!(error.contains("name it by --server"), "{error}");
    }
}
