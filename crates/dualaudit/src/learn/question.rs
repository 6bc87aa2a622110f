//! What is asked: of which executions, over which period.

use dualaudit_record::{
    Time,
    statistics::{Bucket, Hour, Kept, Level, Stretch},
};
use serde::{Deserialize, Serialize};

use crate::{
    parameter::{BadParameter, reject_repeats, text, time, whole},
    store::Filter,
};

/// Executions under which a figure says `insufficient_data`, unless asked otherwise.
pub const MINIMUM: u32 = 5;
/// The most that this can be asked to be.
const MOST: u32 = 1_000_000;
const DAY: i64 = 86_400_000_000;

/// The parameters that every answer has.
const COMMON: [&str; 9] =
    ["log", "workflow", "version", "namespace", "incident_type", "target_kind", "since", "until", "minimum"];

/// Which executions. What is not given is not looked at; an empty text asks for those that have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "the record's names")]
pub struct Filters {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<String>,
}

/// A stretch of time in UTC: from an instant, up to and without another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(missing_docs, reason = "the names of the parameters")]
pub struct Period {
    pub since: Time,
    pub until: Time,
}

/// What every answer is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of which executions.
    pub filters: Filters,
    /// When they ended, as it was asked; see [`Period::aligned`].
    pub period: Period,
    /// Executions under which a figure says `insufficient_data`.
    pub minimum: u64,
}

/// What cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// There is no such filter.
    #[error("{name} is no filter of this answer; there are: {}", known.join(", "))]
    UnknownFilter {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The value of a parameter cannot be used.
    #[error(transparent)]
    Bad(#[from] BadParameter),
}

impl Question {
    /// Reads names and values as they stand in a query string; times ago are counted from `now`. What has a name in
    /// `also` is for the answer itself to read, with [`given`]. Unless asked otherwise the period is of `days`, and up to
    /// now.
    ///
    /// # Errors
    /// The first parameter that is unknown, given twice, or cannot be used.
    pub fn parse(
        pairs: &[(String, String)],
        also: &[&str],
        days: i64,
        now: Time,
    ) -> Result<Self, Unanswerable> {
        reject_repeats(pairs)?;
        let mut filters = Filters::default();
        let (mut since, mut until, mut last) = (None, now, None);
        let mut minimum = MINIMUM;
        for (name, value) in pairs {
            let bad = |rule: String| BadParameter::new(name, value, rule);
            if value.contains('\0') {
                return Err(bad("must not contain U+0000".into()).into());
            }
            match name.as_str() {
                "log" => filters.log = text(value).map_err(bad)?,
                "workflow" => filters.workflow = text(value).map_err(bad)?,
                "version" => filters.version = Some(value.clone()),
                "namespace" => filters.namespace = Some(value.clone()),
                "incident_type" => filters.incident_type = Some(value.clone()),
                "target_kind" => filters.target_kind = Some(value.clone()),
                "since" => since = Some(time(value, now).map_err(bad)?),
                "until" => until = time(value, now).map_err(bad)?,
                "minimum" => minimum = whole(value, MOST).map_err(bad)?,
                name if also.contains(&name) => continue,
                _ => return Err(unknown(name, also)),
            }
            if name == "since" || name == "until" {
                last = Some((name, value));
            }
        }
        let since = since.unwrap_or_else(|| until.saturating_add_micros(-days * DAY));
        let period = Period { since, until };
        match last {
            Some((name, value)) if period.is_empty() => {
                let rule = format!("since must be before until: the period would be from {since} to {until}");
                Err(BadParameter::new(name, value, rule).into())
            }
            _ => Ok(Self { filters, period, minimum: minimum.into() }),
        }
    }
}

impl Question {
    /// Its workflow.
    ///
    /// # Errors
    /// When it names none.
    pub(super) fn one_workflow(&self) -> Result<&str, BadParameter> {
        needed("workflow", self.filters.workflow.as_deref(), "the answer is about one workflow")
    }

    /// Its incident type.
    ///
    /// # Errors
    /// When it names none.
    pub(super) fn one_incident_type(&self) -> Result<&str, BadParameter> {
        let why = "the answer is about one kind of incident";
        needed("incident_type", self.filters.incident_type.as_deref(), why)
    }
}

fn needed<'v>(name: &str, value: Option<&'v str>, why: &str) -> Result<&'v str, BadParameter> {
    value.ok_or_else(|| BadParameter::missing(name, why))
}

fn unknown(name: &str, also: &[&str]) -> Unanswerable {
    let known = COMMON.iter().chain(also).map(|&name| name.to_owned()).collect();
    Unanswerable::UnknownFilter { name: name.chars().take(100).collect(), known }
}

/// Reads the value of a parameter, if it was given.
///
/// # Errors
/// What is wrong with it.
pub(super) fn given<T>(
    pairs: &[(String, String)],
    name: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, BadParameter> {
    let given = pairs.iter().find(|(given, _)| given == name);
    given.map(|(_, value)| read(value).map_err(|rule| BadParameter::new(name, value, rule))).transpose()
}

/// `true` or `false`.
pub(super) fn boolean(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| "must be true or false".to_owned())
}

impl Filters {
    /// The same, of a workflow, and of one version of it.
    #[must_use]
    pub fn of(&self, workflow: &str, version: Option<&str>) -> Self {
        let version = version.map(str::to_owned).or_else(|| self.version.clone());
        Self { workflow: Some(workflow.to_owned()), version, ..self.clone() }
    }
}

/// Where the executions are listed that rates are made of: paths of the API. These list what is there yet of it: what
/// was purged still counts, and is in no list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Links {
    /// All of them, so neither earlier attempts nor the cancelled and deleted.
    pub all: String,
    /// Those of them that failed.
    pub failed: String,
}

impl Links {
    /// To those that ended in a period.
    pub fn to(filters: &Filters, period: Period) -> Self {
        let all = path(filters, period);
        Self { failed: format!("{all}&outcome=failed"), all }
    }
}

impl Filters {
    /// A list of the executions that ended in a period and count.
    pub(super) fn listed(&self, period: Period) -> Filter {
        let Self { log, workflow, version, namespace, incident_type, target_kind } = self.clone();
        let (completed_since, completed_until) = (Some(period.since), Some(period.until));
        Filter {
            log,
            workflow,
            version,
            namespace,
            incident_type,
            target_kind,
            completed_since,
            completed_until,
            counted: true,
            ..Filter::default()
        }
    }
}

/// Where the executions are listed that ended in a period and count.
pub(super) fn path(filters: &Filters, period: Period) -> String {
    let Filters { log, workflow, version, namespace, incident_type, target_kind } = filters;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("log", log),
        ("workflow", workflow),
        ("version", version),
        ("namespace", namespace),
        ("incident_type", incident_type),
        ("target_kind", target_kind),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("completed_since", &period.since.to_string());
    query.append_pair("completed_until", &period.until.to_string());
    query.append_pair("counted", "true");
    format!("/api/v1/executions?{}", query.finish())
}

impl Period {
    /// Whether no instant is in it, as none is before the first that there is.
    fn is_empty(self) -> bool {
        self.since >= self.until
    }

    /// The period from the first to the last bucket that this one touches, in statistics of logs that have come to
    /// `as_of` at most. One that is empty touches none, and stays so.
    #[must_use]
    pub fn aligned(self, as_of: Time) -> Self {
        let (from, until) = self.hours();
        let Stretch { from, until } = Kept::by(as_of).outward(Stretch { from, until });
        Self { since: from.start(), until: until.start() }
    }

    /// The period of the same length that ends where this one begins, aligned.
    #[must_use]
    pub fn before(self, as_of: Time) -> Self {
        let length = self.until.micros_since(self.since);
        Self { since: self.since.saturating_add_micros(-length), until: self.since }.aligned(as_of)
    }

    /// Its first hour, and the first one after it; of one that is empty, the same.
    pub(super) fn hours(self) -> (Hour, Hour) {
        let first = Hour::of(self.since);
        if self.is_empty() {
            return (first, first);
        }
        (first, Bucket::of(Hour::of(self.until.saturating_add_micros(-1)), Level::Hour).end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Question, Unanswerable> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Question::parse(&pairs, &["by"], 28, at("2026-05-02T10:30:00Z"))
    }

    #[test]
    fn the_period_of_an_answer_is_that_of_whole_buckets() {
        let aligned = |since: &str, until: &str| {
            let period = Period { since: at(since), until: at(until) }.aligned(at("2026-05-02T10:30:00Z"));
            (period.since.to_string(), period.until.to_string())
        };
        let is = |since: &str, until: &str| (at(since).to_string(), at(until).to_string());
        // Hours are told apart yet, then days, then months.
        assert_eq!(
            aligned("2026-05-01T10:59:59Z", "2026-05-02T10:30:00Z"),
            is("2026-05-01T10:00:00Z", "2026-05-02T11:00:00Z")
        );
        assert_eq!(
            aligned("2026-04-01T10:59:59Z", "2026-04-02T00:00:00Z"),
            is("2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z")
        );
        assert_eq!(
            aligned("2025-02-10T00:00:00Z", "2025-03-01T00:00:01Z"),
            is("2025-02-01T00:00:00Z", "2025-04-01T00:00:00Z")
        );
        // As long as the whole of time, and no longer.
        let all = aligned("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z");
        assert_eq!(all.0, at("0001-01-01T00:00:00Z").to_string());
    }

    #[test]
    fn what_is_not_given_of_a_period_is_counted_back_from_its_end() {
        let period = |pairs| parse(pairs).unwrap().period;
        let until = at("2026-05-02T10:30:00Z");
        assert_eq!(period(&[]), Period { since: until.saturating_add_micros(-28 * DAY), until });
        assert_eq!(
            period(&[("since", "40d")]),
            Period { since: until.saturating_add_micros(-40 * DAY), until }
        );
        let ago = |days: i64| until.saturating_add_micros(-days * DAY);
        assert_eq!(period(&[("until", "40d")]), Period { since: ago(68), until: ago(40) });
        // As far as there are years.
        let first = at("0001-01-01T00:00:00Z");
        let early = at("0001-01-08T00:00:00Z");
        assert_eq!(period(&[("until", "0001-01-08T00:00:00Z")]), Period { since: first, until: early });
        assert!(parse(&[("until", "0001-01-01T00:00:00Z")]).is_err());
    }

    #[test]
    fn before_the_first_year_there_is_an_empty_period_that_stays_so() {
        let as_of = at("2026-05-02T10:30:00Z");
        let first = at("0001-01-01T00:00:00Z");
        let asked = Period { since: first, until: at("0001-01-20T12:00:00Z") }.aligned(as_of);
        assert_eq!(asked, Period { since: first, until: at("0001-02-01T00:00:00Z") });
        let nothing = Period { since: first, until: first };
        assert_eq!(asked.before(as_of), nothing);
        assert_eq!((nothing.aligned(as_of), nothing.before(as_of)), (nothing, nothing));
        let (from, until) = nothing.hours();
        assert_eq!(from, until);
        // As long as there is time for: it ends where the other begins.
        let second = Period { since: at("0001-02-01T00:00:00Z"), until: at("0002-01-01T00:00:00Z") };
        assert_eq!(second.before(as_of), Period { since: first, until: second.since });
        // Empty within a bucket that is kept as one, and at the end of time.
        for instant in [at("2025-02-10T05:00:00Z"), at("9999-12-31T23:59:59.999999Z")] {
            let Period { since, until } = Period { since: instant, until: instant }.aligned(as_of);
            assert_eq!(since, until);
        }
    }

    #[test]
    fn what_is_asked_wrongly_is_said() {
        let said = |pairs| parse(pairs).unwrap_err().to_string();
        insta::assert_snapshot!(said(&[("outcome", "failed")]), @"outcome is no filter of this answer; there are: log, workflow, version, namespace, incident_type, target_kind, since, until, minimum, by");
        insta::assert_snapshot!(said(&[("since", "1h"), ("until", "2h")]), @r#"until="2h": since must be before until: the period would be from 2026-05-02T09:30:00.000000Z to 2026-05-02T08:30:00.000000Z"#);
        for (name, value) in [
            ("minimum", "0"),
            ("minimum", "1000001"),
            ("minimum", "-1"),
            ("since", "yesterday"),
            ("until", ""),
            ("workflow", ""),
            ("log", ""),
            ("version", "a\0"),
        ] {
            assert!(matches!(parse(&[(name, value)]), Err(Unanswerable::Bad(_))), "{name}={value}");
        }
        assert!(matches!(parse(&[("by", "x"), ("by", "y")]), Err(Unanswerable::Bad(_))));
    }

    #[test]
    fn an_empty_text_asks_for_those_that_have_none() {
        let question = parse(&[("namespace", ""), ("version", ""), ("by", "version")]).unwrap();
        assert_eq!(question.filters.namespace.as_deref(), Some(""));
        assert_eq!((question.filters.workflow, question.minimum), (None, 5));
        assert_eq!(question.period.until.micros_since(question.period.since), 28 * DAY);
    }
}
