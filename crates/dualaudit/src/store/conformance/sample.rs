//! Records and batches to test with.

use std::{collections::BTreeMap, sync::Arc};

use dualaudit_record::{
    Entry, EntryKind, Time, WorkflowExecutionAudit,
    access::{Access, Act, Decision, Event},
    digest::{Digest, content_digest},
    entry::{Covers, Gap, GapCause, Hold, Quarantine, Verdict},
    execution::{
        AdaptiveAdjustment, AdjustmentType, Outcome, QUARANTINE_LABEL, ScoreSource, Source, Status,
        StepExecutionAudit, StepStatus, Target,
    },
    export::{Export, ExportFormat, ExportedLog, Scope},
    log::Nonce,
};

use crate::store::{
    Answer, Batch, Detail, Draft, DraftContent, ExecutionDraft, LogOpening, Lookup, Origin, Owner, Receipt,
    ReviewDraft, Running, SourceObject, Store, Tracked, TrackedState, TrackingChange, Wanted, WindowDraft,
};

pub(crate) const LOG: &str = "default";

/// That many seconds after a fixed instant.
pub(crate) fn at(seconds: i64) -> Time {
    Time::from_micros(1_760_000_000_000_000 + seconds * 1_000_000).unwrap()
}

pub(crate) fn opening(log: &str) -> LogOpening {
    LogOpening {
        log: log.to_owned(),
        owner: Owner::Cluster("5f0c".to_owned()),
        origin: format!("dualaudit.dev/{log}"),
        secret: [7; 32],
        now: at(0),
    }
}

pub(crate) async fn open(store: &dyn Store, log: &str) {
    store.open_log(opening(log)).await.unwrap();
}

/// A record that uses every field.
pub(crate) fn record(id: &str) -> WorkflowExecutionAudit {
    let step = |number: u32| StepExecutionAudit {
        step_number: number,
        action: format!("restart-deployment-{number}"),
        duration: 1_500_000_000 + u64::from(number),
        status: if number == 3 { StepStatus::Failed } else { StepStatus::Completed },
        retries_attempted: number % 3,
        error_message: if number == 3 {
            "deployment did not become ready in 30s".to_owned()
        } else {
            String::new()
        },
        name: Some(format!("step {number}")),
        started_at: Some(at(i64::from(number))),
    };
    WorkflowExecutionAudit {
        id: id.to_owned(),
        attempt: 1,
        remediation_id: "rem-7".to_owned(),
        workflow_name: "restart-pods".to_owned(),
        workflow_version: "v1.2".to_owned(),
        total_steps: 8,
        steps_completed: 7,
        steps_failed: 1,
        total_duration: 12_345_678_901,
        outcome: Outcome::Partial,
        effectiveness_score: 0.825,
        score_source: ScoreSource::Derived,
        rollbacks_performed: 1,
        step_executions: (1..=8).map(step).collect(),
        adaptive_adjustments: vec![AdaptiveAdjustment {
            step_number: 3,
            adjustment_type: AdjustmentType::Timeout,
            reason: "slow image pulls".to_owned(),
            timestamp: at(3),
            from: Some("30s".to_owned()),
            to: None,
        }],
        completed_at: at(60),
        status: Status::Failed,
        error_message: "step 3 failed".to_owned(),
        created_at: at(-10),
        cluster: Some("production".to_owned()),
        namespace: Some("shop".to_owned()),
        name: Some(format!("run-{id}")),
        source: Some(Source {
            api_version: "dualaudit.dev/v1alpha1".to_owned(),
            kind: "WorkflowExecution".to_owned(),
            uid: id.to_owned(),
        }),
        started_at: Some(at(0)),
        queued_duration: Some(10_000_000_000),
        incident_type: Some("CrashLoopBackOff".to_owned()),
        target: Some(Target {
            api_version: None,
            kind: Some("Deployment".to_owned()),
            namespace: Some("shop".to_owned()),
            name: Some("cart".to_owned()),
        }),
        labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
    }
}

/// A record of its first attempt that started then.
pub(crate) fn started(id: &str, started_at: Time) -> WorkflowExecutionAudit {
    WorkflowExecutionAudit { started_at: Some(started_at), ..record(id) }
}

pub(crate) fn digest_of(record: &WorkflowExecutionAudit) -> Digest {
    content_digest(record, &opening(LOG).secret)
}

pub(crate) fn object(content: impl AsRef<[u8]>) -> SourceObject {
    let content = content.as_ref();
    SourceObject { compressed: zstd::bulk::compress(content, 3).unwrap(), digest: Digest::sha256(content) }
}

pub(crate) fn from_resource(record: WorkflowExecutionAudit) -> DraftContent {
    let source = Some(object(format!(r#"{{"metadata":{{"uid":"{}"}}}}"#, record.id)));
    let content_digest = digest_of(&record);
    let origin = Origin::Resource;
    DraftContent::Execution(Box::new(ExecutionDraft { record, content_digest, origin, source }))
}

pub(crate) fn from_producer(record: WorkflowExecutionAudit, amend: Option<u32>) -> DraftContent {
    let content_digest = digest_of(&record);
    let origin = Origin::Producer { amend };
    DraftContent::Execution(Box::new(ExecutionDraft { record, content_digest, origin, source: None }))
}

/// A record of the object that the entry at `entry` put in quarantine.
pub(crate) fn from_quarantine(mut record: WorkflowExecutionAudit, entry: u64) -> DraftContent {
    let content_digest = digest_of(&record);
    record.labels.insert(QUARANTINE_LABEL.to_owned(), entry.to_string());
    let source = Some(object("{}"));
    let origin = Origin::Quarantine { entry };
    DraftContent::Execution(Box::new(ExecutionDraft { record, content_digest, origin, source }))
}

pub(crate) fn gap(id: &str, started_at: Option<Time>, cause: GapCause) -> Gap {
    Gap {
        cause,
        execution_id: id.to_owned(),
        namespace: "shop".to_owned(),
        name: format!("run-{id}"),
        started_at,
        last_phase: "Executing".to_owned(),
        last_state: r#"{"status":{"phase":"Executing"}}"#.to_owned(),
        last_state_digest: None,
        last_seen_at: at(5),
    }
}

pub(crate) fn quarantine(id: &str, content: &str) -> DraftContent {
    let object = object(content);
    let entry = Quarantine {
        execution_id: id.to_owned(),
        namespace: "shop".to_owned(),
        name: format!("run-{id}"),
        reason: "status.steps[2].number: must be an integer".to_owned(),
        source_digest: object.digest,
    };
    DraftContent::Quarantine { entry, object }
}

pub(crate) fn hold(id: &str, reason: &str) -> DraftContent {
    DraftContent::Hold(Hold {
        covers: Covers::ExecutionId(id.to_owned()),
        reason: reason.to_owned(),
        actor: "unverified".to_owned(),
    })
}

/// A review of an attempt, or of the latest; the number says which of a few.
pub(crate) fn review(id: &str, attempt: Option<u32>, content: u8) -> DraftContent {
    let verdict = Verdict::ALL[usize::from(content) % Verdict::ALL.len()];
    DraftContent::Review(ReviewDraft {
        execution_id: id.to_owned(),
        attempt,
        verdict,
        note: format!("jane was locked out {content} times"),
        actor: "reviewer".to_owned(),
        stands: false,
    })
}

/// A window that is to end at that second.
pub(crate) fn window(id: &str, attempt: Option<u32>, until: i64) -> DraftContent {
    DraftContent::Window(WindowDraft {
        execution_id: id.to_owned(),
        attempt,
        until: at(until),
        reason: format!("jane looks at it in {until} s"),
        actor: "reviewer".to_owned(),
    })
}

/// That something was exported.
pub(crate) fn exported(export: &str) -> DraftContent {
    DraftContent::Note(Box::new(Entry::Export(Box::new(Export {
        export: export.to_owned(),
        actor: "me".to_owned(),
        format: ExportFormat::Jsonl,
        scope: Scope::Latest,
        filter: [("workflow".to_owned(), "restart".to_owned())].into(),
        logs: vec![ExportedLog {
            log: LOG.to_owned(),
            size: 7,
            root: Digest([3; 32]),
            entries: [(EntryKind::Execution, 5)].into(),
            without_body: 1,
            later: 2,
        }],
        bytes: 4711,
        sha256: Digest([4; 32]),
        whole: true,
    }))))
}

/// That somebody read an object, and that others were refused.
pub(crate) fn accessed(access: &str) -> DraftContent {
    let read = Event {
        actor: Some("me".to_owned()),
        decision: Decision::Allow,
        verb: "get".to_owned(),
        resource: "executionrecords/source".to_owned(),
        namespace: Some("shop".to_owned()),
        log: Some(LOG.to_owned()),
        execution_id: Some("a".to_owned()),
        verified: None,
    };
    let refused = Event { actor: None, decision: Decision::Forbid, execution_id: None, ..read.clone() };
    let acts = vec![Act { event: read, count: 2 }, Act { event: refused, count: 7 }];
    let (access, since, until) = (access.to_owned(), at(1), at(2));
    DraftContent::Note(Box::new(Entry::Access(Box::new(Access { access, since, until, acts, others: 1 }))))
}

/// A workflow that runs since then.
pub(crate) fn running(workflow: &str, since: Time) -> Box<Running> {
    Box::new(Running {
        workflow: workflow.to_owned(),
        version: "v1.2".to_owned(),
        incident_type: "CrashLoopBackOff".to_owned(),
        target_kind: "Deployment".to_owned(),
        since,
    })
}

pub(crate) fn tracked(id: &str, started_at: Option<Time>) -> Tracked {
    Tracked {
        id: id.to_owned(),
        namespace: "shop".to_owned(),
        name: format!("run-{id}"),
        phase: "Executing".to_owned(),
        started_at,
        last_state: format!(r#"{{"metadata":{{"uid":"{id}"}}}}"#),
        last_seen_at: at(1),
        state: TrackedState::Open,
        running: Some(running("restart-pods", started_at.unwrap_or(at(-10)))),
    }
}

/// A batch of these drafts, each with a nonce of its own.
pub(crate) fn batch(contents: impl IntoIterator<Item = DraftContent>) -> Arc<Batch> {
    let draft = |(place, content)| {
        let place = u8::try_from(place % 251).unwrap();
        Draft::new(Nonce([place; 16]), content)
    };
    Arc::new(Batch { drafts: contents.into_iter().enumerate().map(draft).collect(), ..Batch::default() })
}

pub(crate) fn tracking(changes: impl IntoIterator<Item = TrackingChange>) -> Arc<Batch> {
    Arc::new(Batch { tracking: changes.into_iter().collect(), ..Batch::default() })
}

pub(crate) async fn seen(store: &dyn Store, tracked: Tracked) {
    store.append(LOG, tracking([TrackingChange::Seen(tracked)]), at(50)).await.unwrap();
}

/// Appends drafts to [`LOG`] and answers in their order.
pub(crate) async fn append(
    store: &dyn Store,
    contents: impl IntoIterator<Item = DraftContent>,
) -> Vec<Answer> {
    store.append(LOG, batch(contents), at(100)).await.unwrap()
}

/// Appends one draft that must be stored.
pub(crate) async fn stored(store: &dyn Store, content: DraftContent) -> Receipt {
    receipt(append(store, [content]).await.remove(0))
}

pub(crate) fn receipt(answer: Answer) -> Receipt {
    match answer {
        Answer::Stored(receipt) => receipt,
        other => panic!("not stored: {other:?}"),
    }
}

/// The execution with this id, which one log has: its latest attempt.
pub(crate) async fn detail(store: &dyn Store, id: &str) -> Detail {
    let wanted = Wanted { id: id.to_owned(), log: None, attempt: None };
    match store.get(&wanted).await.unwrap() {
        Lookup::Found(detail) => *detail,
        other => panic!("not found: {other:?}"),
    }
}
