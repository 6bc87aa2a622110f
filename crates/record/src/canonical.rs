//! The bytes that are hashed: RFC 8785, the JSON Canonicalization Scheme.

use serde::Serialize;

/// RFC 8785 canonical JSON of `value`.
///
/// Numbers become IEEE doubles on the way, so no integer above 2^53 may be in `value`; the limits
/// of [`crate::submitted`] see to that for records, and indexes stay below it for any real log.
///
/// # Panics
/// If `value` is not representable as JSON (a map with keys that are no strings, a NaN): the
/// types of this crate always are.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("our types are JSON")
}
