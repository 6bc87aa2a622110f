//! Appends into SQLite, beside the least that any store of the same rows could do.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dualaudit::{
    clock::{Clock, SystemClock, entropy},
    store::{
        Batch, Draft, LogOpening, Owner, Store,
        sqlite::{CACHE_MIB, Options, SqliteStore},
    },
};
use dualaudit_record::log::Nonce;
use rusqlite::{Connection, params_from_iter, types::Value};
use tokio::sync::mpsc;

use crate::{
    heading, median,
    records::{content, record},
};

const ROWS: usize = 50_000;
const BATCH: usize = 500;
const ROUNDS: usize = 3;
const LOG: &str = "bench";

/// Rows a second of `Store::append` beside prepared inserts of the same rows, in batches of the same
/// size, into one table with the same columns, indexes and settings.
pub(crate) async fn appends_beside_raw_inserts() {
    heading(&format!("{ROWS} appends in batches of {BATCH}, beside raw inserts of the same rows"));
    let (mut ours, mut raw, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("audit.db");
        let appended = per_second(appends(&database).await);
        let inserted = per_second(inserts(&database, &dir.path().join("plain.db")));
        println!("raw {inserted:.0}/s   appended {appended:.0}/s   ratio {:.2}", appended / inserted);
        ours.push(appended);
        raw.push(inserted);
        ratios.push(appended / inserted);
    }
    println!(
        "median: raw {:.0}/s, appended {:.0}/s, ratio {:.2} (goal 0.6); cache {CACHE_MIB} MiB",
        median(&mut raw),
        median(&mut ours),
        median(&mut ratios)
    );
}

async fn appends(database: &Path) -> Duration {
    let store = SqliteStore::open(database, Options::default()).expect("a database");
    let now = SystemClock.now();
    let secret = entropy();
    let opening = LogOpening {
        log: LOG.to_owned(),
        owner: Owner::Producers,
        origin: "bench.example/log".to_owned(),
        secret,
        now,
    };
    store.open_log(opening).await.expect("a log");
    let contents: Vec<Vec<_>> = (0..ROWS / BATCH)
        .map(|batch| (0..BATCH).map(|row| content(record(batch * BATCH + row), &secret)).collect())
        .collect();
    let began = Instant::now();
    // As at the door: the next are prepared while some are appended.
    let (prepared, mut ready) = mpsc::channel(1);
    thread::spawn(move || {
        for contents in contents {
            let drafts = contents.into_iter().map(|content| Draft::new(Nonce(entropy()), content)).collect();
            prepared.blocking_send(Arc::new(Batch { drafts, ..Batch::default() })).expect("it is taken");
        }
    });
    while let Some(batch) = ready.recv().await {
        store.append(LOG, batch, SystemClock.now()).await.expect("an append");
    }
    began.elapsed()
}

fn inserts(database: &Path, plain: &Path) -> Duration {
    let source = Connection::open(database).expect("the database");
    let rows = rows(&source);
    let target = Connection::open(plain).expect("a database");
    target
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{};
             PRAGMA wal_autocheckpoint = 20000; PRAGMA temp_store = MEMORY; {}",
            CACHE_MIB * 1024,
            plain_schema(&source)
        ))
        .expect("the plain table");
    let places = vec!["?"; rows[0].len()].join(", ");
    let insert = format!("INSERT INTO workflow_execution_audit VALUES ({places})");
    let began = Instant::now();
    for batch in rows.chunks(BATCH) {
        target.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
        let mut statement = target.prepare_cached(&insert).expect("a statement");
        for row in batch {
            statement.execute(params_from_iter(row)).expect("an insert");
        }
        target.execute_batch("COMMIT").expect("a commit");
    }
    began.elapsed()
}

fn rows(source: &Connection) -> Vec<Vec<Value>> {
    let mut statement = source.prepare("SELECT * FROM workflow_execution_audit").expect("a statement");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

/// The same columns, primary key and indexes, without checks and triggers.
fn plain_schema(source: &Connection) -> String {
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = source.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a text")).collect()
    };
    let columns = texts("SELECT name || ' ' || type FROM pragma_table_info('workflow_execution_audit')");
    let indexes = texts(
        "SELECT sql FROM sqlite_master
         WHERE type = 'index' AND tbl_name = 'workflow_execution_audit' AND sql IS NOT NULL",
    );
    format!(
        "CREATE TABLE workflow_execution_audit ({}, PRIMARY KEY (log, id, attempt)); {};",
        columns.join(", "),
        indexes.join("; ")
    )
}

fn per_second(took: Duration) -> f64 {
    ROWS as f64 / took.as_secs_f64()
}
