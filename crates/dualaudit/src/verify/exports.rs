//! Exports: a file against its manifest, and that against what the log says of it.
//!
//! # Guarantees
//! - Nothing is needed but the file, its manifest and the public keys. Memory is bounded by one line or row, and that by
//!   what a record may have.
//! - A line that is changed, added twice or out of its place is named. Of a whole log so is each that is missing; of a
//!   part of one, that some are.
//!
//! # Caveats
//! - What vouches for a manifest is the entry that it carries the proof of. One that could not be proved in time says
//!   what its maker says; the lines are proved all the same.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

use dualaudit_record::{
    Entry, EntryKind, Time,
    checkpoint::{SignedCheckpoint, VerifierKey},
    digest::{Digest, Hashing},
    export::{Export, ExportFormat, ExportedLog, MANIFEST_VERSION, Manifest, RecordedExport, Scope},
    proof::{Bundle, Proved},
};
use serde::Serialize;

use super::{
    BundleReport, Finding, MAX_FINDINGS,
    bundles::{ProvedIn, verify_each},
};

/// What was found of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// The file's name.
    pub file: String,
    /// What the log says of it.
    pub export: Export,
    /// Whether the log itself says so: the manifest proves the entry.
    pub is_vouched_for: bool,
    /// How many lines or rows were checked one by one; of Parquet none.
    pub lines: u64,
    /// The checkpoints that lines are proved in.
    pub checkpoints: Vec<ProvedIn>,
    /// The first [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: u64,
}

impl ExportReport {
    /// Whether everything agrees.
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    fn find(
        &mut self,
        log: &str,
        index: Option<u64>,
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) {
        self.findings_total += 1;
        if self.findings.len() < MAX_FINDINGS {
            let (expected, found) = (expected.to_string(), found.to_string());
            self.findings.push(Finding { log: log.to_owned(), index, what, expected, found });
        }
    }
}

/// Checks the file of an export against its manifest. `step` is told how many bytes were read.
///
/// # Errors
/// When it cannot be read. What is wrong in it is a finding.
pub fn verify_export(
    manifest: &Manifest,
    file: impl Read,
    keys: &[VerifierKey],
    mut step: impl FnMut(u64),
) -> io::Result<ExportReport> {
    let Manifest { export, file: name, .. } = manifest;
    let mut report = ExportReport {
        file: name.clone(),
        export: export.clone(),
        is_vouched_for: false,
        lines: 0,
        checkpoints: Vec::new(),
        findings: Vec::new(),
        findings_total: 0,
    };
    if manifest.manifest != MANIFEST_VERSION {
        report.find("-", None, "manifest", format!("version {MANIFEST_VERSION}"), manifest.manifest);
    }
    if !export.whole {
        report.find("-", None, "manifest", "a whole export", "one that was broken off");
    }
    check_recorded(manifest, keys, &mut report);
    check_checkpoints(manifest, keys, &mut report);
    let mut hashed = Hashed { inner: file, hashing: Hashing::default(), bytes: 0 };
    match export.format {
        ExportFormat::Jsonl => {
            check_lines(export, BufReader::new(&mut hashed), keys, &mut step, &mut report)?
        }
        ExportFormat::Csv => check_rows(export, &mut hashed, &mut report),
        ExportFormat::Parquet => {}
    }
    // Whatever is left, or all of it.
    let mut rest = vec![0; 64 << 10];
    while hashed.read(&mut rest)? > 0 {
        step(hashed.bytes);
    }
    if hashed.bytes != export.bytes {
        report.find("-", None, "bytes of the file", export.bytes, hashed.bytes);
    }
    let sha256: Digest = hashed.hashing.finish();
    if sha256 != export.sha256 {
        report.find("-", None, "SHA-256 of the file", export.sha256, sha256);
    }
    Ok(report)
}

/// The entries that tell of the export, where they are proved.
fn check_recorded(manifest: &Manifest, keys: &[VerifierKey], report: &mut ExportReport) {
    for RecordedExport { log, index, leaf_hash, proof, .. } in &manifest.recorded {
        let Some(bundle) = proof else { continue };
        let said = match bundle.verify(keys) {
            Ok(Proved { entry: Some((Entry::Export(said), _)), .. }) => said,
            Ok(_) => {
                let found = format!("one of kind {}", bundle.leaf.kind);
                report.find(
                    log,
                    Some(*index),
                    "entry of the export",
                    "an entry that tells of an export",
                    found,
                );
                continue;
            }
            Err(error) => {
                report.find(log, Some(*index), "entry of the export", "a proof", error);
                continue;
            }
        };
        let leaf = &bundle.leaf;
        if (&leaf.log, leaf.index, leaf.hash()) != (log, *index, *leaf_hash) {
            let found = format!("{}/{}", leaf.log, leaf.index);
            report.find(log, Some(*index), "entry of the export", format!("{log}/{index}"), found);
        } else if *said != manifest.export {
            let (expected, found) = (json(&said), json(&manifest.export));
            report.find(log, Some(*index), "manifest", format!("{expected}, as the log says"), found);
        } else {
            report.is_vouched_for = true;
        }
    }
    // Rows have no proofs of their own.
    let only_said = !report.is_vouched_for && manifest.export.format != ExportFormat::Jsonl;
    if only_said && !keys.is_empty() {
        let expected = "a proof in the manifest that the log tells of this export";
        let found =
            "none: whoever changes the file may change the manifest; export while checkpoints are made";
        report.find("-", None, "entry of the export", expected, found);
    }
}

fn json(export: &Export) -> String {
    serde_json::to_string(export).unwrap_or_default()
}

/// The checkpoints that the logs were read as of.
fn check_checkpoints(manifest: &Manifest, keys: &[VerifierKey], report: &mut ExportReport) {
    for ExportedLog { log, size, root, .. } in &manifest.export.logs {
        let Some(note) = manifest.checkpoints.get(log) else {
            report.find(log, None, "checkpoint", format!("one of {size} entries"), "none");
            continue;
        };
        let checkpoint: SignedCheckpoint = match note.parse() {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                report.find(log, None, "checkpoint", "one that can be read", error);
                continue;
            }
        };
        let head = checkpoint.head();
        if (head.size, head.root) != (*size, *root) {
            let found = format!("{} entries with the root {}", head.size, head.root);
            report.find(log, None, "checkpoint", format!("{size} entries with the root {root}"), found);
        }
        if !keys.is_empty()
            && let Err(error) = checkpoint.vouched(keys)
        {
            report.find(log, None, "checkpoint", "one signed by a key that is trusted", error);
        }
    }
}

/// The bytes of a row, at most: a record of 2 MiB, each quotation mark in it written twice, and its lists as JSON in
/// quotation marks once more.
const ROW_BYTES: u64 = 8 << 20;

/// Rows, counted.
fn check_rows(export: &Export, file: &mut impl Read, report: &mut ExportReport) {
    let left = Cell::new(ROW_BYTES);
    let mut rows = csv::Reader::from_reader(Bounded { inner: file, left: &left });
    let mut row = csv::ByteRecord::new();
    loop {
        left.set(ROW_BYTES);
        match rows.read_byte_record(&mut row) {
            Ok(true) => report.lines += 1,
            Ok(false) => break,
            Err(error) => {
                report.find("-", None, "row", format!("a row after row {}", report.lines), error);
                break;
            }
        }
    }
    if report.lines != export.lines() {
        report.find("-", None, "rows", export.lines(), report.lines);
    }
}

/// Lines, each by its own proof, and all against what was exported.
fn check_lines(
    export: &Export,
    lines: impl BufRead,
    keys: &[VerifierKey],
    step: &mut impl FnMut(u64),
    report: &mut ExportReport,
) -> io::Result<()> {
    let mut lined = Lined { export, report, counts: BTreeMap::new(), before: None, next: 0 };
    let BundleReport { proved, checkpoints, findings, findings_total, .. } =
        verify_each(lines, keys, step, |line, bundle, proved| lined.look(line, bundle, proved))?;
    let Lined { counts, .. } = lined;
    report.lines = proved;
    report.checkpoints = checkpoints;
    report.findings.extend(findings);
    report.findings.truncate(MAX_FINDINGS);
    report.findings_total += findings_total;
    check_counts(export, &counts, report);
    Ok(())
}

/// What lines of each log and kind there are, and how many without a body.
type Counts<'a> = BTreeMap<&'a str, (BTreeMap<EntryKind, u64>, u64)>;

fn check_counts(export: &Export, counts: &Counts<'_>, report: &mut ExportReport) {
    for ExportedLog { log, size, entries, without_body, .. } in &export.logs {
        let (found, found_without) = counts.get(log.as_str()).cloned().unwrap_or_default();
        let kinds: std::collections::BTreeSet<EntryKind> =
            entries.keys().chain(found.keys()).copied().collect();
        for kind in kinds {
            let of = |counts: &BTreeMap<EntryKind, u64>| counts.get(&kind).copied().unwrap_or_default();
            if of(entries) != of(&found) {
                let expected = format!("{} of kind {kind}", of(entries));
                report.find(log, None, "lines", expected, of(&found));
            }
        }
        if *without_body != found_without {
            report.find(log, None, "lines without a body", without_body, found_without);
        }
        let total: u64 = found.values().sum();
        if export.scope == Scope::Entries && total != *size {
            report.find(log, None, "lines", format!("{size}, each entry of the log"), total);
        }
    }
}

/// Lines as they come.
struct Lined<'a, 'r> {
    export: &'a Export,
    report: &'r mut ExportReport,
    counts: Counts<'a>,
    before: Option<Place>,
    /// Of whole logs: the next index.
    next: u64,
}

/// The place of a line in the order of an export.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Listed(Reverse<Time>, String, String, u32, u32),
    Logged(String, u64),
}

impl Lined<'_, '_> {
    fn look(&mut self, line: u64, bundle: &Bundle, proved: &Proved) {
        let leaf = &bundle.leaf;
        let export = self.export;
        let Some(of) = export.logs.iter().find(|of| of.log == leaf.log) else {
            let expected = format!("a log that was exported, in line {line}");
            return self.report.find(&leaf.log, Some(leaf.index), "line", expected, "another");
        };
        let head = proved.proof.checkpoint.head();
        if (head.size, head.root) != (of.size, of.root) {
            let expected =
                format!("a proof in {} entries with the root {}, in line {line}", of.size, of.root);
            let found = format!("{} with the root {}", head.size, head.root);
            self.report.find(&leaf.log, Some(leaf.index), "line", expected, found);
        }
        let (kinds, without_body) = self.counts.entry(&of.log).or_default();
        *kinds.entry(leaf.kind).or_default() += 1;
        *without_body += u64::from(proved.entry.is_none());
        match export.scope {
            Scope::Entries => self.next_of_log(line, bundle),
            Scope::Latest | Scope::Revisions => self.next_of_list(line, bundle, proved),
        }
    }

    /// Each entry of the log, one after the other.
    fn next_of_log(&mut self, line: u64, bundle: &Bundle) {
        let leaf = &bundle.leaf;
        let place = Place::Logged(leaf.log.clone(), leaf.index);
        match &self.before {
            Some(Place::Logged(log, _)) if *log == leaf.log => {}
            _ => self.next = 0,
        }
        if leaf.index != self.next {
            let expected = match leaf.index.checked_sub(self.next) {
                Some(missing) if missing > 1 => {
                    format!("entries {} to {} in line {line}", self.next, leaf.index - 1)
                }
                _ => format!("entry {} in line {line}", self.next),
            };
            let found = format!("entry {}", leaf.index);
            self.report.find(&leaf.log, Some(leaf.index), "order", expected, found);
        }
        // What is said twice, or too late, does not change what is awaited.
        self.next = self.next.max(leaf.index + 1);
        self.before = Some(place);
    }

    /// Executions, in the order of lists.
    fn next_of_list(&mut self, line: u64, bundle: &Bundle, proved: &Proved) {
        let leaf = &bundle.leaf;
        let (execution_id, attempt, revision) = match (&leaf.execution_id, leaf.attempt, leaf.revision) {
            (Some(id), Some(attempt), Some(revision)) if leaf.kind == EntryKind::Execution => {
                (id, attempt, revision)
            }
            _ => {
                let expected = format!("an execution in line {line}");
                let found = format!("an entry of kind {}", leaf.kind);
                return self.report.find(&leaf.log, Some(leaf.index), "line", expected, found);
            }
        };
        // Without a body nobody knows when it was created.
        let created_at = match &proved.entry {
            Some((Entry::Execution(execution), _)) => execution.record.created_at,
            _ => {
                self.before = None;
                return;
            }
        };
        let place =
            Place::Listed(Reverse(created_at), leaf.log.clone(), execution_id.clone(), attempt, revision);
        if self.before.as_ref().is_some_and(|before| *before >= place) {
            let expected = format!("what comes after line {} in line {line}", line - 1);
            let found = format!("{execution_id} attempt {attempt} revision {revision}, which does not");
            self.report.find(&leaf.log, Some(leaf.index), "order", expected, found);
        }
        self.before = Some(place);
    }
}

/// What is read, until there is nothing left of what may be read for one row.
struct Bounded<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            let what = format!("one of more than {ROW_BYTES} bytes, which no record has");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(into.len());
        let read = self.inner.read(&mut into[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

/// What is read, hashed and counted.
struct Hashed<R> {
    inner: R,
    hashing: Hashing,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hashing.update(&into[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
