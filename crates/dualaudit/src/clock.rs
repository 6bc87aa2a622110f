//! The one place that asks the machine for the time and for randomness.
//!
//! Everything else takes a [`Clock`] or bytes as a parameter, and `clippy.toml` holds it.
#![expect(clippy::disallowed_methods, reason = "this is the one place")]

use std::sync::Arc;

use dualaudit_record::Time;
use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Time;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::from_timestamp(Timestamp::now()).expect("the machine's clock is between year 1 and 9999")
    }
}

/// Unpredictable bytes from the operating system's generator.
pub fn entropy<const N: usize>() -> [u8; N] {
    rand::random()
}
