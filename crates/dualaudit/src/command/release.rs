//! `dualaudit release --unrecorded`: break glass from the command line, without the database.

use std::process::ExitCode;

use super::{
    cluster::{CALL_TIMEOUT, ClusterArgs},
    output,
};
use crate::{
    clock::SystemClock,
    controller::{Ledger, release_unrecorded, said},
};

/// Lets every execution of a namespace go without a record (break glass).
///
/// What is let go is written to the ledger in dualaudit's own namespace first, and becomes gap
/// entries of the log when the database is back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dualaudit release --unrecorded --namespace shop --reason 'the database is lost, ticket 4711'"
)]
pub struct Args {
    #[command(flatten)]
    cluster_access: ClusterArgs,

    /// Says that it is meant: evidence is given up
    #[arg(long, required = true)]
    unrecorded: bool,

    /// The namespace whose executions are let go
    #[arg(long, value_name = "NAMESPACE")]
    namespace: String,

    /// Why; it goes into the ledger and into the log
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,

    /// dualaudit's own namespace, where the ledger is kept
    #[arg(long, env = "DUALAUDIT_NAMESPACE", default_value = "dualaudit", value_name = "NAMESPACE")]
    home: String,
}

/// Releases, and says how many.
///
/// # Errors
/// When the API server does not take a write; what was released until then is in the ledger.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.cluster_access.client(CALL_TIMEOUT).await?;
    let ledger = Ledger::new(client.clone(), &args.home);
    let released = release_unrecorded(client, &ledger, &SystemClock, &args.namespace, &args.reason)
        .await
        .map_err(|error| anyhow::anyhow!("the API server: {}", said(&error)))?;
    output::line(format_args!(
        "{released} released unrecorded in {}; the ledger is in namespace {} (ConfigMaps labelled dualaudit.dev/ledger)",
        args.namespace, args.home
    ))?;
    Ok(ExitCode::SUCCESS)
}
