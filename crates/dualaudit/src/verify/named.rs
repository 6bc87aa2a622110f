//! What names another entry against what that entry says: a purged body its purge, what is left of an erased one
//! its erasure, the end of a hold its release, a record what was in quarantine.

use std::collections::{HashMap, VecDeque};

use dualaudit_record::{
    Entry, EntryKind, Time,
    digest::Digest,
    entry::{HoldRelease, Purge},
    execution::{QUARANTINE_LABEL, StoredExecution},
};

use super::{LogCheck, heads};
use crate::store::{Beside, LogState, Originals, StoreError, StoredBody, StoredEntry, Which, rest_digest};

/// Purges that are remembered: what was recorded one after the other may have gone by turns.
const REMEMBERED: usize = 256;

/// The purges that were looked at last, each by its index.
#[derive(Default)]
struct LastPurges(VecDeque<(u64, Option<Purge>)>);

impl LastPurges {
    /// Checks that an entry whose body is gone is among those that its purge says went.
    async fn check(&mut self, check: &mut LogCheck<'_>, index: u64, by: u64) -> Result<(), StoreError> {
        if !self.0.iter().any(|(known, _)| *known == by) {
            let purge = match named(check, EntryKind::Purge, by).await? {
                Some((Entry::Purge(purge), _)) => Some(purge),
                _ => None,
            };
            self.0.truncate(REMEMBERED - 1);
            self.0.push_front((by, purge));
        }
        let purge = self.0.iter().find(|(known, _)| *known == by).and_then(|(_, purge)| purge.as_ref());
        if index >= by || !purge.is_some_and(|purge| purge.covers(index)) {
            let found = format!("nothing, and a note that entry {by} purged it");
            check.find(Some(index), "body", "one, or a purge that says that it went", found);
        }
        Ok(())
    }
}

/// Checks that what is left of an entry is what its erasure says.
async fn erased(
    check: &mut LogCheck<'_>,
    originals: &mut Originals,
    stored: &StoredEntry,
    by: u64,
    left: Digest,
) -> Result<(), StoreError> {
    let index = Some(stored.index);
    match originals.rest_of(check.store, &check.head.log, stored, by).await? {
        None => {
            let found = format!("a part of one, and a note that entry {by} erased the rest");
            check.find(index, "body", "one, or an erasure that says what is left of it", found);
        }
        Some(promised) if promised != left => {
            check.find(index, "rest digest", promised, format!("{left}, hashed anew"));
        }
        Some(_) => {}
    }
    Ok(())
}

/// What was looked at last of what others name.
#[derive(Default)]
pub(super) struct Last {
    purges: LastPurges,
    originals: Originals,
    holds: OpenHolds,
}

/// The holds on single executions that are open where the log was read to: by execution, how many, and the entries of
/// its attempts. As many as are open, which is what bounds the memory.
#[derive(Default)]
struct OpenHolds(HashMap<String, (u64, Vec<u64>)>);

impl OpenHolds {
    /// Takes the next entry; answers the executions of which it takes something away that a hold covers.
    async fn follow(&mut self, check: &LogCheck<'_>, entry: &Entry) -> Result<Vec<String>, StoreError> {
        match entry {
            Entry::Hold(hold) => {
                let Some(id) = hold.covers.execution_id() else { return Ok(Vec::new()) };
                if let Some((open, _)) = self.0.get_mut(id) {
                    *open += 1;
                } else {
                    let known = check.store.known(&check.head.log, &[id.to_owned()]).await?;
                    let recorded = known.into_iter().flat_map(|known| known.recorded);
                    // A successor knows what its predecessor recorded, too.
                    let own = recorded.filter(|recorded| recorded.receipt.log == check.head.log);
                    self.0.insert(id.to_owned(), (1, own.map(|recorded| recorded.receipt.index).collect()));
                }
            }
            Entry::HoldRelease(HoldRelease { execution_id: Some(id), .. }) => {
                if let Some((open, _)) = self.0.get_mut(id) {
                    *open -= 1;
                    if *open == 0 {
                        self.0.remove(id);
                    }
                }
            }
            Entry::Erasure(erasure) if self.0.contains_key(&erasure.execution_id) => {
                return Ok(vec![erasure.execution_id.clone()]);
            }
            Entry::Purge(purge) => {
                let taken =
                    self.0.iter().filter(|(_, (_, own))| own.iter().any(|&index| purge.covers(index)));
                return Ok(taken.map(|(id, _)| id.clone()).collect());
            }
            _ => {}
        }
        Ok(Vec::new())
    }
}

/// Checks what an entry names.
pub(super) async fn check(
    check: &mut LogCheck<'_>,
    last: &mut Last,
    stored: &StoredEntry,
) -> Result<(), StoreError> {
    if let StoredBody::Whole(entry, _) = &stored.body {
        for id in last.holds.follow(check, entry).await? {
            let found = format!("something of {id}, on which a hold was open");
            check.find(Some(stored.index), "hold", "nothing that is held taken away", found);
        }
    }
    match (&stored.body, &stored.beside) {
        (StoredBody::Purged { by }, _) => last.purges.check(check, stored.index, *by).await,
        (StoredBody::Erased { by, rest, nonce }, _) => {
            erased(check, &mut last.originals, stored, *by, rest_digest(rest, *nonce)).await
        }
        (_, Beside::Hold(Ok(Some(row)))) => match row.released {
            None => Ok(()),
            Some((at, by)) => released(check, stored.index, at, by).await,
        },
        (StoredBody::Whole(entry, _), _) => match entry.as_ref() {
            Entry::Execution(execution) => quarantined(check, stored.index, execution).await,
            Entry::Succession(said) => succeeded(check, stored.index, &said.predecessor).await,
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Checks that the log in whose place this one says that it goes on takes nothing any more.
async fn succeeded(check: &mut LogCheck<'_>, index: u64, predecessor: &str) -> Result<(), StoreError> {
    let heads = heads(check.store).await?;
    let state = heads.into_iter().find(|head| head.log == predecessor).map(|head| head.state);
    if !matches!(&state, Some(LogState::Succeeded { by }) if *by == check.head.log) {
        let expected = format!("the log {predecessor} closed in favour of {}", check.head.log);
        let found = match state {
            Some(LogState::Succeeded { by }) => format!("it closed in favour of {by}"),
            Some(_) => "it open: run `dualaudit log succeed` again if it was ended".to_owned(),
            None => "no such log".to_owned(),
        };
        check.find(Some(index), "succession", expected, found);
    }
    Ok(())
}

/// Checks that a record which says that it was in quarantine is of the object that was put there.
async fn quarantined(
    check: &mut LogCheck<'_>,
    index: u64,
    execution: &StoredExecution,
) -> Result<(), StoreError> {
    let Some(says) = execution.record.labels.get(QUARANTINE_LABEL) else { return Ok(()) };
    let named: Option<u64> =
        says.parse().ok().filter(|named: &u64| *named < index && named.to_string() == *says);
    let entry = match named {
        Some(named) => {
            let page =
                check.store.entries(&check.head.log, Which::Kind(EntryKind::Quarantine), named, 1).await?;
            page.into_iter().find(|entry| entry.index == named)
        }
        None => None,
    };
    let is_of = |entry: &StoredEntry| {
        // Its body may be gone.
        entry.execution_id.as_ref() == Some(&execution.record.id)
            && match entry.body.entry() {
                Some(Entry::Quarantine(quarantine)) => {
                    Some(quarantine.source_digest) == execution.source_digest
                }
                _ => true,
            }
    };
    if !entry.as_ref().is_some_and(is_of) {
        let found = format!("none, and a record that says that it is made of what entry {says} put there");
        check.find(Some(index), "quarantine", "an entry that put its source object there", found);
    }
    Ok(())
}

async fn released(check: &mut LogCheck<'_>, hold: u64, at: Time, by: Option<u64>) -> Result<(), StoreError> {
    let release = match by {
        Some(by) => named(check, EntryKind::HoldRelease, by).await?,
        None => None,
    };
    let is_said = match release {
        Some((Entry::HoldRelease(release), recorded_at)) => release.hold == hold && recorded_at == at,
        _ => false,
    };
    if !is_said {
        let by = by.map_or("no entry".to_owned(), |by| format!("entry {by}"));
        check.find(
            Some(hold),
            "hold",
            "open, or released by an entry that says so",
            format!("released at {at} by {by}"),
        );
    }
    Ok(())
}

/// The entry of that kind at an index, with when it was recorded.
async fn named(
    check: &LogCheck<'_>,
    kind: EntryKind,
    index: u64,
) -> Result<Option<(Entry, Time)>, StoreError> {
    let found = check.store.entries(&check.head.log, Which::Kind(kind), index, 1).await?;
    Ok(found.into_iter().find(|entry| entry.index == index).and_then(|entry| match entry.body {
        StoredBody::Whole(said, _) => Some((*said, entry.recorded_at)),
        StoredBody::Erased { .. } | StoredBody::Purged { .. } | StoredBody::Unreadable(_) => None,
    }))
}
