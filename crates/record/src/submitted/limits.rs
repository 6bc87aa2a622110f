//! The limits of single fields. Each check names the field, the rule and what was found.

use std::{fmt, str::FromStr};

use super::Invalid;
use crate::{Time, UnknownName, names::quoted, time};

/// A record's JSON, as sent and in canonical form, has at most that many bytes.
pub const MAX_RECORD_BYTES: usize = 2 * 1024 * 1024;
/// Ids, names, versions and labels have at most that many bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 253;
/// The largest count: all are below 2^31.
pub const MAX_COUNT: u32 = (1 << 31) - 1;
/// The longest duration in nanoseconds: all are below 2^53, where JSON numbers stop being exact.
pub const MAX_DURATION: u64 = (1 << 53) - 1;
/// Clocks may be wrong; a time more than that many microseconds ahead is refused (24 hours).
pub const MAX_AHEAD_MICROS: i64 = 24 * 60 * 60 * 1_000_000;
/// What the server adds to a record, and nobody may send.
pub const SERVER_FIELDS: [&str; 4] = ["revision", "recorded_at", "score_source", "source_digest"];

/// Where in a record; becomes text only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Field(&'static str),
    Part(&'static str, &'static str),
    Item(&'static str, usize, &'static str),
    LabelKey(&'a str),
    Label(&'a str),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Part(whole, name) => write!(f, "{whole}.{name}"),
            Self::Item(list, index, name) => write!(f, "{list}[{index}].{name}"),
            Self::LabelKey(key) | Self::Label(key) => write!(f, "labels[{}]", quoted(key)),
        }
    }
}

pub(super) fn refused(at: At<'_>, rule: impl Into<String>) -> Invalid {
    Invalid::new(at.to_string(), rule)
}

pub(super) fn too_large(bytes: usize) -> Invalid {
    let rule = format!("has {bytes} bytes of JSON; at most {MAX_RECORD_BYTES} are taken");
    Invalid::new(Invalid::RECORD, rule)
}

pub(super) fn required<T>(at: At<'_>, value: Option<T>) -> Result<T, Invalid> {
    value.ok_or_else(|| refused(at, "is required"))
}

/// A text bounded by the size of the record only.
pub(super) fn free_text(at: At<'_>, text: String) -> Result<String, Invalid> {
    match text.find('\0') {
        None => Ok(text),
        Some(place) => Err(refused(at, format!("must not contain U+0000; found one at byte {place}"))),
    }
}

/// A text that stands in keys and indexes.
pub(super) fn name(at: At<'_>, text: String) -> Result<String, Invalid> {
    let text = free_text(at, text)?;
    if text.len() > MAX_NAME_BYTES {
        let what = if matches!(at, At::LabelKey(_)) { "the key has" } else { "has" };
        let rule = format!("{what} {} bytes; at most {MAX_NAME_BYTES} are taken", text.len());
        return Err(refused(at, rule));
    }
    Ok(text)
}

/// An optional name, for which empty is the same as not given.
pub(super) fn optional_name(at: At<'_>, text: Option<String>) -> Result<Option<String>, Invalid> {
    text.filter(|text| !text.is_empty()).map(|text| name(at, text)).transpose()
}

/// An optional free text, for which empty is the same as not given.
pub(super) fn optional_text(at: At<'_>, text: Option<String>) -> Result<Option<String>, Invalid> {
    text.filter(|text| !text.is_empty()).map(|text| free_text(at, text)).transpose()
}

/// An execution's id: it stands in URLs, log lines and leaves.
pub(super) fn id(at: At<'_>, text: String) -> Result<String, Invalid> {
    let text = name(at, text)?;
    if text.is_empty() {
        return Err(refused(at, "must not be empty"));
    }
    if text == "." || text == ".." {
        return Err(refused(at, "must not be . or .., which have a meaning in URLs"));
    }
    match text.chars().find(|char| char.is_control()) {
        None => Ok(text),
        Some(char) => {
            let rule = format!("must not contain control characters; found U+{:04X}", u32::from(char));
            Err(refused(at, rule))
        }
    }
}

pub(super) fn count(at: At<'_>, value: i64) -> Result<u32, Invalid> {
    u32::try_from(value)
        .ok()
        .filter(|&count| count <= MAX_COUNT)
        .ok_or_else(|| refused(at, format!("must be a count from 0 to 2^31 - 1; found {value}")))
}

pub(super) fn attempt(at: At<'_>, value: i64) -> Result<u32, Invalid> {
    match count(at, value) {
        Ok(attempt) if attempt > 0 => Ok(attempt),
        _ => Err(refused(at, format!("must be from 1 to 2^31 - 1; found {value}"))),
    }
}

pub(super) fn duration(at: At<'_>, value: i64) -> Result<u64, Invalid> {
    u64::try_from(value).ok().filter(|&duration| duration <= MAX_DURATION).ok_or_else(|| {
        refused(at, format!("must be nanoseconds from 0 to 2^53 - 1 (104 days); found {value}"))
    })
}

/// One of the names of `T`.
pub(super) fn choice<T: FromStr<Err = UnknownName>>(at: At<'_>, text: &str) -> Result<T, Invalid> {
    text.parse().map_err(|error: UnknownName| refused(at, error.to_string()))
}

/// From 0 to 1, and never -0, whose JSON differs from 0's.
pub(super) fn score(at: At<'_>, value: f64) -> Result<f64, Invalid> {
    if (0.0..=1.0).contains(&value) {
        Ok(value + 0.0)
    } else {
        Err(refused(at, format!("must be a number from 0 to 1; found {value}")))
    }
}

/// A time that must be there.
pub(super) fn time(at: At<'_>, value: Option<Time>, now: Time) -> Result<Time, Invalid> {
    let value = required(at, value)?;
    if value == time::ZERO {
        return Err(refused(at, "is Go's zero time (0001-01-01T00:00:00Z), which means it was never set"));
    }
    let latest = now.saturating_add_micros(MAX_AHEAD_MICROS);
    if value > latest {
        return Err(refused(at, format!("is more than 24 hours ahead of the server's {now}; found {value}")));
    }
    Ok(value)
}

/// A time for which Go's zero time is the same as not given.
pub(super) fn optional_time(at: At<'_>, value: Option<Time>, now: Time) -> Result<Option<Time>, Invalid> {
    match value.filter(|&value| value != time::ZERO) {
        None => Ok(None),
        value => time(at, value, now).map(Some),
    }
}
