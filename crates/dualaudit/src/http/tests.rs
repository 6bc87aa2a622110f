//! A whole API over a real store in a temporary directory, for the tests of the endpoints.

use std::{
    cell::RefCell,
    collections::HashMap,
    io::Write,
    sync::{
        Arc, Once,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
};

use async_trait::async_trait;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, request::Builder},
};
use dualaudit_record::{
    Time,
    checkpoint::{Checkpoint, SignedCheckpoint},
    entry::Verdict,
    log::TileId,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt;

use super::{Api, limits::Limits, router_with};
use crate::{
    access::{Access, Trail},
    clock::Clock,
    ingest::Ingest,
    live::Board,
    metrics::Metrics,
    store::{
        Answer, Batch, Cursor, Disagreements, Filter, Folding, FoundCells, Head, InFlight, InFlightFilter,
        Known, Log, LogOpening, LogReader, Lookup, Owner, Page, ReadBack, RowKey, SharedStore, Statistics,
        Store, StoreError, StoredEntry, Strays, Table, Tracked, UnreadableEntry, UnreadableLog, Wanted,
        WantedCells, WantedDisagreements, WeighedUpTo, Weighing, Which,
        sqlite::{Options, SqliteStore},
    },
};

/// What the store does besides storing.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    None,
    Unavailable,
    /// Appends work once, then the database is gone.
    GoneAfterOneAppend,
    /// Appends work once, then the database hangs.
    HangsAfterOneAppend,
    Corrupt,
    Rejects,
    /// Questions are answered, and nothing is appended.
    TakesNothing,
    Panics,
    NeverAnswers,
}

/// The API over a store that can be made to fail.
pub(crate) struct Served {
    pub(crate) router: axum::Router,
    pub(crate) store: Arc<Faulty>,
    _dir: TempDir,
}

/// Answers that can be looked at.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body, as far as it is text.
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The last part of the problem's type.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        json["type"].as_str().unwrap().strip_prefix("https://dualaudit.dev/problems/").unwrap().to_owned()
    }
}

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::seeing(None, limits).await
    }

    /// One that sees a cluster.
    pub(crate) async fn seeing(live: Option<Arc<Board>>, limits: Limits) -> Self {
        // The clients of tests want one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let inner = SqliteStore::open(dir.path().join("test.db"), Options::default()).unwrap();
        let store = Arc::new(Faulty { inner: Arc::new(inner), fault: AtomicU8::new(Fault::None as u8) });
        let clock = Arc::new(Ticking(AtomicI64::new(now().as_micros())));
        let metrics = Arc::new(Metrics::new());
        let shared: SharedStore = store.clone();
        let ingest = door(shared.clone(), "http", clock.clone()).await;
        let (trail, recording) = Trail::into_log(ingest.clone(), clock.clone());
        tokio::spawn(recording.run(std::future::pending()));
        let router = router_with(
            Api {
                access: Access::Anonymous,
                trail,
                store: shared,
                producers: vec![ingest],
                live,
                clock,
                metrics,
                doors: Vec::new(),
                keeps_copies: false,
                stopping: watch::channel(false).1,
            },
            limits,
        );
        Self { router, store, _dir: dir }
    }

    /// Publishes an unsigned checkpoint of the log as it is.
    pub(crate) async fn publish(&self) {
        let Head { origin, size, root, .. } = self.store.inner.logs().await.unwrap().remove(0);
        let checkpoint = SignedCheckpoint::sign(Checkpoint { origin, size, root }, &[]).unwrap();
        let batch = Batch { checkpoint: Some(checkpoint), ..Batch::default() };
        self.store.inner.append("http", Arc::new(batch), now()).await.unwrap();
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.store.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// By a request whose id is known, so that answers can be compared.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answered {
        request.headers_mut().entry("x-request-id").or_insert(HeaderValue::from_static("test"));
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        let text = String::from_utf8_lossy(&body).into_owned();
        Answered { status: parts.status, headers: parts.headers, body, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, body: impl Into<Body>) -> Answered {
        self.send(posting("/api/v1/executions").body(body.into()).unwrap()).await
    }

    pub(crate) async fn post_json(&self, body: &Value) -> Answered {
        self.post(body.to_string()).await
    }
}

pub(crate) fn posting(path: &str) -> Builder {
    Request::builder().method(Method::POST).uri(path).header("content-type", "application/json")
}

/// A door into one more log of the same store.
pub(crate) async fn door(store: SharedStore, log: &str, clock: Arc<Ticking>) -> Ingest {
    let opening = LogOpening {
        log: log.into(),
        owner: Owner::Producers,
        origin: format!("dualaudit.dev/{log}"),
        secret: [7; 32],
        now: clock.now(),
    };
    Ingest::open(store, clock, opening, Arc::new(Metrics::new())).await.unwrap()
}

pub(crate) fn now() -> Time {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

/// A microsecond later each time it is asked.
pub(crate) struct Ticking(pub(crate) AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Time {
        Time::from_micros(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }
}

/// A record as a producer sends it that knows only the specification's fields.
pub(crate) fn record(id: &str) -> Value {
    json!({
        "id": id,
        "remediation_id": "rem-1",
        "workflow_name": "restart-deployment",
        "workflow_version": "v1.2.0",
        "total_steps": 2,
        "steps_completed": 2,
        "steps_failed": 0,
        "total_duration": 90_000_000_000u64,
        "outcome": "success",
        "effectiveness_score": 0.95,
        "rollbacks_performed": 0,
        "step_executions": [
            {"step_number": 1, "action": "drain", "duration": 30_000_000_000u64, "status": "completed",
             "retries_attempted": 0},
            {"step_number": 2, "action": "restart", "duration": 60_000_000_000u64, "status": "completed",
             "retries_attempted": 1},
        ],
        "adaptive_adjustments": null,
        "completed_at": "2026-05-01T10:00:00.123456789+02:00",
        "status": "completed",
    })
}

thread_local! {
    /// What this thread told the log, where somebody listens.
    static TOLD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// What this thread tells the log while this lives.
///
/// One subscriber serves all tests of the process: with one a test, tracing asks whichever thread
/// comes first whether a line is wanted, and remembers its answer for all.
pub(crate) struct Told(());

impl Told {
    pub(crate) fn from_now_on() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            let fmt = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO);
            tracing::subscriber::set_global_default(fmt.with_writer(|| ToldBy).finish()).unwrap();
        });
        TOLD.set(Some(Vec::new()));
        Self(())
    }

    /// The lines that hold this.
    pub(crate) fn lines(&self, with: &str) -> Vec<String> {
        let told = TOLD.with_borrow(|told| String::from_utf8(told.clone().unwrap()).unwrap());
        told.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

struct ToldBy;

impl Write for ToldBy {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        TOLD.with_borrow_mut(|told| told.iter_mut().for_each(|told| told.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A store with a fault.
pub(crate) struct Faulty {
    pub(crate) inner: SharedStore,
    fault: AtomicU8,
}

impl Faulty {
    async fn pass(&self) -> Result<(), StoreError> {
        match self.fault.load(Ordering::SeqCst) {
            f if f == Fault::Unavailable as u8 => {
                Err(StoreError::Unavailable("/secret/path is locked".into()))
            }
            f if f == Fault::Corrupt as u8 => Err(StoreError::Corrupt("/secret/path is damaged".into())),
            f if f == Fault::Rejects as u8 => Err(StoreError::Rejected("/secret/path is full".into())),
            f if f == Fault::Panics as u8 => panic!("/secret/path"),
            f if f == Fault::NeverAnswers as u8 => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn open_log(&self, opening: LogOpening) -> Result<Log, StoreError> {
        self.inner.open_log(opening).await
    }
    async fn append(&self, log: &str, batch: Arc<Batch>, now: Time) -> Result<Vec<Answer>, StoreError> {
        self.pass().await?;
        if self.fault.load(Ordering::SeqCst) == Fault::TakesNothing as u8 {
            return Err(StoreError::Unavailable("/secret/path is full".into()));
        }
        let answer = self.inner.append(log, batch, now).await;
        for (last, then) in [
            (Fault::GoneAfterOneAppend, Fault::Unavailable),
            (Fault::HangsAfterOneAppend, Fault::NeverAnswers),
        ] {
            let (last, then) = (last as u8, then as u8);
            let _ = self.fault.compare_exchange(last, then, Ordering::SeqCst, Ordering::SeqCst);
        }
        answer
    }
    async fn known(&self, log: &str, ids: &[String]) -> Result<Vec<Known>, StoreError> {
        self.inner.known(log, ids).await
    }
    async fn tracked(&self, log: &str, after: Option<&str>, limit: u32) -> Result<Vec<Tracked>, StoreError> {
        self.inner.tracked(log, after, limit).await
    }
    async fn read_back(&self, log: &str, id: &str, attempt: u32) -> Result<Option<ReadBack>, StoreError> {
        self.inner.read_back(log, id, attempt).await
    }
    async fn list(&self, f: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Page, StoreError> {
        self.pass().await?;
        self.inner.list(f, after, limit).await
    }
    async fn count(&self, filter: &Filter, most: u32) -> Result<u64, StoreError> {
        self.pass().await?;
        self.inner.count(filter, most).await
    }
    async fn verdicts(
        &self,
        log: &str,
        of: &[(String, u32)],
    ) -> Result<HashMap<(String, u32), Verdict>, StoreError> {
        self.pass().await?;
        self.inner.verdicts(log, of).await
    }
    async fn get(&self, wanted: &Wanted) -> Result<Lookup, StoreError> {
        self.pass().await?;
        self.inner.get(wanted).await
    }
    async fn weigh(
        &self,
        log: &str,
        completed_before: Time,
        after: Option<&WeighedUpTo>,
        limit: u32,
    ) -> Result<Weighing, StoreError> {
        self.inner.weigh(log, completed_before, after, limit).await
    }
}

#[async_trait]
impl Statistics for Faulty {
    async fn fold(&self, log: &str) -> Result<Folding, StoreError> {
        self.inner.fold(log).await
    }
    async fn cells(&self, log: &str, wanted: &[WantedCells]) -> Result<FoundCells, StoreError> {
        self.pass().await?;
        self.inner.cells(log, wanted).await
    }
    async fn in_flight(
        &self,
        log: &str,
        filter: &InFlightFilter,
        limit: u32,
    ) -> Result<InFlight, StoreError> {
        self.pass().await?;
        self.inner.in_flight(log, filter, limit).await
    }
    async fn disagreements(&self, wanted: &WantedDisagreements) -> Result<Disagreements, StoreError> {
        self.pass().await?;
        self.inner.disagreements(wanted).await
    }
    async fn asked_in_sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.inner.asked_in_sql(sql).await
    }
}

#[async_trait]
impl LogReader for Faulty {
    async fn logs(&self) -> Result<Vec<Head>, StoreError> {
        self.pass().await?;
        self.inner.logs().await
    }
    async fn read_logs(&self) -> Result<Vec<Result<Head, UnreadableLog>>, StoreError> {
        self.inner.read_logs().await
    }
    async fn entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.inner.entries(log, which, from, limit).await
    }
    async fn read_entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Result<StoredEntry, UnreadableEntry>>, StoreError> {
        self.inner.read_entries(log, which, from, limit).await
    }
    async fn object(&self, log: &str, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.pass().await?;
        self.inner.object(log, index).await
    }
    async fn strays(
        &self,
        table: Table,
        log: Option<&str>,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Strays, StoreError> {
        self.inner.strays(table, log, after, limit).await
    }
    async fn tiles(&self, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.tiles(log, wanted).await
    }
    async fn alterations(&self) -> Result<Vec<String>, StoreError> {
        self.inner.alterations().await
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_problem() {
    let served = Served::new().await;
    let answered = served.get("/api/v1/nonsense").await;
    insta::assert_json_snapshot!(answered.json(), @r#"
    {
      "detail": "There is nothing at /api/v1/nonsense; the API is under /api/v1, see /api/v1/executions.",
      "instance": "urn:dualaudit:request:test",
      "status": 404,
      "title": "There is nothing here",
      "type": "https://dualaudit.dev/problems/no-such-path"
    }
    "#);
    assert_eq!(answered.status, 404);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_told_with_those_it_has() {
    let served = Served::new().await;
    for (path, allow) in [
        ("/api/v1/executions", "POST,GET,HEAD"),
        ("/api/v1/executions/a", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
    ] {
        let answered = served.send(Request::delete(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (405, "method-not-allowed"));
        assert_eq!(answered.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_of_its_cause() {
    let served = Served::new().await;
    served.fail(Fault::Panics);
    let answered = served.get("/api/v1/executions").await;
    assert_eq!(answered.status, 500);
    insta::assert_json_snapshot!(answered.json(), @r#"
    {
      "detail": "The server's log says what happened.",
      "instance": "urn:dualaudit:request:test",
      "status": 500,
      "title": "Something is wrong with the server",
      "type": "https://dualaudit.dev/problems/internal"
    }
    "#);
}

#[tokio::test]
async fn a_damaged_database_is_a_500_that_tells_nothing_of_its_cause() {
    let served = Served::new().await;
    served.fail(Fault::Corrupt);
    let answered = served.get("/api/v1/executions/a").await;
    assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (500, "internal"));
    assert!(!answered.text.contains("secret"), "{}", answered.text);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let limits = Limits { time: std::time::Duration::from_millis(50), ..Limits::default() };
    let served = Served::with(limits).await;
    served.fail(Fault::NeverAnswers);
    let answered = served.get("/api/v1/executions").await;
    assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (503, "timeout"));
    assert_eq!(answered.header("retry-after"), "2");
}

#[tokio::test]
async fn requests_beyond_the_limit_are_turned_away_while_health_still_answers() {
    let served = Served::with(Limits { requests: 1, ..Limits::default() }).await;
    served.fail(Fault::NeverAnswers);
    let stuck = Request::get("/api/v1/executions").header("host", "localhost").body(Body::empty()).unwrap();
    let stuck = tokio::spawn(served.router.clone().oneshot(stuck));
    while !stuck.is_finished() {
        let answered =
            served.send(Request::get("/api/v1/executions?limit=0").body(Body::empty()).unwrap()).await;
        if answered.status == 503 {
            assert_eq!((answered.problem().as_str(), answered.header("retry-after")), ("overloaded", "2"));
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(served.get("/healthz").await.text, "ok\n");
    stuck.abort();
}

#[tokio::test]
async fn readiness_is_whether_the_database_answers() {
    let served = Served::new().await;
    assert_eq!(served.get("/readyz").await.status, 200);
    served.fail(Fault::Unavailable);
    let answered = served.get("/readyz").await;
    assert_eq!((answered.status.as_u16(), answered.problem().as_str()), (503, "unavailable"));
    assert!(!answered.text.contains("secret"), "{}", answered.text);
    assert_eq!(served.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let served = Served::new().await;
    let answered = served.get("/metrics").await;
    assert_eq!(answered.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answered.text.ends_with("# EOF\n"), "{}", answered.text);
}
