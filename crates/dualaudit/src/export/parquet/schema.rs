//! Which columns there are, and what of an execution is in each.

use std::sync::Arc;

use dualaudit_record::{
    Time,
    execution::{AdaptiveAdjustment, Source, StepExecutionAudit, StoredExecution, Target},
};
use parquet::{
    basic::{ConvertedType, LogicalType, Repetition},
    errors::ParquetError,
    schema::types::{Type, TypePtr},
};

use super::column::{Cell, Column, Of, primitive};

/// One field of something: its name, its type, and how it is read.
struct Field<R> {
    name: &'static str,
    of: Of,
    is_optional: bool,
    read: R,
}

/// Reads a field of an element of a list.
type OfElement<T> = fn(&T) -> Cell<'_>;
/// Reads a field of a row.
type OfRow = for<'a> fn(&'a Row<'a>) -> Cell<'a>;

const fn required<R: Copy>(name: &'static str, of: Of, read: R) -> Field<R> {
    Field { name, of, is_optional: false, read }
}

const fn optional<R: Copy>(name: &'static str, of: Of, read: R) -> Field<R> {
    Field { name, of, is_optional: true, read }
}

fn micros(time: Option<Time>) -> Cell<'static> {
    time.map_or(Cell::Nothing, |time| Cell::Micros(time.as_micros()))
}

fn source<'a>(row: &'a Row<'_>, part: fn(&Source) -> &str) -> Cell<'a> {
    row.execution.record.source.as_ref().map(part).into()
}

fn target<'a>(row: &'a Row<'_>, part: fn(&Target) -> &Option<String>) -> Cell<'a> {
    row.execution.record.target.as_ref().and_then(|target| part(target).as_deref()).into()
}

/// What a row is made of.
struct Row<'a> {
    log: &'a str,
    entry: u64,
    execution: &'a StoredExecution,
    source_digest: Option<String>,
}

const FIELDS: &[Field<OfRow>] = &[
    required("log", Of::Text, |row| Cell::Text(row.log)),
    required("entry", Of::Long, |row| Cell::Long(row.entry)),
    required("id", Of::Text, |row| Cell::Text(&row.execution.record.id)),
    required("attempt", Of::Count, |row| Cell::Count(row.execution.record.attempt)),
    required("revision", Of::Count, |row| Cell::Count(row.execution.revision)),
    optional("cluster", Of::Text, |row| row.execution.record.cluster.as_deref().into()),
    optional("namespace", Of::Text, |row| row.execution.record.namespace.as_deref().into()),
    optional("name", Of::Text, |row| row.execution.record.name.as_deref().into()),
    required("remediation_id", Of::Text, |row| Cell::Text(&row.execution.record.remediation_id)),
    required("workflow_name", Of::Text, |row| Cell::Text(&row.execution.record.workflow_name)),
    required("workflow_version", Of::Text, |row| Cell::Text(&row.execution.record.workflow_version)),
    optional("incident_type", Of::Text, |row| row.execution.record.incident_type.as_deref().into()),
    required("status", Of::Text, |row| Cell::Text(row.execution.record.status.as_str())),
    required("outcome", Of::Text, |row| Cell::Text(row.execution.record.outcome.as_str())),
    required("effectiveness_score", Of::Real, |row| Cell::Real(row.execution.record.effectiveness_score)),
    required("score_source", Of::Text, |row| Cell::Text(row.execution.record.score_source.as_str())),
    required("total_steps", Of::Count, |row| Cell::Count(row.execution.record.total_steps)),
    required("steps_completed", Of::Count, |row| Cell::Count(row.execution.record.steps_completed)),
    required("steps_failed", Of::Count, |row| Cell::Count(row.execution.record.steps_failed)),
    required("rollbacks_performed", Of::Count, |row| Cell::Count(row.execution.record.rollbacks_performed)),
    required("total_duration", Of::Long, |row| Cell::Long(row.execution.record.total_duration)),
    optional("queued_duration", Of::Long, |row| {
        row.execution.record.queued_duration.map_or(Cell::Nothing, Cell::Long)
    }),
    required("created_at", Of::Time, |row| micros(Some(row.execution.record.created_at))),
    optional("started_at", Of::Time, |row| micros(row.execution.record.started_at)),
    required("completed_at", Of::Time, |row| micros(Some(row.execution.record.completed_at))),
    required("recorded_at", Of::Time, |row| micros(Some(row.execution.recorded_at))),
    optional("target_api_version", Of::Text, |row| target(row, |target| &target.api_version)),
    optional("target_kind", Of::Text, |row| target(row, |target| &target.kind)),
    optional("target_namespace", Of::Text, |row| target(row, |target| &target.namespace)),
    optional("target_name", Of::Text, |row| target(row, |target| &target.name)),
    optional("source_api_version", Of::Text, |row| source(row, |source| &source.api_version)),
    optional("source_kind", Of::Text, |row| source(row, |source| &source.kind)),
    optional("source_uid", Of::Text, |row| source(row, |source| &source.uid)),
    optional("source_digest", Of::Text, |row| row.source_digest.as_deref().into()),
    required("error_message", Of::Text, |row| Cell::Text(&row.execution.record.error_message)),
];

const STEPS: &[Field<OfElement<StepExecutionAudit>>] = &[
    required("step_number", Of::Count, |step| Cell::Count(step.step_number)),
    required("action", Of::Text, |step| Cell::Text(&step.action)),
    required("duration", Of::Long, |step| Cell::Long(step.duration)),
    required("status", Of::Text, |step| Cell::Text(step.status.as_str())),
    required("retries_attempted", Of::Count, |step| Cell::Count(step.retries_attempted)),
    required("error_message", Of::Text, |step| Cell::Text(&step.error_message)),
    optional("name", Of::Text, |step| step.name.as_deref().into()),
    optional("started_at", Of::Time, |step| micros(step.started_at)),
];

const ADJUSTMENTS: &[Field<OfElement<AdaptiveAdjustment>>] = &[
    required("step_number", Of::Count, |change| Cell::Count(change.step_number)),
    required("adjustment_type", Of::Text, |change| Cell::Text(change.adjustment_type.as_str())),
    required("reason", Of::Text, |change| Cell::Text(&change.reason)),
    required("timestamp", Of::Time, |change| micros(Some(change.timestamp))),
    optional("from", Of::Text, |change| change.from.as_deref().into()),
    optional("to", Of::Text, |change| change.to.as_deref().into()),
];

/// Of a label, key and value, which need nobody to read them.
const LABELS: &[Field<()>] = &[required("key", Of::Text, ()), required("value", Of::Text, ())];

/// The columns of the rows that are kept, in the order of the schema.
pub(super) struct Columns {
    flat: Vec<Column>,
    labels: Vec<Column>,
    steps: Vec<Column>,
    adjustments: Vec<Column>,
}

fn columns<R>(fields: &[Field<R>], is_listed: bool) -> Vec<Column> {
    fields.iter().map(|field| Column::new(field.of, field.is_optional, is_listed)).collect()
}

fn types<R>(fields: &[Field<R>]) -> Result<Vec<TypePtr>, ParquetError> {
    fields.iter().map(|field| primitive(field.name, field.of, field.is_optional).map(Arc::new)).collect()
}

impl Columns {
    pub(super) fn new() -> Self {
        Self {
            flat: columns(FIELDS, false),
            labels: columns(LABELS, true),
            steps: columns(STEPS, true),
            adjustments: columns(ADJUSTMENTS, true),
        }
    }

    /// The schema of the file.
    pub(super) fn schema(&self) -> Result<Type, ParquetError> {
        let mut fields = types(FIELDS)?;
        fields.push(Arc::new(map("labels", types(LABELS)?)?));
        fields.push(Arc::new(list("step_executions", types(STEPS)?)?));
        fields.push(Arc::new(list("adaptive_adjustments", types(ADJUSTMENTS)?)?));
        Type::group_type_builder("execution").with_fields(fields).build()
    }

    /// All columns, in the order of the schema.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Column> {
        let listed = self.labels.iter_mut().chain(&mut self.steps).chain(&mut self.adjustments);
        self.flat.iter_mut().chain(listed)
    }

    /// How many bytes they take, about.
    pub(super) fn bytes(&self) -> usize {
        let listed = self.labels.iter().chain(&self.steps).chain(&self.adjustments);
        self.flat.iter().chain(listed).map(Column::bytes).sum()
    }

    /// Takes the next row.
    pub(super) fn push(&mut self, log: &str, entry: u64, execution: &StoredExecution) {
        let source_digest = execution.source_digest.map(|digest| digest.to_string());
        let row = Row { log, entry, execution, source_digest };
        for (column, field) in self.flat.iter_mut().zip(FIELDS) {
            column.push((field.read)(&row), 0);
        }
        let record = &execution.record;
        for (place, (key, value)) in record.labels.iter().enumerate() {
            for (column, text) in self.labels.iter_mut().zip([key, value]) {
                column.push(Cell::Text(text), place);
            }
        }
        if record.labels.is_empty() {
            self.labels.iter_mut().for_each(Column::push_empty);
        }
        push_list(&mut self.steps, STEPS, &record.step_executions);
        push_list(&mut self.adjustments, ADJUSTMENTS, &record.adaptive_adjustments);
    }
}

fn push_list<T>(columns: &mut [Column], fields: &[Field<OfElement<T>>], elements: &[T]) {
    for (column, field) in columns.iter_mut().zip(fields) {
        for (place, element) in elements.iter().enumerate() {
            column.push((field.read)(element), place);
        }
        if elements.is_empty() {
            column.push_empty();
        }
    }
}

/// A list of groups, by Parquet's rules for lists of three levels.
fn list(name: &str, fields: Vec<TypePtr>) -> Result<Type, ParquetError> {
    let element = Type::group_type_builder("element")
        .with_repetition(Repetition::REQUIRED)
        .with_fields(fields)
        .build()?;
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_converted_type(ConvertedType::LIST)
        .with_fields(vec![Arc::new(repeated)])
        .build()
}

/// A map, whose fields are key and value.
fn map(name: &str, fields: Vec<TypePtr>) -> Result<Type, ParquetError> {
    let repeated = Type::group_type_builder("key_value")
        .with_repetition(Repetition::REPEATED)
        .with_fields(fields)
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::Map))
        .with_converted_type(ConvertedType::MAP)
        .with_fields(vec![Arc::new(repeated)])
        .build()
}
