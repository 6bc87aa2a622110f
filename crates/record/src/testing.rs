//! Records for tests: one that is known by heart, and any valid one.

use std::collections::BTreeMap;

use proptest::{collection, option, prelude::*, sample::select};

use crate::{
    Time, WorkflowExecutionAudit,
    derive::{self, Work},
    execution::{
        AdaptiveAdjustment, AdjustmentType, Outcome, ScoreSource, Source, Status, StepExecutionAudit,
        StepStatus, Target,
    },
    submitted::{MAX_COUNT, MAX_DURATION},
};

/// The server's clock in tests.
pub(crate) fn now() -> Time {
    "2025-06-01T12:00:00Z".parse().unwrap()
}

/// What a producer sends that knows the specification only.
pub(crate) fn plain_json() -> serde_json::Value {
    serde_json::json!({
        "id": "wf-1",
        "remediation_id": "rem-1",
        "workflow_name": "restart-and-scale",
        "workflow_version": "v2",
        "total_steps": 2,
        "steps_completed": 1,
        "steps_failed": 1,
        "total_duration": 90_000_000_000_u64,
        "outcome": "partial",
        "effectiveness_score": 0.4,
        "rollbacks_performed": 0,
        "step_executions": [
            {"step_number": 1, "action": "restart", "duration": 30_000_000_000_u64,
             "status": "completed", "retries_attempted": 1},
            {"step_number": 2, "action": "scale", "duration": 60_000_000_000_u64,
             "status": "failed", "retries_attempted": 0, "error_message": "quota"},
        ],
        "adaptive_adjustments": [
            {"step_number": 1, "adjustment_type": "timeout", "reason": "slow node",
             "timestamp": "2025-06-01T09:58:40Z"},
        ],
        "completed_at": "2025-06-01T10:00:00.25Z",
        "status": "failed",
        "error_message": "step 2 failed",
    })
}

/// Any text, with what JSON escapes and what sorts oddly; never U+0000.
fn text() -> impl Strategy<Value = String> {
    "[a-z0-9\"\\\\/,:{}\u{1}\u{1f}\u{7f}é€\u{fb33}\u{1f600}\\n]{0,24}"
}

fn some_text() -> impl Strategy<Value = Option<String>> {
    option::of(text().prop_filter("empty is not given", |text| !text.is_empty()))
}

fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._:/é-]{1,40}".prop_filter("a meaning in URLs", |id| id != "." && id != "..")
}

fn time() -> impl Strategy<Value = Time> {
    // From the year 1970 to 24 hours after `now`.
    (0..=1_748_865_600_000_000_i64).prop_map(|micros| Time::from_micros(micros).unwrap())
}

fn duration() -> impl Strategy<Value = u64> {
    prop_oneof![0..=MAX_DURATION, Just(0), Just(MAX_DURATION)]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..10_u32, 1 => 0..=MAX_COUNT]
}

fn step() -> impl Strategy<Value = StepExecutionAudit> {
    let status = select(StepStatus::ALL);
    (count(), text(), duration(), status, count(), text(), some_text(), option::of(time())).prop_map(
        |(step_number, action, duration, status, retries_attempted, error_message, name, started_at)| {
            StepExecutionAudit {
                step_number,
                action,
                duration,
                status,
                retries_attempted,
                error_message,
                name,
                started_at,
            }
        },
    )
}

fn adjustment() -> impl Strategy<Value = AdaptiveAdjustment> {
    (count(), select(AdjustmentType::ALL), text(), time(), some_text(), some_text()).prop_map(
        |(step_number, adjustment_type, reason, timestamp, from, to)| AdaptiveAdjustment {
            step_number,
            adjustment_type,
            reason,
            timestamp,
            from,
            to,
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    (text(), text(), id()).prop_map(|(api_version, kind, uid)| Source { api_version, kind, uid })
}

fn target() -> impl Strategy<Value = Target> {
    (some_text(), some_text(), some_text(), some_text())
        .prop_map(|(api_version, kind, namespace, name)| Target { api_version, kind, namespace, name })
        .prop_filter("empty is not given", |target| *target != Target::default())
}

/// Any valid record whose outcome and score a producer gave.
pub(crate) fn record() -> impl Strategy<Value = WorkflowExecutionAudit> {
    let names = (id(), 1..=MAX_COUNT, text(), id(), text());
    let counts = (0..=MAX_COUNT, any::<u32>(), any::<u32>(), count(), duration());
    let result = (select(Outcome::ALL), 0.0..=1.0_f64, select(Status::ALL), text());
    let lists = (collection::vec(step(), 0..6), collection::vec(adjustment(), 0..4));
    let times = (time(), time(), option::of(time()), option::of(duration()));
    let place = (some_text(), some_text(), some_text(), option::of(source()), some_text());
    let rest = (option::of(target()), collection::btree_map(text(), text(), 0..4));
    (names, counts, result, lists, times, place, rest).prop_map(
        |(names, counts, result, lists, times, place, rest)| {
            let (total_steps, completed, failed, rollbacks_performed, total_duration) = counts;
            let steps_completed = completed % (total_steps + 1);
            WorkflowExecutionAudit {
                id: names.0,
                attempt: names.1,
                remediation_id: names.2,
                workflow_name: names.3,
                workflow_version: names.4,
                total_steps,
                steps_completed,
                steps_failed: failed % (total_steps - steps_completed + 1),
                total_duration,
                outcome: result.0,
                effectiveness_score: result.1,
                score_source: ScoreSource::Reported,
                rollbacks_performed,
                step_executions: lists.0,
                adaptive_adjustments: lists.1,
                completed_at: times.0,
                status: result.2,
                error_message: result.3,
                created_at: times.1,
                cluster: place.0,
                namespace: place.1,
                name: place.2,
                source: place.3,
                started_at: times.2,
                queued_duration: times.3,
                incident_type: place.4,
                target: rest.0,
                labels: rest.1,
            }
        },
    )
}

/// The record with its outcome and score as they are derived.
pub(crate) fn derived(mut record: WorkflowExecutionAudit) -> WorkflowExecutionAudit {
    record.outcome = derive::outcome(&Work::from(&record));
    record.effectiveness_score = derive::score(&Work::from(&record), record.outcome);
    record.score_source = ScoreSource::Derived;
    record
}

/// The plain record, validated.
pub(crate) fn plain_record() -> WorkflowExecutionAudit {
    let submitted = crate::submitted::Submitted::from_value(plain_json()).unwrap();
    let record = submitted.validate(now()).unwrap();
    assert_eq!(record.labels, BTreeMap::new());
    record
}
