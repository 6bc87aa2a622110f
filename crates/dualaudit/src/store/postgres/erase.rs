//! What an erasure takes of the tables.

use std::pin::pin;

use dualaudit_record::{
    Entry, EntryKind,
    entry::Hold,
    log::{body, parse_body},
};
use futures::TryStreamExt as _;
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::{Error, Result},
    known::holds_covering,
    rows::{EXECUTION, execution, revision_of_entry},
    session::Session,
    tracked::Concerns,
    values::{Micros, at_most, small},
};
use crate::store::{
    ahead::{Prepared, StoredForm},
    erase::{Erasable, Erased, Gathering, original, rest_digest},
    rows::{Cells as _, FullRow},
};

/// What is read of an execution that is to be erased.
#[derive(Default)]
pub(super) struct ErasableRows {
    /// Its entries that can lose something, in order, as many as one erasure takes.
    pub(super) entries: Vec<Erasable>,
    /// The open holds that cover it, oldest first.
    pub(super) holds: Vec<(u64, Hold)>,
}

impl ErasableRows {
    /// Reads it, if there is such an execution.
    pub(super) async fn of(session: &Session, log: &str, concerns: &Concerns<'_>) -> Result<Self> {
        let Some(id) = concerns.erased else { return Ok(Self::default()) };
        let ids = [id.to_owned()];
        let covering = holds_covering(session, log, &ids).await?.remove(id).unwrap_or_default();
        let holds = covering.into_iter().map(|row| (row.index, row.hold)).collect();
        Ok(Self { entries: entries(session, log, id).await?, holds })
    }
}

async fn entries(session: &Session, log: &str, id: &str) -> Result<Vec<Erasable>> {
    const WHOLE: &str = concat!(
        "
        -- append: entries that are neither erased nor purged
        SELECT execution.*, entry.idx, entry.kind, entry.body, entry.body_digest
        FROM (
            SELECT idx, kind, execution_id, attempt, revision, created_at, body, body_digest
            FROM log_entry
            WHERE log = $1 AND execution_id = $2 AND kind IN ('execution', 'gap', 'quarantine', 'review', 'window')
                AND NOT EXISTS (SELECT 1 FROM erased WHERE log = $1 AND entry_idx = log_entry.idx)
                AND NOT dualaudit_is_purged($1, idx)
        ) AS entry
        LEFT JOIN LATERAL (",
        revision_of_entry!("entry.execution_id", "entry.attempt", "entry.created_at"),
        ") AS execution ON TRUE
        ORDER BY entry.idx"
    );
    let statement = session.prepare_cached(WHOLE).await?;
    let of: [&(dyn ToSql + Sync); 2] = [&log, &id];
    // One after the other: what is personal of many would else be in memory at once.
    let mut found = pin!(session.query_raw(&statement, of).await?);
    let mut gathering = Gathering::default();
    while let Some(row) = found.try_next().await? {
        let index = row.number(EXECUTION)?;
        let said = said(&row).map_err(|error| match error.into_unreadable() {
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
fn said(row: &Row) -> Result<Entry> {
    let kind = row.text(EXECUTION + 1)?;
    let kind: EntryKind = kind.parse().map_err(|_| row.unreadable(EXECUTION + 1, "no kind is called so"))?;
    let digest = row.digest(EXECUTION + 3)?;
    if kind != EntryKind::Execution {
        let read = parse_body(kind, row.text(EXECUTION + 2)?.as_bytes());
        let (entry, nonce) = read.map_err(|error| Error::damaged(error.to_string()))?;
        return original(entry, nonce, digest).map_err(Error::damaged);
    }
    if row.is_null(0)? {
        return Err(Error::damaged("the execution has no row"));
    }
    let FullRow { execution, nonce } = execution(row)?;
    original(Entry::Execution(Box::new(execution)), nonce, digest).map_err(Error::damaged)
}

/// Puts what is left in the place of an entry; its object and content digest go.
pub(super) async fn erase(session: &Session, log: &str, erased: &Erased) -> Result<()> {
    const BODY: &str = "
        -- append: what is left of an entry
        UPDATE log_entry
        SET content_digest = NULL,
            body = $3
        WHERE log = $1 AND idx = $2";
    const QUARANTINE: &str = "
        -- append: quarantined object erased
        UPDATE quarantine
        SET object = ''
        WHERE log = $1 AND execution_id = $2 AND source_digest = $3 AND idx = $4";
    const REVIEW: &str = "
        -- append: note of a review erased
        UPDATE review
        SET note = ''
        WHERE log = $1 AND idx = $2";
    let Erased { index, rest, nonce } = erased;
    let index = at_most(*index);
    let text = match rest {
        Entry::Execution(_) => None,
        other => Some(String::from_utf8(body(other, *nonce)).expect("canonical JSON is UTF-8")),
    };
    let statement = session.prepare_cached(BODY).await?;
    session.execute(&statement, &[&log, &index, &text]).await?;
    match rest {
        Entry::Execution(left) => {
            let form = StoredForm::new(left, rest_digest(rest, *nonce));
            row(session, log, index, &form.recorded(), &nonce.0).await
        }
        Entry::Quarantine(quarantine) => {
            let statement = session.prepare_cached(QUARANTINE).await?;
            let digest = quarantine.source_digest.0.as_slice();
            session.execute(&statement, &[&log, &quarantine.execution_id, &digest, &index]).await?;
            Ok(())
        }
        Entry::Review(_) => {
            let statement = session.prepare_cached(REVIEW).await?;
            session.execute(&statement, &[&log, &index]).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Puts what is left in the place of the row of a revision.
async fn row(session: &Session, log: &str, index: i64, left: &Prepared<'_>, nonce: &[u8]) -> Result<()> {
    macro_rules! erase_row {
        ($what:literal, $table:literal) => {
            concat!(
                "
        -- append: what is left of ",
                $what,
                "
        UPDATE ",
                $table,
                "
        SET error_message = '',
            name = NULL,
            target_name = NULL,
            labels = '{}',
            source_digest = NULL,
            nonce = $5,
            step_executions = $6::text::jsonb,
            adaptive_adjustments = $7::text::jsonb
        WHERE log = $1 AND id = $2 AND attempt = $3 AND revision = $4 AND created_at = $8"
            )
        };
    }
    const LATEST: &str = erase_row!("an execution", "workflow_execution_audit");
    const EARLIER: &str = erase_row!("an earlier revision", "workflow_execution_revision");
    const SOURCE_OBJECT: &str = "
        -- append: source object erased
        UPDATE source_object
        SET object = ''
        WHERE log = $1 AND idx = $2 AND created_at = $3";
    let Prepared { record, revision, step_executions, adaptive_adjustments, .. } = left;
    let (attempt, revision, created_at) =
        (small(record.attempt), small(*revision), Micros::from(record.created_at));
    let of: [&(dyn ToSql + Sync); 8] =
        [&log, &record.id, &attempt, &revision, &nonce, step_executions, adaptive_adjustments, &created_at];
    let (latest, earlier) = (session.prepare_cached(LATEST).await?, session.prepare_cached(EARLIER).await?);
    if session.execute(&latest, &of).await? + session.execute(&earlier, &of).await? != 1 {
        return Err(Error::damaged(format!("log {log}, entry {index}: there is no row to erase")));
    }
    let object = session.prepare_cached(SOURCE_OBJECT).await?;
    session.execute(&object, &[&log, &index, &created_at]).await?;
    Ok(())
}
