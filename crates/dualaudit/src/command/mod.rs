//! The command line: one file a subcommand, dispatched here.
//!
//! Results go to stdout, logs and progress to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage,
//! 3 checked and found wrong.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::{ArgMatches, CommandFactory, FromArgMatches as _, Parser, Subcommand, parser::ValueSource};
use tracing_subscriber::EnvFilter;

pub mod accesses;
mod answers;
pub mod backup;
pub mod cluster;
mod columns;
pub mod completion;
pub mod crd;
pub mod database;
mod digest;
pub mod doctor;
mod entries;
pub mod erase;
mod examples;
pub mod export;
pub mod extending;
mod follow;
pub mod gaps;
pub mod get;
pub mod hold;
pub mod import;
mod kubectl;
pub mod list;
pub mod log;
pub mod maintain;
pub mod man;
pub mod migrate;
pub mod output;
mod pages;
mod partitions;
mod publish;
pub mod purge;
pub mod purges;
pub mod quarantine;
pub mod reader;
mod rebuild;
pub mod release;
pub mod review;
pub mod run;
pub mod simulate;
pub mod stats;
mod transport;
pub mod verify;
mod writer;

use kubectl::{Plugin, Reads};

/// What we are called by.
const PROGRAM: &str = "dualaudit";

const EXAMPLES: &str = "\
Examples:
  dualaudit crd --with rbac,service | kubectl apply -f -
  dualaudit run --database sqlite:/var/lib/dualaudit/audit.db
  dualaudit list --server http://127.0.0.1:8080 --outcome failed --since 24h
  dualaudit verify --database sqlite:/var/lib/dualaudit/audit.db
  dualaudit help hold add";

/// A dual audit system for workflow executions on Kubernetes: nothing leaves the cluster before the
/// database provably has it.
#[derive(Parser)]
#[command(name = PROGRAM, version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Args>),
    List(Box<list::Args>),
    Get(get::Args),
    Stats(stats::Args),
    Export(Box<export::Args>),
    Import(Box<import::Args>),
    Verify(verify::Args),
    Doctor(doctor::Args),
    Backup(backup::Args),
    Review(review::Args),
    Hold(hold::Args),
    Purge(purge::Args),
    Erase(erase::Args),
    Gaps(gaps::Args),
    Quarantine(quarantine::Args),
    Purges(purges::Args),
    Accesses(accesses::Args),
    Log(log::Args),
    Migrate(migrate::Args),
    Maintain(maintain::Args),
    Release(release::Args),
    Crd(crd::Args),
    Simulate(simulate::Args),
    Completion(completion::Args),
    Man(man::Args),
}

/// How long what runs beside the end of a command may take to end by itself.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let matches = match command_line().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return explain(&error),
    };
    start_logging();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("starting the runtime")),
    };
    let done = runtime.block_on(async {
        if kubectl::called() {
            let mut plugin = Plugin::from_arg_matches(&matches)?;
            plugin.command.prefer_the_command_line(&matches);
            kubectl::run(plugin, &matches).await
        } else {
            let mut command = Cli::from_arg_matches(&matches)?.command;
            command.prefer_the_command_line(&matches);
            dispatch(command).await
        }
    });
    // Whatever had to be finished is: what goes on are questions that nobody waits for, and folds, which begin anew.
    runtime.shutdown_timeout(LAST_BREATH);
    done.unwrap_or_else(|error| fail(&error))
}

/// What may be said, by the name that we were called by.
fn command_line() -> clap::Command {
    if kubectl::called() {
        examples::for_kubectl(examples::spread(Plugin::command(), PROGRAM))
    } else {
        examples::spread(Cli::command(), PROGRAM)
    }
}

impl Command {
    /// Where it reads, if it does, and about which namespace.
    fn reads(&mut self) -> Option<Reads<'_>> {
        match self {
            Self::List(args) => Some(args.reads()),
            Self::Get(args) => Some(args.reads()),
            Self::Stats(args) => Some(args.reads()),
            Self::Export(args) => Some(args.reads()),
            Self::Verify(args) => args.reads(),
            Self::Gaps(args) => Some(args.reads()),
            Self::Quarantine(args) => args.reads(),
            Self::Purges(args) => Some(args.reads()),
            Self::Accesses(args) => Some(args.reads()),
            Self::Review(args) => Some(args.reads()),
            Self::Hold(args) => Some(args.reads()),
            Self::Erase(args) => Some(args.reads()),
            Self::Log(args) => args.reads(),
            _ => None,
        }
    }
}

impl Command {
    /// Whom the environment names is not asked where the command line names another: what is erased somewhere else than it
    /// says cannot be brought back.
    fn prefer_the_command_line(&mut self, matches: &ArgMatches) {
        let by = |argument| given_by(matches, argument);
        if by("database") != Some(ValueSource::CommandLine) || by("server") != Some(ValueSource::EnvVariable)
        {
            return;
        }
        let reader = match self {
            Self::Import(args) => Some(args.to()),
            command => command.reads().map(|reads| reads.reader),
        };
        if let Some(reader) = reader {
            reader.server = None;
        }
    }
}

/// How an argument of the subcommand was given, if it has one of that name.
fn given_by(matches: &ArgMatches, argument: &str) -> Option<ValueSource> {
    let mut deepest = matches;
    while let Some((_, below)) = deepest.subcommand() {
        deepest = below;
    }
    deepest
        .try_contains_id(argument)
        .is_ok_and(|is_there| is_there)
        .then(|| deepest.value_source(argument))?
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(*args).await,
        Command::List(args) => list::run(*args).await,
        Command::Get(args) => get::run(args).await,
        Command::Stats(args) => stats::run(args).await,
        Command::Export(args) => export::run(*args).await,
        Command::Import(args) => import::run(*args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Review(args) => review::run(args).await,
        Command::Hold(args) => hold::run(args).await,
        Command::Purge(args) => purge::run(args).await,
        Command::Erase(args) => erase::run(args).await,
        Command::Gaps(args) => gaps::run(args).await,
        Command::Quarantine(args) => quarantine::run(args).await,
        Command::Purges(args) => purges::run(args).await,
        Command::Accesses(args) => accesses::run(args).await,
        Command::Log(args) => log::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Maintain(args) => maintain::run(args).await,
        Command::Release(args) => release::run(args).await,
        Command::Crd(args) => crd::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Completion(args) => completion::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Prints help where it was asked for, and otherwise what is wrong with the arguments and their usage,
/// which clap leaves out where only a value is wrong.
fn explain(error: &clap::Error) -> ExitCode {
    // A reader that went away has seen enough.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if !error.to_string().contains("Usage:") {
        eprintln!("{}", usage());
    }
    ExitCode::from(2)
}

/// Says what is wrong with the arguments, beyond what clap can tell, and their usage.
fn wrong_usage(what: &str) -> ExitCode {
    eprintln!("error: {what}\n\n{}", usage());
    ExitCode::from(2)
}

/// The usage of the subcommand that was asked for.
fn usage() -> String {
    let mut command = command_line();
    command.build();
    let asked_for = std::env::args().skip(1).find(|argument| command.find_subcommand(argument).is_some());
    let subcommand = asked_for.and_then(|name| command.find_subcommand_mut(name));
    subcommand.map_or_else(String::new, |command| command.render_usage().to_string())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("dualaudit: {error:#}");
    if let Some(what) = error.downcast_ref().and_then(reader::what_to_do) {
        eprintln!("dualaudit: {what}");
    }
    ExitCode::FAILURE
}

/// The client library logs each request that fails, without saying which or with its whole answer; we
/// say it once.
const LOGGED: &str = "info,kube_client=off,kube_runtime=off";

/// What is never told, whatever is asked for: the values of each statement, secrets of logs and records among them.
const UNTOLD: [&str; 1] = ["tokio_postgres=info"];

/// `DUALAUDIT_LOG` takes tracing's directives, such as `debug` or `dualaudit::controller=debug`.
fn start_logging() {
    let filter = EnvFilter::try_from_env("DUALAUDIT_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let untold = UNTOLD.iter().filter_map(|directive| directive.parse().ok());
    let filter = untold.fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
