//! A real kube-apiserver with etcd, the namespace controller and the garbage collector; see
//! `tests/controlplane`.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

/// A running control plane. It ends when its standard input closes, so also when this process is
/// killed or panics.
pub struct ControlPlane {
    kubeconfig: PathBuf,
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    child: Mutex<Option<Child>>,
    dir: Option<PathBuf>,
}

impl ControlPlane {
    /// The one that the tests of this process share. `DUALAUDIT_TEST_KUBECONFIG` names an existing
    /// cluster to use instead; its user must be an administrator.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os("DUALAUDIT_TEST_KUBECONFIG") {
            Some(path) => {
                Self { kubeconfig: path.into(), pipes: Mutex::new(None), child: Mutex::new(None), dir: None }
            }
            None => Self::start(),
        })
    }

    /// Starts one of its own, for a test that stops parts of it.
    pub fn start() -> Self {
        let binary = std::env::var_os("DUALAUDIT_CONTROLPLANE")
            .map_or_else(|| workspace().join("target/controlplane/controlplane"), PathBuf::from);
        assert!(binary.exists(), "{} is missing: run `make controlplane`", binary.display());
        // The control plane removes it at its end, which comes after ours.
        let dir = tempfile::tempdir().expect("a temporary directory").keep();
        let mut child = Command::new(binary)
            .args(["up", "--dir"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the control plane starts");
        let stdin = child.stdin.take().expect("its standard input");
        let mut stdout = BufReader::new(child.stdout.take().expect("its standard output"));
        let ready = read_line(&mut stdout);
        let kubeconfig = ready["kubeconfig"].as_str().expect("a kubeconfig").into();
        Self {
            kubeconfig,
            pipes: Mutex::new(Some((stdin, stdout))),
            child: Mutex::new(Some(child)),
            dir: Some(dir),
        }
    }

    /// `kill`, `start`, `stop` or `continue`, and `apiserver`, `etcd` or `controllers`.
    pub fn command(&self, verb: &str, part: &str) {
        let mut pipes = self.pipes.lock().expect("no test panics here");
        let (stdin, stdout) = pipes.as_mut().expect("a control plane of our own");
        writeln!(stdin, "{verb} {part}").expect("the control plane reads");
        let answer = read_line(stdout);
        assert!(answer.get("error").is_none(), "{verb} {part}: {answer}");
    }

    /// Copies etcd's data as it is now; etcd stands still meanwhile.
    pub fn back_up(&self) {
        self.command("stop", "etcd");
        copy(&self.path("etcd"), &self.path("backup"));
        self.command("continue", "etcd");
    }

    /// Brings etcd's data back to what was copied, as an administrator does: with etcd and the API
    /// server down. Resource versions go back in time with it.
    pub fn restore(&self) {
        self.command("kill", "apiserver");
        self.command("kill", "etcd");
        std::fs::remove_dir_all(self.path("etcd")).expect("etcd's data can be removed");
        std::fs::rename(self.path("backup"), self.path("etcd")).expect("a backup");
        self.command("start", "etcd");
        self.command("start", "apiserver");
    }

    /// What signs the tokens of service accounts: an EC key on P-256, as PEM (RFC 5915).
    pub fn service_account_key(&self) -> String {
        std::fs::read_to_string(self.path("service-account.key")).expect("a key")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.as_ref().expect("a control plane of our own").join(name)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with every right.
    pub async fn admin(&self) -> Client {
        Client::try_from(config(&self.kubeconfig).await).expect("a client")
    }
}

impl ControlPlane {
    /// Ends it, and waits until it has.
    pub fn end(&self) {
        self.pipes.lock().map(|mut pipes| pipes.take()).ok();
        if let Some(mut child) = self.child.lock().ok().and_then(|mut child| child.take()) {
            let _ = child.wait();
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client configuration from a kubeconfig file.
pub async fn config(path: &Path) -> Config {
    let kubeconfig = Kubeconfig::read_from(path).expect("a kubeconfig");
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.expect("a configuration")
}

/// The root of the source tree.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("it can be copied");
        }
    }
}

fn read_line(stdout: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the control plane answers");
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("the control plane said {line:?}"))
}
