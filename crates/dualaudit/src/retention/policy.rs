//! For how long records are kept.

use std::fmt;

use dualaudit_record::{Time, execution::Outcome};
use jiff::{Span, Timestamp, Unit, tz::TimeZone};
use serde::{Deserialize, Deserializer, de::Error as _};

/// For how long records are kept unless a policy says otherwise.
const DEFAULT: &str = "7y";

/// Months and years differ in length, by less than so many days for any period.
const SLACK_DAYS: i64 = 4;

/// For how long records are kept, counted from `completed_at` in UTC.
///
/// Of the rules that match a record, the one counts that keeps it longest, so that their order means
/// nothing; where none matches, `keep` counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Where no rule matches.
    #[serde(default)]
    keep: Keep,
    #[serde(default)]
    rules: Vec<Rule>,
}

/// For how long records are kept of which all that is given holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    workflow: Option<String>,
    namespace: Option<String>,
    outcome: Option<Outcome>,
    keep: Keep,
}

/// For how long.
#[derive(Clone, Copy, Debug)]
enum Keep {
    /// Years, months, weeks and days.
    For(Span),
    Forever,
}

/// A policy that cannot be used; says what of it, and what is expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(String);

impl Default for Keep {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("the default is a period")
    }
}

impl Policy {
    /// Reads a policy from YAML:
    ///
    /// ```yaml
    /// keep: 7y
    /// rules:
    /// - namespace: staging
    ///   keep: 90d
    /// - workflow: restart-pods
    ///   outcome: failed
    ///   keep: 10y
    /// ```
    ///
    /// # Errors
    /// Says which field cannot be used, and what it has to be.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
        let unspecific =
            |rule: &Rule| rule.workflow.is_none() && rule.namespace.is_none() && rule.outcome.is_none();
        let empty =
            |rule: &Rule| [&rule.workflow, &rule.namespace].into_iter().flatten().any(|name| name.is_empty());
        if let Some(place) = policy.rules.iter().position(empty) {
            return Err(PolicyError(format!("rules[{place}] names nothing: leave out what may be anything")));
        }
        match policy.rules.iter().position(unspecific) {
            None => Ok(policy),
            Some(place) => Err(PolicyError(format!(
                "rules[{place}] names no workflow, namespace or outcome: write its period as `keep` of the policy"
            ))),
        }
    }

    /// When the time of a record is over; `None`: never.
    pub(super) fn expires(
        &self,
        workflow: &str,
        namespace: Option<&str>,
        outcome: Outcome,
        completed_at: Time,
    ) -> Option<Time> {
        let matches = |rule: &&Rule| {
            rule.workflow.as_deref().is_none_or(|wanted| wanted == workflow)
                && rule.namespace.as_deref().is_none_or(|wanted| Some(wanted) == namespace)
                && rule.outcome.is_none_or(|wanted| wanted == outcome)
        };
        let of_rules = self.rules.iter().filter(matches).map(|rule| rule.keep.from(completed_at));
        // None, which is never, is the latest of all.
        of_rules
            .reduce(|longest, other| longest.zip(other).map(|(a, b)| a.max(b)))
            .unwrap_or_else(|| self.keep.from(completed_at))
    }

    /// No record that was complete at this instant or later has expired as of another.
    pub(super) fn horizon(&self, as_of: Time) -> Time {
        let keeps = self.rules.iter().map(|rule| rule.keep).chain([self.keep]);
        keeps.filter_map(|keep| keep.before(as_of)).max().unwrap_or(dualaudit_record::time::ZERO)
    }
}

/// In words that mean the same policy wherever they are the same.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.keep)?;
        let mut rules: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        rules.sort_unstable();
        rules.iter().try_for_each(|rule| write!(f, "; {rule}"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, namespace, outcome, keep } = self;
        for (name, value) in [("workflow", workflow.as_deref()), ("namespace", namespace.as_deref())] {
            if let Some(value) = value {
                write!(f, "{name} {value:?} ")?;
            }
        }
        if let Some(outcome) = outcome {
            write!(f, "outcome {outcome} ")?;
        }
        write!(f, "{keep}")
    }
}

impl Keep {
    fn parse(text: &str) -> Result<Self, String> {
        let refuse = |what: &str| {
            let shown: String = text.chars().take(64).collect();
            format!(
                "{what}: {shown:?}; expected years, months, weeks and days such as 7y, 18mo or 90d, or forever"
            )
        };
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let span: Span = text.parse().map_err(|_| refuse("no period"))?;
        let whole_days =
            [Unit::Hour, Unit::Minute, Unit::Second, Unit::Millisecond, Unit::Microsecond, Unit::Nanosecond]
                .iter()
                .all(|&unit| units(&span, unit) == 0);
        if !whole_days || !span.is_positive() {
            return Err(refuse("not a whole number of days, at least one"));
        }
        Ok(Self::For(span))
    }

    /// That long after an instant; `None`: never, or beyond the last year there is.
    fn from(self, instant: Time) -> Option<Time> {
        match self {
            Self::Forever => None,
            Self::For(span) => shifted(instant, |zoned| zoned.checked_add(span).ok()),
        }
    }

    /// At least that long before an instant, a little later where months differ.
    fn before(self, instant: Time) -> Option<Time> {
        match self {
            Self::Forever => None,
            Self::For(span) => shifted(instant, |zoned| {
                zoned
                    .checked_sub(span)
                    .and_then(|before| before.checked_add(Span::new().days(SLACK_DAYS)))
                    .ok()
            }),
        }
    }
}

fn units(span: &Span, unit: Unit) -> i64 {
    match unit {
        Unit::Hour => span.get_hours().into(),
        Unit::Minute => span.get_minutes(),
        Unit::Second => span.get_seconds(),
        Unit::Millisecond => span.get_milliseconds(),
        Unit::Microsecond => span.get_microseconds(),
        _ => span.get_nanoseconds(),
    }
}

fn shifted(instant: Time, shift: impl FnOnce(jiff::Zoned) -> Option<jiff::Zoned>) -> Option<Time> {
    let zoned = Timestamp::from_microsecond(instant.as_micros()).ok()?.to_zoned(TimeZone::UTC);
    Time::from_timestamp(shift(zoned)?.timestamp())
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(span) => write!(f, "{span:#}"),
            Self::Forever => f.write_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn policy() -> Policy {
        Policy::parse(
            "keep: 7y
rules:
- namespace: staging
  keep: 90d
- workflow: restart
  outcome: failed
  keep: 10y
- workflow: payroll
  keep: forever
- workflow: restart
  namespace: staging
  keep: 1y",
        )
        .unwrap()
    }

    #[test]
    fn of_the_rules_that_match_the_one_counts_that_keeps_longest() {
        let policy = policy();
        for (workflow, namespace, outcome, expires) in [
            ("drain", Some("shop"), Outcome::Failed, Some("2027-02-28T12:00:00Z")),
            ("drain", None, Outcome::Failed, Some("2027-02-28T12:00:00Z")),
            ("drain", Some("staging"), Outcome::Failed, Some("2020-05-29T12:00:00Z")),
            ("restart", Some("shop"), Outcome::Failed, Some("2030-02-28T12:00:00Z")),
            ("restart", Some("shop"), Outcome::Success, Some("2027-02-28T12:00:00Z")),
            ("restart", Some("staging"), Outcome::Failed, Some("2030-02-28T12:00:00Z")),
            ("restart", Some("staging"), Outcome::Success, Some("2021-02-28T12:00:00Z")),
            ("payroll", Some("staging"), Outcome::Success, None),
        ] {
            let found = policy.expires(workflow, namespace, outcome, time("2020-02-29T12:00:00Z"));
            assert_eq!(found, expires.map(time), "{workflow} {namespace:?} {outcome}");
        }
        let default = Policy::default().expires("x", None, Outcome::Success, time("2019-11-25T00:00:00Z"));
        assert_eq!(default, Some(time("2026-11-25T00:00:00Z")));
        let late = Policy::default().expires("x", None, Outcome::Success, time("9998-01-01T00:00:00Z"));
        assert_eq!(late, None, "beyond the last year there is, never");
    }

    #[test]
    fn nothing_expires_that_was_complete_after_the_horizon() {
        for policy in [policy(), Policy::default(), Policy::parse("keep: 1mo").unwrap()] {
            for as_of in [
                "2026-11-25T01:00:00Z",
                "2024-02-29T00:00:00Z",
                "2023-03-31T23:59:59Z",
                "2025-03-01T00:00:00Z",
            ] {
                let as_of = time(as_of);
                let horizon = policy.horizon(as_of);
                for hours in 0..48 {
                    let completed_at =
                        Time::from_micros(horizon.as_micros() + hours * 3_600_000_000).unwrap();
                    for namespace in ["staging", "shop"] {
                        let expires =
                            policy.expires("restart", Some(namespace), Outcome::Success, completed_at);
                        assert!(
                            expires.is_none_or(|expires| expires > as_of),
                            "{policy} {as_of} {completed_at}"
                        );
                    }
                }
            }
        }
        assert_eq!(
            Policy::parse("keep: forever").unwrap().horizon(time("2026-01-01T00:00:00Z")),
            dualaudit_record::time::ZERO
        );
    }

    #[test]
    fn a_policy_says_itself_in_words_whatever_the_order_of_its_rules() {
        let words = policy().to_string();
        assert_eq!(
            words,
            "7y; namespace \"staging\" 90d; workflow \"payroll\" forever; \
             workflow \"restart\" namespace \"staging\" 1y; workflow \"restart\" outcome failed 10y"
        );
        let mut turned = policy();
        turned.rules.reverse();
        assert_eq!(turned.to_string(), words);
        assert_eq!(Policy::default().to_string(), "7y");
    }

    #[test]
    fn what_is_no_policy_is_refused_by_what_is_wrong_with_it() {
        for (text, expected) in [
            ("keep: 24h", "not a whole number of days"),
            ("keep: 0d", "at least one"),
            ("keep: -1y", "at least one"),
            ("keep: soon", "no period: \"soon\""),
            ("retain: 7y", "unknown field"),
            ("rules: [{keep: 1y}]", "rules[0] names no workflow"),
            ("rules: [{workflow: '', keep: 1y}]", "rules[0] names nothing"),
            ("rules: [{workflow: x}]", "missing field"),
            ("rules: [{outcome: superb, keep: 1y}]", "superb"),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
