//! Signed heads: C2SP `tlog-checkpoint` in C2SP `signed-note`, with Ed25519 keys and the cosignatures of
//! C2SP `tlog-cosignature`.
//!
//! A checkpoint is a promise that a log had this root at this size. Without a key it can be made all the
//! same, and then has no signature line: such a one says nothing about who made it.

use std::{fmt, str::FromStr};

use signed_note::{Note, NoteError, Signature, VerifierList};
use tlog_tiles::{Checkpoint as Text, tlog::Hash};

use crate::digest::Digest;

mod key;

pub use key::{KeyRole, MalformedKey, SigningKey, VerifierKey};

/// The bytes of a checkpoint, at most. A hundred signatures fit.
pub const MAX_CHECKPOINT_BYTES: usize = 64 << 10;

/// A head of a log, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the first line. Any text without line ends, not empty; unique in the world.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// What is signed: three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, Hash(self.root.0))
    }
}

/// The bytes are no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint (C2SP tlog-checkpoint): {0}")]
pub struct MalformedCheckpoint(&'static str);

/// A checkpoint with the signatures it came with, none of them checked yet.
///
/// Extension lines, which the format discourages and dualaudit never writes, are kept and signed with the
/// rest.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Vec<u8>,
}

impl fmt::Debug for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What vouches for a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// The name of each key of the log that signed it.
    pub by_log: Vec<String>,
    /// Each witness that cosigned it, with the second since 1970 at which it did.
    pub by_witnesses: Vec<(String, u64)>,
}

/// Nothing that the verifier trusts vouches for a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum NotVouched {
    /// A trusted key's signature is not one of this text.
    #[error("the signature of {name} is not one of this checkpoint")]
    WrongSignature {
        /// The key's name.
        name: String,
    },
    /// No signature is that of a trusted key of the log.
    #[error("no key that is trusted for {origin} signed it; it has signatures of: {}", by.join(", "))]
    NoTrustedKey {
        /// The checkpoint's origin.
        origin: String,
        /// The names and ids of the keys that signed.
        by: Vec<String>,
    },
}

impl SignedCheckpoint {
    /// Signs a checkpoint by each of these keys; without any it has no signature.
    ///
    /// # Errors
    /// When the origin cannot stand in a checkpoint.
    pub fn sign(checkpoint: Checkpoint, keys: &[SigningKey]) -> Result<Self, MalformedCheckpoint> {
        let text = checkpoint.text();
        let mut note = Note::new(text.as_bytes(), &[]).map_err(|_| MalformedCheckpoint("the origin"))?;
        let signers: Vec<&dyn signed_note::Signer> = keys.iter().map(|key| key.signer()).collect();
        note.add_sigs(&signers).map_err(|_| MalformedCheckpoint("a key's name"))?;
        let signed = Self::parse(&note.to_bytes())?;
        if signed.checkpoint == checkpoint { Ok(signed) } else { Err(MalformedCheckpoint("the origin")) }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the bytes are not exactly one checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedCheckpoint> {
        if bytes.len() > MAX_CHECKPOINT_BYTES {
            return Err(MalformedCheckpoint("it is longer than 64 KiB"));
        }
        let note = read(bytes).map_err(|_| MalformedCheckpoint("it is not a signed note"))?;
        if note.to_bytes() != bytes {
            return Err(MalformedCheckpoint("its signature lines are not in canonical form"));
        }
        let text = Text::from_bytes(note.text())
            .map_err(|_| MalformedCheckpoint("its text is not an origin, a size and a root"))?;
        let checkpoint =
            Checkpoint { origin: text.origin().to_owned(), size: text.size(), root: Digest(text.hash().0) };
        Ok(Self { checkpoint, note: bytes.to_vec() })
    }

    /// The head that it states.
    pub fn head(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The whole note.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.note).expect("a note is UTF-8")
    }

    /// Whether it has any signature at all.
    pub fn is_signed(&self) -> bool {
        !self.lines().is_empty()
    }

    /// The name and id of each key that signed it, as its lines say.
    pub fn signers(&self) -> Vec<(String, u32)> {
        signatures(self.lines()).map(|line| (line.name().to_owned(), line.id())).collect()
    }

    /// Checks the signatures of those keys that are trusted, and passes over all others.
    ///
    /// A key of the log counts only where its name is the origin: a log cannot sign for another.
    ///
    /// # Errors
    /// See [`NotVouched`]. Cosignatures alone do not vouch for a checkpoint.
    pub fn vouched(&self, trusted: &[VerifierKey]) -> Result<Vouched, NotVouched> {
        let origin = &self.checkpoint.origin;
        let none = || NotVouched::NoTrustedKey {
            origin: origin.clone(),
            by: self.signers().iter().map(|(name, id)| format!("{name}+{id:08x}")).collect(),
        };
        let counts = |key: &&VerifierKey| key.role() == KeyRole::Witness || key.name() == origin;
        let mut known: Vec<VerifierKey> = trusted.iter().filter(counts).cloned().collect();
        known.sort_unstable_by(|a, b| (a.name(), a.id()).cmp(&(b.name(), b.id())));
        known.dedup_by(|a, b| (a.name(), a.id()) == (b.name(), b.id()));
        let note = read(&self.note).map_err(|_| none())?;
        let verifiers = known.iter().map(|key| Box::new(key.clone()) as Box<dyn signed_note::Verifier>);
        let (verified, _) = match note.verify(&VerifierList::new(verifiers.collect())) {
            Ok(checked) => checked,
            Err(NoteError::InvalidSignature { name, .. }) => return Err(NotVouched::WrongSignature { name }),
            Err(_) => return Err(none()),
        };
        let mut vouched = Vouched { by_log: Vec::new(), by_witnesses: Vec::new() };
        for signature in verified {
            let is_of = |key: &&VerifierKey| key.name() == signature.name() && key.id() == signature.id();
            match known.iter().find(is_of).map(VerifierKey::role) {
                Some(KeyRole::Log) => vouched.by_log.push(signature.name().to_owned()),
                Some(KeyRole::Witness) => {
                    let at = key::cosigned_at(signature.signature()).unwrap_or_default();
                    vouched.by_witnesses.push((signature.name().to_owned(), at));
                }
                None => {}
            }
        }
        if vouched.by_log.is_empty() { Err(none()) } else { Ok(vouched) }
    }

    /// Takes from the lines that a witness answered its own right signature, in place of the one it gave
    /// before; whether there was one.
    ///
    /// C2SP `tlog-witness`: lines of unknown keys are passed over.
    pub fn add_cosignature(&mut self, lines: &str, witness: &VerifierKey) -> bool {
        let text = self.text();
        let is_its = |line: &Signature| line.name() == witness.name() && line.id() == witness.id();
        let is_right = |line: &Signature| is_its(line) && witness.is_signature(text, line.signature());
        let Some(cosignature) = signatures(lines).find(is_right) else { return false };
        let mut lines: Vec<Signature> = signatures(self.lines()).filter(|line| !is_its(line)).collect();
        lines.push(cosignature);
        let Ok(note) = Note::new(text, &lines) else { return false };
        self.note = note.to_bytes();
        true
    }

    /// The signed text.
    fn text(&self) -> &[u8] {
        &self.note[..self.note.len() - self.lines().len() - 1]
    }

    /// The signature lines.
    fn lines(&self) -> &str {
        self.as_str().rsplit_once("\n\n").map_or("", |(_, lines)| lines)
    }
}

impl FromStr for SignedCheckpoint {
    type Err = MalformedCheckpoint;

    fn from_str(text: &str) -> Result<Self, MalformedCheckpoint> {
        Self::parse(text.as_bytes())
    }
}

/// A note; one without signatures too, which a signed note is not.
fn read(bytes: &[u8]) -> Result<Note, NoteError> {
    match bytes.strip_suffix(b"\n\n") {
        Some(text) if !text.is_empty() => {
            let text = [text, b"\n"].concat();
            Note::new(&text, &[])
        }
        _ => Note::from_bytes(bytes),
    }
}

fn signatures(lines: &str) -> impl Iterator<Item = Signature> {
    lines.lines().filter_map(|line| Signature::from_bytes(line.as_bytes()).ok())
}

#[cfg(test)]
mod tests;
