use ed25519_dalek::Signer as _;
use proptest::prelude::*;

use super::*;

const ORIGIN: &str = "audit.example/default";

fn key(seed: u8) -> SigningKey {
    SigningKey::secret_text(ORIGIN, [seed; 32]).unwrap().parse().unwrap()
}

fn head() -> Checkpoint {
    Checkpoint { origin: ORIGIN.to_owned(), size: 7, root: Digest([0xab; 32]) }
}

fn signed(keys: &[SigningKey]) -> SignedCheckpoint {
    SignedCheckpoint::sign(head(), keys).unwrap()
}

/// A witness as `tlog-cosignature` has it, apart from the code under test.
struct Witness(ed25519_dalek::SigningKey);

impl Witness {
    const NAME: &str = "witness.example/w1";

    fn public(&self) -> VerifierKey {
        let key = [&[4], self.0.verifying_key().as_bytes().as_slice()].concat();
        let id = signed_note::key_id(Self::NAME, &key);
        format!("{}+{id:08x}+{}", Self::NAME, base64(&key)).parse().unwrap()
    }

    fn cosign(&self, text: &str, at: u64) -> String {
        let message = format!("cosignature/v1\ntime {at}\n{text}");
        let signature = [&at.to_be_bytes(), self.0.sign(message.as_bytes()).to_bytes().as_slice()].concat();
        let line = Signature::new(Self::NAME.to_owned(), self.public().id(), signature).unwrap();
        String::from_utf8(line.to_bytes()).unwrap()
    }
}

fn witness() -> Witness {
    Witness(ed25519_dalek::SigningKey::from_bytes(&[9; 32]))
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

#[test]
fn a_checkpoint_is_these_lines() {
    let checkpoint = signed(&[key(1)]);
    let text = format!("{ORIGIN}\n7\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n");
    assert_eq!(checkpoint.head().text(), text);
    let line = checkpoint.as_str().strip_prefix(&text).unwrap();
    assert!(line.starts_with(&format!("\n— {ORIGIN} ")), "{line}");
    assert_eq!(line.lines().count(), 2);
    assert!(checkpoint.is_signed());
    assert_eq!(SignedCheckpoint::parse(checkpoint.as_str().as_bytes()).unwrap(), checkpoint);
    let vouched = checkpoint.vouched(&[key(1).public().clone()]).unwrap();
    assert_eq!(vouched, Vouched { by_log: vec![ORIGIN.to_owned()], by_witnesses: vec![] });
}

#[test]
fn keys_and_signatures_are_those_of_signed_note() {
    // The example of golang.org/x/mod/sumdb/note.
    let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let line = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    let key: SigningKey = secret.parse().unwrap();
    assert_eq!(key.public().to_string(), public);
    assert_eq!(public.parse::<VerifierKey>().unwrap(), *key.public());
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[key.signer()]).unwrap();
    assert_eq!(String::from_utf8(note.to_bytes()).unwrap(), format!("{text}\n{line}\n"));
    let signature = Signature::from_bytes(line.as_bytes()).unwrap();
    assert!(key.public().is_signature(text.as_bytes(), signature.signature()));
    assert!(!key.public().is_signature(b"another text\n", signature.signature()));
}

#[test]
fn a_key_comes_back_from_its_text_and_never_shows_its_secret() {
    let secret = SigningKey::secret_text(ORIGIN, [1; 32]).unwrap();
    assert!(!format!("{:?}", key(1)).contains(secret.splitn(5, '+').last().unwrap()));
    assert_eq!(key(1).public().to_string().parse::<VerifierKey>().unwrap(), *key(1).public());
    assert_ne!(key(1).public(), key(2).public());
    for name in ["", "a b", "a+b", "a\nb"] {
        assert_eq!(SigningKey::secret_text(name, [1; 32]), Err(MalformedKey::Name), "{name:?}");
    }
}

#[test]
fn a_key_that_was_changed_is_refused() {
    let public = key(1).public().to_string();
    let renamed = public.replace("default", "another");
    assert_eq!(renamed.parse::<VerifierKey>(), Err(MalformedKey::Id));
    let other = format!("{ORIGIN}+{}", key(2).public().to_string().splitn(3, '+').last().unwrap());
    for text in ["", "a", "a+b", &other, &public[..public.len() - 4], &format!("{public}\n")] {
        assert!(text.parse::<VerifierKey>().is_err(), "{text:?}");
    }
    let unknown = base64(&[[6].as_slice(), &[1; 32]].concat());
    assert_eq!(format!("a+00000000+{unknown}").parse::<VerifierKey>(), Err(MalformedKey::Algorithm(6)));
    let secret = SigningKey::secret_text(ORIGIN, [1; 32]).unwrap();
    assert!(matches!(secret.replace("default", "another").parse::<SigningKey>(), Err(MalformedKey::Id)));
    assert!(matches!(public.parse::<SigningKey>(), Err(MalformedKey::Private)));
}

#[test]
fn nothing_but_a_trusted_key_of_that_origin_vouches() {
    let checkpoint = signed(&[key(1)]);
    let untrusted =
        |keys: &[VerifierKey]| matches!(checkpoint.vouched(keys), Err(NotVouched::NoTrustedKey { .. }));
    assert!(untrusted(&[]));
    assert!(untrusted(&[key(2).public().clone()]));
    assert!(untrusted(&[witness().public()]));
    // A key of another log, whatever it signs.
    let other: SigningKey = SigningKey::secret_text("other.example", [1; 32]).unwrap().parse().unwrap();
    let trusted = [other.public().clone()];
    let by_other = SignedCheckpoint::sign(head(), &[other]).unwrap();
    assert!(matches!(by_other.vouched(&trusted), Err(NotVouched::NoTrustedKey { .. })));
    // Another text under the same signature.
    let forged = checkpoint.as_str().replace("\n7\n", "\n8\n").parse::<SignedCheckpoint>().unwrap();
    let vouched = forged.vouched(&[key(1).public().clone()]);
    assert!(matches!(vouched, Err(NotVouched::WrongSignature { .. })), "{vouched:?}");
}

#[test]
fn while_a_key_is_replaced_both_sign() {
    let checkpoint = signed(&[key(1), key(2)]);
    for seed in [1, 2] {
        assert_eq!(checkpoint.vouched(&[key(seed).public().clone()]).unwrap().by_log.len(), 1);
    }
    let both = [key(1).public().clone(), key(2).public().clone(), key(1).public().clone()];
    assert_eq!(checkpoint.vouched(&both).unwrap().by_log.len(), 2);
}

#[test]
fn without_a_key_a_checkpoint_says_that_nobody_signed_it() {
    let checkpoint = signed(&[]);
    assert!(!checkpoint.is_signed());
    assert_eq!(checkpoint.as_str(), format!("{}\n", head().text()));
    assert_eq!(SignedCheckpoint::parse(checkpoint.as_str().as_bytes()).unwrap(), checkpoint);
    assert!(matches!(
        checkpoint.vouched(&[key(1).public().clone()]),
        Err(NotVouched::NoTrustedKey { by, .. }) if by.is_empty()
    ));
}

#[test]
fn a_witness_cosigns_and_says_when() {
    let (witness, mut checkpoint) = (witness(), signed(&[key(1)]));
    let text = head().text();
    let nothing_of_it = [
        String::new(),
        "no line".to_owned(),
        witness.cosign("another text\n", 5),
        // Of the log itself.
        checkpoint.lines().to_owned(),
    ];
    for lines in nothing_of_it {
        assert!(!checkpoint.add_cosignature(&lines, &witness.public()), "{lines}");
    }
    assert_eq!(checkpoint, signed(&[key(1)]));
    for at in [1_679_315_147, 1_679_315_148] {
        let lines = format!("{}{}", signed(&[key(2)]).lines(), witness.cosign(&text, at));
        assert!(checkpoint.add_cosignature(&lines, &witness.public()));
        assert_eq!(checkpoint.signers().len(), 2);
        let keys = [key(1).public().clone(), witness.public()];
        assert_eq!(checkpoint.vouched(&keys).unwrap().by_witnesses, [(Witness::NAME.to_owned(), at)]);
    }
    assert_eq!(checkpoint.head(), &head());
    assert_eq!(checkpoint.as_str().parse::<SignedCheckpoint>().unwrap(), checkpoint);
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let text = signed(&[key(1)]).as_str().to_owned();
    let with_extension = text.replacen("\n\n", "\nextension\n\n", 1);
    assert_eq!(with_extension.parse::<SignedCheckpoint>().unwrap().head(), &head());
    for other in [
        String::new(),
        "\n\n".to_owned(),
        head().text(),
        text.replace("\n7\n", "\n07\n"),
        text.replace("\n7\n", "\n-7\n"),
        text.replace("\n7\n", "\n99999999999999999999\n"),
        text.replace(ORIGIN, ""),
        text.replace('\n', "\r\n"),
        text.replace("q6ur", "q6u"),
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!("{text}no signature\n"),
        format!("{}{}", text, "x".repeat(MAX_CHECKPOINT_BYTES)),
    ] {
        assert!(other.parse::<SignedCheckpoint>().is_err(), "{other}");
    }
    for origin in ["", "two\nlines"] {
        let checkpoint = Checkpoint { origin: origin.to_owned(), ..head() };
        assert!(SignedCheckpoint::sign(checkpoint, &[]).is_err(), "{origin:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "[ -~\n—é]{0,200}") {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(read) = SignedCheckpoint::parse(bytes) {
                prop_assert_eq!(read.as_str().as_bytes(), bytes);
            }
        }
    }
}
