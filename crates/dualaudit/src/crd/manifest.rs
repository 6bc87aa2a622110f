//! What a cluster needs, as YAML: the kind, its admission policies, and the hand-written manifests of `deploy/`.

use std::borrow::Cow;

use clap::ValueEnum;
use jiff::SignedDuration;

use super::admission::{guard_yaml, policy_yaml};
use crate::source;

#[cfg(test)]
mod roles;

/// A manifest besides the CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Manifest {
    /// Namespace, ServiceAccount and the least rights that `dualaudit run` needs.
    Rbac,
    /// Policies that put the finalizer on at creation and stamp who set an annotation; Kubernetes 1.36 or later.
    Policy,
    /// Policy that refuses to take evidence away unless it is granted; Kubernetes 1.30 or later, and after `rbac`.
    Guard,
    /// ClusterRoles for people and producers: reviewer, operator, producer, auditor.
    Roles,
    /// ServiceAccount and rights for `dualaudit simulate`; not for production.
    Simulator,
    /// CronJob that runs `dualaudit maintain` on a PostgreSQL database, as its owner.
    Maintain,
    /// Service by which `kubectl dualaudit` and producers find dualaudit, and the role for the former.
    Service,
}

impl Manifest {
    /// Its YAML, one or more documents, for a `dualaudit run` with this window.
    pub fn yaml(self, window: SignedDuration) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Policy => return policy_yaml(&source::kinds()).into(),
            Self::Guard => return guard_yaml(&source::kinds(), window).into(),
            Self::Roles => include_str!("../../../../deploy/roles.yaml"),
            Self::Rbac => include_str!("../../../../deploy/rbac.yaml"),
            Self::Simulator => include_str!("../../../../deploy/simulator.yaml"),
            Self::Maintain => include_str!("../../../../deploy/maintain.yaml"),
            Self::Service => include_str!("../../../../deploy/service.yaml"),
        })
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
            admissionregistration::v1::{
                MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
                ValidatingAdmissionPolicyBinding,
            },
            batch::v1::CronJob,
            core::v1::{Namespace, Service, ServiceAccount},
            rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    };
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::Value;

    use super::*;
    use crate::source::default_window;

    #[test]
    fn the_checked_in_crd_is_the_generated_one() {
        let checked_in = include_str!("../../../../deploy/crd.yaml");
        assert!(checked_in == crd_yaml().unwrap(), "deploy/crd.yaml differs: run `make manifests`");
    }

    #[test]
    fn the_checked_in_policies_are_the_generated_ones() {
        for (manifest, checked_in) in [
            (Manifest::Policy, include_str!("../../../../deploy/policy.yaml")),
            (Manifest::Guard, include_str!("../../../../deploy/guard.yaml")),
        ] {
            let is_same = checked_in == manifest.yaml(default_window());
            assert!(is_same, "deploy differs from {manifest:?}: run `make manifests`");
        }
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
                    "ValidatingAdmissionPolicy" => known::<ValidatingAdmissionPolicy>(&document),
                    "ValidatingAdmissionPolicyBinding" => {
                        known::<ValidatingAdmissionPolicyBinding>(&document)
                    }
                    kind => panic!("{manifest:?} holds an unexpected {kind}"),
                }
            }
        }
    }

    #[test]
    fn the_manifests_name_our_group_and_resource() {
        let crd = crate::crd::crd();
        for manifest in [Manifest::Rbac, Manifest::Policy, Manifest::Guard, Manifest::Simulator] {
            let yaml = manifest.yaml(default_window());
            assert!(yaml.contains(&format!("[{}]", crd.spec.group)), "{manifest:?}");
            assert!(yaml.contains(&crd.spec.names.plural), "{manifest:?}");
        }
    }

    fn documents(manifest: Manifest) -> Vec<Value> {
        serde_saphyr::from_multiple(&manifest.yaml(default_window())).unwrap()
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
