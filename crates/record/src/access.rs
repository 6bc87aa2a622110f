//! Who asked for what: the entry that says so.
//!
//! What several asked at about the same time shares an entry, so that readers cost a log little. The terms are those of the
//! audit events of Kubernetes (`audit.k8s.io/v1`).

use serde::{Deserialize, Serialize};

use crate::{Time, clip::clip_to, digest::Digest, names::named};

/// The most acts that one entry tells apart.
pub const MAX_ACTS: usize = 500;
/// The most bytes of a name in an act. The longest of Kubernetes, those of service accounts, have 339.
pub const MAX_NAME_BYTES: usize = 512;

/// What was asked between two instants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Access {
    /// Random.
    pub access: String,
    /// When the first of it was asked.
    pub since: Time,
    /// When the last of it was.
    pub until: Time,
    /// What it was: each differs from the others in more than its count.
    pub acts: Vec<Act>,
    /// How many refusals there were besides, of more kinds than one entry tells apart. Of anything else there are none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub others: u64,
}

impl Access {
    /// Of one request alone. `access` is random.
    pub fn of_one(access: String, at: Time, event: Event) -> Self {
        Self { access, since: at, until: at, acts: vec![Act { event, count: 1 }], others: 0 }
    }

    /// How many requests it tells of.
    pub fn count(&self) -> u64 {
        self.acts.iter().map(|act| act.count).fold(self.others, u64::saturating_add)
    }
}

/// What somebody did, or would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Act {
    /// Who and what.
    #[serde(flatten)]
    pub event: Event,
    /// How often.
    pub count: u64,
}

/// What somebody did, or would have done, however often.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Who; `unverified` when nothing vouches for the name. Absent where nobody knows whose request it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Whether they were let.
    pub decision: Decision,
    /// As rules of Kubernetes name it. Of whom nobody knows the method, in lower case.
    pub verb: String,
    /// What it was done to: a resource of `dualaudit.dev`, or a path of the API.
    pub resource: String,
    /// The namespace that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The log that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The execution, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// Of a log that somebody says they verified: what they verified of it, and found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

/// Whether somebody was let do what they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// They were.
    Allow,
    /// They were not.
    Forbid,
}

named!(Decision { Allow = "allow", Forbid = "forbid" });

/// How far somebody verified a log, and with what result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// How many entries of it, from the first on.
    pub size: u64,
    /// The RFC 6962 root over these, as they computed it.
    pub root: Digest,
    /// How much they found wrong.
    pub findings: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A name as an entry may hold it: cut where it is longer than names are.
pub fn clipped(name: &str) -> String {
    let mut name = name.replace('\0', "\u{fffd}");
    clip_to(&mut name, MAX_NAME_BYTES);
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::now;

    #[test]
    fn an_entry_tells_who_asked_for_what_and_how_often() {
        let source = Event {
            actor: Some("jo".to_owned()),
            decision: Decision::Allow,
            verb: "get".to_owned(),
            resource: "executionrecords/source".to_owned(),
            namespace: Some("shop".to_owned()),
            log: Some("prod".to_owned()),
            execution_id: Some("uid-1".to_owned()),
            verified: None,
        };
        let stranger = Event {
            actor: None,
            decision: Decision::Forbid,
            resource: "/api/v1/executions".to_owned(),
            namespace: None,
            log: None,
            execution_id: None,
            ..source.clone()
        };
        let acts = vec![Act { event: source, count: 2 }, Act { event: stranger, count: 40 }];
        let access = Access { access: "a".to_owned(), since: now(), until: now(), acts, others: 0 };
        let expected = json!({
            "access": "a", "since": "2025-06-01T12:00:00.000000Z", "until": "2025-06-01T12:00:00.000000Z",
            "acts": [
                {"actor": "jo", "decision": "allow", "verb": "get", "resource": "executionrecords/source",
                 "namespace": "shop", "log": "prod", "execution_id": "uid-1", "count": 2},
                {"decision": "forbid", "verb": "get", "resource": "/api/v1/executions", "count": 40},
            ],
        });
        assert_eq!(serde_json::to_value(&access).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Access>(expected).unwrap(), access);
        assert_eq!(Access { others: u64::MAX, ..access }.count(), u64::MAX);
    }

    #[test]
    fn names_are_cut_between_characters() {
        for name in ["", "shop", &"n".repeat(MAX_NAME_BYTES)] {
            assert_eq!(clipped(name), name);
        }
        for letter in ["n", "é", "€", "🦀"] {
            let cut = clipped(&letter.repeat(MAX_NAME_BYTES + 1));
            assert!(cut.ends_with(&format!("{letter}…")) && cut.len() > MAX_NAME_BYTES - 7, "{cut}");
            assert!(cut.len() <= MAX_NAME_BYTES, "{cut}");
        }
        assert_eq!(clipped("a\0b"), "a\u{fffd}b");
    }
}
