//! Statistics: sums over executions, by when they ended and by what they were, that every answer about workflows is
//! made from.
//!
//! An execution gives a [`Contribution`], which is spread over the cells of five [`View`]s. All of them are sums of
//! integers: what was given can be taken back exactly, in any order, and cells of two stretches of time add up to the
//! cell of both. The unit is an execution's last attempt, in its latest revision: a later revision or attempt takes
//! back what the one before it gave.
//!
//! What follows from free text (patterns of errors, reasons, values of adjustments) is kept apart ([`View::Texts`]),
//! because an erasure takes it back.

mod bucket;
mod cell;
mod contribution;
mod daily;
mod key;
mod packed;
mod pattern;
mod sketch;
mod slice;
mod sorted;
mod sums;

pub use bucket::{Bucket, Hour, Kept, Level, Stretch};
pub use cell::{Cell, Counts, Ended, Part, RunsCell, Scores, StepCell, StratumCell, TextsCell, Timed};
pub use contribution::{About, Adjusted, Contribution, FIRST_WITHOUT_ACTION, Run, StepRun, Stratum, Text};
pub use daily::{Daily, MOST, StepDay, StepOf, WorkflowDay};
pub use key::{Key, KeyError, Keys, Parts, Scope, View};
pub use packed::{NotPacked, Packed};
pub use pattern::{RULES, pattern};
pub use sketch::{RELATIVE_ERROR, Sketch};
pub use slice::{NoSlice, Slice, Texts};
pub use sorted::Sorted;
pub use sums::Sums;

#[cfg(test)]
mod tests;
