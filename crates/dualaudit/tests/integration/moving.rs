//! `dualaudit migrate --from … --to …`, from the outside, killed while it copies.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::checkpoint::{covering, printed, put_in_place};
use crate::producer::post;
use crate::support::{
    Standalone, ended,
    postgres::{Database, Server},
    record,
};

const RECORDS: usize = 3000;

fn said(output: std::process::Output) -> (i32, String) {
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

fn arguments<'a>(from: &'a str, to: &'a str) -> [&'a str; 5] {
    ["migrate", "--from", from, "--to", to]
}

fn states(database: &Database) -> Vec<Vec<String>> {
    let states = "SELECT state FROM log WHERE name = 'http'";
    // There is no such table at first.
    database.server.rows(&database.name, states).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_a_move_ends_with_every_record_and_its_first_receipt() {
    let audit = Standalone::new();
    let database = Server::shared().database(None);
    let (from, to) = (format!("sqlite:{}", audit.file().display()), database.url());
    let batches: Vec<Value> = (0..RECORDS / 500)
        .map(|batch| json!((0..500).map(|n| record(&format!("{batch}-{n}"))).collect::<Vec<_>>()))
        .collect();
    let mut receipts = Vec::new();
    let dualaudit = audit.serve();
    for batch in &batches {
        receipts.push(post(&dualaudit, &batch.to_string()).await.1["receipts"].clone());
    }
    // It goes on taking records meanwhile.
    let mut kills = 0;
    let mut patience = Duration::from_millis(400);
    loop {
        let mut moving = audit.command(&arguments(&from, &to));
        let mut child = moving.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(patience).await;
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        patience += Duration::from_millis(150);
        if states(&database) == [["arriving"]] {
            let mut serve =
                audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0", "--database", &to]);
            serve.env_remove("DUALAUDIT_DATABASE");
            let (status, text) = said(ended(serve));
            assert!(status == 1 && text.contains("still being copied here"), "{status}: {text}");
        }
    }
    assert!(kills >= 2, "it was killed {kills} times only");
    let (status, text) = said(ended(audit.command(&arguments(&from, &to))));
    assert!(
        status == 0 && text.contains("http") && text.contains("3000") && text.contains("earlier"),
        "{text}"
    );
    let (status, refused) = post(&dualaudit, &record("more").to_string()).await;
    assert_eq!(status, 503, "{refused}");
    drop(dualaudit);
    let (status, text) = said(audit.run(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
    assert!(status == 1 && text.contains("moved to postgres://"), "{status}: {text}");
    audit.verified();
    let (status, text) = said(audit.run(&["verify", "--database", &to]));
    assert!(status == 0 && text.contains("3000"), "{text}");

    let there = crate::support::Dualaudit::spawn(audit.command(&[
        "run",
        "--api-only",
        "--listen",
        "127.0.0.1:0",
        "--database",
        &to,
    ]));
    for (batch, first) in batches.iter().zip(&receipts) {
        let (_, answer) = post(&there, &batch.to_string()).await;
        for (again, first) in answer["receipts"].as_array().unwrap().iter().zip(first.as_array().unwrap()) {
            assert_eq!(again["result"], "duplicate");
            for field in ["index", "leaf_hash", "recorded_at", "revision", "attempt"] {
                assert_eq!(again[field], first[field]);
            }
        }
    }
    assert_eq!(there.recorded().await.len(), RECORDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_succeeded_moves_with_the_one_that_goes_on() {
    let audit = Standalone::new();
    let database = Server::shared().database(None);
    let (from, to) = (format!("sqlite:{}", audit.file().display()), database.url());
    let backup = audit.dir.path().join("backup.db");
    let copy = format!("file:{}", audit.dir.path().join("checkpoints").display());
    let serve = |database: &str| {
        let mut command = audit.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]);
        command.args(["--database", database, "--checkpoint-copy", &copy]).env_remove("DUALAUDIT_DATABASE");
        crate::support::Dualaudit::spawn(command)
    };
    let dualaudit = serve(&from);
    post(&dualaudit, &record("a").to_string()).await;
    covering(&dualaudit, "http", 1).await;
    printed(audit.run(&["backup", backup.to_str().unwrap()]));
    post(&dualaudit, &record("lost").to_string()).await;
    covering(&dualaudit, "http", 2).await;
    dualaudit.stop();
    put_in_place(&backup, &audit.file());
    printed(audit.run(&[
        "log",
        "succeed",
        "--log",
        "http",
        "--checkpoint-copy",
        &copy,
        "--reason",
        "r",
        "--actor",
        "me",
    ]));
    let dualaudit = serve(&from);
    assert_eq!(post(&dualaudit, &record("b").to_string()).await.0, 201);
    covering(&dualaudit, "http.2", 2).await;
    dualaudit.stop();

    let alone = [&arguments(&from, &to)[..], &["--log", "http.2"]].concat();
    let (status, text) = said(audit.run(&alone));
    assert!(status == 1 && text.contains("http.2 goes on in the place of http"), "{status}: {text}");
    let (status, text) = said(audit.run(&arguments(&from, &to)));
    assert!(status == 0 && text.contains("http.2"), "{status}: {text}");
    for database in [&from, &to] {
        let (status, text) = said(audit.run(&["verify", "--database", database, "--copy", &copy]));
        assert!(status == 0 && text.contains("http.2 goes on in its place"), "{status}: {text}");
    }
    let there = serve(&to);
    for (id, status) in [("a", 200), ("b", 200), ("lost", 201)] {
        assert_eq!(post(&there, &record(id).to_string()).await.0, status, "{id}");
    }
    assert_eq!(there.get("/api/v1/executions/a/proof").await.0, 200);
    covering(&there, "http.2", 3).await;
    let (status, text) = said(audit.run(&["run", "--api-only", "--listen", "127.0.0.1:0"]));
    assert!(status == 1 && text.contains("moved to postgres://"), "{status}: {text}");
}

#[test]
fn a_move_that_cannot_be_is_said_and_no_password() {
    let audit = Standalone::new();
    let server = "postgres://me@127.0.0.1:1/audit";
    let seen = "postgres://me:hunter2@127.0.0.1:1/audit";
    let password = audit.dir.path().join("password");
    std::fs::write(&password, "hunter2").unwrap();
    let file = ["--database-password-file", password.to_str().unwrap()];
    let there = format!("sqlite:{}", audit.file().display());
    for (from, to, reason, expected) in [
        (server, &*there, "logs move from a file", 1),
        (server, server, "logs move from a file", 1),
        ("sqlite:/nowhere/audit.db", server, "there is no such file", 1),
        ("sqlite:", server, "invalid value for '--from <URL>'", 2),
        (&*there, "postgres://me:hunter2@:x/y", "invalid value for '--to <URL>'", 2),
        (&*there, seen, "has a password, which whoever lists the processes", 2),
    ] {
        let (status, text) = said(audit.run(&[&arguments(from, to)[..], &file].concat()));
        assert!(status == expected && text.contains(reason), "{status}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(audit.run(&["migrate"]).status.success());
    let (status, text) = said(audit.run(&[&arguments(&there, server)[..], &file].concat()));
    assert!(status == 1 && text.contains("cannot be reached") && !text.contains("hunter2"), "{text}");
    let (status, _) = said(audit.run(&["migrate", "--from", &there]));
    assert_eq!(status, 2, "--to is missing");
}
