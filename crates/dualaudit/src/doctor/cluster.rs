//! Checks of a cluster: what is asked of its API server, and what the answers mean.

use http::{Request, header::DATE};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    rbac::v1::PolicyRule,
};
use kube::{Api, Client, api::PostParams, client::Body};
use serde::Deserialize;

use super::{Check, clock};
use crate::{
    clock::Clock,
    crd::{admission, manifest::Manifest},
    source,
};

mod policies;

/// Where dualaudit works.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Its own namespace, where the break-glass ledger is.
    pub home: &'a str,
    /// The one namespace that it watches, if it is one.
    pub watched: Option<&'a str>,
}

/// What can be seen of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The version of Kubernetes, for people.
    pub version: String,
    /// Its minor version, if it is a number.
    pub minor: Option<u32>,
    /// Microseconds by which its clock is ahead of ours, to the second; none if it does not say.
    pub clock_ahead: Option<i64>,
    /// The versions of our group that are served.
    pub served: Vec<String>,
    /// Whether our kind, with its status, is served in our version.
    pub kind: bool,
    /// What this account may not do although `run` needs it.
    pub forbidden: Vec<String>,
    /// How it is with the admission policies.
    pub policies: admission::Seen,
}

/// The checks of a cluster whose `dualaudit run` has this window.
pub fn judge(seen: &Seen, window: SignedDuration) -> Vec<Check> {
    let kind = source::api_resource();
    let mut checks = vec![Check::ok("cluster", format!("Kubernetes {} answers", seen.version))];
    checks.push(if seen.kind {
        Check::ok("kind", format!("{} {} is served", kind.kind, kind.api_version))
    } else {
        let found = match seen.served.as_slice() {
            [] => format!("the kind {} is not there", kind.kind),
            served => format!(
                "{} is served with {}, not as this dualaudit knows it ({})",
                kind.group,
                served.join(" and "),
                kind.version
            ),
        };
        Check::wrong("kind", found, "run `dualaudit crd | kubectl apply -f -`")
    });
    checks.push(if seen.forbidden.is_empty() {
        Check::ok("rights", "this account may do what `run` needs")
    } else {
        let found = format!("this account may not {}", seen.forbidden.join(", "));
        Check::wrong(
            "rights",
            found,
            "run `kubectl apply -f deploy/rbac.yaml`, or use the account that it makes",
        )
    });
    checks.extend(policies::judge(&seen.policies, seen.minor, window));
    checks.push(match seen.clock_ahead {
        Some(ahead) => clock("cluster clock", "the API server", ahead),
        None => {
            Check::unknown("cluster clock", "the API server does not say the time", "ask it without a proxy")
        }
    });
    checks
}

/// Asks the API server.
///
/// # Errors
/// When it cannot be reached, does not let us in, or answers unlike one.
pub async fn observe(client: &Client, scope: Scope<'_>, our_clock: &dyn Clock) -> kube::Result<Seen> {
    let (version, clock_ahead) = version(client, our_clock).await?;
    let kind = source::api_resource();
    let groups = client.list_api_groups().await?;
    let group = groups.groups.into_iter().find(|group| group.name == kind.group);
    let served: Vec<String> =
        group.into_iter().flat_map(|group| group.versions).map(|version| version.version).collect();
    let is_there = if served.contains(&kind.version) {
        let resources = client.list_api_group_resources(&kind.api_version).await?.resources;
        let status = format!("{}/status", kind.plural);
        [&kind.plural, &status].iter().all(|name| resources.iter().any(|found| found.name == **name))
    } else {
        false
    };
    Ok(Seen {
        minor: version.minor.trim_end_matches('+').parse().ok(),
        version: version.git_version,
        clock_ahead,
        served,
        kind: is_there,
        forbidden: forbidden(client, scope).await?,
        policies: admission::observe(client, &source::kinds()).await?,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    minor: String,
    git_version: String,
}

/// The version, and how far ahead of ours the clock was that stamped the answer.
async fn version(client: &Client, our_clock: &dyn Clock) -> kube::Result<(Version, Option<i64>)> {
    let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let asked = our_clock.now();
    let answer = client.send(request).await?;
    let answered = our_clock.now();
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let body = answer.into_body().collect_bytes().await?;
    let version = serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?;
    let ahead = theirs.map(|theirs| ahead(theirs, asked.to_timestamp(), answered.to_timestamp()));
    Ok((version, ahead))
}

/// A date is cut off to the second: what fits between asking and answering is no difference.
fn ahead(theirs: Timestamp, asked: Timestamp, answered: Timestamp) -> i64 {
    let theirs = theirs.as_microsecond();
    let latest = theirs + 1_000_000;
    if theirs > answered.as_microsecond() {
        theirs - answered.as_microsecond()
    } else {
        (latest - asked.as_microsecond()).min(0)
    }
}

/// What of `deploy/rbac.yaml` this account may not do.
async fn forbidden(client: &Client, scope: Scope<'_>) -> kube::Result<Vec<String>> {
    let mut forbidden = Vec::new();
    for attributes in needed(scope) {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes.clone()),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviewed = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
        if !reviewed.status.is_some_and(|status| status.allowed) {
            forbidden.push(named(&attributes));
        }
    }
    Ok(forbidden)
}

fn named(attributes: &ResourceAttributes) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let place = match &attributes.namespace {
        Some(namespace) => format!(" in {namespace}"),
        None => String::new(),
    };
    format!("{} {}{place}", text(&attributes.verb), text(&attributes.resource))
}

/// What the shipped roles give, an entry each.
fn needed(scope: Scope<'_>) -> Vec<ResourceAttributes> {
    #[derive(Deserialize)]
    struct Role {
        kind: String,
        #[serde(default)]
        rules: Vec<PolicyRule>,
    }
    let yaml = Manifest::Rbac.yaml(SignedDuration::ZERO);
    let documents: Vec<Role> = serde_saphyr::from_multiple(&yaml).expect("a test reads it");
    let mut needed = Vec::new();
    for role in documents {
        for rule in role.rules {
            let group = rule.api_groups.unwrap_or_default().into_iter().next();
            let names: Vec<_> = rule.resource_names.unwrap_or_default().into_iter().map(Some).collect();
            let names = if names.is_empty() { vec![None] } else { names };
            for resource in rule.resources.unwrap_or_default() {
                let namespace = match role.kind.as_str() {
                    "Role" => Some(scope.home),
                    _ if is_of_the_cluster(&resource) => None,
                    _ => scope.watched,
                };
                let each = names.iter().flat_map(|name| rule.verbs.iter().map(move |verb| (name, verb)));
                needed.extend(each.map(|(name, verb)| ResourceAttributes {
                    group: group.clone(),
                    resource: Some(resource.clone()),
                    name: name.clone(),
                    namespace: namespace.map(str::to_owned),
                    verb: Some(verb.clone()),
                    ..ResourceAttributes::default()
                }));
            }
        }
    }
    needed
}

/// Whether objects of this kind are in no namespace, so that a role for one gives nothing of them.
fn is_of_the_cluster(resource: &str) -> bool {
    ["namespaces", "tokenreviews", "subjectaccessreviews"].contains(&resource)
        || resource.ends_with("policies")
        || resource.ends_with("policybindings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn what_is_needed_is_what_the_shipped_roles_give_where_dualaudit_works() {
        let named_of = |watched| {
            let needed = needed(Scope { home: "home", watched });
            needed.iter().map(named).collect::<Vec<_>>()
        };
        let everywhere = named_of(None);
        assert_eq!(everywhere[..2], ["get workflowexecutions", "list workflowexecutions"]);
        assert_eq!(everywhere[everywhere.len() - 2..], ["delete configmaps in home", "get secrets in home"]);
        let watching = named_of(Some("shop"));
        for (there, watched) in [
            ("delete workflowexecutions", "delete workflowexecutions in shop"),
            ("release executionrecords", "release executionrecords in shop"),
            ("get namespaces", "get namespaces"),
            ("get validatingadmissionpolicybindings", "get validatingadmissionpolicybindings"),
            ("create events", "create events in shop"),
            ("create configmaps in home", "create configmaps in home"),
        ] {
            let place = everywhere.iter().position(|found| found == there);
            let place = place.unwrap_or_else(|| panic!("{there}: {everywhere:?}"));
            assert_eq!(watching[place], watched);
        }
        let policies = everywhere.iter().filter(|found| *found == "get mutatingadmissionpolicies").count();
        assert_eq!(policies, 2, "one for each that is named");
    }

    #[test]
    fn a_date_that_is_cut_to_the_second_is_no_difference() {
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).unwrap();
        for (theirs, asked, answered, expected) in [
            (7_000, 7_100, 7_200, 0),
            (7_000, 6_950, 7_050, 0),
            (7_000, 7_990, 8_010, 0),
            (17_000, 7_000, 7_100, 9_900_000),
            (7_000, 17_000, 17_100, -9_000_000),
        ] {
            assert_eq!(ahead(at(theirs), at(asked), at(answered)), expected, "{theirs}");
        }
    }

    #[test]
    fn a_kind_of_another_version_is_wrong() {
        for (served, what) in [(vec![], "is not there"), (vec!["v1".to_owned()], "is served with v1, not as")]
        {
            let seen = Seen { served, kind: false, ..seen() };
            let check = &judge(&seen, SignedDuration::ZERO)[1];
            assert!(check.found.contains(what) && check.remedy.is_some(), "{check:?}");
        }
        let silent = judge(&Seen { clock_ahead: None, ..seen() }, SignedDuration::ZERO);
        assert_eq!(silent.last().unwrap().verdict, Verdict::Unknown);
    }

    fn seen() -> Seen {
        let unseen = || admission::Standing::Unseen;
        Seen {
            version: "v1".into(),
            minor: Some(36),
            clock_ahead: Some(0),
            served: vec!["v1alpha1".into()],
            kind: true,
            forbidden: Vec::new(),
            policies: admission::Seen { record: unseen(), actor: unseen(), guard: unseen(), window: None },
        }
    }
}
