//! `dualaudit review`: what somebody who looked at an execution says of it, and how long it is to stay for them.

mod list;

use std::{process::ExitCode, sync::Arc};

use clap::{ArgGroup, Subcommand};
use dualaudit_record::{Time, entry::Verdict};
use jiff::SignedDuration;

use super::{
    get,
    hold::{ActorArgs, nobody},
    kubectl::Reads,
    output,
    reader::Reader,
    writer::{Writer, WriterArgs},
};
use crate::{
    clock::{Clock as _, SystemClock},
    export::Recorder,
    query::{Found, LiveState},
    retention::Heads,
    review::{Longer, Said, Until, extend, review},
    source::parse_window,
    store::{Receipt, ReceiptResult, SharedStore, Wanted},
};

const EXAMPLES: &str = "\
With kubectl alone, annotations on the resource do the same: dualaudit.dev/review='harmful: why' and
dualaudit.dev/window=48h. What must stay until somebody says otherwise is held: dualaudit hold.

Examples:
  dualaudit review --server http://127.0.0.1:8080
  dualaudit review list -n shop --workflow restart-pods
  dualaudit review shop/web-1 effective
  kubectl dualaudit review web-1 harmful --note 'it restarted the wrong node' --actor jo
  dualaudit review order-4711 --attempt 1 --log http --verdict ineffective
  dualaudit review extend shop/web-1 --for 48h --reason 'jo is away'";

const EXTEND_EXAMPLES: &str = "\
Examples:
  dualaudit review extend shop/web-1 --for 48h --reason 'jo is away'
  kubectl dualaudit review extend web-1 --until 2026-12-01T12:00:00Z --reason 'case 4711'";

/// List what is to be reviewed, record a verdict on an execution, or keep its resource for review for longer.
///
/// Without anything it lists what is in its review window and not yet reviewed, the earliest deadline first.
/// The newest verdict on an attempt counts; the earlier ones stay. Said twice in a row, it is recorded once.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    judge: Judge,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    List(Box<list::Args>),
    /// Keep a resource for review for longer.
    ///
    /// Its window only ever becomes longer; what else keeps it (the window of `dualaudit run`, a hold) does so all the same.
    Extend(Box<Extend>),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("what").args(["verdict", "said"]))]
struct Judge {
    /// The execution's id; or NAMESPACE/NAME of its resource, of which it is the newest.
    #[arg(requires = "what")]
    id: Option<String>,
    /// Whether it did what it was for: effective, ineffective, or harmful where it made things worse.
    #[arg(value_name = "VERDICT", value_parser = clap::builder::ValueParser::new(verdict))]
    said: Option<Verdict>,
    /// The same as a flag.
    #[arg(long, value_name = "VERDICT", requires = "id", value_parser = clap::builder::ValueParser::new(verdict))]
    verdict: Option<Verdict>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    says: Says,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXTEND_EXAMPLES, group = ArgGroup::new("end").required(true).args(["for", "until"]))]
struct Extend {
    /// The execution's id; or NAMESPACE/NAME of its resource, of which it is the newest.
    id: String,
    /// For so long from now on, such as 48h or 7d.
    #[arg(id = "for", long = "for", value_name = "DURATION", value_parser = parse_window)]
    for_: Option<SignedDuration>,
    /// Until then.
    #[arg(long, value_name = "TIME", value_parser = clap::builder::ValueParser::new(time))]
    until: Option<Time>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    says: Says,
}

/// Who says something of which run, and where.
#[derive(Clone, Debug, clap::Args)]
struct Says {
    #[command(flatten)]
    writer: WriterArgs,
    /// The namespace of a resource that is only named, or of those that are listed.
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    actor: ActorArgs,
    /// Which run of it; without, the latest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    attempt: Option<u32>,
    /// The log it is in; needed where the id is in several.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
}

impl Says {
    /// Where it is said, and in which namespace names are.
    fn reads(&mut self) -> Reads<'_> {
        Reads { reader: &mut self.writer.to, namespace: Some(&mut self.namespace) }
    }

    /// The execution that is meant: of a resource that is named, the newest.
    async fn meant(&self, id: String, to: &Writer) -> anyhow::Result<Wanted> {
        let wanted = Wanted { id, log: self.log.clone(), attempt: self.attempt };
        if self.namespace.is_none() && !wanted.id.contains('/') {
            return Ok(wanted);
        }
        let reader = match to {
            Writer::Server(client) => Reader::Server(client.clone()),
            Writer::Database(store, _) => Reader::Database(store.clone()),
        };
        let Found { receipt, live, .. } =
            get::find(&reader, wanted.clone(), self.namespace.as_deref()).await?;
        let recorded = receipt.map(|receipt| (receipt.id, receipt.log, receipt.attempt));
        let live = live.map(|LiveState { summary, .. }| (summary.id, summary.log, Some(summary.attempt)));
        let meant = recorded.or(live).map(|(id, log, attempt)| Wanted { id, log: Some(log), attempt });
        Ok(meant.unwrap_or(wanted))
    }
}

impl Args {
    /// Where it is asked or said; a list is about a namespace.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        match &mut self.action {
            Some(Action::List(args)) => args.reads(),
            Some(Action::Extend(args)) => args.says.reads(),
            None => self.judge.says.reads(),
        }
    }
}

/// Lists, or records it.
///
/// # Errors
/// A database or server that cannot be reached; what cannot be reviewed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Some(Action::List(args)) => list::run(&args).await,
        Some(Action::Extend(args)) => longer(*args).await,
        None if args.judge.id.is_none() => {
            let Says { writer, namespace, .. } = args.judge.says;
            list::run(&list::Args::of(writer.to, namespace)).await
        }
        None => judge(args.judge).await,
    }
}

async fn judge(args: Judge) -> anyhow::Result<ExitCode> {
    let actor = match args.says.actor.name() {
        Ok(actor) => actor,
        Err(error) => return Ok(nobody(&error)),
    };
    let (Some(id), Some(verdict)) = (args.id, args.said.or(args.verdict)) else {
        return Ok(super::wrong_usage("name an execution and a verdict"));
    };
    let to = args.says.writer.open().await?;
    let wanted = args.says.meant(id, &to).await?;
    let receipt = match to {
        Writer::Server(client) => client.review(&wanted, verdict, &args.note, &actor).await?,
        Writer::Database(store, heads) => {
            review(&recorder(store, heads), &wanted, Said { verdict, note: args.note, actor }).await?
        }
    };
    tell(receipt, "")
}

async fn longer(args: Extend) -> anyhow::Result<ExitCode> {
    let actor = match args.says.actor.name() {
        Ok(actor) => actor,
        Err(error) => return Ok(nobody(&error)),
    };
    let now = SystemClock.now();
    let from_now = |window: SignedDuration| {
        now.saturating_add_micros(i64::try_from(window.as_micros()).unwrap_or(i64::MAX))
    };
    let until = args.until.or(args.for_.map(from_now)).unwrap_or(now);
    let to = args.says.writer.open().await?;
    let wanted = args.says.meant(args.id, &to).await?;
    let receipt = match to {
        Writer::Server(client) => client.extend(&wanted, until, &args.reason, &actor).await?,
        Writer::Database(store, heads) => {
            let longer = Longer { until: Until::Time(until), reason: args.reason, actor };
            extend(&recorder(store, heads), &wanted, longer, now).await?
        }
    };
    tell(receipt, &format!("it stays for review until {}, at least: ", output::time(until)))
}

/// What records for this process alone.
fn recorder(store: SharedStore, heads: Heads) -> Recorder {
    Recorder::new(store, Arc::new(SystemClock), Vec::new()).extending(heads)
}

fn tell(receipt: Receipt, what: &str) -> anyhow::Result<ExitCode> {
    let Receipt { log, index, recorded_at, result, .. } = receipt;
    let how = if result == ReceiptResult::Duplicate { "recorded already as" } else { "recorded as" };
    output::line(format_args!("{what}{how} {log}/{index}, {recorded_at}"))?;
    Ok(ExitCode::SUCCESS)
}

fn verdict(text: &str) -> Result<Verdict, String> {
    text.parse().map_err(|error: dualaudit_record::UnknownName| error.to_string())
}

fn time(text: &str) -> Result<Time, String> {
    text.parse().map_err(|_| "must be a time such as 2026-12-01T12:00:00Z".to_owned())
}
