//! What a log entry can be.
//!
//! An entry has a small *leaf*, which stays for ever, and a *body*, which may be purged or erased.
//! The leaf names the body by its digest; see [`crate::log`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Time, digest::Digest, execution::StoredExecution};

/// The kinds of entry, as leaves and tables name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see `Entry`")]
pub enum EntryKind {
    Execution,
    Gap,
    Quarantine,
    Hold,
}

impl EntryKind {
    /// Its name in leaves, tables and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Gap => "gap",
            Self::Quarantine => "quarantine",
            Self::Hold => "hold",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no kind of entry.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no kind of log entry")]
pub struct UnknownKind(String);

impl FromStr for EntryKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        [Self::Execution, Self::Gap, Self::Quarantine, Self::Hold]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// An execution, or a later revision of it.
    Execution(Box<StoredExecution>),
    /// An execution that was seen and is gone unrecorded.
    Gap(Gap),
    /// A resource that could not be mapped; it is kept whole.
    Quarantine(Quarantine),
    /// Nothing of this execution may leave, until the hold is released.
    Hold(Hold),
}

impl Entry {
    /// Which kind this is.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Execution(_) => EntryKind::Execution,
            Self::Gap(_) => EntryKind::Gap,
            Self::Quarantine(_) => EntryKind::Quarantine,
            Self::Hold(_) => EntryKind::Hold,
        }
    }

    /// The execution it concerns.
    pub fn execution_id(&self) -> &str {
        match self {
            Self::Execution(execution) => &execution.record.id,
            Self::Gap(gap) => &gap.execution_id,
            Self::Quarantine(quarantine) => &quarantine.execution_id,
            Self::Hold(hold) => &hold.execution_id,
        }
    }
}

/// Why an execution is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum GapCause {
    /// Its resource was gone, and nothing had recorded it.
    Vanished,
    /// A later attempt of the same resource began before this one was recorded.
    Overtaken,
    /// Somebody broke the glass.
    ReleasedUnrecorded {
        /// The reason they gave.
        reason: String,
    },
}

/// An execution that was seen and is gone unrecorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Why it is missing.
    #[serde(flatten)]
    pub cause: GapCause,
    /// The resource's uid.
    pub execution_id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Tells the attempts of one resource apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Its phase when it was last seen.
    pub last_phase: String,
    /// Its last known state: the object's JSON, redacted. Empty when only its identity is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_state: String,
    /// SHA-256 of the last known state where only that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_state_digest: Option<Digest>,
    /// When it was last seen.
    pub last_seen_at: Time,
}

/// A resource that could not be mapped to a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The resource's uid.
    pub execution_id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// What is wrong with it, and where.
    pub reason: String,
    /// SHA-256 of the object as kept.
    pub source_digest: Digest,
}

/// Somebody wants this execution kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The execution held.
    pub execution_id: String,
    /// Why.
    pub reason: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{EntryKind, Gap, GapCause};
    use crate::testing::now;

    #[test]
    fn kinds_have_one_name_everywhere() {
        for kind in [EntryKind::Execution, EntryKind::Gap, EntryKind::Quarantine, EntryKind::Hold] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse::<EntryKind>().unwrap(), kind);
        }
        assert!("Execution".parse::<EntryKind>().is_err());
    }

    #[test]
    fn a_gap_says_its_cause_beside_the_rest() {
        let gap = |cause| Gap {
            cause,
            execution_id: "uid-1".to_owned(),
            namespace: "prod".to_owned(),
            name: "wf".to_owned(),
            started_at: None,
            last_phase: "Executing".to_owned(),
            last_state: String::new(),
            last_state_digest: None,
            last_seen_at: now(),
        };
        let mut expected = json!({
            "cause": "vanished", "execution_id": "uid-1", "namespace": "prod", "name": "wf",
            "last_phase": "Executing", "last_seen_at": "2025-06-01T12:00:00.000000Z",
        });
        assert_eq!(serde_json::to_value(gap(GapCause::Vanished)).unwrap(), expected);
        expected["cause"] = json!("released_unrecorded");
        expected["reason"] = json!("incident 7");
        let cause = GapCause::ReleasedUnrecorded { reason: "incident 7".to_owned() };
        assert_eq!(serde_json::to_value(gap(cause)).unwrap(), expected);
    }
}
