//! Who may do what, as Kubernetes says: bearer tokens by TokenReview, and each act by SubjectAccessReview on virtual resources
//! of `dualaudit.dev`.
//!
//! # Guarantees
//! - What the API server does not answer is refused ([`Unanswered`]): nobody is let in because nobody could be asked.
//! - An answer is remembered for [`Guard::remembered`] at most. A token or a binding that is revoked counts no longer than that.
//! - A grant in a namespace speaks for what the cluster's own log has of that namespace as it is now. What is in other logs, or is
//!   older than the namespace, needs a grant in the whole cluster, of the log's name.

use std::{collections::BTreeMap, fmt, sync::Arc};

use dualaudit_record::access::{Decision, Event, clipped};

mod answers;
mod guard;
mod reach;
mod trail;

pub use crate::store::{Permits, Reach, Scoped};
pub use guard::{Asks, Guard, Unanswered};
pub use reach::{AccessError, Asked, Asking, Hidden};
pub use trail::{Recording, Trail};

/// The group of the virtual resources.
const GROUP: &str = "dualaudit.dev";

/// How requests are let in.
#[derive(Clone)]
pub enum Access {
    /// Whoever reaches it may do anything: on a loopback address only.
    Anonymous,
    /// As Kubernetes says.
    Kubernetes(Arc<Guard>),
}

/// Somebody whose token Kubernetes knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// As audit logs name it, such as `system:serviceaccount:ops:reader`.
    pub name: String,
    /// Tells users of one name apart.
    pub uid: Option<String>,
    /// What it belongs to.
    pub groups: Vec<String>,
    /// What else authorizers are told.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "verbs of the Kubernetes API, and one of ours")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
    Verify,
}

impl Verb {
    /// As rules name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Verify => "verify",
        }
    }
}

/// To what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Executions as they are recorded, with what was said of them.
    ExecutionRecords,
    /// The objects that they were mapped from.
    Source,
    /// Holds.
    Holds,
    /// Logs as such: checkpoints, tiles, proofs.
    Logs,
}

impl Resource {
    /// As rules name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExecutionRecords => "executionrecords",
            Self::Source => "executionrecords/source",
            Self::Holds => "holds",
            Self::Logs => "logs",
        }
    }

    /// The resource, and the part of it.
    fn parts(self) -> (&'static str, Option<&'static str>) {
        match self.as_str().split_once('/') {
            Some((resource, part)) => (resource, Some(part)),
            None => (self.as_str(), None),
        }
    }
}

/// Something that somebody may be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Act {
    /// What is done,
    pub verb: Verb,
    /// and to what,
    pub resource: Resource,
    /// in which namespace; in all of them where none is named,
    pub namespace: Option<String>,
    /// in the log of which name; in all of them where none is named.
    pub log: Option<String>,
}

impl Act {
    /// In the whole cluster, and in all logs.
    pub fn anywhere(verb: Verb, resource: Resource) -> Self {
        Self { verb, resource, namespace: None, log: None }
    }

    /// In one log.
    pub fn in_log(verb: Verb, resource: Resource, log: &str) -> Self {
        Self { log: Some(log.to_owned()), ..Self::anywhere(verb, resource) }
    }

    /// In one namespace of the cluster's own log.
    pub fn in_namespace(verb: Verb, resource: Resource, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::anywhere(verb, resource) }
    }

    /// That somebody did it, or would have, as it goes on record.
    pub fn event(&self, actor: Option<&str>, decision: Decision) -> Event {
        Event {
            actor: actor.map(clipped),
            decision,
            verb: self.verb.as_str().to_owned(),
            resource: self.resource.as_str().to_owned(),
            namespace: self.namespace.clone().filter(|name| is_name(name)),
            log: self.log.clone().filter(|name| is_name(name)),
            execution_id: None,
            verified: None,
        }
    }
}

/// Whether something can be called so: what else a request names says nothing, and may be as long as one likes.
fn is_name(name: &str) -> bool {
    let is_of_one =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=63).contains(&name.len()) && name.bytes().all(is_of_one)
}

/// As a sentence goes on after "may not".
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {GROUP} {}", self.verb.as_str(), self.resource.as_str())?;
        if let Some(log) = &self.log {
            write!(f, " of log {log:?}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace:?}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_name_does_not_go_on_record() {
        let long = "x".repeat(64);
        for (name, is_kept) in [
            ("shop", true),
            ("kube-system.eu-1", true),
            ("", false),
            ("Shop", false),
            ("a b", false),
            ("café", false),
            ("' OR 1=1 --", false),
            (long.as_str(), false),
            (&long[1..], true),
        ] {
            let act =
                Act { log: Some(name.to_owned()), ..Act::in_namespace(Verb::Get, Resource::Source, name) };
            let event = act.event(Some("jo"), Decision::Forbid);
            let kept = is_kept.then_some(name);
            assert_eq!((event.namespace.as_deref(), event.log.as_deref()), (kept, kept), "{name:?}");
            assert_eq!((event.actor.as_deref(), event.verb.as_str()), (Some("jo"), "get"), "{name:?}");
        }
    }
}
