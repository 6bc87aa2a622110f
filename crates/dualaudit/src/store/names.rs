//! The names of enums in tables: those of the wire form.

use dualaudit_record::{
    canonical::canonical,
    entry::Covers,
    execution::{Outcome, ScoreSource, Status},
    selector::Selector,
};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value},
};

use super::TrackedState;

/// An outcome's name.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failed => "failed",
        Outcome::Partial => "partial",
    }
}

/// A status' name.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::TimedOut => "timed_out",
        Status::Deleted => "deleted",
    }
}

/// A score source's name.
pub(super) fn score_source(source: ScoreSource) -> &'static str {
    match source {
        ScoreSource::Reported => "reported",
        ScoreSource::Derived => "derived",
    }
}

/// A tracked state's name.
pub(super) fn tracked_state(state: TrackedState) -> &'static str {
    match state {
        TrackedState::Open => "open",
        TrackedState::Closed => "closed",
    }
}

/// What a hold selects by, in JSON that is the same whenever that is.
pub(super) fn selector(selector: &Selector) -> String {
    String::from_utf8(canonical(selector)).expect("canonical JSON is UTF-8")
}

/// The columns that say what a hold covers: an execution, or a selector.
pub(super) fn covers(covers: &Covers) -> (Option<&str>, Option<String>) {
    match covers {
        Covers::ExecutionId(id) => (Some(id), None),
        Covers::Selector(selected) => (None, Some(selector(selected))),
    }
}

/// The variant of a record's enum that has this name.
///
/// # Errors
/// When there is none.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(name: &str) -> Result<T, value::Error> {
    T::deserialize(name.into_deserializer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire_form() {
        for each in [Outcome::Success, Outcome::Failed, Outcome::Partial] {
            assert_eq!(parse::<Outcome>(outcome(each)), Ok(each));
        }
        for each in [Status::Completed, Status::Failed, Status::Cancelled, Status::TimedOut, Status::Deleted]
        {
            assert_eq!(parse::<Status>(status(each)), Ok(each));
        }
        for each in [ScoreSource::Reported, ScoreSource::Derived] {
            assert_eq!(parse::<ScoreSource>(score_source(each)), Ok(each));
        }
        assert!(parse::<Outcome>("splendid").is_err());
    }
}
