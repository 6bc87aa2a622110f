//! The program on PostgreSQL, from the outside.

use std::{fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::producer::post;
use crate::support::{
    Dualaudit, command, ended,
    postgres::{Database, Server},
    record,
};

/// An audit in a database of a server.
struct Audit {
    database: Database,
    dir: TempDir,
}

impl Audit {
    fn new() -> Self {
        Self { database: Server::shared().database(None), dir: tempfile::tempdir().unwrap() }
    }

    fn command(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = command(&self.dir.path().join("there-is-no-kubeconfig"));
        command.env("DUALAUDIT_DATABASE", url).args(arguments);
        command
    }

    /// Runs it to its end: its exit status, and all that it said.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = ended(self.command(&self.database.url(), arguments));
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn serve(&self, url: &str) -> Dualaudit {
        Dualaudit::spawn(self.command(url, &["run", "--api-only", "--listen", "127.0.0.1:0"]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_kept_by_a_role_that_can_take_none_away_and_found_by_every_command() {
    let audit = Audit::new();
    let role = format!("{}_runner", audit.database.name);
    audit.database.execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
    for _ in 0..2 {
        let (status, said) = audit.run(&["migrate", "--grant-to", &role]);
        assert_eq!((status, said.contains("is up to date")), (0, true), "{said}");
    }
    let first = audit.serve(&audit.database.url().replace("postgres@", &format!("{role}@")));
    // Two processes append to the same log.
    let second = audit.serve(&audit.database.url());
    for (dualaudit, result) in [(&first, "created"), (&second, "duplicate")] {
        let batch = json!((0..40).map(|n| record(&n.to_string())).collect::<Vec<_>>());
        let (_, answer) = post(dualaudit, &batch.to_string()).await;
        let receipts = answer["receipts"].as_array().unwrap();
        assert_eq!((receipts.len(), receipts[39]["index"].as_u64()), (40, Some(39)), "{answer}");
        assert!(receipts.iter().all(|receipt| receipt["result"] == result), "{answer}");
    }
    assert_eq!(second.recorded().await.len(), 40);
    let (status, said) = audit.run(&["list", "--limit", "3", "-o", "json"]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = audit.run(&["get", "7", "-o", "json"]);
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &found["record"]["workflow_name"]), (0, &json!("restart-deployment")));
    let (status, said) = audit.run(&["verify"]);
    assert_eq!((status, said.contains("Everything that was checked agrees")), (0, true), "{said}");
    let (status, said) = audit.run(&["backup", "/tmp/never"]);
    assert_eq!((status, said.contains("pg_basebackup")), (1, true), "{said}");
    drop((first, second));
    audit.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

#[test]
fn a_database_that_cannot_be_used_ends_with_1_and_the_password_is_not_said() {
    let audit = Audit::new();
    let (status, said) = audit.run(&["list"]);
    assert_eq!((status, said.contains("run `dualaudit migrate` as its owner")), (1, true), "{said}");
    let password = audit.dir.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    for (url, reason) in [
        ("postgres://me:hunter2@127.0.0.1:1/audit", "cannot be reached"),
        ("postgres://me:hunter2@127.0.0.1:1/audit?sslmode=verify-ful", "sslmode"),
        ("postgres://me:hunter2@:x/audit", "must be postgres://"),
    ] {
        for arguments in [&["run", "--api-only"][..], &["list"], &["verify"], &["migrate"]] {
            let mut command = audit.command(url, arguments);
            command.env("DUALAUDIT_DATABASE_PASSWORD_FILE", &password).env("DUALAUDIT_LOG", "debug");
            let output = ended(command);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
            assert!(!said.contains("hunter2"), "{arguments:?}: {said}");
        }
    }
}
