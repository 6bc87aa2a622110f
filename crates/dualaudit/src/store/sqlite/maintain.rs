//! What a file needs from time to time, while others write it: that what was purged is removed, and the
//! write-ahead log emptied, which it does by itself in the end.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{
    Options, connect,
    error::{Error, Result},
    remove,
};
use crate::store::{Removed, StoreError};

/// What was done, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maintained {
    /// Pages of the write-ahead log that are in the file now.
    pub pages_written: i64,
    /// Whether the write-ahead log takes no room on disk any more.
    pub emptied: bool,
    /// Bytes within the file that hold nothing and are filled next.
    pub free_bytes: i64,
    /// What was purged and is gone for good.
    pub removed: Removed,
}

/// Removes the rows of what was purged; copies what is in the write-ahead log into the file, and empties
/// the log if nobody uses it just now. Whoever writes at the same moment waits for the rest of one batch or
/// one copy at most.
///
/// # Errors
/// [`StoreError::Unavailable`] when there is no such file or it cannot be written, and
/// [`StoreError::Unsupported`] when it has to be migrated first.
pub fn maintain(path: impl AsRef<Path>) -> std::result::Result<Maintained, StoreError> {
    let file = path.as_ref();
    checkpoint(file).map_err(|error: Error| error.at(file))
}

fn checkpoint(file: &Path) -> Result<Maintained> {
    connect::check_existing(file, &Options::default())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(file, flags)?;
    // SQLite's default; a checkpoint is where a commit could be lost for good.
    connection.pragma_update(None, "synchronous", 2)?;
    connection.pragma_update_and_check(None, "secure_delete", 1, |_| Ok(()))?;
    connection.busy_timeout(Options::default().busy_timeout)?;
    let removed = remove::remove(&mut connection)?;
    // Most of the work, with nobody kept out.
    let (_, _, pages_written) = copy(&connection, "PASSIVE")?;
    // What is left of it, and only if nobody else is there.
    connection.busy_timeout(Duration::ZERO)?;
    let (busy, _, rest) = copy(&connection, "TRUNCATE")?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(Maintained {
        pages_written: pages_written.max(rest),
        emptied: busy == 0,
        free_bytes: number("freelist_count")?.saturating_mul(number("page_size")?),
        removed,
    })
}

/// Copies what is in the write-ahead log into the file and empties the log, if nobody uses it just now: what was
/// erased stands in it as it was. Whoever appends next, or maintains the file, does what is left.
///
/// # Errors
/// That it could not be tried; what was erased is erased all the same.
pub(super) fn empty(connection: &Connection) -> Result<()> {
    let patience = connection.pragma_query_value(None, "busy_timeout", |row| row.get::<_, u32>(0))?;
    copy(connection, "PASSIVE")?;
    // Nobody who reads for long keeps those waiting who append.
    connection.busy_timeout(Duration::ZERO)?;
    let emptied = copy(connection, "TRUNCATE");
    connection.busy_timeout(Duration::from_millis(patience.into()))?;
    emptied.map(drop)
}

/// Whether somebody was in the way, pages in the log, and how many of them are in the file.
fn copy(connection: &Connection, mode: &str) -> Result<(i64, i64, i64)> {
    let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(connection.query_row(&checkpoint, [], row)?)
}
