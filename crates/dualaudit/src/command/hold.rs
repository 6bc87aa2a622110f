//! `dualaudit hold add | release | list`: what must be kept, whatever the time.

use std::{io::Write as _, process::ExitCode};

use anyhow::anyhow;
use clap::{ArgGroup, Subcommand};
use dualaudit_record::{
    entry::{Covers, Hold, unfit_text},
    selector::Selector,
};

use super::{
    database::DatabaseArgs,
    extending::ExtendingArgs,
    output::{self, Columns, Form, shown, time},
    wrong_usage,
};
use crate::{
    clock::SystemClock,
    query::label_selector,
    retention::{
        Appender,
        holds::{self, Listed},
    },
    store::Receipt,
};

const EXAMPLES: &str = "\
Examples:
  dualaudit hold add --execution 5f0c2c6e --reason 'case 4711'
  dualaudit hold add --workflow restart-pods --namespace shop --reason 'case 4711'
  dualaudit hold add -l 'team in (payments),!canary' --reason 'audit 2026'
  dualaudit hold list
  dualaudit hold release prod/17 --reason 'case 4711 is closed'";

/// Keep records, those that are there and those still to come, until the hold is released: nothing that a
/// hold covers is purged, and no resource of it leaves its cluster.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Place a hold. Placed already for the same reason, it stays as it is.
    Add(Box<Add>),
    /// Release a hold.
    Release(Box<Release>),
    /// List the open holds.
    List(List),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("covers").required(true).multiple(true)
    .args(["execution", "remediation", "workflow", "namespace", "labels"]))]
struct Add {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The execution with this id, all its attempts.
    #[arg(long, value_name = "ID", conflicts_with_all = ["remediation", "workflow", "namespace", "labels"])]
    execution: Option<String>,
    /// Executions of this remediation.
    #[arg(long, value_name = "ID")]
    remediation: Option<String>,
    /// Executions of this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Executions in this namespace.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Executions with such labels, as a selector: 'team=a,tier!=test'.
    #[arg(short, long, value_name = "SELECTOR", value_parser = label_selector)]
    labels: Option<Labels>,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    extending: ExtendingArgs,
    /// The log it is placed in; may be given more than once. Without, every log there is, or of one
    /// execution the log that has it.
    #[arg(long, value_name = "LOG")]
    log: Vec<String>,
}

/// What a label selector asks for.
type Labels = Vec<crate::store::LabelRequirement>;

#[derive(Clone, Debug, clap::Args)]
struct Release {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The hold, as the list names it: its log and the index of its entry.
    #[arg(value_name = "LOG/INDEX", value_parser = hold_name)]
    hold: (String, u64),
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    extending: ExtendingArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct List {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Holds in this log only; may be given more than once.
    #[arg(long, value_name = "LOG")]
    log: Vec<String>,
    /// Also those that were released.
    #[arg(long)]
    all: bool,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

const NOBODY: &str = "say by whose word: --actor NAME, or DUALAUDIT_ACTOR";

/// By whose word something is done.
#[derive(Clone, Debug, clap::Args)]
pub struct ActorArgs {
    /// By whose word; it goes into the log, as it is given.
    #[arg(long, env = "DUALAUDIT_ACTOR", value_name = "NAME")]
    actor: Option<String>,
}

impl ActorArgs {
    /// The name that was given, or that of the user of this machine.
    ///
    /// # Errors
    /// When there is neither; when it cannot stand in an entry. To be told by [`nobody`].
    pub fn name(&self) -> anyhow::Result<String> {
        let given = self.actor.clone().or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
        let given = given.ok_or_else(|| anyhow!(NOBODY))?;
        unfit_text(&given).map_or(Ok(given), |rule| Err(anyhow!("the name of --actor {rule}")))
    }
}

/// Places, releases or lists.
///
/// # Errors
/// A database that cannot be opened; what a hold cannot be.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let actor = match &args.action {
        Action::Add(add) => Some(&add.actor),
        Action::Release(release) => Some(&release.actor),
        Action::List(_) => None,
    };
    if let Some(Err(error)) = actor.map(ActorArgs::name) {
        return Ok(nobody(&error));
    }
    match args.action {
        Action::Add(add) => place(*add).await?,
        Action::Release(release) => end(*release).await?,
        Action::List(list) => print(list).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says that it has to be said by whose word, or what is wrong with how that was said.
pub(super) fn nobody(error: &anyhow::Error) -> ExitCode {
    wrong_usage(&error.to_string())
}

async fn place(add: Add) -> anyhow::Result<()> {
    let covers = match add.execution {
        Some(id) => Covers::ExecutionId(id),
        None => Covers::Selector(Selector {
            remediation_id: add.remediation,
            workflow_name: add.workflow,
            namespace: add.namespace,
            labels: add.labels.unwrap_or_default(),
        }),
    };
    let hold = Hold { covers, reason: add.reason, actor: add.actor.name()? };
    let store = add.database.open_there().await?;
    let extends = add.extending.heads(store.as_ref()).await?;
    let appender = Appender { store: store.as_ref(), clock: &SystemClock, extends: &extends };
    let receipts = holds::add(&appender, &add.log, &hold).await?;
    for receipt in receipts {
        say("held by", &receipt)?;
    }
    Ok(())
}

async fn end(release: Release) -> anyhow::Result<()> {
    let (log, index) = release.hold;
    let actor = release.actor.name()?;
    let store = release.database.open_there().await?;
    let extends = release.extending.heads(store.as_ref()).await?;
    let appender = Appender { store: store.as_ref(), clock: &SystemClock, extends: &extends };
    let released = holds::release(&appender, &log, index, &release.reason, &actor).await?;
    say("released by", &released)
}

fn say(what: &str, Receipt { log, index, recorded_at, .. }: &Receipt) -> anyhow::Result<()> {
    Ok(output::line(format_args!("{what} {log}/{index}, {recorded_at}"))?)
}

async fn print(list: List) -> anyhow::Result<()> {
    let store = list.database.open_existing().await?;
    let mut out = output::stdout();
    let mut columns = Columns::default();
    let mut listed = Vec::new();
    let mut header = Some(&["HOLD", "COVERS", "REASON", "BY", "PLACED", "RELEASED"][..]);
    holds::list(store.as_ref(), &list.log, list.all, |mut page: Vec<Listed>| {
        if list.output != Form::Table {
            listed.append(&mut page);
        } else if !page.is_empty() {
            let rows: Vec<_> = page.iter().map(row).collect();
            out.write_all(columns.lay_out(header.take(), &rows).as_bytes())?;
        }
        Ok::<(), anyhow::Error>(())
    })
    .await?;
    match list.output {
        Form::Table if header.is_some() => writeln!(out, "Nothing is held.")?,
        Form::Table => {}
        form => output::document(&mut out, form, &listed, String::new)?,
    }
    out.flush()?;
    Ok(())
}

fn row(hold: &Listed) -> Vec<String> {
    let released = hold.released.as_ref().map_or_else(String::new, |end| time(end.released_at));
    vec![
        format!("{}/{}", hold.log, hold.index),
        covered(&hold.hold.covers),
        shown(&hold.hold.reason),
        shown(&hold.hold.actor),
        time(hold.placed_at),
        released,
    ]
}

/// What a hold covers, for people.
pub fn covered(covers: &Covers) -> String {
    let Selector { remediation_id, workflow_name, namespace, labels } = match covers {
        Covers::ExecutionId(id) => return format!("execution {}", shown(id)),
        Covers::Selector(selector) => selector,
    };
    let named = [("remediation", remediation_id), ("workflow", workflow_name), ("namespace", namespace)];
    let mut parts: Vec<String> = named
        .iter()
        .filter_map(|(name, value)| Some(format!("{name} {}", shown(value.as_deref()?))))
        .collect();
    parts.extend(labels.iter().map(|requirement| shown(&requirement.to_string())));
    parts.join(", ")
}

fn hold_name(text: &str) -> Result<(String, u64), String> {
    let parsed = text.rsplit_once('/').and_then(|(log, index)| Some((log.to_owned(), index.parse().ok()?)));
    parsed.ok_or_else(|| "must be LOG/INDEX, such as prod/17, as `dualaudit hold list` prints it".to_owned())
}
