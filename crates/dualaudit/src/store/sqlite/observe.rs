//! Looks at a file without changing it: what `dualaudit doctor` judges.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{
    Options, connect,
    error::{Error, Result},
    filesystem, migrate,
};
use crate::store::StoreError;

/// What can be seen of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The network file system that it is on, if it is on one.
    pub network: Option<&'static str>,
    /// What of its schema is not as the migrations made it; a sentence where it is not the latest or not
    /// ours.
    pub schema: std::result::Result<Vec<String>, String>,
    /// Whether this user can write it.
    pub writable: bool,
    /// Its permissions.
    pub mode: u32,
    /// Bytes that are free beside it for this user.
    pub free: u64,
}

/// Looks.
///
/// # Errors
/// [`StoreError::Unavailable`] when there is no such file, or it cannot be read.
pub fn observe(path: impl AsRef<Path>) -> std::result::Result<Seen, StoreError> {
    let file = path.as_ref();
    let seen = look(file);
    seen.map_err(|error| error.at(file))
}

fn look(file: &Path) -> Result<Seen> {
    let unavailable = |error: std::io::Error| {
        Error::Store(StoreError::Unavailable(format!(
            "{} cannot be looked at ({error}): name the file that `dualaudit run` writes",
            file.display()
        )))
    };
    let metadata = fs::metadata(file).map_err(unavailable)?;
    let directory = filesystem::directory(file);
    let room = rustix::fs::statvfs(directory).map_err(|error| unavailable(error.into()))?;
    let writable = |place: &Path| rustix::fs::access(place, rustix::fs::Access::WRITE_OK).is_ok();
    let schema = match schema(file) {
        Ok(alterations) => Ok(alterations),
        Err(Error::Store(StoreError::Corrupt(what) | StoreError::Unsupported(what))) => Err(what),
        Err(error) => match error.at(file) {
            error @ StoreError::Corrupt(_) => Err(error.to_string()),
            error => return Err(error.into()),
        },
    };
    Ok(Seen {
        network: filesystem::network(file),
        schema,
        writable: writable(file) && writable(directory),
        mode: metadata.permissions().mode(),
        free: room.f_bavail.saturating_mul(room.f_frsize),
    })
}

fn schema(file: &Path) -> Result<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Options::default().busy_timeout)?;
    connect::refuse_what_is_no_file(file)?;
    migrate::check(&connection)?.require_latest()?;
    migrate::alterations(&connection)
}
