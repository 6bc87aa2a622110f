//! The real binary as a child process.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::cluster::Cluster;

/// Kubernetes kills a pod that has not ended so long after it was asked to.
const STOPPING: Duration = Duration::from_secs(30);

/// `dualaudit` with this kubeconfig and nothing else of the environment that could change it.
pub fn command(kubeconfig: &Path) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DUALAUDIT_")) {
        command.env_remove(name);
    }
    command.env("KUBECONFIG", kubeconfig);
    command
}

/// `dualaudit run` on the test's namespace and database, with more arguments.
pub fn run_command(cluster: &Cluster, kubeconfig: &Path, arguments: &[&str]) -> Command {
    let mut command = command(kubeconfig);
    command
        .args(["run", "--listen", "127.0.0.1:0", "--watch-namespace", &cluster.namespace])
        .args(["--database", &cluster.database(), "--home", &cluster.home])
        .args(arguments);
    command
}

/// The program. Cargo tells tests and benchmarks; an example finds it beside itself.
pub fn binary() -> PathBuf {
    option_env!("CARGO_BIN_EXE_dualaudit").map_or_else(
        || std::env::current_exe().expect("a path").parent().expect("examples").join("../dualaudit"),
        PathBuf::from,
    )
}

/// A running `dualaudit run`, killed when dropped.
pub struct Dualaudit {
    child: Arc<Mutex<Child>>,
    lines: Arc<Mutex<Vec<String>>>,
    /// Base URL of its API.
    pub url: String,
}

impl Dualaudit {
    /// Runs it on the test's namespace and database, with more arguments.
    pub fn run(cluster: &Cluster, arguments: &[&str]) -> Self {
        Self::run_with(cluster, &cluster.kubeconfig, arguments)
    }

    /// The same through another kubeconfig.
    pub fn run_with(cluster: &Cluster, kubeconfig: &Path, arguments: &[&str]) -> Self {
        Self::spawn(run_command(cluster, kubeconfig, arguments))
    }

    /// Runs this command and waits until it serves.
    pub fn spawn(command: Command) -> Self {
        let mut process = Self::launch(command);
        process.url = process.wait_for_url();
        process
    }

    /// Runs this command and waits for nothing; its `url` stays empty.
    pub fn launch(mut command: Command) -> Self {
        // The clients of tests want one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut child =
            command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("dualaudit starts");
        let stderr = child.stderr.take().expect("its standard error");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                seen.lock().expect("no reader panics").push(line);
            }
        });
        Self { child: Arc::new(Mutex::new(child)), lines, url: String::new() }
    }

    fn wait_for_url(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let lines = self.log();
            if let Some((_, url)) = lines.iter().find_map(|line| line.split_once("serving ")) {
                return url.trim().to_owned();
            }
            let ended = self.child.lock().expect("no holder panics").try_wait().expect("it can be asked");
            assert!(ended.is_none() && Instant::now() < deadline, "dualaudit does not serve: {lines:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.lines.lock().expect("no writer panics").clone()
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(self) {
        kill(&self.child);
    }

    /// Something that can kill it from elsewhere.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let child = Arc::clone(&self.child);
        move || kill(&child)
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.child.lock().expect("no holder panics").try_wait().expect("it can be asked").is_none()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.lock().expect("no holder panics").id()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().expect("kill runs");
        assert!(asked.success());
        let asked = Instant::now();
        while self.is_running() {
            assert!(asked.elapsed() < STOPPING, "it does not end: {:#?}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = self.child.lock().expect("no holder panics").wait().expect("it ended");
        assert!(status.success(), "{status}: {:#?}", self.log());
    }

    /// GET a path of its API; the status and the JSON.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("the API answers");
        (answer.status().as_u16(), answer.json().await.expect("the answer is JSON"))
    }

    /// The value of one of its metrics; 0 for one that it does not show.
    pub async fn metric(&self, name: &str) -> u64 {
        let answer = reqwest::get(format!("{}/metrics", self.url)).await.expect("the API answers");
        let text = answer.text().await.expect("a text");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    /// All recorded executions, page by page.
    pub async fn recorded(&self) -> Vec<Value> {
        let mut items = Vec::new();
        let mut path = "/api/v1/executions?tier=stored&limit=1000".to_owned();
        loop {
            let (status, mut page) = self.get(&path).await;
            assert_eq!(status, 200, "{page}");
            items.append(page["items"].as_array_mut().expect("a list"));
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/api/v1/executions?tier=stored&limit=1000&cursor={cursor}"),
                None => return items,
            }
        }
    }

    /// The one with this name.
    pub async fn recorded_as(&self, name: &str) -> Vec<Value> {
        self.recorded().await.into_iter().filter(|item| item["name"] == name).collect()
    }
}

impl Drop for Dualaudit {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().expect("no holder panics");
    // Fails only when it has ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// `dualaudit verify` passes on the test's database.
pub fn verified(cluster: &Cluster) {
    let output = command(&cluster.kubeconfig)
        .args(["verify", "--database", &cluster.database()])
        .output()
        .expect("verify runs");
    assert!(output.status.success(), "{output:?}");
}
