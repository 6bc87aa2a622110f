//! The publisher on both databases, with a clock that stands where it is put.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use dualaudit_record::{EntryKind, checkpoint::VerifierKey, digest::Digest};
use tempfile::TempDir;

use super::{copies::Place, *};
use crate::{
    clock::Clock,
    store::{
        Answer, LogOpening, Owner, Which,
        conformance::sample::{at, from_resource, record},
        postgres, sqlite,
    },
};

const ORIGIN: &str = "audit.example/default";

struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> Time {
        at(self.0.load(Ordering::SeqCst))
    }
}

/// A log that is published.
struct Published {
    publisher: Publisher,
    state: super::Published,
    clock: Arc<Standing>,
    copy: PathBuf,
    _dir: TempDir,
}

fn key() -> SigningKey {
    SigningKey::secret_text(ORIGIN, [1; 32]).unwrap().parse().unwrap()
}

fn other_key() -> SigningKey {
    SigningKey::secret_text(ORIGIN, [2; 32]).unwrap().parse().unwrap()
}

fn public() -> VerifierKey {
    key().public().clone()
}

impl Published {
    async fn new(store: SharedStore, keys: Vec<SigningKey>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("checkpoints");
        Self::with(store, keys, copy, dir).await
    }

    async fn with(store: SharedStore, keys: Vec<SigningKey>, copy: PathBuf, dir: TempDir) -> Self {
        let published = Self::unread(store, keys, copy, dir).await;
        published.publisher.read_copies().await.unwrap();
        published
    }

    /// Before its copies were read.
    async fn unread(store: SharedStore, keys: Vec<SigningKey>, copy: PathBuf, dir: TempDir) -> Self {
        let clock = Arc::new(Standing(AtomicI64::new(100)));
        let metrics = Arc::new(Metrics::new());
        let opening = LogOpening {
            log: "default".to_owned(),
            owner: Owner::Producers,
            origin: ORIGIN.to_owned(),
            secret: [7; 32],
            now: at(0),
        };
        let shared: SharedClock = clock.clone();
        let ingest = Ingest::open(store.clone(), shared.clone(), opening, metrics.clone()).await.unwrap();
        let copies = Copies::new(vec![Place::File(copy.clone())], "default", None);
        let publisher =
            Publisher { store, ingest, keys, copies, witnesses: Vec::new(), clock: shared, metrics };
        Self { publisher, state: super::Published::default(), clock, copy, _dir: dir }
    }

    async fn append(&self, id: &str) -> Result<Answer, StoreError> {
        self.publisher.ingest.submit(from_resource(record(id))).await
    }

    async fn publish(&mut self) -> Result<(), PublishError> {
        self.publisher.publish(&mut self.state).await
    }

    /// The published checkpoint, once there is one of that size.
    async fn published(&self, size: u64) -> SignedCheckpoint {
        for _ in 0..200 {
            let head = self.publisher.head().await.unwrap();
            if let Some(checkpoint) = head.checkpoint.and_then(|note| note.parse::<SignedCheckpoint>().ok())
                && checkpoint.head().size == size
            {
                return checkpoint;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no checkpoint of {size} entries is published");
    }

    fn kept(&self) -> Vec<u64> {
        if !self.copy.exists() {
            return Vec::new();
        }
        copies::kept(&self.copy, u64::MAX).unwrap().map(|kept| kept.unwrap().1.head().size).collect()
    }
}

async fn on_both(test: impl AsyncFn(SharedStore)) {
    let file = sqlite::tests::fresh();
    test(Arc::new(file.store.clone())).await;
    let database = postgres::tests::fresh();
    test(Arc::new(database.store.clone())).await;
}

#[tokio::test]
async fn what_is_new_is_signed_kept_and_published_and_nothing_twice() {
    on_both(async |store| {
        let mut log = Published::new(store, vec![key()]).await;
        log.publish().await.unwrap();
        assert_eq!(log.kept(), [0_u64; 0], "an empty log has nothing to sign");
        log.append("a").await.unwrap();
        log.append("b").await.unwrap();
        for _ in 0..3 {
            log.publish().await.unwrap();
        }
        let checkpoint = log.published(2).await;
        assert_eq!(checkpoint.vouched(&[public()]).unwrap().by_log, [ORIGIN]);
        assert_eq!(log.kept(), [2]);
        log.append("c").await.unwrap();
        log.publish().await.unwrap();
        log.published(3).await;
        assert_eq!(log.kept(), [2, 3]);
    })
    .await;
}

#[tokio::test]
async fn without_a_key_checkpoints_are_kept_unsigned() {
    on_both(async |store| {
        let mut log = Published::new(store, Vec::new()).await;
        log.append("a").await.unwrap();
        log.publish().await.unwrap();
        assert!(!log.published(1).await.is_signed());
        assert_eq!(log.kept(), [1]);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_new_signs_at_once() {
    on_both(async |store| {
        let mut log = Published::new(Arc::clone(&store), Vec::new()).await;
        log.append("a").await.unwrap();
        log.publish().await.unwrap();
        assert!(!log.published(1).await.is_signed());
        let copies = || (log.copy.clone(), tempfile::tempdir().unwrap());
        for (keys, size) in
            [(vec![key()], 2), (vec![key()], 2), (vec![key(), other_key()], 3), (vec![other_key()], 3)]
        {
            let (copy, dir) = copies();
            let public: Vec<VerifierKey> = keys.iter().map(|key| key.public().clone()).collect();
            let mut again = Published::with(Arc::clone(&store), keys, copy, dir).await;
            for _ in 0..4 {
                again.publish().await.unwrap();
            }
            let checkpoint = again.published(size).await;
            for key in public {
                assert!(checkpoint.vouched(&[key]).is_ok(), "{size}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn silence_is_signed_each_hour() {
    on_both(async |store| {
        let mut log = Published::new(Arc::clone(&store), vec![key()]).await;
        log.append("a").await.unwrap();
        for (second, sizes) in [
            (100, &[1][..]),
            (100 + 3599, &[1]),
            (100 + 3600, &[1, 2]),
            (100 + 3700, &[1, 2]),
            (100 + 7200, &[1, 2, 3]),
        ] {
            log.clock.0.store(second, Ordering::SeqCst);
            for _ in 0..3 {
                log.publish().await.unwrap();
            }
            assert_eq!(log.kept(), sizes, "{second}");
        }
        let beats = store.entries("default", Which::Kind(EntryKind::Heartbeat), 0, 10).await.unwrap();
        assert_eq!(beats.iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_log_that_lost_what_it_promised_is_neither_signed_nor_appended_to() {
    on_both(async |store| {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("checkpoints");
        let promised = |size, root| {
            let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
            let checkpoint = SignedCheckpoint::sign(checkpoint, &[key()]).unwrap();
            let copies = Copies::new(vec![Place::File(copy.clone())], "default", None);
            async move { copies.keep(&checkpoint, at(0)).await.unwrap() }
        };
        let log = Published::with(Arc::clone(&store), vec![key()], copy.clone(), dir).await;
        log.append("a").await.unwrap();
        log.append("b").await.unwrap();
        let head = log.publisher.head().await.unwrap();
        for (size, root) in [(2, Digest([9; 32])), (5, Digest([9; 32]))] {
            promised(size, root).await;
            let mut log =
                Published::with(store.clone(), vec![key()], copy.clone(), tempfile::tempdir().unwrap()).await;
            let refused = log.append("c").await;
            assert!(matches!(refused, Err(StoreError::RolledBack(_))), "{refused:?}");
            let refused = log.publish().await;
            assert!(matches!(refused, Err(PublishError::RolledBack(_))), "{refused:?}");
            assert_eq!(log.publisher.head().await.unwrap().size, head.size);
        }
        // The right database is back.
        promised(2, head.root).await;
        let mut log =
            Published::with(store.clone(), vec![key()], copy.clone(), tempfile::tempdir().unwrap()).await;
        log.append("c").await.unwrap();
        log.publish().await.unwrap();
        assert_eq!(log.kept().last(), Some(&3));
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_stops_everything_until_it_can() {
    on_both(async |store| {
        let mut log = Published::new(store, vec![key()]).await;
        log.append("a").await.unwrap();
        log.publish().await.unwrap();
        let aside = log.copy.with_extension("aside");
        std::fs::rename(&log.copy, &aside).unwrap();
        std::fs::create_dir(&log.copy).unwrap();
        assert!(matches!(log.publisher.read_copies().await, Err(PublishError::Copy(_))));
        let refused = log.append("b").await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(log.publish().await.is_err());
        std::fs::remove_dir(&log.copy).unwrap();
        std::fs::rename(&aside, &log.copy).unwrap();
        log.publish().await.unwrap();
        log.append("b").await.unwrap();
        log.publish().await.unwrap();
        assert_eq!(log.kept(), [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_another_log_of_the_same_name_stops_everything() {
    on_both(async |store| {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("checkpoints");
        let keep = |origin: &str| {
            let checkpoint = Checkpoint { origin: origin.to_owned(), size: 3, root: Digest([9; 32]) };
            let checkpoint = SignedCheckpoint::sign(checkpoint, &[]).unwrap();
            copies::keep_in(&copy, Some("default"), &checkpoint, at(0)).unwrap();
        };
        keep("audit.example/lost");
        let kept = std::fs::read(&copy).unwrap();
        let mut log = Published::unread(store, vec![key()], copy.clone(), dir).await;
        let said = log.publisher.read_copies().await.unwrap_err().to_string();
        for part in ["checkpoints", "audit.example/lost", ORIGIN, "name another file"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let refused = log.append("a").await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let refused = log.publish().await;
        assert!(matches!(refused, Err(PublishError::Copy(error)) if error.is_of_another_log()));
        assert_eq!(log.publisher.head().await.unwrap().size, 0);
        assert_eq!(std::fs::read(&copy).unwrap(), kept);

        // Without it, the log goes on.
        std::fs::remove_file(&copy).unwrap();
        log.publish().await.unwrap();
        log.append("a").await.unwrap();
        log.publish().await.unwrap();
        assert_eq!(log.kept(), [1]);

        // Both were begun at once: the other was not there when the copies were read.
        std::fs::remove_file(&copy).unwrap();
        keep("audit.example/other");
        log.append("b").await.unwrap();
        let refused = log.publish().await;
        assert!(matches!(refused, Err(PublishError::Copy(error)) if error.is_of_another_log()));
        let refused = log.append("c").await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    })
    .await;
}
