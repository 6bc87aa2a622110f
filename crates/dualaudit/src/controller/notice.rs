//! What people are told through Kubernetes events: the exceptional, never the ordinary.
//!
//! Events are best effort and bounded; what must not be lost is in the log or the ledger.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::Semaphore;

use super::execute::Target;

/// Events under way at once; beyond it they are only logged.
const AT_ONCE: usize = 4;

/// Tells people.
#[derive(Clone)]
pub(super) struct Notices {
    recorder: Recorder,
    slots: Arc<Semaphore>,
}

/// Something out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// It ended and cannot be recorded at present; it stays until it can.
    Blocked,
    /// It cannot be mapped and is kept whole.
    Quarantined,
    /// More are retained than may be: its window ended early.
    ReleasedEarly,
    /// It was let go by break glass.
    ReleasedUnrecorded,
    /// It must not be deleted by us: the finalizer came off and the object stays.
    Retained,
    /// One of its annotations cannot be read.
    InvalidAnnotation,
}

impl Notice {
    fn reason(self) -> &'static str {
        match self {
            Self::Blocked => "Blocked",
            Self::Quarantined => "Quarantined",
            Self::ReleasedEarly => "ReleasedEarly",
            Self::ReleasedUnrecorded => "ReleasedUnrecorded",
            Self::Retained => "Retained",
            Self::InvalidAnnotation => "InvalidAnnotation",
        }
    }

    fn is_normal(self) -> bool {
        matches!(self, Self::ReleasedEarly | Self::Retained)
    }
}

impl Notices {
    pub(super) fn new(client: Client) -> Self {
        let reporter = Reporter { controller: "dualaudit.dev/controller".to_owned(), instance: None };
        Self { recorder: Recorder::new(client, reporter), slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Publishes in the background. `home` puts the event into that namespace instead of the
    /// object's own, which may be on its way out.
    pub(super) fn publish(&self, target: &Target, notice: Notice, note: &str, home: Option<&str>) {
        tracing::info!(
            reason = notice.reason(),
            namespace = %target.namespace,
            name = %target.name,
            "{note}"
        );
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
        let event = Event {
            type_: if notice.is_normal() { EventType::Normal } else { EventType::Warning },
            reason: notice.reason().to_owned(),
            note: Some(note.chars().take(1000).collect()),
            action: "Audit".to_owned(),
            secondary: home.map(|_| target.reference()),
        };
        let regarding = match home {
            Some(home) => ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Namespace".to_owned()),
                name: Some(home.to_owned()),
                namespace: Some(home.to_owned()),
                ..ObjectReference::default()
            },
            None => target.reference(),
        };
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &regarding).await {
                tracing::debug!(%error, "an event could not be published");
            }
            drop(slot);
        });
    }
}
