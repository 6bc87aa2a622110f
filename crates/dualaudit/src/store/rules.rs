//! What an append decides, apart from any database: every store asks these functions.

use dualaudit_record::{
    Entry, Time,
    canonical::canonical,
    digest::Digest,
    entry::{Covers, Erasure, Gap, Hold, Quarantine, Review},
    log::Nonce,
};

use super::{
    ExecutionDraft, Origin, Receipt, ReceiptResult, Recorded, Refusal, RunningAttempt, TrackedState,
    windows::{Windows, window_key},
};

/// One revision of an execution id that the log has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) attempt: u32,
    pub(super) revision: u32,
    /// Tells the attempts of one resource apart.
    pub(super) started_at: Option<Time>,
    /// What its content is compared by; gone once purged or erased.
    pub(super) content_digest: Option<Digest>,
    /// Whether it lost its personal fields, and is there otherwise.
    pub(super) is_erased: bool,
    /// `created_at` of its row; gone once purged.
    pub(super) created_at: Option<Time>,
    pub(super) index: u64,
    pub(super) leaf_hash: Digest,
    pub(super) recorded_at: Time,
}

impl Revision {
    /// Whether it is gone, all but its entry.
    pub(super) fn is_purged(&self) -> bool {
        self.content_digest.is_none() && !self.is_erased
    }
}

/// The latest revision of each attempt, with its window; `revisions` come in the order of attempt and revision.
pub(super) fn recorded(log: &str, id: &str, revisions: &[Revision], windows: &Windows) -> Vec<Recorded> {
    let attempts = revisions.chunk_by(|a, b| a.attempt == b.attempt);
    attempts
        .filter_map(|attempt| Some((attempt.first()?, attempt.last()?)))
        .map(|(first, latest)| Recorded {
            receipt: Receipt {
                id: id.to_owned(),
                attempt: Some(latest.attempt),
                revision: Some(latest.revision),
                log: log.to_owned(),
                index: latest.index,
                leaf_hash: latest.leaf_hash,
                recorded_at: latest.recorded_at,
                result: ReceiptResult::first(Some(latest.revision)),
            },
            content_digest: latest.content_digest,
            started_at: latest.started_at,
            first_recorded_at: first.recorded_at,
            extended_until: windows.until(latest.attempt),
        })
        .collect()
}

/// What becomes of an execution draft.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision<'a> {
    /// It is there already, as this revision.
    Duplicate(&'a Revision),
    /// It becomes this revision of this attempt.
    New {
        attempt: u32,
        revision: u32,
        /// Of the attempt's first revision, which later ones keep.
        created_at: Option<Time>,
    },
    /// It contradicts what is there.
    Refuse(Refusal),
}

/// Decides an execution draft, given every revision of its id in the order of attempt and revision.
pub(super) fn execution<'a>(known: &'a [Revision], draft: &ExecutionDraft) -> Decision<'a> {
    match draft.origin {
        Origin::Resource => from_resource(known, draft),
        Origin::Producer { amend } => from_producer(known, draft, amend),
        Origin::Quarantine { entry } => from_quarantine(known, draft, entry),
    }
}

fn from_resource<'a>(known: &'a [Revision], draft: &ExecutionDraft) -> Decision<'a> {
    let same_attempt = latest_of_attempts(known).find(|latest| latest.started_at == draft.record.started_at);
    let Some(latest) = same_attempt else {
        let attempt = known.last().map_or(0, |latest| latest.attempt) + 1;
        return Decision::New { attempt, revision: 1, created_at: None };
    };
    // Of what was erased there may be more to erase: nothing comes after it.
    if known.iter().any(|known| known.attempt == latest.attempt && known.content_digest.is_none()) {
        return Decision::Duplicate(first_of(known, latest.attempt));
    }
    match latest.content_digest == Some(draft.content_digest) {
        true => Decision::Duplicate(latest),
        false => next_of(latest),
    }
}

fn from_quarantine<'a>(known: &'a [Revision], draft: &ExecutionDraft, entry: u64) -> Decision<'a> {
    let same_attempt = latest_of_attempts(known).find(|latest| latest.started_at == draft.record.started_at);
    let Some(latest) = same_attempt else { return from_resource(known, draft) };
    // After what was purged or erased nothing comes.
    if known.iter().any(|known| known.attempt == latest.attempt && known.content_digest.is_none()) {
        return Decision::Duplicate(first_of(known, latest.attempt));
    }
    // The same content is a revision, too: it says that the object is accounted for.
    if latest.index < entry { next_of(latest) } else { Decision::Duplicate(latest) }
}

fn from_producer<'a>(known: &'a [Revision], draft: &ExecutionDraft, amend: Option<u32>) -> Decision<'a> {
    let attempt = draft.record.attempt;
    let revisions = || known.iter().filter(move |known| known.attempt == attempt);
    let Some(latest) = revisions().next_back() else {
        return match amend {
            None => Decision::New { attempt, revision: 1, created_at: None },
            Some(_) => Decision::Refuse(Refusal::Stale { latest_revision: None }),
        };
    };
    if revisions().any(|known| known.content_digest.is_none()) {
        return Decision::Duplicate(first_of(known, attempt));
    }
    if let Some(same) = revisions().rfind(|known| known.content_digest == Some(draft.content_digest)) {
        return Decision::Duplicate(same);
    }
    match amend {
        None => Decision::Refuse(Refusal::Conflict { latest_revision: latest.revision }),
        Some(revision) if revision == latest.revision => next_of(latest),
        Some(_) => Decision::Refuse(Refusal::Stale { latest_revision: Some(latest.revision) }),
    }
}

/// Whether the statistics count a revision of an attempt, given every one before it in the order of attempt and
/// revision: they count the latest revision of an execution's last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// There is a later attempt.
    Not,
    /// Beside whatever was purged before, which keeps what it gave.
    Also,
    /// In the place of the latest revision of this attempt.
    InsteadOf(u32),
}

/// See [`Counted`].
pub(super) fn counted(known: &[Revision], attempt: u32) -> Counted {
    match known.last() {
        Some(last) if last.attempt > attempt => Counted::Not,
        Some(last) if !last.is_purged() => Counted::InsteadOf(last.attempt),
        _ => Counted::Also,
    }
}

/// The latest revision of the attempt that a review is of, or a window for, given every revision of its execution; of
/// its last attempt unless one is named.
///
/// # Errors
/// Why it cannot be reviewed.
pub(super) fn reviewed(known: &[Revision], attempt: Option<u32>) -> Result<&Revision, Refusal> {
    let last = known.last().ok_or(Refusal::NothingRecorded)?;
    let attempt = attempt.unwrap_or(last.attempt);
    let latest = latest_of_attempts(known).find(|latest| latest.attempt == attempt);
    let latest = latest.ok_or(Refusal::NoAttempt { latest: last.attempt })?;
    if latest.is_purged() { Err(Refusal::Purged) } else { Ok(latest) }
}

/// The latest revision of each attempt, newest attempt first.
fn latest_of_attempts(known: &[Revision]) -> impl Iterator<Item = &Revision> {
    known.chunk_by(|a, b| a.attempt == b.attempt).rev().filter_map(<[_]>::last)
}

/// Whether an id was recorded, and all that was recorded of it was purged.
pub(super) fn is_all_purged(known: &[Revision]) -> bool {
    !known.is_empty() && known.iter().all(Revision::is_purged)
}

fn first_of(known: &[Revision], attempt: u32) -> &Revision {
    known.iter().find(|known| known.attempt == attempt).expect("the attempt was found among them")
}

fn next_of(latest: &Revision) -> Decision<'_> {
    Decision::New { attempt: latest.attempt, revision: latest.revision + 1, created_at: latest.created_at }
}

/// A tracked row, as far as decisions go by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TrackedAs {
    pub(super) state: TrackedState,
    pub(super) started_at: Option<Time>,
    pub(super) last_seen_at: Time,
    pub(super) is_running: bool,
}

impl TrackedAs {
    /// The attempt that runs, as far as that tells.
    pub(super) fn running(self) -> Option<RunningAttempt> {
        self.is_running.then_some(RunningAttempt { started_at: self.started_at })
    }
}

/// Whether an execution that is gone is no gap: it is recorded, quarantined or closed.
///
/// A gap without a start stands for whatever attempt there was. `quarantined` is when the newest
/// object of it was; what was seen to go on after that is owed all the same.
pub(super) fn is_accounted(
    known: &[Revision],
    quarantined: Option<Time>,
    tracked: Option<TrackedAs>,
    started_at: Option<Time>,
) -> bool {
    let recorded = match started_at {
        None => !known.is_empty(),
        Some(_) => has_attempt(known, started_at),
    };
    match tracked {
        _ if recorded => true,
        Some(TrackedAs { state: TrackedState::Closed, .. }) => true,
        Some(TrackedAs { last_seen_at, .. }) => quarantined.is_some_and(|at| at >= last_seen_at),
        None => quarantined.is_some(),
    }
}

fn has_attempt(known: &[Revision], started_at: Option<Time>) -> bool {
    latest_of_attempts(known).any(|latest| latest.started_at == started_at)
}

/// Whether the attempt of a tracked row was overtaken by the one that is now seen or recorded.
///
/// An attempt that had not begun is the one that now has. A draft may also be older than what is
/// tracked (its append had to be repeated): `recorded` says that it is a draft's start we look at. A
/// resource that is merely seen without a start is no other attempt: some engines clear it for a while.
pub(super) fn is_overtaken(tracked: TrackedAs, by: Option<Time>, recorded: bool) -> bool {
    let TrackedAs { state: TrackedState::Open, started_at: Some(started_at), .. } = tracked else {
        return false;
    };
    match by {
        None => recorded,
        Some(by) => by != started_at && !(recorded && by < started_at),
    }
}

/// Whether the attempt that is tracked, and runs as far as that tells, is the one that is accounted for by what began
/// then.
pub(super) fn runs_no_more(tracked: TrackedAs, started_at: Option<Time>) -> bool {
    tracked.is_running && (tracked.started_at.is_none() || tracked.started_at == started_at)
}

/// The idempotency key of a gap: an attempt is missing once, for the cause that was told first.
pub(super) fn gap_key(gap: &Gap) -> String {
    match gap.started_at {
        Some(started_at) => format!("gap:{}:{started_at}", gap.execution_id),
        None => format!("gap:{}:-", gap.execution_id),
    }
}

/// The idempotency key of a quarantine: one for each object of an execution.
pub(super) fn quarantine_key(quarantine: &Quarantine) -> String {
    format!("quarantine:{}:{}", quarantine.execution_id, quarantine.source_digest)
}

/// The idempotency key of the hold that follows `earlier` released ones on the same with the same reason.
pub(super) fn hold_key(hold: &Hold, earlier: u64) -> String {
    let reason = Digest::sha256(hold.reason.as_bytes());
    match &hold.covers {
        Covers::ExecutionId(id) => format!("hold:{id}:{reason}:{earlier}"),
        Covers::Selector(selector) => {
            format!("hold-selector:{}:{reason}:{earlier}", Digest::sha256(&canonical(selector)))
        }
    }
}

/// The idempotency key of the release of the hold whose entry has this index.
pub(super) fn release_key(hold: u64) -> String {
    format!("release:{hold}")
}

/// The idempotency key of a part of a plan.
pub(super) fn purge_key(plan: &str, part: u32) -> String {
    format!("purge:{plan}:{part}")
}

/// The idempotency key of an erasure: each entry is erased once.
pub(super) fn erasure_key(erasure: &Erasure) -> String {
    let first = erasure.entries.first().map_or_else(|| "-".to_owned(), |entry| entry.index.to_string());
    format!("{ERASURE}{}:{first}", erasure.execution_id)
}

/// What the idempotency keys of erasures begin with, and of no other entry.
pub(super) const ERASURE: &str = "erasure:";

/// The idempotency key of the review that follows the one of entry `before` on the same attempt.
pub(super) fn review_key(review: &Review, before: Option<u64>) -> String {
    let before = before.map_or_else(|| "-".to_owned(), |index| index.to_string());
    format!("{REVIEW}{}:{}:{before}", review.execution_id, review.attempt)
}

/// What the idempotency keys of reviews begin with, and of no other entry.
pub(super) const REVIEW: &str = "review:";

/// The idempotency key of an entry that changes nothing but the log.
pub(super) fn note_key(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Heartbeat(heartbeat) => Some(format!("heartbeat:{}", heartbeat.size)),
        Entry::Succession(_) => Some("succession".to_owned()),
        Entry::Digest(digest) => Some(format!("digest:{}", digest.since)),
        Entry::Export(export) => Some(format!("export:{}", export.export)),
        Entry::Access(access) => Some(format!("access:{}", access.access)),
        Entry::Execution(_)
        | Entry::Gap(_)
        | Entry::Quarantine(_)
        | Entry::Hold(_)
        | Entry::HoldRelease(_)
        | Entry::Purge(_)
        | Entry::Review(_)
        | Entry::Window(_)
        | Entry::Erasure(_) => None,
    }
}

/// Checks the idempotency key that an entry is stored under against what the entry says.
///
/// A hold's ends in how many with its reason were released before it, a review's in which review it follows. Only the
/// entries before them say that: any number is right that is written as [`hold_key`] and [`review_key`] write it.
///
/// # Errors
/// The key it should have.
pub fn check_key(entry: &Entry, key: Option<&str>) -> Result<(), String> {
    let expected = match entry {
        Entry::Execution(_) => None,
        Entry::Gap(gap) => Some(gap_key(gap)),
        Entry::Quarantine(quarantine) => Some(quarantine_key(quarantine)),
        Entry::Hold(hold) => {
            let number = key.and_then(|key| key.rsplit_once(':')).and_then(|(_, number)| number.parse().ok());
            Some(hold_key(hold, number.unwrap_or(0)))
        }
        Entry::HoldRelease(release) => Some(release_key(release.hold)),
        Entry::Review(review) => {
            let before = key.and_then(|key| key.rsplit_once(':')).and_then(|(_, number)| number.parse().ok());
            Some(review_key(review, before))
        }
        Entry::Window(window) => Some(window_key(&window.execution_id, window.attempt, window.until)),
        Entry::Purge(purge) => Some(purge_key(&purge.plan, purge.part)),
        Entry::Erasure(erasure) => Some(erasure_key(erasure)),
        Entry::Heartbeat(_)
        | Entry::Succession(_)
        | Entry::Digest(_)
        | Entry::Export(_)
        | Entry::Access(_) => note_key(entry),
    };
    if expected.as_deref() == key { Ok(()) } else { Err(expected.unwrap_or_else(|| "none".to_owned())) }
}

/// The nonce of a gap that the store adds of its own accord: from the nonce of the draft that brought
/// it to light, or the log's secret, and the gap's idempotency key.
pub(super) fn derived_nonce(random: &[u8], key: &str) -> Nonce {
    let mut input = b"dualaudit derived nonce\0".to_vec();
    input.extend_from_slice(random);
    input.extend_from_slice(key.as_bytes());
    Nonce(*Digest::sha256(&input).0.first_chunk().expect("32 bytes begin with 16"))
}

#[cfg(test)]
mod tests {
    use dualaudit_record::entry::GapCause;

    use super::*;
    use crate::store::conformance::sample::{at, gap, started};

    const A: Digest = Digest([1; 32]);
    const B: Digest = Digest([2; 32]);
    const C: Digest = Digest([3; 32]);

    fn revision(attempt: u32, revision: u32, second: i64, content: Option<Digest>) -> Revision {
        Revision {
            attempt,
            revision,
            started_at: Some(at(second)),
            content_digest: content,
            is_erased: false,
            created_at: Some(at(-i64::from(attempt))),
            index: u64::from(attempt * 10 + revision),
            leaf_hash: Digest([9; 32]),
            recorded_at: at(100),
        }
    }

    fn draft(origin: Origin, attempt: u32, second: i64, content_digest: Digest) -> ExecutionDraft {
        let mut record = started("a", at(second));
        record.attempt = attempt;
        ExecutionDraft { record, content_digest, origin, source: None }
    }

    fn row(state: TrackedState, started_at: Option<i64>, last_seen_at: i64) -> TrackedAs {
        let is_running = state == TrackedState::Open;
        TrackedAs { state, started_at: started_at.map(at), last_seen_at: at(last_seen_at), is_running }
    }

    fn new(attempt: u32, revision: u32) -> Decision<'static> {
        let created_at = (revision > 1).then(|| at(-i64::from(attempt)));
        Decision::New { attempt, revision, created_at }
    }

    #[test]
    fn an_object_in_quarantine_is_compared_with_what_was_recorded_of_its_attempt_since() {
        // Entry 11 is the first attempt, 12 its revision, 21 the second attempt, which was purged.
        let known = [revision(1, 1, 0, Some(A)), revision(1, 2, 0, Some(B)), revision(2, 1, 60, None)];
        for (entry, second, content, expected) in [
            (11, 0, C, Decision::Duplicate(&known[1])),
            (12, 0, C, Decision::Duplicate(&known[1])),
            (13, 0, C, new(1, 3)),
            (13, 0, B, new(1, 3)),
            (30, 60, C, Decision::Duplicate(&known[2])),
            (5, 120, C, new(3, 1)),
        ] {
            let draft = draft(Origin::Quarantine { entry }, 7, second, content);
            assert_eq!(execution(&known, &draft), expected, "{entry} {second}");
        }
        assert_eq!(execution(&[], &draft(Origin::Quarantine { entry: 5 }, 7, 0, A)), new(1, 1));
    }

    #[test]
    fn a_resource_is_compared_with_the_latest_revision_of_the_attempt_that_began_with_it() {
        let known = [
            revision(1, 1, 0, Some(A)),
            revision(1, 2, 0, Some(B)),
            revision(2, 1, 60, Some(A)),
            revision(4, 1, 90, None),
            revision(4, 2, 90, None),
        ];
        for (second, content, expected) in [
            (0, B, Decision::Duplicate(&known[1])),
            (0, A, new(1, 3)),
            (0, C, new(1, 3)),
            (60, A, Decision::Duplicate(&known[2])),
            (60, B, new(2, 2)),
            (90, C, Decision::Duplicate(&known[3])),
            (120, A, new(5, 1)),
        ] {
            // What a resource says of its attempt counts for nothing.
            assert_eq!(execution(&known, &draft(Origin::Resource, 7, second, content)), expected, "{second}");
        }
        assert_eq!(execution(&[], &draft(Origin::Resource, 7, 0, A)), new(1, 1));
    }

    #[test]
    fn a_producer_is_compared_with_every_revision_of_the_attempt_it_names() {
        let known = [
            revision(1, 1, 0, Some(A)),
            revision(1, 2, 0, Some(B)),
            revision(3, 1, 0, None),
            revision(3, 2, 0, None),
        ];
        let conflict = |latest_revision| Decision::Refuse(Refusal::Conflict { latest_revision });
        let stale = |latest_revision| Decision::Refuse(Refusal::Stale { latest_revision });
        for (attempt, content, amend, expected) in [
            (1, A, None, Decision::Duplicate(&known[0])),
            (1, B, None, Decision::Duplicate(&known[1])),
            (1, C, None, conflict(2)),
            (1, C, Some(2), new(1, 3)),
            (1, C, Some(1), stale(Some(2))),
            (1, C, Some(3), stale(Some(2))),
            (1, A, Some(2), Decision::Duplicate(&known[0])),
            (2, A, None, new(2, 1)),
            (2, A, Some(1), stale(None)),
            (3, C, None, Decision::Duplicate(&known[2])),
            (3, C, Some(2), Decision::Duplicate(&known[2])),
        ] {
            let draft = draft(Origin::Producer { amend }, attempt, 0, content);
            assert_eq!(execution(&known, &draft), expected, "attempt {attempt}, amend {amend:?}");
        }
    }

    #[test]
    fn what_is_recorded_quarantined_or_closed_is_no_gap() {
        let known = [revision(1, 1, 0, Some(A))];
        use TrackedState::{Closed, Open};
        for (known, quarantined, tracked, second, expected) in [
            (&known[..], None, None, Some(0), true),
            (&known, None, None, None, true),
            (&known, None, Some((Open, 70)), Some(60), false),
            (&known, None, Some((Closed, 70)), Some(60), true),
            (&known, Some(70), None, Some(60), true),
            (&known, Some(60), Some((Open, 70)), Some(0), true),
            (&[], None, None, None, false),
            (&[], None, Some((Open, 70)), Some(0), false),
            (&[], Some(70), Some((Open, 70)), None, true),
            // It went on after what could not be mapped.
            (&[], Some(69), Some((Open, 70)), None, false),
            (&[], Some(69), Some((Closed, 70)), None, true),
        ] {
            let row = tracked.map(|(state, seen)| row(state, None, seen));
            let found = is_accounted(known, quarantined.map(at), row, second.map(at));
            assert_eq!(found, expected, "{quarantined:?} {tracked:?} {second:?}");
        }
    }

    #[test]
    fn an_open_attempt_that_had_begun_is_overtaken_by_another() {
        use TrackedState::{Closed, Open};
        for (state, tracked, by, recorded, expected) in [
            (Open, Some(0), Some(60), true, true),
            (Open, Some(0), Some(60), false, true),
            (Open, Some(0), Some(0), true, false),
            (Open, Some(60), Some(0), true, false),
            (Open, Some(60), Some(0), false, true),
            (Open, Some(0), None, true, true),
            (Open, Some(0), None, false, false),
            (Open, None, Some(0), true, false),
            (Closed, Some(0), Some(60), true, false),
        ] {
            let found = is_overtaken(row(state, tracked, 0), by.map(at), recorded);
            assert_eq!(found, expected, "{state:?} {tracked:?} {by:?} {recorded}");
        }
    }

    #[test]
    fn derived_nonces_differ_by_what_they_come_from_and_what_they_are_for() {
        let nonces = [
            derived_nonce(&[1; 16], "gap:a"),
            derived_nonce(&[1; 16], "gap:b"),
            derived_nonce(&[2; 16], "gap:a"),
        ];
        assert!(nonces[0] != nonces[1] && nonces[0] != nonces[2] && nonces[1] != nonces[2]);
    }
    #[test]
    fn an_entry_has_the_key_of_what_it_says() {
        let hold = |reason: &str| Hold {
            covers: Covers::ExecutionId("a:b".to_owned()),
            reason: reason.to_owned(),
            actor: "me".to_owned(),
        };
        let entry = Entry::Hold(hold("audit"));
        for number in [0, 7, u64::MAX] {
            assert_eq!(check_key(&entry, Some(&hold_key(&hold("audit"), number))), Ok(()));
        }
        let right = hold_key(&hold("audit"), 0);
        let prefix = right.strip_suffix('0').unwrap();
        for number in ["", "-1", "+1", "01", "1 ", "x", "18446744073709551616"] {
            let wrong = format!("{prefix}{number}");
            assert!(check_key(&entry, Some(&wrong)).is_err(), "{wrong}");
        }
        assert_eq!(check_key(&entry, Some(&hold_key(&hold("other"), 0))), Err(right.clone()));
        assert_eq!(check_key(&entry, None), Err(right));
        let gap = Entry::Gap(gap("a", Some(at(0)), GapCause::Vanished));
        assert_eq!(check_key(&gap, Some("gap:a:2025-10-09T08:53:20.000000Z")), Ok(()));
        check_key(&gap, Some("gap:a:-")).unwrap_err();
    }
}
