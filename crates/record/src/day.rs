//! Days of UTC, and what the entries that were recorded on one amount to.
//!
//! A day's entries are one run of a log, because `recorded_at` never runs backwards in it: whoever reads the
//! log can count them again, and so check every [`DailyDigest`](crate::entry::DailyDigest) in it.

use std::{fmt, str::FromStr};

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Entry, EntryKind, Time, entry::GapCause, names::quoted};

/// Microseconds of a day: there are no leap seconds in [`Time`].
const MICROS: i64 = 86_400_000_000;

/// A day of UTC, from 0001-01-01 to 9999-12-31. Written as `2026-11-28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The day that an instant is on.
    pub fn of(time: Time) -> Self {
        Self(i32::try_from(time.as_micros().div_euclid(MICROS)).expect("a year has four digits"))
    }

    /// Its first instant.
    pub fn start(self) -> Time {
        Time::from_micros(i64::from(self.0) * MICROS).expect("the year of a day is 1 to 9999")
    }

    /// The day after it; the last there is has none.
    pub fn next(self) -> Option<Self> {
        self.moved(1)
    }

    /// The day before it; the first there is has none.
    pub fn previous(self) -> Option<Self> {
        self.moved(-1)
    }

    fn moved(self, days: i32) -> Option<Self> {
        let day = Self(self.0 + days);
        Time::from_micros(i64::from(day.0) * MICROS).map(|_| day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.start().to_string().get(..10).unwrap_or_default())
    }
}

/// The text was not a day.
#[derive(Debug, thiserror::Error)]
#[error("not a day such as 2026-11-28, with a year from 0001 to 9999")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        // jiff takes more: times beside the date, and signed years.
        if text.len() != 10 {
            return Err(NotADay);
        }
        let date: Date = text.parse().map_err(|_| NotADay)?;
        let time: Time = format!("{date}T00:00:00Z").parse().map_err(|_| NotADay)?;
        Ok(Self::of(time))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{error}: {}", quoted(&text))))
    }
}

/// What entries amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Executions that they tell of: recorded, missing, or in quarantine.
    pub seen: u64,
    /// Executions recorded, each attempt counted: first revisions.
    pub recorded: u64,
    /// Later revisions.
    pub revisions: u64,
    /// Executions that are missing.
    pub gaps: u64,
    /// The gaps by their cause.
    pub gap_causes: GapCauses,
    /// Objects put in quarantine, each content counted.
    pub quarantined: u64,
    /// Verdicts.
    pub reviews: u64,
    /// Windows that were made longer. Not told where there are none, nor by digests of the first versions.
    #[serde(default, skip_serializing_if = "is_none")]
    pub windows: u64,
    /// Holds placed.
    pub holds: u64,
    /// Holds released.
    pub hold_releases: u64,
    /// Parts of purges.
    pub purges: u64,
    /// Executions that went by them, each attempt counted.
    pub purged_executions: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Gaps by their cause. Fewer than there are gaps where bodies are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(missing_docs, reason = "see `GapCause`")]
pub struct GapCauses {
    pub vanished: u64,
    pub overtaken: u64,
    pub released_unrecorded: u64,
}

impl GapCauses {
    fn total(&self) -> u64 {
        self.vanished.saturating_add(self.overtaken).saturating_add(self.released_unrecorded)
    }
}

impl Counts {
    /// Counts an entry by what its leaf says: all but what only bodies tell.
    pub fn leaf(&mut self, kind: EntryKind, revision: Option<u32>) {
        let place = match kind {
            EntryKind::Execution if revision == Some(1) => &mut self.recorded,
            EntryKind::Execution => &mut self.revisions,
            EntryKind::Gap => &mut self.gaps,
            EntryKind::Quarantine => &mut self.quarantined,
            EntryKind::Review => &mut self.reviews,
            EntryKind::Window => &mut self.windows,
            EntryKind::Hold => &mut self.holds,
            EntryKind::HoldRelease => &mut self.hold_releases,
            EntryKind::Purge => &mut self.purges,
            _ => return,
        };
        *place += 1;
        self.seen = self.recorded + self.gaps + self.quarantined;
    }

    /// Counts what only an entry's body tells: the cause of a gap, and what went by a purge.
    pub fn said(&mut self, entry: &Entry) {
        match entry {
            Entry::Gap(gap) => match gap.cause {
                GapCause::Vanished => self.gap_causes.vanished += 1,
                GapCause::Overtaken => self.gap_causes.overtaken += 1,
                GapCause::ReleasedUnrecorded { .. } => self.gap_causes.released_unrecorded += 1,
            },
            Entry::Purge(purge) => {
                self.purged_executions = self.purged_executions.saturating_add(purge.executions);
            }
            _ => {}
        }
    }

    /// Adds what others amount to.
    pub fn add(&mut self, other: &Self) {
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.seen, other.seen);
        sum(&mut self.recorded, other.recorded);
        sum(&mut self.revisions, other.revisions);
        sum(&mut self.gaps, other.gaps);
        sum(&mut self.gap_causes.vanished, other.gap_causes.vanished);
        sum(&mut self.gap_causes.overtaken, other.gap_causes.overtaken);
        sum(&mut self.gap_causes.released_unrecorded, other.gap_causes.released_unrecorded);
        sum(&mut self.quarantined, other.quarantined);
        sum(&mut self.reviews, other.reviews);
        sum(&mut self.windows, other.windows);
        sum(&mut self.holds, other.holds);
        sum(&mut self.hold_releases, other.hold_releases);
        sum(&mut self.purges, other.purges);
        sum(&mut self.purged_executions, other.purged_executions);
    }

    /// Whether these, counted again, agree with what was `claimed` when all bodies were there. The body of a gap
    /// may be gone since, and with it the cause: then there are at most as many of each as was claimed.
    pub fn agree_with(&self, claimed: &Self) -> bool {
        let (mine, theirs) = (&self.gap_causes, &claimed.gap_causes);
        let causes = if mine.total() == self.gaps {
            mine == theirs
        } else {
            theirs.total() == claimed.gaps
                && mine.vanished <= theirs.vanished
                && mine.overtaken <= theirs.overtaken
                && mine.released_unrecorded <= theirs.released_unrecorded
        };
        causes && Self { gap_causes: claimed.gap_causes, ..*self } == *claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Gap;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_is_what_its_instants_are_on() {
        for (time, expected) in [
            ("2026-11-28T00:00:00Z", "2026-11-28"),
            ("2026-11-28T23:59:59.999999Z", "2026-11-28"),
            ("2026-11-28T00:30:00+01:00", "2026-11-27"),
            ("1969-12-31T23:59:59Z", "1969-12-31"),
            ("0001-01-01T00:00:00Z", "0001-01-01"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31"),
        ] {
            let time: Time = time.parse().unwrap();
            let found = Day::of(time);
            assert_eq!(found.to_string(), expected);
            assert_eq!(day(expected), found);
            assert!(found.start() <= time && found.next().is_none_or(|next| time < next.start()));
        }
        assert_eq!(day("2024-02-28").next(), Some(day("2024-02-29")));
        assert_eq!(day("2026-01-01").previous(), Some(day("2025-12-31")));
        assert_eq!((day("9999-12-31").next(), day("0001-01-01").previous()), (None, None));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-11-31",
            "2026-1-01",
            "26-11-28",
            "20261128",
            "+2026-01-1",
            "0000-01-01",
            "2026-11-28T0",
        ] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(serde_json::to_value(day("2026-11-28")).unwrap(), "2026-11-28");
        assert!(serde_json::from_str::<Day>("\"yesterday\"").is_err());
    }

    fn gap(cause: GapCause) -> Entry {
        Entry::Gap(Gap {
            cause,
            execution_id: String::new(),
            namespace: String::new(),
            name: String::new(),
            started_at: None,
            last_phase: String::new(),
            last_state: String::new(),
            last_state_digest: None,
            last_seen_at: crate::testing::now(),
        })
    }

    #[test]
    fn entries_are_counted_by_what_they_are() {
        let mut counts = Counts::default();
        for revision in [1, 1, 2, 3] {
            counts.leaf(EntryKind::Execution, Some(revision));
        }
        for kind in EntryKind::ALL {
            if kind != EntryKind::Execution {
                counts.leaf(kind, None);
            }
        }
        counts.said(&gap(GapCause::Overtaken));
        let expected = Counts {
            seen: 4,
            recorded: 2,
            revisions: 2,
            gaps: 1,
            gap_causes: GapCauses { overtaken: 1, ..GapCauses::default() },
            quarantined: 1,
            reviews: 1,
            windows: 1,
            holds: 1,
            hold_releases: 1,
            purges: 1,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
        counts.add(&expected);
        assert_eq!((counts.seen, counts.recorded, counts.gap_causes.overtaken), (8, 4, 2));
    }

    #[test]
    fn digests_that_do_not_tell_of_windows_are_read_and_written_as_they_were() {
        let text = serde_json::to_string(&Counts { holds: 1, ..Counts::default() }).unwrap();
        assert!(!text.contains("windows"), "{text}");
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap().windows, 0);
        let counts = Counts { windows: 2, ..Counts::default() };
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
    }

    #[test]
    fn a_body_that_is_gone_makes_no_digest_wrong_and_another_number_does() {
        let of = |vanished, overtaken, gaps| Counts {
            gaps,
            seen: gaps,
            gap_causes: GapCauses { vanished, overtaken, released_unrecorded: 0 },
            ..Counts::default()
        };
        let claimed = of(2, 1, 3);
        for (counted, agrees) in [
            (of(2, 1, 3), true),
            (of(1, 2, 3), false),
            (of(1, 1, 3), true),
            (of(0, 0, 3), true),
            (of(0, 2, 3), false),
            (of(2, 1, 4), false),
            (of(2, 0, 2), false),
            (Counts { holds: 1, ..claimed }, false),
        ] {
            assert_eq!(counted.agree_with(&claimed), agrees, "{counted:?}");
        }
        assert!(!of(0, 0, 3).agree_with(&of(2, 2, 3)), "more causes than gaps");
    }
}
