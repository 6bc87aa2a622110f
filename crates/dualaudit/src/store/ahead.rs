//! Bodies are hashed ahead: while one draft of a batch is written, the next are hashed on another
//! thread.
//!
//! What a body says depends on what the log knows. But nearly every execution turns out to be the
//! first revision of the attempt that can be guessed, so that one is hashed; when it turns out
//! otherwise, the guess is thrown away.

use std::{sync::mpsc::sync_channel, thread};

use dualaudit_record::{
    Entry, Time, WorkflowExecutionAudit,
    digest::Digest,
    execution::{StoredExecution, Target},
    log::{Nonce, body},
};

use super::{Draft, DraftContent, ExecutionDraft, Origin};

/// Drafts that change threads together, so that waking a thread up costs little for each.
const CHUNK: usize = 16;

/// Chunks that may wait for the writer.
const WAITING: usize = 4;

/// The digest of a draft's body, should it become revision 1 of this attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    attempt: u32,
    body_digest: Digest,
}

impl Guess {
    /// The digest, if this is what the draft became.
    pub(super) fn if_right(self, attempt: u32, revision: u32) -> Option<Digest> {
        (revision == 1 && attempt == self.attempt).then_some(self.body_digest)
    }
}

/// Calls `each` on every draft in order, with what was guessed of it.
///
/// # Errors
/// The first of `each`, which is called no more then.
pub(super) fn try_each<T, E>(
    drafts: Vec<Draft>,
    recorded_at: Time,
    mut each: impl FnMut(Draft, Option<Guess>) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    if drafts.len() < 2 * CHUNK {
        return drafts.into_iter().map(|draft| each(draft, None)).collect();
    }
    let mut answers = Vec::with_capacity(drafts.len());
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        scope.spawn(move || {
            let mut drafts = drafts.into_iter().map(|draft| guess(draft, recorded_at));
            loop {
                let chunk: Vec<_> = drafts.by_ref().take(CHUNK).collect();
                // The receiver goes away at an error.
                if chunk.is_empty() || sender.send(chunk).is_err() {
                    return;
                }
            }
        });
        for (draft, guess) in receiver.into_iter().flatten() {
            answers.push(each(draft, guess)?);
        }
        Ok(answers)
    })
}

fn guess(draft: Draft, recorded_at: Time) -> (Draft, Option<Guess>) {
    let Draft { nonce, content } = draft;
    let DraftContent::Execution(draft) = content else { return (Draft { nonce, content }, None) };
    let ExecutionDraft { record, content_digest, origin, source } = *draft;
    let mut execution = StoredExecution {
        revision: 1,
        recorded_at,
        source_digest: source.as_ref().map(|source| source.digest),
        record: kept(record),
    };
    if origin == Origin::Resource {
        execution.record.attempt = 1;
    }
    let attempt = execution.record.attempt;
    let (execution, body_digest) = hash(execution, nonce);
    let record = execution.record;
    let draft = ExecutionDraft { record, content_digest, origin, source };
    let content = DraftContent::Execution(Box::new(draft));
    (Draft { nonce, content }, Some(Guess { attempt, body_digest }))
}

fn hash(execution: StoredExecution, nonce: Nonce) -> (StoredExecution, Digest) {
    let entry = Entry::Execution(Box::new(execution));
    let digest = Digest::sha256(&body(&entry, nonce));
    let Entry::Execution(execution) = entry else { unreachable!("it was made above") };
    (*execution, digest)
}

/// The record as it is stored and hashed: columns cannot tell a target of which nothing is given
/// from none, so it is kept as none.
pub(super) fn kept(mut record: WorkflowExecutionAudit) -> WorkflowExecutionAudit {
    record.target = record.target.filter(|target| !names_nothing(target));
    record
}

/// Whether no part of a target is given.
pub(super) fn names_nothing(target: &Target) -> bool {
    *target == Target { api_version: None, kind: None, namespace: None, name: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::sample::{at, batch, from_producer, from_resource, hold, record};

    #[test]
    fn drafts_come_in_their_order_with_the_digest_of_their_first_revision() {
        for count in [0, 1, 2 * CHUNK - 1, 2 * CHUNK, 500] {
            let contents = (0..count).map(|n| match n % 3 {
                0 => from_resource(WorkflowExecutionAudit { attempt: 9, ..record(&n.to_string()) }),
                1 => from_producer(WorkflowExecutionAudit { attempt: 9, ..record(&n.to_string()) }, None),
                _ => hold(&n.to_string(), "audit"),
            });
            let mut next = 0;
            let each = |draft: Draft, guess: Option<Guess>| {
                let n = next;
                next += 1;
                assert_eq!(guess.is_some(), count >= 2 * CHUNK && n % 3 != 2);
                if let (DraftContent::Execution(draft), Some(guess)) = (&draft.content, guess) {
                    assert_eq!(draft.record.id, n.to_string());
                    assert_eq!(guess.if_right(1, 1).is_some(), n % 3 == 0);
                    assert_eq!(guess.if_right(9, 1).is_some(), n % 3 == 1);
                    assert_eq!(guess.if_right(guess.attempt, 2), None);
                }
                Ok::<_, ()>(n)
            };
            let answers = try_each(batch(contents).drafts, at(1), each).unwrap();
            assert_eq!(answers, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_stops_everything() {
        let contents = (0..500).map(|n| from_resource(record(&n.to_string())));
        let mut calls = 0;
        let each = |_: Draft, _: Option<Guess>| {
            calls += 1;
            if calls == 7 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(try_each(batch(contents).drafts, at(1), each), Err("enough"));
        assert_eq!(calls, 7);
    }
}
