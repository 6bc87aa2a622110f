//! Who may do what by HTTP, as the RBAC of a real API server says: each role, each call, two namespaces.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{Namespace, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use reqwest::{Method, RequestBuilder, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::support::{Cluster, Dualaudit, apply, command, eventually, in_cluster::create, record};

/// How long what Kubernetes says is remembered here.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Whom tokens for dualaudit alone are meant for.
const AUDIENCE: &str = "dualaudit.dev";

mod lasting;
mod matrix;
mod objects;
mod on_record;
mod producers;
mod refused;

/// Two namespaces with an execution recorded and one that runs in each, and one that a producer sent; and who may what of
/// it: `reviewer` and `operator` in the first namespace, `auditor` and `producer` everywhere, `nobody` nothing.
struct Fixture {
    shop: Cluster,
    bank: Cluster,
    dualaudit: Dualaudit,
    /// Ids of what is recorded in the first namespace, and in the second.
    ids: [String; 2],
    tokens: BTreeMap<&'static str, String>,
}

const ROLES: [&str; 5] = ["reviewer", "operator", "producer", "auditor", "nobody"];

impl Fixture {
    async fn new() -> Self {
        Self::on(Cluster::alone().await).await
    }

    async fn on(shop: Cluster) -> Self {
        let kubeconfig = shop.kubeconfig.clone();
        Self::through(shop, &kubeconfig).await
    }

    /// With a dualaudit that reaches the API server by another kubeconfig.
    async fn through(shop: Cluster, kubeconfig: &std::path::Path) -> Self {
        let bank = another(&shop, "bank").await;
        apply(&shop.admin, "roles.yaml").await;
        let mut tokens = BTreeMap::new();
        for role in ROLES {
            tokens.insert(role, account(&shop, role).await);
        }
        for role in ["reviewer", "operator"] {
            bind(&shop, &shop.namespace, role, &shop.namespace).await;
        }
        for role in ["producer", "auditor"] {
            bind_everywhere(&shop, role).await;
        }
        let dualaudit = run(&shop, kubeconfig, &[]);
        let mut ids = Vec::new();
        for cluster in [&shop, &bank] {
            cluster.create("ended").await;
            cluster.finish("ended").await;
            ids.push(cluster.acknowledged("ended").await["id"].as_str().unwrap().to_owned());
            cluster.create("runs").await;
            cluster.begin("runs").await;
        }
        let ids = ids.try_into().unwrap();
        let fixture = Self { shop, bank, dualaudit, ids, tokens };
        let sent = fixture.ask("producer", Method::POST, "/api/v1/executions").json(&record("sent"));
        assert_eq!(sent.send().await.unwrap().status(), 201);
        eventually("both sides have it all", || async {
            let (_, list) = fixture.get("auditor", "/api/v1/executions").await;
            (list["items"].as_array().unwrap().len() == 5).then_some(())
        })
        .await;
        fixture
    }

    fn ask(&self, role: &str, method: Method, path: &str) -> RequestBuilder {
        asked(&self.dualaudit, method, path).bearer_auth(&self.tokens[role])
    }

    async fn get(&self, role: &str, path: &str) -> (u16, Value) {
        let answer = self.ask(role, Method::GET, path).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// What says that something of the second namespace, or of another log, was given away.
    fn foreign(&self) -> Vec<String> {
        let namespace = self.bank.namespace.clone();
        vec![namespace, self.ids[1].clone(), "\"sent\"".to_owned(), "\"http\"".to_owned(), "/sent".to_owned()]
    }
}

/// Another namespace of the same cluster.
async fn another(cluster: &Cluster, name: &str) -> Cluster {
    let namespace = format!("{}-{name}", cluster.namespace);
    let created: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
    Api::all(cluster.admin.clone()).create(&PostParams::default(), &created).await.unwrap();
    Cluster {
        plane: cluster.plane,
        admin: cluster.admin.clone(),
        namespace,
        home: cluster.home.clone(),
        kubeconfig: cluster.kubeconfig.clone(),
        simulator: cluster.simulator.clone(),
        dir: tempfile::tempdir().unwrap(),
        server: Some(cluster.database()),
    }
}

/// Runs dualaudit on all namespaces, and asks Kubernetes who may do what.
fn run(cluster: &Cluster, kubeconfig: &std::path::Path, arguments: &[&str]) -> Dualaudit {
    let mut command = command(kubeconfig);
    command
        .args(["run", "--listen", "127.0.0.1:0", "--window", "1h", "--database", &cluster.database()])
        .args(["--home", &cluster.home, "--access", "kubernetes", "--access-cache", "1s"])
        .args(arguments);
    Dualaudit::spawn(command)
}

fn asked(dualaudit: &Dualaudit, method: Method, path: &str) -> RequestBuilder {
    reqwest::Client::new().request(method, format!("{}{path}", dualaudit.url)).header("x-request-id", "test")
}

/// Makes a service account, and a token of it.
async fn account(cluster: &Cluster, name: &str) -> String {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    create::<ServiceAccount>(&cluster.admin, &cluster.namespace, &account).await;
    token(cluster, name, &[]).await
}

/// A token of a service account, for the API server unless it is meant for others.
async fn token(cluster: &Cluster, account: &str, audiences: &[&str]) -> String {
    let audiences = Some(audiences.iter().map(|it| (*it).to_owned()).collect());
    let spec = TokenRequestSpec { audiences, expiration_seconds: Some(7200), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    let answer: TokenRequest =
        accounts.create_subresource("token", account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token.unwrap()
}

fn binding(role: &str, namespace: &str) -> Value {
    json!({
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("dualaudit-{role}")},
        "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": namespace}],
    })
}

/// Binds a role in a namespace, to the account of that name in another.
async fn bind(cluster: &Cluster, namespace: &str, role: &str, of: &str) {
    let binding: RoleBinding = serde_json::from_value(binding(role, of)).unwrap();
    let bindings = Api::namespaced(cluster.admin.clone(), namespace);
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

/// Binds a role in the whole cluster, to the account of that name.
async fn bind_everywhere(cluster: &Cluster, role: &str) {
    let binding: ClusterRoleBinding = serde_json::from_value(binding(role, &cluster.namespace)).unwrap();
    Api::all(cluster.admin.clone()).create(&PostParams::default(), &binding).await.unwrap();
}

/// Takes such a binding away.
async fn unbind_everywhere(cluster: &Cluster, role: &str) {
    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.admin.clone());
    bindings.delete(role, &DeleteParams::default()).await.unwrap();
}

/// Takes a binding in the first namespace away.
async fn unbind(cluster: &Cluster, role: &str) {
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    bindings.delete(role, &DeleteParams::default()).await.unwrap();
}
