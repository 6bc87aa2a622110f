//! What a list is asked with: the parameters of the API, which are the flags of the command line.

use std::collections::BTreeMap;

use dualaudit_record::Time;

use super::{Tier, cursor::Question, selector};
use crate::{
    parameter::{BadParameter, nanoseconds, one_of, reject_repeats, text, time, whole},
    store::{Cursor, Filter, Reviews},
};

/// How many items a page has when nothing is said.
pub const DEFAULT_LIMIT: u32 = 100;

/// How many items a page may have.
pub const MAX_LIMIT: u32 = 1000;

const NAMES: &str = "workflow, version, outcome, status, phase, log, cluster, namespace, name, remediation_id, \
    incident_type, target, target_kind, labels, since, until, completed_since, completed_until, min_duration, max_duration, min_score, max_score, \
    review, tier, counted, count, cursor and limit";

/// The phases that a resource may be in, and what is said of one that was deleted before it ended.
pub const PHASES: [&str; 12] = [
    "Pending",
    "Planning",
    "Validating",
    "Executing",
    "Paused",
    "RollingBack",
    "Monitoring",
    "Completed",
    "Failed",
    "Cancelled",
    "TimedOut",
    "Deleted",
];

/// One page of one list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListRequest {
    /// What to list.
    pub filter: Filter,
    /// Only what is in this phase.
    pub phase: Option<String>,
    /// Only what is there; what is live and recorded is in both.
    pub tier: Option<Tier>,
    /// Say how many there are in all.
    pub count: bool,
    /// The row to go on after.
    pub after: Option<Cursor>,
    /// From 1 to [`MAX_LIMIT`].
    pub limit: u32,
    pub(super) question: Question,
}

impl ListRequest {
    /// Reads names and values as they stand in a query string. Relative times are counted from
    /// `now`, or from when the list's first page was asked for.
    ///
    /// # Errors
    /// The first parameter that is unknown, given twice, or out of its bounds.
    pub fn parse(pairs: &[(String, String)], now: Time) -> Result<Self, BadParameter> {
        reject_repeats(pairs)?;
        let filters = pairs.iter().filter(|(name, _)| name != "cursor" && name != "limit");
        let mut question =
            Question::new(filters.map(|(name, value)| (name.as_str(), value.as_str())).collect(), now);
        // The cursor comes first: it says from when relative times are counted.
        let after = match pairs.iter().find(|(name, _)| name == "cursor") {
            Some((name, value)) => {
                Some(question.resume(value).map_err(|rule| BadParameter::new(name, value, rule))?)
            }
            None => None,
        };
        let mut request = Self {
            filter: Filter::default(),
            phase: None,
            tier: None,
            count: false,
            after,
            limit: DEFAULT_LIMIT,
            question,
        };
        for (name, value) in pairs {
            request.set(name, value).map_err(|rule| BadParameter::new(name, value, rule))?;
        }
        Ok(request)
    }

    /// The filters as they were asked for, with instants where times are: `cursor` and `limit` are not among them.
    pub fn asked(&self, pairs: &[(String, String)]) -> BTreeMap<String, String> {
        let filters = pairs.iter().filter(|(name, _)| name != "cursor" && name != "limit");
        let mut asked: BTreeMap<String, String> = filters.cloned().collect();
        for (name, time) in [
            ("since", self.filter.since),
            ("until", self.filter.until),
            ("completed_since", self.filter.completed_since),
            ("completed_until", self.filter.completed_until),
        ] {
            if let Some(time) = time {
                asked.insert(name.to_owned(), time.to_string());
            }
        }
        asked
    }

    /// Reads what is asked of the records alone, as [`Self::parse`] does.
    ///
    /// # Errors
    /// Those of [`Self::parse`]; parameters of lists that records alone do not have.
    pub fn of_records(pairs: &[(String, String)], now: Time) -> Result<Self, BadParameter> {
        const OF_LISTS: [&str; 3] = ["phase", "tier", "count"];
        if let Some((name, value)) = pairs.iter().find(|(name, _)| OF_LISTS.contains(&name.as_str())) {
            return Err(BadParameter::new(
                name,
                value,
                "is for lists of executions; ask for a status instead",
            ));
        }
        Self::parse(pairs, now)
    }

    /// Reads what somebody asks who follows both sides, as [`Self::parse`] does.
    ///
    /// # Errors
    /// Those of [`Self::parse`]; parameters that only pages have.
    pub fn of_watch(pairs: &[(String, String)], now: Time) -> Result<Self, BadParameter> {
        const OF_PAGES: [&str; 5] = ["review", "counted", "count", "cursor", "limit"];
        if let Some((name, value)) = pairs.iter().find(|(name, _)| OF_PAGES.contains(&name.as_str())) {
            return Err(BadParameter::new(name, value, "is for pages of a list, and a stream has none"));
        }
        Self::parse(pairs, now)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if value.contains('\0') {
            return Err("must not contain U+0000".into());
        }
        let filter = &mut self.filter;
        let asked_at = self.question.asked_at;
        match name {
            "workflow" => filter.workflow = text(value)?,
            // Versions and remediation ids may be empty, so that is something to ask for.
            "version" => filter.version = Some(value.to_owned()),
            "remediation_id" => filter.remediation_id = Some(value.to_owned()),
            "outcome" => filter.outcome = Some(one_of(value, "success, failed or partial")?),
            "status" => {
                filter.status = Some(one_of(value, "completed, failed, cancelled, timed_out or deleted")?);
            }
            "log" => filter.log = text(value)?,
            "cluster" => filter.cluster = text(value)?,
            // Where none is given, that is something to ask for, too.
            "namespace" => filter.namespace = Some(value.to_owned()),
            "incident_type" => filter.incident_type = Some(value.to_owned()),
            "target_kind" => filter.target_kind = Some(value.to_owned()),
            "target" => filter.target = target(value)?,
            "labels" => filter.labels = selector::parse(value)?,
            "since" => filter.since = Some(time(value, asked_at)?),
            "until" => filter.until = Some(time(value, asked_at)?),
            "completed_since" => filter.completed_since = Some(time(value, asked_at)?),
            "completed_until" => filter.completed_until = Some(time(value, asked_at)?),
            "min_duration" => filter.min_duration = Some(nanoseconds(value)?),
            "max_duration" => filter.max_duration = Some(nanoseconds(value)?),
            "min_score" => filter.min_score = Some(score(value)?),
            "max_score" => filter.max_score = Some(score(value)?),
            "counted" => filter.counted = counted(value)?,
            "name" => filter.name = Some(value.to_owned()),
            "review" => filter.review = Some(review(value)?),
            "phase" => self.phase = Some(phase(value)?),
            "tier" => self.tier = Some(one_of(value, "live or stored")?),
            "count" => {
                self.count = value.parse().map_err(|_| "must be true or false".to_owned())?;
            }
            "limit" => {
                self.limit = whole(value, MAX_LIMIT)?;
            }
            "cursor" => {}
            _ => return Err(format!("is no parameter of this list; known are {NAMES}")),
        }
        Ok(())
    }
}

fn target(value: &str) -> Result<Option<String>, String> {
    match value.split_once('/') {
        Some(("", _) | (_, "")) => Err("must be KIND/NAME or NAME, none of them empty".into()),
        _ => text(value),
    }
}

fn counted(value: &str) -> Result<bool, String> {
    // The others alone are nothing that an answer counts, and all together are what is listed without it.
    if value == "true" { Ok(true) } else { Err("must be true; leave it out to list all".into()) }
}

fn review(value: &str) -> Result<Reviews, String> {
    match value {
        "none" => Ok(Reviews::None),
        "any" => Ok(Reviews::Any),
        _ => one_of(value, "none, any, effective, ineffective or harmful").map(Reviews::Said),
    }
}

fn phase(value: &str) -> Result<String, String> {
    let phase = PHASES.iter().find(|phase| phase.eq_ignore_ascii_case(value));
    phase.map(|&phase| phase.to_owned()).ok_or_else(|| format!("must be one of {}", PHASES.join(", ")))
}

fn score(value: &str) -> Result<f64, String> {
    let number: Option<f64> = value.parse().ok();
    number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| "must be a number from 0 to 1".into())
}

#[cfg(test)]
mod tests {
    use dualaudit_record::{
        entry::Verdict,
        execution::{Outcome, Status},
    };

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<ListRequest, BadParameter> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        ListRequest::parse(&pairs, "2026-05-02T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_parameter_narrows_the_filter() {
        let request = parse(&[
            ("workflow", "restart"),
            ("version", ""),
            ("outcome", "partial"),
            ("status", "timed_out"),
            ("log", "http"),
            ("cluster", "prod"),
            ("namespace", "shop"),
            ("remediation_id", "r-1"),
            ("incident_type", "oom"),
            ("target", "Deployment/web"),
            ("target_kind", ""),
            ("labels", "team=a"),
            ("since", "24h"),
            ("until", "2026-05-01T12:00:00+02:00"),
            ("completed_since", "48h"),
            ("completed_until", "2026-05-01T12:00:00Z"),
            ("min_duration", "1m30s"),
            ("max_duration", "2000000000000"),
            ("min_score", "0.25"),
            ("max_score", "1"),
            ("counted", "true"),
            ("name", "web-1"),
            ("review", "harmful"),
            ("phase", "executing"),
            ("tier", "live"),
            ("count", "true"),
            ("limit", "7"),
        ])
        .unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = Filter {
            workflow: text("restart"),
            version: text(""),
            outcome: Some(Outcome::Partial),
            status: Some(Status::TimedOut),
            log: text("http"),
            cluster: text("prod"),
            namespace: text("shop"),
            remediation_id: text("r-1"),
            incident_type: text("oom"),
            target: text("Deployment/web"),
            target_kind: text(""),
            labels: selector::parse("team=a").unwrap(),
            since: Some("2026-05-01T00:00:00Z".parse().unwrap()),
            until: Some("2026-05-01T10:00:00Z".parse().unwrap()),
            completed_since: Some("2026-04-30T00:00:00Z".parse().unwrap()),
            completed_until: Some("2026-05-01T12:00:00Z".parse().unwrap()),
            min_duration: Some(90_000_000_000),
            max_duration: Some(2_000_000_000_000),
            min_score: Some(0.25),
            max_score: Some(1.0),
            counted: true,
            name: text("web-1"),
            review: Some(Reviews::Said(Verdict::Harmful)),
            within: None,
        };
        assert_eq!(
            (request.phase.as_deref(), request.tier, request.count),
            (Some("Executing"), Some(Tier::Live), true)
        );
        assert_eq!((request.filter, request.limit, request.after), (expected, 7, None));
    }

    #[test]
    fn an_error_names_the_parameter_the_value_and_what_is_allowed() {
        let error = |name, value| parse(&[(name, value)]).unwrap_err().to_string();
        insta::assert_snapshot!(error("limit", "1001"), @r#"limit="1001": must be a whole number from 1 to 1000"#);
        insta::assert_snapshot!(error("outcome", "good"), @r#"outcome="good": must be success, failed or partial"#);
        insta::assert_snapshot!(error("since", "yesterday"), @r#"since="yesterday": must be an RFC 3339 time such as 2026-05-01T12:00:00Z, or a time ago such as 90s, 15m, 24h or 7d"#);
        insta::assert_snapshot!(error("colour", "red"), @r#"colour="red": is no parameter of this list; known are workflow, version, outcome, status, phase, log, cluster, namespace, name, remediation_id, incident_type, target, target_kind, labels, since, until, completed_since, completed_until, min_duration, max_duration, min_score, max_score, review, tier, counted, count, cursor and limit"#);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for (name, value) in [
            ("limit", "0"),
            ("limit", "+5"),
            ("limit", ""),
            ("workflow", ""),
            ("version", "a\0"),
            ("status", "Completed"),
            ("min_duration", "-5"),
            ("min_duration", "9007199254740992"),
            ("max_duration", "10x"),
            ("max_duration", "m"),
            ("max_duration", "1.s.5m"),
            ("max_duration", "999999999999d"),
            ("min_score", "1.01"),
            ("max_score", "NaN"),
            ("counted", "false"),
            ("until", "2026-05-01"),
            ("labels", "a=("),
            ("target", "/"),
            ("target", "Pod/"),
            ("cursor", "nonsense"),
        ] {
            assert!(parse(&[(name, value)]).is_err(), "{name}={value}");
        }
        let twice = parse(&[("log", "a"), ("log", "a")]).unwrap_err();
        assert_eq!(twice.to_string(), r#"log="a": is given twice; give it once"#);
    }

    #[test]
    fn a_relative_time_means_the_same_instant_on_every_page() {
        let first = parse(&[("since", "1h")]).unwrap();
        let place =
            Cursor { created_at: first.question.asked_at, log: "a".into(), id: "b".into(), attempt: 1 };
        let pairs =
            [("since".to_owned(), "1h".to_owned()), ("cursor".to_owned(), first.question.cursor(&place))];
        let later = ListRequest::parse(&pairs, "2026-06-01T00:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(later.filter, first.filter);
        assert_eq!(later.after, Some(place));
    }
}
