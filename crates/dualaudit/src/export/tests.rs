//! Exports of every store, verified with nothing but the public key.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dualaudit_record::{
    Entry, Time, WorkflowExecutionAudit,
    checkpoint::{Checkpoint, SignedCheckpoint, SigningKey, VerifierKey},
    export::{Export, RecordedExport},
};

use super::*;
use crate::{
    clock::Clock,
    store::{
        Batch, DraftContent, Filter, Head, SharedStore, Succession, Which,
        conformance::{
            erase::erase,
            purge::{part, weigh},
            sample::{LOG, append, at, from_resource, gap, hold, opening, record, stored},
        },
        postgres, sqlite,
    },
    verify::{ExportReport, verify, verify_export},
};

mod changed;

/// Makes a test on each store of functions over a store.
macro_rules! on_every_store {
    ($($name:ident,)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fresh = super::sqlite::tests::fresh();
                super::$name(super::Arc::new(fresh.store.clone())).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let fresh = super::postgres::tests::fresh();
                super::$name(super::Arc::new(fresh.store.clone())).await;
            })+
        }
    };
}

on_every_store! {
    an_export_verifies_whole_filtered_and_after_a_purge,
    what_was_erased_is_exported_as_what_is_left_and_verifies_before_and_after,
    a_line_that_is_removed_added_swapped_or_changed_is_found_and_named,
    a_manifest_that_was_changed_with_its_file_is_found_by_what_the_log_says,
    an_export_that_is_broken_off_is_told_as_far_as_it_came,
    a_log_that_is_not_there_is_told_with_those_that_are,
    a_log_that_was_succeeded_is_exported_and_its_successor_tells,
    what_is_recorded_after_the_checkpoint_is_left_out_and_counted,
    a_damaged_record_is_not_exported,
    every_form_has_the_same_rows,
}

struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Time {
        Time::from_micros(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }
}

/// What was given, in memory.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    /// It fails once it has more than so many.
    most: Option<usize>,
}

#[async_trait]
impl Sink for Memory {
    async fn give(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.bytes.extend(bytes);
        match self.most {
            Some(most) if self.bytes.len() > most => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }

    fn is_read_at_once(&self) -> bool {
        true
    }
}

fn key() -> SigningKey {
    SigningKey::secret_text(&format!("dualaudit.dev/{LOG}"), [1; 32]).unwrap().parse().unwrap()
}

fn keys() -> Vec<VerifierKey> {
    vec![key().public().clone()]
}

/// Signs the log as it is.
async fn publish(store: &SharedStore) {
    let head = store.logs().await.unwrap().into_iter().find(|head| head.log == LOG).unwrap();
    let Head { origin, size, root, .. } = head;
    let checkpoint = SignedCheckpoint::sign(Checkpoint { origin, size, root }, &[key()]).unwrap();
    let batch = Batch { checkpoint: Some(checkpoint), ..Batch::default() };
    store.append(LOG, batch.into(), at(500)).await.unwrap();
}

/// Signs the log over and over, as `dualaudit run` does, while `act` is under way.
async fn while_publishing<T>(store: &SharedStore, act: impl Future<Output = T>) -> T {
    let publishing = async {
        loop {
            publish(store).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        done = act => done,
        () = publishing => unreachable!("it goes on for ever"),
    }
}

fn request(format: ExportFormat, scope: Scope, filter: Filter, asked: &[(&str, &str)]) -> Request {
    static NUMBER: AtomicI64 = AtomicI64::new(0);
    Request {
        id: format!("export-{}", NUMBER.fetch_add(1, Ordering::SeqCst)),
        actor: "auditor".to_owned(),
        format,
        scope,
        filter,
        asked: asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn jsonl(scope: Scope) -> Request {
    request(ExportFormat::Jsonl, scope, Filter::default(), &[])
}

fn recorder(store: &SharedStore) -> Recorder {
    let clock = Arc::new(Ticking(AtomicI64::new(at(1000).as_micros())));
    Recorder::new(store.clone(), clock, Vec::new())
}

async fn exported_by(store: &SharedStore, request: &Request) -> (Manifest, Vec<u8>) {
    let mut memory = Memory::default();
    let recorder = recorder(store);
    let exporting = export(&recorder, request, &mut memory, "e.jsonl", |_| {});
    let manifest = while_publishing(store, exporting).await.unwrap();
    (manifest, memory.bytes)
}

fn checked(manifest: &Manifest, bytes: &[u8]) -> ExportReport {
    verify_export(manifest, bytes, &keys(), |_| {}).unwrap()
}

fn agrees((manifest, bytes): &(Manifest, Vec<u8>), lines: u64) -> ExportReport {
    let report = checked(manifest, bytes);
    assert_eq!(report.findings, []);
    assert!(report.is_vouched_for, "{:?}", manifest.recorded);
    assert_eq!((report.lines, manifest.export.lines()), (lines, lines));
    report
}

/// That tell of exports, in the order of the log.
async fn told(store: &SharedStore, log: &str) -> Vec<Export> {
    let entries = store.entries(log, Which::Kind(EntryKind::Export), 0, 100).await.unwrap();
    let told = entries.iter().map(|stored| match stored.body.entry() {
        Some(Entry::Export(export)) => (**export).clone(),
        other => panic!("{other:?}"),
    });
    told.collect()
}

/// A record of a workflow, created at a second of its own.
fn of(workflow: &str, number: i64) -> WorkflowExecutionAudit {
    WorkflowExecutionAudit {
        workflow_name: workflow.to_owned(),
        created_at: at(number),
        completed_at: at(number + 1),
        ..record(&format!("{workflow}-{number:03}"))
    }
}

/// 40 executions of two workflows, one of them amended, a gap and a hold: 43 entries.
async fn filled(store: &SharedStore) {
    store.open_log(opening(LOG)).await.unwrap();
    let records = (0..40).map(|n| from_resource(of(if n % 4 == 0 { "patch" } else { "restart" }, n)));
    append(&**store, records).await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.125, ..of("patch", 8) };
    let gone = gap("gone", None, dualaudit_record::entry::GapCause::Vanished);
    append(&**store, [from_resource(amended), DraftContent::Gap(gone), hold("patch-000", "case")]).await;
    publish(store).await;
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

async fn an_export_verifies_whole_filtered_and_after_a_purge(store: SharedStore) {
    filled(&store).await;
    let latest = exported_by(&store, &jsonl(Scope::Latest)).await;
    agrees(&latest, 40);
    let revisions = exported_by(&store, &jsonl(Scope::Revisions)).await;
    agrees(&revisions, 41);
    let filter = Filter { workflow: Some("patch".to_owned()), ..Filter::default() };
    let filtered =
        exported_by(&store, &request(ExportFormat::Jsonl, Scope::Latest, filter, &[("workflow", "patch")]))
            .await;
    agrees(&filtered, 10);
    let none = Filter { workflow: Some("none".to_owned()), ..Filter::default() };
    let none =
        exported_by(&store, &request(ExportFormat::Jsonl, Scope::Latest, none, &[("workflow", "none")]))
            .await;
    agrees(&none, 0);
    // 43 entries and four exports.
    let whole = exported_by(&store, &jsonl(Scope::Entries)).await;
    let report = agrees(&whole, 47);
    let counts = &report.export.logs[0].entries;
    assert_eq!(
        (counts[&EntryKind::Execution], counts[&EntryKind::Gap], counts[&EntryKind::Export]),
        (41, 1, 4)
    );

    let told_of = told(&store, LOG).await;
    assert_eq!(told_of.iter().map(Export::lines).collect::<Vec<_>>(), [40, 41, 10, 0, 47]);
    assert_eq!(told_of[2], filtered.0.export);
    assert_eq!((told_of[2].actor.as_str(), told_of[2].filter["workflow"].as_str()), ("auditor", "patch"));

    let weighed = weigh(&*store, at(20), 100).await;
    let goes: Vec<_> = weighed.into_iter().filter(|execution| execution.id != "patch-000").collect();
    let gone = goes.len() as u64;
    assert!(stored(&*store, part(1, goes)).await.index > 0);
    for (before, lines) in [(&latest, 40), (&revisions, 41), (&filtered, 10), (&whole, 47)] {
        agrees(before, lines);
    }
    agrees(&exported_by(&store, &jsonl(Scope::Latest)).await, 40 - gone);
    // The five exports before, the purge and the one above.
    let whole = exported_by(&store, &jsonl(Scope::Entries)).await;
    agrees(&whole, 50);
    assert_eq!(whole.0.export.logs[0].without_body, gone + 1, "with both revisions of the amended one");
    assert_eq!(verify(&*store, None, |_| {}).await.unwrap().findings, []);
}

async fn what_was_erased_is_exported_as_what_is_left_and_verifies_before_and_after(store: SharedStore) {
    const JANE: &str = "jane.doe";
    filled(&store).await;
    let named = WorkflowExecutionAudit {
        name: Some(JANE.to_owned()),
        error_message: format!("{JANE} was away"),
        ..of("personal", 100)
    };
    append(&*store, [from_resource(named)]).await;
    publish(&store).await;
    let before = exported_by(&store, &jsonl(Scope::Entries)).await;
    agrees(&before, 44);
    stored(&*store, erase("personal-100")).await;
    publish(&store).await;
    agrees(&before, 44);
    // With the export before and the erasure.
    for (scope, count) in [(Scope::Latest, 41), (Scope::Revisions, 42), (Scope::Entries, 48)] {
        let after = exported_by(&store, &jsonl(scope)).await;
        agrees(&after, count);
        assert!(!String::from_utf8_lossy(&after.1).contains(JANE));
        assert_eq!(after.0.export.logs[0].without_body, 1, "{scope:?}");
    }
    let rows = exported_by(&store, &request(ExportFormat::Csv, Scope::Latest, Filter::default(), &[])).await;
    agrees(&rows, 41);
    let rows = String::from_utf8(rows.1).unwrap();
    assert!(rows.contains("personal-100") && !rows.contains(JANE), "rows have what is left");
    assert_eq!(verify(&*store, None, |_| {}).await.unwrap().findings, []);
}

async fn a_line_that_is_removed_added_swapped_or_changed_is_found_and_named(store: SharedStore) {
    filled(&store).await;
    let whole = exported_by(&store, &jsonl(Scope::Entries)).await;
    let latest = exported_by(&store, &jsonl(Scope::Latest)).await;
    let found = |(manifest, _): &(Manifest, Vec<u8>), lines: &[String]| {
        let report = checked(manifest, (lines.join("\n") + "\n").as_bytes());
        assert!(!report.is_clean());
        let said = report.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(said.contains("SHA-256 of the file"), "{said}");
        said
    };
    for (name, export) in [("whole", &whole), ("latest", &latest)] {
        let lines = lines(&export.1);
        let mut removed = lines.clone();
        removed.remove(7);
        let said = found(export, &removed);
        let named = if name == "whole" {
            "expected entry 7 in line 8, found entry 8"
        } else {
            "expected 40 of kind execution, found 39"
        };
        assert!(said.contains(named), "{said}");

        let mut twice = lines.clone();
        twice.insert(9, lines[8].clone());
        let said = found(export, &twice);
        assert!(said.contains("order") && said.contains("in line 10"), "{said}");

        let mut swapped = lines.clone();
        swapped.swap(4, 5);
        let said = found(export, &swapped);
        assert!(said.contains("order") && said.contains("in line 6"), "{said}");

        let mut changed = lines.clone();
        changed[3] = lines[3].replace("\"total_steps\":8", "\"total_steps\":9");
        assert_ne!(changed[3], lines[3]);
        let said = found(export, &changed);
        assert!(said.contains("a proof in line 4") && said.contains("the body has the digest"), "{said}");
    }
    let mut cut = lines(&whole.1);
    cut.truncate(30);
    assert!(found(&whole, &cut).contains("43, each entry of the log"));
    let other = lines(&latest.1);
    let mut added = lines(&whole.1);
    added.push(other[0].clone());
    found(&whole, &added);
    // By a key that nobody trusts.
    let stranger: SigningKey =
        SigningKey::secret_text(&format!("dualaudit.dev/{LOG}"), [2; 32]).unwrap().parse().unwrap();
    let report = verify_export(&whole.0, &whole.1[..], &[stranger.public().clone()], |_| {}).unwrap();
    assert!(report.findings_total >= 43, "{report:?}");
}

async fn a_manifest_that_was_changed_with_its_file_is_found_by_what_the_log_says(store: SharedStore) {
    filled(&store).await;
    let (manifest, bytes) = exported_by(&store, &jsonl(Scope::Latest)).await;
    let mut fewer = lines(&bytes);
    fewer.remove(7);
    let fewer = fewer.join("\n") + "\n";
    let mut changed = manifest.clone();
    changed.export.bytes = fewer.len() as u64;
    changed.export.sha256 = dualaudit_record::digest::Digest::sha256(fewer.as_bytes());
    changed.export.logs[0].entries.insert(EntryKind::Execution, 39);
    let report = checked(&changed, fewer.as_bytes());
    assert_eq!(report.findings.iter().map(|finding| finding.what).collect::<Vec<_>>(), ["manifest"]);
    assert!(!report.is_vouched_for);
    // Without the proof, nothing is vouched for, and that is said.
    changed.recorded[0].proof = None;
    let report = checked(&changed, fewer.as_bytes());
    assert!(report.is_clean() && !report.is_vouched_for);
    // The entry of another export tells nothing of this one.
    let (other, _) = exported_by(&store, &jsonl(Scope::Latest)).await;
    let mut borrowed = manifest.clone();
    borrowed.recorded = other.recorded;
    assert_eq!(checked(&borrowed, &bytes).findings_total, 1);
    let read: Manifest = serde_json::from_str(&serde_json::to_string(&manifest).unwrap()).unwrap();
    assert_eq!(read, manifest);
}

async fn an_export_that_is_broken_off_is_told_as_far_as_it_came(store: SharedStore) {
    filled(&store).await;
    let large = WorkflowExecutionAudit { error_message: "x".repeat(400 << 10), ..of("large", 1000) };
    append(
        &*store,
        (0..6).map(|n| from_resource(WorkflowExecutionAudit { id: format!("l{n}"), ..large.clone() })),
    )
    .await;
    publish(&store).await;
    let mut memory = Memory { most: Some(500 << 10), ..Memory::default() };
    let recorder = recorder(&store);
    let asked = jsonl(Scope::Latest);
    let exporting = export(&recorder, &asked, &mut memory, "e.jsonl", |_| {});
    let error = while_publishing(&store, exporting).await.unwrap_err();
    assert!(matches!(error, ExportError::Output(_)), "{error}");
    let told = told(&store, LOG).await;
    assert_eq!(told.len(), 1);
    assert!(!told[0].whole && told[0].export == asked.id);
    assert_eq!(
        (told[0].bytes, told[0].lines()),
        (memory.bytes.len() as u64, 3),
        "one more was made, and held back"
    );
    // One that nobody could read has nothing to tell.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("e.csv");
    let mut file = ExportFile::create(&path, "x").unwrap();
    store.append(LOG, Batch::default().into(), at(0)).await.unwrap();
    let refused = request(ExportFormat::Csv, Scope::Entries, Filter::default(), &[]);
    assert!(export(&recorder, &refused, &mut file, "e.csv", |_| {}).await.is_err());
    drop(file);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

async fn a_log_that_is_not_there_is_told_with_those_that_are(store: SharedStore) {
    filled(&store).await;
    let mut asked = jsonl(Scope::Latest);
    asked.filter.log = Some("nowhere".to_owned());
    let mut memory = Memory::default();
    let error = export(&recorder(&store), &asked, &mut memory, "e.jsonl", |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), format!("there is no log nowhere; there are: {LOG}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_a_database_that_cannot_tell_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.db");
    let store: SharedStore = Arc::new(sqlite::SqliteStore::open(&file, sqlite::Options::default()).unwrap());
    filled(&store).await;
    let to_read: SharedStore =
        Arc::new(sqlite::SqliteStore::open_existing(&file, sqlite::Options::default()).unwrap());
    let mut memory = Memory::default();
    let asked = jsonl(Scope::Latest);
    let error = export(&recorder(&to_read), &asked, &mut memory, "e.jsonl", |_| {}).await.unwrap_err();
    assert!(matches!(error, ExportError::Unrecorded { .. }), "{error}");
    assert!(memory.bytes.is_empty(), "all of it was held back");
}

async fn a_log_that_was_succeeded_is_exported_and_its_successor_tells<S: Succession>(store: Arc<S>) {
    let shared: SharedStore = store.clone();
    filled(&shared).await;
    store.begin_successor(LOG, "next", "dualaudit.dev/next", at(600)).await.unwrap();
    store.close_succeeded(LOG, "next").await.unwrap();
    let mut memory = Memory::default();
    let manifest =
        export(&recorder(&shared), &jsonl(Scope::Entries), &mut memory, "e.jsonl", |_| {}).await.unwrap();
    assert_eq!(manifest.recorded.iter().map(|entry| entry.log.as_str()).collect::<Vec<_>>(), ["next"]);
    let told = told(&shared, "next").await;
    assert_eq!((told.len(), told[0].lines(), told[0].logs.len()), (1, 43, 2));
    // The successor's checkpoint is not signed here.
    assert_eq!(verify_export(&manifest, &memory.bytes[..], &[], |_| {}).unwrap().findings, []);
}

async fn what_is_recorded_after_the_checkpoint_is_left_out_and_counted(store: SharedStore) {
    filled(&store).await;
    let amended = WorkflowExecutionAudit { effectiveness_score: 0.25, ..of("patch", 12) };
    append(&*store, [from_resource(of("late", 100)), from_resource(amended)]).await;
    let mut memory = Memory::default();
    let manifest =
        export(&recorder(&store), &jsonl(Scope::Latest), &mut memory, "e.jsonl", |_| {}).await.unwrap();
    let log = &manifest.export.logs[0];
    assert_eq!((log.size, log.lines(), log.later), (43, 39, 2));
    let report = checked(&manifest, &memory.bytes);
    assert!(report.is_clean() && !report.is_vouched_for, "nothing was signed since: {report:?}");
    assert!(matches!(manifest.recorded[..], [RecordedExport { proof: None, .. }]));
}

async fn a_damaged_record_is_not_exported(store: SharedStore) {
    filled(&store).await;
    let stored = store.entries(LOG, Which::All, 0, 1).await.unwrap().remove(0);
    let mut bundler = crate::proof::Bundler::newest(store.clone(), LOG).await.unwrap();
    assert!(bundler.proved(&stored).await.is_ok());
    let mut changed = stored.clone();
    if let crate::store::StoredBody::Whole(entry, _) = &mut changed.body
        && let Entry::Execution(execution) = entry.as_mut()
    {
        execution.record.steps_failed += 1;
    }
    let error = bundler.proved(&changed).await.err().unwrap().to_string();
    assert!(error.contains("entry 0 is not what was appended: its body is not"), "{error}");
}

async fn every_form_has_the_same_rows(store: SharedStore) {
    filled(&store).await;
    let formula = WorkflowExecutionAudit { error_message: "=1+1".to_owned(), ..of("formula", 900) };
    append(&*store, [from_resource(formula)]).await;
    publish(&store).await;
    let (manifest, bytes) =
        exported_by(&store, &request(ExportFormat::Csv, Scope::Latest, Filter::default(), &[])).await;
    assert_eq!(agrees(&(manifest.clone(), bytes.clone()), 41).lines, 41);
    let mut rows = ::csv::Reader::from_reader(&bytes[..]);
    let header = rows.headers().unwrap().clone();
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| {
        let column = header.iter().position(|column| column == name).unwrap();
        rows[row][column].to_owned()
    };
    assert_eq!((cell(0, "id"), cell(0, "error_message")), ("formula-900".to_owned(), "'=1+1".to_owned()));
    let steps: Vec<dualaudit_record::execution::StepExecutionAudit> =
        serde_json::from_str(&cell(0, "step_executions")).unwrap();
    assert_eq!(steps, of("formula", 900).step_executions);
    let fewer: String = lines(&bytes)[..30].join("\n");
    assert!(checked(&manifest, fewer.as_bytes()).findings.iter().any(|finding| finding.what == "rows"));
    let endless = [&bytes[..], b"\"", &vec![b'x'; 9 << 20]].concat();
    let found = checked(&manifest, &endless).findings;
    assert!(found.iter().any(|it| it.what == "row" && it.found.contains("which no record has")), "{found:?}");
    let entries = request(ExportFormat::Csv, Scope::Entries, Filter::default(), &[]);
    let refused = export(&recorder(&store), &entries, &mut Memory::default(), "e.csv", |_| {}).await;
    assert!(matches!(refused, Err(ExportError::Unfit(_))));
    #[cfg(feature = "parquet")]
    {
        let asked = request(ExportFormat::Parquet, Scope::Latest, Filter::default(), &[]);
        let (manifest, bytes) = exported_by(&store, &asked).await;
        let report = checked(&manifest, &bytes);
        assert!(report.is_clean() && report.is_vouched_for, "{report:?}");
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
        assert!(!checked(&manifest, &bytes[1..]).is_clean());
    }
}
