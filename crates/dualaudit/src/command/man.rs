//! `dualaudit man [DIR]`: the manual, a page a command.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap_mangen::Man;

use super::{command_line, output};

const EXAMPLES: &str = "\
Examples:
  dualaudit man | man -l -
  dualaudit man /usr/local/share/man/man1";

/// Print the manual page, or write those of all commands.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to write the pages of all commands, dualaudit.1, dualaudit-list.1 and so on; made where it is missing.
    /// Without, the first of them is printed.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints or writes.
///
/// # Errors
/// What cannot be written, and why.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command_line()).render(&mut page)?;
        let mut out = output::stdout();
        out.write_all(&page)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    clap_mangen::generate_to(command_line(), dir)
        .with_context(|| format!("cannot write the pages into {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
