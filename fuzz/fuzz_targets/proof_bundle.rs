//! Proof bundles: one that is read is written and read the same, and one that was changed proves nothing.
#![no_main]
#![allow(missing_docs, reason = "a program")]

use dualaudit_fuzz::{known, plant};
use dualaudit_record::{
    canonical::canonical,
    proof::{Bundle, InclusionProof},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: plant("proof_bundle"), |json: &[u8]| {
    let Ok(bundle) = serde_json::from_slice::<Bundle>(json) else { return };
    let written = serde_json::to_vec(&bundle).expect("it is JSON");
    assert_eq!(serde_json::from_slice::<Bundle>(&written).expect("it is read back"), bundle);
    if let Ok(proof) = bundle.proof.parse::<InclusionProof>() {
        assert_eq!(proof.to_string().parse(), Ok(proof));
    }
    let known = known();
    let unsigned = bundle.verify(&[]);
    let Ok(proved) = bundle.verify(&known.keys) else { return };
    assert!(unsigned.is_ok());
    let index = usize::try_from(bundle.leaf.index).expect("it is small");
    assert_eq!(bundle.leaf, known.bundles[index].leaf);
    assert_eq!(proved.proof.checkpoint.head(), known.checkpoint.head());
    if let Some(body) = &bundle.body {
        assert_eq!(canonical(body), known.bodies[index]);
    }
    assert_eq!(proved.entry.is_some(), bundle.body.is_some());
});
