//! What proving costs: leaves verified beside bare hashing, what an append pays, and a whole database.

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use dualaudit::{
    clock::{Clock, SystemClock, entropy},
    ingest::Ingest,
    metrics::Metrics,
    publish::{
        Publisher,
        copies::{Copies, Place},
    },
    store::{
        Batch, LogOpening, Owner, Store,
        sqlite::{Options, SqliteStore},
    },
};
use dualaudit_record::{
    EntryKind,
    checkpoint::SigningKey,
    digest::Digest,
    log::{FORMAT, Leaf, Tree, read_entry_bundle, write_entry_bundle},
};

use crate::{
    heading, median,
    records::{draft, record, sent},
    support::{Dualaudit, command},
};

const ROUNDS: usize = 3;
const BUNDLES: u64 = 2_000;
const WIDTH: u64 = 256;
const ORIGIN: &str = "bench.example/log";

fn leaf(index: u64) -> Leaf {
    Leaf {
        format: FORMAT,
        log: "default".to_owned(),
        index,
        kind: EntryKind::Execution,
        recorded_at: SystemClock.now(),
        execution_id: Some("5f0c2c6e-9e37-79b9-7f4a-7c15f39cc060".to_owned()),
        attempt: Some(1),
        revision: Some(1),
        body_digest: Digest(entropy()),
    }
}

/// Leaves verified a second on one core, from entry bundles in memory, beside `openssl speed sha256` on
/// blocks of the same size.
pub(crate) async fn leaves_beside_bare_hashing() {
    let bundles: Vec<Vec<u8>> = (0..BUNDLES)
        .map(|bundle| {
            let leaves: Vec<Leaf> = (0..WIDTH).map(|place| leaf(bundle * WIDTH + place)).collect();
            write_entry_bundle(&leaves)
        })
        .collect();
    let bytes: usize = bundles.iter().map(Vec::len).sum();
    let (leaves, size) = (BUNDLES * WIDTH, bytes / (BUNDLES * WIDTH) as usize - 2);
    heading(&format!("{leaves} leaves of {size} bytes verified from entry bundles in memory, on one core"));
    let (mut hashed, mut read, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let root = |check: &dyn Fn(&[u8])| {
            let began = Instant::now();
            let mut tree = Tree::empty();
            for bundle in &bundles {
                for entry in read_entry_bundle(bundle).expect("a bundle") {
                    check(entry);
                    tree.push(Digest::sha256_of(&[&[0], entry]));
                }
                tree.take_changed();
            }
            assert_eq!(tree.size(), leaves);
            let _ = tree.root();
            leaves as f64 / began.elapsed().as_secs_f64()
        };
        let tree = root(&|_| {});
        let whole = root(&|entry| {
            let leaf: Leaf = serde_json::from_slice(entry).expect("a leaf");
            assert_eq!(leaf.to_bytes(), entry);
        });
        let bare = openssl(size);
        println!(
            "openssl {bare:.0}/s   hashed into the tree {tree:.0}/s   read and checked, too {whole:.0}/s"
        );
        hashed.push(tree);
        read.push(whole);
        ratios.push(tree / bare);
    }
    println!(
        "median: {:.0}/s hashed into the tree, ratio to openssl {:.2} (goal 0.6); {:.0}/s with reading each leaf",
        median(&mut hashed),
        median(&mut ratios),
        median(&mut read)
    );
}

/// Blocks of that size a second.
fn openssl(size: usize) -> f64 {
    let arguments = ["speed", "-mr", "-seconds", "2", "-bytes", &size.to_string(), "sha256"];
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("+F:")).expect("a result");
    let bytes: f64 = line.rsplit(':').next().and_then(|rate| rate.parse().ok()).expect("a rate");
    bytes / size as f64
}

/// What leaves, tiles and checkpoints add to an append.
pub(crate) async fn appends_with_and_without_checkpoints() {
    const ROWS: usize = 30_000;
    const BATCH: usize = 500;
    heading(&format!("what leaf hashing, tiles and checkpoints add to {ROWS} appends in batches of {BATCH}"));
    // Hashing and tree, apart from canonical JSON.
    let leaves: Vec<Vec<u8>> = (0..ROWS as u64).map(|index| leaf(index).to_bytes()).collect();
    let began = Instant::now();
    let mut tree = Tree::empty();
    for batch in leaves.chunks(BATCH) {
        for leaf in batch {
            tree.push(Digest::sha256_of(&[&[0], leaf]));
        }
        tree.take_changed();
        let _ = tree.root();
    }
    let hashing = began.elapsed();
    let mut ratios = Vec::new();
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let without = appends(ROWS, BATCH, false).await;
        let with = appends(ROWS, BATCH, true).await;
        let ratio = with.as_secs_f64() / without.as_secs_f64();
        let share = hashing.as_secs_f64() / without.as_secs_f64();
        println!(
            "without checkpoints {without:.2?}   with {with:.2?}   ratio {ratio:.3}   hashing {hashing:.2?}"
        );
        ratios.push(ratio);
        shares.push(share);
    }
    let (ratio, share) = (median(&mut ratios), median(&mut shares));
    println!(
        "median: hashing and tree {:.1} % of an append, checkpoints add {:.1} % (goal: under 10 % together)",
        share * 100.0,
        (ratio - 1.0) * 100.0
    );
}

async fn appends(rows: usize, batch: usize, published: bool) -> Duration {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path().join("audit.db"), Options::default()).expect("a database");
    let secret = entropy();
    let opening = opening(secret);
    let ingest =
        Ingest::open(Arc::new(store.clone()), Arc::new(SystemClock), opening, Arc::new(Metrics::new()));
    let ingest = ingest.await.expect("a log");
    let key = SigningKey::secret_text(ORIGIN, entropy()).expect("a key").parse().expect("a key");
    let publisher = Publisher {
        store: Arc::new(store.clone()),
        ingest,
        keys: vec![key],
        copies: Copies::new(vec![Place::File(dir.path().join("checkpoints"))], "bench", None),
        witnesses: Vec::new(),
        clock: Arc::new(SystemClock),
        metrics: Arc::new(Metrics::new()),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let publishing = published.then(|| {
        tokio::spawn(publisher.run(async {
            let _ = stopped.await;
        }))
    });
    let batches: Vec<Arc<Batch>> = (0..rows / batch)
        .map(|number| {
            let drafts = (0..batch).map(|row| draft(record(number * batch + row), &secret)).collect();
            Arc::new(Batch { drafts, ..Batch::default() })
        })
        .collect();
    let began = Instant::now();
    for batch in batches {
        store.append("bench", batch, SystemClock.now()).await.expect("an append");
    }
    let took = began.elapsed();
    drop(stop);
    if let Some(publishing) = publishing {
        publishing.await.expect("it ends");
    }
    took
}

fn opening(secret: [u8; 32]) -> LogOpening {
    LogOpening {
        log: "bench".to_owned(),
        owner: Owner::Producers,
        origin: ORIGIN.to_owned(),
        secret,
        now: SystemClock.now(),
    }
}

/// A whole database: how long it takes, and how much memory.
pub(crate) async fn a_whole_database() {
    let rows = verified();
    heading(&format!("`dualaudit verify` of {rows} entries in SQLite, and of the same as they are served"));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("audit.db");
    fill(&file, rows).await;
    let database = format!("sqlite:{}", file.display());
    measured(&["verify", "--database", &database], rows);
    let mut serve = command(&dir.path().join("no-kubeconfig"));
    serve.args(["run", "--api-only", "--listen", "127.0.0.1:0", "--database", &database]);
    let dualaudit = Dualaudit::spawn(serve);
    // One more, so that a checkpoint is made of the log of producers, which is the one that was filled.
    let url = format!("{}/api/v1/executions", dualaudit.url);
    let more = reqwest::Client::new().post(url).json(&sent(rows)).send().await.expect("it is taken");
    assert!(more.status().is_success());
    let checkpoint = format!("{}/api/v1/log/http/checkpoint", dualaudit.url);
    while !reqwest::get(&checkpoint).await.expect("an answer").status().is_success() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    measured(&["verify", "--server", &dualaudit.url, "--log", "http"], rows);
}

/// How many entries the whole databases have.
fn verified() -> usize {
    std::env::var("DUALAUDIT_BENCH_VERIFIED").map_or(1_000_000, |rows| rows.parse().expect("a number"))
}

/// Every form of export of a whole database, and what verifying one takes.
pub(crate) async fn exports() {
    let rows = verified();
    heading(&format!("`dualaudit export` of {rows} entries in SQLite, in every form"));
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("audit.db");
    fill(&database, rows).await;
    let database = format!("sqlite:{}", database.display());
    let file = |name: &str| dir.path().join(name).to_str().expect("a path").to_owned();
    for name in ["executions.jsonl", "executions.csv", "executions.parquet"] {
        measured(&["export", "--database", &database, "--actor", "bench", "--to", &file(name)], rows);
    }
    measured(&["verify", &file("executions.jsonl")], rows);
}

async fn fill(file: &Path, rows: usize) {
    const BATCH: usize = 500;
    let store = SqliteStore::open(file, Options::default()).expect("a database");
    let secret = entropy();
    let opening = LogOpening { log: "http".to_owned(), ..opening(secret) };
    store.open_log(opening).await.expect("a log");
    for number in 0..rows.div_ceil(BATCH) {
        let drafts = (0..BATCH).map(|row| draft(record(number * BATCH + row), &secret)).collect();
        let batch = Arc::new(Batch { drafts, ..Batch::default() });
        store.append("http", batch, SystemClock.now()).await.expect("an append");
    }
}

/// Runs the program under `/usr/bin/time`, which says how much memory it had at most.
fn measured(arguments: &[&str], rows: usize) {
    let binary = crate::support::binary();
    let began = Instant::now();
    let output =
        Command::new("/usr/bin/time").arg("-v").arg(binary).args(arguments).output().expect("it runs");
    let took = began.elapsed();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let peak = text.lines().find_map(|line| line.trim().strip_prefix("Maximum resident set size (kbytes): "));
    let mib: f64 = peak.and_then(|kib| kib.parse::<f64>().ok()).expect("a size") / 1024.0;
    println!(
        "{} … {}: {took:.1?}, {:.0} entries a second, {mib:.0} MiB at most (goal: under 100)",
        arguments[0],
        arguments[arguments.len() - 1],
        rows as f64 / took.as_secs_f64()
    );
}
