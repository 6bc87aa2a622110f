//! Instants as the record keeps them: UTC, to the microsecond.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp, civil::DateTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::names::quoted;

/// An instant in UTC, to the microsecond, from 0001-01-01 to the end of 9999 (RFC 3339's years).
///
/// Written as RFC 3339 with exactly six decimals and `Z`, so that equal instants have equal bytes.
/// Reading accepts any zone and up to nanoseconds, and truncates towards the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// Go's zero `time.Time`, which producers send for "not set".
pub const ZERO: Time = Time(-62_135_596_800_000_000);
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The last instant that can be written, in the year 9999.
pub const MAX: Time = Time(253_402_300_799_999_999);

impl Time {
    /// The instant that many microseconds after 1970-01-01T00:00:00Z, if its year is 1 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (ZERO.0..=MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Truncates to the microsecond, towards the past; years outside 1 to 9999 give `None`.
    pub fn from_timestamp(timestamp: Timestamp) -> Option<Self> {
        let micros = timestamp.as_nanosecond().div_euclid(1_000);
        i64::try_from(micros).ok().and_then(Self::from_micros)
    }

    /// The same instant as a `jiff` timestamp; the last 26 hours of the year 9999, which those don't
    /// have, as the last one.
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::MAX)
    }

    /// This instant moved by whole microseconds, kept within the range.
    #[must_use]
    pub fn saturating_add_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros).clamp(ZERO.0, MAX.0))
    }

    /// Microseconds from `earlier` to `self`; negative when `self` is before it.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = EPOCH.saturating_add(SignedDuration::from_micros(self.0));
        write!(f, "{utc:.6}Z")
    }
}

/// The text was not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 time with a zone, a year from 0001 to 9999 and at most nine decimals")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        parse(text.as_bytes()).ok_or(NotATime)
    }
}

/// RFC 3339, section 5.6, read here because jiff's parser takes more (no seconds, zone names in
/// brackets, signed years), and its timestamps end 26 hours before the year 9999 does.
fn parse(text: &[u8]) -> Option<Time> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let separators = [date_time[4], date_time[7], date_time[13], date_time[16]];
    if separators != *b"--::" || !matches!(date_time[10], b'T' | b't' | b' ') {
        return None;
    }
    let two = |from: usize| number(&date_time[from..from + 2]).and_then(|n| i8::try_from(n).ok());
    let (fraction, zone) = match rest.strip_prefix(b".") {
        None => (b"0".as_slice(), rest),
        Some(rest) => rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?),
    };
    let unit = 10_i32.pow(9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?);
    let nanosecond = number(fraction)?.checked_mul(unit)?;
    // A leap second counts as the second before it, as it does everywhere in POSIX time.
    let second = two(17).map(|second| if second == 60 { 59 } else { second })?;
    let year = i16::try_from(number(&date_time[..4])?).ok()?;
    let local = DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, second, nanosecond).ok()?;
    let micros = local.duration_since(EPOCH).as_nanos().div_euclid(1_000);
    Time::from_micros(i64::try_from(micros).ok()?.checked_sub(offset_micros(zone)?)?)
}

/// Microseconds that the zone is ahead of UTC.
fn offset_micros(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b"Z" | b"z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [*h1, *h2], [*m1, *m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let (hours, minutes) = (number(&hours)?, number(&minutes)?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes) * 60_000_000)
}

/// One to nine digits.
fn number(digits: &[u8]) -> Option<i32> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    (1..=9).contains(&digits.len()).then_some(())?;
    digits.iter().try_fold(0, |number, byte| Some(number * 10 + digit(byte)?))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{error}: {}", quoted(&text))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX, Time, Timestamp, ZERO};

    #[test]
    fn any_spelling_of_an_instant_has_one_writing() {
        let table = [
            ("2025-01-31T09:00:00Z", "2025-01-31T09:00:00.000000Z"),
            ("2025-01-31t09:00:00z", "2025-01-31T09:00:00.000000Z"),
            ("2025-01-31 09:00:00.5Z", "2025-01-31T09:00:00.500000Z"),
            ("2025-01-31T09:00:00.123456789Z", "2025-01-31T09:00:00.123456Z"),
            ("2025-01-31T09:00:00-00:00", "2025-01-31T09:00:00.000000Z"),
            ("2025-01-31T09:00:00+05:30", "2025-01-31T03:30:00.000000Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00.000000Z"),
            ("0000-12-31T19:03:00-04:57", "0001-01-01T00:00:00.000000Z"),
        ];
        for (text, written) in table {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_no_rfc_3339_is_refused() {
        for text in [
            "",
            "yesterday",
            "2025-01-31",
            "2025-01-31T09:00:00",
            "2025-01-31T09:00Z",
            "2025-01-31T09Z",
            "2025-02-30T09:00:00Z",
            "2025-01-31T24:00:00Z",
            "2025-01-31T09:00:00.Z",
            "2025-01-31T09:00:00.1234567890Z",
            "2025-01-31T09:00:00+0100",
            "2025-01-31T09:00:00+01",
            "2025-01-31T09:00:00+01:00[Europe/Paris]",
            "2025-01-31T09:00:00Z ",
            "+002025-01-31T09:00:00Z",
            "0000-06-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "２025-01-31T09:00:00Z",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_first_and_the_last_instant_can_be_written_and_read() {
        for time in [ZERO, MAX, ZERO.saturating_add_micros(-1), MAX.saturating_add_micros(1)] {
            assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
            let _ = time.to_timestamp();
        }
    }

    proptest! {
        #[test]
        fn jiff_reads_the_same_instant(
            micros in 0..=4_000_000_000_000_000_i64, nanos in 0..1_000_i128, minutes in -1439..=1439_i32,
        ) {
            let nanos = i128::from(micros) * 1_000 + nanos;
            let instant = Timestamp::from_nanosecond(nanos).unwrap();
            let zone = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
            let text = instant.display_with_offset(zone).to_string();
            prop_assert_eq!(text.parse::<Time>().unwrap().as_micros(), micros, "{}", text);
        }

        #[test]
        fn a_time_comes_back_from_its_writing(micros in ZERO.0..=MAX.0) {
            let time = Time::from_micros(micros).unwrap();
            prop_assert_eq!(time.to_string().len(), 27);
            prop_assert_eq!(time.to_string().parse::<Time>().unwrap(), time);
            if time.to_timestamp() < Timestamp::MAX {
                prop_assert_eq!(Time::from_timestamp(time.to_timestamp()), Some(time));
                prop_assert_eq!(format!("{:.6}", time.to_timestamp()), time.to_string());
            }
            let json = serde_json::to_string(&time).unwrap();
            prop_assert_eq!(serde_json::from_str::<Time>(&json).unwrap(), time);
        }

        #[test]
        fn times_sort_as_their_writing_does(a in ZERO.0..=MAX.0, b in ZERO.0..=MAX.0) {
            let (a, b) = (Time::from_micros(a).unwrap(), Time::from_micros(b).unwrap());
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
