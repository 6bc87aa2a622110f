//! Which pod to ask: the Service that is labelled as dualaudit's, and a pod that is ready behind it.

use anyhow::{anyhow, bail};
use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::EndpointSlice,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use crate::command::cluster::told;

/// How dualaudit's Service is found.
const LABEL: &str = "app.kubernetes.io/name=dualaudit";
/// Where it is looked for by those who may not look everywhere.
const HOME: &str = "dualaudit";
/// The names of the port that serves the API, where there are several; what is called by the first speaks TLS.
const PORTS: [&str; 2] = ["https", "http"];
/// What is needed where something is not allowed.
pub(super) const ALLOWED: &str = "it takes the role dualaudit-user of deploy/service.yaml, in the namespace that \
    dualaudit runs in; or name a server by --server";

/// More than any cluster has of them.
const MOST: u32 = 100;

/// Where the API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The namespace of the Service and of the pod.
    pub(super) namespace: String,
    /// The Service.
    pub(super) service: String,
    /// The pod.
    pub(super) pod: String,
    /// The port of the pod.
    pub(super) port: u16,
    /// Whether it speaks TLS.
    pub(super) is_encrypted: bool,
}

/// Finds it in a namespace, or in all that may be looked into.
///
/// # Errors
/// That there is none, or several, or that it is not allowed to look: says what to do.
pub(super) async fn target(client: &Client, namespace: Option<&str>) -> anyhow::Result<Target> {
    let services = services(client, namespace).await?;
    let service = one_of(&services, namespace).map_err(|why| anyhow!(why))?;
    let (home, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &home);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={name}")).limit(MOST);
    let slices = slices.list(&of_service).await.map_err(|error| told(&error, ALLOWED))?;
    let port = port_of(&service).ok_or_else(|| anyhow!("the Service {home}/{name} has no port"))?;
    let is_encrypted = speaks_tls(port);
    let Some((pod, port)) = ready(&slices.items, port) else {
        bail!("no pod is ready behind the Service {home}/{name}: see `kubectl get pods -n {home}`");
    };
    Ok(Target { namespace: home, service: name, pod, port, is_encrypted })
}

async fn services(client: &Client, namespace: Option<&str>) -> anyhow::Result<Vec<Service>> {
    let labelled = ListParams::default().labels(LABEL).limit(MOST);
    let api: Api<Service> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    match api.list(&labelled).await {
        Ok(services) => Ok(services.items),
        Err(kube::Error::Api(status)) if status.code == 403 && namespace.is_none() => {
            let at_home: Api<Service> = Api::namespaced(client.clone(), HOME);
            let elsewhere =
                format!("name the namespace that dualaudit runs in by --server-namespace; there {ALLOWED}");
            match at_home.list(&labelled).await {
                Ok(services) if !services.items.is_empty() => Ok(services.items),
                _ => Err(told(&kube::Error::Api(status), &elsewhere)),
            }
        }
        Err(error) => Err(told(&error, ALLOWED)),
    }
}

/// The one that is meant.
fn one_of(services: &[Service], namespace: Option<&str>) -> Result<Service, String> {
    let named =
        |service: &Service| format!("{}/{}", service.namespace().unwrap_or_default(), service.name_any());
    let serving: Vec<_> = services.iter().filter(|service| port_of(service).is_some()).collect();
    match serving.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let looked_in =
                namespace.map_or_else(|| "any namespace".to_owned(), |name| format!("namespace {name}"));
            Err(format!(
                "there is no Service with the label {LABEL} in {looked_in}: install deploy/service.yaml, or name a \
                 server by --server"
            ))
        }
        several => {
            let names: Vec<String> = several.iter().map(|service| named(service)).collect();
            Err(format!(
                "there are {} Services with the label {LABEL}, {}: name the namespace of one by --server-namespace, or \
                 a server by --server",
                names.len(),
                names.join(", ")
            ))
        }
    }
}

/// The port that serves the API.
fn port_of(service: &Service) -> Option<&ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    match ports {
        [one] => Some(one),
        several => {
            PORTS.iter().find_map(|name| several.iter().find(|port| port.name.as_deref() == Some(name)))
        }
    }
}

/// Whether a port says of itself that it speaks TLS.
fn speaks_tls(port: &ServicePort) -> bool {
    [&port.name, &port.app_protocol].into_iter().flatten().any(|said| said == PORTS[0])
}

/// A pod that is ready, and its port.
fn ready(slices: &[EndpointSlice], port: &ServicePort) -> Option<(String, u16)> {
    let name = port.name.as_deref().unwrap_or_default();
    slices.iter().find_map(|slice| {
        let ports = slice.ports.as_deref()?;
        let port = ports.iter().find(|port| port.name.as_deref().unwrap_or_default() == name)?.port?;
        let pod = slice.endpoints.iter().flatten().find_map(|endpoint| {
            // What is not said means ready (EndpointConditions).
            let is_ready =
                endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            let target =
                endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"))?;
            target.name.clone().filter(|_| is_ready)
        })?;
        Some((pod, u16::try_from(port).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(namespace: &str, ports: &Value) -> Service {
        let service =
            json!({"metadata": {"namespace": namespace, "name": "audit"}, "spec": {"ports": ports}});
        serde_json::from_value(service).unwrap()
    }

    fn slice(ports: &Value, endpoints: &Value) -> EndpointSlice {
        let slice = json!({"metadata": {}, "addressType": "IPv4", "ports": ports, "endpoints": endpoints});
        serde_json::from_value(slice).unwrap()
    }

    #[test]
    fn one_service_is_found_and_what_is_wrong_with_others_is_said() {
        let ports = json!([{"name": "http", "port": 80}, {"name": "metrics", "port": 9}]);
        let (one, other) = (service("a", &ports), service("b", &json!([{"port": 8080}])));
        let headless = service("c", &json!([]));
        assert_eq!(one_of(&[headless.clone(), one.clone()], None).unwrap(), one);
        assert_eq!(port_of(&one).unwrap().port, 80);
        let both = service("a", &json!([{"name": "http", "port": 80}, {"name": "https", "port": 443}]));
        assert_eq!(port_of(&both).unwrap().port, 443);
        for (port, is_encrypted) in [
            (json!({"port": 443}), false),
            (json!({"name": "http", "port": 443}), false),
            (json!({"name": "https", "port": 8080}), true),
            (json!({"name": "api", "appProtocol": "https", "port": 8080}), true),
        ] {
            assert_eq!(speaks_tls(port_of(&service("a", &json!([port]))).unwrap()), is_encrypted, "{port}");
        }
        assert!(one_of(&[headless], None).unwrap_err().contains("in any namespace: install"));
        assert!(one_of(&[], Some("x")).unwrap_err().contains("in namespace x: install"));
        let several = one_of(&[one, other], None).unwrap_err();
        assert!(
            several.starts_with("there are 2 Services") && several.contains("a/audit, b/audit"),
            "{several}"
        );
    }

    #[test]
    fn a_pod_is_asked_that_is_ready_at_the_port_that_is_its_own() {
        let port = |name: Value| serde_json::from_value(json!({"name": name, "port": 80})).unwrap();
        let pod = |name: &str, ready: Value| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": name}});
        let no_pod = json!({"addresses": ["10.0.0.1"]});
        let endpoints = json!([no_pod, pod("starting", json!(false)), pod("it", json!(true))]);
        let slices = [
            slice(&json!([{"name": "metrics", "port": 9}]), &json!([pod("other", json!(true))])),
            slice(&json!([{"name": "http", "port": 8080}]), &endpoints),
        ];
        assert_eq!(ready(&slices, &port(json!("http"))), Some(("it".to_owned(), 8080)));
        assert_eq!(ready(&slices[..1], &port(json!("http"))), None);
        let unnamed = [slice(&json!([{"name": "", "port": 1}]), &json!([pod("it", Value::Null)]))];
        assert_eq!(ready(&unnamed, &port(Value::Null)), Some(("it".to_owned(), 1)));
    }
}
