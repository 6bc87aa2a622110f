//! The stretches of time that statistics are kept by: hours of UTC, which become days, which become months.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Time, names::named};

const MICROS: i64 = 3_600_000_000;
const DAY: i32 = 24;
/// Hours are told apart until this long after the end of their day.
const HOURS_KEPT: i32 = 2 * DAY;
/// Days are told apart until this long after the end of their month.
const DAYS_KEPT: i32 = 100 * DAY;

/// An hour of UTC: hours since 1970-01-01T00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hour(i32);

impl Hour {
    /// The hour that an instant is in.
    pub fn of(time: Time) -> Self {
        Self(i32::try_from(time.as_micros().div_euclid(MICROS)).expect("a year has four digits"))
    }

    /// The hour with this number, if it is within the years that [`Time`] has.
    pub fn from_number(number: i32) -> Option<Self> {
        Time::from_micros(i64::from(number) * MICROS).map(|_| Self(number))
    }

    /// Hours since 1970-01-01T00:00Z.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Its first instant; of an hour after the last year, the last instant there is.
    pub fn start(self) -> Time {
        crate::time::ZERO.saturating_add_micros(i64::from(self.0) * MICROS - crate::time::ZERO.as_micros())
    }

    /// The hour before it; of the first, none.
    pub fn before(self) -> Option<Self> {
        Self::from_number(self.0 - 1)
    }

    fn date(self) -> Date {
        let epoch = jiff::civil::date(1970, 1, 1);
        let days = i64::from(self.0.div_euclid(DAY));
        epoch.saturating_add(jiff::Span::new().try_days(days).expect("a year has four digits"))
    }
}

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Hour,
    Day,
    Month,
}

named!(Level { Hour = "hour", Day = "day", Month = "month" });

/// An hour, a day or a month of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bucket {
    /// How long it is.
    pub level: Level,
    /// Its first hour.
    pub start: Hour,
}

impl Bucket {
    /// The bucket of that length that an hour is in.
    pub fn of(hour: Hour, level: Level) -> Self {
        let start = match level {
            Level::Hour => hour.0,
            Level::Day => hour.0.div_euclid(DAY) * DAY,
            Level::Month => first_of_month(hour.date()),
        };
        Self { level, start: Hour(start) }
    }

    /// The bucket that an hour is kept in once its log has come to `as_of`: the older, the longer.
    ///
    /// A later `as_of` never gives a shorter one, and the longer contains the shorter: what is kept in buckets of an
    /// earlier instant can be put together to those of a later one.
    pub fn kept(hour: Hour, as_of: Time) -> Self {
        let now = Hour::of(as_of).0;
        let is_over = |level, kept| Self::of(hour, level).end().0.saturating_add(kept) <= now;
        let level = match () {
            () if is_over(Level::Month, DAYS_KEPT) => Level::Month,
            () if is_over(Level::Day, HOURS_KEPT) => Level::Day,
            () => Level::Hour,
        };
        Self::of(hour, level)
    }

    /// What this bucket has become by `as_of`.
    #[must_use]
    pub fn rolled(self, as_of: Time) -> Self {
        let kept = Self::kept(self.start, as_of);
        if kept.level > self.level { kept } else { self }
    }

    /// The first hour after it.
    pub fn end(self) -> Hour {
        Hour(match self.level {
            Level::Hour => self.start.0 + 1,
            Level::Day => self.start.0 + DAY,
            Level::Month => self.start.0 + i32::from(self.start.date().days_in_month()) * DAY,
        })
    }
}

/// A stretch of time: whole hours of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch {
    /// Its first hour.
    pub from: Hour,
    /// The first hour after it.
    pub until: Hour,
}

impl From<Bucket> for Stretch {
    fn from(bucket: Bucket) -> Self {
        Self { from: bucket.start, until: bucket.end() }
    }
}

fn first_of_month(date: Date) -> i32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = date.first_of_month().since(epoch).expect("both are dates").get_days();
    days * DAY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{MAX, ZERO};

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn kept(hour: &str, as_of: &str) -> (Level, String, String) {
        let bucket = Bucket::kept(Hour::of(at(hour)), at(as_of));
        (bucket.level, bucket.start.start().to_string(), bucket.end().start().to_string())
    }

    #[test]
    fn the_older_an_hour_is_the_longer_is_its_bucket() {
        let is = |level, start: &str, end: &str| (level, at(start).to_string(), at(end).to_string());
        assert_eq!(
            kept("2024-02-29T13:45:00Z", "2024-03-02T23:59:59Z"),
            is(Level::Hour, "2024-02-29T13:00:00Z", "2024-02-29T14:00:00Z")
        );
        assert_eq!(
            kept("2024-02-29T13:45:00Z", "2024-03-03T00:00:00Z"),
            is(Level::Day, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z")
        );
        assert_eq!(kept("2024-02-29T13:45:00Z", "2024-06-08T23:59:59Z").0, Level::Day);
        assert_eq!(
            kept("2024-02-29T13:45:00Z", "2024-06-09T00:00:00Z"),
            is(Level::Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")
        );
        assert_eq!(
            kept("1969-12-31T23:00:00Z", "2024-06-09T00:00:00Z"),
            is(Level::Month, "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z")
        );
    }

    #[test]
    fn the_first_and_the_last_hour_have_buckets_of_every_length() {
        for hour in [Hour::of(ZERO), Hour::of(MAX)] {
            for &level in Level::ALL {
                let bucket = Bucket::of(hour, level);
                assert!(bucket.start <= hour && hour < bucket.end(), "{bucket:?}");
            }
            assert_eq!(Bucket::kept(hour, MAX), Bucket::kept(hour, MAX).rolled(MAX));
        }
        assert_eq!(Hour::of(ZERO).start(), ZERO);
    }

    proptest! {
        #[test]
        fn buckets_only_grow_and_contain_what_they_were(
            time in ZERO.as_micros()..=MAX.as_micros(),
            passed in 0..400 * 86_400_000_000_i64,
            more in 0..400 * 86_400_000_000_i64,
        ) {
            let time = Time::from_micros(time).unwrap();
            let hour = Hour::of(time);
            let then = time.saturating_add_micros(passed);
            let later = then.saturating_add_micros(more);
            let (before, after) = (Bucket::kept(hour, then), Bucket::kept(hour, later));
            prop_assert!(before.start <= hour && hour < before.end());
            prop_assert!(after.start <= before.start && before.end() <= after.end());
            prop_assert_eq!(before.rolled(later), after);
            prop_assert_eq!(Bucket::of(before.start, before.level), before);
        }
    }
}
