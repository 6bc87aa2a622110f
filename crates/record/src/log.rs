//! Leaves and the Merkle tree over them.
//!
//! The tree is RFC 6962's; its tiles are those of C2SP `tlog-tiles` (height 8).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned};
use tlog_tiles::tlog;

use crate::{
    Entry, EntryKind, Time, WorkflowExecutionAudit, canonical::canonical, digest::Digest,
    execution::StoredExecution,
};

mod entry_bundle;
mod tile;
mod tree;

pub use entry_bundle::{MalformedBundle, read_entry_bundle, write_entry_bundle};
pub use tile::{MalformedPath, TileId, TilePath};
pub use tree::{MalformedTree, TILE_HEIGHT, TILE_WIDTH, TileData, Tree, growing_tiles};

/// Random bytes inside each body: without them its digest could be guessed from its content. In text,
/// 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonce(pub [u8; 16]);

/// The text was not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a nonce of 32 hexadecimal digits")]
pub struct NotANonce;

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Nonce {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotANonce)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The format version of leaves.
pub const FORMAT: u32 = 1;

/// What stays of an entry for ever. Holds nothing personal, and says nothing about the body once
/// that and its nonce are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The version of this form: 1.
    pub format: u32,
    /// The log's name.
    pub log: String,
    /// Its place in the log.
    pub index: u64,
    /// What kind of entry it is.
    pub kind: EntryKind,
    /// When it was appended.
    pub recorded_at: Time,
    /// The execution it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// Of an execution entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Of an execution entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// SHA-256 of the canonical body.
    pub body_digest: Digest,
}

impl Leaf {
    /// The bytes that are hashed and served: canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// RFC 6962, section 2.1: SHA-256 of 0x00 and the bytes.
    pub fn hash(&self) -> Digest {
        Digest(tlog::record_hash(&self.to_bytes()).0)
    }
}

#[derive(Serialize, Deserialize)]
struct Body<T> {
    nonce: Nonce,
    #[serde(flatten)]
    content: T,
}

/// The canonical body of an entry, its nonce inside it.
pub fn body(entry: &Entry, nonce: Nonce) -> Vec<u8> {
    match entry {
        Entry::Execution(execution) => {
            let StoredExecution { record, revision, recorded_at, source_digest } = execution.as_ref();
            execution_body(record, *revision, *recorded_at, *source_digest, nonce)
        }
        Entry::Gap(content) => canonical(&Body { nonce, content }),
        Entry::Quarantine(content) => canonical(&Body { nonce, content }),
        Entry::Hold(content) => canonical(&Body { nonce, content }),
        Entry::HoldRelease(content) => canonical(&Body { nonce, content }),
        Entry::Purge(content) => canonical(&Body { nonce, content }),
        Entry::Heartbeat(content) => canonical(&Body { nonce, content }),
        Entry::Succession(content) => canonical(&Body { nonce, content }),
        Entry::Digest(content) => canonical(&Body { nonce, content }),
        Entry::Review(content) => canonical(&Body { nonce, content }),
        Entry::Export(content) => canonical(&Body { nonce, content }),
        Entry::Erasure(content) => canonical(&Body { nonce, content }),
        Entry::Window(content) => canonical(&Body { nonce, content }),
        Entry::Access(content) => canonical(&Body { nonce, content }),
    }
}

/// [`body`] of the entry of a [`StoredExecution`] with these parts.
pub fn execution_body(
    record: &WorkflowExecutionAudit,
    revision: u32,
    recorded_at: Time,
    source_digest: Option<Digest>,
    nonce: Nonce,
) -> Vec<u8> {
    execution_body_at(record, revision, recorded_at, source_digest, nonce)
}

fn execution_body_at(
    record: &WorkflowExecutionAudit,
    revision: u32,
    recorded_at: impl Serialize,
    source_digest: Option<Digest>,
    nonce: Nonce,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Parts<'a, T> {
        #[serde(flatten)]
        record: &'a WorkflowExecutionAudit,
        revision: u32,
        recorded_at: T,
        #[serde(skip_serializing_if = "Option::is_none")]
        source_digest: Option<Digest>,
    }
    canonical(&Body { nonce, content: Parts { record, revision, recorded_at, source_digest } })
}

/// [`execution_body`] but for when it is recorded, so that it can be written before that is known.
#[derive(Clone, Debug)]
pub struct UndatedBody {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl UndatedBody {
    /// The body of the entry of a [`StoredExecution`] with these parts.
    pub fn new(
        record: &WorkflowExecutionAudit,
        revision: u32,
        source_digest: Option<Digest>,
        nonce: Nonce,
    ) -> Self {
        // The nonce stands where the time will: it was drawn after the record was written, so
        // nothing in the record can pass for this place.
        let mut before = execution_body_at(record, revision, nonce, source_digest, nonce);
        let member = format!("\"recorded_at\":\"{nonce}\"");
        let text = str::from_utf8(&before).expect("JSON is UTF-8");
        let end = text.find(&member).expect("a body says when it was recorded") + member.len() - 1;
        let after = before.split_off(end);
        before.truncate(end - 2 * nonce.0.len());
        Self { before, after }
    }

    /// SHA-256 of the body that says this time.
    pub fn digest(&self, recorded_at: Time) -> Digest {
        Digest::sha256_of(&[&self.before, recorded_at.to_string().as_bytes(), &self.after])
    }
}

/// The bytes are not the body of an entry of that kind.
#[derive(Debug, thiserror::Error)]
#[error("not the body of an entry of kind {kind}: {reason}")]
pub struct MalformedBody {
    /// The kind it was read as.
    pub kind: EntryKind,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads a body back: the inverse of [`body`].
///
/// # Errors
/// When `bytes` are anything but what [`body`] would write for the entry they describe. So nothing in
/// them (an unknown or doubled key, another spelling of a value) can be overlooked.
pub fn parse_body(kind: EntryKind, bytes: &[u8]) -> Result<(Entry, Nonce), MalformedBody> {
    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Nonce), serde_json::Error> {
        serde_json::from_slice(bytes).map(|Body { nonce, content }| (content, nonce))
    }
    let read = match kind {
        EntryKind::Execution => read(bytes).map(|(content, nonce)| (Entry::Execution(content), nonce)),
        EntryKind::Gap => read(bytes).map(|(content, nonce)| (Entry::Gap(content), nonce)),
        EntryKind::Quarantine => read(bytes).map(|(content, nonce)| (Entry::Quarantine(content), nonce)),
        EntryKind::Hold => read(bytes).map(|(content, nonce)| (Entry::Hold(content), nonce)),
        EntryKind::HoldRelease => read(bytes).map(|(content, nonce)| (Entry::HoldRelease(content), nonce)),
        EntryKind::Purge => read(bytes).map(|(content, nonce)| (Entry::Purge(content), nonce)),
        EntryKind::Heartbeat => read(bytes).map(|(content, nonce)| (Entry::Heartbeat(content), nonce)),
        EntryKind::Succession => read(bytes).map(|(content, nonce)| (Entry::Succession(content), nonce)),
        EntryKind::Digest => read(bytes).map(|(content, nonce)| (Entry::Digest(content), nonce)),
        EntryKind::Review => read(bytes).map(|(content, nonce)| (Entry::Review(content), nonce)),
        EntryKind::Export => read(bytes).map(|(content, nonce)| (Entry::Export(content), nonce)),
        EntryKind::Erasure => read(bytes).map(|(content, nonce)| (Entry::Erasure(content), nonce)),
        EntryKind::Window => read(bytes).map(|(content, nonce)| (Entry::Window(content), nonce)),
        EntryKind::Access => read(bytes).map(|(content, nonce)| (Entry::Access(content), nonce)),
    };
    let (entry, nonce) = read.map_err(|error| MalformedBody { kind, reason: error.to_string() })?;
    if body(&entry, nonce) != bytes {
        let reason = "it says more than such an entry holds, or is not in canonical form".to_owned();
        return Err(MalformedBody { kind, reason });
    }
    Ok((entry, nonce))
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::{
        Digest, EntryKind, FORMAT, Leaf, Nonce, StoredExecution, UndatedBody, body, execution_body,
        parse_body,
    };
    use crate::{
        Entry, Time,
        access::{Access, Act, Decision, Event, Verified},
        day::{Counts, Day, GapCauses},
        entry::{
            Covers, DailyDigest, ErasedEntry, Erasure, Gap, GapCause, Heartbeat, Hold, HoldRelease, Purge,
            PurgedCount, Quarantine, Review, Succession, Verdict, Window,
        },
        execution::{Outcome, Status},
        export::{Export, ExportFormat, ExportedLog, Scope},
        selector::{LabelRequirement, Selector},
        statistics::Packed,
        testing::{now, plain_record, record},
    };

    fn nonce() -> Nonce {
        Nonce([0xab; 16])
    }

    fn hold() -> Entry {
        let covers = Covers::ExecutionId("wf-1".into());
        Entry::Hold(Hold { covers, reason: "incident 7".into(), actor: "unverified".into() })
    }

    #[test]
    fn a_leaf_is_these_bytes_and_this_hash() {
        let leaf = Leaf {
            format: FORMAT,
            log: "default".to_owned(),
            index: 7,
            kind: EntryKind::Execution,
            recorded_at: now(),
            execution_id: Some("wf-1".to_owned()),
            attempt: Some(1),
            revision: Some(2),
            body_digest: Digest([0xcd; 32]),
        };
        let text = concat!(
            r#"{"attempt":1,"body_digest":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","#,
            r#""execution_id":"wf-1","format":1,"index":7,"kind":"execution","log":"default","#,
            r#""recorded_at":"2025-06-01T12:00:00.000000Z","revision":2}"#
        );
        assert_eq!(String::from_utf8(leaf.to_bytes()).unwrap(), text);
        assert_eq!(leaf.hash(), Digest::sha256(&[b"\0", text.as_bytes()].concat()));
        assert_eq!(serde_json::from_str::<Leaf>(text).unwrap(), leaf);
        let nothing_else = text.replace("\"index\"", "\"more\":1,\"index\"");
        assert!(serde_json::from_str::<Leaf>(&nothing_else).is_err());
    }

    #[test]
    fn the_longest_leaf_fits_an_entry_of_tlog_tiles() {
        let leaf = Leaf {
            format: FORMAT,
            log: "x".repeat(63),
            index: 1 << 52,
            kind: EntryKind::Quarantine,
            recorded_at: now(),
            execution_id: Some("\"".repeat(crate::submitted::MAX_NAME_BYTES)),
            attempt: Some(u32::MAX),
            revision: Some(u32::MAX),
            body_digest: Digest([0xcd; 32]),
        };
        assert!(leaf.to_bytes().len() < 1_000);
    }

    #[test]
    fn a_body_carries_its_nonce_beside_its_content() {
        let text = concat!(
            r#"{"actor":"unverified","execution_id":"wf-1","nonce":"abababababababababababababababab","#,
            r#""reason":"incident 7"}"#
        );
        assert_eq!(String::from_utf8(body(&hold(), nonce())).unwrap(), text);
    }

    proptest! {
        #[test]
        fn a_body_without_its_time_becomes_the_body_with_it(
            mut record in record(), revision in 1..u32::MAX, source in option::of(any::<[u8; 32]>()),
        ) {
            record.labels.insert("recorded_at".to_owned(), now().to_string());
            let source = source.map(Digest);
            let whole = execution_body(&record, revision, now(), source, nonce());
            let undated = UndatedBody::new(&record, revision, source, nonce());
            prop_assert_eq!(undated.digest(now()), Digest::sha256(&whole));
        }
    }

    #[test]
    fn a_body_that_says_anything_else_is_refused() {
        let text = String::from_utf8(body(&hold(), nonce())).unwrap();
        parse_body(EntryKind::Hold, text.as_bytes()).unwrap();
        for other in [
            text.replace("\"actor\"", "\"act\""),
            text.replace('{', "{\"aaa\":1,"),
            text.replace('{', "{\"actor\":\"unverified\","),
            text.replace(':', ": "),
            text.replace("abab", "ABAB"),
            text.replace("abab", "ab"),
            text.replace(r#""reason":"incident 7""#, r#""reason":"incident \u0037""#),
            format!("{text} "),
            format!("{text}{text}"),
            "[]".to_owned(),
            String::new(),
        ] {
            assert!(parse_body(EntryKind::Hold, other.as_bytes()).is_err(), "{other}");
        }
        assert!(parse_body(EntryKind::Gap, text.as_bytes()).is_err());

        let stored =
            StoredExecution { record: plain_record(), revision: 1, recorded_at: now(), source_digest: None };
        let text = String::from_utf8(body(&Entry::Execution(Box::new(stored)), nonce())).unwrap();
        parse_body(EntryKind::Execution, text.as_bytes()).unwrap();
        let more = text.replace("\"workflow_name\"", "\"workflow\":1,\"workflow_name\"");
        assert!(parse_body(EntryKind::Execution, more.as_bytes()).is_err());
    }

    #[test]
    fn a_nonce_comes_back_from_its_text() {
        assert_eq!(nonce().to_string().parse::<Nonce>().unwrap(), nonce());
        assert!("ab".parse::<Nonce>().is_err());
        assert!("x".repeat(32).parse::<Nonce>().is_err());
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let time =
            (0..=crate::time::ZERO.as_micros().abs()).prop_map(|micros| Time::from_micros(micros).unwrap());
        let digest = any::<[u8; 32]>().prop_map(Digest);
        let (root, rest) = (digest.clone(), digest.clone());
        let cause = prop_oneof![
            Just(GapCause::Vanished),
            Just(GapCause::Overtaken),
            (".{0,8}", option::of(".{0,8}"))
                .prop_map(|(reason, actor)| GapCause::ReleasedUnrecorded { reason, actor }),
        ];
        let texts = || (".{0,8}", ".{0,8}", ".{0,8}", ".{0,8}", ".{0,8}");
        prop_oneof![
            (record(), 1..=u32::MAX, time.clone(), option::of(digest.clone())).prop_map(
                |(record, revision, recorded_at, source_digest)| {
                    let stored = StoredExecution { record, revision, recorded_at, source_digest };
                    Entry::Execution(Box::new(stored))
                }
            ),
            (cause, texts(), option::of(time.clone()), option::of(digest.clone()), time).prop_map(
                |(cause, texts, started_at, last_state_digest, last_seen_at)| {
                    let (execution_id, namespace, name, last_phase, last_state) = texts;
                    Entry::Gap(Gap {
                        cause,
                        execution_id,
                        namespace,
                        name,
                        started_at,
                        last_phase,
                        last_state,
                        last_state_digest,
                        last_seen_at,
                    })
                }
            ),
            (texts(), digest).prop_map(|((execution_id, namespace, name, reason, _), source_digest)| {
                Entry::Quarantine(Quarantine { execution_id, namespace, name, reason, source_digest })
            }),
            (covers(), texts()).prop_map(|(covers, (reason, actor, ..))| Entry::Hold(Hold {
                covers,
                reason,
                actor
            })),
            (0..=1_u64 << 53, option::of(".{0,8}"), texts()).prop_map(
                |(hold, execution_id, (reason, actor, ..))| {
                    Entry::HoldRelease(HoldRelease { hold, execution_id, reason, actor })
                }
            ),
            (texts(), any::<(u32, u32)>(), prop::collection::vec(0..=1_u64 << 53, 0..5)).prop_map(
                |((plan, policy, actor, ..), (part, parts), indexes)| {
                    Entry::Purge(Purge {
                        plan,
                        part,
                        parts,
                        as_of: now(),
                        policy,
                        actor,
                        executions: indexes.len() as u64,
                        entries: indexes.iter().map(|&index| (index, index)).collect(),
                        statistics: vec![PurgedCount {
                            outcome: Outcome::Partial,
                            status: Status::TimedOut,
                            executions: 7,
                        }],
                        contributed: (part > 7).then(|| Packed::from_bytes(vec![1, 0, part as u8])),
                    })
                }
            ),
            (0..=1_u64 << 53).prop_map(|size| Entry::Heartbeat(Heartbeat { size })),
            (texts(), 0..=1_u64 << 53, root.clone()).prop_map(
                |((predecessor, checkpoint, reason, actor, _), size, root)| {
                    Entry::Succession(Succession { predecessor, size, root, checkpoint, reason, actor })
                }
            ),
            (prop::array::uniform4(0..=1_u64 << 51), option::of(0..=1_u64 << 53)).prop_map(
                |([first, recorded, gaps, purges], in_flight)| {
                    let gap_causes = GapCauses { vanished: gaps, overtaken: 0, released_unrecorded: 7 };
                    let counts = Counts { recorded, gaps, gap_causes, purges, ..Counts::default() };
                    let (since, until) = (Day::of(now()), Day::of(crate::time::MAX));
                    let end = first + recorded;
                    Entry::Digest(Box::new(DailyDigest { since, until, first, end, counts, in_flight }))
                }
            ),
            (texts(), 1..=u32::MAX, prop::sample::select(Verdict::ALL)).prop_map(
                |((execution_id, note, actor, ..), attempt, verdict)| {
                    Entry::Review(Review { execution_id, attempt, verdict, note, actor })
                }
            ),
            (texts(), 1..=u32::MAX, any::<bool>()).prop_map(
                |((execution_id, reason, actor, ..), attempt, is_late)| {
                    let until = if is_late { crate::time::MAX } else { now() };
                    Entry::Window(Window { execution_id, attempt, until, reason, actor })
                }
            ),
            (texts(), option::of(texts()), 0..=1_u64 << 53, root.clone(), any::<bool>()).prop_map(
                |((access, verb, resource, ..), names, count, root, is_let)| {
                    let decision = if is_let { Decision::Allow } else { Decision::Forbid };
                    let verified = is_let.then_some(Verified { size: count, root, findings: 0 });
                    let (actor, namespace, log, execution_id, _) = names.unwrap_or_default();
                    let some = |name: String| Some(name).filter(|name| !name.is_empty());
                    let event = Event {
                        actor: some(actor),
                        decision,
                        verb,
                        resource,
                        namespace: some(namespace),
                        log: some(log),
                        execution_id: some(execution_id),
                        verified,
                    };
                    let acts = vec![Act { event, count }];
                    let others = u64::from(!is_let);
                    Entry::Access(Box::new(Access { access, since: now(), until: now(), acts, others }))
                }
            ),
            (texts(), 0..=1_u64 << 53, root, any::<bool>()).prop_map(
                |((export, actor, log, value, _), size, root, whole)| {
                    Entry::Export(Box::new(Export {
                        export,
                        actor,
                        format: ExportFormat::Csv,
                        scope: Scope::Revisions,
                        filter: [("workflow".to_owned(), value)].into(),
                        logs: vec![ExportedLog {
                            log,
                            size,
                            root,
                            entries: [(EntryKind::Execution, size)].into(),
                            without_body: 0,
                            later: 1,
                        }],
                        bytes: size,
                        sha256: root,
                        whole,
                    }))
                }
            ),
            (texts(), prop::collection::vec((0..=1_u64 << 53, rest), 0..4)).prop_map(
                |((execution_id, reason, actor, ..), entries)| {
                    let entries =
                        entries.into_iter().map(|(index, rest)| ErasedEntry { index, rest }).collect();
                    Entry::Erasure(Erasure { execution_id, reason, actor, entries })
                }
            ),
        ]
    }

    fn covers() -> impl Strategy<Value = Covers> {
        let requirement =
            (".{0,8}", prop::collection::vec(".{0,8}", 1..3), 0..4).prop_map(|(key, values, which)| {
                match which {
                    0 => LabelRequirement::In(key, values),
                    1 => LabelRequirement::NotIn(key, values),
                    2 => LabelRequirement::Exists(key),
                    _ => LabelRequirement::Absent(key),
                }
            });
        let text = || option::of(".{0,8}");
        let selector = (text(), text(), text(), prop::collection::vec(requirement, 0..3));
        prop_oneof![
            ".{0,8}".prop_map(Covers::ExecutionId),
            selector.prop_map(|(remediation_id, workflow_name, namespace, labels)| {
                Covers::Selector(Selector { remediation_id, workflow_name, namespace, labels })
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_from_its_body(entry in entry(), nonce: [u8; 16]) {
            let bytes = body(&entry, Nonce(nonce));
            prop_assert_eq!(parse_body(entry.kind(), &bytes).unwrap(), (entry, Nonce(nonce)));
        }
    }
}
