//! `dualaudit gaps list | get`: executions that were seen and are gone unrecorded.

use std::process::ExitCode;

use super::{entries::Action, kubectl::Reads};
use crate::query::Listing;

const EXAMPLES: &str = "\
Examples:
  dualaudit gaps list
  dualaudit gaps list --log default --all -o csv > gaps.csv
  dualaudit gaps get default/17 -o yaml";

/// List and show gaps: executions that were seen and are gone unrecorded.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

impl Args {
    /// Where it reads.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        self.action.reads()
    }
}

/// Lists or shows.
///
/// # Errors
/// What could not be reached or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.action.run(Listing::Gaps).await
}
