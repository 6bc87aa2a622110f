//! Checkpoints: signed, kept outside the database, served; and databases that are rolled back under a
//! running controller.

use std::path::Path;

use dualaudit_record::{
    checkpoint::{SignedCheckpoint, VerifierKey},
    proof::Bundle,
};
use serde_json::Value;

use crate::support::{
    Cluster, Dualaudit, Standalone, command, ended, eventually, postgres::Server, record, verified,
};

pub(crate) const ORIGIN: &str = "audit.example";
pub(crate) const HTTP_ORIGIN: &str = "audit.example/http";

async fn post(dualaudit: &Dualaudit, id: &str) -> u16 {
    let url = format!("{}/api/v1/executions", dualaudit.url);
    let sent = reqwest::Client::new().post(url).json(&record(id)).send().await;
    sent.expect("the API answers").status().as_u16()
}

async fn text(dualaudit: &Dualaudit, path: &str) -> String {
    reqwest::get(format!("{}{path}", dualaudit.url))
        .await
        .expect("the API answers")
        .text()
        .await
        .expect("text")
}

/// The checkpoint of a log, once it covers so many entries.
pub(crate) async fn covering(dualaudit: &Dualaudit, log: &str, size: u64) -> SignedCheckpoint {
    eventually("the checkpoint covers all", || async {
        let note = text(dualaudit, &format!("/api/v1/log/{log}/checkpoint")).await;
        note.parse().ok().filter(|checkpoint: &SignedCheckpoint| checkpoint.head().size >= size)
    })
    .await
}

/// What a command that succeeded wrote.
pub(crate) fn printed(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_signed_by_the_keys_there_are_and_kept_outside() {
    let test = Standalone::new();
    let (keys, copy) = (test.dir.path().join("log.key"), test.dir.path().join("checkpoints"));
    let (keys, copy) = (keys.to_str().expect("UTF-8"), copy.to_str().expect("UTF-8"));
    let key = |origin| printed(test.run(&["log", "keygen", "--key-file", keys, "--origin", origin]));
    let (first, _) = (key(HTTP_ORIGIN), key("somebody.else"));
    let copy_of = format!("file:{copy}");
    let run = [
        "run",
        "--api-only",
        "--listen",
        "127.0.0.1:0",
        "--origin",
        ORIGIN,
        "--log-key",
        keys,
        "--checkpoint-copy",
        &copy_of,
    ];
    let trusted = |key: &str| vec![key.trim().parse::<VerifierKey>().expect("a public key")];

    let dualaudit = Dualaudit::spawn(test.command(&run));
    assert_eq!(post(&dualaudit, "a").await, 201);
    let checkpoint = covering(&dualaudit, "http", 1).await;
    assert_eq!(checkpoint.vouched(&trusted(&first)).expect("signed").by_log, [HTTP_ORIGIN]);
    let (status, bundle) = dualaudit.get("/api/v1/executions/a/proof").await;
    assert_eq!(status, 200);
    let bundle: Bundle = serde_json::from_value(bundle).expect("a bundle");
    bundle.verify(&trusted(&first)).expect("it is proved");
    dualaudit.stop();

    // A second key signs beside the first, and then alone.
    let second = key(HTTP_ORIGIN);
    let dualaudit = Dualaudit::spawn(test.command(&run));
    assert_eq!(post(&dualaudit, "b").await, 201);
    let checkpoint = covering(&dualaudit, "http", 2).await;
    for key in [&first, &second] {
        checkpoint.vouched(&trusted(key)).expect("both signed");
    }
    // One file after the other, with nothing between them.
    let mut bundles = String::new();
    for id in ["a", "b"] {
        bundles.push_str(text(&dualaudit, &format!("/api/v1/executions/{id}/proof")).await.trim());
    }
    let both = test.dir.path().join("both.json");
    std::fs::write(&both, bundles).expect("the bundles");
    let mut verify = test.command(&["verify", "--key", first.trim(), "-"]);
    verify.stdin(std::fs::File::open(&both).expect("the bundles"));
    let verified = printed(ended(verify));
    assert!(verified.starts_with("-: 2 entries are proved"), "{verified}");
    dualaudit.stop();
    let kept = std::fs::read_to_string(copy).expect("the copy");
    let last: Value = serde_json::from_str(kept.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["checkpoint"], checkpoint.as_str());
    test.verified();

    let public = printed(test.run(&["log", "key", "--key-file", keys]));
    assert_eq!(public.lines().count(), 3);
    assert!(public.contains(first.trim()) && public.contains(second.trim()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_file_takes_nothing_until_its_log_is_succeeded() {
    let cluster = Cluster::alone().await;
    let file = cluster.dir.path().join("audit.db");
    let (backup, newer) = (cluster.dir.path().join("backup.db"), cluster.dir.path().join("newer.db"));
    let back_up = |to: &Path| {
        let to = to.to_str().expect("UTF-8");
        printed(ended(on(&cluster, &["backup", "--database", &cluster.database(), to])));
    };
    let put_back = |from: &Path| {
        let from = rusqlite::Connection::open(from).expect("the backup");
        let mut to = rusqlite::Connection::open(&file).expect("the database");
        to.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
        let restore = rusqlite::backup::Backup::new(&from, &mut to).expect("a restore");
        restore.run_to_completion(1_000, std::time::Duration::from_millis(10), None).expect("restored");
    };
    rolled_back(&cluster, &cluster.database(), &|| back_up(&backup), &|| back_up(&newer), &|| {
        put_back(&backup)
    })
    .await;
    assert!(newer.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_takes_nothing_until_its_log_is_succeeded() {
    let cluster = Cluster::alone().await;
    let server = Server::start(&[]);
    let database = server.url("postgres");
    rolled_back(&cluster, &database, &|| server.back_up(), &|| {}, &|| server.restore()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_keeps_the_origin_that_it_was_first_used_with() {
    let test = Standalone::new();
    let run = |origin: &[&'static str]| {
        let mut arguments = vec!["run", "--api-only", "--listen", "127.0.0.1:0"];
        arguments.extend(origin);
        arguments
    };
    let dualaudit = Dualaudit::spawn(test.command(&run(&["--origin", ORIGIN])));
    assert_eq!(post(&dualaudit, "a").await, 201);
    covering(&dualaudit, "http", 1).await;
    dualaudit.stop();
    let refused = test.run(&run(&["--origin", "other.example"]));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(HTTP_ORIGIN) && said.contains("other.example/http"), "{said}");
    for origin in [&["--origin", ORIGIN][..], &[]] {
        let dualaudit = Dualaudit::spawn(test.command(&run(origin)));
        assert_eq!(covering(&dualaudit, "http", 1).await.head().origin, HTTP_ORIGIN);
        dualaudit.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_file_is_not_begun_anew_beside_what_was_kept_of_it() {
    let test = Standalone::new();
    let at = |name: &str| test.dir.path().join(name);
    let copy = at("checkpoints");
    let copies_in = |path: &Path| format!("file:{}", path.display());
    let run = |copy: &str| {
        Dualaudit::spawn(test.command(&[
            "run",
            "--api-only",
            "--listen",
            "127.0.0.1:0",
            "--checkpoint-copy",
            copy,
        ]))
    };
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&copy).expect("the copy");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let dualaudit = run(&copies_in(&copy));
    assert_eq!(post(&dualaudit, "a").await, 201);
    covering(&dualaudit, "http", 1).await;
    printed(test.run(&["backup", at("backup.db").to_str().expect("UTF-8")]));
    assert_eq!(post(&dualaudit, "b").await, 201);
    covering(&dualaudit, "http", 2).await;
    dualaudit.stop();

    // Rolled back, and succeeded: the successor has a name and an origin of its own.
    put_in_place(&at("backup.db"), &test.file());
    let dualaudit = run(&copies_in(&copy));
    assert_eq!(post(&dualaudit, "c").await, 503);
    dualaudit.stop();
    printed(test.run(&[
        "log",
        "succeed",
        "--log",
        "http",
        "--checkpoint-copy",
        &copies_in(&copy),
        "--reason",
        "restored",
        "--actor",
        "me",
    ]));
    let dualaudit = run(&copies_in(&copy));
    assert_eq!(post(&dualaudit, "c").await, 201);
    covering(&dualaudit, "http.2", 2).await;
    dualaudit.stop();
    let of: Vec<Value> = lines().iter().map(|line| line["log"].clone()).collect();
    assert!(of.contains(&"http".into()) && *of.last().expect("a line") == "http.2", "{of:?}");
    let verified = printed(test.run(&["verify", "--copy", &copies_in(&copy)]));
    assert!(verified.contains("checkpoints that were kept elsewhere"), "{verified}");
    let empty = at("empty");
    std::fs::write(&empty, "").expect("a file");
    let silent = test.run(&["verify", "--copy", &copies_in(&copy), "--copy", &copies_in(&empty)]);
    let said = String::from_utf8_lossy(&silent.stderr).into_owned();
    assert!(silent.status.code() == Some(1) && said.contains("holds no checkpoint"), "{silent:?}");

    // Lost: a log of the same name begins, and is not the one.
    printed(test.run(&["backup", at("lost.db").to_str().expect("UTF-8")]));
    take_away(&test.file());
    let kept = lines();
    let dualaudit = run(&copies_in(&copy));
    assert_eq!(post(&dualaudit, "d").await, 503);
    let said = eventually("it is said", || async {
        dualaudit.log().into_iter().find(|line| line.contains("ERROR") && line.contains("name another file"))
    })
    .await;
    let was = kept[0]["checkpoint"].as_str().and_then(|note| note.lines().next()).expect("an origin");
    assert!(said.contains(was) && said.contains(copy.to_str().expect("UTF-8")), "{said}");
    dualaudit.stop();
    let held = test.run(&[
        "hold",
        "add",
        "--workflow",
        "x",
        "--reason",
        "r",
        "--actor",
        "me",
        "--checkpoint-copy",
        &copies_in(&copy),
    ]);
    assert_eq!(held.status.code(), Some(1), "{held:?}");
    assert!(String::from_utf8_lossy(&held.stderr).contains("name another file"), "{held:?}");
    assert_eq!(lines(), kept);

    // Given up, it goes on elsewhere; found again, it goes on as before.
    let dualaudit = run(&copies_in(&at("others")));
    assert_eq!(post(&dualaudit, "d").await, 201);
    dualaudit.stop();
    put_in_place(&at("lost.db"), &test.file());
    let dualaudit = run(&copies_in(&copy));
    assert_eq!(post(&dualaudit, "d").await, 201);
    covering(&dualaudit, "http.2", 3).await;
    dualaudit.stop();
    test.verified();
}

/// A database in the place of another that nobody uses.
pub(crate) fn put_in_place(from: &Path, to: &Path) {
    take_away(to);
    std::fs::copy(from, to).expect("it is put in place");
}

fn take_away(file: &Path) {
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", file.display());
        if Path::new(&file).exists() {
            std::fs::remove_file(file).expect("it goes");
        }
    }
}

fn on(cluster: &Cluster, arguments: &[&str]) -> std::process::Command {
    let mut command = command(&cluster.kubeconfig);
    command.args(arguments);
    command
}

/// A database is restored to an older state under a running controller.
async fn rolled_back(
    cluster: &Cluster,
    database: &str,
    back_up: &dyn Fn(),
    back_up_newer: &dyn Fn(),
    restore: &dyn Fn(),
) {
    let copy = format!("configmap:{}/checkpoints", cluster.home);
    let run = || {
        let mut command = command(&cluster.kubeconfig);
        command
            .args(["run", "--listen", "127.0.0.1:0", "--watch-namespace", &cluster.namespace])
            .args(["--home", &cluster.home, "--window", "1h", "--database", database])
            .args(["--checkpoint-copy", &copy]);
        Dualaudit::spawn(command)
    };
    let dualaudit = run();
    for name in ["before", "running"] {
        cluster.create(name).await;
        cluster.protected(name).await;
    }
    cluster.finish("before").await;
    cluster.acknowledged("before").await;
    covering(&dualaudit, "default", 1).await;
    tokio::task::block_in_place(back_up);
    cluster.create("lost").await;
    cluster.finish("lost").await;
    cluster.acknowledged("lost").await;
    assert_eq!(eventually_posted(&dualaudit, "lost-too").await, 201);
    covering(&dualaudit, "default", 2).await;
    covering(&dualaudit, "http", 1).await;
    tokio::task::block_in_place(back_up_newer);

    tokio::task::block_in_place(restore);
    cluster.create("after").await;
    cluster.finish("after").await;
    eventually("producers are told to wait", || async {
        (post(&dualaudit, "after-too").await == 503).then_some(())
    })
    .await;
    eventually("it is said", || async {
        dualaudit.log().into_iter().find(|line| line.contains("ERROR") && line.contains("rolled back"))
    })
    .await;
    assert!(!cluster.is_acknowledged("after").await);
    dualaudit.stop();

    // What was released would be lost: nothing was. The successors know what their predecessors recorded.
    for log in ["default", "http"] {
        let succeed = [
            "log",
            "succeed",
            "--database",
            database,
            "--log",
            log,
            "--checkpoint-copy",
            &copy,
            "--reason",
            "restored from a backup",
            "--actor",
            "me",
        ];
        printed(ended(on(cluster, &succeed)));
        let again = ended(on(cluster, &succeed));
        assert!(!again.status.success());
        assert!(String::from_utf8_lossy(&again.stderr).contains("goes on in the place of"), "{again:?}");
    }
    let dualaudit = run();
    cluster.acknowledged("after").await;
    cluster.finish("running").await;
    cluster.acknowledged("running").await;
    assert_eq!(post(&dualaudit, "lost-too").await, 201);
    covering(&dualaudit, "default.2", 4).await;
    let mut recorded: Vec<(String, String)> = dualaudit
        .recorded()
        .await
        .iter()
        .filter_map(|item| Some((item["name"].as_str()?.to_owned(), item["log"].as_str()?.to_owned())))
        .collect();
    recorded.sort();
    let in_log = |name: &str, log: &str| (name.to_owned(), log.to_owned());
    let next = "default.2";
    assert_eq!(
        recorded,
        [in_log("after", next), in_log("before", "default"), in_log("lost", next), in_log("running", next)]
    );
    dualaudit.stop();
    let output = ended(on(cluster, &["verify", "--database", database, "--copy", &copy]));
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("default.2 agrees with 1 checkpoints that were kept elsewhere"), "{said}");
    if database == cluster.database() {
        verified(cluster);
    }
}

/// The status of a record that is sent once the database takes it again.
async fn eventually_posted(dualaudit: &Dualaudit, id: &str) -> u16 {
    eventually("the database is back", || async {
        Some(post(dualaudit, id).await).filter(|status| *status != 503)
    })
    .await
}
