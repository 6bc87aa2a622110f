//! The main job, end to end, on a real API server: `make demo`.
//!
//! With `--once` it exits by itself, with status 0 only if every claim it prints was checked.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{IsTerminal, Write, stdout},
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use kube::{Api, api::ListParams, core::DynamicObject};
use support::{Cluster, Dualaudit, binary, command, in_cluster};

const EXECUTIONS: usize = 300;
const WINDOW: &str = "5s";
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let once = std::env::args().any(|argument| argument == "--once");

    say("Starting a Kubernetes API server, with the CRD and dualaudit's least-privilege account");
    let cluster = Cluster::new().await;

    say(&format!("Starting dualaudit on SQLite, with a review window of {WINDOW} instead of 24 h"));
    let mut run = command(&cluster.kubeconfig);
    run.args(["run", "--listen", "127.0.0.1:0", "--window", WINDOW, "--home", &cluster.home]).args([
        "--watch-namespace",
        &cluster.namespace,
        "--database",
        &cluster.database(),
    ]);
    let dualaudit = Dualaudit::spawn(run);
    println!("  {}", dualaudit.url);

    say(&format!(
        "An engine runs {EXECUTIONS} remediation workflows; each is recorded, kept for review, released"
    ));
    let mut simulate = command(&cluster.simulator)
        .args(["simulate", "--count", &EXECUTIONS.to_string(), "--rate", "40", "--speedup", "100"])
        .args(["--seed", "7", "--namespace", &cluster.namespace])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("dualaudit simulate")?;
    let recorded = watch(&cluster, &dualaudit).await?;
    let simulated = simulate.wait()?;
    ensure!(simulated.success(), "dualaudit simulate: {simulated}");

    say("What the database has now");
    show(reader(&cluster, &dualaudit, "list").args(["--limit", "12"]))?;

    say("One execution in full");
    let of_interest = recorded.iter().find(|item| item["outcome"] == "partial").unwrap_or(&recorded[0]);
    let id = of_interest["id"].as_str().context("a record has an id")?;
    show(reader(&cluster, &dualaudit, "get").arg(id))?;

    say("The resources are gone, and the records are there");
    let left = cluster.executions().list(&ListParams::default()).await?.items.len();
    println!("  {left} WorkflowExecutions in the cluster, {} records in the database", recorded.len());
    ensure!(left == 0 && recorded.len() == EXECUTIONS, "each execution must be a record and no resource");

    say("Verifying every body, every leaf, every row and the tree");
    show(command(&cluster.kubeconfig).args(["verify", "--database", &cluster.database()]))?;

    if once {
        return Ok(ExitCode::SUCCESS);
    }
    in_cluster::announce(&cluster, &dualaudit.url).await;
    in_cluster::link_plugin(cluster.dir.path());
    let (program, kubectl) = (binary().canonicalize()?, in_cluster::kubectl().canonicalize()?);
    let path = [&program, &kubectl].map(|program| program.parent().map(Path::display));
    let [Some(program), Some(kubectl)] = path else { bail!("a program is in a directory") };
    println!(
        "\nIt keeps running. Try next, in another terminal:\n\
         \n  export PATH={plugin}:{program}:{kubectl}:$PATH KUBECONFIG={kubeconfig}\n\
         \n  dualaudit simulate --count 20 --namespace {ns}\n  kubectl get wfx -n {ns} --watch\
         \n  kubectl dualaudit list -n {ns} --outcome failed\n  kubectl dualaudit get {id}\
         \n  kubectl dualaudit stats workflows -A\
         \n  dualaudit list --server {url}\n\nCtrl-C ends everything.",
        plugin = cluster.dir.path().display(),
        kubeconfig = cluster.admin_kubeconfig().display(),
        url = dualaudit.url,
        ns = cluster.namespace,
    );
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the numbers as they move, until everything is recorded and released.
async fn watch(cluster: &Cluster, dualaudit: &Dualaudit) -> anyhow::Result<Vec<serde_json::Value>> {
    let executions: Api<DynamicObject> = cluster.executions();
    let began = Instant::now();
    let mut shown = String::new();
    loop {
        let live = executions.list_metadata(&ListParams::default()).await?.items.len();
        let recorded = dualaudit.recorded().await;
        let released = recorded.len().saturating_sub(live);
        let line =
            format!("  in the cluster {live:>4}   recorded {:>4}   released {released:>4}", recorded.len());
        if line != shown {
            if stdout().is_terminal() {
                print!("\r{line}");
                stdout().flush()?;
            } else {
                println!("{line}");
            }
            shown = line;
        }
        if live == 0 && recorded.len() == EXECUTIONS {
            println!();
            return Ok(recorded);
        }
        ensure!(began.elapsed() < PATIENCE, "not done after {PATIENCE:?}: {:#?}", dualaudit.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn reader(cluster: &Cluster, dualaudit: &Dualaudit, verb: &str) -> Command {
    let mut command = command(&cluster.kubeconfig);
    command.args([verb, "--server", &dualaudit.url]);
    command
}

fn show(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn say(what: &str) {
    println!("\n▸ {what}");
}
