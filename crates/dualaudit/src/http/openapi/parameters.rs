//! What calls are given: each parameter with its rule and an example. Formats are named where a pattern cannot say it.

use serde_json::{Value, json};

use crate::query::PHASES;

/// One parameter of a path, a query string, or a header.
#[derive(Clone)]
pub(in crate::http) struct Parameter {
    name: &'static str,
    place: &'static str,
    description: String,
    is_required: bool,
    schema: Value,
    example: Value,
}

impl Parameter {
    fn new(place: &'static str, name: &'static str, rule: &str, schema: Value, example: Value) -> Self {
        let is_required = place == "path";
        Self { name, place, description: rule.to_owned(), is_required, schema, example }
    }

    /// One that must be given.
    pub(in crate::http) fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// What it is called.
    pub(in crate::http) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn said(&self) -> Value {
        let Self { name, place, description, is_required, schema, example } = self;
        json!({
            "name": name,
            "in": place,
            "description": description,
            "required": is_required,
            "schema": schema,
            "example": example,
        })
    }
}

/// Part of a query string.
pub(in crate::http) fn query(
    name: &'static str,
    rule: &str,
    schema: Value,
    example: impl Into<Value>,
) -> Parameter {
    Parameter::new("query", name, rule, schema, example.into())
}

/// Part of a path.
pub(in crate::http) fn path(
    name: &'static str,
    rule: &str,
    schema: Value,
    example: impl Into<Value>,
) -> Parameter {
    Parameter::new("path", name, rule, schema, example.into())
}

/// A header.
pub(in crate::http) fn header(
    name: &'static str,
    rule: &str,
    schema: Value,
    example: impl Into<Value>,
) -> Parameter {
    Parameter::new("header", name, rule, schema, example.into())
}

/// A text that is not empty.
pub(in crate::http) fn text() -> Value {
    json!({"type": "string", "pattern": r"^[^\u0000]+$"})
}

/// A text, where an empty one asks for those that have none.
pub(in crate::http) fn text_or_empty() -> Value {
    json!({"type": "string", "pattern": r"^[^\u0000]*$"})
}

/// One of these names.
pub(in crate::http) fn one_of(names: &[&str]) -> Value {
    json!({"type": "string", "enum": names})
}

/// Whole numbers up to this one.
pub(in crate::http) fn whole(most: u32, default: impl Into<Option<u32>>) -> Value {
    let mut schema = json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": most});
    if let Some(default) = default.into() {
        schema["default"] = json!(default);
    }
    schema
}

/// An instant, or how long ago.
pub(in crate::http) fn time(name: &'static str, what: &str, example: &str) -> Parameter {
    let rule = format!("{what} An RFC 3339 time, or a time ago such as `90s`, `15m`, `24h` or `7d`.");
    query(name, &rule, json!({"type": "string", "format": "time-or-age"}), example)
}

/// A duration.
pub(in crate::http) fn duration(name: &'static str, what: &str, example: &str) -> Parameter {
    let rule =
        format!("{what} A duration such as `250ms`, `90s` or `1h30m`, or whole nanoseconds, below 2^53.");
    query(name, &rule, json!({"type": "string", "format": "duration-or-nanoseconds"}), example)
}

/// A day.
pub(in crate::http) fn day(name: &'static str, what: &str) -> Parameter {
    query(name, what, json!({"type": "string", "format": "date"}), "2026-05-01")
}

/// How many items a page has.
pub(in crate::http) fn limit(most: u32, default: u32) -> Parameter {
    query("limit", "How many items at most; a page ends early where they are large.", whole(most, default), 5)
}

/// Where to go on.
pub(in crate::http) fn cursor() -> Parameter {
    let rule = "The `next_cursor` of the page before, exactly as it was given, with the same filters.";
    query("cursor", rule, json!({"type": "string", "format": "cursor"}), "eyJ2ZXJzaW9uIjoxfQ")
}

/// The log, where an id is in several.
pub(in crate::http) fn log() -> Parameter {
    query("log", "The log it is in; needed where its id is in several.", json!({"type": "string"}), "http")
}

/// A log of those there are.
pub(in crate::http) fn log_there_is() -> Parameter {
    query("log", "One log; all unless given.", json!({"type": "string"}), "http")
}

/// The attempt.
pub(in crate::http) fn attempt() -> Parameter {
    query("attempt", "Which attempt of it; the latest unless given.", whole(i32::MAX as u32, None), 1)
}

/// An execution's id in a path.
pub(in crate::http) fn id() -> Parameter {
    let schema = json!({"type": "string", "minLength": 1});
    path("id", "Its id, percent-encoded.", schema, "run-1")
}

/// A log's name in a path.
pub(in crate::http) fn log_in_path() -> Parameter {
    path("log", "The log's name.", json!({"type": "string", "minLength": 1}), "http")
}

/// What a list of executions may be narrowed by.
pub(in crate::http) fn filters() -> Vec<Parameter> {
    vec![
        query("workflow", "The workflow's name.", text(), "restart-deployment"),
        query("version", "Its version; empty: those that have none.", text_or_empty(), "v1.2.0"),
        query("outcome", "How it turned out.", one_of(&["success", "failed", "partial"]), "failed"),
        query(
            "status",
            "How it ended.",
            one_of(&["completed", "failed", "cancelled", "timed_out", "deleted"]),
            "timed_out",
        ),
        query("log", "The log it is in.", text(), "http"),
        query("cluster", "The cluster it ran in, as the record says.", text(), "production"),
        query("namespace", "The resource's namespace; empty: those that have none.", text_or_empty(), "shop"),
        query("name", "The resource's name; empty: those that have none.", text_or_empty(), "web-1"),
        query(
            "remediation_id",
            "What it set out to remediate; empty: those that do not say.",
            text_or_empty(),
            "rem-1",
        ),
        query(
            "incident_type",
            "The kind of incident; empty: those that do not say.",
            text_or_empty(),
            "OOMKilled",
        ),
        query(
            "target",
            "What it worked on: `NAME` or `KIND/NAME`.",
            json!({"type": "string", "pattern": r"^[^/\u0000]+(/[^\u0000]+)?$"}),
            "Deployment/web",
        ),
        query(
            "target_kind",
            "The kind of what it worked on; empty: those that do not say.",
            text_or_empty(),
            "Deployment",
        ),
        query(
            "labels",
            "A label selector of Kubernetes: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, with commas \
             between; at most 32, of at most 100 values each.",
            json!({"type": "string", "format": "label-selector"}),
            "team=payments,tier!=test",
        ),
        time("since", "Created then or later.", "24h"),
        time("until", "Created before then.", "2026-05-01T12:00:00Z"),
        time("completed_since", "Ended then or later.", "7d"),
        time("completed_until", "Ended before then.", "2026-05-01T12:00:00Z"),
        duration("min_duration", "It took that long or longer.", "90s"),
        duration("max_duration", "It took that long or less.", "1h30m"),
        query("min_score", "Its effectiveness is that or more.", score(), 0.5),
        query("max_score", "Its effectiveness is that or less.", score(), 0.9),
        query(
            "counted",
            "Only those that the rates of learning are of: the last attempt of each in its log, unless it was cancelled or \
             deleted.",
            json!({"type": "string", "enum": ["true"]}),
            "true",
        ),
        query(
            "review",
            "What was said of it: nothing, anything, or what the newest verdict is.",
            one_of(&["none", "any", "effective", "ineffective", "harmful"]),
            "none",
        ),
    ]
}

/// What is on one side alone, and in which phase.
pub(in crate::http) fn sides() -> [Parameter; 2] {
    let tiers = "Only what is there; what is live and recorded is in both.";
    [
        query("phase", "The phase that it is in, or ended in.", one_of(&PHASES), "Executing"),
        query("tier", tiers, one_of(&["live", "stored"]), "live"),
    ]
}

/// Whether all are counted.
pub(in crate::http) fn count() -> Parameter {
    let schema = json!({"type": "string", "enum": ["true", "false"], "default": "false"});
    query("count", "Say how many there are in all.", schema, "true")
}

fn score() -> Value {
    json!({"type": "number", "minimum": 0, "maximum": 1})
}
