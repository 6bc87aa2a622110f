//! The body of an entry: one that is read is written with the same bytes.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use dualaudit_fuzz::plant;
use dualaudit_record::{
    EntryKind,
    log::{body, parse_body},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(init: plant("body"), |json: &[u8]| {
    for kind in EntryKind::ALL {
        let Ok((entry, nonce)) = parse_body(kind, json) else { continue };
        assert_eq!(entry.kind(), kind);
        assert_eq!(body(&entry, nonce), json);
        // As a bundle carries it.
        let value: Value = serde_json::from_slice(json).expect("it is JSON");
        assert_eq!(dualaudit_record::canonical::canonical(&value), json);
    }
});
