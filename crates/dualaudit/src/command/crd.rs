//! `dualaudit crd`: prints what a cluster needs.

use std::{io::Write, process::ExitCode};

use super::output;
use crate::crd::manifest::{self, Manifest};

/// Print the CustomResourceDefinition, and whatever else a cluster needs.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:\n  dualaudit crd --with rbac,service,policy | kubectl apply -f -")]
pub struct Args {
    /// Manifests to print after the CRD.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MANIFEST")]
    with: Vec<Manifest>,
}

/// Prints to stdout.
///
/// # Errors
/// When stdout cannot be written to.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut yaml = manifest::crd_yaml()?;
    for manifest in args.with {
        yaml.push_str("---\n");
        yaml.push_str(manifest.yaml());
    }
    let mut out = output::stdout();
    out.write_all(yaml.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
