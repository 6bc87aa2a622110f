//! What executions and steps come to by day, as rows of plain numbers: what people ask in SQL, by the views over them.
//!
//! A fold adds to them what it adds to the pages, in the same transaction. They stay for ever, one row a day for whatever
//! ran on it.

use std::borrow::Cow;

use dualaudit_record::statistics::{Daily, StepDay, WorkflowDay};

/// A table of them, in every database the same.
pub(in crate::store) struct DayTable {
    pub(in crate::store) name: &'static str,
    /// As they are made anew.
    pub(in crate::store) rebuilt: &'static str,
    /// The columns of its key behind the log's.
    pub(in crate::store) key: &'static [&'static str],
    /// What is summed.
    pub(in crate::store) sums: &'static [&'static str],
}

pub(in crate::store) const WORKFLOW_DAYS: DayTable = DayTable {
    name: "statistics_workflow_day",
    rebuilt: "rebuilt_statistics_workflow_day",
    key: &["day", "workflow", "version", "namespace", "incident_type", "target_kind"],
    sums: WorkflowDay::NAMES,
};

pub(in crate::store) const STEP_DAYS: DayTable = DayTable {
    name: "statistics_step_day",
    rebuilt: "rebuilt_statistics_step_day",
    key: &["day", "workflow", "version", "step_number", "action"],
    sums: StepDay::NAMES,
};

/// Which of its tables: those that are stored, or those that are made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Days {
    Stored,
    Rebuilt,
}

impl Days {
    /// What a table is called.
    pub(in crate::store) fn name(self, table: &DayTable) -> &'static str {
        match self {
            Self::Stored => table.name,
            Self::Rebuilt => table.rebuilt,
        }
    }
}

/// What is to be added to a row.
pub(in crate::store) struct DayRow<'a> {
    /// The values of its key, each as text.
    pub(in crate::store) key: Vec<Cow<'a, str>>,
    pub(in crate::store) sums: Vec<i64>,
}

impl DayRow<'_> {
    /// Whether something is taken back, so that nothing may be left of the row.
    pub(in crate::store) fn takes(&self) -> bool {
        self.sums.iter().any(|&number| number < 0)
    }
}

/// What is to be added to the rows of each table.
pub(in crate::store) fn rows(daily: &Daily) -> [(&'static DayTable, Vec<DayRow<'_>>); 2] {
    let workflows = daily.workflows().iter().map(|((day, of), row)| DayRow {
        key: vec![
            day.to_string().into(),
            of.workflow.as_str().into(),
            of.version.as_str().into(),
            of.namespace.as_str().into(),
            of.incident_type.as_str().into(),
            of.target_kind.as_str().into(),
        ],
        sums: row.values(),
    });
    let steps = daily.steps().iter().map(|((day, of), row)| DayRow {
        key: vec![
            day.to_string().into(),
            of.workflow.as_str().into(),
            of.version.as_str().into(),
            of.number.to_string().into(),
            of.action.as_str().into(),
        ],
        sums: row.values(),
    });
    [(&WORKFLOW_DAYS, workflows.collect()), (&STEP_DAYS, steps.collect())]
}
