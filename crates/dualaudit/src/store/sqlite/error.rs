//! What SQLite says, told apart by what the caller can do about it.

use std::path::Path;

use rusqlite::{Error as Sqlite, ErrorCode, ffi};

use crate::store::StoreError;

/// An error on its way out, before it is known which file it is about.
#[derive(Debug)]
pub(in crate::store) enum Error {
    /// SQLite's own.
    Sqlite(Sqlite),
    /// SQLite's at a commit, which may have taken effect all the same.
    Commit(Sqlite),
    /// What is stored makes no sense: where and how.
    Damaged(String),
    /// One that is complete.
    Store(StoreError),
}

pub(in crate::store) type Result<T> = std::result::Result<T, Error>;

impl From<Sqlite> for Error {
    fn from(error: Sqlite) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Error {
    /// What is stored makes no sense; `what` says where and how.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// The batch cannot be stored; `why` says so.
    pub(super) fn rejected(why: impl Into<String>) -> Self {
        Self::Store(StoreError::Rejected(why.into()))
    }

    /// The same, said of where in the database it was met, if what is wrong is the database.
    pub(super) fn within(self, place: impl FnOnce() -> String) -> Self {
        match self {
            Self::Sqlite(error) if is_disagreement(&error) => Self::Damaged(format!("{}: {error}", place())),
            error => error,
        }
    }

    /// What of a stored value cannot be read, if that is what is wrong; else the error.
    pub(super) fn into_unreadable(self) -> std::result::Result<String, Self> {
        match self {
            Self::Damaged(what) => Ok(what),
            Self::Sqlite(error) if is_undecodable(&error) => Ok(error.to_string()),
            error => Err(error),
        }
    }

    /// The error as the caller sees it, with the file it is about.
    pub(super) fn at(self, file: &Path) -> StoreError {
        match self {
            Self::Damaged(what) => StoreError::Corrupt(damaged(file, &what)),
            Self::Store(StoreError::Corrupt(what)) => StoreError::Corrupt(named(file, &what)),
            Self::Store(StoreError::Unsupported(what)) => StoreError::Unsupported(named(file, &what)),
            Self::Store(error) => error,
            Self::Sqlite(error) => explain(file, &error),
            Self::Commit(error) => explain_commit(file, &error),
        }
    }
}

/// What cannot be told from damage stays [`StoreError::Unavailable`]: whether the commit took effect
/// is not known, so whoever sent the batch has to send it again.
fn explain_commit(file: &Path, error: &Sqlite) -> StoreError {
    match (explain(file, error), error.sqlite_error_code()) {
        (corrupt @ StoreError::Corrupt(_), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => {
            corrupt
        }
        (unavailable @ StoreError::Unavailable(_), _) => unavailable,
        _ => StoreError::Unavailable(format!("{}: the commit failed ({error})", file.display())),
    }
}

/// SQLite's error about a file, with what to do about it.
pub(super) fn explain(file: &Path, error: &Sqlite) -> StoreError {
    let name = file.display();
    let unavailable = |what: &str| StoreError::Unavailable(format!("{name} {what} ({error})"));
    if error.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHORT_READ) {
        return StoreError::Corrupt(damaged(file, &format!("it was cut off ({error})")));
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            unavailable("is locked by another process: end it, or wait until it is done")
        }
        Some(ErrorCode::DiskFull) => unavailable("cannot grow, the disk is full: make room"),
        Some(ErrorCode::ReadOnly) => {
            unavailable("is read-only: make the file and its directory writable for this user")
        }
        Some(
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied,
        ) => unavailable(
            "cannot be opened: check that its directory exists and that this user may write there",
        ),
        Some(ErrorCode::SystemIoFailure | ErrorCode::NoLargeFileSupport) => {
            unavailable("cannot be read or written: check the disk and the kernel's log")
        }
        Some(ErrorCode::OutOfMemory) => unavailable("needs more memory than there is"),
        Some(ErrorCode::OperationInterrupted | ErrorCode::OperationAborted) => unavailable("was interrupted"),
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt(damaged(file, &error.to_string())),
        Some(ErrorCode::NotADatabase) => StoreError::Corrupt(format!(
            "{name} is no SQLite database, or its first page is damaged: name another file, or restore a backup"
        )),
        _ if is_disagreement(error) => StoreError::Corrupt(damaged(file, &error.to_string())),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            StoreError::Rejected(error.to_string())
        }
        // What is left is a schema that is not ours (SQLITE_ERROR: no such table) or a value that
        // is not what its column holds: trying again cannot help.
        _ => StoreError::Corrupt(damaged(file, &error.to_string())),
    }
}

/// Whether a trigger, a key or a reference refused: nothing that the sender of a record can bring
/// about, so one part of the database says otherwise than another.
fn is_disagreement(error: &Sqlite) -> bool {
    matches!(
        error.sqlite_extended_error_code(),
        Some(
            ffi::SQLITE_CONSTRAINT_TRIGGER
                | ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID
                | ffi::SQLITE_CONSTRAINT_FOREIGNKEY
        )
    )
}

fn named(file: &Path, what: &str) -> String {
    format!("{}: {what}", file.display())
}

fn damaged(file: &Path, what: &str) -> String {
    format!(
        "the database {} is damaged: {what}. Run `dualaudit verify` to see what still holds, and restore a \
         backup",
        file.display()
    )
}

fn is_undecodable(error: &Sqlite) -> bool {
    matches!(
        error,
        Sqlite::FromSqlConversionFailure(..)
            | Sqlite::InvalidColumnType(..)
            | Sqlite::IntegralValueOutOfRange(..)
            | Sqlite::Utf8Error(..)
    )
}
