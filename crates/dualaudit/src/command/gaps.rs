//! `dualaudit gaps list | get`: executions that were seen and are gone unrecorded.

use std::process::ExitCode;

use clap::Subcommand;

use super::{
    entries::{self, Get, List},
    kubectl::Reads,
};
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

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List gaps, oldest first; --all -o json or csv writes all there are, whole.
    List(Box<List>),
    /// Show one gap with the last state of its resource.
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
        Action::List(args) => entries::list(Listing::Gaps, args).await,
        Action::Get(args) => entries::get(Listing::Gaps, args).await,
    }
}
