//! Opening a log.

use dualaudit_record::log::Tree;
use tokio_postgres::Row;

use super::{
    error::{Error, Result},
    session::Session,
    values::Micros,
};
use crate::store::{Log, LogOpening, LogState, StoreError, rows::Cells};

/// See [`crate::store::Store::open_log`].
pub(super) async fn open(session: &Session, opening: &LogOpening) -> Result<Log> {
    // Whoever comes first creates it; all others find it.
    const INSERT: &str = "
        -- open log: create
        INSERT INTO log (name, owner, cluster_uid, origin, secret, created_at, size, root, recorded_at)
        VALUES ($1, $2, $3, $4, $5, $6, 0, $7, NULL)
        ON CONFLICT (name) DO NOTHING";
    if let Some(log) = find(session, opening).await? {
        check_granted(session, &log.name).await?;
        return Ok(log);
    }
    check_granted(session, &opening.log).await?;
    let (owner, cluster_uid) = opening.owner.columns();
    let statement = session.prepare_cached(INSERT).await?;
    let created_at = Micros::from(opening.now);
    let (secret, root) = (opening.secret.as_slice(), Tree::empty().root().0);
    session
        .execute(
            &statement,
            &[&opening.log, &owner, &cluster_uid, &opening.origin, &secret, &created_at, &root.as_slice()],
        )
        .await?;
    match find(session, opening).await? {
        Some(log) => Ok(log),
        None => Err(Error::damaged(format!("log {} is gone", opening.log))),
    }
}

/// Checks that this role may write the log, where roles write one log each.
///
/// # Errors
/// [`StoreError::Foreign`] when it may not.
pub(super) async fn check_granted(session: &Session, log: &str) -> Result<()> {
    const GRANTED: &str = "
        -- whether the log is granted
        SELECT dualaudit_is_owner() OR coalesce($1 = ANY (dualaudit_granted()), true), current_user::text";
    let row =
        session.row(GRANTED, &[&log]).await?.ok_or_else(|| Error::damaged("a question without an answer"))?;
    if row.try_get(0)? {
        return Ok(());
    }
    let role: &str = row.try_get(1)?;
    Err(StoreError::Foreign(format!(
        "the role {role} may not write the log {log}: run `dualaudit migrate --grant-log {log}={role}` as the owner, or \
         run as the role that is granted it"
    ))
    .into())
}

/// The log, or the one that goes on in its place.
async fn find(session: &Session, opening: &LogOpening) -> Result<Option<Log>> {
    const FIND: &str = "
        -- open log: find
        SELECT owner, cluster_uid, origin, secret, state, moved_from,
            (SELECT successor FROM succession WHERE log = $1)
        FROM log
        WHERE name = $1";
    let mut name = opening.log.clone();
    while let Some(row) = session.row(FIND, &[&name]).await? {
        let cluster_uid = row.optional(1, |row, column| row.string(column))?;
        opening.check_owner(row.text(0)?, cluster_uid.as_deref())?;
        match state(&row, 4)? {
            LogState::Succeeded { by } => name = by,
            state => {
                state.check_opening(&name)?;
                return Ok(Some(Log { name, origin: row.string(2)?, secret: row.bytes(3)? }));
            }
        }
    }
    Ok(None)
}

/// Reads `state`, `moved_from` and the successor from column `at` on.
pub(super) fn state(row: &Row, at: usize) -> Result<LogState> {
    if let Some(by) = row.optional(at + 2, Cells::string)? {
        return Ok(LogState::Succeeded { by });
    }
    match row.text(at)? {
        "open" => Ok(LogState::Open),
        _ => Ok(LogState::Arriving { from: row.optional(at + 1, Cells::string)?.unwrap_or_default() }),
    }
}
