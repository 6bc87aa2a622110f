//! `dualaudit hold add | release | list | get`: what must be kept, whatever the time.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::{ArgGroup, Subcommand};
use dualaudit_record::{
    entry::{Covers, Hold, unfit_text},
    selector::Selector,
};

use super::{
    columns::{Cell, Column, Shape},
    entries::{self, Get, INDEX, LOG, List},
    kubectl::Reads,
    output::{self, shown},
    writer::{Writer, WriterArgs},
    wrong_usage,
};
use crate::{
    clock::SystemClock,
    query::{ListedEntry, Listing, label_selector},
    retention::{Appender, holds},
    store::Receipt,
};

const EXAMPLES: &str = "\
Examples:
  dualaudit hold add --execution 5f0c2c6e --reason 'case 4711'
  dualaudit hold add --workflow restart-pods --namespace shop --reason 'case 4711'
  dualaudit hold add -l 'team in (payments),!canary' --reason 'audit 2026'
  dualaudit hold list --released
  dualaudit hold get prod/17 -o yaml
  kubectl dualaudit hold add --workflow restart-pods -A --reason 'case 4711'
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
    /// List the open holds, oldest first.
    List(Box<Listed>),
    /// Show one hold, and how it ended.
    Get(Box<Get>),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("covers").required(true).multiple(true)
    .args(["execution", "remediation", "workflow", "namespace", "labels"]))]
struct Add {
    #[command(flatten)]
    writer: WriterArgs,
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
    writer: WriterArgs,
    /// The hold, as the list names it: its log and the index of its entry.
    #[arg(value_name = "LOG/INDEX", value_parser = hold_name)]
    hold: (String, u64),
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct Listed {
    #[command(flatten)]
    list: List,
    /// Also those that were released.
    #[arg(long)]
    released: bool,
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

impl Args {
    /// Where it is said or asked. What is held in a cluster is of a namespace, unless it is one execution.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        match &mut self.action {
            Action::Add(add) => {
                let namespace = add.execution.is_none().then_some(&mut add.namespace);
                Reads { reader: &mut add.writer.to, namespace }
            }
            Action::Release(release) => Reads { reader: &mut release.writer.to, namespace: None },
            Action::List(listed) => listed.list.reads(),
            Action::Get(get) => get.reads(),
        }
    }
}

/// Places, releases, lists or shows.
///
/// # Errors
/// A database that cannot be opened; what a hold cannot be.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let actor = match &args.action {
        Action::Add(add) => Some(&add.actor),
        Action::Release(release) => Some(&release.actor),
        Action::List(_) | Action::Get(_) => None,
    };
    if let Some(Err(error)) = actor.map(ActorArgs::name) {
        return Ok(nobody(&error));
    }
    match args.action {
        Action::Add(add) => place(*add).await?,
        Action::Release(release) => end(*release).await?,
        Action::List(listed) => {
            let released = listed.released.then(|| ("released".to_owned(), "true".to_owned()));
            return entries::list_with(Listing::Holds, &listed.list, released.as_slice()).await;
        }
        Action::Get(get) => return entries::get(Listing::Holds, &get).await,
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
    let receipts = match add.writer.open().await? {
        Writer::Server(client) => client.hold(&hold, &add.log).await?.receipts,
        Writer::Database(store, extends) => {
            let appender = Appender { store: store.as_ref(), clock: &SystemClock, extends: &extends };
            holds::add(&appender, &add.log, &hold).await?
        }
    };
    for receipt in receipts {
        say("held by", &receipt)?;
    }
    Ok(())
}

async fn end(release: Release) -> anyhow::Result<()> {
    let (log, index) = release.hold;
    let actor = release.actor.name()?;
    let released = match release.writer.open().await? {
        Writer::Server(client) => client.release(&log, index, &release.reason, &actor).await?,
        Writer::Database(store, extends) => {
            let appender = Appender { store: store.as_ref(), clock: &SystemClock, extends: &extends };
            holds::release(&appender, &log, index, &release.reason, &actor).await?
        }
    };
    say("released by", &released)
}

fn say(what: &str, Receipt { log, index, recorded_at, .. }: &Receipt) -> anyhow::Result<()> {
    Ok(output::line(format_args!("{what} {log}/{index}, {recorded_at}"))?)
}

pub(super) static SHAPE: Shape<ListedEntry> = Shape {
    columns: &[
        Column { name: "entry", header: "HOLD", of: |entry| entries::name(entry).into() },
        LOG,
        INDEX,
        Column {
            name: "covers",
            header: "COVERS",
            of: |entry| of(entry, |hold| covered(&hold.covers).into()),
        },
        Column {
            name: "execution_id",
            header: "EXECUTION",
            of: |entry| of(entry, |hold| hold.covers.execution_id().map(str::to_owned).into()),
        },
        Column { name: "reason", header: "REASON", of: |entry| of(entry, |hold| hold.reason.clone().into()) },
        Column { name: "actor", header: "BY", of: |entry| of(entry, |hold| hold.actor.clone().into()) },
        Column { name: "recorded_at", header: "PLACED", of: |entry| Cell::Time(entry.recorded_at) },
        Column {
            name: "released_at",
            header: "RELEASED",
            of: |entry| entry.released.as_ref().map(|released| released.released_at).into(),
        },
        Column {
            name: "released_by",
            header: "RELEASED BY",
            of: |entry| {
                let by = entry.released.as_ref().and_then(|released| released.index);
                by.map(|index| format!("{}/{index}", entry.log)).into()
            },
        },
    ],
    table: &["entry", "covers", "reason", "actor", "recorded_at", "released_at"],
    wide: &["released_by"],
    csv: &[
        "log",
        "index",
        "recorded_at",
        "execution_id",
        "covers",
        "reason",
        "actor",
        "released_at",
        "released_by",
    ],
    name: entries::name,
    nothing: "Nothing is held.",
};

/// Empty where the body is gone.
fn of(entry: &ListedEntry, of: fn(&Hold) -> Cell) -> Cell {
    entry.hold.as_ref().map_or_else(|| Cell::Text(String::new()), of)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        command::{columns::Look, pages::Paged},
        http::tests::now,
    };

    #[test]
    fn holds_are_listed_in_every_form() {
        let labels = json!([{"key": "team", "operator": "In", "values": ["a", "b"]}]);
        let of = |index: u64, covers: (&str, serde_json::Value)| {
            let mut entry = json!({
                "log": "prod", "index": index, "recorded_at": "2026-05-01T11:00:00Z", "leaf_hash": "07".repeat(32),
                "hold": {"reason": "case 7", "actor": "jo"},
            });
            entry["hold"][covers.0] = covers.1;
            entry
        };
        let mut ended = of(3, ("execution_id", json!("uid-1")));
        ended["released"] = json!({"index": 9, "released_at": "2026-05-01T11:30:00Z"});
        let selector = json!({"workflow_name": "restart", "namespace": "shop", "labels": labels});
        let holds = json!([ended, of(4, ("selector", selector))]);
        let holds: Vec<ListedEntry> = serde_json::from_value(holds).unwrap();
        let look = Look { on_terminal: false, in_colour: false, now: now() };
        let forms = ["table", "wide", "csv", "name"];
        let forms =
            forms.map(|form| Paged::of(&format!("-o {form}")).written(&SHAPE, look, &holds)).join("\n");
        insta::assert_snapshot!(forms, @r#"
        HOLD    COVERS                                           REASON  BY  PLACED   RELEASED
        prod/3  execution uid-1                                  case 7  jo  60m ago  30m ago
        prod/4  workflow restart, namespace shop, team in (a,b)  case 7  jo  60m ago

        HOLD    COVERS                                           REASON  BY  PLACED   RELEASED  RELEASED BY
        prod/3  execution uid-1                                  case 7  jo  60m ago  30m ago   prod/9
        prod/4  workflow restart, namespace shop, team in (a,b)  case 7  jo  60m ago

        log,index,recorded_at,execution_id,covers,reason,actor,released_at,released_by
        prod,3,2026-05-01T11:00:00.000000Z,uid-1,execution uid-1,case 7,jo,2026-05-01T11:30:00.000000Z,prod/9
        prod,4,2026-05-01T11:00:00.000000Z,,"workflow restart, namespace shop, team in (a,b)",case 7,jo,,

        prod/3
        prod/4
        "#);
    }
}
