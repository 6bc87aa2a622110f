//! What questions are asked with: the parameters of the API, which are the flags of the command line, and how their
//! values are read.

use std::collections::BTreeSet;

use dualaudit_record::Time;
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error as ValueError},
};

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}{}: {rule}", value.as_ref().map(|value| format!("={value:?}")).unwrap_or_default())]
pub struct BadParameter {
    /// Its name.
    pub parameter: String,
    /// What was sent, its first 100 characters; `None` of one that is missing.
    pub value: Option<String>,
    /// What is allowed.
    pub rule: String,
}

impl BadParameter {
    /// The parameter, what was sent, and what is allowed.
    pub fn new(parameter: &str, value: &str, rule: impl Into<String>) -> Self {
        let mut short: String = value.chars().take(100).collect();
        if short.len() < value.len() {
            short.push('…');
        }
        Self { parameter: parameter.to_owned(), value: Some(short), rule: rule.into() }
    }

    /// The parameter that must be given, and why.
    pub fn missing(parameter: &str, why: &str) -> Self {
        Self { parameter: parameter.to_owned(), value: None, rule: format!("must be given: {why}") }
    }
}

/// A parameter given twice would be half ignored.
///
/// # Errors
/// The first that is.
pub fn reject_repeats(pairs: &[(String, String)]) -> Result<(), BadParameter> {
    let mut before = BTreeSet::new();
    for (name, value) in pairs {
        if !before.insert(name) {
            return Err(BadParameter::new(name, value, "is given twice; give it once"));
        }
    }
    Ok(())
}

/// What takes no parameters is given none.
///
/// # Errors
/// The first that there is.
pub fn no_parameters(pairs: &[(String, String)]) -> Result<(), BadParameter> {
    pairs.first().map_or(Ok(()), |(name, value)| {
        Err(BadParameter::new(name, value, "is no parameter of this call: it has none"))
    })
}

/// A text that is not empty.
///
/// # Errors
/// What is allowed.
pub fn text(value: &str) -> Result<Option<String>, String> {
    if value.is_empty() { Err("must not be empty".into()) } else { Ok(Some(value.to_owned())) }
}

/// One of the values of an enum; `allowed` are their names on the wire.
///
/// # Errors
/// What is allowed.
pub fn one_of<'de, T: Deserialize<'de>>(value: &'de str, allowed: &str) -> Result<T, String> {
    let deserializer: serde::de::value::StrDeserializer<'_, ValueError> = value.into_deserializer();
    T::deserialize(deserializer).map_err(|_| format!("must be {allowed}"))
}

/// A whole number from 1 to `most`.
///
/// # Errors
/// What is allowed.
pub fn whole(value: &str, most: u32) -> Result<u32, String> {
    let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
    number
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from 1 to {most}"))
}

/// An instant, or how long ago, counted from `now`.
///
/// # Errors
/// What is allowed.
pub fn time(value: &str, now: Time) -> Result<Time, String> {
    if let Ok(time) = value.parse() {
        return Ok(time);
    }
    let ago = duration(value).and_then(|nanoseconds| i64::try_from(nanoseconds / 1_000).ok());
    ago.map(|micros| now.saturating_add_micros(-micros)).ok_or_else(|| {
        "must be an RFC 3339 time such as 2026-05-01T12:00:00Z, or a time ago such as 90s, 15m, 24h or 7d"
            .into()
    })
}

/// A duration in nanoseconds, below 2^53.
///
/// # Errors
/// What is allowed.
pub fn nanoseconds(value: &str) -> Result<u64, String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
    plain
        .or_else(|| duration(value))
        // What the record can hold, and what every database can compare.
        .filter(|&nanoseconds| nanoseconds < 1 << 53)
        .ok_or_else(|| {
            "must be a duration such as 250ms, 90s, 5m or 1h30m, or whole nanoseconds, below 2^53".into()
        })
}

/// Nanoseconds of a duration as Go writes them (`1h30m`, `1.5s`), and with days (`7d`).
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        total = total.checked_add(amount(number, unit)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

fn amount(number: &str, unit: &str) -> Option<u64> {
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More than nine decimals say nothing in nanoseconds, and would overflow.
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let mut parts = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
    if !fraction.is_empty() {
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        parts += u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / scale;
    }
    u64::try_from(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_has_no_value() {
        let said = [
            BadParameter::new("workflow", "", "must not be empty"),
            BadParameter::missing("workflow", "why"),
        ];
        let said = said.map(|bad| bad.to_string());
        assert_eq!(said, [r#"workflow="": must not be empty"#, "workflow: must be given: why"]);
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanoseconds) in [
            ("1ns", 1),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("2m3.25s", 123_250_000_000),
            ("250µs", 250_000),
            ("7d", 604_800_000_000_000),
        ] {
            assert_eq!(duration(text), Some(nanoseconds), "{text}");
        }
    }
}
