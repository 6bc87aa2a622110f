//! What was in quarantine, mapped again: after a fix of the mapping, what can be recorded is.
//!
//! # Guarantees
//! - A record that is made of an object in quarantine says of which entry (label `dualaudit.dev/quarantine`); its
//!   `source_digest` is that of the object, which stays where it is, too.
//! - Done again, nothing happens twice. What is recorded already and is newer than the object stays as it is.

use dualaudit_record::{Entry, EntryKind, Time, digest::Digest, entry::Quarantine};
use kube::core::DynamicObject;
use serde::Serialize;

use crate::{
    clock::Clock,
    ingest::{Answer, Ingest, Receipt, StoreError},
    source::{self, State},
    store::{Head, LogState, Store, Which},
};

/// Entries read at a time.
const PAGE: u32 = 16;
/// How many objects one call looks at.
const MOST: usize = 1_000_000;

/// Why nothing more is retried.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// The log takes nothing.
    #[error("the log {0} takes nothing any more, so nothing of its quarantine can be recorded in it")]
    Closed(String),
    /// An execution that was named has nothing in quarantine.
    #[error(
        "log {log}: there is nothing of {id} in quarantine; `dualaudit quarantine list` shows what there is"
    )]
    NotThere {
        /// The log.
        log: String,
        /// The execution.
        id: String,
    },
    /// More than one call looks at.
    #[error("the log {0} has more than {MOST} objects in quarantine: name executions")]
    TooMany(String),
    /// The database failed. Done again, it goes on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of an object in quarantine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retried {
    /// The log.
    pub log: String,
    /// Index of the entry by which it was put there.
    pub index: u64,
    /// The resource's uid.
    pub execution_id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

/// What becomes of an object in quarantine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It is recorded now.
    Recorded {
        /// The receipt.
        receipt: Receipt,
    },
    /// The attempt that it shows is recorded already, by something newer.
    Newer {
        /// The receipt of that.
        receipt: Receipt,
    },
    /// It can be mapped, and had not ended when it was kept: there is nothing to record of it.
    NotEnded {
        /// Its phase.
        phase: String,
    },
    /// It stays: what is wrong with it, and where.
    Stays {
        /// The reason.
        reason: String,
    },
}

/// Maps what is in quarantine in the log behind `ingest` anew, newest first, and records what can be: of these
/// executions, or all. `each` is told what became of each object, but of those recorded since.
///
/// # Errors
/// See [`RetryError`], and what `each` fails with.
pub async fn retry<E: From<RetryError>>(
    store: &dyn Store,
    ingest: &Ingest,
    clock: &dyn Clock,
    executions: &[String],
    mut each: impl FnMut(Retried) -> Result<(), E>,
) -> Result<(), E> {
    let log = &ingest.log().name;
    let cluster = cluster_of(store, log).await.map_err(E::from)?;
    // The newest state of an attempt is what is recorded of it, so all are mapped as of one instant: what a record may say
    // depends on when it is.
    let again = Again { store, ingest, now: clock.now(), cluster: &cluster };
    for index in indexes(store, log, executions).await.map_err(E::from)?.into_iter().rev() {
        if let Some(retried) = again.retry(index).await.map_err(RetryError::from)? {
            each(retried)?;
        }
    }
    Ok(())
}

/// The name that the cluster of a log has in its records: that of the first log of its line.
async fn cluster_of(store: &dyn Store, log: &str) -> Result<String, RetryError> {
    let heads = store.logs().await?;
    let is_open = |head: &Head| head.log == log && head.state == LogState::Open;
    if !heads.iter().any(is_open) {
        return Err(RetryError::Closed(log.to_owned()));
    }
    let mut first = log;
    for _ in &heads {
        let is_before = |head: &&Head| matches!(&head.state, LogState::Succeeded { by } if by == first);
        let Some(before) = heads.iter().find(is_before) else { break };
        first = &before.log;
    }
    Ok(first.to_owned())
}

/// The entries by which objects of these executions, or of all, were put in quarantine.
async fn indexes(store: &dyn Store, log: &str, executions: &[String]) -> Result<Vec<u64>, RetryError> {
    let (mut from, mut indexes) = (0, Vec::new());
    let mut unseen: Vec<&String> = executions.iter().collect();
    loop {
        let page = store.entries(log, Which::Kind(EntryKind::Quarantine), from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.index + 1;
        for entry in page {
            let id = entry.execution_id.unwrap_or_default();
            if executions.is_empty() || executions.contains(&id) {
                indexes.push(entry.index);
                unseen.retain(|unseen| **unseen != id);
            }
        }
        if indexes.len() > MOST {
            return Err(RetryError::TooMany(log.to_owned()));
        }
    }
    match unseen.first() {
        Some(&id) => Err(RetryError::NotThere { log: log.to_owned(), id: id.clone() }),
        None => Ok(indexes),
    }
}

struct Again<'a> {
    store: &'a dyn Store,
    ingest: &'a Ingest,
    now: Time,
    cluster: &'a str,
}

impl Again<'_> {
    /// Tries one object; nothing where its execution was recorded since.
    async fn retry(&self, index: u64) -> Result<Option<Retried>, StoreError> {
        let log = &self.ingest.log().name;
        let page = self.store.entries(log, Which::Kind(EntryKind::Quarantine), index, 1).await?;
        let Some(entry) = page.into_iter().find(|entry| entry.index == index) else { return Ok(None) };
        let execution_id = entry.execution_id.clone().unwrap_or_default();
        let known = self.store.known(log, std::slice::from_ref(&execution_id)).await?;
        let Some(Entry::Quarantine(quarantine)) = entry.body.entry() else {
            let fate = Fate::Stays { reason: "it was erased, or cannot be read".to_owned() };
            let (namespace, name) = (String::new(), String::new());
            return Ok(Some(Retried { log: log.clone(), index, execution_id, namespace, name, fate }));
        };
        // An earlier attempt is looked at all the same: the record of a later one says nothing of it.
        let newest = known.first().and_then(|known| known.quarantined).map(|(digest, _)| digest);
        let is_recorded = known.first().is_some_and(|known| known.recorded_since(log, &entry).is_some());
        if is_recorded && newest == Some(quarantine.source_digest) {
            return Ok(None);
        }
        let fate = self.fate(index, quarantine).await?;
        if is_recorded && !matches!(fate, Fate::Recorded { .. }) {
            return Ok(None);
        }
        let Quarantine { namespace, name, .. } = quarantine.clone();
        Ok(Some(Retried { log: log.clone(), index, execution_id, namespace, name, fate }))
    }

    async fn fate(&self, index: u64, quarantine: &Quarantine) -> Result<Fate, StoreError> {
        let stays = |reason: &str| Fate::Stays { reason: reason.to_owned() };
        let Some(bytes) = self.store.object(&self.ingest.log().name, index).await? else {
            return Ok(stays("its object is gone"));
        };
        if Digest::sha256(&bytes) != quarantine.source_digest {
            return Ok(stays("its object is not the one that was kept: run `dualaudit verify`"));
        }
        let (Ok(text), Ok(object)) =
            (str::from_utf8(&bytes), serde_json::from_slice::<DynamicObject>(&bytes))
        else {
            return Ok(stays("its object is no Kubernetes object"));
        };
        let observed = source::observe(&object, self.cluster, self.now);
        let record = match observed.state {
            State::Ended(record) => *record,
            State::Running => return Ok(Fate::NotEnded { phase: observed.phase }),
            State::Unmappable(reason) => return Ok(Fate::Stays { reason }),
        };
        match self.ingest.submit(self.ingest.from_quarantine(record, text, index)).await {
            Ok(answer) if answer.is_new() => match answer {
                Answer::Stored(receipt) => Ok(Fate::Recorded { receipt }),
                Answer::Accounted | Answer::Refused(_) => Ok(stays("the log does not take it")),
            },
            Ok(Answer::Stored(receipt)) => Ok(Fate::Newer { receipt }),
            Ok(Answer::Accounted) => Ok(stays("the log does not take it")),
            Ok(Answer::Refused(refusal)) => Ok(stays(&refusal.to_string())),
            Err(StoreError::Rejected(reason)) => {
                Ok(Fate::Stays { reason: format!("the database refuses its record: {reason}") })
            }
            Err(error) => Err(error),
        }
    }
}
