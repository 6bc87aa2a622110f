//! `dualaudit completion SHELL`: what a shell needs to complete our commands.

use std::{io::Write as _, process::ExitCode};

use clap_complete::Shell;

use super::{PROGRAM, command_line, output};

const EXAMPLES: &str = "\
Examples:
  dualaudit completion bash > /etc/bash_completion.d/dualaudit
  dualaudit completion zsh > ~/.zfunc/_dualaudit
  dualaudit completion fish > ~/.config/fish/completions/dualaudit.fish";

/// Print what a shell needs to complete commands and flags.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints it.
///
/// # Errors
/// When stdout cannot be written to.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line(), PROGRAM, &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
