use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Invalid, MAX_RECORD_BYTES, SERVER_FIELDS, Submitted};
use crate::{
    Time, WorkflowExecutionAudit,
    canonical::canonical,
    execution::{Outcome, ScoreSource},
    testing::{derived, now, plain_json, plain_record, record},
};

/// The plain record with the value at `pointer` replaced, added, or (`None`) removed.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut json = plain_json();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    json
}

fn validate(json: Value) -> Result<WorkflowExecutionAudit, Invalid> {
    Submitted::from_value(json)?.validate(now())
}

#[test]
fn a_producer_that_knows_only_the_specification_is_enough() {
    let record = plain_record();
    assert_eq!(record.attempt, 1);
    assert_eq!(record.score_source, ScoreSource::Reported);
    assert_eq!(record.created_at.to_string(), "2025-06-01T09:58:30.250000Z");
}

#[test]
fn what_breaks_a_rule_is_refused_by_field_and_rule() {
    let long = "é".repeat(127); // 254 bytes
    let table = [
        ("/id", None, "id: is required"),
        ("/id", Some(json!("")), "id: must not be empty"),
        ("/id", Some(json!("a\nb")), "id: must not contain control characters; found U+000A"),
        ("/id", Some(json!("a\u{85}")), "id: must not contain control characters; found U+0085"),
        ("/id", Some(json!(long)), "id: has 254 bytes; at most 253 are taken"),
        ("/attempt", Some(json!(0)), "attempt: must be from 1 to 2^31 - 1; found 0"),
        ("/attempt", Some(json!(1_u64 << 31)), "attempt: must be from 1 to 2^31 - 1; found 2147483648"),
        ("/remediation_id", None, "remediation_id: is required"),
        ("/remediation_id", Some(json!(long)), "remediation_id: has 254 bytes"),
        ("/workflow_name", None, "workflow_name: is required"),
        ("/workflow_name", Some(json!("")), "workflow_name: must not be empty"),
        ("/workflow_version", None, "workflow_version: is required"),
        ("/workflow_version", Some(json!("a\0")), "workflow_version: must not contain U+0000; found one at"),
        ("/total_steps", None, "total_steps: is required"),
        ("/total_steps", Some(json!(-1)), "total_steps: must be a count from 0 to 2^31 - 1; found -1"),
        (
            "/total_steps",
            Some(json!(1_u64 << 31)),
            "total_steps: must be a count from 0 to 2^31 - 1; found 2",
        ),
        ("/steps_completed", None, "steps_completed: is required"),
        ("/steps_completed", Some(json!(2)), "steps_completed: 2 and steps_failed 1 are more than total_s"),
        ("/steps_failed", None, "steps_failed: is required"),
        ("/total_duration", None, "total_duration: is required"),
        ("/total_duration", Some(json!(-1)), "total_duration: must be nanoseconds from 0 to 2^53 - 1"),
        ("/total_duration", Some(json!(1_u64 << 53)), "total_duration: must be nanoseconds from 0 to 2^53"),
        ("/outcome", Some(json!("Success")), "outcome: must be one of success, failed, partial; found \"Suc"),
        (
            "/effectiveness_score",
            Some(json!(1.1)),
            "effectiveness_score: must be a number from 0 to 1; found",
        ),
        ("/effectiveness_score", Some(json!(-0.1)), "effectiveness_score: must be a number from 0 to 1; fou"),
        ("/rollbacks_performed", None, "rollbacks_performed: is required"),
        ("/completed_at", None, "completed_at: is required"),
        ("/completed_at", Some(json!("0001-01-01T00:00:00Z")), "completed_at: is Go's zero time"),
        ("/completed_at", Some(json!("0001-01-01T02:00:00+02:00")), "completed_at: is Go's zero time"),
        ("/completed_at", Some(json!("2025-06-02T12:00:00.000001Z")), "completed_at: is more than 24 hours"),
        ("/started_at", Some(json!("2025-06-03T12:00:00Z")), "started_at: is more than 24 hours ahead"),
        ("/created_at", Some(json!("2025-06-03T12:00:00Z")), "created_at: is more than 24 hours ahead"),
        ("/id", Some(json!(".")), "id: must not be . or .."),
        ("/id", Some(json!("..")), "id: must not be . or .."),
        ("/status", None, "status: is required"),
        (
            "/status",
            Some(json!("")),
            "status: must be one of completed, failed, cancelled, timed_out, deleted",
        ),
        ("/error_message", Some(json!("\0")), "error_message: must not contain U+0000"),
        ("/cluster", Some(json!(long)), "cluster: has 254 bytes"),
        ("/namespace", Some(json!(long)), "namespace: has 254 bytes"),
        ("/name", Some(json!(long)), "name: has 254 bytes"),
        ("/incident_type", Some(json!(long)), "incident_type: has 254 bytes"),
        ("/queued_duration", Some(json!(-1)), "queued_duration: must be nanoseconds"),
        ("/source", Some(json!({"kind": "Job"})), "source.api_version: is required"),
        ("/source", Some(json!({"api_version": "v1", "kind": "Job"})), "source.uid: is required"),
        ("/target", Some(json!({"name": long})), "target.name: has 254 bytes"),
        ("/labels", Some(json!({"a": "\0"})), r#"labels["a"]: must not contain U+0000"#),
        ("/labels", Some(json!({"a\0": ""})), r#"labels["a\0"]: must not contain U+0000"#),
        ("/labels", Some(json!({"a": long})), r#"labels["a"]: has 254 bytes"#),
        ("/labels", Some(json!({&long: "a"})), "labels["),
        ("/step_executions/1/step_number", None, "step_executions[1].step_number: is required"),
        ("/step_executions/1/action", None, "step_executions[1].action: is required"),
        ("/step_executions/1/action", Some(json!(long)), "step_executions[1].action: has 254 bytes"),
        ("/step_executions/0/duration", None, "step_executions[0].duration: is required"),
        ("/step_executions/0/duration", Some(json!(-1)), "step_executions[0].duration: must be nanoseconds"),
        ("/step_executions/0/status", Some(json!("done")), "step_executions[0].status: must be one of pend"),
        ("/step_executions/0/retries_attempted", None, "step_executions[0].retries_attempted: is required"),
        ("/step_executions/0/error_message", Some(json!("\0")), "step_executions[0].error_message: must not"),
        ("/step_executions/0/name", Some(json!(long)), "step_executions[0].name: has 254 bytes"),
        ("/step_executions/0/started_at", Some(json!("2026-01-01T00:00:00Z")), "step_executions[0].started_"),
        ("/adaptive_adjustments/0/step_number", None, "adaptive_adjustments[0].step_number: is required"),
        ("/adaptive_adjustments/0/adjustment_type", Some(json!("")), "adaptive_adjustments[0].adjustment_ty"),
        ("/adaptive_adjustments/0/reason", None, "adaptive_adjustments[0].reason: is required"),
        ("/adaptive_adjustments/0/timestamp", None, "adaptive_adjustments[0].timestamp: is required"),
        (
            "/adaptive_adjustments/0/timestamp",
            Some(json!("0001-01-01T00:00:00Z")),
            "adaptive_adjustments[0].",
        ),
        ("/adaptive_adjustments/0/from", Some(json!("\0")), "adaptive_adjustments[0].from: must not contain"),
    ];
    for (pointer, value, expected) in table {
        let error = validate(with(pointer, value)).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{pointer}\n{error}\n{expected}");
    }
}

#[test]
fn limits_can_be_reached() {
    let most = (1_u64 << 31) - 1;
    let name = "é".repeat(126) + "x"; // 253 bytes
    for (pointer, value) in [
        ("/id", json!(name)),
        ("/workflow_name", json!(name)),
        ("/remediation_id", json!("")),
        ("/workflow_version", json!("")),
        ("/attempt", json!(most)),
        ("/total_steps", json!(most)),
        ("/total_duration", json!((1_u64 << 53) - 1)),
        ("/completed_at", json!("2025-06-02T12:00:00Z")),
        ("/labels", json!({&name: name})),
        ("/step_executions/0/action", json!("")),
        ("/step_executions", Value::Null),
        ("/effectiveness_score", json!(1)),
        ("/error_message", json!("x".repeat(1_000_000))),
    ] {
        validate(with(pointer, Some(value))).unwrap();
    }
}

#[test]
fn empty_values_of_go_mean_not_given() {
    let zero = "0001-01-01T00:00:00Z";
    let mut json = plain_json();
    let empty = json!({
        "cluster": "", "namespace": "", "name": "", "incident_type": "", "started_at": zero, "created_at": zero,
        "source": {"api_version": "", "kind": "", "uid": ""},
        "target": {"api_version": "", "kind": "", "namespace": "", "name": ""},
        "labels": null, "outcome": "", "effectiveness_score": 0,
    });
    json.as_object_mut().unwrap().extend(empty.as_object().unwrap().clone());
    json["step_executions"][0]["name"] = json!("");
    json["step_executions"][0]["started_at"] = json!(zero);
    json["adaptive_adjustments"][0]["from"] = json!("");
    assert_eq!(validate(json).unwrap(), derived(plain_record()));
}

#[test]
fn an_outcome_and_a_score_are_derived_only_where_none_is_given() {
    use {Outcome::*, ScoreSource::*};
    // Derived are `partial` and 1/2 − 0.05 for a retry.
    let table = [
        (json!("failed"), json!(0.25), Failed, 0.25, Reported),
        (json!("failed"), json!(0), Failed, 0.0, Reported),
        (json!("failed"), json!(-0.0), Failed, 0.0, Reported),
        (json!("success"), Value::Null, Success, 0.5, Derived),
        (json!("failed"), Value::Null, Failed, 0.45, Derived),
        (json!(""), json!(0), Partial, 0.45, Derived),
        (Value::Null, json!(-0.0), Partial, 0.45, Derived),
        (Value::Null, json!(0.75), Partial, 0.75, Reported),
        (Value::Null, Value::Null, Partial, 0.45, Derived),
    ];
    for (outcome, score, expected, worth, from) in table {
        let mut json = plain_json();
        json["outcome"] = outcome.clone();
        json["effectiveness_score"] = score.clone();
        let record = validate(json).unwrap();
        assert_eq!(record.outcome, expected, "{outcome} {score}");
        assert_eq!(record.effectiveness_score.to_bits(), f64::to_bits(worth), "{outcome} {score}");
        assert_eq!(record.score_source, from, "{outcome} {score}");
    }
}

#[test]
fn creation_is_the_nearest_thing_known() {
    let time = |text: &str| text.parse::<Time>().unwrap();
    let mut json = plain_json();
    json["total_duration"] = json!(1_500);
    assert_eq!(validate(json.clone()).unwrap().created_at, time("2025-06-01T10:00:00.249998Z"));
    json["started_at"] = json!("2025-06-01T09:00:00Z");
    assert_eq!(validate(json.clone()).unwrap().created_at, time("2025-06-01T09:00:00Z"));
    json["created_at"] = json!("2025-06-01T08:00:00Z");
    assert_eq!(validate(json).unwrap().created_at, time("2025-06-01T08:00:00Z"));
}

#[test]
fn a_score_that_is_no_number_is_refused() {
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let plain = Submitted::from_value(plain_json()).unwrap();
        let error = Submitted { effectiveness_score: Some(score), ..plain }.validate(now()).unwrap_err();
        assert_eq!(error.field, "effectiveness_score");
    }
}

#[test]
fn a_record_may_have_two_mebibytes_of_canonical_json_and_no_byte_more() {
    let empty = canonical(&validate(with("/error_message", Some(json!("x")))).unwrap()).len() - 1;
    let sized = |bytes: usize| validate(with("/error_message", Some(json!("x".repeat(bytes - empty)))));
    assert_eq!(canonical(&sized(MAX_RECORD_BYTES).unwrap()).len(), MAX_RECORD_BYTES);
    let error = sized(MAX_RECORD_BYTES + 1).unwrap_err();
    assert_eq!(error.to_string(), "(record): has 2097153 bytes of JSON; at most 2097152 are taken");
}

/// The record as a producer would have sent it.
fn sent(record: &WorkflowExecutionAudit) -> Value {
    let mut json = serde_json::to_value(record).unwrap();
    json.as_object_mut().unwrap().retain(|key, _| !SERVER_FIELDS.contains(&key.as_str()));
    json
}

proptest! {
    #[test]
    fn a_record_sent_again_is_the_same_record(record in record()) {
        // A score of 0 can't be told from none beside no outcome, but an outcome is always there.
        let json = sent(&record);
        prop_assert_eq!(Submitted::from_json(&canonical(&json)).unwrap(),
            Submitted::from_value(json.clone()).unwrap());
        prop_assert_eq!(Submitted::from_value(json).unwrap().validate(now()).unwrap(), record);
    }

    #[test]
    fn a_record_comes_back_from_its_canonical_bytes(record in record()) {
        let bytes = canonical(&record);
        let back: WorkflowExecutionAudit = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(canonical(&back), bytes);
        prop_assert_eq!(back, record);
    }

    #[test]
    fn derived_values_are_whole_millionths_and_survive_json(record in record()) {
        let record = derived(record);
        let mut json = sent(&record);
        json["outcome"] = Value::Null;
        json["effectiveness_score"] = Value::Null;
        prop_assert_eq!(&validate(json).unwrap(), &record);
        let millionths = (record.effectiveness_score * 1e6).round();
        prop_assert_eq!(millionths / 1e6, record.effectiveness_score);
    }

    #[test]
    fn no_json_makes_the_reader_panic(text in "\\PC{0,64}") {
        let _ = Submitted::from_json(text.as_bytes());
    }
}
