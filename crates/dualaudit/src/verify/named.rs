//! What names another entry against what that entry says: a purged body its purge, the end of a hold its
//! release.

use dualaudit_record::{Entry, EntryKind, Time, entry::Purge};

use super::LogCheck;
use crate::store::{Beside, StoreError, StoredBody, StoredEntry};

/// The purge that was looked at last: what was recorded together is mostly purged together.
#[derive(Default)]
pub(super) struct LastPurge(Option<(u64, Option<Purge>)>);

impl LastPurge {
    /// Checks that an entry whose body is gone is among those that its purge says went.
    async fn check(&mut self, check: &mut LogCheck<'_>, index: u64, by: u64) -> Result<(), StoreError> {
        if self.0.as_ref().is_none_or(|(last, _)| *last != by) {
            let purge = match named(check, EntryKind::Purge, by).await? {
                Some((Entry::Purge(purge), _)) => Some(purge),
                _ => None,
            };
            self.0 = Some((by, purge));
        }
        let covers =
            self.0.as_ref().and_then(|(_, purge)| purge.as_ref()).is_some_and(|purge| purge.covers(index));
        if !covers {
            let found = format!("nothing, and a note that entry {by} purged it");
            check.find(Some(index), "body", "one, or a purge that says that it went", found);
        }
        Ok(())
    }
}

/// Checks what an entry names.
pub(super) async fn check(
    check: &mut LogCheck<'_>,
    purges: &mut LastPurge,
    stored: &StoredEntry,
) -> Result<(), StoreError> {
    match (&stored.body, &stored.beside) {
        (StoredBody::Purged { by }, _) => purges.check(check, stored.index, *by).await,
        (_, Beside::Hold(Ok(Some(row)))) => match row.released {
            None => Ok(()),
            Some((at, by)) => released(check, stored.index, at, by).await,
        },
        _ => Ok(()),
    }
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
    let found = check.store.entries(&check.head.log, Some(kind), index, 1).await?;
    Ok(found.into_iter().find(|entry| entry.index == index).and_then(|entry| match entry.body {
        StoredBody::Whole(said, _) => Some((*said, entry.recorded_at)),
        StoredBody::Purged { .. } | StoredBody::Unreadable(_) => None,
    }))
}
