use proptest::prelude::*;

use super::*;
use crate::{
    Entry, EntryKind,
    checkpoint::{Checkpoint, SigningKey},
    entry::{Covers, Hold},
    log::{FORMAT, Leaf, Nonce, Tree, body},
    testing::now,
};

fn leaf_hash(index: u64) -> Digest {
    Digest(tlog::record_hash(&index.to_be_bytes()).0)
}

/// A log of so many leaves: its head, and its tiles as they are stored.
fn log(size: u64) -> (Head, Vec<TileData>) {
    let mut tree = Tree::empty();
    (0..size).for_each(|index| tree.push(leaf_hash(index)));
    (Head { size, root: tree.root() }, tree.take_changed())
}

/// Those of the tiles that are wanted, and no others.
fn only(wanted: &[TileId], tiles: &[TileData]) -> Vec<TileData> {
    tiles.iter().filter(|tile| wanted.contains(&tile.id())).cloned().collect()
}

fn included(head: Head, index: u64, tiles: &[TileData]) -> Result<Vec<Digest>, CannotProve> {
    prove_inclusion(head, index, only(&tiles_of_inclusion(head.size, index), tiles))
}

const SIZES: [u64; 10] = [1, 2, 3, 255, 256, 257, 512, 700, 65_535, 65_537];

#[test]
fn what_is_in_a_log_can_be_proved_and_nothing_else() {
    for size in SIZES {
        let (head, tiles) = log(size);
        for index in [0, 1, size / 2, size - 1].into_iter().filter(|&index| index < size) {
            let proof = included(head, index, &tiles).unwrap();
            check_inclusion(head, index, leaf_hash(index), &proof).unwrap();
            let wrong =
                |head, index, leaf, proof: &[Digest]| check_inclusion(head, index, leaf, proof).is_err();
            assert!(wrong(head, index, leaf_hash(index + 1), &proof));
            assert!(wrong(Head { root: Digest([1; 32]), ..head }, index, leaf_hash(index), &proof));
            assert!(wrong(head, index, leaf_hash(index), &[proof.as_slice(), &[leaf_hash(0)]].concat()));
            if let Some((_, fewer)) = proof.split_last() {
                assert!(wrong(head, index, leaf_hash(index), fewer));
                assert!(wrong(head, index ^ 1, leaf_hash(index), &proof) || index ^ 1 >= size);
            }
        }
        let beyond = ProofError::Beyond { of: size, size };
        assert_eq!(included(head, size, &tiles), Err(beyond.into()));
        assert_eq!(check_inclusion(head, size, leaf_hash(size), &[]), Err(beyond));
    }
}

#[test]
fn that_a_log_only_grew_can_be_proved_and_nothing_else() {
    for size in SIZES {
        let (head, tiles) = log(size);
        for old in
            [1, 2, size / 2, size.saturating_sub(1), size].into_iter().filter(|&old| 0 < old && old <= size)
        {
            let before = log(old).0;
            let wanted = only(&tiles_of_consistency(old, size), &tiles);
            let (root, proof) = prove_consistency(head, old, wanted).unwrap();
            assert_eq!(root, before.root);
            check_consistency(before, head, &proof).unwrap();
            let forked = Head { root: Digest([1; 32]), ..before };
            assert_eq!(check_consistency(forked, head, &proof), Err(ProofError::Wrong));
            assert!(check_consistency(before, Head { root: forked.root, ..head }, &proof).is_err());
        }
        assert_eq!(prove_consistency(head, 0, Vec::new()), Ok((log(0).0.root, Vec::new())));
        check_consistency(log(0).0, head, &[]).unwrap();
        assert!(check_consistency(Head { size: 0, root: head.root }, head, &[]).is_err());
        let beyond = ProofError::Beyond { of: size + 1, size };
        assert_eq!(prove_consistency(head, size + 1, tiles), Err(beyond.into()));
        assert_eq!(check_consistency(Head { size: size + 1, ..head }, head, &[]), Err(beyond));
    }
}

#[test]
fn tiles_that_have_grown_since_prove_what_was_before() {
    let (_, tiles) = log(70_000);
    for size in [1, 255, 256, 300, 65_536, 69_999] {
        let head = log(size).0;
        let proof = included(head, size - 1, &tiles).unwrap();
        check_inclusion(head, size - 1, leaf_hash(size - 1), &proof).unwrap();
    }
}

#[test]
fn tiles_that_are_missing_or_changed_prove_nothing() {
    let (head, tiles) = log(70_000);
    let wanted = tiles_of_inclusion(head.size, 5);
    let at_hand = only(&wanted, &tiles);
    assert_eq!(at_hand.len(), wanted.len());
    for place in 0..at_hand.len() {
        let mut fewer = at_hand.clone();
        let gone = fewer.remove(place).id();
        assert_eq!(prove_inclusion(head, 5, fewer), Err(CannotProve::Missing(gone)));
        let mut shorter = at_hand.clone();
        shorter[place].hashes.truncate(32 * 5);
        if shorter[place] != at_hand[place] {
            assert_eq!(prove_inclusion(head, 5, shorter), Err(CannotProve::Missing(gone)));
        }
        let mut refused = 0;
        for byte in [0, at_hand[place].hashes.len() - 1] {
            let mut changed = at_hand.clone();
            changed[place].hashes[byte] ^= 1;
            match prove_inclusion(head, 5, changed) {
                // A hash that this proof has no need of.
                Ok(proof) => check_inclusion(head, 5, leaf_hash(5), &proof).unwrap(),
                Err(error) => {
                    assert_eq!(error, CannotProve::OtherRoot { size: head.size, root: head.root }, "{gone}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{gone}");
    }
}

const ORIGIN: &str = "audit.example/default";

fn key() -> SigningKey {
    SigningKey::secret_text(ORIGIN, [1; 32]).unwrap().parse().unwrap()
}

fn hold() -> Entry {
    let covers = Covers::ExecutionId("wf-1".into());
    Entry::Hold(Hold { covers, reason: "incident 7".into(), actor: "unverified".into() })
}

/// A bundle of entry 300 of 700.
fn bundle() -> Bundle {
    let (index, bytes) = (300, body(&hold(), Nonce([7; 16])));
    let leaf = Leaf {
        format: FORMAT,
        log: "default".to_owned(),
        index,
        kind: EntryKind::Hold,
        recorded_at: now(),
        execution_id: Some("wf-1".to_owned()),
        attempt: None,
        revision: None,
        body_digest: Digest::sha256(&bytes),
    };
    let mut tree = Tree::empty();
    (0..700).for_each(|at| tree.push(if at == index { leaf.hash() } else { leaf_hash(at) }));
    let head = Head { size: 700, root: tree.root() };
    let hashes = prove_inclusion(head, index, tree.take_changed()).unwrap();
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: head.size, root: head.root };
    let checkpoint = SignedCheckpoint::sign(checkpoint, &[key()]).unwrap();
    Bundle::new(leaf, Some(&bytes), &InclusionProof { index, hashes, checkpoint }).unwrap()
}

#[test]
fn a_proof_is_text_of_this_form() {
    let bundle = bundle();
    let proof: InclusionProof = bundle.proof.parse().unwrap();
    assert_eq!(proof.to_string(), bundle.proof);
    assert!(bundle.proof.starts_with("c2sp.org/tlog-proof@v1\nindex 300\n"), "{}", bundle.proof);
    assert!(bundle.proof.ends_with(proof.checkpoint.as_str()));
    assert_eq!(bundle.proof.lines().count(), 2 + proof.hashes.len() + 1 + 5);
    let with_extra = bundle.proof.replacen('\n', "\nextra AAAA\n", 1);
    assert_eq!(with_extra.parse(), Ok(proof));
    for other in [
        String::new(),
        bundle.proof.replace("@v1", "@v2"),
        bundle.proof.replace("index 300", "index 0300"),
        bundle.proof.replace("index 300", "300"),
        bundle.proof.replacen('\n', "\nextra %\n", 1),
        bundle.proof.replacen("index 300\n", "index 300\nAAAA\n", 1),
        bundle.proof.replacen("index 300\n", "index 300\n\n", 1),
        bundle.proof.replace("\n700\n", "\n0700\n"),
    ] {
        assert!(other.parse::<InclusionProof>().is_err(), "{other}");
    }
}

#[test]
fn a_bundle_proves_its_entry_by_itself() {
    let bundle = bundle();
    let text = serde_json::to_string_pretty(&bundle).unwrap();
    let read: Bundle = serde_json::from_str(&text).unwrap();
    assert_eq!(read, bundle);
    let proved = read.verify(&[key().public().clone()]).unwrap();
    assert_eq!(proved.entry, Some((hold(), Nonce([7; 16]))));
    assert_eq!(proved.vouched.unwrap().by_log, [ORIGIN]);
    assert!(read.verify(&[]).unwrap().vouched.is_none());
    // Of what was purged the leaf is proved all the same.
    let purged = Bundle { body: None, ..bundle };
    assert!(purged.verify(&[key().public().clone()]).unwrap().entry.is_none());
}

#[test]
fn a_bundle_that_was_changed_proves_nothing() {
    let whole = bundle();
    let keys = [key().public().clone()];
    let refused = |bundle: Bundle| bundle.verify(&keys).unwrap_err();

    let mut bundle = whole.clone();
    bundle.body.as_mut().unwrap()["reason"] = "incident 8".into();
    assert!(matches!(refused(bundle), BundleError::Body { .. }));
    let mut bundle = whole.clone();
    bundle.leaf.recorded_at = crate::time::ZERO;
    assert!(matches!(refused(bundle), BundleError::NotIncluded { .. }));
    let mut bundle = whole.clone();
    bundle.leaf.index = 301;
    assert!(matches!(refused(bundle), BundleError::Index { .. }));
    let mut bundle = whole.clone();
    bundle.proof = bundle.proof.replace("index 300", "index 301");
    bundle.leaf.index = 301;
    assert!(matches!(refused(bundle), BundleError::NotIncluded { .. }));
    let mut bundle = whole.clone();
    bundle.proof.truncate(40);
    assert!(matches!(refused(bundle), BundleError::Proof(_)));
    let other = SigningKey::secret_text(ORIGIN, [2; 32]).unwrap().parse::<SigningKey>().unwrap();
    let by_other = whole.verify(&[other.public().clone()]);
    assert!(matches!(by_other, Err(BundleError::NotVouched(_))));
}

#[test]
fn what_a_bundle_says_is_said_once() {
    let whole = bundle();
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<Bundle>(&text).unwrap(), whole);
    // The last is what would be hashed, and the first what others read.
    for (there, twice) in [
        (r#""body":{"#, r#""body":{"reason":"another","#),
        (r#""body":{"#, r#""body":{"a":[{"b":1,"b":1}],"#),
        (r#""leaf":{"#, r#""leaf":{"index":1,"#),
    ] {
        let changed = text.replacen(there, twice, 1);
        assert_ne!(changed, text);
        let error = serde_json::from_str::<Bundle>(&changed).unwrap_err().to_string();
        assert!(error.contains("comes twice") || error.contains("duplicate field"), "{error}");
    }
    let without = Bundle { body: None, ..whole };
    let text = serde_json::to_string(&without).unwrap();
    assert!(text.contains(r#""body":null"#));
    assert_eq!(serde_json::from_str::<Bundle>(&text).unwrap(), without);
}

#[test]
fn a_checkpoint_is_vouched_for_by_its_own_signatures_whatever_was_looked_at_before() {
    let whole = bundle();
    let keys = [key().public().clone()];
    let mut verifier = BundleVerifier::new(&keys);
    // The last signature is that of the log: another byte in it, under the same text.
    let end = whole.proof.len() - 6;
    let mut changed = whole.clone();
    let byte = if &whole.proof[end..=end] == "A" { "B" } else { "A" };
    changed.proof.replace_range(end..=end, byte);
    let unsigned: InclusionProof = whole.proof.parse().unwrap();
    let checkpoint = SignedCheckpoint::sign(unsigned.checkpoint.head().clone(), &[]).unwrap();
    let unsigned = Bundle { proof: InclusionProof { checkpoint, ..unsigned }.to_string(), ..whole.clone() };
    for _ in 0..2 {
        assert_eq!(verifier.verify(&whole).unwrap().vouched.unwrap().by_log, [ORIGIN]);
        assert_eq!(verifier.verify(&whole).unwrap().vouched.unwrap().by_log, [ORIGIN]);
        for other in [&changed, &unsigned] {
            assert!(matches!(verifier.verify(other), Err(BundleError::NotVouched(_))), "{}", other.proof);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_proof_or_refused(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z0-9=]{0,8}\n)?(index [0-9]{0,25}\n)?[ -~\n—]{0,300}") {
        if let Ok(proof) = text.parse::<InclusionProof>() {
            prop_assert_eq!(proof.to_string().parse(), Ok(proof));
        }
    }

    #[test]
    fn any_proof_is_checked_without_panic(
        size: u64, index: u64, old: u64, proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Digest), 0..70),
    ) {
        let head = Head { size, root: Digest([1; 32]) };
        prop_assert!(check_inclusion(head, index, Digest([2; 32]), &proof).is_err());
        let before = Head { size: old, root: Digest([2; 32]) };
        prop_assert!(check_consistency(before, head, &proof).is_err());
    }
}
