//! `dualaudit verify`: does the audit agree with itself?

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow, bail};
use async_trait::async_trait;
use dualaudit_record::{
    checkpoint::{SignedCheckpoint, VerifierKey},
    export::Manifest,
    proof,
};
use indicatif::{ProgressBar, ProgressStyle};

mod on_record;
mod pages;

use super::{
    cluster::{CALL_TIMEOUT, ClusterArgs},
    hold::ActorArgs,
    kubectl::Reads,
    output::{self, Form, shown},
    reader::{Reader, ReaderArgs},
};
use on_record::Desk;
use pages::{bundles_page, export_page, page};

use crate::{
    client::Client,
    clock::{Clock as _, SystemClock},
    completeness::CompletenessError,
    export::manifest_path,
    learn::LearnError,
    publish::copies::{self, Place},
    rebuild::RebuildError,
    store::StoreError,
    verify::{
        Against, Copy, Kept, KeptInOrder, Progress, Served, VerifyError, verify_against, verify_bundles,
        verify_export, verify_served,
    },
};

const EXAMPLES: &str = "\
Exit status: 0 everything agrees, 1 it could not be checked, 3 something is wrong.

Examples:
  dualaudit verify
  dualaudit verify --database sqlite:/var/lib/dualaudit/dualaudit.db --log prod -o json
  dualaudit verify --key log.pub --copy file:/mnt/audit/checkpoints
  dualaudit verify --server http://dualaudit.audit:8080 --log prod --key log.pub --resume verified.jsonl
  dualaudit verify --record --actor 'jo of audit' --key log.pub
  dualaudit verify --key log.pub proof.json export.jsonl";

/// Recompute every body, every leaf and the tree, compare them with what is stored, find what no entry vouches
/// for, and compare it all with what was signed and kept elsewhere.
///
/// Of a server only leaves and the tree can be checked, and of files the entries in them: for both nothing but the
/// public key is needed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Check these files in place of a database: exports, each with the manifest beside it, or proofs of single
    /// executions; - for bundles from standard input.
    #[arg(value_name = "FILE", conflicts_with_all = ["log", "copy", "resume"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    from: ReaderArgs,
    /// Check this log only. Of a server it has to be named.
    #[arg(long)]
    log: Option<String>,
    /// A public key that is trusted, of a log or a witness, or a file with some, one to a line; may be given more than
    /// once. Without, signatures are not looked at.
    #[arg(long, env = "DUALAUDIT_VERIFY_KEY", value_name = "KEY", value_delimiter = ',', value_parser = keys)]
    key: Vec<Keys>,
    /// Where checkpoints were kept outside the database, to compare with: file:PATH or configmap:NAMESPACE/NAME; may
    /// be given more than once.
    #[arg(long, value_name = "PLACE", value_delimiter = ',')]
    copy: Vec<Place>,
    /// A file of what was verified: go on from the newest checkpoint there, once the log is proved to extend it, and
    /// add the one that is verified now.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Put on record, in each log of the database that takes entries, who verified it and with what result. A server does
    /// so without being told.
    #[arg(long, conflicts_with = "files")]
    record: bool,
    #[command(flatten)]
    actor: ActorArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Args {
    /// Where it reads, unless files are checked.
    pub(super) fn reads(&mut self) -> Option<Reads<'_>> {
        self.files.is_empty().then_some(Reads { reader: &mut self.from, namespace: None })
    }
}

/// The keys of one argument.
type Keys = Vec<VerifierKey>;

/// A key, or those in a file.
fn keys(text: &str) -> Result<Keys, String> {
    let one: Result<VerifierKey, _> = text.parse();
    match (one, std::fs::read_to_string(text)) {
        (Ok(key), _) => Ok(vec![key]),
        (Err(error), Err(_)) if text.contains('+') => Err(error.to_string()),
        (Err(_), Err(error)) => Err(format!("it is no public key, and as a file: {error}")),
        (Err(_), Ok(text)) => {
            let lines = text.lines().map(str::trim).zip(1..);
            let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
            // What is on the line is not repeated: it may be a private key.
            let wrong = |number: i32| format!("line {number} of the file is no public key");
            let keys = lines.map(|(line, number)| line.parse().map_err(|_| wrong(number)));
            match keys.collect::<Result<Keys, String>>()? {
                keys if keys.is_empty() => Err("the file holds no key".to_owned()),
                keys => Ok(keys),
            }
        }
    }
}

/// Checks, and exits with 3 where something is wrong.
///
/// # Errors
/// What could not be opened or read, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let keys = args.key.concat();
    if !args.files.is_empty() {
        return files(&args, &keys);
    }
    let in_cluster = in_cluster(&args).await?;
    // Before anything of the log is read: what is kept from now on is of what is appended from now on.
    let known: Vec<u64> = args.copy.iter().map(length).collect();
    let copies = |origin: &str| {
        let in_files = args.copy.iter().zip(&known).filter_map(|(place, &known)| match place {
            Place::File(path) => Some(in_file(place, path, known, origin)),
            Place::ConfigMap { .. } => None,
        });
        let in_cluster = in_cluster.iter().filter(|(_, checkpoint)| checkpoint.head().origin == origin);
        let in_cluster = in_cluster.map(|(place, checkpoint)| {
            let kept = Kept { at: None, checkpoint: checkpoint.clone() };
            Copy { place: place.to_string(), kept: Box::new(std::iter::once(Ok(kept))) }
        });
        in_files.chain(in_cluster).collect()
    };
    if let Some(path) = &args.resume {
        // All of it: a damaged one would else be taken for one that knows nothing yet.
        copies::newest_in(path, None, "")
            .with_context(|| format!("cannot read what was verified before, {}", path.display()))?;
    }
    let resumed = |origin: &str| {
        let newest = copies::newest_in(args.resume.as_deref()?, None, origin).ok()??;
        Some(proof::Head { size: newest.head().size, root: newest.head().root })
    };
    let promised = origins(&args, &known, &in_cluster)?;
    let against = Against { keys: &keys, copies: &copies, promised: &promised, verified: &resumed };
    let bar = progress_bar("entries");
    let step = |progress: Progress<'_>| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        bar.set_message(shown(progress.log));
    };
    let mut desk = if args.record { Desk::Database } else { Desk::Nowhere };
    let checked = match args.from.open().await {
        Err(error) => Err(error),
        Ok(Reader::Server(client)) => {
            let log = args.log.as_deref().ok_or_else(|| anyhow!("name the log of the server by --log"))?;
            desk = Desk::Server(client.clone());
            let source = Source { client, log: log.to_owned() };
            verify_served(&source, log, against, step).await.map_err(|error| anyhow!(error))
        }
        Ok(Reader::Database(store)) => {
            verify_against(store.as_ref(), args.log.as_deref(), against, step).await.map_err(Into::into)
        }
    };
    bar.finish_and_clear();
    let report = match checked {
        Ok(report) => report,
        Err(error) => return damaged(error),
    };
    if let Some(path) = args.resume.as_deref().filter(|_| report.is_clean()) {
        for checkpoint in report.logs.iter().filter_map(|log| log.checkpoint.as_ref()) {
            copies::keep_in(path, None, &checkpoint.note, SystemClock.now())
                .with_context(|| format!("cannot add what was verified to {}", path.display()))?;
        }
    }
    output::document(&mut output::stdout(), args.output, &report, || page(&report, &keys))?;
    desk.put(&args, &report).await;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// The checkpoints in the ConfigMaps that are named, whatever their logs.
async fn in_cluster(args: &Args) -> anyhow::Result<Vec<(Place, SignedCheckpoint)>> {
    let places = args.copy.iter().filter(|place| matches!(place, Place::ConfigMap { .. }));
    let places: Vec<Place> = places.cloned().collect();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let client = args.cluster.client(CALL_TIMEOUT).await?;
    Ok(copies::in_config_maps(&client, &places).await?)
}

/// The origins of all checkpoints that were kept.
///
/// # Errors
/// Also where a place has none at all: whoever names it would take silence for agreement.
fn origins(
    args: &Args,
    known: &[u64],
    in_cluster: &[(Place, SignedCheckpoint)],
) -> anyhow::Result<BTreeSet<String>> {
    let mut origins: BTreeSet<String> =
        in_cluster.iter().map(|(_, checkpoint)| checkpoint.head().origin.clone()).collect();
    for (place, &known) in args.copy.iter().zip(known) {
        let mut is_empty = match place {
            Place::File(_) => true,
            Place::ConfigMap { .. } => in_cluster.iter().all(|(other, _)| other != place),
        };
        if let Place::File(path) = place {
            let kept = copies::kept(path, known).with_context(|| format!("cannot read the copy {place}"))?;
            for kept in kept {
                is_empty = false;
                // What cannot be read is a finding where the log is compared.
                origins.extend(kept.ok().map(|(_, checkpoint)| checkpoint.head().origin.clone()));
            }
        }
        if is_empty {
            bail!("the copy {place} holds no checkpoint, so nothing can be compared with it: name another");
        }
    }
    Ok(origins)
}

/// How many bytes a file of checkpoints has by now; one that cannot be looked at is told when it is read.
fn length(place: &Place) -> u64 {
    match place {
        Place::File(path) => std::fs::metadata(path).map_or(u64::MAX, |file| file.len()),
        Place::ConfigMap { .. } => 0,
    }
}

/// The checkpoints of a log in a file, as far as it was known.
fn in_file(place: &Place, path: &Path, known: u64, origin: &str) -> Copy {
    let origin = origin.to_owned();
    let kept: KeptInOrder = match copies::kept(path, known) {
        Err(error) => Box::new(std::iter::once(Err(error.to_string()))),
        Ok(kept) => Box::new(kept.filter_map(move |kept| match kept {
            Err(error) => Some(Err(error.to_string())),
            Ok((at, checkpoint)) if checkpoint.head().origin == origin => {
                Some(Ok(Kept { at: Some(at), checkpoint }))
            }
            Ok(_) => None,
        })),
    };
    Copy { place: place.to_string(), kept }
}

/// A log of a server.
struct Source {
    client: Client,
    log: String,
}

#[async_trait]
impl Served for Source {
    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let asked = self.client.log_file(&self.log, path).await;
        asked.map_err(|error| shown(&format!("{path} of the log {}: {:#}", self.log, anyhow!(error))))
    }
}

/// Checks bundles and exports in files.
fn files(args: &Args, keys: &[VerifierKey]) -> anyhow::Result<ExitCode> {
    let mut clean = true;
    for path in &args.files {
        let out = &mut output::stdout();
        if let Some((file, manifest)) = export_of(path)? {
            let report = read_file(&file, |opened, step| verify_export(&manifest, opened, keys, step))?;
            clean &= report.is_clean();
            output::document(out, args.output, &report, || export_page(&file, &report, keys))?;
            continue;
        }
        let report = if path.as_os_str() == "-" {
            verify_bundles(std::io::stdin().lock(), keys, |_| {}).context("cannot read standard input")?
        } else {
            read_file(path, |opened, step| verify_bundles(BufReader::new(opened), keys, step))?
        };
        clean &= report.is_clean();
        output::document(out, args.output, &report, || bundles_page(path, &report, keys))?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Reads a file under a progress bar.
fn read_file<T>(
    path: &Path,
    read: impl FnOnce(File, &mut dyn FnMut(u64)) -> std::io::Result<T>,
) -> anyhow::Result<T> {
    let bar = progress_bar("bytes");
    let report = File::open(path).and_then(|file| {
        bar.set_length(file.metadata()?.len());
        read(file, &mut |bytes| bar.set_position(bytes))
    });
    bar.finish_and_clear();
    report.with_context(|| format!("cannot read {}", path.display()))
}

/// The bytes of a manifest, at most: more logs than any database has.
const MANIFEST_BYTES: u64 = 64 << 20;

/// The file and the manifest of an export, where `path` names either of them and both are there.
fn export_of(path: &Path) -> anyhow::Result<Option<(PathBuf, Manifest)>> {
    let is_manifest = path.as_os_str().as_encoded_bytes().ends_with(b".manifest.json");
    let beside = if is_manifest { path.to_owned() } else { manifest_path(path) };
    if !is_manifest && !beside.exists() {
        let of_rows = path
            .extension()
            .is_some_and(|end| ["csv", "parquet"].iter().any(|of| end.eq_ignore_ascii_case(of)));
        if of_rows {
            bail!(
                "{} can only be checked by its manifest, and there is no {}",
                path.display(),
                beside.display()
            );
        }
        return Ok(None);
    }
    let unreadable = || format!("cannot read the manifest {}", beside.display());
    let mut text = Vec::new();
    File::open(&beside)
        .and_then(|file| file.take(MANIFEST_BYTES).read_to_end(&mut text))
        .with_context(unreadable)?;
    let manifest: Manifest = serde_json::from_slice(&text).with_context(unreadable)?;
    if !is_manifest {
        return Ok(Some((path.to_owned(), manifest)));
    }
    // Beside it, wherever both were taken to.
    let name = Path::new(&manifest.file).file_name().filter(|name| *name == manifest.file.as_str());
    let name = name.with_context(|| format!("{} names no file: {:?}", beside.display(), manifest.file))?;
    Ok(Some((beside.with_file_name(name), manifest)))
}

/// A database that is damaged before there is anything to compare was checked all the same, and found
/// wrong.
pub(super) fn damaged(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let found = error.chain().any(|cause| {
        let by_store = matches!(cause.downcast_ref(), Some(StoreError::Corrupt(_)));
        let by_verify = matches!(cause.downcast_ref(), Some(VerifyError::Store(StoreError::Corrupt(_))));
        let by_rebuild = matches!(cause.downcast_ref(), Some(RebuildError::Store(StoreError::Corrupt(_))));
        let by_digests =
            matches!(cause.downcast_ref(), Some(CompletenessError::Store(StoreError::Corrupt(_))));
        let by_learn = matches!(cause.downcast_ref(), Some(LearnError::Store(StoreError::Corrupt(_))));
        by_store || by_verify || by_rebuild || by_digests || by_learn
    });
    if !found {
        return Err(error);
    }
    eprintln!("dualaudit: {error:#}");
    Ok(ExitCode::from(3))
}

/// To stderr; shows nothing unless that is a terminal.
pub(super) fn progress_bar(of: &str) -> ProgressBar {
    let style = format!("{{msg}} {{wide_bar}} {{human_pos}}/{{human_len}} {of}, {{eta}} left");
    let style = ProgressStyle::with_template(&style);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
