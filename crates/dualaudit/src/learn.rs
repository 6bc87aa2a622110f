//! Learning from executions: what works, what breaks, what to try next.

pub mod inference;
