//! Logs: whose they are, how they are opened, and their heads.

use dualaudit_record::{EntryKind, Time, digest::Digest, log::TileId};

use async_trait::async_trait;

use super::{LogState, RowKey, StoreError, StoredEntry, Strays, Table, UnreadableEntry};

/// What every database tells of its logs: to those who check, prove, count and export them.
#[async_trait]
pub trait LogReader: Send + Sync + 'static {
    /// Every log with its head.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the log of which a column cannot be read.
    async fn logs(&self) -> Result<Vec<Head>, StoreError>;

    /// The same, where a log of which a column cannot be read stops nobody who reads the others.
    async fn read_logs(&self) -> Result<Vec<Result<Head, UnreadableLog>>, StoreError>;

    /// Entries of a log from index `from`, at most `limit`, in order, each with the body as it can be put
    /// together from the tables, and with what stands beside it. A page is one snapshot.
    ///
    /// What cannot be read of a body, or of what stands beside it, is said where it would be.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the entry of which a column cannot be read.
    async fn entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, StoreError>;

    /// The same, where an entry of which a column cannot be read stops nobody who reads the others.
    async fn read_entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Result<StoredEntry, UnreadableEntry>>, StoreError>;

    /// The object that an entry keeps, decompressed: what an execution was mapped from, or could not be mapped.
    /// `None` where there is none, or none any more.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be decompressed.
    async fn object(&self, log: &str, index: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Looks at the next rows of a table, of one log or of all there are, in the order of their keys
    /// after `after`, at most `limit`, and names those that nothing vouches for; see [`Table`].
    ///
    /// A page is one snapshot, so what is appended meanwhile is no stray and hides none. Rows of a log
    /// that does not exist are strays too.
    async fn strays(
        &self,
        table: Table,
        log: Option<&str>,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Strays, StoreError>;

    /// The bytes of tiles and entry bundles of a log (C2SP `tlog-tiles`), in the order they are named: as
    /// much of each as there is by now, and `None` where there is nothing.
    async fn tiles(&self, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// What of the schema is not as dualaudit made it, a sentence each: what is missing, was changed, is disabled, or
    /// was added and can change or refuse what is recorded. Whoever may read the tables may ask.
    async fn alterations(&self) -> Result<Vec<String>, StoreError>;
}

/// Which entries of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// All of them.
    All,
    /// Those of one kind.
    Kind(EntryKind),
    /// Those of these executions. A revision that there is not has none.
    Revisions(&'a [RevisionName]),
}

/// Names one revision of an execution within a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RevisionName {
    /// The execution.
    pub id: String,
    /// Which attempt.
    pub attempt: u32,
    /// Which revision of it.
    pub revision: u32,
}

/// Who a log belongs to. A log takes records from one owner only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The cluster whose `kube-system` namespace has this uid.
    Cluster(String),
    /// Producers that send over HTTP.
    Producers,
}

/// What is needed to open a log. The secret and the origin only matter at first use. Not to be printed: it holds the secret.
#[derive(Clone)]
pub struct LogOpening {
    /// `[a-z0-9.-]{1,63}`.
    pub log: String,
    /// Who wants it.
    pub owner: Owner,
    /// Origin line of its checkpoints; fixed when the log is created.
    pub origin: String,
    /// Key of its content digests and commitments; fixed when the log is created.
    pub secret: [u8; 32],
    /// Creation time, should it be created.
    pub now: Time,
}

/// An open log.
#[derive(Clone)]
pub struct Log {
    /// Its name.
    pub name: String,
    /// Origin line of its checkpoints.
    pub origin: String,
    /// Key of its content digests and commitments.
    pub secret: [u8; 32],
}

/// A log and its newest state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log.
    pub log: String,
    /// Who it takes records from.
    pub owner: Owner,
    /// Origin line of its checkpoints.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// RFC 6962 root over their leaves.
    pub root: Digest,
    /// `recorded_at` of the newest entry.
    pub recorded_at: Option<Time>,
    /// Whether it takes entries here.
    pub state: LogState,
    /// The newest checkpoint that was published, as it is stored: nobody has checked it.
    pub checkpoint: Option<String>,
}

/// A log of whose row a column cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log {log}: {what}")]
pub struct UnreadableLog {
    /// The log, if its name can be read.
    pub log: String,
    /// Which column, and why.
    pub what: String,
}

/// There is no log of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no log {log}; there are: {}", logs.join(", "))]
pub struct NoSuchLog {
    /// What was asked for.
    pub log: String,
    /// What there is.
    pub logs: Vec<String>,
}

/// The logs that are meant, in the order of their names: the one that is named, or all.
///
/// # Errors
/// When there is none of that name.
pub fn meant(mut heads: Vec<Head>, log: Option<&str>) -> Result<Vec<Head>, NoSuchLog> {
    let Some(log) = log else { return Ok(heads) };
    match heads.iter().position(|head| head.log == log) {
        Some(place) => Ok(vec![heads.swap_remove(place)]),
        None => {
            let logs = heads.into_iter().map(|head| head.log).collect();
            Err(NoSuchLog { log: log.to_owned(), logs })
        }
    }
}

/// The log that knows all that one does, and what was recorded in its place since: the last of its successors.
pub fn newest<'a>(heads: &'a [Head], head: &'a Head) -> &'a str {
    let mut newest = head;
    // A log goes on in the place of an earlier one only, so this comes to an end.
    for _ in heads {
        let LogState::Succeeded { by } = &newest.state else { break };
        newest = heads.iter().find(|head| head.log == *by).unwrap_or(newest);
    }
    &newest.log
}
