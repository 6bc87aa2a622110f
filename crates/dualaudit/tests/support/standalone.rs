//! dualaudit without a cluster: a database in a directory of its own, the API, and the commands that
//! read it.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Dualaudit, command};

/// How long a command may take.
const LONGEST: Duration = Duration::from_secs(60);

/// One test's directory.
pub struct Standalone {
    pub dir: TempDir,
}

impl Standalone {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// The database's file.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("audit.db")
    }

    /// `dualaudit` with these arguments on this database, and with no cluster to be found.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.dir.path().join("there-is-no-kubeconfig"));
        command.env("DUALAUDIT_DATABASE", format!("sqlite:{}", self.file().display())).args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        ended(self.command(arguments))
    }

    /// Serves the API alone.
    pub fn serve(&self) -> Dualaudit {
        Dualaudit::spawn(self.command(&["run", "--api-only", "--listen", "127.0.0.1:0"]))
    }

    /// A connection to the database behind the program's back.
    pub fn open(&self) -> Connection {
        Connection::open(self.file()).expect("the database")
    }

    /// `dualaudit verify` passes.
    pub fn verified(&self) {
        let output = self.run(&["verify"]);
        assert!(output.status.success(), "{output:?}");
    }
}

/// Runs a command that ends by itself. One that does not is killed, and that is a failure.
pub fn ended(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let pid = child.id().to_string();
    let (told, output) = mpsc::channel();
    // Read while it runs: what it writes may be more than a pipe holds.
    let reader = std::thread::spawn(move || told.send(child.wait_with_output()));
    let said = output.recv_timeout(LONGEST);
    if said.is_err() {
        // It was not waited for yet, so the number is still its own.
        let _ = Command::new("kill").args(["-9", &pid]).status();
    }
    let _ = reader.join();
    let said = said.unwrap_or_else(|_| panic!("{command:?} did not end: {:?}", output.recv()));
    said.expect("its output")
}

/// A record as a producer sends it that knows only the specification's fields.
pub fn record(id: &str) -> Value {
    json!({
        "id": id,
        "remediation_id": "rem-1",
        "workflow_name": "restart-deployment",
        "workflow_version": "v1.2.0",
        "total_steps": 1,
        "steps_completed": 1,
        "steps_failed": 0,
        "total_duration": 90_000_000_000_u64,
        "outcome": "success",
        "effectiveness_score": 0.95,
        "rollbacks_performed": 0,
        "step_executions": [
            { "step_number": 1, "action": "restart", "duration": 90_000_000_000_u64, "status": "completed",
              "retries_attempted": 0 },
        ],
        "adaptive_adjustments": null,
        "completed_at": "2026-05-01T10:00:00.123456789+02:00",
        "status": "completed",
    })
}
