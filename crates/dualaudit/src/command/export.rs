//! `dualaudit export`: what is recorded, to be kept elsewhere.

mod served;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use dualaudit_record::{
    checkpoint::SignedCheckpoint,
    export::{ExportFormat, ExportedLog, Manifest, RecordedExport, Scope},
};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use served::Asked;

use super::{
    extending::ExtendingArgs,
    hold::{ActorArgs, nobody},
    kubectl::Reads,
    list::Filters,
    output::{self, Pipe, shown},
    pages::asked_wrongly,
    reader::ReaderArgs,
    run::asked_to_stop,
    wrong_usage,
};
use crate::{
    clock::{Clock as _, SystemClock, entropy},
    export::{ExportFile, Progress, Recorder, Request, Sink, export, manifest_path, write_manifest},
    query::ListRequest,
};

const EXAMPLES: &str = "\
Each export is an entry of the logs that it reads. Beside the file stands FILE.manifest.json, by which
`dualaudit verify FILE` checks it, with nothing but the public key.

Examples:
  dualaudit export --to executions.jsonl
  dualaudit export --workflow restart-pods --since 90d --format parquet --to restarts.parquet
  dualaudit export --outcome failed --revisions --to failed.jsonl
  dualaudit export --all-entries --log prod --to prod.jsonl
  dualaudit export -n shop --format csv --to - | head
  dualaudit verify --key log.pub executions.jsonl";

/// Export recorded executions with their proofs, as CSV or as Parquet; or whole logs.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    from: ReaderArgs,
    #[command(flatten)]
    filters: Filters,
    /// Every revision of each execution, not only the latest.
    #[arg(long)]
    revisions: bool,
    /// Every entry of every kind, from the first on, of all logs or of the one named by --log; jsonl only. That
    /// nothing is missing is proved by the file itself.
    #[arg(long, conflicts_with = "revisions")]
    all_entries: bool,
    /// jsonl, csv or parquet. Without, what the file's name ends with, or jsonl.
    #[arg(long, value_name = "FORMAT")]
    format: Option<ExportFormat>,
    /// The file, which must not be there yet; - for standard output, which has no manifest.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    extending: ExtendingArgs,
}

impl Args {
    /// Where it reads, and which namespace it is about.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        // Whole logs are of all namespaces.
        let namespace = (!self.all_entries).then(|| self.filters.namespace());
        Reads { reader: &mut self.from, namespace }
    }
}

impl Args {
    fn format(&self) -> ExportFormat {
        let ending = || self.to.extension()?.to_str()?.to_ascii_lowercase().parse().ok();
        self.format.or_else(ending).unwrap_or(ExportFormat::Jsonl)
    }

    fn scope(&self) -> Scope {
        match (self.all_entries, self.revisions) {
            (true, _) => Scope::Entries,
            (false, true) => Scope::Revisions,
            (false, false) => Scope::Latest,
        }
    }

    fn is_to_stdout(&self) -> bool {
        self.to.as_os_str() == "-"
    }

    /// What cannot be meant.
    fn unfit(&self, pairs: &[(String, String)]) -> Option<&'static str> {
        if self.all_entries && pairs.iter().any(|(name, _)| name != "log") {
            return Some("--all-entries takes no filter but --log: whatever is left out would not be proved");
        }
        if self.all_entries && self.format() != ExportFormat::Jsonl {
            return Some("--all-entries is for jsonl only: the kinds of entry have no columns in common");
        }
        if self.is_to_stdout() && self.format() == ExportFormat::Parquet {
            return Some("--to -: a Parquet file is read from its end; name a file");
        }
        if self.is_to_stdout() && io::stdout().is_terminal() {
            return Some("--to -: an export is for a file or a pipe; `dualaudit list` is for a terminal");
        }
        None
    }
}

/// Exports.
///
/// # Errors
/// What could not be read, recorded or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let pairs = args.filters.pairs();
    let request = match ListRequest::of_records(&pairs, SystemClock.now()) {
        Ok(request) => request,
        Err(bad) => return Ok(asked_wrongly(&bad)),
    };
    if let Some(what) = args.unfit(&pairs) {
        return Ok(wrong_usage(what));
    }
    let actor = match args.actor.name() {
        Ok(actor) => actor,
        Err(error) => return Ok(nobody(&error)),
    };
    let from = match args.from.is_server() {
        true => From::Server(Box::new(Asked::of(&args.from.open().await?, pairs, &args, &actor)?)),
        false => From::Database(Box::new((
            recorder(&args).await?,
            Request {
                id: hex::encode(entropy::<16>()),
                actor,
                format: args.format(),
                scope: args.scope(),
                asked: request.asked(&pairs),
                filter: request.filter,
            },
        ))),
    };
    let manifest = if args.is_to_stdout() {
        let mut sink = Stdout(Pipe::new(io::stdout()));
        match from.export(&mut sink, "-").await {
            // Whoever reads has seen enough, and it is told of as far as they came.
            Err(_) if sink.0.is_closed() => return Ok(ExitCode::SUCCESS),
            exported => exported?,
        }
    } else {
        let name = args.to.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| anyhow!("{} is no name for a file", args.to.display()))?;
        let mut file = ExportFile::create(&args.to, &hex::encode(entropy::<8>())).context("cannot export")?;
        let manifest = from.export(&mut file, name).await?;
        file.finish()?;
        write_manifest(&manifest_path(&args.to), &manifest)?;
        output::line(summary(&manifest, &args.to))?;
        manifest
    };
    for note in notes(&manifest) {
        eprintln!("{note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Of the database that the arguments name.
async fn recorder(args: &Args) -> anyhow::Result<Recorder> {
    let store = args.from.database.open_there().await?;
    let heads = args.extending.heads(store.as_ref()).await?;
    Ok(Recorder::new(store, Arc::new(SystemClock), Vec::new()).extending(heads))
}

/// Where an export comes from.
enum From {
    Database(Box<(Recorder, Request)>),
    Server(Box<Asked>),
}

impl From {
    async fn export(&self, sink: &mut dyn Sink, name: &str) -> anyhow::Result<Manifest> {
        let sink = &mut Stoppable::until_asked(sink);
        let bar = progress_bar(if matches!(self, Self::Server(_)) { "bytes" } else { "entries" });
        let done = match self {
            Self::Database(asked) => {
                let (recorder, request) = asked.as_ref();
                export(recorder, request, sink, name, |progress| show(&bar, progress))
                    .await
                    .map_err(Into::into)
            }
            Self::Server(asked) => asked.export(sink, name, |bytes| bar.set_position(bytes)).await,
        };
        bar.finish_and_clear();
        done
    }
}

/// Takes nothing more once the program is asked to stop, so that the export is told of as far as it came.
struct Stoppable<'a> {
    sink: &'a mut dyn Sink,
    stopped: Arc<AtomicBool>,
}

impl<'a> Stoppable<'a> {
    /// Asked twice, the program ends at once.
    fn until_asked(sink: &'a mut dyn Sink) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stopped);
        tokio::spawn(async move {
            asked_to_stop().await;
            asked.store(true, Ordering::SeqCst);
            asked_to_stop().await;
            std::process::exit(130);
        });
        Self { sink, stopped }
    }
}

#[async_trait]
impl Sink for Stoppable<'_> {
    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(io::Error::other("it was asked to stop"));
        }
        self.sink.give(bytes).await
    }

    fn close(&mut self) {
        self.sink.close();
    }

    fn is_read_at_once(&self) -> bool {
        self.sink.is_read_at_once()
    }
}

struct Stdout(Pipe<io::Stdout>);

#[async_trait]
impl Sink for Stdout {
    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.0.write_all(&bytes)?;
        self.0.flush()?;
        if self.0.is_closed() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn is_read_at_once(&self) -> bool {
        true
    }
}

/// To stderr; shows nothing unless that is a terminal.
fn progress_bar(of: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {of}, {{per_sec}}"));
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, Progress { done, total }: Progress) {
    if let Some(total) = total.filter(|&total| bar.length() != Some(total)) {
        let style = "{wide_bar} {human_pos}/{human_len} entries, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length(total);
    }
    bar.set_position(done);
}

fn summary(manifest: &Manifest, path: &Path) -> String {
    let export = &manifest.export;
    let of = |log: &ExportedLog| format!("{} of {}", log.lines(), shown(&log.log));
    let logs: Vec<String> = export.logs.iter().map(of).collect();
    let at = |entry: &RecordedExport| format!("{}/{}", shown(&entry.log), entry.index);
    let recorded: Vec<String> = manifest.recorded.iter().map(at).collect();
    format!(
        "{}: {} entries ({}), {}, recorded as {}",
        path.display(),
        export.lines(),
        if logs.is_empty() { "there is no log".to_owned() } else { logs.join(", ") },
        HumanBytes(export.bytes),
        if recorded.is_empty() { "nothing".to_owned() } else { recorded.join(", ") },
    )
}

/// What whoever exported should know.
fn notes(manifest: &Manifest) -> Vec<String> {
    let mut notes = Vec::new();
    for log in manifest.export.logs.iter().filter(|log| log.later > 0) {
        notes.push(format!(
            "{}: {} that fit were recorded after its newest checkpoint, of {} entries, and were left out; checkpoints are \
             made by `dualaudit run`.",
            shown(&log.log),
            log.later,
            log.size,
        ));
    }
    for (log, note) in &manifest.checkpoints {
        if note.parse().is_ok_and(|checkpoint: SignedCheckpoint| !checkpoint.is_signed()) {
            notes.push(format!(
                "{} was read in a head that nobody signed: no key vouches for its entries.",
                shown(log)
            ));
        }
    }
    for entry in manifest.recorded.iter().filter(|entry| entry.proof.is_none()) {
        notes.push(format!(
            "{}/{}, the entry that tells of the export, is in no checkpoint yet: the manifest does not prove it.",
            shown(&entry.log),
            entry.index
        ));
    }
    notes
}
