//! Reading out of logs, to keep elsewhere: JSON lines with proofs, CSV, Parquet.
//!
//! # Guarantees
//! - Every export is an entry of each log that it read, and nothing is whole without it: the last bytes are handed
//!   out, and a file gets its name, only on the receipts.
//! - What began to be handed out and came to no end is an entry as well, which says so. A process that is
//!   killed leaves none, nor does a log that takes nothing then: what went out stands in the process's own log.
//! - Whatever is exported hashes to the digest in its leaf, or, as far as it was erased, to the one in its erasure, and
//!   that leaf is proved to be in the log: in every form, by the same code. Else the export fails and names the entry.
//! - Each log is read as of one checkpoint. What was recorded later is left out, and counted.
//! - Memory is bounded by a page and, of Parquet, a row group, however long the export is.

mod csv;
mod file;
mod jsonl;
mod outlet;
#[cfg(feature = "parquet")]
mod parquet;
mod recorder;
mod source;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io};

use async_trait::async_trait;
use dualaudit_record::{
    EntryKind,
    execution::StoredExecution,
    export::{Export, ExportFormat, MANIFEST_VERSION, Manifest, Scope},
};

use crate::{
    proof::ProveError,
    store::{Filter, NoSuchLog, StoreError, StoredEntry},
};
use outlet::Outlet;
use source::Source;

pub use csv::{COLUMNS as CSV_COLUMNS, guarded};
pub use file::{ExportFile, manifest_path, write_manifest};
pub use recorder::Recorder;

/// What is to be exported.
#[derive(Clone, Debug)]
pub struct Request {
    /// Random: names the export in the logs.
    pub id: String,
    /// Who asks.
    pub actor: String,
    /// In which form.
    pub format: ExportFormat,
    /// What of each execution, or every entry.
    pub scope: Scope,
    /// Which executions. Of [`Scope::Entries`] only its log counts.
    pub filter: Filter,
    /// The filter as it was asked for, times as instants: what the entry says.
    pub asked: BTreeMap<String, String>,
}

/// Where an export goes.
#[async_trait]
pub trait Sink: Send {
    /// Hands the next bytes on, and waits while there is no room for them.
    ///
    /// # Errors
    /// When nobody takes them any more.
    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()>;

    /// That everything was given.
    fn close(&mut self) {}

    /// Whether what was given can be read before the export has come to its end.
    fn is_read_at_once(&self) -> bool;
}

/// How far an export has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries exported.
    pub done: u64,
    /// Entries to export, where that is known.
    pub total: Option<u64>,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It asks for what does not go together.
    #[error("{0}")]
    Unfit(&'static str),
    /// There is no log of that name.
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
    /// A log takes no entry that would tell of the export.
    #[error("{0}: every export is an entry of the log that it reads, so nothing is exported of it here")]
    Closed(String),
    /// A log cannot be proved.
    #[error(transparent)]
    Prove(#[from] ProveError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A log did not take the entry that tells of the export.
    #[error(
        "the log {log} did not take the entry that tells of the export, which is therefore not whole: {reason}"
    )]
    Unrecorded {
        /// The log.
        log: String,
        /// Why.
        reason: String,
    },
    /// It could not be written.
    #[error("the export cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// One line or row.
struct Line<'a> {
    log: &'a str,
    stored: &'a StoredEntry,
    /// Of an execution that has a body.
    execution: Option<&'a StoredExecution>,
    /// The JSON of its bundle, where the form has use for it.
    bundle: Vec<u8>,
}

/// Writes lines in one form.
trait Encoder: Send {
    /// Adds a line to what is to be handed out, or keeps it until there is enough.
    fn line(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> io::Result<()>;

    /// Adds what is left.
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

fn encoder(request: &Request) -> Result<Box<dyn Encoder>, ExportError> {
    match request.format {
        ExportFormat::Jsonl => Ok(Box::new(jsonl::Jsonl)),
        _ if request.scope == Scope::Entries => Err(ExportError::Unfit(
            "every entry of a log is only exported as jsonl: the kinds have no columns in common",
        )),
        ExportFormat::Csv => Ok(Box::new(csv::Csv::default())),
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => Ok(Box::new(parquet::Parquet::new(&request.id)?)),
        #[cfg(not(feature = "parquet"))]
        ExportFormat::Parquet => {
            Err(ExportError::Unfit("this dualaudit was built without the feature `parquet`"))
        }
    }
}

/// How many bytes are handed out at a time, about.
const CHUNK: usize = 256 << 10;

/// Exports, and answers the manifest. `file` is the name that it gives the file.
///
/// # Errors
/// See [`ExportError`]. What had been handed out by then is recorded, unless the database is what failed.
pub async fn export(
    recorder: &Recorder,
    request: &Request,
    sink: &mut dyn Sink,
    file: &str,
    step: impl FnMut(Progress) + Send,
) -> Result<Manifest, ExportError> {
    Opened::open(recorder.clone(), request.clone()).await?.hand_out(sink, file, step).await
}

/// An export of which nothing was read yet.
pub struct Opened {
    recorder: Recorder,
    request: Request,
    source: Source,
    encoder: Box<dyn Encoder>,
}

impl Opened {
    /// Looks at the logs, and as of which checkpoints they will be read.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn open(recorder: Recorder, request: Request) -> Result<Self, ExportError> {
        let encoder = encoder(&request)?;
        let source = Source::open(recorder.store().clone(), &request).await?;
        recorder.check(&source.takers())?;
        Ok(Self { recorder, request, source, encoder })
    }

    /// See [`export`].
    ///
    /// # Errors
    /// See [`ExportError`].
    pub async fn hand_out(
        mut self,
        sink: &mut dyn Sink,
        file: &str,
        step: impl FnMut(Progress) + Send,
    ) -> Result<Manifest, ExportError> {
        let Self { recorder, request, source, encoder } = &mut self;
        let mut outlet = Outlet::new(sink);
        let walked = walk(source, request, encoder.as_mut(), &mut outlet, step).await;
        let ended = match walked {
            Err(error) => Err(error),
            Ok(()) => finish(recorder, request, source, encoder.as_mut(), &mut outlet, file).await,
        };
        if ended.is_err() && outlet.was_read() {
            let (bytes, sha256) = outlet.given();
            let broken_off = said(request, source, bytes, sha256, false);
            if let Err(error) = recorder.record(&broken_off, &source.takers()).await {
                let (export, actor) = (&request.id, &request.actor);
                tracing::error!(export, actor, %error, "an export that was broken off is not recorded");
            }
        }
        ended
    }
}

async fn walk(
    source: &mut Source,
    request: &Request,
    encoder: &mut dyn Encoder,
    outlet: &mut Outlet<'_>,
    mut step: impl FnMut(Progress) + Send,
) -> Result<(), ExportError> {
    let with_proofs = request.format == ExportFormat::Jsonl;
    let total = (request.scope == Scope::Entries).then(|| source.size());
    let (mut out, mut done) = (Vec::new(), 0);
    loop {
        let page = source.next().await?;
        let Some(page) = page else { break };
        for (place, stored) in page {
            let bundle = source.checked(place, &stored, with_proofs).await?;
            let execution = source::execution(&stored);
            // A row has nothing to say of what has no body; a line still has its leaf.
            if !with_proofs && execution.is_none() {
                continue;
            }
            let log = source.log(place);
            encoder.line(&Line { log, stored: &stored, execution, bundle }, &mut out)?;
            source.count(place, &stored);
            done += 1;
            if out.len() >= CHUNK {
                outlet.take(std::mem::take(&mut out)).await?;
            }
        }
        step(Progress { done, total });
    }
    outlet.take(out).await?;
    Ok(())
}

/// Records the export, and then hands out the last of it.
async fn finish(
    recorder: &Recorder,
    request: &Request,
    source: &mut Source,
    encoder: &mut dyn Encoder,
    outlet: &mut Outlet<'_>,
    file: &str,
) -> Result<Manifest, ExportError> {
    let mut last = Vec::new();
    encoder.finish(&mut last)?;
    let (bytes, sha256) = outlet.end(last);
    let export = said(request, source, bytes, sha256, true);
    let mut recorded = recorder.record(&export, &source.takers()).await?;
    outlet.give_last().await?;
    recorder.prove(&mut recorded).await?;
    Ok(Manifest {
        manifest: MANIFEST_VERSION,
        tool: concat!("dualaudit ", env!("CARGO_PKG_VERSION")).to_owned(),
        file: file.to_owned(),
        export,
        checkpoints: source.checkpoints(),
        recorded,
    })
}

fn said(
    request: &Request,
    source: &Source,
    bytes: u64,
    sha256: dualaudit_record::digest::Digest,
    whole: bool,
) -> Export {
    Export {
        export: request.id.clone(),
        actor: request.actor.clone(),
        format: request.format,
        scope: request.scope,
        filter: request.asked.clone(),
        logs: source.exported(),
        bytes,
        sha256,
        whole,
    }
}

/// The kind of entry that executions are.
const EXECUTION: EntryKind = EntryKind::Execution;
