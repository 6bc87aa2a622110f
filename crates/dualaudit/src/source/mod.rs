//! From a resource to what the controller must know of it.
//!
//! Pure: an object in, an [`Observed`] out. An object that cannot be mapped says why, and never
//! stops another.

use dualaudit_record::{Time, WorkflowExecutionAudit};
use jiff::SignedDuration;
use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::crd::WorkflowExecution;

mod manager;
mod recreated;
mod review;
mod window;
mod workflow_execution;

pub use manager::{set_by, stamp, stamped_start};
pub use review::Judged;
pub use window::{DEFAULT_WINDOW, default_window, parse_window};

/// The finalizer that keeps a resource until its record is durable.
pub const FINALIZER: &str = "dualaudit.dev/record";

/// Annotations on resources.
pub mod annotation {
    /// JSON receipt, written by dualaudit.
    pub const RECEIPT: &str = "dualaudit.dev/receipt";
    /// When the execution was recorded, written by dualaudit.
    pub const RECORDED_AT: &str = "dualaudit.dev/recorded-at";
    /// A reason to keep the resource.
    pub const HOLD: &str = "dualaudit.dev/hold";
    /// A review window of its own.
    pub const WINDOW: &str = "dualaudit.dev/window";
    /// A verdict on what was recorded of it, and a note.
    pub const REVIEW: &str = "dualaudit.dev/review";
    /// Break glass: a reason to let the resource go unrecorded.
    pub const RELEASE_UNRECORDED: &str = "dualaudit.dev/release-unrecorded";
    /// Those beside which the API server stamps who set them, where the policy for it is in force.
    pub const STAMPED: [&str; 4] = [REVIEW, HOLD, WINDOW, RELEASE_UNRECORDED];
    /// What the name of a stamp ends in: `dualaudit.dev/hold-actor` is beside `dualaudit.dev/hold`.
    pub const ACTOR: &str = "-actor";
    /// The same of the stamp that says which attempt a review is on: when it began. None is there where none had begun.
    pub const OF: &str = "-of";
}

/// What the controller knows of a resource it looks at. Everything but `state` is metadata and so
/// always readable.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The resource's uid.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: Option<Time>,
    /// For preconditions.
    pub resource_version: String,
    /// All finalizers, in order.
    pub finalizers: Vec<String>,
    /// When its deletion was asked for.
    pub deleted_at: Option<Time>,
    /// Why it must not be deleted by us: its owner or a tool might create and run it again.
    pub recreated_by: Option<String>,
    /// `dualaudit.dev/receipt` as it stands.
    pub receipt: Option<String>,
    /// `dualaudit.dev/hold`, when not empty.
    pub hold: Option<String>,
    /// `dualaudit.dev/window`; an error says what is wrong with it.
    pub window: Result<Option<SignedDuration>, String>,
    /// `dualaudit.dev/review`; an error says what is wrong with it.
    pub review: Result<Option<Judged>, String>,
    /// `dualaudit.dev/release-unrecorded`, when not empty.
    pub release_unrecorded: Option<String>,
    /// Its phase, for people; `Unknown` when it cannot be read.
    pub phase: String,
    /// When its present attempt began.
    pub started_at: Option<Time>,
    /// What runs, where it has not ended as far as can be read.
    pub run: Option<Run>,
    /// What its record would say, were it to end now, where it has not ended; where that cannot be mapped, what of it can be
    /// read by itself, and as its error what is wrong.
    pub so_far: Option<Box<WorkflowExecutionAudit>>,
    /// What there is to record.
    pub state: State,
}

/// What runs, as its record would say it. Where the object cannot be mapped, its texts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The workflow.
    pub workflow: String,
    /// Its version; may be empty.
    pub version: String,
    /// The kind of incident it answers; empty where none is given.
    pub incident_type: String,
    /// The kind of the object it works on; empty where none is given.
    pub target_kind: String,
    /// When its attempt began; where it has not, when the resource was created.
    pub since: Option<Time>,
}

/// What there is to record of a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It has not ended.
    Running,
    /// It ended, or its deletion ended it: the record as mapped, before redaction.
    Ended(Box<WorkflowExecutionAudit>),
    /// It cannot be mapped: what is wrong, and where.
    Unmappable(String),
}

impl Observed {
    /// Whether our finalizer is on it.
    pub fn is_protected(&self) -> bool {
        self.finalizers.iter().any(|name| name == FINALIZER)
    }

    /// Whether another controller's finalizer is still at work on it. The garbage collector's own
    /// (`foregroundDeletion`, `orphan`) wait for us and not the other way round.
    pub fn has_foreign_finalizer(&self) -> bool {
        self.finalizers
            .iter()
            .any(|name| ![FINALIZER, "foregroundDeletion", "orphan"].contains(&name.as_str()))
    }
}

/// The kind that is watched.
pub fn api_resource() -> ApiResource {
    ApiResource::erase::<WorkflowExecution>(&())
}

/// Every kind that can be watched.
pub fn kinds() -> Vec<ApiResource> {
    vec![api_resource()]
}

/// An object's JSON without what dualaudit itself writes on it, and without what the API server
/// changes at every write: two equal values are the same state.
pub fn unmarked(object: &DynamicObject) -> Value {
    let mut object = object.clone();
    let metadata = &mut object.metadata;
    metadata.managed_fields = None;
    metadata.resource_version = None;
    if let Some(finalizers) = &mut metadata.finalizers {
        finalizers.retain(|name| name != FINALIZER);
    }
    metadata.finalizers.take_if(|finalizers| finalizers.is_empty());
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| ![annotation::RECEIPT, annotation::RECORDED_AT].contains(&key.as_str()));
    }
    metadata.annotations.take_if(|annotations| annotations.is_empty());
    serde_json::to_value(&object).expect("an object is JSON")
}

/// Looks at a WorkflowExecution. `cluster` goes into the record; `now` bounds its times.
pub fn observe(object: &DynamicObject, cluster: &str, now: Time) -> Observed {
    workflow_execution::observe(object, cluster, now)
}
