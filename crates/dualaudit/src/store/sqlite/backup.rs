//! A consistent copy of the whole database in a new file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode};

use super::{
    connect,
    error::{Error, Result, explain},
};
use crate::{clock, store::StoreError};

/// What SQLite keeps beside a database; beside a new one it would be taken for its own.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// See [`crate::store::Store::backup`]. The copy has its name only once it is whole and on disk.
pub(super) fn backup(connection: &Connection, file: &Path) -> Result<()> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("the backup {} {what}: {error}", file.display()))
    };
    if fs::symlink_metadata(file).is_ok() {
        return Err(failed("is refused", &"a file of that name exists, and is never overwritten").into());
    }
    for beside in BESIDE.map(|suffix| with_suffix(file, suffix)) {
        if fs::symlink_metadata(&beside).is_ok() {
            let why = format!(
                "{} is left there of another database, and would spoil the copy: move it away, or name \
                 another file",
                beside.display()
            );
            return Err(failed("is refused", &why).into());
        }
    }
    let partial =
        Partial(with_suffix(file, &format!(".{:016x}.partial", u64::from_ne_bytes(clock::entropy()))));
    let Some(name) = partial.0.to_str() else {
        return Err(failed("is refused", &"its name is not UTF-8").into());
    };
    connect::create_private(&partial.0).map_err(|error| failed("cannot be started", &error))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(|error| unfinished(file, error))?;
    partial.publish(file).map_err(|error| failed("cannot be brought to disk", &error))?;
    Ok(())
}

/// Why the copy could not be written, said of the copy: it is what has to find room.
pub(super) fn unfinished(file: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        // The copy is new: what is damaged is what is copied.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => error.into(),
        _ => StoreError::Unavailable(format!("the backup is not complete: {}", explain(file, &error))).into(),
    }
}

/// The copy while it is written, under a name of its own. Goes away with this.
struct Partial(PathBuf);

impl Partial {
    /// Gives the copy its name once it is on disk; fails if something has taken that name meanwhile.
    fn publish(&self, file: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        fs::hard_link(&self.0, file)?;
        fs::remove_file(&self.0)?;
        File::open(directory_of(file))?.sync_all()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for suffix in BESIDE.into_iter().chain([""]) {
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
