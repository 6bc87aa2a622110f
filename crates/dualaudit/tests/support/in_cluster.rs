//! dualaudit as if it ran in the cluster: what the API server knows of it, and kubectl with it as a plugin.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, HOME, apply},
    control_plane::workspace,
    process::binary,
};

/// Makes the dualaudit that serves `url` known as a pod that runs and is ready behind the Service of `deploy/`. The node of
/// the control plane leads to its port.
pub async fn announce(cluster: &Cluster, url: &str) {
    let admin = &cluster.admin;
    let port: u16 = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a URL with a port");
    apply(admin, "service.yaml").await;
    let labels = json!({ "app.kubernetes.io/name": "dualaudit", "app.kubernetes.io/component": "run" });
    let container = json!({
        "name": "dualaudit", "image": "dualaudit:0.1.0", "ports": [{ "name": "http", "containerPort": port }],
    });
    let pod = json!({
        "metadata": { "name": "dualaudit-0", "labels": labels },
        "spec": { "nodeName": "loopback", "serviceAccountName": "dualaudit", "containers": [container] },
    });
    create::<Pod>(admin, HOME, &pod).await;
    let running = json!({ "status": {
        "phase": "Running", "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }],
    }});
    let pods: Api<Pod> = Api::namespaced(admin.clone(), HOME);
    let patched = pods.patch_status("dualaudit-0", &PatchParams::default(), &Patch::Merge(running)).await;
    patched.expect("the pod runs");
    let slice = json!({
        "metadata": { "name": "dualaudit-1", "labels": { "kubernetes.io/service-name": "dualaudit" } },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": port }],
        "endpoints": [{
            "addresses": ["10.0.0.1"], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": HOME, "name": "dualaudit-0" },
        }],
    });
    create::<EndpointSlice>(admin, HOME, &slice).await;
}

/// Creates an object.
pub async fn create<K>(admin: &Client, namespace: &str, object: &Value) -> K
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let object: K = serde_json::from_value(object.clone()).expect("an object");
    let api: Api<K> = Api::namespaced(admin.clone(), namespace);
    api.create(&PostParams::default(), &object).await.expect("it is created")
}

/// Puts dualaudit into a directory as kubectl looks for it.
pub fn link_plugin(directory: &Path) {
    let program = binary().canonicalize().expect("the program is built");
    symlink(program, directory.join("kubectl-dualaudit")).expect("a link");
}

/// The real kubectl.
pub fn kubectl() -> PathBuf {
    let kubectl = workspace().join("target/controlplane/kubectl");
    assert!(kubectl.exists(), "{} is missing: run `make controlplane`", kubectl.display());
    kubectl
}
