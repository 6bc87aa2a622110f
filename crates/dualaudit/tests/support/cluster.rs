//! A cluster with dualaudit's manifests installed, and a namespace of its own for each test.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use dualaudit::clock::{Clock, SystemClock};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::control_plane::{ControlPlane, workspace};

/// Where dualaudit keeps its ledger.
pub const HOME: &str = "dualaudit";

/// One test's share of a cluster: its namespace, and kubeconfigs for who acts there.
pub struct Cluster {
    pub plane: &'static ControlPlane,
    /// With every right.
    pub admin: Client,
    /// This test's namespace.
    pub namespace: String,
    /// Where this test's dualaudit keeps its ledger.
    pub home: String,
    /// Kubeconfig of dualaudit's service account.
    pub kubeconfig: PathBuf,
    /// Kubeconfig of the simulator's service account.
    pub simulator: PathBuf,
    /// For databases and the like.
    pub dir: TempDir,
    /// The URL of the test's database, if it is no file.
    pub server: Option<String>,
}

impl Cluster {
    /// A new namespace on the shared control plane.
    pub async fn new() -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared();
        INSTALLED.get_or_init(|| async { install(&plane.admin().await).await }).await;
        Self::on(plane).await
    }

    /// A new namespace on a control plane of its own, for a test that stops parts of it or changes
    /// what all share. The test ends it; a test that panics leaves that to the end of the process.
    pub async fn alone() -> Self {
        let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start()));
        install(&plane.admin().await).await;
        Self::on(plane).await
    }

    async fn on(plane: &'static ControlPlane) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let admin = plane.admin().await;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("test-{}-{number}", std::process::id());
        let home = format!("{namespace}-home");
        for name in [&namespace, &home] {
            let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
            let created = Namespace { metadata, ..Namespace::default() };
            Api::all(admin.clone()).create(&PostParams::default(), &created).await.expect("a namespace");
        }
        grant_home(&admin, &home).await;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let kubeconfig = account_kubeconfig(plane, &admin, "dualaudit", &dir).await;
        let simulator = account_kubeconfig(plane, &admin, "dualaudit-simulator", &dir).await;
        Self { plane, admin, namespace, home, kubeconfig, simulator, dir, server: None }
    }

    /// The executions of this namespace, with every right.
    pub fn executions(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.admin.clone(), &self.namespace, &dualaudit::source::api_resource())
    }

    /// The same with a database on a server.
    pub fn on_server(self, url: String) -> Self {
        Self { server: Some(url), ..self }
    }

    /// The database of this test: an SQLite file unless it is on a server.
    pub fn database(&self) -> String {
        let file = || format!("sqlite:{}", self.dir.path().join("audit.db").display());
        self.server.clone().unwrap_or_else(file)
    }

    /// Creates an execution with a plan of two steps that has not begun.
    pub async fn create(&self, name: &str) -> DynamicObject {
        self.create_with(name, json!({})).await
    }

    /// The same, with more metadata.
    pub async fn create_with(&self, name: &str, metadata: Value) -> DynamicObject {
        let mut object = json!({
            "apiVersion": "dualaudit.dev/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": {
                "remediationRef": { "name": format!("rem-{name}") },
                "workflow": { "name": "restart-deployment", "version": "v1.2.0" },
                "incidentType": "CrashLoopBackOff",
                "target": { "kind": "Deployment", "namespace": "shop", "name": "cart" },
                "steps": [
                    { "number": 1, "name": "scale-down", "action": "scale" },
                    { "number": 2, "name": "restart", "action": "restart", "parameters": { "apiToken": "s3cr3t-value" } },
                ],
            },
        });
        merge(&mut object["metadata"], metadata);
        let object = serde_json::from_value(object).expect("an execution");
        self.executions().create(&PostParams::default(), &object).await.expect("it is created")
    }

    /// Writes status, as an engine does.
    pub async fn status(&self, name: &str, status: Value) -> DynamicObject {
        let patch = Patch::Merge(json!({ "status": status }));
        self.executions()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("its status is written")
    }

    /// Brings it to phase Executing.
    pub async fn begin(&self, name: &str) -> DynamicObject {
        let now = SystemClock.now();
        let status = json!({
            "phase": "Executing",
            "startTime": now,
            "steps": [{ "number": 1, "action": "scale", "status": "Executing", "startTime": now }],
        });
        self.status(name, status).await
    }

    /// Brings it to phase Completed.
    pub async fn finish(&self, name: &str) -> DynamicObject {
        self.status(name, finished()).await
    }

    /// Merges a patch into its metadata.
    pub async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
        self.executions().patch(name, &PatchParams::default(), &patch).await.expect("it is annotated");
    }

    /// Deletes it, in the background as kubectl does.
    pub async fn delete(&self, name: &str) {
        self.executions().delete(name, &DeleteParams::background()).await.expect("it is deleted");
    }

    /// Takes every finalizer off by hand.
    pub async fn strip(&self, name: &str) {
        self.try_strip(name).await.expect("it is stripped");
    }

    /// The same, where it may be gone already.
    pub async fn try_strip(&self, name: &str) -> kube::Result<DynamicObject> {
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        self.executions().patch(name, &PatchParams::default(), &patch).await
    }

    /// The administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> &Path {
        self.plane.kubeconfig()
    }

    /// How many entries the break-glass ledger has.
    pub async fn ledger(&self) -> usize {
        let maps: Api<ConfigMap> = Api::namespaced(self.admin.clone(), &self.home);
        let listed = maps.list(&ListParams::default().labels("dualaudit.dev/ledger")).await;
        listed.expect("ConfigMaps").items.iter().map(|map| map.data.iter().flatten().count()).sum()
    }

    pub async fn get(&self, name: &str) -> Option<DynamicObject> {
        self.executions().get_opt(name).await.expect("the API server answers")
    }

    /// Waits until the receipt is on it.
    pub async fn acknowledged(&self, name: &str) -> Value {
        eventually(&format!("{name} has its receipt"), || async {
            let object = self.get(name).await?;
            let text = object.metadata.annotations?.get("dualaudit.dev/receipt")?.clone();
            Some(serde_json::from_str(&text).expect("the receipt is JSON"))
        })
        .await
    }

    /// Whether it has its receipt by now.
    pub async fn is_acknowledged(&self, name: &str) -> bool {
        let annotations = self.get(name).await.and_then(|object| object.metadata.annotations);
        annotations.is_some_and(|annotations| annotations.contains_key("dualaudit.dev/receipt"))
    }

    /// Waits until it is gone.
    pub async fn gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), || async { self.get(name).await.is_none().then_some(()) })
            .await;
    }

    /// Waits until our finalizer is on it.
    pub async fn protected(&self, name: &str) {
        eventually(&format!("{name} is protected"), || async {
            let finalizers = self.get(name).await?.metadata.finalizers?;
            finalizers.iter().any(|name| name == "dualaudit.dev/record").then_some(())
        })
        .await;
    }
}

/// The status of an execution that completed, two steps in three seconds.
pub fn finished() -> Value {
    json!({
        "phase": "Completed",
        "startTime": "2026-01-02T03:04:05.000001Z",
        "completionTime": "2026-01-02T03:04:08.000001Z",
        "steps": [
            { "number": 1, "action": "scale", "status": "Completed",
              "startTime": "2026-01-02T03:04:05.000001Z", "endTime": "2026-01-02T03:04:06.000001Z" },
            { "number": 2, "action": "restart", "status": "Completed", "retriesAttempted": 1,
              "startTime": "2026-01-02T03:04:06.000001Z", "endTime": "2026-01-02T03:04:08.000001Z" },
        ],
    })
}

/// Asks until there is an answer, for at most 90 seconds: a busy machine takes several times as long as an idle one.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Applies what every test needs of `deploy/`: no admission policies.
pub async fn install(admin: &Client) {
    for file in ["crd.yaml", "rbac.yaml", "simulator.yaml"] {
        apply(admin, file).await;
    }
    let crds: Api<DynamicObject> = Api::all_with(admin.clone(), &dualaudit::source::api_resource());
    eventually("the CRD is served", || async { crds.list(&Default::default()).await.ok() }).await;
}

/// Gives dualaudit in another namespace what `deploy/rbac.yaml` gives it in its own.
async fn grant_home(admin: &Client, home: &str) {
    let metadata = ObjectMeta { name: Some("dualaudit".to_owned()), ..ObjectMeta::default() };
    let shipped: Role = Api::namespaced(admin.clone(), HOME).get("dualaudit").await.expect("the role");
    let role = Role { metadata: metadata.clone(), ..shipped };
    Api::namespaced(admin.clone(), home).create(&PostParams::default(), &role).await.expect("a role");
    let shipped: RoleBinding =
        Api::namespaced(admin.clone(), HOME).get("dualaudit").await.expect("the binding");
    let binding = RoleBinding { metadata, ..shipped };
    Api::namespaced(admin.clone(), home).create(&PostParams::default(), &binding).await.expect("a binding");
}

/// Applies one manifest of `deploy/`.
pub async fn apply(admin: &Client, file: &str) {
    let text = std::fs::read_to_string(workspace().join("deploy").join(file)).expect("a manifest");
    for document in text.split("\n---").filter(|document| document.contains("kind:")) {
        let object: DynamicObject = serde_saphyr::from_str(document).expect("a Kubernetes object");
        let types = object.types.clone().expect("it says what it is");
        let gvk = GroupVersionKind::try_from(&types).expect("a group, a version and a kind");
        let kind = ApiResource::from_gvk(&gvk);
        let api: Api<DynamicObject> = match &object.meta().namespace {
            Some(namespace) => Api::namespaced_with(admin.clone(), namespace, &kind),
            None => Api::all_with(admin.clone(), &kind),
        };
        let name = object.metadata.name.clone().expect("it has a name");
        let params = PatchParams::apply("dualaudit-tests").force();
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// A kubeconfig for a service account of dualaudit's namespace, by a token as a pod gets it.
pub async fn account_kubeconfig(
    plane: &ControlPlane,
    admin: &Client,
    account: &str,
    dir: &TempDir,
) -> PathBuf {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec { expiration_seconds: Some(7200), ..TokenRequestSpec::default() }),
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), HOME);
    let answer: TokenRequest = accounts
        .create_subresource("token", account, &PostParams::default(), &request)
        .await
        .expect("a token");
    let token = answer.status.expect("a status").token;
    // The administrator's, with another user.
    let text = std::fs::read_to_string(plane.kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("a kubeconfig is YAML");
    kubeconfig["users"] = json!([{ "name": account, "user": { "token": token } }]);
    kubeconfig["contexts"][0]["context"]["user"] = json!(account);
    let path = dir.path().join(format!("{account}.kubeconfig"));
    std::fs::write(&path, kubeconfig.to_string()).expect("the kubeconfig is written");
    path
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}
