//! The audit record of a workflow execution, the bytes of it that are hashed, and the append-only
//! log it is proved in.
//!
//! Everything here is plain data and plain functions: no async, no database, no Kubernetes, no
//! clock and no randomness. What varies is a parameter.

mod names;
pub mod time;

pub mod clip;
pub mod derive;
pub mod execution;
pub mod redact;
pub mod selector;
pub mod submitted;

pub mod access;
pub mod canonical;
pub mod checkpoint;
pub mod day;
pub mod digest;
pub mod entry;
pub mod erase;
pub mod export;
pub mod log;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod proof;
pub mod statistics;

#[cfg(test)]
mod testing;

pub use entry::{Entry, EntryKind};
pub use execution::WorkflowExecutionAudit;
pub use names::UnknownName;
pub use submitted::{Invalid, Submitted};
pub use time::Time;
