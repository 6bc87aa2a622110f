//! PostgreSQL goes away and comes back, in every way it does, while producers and the controller
//! write: what was acknowledged is stored once, nothing twice, and dualaudit goes on by itself.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    Break, Cluster, Dualaudit, Producers, Sent, Wire, command, eventually,
    postgres::{Disk, Server, can_mount},
    record, verified,
};

const PATH: &str = "/api/v1/executions";
const EXECUTIONS: usize = 45;
const SHORT: &[&str] = &["--window", "1s"];
/// The database of a server that belongs to one test.
const ONLY: &str = "postgres";

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_stopped_for_ten_seconds_loses_and_doubles_nothing() {
    let server = Server::start(&[]);
    let (stop, start) = (|| server.stop(), || server.restart());
    survives(&server, &server.url(ONLY), Outage::of(10, &stop, &start)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_killed_and_recovered_loses_and_doubles_nothing() {
    let server = Server::start(&[]);
    let (kill, start) = (|| server.kill(), || server.restart());
    survives(&server, &server.url(ONLY), Outage::of(3, &kill, &start)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_not_waited_for_and_nothing_is_lost_or_doubled() {
    let server = Server::start(&[]);
    let wire = Wire::to(server.address()).await;
    let (fall_silent, speak) = (|| wire.fall_silent(), || wire.speak());
    survives(&server, &through(&wire, &server.url(ONLY)), Outage::of(10, &fall_silent, &speak)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_and_doubles_nothing() {
    if !can_mount() {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: as root, who may mount");
        eprintln!("not tested: a full disk, which takes the right to mount one");
        return;
    }
    let server = Server::start_with(&[], Disk::Small(192), |_, _| {});
    let fill = || server.fill_disk();
    let empty = || {
        // Without room for its own log, too, it gives up.
        let _ = server.execute(ONLY, "SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, '', '')");
        eventually_away(&server);
        server.empty_disk();
        server.restart();
    };
    survives(&server, &server.url(ONLY), Outage { half: true, ..Outage::of(5, &fill, &empty) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_amid_an_append_lose_and_double_nothing() {
    const CUTS: usize = 4;
    let server = Server::start(&[]);
    let wire = Wire::to(server.address()).await;
    let cluster = Cluster::new().await.on_server(through(&wire, &server.url(ONLY)));
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    let producers = Producers::start("producer", &dualaudit.url);
    let uids = cluster.create_many(0..EXECUTIONS).await;
    let mut finished = 0;
    for at in [Break::AmidRows, Break::BeforeCommit, Break::AfterCommit] {
        wire.break_every(3, at);
        cluster.finish_many(finished..finished + EXECUTIONS / 3).await;
        finished += EXECUTIONS / 3;
        eventually(&format!("it was cut often enough {at:?}"), || async {
            (wire.broken() >= CUTS).then_some(())
        })
        .await;
    }
    wire.mend();
    cluster.all_gone().await;
    let sent = producers.stop().await;
    assert!(sent.turned_away > 0 && dualaudit.is_running(), "{:#?}", dualaudit.log());
    each_is_stored_once(&server, ONLY, &sent, &uids);
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn dualaudit_killed_while_it_writes_to_postgresql_loses_and_doubles_nothing() {
    const KILLS: usize = 4;
    let server = Server::shared();
    let database = server.database(None);
    let cluster = Cluster::new().await.on_server(database.url());
    let mut dualaudit = Dualaudit::run(&cluster, SHORT);
    let producers = Producers::start("producer", &dualaudit.url);
    let uids = cluster.create_many(0..EXECUTIONS).await;
    for round in 0..KILLS {
        let from = round * EXECUTIONS / KILLS;
        let finish = cluster.finish_many(from..(round + 1) * EXECUTIONS / KILLS);
        let kill = tokio::time::sleep(Duration::from_millis(40 + 90 * round as u64));
        tokio::join!(finish, async {
            kill.await;
            dualaudit.killer()();
            dualaudit = Dualaudit::run(&cluster, SHORT);
            producers.turn_to(&dualaudit.url);
        });
    }
    cluster.all_gone().await;
    each_is_stored_once(server, &database.name, &producers.stop().await, &uids);
    verified(&cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_append_to_one_log_and_to_two_without_loss_or_doubles() {
    let server = Server::shared();
    let database = server.database(None);
    let cluster = Cluster::new().await.on_server(database.url());
    // Both have the producers' log, and one has the cluster's besides.
    let controller = Dualaudit::run(&cluster, SHORT);
    let mut alone = command(&cluster.dir.path().join("there-is-no-kubeconfig"));
    alone.args(["run", "--api-only", "--listen", "127.0.0.1:0", "--database", &database.url()]);
    let alone = Dualaudit::spawn(alone);
    // The same records come to both at once, too.
    let producers =
        ["first", "second", "same", "same"].into_iter().zip([&controller, &alone, &controller, &alone]);
    let producers: Vec<_> = producers.map(|(name, at)| Producers::start(name, &at.url)).collect();
    let uids = cluster.create_many(0..EXECUTIONS).await;
    cluster.finish_many(0..EXECUTIONS).await;
    cluster.all_gone().await;
    let mut all = Sent::default();
    for producer in producers {
        all.add(producer.stop().await);
    }
    assert_eq!(all.turned_away, 0);
    each_is_stored_once(server, &database.name, &all, &uids);
    verified(&cluster);
}

/// How a database goes away, and comes back.
struct Outage<'a> {
    begin: &'a dyn Fn(),
    end: &'a dyn Fn(),
    lasts: Duration,
    /// Whether it can be read meanwhile, and whatever there is room for be written.
    half: bool,
}

impl<'a> Outage<'a> {
    /// One of so many seconds.
    fn of(seconds: u64, begin: &'a dyn Fn(), end: &'a dyn Fn()) -> Self {
        Self { begin, end, lasts: Duration::from_secs(seconds), half: false }
    }
}

/// The database goes away while records come and executions finish.
async fn survives(server: &Server, url: &str, outage: Outage<'_>) {
    const THIRD: usize = EXECUTIONS / 3;
    let cluster = Cluster::new().await.on_server(url.to_owned());
    let dualaudit = Dualaudit::run(&cluster, SHORT);
    let producers = Producers::start("producer", &dualaudit.url);
    let uids = cluster.create_many(0..EXECUTIONS).await;
    cluster.finish_many(0..THIRD).await;
    cluster.acknowledged("load-0").await;
    assert_eq!(dualaudit.get(PATH).await.0, 200);

    tokio::task::block_in_place(outage.begin);
    let began = Instant::now();
    if outage.half {
        eventually("appends fail", || async {
            (dualaudit.metric("dualaudit_append_failures_total").await > 0).then_some(())
        })
        .await;
    } else {
        tells_that_it_is_away(&dualaudit).await;
    }
    cluster.finish_many(THIRD..2 * THIRD).await;
    tokio::time::sleep(outage.lasts.saturating_sub(began.elapsed())).await;
    for number in (THIRD..2 * THIRD).filter(|_| !outage.half) {
        let waiting = cluster.get(&format!("load-{number}")).await.expect("a resource waits for its record");
        assert!(!waiting.metadata.annotations.unwrap_or_default().contains_key("dualaudit.dev/receipt"));
    }
    if !outage.half {
        assert_eq!(status(&dualaudit, "/readyz").await, (503, true));
    }
    tokio::task::block_in_place(outage.end);

    cluster.finish_many(2 * THIRD..EXECUTIONS).await;
    eventually("it is ready", || async { (status(&dualaudit, "/readyz").await.0 == 200).then_some(()) })
        .await;
    cluster.all_gone().await;
    let sent = producers.stop().await;
    assert!(sent.turned_away > 0 && dualaudit.is_running(), "{:#?}", dualaudit.log());
    each_is_stored_once(server, ONLY, &sent, &uids);
    verified(&cluster);
}

/// Waits until the server itself lets nobody in.
fn eventually_away(server: &Server) {
    let began = Instant::now();
    while server.execute(ONLY, "SELECT 1").is_ok() {
        assert!(began.elapsed() < Duration::from_secs(10), "it goes on without room for its log");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until it is known to be away; then what needs the database answers 503 and when to come again.
async fn tells_that_it_is_away(dualaudit: &Dualaudit) {
    eventually("it is not ready", || async {
        let (status, wait) = status(dualaudit, "/readyz").await;
        (status == 503 && wait).then_some(())
    })
    .await;
    let client = reqwest::Client::new();
    let post = client.post(format!("{}{PATH}", dualaudit.url)).json(&record("sent-in-the-outage"));
    let stored = format!("{PATH}?tier=stored");
    let (list, live, post) = tokio::join!(status(dualaudit, &stored), dualaudit.get(PATH), post.send());
    let post = post.unwrap();
    assert_eq!(list, (503, true));
    assert_eq!((live.0, &live.1["warnings"][0]["missing"]), (200, &json!("stored")), "{}", live.1);
    assert_eq!((post.status().as_u16(), post.headers().contains_key("retry-after")), (503, true));
    assert_eq!(status(dualaudit, "/healthz").await.0, 200, "to restart it would not help");
}

/// The status of an answer, and whether it says when to come again.
async fn status(dualaudit: &Dualaudit, path: &str) -> (u16, bool) {
    let answer = reqwest::get(format!("{}{path}", dualaudit.url)).await.unwrap();
    (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
}

/// Both logs are dense; each record that was sent is an entry of its own, as its receipt says; and so
/// is each execution, of which there is nothing else.
fn each_is_stored_once(server: &Server, database: &str, sent: &Sent, uids: &[String]) {
    let ids: BTreeSet<&str> = sent.ids.iter().map(String::as_str).collect();
    // What the tests themselves sent to see it turned away may be there, or not.
    let produced = entries(server, database, "http");
    let known: BTreeSet<_> = produced.iter().map(|entry| entry[1].as_str()).collect();
    let others: Vec<_> = known.difference(&ids).collect();
    assert!(others.is_empty() || others == [&"sent-in-the-outage"], "{others:?}");
    assert!(ids.is_subset(&known));
    assert_eq!(produced.len(), known.len(), "each is there once");
    for (id, receipt) in &sent.receipts {
        let index = usize::try_from(receipt["index"].as_u64().unwrap()).unwrap();
        assert_eq!(json!(produced[index][1..3]), json!([id, receipt["leaf_hash"]]));
    }
    let recorded = entries(server, database, "default");
    assert!(recorded.iter().all(|entry| entry[3..] == ["execution", "1", "1"]), "{recorded:#?}");
    let recorded: Vec<_> = recorded.iter().map(|entry| entry[1].as_str()).collect();
    let expected: BTreeSet<_> = uids.iter().map(String::as_str).collect();
    assert_eq!(recorded.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(recorded.len(), uids.len(), "each is there once");
}

/// A log's entries in their order: index, execution, leaf hash, kind, attempt and revision.
fn entries(server: &Server, database: &str, log: &str) -> Vec<Vec<String>> {
    let sql = format!(
        "SELECT idx, execution_id, encode(leaf_hash, 'hex'), kind, attempt, revision
         FROM log_entry WHERE log = '{log}' ORDER BY idx"
    );
    let rows = server.rows(database, &sql).unwrap();
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row[0], place.to_string(), "indexes are dense");
    }
    rows
}

/// The same database, reached over a wire.
fn through(wire: &Wire, url: &str) -> String {
    let (_, database) = url.rsplit_once('/').unwrap();
    format!("postgres://postgres@{}/{database}", wire.address)
}
