//! Bundles by themselves: each entry with its proof, as `GET /executions/{id}/proof` and exports give them.
//!
//! # Guarantees
//! - Nothing is needed but the bundles and the public keys.
//! - Memory is bounded by two bundles, and what is named of checkpoints. Signatures of the same checkpoint are checked
//!   once while it is that of one bundle after the other.

use std::{collections::BTreeMap, io::BufRead};

use dualaudit_record::{
    checkpoint::VerifierKey,
    proof::{Bundle, BundleVerifier, Proved},
};
use serde::Serialize;

use super::{Finding, MAX_FINDINGS};

/// The bytes of a bundle, at most: a record of 2 MiB, and its proof.
const BUNDLE_BYTES: u64 = 8 << 20;

/// Checkpoints that are named: bundles that somebody made up may have one each.
const CHECKPOINTS: usize = 1000;

/// What was found of bundles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BundleReport {
    /// How many are proved.
    pub proved: u64,
    /// How many of these have no body any more.
    pub without_body: u64,
    /// The checkpoints that they are proved in; of more than a thousand the first.
    pub checkpoints: Vec<ProvedIn>,
    /// The first [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: u64,
}

/// A checkpoint that bundles are proved in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProvedIn {
    /// The log's origin.
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// The trusted keys that signed it; empty when no key was given to check it by.
    pub signed_by: Vec<String>,
    /// The trusted witnesses that cosigned it.
    pub cosigned_by: Vec<String>,
    /// How many bundles it proves.
    pub bundles: u64,
}

impl BundleReport {
    /// Whether every bundle is proved.
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    fn find(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        }
    }
}

/// Checks bundles, one after the other: to a line each, over several lines, or many in one. `step` is told how many
/// bytes were read. That there is none at all is a finding: whoever should have given them failed.
///
/// # Errors
/// When they cannot be read. What is wrong in them is a finding.
pub fn verify_bundles(
    text: impl BufRead,
    keys: &[VerifierKey],
    step: impl FnMut(u64),
) -> std::io::Result<BundleReport> {
    let mut report = verify_each(text, keys, step, |_, _, _| {})?;
    if report.proved == 0 && report.is_clean() {
        report.find(Finding {
            log: "-".to_owned(),
            index: None,
            what: "bundle",
            expected: "one at least".to_owned(),
            found: "none".to_owned(),
        });
    }
    Ok(report)
}

/// The same; `look` is told of each that is proved, with the line in which it ends.
pub(super) fn verify_each(
    mut text: impl BufRead,
    keys: &[VerifierKey],
    mut step: impl FnMut(u64),
    mut look: impl FnMut(u64, &Bundle, &Proved),
) -> std::io::Result<BundleReport> {
    let mut report = BundleReport::default();
    let mut verifier = BundleVerifier::new(keys);
    let mut proved_in: BTreeMap<(String, u64), ProvedIn> = BTreeMap::new();
    let (mut number, mut read, mut unfinished) = (0_u64, 0_u64, Vec::new());
    loop {
        let mut line = Vec::new();
        let bytes = std::io::Read::take(&mut text, BUNDLE_BYTES).read_until(b'\n', &mut line)?;
        read += bytes as u64;
        number += 1;
        // Of one over several lines only the last can end it, which begins with its brace: were each line looked
        // at with all before it, a long one would take for ever.
        let may_end = unfinished.is_empty() || bytes == 0 || line.starts_with(b"}");
        unfinished.extend_from_slice(&line);
        if !may_end && (unfinished.len() as u64) < BUNDLE_BYTES {
            step(read);
            continue;
        }
        let mut bundles = serde_json::Deserializer::from_slice(&unfinished).into_iter::<Bundle>();
        let mut done = 0;
        loop {
            match bundles.next() {
                None => done = unfinished.len(),
                Some(Ok(bundle)) => {
                    done = bundles.byte_offset();
                    if let Some(proved) = check(&bundle, number, &mut verifier, &mut report, &mut proved_in) {
                        look(number, &bundle, &proved);
                    }
                    continue;
                }
                // It goes on in what is read next.
                Some(Err(error))
                    if error.is_eof() && bytes > 0 && ((unfinished.len() - done) as u64) < BUNDLE_BYTES => {}
                Some(Err(error)) => {
                    done = unfinished.len();
                    report.find(Finding {
                        log: "-".to_owned(),
                        index: None,
                        what: "bundle",
                        expected: format!("a bundle in line {number}"),
                        found: error.to_string(),
                    });
                }
            }
            break;
        }
        unfinished.drain(..done);
        step(read);
        if bytes == 0 {
            break;
        }
    }
    report.checkpoints = proved_in.into_values().collect();
    Ok(report)
}

fn check(
    bundle: &Bundle,
    line: u64,
    verifier: &mut BundleVerifier<'_>,
    report: &mut BundleReport,
    proved_in: &mut BTreeMap<(String, u64), ProvedIn>,
) -> Option<Proved> {
    let proved = match verifier.verify(bundle) {
        Ok(proved) => proved,
        Err(error) => {
            report.find(Finding {
                log: bundle.leaf.log.clone(),
                index: Some(bundle.leaf.index),
                what: "bundle",
                expected: format!("a proof in line {line}"),
                found: error.to_string(),
            });
            return None;
        }
    };
    report.proved += 1;
    report.without_body += u64::from(proved.entry.is_none());
    let head = proved.proof.checkpoint.head();
    let vouched = proved.vouched.clone().unwrap_or_default();
    let key = (head.origin.clone(), head.size);
    if proved_in.contains_key(&key) || proved_in.len() < CHECKPOINTS {
        let of = proved_in.entry(key).or_insert_with(|| ProvedIn {
            origin: head.origin.clone(),
            size: head.size,
            signed_by: vouched.by_log,
            cosigned_by: vouched.by_witnesses.into_iter().map(|(witness, _)| witness).collect(),
            bundles: 0,
        });
        of.bundles += 1;
    }
    Some(proved)
}
