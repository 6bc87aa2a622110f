//! What vouches for the rows of each table, as conditions that every database understands.

use super::Table;

/// How a database says what others say otherwise.
pub(super) trait Voucher {
    /// Whether something vouches for the row `stray` of one of the tables of executions, source objects,
    /// quarantined objects and what waits to be removed, purges apart, as a condition that is never NULL.
    fn own(&self, table: Table) -> &'static str;

    /// Whether the body of the entry with this index was purged, as a condition that is never NULL.
    fn is_purged(&self, index: &str) -> String;
}

/// Whether something vouches for the row `stray` of a table, as a condition that is never NULL.
pub(super) fn vouched_for(table: Table, by: &impl Voucher) -> String {
    let vouched = match table {
        Table::Execution | Table::SourceObject | Table::Quarantine | Table::PurgePending => by.own(table),
        Table::Entry => {
            "EXISTS (
                SELECT 1 FROM log
                WHERE name = stray.log AND stray.idx >= 0 AND stray.idx < size)"
        }
        Table::Revision => {
            "EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.log AND entry.execution_id = stray.id
                    AND entry.attempt = stray.attempt AND entry.revision = stray.revision)
            AND EXISTS (
                SELECT 1 FROM log_entry AS newer
                WHERE newer.log = stray.log AND newer.execution_id = stray.id
                    AND newer.attempt = stray.attempt AND newer.revision > stray.revision)"
        }
        Table::Hold => {
            "EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'hold'
                    AND entry.execution_id IS NOT DISTINCT FROM stray.execution_id)"
        }
        Table::Review => {
            "EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'review'
                    AND entry.execution_id = stray.id)"
        }
        // A level has a hash for every 256 of the level below.
        Table::Tile => {
            "EXISTS (
                SELECT 1 FROM log
                WHERE name = stray.log AND stray.level BETWEEN 0 AND 7 AND stray.idx >= 0
                    AND stray.idx < ((size >> (8 * stray.level)) + 255) / 256)"
        }
        Table::Purged => {
            "EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'purge')"
        }
        Table::Erased => {
            "EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.log AND entry.idx = stray.idx AND entry.kind = 'erasure')"
        }
        // Which log that entry names is checked with that log.
        Table::Succession => {
            "EXISTS (SELECT 1 FROM log WHERE name = stray.log)
            AND EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.successor AND entry.idx = 0 AND entry.kind = 'succession')"
        }
        // Its first two lines are the log's origin and its size (C2SP tlog-checkpoint).
        Table::Checkpoint => {
            "EXISTS (
                SELECT 1 FROM log
                WHERE name = stray.log AND stray.size <= log.size
                    AND origin || '\n' || CAST(stray.size AS TEXT) || '\n' =
                        substr(note, 1, length(origin || '\n' || CAST(stray.size AS TEXT) || '\n')))"
        }
    };
    // What was purged is vouched for while it waits to be removed; and it waits if all of it was purged.
    let beyond = match table {
        Table::Execution | Table::Revision => format!(
            "
            AND (
                EXISTS (
                    SELECT 1 FROM purge_pending AS pending
                    WHERE pending.log = stray.log AND pending.id = stray.id
                        AND pending.attempt = stray.attempt)
                OR NOT EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.execution_id = stray.id
                        AND entry.attempt = stray.attempt AND entry.revision = stray.revision
                        AND {}))",
            by.is_purged("entry.idx")
        ),
        Table::SourceObject => format!(
            "
            AND (
                NOT {}
                OR EXISTS (
                    SELECT 1 FROM log_entry AS entry
                    WHERE entry.log = stray.log AND entry.idx = stray.idx AND EXISTS (
                        SELECT 1 FROM purge_pending AS pending
                        WHERE pending.log = entry.log AND pending.id = entry.execution_id
                            AND pending.attempt = entry.attempt)))",
            by.is_purged("stray.idx")
        ),
        Table::PurgePending => format!(
            "
            AND NOT EXISTS (
                SELECT 1 FROM log_entry AS entry
                WHERE entry.log = stray.log AND entry.execution_id = stray.id
                    AND entry.attempt = stray.attempt AND NOT {})",
            by.is_purged("entry.idx")
        ),
        _ => String::new(),
    };
    format!("{vouched}{beyond}")
}
