//! `dualaudit log keygen | key | rebuild | succeed | digest`: what concerns a log as a whole.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use dualaudit_record::{checkpoint::SignedCheckpoint, entry::unfit_text};

use super::{
    cluster::{CALL_TIMEOUT, ClusterArgs},
    database::DatabaseArgs,
    digest,
    hold::{ActorArgs, nobody},
    kubectl::Reads,
    output::{self, shown},
    rebuild,
};
use crate::{
    clock::{Clock as _, SystemClock, entropy},
    publish::{
        copies::{Copies, Place},
        keys::{self, KeySource},
        succeed::{Said, succeed},
    },
};

const EXAMPLES: &str = "\
Examples:
  dualaudit log keygen --key-file log.key --log default
  dualaudit log keygen --key-file log.key --origin audit.example/prod
  dualaudit log key --key-file log.key
  dualaudit log rebuild --check
  dualaudit log succeed --log default --checkpoint-copy file:/mnt/audit/checkpoints --reason 'restored from a backup'
  dualaudit log digest --since 2026-11-01 --until 2026-11-30
  dualaudit log digest --server http://127.0.0.1:8080 --log default -o json";

/// The keys of logs, logs that go on where others could not, and whether anything is missing in them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a key that signs a log's checkpoints, and print the public key that they are checked by.
    ///
    /// The key is added to the file. While there are several for one log, all of them sign: add a new one, give
    /// its public key to those who verify, and take the old one out of the file then.
    Keygen(Keygen),
    /// Print the public keys of a file of keys.
    Key(Key),
    /// Fold a log again from its first entry, and put what follows from its entries in the place of what is stored.
    Rebuild(rebuild::Args),
    /// Open the successor of a log whose database was rolled back to an older state.
    ///
    /// The log takes nothing any more: what it has stays, and proves what it proved. Its successor goes on, begins
    /// with an entry that names the newest checkpoint that was kept, and records nothing again that is recorded.
    /// For the database's owner.
    Succeed(Succeed),
    /// Sum up the digests of days: how many executions there were, and whether any is missing.
    ///
    /// What is missing is named: each gap, each execution in quarantine that was not recorded since, days that have no
    /// digest. Then the exit status is 3. What is in flight is named, too.
    Digest(Box<digest::Args>),
}

impl Args {
    /// Where it reads, if it only does that.
    pub(super) fn reads(&mut self) -> Option<Reads<'_>> {
        match &mut self.action {
            Action::Digest(args) => Some(args.reads()),
            Action::Keygen(_) | Action::Key(_) | Action::Rebuild(_) | Action::Succeed(_) => None,
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
struct Keygen {
    /// The file to add the key to; it is created when it is missing.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// The origin of the log, as `dualaudit run --origin` names it.
    #[arg(long, value_name = "NAME", conflicts_with = "log", required_unless_present = "log")]
    origin: Option<String>,
    /// The log, if it is in the database already: its origin is read there.
    #[arg(long, value_name = "LOG")]
    log: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct Key {
    /// The file of keys.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
struct Succeed {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The log.
    #[arg(long, value_name = "LOG")]
    log: String,
    /// Where its checkpoints were kept: file:PATH or configmap:NAMESPACE/NAME; any number of them.
    #[arg(
        long,
        env = "DUALAUDIT_CHECKPOINT_COPY",
        value_name = "PLACE",
        value_delimiter = ',',
        required = true
    )]
    checkpoint_copy: Vec<Place>,
    /// Why the database was rolled back.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Does what the arguments say.
///
/// # Errors
/// What could not be done, and why.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Keygen(args) => keygen(args).await?,
        Action::Key(args) => key(&args.key_file).await?,
        Action::Rebuild(args) => return rebuild::run(args).await,
        Action::Succeed(args) => match args.actor.name() {
            Ok(actor) => succeed_log(args, actor).await?,
            Err(error) => return Ok(nobody(&error)),
        },
        Action::Digest(args) => return digest::run(&args).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn keygen(args: Keygen) -> anyhow::Result<()> {
    let origin = match (args.origin, args.log) {
        (Some(origin), _) => origin,
        (None, Some(log)) => origin_of(&args.database, &log).await?,
        (None, None) => bail!("name the log by --origin or --log"),
    };
    let public = keys::generate(&args.key_file, &origin, entropy())?;
    Ok(output::line(public)?)
}

async fn origin_of(database: &DatabaseArgs, log: &str) -> anyhow::Result<String> {
    let heads = database.open_existing().await?.logs().await?;
    let names: Vec<&str> = heads.iter().map(|head| head.log.as_str()).collect();
    let known = names.join(", ");
    let head = heads.iter().find(|head| head.log == log);
    let head = head.ok_or_else(|| anyhow!("there is no log {}; there are: {known}", shown(log)))?;
    Ok(head.origin.clone())
}

async fn key(file: &Path) -> anyhow::Result<()> {
    let mut out = output::stdout();
    for key in keys::read(&KeySource::File(file.to_owned()), None).await? {
        writeln!(out, "{}", key.public())?;
    }
    Ok(out.flush()?)
}

async fn succeed_log(args: Succeed, actor: String) -> anyhow::Result<()> {
    if let Some(rule) = unfit_text(&args.reason) {
        bail!("the reason {rule}");
    }
    let said = Said { reason: args.reason, actor };
    let store = args.database.open_owned(true).await?;
    let origin = origin_of(&args.database, &args.log).await?;
    let copies = read_copies(&args.checkpoint_copy, &args.log, &origin, &args.cluster).await?;
    let successor = succeed(store, &args.log, &copies, said, SystemClock.now()).await?;
    output::line(format_args!(
        "The log {successor} goes on in the place of {}, which takes nothing any more. Start `dualaudit run` as before; \
         for signed checkpoints make a key: dualaudit log keygen --log {successor}",
        args.log
    ))?;
    Ok(())
}

/// The newest checkpoint of a log in each of these places.
pub(super) async fn read_copies(
    places: &[Place],
    log: &str,
    origin: &str,
    cluster: &ClusterArgs,
) -> anyhow::Result<Vec<SignedCheckpoint>> {
    let in_cluster = places.iter().any(|place| matches!(place, Place::ConfigMap { .. }));
    let client = if in_cluster { Some(cluster.client(CALL_TIMEOUT).await?) } else { None };
    let copies = Copies::new(places.to_vec(), log, client);
    copies.newest(origin).await.context("the log was left as it is")
}
