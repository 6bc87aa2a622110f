//! Entry bundles, and the leaves in them: one that is read is written with the same bytes.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use dualaudit_fuzz::plant;
use dualaudit_record::log::{Leaf, TILE_WIDTH, read_entry_bundle, write_entry_bundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: plant("entry_bundle"), |bytes: &[u8]| {
    let Ok(entries) = read_entry_bundle(bytes) else { return };
    assert!(entries.len() <= TILE_WIDTH);
    let mut written = Vec::new();
    for entry in &entries {
        written.extend_from_slice(&u16::try_from(entry.len()).expect("it was read").to_be_bytes());
        written.extend_from_slice(entry);
    }
    assert_eq!(written, bytes);
    let leaves: Vec<Leaf> = entries.iter().filter_map(|entry| serde_json::from_slice(entry).ok()).collect();
    let ours = write_entry_bundle(&leaves);
    let again = read_entry_bundle(&ours).expect("it is one").into_iter().map(serde_json::from_slice);
    assert_eq!(again.collect::<Result<Vec<Leaf>, _>>().expect("leaves are read back"), leaves);
});
