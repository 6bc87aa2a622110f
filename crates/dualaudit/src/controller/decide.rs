//! What to do about one resource: pure, from what is seen and what is known.
//!
//! The order of the questions is the order of the promises: break glass first, then the record,
//! then deletion by others, and only then the window.

use dualaudit_record::{Time, digest::Digest, execution::WorkflowExecutionAudit};
use jiff::SignedDuration;

use crate::{
    ingest::{Known, Recorded, TrackedState},
    source::{Judged, Observed, State},
};

/// How often the changing states of one execution that cannot be mapped are kept.
const QUARANTINE_INTERVAL_MICROS: i64 = 5 * 60 * 1_000_000;

/// What the operator has set.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a finished resource stays for review, unless it says otherwise itself.
    pub window: SignedDuration,
    /// What happens to it then.
    pub cleanup: Cleanup,
}

/// What release does to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Cleanup {
    /// Delete it.
    Delete,
    /// Take our finalizer off and leave it.
    Retain,
}

/// One resource at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What is seen of it.
    pub observed: &'a Observed,
    /// The digest of what there is to record: of the record when it ended, of the object's state
    /// when it cannot be mapped. `None` while it runs.
    pub digest: Option<Digest>,
    /// What the store knows of it; `None` when it has not been asked yet.
    pub known: Option<&'a Known>,
    /// More are retained than may be, and this is one of the oldest.
    pub overfull: bool,
}

/// The one next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until it changes.
    Watch,
    /// Nothing, until then.
    WaitUntil(Time),
    /// Ask the store what it knows.
    Consult,
    /// Put our finalizer on.
    Protect,
    /// Append the record.
    Record,
    /// Append the object as it is, for this reason.
    Quarantine(String),
    /// Append a hold with this reason.
    PlaceHold(String),
    /// Append the verdict that its annotation says.
    Review(Judged),
    /// Append that it is to stay until then, as its annotation says.
    Extend(Time),
    /// Write the receipt on it, and our finalizer with it where that is still missing.
    Acknowledge {
        /// Whether the finalizer goes on in the same patch.
        protect: bool,
    },
    /// The window is over: read back, then clean up like this.
    Release(Cleanup),
    /// Somebody deleted it and its record is there: read back, then take our finalizer off.
    LetGo,
    /// Somebody broke the glass, with this reason: let it go, recorded or not.
    BreakGlass(String),
}

/// Decides.
pub fn decide(situation: Situation<'_>, policy: Policy, now: Time) -> Step {
    let Situation { observed, known, .. } = situation;
    if let Some(reason) = &observed.release_unrecorded
        && observed.is_protected()
    {
        return Step::BreakGlass(reason.clone());
    }
    // Works while the database is down: what is not protected yet could vanish unseen.
    let may_protect = observed.deleted_at.is_none() && observed.release_unrecorded.is_none();
    if matches!(observed.state, State::Running) && may_protect && !observed.is_protected() {
        return Step::Protect;
    }
    let asks_nothing = matches!(observed.state, State::Running) && observed.hold.is_none();
    if asks_nothing {
        return Step::Watch;
    }
    let Some(known) = known else { return Step::Consult };

    match &observed.state {
        State::Ended(record) if !is_recorded(record, situation.digest, known) => return Step::Record,
        State::Unmappable(reason) if !is_quarantined(situation.digest, known) => {
            return match known.quarantined {
                // Its state may change at every heartbeat; the final one is kept in any case.
                Some((_, at)) if observed.deleted_at.is_none() && now < next_quarantine(at) => {
                    Step::WaitUntil(next_quarantine(at))
                }
                _ => Step::Quarantine(reason.clone()),
            };
        }
        _ => {}
    }
    let recorded = recorded(&observed.state, known);
    if let Some(reason) = &observed.hold
        && !known.held
    {
        return Step::PlaceHold(reason.clone());
    }
    if let (Ok(Some(judged)), Some(_)) = (&observed.review, recorded)
        && known
            .judged
            .as_ref()
            .is_none_or(|(verdict, note)| (*verdict, note) != (judged.verdict, &judged.note))
    {
        return Step::Review(judged.clone());
    }
    if observed.deleted_at.is_some() {
        return match recorded {
            // Whoever else is at work on it sees what is recorded so far.
            Some(recorded) if observed.has_foreign_finalizer() && !has_receipt(observed, recorded) => {
                Step::Acknowledge { protect: false }
            }
            _ if observed.has_foreign_finalizer() || !observed.is_protected() => Step::Watch,
            _ => Step::LetGo,
        };
    }
    match (&observed.state, recorded) {
        (State::Ended(_), Some(recorded)) => in_review(situation, known, recorded, policy, now),
        // What cannot be mapped may still be running: it is kept whole, protected, and never
        // deleted by us.
        (State::Unmappable(_), _) if may_protect && !observed.is_protected() => Step::Protect,
        _ => Step::Watch,
    }
}

/// Recorded and not deleted: acknowledge, keep for longer, hold, wait, release.
fn in_review(s: Situation<'_>, known: &Known, recorded: &Recorded, policy: Policy, now: Time) -> Step {
    let observed = s.observed;
    let closed = known.tracked == Some(TrackedState::Closed);
    let protect = !observed.is_protected() && !closed && observed.release_unrecorded.is_none();
    if protect || !has_receipt(observed, recorded) {
        return Step::Acknowledge { protect };
    }
    if let Some(until) = lengthens(observed, recorded, policy).filter(|&until| now < until)
        && observed.is_protected()
    {
        return Step::Extend(until);
    }
    if known.held || !observed.is_protected() {
        return Step::Watch;
    }
    let due = review_until(observed, recorded, policy);
    if now < due && !s.overfull {
        return Step::WaitUntil(due);
    }
    match policy.cleanup {
        Cleanup::Delete if observed.recreated_by.is_none() => Step::Release(Cleanup::Delete),
        _ => Step::Release(Cleanup::Retain),
    }
}

fn has_receipt(observed: &Observed, recorded: &Recorded) -> bool {
    observed.receipt.as_deref() == Some(&super::receipt_annotation(&recorded.receipt))
}

/// When the review window ends. It starts at the attempt's first `recorded_at`, so that the engine's
/// clock can neither stretch nor shorten it. In place of a window that cannot be read the operator's
/// holds. What the log says beside that makes it longer.
pub fn review_until(observed: &Observed, recorded: &Recorded, policy: Policy) -> Time {
    let window = match observed.window {
        Ok(Some(window)) => window,
        Ok(None) | Err(_) => policy.window,
    };
    recorded.extended_until.map_or_else(|| ends(recorded, window), |until| until.max(ends(recorded, window)))
}

/// When a window of this length ends.
fn ends(recorded: &Recorded, window: SignedDuration) -> Time {
    let micros = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    recorded.first_recorded_at.saturating_add_micros(micros)
}

/// When the window of its annotation ends, where that is later than it would end without, so that the log is to know.
fn lengthens(observed: &Observed, recorded: &Recorded, policy: Policy) -> Option<Time> {
    let until = ends(recorded, observed.window.as_ref().ok().copied().flatten()?);
    let is_known = recorded.extended_until.is_some_and(|known| until <= known);
    (!is_known && until > ends(recorded, policy.window)).then_some(until)
}

/// What is recorded of the very attempt that is seen.
pub(super) fn recorded<'a>(state: &State, known: &'a Known) -> Option<&'a Recorded> {
    match state {
        State::Ended(record) => known.attempt(record.started_at),
        State::Running | State::Unmappable(_) => None,
    }
}

/// Whether the latest revision of this very attempt says the same. One whose content is purged
/// counts as recorded. One that was seen to run again is not, though it may have ended as it had before: only what is
/// appended takes it out of what is in flight.
pub(super) fn is_recorded(record: &WorkflowExecutionAudit, digest: Option<Digest>, known: &Known) -> bool {
    let says_the_same =
        |recorded: &Recorded| recorded.content_digest.is_none() || recorded.content_digest == digest;
    !known.may_run(record.started_at) && known.attempt(record.started_at).is_some_and(says_the_same)
}

/// When an execution that cannot be mapped is kept again, having changed.
fn next_quarantine(kept_at: Time) -> Time {
    kept_at.saturating_add_micros(QUARANTINE_INTERVAL_MICROS)
}

pub(super) fn is_quarantined(digest: Option<Digest>, known: &Known) -> bool {
    known.quarantined.is_some_and(|(kept, _)| Some(kept) == digest)
}

#[cfg(test)]
mod tests;
