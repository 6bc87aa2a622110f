//! What the types that are written by hand look like in OpenAPI, for the program that serves them.

use std::borrow::Cow;

use serde_json::json;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, ArrayBuilder, SchemaType, Type},
    },
};

use crate::{
    Time, WorkflowExecutionAudit,
    day::Day,
    digest::Digest,
    execution::{AdjustmentType, Outcome, Status, StepStatus, StoredExecution},
    statistics::Packed,
    submitted::{MAX_COUNT, MAX_DURATION, MAX_NAME_BYTES, Submitted},
};

/// What serde flattens into one object, as one object.
///
/// # Panics
/// When one of them is a reference, or no object.
pub fn flattened(parts: impl IntoIterator<Item = RefOr<Schema>>) -> Object {
    let mut whole = Object::new();
    for part in parts {
        let RefOr::T(Schema::Object(part)) = part else { panic!("only objects are flattened") };
        whole.properties.extend(part.properties);
        whole.required.extend(part.required);
        whole.description = whole.description.or(part.description);
    }
    whole
}

/// A text with a format, described.
macro_rules! text {
    ($type:ty, $name:literal, $builder:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $builder.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

text!(
    Time,
    "Time",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("An instant in UTC, RFC 3339 with six decimals."))
        .examples([json!("2026-05-01T08:00:00.123456Z")])
);
text!(
    Day,
    "Day",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .description(Some("A day of UTC."))
        .examples([json!("2026-05-01")])
);
text!(
    Digest,
    "Digest",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9a-f]{64}$"))
        .description(Some("32 bytes in hexadecimal, of SHA-256."))
        .examples([json!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")])
);
text!(
    Packed,
    "Packed",
    ObjectBuilder::new()
        .schema_type(Type::String)
        .content_encoding("base64")
        .description(Some("Contributions to statistics, in the form that they are kept in."))
);

impl PartialSchema for StoredExecution {
    fn schema() -> RefOr<Schema> {
        let added = ObjectBuilder::new()
            .property("revision", count("1 for the first.").minimum(Some(1)))
            .required("revision")
            .property("recorded_at", Ref::from_schema_name("Time"))
            .required("recorded_at")
            .property("source_digest", Ref::from_schema_name("Digest"));
        let mut whole = flattened([WorkflowExecutionAudit::schema(), added.into()]);
        whole.description = Some(
            "A record with what the server added when it stored it: one revision of one attempt.".into(),
        );
        whole.into()
    }
}

impl ToSchema for StoredExecution {
    fn name() -> Cow<'static, str> {
        "StoredExecution".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        WorkflowExecutionAudit::schemas(schemas);
        schemas.push((Digest::name().into(), Digest::schema()));
    }
}

/// A type that may also be `null`, which is the same as absent.
fn or_null(of: Type) -> SchemaType {
    SchemaType::from_iter([of, Type::Null])
}

fn count(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .minimum(Some(0))
        .maximum(Some(MAX_COUNT))
        .description(Some(description))
}

fn duration(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(0))
        .maximum(Some(MAX_DURATION))
        .description(Some(format!("{description} Nanoseconds, below 2^53.")))
}

/// A text of at most 253 bytes: characters are never more than bytes.
fn name(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(MAX_NAME_BYTES))
        .description(Some(format!("{description} At most {MAX_NAME_BYTES} bytes of UTF-8, without U+0000.")))
}

fn free_text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(or_null(Type::String))
        .description(Some(format!("{description} Without U+0000.")))
}

fn optional_name(description: &str) -> ObjectBuilder {
    name(description).schema_type(or_null(Type::String))
}

fn time(description: &str) -> ObjectBuilder {
    let rule = "RFC 3339, of any zone, kept to the microsecond; at most 24 hours ahead.";
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some(format!("{description} {rule}")))
}

fn optional_time(description: &str) -> ObjectBuilder {
    time(&format!("{description} Go's zero time is the same as absent.")).schema_type(or_null(Type::String))
}

fn one_of(description: &str, names: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
        .description(Some(description.to_owned()))
}

fn object(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some(description))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// With these properties, all of which must be there.
fn needing<const N: usize>(object: ObjectBuilder, needed: [(&str, ObjectBuilder); N]) -> ObjectBuilder {
    needed.into_iter().fold(object, |object, (name, of)| object.property(name, of).required(name))
}

/// With these properties, none of which must be there.
fn having<const N: usize>(object: ObjectBuilder, optional: [(&str, ObjectBuilder); N]) -> ObjectBuilder {
    optional.into_iter().fold(object, |object, (name, of)| object.property(name, of))
}

fn list(description: &str, items: ObjectBuilder) -> ArrayBuilder {
    ArrayBuilder::new()
        .schema_type(or_null(Type::Array))
        .items(items)
        .description(Some(description.to_owned()))
}

fn step() -> ObjectBuilder {
    let step = needing(
        object("One step, as it ended."),
        [
            ("step_number", count("Its number in the plan.")),
            ("action", name("What it does.")),
            ("duration", duration("How long it took.")),
            ("status", one_of("How it ended.", StepStatus::ALL.iter().map(|status| status.as_str()))),
            ("retries_attempted", count("Runs after the first.")),
        ],
    );
    having(
        step,
        [
            ("error_message", free_text("What went wrong.")),
            ("name", optional_name("Its name in the plan.")),
            ("started_at", optional_time("When it began.")),
        ],
    )
}

fn adjustment() -> ObjectBuilder {
    let adjustment = needing(
        object("One change that the engine made to the plan while it ran."),
        [
            ("step_number", count("The step it concerns.")),
            (
                "adjustment_type",
                one_of("What kind of change.", AdjustmentType::ALL.iter().map(|kind| kind.as_str())),
            ),
            ("reason", free_text("Why.").schema_type(Type::String)),
            ("timestamp", time("When.")),
        ],
    );
    having(adjustment, [("from", free_text("The value before.")), ("to", free_text("The value after."))])
}

impl PartialSchema for Submitted {
    fn schema() -> RefOr<Schema> {
        let record = needing(
            object(
                "A record as a producer sends it. What is not required may be absent or `null`; an unknown field is \
                 refused by its name. Together steps_completed and steps_failed are at most total_steps. A record has \
                 2 MiB of JSON at most.",
            ),
            [
                (
                    "id",
                    name("The producer's id. Never erased: it must hold nothing personal; not `.` or `..`.")
                        .min_length(Some(1))
                        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$")),
                ),
                ("remediation_id", name("What it set out to remediate; may be empty.")),
                ("workflow_name", name("The workflow.").min_length(Some(1))),
                ("workflow_version", name("Its version; may be empty.")),
                ("total_steps", count("Steps of the plan.")),
                ("steps_completed", count("Steps completed.")),
                ("steps_failed", count("Steps failed.")),
                ("total_duration", duration("From start to end.")),
                ("rollbacks_performed", count("How many steps were rolled back.")),
                ("completed_at", time("When it ended; never Go's zero time.")),
                ("status", one_of("How it ended.", Status::ALL.iter().map(|status| status.as_str()))),
            ],
        );
        let outcome = Outcome::ALL.iter().map(|outcome| json!(outcome.as_str()));
        let source = having(
            object("The resource that it was read from; all three, or none.")
                .schema_type(or_null(Type::Object)),
            [
                ("api_version", optional_name("Its API version.")),
                ("kind", optional_name("Its kind.")),
                ("uid", optional_name("Its uid.")),
            ],
        );
        let target = having(
            object("What it worked on.").schema_type(or_null(Type::Object)),
            [
                ("api_version", optional_name("Its API version.")),
                ("kind", optional_name("Its kind.")),
                ("namespace", optional_name("Its namespace.")),
                ("name", optional_name("Its name.")),
            ],
        );
        let labels = ObjectBuilder::new()
            .schema_type(or_null(Type::Object))
            .description(Some("Free labels; `dualaudit.dev/quarantine` is set by dualaudit alone."))
            .property_names(Some(Schema::Object(name("The key.").build())))
            .additional_properties(Some(RefOr::T(Schema::Object(name("The value.").build()))));
        having(
            record,
            [
                (
                    "attempt",
                    count("Which run of the id; 1 unless given.")
                        .minimum(Some(1))
                        .schema_type(or_null(Type::Integer)),
                ),
                (
                    "outcome",
                    ObjectBuilder::new()
                        .schema_type(or_null(Type::String))
                        .enum_values(Some(outcome.chain([json!(""), json!(null)])))
                        .description(Some("How it turned out; derived where it is empty or absent.")),
                ),
                (
                    "effectiveness_score",
                    ObjectBuilder::new()
                        .schema_type(or_null(Type::Number))
                        .minimum(Some(0))
                        .maximum(Some(1))
                        .description(Some("Derived where it is absent, or 0 beside an empty outcome.")),
                ),
                ("error_message", free_text("What went wrong.")),
                ("created_at", optional_time("When its resource was created; derived where it is absent.")),
                ("cluster", optional_name("The cluster it ran in; describes only.")),
                ("namespace", optional_name("The resource's namespace.")),
                ("name", optional_name("The resource's name.")),
                ("source", source),
                ("started_at", optional_time("When it began.")),
                (
                    "queued_duration",
                    duration("Between its creation and its start.").schema_type(or_null(Type::Integer)),
                ),
                ("incident_type", optional_name("The kind of incident it answers.")),
                ("target", target),
                ("labels", labels),
            ],
        )
        .property("step_executions", list("In the order they ran.", step()))
        .property("adaptive_adjustments", list("In the order they were made.", adjustment()))
        .into()
    }
}

impl ToSchema for Submitted {
    fn name() -> Cow<'static, str> {
        "Record".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submitted::SERVER_FIELDS;

    #[test]
    fn a_record_as_it_is_sent_has_the_fields_of_one_that_is_kept_but_for_the_servers() {
        let fields = |schema| flattened([schema]).properties.into_keys().collect::<Vec<_>>();
        let mut kept = fields(StoredExecution::schema());
        kept.retain(|field| !SERVER_FIELDS.contains(&field.as_str()));
        assert_eq!(fields(Submitted::schema()), kept);
        for field in kept {
            let read = Submitted::from_json(format!("{{{field:?}: null}}").as_bytes());
            assert!(read.is_ok(), "{field}: {read:?}");
        }
    }
}
