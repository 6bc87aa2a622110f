//! Whether the policies are in force: there, bound, and as they are generated.

use dualaudit_record::Time;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, ObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ACTOR, GUARD, RECORD, guard_yaml, policy_yaml};

/// How it is with one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It and its binding are as generated, and nobody wrote to them since then.
    InForce {
        /// When one of them was written last.
        since: Time,
    },
    /// This of it is not there: `policy` or `binding`.
    Missing(&'static str),
    /// This of it is not as generated: `policy` or `binding`.
    Altered(&'static str),
    /// This account may not see.
    Unseen,
}

/// How it is with all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The one that puts the finalizer on at creation.
    pub record: Standing,
    /// The one that stamps who set an annotation.
    pub actor: Standing,
    /// The one that refuses what is not granted.
    pub guard: Standing,
    /// The window that it holds executions without one of their own to, as it says it.
    pub window: Option<String>,
}

/// Asks the API server about the policies for these kinds.
///
/// # Errors
/// When it cannot be reached, or answers unlike one. One that knows no such policies has none.
pub async fn observe(client: &Client, kinds: &[ApiResource]) -> kube::Result<Seen> {
    type Adds = (MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding);
    let generated = documents(&policy_yaml(kinds));
    let record = read::<Adds>(client, RECORD).await?;
    let actor = read::<Adds>(client, ACTOR).await?;
    let (guard, window) = guard_and_window(client, kinds).await?;
    Ok(Seen { record: record.standing(&generated), actor: actor.standing(&generated), guard, window })
}

/// The same of [`GUARD`] alone, whatever window it says.
///
/// # Errors
/// As [`observe`].
pub async fn guard(client: &Client, kinds: &[ApiResource]) -> kube::Result<Standing> {
    Ok(guard_and_window(client, kinds).await?.0)
}

async fn guard_and_window(
    client: &Client,
    kinds: &[ApiResource],
) -> kube::Result<(Standing, Option<String>)> {
    type Refuses = (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding);
    let found = read::<Refuses>(client, GUARD).await?;
    let window = match &found {
        Found::Both(Some(policy), _) => window_of(policy),
        Found::Both(None, _) | Found::Unseen => None,
    };
    // Its window is the operator's to choose; whether it is the one of `run`, doctor says.
    let chosen = window.as_deref().and_then(|text| crate::source::parse_window(text).ok());
    let generated = documents(&guard_yaml(kinds, chosen.unwrap_or_default()));
    Ok((found.standing(&generated), window))
}

/// What of a policy was found.
enum Found<P, B> {
    Both(Option<P>, Option<B>),
    Unseen,
}

trait Pair {
    type Policy: Part;
    type Binding: Part;
}

impl<P: Part, B: Part> Pair for (P, B) {
    type Policy = P;
    type Binding = B;
}

/// A kind of which a policy consists.
trait Part:
    Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl Part for MutatingAdmissionPolicy {}
impl Part for MutatingAdmissionPolicyBinding {}
impl Part for ValidatingAdmissionPolicy {}
impl Part for ValidatingAdmissionPolicyBinding {}

async fn read<K: Pair>(client: &Client, name: &str) -> kube::Result<Found<K::Policy, K::Binding>> {
    let policies: Api<K::Policy> = Api::all(client.clone());
    let bindings: Api<K::Binding> = Api::all(client.clone());
    match tokio::try_join!(policies.get_opt(name), bindings.get_opt(name)) {
        Ok((policy, binding)) => Ok(Found::Both(policy, binding)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Found::Unseen),
        Err(error) => Err(error),
    }
}

impl<P: Part, B: Part> Found<P, B> {
    /// How it is with it, of which these are the generated documents.
    fn standing(&self, generated: &[Value]) -> Standing {
        let Self::Both(policy, binding) = self else { return Standing::Unseen };
        let Some(policy) = policy else { return Standing::Missing("policy") };
        if !is_as_generated(policy, generated) {
            return Standing::Altered("policy");
        }
        let Some(binding) = binding else { return Standing::Missing("binding") };
        if !is_as_generated(binding, generated) {
            return Standing::Altered("binding");
        }
        match written_at(policy.meta()).max(written_at(binding.meta())) {
            Some(since) => Standing::InForce { since },
            // Every object of an API server has a time.
            None => Standing::Altered("policy"),
        }
    }
}

fn is_as_generated<K: Part>(found: &K, generated: &[Value]) -> bool {
    let (kind, name) = (K::kind(&()), found.name_any());
    let document =
        generated.iter().find(|it| it["kind"] == *kind && it["metadata"]["name"].as_str() == Some(&name));
    // Through the type, as what was found came.
    let document = document.and_then(|it| serde_json::from_value::<K>(it.clone()).ok());
    document.is_some_and(|document| spec_of(&document) == spec_of(found))
}

fn spec_of<K: Part>(object: &K) -> Value {
    serde_json::to_value(object).expect("an object is JSON")["spec"].take()
}

/// When somebody wrote its metadata or spec last, to the second.
fn written_at(metadata: &ObjectMeta) -> Option<Time> {
    let entries = metadata.managed_fields.iter().flatten();
    let writes = entries.filter(|entry| entry.subresource.is_none()).filter_map(|entry| entry.time.as_ref());
    let times = writes.chain(&metadata.creation_timestamp);
    times.filter_map(|time| Time::from_timestamp(time.0)).max()
}

/// What the variable `usual` says.
fn window_of(policy: &ValidatingAdmissionPolicy) -> Option<String> {
    let variables = policy.spec.as_ref()?.variables.as_ref()?;
    let usual = variables.iter().find(|variable| variable.name == "usual")?;
    let text = usual.expression.strip_prefix("duration('")?.strip_suffix("')")?;
    Some(text.to_owned())
}

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).expect("a test reads what is generated")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;
    use crate::source::kinds;

    type Guard = Found<ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding>;

    /// What is generated, as if the API server had stored it at these times.
    fn stored(times: [&str; 2]) -> [Value; 2] {
        let mut documents = documents(&guard_yaml(&kinds(), SignedDuration::from_hours(48)));
        for (document, time) in documents.iter_mut().zip(times) {
            document["metadata"]["creationTimestamp"] = json!(time);
        }
        documents.try_into().unwrap()
    }

    fn standing_of([policy, binding]: &[Value; 2]) -> Standing {
        let found: Guard = Found::Both(
            serde_json::from_value(policy.clone()).unwrap(),
            serde_json::from_value(binding.clone()).unwrap(),
        );
        found.standing(&documents(&guard_yaml(&kinds(), SignedDuration::from_hours(48))))
    }

    #[test]
    fn it_is_in_force_since_it_was_written_last() {
        let mut there = stored(["2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z"]);
        let since = |text: &str| Standing::InForce { since: text.parse().unwrap() };
        assert_eq!(standing_of(&there), since("2026-03-01T10:00:05Z"));
        // An API server that says what it makes of it has not changed it.
        there[0]["metadata"]["managedFields"] = json!([
            {"manager": "kubectl", "operation": "Apply", "time": "2026-03-02T10:00:00Z"},
            {"manager": "kube-apiserver", "operation": "Apply", "subresource": "status", "time": "2026-03-03T10:00:00Z"},
        ]);
        assert_eq!(standing_of(&there), since("2026-03-02T10:00:00Z"));
        let policy = serde_json::from_value(there[0].clone()).unwrap();
        assert_eq!(window_of(&policy).as_deref(), Some("48h"));
    }

    #[test]
    fn whatever_weakens_it_is_seen() {
        let there = stored(["2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z"]);
        for (place, path, value, what) in [
            (0, "/spec/failurePolicy", json!("Ignore"), "policy"),
            (0, "/spec/validations/0/expression", json!("true"), "policy"),
            (0, "/spec/matchConstraints/resourceRules/0/resources", json!(["workflowexecutions"]), "policy"),
            (0, "/spec/matchConstraints/namespaceSelector", json!({"matchLabels": {"a": "b"}}), "policy"),
            (0, "/spec/variables/0/name", json!("allowed"), "policy"),
            (1, "/spec/validationActions", json!(["Warn"]), "binding"),
            (1, "/spec/policyName", json!("another"), "binding"),
        ] {
            let mut weaker = there.clone();
            *weaker[place].pointer_mut(path).unwrap() = value;
            assert_eq!(standing_of(&weaker), Standing::Altered(what), "{path}");
        }
        let mut exempt = there.clone();
        exempt[0]["spec"]["matchConditions"] = json!([{"name": "some", "expression": "false"}]);
        assert_eq!(standing_of(&exempt), Standing::Altered("policy"));
        let mut narrow = there.clone();
        narrow[1]["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"a": "b"}}});
        assert_eq!(standing_of(&narrow), Standing::Altered("binding"));
        let generated = there.to_vec();
        let policy: ValidatingAdmissionPolicy = serde_json::from_value(there[0].clone()).unwrap();
        assert_eq!(Guard::Both(None, None).standing(&generated), Standing::Missing("policy"));
        assert_eq!(Guard::Both(Some(policy), None).standing(&generated), Standing::Missing("binding"));
        assert_eq!(Guard::Unseen.standing(&generated), Standing::Unseen);
    }
}
