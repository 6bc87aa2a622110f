//! The admission policies, by the real API server: what is stamped, what is refused, and to whom.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
    time::Duration,
};

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    rbac::v1::{ClusterRole, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::{
    Cluster, Dualaudit, apply, eventually,
    in_cluster::{self, create},
    verified,
};

/// What everybody here may: everything with executions, in the namespace of the test.
const EVERYTHING: &str = "everything-with-executions";
/// How long after a policy was written stamps are believed.
const SPREAD: Duration = Duration::from_secs(11);

mod attacker;
mod rules;
mod stamps;

/// A cluster with the policies in force, of a `dualaudit run` with a window of 24 hours. mallory may everything with
/// executions there, olga is an operator besides, and rita a reviewer who may patch executions.
async fn guarded() -> Cluster {
    let cluster = peopled().await;
    for manifest in ["policy.yaml", "guard.yaml"] {
        apply(&cluster.admin, manifest).await;
    }
    eventually("the policies are in force", || async {
        let annotations =
            "\"annotations\": {\"dualaudit.dev/hold\": \"probe\", \"dualaudit.dev/hold-actor\": \"nobody\"}";
        let probe = cluster.tried("mallory", annotations);
        let probe: Value = serde_json::from_slice(&probe.stdout).ok()?;
        (probe["metadata"]["annotations"]["dualaudit.dev/hold-actor"] == "mallory"
            && probe["metadata"]["finalizers"][0] == "dualaudit.dev/record"
            && !cluster.tried("mallory", RECEIPT).status.success())
        .then_some(())
    })
    .await;
    cluster
}

/// A cluster with those who act here, and no policy yet.
async fn peopled() -> Cluster {
    let cluster = Cluster::alone().await;
    apply(&cluster.admin, "roles.yaml").await;
    let everything = json!({
        "metadata": { "name": EVERYTHING },
        "rules": [{
            "apiGroups": ["dualaudit.dev"],
            "resources": ["workflowexecutions", "workflowexecutions/status"],
            "verbs": ["*"],
        }],
    });
    let role: ClusterRole = serde_json::from_value(everything).unwrap();
    Api::all(cluster.admin.clone()).create(&PostParams::default(), &role).await.unwrap();
    for (role, users) in [
        (EVERYTHING, &["mallory", "olga", "rita"][..]),
        ("dualaudit-operator", &["olga"]),
        ("dualaudit-reviewer", &["rita"]),
    ] {
        let users: Vec<_> = users.iter().map(|user| json!({ "kind": "User", "name": user })).collect();
        let binding = json!({
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": users,
        });
        create::<RoleBinding>(&cluster.admin, &cluster.namespace, &binding).await;
    }
    cluster
}

const RECEIPT: &str = "\"annotations\": {\"dualaudit.dev/receipt\": \"{}\"}";

/// An execution, as YAML, with so much more in its metadata.
fn execution(name: &str, metadata: &str) -> String {
    let comma = if metadata.is_empty() { "" } else { ", " };
    format!(
        "{{\"apiVersion\": \"dualaudit.dev/v1alpha1\", \"kind\": \"WorkflowExecution\", \"metadata\": {{\"name\": \"{name}\"\
         {comma}{metadata}}}, \"spec\": {{\"workflow\": {{\"name\": \"restart\"}}}}}}"
    )
}

impl Cluster {
    /// What the real kubectl does for this user, in the namespace of the test.
    fn as_user(&self, user: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(in_cluster::kubectl());
        command.env_clear().env("HOME", self.dir.path()).env("KUBECONFIG", self.admin_kubeconfig());
        command.args(["-n", &self.namespace, "--as", user, "--request-timeout=20s"]).args(arguments);
        command.output().unwrap()
    }

    /// The same with an object on its standard input.
    fn written_by(&self, user: &str, arguments: &[&str], object: &str) -> Output {
        let mut command = Command::new(in_cluster::kubectl());
        command.env_clear().env("HOME", self.dir.path()).env("KUBECONFIG", self.admin_kubeconfig());
        command
            .args(["-n", &self.namespace, "--as", user, "--request-timeout=20s"])
            .args(arguments)
            .args(["-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(object.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What becomes of an execution with this metadata that the user creates, and that is not kept.
    fn tried(&self, user: &str, metadata: &str) -> Output {
        self.written_by(user, &["create", "--dry-run=server", "-o", "json"], &execution("tried", metadata))
    }

    /// Its annotations of ours and its finalizers, as one text.
    async fn marks(&self, name: &str) -> Value {
        let metadata = self.get(name).await.unwrap().metadata;
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|key, _| key.starts_with("dualaudit.dev/"));
        let short = |(key, value): (String, String)| (key.replace("dualaudit.dev/", ""), value.into());
        let annotations: serde_json::Map<_, _> = annotations.into_iter().map(short).collect();
        json!({ "annotations": annotations, "finalizers": metadata.finalizers.unwrap_or_default() })
    }
}

/// That kubectl did it.
#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// That the guard refused it, and says so.
#[track_caller]
fn refused(output: &Output, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it was done: {output:?}");
    assert!(said.contains("dualaudit-guard") && said.contains(says), "{says}: {said}");
}
