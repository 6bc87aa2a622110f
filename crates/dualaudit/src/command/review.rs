//! `dualaudit review`: what somebody who looked at an execution says of it.

use std::{process::ExitCode, sync::Arc};

use dualaudit_record::entry::Verdict;

use super::{
    database::DatabaseArgs,
    extending::ExtendingArgs,
    hold::{ActorArgs, nobody},
    output,
};
use crate::{
    clock::SystemClock,
    export::Recorder,
    review::{Said, review},
    store::{Receipt, ReceiptResult, Wanted},
};

const EXAMPLES: &str = "\
Examples:
  dualaudit review 5f0c2c6e --verdict effective
  dualaudit review 5f0c2c6e --verdict harmful --note 'it restarted the wrong node' --actor jo
  dualaudit review 5f0c2c6e --attempt 1 --log prod --verdict ineffective";

/// Record a verdict on an execution. The newest on an attempt counts; the earlier ones stay. Said twice in a row, it is
/// recorded once.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The execution's id.
    id: String,
    /// Whether it did what it was for: effective, ineffective, or harmful where it made things worse.
    #[arg(long, value_name = "VERDICT", value_parser = clap::builder::ValueParser::new(verdict))]
    verdict: Verdict,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    actor: ActorArgs,
    /// Which run of it; without, the latest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    attempt: Option<u32>,
    /// The log it is in; needed where the id is in several.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    #[command(flatten)]
    extending: ExtendingArgs,
}

/// Records it.
///
/// # Errors
/// A database that cannot be opened; what cannot be reviewed.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let actor = match args.actor.name() {
        Ok(actor) => actor,
        Err(error) => return Ok(nobody(&error)),
    };
    let store = args.database.open_there().await?;
    let heads = args.extending.heads(store.as_ref()).await?;
    let recorder = Recorder::new(store, Arc::new(SystemClock), Vec::new()).extending(heads);
    let wanted = Wanted { id: args.id, log: args.log, attempt: args.attempt };
    let said = Said { verdict: args.verdict, note: args.note, actor };
    let Receipt { log, index, recorded_at, result, .. } = review(&recorder, &wanted, said).await?;
    let how = if result == ReceiptResult::Duplicate { "recorded already as" } else { "recorded as" };
    output::line(format_args!("{how} {log}/{index}, {recorded_at}"))?;
    Ok(ExitCode::SUCCESS)
}

fn verdict(text: &str) -> Result<Verdict, String> {
    text.parse().map_err(|error: dualaudit_record::UnknownName| error.to_string())
}
