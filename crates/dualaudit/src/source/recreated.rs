//! Who might create an object again once it is gone, and so run its workflow a second time.

use kube::core::ObjectMeta;

/// Labels and annotations of tools that bring back what they manage.
const MARKS: [(&str, Place, &str); 6] = [
    ("Argo CD", Place::Annotation, "argocd.argoproj.io/tracking-id"),
    ("Argo CD", Place::Label, "argocd.argoproj.io/instance"),
    ("Flux", Place::Label, "kustomize.toolkit.fluxcd.io/name"),
    ("Flux", Place::Label, "helm.toolkit.fluxcd.io/name"),
    ("Helm", Place::Annotation, "meta.helm.sh/release-name"),
    // Argo CD's older tracking, shared with Helm and others.
    ("Argo CD or Helm", Place::Label, "app.kubernetes.io/instance"),
];

#[derive(Clone, Copy)]
enum Place {
    Annotation,
    Label,
}

/// The reason not to delete the object, for events and for people; `None` when there is none.
pub(super) fn recreated_by(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    if let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) {
        return Some(format!("controlled by {}/{}", owner.kind, owner.name));
    }
    let value = |place, key| match place {
        Place::Annotation => metadata.annotations.as_ref().and_then(|all| all.get(key)),
        Place::Label => metadata.labels.as_ref().and_then(|all| all.get(key)),
    };
    for (tool, place, key) in MARKS {
        if let Some(value) = value(place, key) {
            let place = match place {
                Place::Annotation => "annotation",
                Place::Label => "label",
            };
            return Some(format!("managed by {tool} ({place} {key}={value})"));
        }
    }
    let manager = value(Place::Label, "app.kubernetes.io/managed-by")?;
    (manager == "Helm").then(|| "managed by Helm (label app.kubernetes.io/managed-by=Helm)".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reason(metadata: Value) -> Option<String> {
        recreated_by(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn nobody_recreates_a_plain_object() {
        for metadata in [
            json!({}),
            json!({"labels": {"app": "x", "app.kubernetes.io/managed-by": "kustomize"}}),
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u"}]}),
            json!({"ownerReferences": [
                {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u", "controller": false}
            ]}),
        ] {
            assert_eq!(reason(metadata.clone()), None, "{metadata}");
        }
    }

    #[test]
    fn owners_and_tools_that_recreate_are_named() {
        let owner = |kind: &str, controller| json!({"apiVersion": "v1", "kind": kind, "name": "x", "uid": "u", "controller": controller});
        for (metadata, expected) in [
            (
                json!({"ownerReferences": [owner("Namespace", false), owner("RemediationRequest", true)]}),
                "controlled by RemediationRequest/x",
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "app:g/K:ns/n"}}),
                "managed by Argo CD (annotation argocd.argoproj.io/tracking-id=app:g/K:ns/n)",
            ),
            (
                json!({"labels": {"argocd.argoproj.io/instance": "app"}}),
                "managed by Argo CD (label argocd.argoproj.io/instance=app)",
            ),
            (
                json!({"labels": {"app.kubernetes.io/instance": "app"}}),
                "managed by Argo CD or Helm (label app.kubernetes.io/instance=app)",
            ),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "r"}}),
                "managed by Helm (annotation meta.helm.sh/release-name=r)",
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
                "managed by Helm (label app.kubernetes.io/managed-by=Helm)",
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "k"}}),
                "managed by Flux (label kustomize.toolkit.fluxcd.io/name=k)",
            ),
            (
                json!({"labels": {"helm.toolkit.fluxcd.io/name": "h", "app.kubernetes.io/managed-by": "Helm"}}),
                "managed by Flux (label helm.toolkit.fluxcd.io/name=h)",
            ),
        ] {
            assert_eq!(reason(metadata.clone()).as_deref(), Some(expected), "{metadata}");
        }
    }
}
