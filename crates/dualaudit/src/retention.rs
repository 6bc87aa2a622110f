//! For how long records are kept, what keeps them longer, and how they go, whole or only what of them is personal.
//!
//! # Guarantees
//! - A record goes only when its time is over by the [`Policy`], no hold covers it, and no cluster tracks
//!   its resource; and all that is looked at again under the lock of its log's head.
//! - What goes is what a [`Plan`] said, or nothing of a part of it.
//! - Whatever ends a purge, running it again goes on where it ended.
//! - What of an execution is personal goes by somebody's word, whatever its age, under the same conditions.

mod append;
pub mod erase;
pub mod holds;
mod plan;
mod policy;
mod purge;
#[cfg(test)]
mod tests;

pub use append::{Append, Appender, Heads};
pub use plan::{Kept, LogPlan, Plan, PlanError, plan};
pub use policy::{Policy, PolicyError};
pub use purge::{PurgeError, Purged, purge};
