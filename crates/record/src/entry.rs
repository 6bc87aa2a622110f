//! What a log entry can be.
//!
//! An entry has a small *leaf*, which stays for ever, and a *body*, which may be purged or erased.
//! The leaf names the body by its digest; see [`crate::log`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Time,
    access::Access,
    day::{Counts, Day},
    digest::Digest,
    execution::{Outcome, Status, StoredExecution},
    export::Export,
    names::named,
    selector::Selector,
    statistics::Packed,
};

/// The kinds of entry, as leaves and tables name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see `Entry`")]
pub enum EntryKind {
    Execution,
    Gap,
    Quarantine,
    Hold,
    HoldRelease,
    Purge,
    Heartbeat,
    Succession,
    Digest,
    Review,
    Export,
    Erasure,
    Window,
    Access,
}

impl EntryKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Execution,
        Self::Gap,
        Self::Quarantine,
        Self::Hold,
        Self::HoldRelease,
        Self::Purge,
        Self::Heartbeat,
        Self::Succession,
        Self::Digest,
        Self::Review,
        Self::Export,
        Self::Erasure,
        Self::Window,
        Self::Access,
    ];

    /// Its name in leaves, tables and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Gap => "gap",
            Self::Quarantine => "quarantine",
            Self::Hold => "hold",
            Self::HoldRelease => "hold_release",
            Self::Purge => "purge",
            Self::Heartbeat => "heartbeat",
            Self::Succession => "succession",
            Self::Digest => "digest",
            Self::Review => "review",
            Self::Export => "export",
            Self::Erasure => "erasure",
            Self::Window => "window",
            Self::Access => "access",
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
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
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
    /// Nothing of what it covers may leave, until the hold is released.
    Hold(Hold),
    /// A hold is over.
    HoldRelease(HoldRelease),
    /// Records whose time was over, and which are gone.
    Purge(Purge),
    /// Nothing happened for a while, and there is something to sign that says so.
    Heartbeat(Heartbeat),
    /// The first entry of a log that goes on where another could not.
    Succession(Succession),
    /// What the entries of a day amount to.
    Digest(Box<DailyDigest>),
    /// Somebody judged an execution.
    Review(Review),
    /// Something was read out of the log, to be kept elsewhere.
    Export(Box<Export>),
    /// What was personal of one execution, and is gone.
    Erasure(Erasure),
    /// Somebody wants an execution kept for review for longer.
    Window(Window),
    /// Who asked for what.
    Access(Box<Access>),
}

impl Entry {
    /// Which kind this is.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Execution(_) => EntryKind::Execution,
            Self::Gap(_) => EntryKind::Gap,
            Self::Quarantine(_) => EntryKind::Quarantine,
            Self::Hold(_) => EntryKind::Hold,
            Self::HoldRelease(_) => EntryKind::HoldRelease,
            Self::Purge(_) => EntryKind::Purge,
            Self::Heartbeat(_) => EntryKind::Heartbeat,
            Self::Succession(_) => EntryKind::Succession,
            Self::Digest(_) => EntryKind::Digest,
            Self::Review(_) => EntryKind::Review,
            Self::Export(_) => EntryKind::Export,
            Self::Erasure(_) => EntryKind::Erasure,
            Self::Window(_) => EntryKind::Window,
            Self::Access(_) => EntryKind::Access,
        }
    }

    /// The one execution it concerns.
    pub fn execution_id(&self) -> Option<&str> {
        match self {
            Self::Execution(execution) => Some(&execution.record.id),
            Self::Gap(gap) => Some(&gap.execution_id),
            Self::Quarantine(quarantine) => Some(&quarantine.execution_id),
            Self::Hold(hold) => hold.covers.execution_id(),
            Self::HoldRelease(release) => release.execution_id.as_deref(),
            Self::Review(review) => Some(&review.execution_id),
            Self::Erasure(erasure) => Some(&erasure.execution_id),
            Self::Window(window) => Some(&window.execution_id),
            Self::Purge(_)
            | Self::Heartbeat(_)
            | Self::Succession(_)
            | Self::Digest(_)
            | Self::Export(_)
            | Self::Access(_) => None,
        }
    }
}

/// Why an execution is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
        /// Who they were; `unverified` when nothing vouches for the name. Gaps of the first versions do not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
    },
}

/// An execution that was seen and is gone unrecorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// The most bytes of a reason or of an actor's name.
pub const MAX_TEXT_BYTES: usize = 4096;

/// What is wrong with a reason or an actor's name, as it would stand in an entry; `None` where nothing is.
pub fn unfit_text(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() { Some("is empty") } else { unfit_note(text) }
}

/// What is wrong with the note of a review, which may be empty; `None` where nothing is.
pub fn unfit_note(text: &str) -> Option<&'static str> {
    if text.len() > MAX_TEXT_BYTES {
        Some("has more than 4096 bytes")
    } else if text.contains('\0') {
        Some("holds U+0000")
    } else {
        None
    }
}

/// Somebody wants executions kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hold {
    /// Which.
    #[serde(flatten)]
    pub covers: Covers,
    /// Why.
    pub reason: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// What a hold covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Covers {
    /// One execution, with all its attempts, recorded or still to come.
    ExecutionId(String),
    /// Every execution that it selects by any of its revisions, recorded or still to come.
    Selector(Selector),
}

impl Covers {
    /// The one execution, where it is one.
    pub fn execution_id(&self) -> Option<&str> {
        match self {
            Self::ExecutionId(id) => Some(id),
            Self::Selector(_) => None,
        }
    }
}

/// Somebody says that a hold is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRelease {
    /// Index of the hold's entry.
    pub hold: u64,
    /// The execution that it held, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// Records that went, because the time they had to be kept was over: one part of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Purge {
    /// The plan's id.
    pub plan: String,
    /// Which part of the plan this is, from 1.
    pub part: u32,
    /// How many parts the plan has in this log.
    pub parts: u32,
    /// The instant at which their time was over.
    pub as_of: Time,
    /// For how long records are kept, in words.
    pub policy: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
    /// How many executions went, each attempt counted.
    pub executions: u64,
    /// The entries whose bodies went, every revision: first and last index of each run, in order.
    pub entries: Vec<(u64, u64)>,
    /// How many they were, by outcome and status, in order.
    pub statistics: Vec<PurgedCount>,
    /// What they had contributed to the statistics, which keep it: of those that were the last
    /// attempts of their executions. Purges of the first versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contributed: Option<Packed>,
}

impl Purge {
    /// Whether the body of the entry at `index` went.
    pub fn covers(&self, index: u64) -> bool {
        let after = self.entries.partition_point(|&(first, _)| first <= index);
        after.checked_sub(1).is_some_and(|place| index <= self.entries[place].1)
    }
}

/// Nothing happened since the entry before this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// How many entries the log had.
    pub size: u64,
}

/// Why a log goes on in the place of another: the database lost what that had promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// The log that was rolled back.
    pub predecessor: String,
    /// How many entries it had left.
    pub size: u64,
    /// The RFC 6962 root over those.
    pub root: Digest,
    /// The newest checkpoint of it that was kept outside the database, whole.
    pub checkpoint: String,
    /// Why it was rolled back.
    pub reason: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// What the entries of a day of UTC amount to; or of several on which nothing was recorded at all.
///
/// It is made once the log has an entry of a later day, so that nothing can be added to its days any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyDigest {
    /// The first day. Each digest begins where the one before it ended; the first on the day of entry 0.
    pub since: Day,
    /// The last day: the same, unless nothing was recorded on any of them.
    pub until: Day,
    /// The first entry that was recorded on these days.
    pub first: u64,
    /// The first entry after those, which is of a later day.
    pub end: u64,
    /// What they amount to: who reads the log can count it again.
    #[serde(flatten)]
    pub counts: Counts,
    /// How many executions were in flight when it was made, which no entry tells. Only where that was on the day
    /// after these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
}

/// What somebody who looked at an execution says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did what it was for.
    Effective,
    /// It did not.
    Ineffective,
    /// It made things worse.
    Harmful,
}

named!(Verdict { Effective = "effective", Ineffective = "ineffective", Harmful = "harmful" });

/// Somebody judged an attempt of an execution. Of several reviews of one attempt the newest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The execution.
    pub execution_id: String,
    /// Which run of it.
    pub attempt: u32,
    /// What was said of it.
    pub verdict: Verdict,
    /// Why; may be empty.
    pub note: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// Somebody wants the resource of an attempt kept for review until then, at least. Each ends later than those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The execution.
    pub execution_id: String,
    /// Which run of it.
    pub attempt: u32,
    /// When it may leave, if nothing else keeps it.
    pub until: Time,
    /// Why; empty once it was erased.
    pub reason: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
}

/// The personal fields of one execution, and the objects it was read from, went; see [`crate::erase`].
///
/// It carries no statistics: what they are made of stays in what is left, so a fold of that comes out equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The execution, all its attempts up to then.
    pub execution_id: String,
    /// Why.
    pub reason: String,
    /// Who said so; `unverified` when nothing vouches for the name.
    pub actor: String,
    /// The entries that lost something, in order: every revision, gap, quarantine, review and window of the execution.
    pub entries: Vec<ErasedEntry>,
}

impl Erasure {
    /// What is left of the entry at `index`, if that is one of those that lost something.
    pub fn rest_of(&self, index: u64) -> Option<Digest> {
        let place = self.entries.binary_search_by_key(&index, |entry| entry.index).ok()?;
        Some(self.entries[place].rest)
    }
}

/// An entry that lost its personal fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedEntry {
    /// Its place in the log.
    pub index: u64,
    /// SHA-256 of the body of what is left, which has a nonce of its own.
    pub rest: Digest,
}

/// How many executions with this outcome and status went, by their latest revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgedCount {
    /// Their outcome.
    pub outcome: Outcome,
    /// Their status.
    pub status: Status,
    /// How many.
    pub executions: u64,
}

/// The runs that indexes in ascending order make: first and last of each.
pub fn runs(indexes: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::now;

    #[test]
    fn a_hold_says_what_it_covers_beside_the_rest() {
        let hold = |covers| Hold { covers, reason: "case 7".to_owned(), actor: "me".to_owned() };
        let one = hold(Covers::ExecutionId("uid-1".to_owned()));
        assert_eq!(
            serde_json::to_value(&one).unwrap(),
            json!({"execution_id": "uid-1", "reason": "case 7", "actor": "me"})
        );
        let selector = Selector { namespace: Some("prod".to_owned()), ..Selector::default() };
        let many = hold(Covers::Selector(selector));
        assert_eq!(
            serde_json::to_value(&many).unwrap(),
            json!({"selector": {"namespace": "prod"}, "reason": "case 7", "actor": "me"})
        );
        for hold in [one, many] {
            let written = serde_json::to_string(&hold).unwrap();
            assert_eq!(serde_json::from_str::<Hold>(&written).unwrap(), hold);
        }
    }

    #[test]
    fn indexes_make_runs_which_cover_them_and_no_others() {
        let entries = runs([0, 1, 2, 5, 7, 8]);
        assert_eq!(entries, [(0, 2), (5, 5), (7, 8)]);
        let purge = Purge {
            plan: String::new(),
            part: 1,
            parts: 1,
            as_of: now(),
            policy: String::new(),
            actor: String::new(),
            executions: 6,
            entries,
            statistics: Vec::new(),
            contributed: None,
        };
        let covered: Vec<u64> = (0..10).filter(|&index| purge.covers(index)).collect();
        assert_eq!(covered, [0, 1, 2, 5, 7, 8]);
        assert_eq!(runs([]), []);
    }

    #[test]
    fn kinds_have_one_name_everywhere() {
        for kind in EntryKind::ALL {
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
        // As the first versions wrote it.
        let cause = |actor| GapCause::ReleasedUnrecorded { reason: "incident 7".to_owned(), actor };
        assert_eq!(serde_json::to_value(gap(cause(None))).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Gap>(expected.clone()).unwrap(), gap(cause(None)));
        expected["actor"] = json!("jo");
        assert_eq!(serde_json::to_value(gap(cause(Some("jo".to_owned())))).unwrap(), expected);
    }
}
