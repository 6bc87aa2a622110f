//! Databases with the statistics of two years of executions. Of the executions themselves there are four a day, which move
//! the log's clock; what all others give is noted as an append notes it, and folded as `run` folds it, so the pages are
//! those that appends and folds would have made.

use std::{path::Path, sync::Arc, time::Instant};

use dualaudit::{
    clock::{Clock, SystemClock},
    simulate::fleet::{Fleet, Truth},
    store::{
        Batch, Folding, LogOpening, Owner, Store,
        postgres::{Location, Options, PostgresStore},
        sqlite::{self, SqliteStore},
    },
};
use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    statistics::{Contribution, Packed},
};
use rusqlite::Connection;
use tokio_postgres::{Client, NoTls};

use crate::{records::draft, support::postgres::Server};

pub(crate) const LOG: &str = "bench";
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// Two years.
pub(crate) const DAYS: usize = 730;
/// The variable of the environment that says of how many days, the last ones, where not of all. They are as full.
const ONLY_DAYS: &str = "DUALAUDIT_BENCH_DAYS";
const DAY: i64 = 86_400_000_000;
/// How often a day what came is folded.
const FOLDS: i64 = 4;
const BATCH: usize = 500;

/// Of how many days there are executions.
pub(crate) fn days() -> usize {
    std::env::var(ONLY_DAYS).map_or(DAYS, |days| days.parse().expect("a number of days"))
}

/// So many executions of a large fleet, the last of which ended then.
pub(crate) fn fleet(size: usize, ended: Time) -> Fleet {
    let began = ended.saturating_add_micros(-DAY * days() as i64);
    Fleet::new(Truth::large(began), size as u64, 1)
}

/// A database, and a connection by which what appends give is noted.
pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    noting: Noting,
}

enum Noting {
    Sqlite(Box<std::sync::Mutex<Connection>>),
    Postgres(Client),
}

impl Database {
    pub(crate) async fn sqlite(directory: &Path, size: usize) -> Self {
        let file = directory.join(format!("{size}.db"));
        let store = Arc::new(SqliteStore::open(&file, sqlite::Options::default()).expect("a database"));
        let connection = Connection::open(&file).expect("the database");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
        Self { store, noting: Noting::Sqlite(Box::new(connection.into())) }
    }

    pub(crate) async fn postgres(server: &'static Server, size: usize) -> Self {
        let name = format!("statistics_{size}");
        server.execute("postgres", &format!("CREATE DATABASE {name}")).expect("a database");
        let url = server.url(&name);
        let location = Location::parse(&url).expect("a URL");
        let store = PostgresStore::open(&location, Options::default(), SystemClock.now()).await;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        Self { store: Arc::new(store.expect("a store")), noting: Noting::Postgres(client) }
    }

    /// When the last execution ended that it was filled with, if it was.
    pub(crate) async fn filled_until(&self) -> Option<Time> {
        let heads = self.store.logs().await.expect("logs");
        heads.into_iter().find(|head| head.log == LOG).and_then(|head| head.recorded_at)
    }

    /// Fills it with so many executions, of which the last ended then.
    pub(crate) async fn fill(&self, fleet: &Fleet, ended: Time) {
        let began = Instant::now();
        let opening = LogOpening {
            log: LOG.to_owned(),
            owner: Owner::Producers,
            origin: "bench.example/statistics".to_owned(),
            secret: SECRET,
            now: ended.saturating_add_micros(-DAY * days() as i64),
        };
        self.store.open_log(opening).await.expect("a log");
        let mut noted = 0;
        for day in 0..days() {
            let over = ended.saturating_add_micros(-DAY * (days() - 1 - day) as i64);
            let mut records: Vec<WorkflowExecutionAudit> = fleet.on(day).map(|it| fleet.record(it)).collect();
            records.sort_by_key(|record| record.completed_at);
            let mut records = records.as_slice();
            for part in 1..=FOLDS {
                let until = over.saturating_add_micros(-DAY / FOLDS * (FOLDS - part));
                let ended = records.partition_point(|record| record.completed_at <= until);
                let (came, later) = records.split_at(if part == FOLDS { records.len() } else { ended });
                records = later;
                let Some((last, others)) = came.split_last() else { continue };
                let batch = Batch { drafts: vec![draft(last.clone(), &SECRET)], ..Batch::default() };
                let answers = self.store.append(LOG, Arc::new(batch), until).await.expect("an append");
                assert!(answers.iter().all(|answer| answer.is_new()));
                for records in others.chunks(BATCH) {
                    let given: Vec<Contribution> = records.iter().map(Contribution::of).collect();
                    self.note(noted, Packed::of(given.iter().map(|it| (1, it)))).await;
                    noted += 1;
                }
                while self.store.fold(LOG).await.expect("a fold") == Folding::More {}
            }
        }
        let took = began.elapsed().as_secs_f64();
        let size = fleet.size();
        println!("{size} executions: {took:.0} s, {:.0} a second", size as f64 / took);
        self.sizes().await;
    }

    /// Notes what was given, by a number that is no entry's.
    async fn note(&self, number: u64, given: Packed) {
        let index = i64::try_from(number).expect("few") + 1_000_000_000;
        match &self.noting {
            Noting::Sqlite(connection) => {
                let sql = "INSERT INTO statistics_pending (log, idx, contributions) VALUES (?1, ?2, ?3)";
                let connection = connection.lock().expect("nobody panics");
                let mut insert = connection.prepare_cached(sql).expect("a statement");
                insert.execute((LOG, index, given.as_bytes())).expect("it is noted");
            }
            Noting::Postgres(client) => {
                let sql = "INSERT INTO statistics_pending (log, idx, contributions) VALUES ($1, $2, $3)";
                client.execute(sql, &[&LOG, &index, &given.as_bytes()]).await.expect("it is noted");
            }
        }
    }

    /// Prints how many pages and bytes there are of each length of buckets and slice.
    async fn sizes(&self) {
        const SIZES: &str = "
            SELECT level || ' ' || slice, count(*), CAST(sum(length(cells)) AS bigint), count(DISTINCT start)
            FROM statistics_page
            GROUP BY level, slice
            ORDER BY level, slice";
        let mut rows: Vec<(String, i64, i64, i64)> = Vec::new();
        match &self.noting {
            Noting::Sqlite(connection) => {
                let connection = connection.lock().expect("nobody panics");
                let mut statement = connection.prepare(SIZES).expect("a statement");
                let found =
                    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
                rows.extend(found.expect("rows").map(|row| row.expect("a row")));
            }
            Noting::Postgres(client) => {
                for statement in ["VACUUM (ANALYZE) statistics_page", "CHECKPOINT"] {
                    client.batch_execute(statement).await.expect("a vacuum");
                }
                let found = client.query(SIZES, &[]).await.expect("rows");
                rows.extend(found.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))));
            }
        }
        for (what, pages, bytes, buckets) in rows {
            println!("  {what:<20} {buckets:>4} buckets, {pages:>7} pages, {:>7.2} MB", bytes as f64 / 1e6);
        }
    }
}
