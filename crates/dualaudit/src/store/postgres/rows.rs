//! The columns of executions here, and reading them.

use tokio_postgres::Row;

use super::error::Result;
use crate::store::rows::{FullRow, LISTED, full, unambiguous};

/// All columns of an execution, in the order of the tables.
macro_rules! execution_columns {
    () => {
        concat!($crate::store::rows::listed_columns!(), ", nonce, step_executions, adaptive_adjustments")
    };
}

/// The row of the revision that `entry` is of, from whichever table holds it: for a lateral join, with
/// the log as `$1`. Each half is sought by a key; the first only in the partition of its month, which
/// is known while planning where `created_at` is a parameter.
macro_rules! revision_of_entry {
    ($id:literal, $attempt:literal, $created_at:literal) => {
        concat!(
            "
            SELECT ",
            $crate::store::postgres::rows::execution_columns!(),
            "
            FROM workflow_execution_audit
            WHERE log = $1 AND created_at = ",
            $created_at,
            " AND id = ",
            $id,
            " AND attempt = ",
            $attempt,
            "
                AND revision = entry.revision
            UNION ALL
            SELECT ",
            $crate::store::postgres::rows::execution_columns!(),
            "
            FROM workflow_execution_revision
            WHERE log = $1 AND id = ",
            $id,
            " AND attempt = ",
            $attempt,
            " AND revision = entry.revision
            LIMIT 1"
        )
    };
}

pub(super) use {execution_columns, revision_of_entry};

/// How many [`execution_columns`] there are.
pub(super) const EXECUTION: usize = LISTED + 3;

/// Reads [`execution_columns`].
pub(super) fn execution(row: &Row) -> Result<FullRow> {
    full(row, LISTED)
}

/// Reads [`execution_columns`], where they say the same to whoever asks with SQL.
pub(super) fn unambiguous_execution(row: &Row) -> Result<FullRow> {
    unambiguous(row, LISTED, execution(row)?)
}
