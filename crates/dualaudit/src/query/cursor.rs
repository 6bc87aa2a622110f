//! Cursors: opaque to those who hold them, checked when they come back.
//!
//! A cursor is base64url of versioned JSON. It grants nothing, it only says where to go on, so its
//! check guards against mistakes (cut off, edited, sent with other filters) and not against malice.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dualaudit_record::{Time, digest::Digest};
use serde::{Deserialize, Serialize};

use crate::store::Cursor;

const VERSION: u32 = 1;

/// More than any cursor of ours has.
const MAX_LENGTH: usize = 4096;

/// What a list asks, and when it was first asked: what all its pages have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// When the first page was asked for: relative times are counted from here.
    pub(super) asked_at: Time,
    /// Digest of the filters as they were written.
    pub(super) filters: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    asked_at: Time,
    filters: String,
    created_at: Time,
    log: String,
    id: String,
    attempt: u32,
    check: String,
}

impl Wire {
    /// A digest of everything else in it.
    fn check(&self) -> String {
        let Self { version, asked_at, filters, created_at, log, id, attempt, check: _ } = self;
        short_digest(&format!("{version}\n{asked_at}\n{filters}\n{created_at}\n{log}\n{attempt}\n{id}"))
    }
}

impl Question {
    /// The question that these filters ask, `cursor` and `limit` not among them, in any order.
    pub(super) fn new(mut filters: Vec<(&str, &str)>, asked_at: Time) -> Self {
        filters.sort_unstable();
        Self { asked_at, filters: short_digest(&format!("{filters:?}")) }
    }

    /// The cursor that goes on after `last`.
    pub(super) fn cursor(&self, last: &Cursor) -> String {
        let mut wire = Wire {
            version: VERSION,
            asked_at: self.asked_at,
            filters: self.filters.clone(),
            created_at: last.created_at,
            log: last.log.clone(),
            id: last.id.clone(),
            attempt: last.attempt,
            check: String::new(),
        };
        wire.check = wire.check();
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("a cursor is JSON"))
    }

    /// Goes on with this question after the row that `text` names. Takes over when it was first
    /// asked.
    ///
    /// # Errors
    /// A sentence: `text` is no cursor of ours, is altered, or belongs to another question.
    pub(super) fn resume(&mut self, text: &str) -> Result<Cursor, &'static str> {
        const ALTERED: &str =
            "must be a next_cursor exactly as this API gave it; this one is cut off or altered";
        if text.len() > MAX_LENGTH {
            return Err(ALTERED);
        }
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ALTERED)?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| ALTERED)?;
        if wire.version != VERSION {
            return Err("is of another version of this API; begin again without it");
        }
        if wire.check != wire.check() {
            return Err(ALTERED);
        }
        if wire.filters != self.filters {
            return Err("belongs to a list with other filters; send it with the filters it came from");
        }
        self.asked_at = wire.asked_at;
        let last = Cursor { created_at: wire.created_at, log: wire.log, id: wire.id, attempt: wire.attempt };
        // Times can be written in several ways, and a cursor in one.
        if self.cursor(&last) == text { Ok(last) } else { Err(ALTERED) }
    }
}

/// What tells one text from others, as far as mistakes go.
pub(crate) fn short_digest(text: &str) -> String {
    hex::encode(&Digest::sha256(text.as_bytes()).0[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000).unwrap()
    }

    fn place() -> Cursor {
        Cursor { created_at: at(7), log: "http".into(), id: "a/b\n\"".into(), attempt: 2 }
    }

    #[test]
    fn a_cursor_comes_back_as_it_went_with_the_time_of_the_first_page() {
        let first = Question::new(vec![("since", "1h"), ("log", "a")], at(100));
        let cursor = first.cursor(&place());
        let mut later = Question::new(vec![("log", "a"), ("since", "1h")], at(500));
        assert_eq!(later.resume(&cursor), Ok(place()));
        assert_eq!(later.asked_at, at(100));
    }

    #[test]
    fn a_cursor_of_other_filters_is_refused() {
        let cursor = Question::new(vec![("log", "a")], at(0)).cursor(&place());
        let refused = Question::new(vec![("log", "b")], at(0)).resume(&cursor);
        assert!(refused.unwrap_err().contains("other filters"));
    }

    #[test]
    fn every_edit_of_a_cursor_is_noticed() {
        let mut question = Question::new(vec![], at(0));
        let cursor = question.cursor(&place());
        for position in 0..cursor.len() {
            for with in ["", "A", "z", "_"] {
                let mut edited = cursor.clone();
                edited.replace_range(position..=position, with);
                assert!(edited == cursor || question.resume(&edited).is_err(), "{edited}");
            }
        }
        let json = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap()).unwrap();
        for same in [json.replace('T', "t"), json.replace('Z', "z"), json.replace(':', ": ")] {
            let edited = BASE64_URL_SAFE_NO_PAD.encode(&same);
            assert!(question.resume(&edited).is_err(), "{same}");
        }
        for foreign in ["", "abc", "e30", "{}", &"A".repeat(10_000)] {
            assert!(question.resume(foreign).is_err(), "{foreign}");
        }
    }
}
