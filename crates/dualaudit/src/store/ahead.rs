//! Executions are prepared ahead: while one draft of a batch is written, the next are put into the form
//! they are stored in, and hashed, on another thread.
//!
//! What a body says depends on what the log knows. But nearly every execution turns out to be the
//! first revision of the attempt that can be guessed, so that one is prepared; when it turns out
//! otherwise, it is prepared anew.

use std::{borrow::Cow, sync::mpsc::sync_channel, thread};

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    execution::{StoredExecution, Target},
    log::{Nonce, execution_body},
};
use serde::Serialize;

use super::{Draft, DraftContent, ExecutionDraft, Origin};

/// Drafts that change threads together, so that waking a thread up costs little for each.
const CHUNK: usize = 16;

/// Chunks that may wait for the writer.
const WAITING: usize = 4;

/// An execution in the form it is stored in.
pub(super) struct Prepared<'a> {
    /// Borrowed from the draft where it is stored as it was sent.
    pub(super) record: Cow<'a, WorkflowExecutionAudit>,
    pub(super) revision: u32,
    pub(super) recorded_at: Time,
    pub(super) source_digest: Option<Digest>,
    /// SHA-256 of its body.
    pub(super) body_digest: Digest,
    /// JSON of its labels.
    pub(super) labels: String,
    /// JSON of its steps.
    pub(super) step_executions: String,
    /// JSON of its adjustments.
    pub(super) adaptive_adjustments: String,
}

/// Which revision of an execution a draft becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Becomes {
    pub(super) attempt: u32,
    pub(super) revision: u32,
    pub(super) recorded_at: Time,
    /// Of the attempt's first revision, which later ones keep.
    pub(super) created_at: Option<Time>,
}

impl<'a> Prepared<'a> {
    /// Prepares a draft to become that revision.
    pub(super) fn new(draft: &'a ExecutionDraft, nonce: Nonce, becomes: Becomes) -> Self {
        let Becomes { attempt, revision, recorded_at, created_at } = becomes;
        let record = kept(&draft.record, attempt, created_at.unwrap_or(draft.record.created_at));
        let (labels, step_executions, adaptive_adjustments) =
            (json(&record.labels), json(&record.step_executions), json(&record.adaptive_adjustments));
        let source_digest = draft.source.as_ref().map(|source| source.digest);
        let body = execution_body(&record, revision, recorded_at, source_digest, nonce);
        let body_digest = Digest::sha256(&body);
        Self {
            record,
            revision,
            recorded_at,
            source_digest,
            body_digest,
            labels,
            step_executions,
            adaptive_adjustments,
        }
    }

    /// An execution as it is stored elsewhere, with the digest of its body.
    pub(super) fn of_stored(stored: &'a StoredExecution, body_digest: Digest) -> Self {
        let StoredExecution { record, revision, recorded_at, source_digest } = stored;
        Self {
            record: Cow::Borrowed(record),
            revision: *revision,
            recorded_at: *recorded_at,
            source_digest: *source_digest,
            body_digest,
            labels: json(&record.labels),
            step_executions: json(&record.step_executions),
            adaptive_adjustments: json(&record.adaptive_adjustments),
        }
    }

    /// This, if it is what the draft becomes.
    pub(super) fn if_right(self, becomes: Becomes) -> Option<Self> {
        let right = becomes.revision == self.revision
            && becomes.attempt == self.record.attempt
            && becomes.created_at.is_none();
        right.then_some(self)
    }

    /// A draft as what it will most likely become.
    fn guess(draft: &'a Draft, recorded_at: Time) -> Option<Self> {
        let Draft { nonce, content } = draft;
        let DraftContent::Execution(draft) = content else { return None };
        let attempt = match draft.origin {
            Origin::Resource => 1,
            Origin::Producer { .. } => draft.record.attempt,
        };
        let becomes = Becomes { attempt, revision: 1, recorded_at, created_at: None };
        Some(Self::new(draft, *nonce, becomes))
    }
}

fn json(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("the parts of a record are JSON")
}

/// Calls `each` on every draft in order, with what was prepared of it.
///
/// # Errors
/// The first of `each`, which is called no more then.
pub(super) fn try_each<'a, T, E>(
    drafts: &'a [Draft],
    recorded_at: Time,
    mut each: impl FnMut(&'a Draft, Option<Prepared<'a>>) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    if drafts.len() < 2 * CHUNK {
        return drafts.iter().map(|draft| each(draft, None)).collect();
    }
    let mut answers = Vec::with_capacity(drafts.len());
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || {
            for chunk in drafts.chunks(CHUNK) {
                let prepared: Vec<_> =
                    chunk.iter().map(|draft| Prepared::guess(draft, recorded_at)).collect();
                // The receiver goes away at an error.
                if sender.send(prepared).is_err() {
                    return;
                }
            }
        });
        for (draft, prepared) in drafts.iter().zip(receiver.into_iter().flatten()) {
            answers.push(each(draft, prepared)?);
        }
        Ok(answers)
    })
}

/// The record as it is stored and hashed: with the attempt and creation it is given, and, as columns
/// cannot tell a target of which nothing is given from none, with none.
fn kept(sent: &WorkflowExecutionAudit, attempt: u32, created_at: Time) -> Cow<'_, WorkflowExecutionAudit> {
    let target = sent.target.as_ref().filter(|target| !names_nothing(target));
    if sent.attempt == attempt && sent.created_at == created_at && sent.target.as_ref() == target {
        return Cow::Borrowed(sent);
    }
    let target = target.cloned();
    Cow::Owned(WorkflowExecutionAudit { attempt, created_at, target, ..sent.clone() })
}

/// Whether no part of a target is given.
pub(super) fn names_nothing(target: &Target) -> bool {
    *target == Target { api_version: None, kind: None, namespace: None, name: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::sample::{at, batch, from_producer, from_resource, hold, record};

    fn becomes(attempt: u32, revision: u32) -> Becomes {
        Becomes { attempt, revision, recorded_at: at(1), created_at: None }
    }

    #[test]
    fn drafts_come_in_their_order_prepared_as_their_first_revision() {
        for count in [0, 1, 2 * CHUNK - 1, 2 * CHUNK, 500] {
            let contents = (0..count).map(|n| match n % 3 {
                0 => from_resource(WorkflowExecutionAudit { attempt: 9, ..record(&n.to_string()) }),
                1 => from_producer(WorkflowExecutionAudit { attempt: 9, ..record(&n.to_string()) }, None),
                _ => hold(&n.to_string(), "audit"),
            });
            let mut next = 0;
            let each = |draft: &Draft, prepared: Option<Prepared<'_>>| {
                let n = next;
                next += 1;
                assert_eq!(prepared.is_some(), count >= 2 * CHUNK && n % 3 != 2);
                if let (DraftContent::Execution(sent), Some(prepared)) = (&draft.content, prepared) {
                    let attempt = if n % 3 == 0 { 1 } else { 9 };
                    let anew = Prepared::new(sent, draft.nonce, becomes(attempt, 1));
                    assert_eq!((&prepared.record.id, prepared.revision), (&n.to_string(), 1));
                    assert_eq!(prepared.record, anew.record);
                    assert_eq!(prepared.body_digest, anew.body_digest);
                }
                Ok::<_, ()>(n)
            };
            let answers = try_each(&batch(contents).drafts, at(1), each).unwrap();
            assert_eq!(answers, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_what_it_was_prepared_as_is_right() {
        let content = from_producer(record("a"), None);
        let DraftContent::Execution(draft) = &content else { unreachable!() };
        let right = |what| Prepared::new(draft, Nonce([1; 16]), becomes(1, 1)).if_right(what).is_some();
        assert!(right(becomes(1, 1)));
        assert!(!right(becomes(2, 1)) && !right(becomes(1, 2)));
        assert!(!right(Becomes { created_at: Some(at(0)), ..becomes(1, 1) }));
    }

    #[test]
    fn a_record_is_copied_only_where_it_is_stored_otherwise_than_sent() {
        let nowhere = Target { api_version: None, kind: None, namespace: None, name: None };
        let sent = record("a");
        assert!(matches!(kept(&sent, 1, sent.created_at), Cow::Borrowed(_)));
        assert_eq!(kept(&sent, 2, sent.created_at).attempt, 2);
        assert_eq!(kept(&sent, 1, at(7)).created_at, at(7));
        let sent = WorkflowExecutionAudit { target: Some(nowhere), ..sent };
        assert_eq!(kept(&sent, 1, sent.created_at).target, None);
    }

    #[test]
    fn an_error_stops_everything() {
        let contents = (0..500).map(|n| from_resource(record(&n.to_string())));
        let mut calls = 0;
        let each = |_: &Draft, _: Option<Prepared<'_>>| {
            calls += 1;
            if calls == 7 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(try_each(&batch(contents).drafts, at(1), each), Err("enough"));
        assert_eq!(calls, 7);
    }
}
