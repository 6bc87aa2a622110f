//! `dualaudit purges list | get`: what went because its time was over.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    entries::{self, Get, List},
    kubectl::Reads,
};
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

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List purges, oldest first; --all -o json or csv writes all there are.
    List(Box<List>),
    /// Show one.
    Get(Box<Get>),
}

impl Args {
    /// Where it reads.
    pub(super) fn reads(&mut self) -> Reads<'_> {
        match &mut self.action {
            Action::List(args) => args.reads(),
            Action::Get(args) => args.reads(),
        }
    }
}

/// Lists or shows.
///
/// # Errors
/// What could not be reached or written, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List(args) => entries::list(Listing::Purges, args).await,
        Action::Get(args) => entries::get(Listing::Purges, args).await,
    }
}
