//! `dualaudit crd`: prints what a cluster needs.

use std::{io::Write, process::ExitCode};

use jiff::SignedDuration;

use super::output;
use crate::{
    crd::manifest::{self, Manifest},
    source::{DEFAULT_WINDOW, parse_window},
};

/// Print the CustomResourceDefinition, and whatever else a cluster needs.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:\n  dualaudit crd --with rbac,roles,service | kubectl apply -f -\n  \
                  dualaudit crd --only policy,guard --window 48h | kubectl apply -f -")]
pub struct Args {
    /// Manifests to print after the CRD.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MANIFEST")]
    with: Vec<Manifest>,

    /// Manifests to print without the CRD.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MANIFEST", conflicts_with = "with")]
    only: Vec<Manifest>,

    /// The window of `dualaudit run`, below which the guard lets none be set.
    #[arg(long, env = "DUALAUDIT_WINDOW", default_value = DEFAULT_WINDOW, value_name = "DURATION", value_parser = parse_window)]
    window: SignedDuration,
}

/// Prints to stdout.
///
/// # Errors
/// When stdout cannot be written to.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut documents = Vec::new();
    if args.only.is_empty() {
        documents.push(manifest::crd_yaml()?.into());
    }
    documents.extend(args.with.iter().chain(&args.only).map(|manifest| manifest.yaml(args.window)));
    let mut out = output::stdout();
    out.write_all(documents.join("---\n").as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
