//! The life of one resource as a table: what is seen and known, and the one next thing to do.

use dualaudit_record::{
    Time,
    digest::Digest,
    entry::Verdict,
    execution::{Outcome, ScoreSource, Status, WorkflowExecutionAudit},
};
use jiff::SignedDuration;

use super::*;
use crate::{
    controller::receipt_annotation,
    ingest::{Receipt, ReceiptResult, RunningAttempt},
    source::FINALIZER,
};

const HOUR: i64 = 3_600_000_000;
const POLICY: Policy = Policy { window: SignedDuration::from_hours(24), cleanup: Cleanup::Delete };
const SAME: Digest = Digest([1; 32]);
const OTHER: Digest = Digest([2; 32]);

fn at(hours: i64) -> Time {
    Time::from_micros(1_700_000_000_000_000 + hours * HOUR).unwrap()
}

fn record() -> Box<WorkflowExecutionAudit> {
    Box::new(WorkflowExecutionAudit {
        id: "uid".into(),
        attempt: 1,
        remediation_id: String::new(),
        workflow_name: "restart".into(),
        workflow_version: "v1".into(),
        total_steps: 0,
        steps_completed: 0,
        steps_failed: 0,
        total_duration: 0,
        outcome: Outcome::Success,
        effectiveness_score: 1.0,
        score_source: ScoreSource::Derived,
        rollbacks_performed: 0,
        step_executions: Vec::new(),
        adaptive_adjustments: Vec::new(),
        completed_at: at(0),
        status: Status::Completed,
        error_message: String::new(),
        created_at: at(0),
        cluster: None,
        namespace: None,
        name: None,
        source: None,
        started_at: Some(at(0)),
        queued_duration: None,
        incident_type: None,
        target: None,
        labels: Default::default(),
    })
}

/// A running resource with our finalizer.
fn running() -> Observed {
    Observed {
        id: "uid".into(),
        namespace: "prod".into(),
        name: "restart-1".into(),
        created_at: Some(at(0)),
        resource_version: "7".into(),
        finalizers: vec![FINALIZER.into()],
        deleted_at: None,
        recreated_by: None,
        receipt: None,
        hold: None,
        window: Ok(None),
        review: Ok(None),
        release_unrecorded: None,
        phase: "Executing".into(),
        started_at: Some(at(0)),
        run: None,
        so_far: None,
        state: State::Running,
    }
}

fn ended() -> Observed {
    Observed { state: State::Ended(record()), phase: "Completed".into(), ..running() }
}

fn unmappable() -> Observed {
    Observed { state: State::Unmappable("status.phase: unknown".into()), ..running() }
}

fn acknowledged() -> Observed {
    Observed { receipt: Some(receipt_annotation(&receipt())), ..ended() }
}

fn receipt() -> Receipt {
    Receipt {
        id: "uid".into(),
        attempt: Some(1),
        revision: Some(1),
        log: "default".into(),
        index: 0,
        leaf_hash: OTHER,
        recorded_at: at(1),
        result: ReceiptResult::Created,
    }
}

fn nothing() -> Known {
    Known::default()
}

fn recorded() -> Known {
    let recorded = Recorded {
        receipt: receipt(),
        content_digest: Some(SAME),
        started_at: Some(at(0)),
        first_recorded_at: at(1),
        extended_until: None,
    };
    Known { recorded: vec![recorded], ..Known::default() }
}

/// Recorded, and seen to run again since.
fn running_again(started_at: Option<Time>) -> Known {
    Known { running: Some(RunningAttempt { started_at }), ..recorded() }
}

fn closed() -> Known {
    Known { tracked: Some(TrackedState::Closed), ..recorded() }
}

fn held() -> Known {
    Known { held: true, ..recorded() }
}

fn quarantined() -> Known {
    Known { quarantined: Some((SAME, at(1))), ..Known::default() }
}

/// Without our finalizer.
fn bare(observed: Observed) -> Observed {
    Observed { finalizers: Vec::new(), ..observed }
}

fn deleted(observed: Observed) -> Observed {
    Observed { deleted_at: Some(at(2)), ..observed }
}

fn with_finalizer(mut observed: Observed, finalizer: &str) -> Observed {
    observed.finalizers.push(finalizer.into());
    observed
}

fn step(observed: &Observed, known: Option<&Known>, now: Time) -> Step {
    step_with(observed, Some(SAME), known, now, POLICY, false)
}

fn step_with(
    observed: &Observed,
    digest: Option<Digest>,
    known: Option<&Known>,
    now: Time,
    policy: Policy,
    overfull: bool,
) -> Step {
    decide(Situation { observed, digest, known, overfull }, policy, now)
}

#[test]
fn a_running_resource_is_protected_without_asking_the_store() {
    assert_eq!(step(&bare(running()), None, at(0)), Step::Protect);
    assert_eq!(step(&running(), None, at(0)), Step::Watch);
}

#[test]
fn an_ended_resource_is_recorded_before_anything_else() {
    for (name, observed) in [
        ("protected", ended()),
        ("never protected", bare(ended())),
        ("deleted", deleted(ended())),
        ("deleted, another finalizer at work", with_finalizer(deleted(ended()), "engine/cleanup")),
        ("held", Observed { hold: Some("case 7".into()), ..ended() }),
        ("long over", acknowledged()),
    ] {
        assert_eq!(step(&observed, None, at(100)), Step::Consult, "{name}");
        assert_eq!(step(&observed, Some(&nothing()), at(100)), Step::Record, "{name}");
    }
}

#[test]
fn a_change_of_what_is_audited_is_recorded_again() {
    let changed = |known: &Known| step_with(&acknowledged(), Some(OTHER), Some(known), at(2), POLICY, false);
    assert_eq!(changed(&recorded()), Step::Record);
    assert_eq!(changed(&closed()), Step::Record);
}

#[test]
fn a_new_start_of_a_recorded_resource_is_a_new_attempt() {
    let mut again = record();
    again.started_at = Some(at(5));
    let again = Observed { state: State::Ended(again), ..ended() };
    assert_eq!(step(&again, Some(&closed()), at(6)), Step::Record);
}

#[test]
fn each_attempt_is_judged_by_its_own_record() {
    let mut second = recorded().recorded.remove(0);
    second.started_at = Some(at(5));
    second.content_digest = Some(OTHER);
    let mut known = recorded();
    known.recorded.push(second);
    // An engine, or a restored etcd, goes back to the first start.
    assert_eq!(step(&deleted(ended()), Some(&known), at(6)), Step::LetGo);
    assert_eq!(step(&acknowledged(), Some(&known), at(6)), Step::WaitUntil(at(25)));
}

#[test]
fn what_ran_again_since_is_recorded_again_though_it_ended_alike() {
    for observed in [ended(), acknowledged(), deleted(ended())] {
        for start in [Some(at(0)), None] {
            assert_eq!(step(&observed, Some(&running_again(start)), at(100)), Step::Record);
        }
        // It is another attempt that runs.
        let other = step(&observed, Some(&running_again(Some(at(5)))), at(100));
        assert_eq!(other, step(&observed, Some(&recorded()), at(100)));
    }
}

#[test]
fn purged_content_counts_as_recorded() {
    let mut purged = recorded();
    purged.recorded[0].content_digest = None;
    assert_eq!(step(&deleted(ended()), Some(&purged), at(2)), Step::LetGo);
}

#[test]
fn the_receipt_is_written_once_and_brings_a_missing_finalizer() {
    assert_eq!(step(&ended(), Some(&recorded()), at(2)), Step::Acknowledge { protect: false });
    assert_eq!(step(&bare(ended()), Some(&recorded()), at(2)), Step::Acknowledge { protect: true });
    assert_eq!(step(&bare(ended()), Some(&closed()), at(2)), Step::Acknowledge { protect: false });
    assert_eq!(step(&bare(acknowledged()), Some(&closed()), at(2)), Step::Watch);
}

#[test]
fn the_window_starts_when_it_was_first_recorded() {
    assert_eq!(step(&acknowledged(), Some(&recorded()), at(2)), Step::WaitUntil(at(25)));
    assert_eq!(step(&acknowledged(), Some(&recorded()), at(25)), Step::Release(Cleanup::Delete));
}

#[test]
fn a_resource_may_have_a_window_of_its_own_and_a_bad_one_shortens_nothing() {
    let own = |window| step(&Observed { window, ..acknowledged() }, Some(&recorded()), at(2));
    assert_eq!(own(Ok(Some(SignedDuration::from_hours(12)))), Step::WaitUntil(at(13)));
    assert_eq!(own(Ok(Some(SignedDuration::ZERO))), Step::Release(Cleanup::Delete));
    assert_eq!(own(Err("no duration".into())), Step::WaitUntil(at(25)));
    assert_eq!(own(Ok(Some(SignedDuration::MAX))), Step::Extend(at(1).saturating_add_micros(i64::MAX)));
}

/// Recorded, with a log that says until when it is to stay.
fn extended(until: i64) -> Known {
    let mut known = recorded();
    known.recorded[0].extended_until = Some(at(until));
    known
}

#[test]
fn the_later_of_its_windows_counts() {
    for (until, expected) in [(20, 25), (26, 26), (100, 100)] {
        let known = extended(until);
        assert_eq!(step(&acknowledged(), Some(&known), at(2)), Step::WaitUntil(at(expected)), "{until}");
        let over = step(&acknowledged(), Some(&known), at(expected));
        assert_eq!(over, Step::Release(Cleanup::Delete), "{until}");
    }
    // Nobody waits for a window where there is no room, or where somebody deletes it.
    let overfull = step_with(&acknowledged(), Some(SAME), Some(&extended(100)), at(2), POLICY, true);
    assert_eq!(overfull, Step::Release(Cleanup::Delete));
    assert_eq!(step(&deleted(ended()), Some(&extended(100)), at(2)), Step::LetGo);
}

#[test]
fn an_annotation_that_makes_its_window_longer_goes_into_the_log_once() {
    let own = |hours| Observed { window: Ok(Some(SignedDuration::from_hours(hours))), ..acknowledged() };
    assert_eq!(step(&own(48), Some(&recorded()), at(2)), Step::Extend(at(49)));
    assert_eq!(step(&own(48), Some(&extended(30)), at(2)), Step::Extend(at(49)));
    assert_eq!(step(&own(48), Some(&extended(49)), at(2)), Step::WaitUntil(at(49)));
    assert_eq!(step(&own(48), Some(&extended(60)), at(2)), Step::WaitUntil(at(60)));
    // It stays when the annotation goes, or becomes shorter.
    assert_eq!(step(&acknowledged(), Some(&extended(49)), at(26)), Step::WaitUntil(at(49)));
    assert_eq!(step(&own(1), Some(&extended(49)), at(26)), Step::WaitUntil(at(49)));
    // What is no longer than the operator's, or over, is nothing to tell.
    assert_eq!(step(&own(24), Some(&recorded()), at(2)), Step::WaitUntil(at(25)));
    assert_eq!(step(&own(48), Some(&recorded()), at(49)), Step::Release(Cleanup::Delete));
    // The receipt first; and a resource that is not ours any more does not stay for us.
    assert_eq!(
        step(&Observed { receipt: None, ..own(48) }, Some(&recorded()), at(2)),
        Step::Acknowledge { protect: false }
    );
    assert_eq!(step(&bare(own(48)), Some(&closed()), at(2)), Step::Watch);
}

#[test]
fn a_verdict_on_what_is_recorded_goes_into_the_log_once_also_before_it_is_let_go() {
    let judged = Judged { verdict: Verdict::Harmful, note: "the wrong node".to_owned() };
    let by = |observed: Observed| Observed { review: Ok(Some(judged.clone())), ..observed };
    let known = |known: Known| Known { judged: Some((judged.verdict, judged.note.clone())), ..known };
    for observed in [acknowledged(), ended(), deleted(ended()), bare(acknowledged())] {
        assert_eq!(step(&by(observed.clone()), Some(&recorded()), at(2)), Step::Review(judged.clone()));
        let otherwise = step(&observed, Some(&recorded()), at(2));
        assert_eq!(step(&by(observed), Some(&known(recorded())), at(2)), otherwise);
    }
    assert_eq!(step(&by(ended()), Some(&nothing()), at(2)), Step::Record);
    assert_eq!(step(&by(running()), None, at(2)), Step::Watch);
    // Another is another; what cannot be read is none.
    let other = Known { judged: Some((Verdict::Effective, String::new())), ..recorded() };
    assert_eq!(step(&by(acknowledged()), Some(&other), at(2)), Step::Review(judged.clone()));
    let unread = Observed { review: Err("no verdict".into()), ..acknowledged() };
    assert_eq!(step(&unread, Some(&recorded()), at(2)), Step::WaitUntil(at(25)));
}

#[test]
fn a_hold_stops_the_clock_and_outlives_its_annotation() {
    let wanted = Observed { hold: Some("case 7".into()), ..acknowledged() };
    assert_eq!(step(&wanted, Some(&recorded()), at(100)), Step::PlaceHold("case 7".into()));
    assert_eq!(step(&wanted, Some(&held()), at(100)), Step::Watch);
    assert_eq!(step(&acknowledged(), Some(&held()), at(100)), Step::Watch);
    let overfull = step_with(&acknowledged(), Some(SAME), Some(&held()), at(2), POLICY, true);
    assert_eq!(overfull, Step::Watch);
}

#[test]
fn a_hold_on_a_running_resource_is_placed_at_once() {
    let wanted = Observed { hold: Some("case 7".into()), ..running() };
    assert_eq!(step(&wanted, None, at(0)), Step::Consult);
    assert_eq!(step(&wanted, Some(&nothing()), at(0)), Step::PlaceHold("case 7".into()));
    assert_eq!(step(&wanted, Some(&Known { held: true, ..nothing() }), at(0)), Step::Watch);
}

#[test]
fn the_oldest_leave_early_when_too_many_are_retained_but_never_before_their_record() {
    let overfull = |known: &Known| step_with(&acknowledged(), Some(SAME), Some(known), at(2), POLICY, true);
    assert_eq!(overfull(&recorded()), Step::Release(Cleanup::Delete));
    assert_eq!(overfull(&nothing()), Step::Record);
}

#[test]
fn what_would_be_created_again_is_never_deleted() {
    let owned = Observed { recreated_by: Some("controlled by Schedule/nightly".into()), ..acknowledged() };
    assert_eq!(step(&owned, Some(&recorded()), at(25)), Step::Release(Cleanup::Retain));
    let retain = Policy { cleanup: Cleanup::Retain, ..POLICY };
    let chosen = step_with(&acknowledged(), Some(SAME), Some(&recorded()), at(25), retain, false);
    assert_eq!(chosen, Step::Release(Cleanup::Retain));
}

#[test]
fn a_deletion_waits_for_the_record_only() {
    assert_eq!(step(&deleted(ended()), Some(&recorded()), at(2)), Step::LetGo);
    assert_eq!(step(&deleted(ended()), Some(&held()), at(2)), Step::LetGo);
    assert_eq!(step(&deleted(bare(ended())), Some(&recorded()), at(2)), Step::Watch);
    for collector in ["foregroundDeletion", "orphan"] {
        let cascade = with_finalizer(deleted(ended()), collector);
        assert_eq!(step(&cascade, Some(&recorded()), at(2)), Step::LetGo, "{collector}");
    }
}

#[test]
fn ours_stays_while_another_controller_is_at_work() {
    let at_work = |observed| with_finalizer(deleted(observed), "engine.example/cleanup");
    let known = recorded();
    assert_eq!(step(&at_work(ended()), Some(&known), at(2)), Step::Acknowledge { protect: false });
    assert_eq!(step(&at_work(acknowledged()), Some(&known), at(2)), Step::Watch);
    assert_eq!(step(&at_work(bare(acknowledged())), Some(&known), at(2)), Step::Watch);
}

#[test]
fn what_cannot_be_mapped_is_kept_whole_protected_and_never_deleted_by_us() {
    let reason = "status.phase: unknown";
    assert_eq!(step(&unmappable(), Some(&nothing()), at(2)), Step::Quarantine(reason.into()));
    assert_eq!(step(&bare(unmappable()), Some(&quarantined()), at(2)), Step::Protect);
    assert_eq!(step(&unmappable(), Some(&quarantined()), at(1000)), Step::Watch);
    assert_eq!(step(&deleted(unmappable()), Some(&quarantined()), at(2)), Step::LetGo);
    let changed = |observed, now| step_with(&observed, Some(OTHER), Some(&quarantined()), now, POLICY, false);
    assert_eq!(changed(unmappable(), at(2)), Step::Quarantine(reason.into()));
    // A heartbeat does not fill the database, and the final state is kept at once.
    let soon = at(1).saturating_add_micros(1);
    assert_eq!(changed(unmappable(), soon), Step::WaitUntil(at(1).saturating_add_micros(HOUR / 12)));
    assert_eq!(changed(deleted(unmappable()), soon), Step::Quarantine(reason.into()));
}

#[test]
fn broken_glass_needs_no_store_and_is_not_undone() {
    let broken = |observed| Observed { release_unrecorded: Some("etcd is full".into()), ..observed };
    for observed in [running(), ended(), unmappable(), deleted(ended())] {
        assert_eq!(step(&broken(observed), None, at(2)), Step::BreakGlass("etcd is full".into()));
    }
    assert_eq!(step(&broken(bare(running())), None, at(2)), Step::Watch);
    assert_eq!(step(&broken(bare(acknowledged())), Some(&recorded()), at(2)), Step::Watch);
    assert_eq!(step(&broken(bare(ended())), Some(&nothing()), at(2)), Step::Record);
}
