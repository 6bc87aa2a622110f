//! Digests, and when two records are the same.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::{WorkflowExecutionAudit, canonical::canonical, execution::QUARANTINE_LABEL};

/// 32 bytes of SHA-256 or HMAC-SHA256; lower-case hex in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of these parts, one after the other.
    pub fn sha256_of(parts: &[&[u8]]) -> Self {
        let hashed = parts.iter().fold(Sha256::new(), |hashed, part| hashed.chain_update(part));
        Self(hashed.finalize().into())
    }

    /// The digest held in `bytes`, if there are exactly 32 of them.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// SHA-256 of what comes in parts.
#[derive(Clone, Debug, Default)]
pub struct Hashing(Sha256);

impl Hashing {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The digest of all parts, one after the other.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a digest of 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotADigest)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

const CONTENT: &[u8] = b"dualaudit/content/v1\0";

/// What the sameness of two records is judged by: HMAC-SHA256, under the log's secret, of
/// `dualaudit/content/v1`, a zero byte and the canonical record as mapped, before redaction.
///
/// `attempt` is left out: it is part of the identity, and for a resource only known once stored. So is
/// `created_at`, which an execution keeps from its first revision, whatever is said later.
pub fn content_digest(record: &WorkflowExecutionAudit, secret: &[u8; 32]) -> Digest {
    let record = match record.labels.contains_key(QUARANTINE_LABEL) {
        false => canonical(record),
        true => {
            let mut unmarked = record.clone();
            unmarked.labels.remove(QUARANTINE_LABEL);
            canonical(&unmarked)
        }
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(CONTENT);
    let mut rest = record.as_slice();
    for key in [b",\"attempt\":".as_slice(), b",\"created_at\":"] {
        let (before, after) = around_member(rest, key);
        mac.update(before);
        rest = after;
    }
    mac.update(rest);
    Digest(mac.finalize().into_bytes().into())
}

/// The bytes before and after the member with this key, whose value is a number or a time: joined, they
/// are the canonical form of the record without it.
///
/// The first place is the right one. Canonical keys are sorted, so of what has parts only
/// `adaptive_adjustments` comes before, and its parts have no such keys; inside a string these bytes can't
/// stand, because a quote there has a backslash before it.
fn around_member<'a>(record: &'a [u8], key: &[u8]) -> (&'a [u8], &'a [u8]) {
    let start = record.windows(key.len()).position(|bytes| bytes == key).unwrap_or(record.len());
    let (before, rest) = record.split_at(start);
    let value = rest.get(key.len()..).unwrap_or_default();
    let end = value.iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(value.len());
    (before, &value[end..])
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use proptest::prelude::*;
    use serde_json::json;

    use super::{CONTENT, Digest, Sha256, content_digest};
    use crate::{
        WorkflowExecutionAudit,
        canonical::canonical,
        testing::{plain_record, record},
    };

    const SECRET: [u8; 32] = [3; 32];

    /// The definition, word by word.
    fn defined(record: &WorkflowExecutionAudit) -> Digest {
        let mut value = serde_json::to_value(record).unwrap();
        for member in ["attempt", "created_at"] {
            value.as_object_mut().unwrap().remove(member).unwrap();
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
        mac.update(CONTENT);
        mac.update(&canonical(&value));
        Digest(mac.finalize().into_bytes().into())
    }

    #[test]
    fn a_digest_is_64_lower_case_digits_in_text() {
        let digest = Digest::sha256(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        assert_eq!(serde_json::from_value::<Digest>(json!(text)).unwrap(), digest);
        assert_eq!(Digest::from_slice(&digest.0), Some(digest));
        assert_eq!(Digest::from_slice(&digest.0[1..]), None);
        for text in ["", "e3", &text[1..], &format!("{text}00"), &text.replace('e', "g")] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn that_a_record_was_in_quarantine_makes_no_difference() {
        let plain = plain_record();
        let mut marked = plain.clone();
        marked.labels.insert(super::QUARANTINE_LABEL.to_owned(), "17".to_owned());
        assert_eq!(content_digest(&marked, &SECRET), content_digest(&plain, &SECRET));
        marked.labels.insert("other".to_owned(), "17".to_owned());
        assert_ne!(content_digest(&marked, &SECRET), content_digest(&plain, &SECRET));
    }

    #[test]
    fn attempts_are_told_apart_by_their_content_only() {
        let first = plain_record();
        let again = WorkflowExecutionAudit { attempt: 17, created_at: crate::time::ZERO, ..first.clone() };
        assert_eq!(content_digest(&first, &SECRET), content_digest(&again, &SECRET));
        assert_ne!(content_digest(&first, &SECRET), content_digest(&first, &[4; 32]));
    }

    #[test]
    fn texts_that_look_like_what_is_left_out_are_left_alone() {
        let mut record = plain_record();
        let text = r#"",,"attempt":1,"created_at":1,"#;
        record.adaptive_adjustments[0].reason = text.to_owned();
        record.adaptive_adjustments[0].from = Some(",".to_owned());
        record.labels.insert(text.to_owned(), text.to_owned());
        record.labels.insert("attempt".to_owned(), "1".to_owned());
        assert_eq!(content_digest(&record, &SECRET), defined(&record));
    }

    proptest! {
        #[test]
        fn the_content_digest_is_that_of_the_record_without_what_is_no_content(record in record()) {
            prop_assert_eq!(content_digest(&record, &SECRET), defined(&record));
        }

        #[test]
        fn any_other_change_changes_the_digest(record in record(), other in record()) {
            let WorkflowExecutionAudit { attempt, created_at, .. } = other;
            let same = WorkflowExecutionAudit { attempt, created_at, ..record.clone() } == other;
            prop_assert_eq!(content_digest(&record, &SECRET) == content_digest(&other, &SECRET), same);
            let mut changed = record.clone();
            changed.error_message.push('!');
            prop_assert_ne!(content_digest(&record, &SECRET), content_digest(&changed, &SECRET));
        }
    }
}
