//! A log's head and the right edge of its tree.

use dualaudit_record::{
    log::{TileData, Tree},
    proof,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::{Error, Result};
use crate::store::{
    head::{HeadRow, Kept},
    rows::Cells,
};

/// Reads a log's head.
///
/// # Errors
/// Rejected when there is no such log.
pub(super) fn head(connection: &Connection, log: &str) -> Result<HeadRow> {
    const HEAD: &str = "
        -- head
        SELECT size, root, recorded_at, secret
        FROM log
        WHERE name = ?1";
    connection
        .prepare_cached(HEAD)?
        .query_row([log], |row| {
            Ok((|| {
                Ok(HeadRow {
                    log: log.to_owned(),
                    size: row.get(0)?,
                    root: row.digest(1)?,
                    recorded_at: row.optional(2, Cells::time)?,
                    secret: row.bytes(3)?,
                })
            })())
        })
        .optional()?
        .ok_or_else(|| Error::rejected(format!("there is no log {log:?}: it was never opened")))?
}

/// The tree that the head stands for: the one kept from the last append, or else read from tiles. It extends
/// the head that it should.
pub(super) fn resume(
    connection: &Connection,
    head: &HeadRow,
    kept: Option<Kept>,
    extends: Option<proof::Head>,
) -> Result<Tree> {
    let (kept, unproved) = Kept::resume(kept, head, extends);
    if let Some(known) = unproved
        && !had(connection, head, known)?
    {
        return Err(head.rolled_back(known).into());
    }
    match kept {
        Some(tree) => Ok(tree),
        None => head.tree(&edge(connection, head)?).map_err(Error::damaged),
    }
}

/// Whether the log had this head before.
pub(super) fn had(connection: &Connection, head: &HeadRow, known: proof::Head) -> Result<bool> {
    let growing = edge(connection, &head.back_at(known))?;
    head.had(known, growing).map_err(Error::damaged)
}

/// The growing tile of each level.
pub(super) fn edge(connection: &Connection, head: &HeadRow) -> Result<Vec<TileData>> {
    const TILE: &str = "
        -- growing tile
        SELECT hashes
        FROM log_tile
        WHERE log = ?1 AND level = ?2 AND idx = ?3";
    let mut statement = connection.prepare_cached(TILE)?;
    let mut tiles = Vec::new();
    for (level, index) in head.growing_tiles() {
        let tile = statement.query_row(params![head.log, level, index], |row| row.get(0)).optional()?;
        if let Some(hashes) = tile {
            tiles.push(TileData { level, index, hashes });
        }
    }
    Ok(tiles)
}
