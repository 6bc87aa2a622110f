//! Entries in the order they are exported, each as of its log's checkpoint.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    time::Duration,
};

use dualaudit_record::{
    Entry,
    execution::StoredExecution,
    export::{ExportedLog, Scope},
};

use super::{EXECUTION, ExportError, Request};
use crate::{
    proof::{Bundler, ProveError},
    store::{
        Cursor, Filter, Head, Listed, LogState, RevisionName, SharedStore, StoredBody, StoredEntry, Which,
        meant,
    },
};

/// Rows of a list read at a time.
const ROWS: u32 = 256;
/// Entries read at a time. A body may have 2 MiB, so this is what bounds the memory.
const ENTRIES: usize = 32;
/// How long to wait, in all, for checkpoints that cover what is there, of logs that have them made.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// How often to look for it.
const LOOK: Duration = Duration::from_millis(100);

/// Logs that are being read.
pub(super) struct Source {
    store: SharedStore,
    filter: Filter,
    scope: Scope,
    logs: Vec<LogRead>,
    at: Position,
}

/// A log that is read as of a checkpoint.
struct LogRead {
    bundler: Bundler,
    exported: ExportedLog,
    /// The log that takes the entry which tells of it.
    taker: String,
}

/// How far the reading has come.
enum Position {
    /// Lists: where the next page begins, unless there is none, and what is left of this one.
    Lists { after: Option<Cursor>, more: bool, rows: VecDeque<Revisions> },
    /// Whole logs: the place of the log, and its next index.
    Logs { place: usize, next: u64 },
}

/// The revisions of an execution that are still to be read: it may have any number.
struct Revisions {
    log: String,
    id: String,
    attempt: u32,
    next: u32,
    latest: u32,
}

impl Source {
    /// Reads what logs there are, and as of which checkpoints.
    pub(super) async fn open(store: SharedStore, request: &Request) -> Result<Self, ExportError> {
        let heads = store.logs().await?;
        let may_be_read = |head: &&Head| {
            request.filter.within.as_ref().is_none_or(|reach| reach.of_log(&head.log).is_some())
        };
        let read = heads.iter().filter(may_be_read).cloned().collect();
        let named = request.filter.log.as_deref();
        let (mut logs, mut waited) = (Vec::new(), Duration::ZERO);
        for head in &meant(read, named)? {
            // Nobody lists what is not all there.
            if named.is_some() || !matches!(head.state, LogState::Arriving { .. }) {
                let taker = taker(&heads, head)?;
                logs.push(LogRead::open(&store, head, taker, &mut waited).await?);
            }
        }
        let at = match request.scope {
            Scope::Entries => Position::Logs { place: 0, next: 0 },
            Scope::Latest | Scope::Revisions => {
                Position::Lists { after: None, more: true, rows: VecDeque::new() }
            }
        };
        Ok(Self { store, filter: request.filter.clone(), scope: request.scope, logs, at })
    }

    /// The next entries, each with the place of its log; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(usize, StoredEntry)>>, ExportError> {
        match &mut self.at {
            Position::Logs { .. } => self.next_of_logs().await,
            Position::Lists { .. } => self.next_of_lists().await,
        }
    }

    async fn next_of_logs(&mut self) -> Result<Option<Vec<(usize, StoredEntry)>>, ExportError> {
        let Position::Logs { place, next } = &mut self.at else { return Ok(None) };
        while let Some(read) = self.logs.get(*place) {
            let left = read.exported.size.saturating_sub(*next);
            if left == 0 {
                (*place, *next) = (*place + 1, 0);
                continue;
            }
            let limit = u32::try_from(left.min(ENTRIES as u64)).unwrap_or(u32::MAX);
            let log = &read.exported.log;
            let page = self.store.entries(log, Which::All, *next, limit).await?;
            let dense = page.iter().zip(*next..).take_while(|(entry, index)| entry.index == *index).count();
            if dense == 0 {
                return Err(damaged(log, format!("entry {next} is missing")).into());
            }
            *next += dense as u64;
            let place = *place;
            return Ok(Some(page.into_iter().take(dense).map(|stored| (place, stored)).collect()));
        }
        Ok(None)
    }

    async fn next_of_lists(&mut self) -> Result<Option<Vec<(usize, StoredEntry)>>, ExportError> {
        let Position::Lists { after, more, rows } = &mut self.at else { return Ok(None) };
        while rows.is_empty() {
            if !*more {
                return Ok(None);
            }
            let page = self.store.list(&self.filter, after.as_ref(), ROWS).await?;
            *more = page.more && !page.rows.is_empty();
            *after = page.rows.last().map(place_of).or(after.take());
            for Listed { log, execution } in page.rows {
                let StoredExecution { record, revision: latest, .. } = execution;
                let next = if self.scope == Scope::Revisions { 1 } else { latest };
                rows.push_back(Revisions { log, id: record.id, attempt: record.attempt, next, latest });
            }
        }
        let mut wanted = Vec::with_capacity(ENTRIES);
        while let Some(row) = rows.front_mut().filter(|_| wanted.len() < ENTRIES) {
            let name = RevisionName { id: row.id.clone(), attempt: row.attempt, revision: row.next };
            wanted.push((row.log.clone(), name));
            row.next += 1;
            if row.next > row.latest {
                rows.pop_front();
            }
        }
        self.named(wanted).await.map(Some)
    }

    /// The entries of these names, in their order. Those that were purged since they were listed are left out; so are,
    /// counted, those that were recorded after the checkpoint. Nothing else goes: entries stay for ever.
    async fn named(
        &mut self,
        wanted: Vec<(String, RevisionName)>,
    ) -> Result<Vec<(usize, StoredEntry)>, ExportError> {
        let mut of_logs: BTreeMap<&str, Vec<RevisionName>> = BTreeMap::new();
        for (log, name) in &wanted {
            of_logs.entry(log).or_default().push(name.clone());
        }
        let mut found = HashMap::new();
        for (log, names) in of_logs {
            // A log that was opened meanwhile: all of it is later than the export.
            let Some(place) = self.logs.iter().position(|read| read.exported.log == log) else { continue };
            let limit = u32::try_from(names.len()).unwrap_or(u32::MAX);
            for stored in self.store.entries(log, Which::Revisions(&names), 0, limit).await? {
                let name = RevisionName {
                    id: stored.execution_id.clone().unwrap_or_default(),
                    attempt: stored.attempt.unwrap_or_default(),
                    revision: stored.revision.unwrap_or_default(),
                };
                found.insert((place, name), stored);
            }
        }
        let mut entries = Vec::with_capacity(wanted.len());
        for (log, name) in wanted {
            let Some(place) = self.logs.iter().position(|read| read.exported.log == log) else { continue };
            let key = (place, name);
            let Some(stored) = found.remove(&key) else {
                let RevisionName { id, attempt, revision } = key.1;
                let what = format!("{id} attempt {attempt} revision {revision} has a row, and no entry");
                return Err(damaged(&log, what).into());
            };
            let exported = &mut self.logs[place].exported;
            if matches!(stored.body, StoredBody::Purged { .. }) {
                continue;
            }
            if stored.index >= exported.size {
                exported.later += 1;
                continue;
            }
            entries.push((place, stored));
        }
        Ok(entries)
    }

    /// Proves an entry, whatever the form, and gives the JSON of its bundle where that is wanted.
    pub(super) async fn checked(
        &mut self,
        place: usize,
        stored: &StoredEntry,
        with_proof: bool,
    ) -> Result<Vec<u8>, ExportError> {
        let proved = self.logs[place].bundler.proved(stored).await?;
        Ok(if with_proof { proved.to_json().map_err(io::Error::from)? } else { Vec::new() })
    }

    pub(super) fn log(&self, place: usize) -> &str {
        &self.logs[place].exported.log
    }

    pub(super) fn count(&mut self, place: usize, stored: &StoredEntry) {
        let exported = &mut self.logs[place].exported;
        *exported.entries.entry(stored.kind).or_default() += 1;
        exported.without_body += u64::from(!matches!(stored.body, StoredBody::Whole(..)));
    }

    /// How many entries all logs have.
    pub(super) fn size(&self) -> u64 {
        self.logs.iter().map(|read| read.exported.size).sum()
    }

    /// What was taken of each log.
    pub(super) fn exported(&self) -> Vec<ExportedLog> {
        self.logs.iter().map(|read| read.exported.clone()).collect()
    }

    /// The logs that take the entry.
    pub(super) fn takers(&self) -> Vec<String> {
        let mut takers: Vec<String> = self.logs.iter().map(|read| read.taker.clone()).collect();
        takers.sort_unstable();
        takers.dedup();
        takers
    }

    /// The checkpoint of each log.
    pub(super) fn checkpoints(&self) -> BTreeMap<String, String> {
        let of = |read: &LogRead| (read.exported.log.clone(), read.bundler.checkpoint().as_str().to_owned());
        self.logs.iter().map(of).collect()
    }
}

impl LogRead {
    async fn open(
        store: &SharedStore,
        head: &Head,
        taker: String,
        waited: &mut Duration,
    ) -> Result<Self, ExportError> {
        let mut bundler = Bundler::newest(store.clone(), &head.log).await?;
        // Of a log that has checkpoints made, one that covers what is there comes soon.
        while bundler.checkpoint().head().size < head.size && *waited < CHECKPOINT {
            tokio::time::sleep(LOOK).await;
            *waited += LOOK;
            bundler = Bundler::newest(store.clone(), &head.log).await?;
        }
        let covered = bundler.checkpoint().head();
        let exported = ExportedLog {
            log: head.log.clone(),
            size: covered.size,
            root: covered.root,
            entries: BTreeMap::new(),
            without_body: 0,
            later: 0,
        };
        Ok(Self { bundler, exported, taker })
    }
}

/// The log that takes what is to be said of one: itself, or the one that goes on in its place.
fn taker(heads: &[Head], head: &Head) -> Result<String, ExportError> {
    let mut at = head;
    // A line of successors has no more logs than there are.
    for _ in heads {
        match &at.state {
            LogState::Open => return Ok(at.log.clone()),
            LogState::Succeeded { by } => match heads.iter().find(|head| head.log == *by) {
                Some(successor) => at = successor,
                None => break,
            },
            LogState::Arriving { .. } | LogState::Moved { .. } => break,
        }
    }
    let why = at.state.closed(&at.log).unwrap_or_else(|| format!("the log {} takes no entries", at.log));
    Err(ExportError::Closed(why))
}

fn place_of(row: &Listed) -> Cursor {
    let record = &row.execution.record;
    Cursor {
        created_at: record.created_at,
        log: row.log.clone(),
        id: record.id.clone(),
        attempt: record.attempt,
    }
}

fn damaged(log: &str, reason: String) -> ProveError {
    ProveError::Damaged { log: log.to_owned(), reason }
}

/// The execution that an entry says, if it is one: as far as an erasure left it.
pub(super) fn execution(stored: &StoredEntry) -> Option<&StoredExecution> {
    match stored.body.left() {
        Some(Entry::Execution(execution)) if stored.kind == EXECUTION => Some(execution),
        _ => None,
    }
}
