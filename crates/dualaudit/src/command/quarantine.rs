//! `dualaudit quarantine list | get | retry`: what could not be mapped.

use std::{io::Write as _, process::ExitCode, sync::Arc};

use anyhow::anyhow;
use clap::{ArgGroup, Subcommand};

use super::{
    database::DatabaseArgs,
    entries::{self, Get, List},
    extending::ExtendingArgs,
    kubectl::Reads,
    output::{self, Columns, Form},
};
use crate::{
    clock::{Clock as _, SharedClock, SystemClock, entropy},
    completeness::{Fate, Retried, retry},
    ingest::{Extends, Ingest},
    metrics::Metrics,
    query::Listing,
    store::{LogOpening, LogState, SharedStore, meant},
};

const EXAMPLES: &str = "\
Examples:
  dualaudit quarantine list
  dualaudit quarantine get default/17
  dualaudit quarantine retry --all
  dualaudit quarantine retry --log default 3c6f1a52-0f55-4a0e-9d0c-0f2f2f1f8a11";

/// List and show resources that could not be mapped to a record, and record them once they can be.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List what was put in quarantine, oldest first; --all -o json or csv writes all there is.
    List(Box<List>),
    /// Show one with its reason and the object as it was kept.
    Get(Box<Get>),
    /// Map the kept objects anew, with the mapping of this version, and record what can be.
    ///
    /// The record refers to the entry by which its object was put in quarantine (label
    /// dualaudit.dev/quarantine). What cannot be mapped yet stays, and is listed with its reason. Done again,
    /// nothing is recorded twice.
    Retry(Box<Retry>),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["executions", "all"]))]
struct Retry {
    /// The executions, by their ids.
    #[arg(value_name = "ID")]
    executions: Vec<String>,
    /// All there are.
    #[arg(long)]
    all: bool,
    /// In this log only; needed with ids where there are several.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    extending: ExtendingArgs,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Args {
    /// Where it reads, if it only does that.
    pub(super) fn reads(&mut self) -> Option<Reads<'_>> {
        match &mut self.action {
            Action::List(args) => Some(args.reads()),
            Action::Get(args) => Some(args.reads()),
            Action::Retry(_) => None,
        }
    }
}

/// Lists, shows or tries again.
///
/// # Errors
/// What could not be reached, written or recorded, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List(args) => entries::list(Listing::Quarantine, args).await,
        Action::Get(args) => entries::get(Listing::Quarantine, args).await,
        Action::Retry(args) => again(args).await,
    }
}

async fn again(args: &Retry) -> anyhow::Result<ExitCode> {
    let store = args.database.open_there().await?;
    let clock: SharedClock = Arc::new(SystemClock);
    let mut all: Vec<Retried> = Vec::new();
    let mut out = output::stdout();
    let mut columns = Columns::default();
    let mut header = Some(&["ENTRY", "EXECUTION", "NAMESPACE/NAME", "FATE"][..]);
    let extends = args.extending.heads(store.as_ref()).await?;
    for log in logs(&store, args).await? {
        let ingest = door(&store, &clock, &log).await?;
        if let Some(head) = extends.get(&log.log) {
            ingest.set_extends(Extends::Head(*head));
        }
        retry(store.as_ref(), &ingest, clock.as_ref(), &args.executions, |retried| {
            match args.output {
                Form::Table => out.write_all(columns.lay_out(header.take(), &[row(&retried)]).as_bytes())?,
                Form::Json | Form::Yaml => all.push(retried),
            }
            Ok::<(), anyhow::Error>(())
        })
        .await?;
    }
    match args.output {
        Form::Table if header.is_some() => writeln!(out, "Nothing is left in quarantine.")?,
        Form::Table => {}
        form => output::document(&mut out, form, &all, String::new)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The logs that are meant: without a name those that take entries.
async fn logs(store: &SharedStore, args: &Retry) -> anyhow::Result<Vec<LogOpening>> {
    let mut heads = meant(store.logs().await?, args.log.as_deref())?;
    heads.retain(|head| args.log.is_some() || head.state == LogState::Open);
    if heads.is_empty() {
        return Err(anyhow!("there is no log that takes entries"));
    }
    // An execution that is named has to be in the log that is meant.
    if !args.executions.is_empty() && heads.len() > 1 {
        heads.retain(|head| head.owner != crate::store::Owner::Producers);
        if heads.len() > 1 {
            let names: Vec<_> = heads.into_iter().map(|head| head.log).collect();
            return Err(anyhow!("name the log by --log; there are: {}", names.join(", ")));
        }
    }
    let now = SystemClock.now();
    let opening = |head: crate::store::Head| LogOpening {
        log: head.log,
        owner: head.owner,
        origin: head.origin,
        secret: entropy(),
        now,
    };
    Ok(heads.into_iter().map(opening).collect())
}

/// The door into a log that is there, which has its secret already.
async fn door(store: &SharedStore, clock: &SharedClock, log: &LogOpening) -> anyhow::Result<Ingest> {
    let metrics = Arc::new(Metrics::new());
    let ingest = Ingest::open(Arc::clone(store), Arc::clone(clock), log.clone(), metrics).await?;
    if ingest.log().name != log.log {
        return Err(anyhow!(
            "the log {} was rolled back, and takes nothing any more: {} goes on in its place",
            log.log,
            ingest.log().name
        ));
    }
    Ok(ingest)
}

fn row(retried: &Retried) -> Vec<String> {
    let fate = match &retried.fate {
        Fate::Recorded { receipt } => format!("recorded by {}/{}", receipt.log, receipt.index),
        Fate::Newer { receipt } => format!("stays: {}/{} recorded a newer state", receipt.log, receipt.index),
        Fate::NotEnded { phase } => format!("stays: it had not ended when it was kept ({phase})"),
        Fate::Stays { reason } => format!("stays: {reason}"),
    };
    vec![
        format!("{}/{}", retried.log, retried.index),
        retried.execution_id.clone(),
        format!("{}/{}", retried.namespace, retried.name),
        fate,
    ]
}
