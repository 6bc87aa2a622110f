//! Rows that nothing vouches for, asked for page by page.
//!
//! A row is committed together with its entry. So in one snapshot a row without its entry is a
//! stray, whatever is appended meanwhile, and none can hide behind an append.

use std::fmt;

/// A table whose rows something else must vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Entries: the head of their log, which counts them.
    Entry,
    /// Executions: the newest entry of their attempt.
    Execution,
    /// Earlier revisions: their entry, which a newer one of the attempt has followed.
    Revision,
    /// Source objects: the entry of their execution.
    SourceObject,
    /// Quarantined objects: their entry, by execution id and source digest.
    Quarantine,
    /// Holds: their entry.
    Hold,
    /// Reviews: their entry.
    Review,
    /// Tiles: the head of their log, which has leaves for them.
    Tile,
    /// Runs of purged entries: the entry of their purge.
    Purged,
    /// Erased entries: the entry of their erasure.
    Erased,
    /// Purged executions whose rows are still there: runs of purged entries that hold all of theirs.
    PurgePending,
    /// Published checkpoints: the head of their log, which has as many entries.
    Checkpoint,
    /// Logs that were rolled back: their successor's first entry.
    Succession,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Entry,
        Self::Execution,
        Self::Revision,
        Self::SourceObject,
        Self::Quarantine,
        Self::Hold,
        Self::Review,
        Self::Tile,
        Self::Purged,
        Self::Erased,
        Self::PurgePending,
        Self::Checkpoint,
        Self::Succession,
    ];

    /// Its name in every database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entry => "log_entry",
            Self::Execution => "workflow_execution_audit",
            Self::Revision => "workflow_execution_revision",
            Self::SourceObject => "source_object",
            Self::Quarantine => "quarantine",
            Self::Hold => "hold",
            Self::Review => "review",
            Self::Tile => "log_tile",
            Self::Purged => "purged",
            Self::Erased => "erased",
            Self::PurgePending => "purge_pending",
            Self::Checkpoint => "checkpoint",
            Self::Succession => "succession",
        }
    }

    /// The columns of its key, which all begin with `log`.
    pub(super) fn key(self) -> &'static [&'static str] {
        match self {
            Self::Entry | Self::SourceObject | Self::Hold | Self::Review => &["log", "idx"],
            Self::Execution | Self::PurgePending => &["log", "id", "attempt"],
            Self::Revision => &["log", "id", "attempt", "revision"],
            Self::Quarantine => &["log", "execution_id", "source_digest"],
            Self::Tile => &["log", "level", "idx"],
            Self::Purged => &["log", "last_idx"],
            Self::Checkpoint | Self::Succession => &["log"],
            Self::Erased => &["log", "entry_idx"],
        }
    }
}

/// What one look at a table found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strays {
    /// The rows that nothing vouches for, among those looked at.
    pub rows: Vec<RowKey>,
    /// Where to go on; `None` at the end.
    pub next: Option<RowKey>,
}

/// The key of a row: which one it is, and a place in the order of its table.
///
/// Whatever the database holds, not what it should: a number may be negative, a digest short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowKey {
    pub(super) columns: Vec<(&'static str, KeyPart)>,
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyPart {
    Text(String),
    /// A text that is none, by its bytes.
    Garbled(Vec<u8>),
    Number(i64),
    Bytes(Vec<u8>),
}

impl RowKey {
    /// The log it is in, or says it is.
    pub fn log(&self) -> &str {
        match self.column("log") {
            Some(KeyPart::Text(log)) => log,
            _ => "",
        }
    }

    /// The index of the entry that it is, or says it belongs to.
    pub fn index(&self) -> Option<u64> {
        match self.column("idx") {
            Some(KeyPart::Number(index)) => u64::try_from(*index).ok(),
            _ => None,
        }
    }

    fn column(&self, name: &str) -> Option<&KeyPart> {
        self.columns.iter().find(|(column, _)| *column == name).map(|(_, part)| part)
    }
}

/// Its columns after the log.
impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (column, part)) in self.columns.iter().filter(|(name, _)| *name != "log").enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match part {
                KeyPart::Text(text) => write!(f, "{comma}{column} {text}")?,
                KeyPart::Number(number) => write!(f, "{comma}{column} {number}")?,
                KeyPart::Bytes(bytes) | KeyPart::Garbled(bytes) => {
                    write!(f, "{comma}{column} {}", hex::encode(bytes))?;
                }
            }
        }
        Ok(())
    }
}
