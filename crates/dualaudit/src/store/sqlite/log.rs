//! Opening a log.

use dualaudit_record::log::Tree;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{error::Result, known::first, leave};
use crate::store::{Log, LogOpening, LogState, rows::Cells as _};

/// See [`crate::store::Store::open_log`].
pub(super) fn open(connection: &mut Connection, opening: &LogOpening) -> Result<Log> {
    // Most openings find their log, and need no lock.
    if let Some(log) = find(connection, opening)? {
        return Ok(log);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(log) = find(&transaction, opening)? {
        return Ok(log);
    }
    const INSERT: &str = "
        -- open log: create
        INSERT INTO log (name, owner, cluster_uid, origin, secret, created_at, size, root, recorded_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, NULL)";
    let (owner, cluster_uid) = opening.owner.columns();
    let created_at = opening.now.as_micros();
    let root = Tree::empty().root();
    transaction.execute(
        INSERT,
        params![opening.log, owner, cluster_uid, opening.origin, opening.secret, created_at, root.0],
    )?;
    transaction.commit()?;
    Ok(Log { name: opening.log.clone(), origin: opening.origin.clone(), secret: opening.secret })
}

/// The log, or the one that goes on in its place.
fn find(connection: &Connection, opening: &LogOpening) -> Result<Option<Log>> {
    const FIND: &str = "
        -- open log: find
        SELECT owner, cluster_uid, origin, secret
        FROM log
        WHERE name = ?1";
    let mut name = opening.log.clone();
    loop {
        let found = first(connection, FIND, [&name], |row| {
            let owner: (String, Option<String>) = (row.get(0)?, row.get(1)?);
            Ok((owner, Log { name: name.clone(), origin: row.get(2)?, secret: row.bytes(3)? }))
        })?;
        let Some(((owner, cluster_uid), log)) = found else { return Ok(None) };
        opening.check_owner(&owner, cluster_uid.as_deref())?;
        match leave::state(connection, &name)? {
            LogState::Succeeded { by } => name = by,
            state => {
                state.check_opening(&name)?;
                return Ok(Some(log));
            }
        }
    }
}
