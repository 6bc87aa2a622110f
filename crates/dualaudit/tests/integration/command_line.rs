//! Exit codes and messages: what was expected, what was found, and what to do, in one line.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use axum::{Json, Router, routing::get};
use serde_json::{Value, json};

use crate::support::{
    Cluster, Dualaudit, Standalone, command, ended, eventually, record, run_command, workspace,
};

#[test]
fn wrong_usage_ends_with_2_and_the_usage_on_standard_error() {
    let standalone = Standalone::new();
    let long = "x".repeat(4097);
    for arguments in [
        &[][..],
        &["nonsense"],
        &["hold", "add", "--workflow", "x", "--reason", "r", "--actor", &long],
        &["hold", "release", "http/1", "--reason", "r", "--actor", " "],
        &["purge", "run", "--plan", "20261125T012345Z-0123456789abcdef", "--actor", &long],
        &["erase", "x", "--reason", "r", "--actor", &long],
        &["export", "--to", "x.jsonl", "--actor", &long],
        &[
            "log",
            "succeed",
            "--log",
            "http",
            "--checkpoint-copy",
            "file:x",
            "--reason",
            "r",
            "--actor",
            &long,
        ],
        &["run", "--window", "soon"],
        &["run", "--window", "-1h"],
        &["run", "--cluster", "http"],
        &["run", "--cluster", "No Name"],
        &["run", "--api-only", "--controller-only"],
        &["run", "--listen", "everywhere"],
        &["run", "--concurrency", "0"],
        &["run", "--frobnicate"],
        &["list", "--limit", "0"],
        &["list", "-o", "xml"],
        &["get"],
        &["backup"],
        &["release", "--namespace", "shop"],
        &["log", "digest", "--since", "yesterday"],
        &["log", "digest", "--since", "2026-11-02", "--until", "2026-11-01"],
        &["gaps", "list", "--limit", "0"],
        &["gaps", "get", "17"],
        &["purges", "list", "--cursor", "x"],
        &["quarantine", "retry"],
        &["quarantine", "retry", "--all", "some-id"],
        &["stats", "verdicts", "--limit", "1001"],
        &["stats", "workflows", "--minimum", "-1"],
        &["stats", "recommend", "--incident-type", "oom", "--explore", "-1"],
    ] {
        let output = standalone.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let said = stderr(&output);
        assert!(said.contains("Usage:"), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty() && !standalone.file().exists(), "{arguments:?} did nothing");
    }
    let asked = standalone.run(&["--help"]);
    assert!(asked.status.success() && stdout(&asked).contains("Usage:") && asked.stderr.is_empty());
}

#[test]
fn a_database_that_is_none_of_ours_is_wrong_usage_and_its_password_not_repeated() {
    let standalone = Standalone::new();
    for url in ["mysql://me:hunter2@db/x", "postgres://me:hunter2@db/x?sslmode=hunter2"] {
        let output = standalone.run(&["run", "--database", url]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
        let mut by_environment = standalone.command(&["run"]);
        let output = ended({
            by_environment.env("DUALAUDIT_DATABASE", url);
            by_environment
        });
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
}

#[test]
fn a_number_below_what_there_is_is_told_with_the_range() {
    let standalone = Standalone::new();
    for minimum in ["0", "-1", "1000001"] {
        let output = standalone.run(&["stats", "regressions", "--minimum", minimum]);
        let expected = format!("error: --minimum {minimum:?}: must be a whole number from 1 to 1000000");
        assert_eq!(stderr(&output).lines().next(), Some(expected.as_str()), "{output:?}");
    }
}

#[test]
fn a_question_asked_wrongly_ends_with_2() {
    let standalone = Standalone::new();
    for arguments in [
        &["list", "--outcome", "splendid"],
        &["list", "--since", "yesterday"],
        &["list", "--min-score", "2"],
        &["list", "--target", "/"],
        &["list", "--cursor", "garbage"],
    ] {
        let output = standalone.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let said = stderr(&output);
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[0].starts_with(&format!("error: {} ", arguments[1])), "{said}");
        assert!(lines[1..] == ["", "Usage: dualaudit list [OPTIONS]"], "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_cannot_be_used_ends_with_1_and_the_reason() {
    let cluster = Cluster::new().await;
    let at = |name: &str| cluster.dir.path().join(name);
    fs::write(at("garbage"), "apiVersion: [").unwrap();
    fs::write(at("empty"), "").unwrap();
    let mut kubeconfig: Value =
        serde_saphyr::from_str(&fs::read_to_string(&cluster.kubeconfig).unwrap()).unwrap();
    kubeconfig["users"][0]["user"] = json!({ "token": "not-a-token" });
    fs::write(at("bad-token"), kubeconfig.to_string()).unwrap();
    // Bound and not listening: nobody else gets it, and nobody answers.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port();
    drop(deaf);
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
    fs::write(at("refused"), kubeconfig.to_string()).unwrap();
    for (file, reason) in [
        ("missing", "missing cannot be used"),
        ("garbage", "garbage cannot be used"),
        ("empty", "empty cannot be used"),
        ("bad-token", "does not accept these credentials"),
        ("refused", "cannot be reached"),
    ] {
        let output = ended(run_command(&cluster, &at(file), &[]));
        assert_eq!(output.status.code(), Some(1), "{file}: {output:?}");
        let said = one_line(&output);
        assert!(
            said.contains(reason) && said.contains("kubeconfig") | said.contains("KUBECONFIG"),
            "{file}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_the_rights_is_told_what_it_cannot_do_in_one_line_a_try() {
    let cluster = Cluster::new().await;
    // An engine's account: it may read kube-system's uid, and list nothing.
    let dualaudit = Dualaudit::run_with(&cluster, &cluster.simulator, &[]);
    let line = eventually("it says so", || async {
        dualaudit.log().into_iter().find(|line| line.contains("watching failed; trying again"))
    })
    .await;
    assert!(line.contains("cannot list resource \"workflowexecutions\""), "{line}");
    for line in dualaudit.log() {
        assert!(line.starts_with("20") && !line.contains("Status {"), "{line}");
    }
    let mut release = command(&cluster.simulator);
    release.args(["release", "--unrecorded", "--namespace", &cluster.namespace, "--reason", "drill"]);
    let output = ended(release);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = one_line(&output);
    assert!(said.contains("cannot list resource") && !said.contains("Status {"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_ends_with_1_and_names_it() {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    let address = dualaudit.url.strip_prefix("http://").unwrap();
    let output = Standalone::new().run(&["run", "--api-only", "--listen", address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(one_line(&output).contains(&format!("listening on {address}")), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_another_cluster_is_refused_by_name() {
    let standalone = Standalone::new();
    let arguments = ["run", "--listen", "127.0.0.1:0", "--cluster", "prod"];
    let kubeconfig = cluster_with_uid(standalone.dir.path(), "uid-of-the-first").await;
    let mut first = standalone.command(&arguments);
    first.env("KUBECONFIG", &kubeconfig);
    let running = Dualaudit::spawn(first);
    eventually("its log is bound", || async {
        running.log().iter().any(|line| line.contains("watching")).then_some(())
    })
    .await;
    running.kill();
    let kubeconfig = cluster_with_uid(standalone.dir.path(), "uid-of-the-second").await;
    let mut second = standalone.command(&arguments);
    second.env("KUBECONFIG", &kubeconfig);
    let output = tokio::task::spawn_blocking(|| ended(second)).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = one_line(&output);
    for part in ["\"prod\"", "uid-of-the-first", "uid-of-the-second", "another name"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_ends_with_3_and_names_what_was_tampered_with() {
    let standalone = with_records(&["a", "b"]).await;
    let connection = standalone.open();
    connection
        .execute_batch(
            "DROP TRIGGER workflow_execution_audit_is_only_erased;
             UPDATE workflow_execution_audit SET outcome = 'failed' WHERE id = 'b';",
        )
        .unwrap();
    drop(connection);
    let output = standalone.run(&["verify"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stdout(&output).contains("log http, entry 1, body digest"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("entry 0"), "{}", stdout(&output));
    let trigger = "schema: expected as dualaudit made it, found trigger workflow_execution_audit_is_only_erased is missing";
    assert!(stdout(&output).contains(trigger), "{}", stdout(&output));
    let report: Value = serde_json::from_slice(&standalone.run(&["verify", "-o", "json"]).stdout).unwrap();
    assert_eq!(report["findings"][1]["index"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_from_entries_is_compared_and_put_right() {
    let standalone = with_records(&["a", "b"]).await;
    let checked = || standalone.run(&["log", "rebuild", "--check", "-o", "json"]);
    assert_eq!(checked().status.code(), Some(0));
    let connection = standalone.open();
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'log_tile_only_grows'";
    let trigger: String = connection.query_row(trigger, [], |row| row.get(0)).unwrap();
    let tampered = "DROP TRIGGER log_tile_only_grows; UPDATE log_tile SET hashes = zeroblob(64);";
    connection.execute_batch(&format!("{tampered} {trigger}")).unwrap();
    drop(connection);
    let output = checked();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tiles = &report["logs"][0]["tables"][0];
    assert_eq!(*tiles, json!({"table": "log_tile", "rows": 1, "differing": 1, "first": ["0/0"]}));
    let output = standalone.run(&["log", "rebuild", "--log", "http"]);
    assert!(output.status.success() && stdout(&output).contains("What differed was replaced."), "{output:?}");
    assert_eq!(checked().status.code(), Some(0));
    standalone.verified();
    let nowhere = standalone.run(&["log", "rebuild", "--log", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(one_line(&nowhere).contains("there is no log nowhere"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_entries_that_statistics_lack_are_named() {
    let standalone = with_records(&["a", "b"]).await;
    // As before there were statistics.
    let forget = || {
        let connection = standalone.open();
        let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'log_entry_is_only_erased'";
        let trigger: String = connection.query_row(trigger, [], |row| row.get(0)).unwrap();
        let tampered = "PRAGMA ignore_check_constraints = 1;
             DROP TRIGGER log_entry_is_only_erased;
             UPDATE log_entry SET leaf_hash = x'00' WHERE idx = 0;
             DELETE FROM statistics_pending;
             UPDATE statistics_log SET refolded = 0, refold_until = 2;";
        connection.execute_batch(&format!("{tampered} {trigger}")).unwrap();
    };
    forget();
    let output = standalone.run(&["migrate"]);
    assert!(output.status.success(), "{output:?}");
    let named = "The statistics of the log http lack what entry 0 gave, as it cannot be read: column leaf_hash cannot \
                 be read: it has 1 bytes, not 32; `dualaudit verify` checks it.\n";
    assert_eq!(stderr(&output), named);
    let output = standalone.run(&["verify"]);
    assert!(output.status.code() == Some(3) && stdout(&output).contains("log http, entry 0"), "{output:?}");

    forget();
    let dualaudit = standalone.serve();
    let lack = eventually("it is told", || async {
        dualaudit.log().into_iter().find(|line| line.contains("statistics lack what this entry gave"))
    });
    let lack = lack.await;
    assert!(lack.contains("WARN") && lack.contains("log=\"http\"") && lack.contains("index=0"), "{lack}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_cannot_change_or_delete_what_is_recorded() {
    let standalone = with_records(&["a"]).await;
    let connection = standalone.open();
    for sql in [
        "UPDATE workflow_execution_audit SET outcome = 'failed'",
        "DELETE FROM workflow_execution_audit",
        "INSERT OR REPLACE INTO workflow_execution_audit SELECT * FROM workflow_execution_audit",
        "DELETE FROM log_entry",
        "DELETE FROM log",
    ] {
        connection.execute_batch(sql).expect_err(sql);
    }
    standalone.verified();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_in_use_verifies_and_overwrites_nothing() {
    let standalone = with_records(&["a", "b", "c"]).await;
    let _in_use = standalone.serve();
    let copy = standalone.dir.path().join("copy.db");
    let output = standalone.run(&["backup", copy.to_str().unwrap()]);
    assert!(output.status.success() && stdout(&output).contains("copy.db"), "{output:?}");
    let copied = format!("sqlite:{}", copy.display());
    let output = standalone.run(&["verify", "--database", &copied, "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["logs"][0]["entries"], &report["findings_total"]), (&json!(3), &json!(0)));
    let original: Value = serde_json::from_slice(&standalone.run(&["verify", "-o", "json"]).stdout).unwrap();
    assert_eq!(report["logs"], original["logs"], "the same root");
    let again = standalone.run(&["backup", copy.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(one_line(&again).contains("exists"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_is_named_and_what_to_do_about_it() {
    let standalone = with_records(&["a"]).await;
    let file = standalone.file();
    for directory in ["/nonexistent", file.to_str().unwrap()] {
        let named = format!("{directory}/x");
        for arguments in [
            &["export", "--to", &named, "--actor", "me"][..],
            &["backup", &named],
            &["log", "keygen", "--key-file", &named, "--origin", "audit.example"],
        ] {
            let output = standalone.run(arguments);
            let said = one_line(&output);
            assert!(output.status.code() == Some(1) && said.contains(&named), "{arguments:?}: {output:?}");
            if arguments[0] == "export" {
                let what_to_do = "; make its directory, or name a file in another";
                assert!(said.starts_with("dualaudit: cannot export: cannot write "), "{said}");
                assert!(said.ends_with(what_to_do), "{said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_ends_with_1_and_says_what_to_do() {
    let newer = with_records(&["a"]).await;
    newer.open().execute_batch("PRAGMA user_version = 999").unwrap();
    let garbage = Standalone::new();
    fs::write(garbage.file(), "no database at all, and long enough to be looked at. ".repeat(100)).unwrap();
    let foreign = Standalone::new();
    foreign.open().execute_batch("CREATE TABLE shopping (item TEXT)").unwrap();
    // To verify, one that is no audit is one that was found wrong.
    for (standalone, verified, reason) in [
        (&newer, 1, "version 999, this dualaudit knows up to 16: use a newer dualaudit"),
        (&garbage, 3, "is no SQLite database"),
        (&foreign, 3, "another application"),
    ] {
        let before = fs::read(standalone.file()).unwrap();
        for arguments in [&["run", "--api-only"][..], &["list"], &["get", "a"], &["verify"], &["migrate"]] {
            let output = standalone.run(arguments);
            let code = if arguments == ["verify"] { verified } else { 1 };
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
            let said = one_line(&output);
            assert!(said.contains(reason) && said.contains("audit.db"), "{arguments:?}: {said}");
        }
        assert_eq!(fs::read(standalone.file()).unwrap(), before, "nothing was changed");
    }
    let nowhere = Standalone::new();
    for arguments in [&["list"][..], &["get", "a"], &["verify"], &["backup", "/tmp/never"]] {
        let output = nowhere.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(one_line(&output).contains("there is no database"), "{output:?}");
        assert!(!nowhere.file().exists(), "a reader creates nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_cut_off_is_found_wrong() {
    for left in [1, 2] {
        let standalone = with_records(&["a", "b", "c"]).await;
        standalone.open().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let file = fs::OpenOptions::new().write(true).open(standalone.file()).unwrap();
        let size = file.metadata().unwrap().len();
        // Its last pages are free: what migrating it left.
        file.set_len(if left == 1 { size / 2 } else { size * 3 / 4 - 1000 }).unwrap();
        let output = standalone.run(&["verify"]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(said.contains("is damaged") || said.contains("findings:"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_locked_by_another_process_stops_the_start_and_no_reader() {
    let standalone = with_records(&["a"]).await;
    let lock = standalone.open();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let output = standalone.run(&["run", "--api-only", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(one_line(&output).contains("is locked by another process"), "{output:?}");
    standalone.verified();
    assert!(standalone.run(&["get", "a"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_written_ends_with_1_and_one_that_nobody_reads_any_more_with_0() {
    let standalone = with_records(&["a", "b"]).await;
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into();
    let nobody_reads = || std::io::pipe().unwrap().1.into();
    let places: [(&str, &dyn Fn() -> std::process::Stdio, i32); 2] =
        [("full", &full, 1), ("nobody", &nobody_reads, 0)];
    for (name, stdout, code) in places {
        let at = |end: &str| standalone.dir.path().join(format!("{name}.{end}")).display().to_string();
        let (key, backup, export) = (at("key"), at("db"), at("jsonl"));
        for arguments in [
            &["log", "keygen", "--key-file", &key, "--origin", "audit.example"][..],
            &["log", "key", "--key-file", &key],
            &["crd"],
            &["list"],
            &["verify"],
            &["backup", &backup],
            &["migrate"],
            &["maintain"],
            &["hold", "add", "--workflow", "x", "--reason", name, "--actor", "me"],
            &["hold", "list"],
            &["export", "--to", &export, "--actor", "me"],
            &["export", "--to", "-", "--actor", "me"],
        ] {
            let mut command = standalone.command(arguments);
            let output = command.stdout(stdout()).stdin(std::process::Stdio::null()).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{name}: {arguments:?}: {output:?}");
            assert!(!stderr(&output).contains("panicked"), "{arguments:?}: {output:?}");
        }
    }
    standalone.verified();
}

#[test]
fn a_file_of_private_keys_that_others_may_read_is_warned_of() {
    let standalone = Standalone::new();
    let file = standalone.dir.path().join("log.key");
    let name = file.to_str().unwrap();
    let made = standalone.run(&["log", "keygen", "--key-file", name, "--origin", "audit.example/http"]);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for (mode, is_warned_of) in [(0o600, false), (0o640, true), (0o644, true)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let read = standalone.run(&["log", "key", "--key-file", name]);
        assert!(read.status.success() && read.stdout == made.stdout, "{read:?}");
        let said = stderr(&read);
        assert_eq!(said.contains("WARN"), is_warned_of, "{mode:o}: {said}");
        assert_eq!(said.contains(&format!("chmod 600 {name}")), is_warned_of, "{mode:o}: {said}");
    }
    // It runs all the same.
    let mut serve = vec!["run", "--api-only", "--listen", "127.0.0.1:0", "--origin", "audit.example"];
    serve.extend(["--log-key", name]);
    let dualaudit = Dualaudit::spawn(standalone.command(&serve));
    assert!(dualaudit.log().iter().any(|line| line.contains("WARN") && line.contains("chmod 600")));
}

#[test]
fn the_printed_crd_is_the_one_in_deploy() {
    let output = Standalone::new().run(&["crd"]);
    assert!(output.status.success());
    let shipped = fs::read_to_string(workspace().join("deploy/crd.yaml")).unwrap();
    assert_eq!(stdout(&output), shipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_every_form_from_the_database_and_from_a_server() {
    let standalone = with_records(&["a", "b"]).await;
    let dualaudit = standalone.serve();
    for form in ["table", "json", "yaml", "csv"] {
        let direct = standalone.run(&["list", "-o", form]);
        let served = standalone.run(&["list", "-o", form, "--server", &dualaudit.url]);
        assert!(direct.status.success(), "{direct:?}");
        assert_eq!(stdout(&direct), stdout(&served), "{form}");
        let text = stdout(&direct);
        let ids: Vec<String> = match form {
            "json" => ids(&serde_json::from_str(&text).unwrap()),
            "yaml" => ids(&serde_saphyr::from_str(&text).unwrap()),
            // A header and a line each.
            _ => text
                .lines()
                .skip(1)
                .filter(|line| line.contains("restart-deployment"))
                .map(Into::into)
                .collect(),
        };
        assert_eq!(ids.len(), 2, "{form}: {text}");
    }
    let none = standalone.run(&["list", "--workflow", "other", "-o", "json"]);
    assert!(none.status.success());
    assert!(ids(&serde_json::from_slice(&none.stdout).unwrap()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_execution_is_shown_in_full_and_an_unknown_one_ends_with_1() {
    let standalone = with_records(&["a"]).await;
    let dualaudit = standalone.serve();
    let server = ["--server", &dualaudit.url];
    for from in [&[][..], &server] {
        let known = standalone.run(&[&["get", "a", "-o", "json"], from].concat());
        let found: Value = serde_json::from_slice(&known.stdout).unwrap();
        assert_eq!(found["record"]["workflow_name"], "restart-deployment");
        let unknown = standalone.run(&[&["get", "nobody"], from].concat());
        assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
        assert!(one_line(&unknown).contains("nobody") && unknown.stdout.is_empty(), "{unknown:?}");
    }
    dualaudit.kill();
    let away = standalone.run(&["list", "--server", "http://127.0.0.1:1"]);
    assert_eq!(away.status.code(), Some(1));
    assert!(one_line(&away).contains("no answer from the server"), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_alone_needs_no_cluster_and_ends_with_0_when_asked_to_stop() {
    let standalone = with_records(&["a"]).await;
    let dualaudit = standalone.serve();
    assert_eq!(dualaudit.recorded().await.len(), 1);
    dualaudit.stop();
}

/// A database with these records.
async fn with_records(ids: &[&str]) -> Standalone {
    let standalone = Standalone::new();
    let dualaudit = standalone.serve();
    for id in ids {
        let request = reqwest::Client::new().post(format!("{}/api/v1/executions", dualaudit.url));
        assert_eq!(request.json(&record(id)).send().await.unwrap().status(), 201);
    }
    dualaudit.stop();
    standalone
}

/// A kubeconfig of something that is a cluster only as far as its uid goes.
async fn cluster_with_uid(dir: &Path, uid: &'static str) -> std::path::PathBuf {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system", "uid": uid } });
    let app = Router::new().route("/api/v1/namespaces/kube-system", get(move || async { Json(namespace) }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{ "name": "it", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "it", "user": {} }],
        "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
    });
    let path = dir.join(uid);
    fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// What it said, which is one line beside the log's, and no stack trace.
fn one_line(output: &Output) -> String {
    let said = stderr(output);
    let (own, log): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("dualaudit: "));
    let is_logged =
        |line: &&str| line.starts_with("20") && (line.contains(" INFO ") || line.contains(" WARN "));
    assert!(log.iter().all(is_logged), "{said}");
    assert_eq!(own.len(), 1, "{said}");
    own[0].to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
