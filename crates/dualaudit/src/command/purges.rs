//! `dualaudit purges list | get`: what went because its time was over.

use std::process::ExitCode;

use super::{entries::Action, kubectl::Reads};
use crate::query::Listing;

const EXAMPLES: &str = "\
Examples:
  dualaudit purges list
  dualaudit purges list --log default --all -o json > purges.json
  dualaudit purges get default/4711";

/// List and show purges that were run: parts of plans, each an entry of its log.
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
    args.action.run(Listing::Purges).await
}
