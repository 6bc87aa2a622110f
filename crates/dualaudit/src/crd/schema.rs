//! Pieces of the kind's OpenAPI schema that a derive cannot say, and the reading that goes with them.
//!
//! Kubernetes wants a structural schema with formats it knows, so enums are plain lists of words and
//! counts are `int64` with bounds.

use dualaudit_record::execution::{AdjustmentType, Outcome};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// A count: the record's limit is 2^31 - 1.
pub(super) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": i32::MAX})
}

/// An RFC 3339 time.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// A duration as Go writes and reads it (`time.ParseDuration`), not negative.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 64,
        "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$",
    })
}

/// An object with any fields.
pub(super) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// The value of a parameter, as text.
pub(super) fn scalar(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 32768})
}

pub(super) fn phase(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": [
        "Pending", "Planning", "Validating", "Executing", "Paused", "RollingBack", "Monitoring",
        "Completed", "Failed", "Cancelled", "TimedOut",
    ]})
}

pub(super) fn step_phase(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": [
        "Pending", "Executing", "Completed", "Failed", "Skipped", "RolledBack", "Cancelled", "TimedOut",
    ]})
}

/// The record's words. Engines that write all their words as Kubernetes does may.
pub(super) fn outcome(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["success", "failed", "partial", "Success", "Failed", "Partial"]})
}

/// The record's words, or the same as Kubernetes writes them.
pub(super) fn adjustment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": [
        "timeout", "retry", "skip", "parameter", "reorder", "other",
        "Timeout", "Retry", "Skip", "Parameter", "Reorder", "Other",
    ]})
}

pub(super) fn outcome_in_either_case<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Outcome>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(word) => in_either_case(&word).map(Some),
        None => Ok(None),
    }
}

pub(super) fn adjustment_in_either_case<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<AdjustmentType, D::Error> {
    in_either_case(&String::deserialize(deserializer)?)
}

fn in_either_case<T: DeserializeOwned, E: serde::de::Error>(word: &str) -> Result<T, E> {
    T::deserialize(Value::String(word.to_ascii_lowercase())).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{Phase, StepPhase};

    fn words(schema: fn(&mut SchemaGenerator) -> Schema) -> Vec<Value> {
        schema(&mut SchemaGenerator::default()).get("enum").unwrap().as_array().unwrap().clone()
    }

    #[test]
    fn every_word_the_schema_admits_is_read_as_itself() {
        for word in words(phase) {
            assert_eq!(serde_json::to_value(Phase::deserialize(&word).unwrap()).unwrap(), word);
        }
        for word in words(step_phase) {
            assert_eq!(serde_json::to_value(StepPhase::deserialize(&word).unwrap()).unwrap(), word);
        }
    }

    #[test]
    fn outcomes_and_adjustments_are_read_in_either_case() {
        for word in words(outcome) {
            let read = outcome_in_either_case(&word).unwrap().unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), word.as_str().unwrap().to_lowercase());
        }
        for word in words(adjustment) {
            let read = adjustment_in_either_case(&word).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), word.as_str().unwrap().to_lowercase());
        }
    }

    #[test]
    fn a_word_outside_the_schema_is_refused_with_the_words_that_are_known() {
        let error = adjustment_in_either_case(&Value::from("magic")).unwrap_err().to_string();
        assert!(error.contains("magic") && error.contains("`timeout`"), "{error}");
    }
}
