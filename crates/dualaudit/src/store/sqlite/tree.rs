//! A log's head and the right edge of its tree.

use dualaudit_record::{
    Time,
    digest::Digest,
    log::{TileData, Tree},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::{Error, Result},
    rows,
};

/// A log's head, as its row says.
pub(super) struct HeadRow {
    pub(super) log: String,
    /// Key of the log's commitments.
    pub(super) secret: [u8; 32],
    pub(super) size: u64,
    pub(super) root: Digest,
    pub(super) recorded_at: Option<Time>,
}

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
                    root: rows::digest(row, 1)?,
                    recorded_at: rows::optional_time(row, 2)?,
                    secret: rows::bytes(row, 3)?,
                })
            })())
        })
        .optional()?
        .ok_or_else(|| Error::rejected(format!("there is no log {log:?}: it was never opened")))?
}

/// The tree that the head stands for: the one kept from the last append, or else read from tiles.
pub(super) fn resume(connection: &Connection, head: &HeadRow, kept: Option<Tree>) -> Result<Tree> {
    if let Some(kept) = kept
        && kept.size() == head.size
        && kept.root() == head.root
    {
        return Ok(kept);
    }
    let tree = Tree::from_edge(head.size, &edge(connection, head)?)
        .map_err(|error| Error::damaged(format!("log {}: {error}", head.log)))?;
    if tree.root() != head.root {
        return Err(Error::damaged(format!(
            "log {}: the tiles give the root {}, the head says {}",
            head.log,
            tree.root(),
            head.root
        )));
    }
    Ok(tree)
}

/// The growing tile of each level.
fn edge(connection: &Connection, head: &HeadRow) -> Result<Vec<TileData>> {
    const TILE: &str = "
        -- growing tile
        SELECT hashes
        FROM log_tile
        WHERE log = ?1 AND level = ?2 AND idx = ?3";
    let mut statement = connection.prepare_cached(TILE)?;
    let mut tiles = Vec::new();
    for level in 0..8u8 {
        let hashes = head.size >> (8 * u32::from(level));
        if hashes == 0 {
            break;
        }
        let index = hashes >> 8;
        let tile = statement.query_row(params![head.log, level, index], |row| row.get(0)).optional()?;
        if let Some(hashes) = tile {
            tiles.push(TileData { level, index, hashes });
        }
    }
    Ok(tiles)
}
