//! What PostgreSQL says, told apart by what the caller can do about it.

use tokio_postgres::{Error as Postgres, error::SqlState};

use crate::store::StoreError;

/// An error on its way out, before it is known which database it is about.
#[derive(Debug)]
pub(in crate::store) enum Error {
    /// PostgreSQL's own, or that of the connection to it.
    Postgres(Postgres),
    /// At a commit, which may have taken effect all the same.
    Commit(Postgres),
    /// What is stored makes no sense: where and how.
    Damaged(String),
    /// One that is complete.
    Store(StoreError),
}

pub(in crate::store) type Result<T> = std::result::Result<T, Error>;

impl From<Postgres> for Error {
    fn from(error: Postgres) -> Self {
        Self::Postgres(error)
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

    /// The same, said of where in the database it was met, if what is wrong is the database.
    pub(super) fn within(self, place: impl FnOnce() -> String) -> Self {
        match self {
            Self::Postgres(error) if error.code().is_some_and(is_disagreement) => {
                Self::Damaged(format!("{}: {}", place(), said(&error)))
            }
            error => error,
        }
    }

    /// What of a stored value cannot be read, if that is what is wrong; else the error.
    pub(super) fn into_unreadable(self) -> std::result::Result<String, Self> {
        match self {
            Self::Damaged(what) => Ok(what),
            error => Err(error),
        }
    }

    /// Whether a statement took longer than it may.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::QUERY_CANCELED))
    }

    /// Whether the server refuses what it was sent, and would again.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_some_and(is_refusal))
    }

    /// Whether the role may not do what was asked.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE))
    }

    /// The error as the caller sees it, with the database it is about, which names no password.
    pub(super) fn at(self, database: &str) -> StoreError {
        match self {
            Self::Damaged(what) => StoreError::Corrupt(damaged(database, &what)),
            Self::Store(StoreError::Corrupt(what)) => StoreError::Corrupt(format!("{database}: {what}")),
            Self::Store(StoreError::Unsupported(what)) => {
                StoreError::Unsupported(format!("{database}: {what}"))
            }
            Self::Store(StoreError::Unavailable(what)) => {
                StoreError::Unavailable(format!("{database}: {what}"))
            }
            Self::Store(error) => error,
            Self::Postgres(error) => explain(database, &error),
            Self::Commit(error) => explain_commit(database, &error),
        }
    }
}

/// What cannot be told from damage stays [`StoreError::Unavailable`]: whether the commit took effect
/// is not known, so whoever sent the batch has to send it again.
fn explain_commit(database: &str, error: &Postgres) -> StoreError {
    match error.code() {
        Some(code) if is_damage(code) => StoreError::Corrupt(damaged(database, &said(error))),
        _ => StoreError::Unavailable(format!("{database}: the commit failed ({})", said(error))),
    }
}

fn explain(database: &str, error: &Postgres) -> StoreError {
    let unavailable = |what: &str| StoreError::Unavailable(format!("{database} {what} ({})", said(error)));
    let Some(code) = error.code() else {
        return unavailable("cannot be reached: check that the server runs, and the network between");
    };
    match *code {
        SqlState::INSUFFICIENT_PRIVILEGE => {
            return unavailable(
                "refuses this role what it needs: run `dualaudit migrate --grant-to ROLE` as the owner, or --grant-log \
                 LOG=ROLE where each role writes its own log",
            );
        }
        SqlState::QUERY_CANCELED | SqlState::LOCK_NOT_AVAILABLE => {
            return unavailable(
                "took too long: another session holds what it waits for, or it is overloaded",
            );
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            return unavailable("takes no writes: name the primary, not a standby");
        }
        SqlState::DISK_FULL => return unavailable("cannot grow, the disk is full: make room"),
        SqlState::INVALID_CATALOG_NAME => return unavailable("does not exist: create it with createdb"),
        _ => {}
    }
    if is_damage(code) || is_disagreement(code) {
        return StoreError::Corrupt(damaged(database, &said(error)));
    }
    // The class of the code: appendix A of the manual.
    match &code.code()[..2] {
        "28" => unavailable("does not let this role in: check name, password and pg_hba.conf"),
        _ if is_refusal(code) => StoreError::Rejected(said(error)),
        "08" | "25" | "40" | "53" | "55" | "57" | "58" => unavailable("is not available"),
        // What is left is a schema that is not ours (no such table): trying again cannot help.
        _ => StoreError::Corrupt(damaged(database, &said(error))),
    }
}

fn is_damage(code: &SqlState) -> bool {
    matches!(*code, SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED)
}

/// Whether a trigger, a key or a reference refused: nothing that the sender of a record can bring
/// about, so one part of the database says otherwise than another.
fn is_disagreement(code: &SqlState) -> bool {
    matches!(
        *code,
        SqlState::RESTRICT_VIOLATION
            | SqlState::UNIQUE_VIOLATION
            | SqlState::FOREIGN_KEY_VIOLATION
            | SqlState::EXCLUSION_VIOLATION
    )
}

/// Whether a value, a check or a limit of the server stands against it.
fn is_refusal(code: &SqlState) -> bool {
    matches!(&code.code()[..2], "22" | "23" | "54") && !is_disagreement(code)
}

fn damaged(database: &str, what: &str) -> String {
    format!(
        "{database} is damaged: {what}. Run `dualaudit verify` to see what still holds, and restore a backup"
    )
}

/// PostgreSQL's own words, on one line. Not its details, which repeat rows.
pub(super) fn said(error: &Postgres) -> String {
    use std::error::Error as _;
    match error.as_db_error() {
        Some(refusal) => format!("{}: {}", refusal.code().code(), refusal.message()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
