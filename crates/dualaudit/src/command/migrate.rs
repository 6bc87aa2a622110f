//! `dualaudit migrate`: brings a database up to date, or moves logs to another.

use std::{io::Write, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    database::{DatabaseArgs, Location, Maintained, off_the_async_threads},
    maintain,
    output::{self, Columns, shown},
};
use crate::{
    clock::{Clock as _, SystemClock},
    moving::{Journey, MoveError, MovedLog, Step, move_logs},
    store::{
        Folding, Store, StoreError, UnreadableEntry,
        postgres::{self, PostgresStore},
        sqlite::{self, SqliteStore},
    },
};

const EXAMPLES: &str = "\
Moving copies every log, with its indexes, hashes and receipts, while it goes on taking records; then closes
it where it was, verifies the copy, and opens that. Whatever ends it, the same again goes on. Exit status: 0
moved, 1 not yet, 3 something is wrong and was not opened.

Examples:
  dualaudit migrate --database sqlite:/var/lib/dualaudit/dualaudit.db
  dualaudit migrate --database postgres://owner@db/audit --grant-to dualaudit
  dualaudit migrate --database postgres://owner@db/audit --grant-log east=audit_east --grant-log west=audit_west
  dualaudit migrate --from sqlite:/var/lib/dualaudit/dualaudit.db --to postgres://owner@db/audit";

/// Create a database's tables, or bring its schema up to date; of PostgreSQL, also do what
/// `dualaudit maintain` does. With --from and --to, move logs to another database.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Let this role do what `dualaudit run` does, and nothing that takes a record away (PostgreSQL).
    #[arg(long, value_name = "ROLE")]
    grant_to: Option<String>,
    /// Let this role write this log, besides what --grant-to does; may be repeated. From the first such grant on, a role
    /// writes the logs that it was granted, and no other (PostgreSQL).
    #[arg(long, value_name = "LOG=ROLE", value_parser = grant)]
    grant_log: Vec<(String, String)>,
    /// Move logs out of this database: sqlite:PATH. Instead of --database.
    #[arg(long, value_name = "URL", requires = "to", value_parser = super::database::Unrepeated)]
    from: Option<Location>,
    /// Move them into this one: postgres://OWNER@HOST:PORT/NAME.
    #[arg(long, value_name = "URL", requires = "from", value_parser = super::database::Unrepeated)]
    to: Option<Location>,
    /// Move this log only; may be repeated.
    #[arg(long, value_name = "NAME", requires = "from")]
    log: Vec<String>,
}

/// Migrates, or moves.
///
/// # Errors
/// A database that cannot be opened, or whose schema is newer than this program; a move that is not right, or
/// did not end.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { mut database, grant_to, grant_log, from, to, log } = args;
    if let (Some(from), Some(to)) = (from, to) {
        database.database = to;
        let moved = move_there(&from, &database, grant_to.as_deref(), &log).await?;
        database.grant_logs(&grant_log).await?;
        return Ok(moved);
    }
    let maintained = database.migrate(grant_to.as_deref()).await?;
    database.grant_logs(&grant_log).await?;
    fold_statistics(database.open().await?.as_ref()).await?;
    output::line(format_args!("The database {} is up to date.", database.database))?;
    if let Some(maintained) = maintained {
        output::line(maintain::sentence(Maintained::Postgres(maintained)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A log, and who may write it.
fn grant(text: &str) -> Result<(String, String), String> {
    let (log, role) = text.split_once('=').ok_or("must be LOG=ROLE")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    if !(1..=63).contains(&log.len()) || !log.chars().all(allowed) {
        return Err("a log's name is 1 to 63 of a-z, 0-9, '.' and '-'".to_owned());
    }
    if role.is_empty() {
        return Err("must be LOG=ROLE, and names no role".to_owned());
    }
    Ok((log.to_owned(), role.to_owned()))
}

/// Folds the statistics of what was recorded before there were any.
async fn fold_statistics(store: &dyn Store) -> anyhow::Result<()> {
    let bar = progress_bar();
    for head in store.logs().await? {
        bar.set_message(format!("statistics of {}", shown(&head.log)));
        while let Some(behind) = store.cells(&head.log, &[]).await?.behind {
            bar.set_length(behind.of);
            bar.set_position(behind.folded);
            if let Folding::PassedOver(entries) = store.fold(&head.log).await? {
                bar.suspend(|| {
                    entries.iter().for_each(|entry| eprintln!("{}", passed_over(&head.log, entry)))
                });
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// What statistics lack.
fn passed_over(log: &str, entry: &UnreadableEntry) -> String {
    format!(
        "The statistics of the log {} lack what entry {} gave, as it cannot be read: {}; `dualaudit verify` checks it.",
        shown(log),
        entry.index,
        shown(&entry.what)
    )
}

async fn move_there(
    from: &Location,
    database: &DatabaseArgs,
    grant_to: Option<&str>,
    logs: &[String],
) -> anyhow::Result<ExitCode> {
    let (Location::Sqlite(file), Location::Postgres(to)) = (from, &database.database) else {
        bail!(
            "cannot move {from} to {}: logs move from a file, sqlite:PATH, to a server, postgres://HOST/NAME",
            database.database
        );
    };
    let source = source(file).await.with_context(|| format!("cannot open the database {from}"))?;
    database.migrate(grant_to).await?;
    let options = postgres::Options { question_limit: None };
    let target = PostgresStore::open(&database.with_password(to)?, options, SystemClock.now())
        .await
        .with_context(|| format!("cannot open the database {}", database.database))?;
    let from = format!("sqlite:{}", std::fs::canonicalize(file)?.display());
    let journey = Journey { source: &source, target: &target, from, to: to.place(), clock: &SystemClock };
    let bar = progress_bar();
    let moved = move_logs(&journey, logs, &mut |step| {
        advance(&bar, step);
        Ok(())
    })
    .await;
    bar.finish_and_clear();
    match moved {
        Ok(moved) => {
            fold_statistics(&target).await?;
            let mut out = output::stdout();
            out.write_all(page(&moved, &journey.to).as_bytes())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => not_moved(error),
    }
}

/// Of a file that is there.
async fn source(file: &Path) -> anyhow::Result<SqliteStore> {
    if !file.exists() {
        bail!("there is no such file");
    }
    let options = sqlite::Options { question_limit: None, ..sqlite::Options::default() };
    Ok(off_the_async_threads(file, move |file| SqliteStore::open(file, options)).await??)
}

fn not_moved(error: MoveError) -> anyhow::Result<ExitCode> {
    let is_wrong = match &error {
        MoveError::Damaged(_) | MoveError::Store(StoreError::Corrupt(_)) => true,
        MoveError::Wrong { report, .. } => {
            for finding in &report.findings {
                eprintln!("dualaudit: {}", shown(&finding.to_string()));
            }
            true
        }
        MoveError::Store(_) | MoveError::Refused(_) | MoveError::Stopped => false,
    };
    if !is_wrong {
        return Err(anyhow::Error::new(error).context("not everything was moved"));
    }
    eprintln!("dualaudit: {}", shown(&error.to_string()));
    Ok(ExitCode::from(3))
}

/// To stderr; shows nothing unless that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} entries, {eta} left");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn advance(bar: &ProgressBar, step: Step<'_>) {
    let (doing, done, total) = match step {
        Step::Copy { log, done, total } => (format!("copying {}", shown(log)), done, total),
        Step::Verify { log, done, total } => (format!("verifying {}", shown(log)), done, total),
        Step::Track | Step::Close | Step::Open | Step::Note => return,
    };
    bar.set_message(doing);
    bar.set_length(total);
    bar.set_position(done);
}

/// What was moved, for people.
fn page(moved: &[MovedLog], to: &str) -> String {
    if moved.is_empty() {
        return "There is no log to move.\n".to_owned();
    }
    let rows = moved.iter().map(|MovedLog { log, entries, earlier }| {
        let when = if *earlier { "earlier" } else { "now, verified" };
        vec![log.clone(), entries.to_string(), when.to_owned()]
    });
    let rows: Vec<_> = rows.collect();
    let mut page = Columns::default().lay_out(Some(&["LOG", "ENTRIES", "MOVED"]), &rows);
    page.push_str(&format!(
        "\nThey go on in {to}, and take nothing any more where they were: run dualaudit with --database {to}.\n"
    ));
    page
}
