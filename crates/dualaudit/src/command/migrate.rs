//! `dualaudit migrate`: brings a database up to date.

use std::{io::Write, process::ExitCode};

use super::{
    database::{DatabaseArgs, Maintained},
    maintain, output,
};

const EXAMPLES: &str = "\
Examples:
  dualaudit migrate --database sqlite:/var/lib/dualaudit/dualaudit.db
  dualaudit migrate --database postgres://owner@db/audit --grant-to dualaudit";

/// Create a database's tables, or bring its schema up to date; of PostgreSQL, also do what
/// `dualaudit maintain` does.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Let this role do what `dualaudit run` does, and nothing that takes a record away (PostgreSQL).
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
}

/// Migrates.
///
/// # Errors
/// A database that cannot be opened, or whose schema is newer than this program.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let maintained = args.database.migrate(args.grant_to.as_deref()).await?;
    let mut out = output::stdout();
    writeln!(out, "The database {} is up to date.", args.database.database)?;
    if let Some(maintained) = maintained {
        writeln!(out, "{}", maintain::sentence(Maintained::Postgres(maintained)))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
