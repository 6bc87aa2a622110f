//! What an erasure takes of the tables.

use dualaudit_record::{
    Entry, EntryKind,
    log::{body, parse_body},
};
use rusqlite::{Connection, Row, params};

use super::{
    error::{Error, Result},
    read::revision,
    rows::execution,
    write::{Faults, Step, Writes},
};
use crate::store::{
    ahead::{Prepared, StoredForm},
    erase::{Erasable, Erased, Gathering, original, rest_digest},
    rows::Cells as _,
};

/// The entries of an execution that can lose something, in order, as many as one erasure takes.
pub(super) fn erasable(connection: &Connection, log: &str, id: &str) -> Result<Vec<Erasable>> {
    const WHOLE: &str = "
        -- entries that are neither erased nor purged
        SELECT idx, kind, attempt, revision, body, body_digest
        FROM log_entry
        WHERE log = ?1 AND execution_id = ?2 AND kind IN ('execution', 'gap', 'quarantine', 'review', 'window')
            AND NOT EXISTS (
                SELECT 1 FROM erased WHERE erased.log = ?1 AND entry_idx = log_entry.idx)
            AND coalesce(
                (
                    SELECT first_idx FROM purged
                    WHERE purged.log = ?1 AND last_idx >= log_entry.idx
                    ORDER BY last_idx
                    LIMIT 1
                ),
                log_entry.idx + 1) > log_entry.idx
        ORDER BY idx";
    let mut gathering = Gathering::default();
    let mut statement = connection.prepare_cached(WHOLE)?;
    let mut rows = statement.query(params![log, id])?;
    while let Some(row) = rows.next()? {
        let index = row.number(0)?;
        let said = said(connection, log, id, row).map_err(|error| match error.into_unreadable() {
            Ok(what) => Error::damaged(format!("log {log}, entry {index}: {what}; run `dualaudit verify`")),
            Err(error) => error,
        })?;
        if let Some(erasable) = Erasable::of(index, &said)
            && !gathering.push(erasable)
        {
            break;
        }
    }
    Ok(gathering.finish())
}

/// What an entry says.
fn said(connection: &Connection, log: &str, id: &str, row: &Row<'_>) -> Result<Entry> {
    let kind: EntryKind = row.text(1)?.parse().map_err(|_| row.unreadable(1, "no kind is called so"))?;
    let digest = row.digest(5)?;
    if kind != EntryKind::Execution {
        let read = parse_body(kind, row.text(4)?.as_bytes());
        let (entry, nonce) = read.map_err(|error| Error::damaged(error.to_string()))?;
        return original(entry, nonce, digest).map_err(Error::damaged);
    }
    let (attempt, number) = (row.number(2)?, row.number(3)?);
    let found = revision(connection, log, id, attempt, number, execution)?;
    let found =
        found.ok_or_else(|| Error::damaged(format!("attempt {attempt} revision {number} has no row")))?;
    original(Entry::Execution(Box::new(found.execution)), found.nonce, digest).map_err(Error::damaged)
}

/// Puts what is left in the place of an entry that the one at `by` erases; its object and content digest go.
pub(super) fn erase<F: Faults>(
    writes: &mut Writes<'_, F>,
    log: &str,
    by: u64,
    erased: &Erased,
) -> Result<()> {
    let Erased { index, rest, nonce } = erased;
    writes.write(Step::Erased, params![log, index, by])?;
    match rest {
        Entry::Execution(left) => {
            let form = StoredForm::new(left, rest_digest(rest, *nonce));
            let Prepared { record, revision, step_executions, adaptive_adjustments, .. } = form.recorded();
            let (id, attempt) = (&record.id, record.attempt);
            let row = params![log, id, attempt, revision, nonce.0, step_executions, adaptive_adjustments];
            let changed = match writes.write(Step::EraseRow, row)? {
                0 => writes.write(Step::EraseRevision, row)?,
                changed => changed,
            };
            if changed != 1 {
                return Err(Error::damaged(format!("log {log}, entry {index}: there is no row to erase")));
            }
            writes.write(Step::EraseSourceObject, params![log, index]).map(drop)
        }
        other => {
            let text = String::from_utf8(body(other, *nonce)).expect("canonical JSON is UTF-8");
            writes.write(Step::EraseBody, params![log, index, text])?;
            match other {
                Entry::Quarantine(quarantine) => {
                    let of = params![log, quarantine.execution_id, quarantine.source_digest.0, index];
                    writes.write(Step::EraseQuarantine, of).map(drop)
                }
                Entry::Review(_) => writes.write(Step::EraseReview, params![log, index]).map(drop),
                _ => Ok(()),
            }
        }
    }
}
