//! With a full disk questions are answered, and whoever sends a record is told to come back.

use std::{
    fs::{self, File},
    io::Write,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    producer::post,
    support::{
        Dualaudit, Standalone, eventually,
        postgres::{Disk, Server, can_mount},
        record,
    },
};

/// Whether a test may have a small disk of its own; in CI it must.
pub(crate) fn may_mount() -> bool {
    let may = can_mount();
    assert!(may || std::env::var_os("CI").is_none(), "CI must run this test: as root, who may mount");
    if !may {
        eprintln!("not tested: a small disk, which takes the right to mount one");
    }
    may
}

/// `program` with a file system of so many MiB on /mnt that nobody else sees, after a line of shell.
pub(crate) fn on_a_small_disk(mib: u32, first: &str, program: &Command) -> Command {
    let mount = format!("mount -t tmpfs -o size={mib}m tmpfs /mnt && {first} && exec \"$@\"");
    let mut small = Command::new("unshare");
    small.args(["--mount", "sh", "-c", &mount, "small"]).arg(program.get_program()).args(program.get_args());
    small.stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => small.env(name, value),
            None => small.env_remove(name),
        };
    }
    small
}

const SERVE: [&str; 4] = ["run", "--api-only", "--listen", "127.0.0.1:0"];

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_a_file_answers_questions_and_sends_writers_away_for_a_while() {
    if !may_mount() {
        return;
    }
    let file = Standalone::new();
    let mut serve = file.command(&SERVE);
    serve.args(["--database", "sqlite:/mnt/audit.db"]);
    let dualaudit = Dualaudit::spawn(on_a_small_disk(16, "true", &serve));
    let ballast = format!("/proc/{}/root/mnt/ballast", dualaudit.pid());
    let fill = || {
        let mut file = File::create(&ballast).unwrap();
        while file.write(&[0; 4096]).is_ok() {}
    };
    is_ready_throughout(&dualaudit, fill, || fs::remove_file(&ballast).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_full_disk_a_server_answers_questions_and_sends_writers_away_for_a_while() {
    if !may_mount() {
        return;
    }
    let server = Server::start_with(&[], Disk::Small(192), |_, _| {});
    let mut serve = Standalone::new().command(&SERVE);
    serve.args(["--database", &server.url("postgres")]);
    let dualaudit = Dualaudit::spawn(serve);
    is_ready_throughout(&dualaudit, || server.fill_disk(), || server.empty_disk()).await;
}

async fn is_ready_throughout(dualaudit: &Dualaudit, fill: impl Fn(), empty: impl Fn()) {
    let batch =
        |name: &str| json!((0..50).map(|n| record(&format!("{name}-{n}"))).collect::<Vec<_>>()).to_string();
    assert_eq!(post(dualaudit, &batch("before")).await.0, 201);
    fill();
    let client = reqwest::Client::new();
    let sent = client
        .post(format!("{}/api/v1/executions", dualaudit.url))
        .header("content-type", "application/json")
        .body(batch("during"))
        .send()
        .await
        .unwrap();
    assert_eq!((sent.status().as_u16(), sent.headers()["retry-after"].to_str().unwrap()), (503, "2"));
    let ready = reqwest::get(format!("{}/readyz", dualaudit.url)).await.unwrap();
    assert_eq!((ready.status().as_u16(), ready.text().await.unwrap().as_str()), (200, "ok\n"));
    assert_eq!(dualaudit.recorded().await.len(), 50);
    empty();
    let again = || async { (post(dualaudit, &batch("during")).await.0 == 201).then_some(()) };
    eventually("there is room again", again).await;
    assert_eq!(dualaudit.recorded().await.len(), 100);
}
