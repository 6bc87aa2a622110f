//! What lists of executions tell of each.

use serde::Serialize;

use crate::{
    command::{
        columns::{Cell, Column, Shape},
        get, output,
    },
    query::Summary,
};

pub(in crate::command) static SHAPE: Shape<Summary> = Shape {
    columns: COLUMNS,
    table: &[
        "id",
        "resource",
        "workflow_name",
        "workflow_version",
        "phase",
        "outcome",
        "effectiveness_score",
        "steps",
        "total_duration",
        "completed_at",
        "tiers",
        "log",
    ],
    wide: &[
        "cluster",
        "remediation_id",
        "incident_type",
        "target",
        "revision",
        "review_until",
        "created_at",
        "recorded_at",
        "error_message",
    ],
    csv: &[
        "id",
        "attempt",
        "revision",
        "log",
        "cluster",
        "namespace",
        "name",
        "remediation_id",
        "workflow_name",
        "workflow_version",
        "incident_type",
        "status",
        "outcome",
        "effectiveness_score",
        "score_source",
        "total_steps",
        "steps_completed",
        "steps_failed",
        "rollbacks_performed",
        "total_duration",
        "created_at",
        "completed_at",
        "recorded_at",
        "error_message",
        "phase",
        "tiers",
        "review_until",
    ],
    name: |item| item.id.clone(),
    nothing: "There is nothing that fits.",
};

pub(in crate::command) const COLUMNS: &[Column<Summary>] = &[
    Column { name: "id", header: "ID", of: id },
    Column { name: "attempt", header: "ATTEMPT", of: |item| item.attempt.into() },
    Column { name: "revision", header: "REVISION", of: |item| item.revision.into() },
    Column { name: "log", header: "LOG", of: |item| item.log.clone().into() },
    Column { name: "cluster", header: "CLUSTER", of: |item| item.cluster.clone().into() },
    Column {
        name: "resource",
        header: "NAMESPACE/NAME",
        of: |item| get::resource(item.namespace.as_deref(), item.name.as_deref()).into(),
    },
    Column { name: "namespace", header: "NAMESPACE", of: |item| item.namespace.clone().into() },
    Column { name: "name", header: "NAME", of: |item| item.name.clone().into() },
    Column { name: "remediation_id", header: "REMEDIATION", of: |item| item.remediation_id.clone().into() },
    Column { name: "workflow_name", header: "WORKFLOW", of: |item| item.workflow_name.clone().into() },
    Column { name: "workflow_version", header: "VERSION", of: |item| item.workflow_version.clone().into() },
    Column { name: "incident_type", header: "INCIDENT", of: |item| item.incident_type.clone().into() },
    Column { name: "target", header: "TARGET", of: target },
    Column { name: "phase", header: "PHASE", of: |item| Cell::Word(item.phase.clone()) },
    Column { name: "tiers", header: "TIERS", of: tiers },
    Column { name: "review_until", header: "REVIEW UNTIL", of: |item| item.review_until.into() },
    Column { name: "status", header: "STATUS", of: |item| word(item.status.as_ref()) },
    Column { name: "outcome", header: "OUTCOME", of: |item| word(item.outcome.as_ref()) },
    Column {
        name: "effectiveness_score",
        header: "SCORE",
        of: |item| item.effectiveness_score.map(Cell::Score).into(),
    },
    Column {
        name: "score_source",
        header: "SCORED",
        of: |item| item.score_source.as_ref().map(output::name).into(),
    },
    Column {
        name: "steps",
        header: "STEPS",
        of: |item| format!("{}/{}", item.steps_completed, item.total_steps).into(),
    },
    Column { name: "total_steps", header: "TOTAL", of: |item| item.total_steps.into() },
    Column { name: "steps_completed", header: "DONE", of: |item| item.steps_completed.into() },
    Column { name: "steps_failed", header: "FAILED", of: |item| item.steps_failed.into() },
    Column { name: "rollbacks_performed", header: "ROLLBACKS", of: |item| item.rollbacks_performed.into() },
    Column {
        name: "total_duration",
        header: "DURATION",
        of: |item| item.total_duration.map(Cell::Duration).into(),
    },
    Column { name: "created_at", header: "CREATED", of: |item| Cell::Time(item.created_at) },
    Column { name: "started_at", header: "STARTED", of: |item| item.started_at.into() },
    Column { name: "completed_at", header: "COMPLETED", of: |item| item.completed_at.into() },
    Column { name: "recorded_at", header: "RECORDED", of: |item| item.recorded_at.into() },
    Column { name: "labels", header: "LABELS", of: labels },
    Column { name: "error_message", header: "ERROR", of: |item| item.error_message.clone().into() },
];

/// People are told of an attempt where it is not the first; data has it in a column.
fn id(item: &Summary) -> Cell {
    let people = match item.attempt {
        1 => item.id.clone(),
        attempt => format!("{} (attempt {attempt})", item.id),
    };
    Cell::Either(people, item.id.clone())
}

/// What has no value yet is empty.
fn word<T: Serialize>(value: Option<&T>) -> Cell {
    value.map(|value| Cell::Word(output::name(value))).into()
}

fn tiers(item: &Summary) -> Cell {
    let names: Vec<_> = item.tiers.iter().map(output::name).collect();
    Cell::Either(names.join(","), names.join(" "))
}

fn target(item: &Summary) -> Cell {
    let Some(target) = &item.target else { return Cell::Text(String::new()) };
    let name = target.name.clone().unwrap_or_default();
    target.kind.as_ref().map_or(name.clone(), |kind| format!("{kind}/{name}")).into()
}

fn labels(item: &Summary) -> Cell {
    item.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",").into()
}
