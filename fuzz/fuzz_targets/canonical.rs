//! Canonical bytes of any JSON: those of another implementation, and their own canonical form.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use dualaudit_record::canonical::canonical;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|json: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
    let bytes = canonical(&value);
    assert_eq!(bytes, serde_json_canonicalizer::to_vec(&value).expect("it is JSON"));
    let again: Value = serde_json::from_slice(&bytes).expect("it is read back");
    assert_eq!(canonical(&again), bytes);
});
