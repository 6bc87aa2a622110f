//! Verifiers of logs, and a witness, that others wrote; see `tests/verifier`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{control_plane::workspace, standalone::ended};

/// A program that `make verifier` builds.
pub fn verifier_program(name: &str) -> PathBuf {
    let program = workspace().join("target/verifier").join(name);
    assert!(program.exists(), "{} is missing: run `make verifier`", program.display());
    program
}

/// What others' verifiers are to check a log by.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// The log's public key.
    pub key: &'a str,
    /// The key of a witness that must have cosigned the checkpoint.
    pub witness: Option<&'a str>,
    /// A file with a checkpoint that the log must extend.
    pub old: Option<&'a Path>,
    /// Where the checkpoint is kept once every check holds.
    pub save: Option<&'a Path>,
}

/// What they found.
#[derive(Debug)]
pub struct Checked {
    /// The size of the log, once every check holds.
    pub size: Option<u64>,
    /// The checks that hold.
    pub hold: Vec<String>,
    /// Those that fail.
    pub fail: Vec<String>,
    /// All that was said.
    pub said: String,
}

impl<'a> Verifier<'a> {
    /// By nothing but the log's key.
    pub fn new(key: &'a str) -> Self {
        Self { key, witness: None, old: None, save: None }
    }

    /// Checks the log at this URL.
    pub fn check(&self, url: &str) -> Checked {
        let mut command = Command::new(verifier_program("verifier"));
        command.arg("check");
        for (flag, file) in [("-old", self.old), ("-save", self.save)] {
            if let Some(file) = file {
                command.arg(flag).arg(file);
            }
        }
        if let Some(key) = self.witness {
            command.args(["-witness", key]);
        }
        command.args([url, self.key]);
        let output = ended(command);
        let text = String::from_utf8(output.stdout).expect("text");
        let of = |result: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(_, said)| said.starts_with(result)).map(|(check, _)| check.to_owned()).collect()
        };
        let checked = Checked {
            size: text.lines().find_map(|line| line.strip_prefix("size: ")?.parse().ok()),
            hold: of("holds"),
            fail: of("fails"),
            said: text.clone() + &String::from_utf8_lossy(&output.stderr),
        };
        assert_eq!(output.status.success(), checked.size.is_some(), "{checked:?}");
        checked
    }
}
