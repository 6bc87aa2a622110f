//! The audit record of a workflow execution, the bytes of it that are hashed, and the append-only
//! log it is proved in.
//!
//! Everything here is plain data and plain functions: no async, no database, no Kubernetes, no
//! clock and no randomness. What varies is a parameter.

pub mod time;

pub mod derive;
pub mod execution;
pub mod redact;
pub mod submitted;

pub mod canonical;
pub mod digest;
pub mod entry;
pub mod log;

pub use entry::{Entry, EntryKind};
pub use execution::WorkflowExecutionAudit;
pub use time::Time;
