//! A consistent copy of the whole database in a new file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::error::Result;
use crate::store::StoreError;

/// See [`crate::store::Store::backup`]. The copy has its name only once it is whole and on disk.
pub(super) fn backup(connection: &Connection, file: &Path) -> Result<()> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("the backup {} {what}: {error}", file.display()))
    };
    if fs::symlink_metadata(file).is_ok() {
        return Err(failed("is refused", &"a file of that name exists, and is never overwritten").into());
    }
    let partial = partial_name(file);
    let Some(partial_text) = partial.to_str() else {
        return Err(failed("is refused", &"its name is not UTF-8").into());
    };
    remove_leftover(&partial).map_err(|error| failed("cannot be started", &error))?;
    connection
        .execute("VACUUM INTO ?1", [partial_text])
        .map_err(|error| failed("cannot be written", &error))?;
    File::open(&partial)
        .and_then(|copy| copy.sync_all())
        .and_then(|()| fs::rename(&partial, file))
        .and_then(|()| File::open(directory_of(file))?.sync_all())
        .map_err(|error| failed("cannot be brought to disk", &error))?;
    Ok(())
}

/// Where the copy stands while it is written.
fn partial_name(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// What a backup that was killed left behind is nobody's.
fn remove_leftover(partial: &Path) -> io::Result<()> {
    match fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
