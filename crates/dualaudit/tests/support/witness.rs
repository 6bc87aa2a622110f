//! A witness that somebody else wrote: filippo.io/torchwood's litewitness.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::verifier::verifier_program;

const NAME: &str = "witness.example/w1";
/// What a witness has seen of a log that is new to it: RFC 6962's root over nothing.
const NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

/// A witness and the agent that holds its key. Both end with this.
pub struct Witness {
    dir: TempDir,
    agent: Child,
    fingerprint: String,
    address: SocketAddr,
    process: Option<Child>,
    /// The public key it cosigns with.
    pub key: String,
}

impl Witness {
    /// Starts one that cosigns for a log with this origin and key.
    pub fn start(origin: &str, key: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut agent = Command::new(verifier_program("verifier"))
            .arg("agent")
            .arg(dir.path().join("agent"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let mut fingerprint = String::new();
        let stdout = agent.stdout.take().expect("its standard output");
        BufReader::new(stdout).read_line(&mut fingerprint).expect("it says the key's fingerprint");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let fingerprint = fingerprint.trim().to_owned();
        let mut witness = Self { dir, agent, fingerprint, address, process: None, key: String::new() };
        witness.restart();
        let sql = "INSERT INTO log (origin, tree_size, tree_hash) VALUES (?1, 0, ?2)";
        witness.open().execute(sql, [origin, NOTHING]).expect("the log is made known");
        witness.open().execute("INSERT INTO key VALUES (?1, ?2)", [origin, key]).expect("its key is");
        witness
    }

    /// What `--witness` is told.
    pub fn argument(&self) -> String {
        format!("http://{}/={}", self.address, self.key)
    }

    /// Starts it where it listened before, with the state that it has.
    pub fn restart(&mut self) {
        let mut child = Command::new(verifier_program("litewitness"))
            .args(["-name", NAME, "-key", &self.fingerprint, "-listen", &self.address.to_string(), "-db"])
            .arg(self.database())
            .arg("-ssh-agent")
            .arg(self.dir.path().join("agent"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the witness starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its standard error")).lines();
        let said = lines.by_ref().map_while(Result::ok);
        let key =
            said.filter_map(|line| Some(line.split_once("vkey=")?.1.trim_matches('"').to_owned())).next();
        self.key = key.expect("it says its key");
        std::thread::spawn(move || lines.for_each(drop));
        self.process = Some(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "the witness does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The size and the root that it has seen last.
    pub fn seen(&self) -> (u64, String) {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.open().query_row("SELECT tree_size, tree_hash FROM log", [], row).expect("one log")
    }

    /// Makes it one that has seen this, as an older backup of its state does.
    pub fn set_seen(&self, (size, root): &(u64, String)) {
        let set = "UPDATE log SET tree_size = ?1, tree_hash = ?2";
        assert_eq!(self.open().execute(set, rusqlite::params![size, root]), Ok(1));
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("witness.db")
    }

    fn open(&self) -> Connection {
        let connection = Connection::open(Path::new(&self.database())).expect("the witness's database");
        connection.busy_timeout(Duration::from_secs(10)).expect("a timeout");
        connection
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.kill();
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}
