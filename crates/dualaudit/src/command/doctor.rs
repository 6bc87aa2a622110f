//! `dualaudit doctor`: is all there that dualaudit needs?

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use jiff::SignedDuration;
use serde::Serialize;

use super::{
    cluster::{CALL_TIMEOUT, ClusterArgs},
    database::DatabaseArgs,
    output::{self, Columns, Form, shown},
};
use crate::{
    clock::SystemClock,
    doctor::{
        Check, Verdict,
        cluster::{self, Scope},
        worst,
    },
    source::{DEFAULT_WINDOW, parse_window},
};

/// How long the cluster may take for all of its checks.
const PATIENCE: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Nothing is changed. Run it with the configuration of `dualaudit run`, and as the account that runs it: what
that may do is part of what is checked.

Exit status: 0 all is well or warned of, 1 something could not be checked, 3 something is wrong.

Examples:
  dualaudit doctor --database postgres://dualaudit@db/audit?sslmode=verify-full
  dualaudit doctor --database sqlite:/var/lib/dualaudit/audit.db -o json
  dualaudit doctor --no-cluster";

/// Check the database and the cluster: connection, durability, schema, privileges, clocks, partitions,
/// disk, access; and say what to do about what is wrong.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    cluster_access: ClusterArgs,
    /// Watch this namespace only: rights are needed there alone
    #[arg(long, env = "DUALAUDIT_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// dualaudit's own namespace, where the break-glass ledger is kept
    #[arg(long, env = "DUALAUDIT_NAMESPACE", default_value = "dualaudit", value_name = "NAMESPACE")]
    home: String,
    /// The review window of `run`: that of the policy dualaudit-guard should be the same
    #[arg(long, env = "DUALAUDIT_WINDOW", default_value = DEFAULT_WINDOW, value_name = "DURATION", value_parser = parse_window)]
    window: SignedDuration,
    /// Leave the cluster out, for a dualaudit that serves the API alone
    #[arg(long)]
    no_cluster: bool,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    verdict: Verdict,
    checks: Vec<Check>,
}

/// Checks, and exits with 3 where something is wrong.
///
/// # Errors
/// When the password cannot be read, or nothing can be printed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut checks = args.database.examine().await?;
    if !args.no_cluster {
        checks.extend(examine_cluster(&args).await);
    }
    let report = Report { verdict: worst(&checks), checks };
    output::document(&mut output::stdout(), args.output, &report, || page(&report))?;
    Ok(match report.verdict {
        Verdict::Ok | Verdict::Warning => ExitCode::SUCCESS,
        Verdict::Unknown => ExitCode::FAILURE,
        Verdict::Wrong => ExitCode::from(3),
    })
}

async fn examine_cluster(args: &Args) -> Vec<Check> {
    const NAME: &str = "cluster";
    const REMEDY: &str = "name a kubeconfig in KUBECONFIG, or leave the cluster out with --no-cluster";
    let client = match args.cluster_access.client(CALL_TIMEOUT).await {
        Ok(client) => client,
        Err(error) => return vec![Check::unknown(NAME, format!("{error:#}"), REMEDY)],
    };
    if let Err(error) = super::cluster::cluster_uid(&client).await {
        // Each of its sentences says what to do.
        return vec![Check::wrong(
            NAME,
            format!("{error:#}"),
            "nothing is recorded from this cluster until then",
        )];
    }
    let scope = Scope { home: &args.home, watched: args.watch_namespace.as_deref() };
    match tokio::time::timeout(PATIENCE, cluster::observe(&client, scope, &SystemClock)).await {
        Ok(Ok(seen)) => cluster::judge(&seen, args.window),
        Ok(Err(error)) => {
            vec![Check::unknown(NAME, format!("the API server failed meanwhile: {error}"), "try again")]
        }
        Err(_) => vec![Check::unknown(NAME, format!("not done within {PATIENCE:?}"), "try again")],
    }
}

/// A report for people.
fn page(report: &Report) -> String {
    let row = |check: &Check| vec![check.check.to_owned(), output::name(&check.verdict), check.found.clone()];
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    let mut page = Columns::default().lay_out(Some(&["CHECK", "VERDICT", "FOUND"]), &rows);
    let remedies = report.checks.iter().filter_map(|check| Some((check.check, check.remedy.as_ref()?)));
    for (place, (check, remedy)) in remedies.enumerate() {
        let heading = if place == 0 { "\nWhat to do:\n" } else { "" };
        let _ = writeln!(page, "{heading}  {check}: {}", shown(remedy));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_page_for_people() {
        let checks = vec![
            Check::ok("connection", "PostgreSQL 15.14, TLSv1.3, its name verified"),
            Check::warning(
                "partitions",
                "only 2 months after this one have theirs",
                "run `dualaudit maintain`",
            ),
            Check::wrong("kind", "it is not there\u{7}", "apply it"),
        ];
        let report = Report { verdict: worst(&checks), checks };
        insta::assert_snapshot!(page(&report), @r"
        CHECK       VERDICT  FOUND
        connection  ok       PostgreSQL 15.14, TLSv1.3, its name verified
        partitions  warning  only 2 months after this one have theirs
        kind        wrong    it is not there\u{7}

        What to do:
          partitions: run `dualaudit maintain`
          kind: apply it
        ");
    }
}
