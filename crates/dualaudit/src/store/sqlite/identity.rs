//! Which file a path leads to: a database that is replaced while it is in use would take appends that nobody
//! finds again.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use super::error::Result;
use crate::store::StoreError;

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of the file at this path.
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Checks that the path still leads to it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: what was just committed may be in a file that has no name any more.
    pub(super) fn check(self, file: &Path) -> Result<()> {
        if Self::of(file).is_ok_and(|found| found == self) {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "{} was removed or replaced while it was in use: start dualaudit again, so that it opens the file that is \
             there now",
            file.display()
        ))
        .into())
    }
}
