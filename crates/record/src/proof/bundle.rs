//! One entry with all that proves it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{InclusionProof, MalformedProof, ProofError, once};
use crate::{
    Entry,
    canonical::canonical,
    checkpoint::{NotVouched, SignedCheckpoint, VerifierKey, Vouched},
    digest::Digest,
    log::{Leaf, MalformedBody, Nonce, parse_body},
};

/// One entry with all that proves it: its leaf, its body, and a C2SP `tlog-proof`. In text, a JSON object of
/// any spelling: what is hashed is made canonical first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// What the log holds of the entry.
    pub leaf: Leaf,
    /// What the entry says, with its nonce. `null` of what was purged or erased: the leaf is proved all the
    /// same. No key in it comes twice.
    #[serde(default, deserialize_with = "once::value")]
    pub body: Option<Value>,
    /// That the leaf is in the log.
    pub proof: String,
}

/// What a bundle proves.
#[derive(Debug)]
pub struct Proved {
    /// What the entry says, if the bundle has its body.
    pub entry: Option<(Entry, Nonce)>,
    /// That it is in the log.
    pub proof: InclusionProof,
    /// Who vouches for that; `None` when no key was given to check it by.
    pub vouched: Option<Vouched>,
}

/// Why a bundle proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The proof cannot be read.
    #[error(transparent)]
    Proof(#[from] MalformedProof),
    /// The proof is of another entry.
    #[error("the leaf says index {leaf}, the proof {proof}")]
    Index {
        /// By the leaf.
        leaf: u64,
        /// By the proof.
        proof: u64,
    },
    /// The body is not the one that was recorded.
    #[error("the body has the digest {found}, the leaf says {expected}")]
    Body {
        /// By the leaf.
        expected: Digest,
        /// Of the body in the bundle.
        found: Digest,
    },
    /// The body is not one of its kind.
    #[error(transparent)]
    MalformedBody(#[from] MalformedBody),
    /// The leaf is not in the log.
    #[error("the leaf {leaf} is not in the log: {reason}")]
    NotIncluded {
        /// Its hash.
        leaf: Digest,
        /// Why.
        reason: ProofError,
    },
    /// Nobody who is trusted vouches for the log.
    #[error(transparent)]
    NotVouched(#[from] NotVouched),
}

impl Bundle {
    /// A bundle of a leaf, the bytes of its body, and its proof.
    ///
    /// # Errors
    /// When the body is no JSON.
    pub fn new(
        leaf: Leaf,
        body: Option<&[u8]>,
        proof: &impl fmt::Display,
    ) -> Result<Self, serde_json::Error> {
        let body = body.map(serde_json::from_slice).transpose()?;
        Ok(Self { leaf, body, proof: proof.to_string() })
    }

    /// Checks all of it. Without keys, everything but who signed.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn verify(&self, trusted: &[VerifierKey]) -> Result<Proved, BundleError> {
        BundleVerifier::new(trusted).verify(self)
    }
}

/// Checks bundles one after the other. The checkpoint that was vouched for last is remembered, because many share
/// theirs, and its signatures cost more than all the rest.
#[derive(Debug)]
pub struct BundleVerifier<'a> {
    trusted: &'a [VerifierKey],
    last: Option<(SignedCheckpoint, Vouched)>,
}

impl<'a> BundleVerifier<'a> {
    /// By these keys. Without any, everything but who signed is checked.
    pub fn new(trusted: &'a [VerifierKey]) -> Self {
        Self { trusted, last: None }
    }

    /// Checks all of a bundle.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn verify(&mut self, bundle: &Bundle) -> Result<Proved, BundleError> {
        let Bundle { leaf, body, proof } = bundle;
        let proof: InclusionProof = proof.parse()?;
        if proof.index != leaf.index {
            return Err(BundleError::Index { leaf: leaf.index, proof: proof.index });
        }
        let hash = leaf.hash();
        proof.check(hash).map_err(|reason| BundleError::NotIncluded { leaf: hash, reason })?;
        let vouched = self.vouched(&proof.checkpoint)?;
        let entry = match body {
            None => None,
            Some(body) => {
                let bytes = canonical(body);
                let (expected, found) = (leaf.body_digest, Digest::sha256(&bytes));
                if expected != found {
                    return Err(BundleError::Body { expected, found });
                }
                Some(parse_body(leaf.kind, &bytes)?)
            }
        };
        Ok(Proved { entry, proof, vouched })
    }

    /// Who vouches for a checkpoint: the same signatures under the same text are those that were checked.
    fn vouched(&mut self, checkpoint: &SignedCheckpoint) -> Result<Option<Vouched>, NotVouched> {
        if self.trusted.is_empty() {
            return Ok(None);
        }
        let is_last = self.last.as_ref().is_some_and(|(last, _)| last.as_str() == checkpoint.as_str());
        if !is_last {
            self.last = Some((checkpoint.clone(), checkpoint.vouched(self.trusted)?));
        }
        Ok(self.last.as_ref().map(|(_, vouched)| vouched.clone()))
    }
}
