//! Where somebody who follows has come to: of each log the index of the entry that comes next.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    query::short_digest,
    store::{Head, Reach},
};

/// More than any position of ours has.
const MAX_LENGTH: usize = 4096;

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event exactly as this stream gave it; this one is cut off or altered")]
pub struct BadPosition;

/// What the text of a position says: it grants nothing, so its check guards against mistakes, and not against malice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    next: BTreeMap<String, u64>,
    check: String,
}

/// How far each log was told. Opaque to those who hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<String, u64>);

impl Position {
    /// At the end of these logs.
    pub(super) fn of(heads: &[Head]) -> Self {
        Self(heads.iter().map(|head| (head.log.clone(), head.size)).collect())
    }

    /// The entry of a log that comes next; the first of one that was not there.
    pub(super) fn of_log(&self, log: &str) -> u64 {
        self.0.get(log).copied().unwrap_or_default()
    }

    /// Notes the entry of a log that comes next.
    pub(super) fn went_to(&mut self, log: &str, next: u64) {
        self.0.insert(log.to_owned(), next);
    }

    /// The logs, and where each goes on.
    pub(super) fn logs(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(log, next)| (log.as_str(), *next))
    }

    /// In the logs that may be read.
    #[must_use]
    pub fn within(&self, reach: Option<&Reach>) -> Self {
        let may_be = |log: &str| reach.is_none_or(|reach| reach.of_log(log).is_some());
        Self(self.0.iter().filter(|(log, _)| may_be(log)).map(|(log, next)| (log.clone(), *next)).collect())
    }

    /// How many entries it is behind another; `None` where it is ahead, as after a database went back.
    pub(super) fn behind(&self, other: &Self) -> Option<u64> {
        if self.0.iter().any(|(log, next)| *next > other.of_log(log)) {
            return None;
        }
        Some(other.0.iter().map(|(log, next)| next - self.of_log(log)).sum())
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
        Position(logs.iter().map(|(log, next)| ((*log).to_owned(), *next)).collect())
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
    fn how_far_behind_is_summed_over_all_logs_also_new_ones() {
        let now = position(&[("a", 10), ("b", 5)]);
        assert_eq!(position(&[("a", 8)]).behind(&now), Some(7));
        assert_eq!(now.behind(&now), Some(0));
        assert_eq!(position(&[("a", 11), ("b", 5)]).behind(&now), None);
        assert_eq!(position(&[("c", 1)]).behind(&now), None);
    }
}
