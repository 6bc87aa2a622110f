//! What a cluster needs, as YAML: the kind, and the hand-written manifests of `deploy/`.

use clap::ValueEnum;

/// A manifest besides the CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Manifest {
    /// Namespace, ServiceAccount and the least rights that `dualaudit run` needs.
    Rbac,
    /// MutatingAdmissionPolicy that puts the finalizer on at creation; Kubernetes 1.36 or later.
    Policy,
    /// ServiceAccount and rights for `dualaudit simulate`; not for production.
    Simulator,
    /// CronJob that runs `dualaudit maintain` on a PostgreSQL database, as its owner.
    Maintain,
    /// Service by which `kubectl dualaudit` and producers find dualaudit, and the role for the former.
    Service,
}

impl Manifest {
    /// Its YAML, one or more documents.
    pub fn yaml(self) -> &'static str {
        match self {
            Self::Rbac => include_str!("../../../../deploy/rbac.yaml"),
            Self::Policy => include_str!("../../../../deploy/policy.yaml"),
            Self::Simulator => include_str!("../../../../deploy/simulator.yaml"),
            Self::Maintain => include_str!("../../../../deploy/maintain.yaml"),
            Self::Service => include_str!("../../../../deploy/service.yaml"),
        }
    }
}

/// The CRD as YAML, exactly as `deploy/crd.yaml` holds it.
///
/// # Errors
/// None that is known: the CRD is a constant.
pub fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(&super::crd(), options)?;
    Ok(format!("# Written by `dualaudit crd`; edit crates/dualaudit/src/crd.rs instead.\n{yaml}"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        ListableResource, Metadata, Resource,
        api::{
            admissionregistration::v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding},
            batch::v1::CronJob,
            core::v1::{Namespace, Service, ServiceAccount},
            rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;
    use crate::source::FINALIZER;

    #[test]
    fn the_checked_in_crd_is_the_generated_one() {
        let checked_in = include_str!("../../../../deploy/crd.yaml");
        assert!(
            checked_in == crd_yaml().unwrap(),
            "deploy/crd.yaml differs: run `cargo run -p dualaudit -- crd > deploy/crd.yaml`"
        );
    }

    #[test]
    fn every_manifest_holds_only_fields_that_kubernetes_knows() {
        for manifest in Manifest::value_variants() {
            for document in documents(*manifest) {
                match document["kind"].as_str().unwrap() {
                    "Namespace" => known::<Namespace>(&document),
                    "ServiceAccount" => known::<ServiceAccount>(&document),
                    "CronJob" => known::<CronJob>(&document),
                    "Service" => known::<Service>(&document),
                    "ClusterRole" => known::<ClusterRole>(&document),
                    "ClusterRoleBinding" => known::<ClusterRoleBinding>(&document),
                    "Role" => known::<Role>(&document),
                    "RoleBinding" => known::<RoleBinding>(&document),
                    "MutatingAdmissionPolicy" => known::<MutatingAdmissionPolicy>(&document),
                    "MutatingAdmissionPolicyBinding" => known::<MutatingAdmissionPolicyBinding>(&document),
                    kind => panic!("{manifest:?} holds an unexpected {kind}"),
                }
            }
        }
    }

    #[test]
    fn the_manifests_name_our_group_resource_and_finalizer() {
        let crd = crate::crd::crd();
        for manifest in [Manifest::Rbac, Manifest::Policy, Manifest::Simulator] {
            assert!(manifest.yaml().contains(&format!("[{}]", crd.spec.group)), "{manifest:?}");
            assert!(manifest.yaml().contains(&crd.spec.names.plural), "{manifest:?}");
        }
        assert_eq!(Manifest::Policy.yaml().matches(FINALIZER).count(), 3);
    }

    fn documents(manifest: Manifest) -> Vec<Value> {
        serde_saphyr::from_multiple(manifest.yaml()).unwrap()
    }

    /// Reading into the type and writing again must lose nothing.
    fn known<K>(document: &Value)
    where
        K: DeserializeOwned + Serialize + ListableResource + Metadata<Ty = ObjectMeta>,
    {
        let typed: K = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(typed.metadata().name.as_deref(), document["metadata"]["name"].as_str());
        assert_eq!(serde_json::to_value(&typed).unwrap(), *document, "{}", <K as Resource>::KIND);
    }
}
