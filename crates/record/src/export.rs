//! What was read out of logs to be kept elsewhere: the entry that says so, and the manifest beside the file.
//!
//! The manifest repeats the entry, and carries the proof that it is in the log. So what it says of its file
//! (digest, bytes, how many of each kind) is vouched for by whoever signs the log's checkpoints, and neither can
//! be changed without the other.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{EntryKind, Time, digest::Digest, proof::Bundle};

/// The version of [`Manifest`]'s form.
pub const MANIFEST_VERSION: u32 = 1;

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// A proof bundle to a line.
    Jsonl,
    /// An execution to a row, with a header.
    Csv,
    /// An execution to a row, in typed columns.
    Parquet,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Csv, Self::Parquet];

    /// Its name, which files end with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ExportFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or("must be jsonl, csv or parquet")
    }
}

/// What an export takes of its logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The latest revision of each execution that the filter fits.
    Latest,
    /// Every revision of these.
    Revisions,
    /// Every entry, of every kind, from the first on, up to the checkpoint's size.
    Entries,
}

/// An export, as its entry says it: the same in each log that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Export {
    /// Random.
    pub export: String,
    /// Who asked; `unverified` when nothing vouches for the name.
    pub actor: String,
    /// In which form.
    pub format: ExportFormat,
    /// What was taken.
    pub scope: Scope,
    /// The list's parameters, times as instants. Empty: everything.
    pub filter: BTreeMap<String, String>,
    /// The logs that were read, in the order of their names.
    pub logs: Vec<ExportedLog>,
    /// How many bytes it has.
    pub bytes: u64,
    /// SHA-256 of these.
    pub sha256: Digest,
    /// Whether it was whole; `false` when whoever received it went away, or it could not be read to its end.
    /// Then the rest tells how far it came.
    pub whole: bool,
}

impl Export {
    /// How many lines or rows it has.
    pub fn lines(&self) -> u64 {
        self.logs.iter().map(ExportedLog::lines).fold(0, u64::saturating_add)
    }
}

/// What an export took of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportedLog {
    /// The log.
    pub log: String,
    /// How many entries its checkpoint covers: it was read as of then.
    pub size: u64,
    /// The root over these.
    pub root: Digest,
    /// How many entries of each kind were taken.
    pub entries: BTreeMap<EntryKind, u64>,
    /// How many of these have no body any more.
    pub without_body: u64,
    /// How many executions fit the filter and were left out, because they were recorded or amended after the
    /// checkpoint.
    pub later: u64,
}

impl ExportedLog {
    /// How many entries were taken.
    pub fn lines(&self) -> u64 {
        self.entries.values().copied().fold(0, u64::saturating_add)
    }
}

/// What stands beside the file of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form: 1.
    pub manifest: u32,
    /// What made it, with its version.
    pub tool: String,
    /// The file's name, without a path.
    pub file: String,
    /// What the entry says.
    pub export: Export,
    /// The checkpoint (C2SP `tlog-checkpoint`) that each log was read as of.
    pub checkpoints: BTreeMap<String, String>,
    /// Where the entry is: one in each log that was read, or in the log that goes on in its place.
    pub recorded: Vec<RecordedExport>,
}

/// An export's entry in a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordedExport {
    /// The log.
    pub log: String,
    /// Its place there.
    pub index: u64,
    /// RFC 6962 hash of its leaf.
    pub leaf_hash: Digest,
    /// When it was appended.
    pub recorded_at: Time,
    /// The entry with all that proves it; absent where no checkpoint covered it soon enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Bundle>,
}
