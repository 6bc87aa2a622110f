//! Tiles and entry bundles.

use std::collections::HashMap;

use dualaudit_record::log::{Leaf, TILE_WIDTH, TileId, write_entry_bundle};
use tokio_postgres::Row;

use super::{error::Result, session::Session, values::at_most};
use crate::store::rows::{self, Cells};

/// See [`crate::store::Store::tiles`].
pub(super) async fn tiles(session: &Session, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>> {
    const TILES: &str = "
        -- tiles
        SELECT tile.level, tile.idx, tile.hashes
        FROM unnest($2::smallint[], $3::bigint[]) AS wanted (level, idx)
        CROSS JOIN LATERAL (
            SELECT level, idx, hashes
            FROM log_tile
            WHERE log = $1 AND level = wanted.level AND idx = wanted.idx
            LIMIT 1
        ) AS tile";
    let hashes = wanted.iter().filter_map(|tile| match tile {
        TileId::Hashes { level, index } => Some((i16::from(*level), at_most(*index))),
        TileId::Entries { .. } => None,
    });
    let (levels, indexes): (Vec<i16>, Vec<i64>) = hashes.unzip();
    let mut found = HashMap::new();
    if !levels.is_empty() {
        for row in session.rows(TILES, &[&log, &levels, &indexes]).await? {
            let id = TileId::Hashes { level: row.number(0)?, index: row.number(1)? };
            found.insert(id, row.blob(2)?.to_owned());
        }
    }
    let mut tiles = Vec::with_capacity(wanted.len());
    for id in wanted {
        tiles.push(match id {
            TileId::Hashes { .. } => found.remove(id),
            TileId::Entries { index } => entries(session, log, *index).await?,
        });
    }
    Ok(tiles)
}

/// A bundle of leaves, made of the columns that hold them.
async fn entries(session: &Session, log: &str, index: u64) -> Result<Option<Vec<u8>>> {
    const LEAVES: &str = "
        -- leaves
        SELECT idx, kind, recorded_at, execution_id, attempt, revision, body_digest
        FROM log_entry
        WHERE log = $1 AND idx >= $2 AND idx < $3
        ORDER BY idx";
    let width = TILE_WIDTH as u64;
    let (first, end) = (index.saturating_mul(width), index.saturating_add(1).saturating_mul(width));
    let found = session.rows(LEAVES, &[&log, &at_most(first), &at_most(end)]).await?;
    let leaves = found.iter().map(|row: &Row| rows::leaf(row, log)).collect::<Result<Vec<Leaf>>>()?;
    Ok((!leaves.is_empty()).then(|| write_entry_bundle(&leaves)))
}
