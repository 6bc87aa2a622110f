//! Appends into PostgreSQL, beside the least that any store of the same rows could do there.

use std::{
    error::Error as StdError,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dualaudit::{
    clock::{Clock, SystemClock, entropy},
    ingest::Ingest,
    metrics::Metrics,
    store::{
        LogOpening, Owner,
        postgres::{Location, Options, PostgresStore, grant_logs, migrate},
    },
};
use futures::{SinkExt, StreamExt, TryStreamExt, future::join_all, stream};
use tokio_postgres::{
    Client, NoTls,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use crate::{
    heading, median,
    records::{record, sent},
    support::{
        Dualaudit, command,
        postgres::{Disk, Server},
    },
};

const ROWS: usize = 20_000;
/// Who owns what is made here.
const OWNER: &str = "postgres";
const BATCH: usize = 500;
const ROUNDS: usize = 3;
/// Of the server; all else is as PostgreSQL comes, `fsync=on` among it.
const SETTINGS: [&str; 2] = ["shared_buffers=1GB", "max_wal_size=4GB"];
/// Senders into one log, each with so many records under way as one HTTP request has.
const SENDERS: usize = 4;
const UNDER_WAY: usize = 1_000;
/// What a binary COPY begins with: its signature, flags, and no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What is measured, in the order it is printed, and what it should reach of raw COPY.
const FIGURES: [(&str, Option<f64>); 7] = [
    ("raw COPY, 2 connections", None),
    ("INSERT … ON CONFLICT DO NOTHING", None),
    ("ingest, 1 log", Some(0.7)),
    ("ingest, 2 logs", None),
    ("HTTP, 1 log", Some(0.5)),
    ("ingest, 2 logs beside 1", Some(1.3)),
    ("ingest, 1 log, by a role bound to it, beside the owner's", None),
];

/// Rows a second through `Ingest` and through the HTTP API, beside raw COPY of the same rows into an
/// equal plain table with the same indexes, in transactions of the same size.
pub(crate) async fn appends_beside_raw_copy() {
    heading(&format!("{ROWS} appends into PostgreSQL, beside raw COPY of the same rows"));
    println!("server: {}; transactions of {BATCH}", SETTINGS.join(", "));
    // Ended by the end of this process, as a server is that the tests share.
    let server: &'static Server = Box::leak(Box::new(Server::start_with(&SETTINGS, Disk::Real, |_, _| {})));
    let mut raw = Vec::new();
    let mut rates: [Vec<f64>; FIGURES.len()] = Default::default();
    let mut ratios = rates.clone();
    for _ in 0..ROUNDS {
        let bench = Bench::new(server);
        let one_log = bench.ingests(1, OWNER).await;
        let rows = bench.rows().await;
        let copy = bench.copies(&rows, 1).await;
        let two_logs = Bench::new(server).ingests(2, OWNER).await;
        let bound = Bench::new(server).bound().await;
        let measured = [
            bench.copies(&rows, 2).await,
            bench.inserts(&rows).await,
            one_log,
            two_logs,
            Bench::new(server).posts().await,
        ];
        raw.push(copy);
        for (place, rate) in measured.into_iter().enumerate() {
            rates[place].push(rate);
            ratios[place].push(rate / copy);
        }
        rates[5].push(two_logs);
        ratios[5].push(two_logs / one_log);
        rates[6].push(bound);
        ratios[6].push(bound / one_log);
        println!("raw COPY {copy:.0}/s   {}", shown(&measured));
    }
    println!("median of {ROUNDS} rounds: raw COPY, 1 connection: {:.0}/s", median(&mut raw));
    for (place, (what, goal)) in FIGURES.iter().enumerate() {
        let goal = goal.map_or_else(String::new, |goal| format!(" (goal {goal})"));
        let (rate, ratio) = (median(&mut rates[place]), median(&mut ratios[place]));
        println!("  {what}: {rate:.0}/s, ratio {ratio:.2}{goal}");
    }
}

fn shown(rates: &[f64]) -> String {
    let shown: Vec<_> =
        rates.iter().zip(FIGURES).map(|(rate, (what, _))| format!("{what} {rate:.0}/s")).collect();
    shown.join("   ")
}

/// A new database.
struct Bench {
    server: &'static Server,
    name: String,
}

impl Bench {
    fn new(server: &'static Server) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.execute("postgres", &format!("CREATE DATABASE {name}")).expect("a database");
        Self { server, name }
    }

    fn url(&self) -> String {
        self.server.url(&self.name)
    }

    fn url_of(&self, role: &str) -> String {
        self.url().replace(&format!("{OWNER}@"), &format!("{role}@"))
    }

    async fn connect(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// Rows a second of this, which begins with nothing left to write of what was before.
    async fn rate(&self, work: impl Future<Output = ()>) -> f64 {
        self.server.execute(&self.name, "CHECKPOINT").expect("a checkpoint");
        let began = Instant::now();
        work.await;
        per_second(began.elapsed())
    }

    /// Through the door of the one log that a role may write: row-level security is asked of each row.
    async fn bound(&self) -> f64 {
        let role = format!("{}_bound", self.name);
        self.server.execute("postgres", &format!("CREATE ROLE {role} LOGIN")).expect("a role");
        let owner = Location::parse(&self.url()).expect("a URL");
        migrate(&owner, SystemClock.now(), None).await.expect("a schema");
        grant_logs(&owner, &[("bench-0".to_owned(), role.clone())]).await.expect("a grant");
        self.ingests(1, &role).await
    }

    /// Through so many logs' doors, the records dealt out among them, as this role.
    async fn ingests(&self, logs: usize, role: &str) -> f64 {
        let location = Location::parse(&self.url_of(role)).expect("a URL");
        let store =
            PostgresStore::open(&location, Options::default(), SystemClock.now()).await.expect("a store");
        let mut senders = Vec::new();
        for log in 0..logs {
            let opening = LogOpening {
                log: format!("bench-{log}"),
                owner: Owner::Producers,
                origin: format!("bench.example/{log}"),
                secret: entropy(),
                now: SystemClock.now(),
            };
            let (store, metrics) = (Arc::new(store.clone()), Arc::new(Metrics::new()));
            let ingest = Ingest::open(store, Arc::new(SystemClock), opening, metrics).await.expect("a log");
            for sender in 0..SENDERS {
                let step = SENDERS * logs;
                let records: Vec<_> = (log * SENDERS + sender..ROWS).step_by(step).map(record).collect();
                senders.push((ingest.clone(), records));
            }
        }
        self.rate(async {
            let sending = senders.into_iter().map(|(ingest, records)| {
                tokio::spawn(async move {
                    let submit = |record| ingest.submit(ingest.from_producer(record, None));
                    let answers: Vec<_> = stream::iter(records.into_iter().map(submit))
                        .buffer_unordered(UNDER_WAY)
                        .try_collect()
                        .await
                        .expect("all are stored");
                    assert!(answers.iter().all(|answer| answer.is_new()));
                })
            });
            for sent in join_all(sending).await {
                sent.expect("no sender panics");
            }
        })
        .await
    }

    /// Through the API of the real program, in bodies of a batch each.
    async fn posts(&self) -> f64 {
        let mut api = command("/there-is-no-kubeconfig".as_ref());
        api.args(["run", "--api-only", "--listen", "127.0.0.1:0", "--database", &self.url()]);
        let api = Dualaudit::spawn(api);
        let (client, url) = (reqwest::Client::new(), format!("{}/api/v1/executions", api.url));
        let bodies: Vec<String> = (0..ROWS / BATCH)
            .map(|body| {
                let lines = (body * BATCH..(body + 1) * BATCH).map(|number| sent(number).to_string());
                lines.collect::<Vec<_>>().join("\n")
            })
            .collect();
        self.rate(async {
            let posts = bodies.into_iter().map(|body| async {
                let request = client.post(&url).header("content-type", "application/x-ndjson").body(body);
                let answer = request.send().await.expect("an answer");
                assert_eq!(answer.status(), 201);
                answer.bytes().await.expect("receipts");
            });
            stream::iter(posts).buffer_unordered(SENDERS).collect::<()>().await;
        })
        .await
    }

    /// The rows that [`Self::ingests`] stored, as binary COPY has them, without its header and end.
    async fn rows(&self) -> Vec<Bytes> {
        let client = self.connect().await;
        let copy = client.copy_out("COPY (SELECT * FROM workflow_execution_audit) TO STDOUT (FORMAT binary)");
        let copied: BytesMut = copy
            .await
            .expect("a copy")
            .try_fold(BytesMut::new(), async |mut all, part| {
                all.extend_from_slice(&part);
                Ok(all)
            })
            .await
            .expect("all rows");
        let mut copied = copied.freeze().slice(HEADER.len()..);
        let mut rows = Vec::with_capacity(ROWS);
        while (&copied[..2]).get_i16() >= 0 {
            let length = fields(&copied).last().map_or(2, |(_, end)| end);
            rows.push(copied.split_to(length));
        }
        assert_eq!(rows.len(), ROWS);
        rows
    }

    /// An empty table `plain` with the same columns and indexes, without checks, triggers and parts.
    async fn plain(&self) -> Client {
        const INDEXES: &str = "
            SELECT pg_get_indexdef(indexrelid)
            FROM pg_index
            WHERE indrelid = 'workflow_execution_audit'::regclass";
        let client = self.connect().await;
        let table = "DROP TABLE IF EXISTS plain; CREATE TABLE plain (LIKE workflow_execution_audit)";
        client.batch_execute(table).await.expect("a table");
        for index in client.query(INDEXES, &[]).await.expect("the indexes") {
            let index = index.get::<_, String>(0).replace("workflow_execution_audit", "plain");
            client.batch_execute(&index.replace("ON ONLY", "ON")).await.expect("an index");
        }
        client
    }

    /// By COPY on so many connections, which take turns in taking batches.
    async fn copies(&self, rows: &[Bytes], connections: usize) -> f64 {
        let batches: Vec<Bytes> = rows
            .chunks(BATCH)
            .map(|rows| {
                let mut batch = BytesMut::from(HEADER);
                rows.iter().for_each(|row| batch.extend_from_slice(row));
                batch.put_i16(-1);
                batch.freeze()
            })
            .collect();
        drop(self.plain().await);
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(self.connect().await);
        }
        self.rate(async {
            let copying = clients.into_iter().enumerate().map(|(number, client)| {
                let batches: Vec<_> = batches.iter().skip(number).step_by(connections).cloned().collect();
                tokio::spawn(async move {
                    for batch in batches {
                        let sink = client.copy_in("COPY plain FROM STDIN (FORMAT binary)").await;
                        let mut sink = pin!(sink.expect("a copy"));
                        sink.send(batch).await.expect("it takes the rows");
                        sink.finish().await.expect("a commit");
                    }
                })
            });
            for copied in join_all(copying).await {
                copied.expect("no copy panics");
            }
        })
        .await
    }

    /// By one INSERT a batch, with each field a parameter.
    async fn inserts(&self, rows: &[Bytes]) -> f64 {
        let client = self.plain().await;
        let columns = fields(&rows[0]).count();
        let values: Vec<_> = (0..BATCH)
            .map(|row| {
                let places: Vec<_> =
                    (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
                format!("({})", places.join(", "))
            })
            .collect();
        let insert = format!("INSERT INTO plain VALUES {} ON CONFLICT DO NOTHING", values.join(", "));
        let insert = client.prepare(&insert).await.expect("a statement");
        let batches: Vec<Vec<Raw>> =
            rows.chunks(BATCH).map(|rows| rows.iter().flat_map(values_of).collect()).collect();
        self.rate(async {
            for batch in &batches {
                let inserted = client.execute_raw(&insert, batch).await.expect("an insert");
                assert_eq!(inserted, BATCH as u64);
            }
        })
        .await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.server.execute("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// Where the fields of a row in binary COPY begin and end; an end before the beginning is NULL.
fn fields(row: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let count = (&row[..2]).get_i16();
    let mut at = 2;
    (0..count).map(move |_| {
        let length = (&row[at..at + 4]).get_i32();
        let begin = at + 4;
        at = begin + usize::try_from(length).unwrap_or_default();
        (if length < 0 { at + 1 } else { begin }, at)
    })
}

fn values_of(row: &Bytes) -> Vec<Raw> {
    fields(row).map(|(begin, end)| Raw((begin <= end).then(|| row.slice(begin..end)))).collect()
}

/// A value in its type's binary form.
#[derive(Debug)]
struct Raw(Option<Bytes>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn per_second(took: Duration) -> f64 {
    ROWS as f64 / took.as_secs_f64()
}
