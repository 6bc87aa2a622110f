//! A log, checked from scratch: nothing that the store computed is believed.

use std::collections::HashSet;

use dualaudit_record::{
    Entry, EntryKind,
    digest::Digest,
    erase,
    log::{Nonce, TileData, TileId, Tree, body, read_entry_bundle},
};

use super::statistics::check_statistics;
use crate::store::{
    Beside, ContentDigest, Head, RowKey, Store, StoredBody, StoredEntry, Table, Which, check_key, rest_digest,
};

/// Checks a whole log and answers its entries.
pub(crate) async fn check_log(store: &dyn Store, log: &str) -> Vec<StoredEntry> {
    let heads = store.logs().await.unwrap();
    let head = heads.into_iter().find(|head| head.log == log).expect("the log exists");
    let entries = all_entries(store, log).await;
    let leaves: Vec<Digest> =
        entries.iter().enumerate().map(|(place, entry)| check_entry(log, place, entry)).collect();
    assert_eq!(head.size, entries.len() as u64, "the head counts the entries");
    assert_eq!(head.root, naive_root(&leaves), "the head's root is that of the leaves");
    assert_eq!(head.recorded_at, entries.last().map(|entry| entry.recorded_at));
    assert!(entries.is_sorted_by_key(|entry| entry.recorded_at), "recorded_at never runs backwards");
    check_erasures(&entries);
    let mut seen = HashSet::new();
    for entry in entries.iter().filter(|entry| entry.attempt.is_some()) {
        let identity = (entry.execution_id.clone(), entry.attempt, entry.revision);
        assert!(seen.insert(identity), "{:?} is recorded once", entry.execution_id);
    }
    for table in Table::ALL {
        assert_eq!(strays(store, table, Some(log), 100).await.0, [], "every row has its entry: {table:?}");
    }
    check_entry_bundles(store, &head, &leaves).await;
    check_tiles(store, &head, leaves).await;
    check_edge(store, &head).await;
    check_statistics(store, &head, &entries).await;
    entries
}

/// The strays of a table, and how many pages it took to find them.
pub(crate) async fn strays(
    store: &dyn Store,
    table: Table,
    log: Option<&str>,
    limit: u32,
) -> (Vec<RowKey>, u32) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.strays(table, log, after.as_ref(), limit).await.unwrap();
        pages += 1;
        found.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return (found, pages),
        }
    }
}

async fn all_entries(store: &dyn Store, log: &str) -> Vec<StoredEntry> {
    let mut entries: Vec<StoredEntry> = Vec::new();
    loop {
        let page = store.entries(log, Which::All, entries.len() as u64, 77).await.unwrap();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

fn check_entry(log: &str, place: usize, entry: &StoredEntry) -> Digest {
    assert_eq!(entry.index, place as u64, "indexes are dense");
    match &entry.body {
        StoredBody::Whole(content, nonce) => check_body(content, *nonce, entry),
        StoredBody::Erased { by, rest, .. } => {
            assert!(*by > entry.index);
            assert_eq!(erase::rest(rest).as_ref(), Some(rest.as_ref()), "nothing personal is left");
            assert_eq!(rest.execution_id(), entry.execution_id.as_deref());
            check_erased(rest, &entry.beside);
        }
        StoredBody::Purged { by } => {
            assert!(*by > entry.index && entry.kind == EntryKind::Execution);
            assert_eq!(entry.beside, Beside::Nothing);
        }
        StoredBody::Unreadable(why) => panic!("entry {place} cannot be read: {why}"),
    }
    assert_eq!(entry.leaf_hash, entry.leaf(log).hash(), "the leaf is the one appended");
    entry.leaf_hash
}

fn check_body(content: &Entry, nonce: Nonce, entry: &StoredEntry) {
    assert_eq!(content.kind(), entry.kind);
    assert_eq!(content.execution_id(), entry.execution_id.as_deref());
    check_beside(content, entry);
    assert_eq!(check_key(content, entry.idempotency_key.as_deref()), Ok(()));
    if let Entry::Execution(execution) = content {
        assert_eq!(execution.record.started_at, entry.started_at);
        assert_eq!(Some(&execution.record.id), entry.execution_id.as_ref());
        assert_eq!(Some(execution.record.attempt), entry.attempt);
        assert_eq!(Some(execution.revision), entry.revision);
        assert_eq!(execution.recorded_at, entry.recorded_at);
    }
    assert_eq!(entry.body_digest, Digest::sha256(&body(content, nonce)), "the body is the one appended");
}

fn check_beside(content: &Entry, entry: &StoredEntry) {
    match (content, &entry.beside) {
        (
            Entry::Execution(execution),
            Beside::Execution { content_digest: ContentDigest::Fits, source_object },
        ) => {
            assert_eq!(source_object, &execution.source_digest.map(Ok));
        }
        (
            Entry::Gap(_)
            | Entry::Heartbeat(_)
            | Entry::Succession(_)
            | Entry::Digest(_)
            | Entry::Export(_)
            | Entry::Access(_)
            | Entry::Window(_),
            Beside::Nothing,
        ) => {}
        (Entry::Quarantine(quarantine), Beside::Quarantine(Ok(Some(row)))) => {
            assert_eq!((row.index, row.recorded_at), (entry.index, entry.recorded_at));
            assert_eq!(row.object, Ok(quarantine.source_digest));
        }
        (Entry::Hold(hold), Beside::Hold(Ok(Some(row)))) => {
            assert_eq!((row.index, &row.hold, row.placed_at), (entry.index, hold, entry.recorded_at));
        }
        (Entry::HoldRelease(release), Beside::HoldRelease(Ok(Some(row)))) => {
            assert_eq!(row.index, release.hold);
            assert_eq!(row.released, Some((entry.recorded_at, Some(entry.index))));
        }
        (Entry::Review(review), Beside::Review(Ok(Some(row)))) => {
            assert_eq!((row.index, &row.review), (entry.index, review));
            assert_eq!(row.recorded_at, entry.recorded_at);
        }
        (Entry::Purge(purge), Beside::Purge(runs)) => assert_eq!(&purge.entries, runs),
        (Entry::Erasure(erasure), Beside::Erasure(noted)) => {
            assert!(erasure.entries.iter().map(|entry| entry.index).eq(noted.iter().copied()));
        }
        (content, beside) => panic!("{beside:?} beside {content:?}"),
    }
}

/// Nothing stands beside what is left that says what was erased.
fn check_erased(rest: &Entry, beside: &Beside) {
    match (rest, beside) {
        (
            Entry::Execution(_),
            Beside::Execution { content_digest: ContentDigest::Missing, source_object: None },
        )
        | (Entry::Gap(_) | Entry::Window(_), Beside::Nothing) => {}
        (Entry::Quarantine(_), Beside::Quarantine(Ok(Some(row)))) => {
            assert_eq!(row.object, Ok(Digest::sha256(b"")));
        }
        (Entry::Review(left), Beside::Review(Ok(Some(row)))) => assert_eq!(&row.review, left),
        (rest, beside) => panic!("{beside:?} beside what is left, {rest:?}"),
    }
}

/// What is left of what was erased is what its erasure promised, and all that it promised is there.
fn check_erasures(entries: &[StoredEntry]) {
    let erasure = |by: u64| match entries[by as usize].body.entry() {
        Some(Entry::Erasure(erasure)) => erasure,
        other => panic!("entry {by} is no erasure but {other:?}"),
    };
    for entry in entries {
        if let StoredBody::Erased { by, rest, nonce } = &entry.body {
            assert_eq!(erasure(*by).rest_of(entry.index), Some(rest_digest(rest, *nonce)));
        }
        if let Some(Entry::Erasure(said)) = entry.body.entry() {
            for erased in &said.entries {
                let of = &entries[erased.index as usize];
                assert_eq!(of.execution_id.as_deref(), Some(said.execution_id.as_str()));
                let is_gone = match of.body {
                    StoredBody::Erased { by, .. } => by == entry.index,
                    StoredBody::Purged { .. } => true,
                    StoredBody::Whole(..) | StoredBody::Unreadable(_) => false,
                };
                assert!(is_gone, "{:?}", of.body);
            }
        }
    }
}

async fn check_tiles(store: &dyn Store, head: &Head, leaves: Vec<Digest>) {
    let mut hashes = leaves;
    for level in 0..8 {
        let expected = hashes.chunks(256).map(|tile| tile.iter().flat_map(|hash| hash.0).collect());
        // And nothing beyond the last.
        let expected: Vec<Option<Vec<u8>>> = expected.map(Some).chain([None]).collect();
        let wanted: Vec<TileId> =
            (0..expected.len() as u64).map(|index| TileId::Hashes { level, index }).collect();
        assert_eq!(store.tiles(&head.log, &wanted).await.unwrap(), expected, "tiles of level {level}");
        hashes = hashes.chunks_exact(256).map(naive_root).collect();
    }
}

/// The bundles of entries hold the leaves whose hashes are in the tree.
async fn check_entry_bundles(store: &dyn Store, head: &Head, leaves: &[Digest]) {
    for (index, leaves) in leaves.chunks(256).enumerate() {
        let wanted = [TileId::Entries { index: index as u64 }];
        let bundle = store.tiles(&head.log, &wanted).await.unwrap().remove(0).unwrap();
        let hash = |entry: &&[u8]| Digest::sha256(&[&[0], *entry].concat());
        let entries = read_entry_bundle(&bundle).unwrap();
        assert_eq!(entries.iter().map(hash).collect::<Vec<_>>(), leaves);
    }
}

async fn check_edge(store: &dyn Store, head: &Head) {
    let mut tiles = Vec::new();
    for level in 0..8 {
        let index = head.size >> (8 * u32::from(level)) >> 8;
        let found = store.tiles(&head.log, &[TileId::Hashes { level, index }]).await.unwrap().remove(0);
        tiles.extend(found.map(|hashes| TileData { level, index, hashes }));
    }
    assert_eq!(Tree::from_edge(head.size, &tiles).unwrap().root(), head.root);
}

/// RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::sha256(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let mut node = vec![1];
            node.extend_from_slice(&naive_root(left).0);
            node.extend_from_slice(&naive_root(right).0);
            Digest::sha256(&node)
        }
    }
}
