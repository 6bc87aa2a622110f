//! The break-glass ledger: what was let go unrecorded, kept in ConfigMaps of dualaudit's own
//! namespace until the log has it.
//!
//! It needs no database. An entry goes only after its gap is in the log, and a ConfigMap only when
//! nothing was added since it was read.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use dualaudit_record::{
    Time,
    digest::Digest,
    entry::{Gap, GapCause},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::execute::UNVERIFIED;

/// Marks the ledger's ConfigMaps.
const LABEL: &str = "dualaudit.dev/ledger";
const LABEL_VALUE: &str = "released-unrecorded";
/// Entries in one ConfigMap.
const MOST_ENTRIES: usize = 1000;
/// Bytes in one ConfigMap, below the API server's limit of 1 MiB.
const MOST_BYTES: usize = 900 << 10;
/// ConfigMaps read at a time.
const LISTED: u32 = 20;
/// Bytes in a ConfigMap that entries are added to one by one: each writes it anew, and etcd keeps
/// every version for a while.
const MOST_GROWN_BYTES: usize = 64 << 10;

/// One execution that was let go unrecorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The resource's uid.
    pub id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Its phase then.
    pub phase: String,
    /// Tells the attempts of one resource apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// SHA-256 of its last state, redacted, in serde_json's compact form.
    pub digest: Digest,
    /// The reason given.
    pub reason: String,
    /// Who gave it, where something vouches for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When.
    pub released_at: Time,
}

impl From<Released> for Gap {
    fn from(released: Released) -> Self {
        Self {
            cause: GapCause::ReleasedUnrecorded {
                reason: released.reason,
                actor: Some(released.actor.unwrap_or_else(|| UNVERIFIED.to_owned())),
            },
            execution_id: released.id,
            namespace: released.namespace,
            name: released.name,
            started_at: released.started_at,
            last_phase: released.phase,
            last_state: String::new(),
            last_state_digest: Some(released.digest),
            last_seen_at: released.released_at,
        }
    }
}

/// An entry as it is kept.
struct Entry {
    id: String,
    text: String,
}

impl Entry {
    fn of(released: &Released) -> Self {
        let text = serde_json::to_string(released).expect("an entry is JSON");
        Self { id: released.id.clone(), text }
    }

    fn bytes(&self) -> usize {
        self.id.len() + self.text.len()
    }
}

/// Entries in as few ConfigMaps as they fit into.
fn pages_of(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut pages = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (place, entry) in entries.iter().enumerate() {
        if place - start == MOST_ENTRIES || (place > start && bytes + entry.bytes() > MOST_BYTES) {
            pages.push(&entries[start..place]);
            (start, bytes) = (place, 0);
        }
        bytes += entry.bytes();
    }
    pages.extend((start < entries.len()).then(|| &entries[start..]));
    pages
}

/// The ledger in one namespace.
pub struct Ledger {
    api: Api<ConfigMap>,
    /// The ConfigMap that is being filled, with its entries and bytes.
    page: Mutex<Option<Page>>,
    /// Something was written since this was asked last.
    written: AtomicBool,
}

struct Page {
    name: String,
    entries: usize,
    bytes: usize,
}

impl Page {
    fn of(map: &ConfigMap) -> Self {
        let data = map.data.iter().flatten();
        let bytes = data.clone().map(|(key, value)| key.len() + value.len()).sum();
        Self { name: map.metadata.name.clone().unwrap_or_default(), entries: data.count(), bytes }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        self.entries < MOST_ENTRIES && self.bytes + bytes <= MOST_GROWN_BYTES
    }
}

impl Ledger {
    /// The ledger in `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            page: Mutex::new(None),
            written: AtomicBool::new(false),
        }
    }

    /// Writes entries. Writing the same execution twice does no harm: it is one gap of the log.
    ///
    /// # Errors
    /// When the API server does not take one: then nothing of these may be let go.
    pub async fn write(&self, released: &[Released]) -> Result<(), kube::Error> {
        let entries: Vec<_> = released.iter().map(Entry::of).collect();
        if let [entry] = entries.as_slice() {
            self.add(entry).await?;
        } else {
            for page in pages_of(&entries) {
                self.create(page).await?;
            }
        }
        self.written.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether something was written since the last call.
    pub(super) fn take_written(&self) -> bool {
        self.written.swap(false, Ordering::Relaxed)
    }

    /// Adds an entry to the ConfigMap that is being filled, or begins another.
    async fn add(&self, entry: &Entry) -> Result<(), kube::Error> {
        let mut page = self.page.lock().await;
        if page.is_none() {
            *page = self.pages().await?.iter().map(Page::of).find(|page| page.has_room_for(entry.bytes()));
        }
        if let Some(open) = page.as_mut().filter(|page| page.has_room_for(entry.bytes())) {
            let patch = serde_json::json!({ "data": { &entry.id: entry.text } });
            match self.api.patch(&open.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {
                    open.entries += 1;
                    open.bytes += entry.bytes();
                    return Ok(());
                }
                // The log has it all, and it was discarded.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let created = self.create(std::slice::from_ref(entry)).await?;
        *page = Some(Page::of(&created));
        Ok(())
    }

    async fn create(&self, entries: &[Entry]) -> Result<ConfigMap, kube::Error> {
        let map = ConfigMap {
            metadata: ObjectMeta {
                generate_name: Some("dualaudit-released-".to_owned()),
                labels: Some(BTreeMap::from([(LABEL.to_owned(), LABEL_VALUE.to_owned())])),
                ..ObjectMeta::default()
            },
            data: Some(entries.iter().map(|entry| (entry.id.clone(), entry.text.clone())).collect()),
            ..ConfigMap::default()
        };
        self.api.create(&PostParams::default(), &map).await
    }

    /// The ledger's ConfigMaps, some at a time; the rest is met when these are gone.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pages(&self) -> Result<Vec<ConfigMap>, kube::Error> {
        let label = format!("{LABEL}={LABEL_VALUE}");
        Ok(self.api.list(&ListParams::default().labels(&label).limit(LISTED)).await?.items)
    }

    /// The entries of a page, and what is wrong with one that cannot be read because somebody edited
    /// it.
    pub fn entries(page: &ConfigMap) -> (Vec<Released>, Option<String>) {
        let name = page.metadata.name.as_deref().unwrap_or_default();
        let mut entries = Vec::new();
        let mut unreadable = None;
        for (id, text) in page.data.iter().flatten() {
            match serde_json::from_str(text) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    unreadable = Some(format!("entry {id} of ConfigMap {name} cannot be read: {error}"));
                }
            }
        }
        (entries, unreadable)
    }

    /// Deletes a page whose every entry is in the log, unless something was added since it was read.
    ///
    /// # Errors
    /// When the API server does not take it; the entries are then met again, and answer as
    /// duplicates.
    pub async fn discard(&self, page: &ConfigMap) -> Result<(), kube::Error> {
        let preconditions = Preconditions {
            uid: page.metadata.uid.clone(),
            resource_version: page.metadata.resource_version.clone(),
        };
        let name = page.metadata.name.as_deref().unwrap_or_default();
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        *self.page.lock().await = None;
        match self.api.delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fill_pages_up_to_their_limits_and_none_is_left_out() {
        let entries = |count: usize, bytes: usize| -> Vec<Entry> {
            (0..count).map(|id| Entry { id: id.to_string(), text: "x".repeat(bytes) }).collect()
        };
        let sizes = |entries: &[Entry]| pages_of(entries).iter().map(|page| page.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&entries(2, 10)), [2]);
        assert_eq!(sizes(&entries(2 * MOST_ENTRIES + 1, 10)), [MOST_ENTRIES, MOST_ENTRIES, 1]);
        assert_eq!(sizes(&entries(3, MOST_BYTES)), [1, 1, 1]);
    }
}
