//! CSV: an execution to a row, its lists as JSON.

use std::{borrow::Cow, io};

use dualaudit_record::{Time, execution::StoredExecution};
use serde::Serialize;

use super::{Encoder, Line};

/// A text as it may stand in CSV that a spreadsheet opens: one that it would take for a formula gets a `'` in front,
/// which a spreadsheet does not show, and so does one that begins with `'`, so that taking one away from each that
/// begins with it gives back what was recorded.
pub fn guarded(text: &str) -> Cow<'_, str> {
    match text.as_bytes().first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\'') => Cow::Owned(format!("'{text}")),
        _ => Cow::Borrowed(text),
    }
}

/// The columns, in order.
pub const COLUMNS: [&str; 38] = [
    "id",
    "attempt",
    "revision",
    "log",
    "entry",
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
    "queued_duration",
    "created_at",
    "started_at",
    "completed_at",
    "recorded_at",
    "target_api_version",
    "target_kind",
    "target_namespace",
    "target_name",
    "source_api_version",
    "source_kind",
    "source_uid",
    "source_digest",
    "labels",
    "step_executions",
    "adaptive_adjustments",
    "error_message",
];

/// Writes rows; before the first, the header.
#[derive(Default)]
pub(super) struct Csv {
    is_begun: bool,
}

impl Encoder for Csv {
    fn line(&mut self, line: &Line<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(execution) = line.execution else { return Ok(()) };
        let mut csv = csv::Writer::from_writer(out);
        if !std::mem::replace(&mut self.is_begun, true) {
            csv.write_record(COLUMNS)?;
        }
        csv.write_record(&row(line, execution)?)?;
        csv.flush()
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.is_begun {
            return Ok(());
        }
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(COLUMNS)?;
        csv.flush()
    }
}

fn row(line: &Line<'_>, execution: &StoredExecution) -> io::Result<[String; 38]> {
    fn text(text: &str) -> String {
        guarded(text).into_owned()
    }
    fn optional(value: Option<&str>) -> String {
        value.map_or_else(String::new, text)
    }
    fn time(time: Option<Time>) -> String {
        time.map_or_else(String::new, |time| time.to_string())
    }
    fn json(value: &impl Serialize) -> io::Result<String> {
        Ok(serde_json::to_string(value)?)
    }
    let record = &execution.record;
    let (source, target) = (record.source.as_ref(), record.target.as_ref());
    Ok([
        text(&record.id),
        record.attempt.to_string(),
        execution.revision.to_string(),
        line.log.to_owned(),
        line.stored.index.to_string(),
        optional(record.cluster.as_deref()),
        optional(record.namespace.as_deref()),
        optional(record.name.as_deref()),
        text(&record.remediation_id),
        text(&record.workflow_name),
        text(&record.workflow_version),
        optional(record.incident_type.as_deref()),
        record.status.to_string(),
        record.outcome.to_string(),
        record.effectiveness_score.to_string(),
        record.score_source.to_string(),
        record.total_steps.to_string(),
        record.steps_completed.to_string(),
        record.steps_failed.to_string(),
        record.rollbacks_performed.to_string(),
        record.total_duration.to_string(),
        record.queued_duration.map_or_else(String::new, |duration| duration.to_string()),
        record.created_at.to_string(),
        time(record.started_at),
        record.completed_at.to_string(),
        execution.recorded_at.to_string(),
        optional(target.and_then(|target| target.api_version.as_deref())),
        optional(target.and_then(|target| target.kind.as_deref())),
        optional(target.and_then(|target| target.namespace.as_deref())),
        optional(target.and_then(|target| target.name.as_deref())),
        optional(source.map(|source| source.api_version.as_str())),
        optional(source.map(|source| source.kind.as_str())),
        optional(source.map(|source| source.uid.as_str())),
        execution.source_digest.map_or_else(String::new, |digest| digest.to_string()),
        json(&record.labels)?,
        json(&record.step_executions)?,
        json(&record.adaptive_adjustments)?,
        text(&record.error_message),
    ])
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn what_a_spreadsheet_would_run_is_guarded_and_can_be_taken_back() {
        for (text, expected) in [
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("'quoted'", "''quoted'"),
            ("", ""),
            ("a=1", "a=1"),
            ("漢", "漢"),
        ] {
            let written = guarded(text);
            assert_eq!(written, expected);
            assert_eq!(written.strip_prefix('\'').unwrap_or(&written), text);
        }
    }
}
