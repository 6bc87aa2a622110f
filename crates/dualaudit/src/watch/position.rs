//! Where somebody who follows has come to: of each log the index of the entry that comes next, and a mark of the one before
//! it, by which the log is known again: an older copy of it that grew anew has another entry there.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dualaudit_record::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::{query::short_digest, store::Reach};

/// As much as fits into the headers of a request: some 400 logs with names of 63 bytes.
const MAX_LENGTH: usize = 60 << 10;
/// Bytes of a leaf's hash that are its mark.
const MARK: usize = 8;

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event exactly as this stream gave it; this one is cut off or altered")]
pub struct BadPosition;

/// What the text of a position says: it grants nothing, so its check guards against mistakes, and not against malice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    next: BTreeMap<String, Next>,
    check: String,
}

/// Where a log goes on: the index, and the mark of the entry before; none of the first, and of one that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Next(u64, Option<String>);

/// How far each log was told. Opaque to those who hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<String, Next>);

/// What an entry is known again by: some of the hash of its leaf.
pub(super) fn mark(leaf_hash: &Digest) -> String {
    hex::encode(&leaf_hash.0[..MARK])
}

impl Position {
    /// The entry of a log that comes next; the first of one that was not there.
    pub(super) fn of_log(&self, log: &str) -> u64 {
        self.0.get(log).map_or(0, |next| next.0)
    }

    /// Notes the entry of a log that comes next, and the mark of the one before it.
    pub(super) fn went_to(&mut self, log: &str, next: u64, mark: Option<String>) {
        self.0.insert(log.to_owned(), Next(next, mark));
    }

    /// The logs, and where each goes on.
    pub(super) fn logs(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(log, next)| (log.as_str(), next.0))
    }

    /// Entries that logs must have for this to be of them, each by its mark; but for those at which another position is, too.
    pub(super) fn marks_unlike(&self, other: &Self) -> impl Iterator<Item = (&str, u64, &str)> {
        let unlike = self.0.iter().filter(|(log, next)| other.0.get(*log) != Some(next));
        unlike.filter_map(|(log, Next(next, mark))| {
            Some((log.as_str(), next.checked_sub(1)?, mark.as_deref()?))
        })
    }

    /// In the logs that may be read.
    #[must_use]
    pub fn within(&self, reach: Option<&Reach>) -> Self {
        let may_be = |log: &str| reach.is_none_or(|reach| reach.of_log(log).is_some());
        Self(
            self.0
                .iter()
                .filter(|(log, _)| may_be(log))
                .map(|(log, next)| (log.clone(), next.clone()))
                .collect(),
        )
    }

    /// How many entries it is behind another; `None` where it is ahead, as after a database went back.
    pub(super) fn behind(&self, other: &Self) -> Option<u64> {
        if self.logs().any(|(log, next)| next > other.of_log(log)) {
            return None;
        }
        Some(other.logs().map(|(log, next)| next - self.of_log(log)).sum())
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wire = Wire { next: self.0.clone(), check: short_digest(&format!("{:?}", self.0)) };
        let json = serde_json::to_vec(&wire).expect("a position is JSON");
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(json))
    }
}

impl std::str::FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        if text.len() > MAX_LENGTH {
            return Err(BadPosition);
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BadPosition)?;
        let Wire { next, check: _ } = serde_json::from_slice(&json).map_err(|_| BadPosition)?;
        let position = Self(next);
        // Whatever else is written in it, its check among it.
        if position.to_string() == text { Ok(position) } else { Err(BadPosition) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(logs: &[(&str, u64)]) -> Position {
        let next = |next: u64| Next(next, (next > 0).then(|| mark(&Digest([7; 32]))));
        Position(logs.iter().map(|(log, at)| ((*log).to_owned(), next(*at))).collect())
    }

    #[test]
    fn a_position_comes_back_as_it_went_and_what_is_none_is_refused() {
        let there = position(&[("default", 7), ("http", 0)]);
        let text = there.to_string();
        assert_eq!(text.parse(), Ok(there));
        for place in 0..text.len() {
            for bit in 0..7 {
                let mut edited = text.clone().into_bytes();
                edited[place] ^= 1 << bit;
                let edited = String::from_utf8(edited).unwrap();
                assert_eq!(edited.parse::<Position>(), Err(BadPosition), "{edited}");
            }
        }
        for text in ["", "e30x", "x", "W10", &"A".repeat(MAX_LENGTH + 1)] {
            assert_eq!(text.parse::<Position>(), Err(BadPosition), "{text}");
        }
    }

    #[test]
    fn a_position_in_hundreds_of_logs_comes_back() {
        let names: Vec<_> = (0..400).map(|n| format!("{n:063}")).collect();
        let there =
            position(&names.iter().map(|name| (name.as_str(), 1_000_000_000_000)).collect::<Vec<_>>());
        assert!(there.to_string().parse() == Ok(there));
    }

    #[test]
    fn how_far_behind_is_summed_over_all_logs_also_new_ones() {
        let now = position(&[("a", 10), ("b", 5)]);
        assert_eq!(position(&[("a", 8)]).behind(&now), Some(7));
        assert_eq!(now.behind(&now), Some(0));
        assert_eq!(position(&[("a", 11), ("b", 5)]).behind(&now), None);
        assert_eq!(position(&[("c", 1)]).behind(&now), None);
    }
}
