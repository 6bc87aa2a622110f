//! The stretches of time that statistics are kept by: hours of UTC, then days, then months, and others between them.
//!
//! Longer buckets are kept beside the shorter ones once they are over, so that a question about a long time reads few of
//! them; and the shorter ones go when nobody needs to tell them apart any more.

use jiff::{Timestamp, civil::Date, tz::Offset};
use serde::{Deserialize, Serialize};

use crate::{Time, names::named};

const MICROS: i64 = 3_600_000_000;
const SIX_HOURS: i32 = 6;
const DAY: i32 = 24;
const WEEK: i32 = 7 * DAY;
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
        let time = Timestamp::from_second(i64::from(self.0) * 3600);
        Offset::UTC.to_datetime(time.unwrap_or(Timestamp::MAX)).date()
    }
}

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Hour,
    SixHours,
    Day,
    Week,
    Month,
}

named!(Level { Hour = "hour", SixHours = "six_hours", Day = "day", Week = "week", Month = "month" });

/// An hour, six hours (from 0, 6, 12 or 18 o'clock on), a day, a week (ISO 8601: from Monday on) or a month of UTC.
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
            Level::SixHours => hour.0.div_euclid(SIX_HOURS) * SIX_HOURS,
            Level::Day => hour.0.div_euclid(DAY) * DAY,
            // The first day of 1970 was a Thursday.
            Level::Week => (hour.0 + 3 * DAY).div_euclid(WEEK) * WEEK - 3 * DAY,
            Level::Month => {
                let days = i32::from(hour.date().day()) - 1;
                hour.0.div_euclid(DAY) * DAY - days * DAY
            }
        };
        Self { level, start: Hour(start) }
    }

    /// The first hour after it.
    pub fn end(self) -> Hour {
        Hour(match self.level {
            Level::Hour => self.start.0 + 1,
            Level::SixHours => self.start.0 + SIX_HOURS,
            Level::Day => self.start.0 + DAY,
            Level::Week => self.start.0 + WEEK,
            Level::Month => self.start.0 + i32::from(self.start.date().days_in_month()) * DAY,
        })
    }
}

/// Which buckets a log's statistics have, once they have come to the beginning of six hours.
///
/// - Hours are there from the first on, and until two days after their day.
/// - Six hours are there once they are over, and until two days after their day.
/// - Days and weeks are there once they are over, and until a hundred days after the month that they begin in.
/// - Months are there once they are over, for ever.
///
/// So each hour is in one bucket at least, and those that it is in contain each other, but for weeks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The first of six hours.
    at: i32,
}

impl Kept {
    /// Once they have come as far as a log that has come to `as_of`.
    pub fn by(as_of: Time) -> Self {
        Self::at(Hour::of(as_of))
    }

    /// Once they have come to the six hours that an hour is in.
    pub fn at(hour: Hour) -> Self {
        Self { at: Bucket::of(hour, Level::SixHours).start.0 }
    }

    /// The first of the six hours that they have come to.
    pub fn hour(self) -> Hour {
        Hour(self.at)
    }

    /// Hours before this one are told apart no more.
    pub fn hours_from(self) -> Hour {
        Hour(Bucket::of(Hour(self.at), Level::Day).start.0 - HOURS_KEPT)
    }

    /// Days and weeks that begin before this hour are told apart no more.
    pub fn days_from(self) -> Hour {
        Bucket::of(Hour(self.at - DAYS_KEPT), Level::Month).start
    }

    /// Whether a bucket is there.
    pub fn has(self, bucket: Bucket) -> bool {
        match bucket.level {
            Level::Hour => bucket.start >= self.hours_from(),
            Level::SixHours => bucket.start >= self.hours_from() && bucket.end().0 <= self.at,
            Level::Day | Level::Week => bucket.start >= self.days_from() && bucket.end().0 <= self.at,
            Level::Month => bucket.end().0 <= self.at,
        }
    }

    /// The shortest bucket that an hour is in.
    pub fn shortest(self, hour: Hour) -> Bucket {
        let level = match () {
            () if hour >= self.hours_from() => Level::Hour,
            () if hour >= self.days_from() => Level::Day,
            () => Level::Month,
        };
        Bucket::of(hour, level)
    }

    /// All buckets that an hour is in, the shortest first.
    pub fn buckets(self, hour: Hour) -> impl Iterator<Item = Bucket> {
        Level::ALL.iter().map(move |&level| Bucket::of(hour, level)).filter(move |&bucket| self.has(bucket))
    }

    /// The stretch of all shortest buckets that some of a stretch lies in; of one that is empty, an empty one.
    pub fn outward(self, stretch: Stretch) -> Stretch {
        let from = self.shortest(stretch.from).start;
        let last = Hour(stretch.until.0 - 1);
        Stretch { from, until: if last < stretch.from { from } else { self.shortest(last).end() } }
    }

    /// The fewest buckets that together are the stretch, which begins and ends where shortest buckets do, as runs of one
    /// level. They lie in buckets of the level `within`; of `None`, they are as long as can be.
    pub fn cover(self, stretch: Stretch, within: Option<Level>) -> Vec<(Level, Stretch)> {
        let levels: &[Level] = match within {
            None => &[Level::Month, Level::Week, Level::Day, Level::SixHours],
            Some(Level::Month) => &[Level::Month, Level::Day, Level::SixHours],
            Some(Level::Week | Level::Day) => &[Level::Day, Level::SixHours],
            Some(Level::SixHours) => &[Level::SixHours],
            Some(Level::Hour) => &[],
        };
        let Stretch { from, until } = stretch;
        let (days_from, at) = (self.days_from(), self.hour());
        let mut runs: Vec<(Level, Stretch)> = Vec::new();
        let mut add = |level, from, until| match runs.last_mut() {
            _ if from >= until => {}
            Some((last, run)) if *last == level => run.until = until,
            _ => runs.push((level, Stretch { from, until })),
        };
        add(Level::Month, from, days_from.min(until));
        for bucket in self.fewest(Stretch { from: from.max(days_from), until: until.min(at) }, levels) {
            add(bucket.level, bucket.start, bucket.end());
        }
        add(Level::Hour, from.max(at), until);
        runs
    }

    /// The fewest buckets that together are a stretch: shortest ones, and those of these levels, of which longer ones are
    /// named first.
    ///
    /// It is the shortest path from one begin of a shortest bucket to the next, found from its end on.
    fn fewest(self, Stretch { from, until }: Stretch, levels: &[Level]) -> Vec<Bucket> {
        let mut shortest = Vec::new();
        let mut at = from;
        while at < until {
            shortest.push(self.shortest(at));
            at = shortest[shortest.len() - 1].end();
        }
        let place = |hour: Hour| shortest.partition_point(|it| it.start < hour);
        // From the end on: the first bucket of each way, and how many the way has.
        let mut ways: Vec<(Bucket, usize)> = Vec::with_capacity(shortest.len());
        for &one in shortest.iter().rev() {
            let longer = levels.iter().map(|&level| Bucket::of(one.start, level));
            let longer = longer.filter(|it| it.start == one.start && it.end() <= until && self.has(*it));
            let rest = |it: &Bucket| match shortest.len() - place(it.end()) {
                0 => 0,
                left => ways[left - 1].1,
            };
            let first = longer.chain([one]).min_by_key(rest).expect("there is the shortest");
            ways.push((first, rest(&first) + 1));
        }
        let mut buckets = Vec::new();
        let mut at = from;
        while at < until {
            let (bucket, _) = ways[shortest.len() - 1 - place(at)];
            at = bucket.end();
            buckets.push(bucket);
        }
        buckets
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::{MAX, ZERO};

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn shortest(hour: &str, as_of: &str) -> (Level, String, String) {
        let bucket = Kept::by(at(as_of)).shortest(Hour::of(at(hour)));
        (bucket.level, bucket.start.start().to_string(), bucket.end().start().to_string())
    }

    #[test]
    fn the_older_an_hour_is_the_longer_is_its_shortest_bucket() {
        let is = |level, start: &str, end: &str| (level, at(start).to_string(), at(end).to_string());
        assert_eq!(
            shortest("2024-02-29T13:45:00Z", "2024-03-02T23:59:59Z"),
            is(Level::Hour, "2024-02-29T13:00:00Z", "2024-02-29T14:00:00Z")
        );
        assert_eq!(
            shortest("2024-02-29T13:45:00Z", "2024-03-03T00:00:00Z"),
            is(Level::Day, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z")
        );
        assert_eq!(shortest("2024-02-29T13:45:00Z", "2024-06-08T23:59:59Z").0, Level::Day);
        assert_eq!(
            shortest("2024-02-29T13:45:00Z", "2024-06-09T00:00:00Z"),
            is(Level::Month, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")
        );
        assert_eq!(
            shortest("1969-12-31T23:00:00Z", "2024-06-09T00:00:00Z"),
            is(Level::Month, "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z")
        );
    }

    #[test]
    fn what_is_over_is_in_longer_buckets_too() {
        let levels = |hour: &str, as_of: &str| -> Vec<Level> {
            Kept::by(at(as_of)).buckets(Hour::of(at(hour))).map(|bucket| bucket.level).collect()
        };
        // A Friday.
        let hour = "2024-03-01T13:45:00Z";
        assert_eq!(levels(hour, "2024-03-01T17:59:59Z"), [Level::Hour]);
        assert_eq!(levels(hour, "2024-03-01T18:00:00Z"), [Level::Hour, Level::SixHours]);
        assert_eq!(levels(hour, "2024-03-02T00:00:00Z"), [Level::Hour, Level::SixHours, Level::Day]);
        assert_eq!(levels(hour, "2024-03-04T00:00:00Z"), [Level::Day, Level::Week]);
        assert_eq!(levels(hour, "2024-04-01T00:00:00Z"), [Level::Day, Level::Week, Level::Month]);
        assert_eq!(levels(hour, "2024-07-10T00:00:00Z"), [Level::Month]);
    }

    #[test]
    fn a_long_time_is_few_buckets() {
        let now = Hour::of(at("2026-11-28T22:30:00Z")).0 + 1;
        let kept = Kept::by(at("2026-11-28T22:30:00Z"));
        let hours = |days: i32| Stretch { from: Hour(now - days * DAY), until: Hour(now) };
        let buckets = |days| -> usize {
            let runs = kept.cover(kept.outward(hours(days)), None);
            let levels = runs.iter().map(|(level, run)| {
                let mut count = 0;
                let mut from = run.from;
                while from < run.until {
                    from = Bucket::of(from, *level).end();
                    count += 1;
                }
                count
            });
            levels.sum()
        };
        assert_eq!([7, 28, 90, 365].map(buckets), [15, 18, 21, 29]);
    }

    #[test]
    fn the_first_and_the_last_hour_have_buckets_of_every_length() {
        for hour in [Hour::of(ZERO), Hour::of(MAX)] {
            for &level in Level::ALL {
                let bucket = Bucket::of(hour, level);
                assert!(bucket.start <= hour && hour < bucket.end(), "{bucket:?}");
            }
            let kept = Kept::by(MAX);
            assert!(kept.buckets(hour).next().is_some());
            let all = Stretch { from: Hour::of(ZERO), until: Bucket::of(Hour::of(MAX), Level::Hour).end() };
            for kept in [Kept::by(ZERO), Kept::by(at("2024-06-09T00:00:00Z")), kept] {
                assert!(!kept.cover(kept.outward(all), None).is_empty());
            }
        }
        assert_eq!(Hour::of(ZERO).start(), ZERO);
    }

    proptest! {
        #[test]
        fn what_is_kept_of_an_hour_contains_what_was_kept(
            time in ZERO.as_micros()..=MAX.as_micros(),
            passed in -400 * 86_400_000_000_i64..400 * 86_400_000_000_i64,
            more in 0..400 * 86_400_000_000_i64,
        ) {
            let time = Time::from_micros(time).unwrap();
            let hour = Hour::of(time);
            let then = time.saturating_add_micros(passed);
            let (then, later) = (Kept::by(then), Kept::by(then.saturating_add_micros(more)));
            let (before, after) = (then.shortest(hour), later.shortest(hour));
            prop_assert_eq!(then.buckets(hour).next(), Some(before));
            prop_assert!(before.start <= hour && hour < before.end());
            prop_assert!(after.start <= before.start && before.end() <= after.end());
            prop_assert!(then.has(before) && later.has(after));
            prop_assert!(then.buckets(hour).all(|bucket| Bucket::of(bucket.start, bucket.level) == bucket));
        }

        #[test]
        fn a_cover_is_what_it_covers_of_what_is_kept(
            now in 0..40_000_i32,
            from in -20_000..50_000_i32,
            length in 1..40_000_i32,
            within in proptest::sample::select(vec![
                None, Some(Level::Hour), Some(Level::Day), Some(Level::Week), Some(Level::Month),
            ]),
        ) {
            let kept = Kept::at(Hour(now));
            let stretch = kept.outward(Stretch { from: Hour(from), until: Hour(from + length) });
            prop_assert!(stretch.from.0 <= from && from + length <= stretch.until.0);
            let mut at = stretch.from;
            for (level, run) in kept.cover(stretch, within) {
                prop_assert_eq!(run.from, at);
                while at < run.until {
                    let bucket = Bucket::of(at, level);
                    prop_assert!(bucket.start == at && kept.has(bucket), "{:?}", bucket);
                    let shortest = kept.shortest(at);
                    if let Some(within) = within && shortest.level <= within {
                        let within = Bucket::of(at, within);
                        prop_assert!(within.start <= bucket.start && bucket.end() <= within.end());
                    }
                    at = bucket.end();
                }
                prop_assert_eq!(at, run.until);
            }
            prop_assert_eq!(at, stretch.until);
        }
    }
}
