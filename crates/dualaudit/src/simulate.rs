//! A workflow engine for trials and load: it writes real WorkflowExecutions and drives them through
//! their phases, without doing what they say.
//!
//! [`plan`] decides from a seed what happens, purely; [`run`] makes it happen on a cluster.

mod catalogue;
pub mod fleet;
pub mod plan;
mod requests;
pub mod run;
mod scenario;

pub use plan::{Execution, Plan};
pub use run::{Event, Mode, Options, Summary, run};
