//! The command line: one file a subcommand, dispatched here.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 checked and found wrong.

pub mod backup;
pub mod crd;
pub mod database;
pub mod get;
pub mod list;
pub mod migrate;
pub mod output;
pub mod reader;
pub mod simulate;
pub mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A dual audit system for workflow executions on Kubernetes.
#[derive(Parser)]
#[command(name = "dualaudit", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {}
}
