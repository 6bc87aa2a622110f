//! Gaps, what is in quarantine, purges, holds and accesses: pages of their entries, and one in full.
//!
//! # Guarantees
//! - Lists are in the order of logs and indexes. Neither ever changes, so following `next_cursor` to its end gives
//!   each entry that was there at the start exactly once, and what is appended meanwhile at the end of its log.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dualaudit_record::{
    Entry, EntryKind, Time,
    access::Access,
    digest::Digest,
    entry::{Gap, Hold, Purge, Quarantine},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    cursor::short_digest,
    parameters::{DEFAULT_LIMIT, MAX_LIMIT},
};
use crate::parameter::{BadParameter, reject_repeats, whole};
use crate::store::{
    Beside, Head, HoldRow, NoSuchLog, Receipt, Store, StoreError, StoredEntry, Which, meant, newest,
};

/// Entries read at a time: the last state of a gap may be as large as an object.
const CHUNK: u32 = 16;
/// The entries that are looked at for one page, about: holds that were released may be many, and are passed over.
const LOOKED_AT: usize = 10_000;
/// The bytes of bodies after which a page ends, about.
const PAGE_BYTES: usize = 8 << 20;

/// The kinds that have lists of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// What is missing.
    Gaps,
    /// What could not be mapped.
    Quarantine,
    /// What went.
    Purges,
    /// What is to be kept.
    Holds,
    /// Who asked for what.
    Accesses,
}

impl Listing {
    /// Its name in URLs and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaps => "gaps",
            Self::Quarantine => "quarantine",
            Self::Purges => "purges",
            Self::Holds => "holds",
            Self::Accesses => "accesses",
        }
    }

    /// The kind of its entries.
    pub fn kind(self) -> EntryKind {
        match self {
            Self::Gaps => EntryKind::Gap,
            Self::Quarantine => EntryKind::Quarantine,
            Self::Purges => EntryKind::Purge,
            Self::Holds => EntryKind::Hold,
            Self::Accesses => EntryKind::Access,
        }
    }
}

/// One page of entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EntryPage {
    /// In the order of the list.
    pub items: Vec<ListedEntry>,
    /// Where the next page begins; `None` after the last.
    pub next_cursor: Option<String>,
}

/// An entry as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedEntry {
    /// The log it is in.
    pub log: String,
    /// Its place there.
    pub index: u64,
    /// When it was appended.
    pub recorded_at: Time,
    /// RFC 6962 hash of its leaf.
    pub leaf_hash: Digest,
    /// The one execution it concerns; absent where it concerns several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// What it says, or what an erasure left of that; absent where its body is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// What it says, or what an erasure left of that; absent where its body is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// What it says, or what an erasure left of that; absent where its body is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purge: Option<Purge>,
    /// What it says, or what an erasure left of that; absent where its body is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What it says; absent where its body is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// How a hold ended; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Released>,
    /// The receipt of what was recorded of the execution since, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Receipt>,
    /// The object that could not be mapped, of a single entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
}

impl ListedEntry {
    /// Whether it shows an object of the cluster: one in quarantine, or the last state of a gap.
    pub fn has_object(&self) -> bool {
        self.object.is_some() || self.gap.as_ref().is_some_and(|gap| !gap.last_state.is_empty())
    }

    /// Leaves it out.
    pub fn hide_object(&mut self) {
        self.object = None;
        if let Some(gap) = &mut self.gap {
            gap.last_state.clear();
        }
    }
}

/// What was placed in one log or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Placed {
    /// A receipt for each.
    pub receipts: Vec<Receipt>,
}

/// What was erased of one execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Erased {
    /// Of the entries that say so: mostly one, of an execution with very much several; where nothing was left to erase, that
    /// of the last.
    pub receipts: Vec<Receipt>,
}

/// The end of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Released {
    /// Index of the entry that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// When.
    pub released_at: Time,
}

/// One page of one list.
#[derive(Clone, Debug, PartialEq)]
pub struct EntriesRequest {
    /// Of what.
    pub listing: Listing,
    /// In this log only.
    pub log: Option<String>,
    /// Of holds: also those that were released.
    pub released: bool,
    /// The log and index to go on after.
    after: Option<(String, u64)>,
    /// From 1 to [`MAX_LIMIT`].
    pub limit: u32,
}

/// What a cursor says: where to go on, and a digest of that and of the list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    log: String,
    index: u64,
    check: String,
}

const VERSION: u32 = 1;
const MAX_LENGTH: usize = 1024;
const ALTERED: &str =
    "must be a next_cursor exactly as this list gave it; this one is cut off, altered, or of another list";

impl EntriesRequest {
    /// Reads names and values as they stand in a query string.
    ///
    /// # Errors
    /// The first parameter that is unknown, given twice, or out of its bounds.
    pub fn parse(listing: Listing, pairs: &[(String, String)]) -> Result<Self, BadParameter> {
        reject_repeats(pairs)?;
        let mut request = Self { listing, log: None, released: false, after: None, limit: DEFAULT_LIMIT };
        for (name, value) in pairs {
            let bad = |rule: String| BadParameter::new(name, value, rule);
            match name.as_str() {
                "log" => request.log = Some(value.clone()),
                "limit" => request.limit = whole(value, MAX_LIMIT).map_err(bad)?,
                // After the log that it belongs to.
                "cursor" => {}
                "released" if listing == Listing::Holds => {
                    request.released = value.parse().map_err(|_| bad("must be true or false".into()))?;
                }
                _ if listing == Listing::Holds => {
                    let rule = "is no parameter of this list; known are log, released, cursor and limit";
                    return Err(bad(rule.into()));
                }
                _ => return Err(bad("is no parameter of this list; known are log, cursor and limit".into())),
            }
        }
        if let Some((name, value)) = pairs.iter().find(|(name, _)| name == "cursor") {
            let after = request.resume(value).ok_or_else(|| BadParameter::new(name, value, ALTERED))?;
            request.after = Some(after);
        }
        Ok(request)
    }

    fn check(&self, log: &str, index: u64) -> String {
        let Self { listing, log: of, released, .. } = self;
        short_digest(&format!("{VERSION}\n{}\n{of:?}\n{released}\n{log}\n{index}", listing.name()))
    }

    fn cursor(&self, log: &str, index: u64) -> String {
        let wire = Wire { version: VERSION, log: log.to_owned(), index, check: self.check(log, index) };
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("a cursor is JSON"))
    }

    fn resume(&self, text: &str) -> Option<(String, u64)> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|_| text.len() <= MAX_LENGTH)?;
        let Wire { version, log, index, check } = serde_json::from_slice(&json).ok()?;
        (version == VERSION && check == self.check(&log, index)).then_some((log, index))
    }
}

/// Why there are no entries to show.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// There is no log of that name.
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
    /// The log has no such entry of that kind.
    #[error("log {log} has no entry {index} of kind {kind}")]
    NoSuchEntry {
        /// The log.
        log: String,
        /// The index.
        index: u64,
        /// The kind.
        kind: EntryKind,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One page of entries: at most as many as asked for, and fewer where they are large.
///
/// # Errors
/// See [`EntriesError`].
pub async fn entries(store: &dyn Store, request: &EntriesRequest) -> Result<EntryPage, EntriesError> {
    let all = store.logs().await?;
    let heads = meant(all.clone(), request.log.as_deref())?;
    let (mut items, mut bytes, mut looked_at): (Vec<ListedEntry>, usize, usize) = (Vec::new(), 0, 0);
    let is_wanted = |listed: &ListedEntry| request.released || listed.released.is_none();
    for head in &heads {
        let mut from = match &request.after {
            Some((log, _)) if head.log < *log => continue,
            Some((log, index)) if head.log == *log => index.saturating_add(1),
            _ => 0,
        };
        loop {
            // One more than fits tells whether more follow.
            let left = request.limit - u32::try_from(items.len()).unwrap_or(request.limit);
            let page = store
                .entries(&head.log, Which::Kind(request.listing.kind()), from, CHUNK.min(left + 1))
                .await?;
            let Some(last) = page.last() else { break };
            from = last.index + 1;
            looked_at += page.len();
            for listed in listed(store, &all, head, page).await?.into_iter().filter(is_wanted) {
                bytes = bytes.saturating_add(size(&listed));
                let is_full = items.len() >= request.limit as usize || bytes > PAGE_BYTES;
                if let Some(last) = items.last().filter(|_| is_full) {
                    let next_cursor = Some(request.cursor(&last.log, last.index));
                    return Ok(EntryPage { items, next_cursor });
                }
                items.push(listed);
            }
            if looked_at >= LOOKED_AT && items.len() < request.limit as usize {
                return Ok(EntryPage { items, next_cursor: Some(request.cursor(&head.log, from - 1)) });
            }
        }
    }
    Ok(EntryPage { items, next_cursor: None })
}

/// One entry in full; of what is in quarantine also the object.
///
/// # Errors
/// See [`EntriesError`].
pub async fn entry(
    store: &dyn Store,
    listing: Listing,
    log: &str,
    index: u64,
) -> Result<ListedEntry, EntriesError> {
    let kind = listing.kind();
    let no_such = || EntriesError::NoSuchEntry { log: log.to_owned(), index, kind };
    let all = store.logs().await?;
    let [head] = &meant(all.clone(), Some(log))?[..] else { return Err(no_such()) };
    let mut page = store.entries(log, Which::Kind(kind), index, 1).await?;
    page.retain(|entry| entry.index == index);
    let mut found = listed(store, &all, head, page).await?.pop().ok_or_else(no_such)?;
    if kind == EntryKind::Quarantine {
        let object = store.object(log, index).await?;
        found.object = object.map(|bytes| {
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(text()))
        });
    }
    Ok(found)
}

async fn listed(
    store: &dyn Store,
    heads: &[Head],
    head: &Head,
    page: Vec<StoredEntry>,
) -> Result<Vec<ListedEntry>, StoreError> {
    // What a hold keeps is recorded before or after, which says nothing of the hold.
    let about = |entry: &StoredEntry| entry.execution_id.clone().filter(|_| entry.kind != EntryKind::Hold);
    let ids: Vec<String> = page.iter().filter_map(about).collect();
    let log = &head.log;
    let known = if ids.is_empty() { Vec::new() } else { store.known(newest(heads, head), &ids).await? };
    let mut known = known.into_iter();
    Ok(page
        .into_iter()
        .map(|entry| {
            let known = about(&entry).and_then(|_| known.next());
            let recorded = known.as_ref().and_then(|known| known.recorded_since(log, &entry));
            let recorded = recorded.map(|recorded| recorded.receipt.clone());
            let mut listed = ListedEntry {
                log: log.clone(),
                index: entry.index,
                recorded_at: entry.recorded_at,
                leaf_hash: entry.leaf_hash,
                execution_id: entry.execution_id.clone(),
                gap: None,
                quarantine: None,
                purge: None,
                hold: None,
                access: None,
                released: None,
                recorded,
                object: None,
            };
            match entry.body.left() {
                Some(Entry::Gap(gap)) => listed.gap = Some(gap.clone()),
                Some(Entry::Quarantine(quarantine)) => listed.quarantine = Some(quarantine.clone()),
                Some(Entry::Purge(purge)) => listed.purge = Some(purge.clone()),
                Some(Entry::Hold(hold)) => listed.hold = Some(hold.clone()),
                Some(Entry::Access(access)) => listed.access = Some(Access::clone(access)),
                _ => {}
            }
            if let Beside::Hold(Ok(Some(HoldRow { released: Some((released_at, index)), .. }))) = entry.beside
            {
                listed.released = Some(Released { index, released_at });
            }
            listed
        })
        .collect())
}

/// About how many bytes an entry takes: its parts without a small limit, and the rest by its most.
fn size(listed: &ListedEntry) -> usize {
    const REST: usize = 4 << 10;
    const ACT: usize = 512;
    REST + listed.gap.as_ref().map_or(0, |gap| gap.last_state.len())
        + listed.purge.as_ref().map_or(0, |purge| purge.entries.len() * 32)
        + listed.access.as_ref().map_or(0, |access| access.acts.len() * ACT)
}
