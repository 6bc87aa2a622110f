//! `dualaudit import`: what files hold, recorded as a producer's records are.

mod destination;
mod feed;
mod report;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    extending::ExtendingArgs,
    output,
    reader::ReaderArgs,
    run::{any_log_name, asked_to_stop},
    wrong_usage,
};
use destination::Destination;
use feed::{Batch, Feed};
use report::Report;

const EXAMPLES: &str = "\
What is there already is a duplicate, so importing again is safe, and is how an import goes on that was killed.

Exits with 0 when nothing was refused, else with 1.

Examples:
  dualaudit import records.jsonl
  kubectl get workflowexecutions -A -o yaml | dualaudit import -
  dualaudit import --server http://dualaudit:8080 exported.jsonl older.csv
  dualaudit import --dry-run --report refused.jsonl *.yaml";

/// Import records (JSON Lines), exports (jsonl, csv) and WorkflowExecutions (YAML or JSON, as kubectl prints them).
///
/// They are recorded anew, in a log of HTTP producers: with new receipts, and without the proofs that an export has. What
/// a file holds is told by its content. A WorkflowExecution that has not ended is skipped.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The files; - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    to: ReaderArgs,
    /// The log of producers to record in [default: the first of the server, or http].
    #[arg(long, value_name = "LOG", value_parser = any_log_name)]
    log: Option<String>,
    /// The cluster that WorkflowExecutions ran in, as their records name it; exports and records say it themselves.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Where an earlier revision is recorded, add those that an export has beyond it, rather than refuse them.
    #[arg(long)]
    amend: bool,
    /// Read and check everything, and record nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write all that was refused to this file, an object to a line: file, line, name and reason. On standard error stand the
    /// first 20.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    extending: ExtendingArgs,
}

impl Args {
    /// Where it is recorded.
    pub(super) fn to(&mut self) -> &mut ReaderArgs {
        &mut self.to
    }

    /// The input that the report would be written over.
    fn overwritten(&self) -> Option<&Path> {
        let place = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
        let report = place(self.report.as_deref()?)?;
        self.files.iter().map(PathBuf::as_path).find(|file| place(file) == Some(report))
    }
}

/// Imports.
///
/// # Errors
/// What could not be read, reached or recorded, and why. What was recorded until then stays.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(file) = args.overwritten() {
        let what = format!("--report {}: this is one of the files that are imported", file.display());
        return Ok(wrong_usage(&what));
    }
    let feed = Feed::open(&args.files)?;
    let mut report = Report::new(args.report.as_deref(), progress_bar(feed.bytes()))?;
    let destination = match args.dry_run {
        true => Destination::Nowhere,
        false => Destination::open(&args.to, args.log.as_deref(), &args.extending).await?,
    };
    let (mut batches, progress) = feed.start(args.cluster.clone());
    let mut stop = std::pin::pin!(asked_to_stop());
    let mut is_stopped = false;
    loop {
        let batch = tokio::select! {
            biased;
            () = &mut stop => {
                is_stopped = true;
                break;
            }
            batch = batches.recv() => match batch {
                None => break,
                Some(batch) => batch?,
            },
        };
        let Batch { records, others } = batch;
        for other in others {
            report.tell(&other)?;
        }
        let (places, records): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        let fates = match destination.send(&records, args.amend).await {
            Ok(fates) => fates,
            Err(error) => {
                report.end(false)?;
                return Err(
                    error.context("the import ended early; what is recorded stays: import again to go on")
                );
            }
        };
        for (place, fate) in places.into_iter().zip(fates) {
            report.record(place, fate)?;
        }
        report.advance(progress.bytes());
    }
    report.end(is_stopped)?;
    output::line(report.summary(args.dry_run)).context("the summary cannot be written")?;
    let is_done = !is_stopped && !report.has_refused();
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// To stderr; shows nothing unless that is a terminal.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => {
            (ProgressBar::new(bytes), "{wide_bar} {binary_bytes}/{binary_total_bytes}, {msg}, {eta} left")
        }
        None => (ProgressBar::no_length(), "{spinner} {binary_bytes}, {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
