//! Tiles and entry bundles.

use dualaudit_record::log::{Leaf, TILE_WIDTH, TileId, write_entry_bundle};
use rusqlite::{Connection, params};

use super::{
    error::Result,
    known::{collect, first},
    read::beyond,
};
use crate::store::rows;

/// See [`crate::store::Store::tiles`].
pub(super) fn tiles(connection: &Connection, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>> {
    const TILE: &str = "
        -- tile
        SELECT hashes
        FROM log_tile
        WHERE log = ?1 AND level = ?2 AND idx = ?3";
    let read = |id: &TileId| match id {
        TileId::Hashes { level, index } => {
            first(connection, TILE, params![log, level, beyond(*index)], |row| Ok(row.get(0)?))
        }
        TileId::Entries { index } => entries(connection, log, *index),
    };
    wanted.iter().map(read).collect()
}

/// A bundle of leaves, made of the columns that hold them.
fn entries(connection: &Connection, log: &str, index: u64) -> Result<Option<Vec<u8>>> {
    const LEAVES: &str = "
        -- leaves
        SELECT idx, kind, recorded_at, execution_id, attempt, revision, body_digest
        FROM log_entry
        WHERE log = ?1 AND idx >= ?2 AND idx < ?3
        ORDER BY idx";
    let width = TILE_WIDTH as u64;
    let (from, end) = (index.saturating_mul(width), index.saturating_add(1).saturating_mul(width));
    let leaves: Vec<Leaf> =
        collect(connection, LEAVES, params![log, beyond(from), beyond(end)], |row| rows::leaf(row, log))?;
    Ok((!leaves.is_empty()).then(|| write_entry_bundle(&leaves)))
}
