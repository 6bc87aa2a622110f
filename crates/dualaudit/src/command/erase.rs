//! `dualaudit erase ID`: what of one execution is personal goes, and the rest stays.

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;

use super::{
    hold::{ActorArgs, nobody},
    kubectl::Reads,
    output::{self, Form, shown},
    reader::Reader,
    writer::{Writer, WriterArgs},
};
use crate::{
    client::{Client, ClientError},
    clock::SystemClock,
    query::{Erased, Found, Wanted},
    retention::{
        Appender,
        erase::{erase, log_of},
    },
    store::{Known, Receipt, ReceiptResult, Store, TrackedState},
};

const EXAMPLES: &str = "\
What goes: error messages, names of steps, reasons and values of adjustments, labels, the names of the resource and
of the target, and the objects that were kept. What stays: ids, workflow, version, namespace, incident type, kind of
the target, outcome, score, counts, durations, times, actions, and every proof. A hold keeps all of it, and so does a
resource that is still in its cluster: delete it there first.

Examples:
  dualaudit erase 5f0c2c6e --reason 'request 42'            # says what would go
  dualaudit erase 5f0c2c6e --reason 'request 42' --yes
  dualaudit erase order-4711 --log http --reason 'request 42' --actor privacy-office --yes -o json
  dualaudit erase 5f0c2c6e --server https://audit.example:8443 --reason 'request 42' --yes";

/// Erase what is personal of one execution, all its attempts, for good.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The execution's id: the resource's uid, or the producer's id.
    id: String,
    #[command(flatten)]
    writer: WriterArgs,
    /// The log it is in; needed where the id is in several, or of what is only a gap or in quarantine, which a server erases
    /// nothing of.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    /// Why; it goes into the log, and stays: it should name nobody.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Do it. Without, it is only said what would go.
    #[arg(long)]
    yes: bool,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Attempts that are looked for at a server, from the latest on.
const SHOWN: usize = 20;

/// What would go.
#[derive(Serialize)]
struct Preview {
    log: String,
    id: String,
    /// Its recorded attempts, by their latest revisions.
    attempts: Vec<Attempt>,
    /// Whether an object of it is in quarantine.
    quarantined: bool,
    /// Whether a hold covers it, so that it cannot be erased.
    held: bool,
    /// Whether its resource is in its cluster, so that it cannot be erased.
    in_cluster: bool,
}

#[derive(Serialize)]
struct Attempt {
    attempt: u32,
    revisions: u32,
    index: u64,
    /// Whether there is anything to erase of it.
    is_whole: bool,
}

/// What went.
#[derive(Serialize)]
struct Done {
    log: String,
    id: String,
    /// Of the entries that say so.
    receipts: Vec<Receipt>,
}

impl Args {
    /// Where it is said.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.writer.to, namespace: None }
    }
}

/// Says what would go, or erases it.
///
/// # Errors
/// A database that cannot be opened; an execution that is not there, held, or still in its cluster.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let actor = match args.actor.name() {
        Ok(actor) => actor,
        Err(error) => return Ok(nobody(&error)),
    };
    let mut out = output::stdout();
    if !args.yes {
        let preview = match args.writer.to.open().await? {
            Reader::Server(client) => {
                served_preview(&client, Wanted { id: args.id, log: args.log, attempt: None }).await?
            }
            Reader::Database(store) => {
                let log = log(store.as_ref(), &args).await?;
                let known =
                    store.known(&log, std::slice::from_ref(&args.id)).await?.pop().unwrap_or_default();
                preview(log, args.id, known)
            }
        };
        output::document(&mut out, args.output, &preview, || page(&preview))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (log, receipts) = match args.writer.open().await? {
        Writer::Server(client) => {
            let Erased { receipts } =
                client.erase(&args.id, args.log.as_deref(), &args.reason, &actor).await?;
            (receipts.first().map(|receipt| receipt.log.clone()).unwrap_or_default(), receipts)
        }
        Writer::Database(store, extends) => {
            let log = log(store.as_ref(), &args).await?;
            let appender = Appender { store: store.as_ref(), clock: &SystemClock, extends: &extends };
            let receipts = erase(&appender, &log, &args.id, &args.reason, &actor).await?;
            (log, receipts)
        }
    };
    let done = Done { log, id: args.id, receipts };
    output::document(&mut out, args.output, &done, || said(&done))?;
    Ok(ExitCode::SUCCESS)
}

async fn log(store: &dyn Store, args: &Args) -> anyhow::Result<String> {
    match &args.log {
        Some(log) => Ok(log.clone()),
        None => Ok(log_of(store, &args.id).await?),
    }
}

/// As far as a server shows it: the latest attempts, and not what is in quarantine.
async fn served_preview(client: &Client, wanted: Wanted) -> Result<Preview, ClientError> {
    let Found { receipt, holds, live, .. } = client.get(&wanted).await?;
    let (log, last) = match (&receipt, &live) {
        (Some(Receipt { log, attempt, .. }), _) => (log.clone(), attempt.unwrap_or(1)),
        (None, live) => (live.as_ref().map(|live| live.summary.log.clone()).unwrap_or_default(), 0),
    };
    let mut attempts = Vec::new();
    // Those before the last are mostly few; producers may leave numbers out.
    for attempt in (1..=last).rev().take(SHOWN) {
        let one = Wanted { log: Some(log.clone()), attempt: Some(attempt), ..wanted.clone() };
        let found = match client.get(&one).await {
            Err(error) if error.problem().is_some_and(|problem| problem.name() == "no-such-execution") => {
                continue;
            }
            found => found?,
        };
        let Found { receipt, revisions_total: revisions, erased, .. } = found;
        let index = receipt.map(|receipt| receipt.index);
        attempts.extend(index.map(|index| Attempt { attempt, revisions, index, is_whole: erased.is_none() }));
    }
    attempts.reverse();
    let (held, in_cluster) = (!holds.is_empty(), live.is_some());
    Ok(Preview { log, id: wanted.id, attempts, quarantined: false, held, in_cluster })
}

fn preview(log: String, id: String, known: Known) -> Preview {
    let attempts = known.recorded.iter().map(|recorded| Attempt {
        attempt: recorded.receipt.attempt.unwrap_or_default(),
        revisions: recorded.receipt.revision.unwrap_or_default(),
        index: recorded.receipt.index,
        is_whole: recorded.content_digest.is_some(),
    });
    Preview {
        log,
        id,
        attempts: attempts.collect(),
        quarantined: known.quarantined.is_some(),
        held: known.held,
        in_cluster: matches!(known.tracked, Some(TrackedState::Open | TrackedState::Closed)),
    }
}

/// What would go, for people.
fn page(preview: &Preview) -> String {
    let mut page = format!("Of execution {} in log {}:\n", shown(&preview.id), preview.log);
    for Attempt { attempt, revisions, index, is_whole } in &preview.attempts {
        let whole =
            if *is_whole { "its personal fields and objects would go" } else { "nothing is left to go" };
        let revisions =
            if *revisions == 1 { "1 revision".to_owned() } else { format!("{revisions} revisions") };
        let _ = writeln!(page, "  attempt {attempt}, {revisions}, the latest in entry {index}: {whole}");
    }
    if preview.quarantined {
        page.push_str("  its quarantined objects would go\n");
    }
    page.push_str("  what gaps say of its last state would go\n\n");
    if preview.held {
        page.push_str("A hold covers it: it cannot be erased before that is released.\n");
    }
    if preview.in_cluster {
        page.push_str("Its resource is in its cluster: it cannot be erased before that is gone.\n");
    }
    page.push_str("Nothing was erased. To erase it for good, say the same with --yes\n");
    page
}

fn said(done: &Done) -> String {
    let mut text = String::new();
    for Receipt { log, index, recorded_at, result, .. } in &done.receipts {
        let when = if *result == ReceiptResult::Duplicate { "erased before, by" } else { "erased by" };
        let _ = writeln!(text, "{when} {log}/{index}, {recorded_at}");
    }
    text.push_str(
        "Backups keep what they hold; the pages of the database that held it are freed: see docs/retention.md\n",
    );
    text
}
