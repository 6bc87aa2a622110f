//! `kubectl dualaudit …`, by the real kubectl, through the API server's own port forwarding.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use k8s_openapi::api::{
    core::v1::{Service, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use serde_json::{Value, json};

use crate::support::{
    Cluster, Dualaudit, account_kubeconfig, ended, eventually,
    in_cluster::{self, create},
};

/// Where dualaudit is installed by `deploy/`.
const HOME: &str = "dualaudit";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_lists_what_is_recorded_of_the_namespace_of_its_context() {
    let cluster = Cluster::alone().await;
    let dualaudit = serving(&cluster).await;
    cluster.create("web-1").await;
    cluster.finish("web-1").await;
    cluster.acknowledged("web-1").await;
    let id = dualaudit.recorded_as("web-1").await[0]["id"].as_str().unwrap().to_owned();

    let kubectl = Kubectl::of(&cluster, cluster.admin_kubeconfig());
    // The context names no namespace, which is then the one called default.
    assert_eq!(kubectl.listed(&[]), [""; 0]);
    assert_eq!(kubectl.listed(&["-n", &cluster.namespace]), ["web-1"]);
    assert_eq!(kubectl.listed(&["-A"]), ["web-1"]);
    assert_eq!(kubectl.listed(&["-A", "-n", "other", "--outcome", "success"]), ["web-1"]);
    assert_eq!(kubectl.listed(&["-A", "--outcome", "failed"]), [""; 0]);

    kubectl.ok(&["config", "set-context", "there", "--cluster=controlplane", "--user=admin"]);
    kubectl.ok(&["config", "set-context", "there", "--namespace", &cluster.namespace]);
    assert_eq!(kubectl.listed(&["--context", "there"]), ["web-1"]);
    kubectl.ok(&["config", "use-context", "there"]);
    assert_eq!(kubectl.listed(&[]), ["web-1"]);
    let moved = cluster.dir.path().join("moved");
    std::fs::rename(&kubectl.kubeconfig, &moved).unwrap();
    assert_eq!(kubectl.listed(&["--kubeconfig", moved.to_str().unwrap()]), ["web-1"]);
    std::fs::rename(&moved, &kubectl.kubeconfig).unwrap();

    let named = format!("{}/web-1", cluster.namespace);
    for name in [id.as_str(), "web-1", &named] {
        let found = kubectl.ok(&["dualaudit", "get", name, "-o", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&found).unwrap()["record"]["id"], id.as_str(), "{name}");
    }
    let said = kubectl.refused(&["dualaudit", "get", "web-2"], 1);
    assert!(said.contains(&format!("none of a resource {}/web-2", cluster.namespace)), "{said}");
    // And so is what is said of it, and of what is to be kept.
    let say = |arguments: &[&str]| kubectl.ok(&[&["dualaudit"], arguments, &["--actor", "jo"]].concat());
    let first = say(&["review", "web-1", "harmful", "--note", "it took the wrong node"]);
    assert!(first.starts_with("recorded as default/"), "{first}");
    let again = say(&["review", &named, "harmful", "--note", "it took the wrong node"]);
    assert_eq!(again, first.replace("recorded as", "recorded already as"));
    assert!(
        say(&["review", "extend", "web-1", "--for", "48h", "--reason", "jo is away"])
            .contains("recorded as default/")
    );
    let workflow = ["hold", "add", "--workflow", "restart-deployment", "--reason", "case 7"];
    assert!(say(&workflow).contains("held by default/"));
    assert!(say(&["hold", "add", "--execution", &id, "--reason", "case 8"]).contains("held by default/"));
    let held =
        kubectl.ok(&["dualaudit", "hold", "list", "-o", "csv", "--columns", "log,covers,reason,actor"]);
    let expected = format!(
        "log,covers,reason,actor\ndefault,\"workflow restart-deployment, namespace {}\",case 7,jo\n\
         http,\"workflow restart-deployment, namespace {0}\",case 7,jo\ndefault,execution {id},case 8,jo\n",
        cluster.namespace
    );
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&held), sorted(&expected));
    let found = kubectl.ok(&["dualaudit", "get", "web-1", "-o", "json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(
        (&found["reviews"][0]["verdict"], found["holds"].as_array().unwrap().len()),
        (&json!("harmful"), 2)
    );
    let source = kubectl.ok(&["dualaudit", "get", "web-1", "--source", "-o", "json"]);
    let source: Value = serde_json::from_str(&source).unwrap();
    assert_eq!((&source["metadata"]["uid"], &source["status"]["phase"]), (&json!(id), &json!("Completed")));
    let token = &source["spec"]["steps"][1]["parameters"]["apiToken"];
    assert!(token.is_string() && token != "s3cr3t-value", "{token}");
    let stats = kubectl.ok(&["dualaudit", "stats", "workflows", "--since", "3650d", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&stats).unwrap()["total"]["executions"], 1);
    let said = kubectl.refused(&["dualaudit", "gaps", "list", "-n", "shop"], 2);
    assert!(said.contains("--namespace: this is about whole logs"), "{said}");
    assert!(said.contains("Usage: kubectl dualaudit gaps"), "{said}");
    dualaudit.stop();
    cluster.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_way_to_a_server_kubectl_says_why() {
    let cluster = Cluster::alone().await;
    let kubectl = Kubectl::of(&cluster, cluster.admin_kubeconfig());
    let list = ["dualaudit", "list", "-A"];
    let said = kubectl.refused(&list, 1);
    assert!(said.contains("there is no Service with the label app.kubernetes.io/name=dualaudit"), "{said}");

    let dualaudit = serving(&cluster).await;
    assert_eq!(kubectl.listed(&["-A"]), [""; 0]);
    let elsewhere = json!({
        "metadata": { "name": "audit", "labels": { "app.kubernetes.io/name": "dualaudit" } },
        "spec": { "ports": [{ "port": 8080 }] },
    });
    create::<Service>(&cluster.admin, &cluster.home, &elsewhere).await;
    let said = kubectl.refused(&list, 1);
    assert!(said.contains("there are 2 Services") && said.contains("--server-namespace"), "{said}");
    assert_eq!(kubectl.listed(&["-A", "--server-namespace", HOME]), [""; 0]);
    let said = kubectl.refused(&["dualaudit", "list", "-A", "--server-namespace", &cluster.home], 1);
    assert!(said.contains(&format!("no pod is ready behind the Service {}/audit", cluster.home)), "{said}");
    let said = kubectl.refused(&["dualaudit", "list", "-A", "--server-namespace", "nowhere"], 1);
    assert!(said.contains("in namespace nowhere"), "{said}");

    // Somebody who may do nothing, and then what deploy/service.yaml gives.
    let account: ServiceAccount =
        create(&cluster.admin, HOME, &json!({ "metadata": { "name": "somebody" } })).await;
    let name = account.metadata.name.unwrap();
    let theirs = account_kubeconfig(cluster.plane, &cluster.admin, &name, &cluster.dir).await;
    let somebody = Kubectl::of(&cluster, &theirs);
    let said = somebody.refused(&list, 1);
    assert!(
        said.contains("cannot list resource \"services\"") && said.contains("--server-namespace"),
        "{said}"
    );
    let bind = |role: &str| {
        json!({
            "metadata": { "name": role },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": HOME }],
        })
    };
    let half = json!({
        "metadata": { "name": "half" },
        "rules": [
            { "apiGroups": [""], "resources": ["services"], "verbs": ["list"] },
            { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"] },
        ],
    });
    create::<Role>(&cluster.admin, HOME, &half).await;
    create::<RoleBinding>(&cluster.admin, HOME, &bind("half")).await;
    let said = eventually("the role is known", || async {
        let said = somebody.refused(&list, 1);
        said.contains("pods/portforward").then_some(said)
    })
    .await;
    assert!(said.contains("it takes the role dualaudit-user of deploy/service.yaml"), "{said}");
    create::<RoleBinding>(&cluster.admin, HOME, &bind("dualaudit-user")).await;
    eventually("they may", || async {
        let output = somebody.run(&list);
        output.status.success().then_some(())
    })
    .await;

    dualaudit.kill();
    let said = kubectl.refused(&["dualaudit", "list", "-A", "--server-namespace", HOME], 1);
    for part in ["of the pod dualaudit/dualaudit-0", "connection refused", "no answer from the server"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    cluster.plane.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_a_server_that_speaks_tls_the_token_of_its_user() {
    let cluster = Cluster::alone().await;
    let names = ["dualaudit.dualaudit.svc".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let file = |name: &str, text: String| {
        let path = cluster.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (file("tls.crt", cert.pem()), file("tls.key", signing_key.serialize_pem()));
    let tls = ["--access", "kubernetes", "--tls-certificate", &certificate, "--tls-key", &key];
    let dualaudit = Dualaudit::run(&cluster, &tls);
    in_cluster::announce(&cluster, &dualaudit.url).await;
    let kubectl = Kubectl::of(&cluster, cluster.admin_kubeconfig());
    // Asked without TLS, as its Service has it.
    let said = kubectl.refused(&["dualaudit", "list", "-A"], 1);
    assert!(said.contains("This port speaks TLS"), "{said}");
    let port = r#"{"spec":{"ports":[{"name":"https","port":8080,"targetPort":"http"}]}}"#;
    kubectl.ok(&["-n", HOME, "patch", "service", "dualaudit", "--type=merge", "-p", port]);
    let slice = r#"[{"op":"replace","path":"/ports/0/name","value":"https"}]"#;
    kubectl.ok(&["-n", HOME, "patch", "endpointslice", "dualaudit-1", "--type=json", "-p", slice]);
    let said = kubectl.refused(&["dualaudit", "list", "-A"], 1);
    assert!(
        said.contains("no trusted authority") && said.contains("of the pod dualaudit/dualaudit-0"),
        "{said}"
    );
    // The administrator's token is in the kubeconfig.
    assert_eq!(kubectl.listed(&["-A", "--server-ca", &certificate]), [""; 0]);
    let none = file("none", "none".to_owned());
    let said =
        kubectl.refused(&["dualaudit", "list", "-A", "--server-ca", &certificate, "--token-file", &none], 1);
    assert!(said.contains("kubectl create token"), "{said}");
    dualaudit.stop();
    cluster.plane.end();
}

/// dualaudit, as if it ran in the cluster.
async fn serving(cluster: &Cluster) -> Dualaudit {
    let dualaudit = Dualaudit::run(cluster, &[]);
    in_cluster::announce(cluster, &dualaudit.url).await;
    dualaudit
}

/// The real kubectl, with dualaudit where it looks for plugins.
struct Kubectl {
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// With a copy of this kubeconfig.
    fn of(cluster: &Cluster, kubeconfig: &Path) -> Self {
        let name = kubeconfig.file_name().unwrap().to_string_lossy();
        let home = cluster.dir.path().join(format!("{name}.home"));
        std::fs::create_dir(&home).unwrap();
        in_cluster::link_plugin(&home);
        let copy = home.join("kubeconfig");
        std::fs::copy(kubeconfig, &copy).unwrap();
        Self { kubeconfig: copy, home }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(in_cluster::kubectl());
        command
            .env_clear()
            .env("PATH", &self.home)
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig);
        command.args(arguments);
        ended(command)
    }

    /// What it writes, when it does what it was told.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says, when it does not.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The names of the executions that `kubectl dualaudit list` lists.
    fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let json = self.ok(&[&["dualaudit", "list", "-o", "json"], arguments].concat());
        let page: Value = serde_json::from_str(&json).unwrap();
        let names = page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }
}
