//! What it costs to ask Kubernetes who may do what.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};
use serde_json::json;

use crate::{
    heading, percentile,
    support::{Cluster, Dualaudit, apply, command, in_cluster::create},
};

const USERS: usize = 10;
const REQUESTS: usize = 10_000;
const EXECUTIONS: usize = 50;
/// Objects that are read, one after the other and then several at once.
const READS: usize = 400;
/// What the p99 may grow by.
const GOAL: Duration = Duration::from_millis(1);
/// Reviews of tokens that may be sent for all requests.
const GOAL_REVIEWS: u64 = 50;

/// Lists and single executions of ten users who may read one namespace, beside the same of whoever reaches a server.
pub(crate) async fn asked_by_users_beside_anybody() {
    heading(&format!("{REQUESTS} requests of {USERS} users who may read one namespace, beside anybody's"));
    let cluster = Cluster::alone().await;
    apply(&cluster.admin, "roles.yaml").await;
    let recording = Dualaudit::run(&cluster, &["--window", "1h"]);
    let mut ids = Vec::new();
    for n in 0..EXECUTIONS {
        let name = format!("run-{n}");
        cluster.create(&name).await;
        cluster.finish(&name).await;
        ids.push(cluster.acknowledged(&name).await["id"].as_str().expect("an id").to_owned());
    }
    recording.stop();
    let serve = |access: &str| {
        let mut command = command(&cluster.kubeconfig);
        command.args(["run", "--api-only", "--listen", "127.0.0.1:0", "--client-rate", "0"]);
        Dualaudit::spawn({
            command.args(["--database", &cluster.database(), "--access", access]);
            command
        })
    };
    let (anybody, guarded) = (serve("anonymous"), serve("kubernetes"));
    let mut tokens = Vec::new();
    for user in 0..USERS {
        tokens.push(token(&cluster, &format!("reader-{user}")).await);
    }
    let client = reqwest::Client::new();
    let ask = async |server: &Dualaudit, token: &str, path: &str| {
        let began = Instant::now();
        let answer = client.get(format!("{}{path}", server.url)).bearer_auth(token).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        answer.bytes().await.expect("a body");
        began.elapsed()
    };
    let list = "/api/v1/executions".to_owned();
    for token in &tokens {
        ask(&guarded, token, &list).await;
        ask(&guarded, token, &format!("{list}/{}", ids[0])).await;
    }
    let before = reviews(&cluster.admin).await;
    let mut took = [const { [Vec::new(), Vec::new()] }; 2];
    for n in 0..REQUESTS {
        let (token, is_list) = (&tokens[n % USERS], (n / USERS).is_multiple_of(2));
        let path = if is_list { list.clone() } else { format!("{list}/{}", ids[n % EXECUTIONS]) };
        for (server, took) in [&anybody, &guarded].into_iter().zip(&mut took) {
            took[usize::from(!is_list)].push(ask(server, token, &path).await);
        }
    }
    let reviews = reviews(&cluster.admin).await - before;
    let [open, asked] = &mut took;
    for (what, (open, asked)) in ["list", "get"].into_iter().zip(open.iter_mut().zip(asked)) {
        let of = |share, took: &mut Vec<Duration>| percentile(took, share);
        let added = of(0.99, asked).saturating_sub(of(0.99, open));
        println!(
            "{what}: anybody p50 {:.2?}, p99 {:.2?}; users p50 {:.2?}, p99 {:.2?}; p99 grows by {added:.2?} (goal: {GOAL:?})",
            of(0.5, open),
            of(0.99, open),
            of(0.5, asked),
            of(0.99, asked),
        );
    }
    println!("reviews of tokens: {reviews} (goal: {GOAL_REVIEWS})");
    // Each is on record before it is answered.
    for at_once in [1, 16] {
        let (before, began) = (accesses(&anybody).await, Instant::now());
        let reads = (0..READS).map(|n| {
            let path = format!("{list}/{}/source", ids[n % EXECUTIONS]);
            let (ask, guarded, token) = (&ask, &guarded, &tokens[n % USERS]);
            async move { ask(guarded, token, &path).await }
        });
        let mut took: Vec<Duration> = stream::iter(reads).buffer_unordered(at_once).collect().await;
        let (rate, entries) =
            (READS as f64 / began.elapsed().as_secs_f64(), accesses(&anybody).await - before);
        println!(
            "objects, {at_once} at once: {rate:.0}/s, p50 {:.2?}, p99 {:.2?}; {entries} entries tell of {READS}",
            percentile(&mut took, 0.5),
            percentile(&mut took, 0.99),
        );
    }
    cluster.plane.end();
}

/// How many entries tell of what was read.
async fn accesses(server: &Dualaudit) -> usize {
    let (status, page) = server.get("/api/v1/accesses?limit=1000").await;
    assert_eq!(status, 200);
    page["items"].as_array().expect("items").len()
}

/// A token of a new account that may read the namespace.
async fn token(cluster: &Cluster, name: &str) -> String {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    create::<ServiceAccount>(&cluster.admin, &cluster.namespace, &account).await;
    let binding = serde_json::from_value(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dualaudit-reviewer"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}],
    }));
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> =
        Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    bindings.create(&PostParams::default(), &binding.expect("a binding")).await.expect("it is bound");
    let spec = TokenRequestSpec { expiration_seconds: Some(7200), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin.clone(), &cluster.namespace);
    let answer: TokenRequest =
        accounts.create_subresource("token", name, &PostParams::default(), &request).await.expect("a token");
    answer.status.and_then(|status| status.token).expect("a token")
}

/// Reviews of tokens that the API server was sent so far.
async fn reviews(admin: &Client) -> u64 {
    let request = http::Request::get("/metrics").body(Vec::new()).expect("a request");
    let metrics = admin.request_text(request).await.expect("metrics");
    let of_reviews = |line: &&str| {
        line.starts_with("apiserver_request_total{") && line.contains("resource=\"tokenreviews\"")
    };
    let counts = metrics.lines().filter(of_reviews).filter_map(|line| line.rsplit_once(' '));
    counts.map(|(_, count)| count.parse::<f64>().expect("a count") as u64).sum()
}
