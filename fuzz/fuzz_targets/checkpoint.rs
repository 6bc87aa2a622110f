//! Checkpoints: one that is read is written with the same bytes, and nothing passes for signed that was not.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use dualaudit_fuzz::{COSIGNED_AT, known, plant};
use dualaudit_record::checkpoint::SignedCheckpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: plant("checkpoint"), |bytes: &[u8]| {
    let known = known();
    if let Ok(lines) = str::from_utf8(bytes) {
        // As a witness answers.
        let mut checkpoint = known.checkpoint.clone();
        checkpoint.add_cosignature(lines, &known.keys[1]);
        assert_eq!(checkpoint, known.checkpoint);
    }
    let Ok(checkpoint) = SignedCheckpoint::parse(bytes) else { return };
    assert_eq!(checkpoint.as_str().as_bytes(), bytes);
    assert!(checkpoint.as_str().starts_with(&checkpoint.head().text()));
    assert_eq!(checkpoint.is_signed(), !checkpoint.signers().is_empty());
    let Ok(vouched) = checkpoint.vouched(&known.keys) else { return };
    assert_eq!(checkpoint.head(), known.checkpoint.head());
    let (log, witness) = (known.keys[0].name(), known.keys[1].name());
    assert_eq!(vouched.by_log, [log]);
    let cosigned = (witness.to_owned(), COSIGNED_AT);
    assert!(vouched.by_witnesses.is_empty() || vouched.by_witnesses == [cosigned], "{vouched:?}");
});
