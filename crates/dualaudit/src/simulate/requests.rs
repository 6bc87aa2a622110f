//! The simulator's requests, and its patience with an API server that is away or overloaded.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{Execution, run::Error};
use crate::{
    crd::{WorkflowExecution, WorkflowExecutionStatus},
    source::FINALIZER,
};

/// Tries of one request; with the delays between them, some 40 seconds.
const TRIES: u32 = 12;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// Requests in one namespace.
pub(super) struct Requests {
    namespace: String,
    namespaces: Api<Namespace>,
    executions: Api<WorkflowExecution>,
}

impl Requests {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            namespaces: Api::all(client.clone()),
            executions: Api::namespaced(client, namespace),
        }
    }

    /// Creates the namespace if it is missing. Not being permitted to look is no error: it may well
    /// be there, and if not, the first creation in it says so.
    pub(super) async fn ensure_namespace(&self) -> Result<(), Error> {
        let what = || format!("create namespace {}", self.namespace);
        match patiently(async |_| self.namespaces.get_metadata_opt(&self.namespace).await).await {
            Ok(Some(_)) => return Ok(()),
            Err(error) if code(&error) == Some(403) => return Ok(()),
            Err(error) => return Err(refused(what(), error)),
            Ok(None) => {}
        }
        let metadata = ObjectMeta { name: Some(self.namespace.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        match patiently(async |_| self.namespaces.create(&PostParams::default(), &namespace).await).await {
            Ok(_) => Ok(()),
            // Somebody was faster, or an earlier try took effect.
            Err(error) if code(&error) == Some(409) => Ok(()),
            Err(error) => Err(refused(what(), error)),
        }
    }

    /// Creates an execution; with `protected`, with the finalizer from the first moment.
    pub(super) async fn create(&self, execution: &Execution, protected: bool) -> Result<(), Error> {
        let mut resource = execution.resource(&self.namespace);
        if protected {
            resource.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        }
        let created = patiently(async |try_number| {
            match self.executions.create(&PostParams::default(), &resource).await {
                // A try that seemed to fail had taken effect.
                Err(error) if code(&error) == Some(409) && try_number > 1 => Ok(()),
                answer => answer.map(drop),
            }
        });
        created.await.map_err(|error| match code(&error) {
            Some(409) => {
                Error::Exists { namespace: self.namespace.clone(), name: execution.name().to_owned() }
            }
            _ => refused(format!("create execution {}/{}", self.namespace, execution.name()), error),
        })
    }

    /// Writes a status; false when the execution is gone.
    pub(super) async fn write_status(
        &self,
        execution: &Execution,
        status: &WorkflowExecutionStatus,
    ) -> Result<bool, Error> {
        let patch = Patch::Merge(json!({ "status": status }) as Value);
        let patched = patiently(async |_| {
            self.executions.patch_status(execution.name(), &PatchParams::default(), &patch).await
        });
        match patched.await {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == Some(404) => Ok(false),
            Err(error) => {
                let name = execution.name();
                Err(refused(format!("write the status of {}/{name}", self.namespace), error))
            }
        }
    }
}

/// Tries until it succeeds, fails for good, or has failed [`TRIES`] times. Passes the number of the
/// try, from 1: an earlier one that seemed to fail may have taken effect.
async fn patiently<T>(request: impl AsyncFn(u32) -> kube::Result<T>) -> kube::Result<T> {
    let mut delay = FIRST_DELAY;
    for try_number in 1..TRIES {
        match request(try_number).await {
            Err(error) if is_passing(&error) => {
                tracing::debug!(%error, try_number, "trying again");
                tokio::time::sleep(delay.max(asked_delay(&error))).await;
                delay = (delay * 2).min(LONGEST_DELAY);
            }
            answer => return answer,
        }
    }
    request(TRIES).await
}

/// Whether another try may succeed.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

/// How long the API server asked us to wait, within reason.
fn asked_delay(error: &kube::Error) -> Duration {
    let kube::Error::Api(status) = error else { return Duration::ZERO };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(u64::from(seconds)).min(LONGEST_DELAY)
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn refused(what: String, error: kube::Error) -> Error {
    Error::Refused { what, error: Box::new(error) }
}
