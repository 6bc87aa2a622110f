//! What is seen of an object, as tables over JSON.

use dualaudit_record::{
    WorkflowExecutionAudit,
    execution::{Outcome, ScoreSource, StepStatus},
};
use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::source::FINALIZER;

fn now() -> Time {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn at(text: &str) -> Time {
    text.parse().unwrap()
}

/// A finished execution of three steps, of which the second was retried and the third failed.
fn finished() -> Value {
    json!({
        "apiVersion": "dualaudit.dev/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "name": "restart-1", "namespace": "ops", "uid": "8d5b1c9e", "resourceVersion": "41",
            "creationTimestamp": "2026-03-01T10:00:00Z", "labels": {"team": "payments"},
        },
        "spec": {
            "remediationRef": {"name": "oomkilled-42", "namespace": "remediation"},
            "workflow": {"name": "restart", "version": "v1.2.0"},
            "incidentType": "OOMKilled",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "checkout"},
            "steps": [
                {"number": 1, "name": "Look", "action": "collect-logs", "parameters": {"n": 5}},
                {"number": 2, "name": "Act", "action": "restart-deployment", "dependsOn": [1]},
                {"number": 3, "action": "verify"},
                {"number": 4, "action": "notify"},
            ],
        },
        "status": {
            "phase": "Failed",
            "startTime": "2026-03-01T10:00:02.500Z",
            "completionTime": "2026-03-01T10:01:02.500Z",
            "steps": [
                {"number": 1, "status": "Completed",
                 "startTime": "2026-03-01T10:00:03Z", "endTime": "2026-03-01T10:00:05.000001Z"},
                {"number": 2, "action": "rollout-restart", "status": "RolledBack", "retriesAttempted": 2,
                 "startTime": "2026-03-01T10:00:05Z", "endTime": "2026-03-01T10:00:45Z"},
                {"number": 3, "status": "Failed", "startTime": "2026-03-01T10:00:45Z",
                 "endTime": "2026-03-01T10:00:40Z", "errorMessage": "2 of 3 replicas ready"},
            ],
            "adaptiveAdjustments": [{"time": "2026-03-01T10:00:20Z", "stepNumber": 2, "type": "timeout",
                                     "reason": "slow pulls", "from": "30s", "to": "60s"}],
            "message": "step 3 failed",
        },
    })
}

/// `base` with the values at these pointers set; `null` removes.
fn with(mut base: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = base.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key);
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    base
}

fn observe_json(object: Value) -> Observed {
    observe(&serde_json::from_value(object).unwrap(), "prod-1", now())
}

fn record(object: Value) -> WorkflowExecutionAudit {
    match observe_json(object).state {
        State::Ended(record) => *record,
        other => panic!("expected an ended execution, found {other:?}"),
    }
}

fn reason(object: Value) -> String {
    match observe_json(object).state {
        State::Unmappable(reason) => reason,
        other => panic!("expected an unmappable execution, found {other:?}"),
    }
}

#[test]
fn a_finished_execution_is_mapped_field_by_field() {
    insta::assert_json_snapshot!(record(finished()), @r#"
    {
      "id": "8d5b1c9e",
      "attempt": 1,
      "remediation_id": "oomkilled-42",
      "workflow_name": "restart",
      "workflow_version": "v1.2.0",
      "total_steps": 4,
      "steps_completed": 1,
      "steps_failed": 1,
      "total_duration": 60000000000,
      "outcome": "partial",
      "effectiveness_score": 0.05,
      "score_source": "derived",
      "rollbacks_performed": 1,
      "step_executions": [
        {
          "step_number": 1,
          "action": "collect-logs",
          "duration": 2000001000,
          "status": "completed",
          "retries_attempted": 0,
          "name": "Look",
          "started_at": "2026-03-01T10:00:03.000000Z"
        },
        {
          "step_number": 2,
          "action": "rollout-restart",
          "duration": 40000000000,
          "status": "rolled_back",
          "retries_attempted": 2,
          "name": "Act",
          "started_at": "2026-03-01T10:00:05.000000Z"
        },
        {
          "step_number": 3,
          "action": "verify",
          "duration": 0,
          "status": "failed",
          "retries_attempted": 0,
          "error_message": "2 of 3 replicas ready",
          "started_at": "2026-03-01T10:00:45.000000Z"
        }
      ],
      "adaptive_adjustments": [
        {
          "step_number": 2,
          "adjustment_type": "timeout",
          "reason": "slow pulls",
          "timestamp": "2026-03-01T10:00:20.000000Z",
          "from": "30s",
          "to": "60s"
        }
      ],
      "completed_at": "2026-03-01T10:01:02.500000Z",
      "status": "failed",
      "error_message": "step 3 failed",
      "created_at": "2026-03-01T10:00:00.000000Z",
      "cluster": "prod-1",
      "namespace": "ops",
      "name": "restart-1",
      "source": {
        "api_version": "dualaudit.dev/v1alpha1",
        "kind": "WorkflowExecution",
        "uid": "8d5b1c9e"
      },
      "started_at": "2026-03-01T10:00:02.500000Z",
      "queued_duration": 2500000000,
      "incident_type": "OOMKilled",
      "target": {
        "api_version": "apps/v1",
        "kind": "Deployment",
        "namespace": "shop",
        "name": "checkout"
      },
      "labels": {
        "team": "payments"
      }
    }
    "#);
}

#[test]
fn our_own_patches_and_their_versions_do_not_change_the_record() {
    let patched = with(
        finished(),
        &[
            ("/metadata/resourceVersion", json!("99")),
            ("/metadata/generation", json!(7)),
            ("/metadata/finalizers", json!([FINALIZER])),
            ("/metadata/annotations", json!({"dualaudit.dev/receipt": "{}", "x": "y"})),
            ("/metadata/managedFields", json!([{"manager": "dualaudit", "operation": "Update"}])),
            (
                "/status/conditions",
                json!([{"type": "Failed", "status": "True", "reason": "Failed",
              "message": "", "lastTransitionTime": "2026-03-01T10:01:02Z"}]),
            ),
        ],
    );
    assert_eq!(record(patched), record(finished()));
    let later =
        observe(&serde_json::from_value(finished()).unwrap(), "prod-1", now().saturating_add_micros(1 << 40));
    assert_eq!(later.state, State::Ended(Box::new(record(finished()))));
}

#[test]
fn items_of_a_list_that_lack_their_type_map_the_same() {
    let untyped = with(finished(), &[("/apiVersion", Value::Null), ("/kind", Value::Null)]);
    assert_eq!(record(untyped), record(finished()));
}

#[test]
fn only_terminal_phases_end_an_execution() {
    let in_phase = |phase: Value| with(finished(), &[("/status/phase", phase)]);
    for phase in ["Pending", "Planning", "Validating", "Executing", "Paused", "RollingBack", "Monitoring"] {
        let observed = observe_json(in_phase(json!(phase)));
        assert_eq!((observed.state, observed.phase.as_str()), (State::Running, phase));
    }
    for (phase, status) in [
        ("Completed", Status::Completed),
        ("Failed", Status::Failed),
        ("Cancelled", Status::Cancelled),
        ("TimedOut", Status::TimedOut),
    ] {
        assert_eq!(record(in_phase(json!(phase))).status, status);
    }
    for not_begun in [in_phase(Value::Null), with(finished(), &[("/status", Value::Null)])] {
        let observed = observe_json(not_begun);
        assert_eq!((observed.state, observed.phase.as_str()), (State::Running, "Pending"));
    }
}

#[test]
fn a_deleted_running_execution_ended_when_its_deletion_was_asked_for() {
    let deleted = ("/metadata/deletionTimestamp", json!("2026-03-01T10:00:30Z"));
    let running =
        [("/status/phase", json!("Executing")), ("/status/completionTime", Value::Null), deleted.clone()];
    let mapped = record(with(finished(), &running));
    assert_eq!(mapped.status, Status::Deleted);
    assert_eq!(mapped.completed_at, at("2026-03-01T10:00:30Z"));
    assert_eq!(mapped.total_duration, 27_500_000_000);
    assert_eq!(observe_json(with(finished(), &running)).deleted_at, Some(mapped.completed_at));

    let never_begun = record(with(finished(), &[("/status", Value::Null), deleted.clone()]));
    assert_eq!((never_begun.status, never_begun.total_duration), (Status::Deleted, 0));
    assert_eq!((never_begun.started_at, never_begun.total_steps), (None, 4));

    let finished_before = record(with(finished(), &[deleted]));
    assert_eq!(finished_before, record(finished()));
}

#[test]
fn the_end_is_the_nearest_thing_known() {
    let no_completion = ("/status/completionTime", Value::Null);
    let by_step = record(with(finished(), std::slice::from_ref(&no_completion)));
    assert_eq!(by_step.completed_at, at("2026-03-01T10:00:45Z"));

    let bare = [no_completion, ("/status/steps", Value::Null)];
    assert!(reason(with(finished(), &bare)).starts_with("status.completionTime is missing: "));

    let deleted = ("/metadata/deletionTimestamp", json!("2026-03-01T11:00:00Z"));
    let by_deletion = record(with(with(finished(), &bare), &[deleted]));
    assert_eq!((by_deletion.status, by_deletion.completed_at), (Status::Failed, at("2026-03-01T11:00:00Z")));
}

#[test]
fn durations_are_never_negative() {
    let backwards = record(with(finished(), &[("/status/startTime", json!("2026-03-01T11:00:00Z"))]));
    assert_eq!(backwards.total_duration, 0);
    let before_creation = record(with(finished(), &[("/status/startTime", json!("2026-03-01T09:59:59Z"))]));
    assert_eq!(before_creation.queued_duration, None);
}

#[test]
fn a_message_is_an_error_only_where_something_went_wrong() {
    let completed = |changes: &[(&str, Value)]| {
        let steps = json!([{"number": 1, "status": "Completed"}]);
        let base = with(finished(), &[("/status/phase", json!("Completed")), ("/status/steps", steps)]);
        record(with(base, changes)).error_message
    };
    assert_eq!(completed(&[]), "");
    assert_eq!(completed(&[("/status/outcome", json!("success"))]), "");
    assert_eq!(completed(&[("/status/outcome", json!("partial"))]), "step 3 failed");
    assert_eq!(completed(&[("/status/steps", json!([{"number": 1, "status": "Failed"}]))]), "step 3 failed");
    assert_eq!(record(finished()).error_message, "step 3 failed");
}

#[test]
fn what_the_engine_reports_goes_before_what_would_be_derived() {
    let reported = [
        ("/status/outcome", json!("Partial")),
        ("/status/effectivenessScore", json!(0.25)),
        ("/status/rollbacksPerformed", json!(3)),
    ];
    let mapped = record(with(finished(), &reported));
    assert_eq!((mapped.outcome, mapped.effectiveness_score), (Outcome::Partial, 0.25));
    assert_eq!((mapped.score_source, mapped.rollbacks_performed), (ScoreSource::Reported, 3));
    assert_eq!(record(finished()).rollbacks_performed, 1);
    assert_eq!(record(finished()).score_source, ScoreSource::Derived);
}

#[test]
fn a_step_that_timed_out_counts_as_failed() {
    let steps = json!([{"number": 1, "status": "Completed"}, {"number": 2, "status": "TimedOut"}]);
    let mapped = record(with(finished(), &[("/status/steps", steps)]));
    assert_eq!((mapped.steps_completed, mapped.steps_failed, mapped.total_steps), (1, 1, 4));
    assert_eq!(mapped.step_executions[1].status, StepStatus::TimedOut);
}

#[test]
fn steps_beyond_the_plan_are_steps_all_the_same() {
    let mapped = record(with(finished(), &[("/spec/steps", Value::Null)]));
    assert_eq!(mapped.total_steps, 3);
    let actions: Vec<_> = mapped.step_executions.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(actions, ["", "rollout-restart", ""]);
}

#[test]
fn unknown_fields_are_no_obstacle() {
    let newer = [("/spec/priority", json!(3)), ("/status/cost", json!({"usd": 1})), ("/extra", json!([]))];
    assert_eq!(record(with(finished(), &newer)), record(finished()));
}

#[test]
fn nul_becomes_the_replacement_character() {
    let mapped = record(with(finished(), &[("/status/message", json!("a\u{0}b"))]));
    assert_eq!(mapped.error_message, "a\u{fffd}b");
}

#[test]
fn what_cannot_be_mapped_says_what_and_where() {
    let long = "x".repeat(300);
    for (change, expected) in [
        (("/spec", Value::Null), "the object: missing field `spec`"),
        (("/spec/workflow", json!({})), "spec.workflow: missing field `name`"),
        (
            ("/spec/steps", json!([{"number": "1", "action": "a"}])),
            "spec.steps[0].number: invalid type: string",
        ),
        (("/status/phase", json!("Strange")), "status.phase: unknown variant `Strange`, expected one of"),
        (("/status/startTime", json!("soon")), "status.startTime: not an RFC 3339 time"),
        (("/status/steps", json!([{"number": 1}])), "status.steps[0]: missing field `status`"),
        (("/status/outcome", json!("splendid")), "status.outcome: unknown variant `splendid`"),
        (("/status/effectivenessScore", json!(7)), "effectiveness_score: "),
        (("/status/rollbacksPerformed", json!(-1)), "rollbacks_performed: "),
        (("/spec/workflow/version", json!(long)), "workflow_version: "),
        (("/status/completionTime", json!("2026-03-03T12:00:00Z")), "completed_at: "),
        (("/metadata/uid", Value::Null), "id: "),
    ] {
        let found = reason(with(finished(), std::slice::from_ref(&change)));
        assert!(found.starts_with(expected), "{change:?}\n{found}\n{expected}");
    }
    let endless = reason(with(finished(), &[("/status/phase", json!("y".repeat(100_000)))]));
    assert!(endless.chars().count() <= 500, "{}", endless.len());
}

#[test]
fn metadata_is_readable_whatever_the_rest_is_like() {
    let observed = observe_json(json!({
        "metadata": {
            "name": "n", "namespace": "ns", "uid": "u", "resourceVersion": "7",
            "finalizers": ["example.com/other", FINALIZER],
            "deletionTimestamp": "2026-03-01T10:00:00Z",
            "annotations": {
                "dualaudit.dev/receipt": "{}", "dualaudit.dev/hold": "case 12",
                "dualaudit.dev/window": "7d", "dualaudit.dev/release-unrecorded": " ",
            },
        },
        "spec": [], "status": {"phase": 3, "startTime": "2026-03-01T09:00:00Z"},
    }));
    assert!(matches!(observed.state, State::Unmappable(_)), "{:?}", observed.state);
    assert_eq!((observed.id.as_str(), observed.namespace.as_str(), observed.name.as_str()), ("u", "ns", "n"));
    assert_eq!(observed.resource_version, "7");
    assert!(observed.is_protected() && observed.has_foreign_finalizer());
    assert_eq!(observed.deleted_at, Some(at("2026-03-01T10:00:00Z")));
    assert_eq!(observed.receipt.as_deref(), Some("{}"));
    assert_eq!(observed.hold.as_deref(), Some("case 12"));
    assert_eq!(observed.window, Ok(Some(SignedDuration::from_hours(168))));
    assert_eq!(observed.release_unrecorded, None);
    assert_eq!(observed.phase, "Unknown");
    assert_eq!(observed.started_at, Some(at("2026-03-01T09:00:00Z")));
}

#[test]
fn of_what_cannot_be_mapped_each_part_that_can_be_read_is_shown() {
    let changed = |phase: &str, changes: &[(&str, Value)]| {
        observe_json(with(with(finished(), &[("/status/phase", json!(phase))]), changes)).so_far
    };
    let whole = changed("Executing", &[]).unwrap();
    for (phase, changes, wrong) in [
        ("Executing", ("/status/rollbacksPerformed", json!("two")), "status.rollbacksPerformed: "),
        ("Executing", ("/spec/incidentType", json!("x".repeat(254))), "incident_type: "),
        (
            "Executing",
            ("/status/steps/0/startTime", json!("2026-09-01T10:00:00Z")),
            "step_executions[0].started_at: ",
        ),
        ("Completed", ("/status/steps/0/status", json!("Dreaming")), "status.steps[0].status: "),
    ] {
        let shown = changed(phase, std::slice::from_ref(&changes)).unwrap();
        assert!(shown.error_message.starts_with(wrong), "{}", shown.error_message);
        let names = |it: &WorkflowExecutionAudit| {
            let workflow = (it.workflow_name.clone(), it.workflow_version.clone(), it.remediation_id.clone());
            (
                workflow,
                it.namespace.clone(),
                it.target.clone(),
                it.labels.clone(),
                it.started_at,
                it.total_steps,
            )
        };
        assert_eq!(names(&shown), names(&whole), "{wrong}");
        assert_eq!((shown.steps_failed, shown.rollbacks_performed), (1, 1), "{wrong}");
        let is_read = shown.incident_type.is_some();
        assert_eq!(is_read, !wrong.starts_with("incident_type"));
    }
    assert_eq!(changed("Completed", &[]), None);
}

#[test]
fn a_bad_window_names_its_annotation() {
    let bad = json!({"dualaudit.dev/window": "a while"});
    let observed = observe_json(with(finished(), &[("/metadata/annotations", bad)]));
    let error = observed.window.unwrap_err();
    assert!(error.starts_with("dualaudit.dev/window: not a duration: \"a while\"; expected"), "{error}");
}

#[test]
fn every_simulated_execution_maps_at_its_end_and_not_before() {
    for execution in crate::simulate::Plan::new(11, 200, 0.4).executions() {
        let mut resource = execution.resource("simulation");
        resource.metadata.uid = Some(execution.name().to_owned());
        let seen = |resource: &crate::crd::WorkflowExecution| {
            observe_json(serde_json::to_value(resource).unwrap()).state
        };
        assert_eq!(seen(&resource), State::Running);
        let end = at("2026-03-01T11:00:00Z");
        resource.status = Some(execution.finished_status(at("2026-03-01T10:00:00Z"), end));
        match seen(&resource) {
            State::Ended(record) => {
                assert_eq!((record.completed_at, record.total_duration), (end, 3_600_000_000_000))
            }
            other => panic!("{}: {other:?}", execution.name()),
        }
    }
}

#[test]
fn what_runs_is_what_its_record_will_say() {
    let ended = record(finished());
    let run = Run {
        workflow: ended.workflow_name,
        version: ended.workflow_version,
        incident_type: ended.incident_type.unwrap(),
        target_kind: ended.target.unwrap().kind.unwrap(),
        since: ended.started_at,
    };
    let runs = |changes: &[(&str, Value)]| {
        let executing = with(finished(), &[("/status/phase", json!("Executing"))]);
        observe_json(with(executing, changes)).run
    };
    for phase in ["Pending", "Executing", "Paused", "RollingBack", "Monitoring"] {
        assert_eq!(runs(&[("/status/phase", json!(phase))]), Some(run.clone()), "{phase}");
    }
    let created = Some(at("2026-03-01T10:00:00Z"));
    assert_eq!(runs(&[("/status", Value::Null)]), Some(Run { since: created, ..run.clone() }));
    let nothing = [
        ("/spec/workflow/version", Value::Null),
        ("/spec/incidentType", Value::Null),
        ("/spec/target", Value::Null),
    ];
    assert_eq!(
        runs(&nothing),
        Some(Run { workflow: "restart".to_owned(), since: run.since, ..Run::default() })
    );
    let with_nul = runs(&[("/spec/workflow/name", json!("re\0start"))]).unwrap();
    assert_eq!(with_nul.workflow, "re\u{fffd}start");

    // What cannot be mapped may still be running.
    let unread = Some(Run { since: run.since, ..Run::default() });
    assert_eq!(runs(&[("/spec/incidentType", json!("x".repeat(254)))]), unread);
    assert_eq!(runs(&[("/status/rollbacksPerformed", json!("two"))]), unread);
    assert_eq!(runs(&[("/status/phase", json!("Dreaming"))]), unread);

    for phase in ["Completed", "Failed", "Cancelled", "TimedOut"] {
        assert_eq!(runs(&[("/status/phase", json!(phase))]), None, "{phase}");
        let unmappable = [("/status/phase", json!(phase)), ("/status/rollbacksPerformed", json!("two"))];
        assert_eq!(runs(&unmappable), None, "{phase}");
    }
    assert_eq!(runs(&[("/metadata/deletionTimestamp", json!("2026-03-01T10:00:30Z"))]), None);
}
