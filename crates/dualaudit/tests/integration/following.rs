//! `list --watch` and `get --follow`: what happens, a line each, as it happens.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use dualaudit::clock::{Clock as _, SystemClock};
use serde_json::json;

use crate::support::{Cluster, Dualaudit, Standalone, command, record};

/// A command that goes on, whose lines are read as they come.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child, lines }
    }

    /// Lines up to the first that holds this.
    fn until(&self, part: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            seen.push(line.unwrap_or_else(|error| panic!("no line holds {part}: {error}: {seen:#?}")));
            if seen[seen.len() - 1].contains(part) {
                return seen;
            }
        }
    }
}

impl Following {
    /// Waits until it ends, and says whether it did so well.
    fn ends_well(&mut self) -> bool {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_watched_shows_what_runs_is_recorded_and_goes() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &[]);
    cluster.create("web-1").await;
    cluster.protected("web-1").await;
    let mut list = command(&cluster.kubeconfig);
    list.args(["list", "--server", &dualaudit.url, "-n", &cluster.namespace, "--watch"]);
    let watching = Following::of({
        list.args(["-o", "csv", "--columns", "name,phase,tiers"]);
        list
    });
    assert_eq!(watching.until("web-1")[0], "name,phase,tiers");
    cluster.begin("web-1").await;
    watching.until("web-1,Executing,live");
    cluster.create("web-2").await;
    watching.until("web-2,");
    cluster.finish("web-1").await;
    watching.until("web-1,Completed,live stored");
    cluster.delete("web-1").await;
    watching.until("web-1,Completed,stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_followed_shows_its_steps_until_it_is_recorded() {
    let cluster = Cluster::new().await;
    let dualaudit = Dualaudit::run(&cluster, &[]);
    let id = cluster.create("web-1").await.metadata.uid.unwrap();
    cluster.begin("web-1").await;
    cluster.protected("web-1").await;
    let mut get = command(&cluster.kubeconfig);
    get.args(["get", &id, "--server", &dualaudit.url, "--follow"]);
    let mut following = Following::of(get);
    following.until("Executing");
    let now = SystemClock.now();
    let failed = json!({ "steps": [
        { "number": 1, "action": "scale", "status": "Failed", "startTime": now, "endTime": now,
          "errorMessage": "no quota" },
    ]});
    cluster.status("web-1", failed).await;
    following.until("no quota");
    cluster.finish("web-1").await;
    let end = following.until("recorded at");
    assert!(end[end.len() - 1].starts_with("Completed: success after "), "{end:#?}");
    assert!(following.ends_well());

    // Nothing more comes of one that is recorded, though its resource stays for a day.
    let mut get = command(&cluster.kubeconfig);
    get.args(["get", &id, "--server", &dualaudit.url, "--follow"]);
    assert!(Following::of(get).ends_well());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_while_the_server_was_away_is_shown_once_it_is_back() {
    let cluster = Cluster::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let run = || {
        let mut run = command(&cluster.kubeconfig);
        run.args(["run", "--listen", &address, "--watch-namespace", &cluster.namespace]);
        run.args(["--database", &cluster.database(), "--home", &cluster.home]);
        Dualaudit::spawn(run)
    };
    let dualaudit = run();
    for name in ["stays", "goes"] {
        cluster.create(name).await;
        cluster.finish(name).await;
        cluster.acknowledged(name).await;
    }
    let mut list = command(&cluster.kubeconfig);
    list.args(["list", "--server", &dualaudit.url, "-n", &cluster.namespace, "--watch"]);
    let watching = Following::of({
        list.args(["-o", "csv", "--columns", "name,tiers"]);
        list
    });
    watching.until("goes,live stored");
    dualaudit.kill();
    cluster.strip("goes").await;
    cluster.delete("goes").await;
    cluster.gone("goes").await;
    let _back = run();
    // What stays is not shown as if it were gone, though the server had not read its cluster when it was asked again.
    let seen = watching.until("goes,stored");
    assert!(seen.iter().all(|line| line != "stays,stored"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_while_the_server_was_away_is_shown_once_it_is_back() {
    let standalone = Standalone::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let serve = || Dualaudit::spawn(standalone.command(&["run", "--api-only", "--listen", &address]));
    let dualaudit = serve();
    post(&dualaudit, "a").await;
    let url = dualaudit.url.clone();
    let arguments = ["list", "--server", &url, "--watch", "-o", "name"];
    let watching = Following::of(standalone.command(&arguments));
    assert_eq!(watching.until("a"), ["a"]);
    post(&dualaudit, "b").await;
    assert_eq!(watching.until("b"), ["b"]);
    dualaudit.kill();
    let elsewhere = standalone.serve();
    post(&elsewhere, "c").await;
    elsewhere.stop();
    let dualaudit = serve();
    post(&dualaudit, "d").await;
    assert_eq!(watching.until("d"), ["c", "d"]);
    // A database tells nothing as it happens.
    for arguments in [&["list", "--watch"][..], &["get", "a", "--follow"]] {
        assert_eq!(standalone.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

async fn post(dualaudit: &Dualaudit, id: &str) {
    let request = reqwest::Client::new().post(format!("{}/api/v1/executions", dualaudit.url));
    assert_eq!(request.json(&record(id)).send().await.unwrap().status(), 201);
}
