//! `dualaudit log rebuild`: is what follows from the entries what they make of it?

use std::{fmt::Write as _, process::ExitCode};

use serde::Serialize;

use super::{
    cluster::ClusterArgs,
    database::DatabaseArgs,
    log::read_copies,
    output::{self, Columns, Form, shown},
    verify::{damaged, progress_bar},
};
use crate::{
    publish::copies::Place,
    rebuild::{Report, rebuild},
    store::{LogState, Mode, Owned, meant},
};

const EXAMPLES: &str = "\
Exit status: 0 everything is what the entries make of it, or is so now; 1 it could not be done; 3 --check found
something that differs.

Examples:
  dualaudit log rebuild --check
  dualaudit log rebuild --check --log default -o json
  dualaudit log rebuild --log default --checkpoint-copy file:/mnt/audit/checkpoints";

/// Fold a log again from its first entry, and put what follows from its entries in the place of what is stored.
///
/// That are the tree, the head, the hashes of leaves, holds, and what was purged or succeeded. Nothing is replaced
/// unless the entries are what was promised of them. Meanwhile the log takes nothing. For the database's owner.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Only compare, and change nothing: the log goes on.
    #[arg(long)]
    check: bool,
    /// This log only.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    /// Where checkpoints were kept outside the database: file:PATH or configmap:NAMESPACE/NAME; any number of them.
    #[arg(long, env = "DUALAUDIT_CHECKPOINT_COPY", value_name = "PLACE", value_delimiter = ',')]
    checkpoint_copy: Vec<Place>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// What came of all of them.
#[derive(Serialize)]
struct Reports {
    logs: Vec<Report>,
}

/// Compares or replaces, and exits with 3 where a comparison found something.
///
/// # Errors
/// What could not be read or may not be replaced, and why.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let store = match args.database.open_owned(!args.check).await {
        Ok(store) => store,
        Err(error) if args.check => return damaged(error),
        Err(error) => return Err(error),
    };
    let logs = match all(&args, store.as_ref()).await {
        Ok(logs) => logs,
        Err(error) if args.check => return damaged(error),
        Err(error) => return Err(error),
    };
    let clean = logs.iter().all(Report::is_clean);
    let reports = Reports { logs };
    output::document(&mut output::stdout(), args.output, &reports, || page(&reports.logs))?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Every log, or the one that is named; those that are still being copied here are none yet.
async fn all(args: &Args, store: &dyn Owned) -> anyhow::Result<Vec<Report>> {
    let mode = if args.check { Mode::Check } else { Mode::Replace };
    let mut heads = meant(store.logs().await?, args.log.as_deref())?;
    heads.retain(|head| args.log.is_some() || !matches!(head.state, LogState::Arriving { .. }));
    if heads.is_empty() && !args.checkpoint_copy.is_empty() {
        anyhow::bail!(
            "there is no log in this database, and checkpoints of some are kept elsewhere: is it the right one?"
        );
    }
    let bar = progress_bar("entries");
    let mut reports = Vec::new();
    for head in heads {
        bar.set_message(shown(&head.log));
        let promised = read_copies(&args.checkpoint_copy, &head.log, &head.origin, &args.cluster).await?;
        let step = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        reports.push(rebuild(store, &head.log, mode, &promised, step).await?);
    }
    bar.finish_and_clear();
    Ok(reports)
}

/// A report for people.
fn page(reports: &[Report]) -> String {
    let mut page = match reports {
        [] => return "There is no log yet.\n".to_owned(),
        reports => {
            let rows = reports.iter().flat_map(|report| {
                report.tables.iter().map(|table| {
                    let mut first = table.first.join(", ");
                    if table.differing > table.first.len() as u64 {
                        first.push_str(", …");
                    }
                    let rows = if table.rows == 0 { String::new() } else { table.rows.to_string() };
                    vec![report.log.clone(), table.table.to_owned(), rows, table.differing.to_string(), first]
                })
            });
            let header = ["LOG", "TABLE", "ROWS", "DIFFERING", "FIRST"];
            Columns::default().lay_out(Some(&header), &rows.collect::<Vec<_>>())
        }
    };
    for Report { log, entries, root, damaged, replaced, .. } in reports {
        let _ = writeln!(page, "\n{} has {entries} entries with the root {root}.", shown(log));
        for what in damaged {
            let _ = writeln!(page, "  {}", shown(what));
        }
        if *replaced {
            page.push_str("What differed was replaced.\n");
        }
    }
    page
}
