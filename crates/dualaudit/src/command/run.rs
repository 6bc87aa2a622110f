//! `dualaudit run`: controller and API in one process.

use std::{net::SocketAddr, num::NonZeroU32, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use dualaudit_record::{Time, checkpoint::SigningKey};
use futures::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    cluster::{CALL_TIMEOUT, ClusterArgs, WATCH_TIMEOUT, cluster_uid},
    database::DatabaseArgs,
    partitions,
    publish::PublishArgs,
    transport::TlsArgs,
};
use crate::{
    access::{Access, Guard, Recording, Trail},
    clock::{SharedClock, SystemClock, entropy},
    completeness::Digester,
    controller::{Cleanup, Cluster, Controller, Options, Policy},
    http::{
        self, Api, Rate,
        limits::{CLIENT_RATE, Limits},
    },
    ingest::Ingest,
    live::Board,
    metrics::Metrics,
    source::{DEFAULT_WINDOW, parse_window},
    store::{Head, LogOpening, LogState, Owner, SharedStore},
};

/// What runs until it is told to stop.
type Part = BoxFuture<'static, ()>;

/// The log of HTTP producers, unless others are named.
pub(super) const PRODUCERS_LOG: &str = "http";

/// Records finished executions of a cluster, keeps them for review, cleans up, and serves the API.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dualaudit run --database sqlite:/var/lib/dualaudit/audit.db --window 24h\n  dualaudit run --listen 0.0.0.0:8443 --tls-certificate /tls/tls.crt --tls-key /tls/tls.key"
)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    cluster_access: ClusterArgs,

    /// Address of the API
    #[arg(long, env = "DUALAUDIT_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Who may use the API: those whom Kubernetes lets, or everybody who reaches it, which goes with a loopback address only
    /// [default: anonymous on a loopback address, kubernetes elsewhere]
    #[arg(long, env = "DUALAUDIT_ACCESS", value_name = "HOW")]
    access: Option<AccessBy>,

    /// Whom bearer tokens must be meant for; more than one with commas [default: the API server]
    #[arg(long, env = "DUALAUDIT_TOKEN_AUDIENCE", value_delimiter = ',', value_name = "AUDIENCE")]
    token_audience: Vec<String>,

    /// How long what Kubernetes says of a token, or of what somebody may do, is remembered: 1s to 5m
    #[arg(long, env = "DUALAUDIT_ACCESS_CACHE", default_value = "15s", value_name = "DURATION", value_parser = remembered)]
    access_cache: Duration,

    /// Requests a second that one address may send to the API, and five times as many at once; 0 for no limit
    #[arg(long, env = "DUALAUDIT_CLIENT_RATE", default_value_t = CLIENT_RATE, value_name = "N")]
    client_rate: u32,

    /// Name of this cluster's log: 1 to 63 of a-z, 0-9, '.' and '-'
    #[arg(long, env = "DUALAUDIT_CLUSTER", default_value = "default", value_name = "NAME", value_parser = log_name)]
    cluster: String,

    /// The logs of HTTP producers; more than one with commas. What names none goes into the first
    #[arg(long, env = "DUALAUDIT_PRODUCERS_LOG", default_value = PRODUCERS_LOG, value_delimiter = ',', value_name = "NAME", value_parser = any_log_name)]
    producers_log: Vec<String>,

    /// Origin line of the log's checkpoints, fixed at its first use [default: dualaudit.dev/ and the
    /// uid of kube-system]
    #[arg(long, env = "DUALAUDIT_ORIGIN", value_name = "NAME", value_parser = origin)]
    origin: Option<String>,

    /// How long a finished resource stays for review; `dualaudit.dev/window` on a resource goes first
    #[arg(long, env = "DUALAUDIT_WINDOW", default_value = DEFAULT_WINDOW, value_name = "DURATION", value_parser = parse_window)]
    window: SignedDuration,

    /// What happens to a resource after its window
    #[arg(long, env = "DUALAUDIT_CLEANUP", default_value = "delete", value_name = "HOW")]
    cleanup: Cleanup,

    /// The most finished executions kept in the cluster: above it the oldest recorded leave early
    #[arg(long, env = "DUALAUDIT_MAX_RETAINED", value_name = "N")]
    max_retained: Option<usize>,

    /// Resources worked on at once
    #[arg(long, env = "DUALAUDIT_CONCURRENCY", default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// Watch this namespace only
    #[arg(long, env = "DUALAUDIT_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,

    /// dualaudit's own namespace, where the break-glass ledger is kept
    #[arg(long, env = "DUALAUDIT_NAMESPACE", default_value = "dualaudit", value_name = "NAMESPACE")]
    home: String,

    #[command(flatten)]
    tls: TlsArgs,

    #[command(flatten)]
    publish: PublishArgs,

    /// Run the controller without the API
    #[arg(long, conflicts_with = "api_only")]
    controller_only: bool,

    /// Run the API without the controller
    #[arg(long)]
    api_only: bool,
}

impl Args {
    /// Each of them once.
    fn producers_logs(&self) -> impl Iterator<Item = &String> {
        let named = self.producers_log.iter().enumerate();
        named.filter(|(place, log)| !self.producers_log[..*place].contains(log)).map(|(_, log)| log)
    }
}

/// By what it is decided who may use the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AccessBy {
    /// TokenReview and SubjectAccessReview
    Kubernetes,
    /// Nothing
    Anonymous,
}

/// Runs until SIGINT or SIGTERM, then finishes what was accepted.
///
/// # Errors
/// When the database, the cluster or the address cannot be used at the start.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let clock: SharedClock = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new());
    let tls = args.tls.open(Arc::clone(&metrics))?;
    let store = args.database.open().await?;
    if let Some(origin) = &args.origin {
        let heads = store.logs().await?;
        if !args.api_only {
            check_origin(&args.cluster, origin, &heads)?;
        }
        for log in args.producers_logs().filter(|_| !args.controller_only) {
            check_origin(log, &producers_origin(origin, log), &heads)?;
        }
    }
    let (stop, stopped) = watch::channel(false);
    // Checkpoints are made until everything that appends is done.
    let (stop_publishing, publishing_stopped) = watch::channel(false);
    // Begun once nothing can be refused any more: a start that fails leaves nobody in the middle of a question.
    let mut parts: Vec<Part> = Vec::new();
    let mut publishers: Vec<Part> = Vec::new();
    let digester = |ingest: &Ingest| {
        let (store, ingest, clock) = (Arc::clone(&store), ingest.clone(), Arc::clone(&clock));
        Digester { store, ingest, clock }.run(until(stopped.clone())).boxed()
    };
    let publisher = async |ingest: &Ingest| {
        let (store, ingest) = (Arc::clone(&store), ingest.clone());
        let (clock, metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
        let publisher = args.publish.publisher(store, ingest, &args.cluster_access, clock, metrics).await?;
        anyhow::Ok(publisher.run(until(publishing_stopped.clone())).boxed())
    };
    let cluster = match args.api_only {
        true => None,
        false => Some(cluster_log(&args, &store, &clock, &metrics).await?),
    };
    if !args.controller_only {
        let (store, clock, metrics) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics));
        let doors = cluster.iter().map(|(ingest, _)| ingest.clone()).collect();
        let live = cluster.as_ref().map(|(_, board)| Arc::clone(board));
        let (api, recording) = api(&args, store, clock, metrics, doors, live, stopped.clone()).await?;
        for producers in &api.producers {
            publishers.push(publisher(producers).await?);
            parts.push(digester(producers));
        }
        // Until those are done that may be refused.
        publishers.push(recording.run(until(publishing_stopped.clone())).boxed());
        let listener =
            TcpListener::bind(args.listen).await.with_context(|| format!("listening on {}", args.listen))?;
        let limits = Limits { rate: NonZeroU32::new(args.client_rate).map(Rate::of), ..Limits::default() };
        let (address, router) = (listener.local_addr()?, http::router_with(api, limits));
        parts.push(match tls {
            Some(tls) => {
                tracing::info!("serving https://{address}");
                http::serve_tls(listener, tls, router, until(stopped.clone())).boxed()
            }
            None => {
                tracing::info!("serving http://{address}");
                if !address.ip().is_loopback() {
                    tracing::warn!(
                        "whoever is between can read and change what is said with {address}: give it a certificate \
                         (--tls-certificate, --tls-key)"
                    );
                }
                http::serve(listener, router, until(stopped.clone())).boxed()
            }
        });
    }
    if let Some((ingest, board)) = cluster {
        publishers.push(publisher(&ingest).await?);
        parts.push(digester(&ingest));
        let controller = controller(&args, ingest, board, Arc::clone(&clock), Arc::clone(&metrics)).await?;
        tracing::info!(cluster = %args.cluster, window = %format_args!("{:#}", args.window), "watching WorkflowExecutions");
        parts.push(controller.run(until(stopped.clone())).boxed());
    }
    // Ends with the runtime: nothing waits for it.
    if let Some(server) = args.database.server()? {
        let (clock, metrics) = (Arc::clone(&clock), Arc::clone(&metrics));
        tokio::spawn(async move { partitions::watch(server, clock, &metrics).await });
    }
    let mut parts: JoinSet<()> = parts.into_iter().collect();
    let mut publishers: JoinSet<()> = publishers.into_iter().collect();
    tokio::select! {
        () = asked_to_stop() => tracing::info!("stopping: finishing what was accepted"),
        Some(ended) = parts.join_next() => ended.context("a part of dualaudit ended")?,
    }
    let _ = stop.send(true);
    while let Some(ended) = parts.join_next().await {
        ended?;
    }
    let _ = stop_publishing.send(true);
    while let Some(ended) = publishers.join_next().await {
        ended?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn api(
    args: &Args,
    store: SharedStore,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    doors: Vec<Ingest>,
    live: Option<Arc<Board>>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<(Api, Recording)> {
    let mut producers = Vec::new();
    for log in args.producers_logs() {
        let opening = producers_log(log, args.origin.as_deref(), clock.now());
        let door =
            Ingest::open(Arc::clone(&store), Arc::clone(&clock), opening, Arc::clone(&metrics)).await?;
        producers.push(door);
    }
    let keeps_copies = args.publish.keeps_copies();
    let access = access(args).await?;
    // Where there is a cluster, it is its users who ask.
    let door = doors.first().or(producers.first()).context("--producers-log names no log")?.clone();
    let (trail, recording) = Trail::into_log(door, Arc::clone(&clock));
    let api = Api { access, trail, store, producers, live, clock, metrics, doors, keeps_copies, stopping };
    Ok((api, recording))
}

async fn access(args: &Args) -> anyhow::Result<Access> {
    let is_loopback = args.listen.ip().to_canonical().is_loopback();
    match args.access {
        Some(AccessBy::Anonymous) if !is_loopback => bail!(
            "--access anonymous: whoever reaches {} could read and add anything. Listen on a loopback address, or leave --access \
             away, so that Kubernetes is asked who may do what",
            args.listen
        ),
        None | Some(AccessBy::Anonymous) if is_loopback => {
            tracing::warn!(address = %args.listen, "nobody is asked who they are: whoever is on this machine may do anything by the API");
            Ok(Access::Anonymous)
        }
        _ => {
            let client = args.cluster_access.client(CALL_TIMEOUT).await?;
            let uid = cluster_uid(&client).await?;
            let guard = Guard::new(client, uid, args.token_audience.clone(), args.access_cache);
            Ok(Access::Kubernetes(Arc::new(guard)))
        }
    }
}

/// How long an answer may be remembered.
fn remembered(text: &str) -> Result<Duration, String> {
    // Streams look again at that pace whether they may go on.
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(300));
    let asked = text.parse::<SignedDuration>().ok().and_then(|asked| Duration::try_from(asked).ok());
    asked
        .filter(|asked| (least..=most).contains(asked))
        .ok_or_else(|| "must be a duration from 1s to 5m, such as 15s".to_owned())
}

/// How a log of HTTP producers is opened. Its origin is random unless one is given, and counts at its first use only.
pub(super) fn producers_log(log: &str, origin: Option<&str>, now: Time) -> LogOpening {
    LogOpening {
        log: log.to_owned(),
        owner: Owner::Producers,
        origin: origin.map_or_else(
            || format!("dualaudit.dev/{}", hex::encode(entropy::<16>())),
            |origin| producers_origin(origin, log),
        ),
        secret: entropy(),
        now,
    }
}

/// The origin of a log of HTTP producers.
fn producers_origin(origin: &str, log: &str) -> String {
    format!("{origin}/{log}")
}

/// Refuses an origin that a log does not have: it was fixed when that was first used. That of a successor follows from
/// the first in its line.
fn check_origin(log: &str, named: &str, heads: &[Head]) -> anyhow::Result<()> {
    let succeeds = |head: &Head| matches!(&head.state, LogState::Succeeded { by } if by == log);
    match heads.iter().find(|head| head.log == log) {
        Some(there) if there.origin != named && !heads.iter().any(succeeds) => bail!(
            "--origin: the log {log} of this database has the origin {}, and not {named}: an origin is fixed when a log is \
             first used. Leave --origin away, or name another database",
            there.origin
        ),
        _ => Ok(()),
    }
}

/// The door into the cluster's log, and the board that shows what is live in it.
async fn cluster_log(
    args: &Args,
    store: &SharedStore,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Ingest, Arc<Board>)> {
    let client = args.cluster_access.client(CALL_TIMEOUT).await?;
    let uid = cluster_uid(&client).await?;
    let opening = LogOpening {
        log: args.cluster.clone(),
        origin: args.origin.clone().unwrap_or_else(|| format!("dualaudit.dev/{uid}")),
        owner: Owner::Cluster(uid),
        secret: entropy(),
        now: clock.now(),
    };
    let ingest = Ingest::open(Arc::clone(store), Arc::clone(clock), opening, Arc::clone(metrics)).await?;
    let look = Arc::new(Cluster {
        client,
        ingest: ingest.clone(),
        cluster: args.cluster.clone(),
        clock: Arc::clone(clock),
    });
    let board = Board::new(&ingest.log().name, look).of_namespace(args.watch_namespace.clone());
    Ok((ingest, Arc::new(board)))
}

async fn controller(
    args: &Args,
    ingest: Ingest,
    board: Arc<Board>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Controller> {
    let client = args.cluster_access.client(CALL_TIMEOUT).await?;
    let watch_client = args.cluster_access.client(WATCH_TIMEOUT).await?;
    let options = Options {
        policy: Policy { window: args.window, cleanup: args.cleanup },
        max_retained: args.max_retained,
        concurrency: args.concurrency.into(),
        cluster: args.cluster.clone(),
        watch_namespace: args.watch_namespace.clone(),
        home: args.home.clone(),
    };
    Ok(Controller::new(client, watch_client, ingest, board, clock, metrics, options))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Until SIGINT or SIGTERM.
pub(super) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a handler for SIGTERM can be set");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn log_name(text: &str) -> Result<String, String> {
    if text == PRODUCERS_LOG {
        return Err(format!("{PRODUCERS_LOG} is the log of HTTP producers; choose another name"));
    }
    any_log_name(text)
}

pub(super) fn any_log_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    if (1..=63).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a log's name is 1 to 63 of a-z, 0-9, '.' and '-'".to_owned())
    }
}

/// An origin that a key can be made for.
fn origin(text: &str) -> Result<String, String> {
    SigningKey::secret_text(text, [0; 32]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use dualaudit_record::digest::Digest;

    use super::*;

    #[test]
    fn an_origin_is_refused_where_a_log_has_another() {
        let head = |log: &str, origin: &str, state| Head {
            log: log.to_owned(),
            owner: Owner::Producers,
            origin: origin.to_owned(),
            size: 0,
            root: Digest([0; 32]),
            recorded_at: None,
            state,
            checkpoint: None,
        };
        let heads = [
            head("default", "a", LogState::Succeeded { by: "default.2".to_owned() }),
            head("default.2", "a/2", LogState::Open),
            head("http", "a/http", LogState::Open),
        ];
        for (log, origin, is_right) in [
            ("default", "a", true),
            ("default", "b", false),
            ("default.2", "b", true),
            ("http", "a/http", true),
            ("http", "b/http", false),
            ("other", "b", true),
        ] {
            let checked = check_origin(log, origin, &heads);
            assert_eq!(checked.is_ok(), is_right, "{log} {origin}: {checked:?}");
        }
        let said = check_origin("default", "b", &heads).unwrap_err().to_string();
        assert!(said.contains("has the origin a, and not b"), "{said}");
    }
}
