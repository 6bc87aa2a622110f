//! Values that must not be kept are replaced by salted commitments.
//!
//! A commitment is `redacted:hmac-sha256:` and the hex of HMAC-SHA256, under the secret of the log,
//! of
//!
//! ```text
//! "dualaudit/redaction/v1" 00 execution-id 00 json-pointer 00 value
//! ```
//!
//! where `value` is the canonical JSON of the value (serde_json's compact form if it holds an
//! integer beyond 2^53, which canonical JSON would round). Equal values of one place of one
//! execution have equal commitments, so changes stay visible; nothing can be guessed or compared
//! across places without the secret.
//!
//! What is redacted is decided by names, and rather too much than too little: see `redact/names.rs`.
//! Not found are secrets in plain text: in messages, in arguments such as `--password=x`, in
//! manifests that are YAML inside a string.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::{WorkflowExecutionAudit, canonical::canonical};

mod names;

const DOMAIN: &[u8] = b"dualaudit/redaction/v1";
const PREFIX: &str = "redacted:hmac-sha256:";

/// JSON inside a string inside JSON …: beyond that many levels a string is replaced whole.
const MAX_NESTED_STRINGS: u8 = 4;

/// Replaces secret values in a source object by commitments, where it stands. Doing it again changes
/// nothing.
///
/// - The value of a key that names a secret, whole; null, booleans and what is empty stay.
/// - `value`, `values` and `default` of an object whose `name` or `key` names a secret, as in
///   environment variables and parameters; these five in any case (`Name`, `Value`).
/// - Of a reference to a secret (`tokenRef`, `imagePullSecrets`) everything but `name`, `key`,
///   `namespace`, `kind`, `apiVersion` and `optional`.
/// - Inside strings that are themselves a JSON object or array, as the annotation
///   `kubectl.kubernetes.io/last-applied-configuration`; such a string is written anew in compact
///   form when it names a secret, and otherwise stays as it is.
/// - Nothing in `metadata.managedFields`, which is made of field names.
pub fn redact_object(object: &mut Value, secret: &[u8; 32], id: &str) {
    Redaction { secret, id }.value(object, &mut String::new(), 0);
}

/// Replaces the values of labels whose key names a secret by commitments; their place is
/// `/labels/<key>`. Free texts stay as they are: there is no key to judge them by.
pub fn redact_record(record: &mut WorkflowExecutionAudit, secret: &[u8; 32]) {
    let redaction = Redaction { secret, id: &record.id };
    for (key, value) in &mut record.labels {
        if names::is_secret(key) && !value.is_empty() && !is_commitment(value) {
            let place = format!("/labels/{}", escaped(key));
            *value = redaction.commitment(&Value::String(value.clone()), &place);
        }
    }
}

/// Whether a record holds commitments, so that what was said before redaction is not known.
pub fn is_redacted(record: &WorkflowExecutionAudit) -> bool {
    record.labels.values().any(|value| is_commitment(value))
}

struct Redaction<'a> {
    secret: &'a [u8; 32],
    id: &'a str,
}

impl Redaction<'_> {
    /// Answers whether anything was replaced. `place` is the JSON pointer of `value`, and is left as
    /// it was found.
    fn value(&self, value: &mut Value, place: &mut String, nested: u8) -> bool {
        match value {
            Value::Object(members) => self.object(members, place, nested),
            Value::Array(items) => {
                let mut changed = false;
                for (index, item) in items.iter_mut().enumerate() {
                    changed |= at(place, &index.to_string(), |place| self.value(item, place, nested));
                }
                changed
            }
            Value::String(text) => self.string(text, place, nested),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    fn object(&self, members: &mut Map<String, Value>, place: &mut String, nested: u8) -> bool {
        let is_secret_pair = members
            .iter()
            .any(|(key, value)| names::is_pair_name(key) && value.as_str().is_some_and(names::is_secret));
        let mut changed = false;
        for (key, value) in members {
            changed |= at(place, key, |place| {
                if place == "/metadata/managedFields" && nested == 0 {
                    return false;
                }
                if is_secret_pair && names::is_pair_value(key) {
                    self.replace(value, place)
                } else if !names::is_secret(key) {
                    self.value(value, place, nested)
                } else if names::is_reference(key, value) {
                    self.reference(value, place, nested)
                } else {
                    self.replace(value, place)
                }
            });
        }
        changed
    }

    /// Keeps of a reference only what tells where the secret is: nothing else belongs there, and what
    /// is there all the same may be the secret.
    fn reference(&self, value: &mut Value, place: &mut String, nested: u8) -> bool {
        let mut changed = false;
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    changed |= at(place, key, |place| {
                        if names::is_part_of_reference(key, value) {
                            self.value(value, place, nested)
                        } else {
                            self.replace(value, place)
                        }
                    });
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    changed |= at(place, &index.to_string(), |place| self.reference(item, place, nested));
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        changed
    }

    /// A string may be JSON itself.
    fn string(&self, text: &mut String, place: &mut String, nested: u8) -> bool {
        if !text.trim_start().starts_with(['{', '[']) {
            return false;
        }
        let Ok(mut inner) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        if nested == MAX_NESTED_STRINGS {
            *text = self.commitment(&Value::String(std::mem::take(text)), place);
            return true;
        }
        // A key given twice is read as the last one only, so the text itself is asked as well.
        let changed = self.value(&mut inner, place, nested + 1) || names::is_secret(text);
        if changed {
            *text = inner.to_string();
        }
        changed
    }

    fn replace(&self, value: &mut Value, place: &str) -> bool {
        let stays = match value {
            Value::Null | Value::Bool(_) => true,
            Value::String(text) => text.is_empty() || is_commitment(text),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Number(_) => false,
        };
        if !stays {
            *value = Value::String(self.commitment(value, place));
        }
        !stays
    }

    fn commitment(&self, value: &Value, place: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).expect("HMAC takes keys of any length");
        for part in [DOMAIN, self.id.as_bytes(), place.as_bytes()] {
            mac.update(part);
            mac.update(&[0]);
        }
        if is_exact(value) {
            mac.update(&canonical(value));
        } else {
            mac.update(value.to_string().as_bytes());
        }
        format!("{PREFIX}{}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// Runs `then` with `/key` added to `place`.
fn at<T>(place: &mut String, key: &str, then: impl FnOnce(&mut String) -> T) -> T {
    let end = place.len();
    place.push('/');
    place.push_str(&escaped(key));
    let result = then(place);
    place.truncate(end);
    result
}

/// RFC 6901, section 3.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn is_commitment(text: &str) -> bool {
    let hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    text.strip_prefix(PREFIX).is_some_and(hex)
}

/// Whether canonical JSON keeps all its integers.
fn is_exact(value: &Value) -> bool {
    const MOST: u64 = 1 << 53;
    match value {
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number <= MOST,
            (None, Some(number)) => number.unsigned_abs() <= MOST,
            (None, None) => true,
        },
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests;
