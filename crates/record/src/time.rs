//! Instants as the record keeps them: UTC, to the microsecond.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in UTC, to the microsecond, from 0001-01-01 to the end of 9999 (RFC 3339's years).
///
/// Written as RFC 3339 with exactly six decimals and `Z`, so that equal instants have equal bytes.
/// Reading accepts any zone and up to nanoseconds, and truncates towards the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// Go's zero `time.Time`, which producers send for "not set".
pub const ZERO: Time = Time(-62_135_596_800_000_000);
const MAX: Time = Time(253_402_300_799_999_999);

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

    /// The same instant as a `jiff` timestamp.
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).expect("the years 1 to 9999 are within jiff's range")
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
        write!(f, "{:.6}", self.to_timestamp())
    }
}

/// The text was not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("not an RFC 3339 time with a zone and a year from 0001 to 9999")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let timestamp: Timestamp = text.parse().map_err(|_| NotATime)?;
        Self::from_timestamp(timestamp).ok_or(NotATime)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
