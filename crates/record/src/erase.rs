//! What is left of an entry once its personal fields are erased.
//!
//! Personal is free text, and every name that may be a person's: error messages, the names of steps, the
//! reasons and values of adjustments, labels, the names of the resource and of the target, the notes of reviews,
//! the reasons of windows, and whole objects. So
//! is the digest of an object, which says who guessed it right.
//!
//! What learning and retention go by stays: ids, which must hold nothing personal, workflow, version, namespace,
//! incident type, kind of the target, outcome, score, status, counts, durations, times and actions. Statistics that
//! are folded from what is left come out as they were, but for those of texts, which an erasure takes back.

use crate::{
    Entry, WorkflowExecutionAudit,
    entry::{Gap, Quarantine, Review, Window},
    execution::{AdaptiveAdjustment, StepExecutionAudit, StoredExecution, Target},
};

/// What is left of an entry; `None` of a kind that tells what was done to the audit and by whose word, which stays.
///
/// Of what is left, the same is left.
pub fn rest(entry: &Entry) -> Option<Entry> {
    match entry {
        Entry::Execution(stored) => Some(Entry::Execution(Box::new(StoredExecution {
            record: record(&stored.record),
            source_digest: None,
            ..stored.as_ref().clone()
        }))),
        // The reason of a broken glass stays: it is the word of whoever broke it.
        Entry::Gap(gap) => Some(Entry::Gap(Gap {
            name: String::new(),
            last_state: String::new(),
            last_state_digest: None,
            ..gap.clone()
        })),
        // The object's digest stays: it is what the entry is known by, so that it does not come again.
        Entry::Quarantine(quarantine) => Some(Entry::Quarantine(Quarantine {
            name: String::new(),
            reason: String::new(),
            ..quarantine.clone()
        })),
        // Who judged stays, and how.
        Entry::Review(review) => Some(Entry::Review(Review { note: String::new(), ..review.clone() })),
        // Who wanted it stays, and for how long.
        Entry::Window(window) => Some(Entry::Window(Window { reason: String::new(), ..window.clone() })),
        Entry::Hold(_)
        | Entry::HoldRelease(_)
        | Entry::Purge(_)
        | Entry::Heartbeat(_)
        | Entry::Succession(_)
        | Entry::Digest(_)
        | Entry::Export(_)
        | Entry::Access(_)
        | Entry::Erasure(_) => None,
    }
}

fn record(record: &WorkflowExecutionAudit) -> WorkflowExecutionAudit {
    let step = |step: &StepExecutionAudit| StepExecutionAudit {
        error_message: String::new(),
        name: None,
        ..step.clone()
    };
    let adjustment = |adjustment: &AdaptiveAdjustment| AdaptiveAdjustment {
        reason: String::new(),
        from: None,
        to: None,
        ..adjustment.clone()
    };
    let target = record.target.clone().map(|target| Target { name: None, ..target });
    WorkflowExecutionAudit {
        step_executions: record.step_executions.iter().map(step).collect(),
        adaptive_adjustments: record.adaptive_adjustments.iter().map(adjustment).collect(),
        error_message: String::new(),
        name: None,
        // A target of which nothing is given is none.
        target: target.filter(|target| *target != Target::default()),
        labels: Default::default(),
        ..record.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        digest::Digest,
        entry::{Erasure, GapCause, Heartbeat, Verdict},
        testing::{self, now, plain_record},
    };

    fn stored(record: WorkflowExecutionAudit) -> Entry {
        let source_digest = Some(Digest([7; 32]));
        Entry::Execution(Box::new(StoredExecution { record, revision: 2, recorded_at: now(), source_digest }))
    }

    /// Every path of a JSON value that leads to no object and no array.
    fn paths(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    paths(member, &format!("{path}/{key}"), found);
                }
            }
            Value::Array(parts) => {
                for part in parts {
                    paths(part, &format!("{path}/*"), found);
                }
            }
            value => found.push((path.to_owned(), value.clone())),
        }
    }

    #[test]
    fn of_a_record_these_fields_stay_as_they_are_and_all_others_go() {
        let mut record = plain_record();
        record.name = Some("run-of-jane".to_owned());
        record.namespace = Some("shop".to_owned());
        record.cluster = Some("prod".to_owned());
        record.incident_type = Some("OOM".to_owned());
        record.labels = [("owner".to_owned(), "jane".to_owned())].into();
        record.target = Some(Target {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some("shop".to_owned()),
            name: Some("jane-0".to_owned()),
        });
        record.step_executions[0].name = Some("ask jane".to_owned());
        record.step_executions[0].started_at = Some(now());
        record.adaptive_adjustments[0].from = Some("jane".to_owned());
        record.adaptive_adjustments[0].to = Some("joe".to_owned());
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let Entry::Execution(whole) = stored(record) else { unreachable!() };
        let Some(Entry::Execution(left)) = rest(&Entry::Execution(whole.clone())) else { panic!("none") };
        paths(&serde_json::to_value(&whole).unwrap(), "", &mut before);
        paths(&serde_json::to_value(&left).unwrap(), "", &mut after);
        let mut gone: Vec<&str> =
            before.iter().filter(|field| !after.contains(field)).map(|(path, _)| path.as_str()).collect();
        gone.dedup();
        assert_eq!(
            gone,
            [
                "/adaptive_adjustments/*/from",
                "/adaptive_adjustments/*/reason",
                "/adaptive_adjustments/*/to",
                "/error_message",
                "/labels/owner",
                "/name",
                "/source_digest",
                "/step_executions/*/name",
                "/step_executions/*/error_message",
                "/target/name",
            ]
        );
        let new: Vec<_> = after.iter().filter(|field| !before.contains(field)).collect();
        assert_eq!(new, [&("/adaptive_adjustments/*/reason".to_owned(), json!(""))]);
    }

    #[test]
    fn a_target_that_was_only_a_name_is_none() {
        let name = Some("jane-0".to_owned());
        let target = Some(Target { name, ..Target::default() });
        let Some(Entry::Execution(left)) = rest(&stored(WorkflowExecutionAudit { target, ..plain_record() }))
        else {
            panic!("none")
        };
        assert_eq!(left.record.target, None);
    }

    #[test]
    fn of_a_gap_and_a_quarantine_the_object_and_the_names_go() {
        let gap = Gap {
            cause: GapCause::ReleasedUnrecorded {
                reason: "incident 7".to_owned(),
                actor: Some("jo".to_owned()),
            },
            execution_id: "uid-1".to_owned(),
            namespace: "shop".to_owned(),
            name: "run-of-jane".to_owned(),
            started_at: Some(now()),
            last_phase: "Executing".to_owned(),
            last_state: "{}".to_owned(),
            last_state_digest: Some(Digest([1; 32])),
            last_seen_at: now(),
        };
        let left =
            Gap { name: String::new(), last_state: String::new(), last_state_digest: None, ..gap.clone() };
        assert_eq!(rest(&Entry::Gap(gap)), Some(Entry::Gap(left)));
        let quarantine = Quarantine {
            execution_id: "uid-1".to_owned(),
            namespace: "shop".to_owned(),
            name: "run-of-jane".to_owned(),
            reason: "status.message: jane".to_owned(),
            source_digest: Digest([2; 32]),
        };
        let left = Quarantine { name: String::new(), reason: String::new(), ..quarantine.clone() };
        assert_eq!(rest(&Entry::Quarantine(quarantine)), Some(Entry::Quarantine(left)));
    }

    #[test]
    fn of_a_review_the_note_goes_and_the_verdict_stays() {
        let review = Review {
            execution_id: "uid-1".to_owned(),
            attempt: 2,
            verdict: Verdict::Harmful,
            note: "jane was locked out".to_owned(),
            actor: "joe".to_owned(),
        };
        let left = Review { note: String::new(), ..review.clone() };
        assert_eq!(rest(&Entry::Review(review)), Some(Entry::Review(left)));
    }

    #[test]
    fn of_a_window_the_reason_goes_and_its_end_stays() {
        let window = Window {
            execution_id: "uid-1".to_owned(),
            attempt: 2,
            until: now(),
            reason: "jane is ill".to_owned(),
            actor: "joe".to_owned(),
        };
        let left = Window { reason: String::new(), ..window.clone() };
        assert_eq!(rest(&Entry::Window(window)), Some(Entry::Window(left)));
    }

    #[test]
    fn what_was_done_to_the_audit_stays() {
        let (execution_id, reason, actor) = ("a".to_owned(), "b".to_owned(), "c".to_owned());
        let erasure = Erasure { execution_id, reason, actor, entries: Vec::new() };
        for entry in [Entry::Heartbeat(Heartbeat { size: 3 }), Entry::Erasure(erasure)] {
            assert_eq!(rest(&entry), None);
        }
    }

    proptest! {
        #[test]
        fn of_what_is_left_the_same_is_left(record in testing::record()) {
            let left = rest(&stored(record)).unwrap();
            prop_assert_eq!(rest(&left), Some(left.clone()));
        }
    }
}
