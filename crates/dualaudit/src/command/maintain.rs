//! `dualaudit maintain`: what a database needs of its owner from time to time.

use std::process::ExitCode;

use super::{
    database::{DatabaseArgs, Maintained},
    output,
};
use crate::store::Removed;

const EXAMPLES: &str = "\
It can be ended at any point and run again, while `dualaudit run` goes on. deploy/maintain.yaml runs it in
a cluster every week.

Examples:
  dualaudit maintain --database postgres://owner@db/audit --database-password-file /run/secrets/owner
  dualaudit maintain --database sqlite:/var/lib/dualaudit/dualaudit.db";

/// Do what a database needs from time to time: of PostgreSQL, as the owner of its tables, give the next
/// six months their partitions; of SQLite, empty the write-ahead log into the file. Of both, remove for good
/// what was purged.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Maintains, and says what was done.
///
/// # Errors
/// A database that cannot be opened or has to be migrated first; a role that is not its owner; tables
/// that were in use all the time.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let maintained = args.database.maintain().await?;
    output::line(format_args!("{}: {}", args.database.database, sentence(maintained)))?;
    Ok(ExitCode::SUCCESS)
}

/// What was done, for people.
pub(super) fn sentence(maintained: Maintained) -> String {
    match maintained {
        Maintained::Postgres(done) => {
            let made = match done.partitions {
                0 => "no partition was missing".to_owned(),
                1 => "1 partition is new".to_owned(),
                made => format!("{made} partitions are new"),
            };
            format!("{made}; {} months after this one have theirs. {}", done.months_ahead, gone(done.removed))
        }
        Maintained::Sqlite(done) => {
            let log = if done.emptied {
                "the write-ahead log is empty"
            } else {
                "the write-ahead log is in use and keeps its room"
            };
            format!(
                "{} pages of the write-ahead log are in the file; {log}. {} bytes of the file are free for what \
                 comes next. {}",
                done.pages_written,
                done.free_bytes,
                gone(done.removed)
            )
        }
    }
}

/// What was removed, for people.
fn gone(Removed { executions, months }: Removed) -> String {
    let dropped = match months {
        0 => String::new(),
        1 => ", 1 whole month at once".to_owned(),
        months => format!(", {months} whole months at once"),
    };
    match executions {
        0 => "Nothing purged was left to remove.".to_owned(),
        1 => format!("The rows of 1 purged execution are removed{dropped}."),
        executions => format!("The rows of {executions} purged executions are removed{dropped}."),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use crate::{command::Cli, crd::manifest::Manifest, source::default_window, store::postgres};

    #[test]
    fn the_shipped_cron_job_is_a_command_line_of_ours() {
        let documents: Vec<serde_json::Value> =
            serde_saphyr::from_multiple(&Manifest::Maintain.yaml(default_window())).unwrap();
        let job = documents.iter().find(|document| document["kind"] == "CronJob").unwrap();
        let container = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"], serde_json::json!(["dualaudit", "maintain"]));
        let cli = Cli::command();
        let maintain = cli.find_subcommand("maintain").unwrap();
        let known: BTreeSet<_> = maintain.get_arguments().filter_map(clap::Arg::get_env).collect();
        for variable in container["env"].as_array().unwrap() {
            let (name, value) = (variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
            assert!(known.contains(std::ffi::OsStr::new(name)), "{name} is none of {known:?}");
            if name == "DUALAUDIT_DATABASE" {
                assert!(postgres::Location::parse(value).is_ok_and(|location| !location.has_password()));
            }
        }
    }
}
