//! What the functions promise together, checked from without.

mod alarms;
mod coverage;
mod reference;
