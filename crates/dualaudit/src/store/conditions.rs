//! What a filter asks of a row, column by column; each database has its own way to say it.

use dualaudit_record::Time;

use super::{Filter, LabelRequirement, Reach, Reviews, Within, names};

/// A statement that takes conditions, all of which must hold.
pub(super) trait Conditions {
    /// That a column compares so with a value.
    fn compare(&mut self, column: &str, comparison: &str, value: Compared<'_>);
    /// That a column holds no text.
    fn empty(&mut self, column: &str);
    /// That the labels meet a requirement.
    fn label(&mut self, requirement: &LabelRequirement);
    /// That the log has no later attempt of the execution, not even one that was purged.
    fn last_attempt(&mut self);
    /// What the newest verdict on the execution is.
    fn reviewed(&mut self, review: Reviews);
    /// That it may be read.
    fn within(&mut self, reach: &Reach);
    /// A condition that has no values.
    fn require(&mut self, condition: &str);
}

/// What a column is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Compared<'a> {
    Text(&'a str),
    Time(Time),
    Integer(i64),
    Real(f64),
}

/// Adds all that a filter asks for, but for its log: where in a statement that stands, each database
/// knows.
pub(super) fn narrow(conditions: &mut impl Conditions, filter: &Filter) {
    let texts = [
        ("remediation_id", filter.remediation_id.as_deref()),
        ("workflow_name", filter.workflow.as_deref()),
        ("workflow_version", filter.version.as_deref()),
        ("outcome", filter.outcome.map(names::outcome)),
        ("status", filter.status.map(names::status)),
        ("cluster", filter.cluster.as_deref()),
        ("namespace", filter.namespace.as_deref()),
        ("name", filter.name.as_deref()),
        ("incident_type", filter.incident_type.as_deref()),
        ("target_kind", filter.target_kind.as_deref()),
    ];
    for (column, value) in texts {
        match value {
            // What was not given is NULL, but for those two, which are always given.
            Some("") if !["remediation_id", "workflow_version"].contains(&column) => conditions.empty(column),
            Some(value) => conditions.compare(column, "=", Compared::Text(value)),
            None => {}
        }
    }
    // No duration is longer than the longest number that a database compares.
    let duration = |duration: u64| Compared::Integer(i64::try_from(duration).unwrap_or(i64::MAX));
    let numbers = [
        ("created_at", ">=", filter.since.map(Compared::Time)),
        ("created_at", "<", filter.until.map(Compared::Time)),
        ("completed_at", ">=", filter.completed_since.map(Compared::Time)),
        ("completed_at", "<", filter.completed_until.map(Compared::Time)),
        ("total_duration", ">=", filter.min_duration.map(duration)),
        ("total_duration", "<=", filter.max_duration.map(duration)),
        ("effectiveness_score", ">=", filter.min_score.map(Compared::Real)),
        ("effectiveness_score", "<=", filter.max_score.map(Compared::Real)),
    ];
    for (column, comparison, value) in numbers {
        if let Some(value) = value {
            conditions.compare(column, comparison, value);
        }
    }
    target(conditions, filter);
    for requirement in &filter.labels {
        conditions.label(requirement);
    }
    if filter.counted {
        conditions.require("status NOT IN ('cancelled', 'deleted')");
        conditions.last_attempt();
    }
    if let Some(review) = filter.review {
        conditions.reviewed(review);
    }
    if let Some(reach) = &filter.within {
        conditions.within(reach);
    }
}

/// The condition that a row's log is one that may be read whole, or that the row is of a namespace that may be read of its log.
/// `log` names the row's log, `bind` makes a parameter of a text, and `has` a condition of one that is a JSON object: by the
/// name of each namespace, since when it is what it is.
pub(super) fn may_be_read(
    reach: &Reach,
    log: &str,
    mut bind: impl FnMut(String) -> String,
    instant: impl Fn(Time) -> serde_json::Value,
    has: impl Fn(&str) -> String,
) -> String {
    let mut ways = Vec::new();
    for (name, within) in reach.logs() {
        let is_it = format!("{log} = {}", bind(name.to_owned()));
        ways.push(match within {
            Within::Whole => is_it,
            Within::Namespaces(since) => {
                let since: serde_json::Map<_, _> =
                    since.iter().map(|(name, since)| (name.clone(), instant(*since))).collect();
                format!("{is_it} AND {}", has(&bind(serde_json::Value::Object(since).to_string())))
            }
        });
    }
    if ways.is_empty() { "FALSE".to_owned() } else { format!("({})", ways.join(" OR ")) }
}

/// The condition that the newest verdict is so, where `newest` selects it.
pub(super) fn verdict_is(review: Reviews, newest: &str) -> String {
    match review {
        Reviews::None => format!("{newest} IS NULL"),
        Reviews::Any => format!("{newest} IS NOT NULL"),
        Reviews::Said(verdict) => format!("{newest} = '{}'", verdict.as_str()),
    }
}

fn target(conditions: &mut impl Conditions, filter: &Filter) {
    let Some(target) = &filter.target else { return };
    let name = match target.split_once('/') {
        None => target,
        Some((kind, name)) => {
            conditions.compare("target_kind", "=", Compared::Text(kind));
            name
        }
    };
    conditions.compare("target_name", "=", Compared::Text(name));
}
