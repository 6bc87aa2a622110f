//! Executions are prepared ahead: put into the form they are stored in before their append begins.
//!
//! An append has its log to itself, so all others wait for what is done in it. What a body says depends
//! on what the log knows. But nearly every execution turns out to be the first revision of the attempt
//! that can be guessed, so that one is prepared, all but the time; when it turns out otherwise, it is
//! prepared anew.

use std::sync::Arc;

use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    digest::Digest,
    execution::{StoredExecution, Target},
    log::{Nonce, UndatedBody},
    statistics::Contribution,
};
use serde::Serialize;

use super::{Draft, DraftContent, ExecutionDraft, Origin};

/// An execution in the form it is stored in, but for when it is recorded.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// Where it is not stored as it was sent.
    record: Option<Box<WorkflowExecutionAudit>>,
    attempt: u32,
    revision: u32,
    body: UndatedBody,
    labels: String,
    step_executions: String,
    adaptive_adjustments: String,
    contribution: Arc<Contribution>,
}

/// An execution that is recorded now, in the form it is stored in.
pub(super) struct Prepared<'a> {
    pub(super) record: &'a WorkflowExecutionAudit,
    pub(super) revision: u32,
    pub(super) recorded_at: Time,
    pub(super) source_digest: Option<Digest>,
    /// SHA-256 of its body.
    pub(super) body_digest: Digest,
    /// JSON of its labels.
    pub(super) labels: &'a str,
    /// JSON of its steps.
    pub(super) step_executions: &'a str,
    /// JSON of its adjustments.
    pub(super) adaptive_adjustments: &'a str,
}

/// Which revision of an execution a draft becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Becomes {
    pub(super) attempt: u32,
    pub(super) revision: u32,
    /// Of the attempt's first revision, which later ones keep.
    pub(super) created_at: Option<Time>,
}

impl Draft {
    /// Something to append, prepared for it.
    pub fn new(nonce: Nonce, content: DraftContent) -> Self {
        let form = match &content {
            DraftContent::Execution(draft) => Some(Form::guess(draft, nonce)),
            _ => None,
        };
        Self { nonce, content, form }
    }
}

impl Form {
    /// The form of a draft that becomes that revision.
    pub(super) fn new(draft: &ExecutionDraft, nonce: Nonce, becomes: Becomes) -> Self {
        let Becomes { attempt, revision, created_at } = becomes;
        let kept = kept(&draft.record, attempt, created_at.unwrap_or(draft.record.created_at));
        let record = kept.as_deref().unwrap_or(&draft.record);
        let source_digest = draft.source.as_ref().map(|source| source.digest);
        Self {
            attempt,
            revision,
            body: UndatedBody::new(record, revision, source_digest, nonce),
            labels: json(&record.labels),
            step_executions: json(&record.step_executions),
            adaptive_adjustments: json(&record.adaptive_adjustments),
            contribution: Arc::new(Contribution::of(record)),
            record: kept,
        }
    }

    /// That of what a draft will most likely become.
    fn guess(draft: &ExecutionDraft, nonce: Nonce) -> Self {
        let attempt = match draft.origin {
            Origin::Resource | Origin::Quarantine { .. } => 1,
            Origin::Producer { .. } => draft.record.attempt,
        };
        Self::new(draft, nonce, Becomes { attempt, revision: 1, created_at: None })
    }

    /// What it contributes to the statistics.
    pub(super) fn contribution(&self) -> &Arc<Contribution> {
        &self.contribution
    }

    /// Whether this is what the draft becomes.
    pub(super) fn is(&self, becomes: Becomes) -> bool {
        becomes == Becomes { attempt: self.attempt, revision: self.revision, created_at: None }
    }

    /// The draft that this is the form of, recorded now.
    pub(super) fn recorded<'a>(&'a self, draft: &'a ExecutionDraft, recorded_at: Time) -> Prepared<'a> {
        Prepared {
            record: self.record.as_deref().unwrap_or(&draft.record),
            revision: self.revision,
            recorded_at,
            source_digest: draft.source.as_ref().map(|source| source.digest),
            body_digest: self.body.digest(recorded_at),
            labels: &self.labels,
            step_executions: &self.step_executions,
            adaptive_adjustments: &self.adaptive_adjustments,
        }
    }
}

/// An execution that is stored elsewhere, in the form it is stored in here.
pub(super) struct StoredForm<'a> {
    stored: &'a StoredExecution,
    body_digest: Digest,
    labels: String,
    step_executions: String,
    adaptive_adjustments: String,
}

impl<'a> StoredForm<'a> {
    /// The form of an execution whose body has this digest.
    pub(super) fn new(stored: &'a StoredExecution, body_digest: Digest) -> Self {
        let record = &stored.record;
        Self {
            stored,
            body_digest,
            labels: json(&record.labels),
            step_executions: json(&record.step_executions),
            adaptive_adjustments: json(&record.adaptive_adjustments),
        }
    }

    /// The execution as it was recorded.
    pub(super) fn recorded(&self) -> Prepared<'_> {
        let StoredExecution { record, revision, recorded_at, source_digest } = self.stored;
        Prepared {
            record,
            revision: *revision,
            recorded_at: *recorded_at,
            source_digest: *source_digest,
            body_digest: self.body_digest,
            labels: &self.labels,
            step_executions: &self.step_executions,
            adaptive_adjustments: &self.adaptive_adjustments,
        }
    }
}

fn json(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("the parts of a record are JSON")
}

/// The record as it is stored and hashed, where that is not as it was sent: with the attempt and
/// creation it is given, and, as columns cannot tell a target of which nothing is given from none, with
/// none.
fn kept(
    sent: &WorkflowExecutionAudit,
    attempt: u32,
    created_at: Time,
) -> Option<Box<WorkflowExecutionAudit>> {
    let target = sent.target.as_ref().filter(|target| !names_nothing(target));
    if sent.attempt == attempt && sent.created_at == created_at && sent.target.as_ref() == target {
        return None;
    }
    let target = target.cloned();
    Some(Box::new(WorkflowExecutionAudit { attempt, created_at, target, ..sent.clone() }))
}

/// Whether no part of a target is given.
pub(super) fn names_nothing(target: &Target) -> bool {
    *target == Target { api_version: None, kind: None, namespace: None, name: None }
}

#[cfg(test)]
mod tests {
    use dualaudit_record::log::execution_body;

    use super::*;
    use crate::store::conformance::sample::{at, from_producer, from_resource, hold, record};

    const NONCE: Nonce = Nonce([1; 16]);

    fn becomes(attempt: u32, revision: u32) -> Becomes {
        Becomes { attempt, revision, created_at: None }
    }

    #[test]
    fn an_execution_is_prepared_as_its_first_revision() {
        let sent = || WorkflowExecutionAudit { attempt: 9, ..record("a") };
        for (content, attempt) in [(from_resource(sent()), 1), (from_producer(sent(), None), 9)] {
            let Draft { content, form, .. } = Draft::new(NONCE, content);
            let DraftContent::Execution(draft) = &content else { unreachable!() };
            let form = form.unwrap();
            assert!(form.is(becomes(attempt, 1)));
            let prepared = form.recorded(draft, at(7));
            assert_eq!((prepared.record.attempt, prepared.revision), (attempt, 1));
            let body = execution_body(prepared.record, 1, at(7), prepared.source_digest, NONCE);
            assert_eq!(prepared.body_digest, Digest::sha256(&body));
        }
        assert!(Draft::new(NONCE, hold("a", "audit")).form.is_none());
    }

    #[test]
    fn only_what_it_was_prepared_as_is_right() {
        let form = Draft::new(NONCE, from_producer(record("a"), None)).form.unwrap();
        assert!(form.is(becomes(1, 1)));
        assert!(!form.is(becomes(2, 1)) && !form.is(becomes(1, 2)));
        assert!(!form.is(Becomes { created_at: Some(at(0)), ..becomes(1, 1) }));
    }

    #[test]
    fn a_record_is_copied_only_where_it_is_stored_otherwise_than_sent() {
        let nowhere = Target { api_version: None, kind: None, namespace: None, name: None };
        let sent = record("a");
        assert_eq!(kept(&sent, 1, sent.created_at), None);
        assert_eq!(kept(&sent, 2, sent.created_at).unwrap().attempt, 2);
        assert_eq!(kept(&sent, 1, at(7)).unwrap().created_at, at(7));
        let sent = WorkflowExecutionAudit { target: Some(nowhere), ..sent };
        assert_eq!(kept(&sent, 1, sent.created_at).unwrap().target, None);
    }
}
