//! Databases of a fleet's executions, filled through `Store::append`: every row, leaf and tile in them is
//! as it would be had the executions been recorded when they ended.

use std::{sync::Arc, time::Instant};

use dualaudit::{
    clock::{Clock, SystemClock},
    store::{
        Batch, LogOpening, Owner, Store, StoreError,
        postgres::{Location, Options, PostgresStore},
    },
};

use super::fleet::{Fleet, LOGS, MONTHS};
use crate::{records::draft, support::postgres::Server};

pub(crate) const BATCH: usize = 500;
/// Of every log; what it is does not matter here.
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// How often it is said how far it has come.
const TOLD_EVERY: usize = 1_000_000;
/// How often an append is tried.
const TRIES: u32 = 5;

/// A database of a fleet.
pub(crate) struct Filled {
    pub(crate) server: &'static Server,
    pub(crate) name: String,
    pub(crate) fleet: Fleet,
    pub(crate) store: PostgresStore,
}

impl Filled {
    /// Makes one, with partitions for all its months, and fills it.
    pub(crate) async fn new(server: &'static Server, size: usize) -> Self {
        let name = format!("volume_{size}");
        server.execute("postgres", &format!("CREATE DATABASE {name}")).expect("a database");
        let ended = SystemClock.now();
        let began = ended.saturating_add_micros(-i64::from(MONTHS) * 730 * 3_600 * 1_000_000);
        let location = Location::parse(&server.url(&name)).expect("a URL");
        let store = PostgresStore::open(&location, Options::default(), began).await.expect("a store");
        let partitions = format!(
            "SELECT dualaudit_make_partitions(to_timestamp({}), {})",
            began.as_micros() / 1_000_000,
            MONTHS + 6
        );
        server.execute(&name, &partitions).expect("partitions");
        let filled = Self { server, name, fleet: Fleet { size, began, ended }, store };
        filled.fill().await;
        filled
    }

    async fn fill(&self) {
        let filling_since = Instant::now();
        let logs = (0..LOGS).map(|log| {
            let (fleet, store) = (self.fleet, self.store.clone());
            tokio::spawn(async move {
                open(&store, &Fleet::log(log), &fleet).await;
                let numbers: Vec<usize> = (log..fleet.size).step_by(LOGS).collect();
                for numbers in numbers.chunks(BATCH) {
                    append(&store, &fleet, numbers).await;
                    let next = numbers[numbers.len() - 1] + LOGS;
                    if log == 0 && next / TOLD_EVERY > numbers[0] / TOLD_EVERY {
                        println!("{next} after {:.0} s", filling_since.elapsed().as_secs_f64());
                    }
                }
            })
        });
        for filled in futures::future::join_all(logs).await {
            filled.expect("nothing panics");
        }
        let took = filling_since.elapsed().as_secs_f64();
        println!(
            "{} executions: {took:.0} s, {:.0} a second",
            self.fleet.size,
            self.fleet.size as f64 / took
        );
        self.tidy().await;
    }

    /// What autovacuum does in time, and what it leaves out: partitioned tables themselves.
    async fn tidy(&self) {
        const TABLES: &str = "
            SELECT quote_ident(relname)
            FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            ORDER BY relname";
        let began = Instant::now();
        for table in self.server.rows(&self.name, TABLES).expect("the tables") {
            self.server.execute(&self.name, &format!("VACUUM (ANALYZE) {}", table[0])).expect("a vacuum");
        }
        self.server.execute(&self.name, "CHECKPOINT").expect("a checkpoint");
        println!("vacuumed and analyzed: {:.0} s", began.elapsed().as_secs_f64());
    }
}

async fn open(store: &PostgresStore, log: &str, fleet: &Fleet) {
    let opening = LogOpening {
        log: log.to_owned(),
        owner: Owner::Producers,
        origin: format!("bench.example/{log}"),
        secret: SECRET,
        now: fleet.began,
    };
    store.open_log(opening).await.expect("a log");
}

/// Appends executions of one log, at the time the last of them has ended.
async fn append(store: &PostgresStore, fleet: &Fleet, numbers: &[usize]) {
    let last = numbers[numbers.len() - 1];
    let batch = batch(fleet, numbers);
    let mut tries = 0;
    loop {
        tries += 1;
        match store.append(&Fleet::log(last), Arc::clone(&batch), fleet.completed_at(last)).await {
            Ok(answers) => {
                assert!(tries > 1 || answers.iter().all(|answer| answer.is_new()));
                return;
            }
            // On a machine with other work. Sending the same again is safe.
            Err(StoreError::Unavailable(_) | StoreError::TooSlow(_)) if tries < TRIES => {}
            Err(error) => panic!("an append: {error}"),
        }
    }
}

pub(crate) fn batch(fleet: &Fleet, numbers: &[usize]) -> Arc<Batch> {
    let drafts = numbers.iter().map(|number| draft(fleet.record(*number), &SECRET)).collect();
    Arc::new(Batch { drafts, ..Batch::default() })
}
