//! Keys that sign checkpoints, and keys that checkpoints are checked by, in the texts of C2SP `signed-note`.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::{Signer as _, StandardSigner};

/// Signature types of C2SP `signed-note`: Ed25519, and Ed25519 cosignatures of checkpoints.
const ED25519: u8 = 1;
const COSIGNATURE: u8 = 4;

/// What a cosignature begins with: the second of it, big-endian.
const TIMESTAMP_BYTES: usize = 8;

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// It is not in the form of a verifier key.
    #[error(
        "not a public key: it must be NAME+ID+KEY, as `dualaudit log keygen` prints it (C2SP signed-note)"
    )]
    Public,
    /// It is not in the form of a signing key.
    #[error(
        "not a private key: it must be PRIVATE+KEY+NAME+ID+KEY, as `dualaudit log keygen` writes it (C2SP \
         signed-note)"
    )]
    Private,
    /// Its id is not that of its name and key: some of it was changed.
    #[error("the key's id is not that of its name and its bytes: some of it was changed or lost")]
    Id,
    /// It is for another algorithm.
    #[error("the key is of signature type {0}; known are 1 (Ed25519) and 4 (Ed25519 cosignature)")]
    Algorithm(u8),
    /// The name has a space or a plus.
    #[error("a key's name is not empty and has neither spaces nor '+'")]
    Name,
}

/// A key of a log: signs its checkpoints.
pub struct SigningKey {
    signer: StandardSigner,
    public: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

impl SigningKey {
    /// The text of the key of the log with this origin that comes of these random bytes (RFC 8032's
    /// private key). It is a secret.
    ///
    /// # Errors
    /// [`MalformedKey::Name`].
    pub fn secret_text(origin: &str, random: [u8; 32]) -> Result<String, MalformedKey> {
        if !signed_note::is_key_name_valid(origin) || origin.chars().any(char::is_control) {
            return Err(MalformedKey::Name);
        }
        let public = ed25519_dalek::SigningKey::from_bytes(&random).verifying_key();
        let id = signed_note::key_id(origin, &[&[ED25519], public.as_bytes().as_slice()].concat());
        let key = BASE64_STANDARD.encode([&[ED25519], random.as_slice()].concat());
        Ok(format!("PRIVATE+KEY+{origin}+{id:08x}+{key}"))
    }

    /// What checks its signatures.
    pub fn public(&self) -> &VerifierKey {
        &self.public
    }

    pub(super) fn signer(&self) -> &dyn signed_note::Signer {
        &self.signer
    }
}

impl FromStr for SigningKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let signer = StandardSigner::new(text).map_err(|error| match error {
            signed_note::SignerError::Id => MalformedKey::Id,
            _ => MalformedKey::Private,
        })?;
        let bytes = text.splitn(5, '+').nth(4).and_then(|key| BASE64_STANDARD.decode(key).ok());
        let seed: [u8; 32] =
            bytes.and_then(|key| key.get(1..)?.try_into().ok()).ok_or(MalformedKey::Private)?;
        let public = VerifierKey {
            name: signer.name().to_owned(),
            id: signer.key_id(),
            key: ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key(),
            role: KeyRole::Log,
        };
        Ok(Self { signer, public })
    }
}

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// A log's.
    Log,
    /// A witness's, which cosigns.
    Witness,
}

/// A public key with its name. In text: the verifier key of C2SP `signed-note`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    key: VerifyingKey,
    role: KeyRole,
}

impl VerifierKey {
    /// Of a log: its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of SHA-256 of name, line end, type and key.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whose key it is.
    pub fn role(&self) -> KeyRole {
        self.role
    }

    /// Whether `signature` is this key's of a note with this text.
    pub(super) fn is_signature(&self, text: &[u8], signature: &[u8]) -> bool {
        let is_of = |message: &[u8], signature: &[u8]| {
            let signature: Result<[u8; Signature::BYTE_SIZE], _> = signature.try_into();
            // Strict: no signature has a second form that passes too.
            signature
                .is_ok_and(|bytes| self.key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok())
        };
        match self.role {
            KeyRole::Log => is_of(text, signature),
            KeyRole::Witness => cosigned_at(signature).is_some_and(|at| {
                let message = [format!("cosignature/v1\ntime {at}\n").as_bytes(), text].concat();
                is_of(&message, &signature[TIMESTAMP_BYTES..])
            }),
        }
    }

    fn type_byte(&self) -> u8 {
        match self.role {
            KeyRole::Log => ED25519,
            KeyRole::Witness => COSIGNATURE,
        }
    }
}

/// The second at which a cosignature was made.
pub(super) fn cosigned_at(signature: &[u8]) -> Option<u64> {
    let at = signature.first_chunk::<TIMESTAMP_BYTES>().copied().map(u64::from_be_bytes)?;
    i64::try_from(at).is_ok().then_some(at)
}

impl signed_note::Verifier for VerifierKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        self.is_signature(text, signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[self.type_byte()], self.key.as_bytes().as_slice()].concat());
        write!(f, "{}+{:08x}+{key}", self.name, self.id)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let (name, rest) = text.split_once('+').ok_or(MalformedKey::Public)?;
        let (id, key) = rest.split_once('+').ok_or(MalformedKey::Public)?;
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| MalformedKey::Public)?;
        let (&algorithm, key) = bytes.split_first().ok_or(MalformedKey::Public)?;
        let role = match algorithm {
            ED25519 => KeyRole::Log,
            COSIGNATURE => KeyRole::Witness,
            other => return Err(MalformedKey::Algorithm(other)),
        };
        if !signed_note::is_key_name_valid(name) {
            return Err(MalformedKey::Name);
        }
        let is_id = id.len() == 8 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = u32::from_str_radix(id, 16).ok().filter(|_| is_id).ok_or(MalformedKey::Public)?;
        if id != signed_note::key_id(name, &bytes) {
            return Err(MalformedKey::Id);
        }
        let key = key.try_into().ok().and_then(|key| VerifyingKey::from_bytes(key).ok());
        let key = key.filter(|key| !key.is_weak()).ok_or(MalformedKey::Public)?;
        Ok(Self { name: name.to_owned(), id, key, role })
    }
}
