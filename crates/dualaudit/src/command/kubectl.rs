//! `kubectl dualaudit …`: the same commands, found by kubectl as its plugin `kubectl-dualaudit`.
//!
//! What reads asks the dualaudit of the cluster that the kubeconfig leads to, by a port that is forwarded to it, and
//! is about the namespace of the context, as with kubectl.

mod find;
mod forward;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgMatches, Parser, parser::ValueSource};

use super::{
    Command,
    cluster::{ClusterArgs, PATIENCE},
    given_by,
    reader::{FoundAccess, ReaderArgs},
};
use crate::client::ClientError;
use forward::Forward;

/// What kubectl looks for in PATH.
const PROGRAM: &str = "kubectl-dualaudit";

const EXAMPLES: &str = "\
What reads (list, get, stats, export, verify, gaps, quarantine, purges, accesses, log digest), review and hold ask the dualaudit of the
cluster, unless --server or --database is given: the Service with the label app.kubernetes.io/name=dualaudit.

Examples:
  kubectl dualaudit list
  kubectl dualaudit list -A --outcome failed --since 24h
  kubectl dualaudit stats workflows -n shop --context prod
  kubectl dualaudit get 3c6f1a52-0f55-4a0e-9d0c-0f2f2f1f8a11 --server-namespace audit";

/// A dual audit system for workflow executions on Kubernetes: what ran, what became of it, and what can be learnt of it.
#[derive(Parser)]
#[command(name = PROGRAM, bin_name = "kubectl dualaudit", version, about, after_help = EXAMPLES)]
pub(super) struct Plugin {
    #[command(flatten)]
    way: Way,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The way to the server, and what of it is asked for.
#[derive(Clone, Debug, clap::Args)]
struct Way {
    /// The namespace that is asked about [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Ask about all namespaces; comes before --namespace.
    #[arg(short = 'A', long, global = true)]
    all_namespaces: bool,
    /// The kubeconfig context to use [default: the current one]
    #[arg(long, global = true, env = "DUALAUDIT_CONTEXT")]
    context: Option<String>,
    /// The kubeconfig file to use [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The namespace that dualaudit runs in [default: looked for in all]
    #[arg(long, global = true, value_name = "NAMESPACE")]
    server_namespace: Option<String>,
}

/// Whether kubectl called us.
pub(super) fn called() -> bool {
    let program = std::env::args_os().next().map(PathBuf::from);
    program.is_some_and(|path| path.file_stem().is_some_and(|name| name == PROGRAM))
}

/// What of a command the plugin fills in.
pub(super) struct Reads<'a> {
    /// Where it reads.
    pub(super) reader: &'a mut ReaderArgs,
    /// Which namespace it is about; `None` of what is about whole logs.
    pub(super) namespace: Option<&'a mut Option<String>>,
}

/// Does what kubectl was asked for.
///
/// # Errors
/// What there is no way to, and why; those of the command.
pub(super) async fn run(plugin: Plugin, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Plugin { way, mut command } = plugin;
    let Some(Reads { reader, namespace }) = command.reads() else { return super::dispatch(command).await };
    let access = ClusterArgs { context: way.context, kubeconfig: way.kubeconfig, api_qps: None };
    let asked_for = way.namespace.filter(|_| !way.all_namespaces);
    match (namespace, asked_for) {
        (None, Some(_)) => {
            return Ok(super::wrong_usage("--namespace: this is about whole logs, whatever the namespace"));
        }
        (None, None) => {}
        (Some(namespace), _) if way.all_namespaces => *namespace = None,
        (Some(namespace), Some(asked_for)) => *namespace = Some(asked_for),
        (Some(namespace), None) => *namespace = Some(access.config().await?.default_namespace),
    }
    if reader.is_server() || names_a_database(matches) {
        return super::dispatch(command).await;
    }
    let config = access.config().await?;
    let token = user::token(&config).map_err(|error| anyhow::anyhow!("the kubeconfig's user: {error}"))?;
    let has_token = token.is_some() || reader.access.names_a_token();
    let client = access.client_of(config)?;
    let found = tokio::time::timeout(PATIENCE, find::target(&client, way.server_namespace.as_deref())).await;
    let target =
        found.map_err(|_| anyhow::anyhow!("the API server did not answer within {PATIENCE:?}"))??;
    let forward = Forward::open(client, target).await?;
    reader.server = Some(forward.url());
    reader.access.found = FoundAccess { address: Some(forward.address()), token };
    super::dispatch(command).await.map_err(|error| explained(error, &forward, has_token))
}

/// Says by which way there was no answer, which the URL of a forwarded port does not, and what a kubeconfig may lack.
fn explained(error: anyhow::Error, forward: &Forward, has_token: bool) -> anyhow::Error {
    match error.downcast_ref() {
        Some(ClientError::Unreachable { .. } | ClientError::Untrusted { .. }) => {
            error.context(forward.to_string())
        }
        Some(ClientError::Problem(problem)) if problem.status == 401 && !has_token => {
            error.context(user::NO_TOKEN)
        }
        _ => error,
    }
}

/// Whether a database is named on the command line.
fn names_a_database(matches: &ArgMatches) -> bool {
    given_by(matches, "database") == Some(ValueSource::CommandLine)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;

    fn parsed(line: &str) -> (Plugin, ArgMatches) {
        let matches = Plugin::command().try_get_matches_from(line.split_whitespace()).unwrap();
        (Plugin::from_arg_matches(&matches).unwrap(), matches)
    }

    #[test]
    fn flags_of_kubectl_stand_wherever_they_may() {
        Plugin::command().debug_assert();
        for line in [
            "kubectl-dualaudit -n shop --context prod --kubeconfig k list",
            "kubectl-dualaudit list --kubeconfig k -n shop --context prod",
            "kubectl-dualaudit stats workflows --namespace shop --context=prod --kubeconfig=k",
        ] {
            let (Plugin { way, mut command }, _) = parsed(line);
            assert_eq!(way.namespace.as_deref(), Some("shop"), "{line}");
            assert_eq!((way.context.as_deref(), way.kubeconfig), (Some("prod"), Some("k".into())), "{line}");
            let namespace = command.reads().unwrap().namespace.unwrap();
            assert_eq!(namespace.as_deref(), Some("shop"), "{line}");
        }
        assert!(parsed("kubectl-dualaudit gaps list -A").0.way.all_namespaces);
    }

    #[test]
    fn a_database_that_is_named_is_told_from_the_one_that_is_meant_without() {
        let named = |line: &str| names_a_database(&parsed(line).1);
        assert!(named("kubectl-dualaudit gaps list --database sqlite:a.db"));
        assert!(!named("kubectl-dualaudit gaps list"));
        assert!(!named("kubectl-dualaudit crd"));
    }
}
