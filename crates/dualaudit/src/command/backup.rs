//! `dualaudit backup FILE`: a consistent copy of a database in use.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;

use super::{database::DatabaseArgs, output};

const EXAMPLES: &str = "\
Copying the file of a database in use with other tools gives a broken copy; this gives a whole one.

Examples:
  dualaudit backup /backups/dualaudit-2026-05-01.db";

/// Write a consistent copy of the database to a new file, while it is in use.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file to write; must not be there yet.
    file: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Copies.
///
/// # Errors
/// A database that cannot be opened; a file that is there already or cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file = &args.file;
    args.database.backup(file).await?;
    let bytes = std::fs::metadata(file).with_context(|| format!("cannot find {}", file.display()))?.len();
    output::line(format_args!("{}: {bytes} bytes, a copy of {}", file.display(), args.database.database))?;
    Ok(ExitCode::SUCCESS)
}
