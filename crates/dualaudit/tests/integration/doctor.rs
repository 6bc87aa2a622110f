//! What `dualaudit doctor` and `dualaudit maintain` say from the outside.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use dualaudit::{
    clock::{Clock, SystemClock},
    doctor::cluster::{Scope, judge, observe},
    source::default_window,
    store::postgres::{Location, migrate},
};
use dualaudit_record::Time;
use k8s_openapi::{
    api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    full_disk::{may_mount, on_a_small_disk},
    support::{
        Cluster, Dualaudit, Standalone, apply, command, ended, eventually,
        postgres::{Database, Server},
    },
};

/// Runs it, and finds one of its checks: the exit status, the verdict, and all that it says.
fn checked(mut doctor: Command, check: &str) -> (i32, String, String) {
    doctor.args(["-o", "json"]);
    let output = ended(doctor);
    let said = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{:?}", output.stderr));
    let checks = report["checks"].as_array().unwrap();
    let of_all =
        || checks.iter().map(|found| found["verdict"].as_str().unwrap()).collect::<Vec<_>>().join(" ");
    let found = checks.iter().find(|found| found["check"] == check);
    let verdict = found.map_or_else(of_all, |found| found["verdict"].as_str().unwrap().to_owned());
    (output.status.code().unwrap(), verdict, said)
}

/// `dualaudit doctor` on a sound file, and on this cluster.
fn doctor(file: &Standalone, cluster: &Cluster, kubeconfig: &Path) -> Command {
    let mut doctor = file.command(&["doctor", "--home", &cluster.home]);
    doctor.env("KUBECONFIG", kubeconfig);
    doctor
}

fn sound() -> Standalone {
    let standalone = Standalone::new();
    assert!(standalone.run(&["migrate"]).status.success());
    standalone
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_the_kind_or_the_rights_is_wrong_and_one_without_the_policy_is_warned_of() {
    let cluster = Cluster::alone().await;
    let file = sound();
    let run = |kubeconfig: &Path, check: &str| checked(doctor(&file, &cluster, kubeconfig), check);
    // dualaudit's own account may all that it needs.
    for (check, verdict) in [
        ("cluster", "ok"),
        ("kind", "ok"),
        ("rights", "ok"),
        ("cluster clock", "ok"),
        ("finalizer policy", "warning"),
        ("actor policy", "warning"),
        ("guard policy", "warning"),
    ] {
        let (status, found, said) = run(&cluster.kubeconfig, check);
        assert_eq!((status, found.as_str()), (0, verdict), "{check}: {said}");
    }
    let (status, found, said) = run(&cluster.simulator, "rights");
    assert_eq!((status, found.as_str()), (3, "wrong"), "{said}");
    for needed in ["watch workflowexecutions", "create events", "list configmaps in"] {
        assert!(said.contains(needed), "{needed}: {said}");
    }
    assert!(!said.contains("get namespaces"), "that it may: {said}");
    let admin = cluster.admin_kubeconfig().to_owned();
    let (status, found, said) = run(&admin, "finalizer policy");
    assert!(
        (status, found.as_str()) == (0, "warning") && said.contains("dualaudit-record is not there"),
        "{said}"
    );
    apply(&cluster.admin, "maintain.yaml").await;
    let policies = ["finalizer policy", "actor policy", "guard policy"];
    for (manifest, verdicts) in [("policy.yaml", ["ok", "ok", "warning"]), ("guard.yaml", ["ok"; 3])] {
        apply(&cluster.admin, manifest).await;
        for kubeconfig in [&admin, &cluster.kubeconfig] {
            assert_eq!(policies.map(|check| run(kubeconfig, check).1), verdicts, "{manifest}");
        }
    }
    let mut longer = doctor(&file, &cluster, &admin);
    longer.args(["--window", "48h"]);
    let (status, found, said) = checked(longer, "guard policy");
    assert!(
        (status, found.as_str()) == (0, "warning") && said.contains("--only guard --window 48h"),
        "{said}"
    );
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.admin.clone());
    let weaker = Patch::Merge(json!({ "spec": { "validationActions": ["Warn"] } }));
    bindings.patch("dualaudit-guard", &PatchParams::default(), &weaker).await.unwrap();
    let (status, found, said) = run(&cluster.kubeconfig, "guard policy");
    assert!(
        (status, found.as_str()) == (0, "warning") && said.contains("the binding of the policy"),
        "{said}"
    );
    let (_, found, said) = run(&cluster.simulator, "guard policy");
    assert!(
        found == "warning" && said.contains("kubectl get validatingadmissionpolicy dualaudit-guard"),
        "{said}"
    );
    let scope = Scope { home: &cluster.home, watched: None };
    for (behind, verdict) in [(-60, "warning"), (3600, "wrong")] {
        let clock = Apart(behind);
        let seen = observe(&cluster.admin, scope, &clock).await.unwrap();
        let check = judge(&seen, default_window()).pop().unwrap();
        assert_eq!(
            (check.check, serde_json::to_value(check.verdict).unwrap()),
            ("cluster clock", verdict.into())
        );
    }
    let kinds: Api<CustomResourceDefinition> = Api::all(cluster.admin.clone());
    kinds.delete("workflowexecutions.dualaudit.dev", &DeleteParams::default()).await.unwrap();
    eventually("the kind is missed", || async {
        let (status, found, said) = run(&cluster.kubeconfig, "kind");
        ((status, found.as_str()) == (3, "wrong") && said.contains("dualaudit crd | kubectl")).then_some(())
    })
    .await;
    cluster.plane.end();
    let (status, found, said) = run(&cluster.kubeconfig, "cluster");
    assert!((status, found.as_str()) == (3, "wrong") && said.contains("cannot be reached"), "{said}");
}

/// The machine's clock, so many seconds behind.
struct Apart(i64);

impl Clock for Apart {
    fn now(&self) -> Time {
        SystemClock.now().saturating_add_micros(-self.0 * 1_000_000)
    }
}

#[test]
fn a_cluster_that_is_not_to_be_found_was_not_checked_unless_it_is_left_out() {
    let file = sound();
    let (status, verdict, said) = checked(file.command(&["doctor"]), "cluster");
    assert_eq!((status, verdict.as_str()), (1, "unknown"), "{said}");
    assert!(said.contains("--no-cluster") && said.contains("KUBECONFIG"), "{said}");
    let (status, _, said) = checked(file.command(&["doctor", "--no-cluster"]), "disk");
    assert_eq!((status, said.contains("cluster")), (0, false), "{said}");
    let table = file.run(&["doctor", "--no-cluster"]);
    assert!(String::from_utf8(table.stdout).unwrap().starts_with("CHECK"), "for people it is a table");
}

#[test]
fn a_file_that_is_not_there_or_altered_ends_with_3_and_what_to_do() {
    let none = Standalone::new();
    let (status, verdict, said) = checked(none.command(&["doctor", "--no-cluster"]), "connection");
    assert!((status, verdict.as_str()) == (3, "wrong") && said.contains("audit.db"), "{said}");
    assert!(!none.file().exists(), "nothing was made");
    let file = sound();
    file.open().execute_batch("DROP TRIGGER log_is_not_deleted").unwrap();
    let (status, verdict, said) = checked(file.command(&["doctor", "--no-cluster"]), "schema unaltered");
    assert!(
        (status, verdict.as_str()) == (3, "wrong") && said.contains("log_is_not_deleted is missing"),
        "{said}"
    );
    fs::set_permissions(file.file(), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(checked(file.command(&["doctor", "--no-cluster"]), "privileges").1, "warning");
}

#[test]
fn a_disk_without_room_for_the_write_ahead_log_is_wrong() {
    if !may_mount() {
        return;
    }
    let file = sound();
    for (mib, status, verdict) in [(64, 3, "wrong"), (512, 0, "warning")] {
        let copied = format!("cp {} /mnt", file.file().display());
        let doctor =
            file.command(&["doctor", "--no-cluster", "--database", "sqlite:/mnt/audit.db", "-o", "json"]);
        let output = ended(on_a_small_disk(mib, &copied, &doctor));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let disk =
            report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "disk").unwrap();
        assert_eq!(
            (output.status.code(), disk["verdict"].as_str()),
            (Some(status), Some(verdict)),
            "{report}"
        );
    }
}

/// A database that was migrated so many days ago.
async fn migrated(days_ago: i64) -> Database {
    let database = Server::shared().database(None);
    let then = Apart(days_ago * 24 * 3600).now();
    let _ = migrate(&Location::parse(&database.url()).unwrap(), then, None).await.unwrap();
    database
}

fn on(database: &Database, arguments: &[&str]) -> Command {
    let mut command = command(Path::new("/there-is-no-kubeconfig"));
    command.env("DUALAUDIT_DATABASE", database.url()).args(arguments);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_run_out_are_warned_of_until_the_database_is_maintained() {
    // Four or five months, whatever the day: one or two of six are left.
    let database = migrated(135).await;
    let serve = || Dualaudit::spawn(on(&database, &["run", "--api-only", "--listen", "127.0.0.1:0"]));
    let dualaudit = serve();
    let metrics = async |dualaudit: &Dualaudit| {
        reqwest::get(format!("{}/metrics", dualaudit.url)).await.unwrap().text().await.unwrap()
    };
    let warned =
        |dualaudit: &Dualaudit| dualaudit.log().iter().any(|line| line.contains("`dualaudit maintain`"));
    eventually("it warns", || async { warned(&dualaudit).then_some(()) }).await;
    let text = metrics(&dualaudit).await;
    let line = text.lines().find(|line| line.starts_with("dualaudit_partitions_ahead_months")).unwrap();
    let months: i64 = line.split(' ').nth(1).unwrap().parse().unwrap();
    assert!((1..=2).contains(&months), "{line}");
    let (status, verdict, said) = checked(on(&database, &["doctor", "--no-cluster"]), "partitions");
    assert!((status, verdict.as_str()) == (0, "warning") && said.contains("deploy/maintain.yaml"), "{said}");

    let output = ended(on(&database, &["maintain"]));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("6 months after this one have theirs"), "{said}");
    assert_eq!(checked(on(&database, &["doctor", "--no-cluster"]), "partitions").1, "ok");
    let again = serve();
    let text = eventually("the metric is there", || async {
        let text = metrics(&again).await;
        text.contains("partitions_ahead_months{} 6\n").then_some(text)
    })
    .await;
    assert!(!warned(&again), "{text}");
    let on_a_file = Standalone::new().serve();
    assert!(!metrics(&on_a_file).await.contains("\ndualaudit_partitions_ahead_months"), "files have none");
}

#[test]
fn a_server_that_cannot_be_reached_is_wrong_and_the_password_not_said() {
    let mut doctor = command(Path::new("/there-is-no-kubeconfig"));
    doctor
        .env("DUALAUDIT_DATABASE", "postgres://me:hunter2@127.0.0.1:1/audit")
        .args(["doctor", "--no-cluster"]);
    let (status, verdict, said) = checked(doctor, "connection");
    assert!((status, verdict.as_str()) == (3, "wrong") && said.contains("cannot be reached"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn maintenance_of_a_file_says_what_it_did_while_others_write_it() {
    let file = Standalone::new();
    let dualaudit = file.serve();
    let output = file.run(&["maintain"]);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success() && said.contains("the write-ahead log is"), "{output:?}");
    drop(dualaudit);
    file.verified();
}
