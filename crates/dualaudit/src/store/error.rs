//! What went wrong, told apart by what the caller can do about it.

impl StoreError {
    /// Whether the log takes nothing at present: what was sent may be sent again later, and all that comes
    /// meanwhile would fare the same.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::RolledBack(_))
    }
}

/// What went wrong, told apart by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is full, locked or read-only, or the log takes nothing there any more
    /// or not yet. Try again; nothing acknowledged is lost. The commit may or may not have taken effect.
    #[error("{0}")]
    Unavailable(String),
    /// Who may read what is asked for could not be told: nobody is told anything of it meanwhile. Try again.
    #[error("{0}")]
    Unchecked(String),
    /// The question, or the batch, takes longer than it may. The same again will not help; less may. A
    /// batch may or may not have taken effect.
    #[error("{0}")]
    TooSlow(String),
    /// The database refuses this batch. Halve it to find the row; nothing of it was stored.
    #[error("the database refuses the batch: {0}")]
    Rejected(String),
    /// The database is damaged or not ours. Nobody can go on; a person must look.
    #[error("{0}")]
    Corrupt(String),
    /// The schema is newer than this program.
    #[error("{0}")]
    Unsupported(String),
    /// The log belongs to somebody else, or is not open here.
    #[error("{0}")]
    Foreign(String),
    /// The log does not extend a head that it is known to have had: the database was rolled back. It takes
    /// nothing any more, until a person opens its successor.
    #[error("{0}")]
    RolledBack(String),
}
