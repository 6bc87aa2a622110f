//! `dualaudit migrate`: brings a database up to date.

use std::{io::Write, process::ExitCode};

use super::{database::DatabaseArgs, output};

const EXAMPLES: &str = "\
Example:
  dualaudit migrate --database sqlite:/var/lib/dualaudit/dualaudit.db";

/// Create a database, or bring its schema up to date.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Migrates.
///
/// # Errors
/// A database that cannot be opened, or whose schema is newer than this program.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.database.open().await?;
    let mut out = output::stdout();
    writeln!(out, "The database {} is up to date.", args.database.database)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
