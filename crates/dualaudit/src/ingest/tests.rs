//! What the door does with a batch that the database does not take at once.

use dualaudit_record::checkpoint::Checkpoint;
use futures::future::join_all;

use super::*;
use crate::{
    clock::SystemClock,
    store::{
        Owner,
        conformance::{
            check::check_log,
            sample::{LOG, at, record},
        },
        postgres::tests::fresh,
    },
};

/// A database that stops each statement with so many rows as it does one that takes too long.
const SLOW: &str = "
    CREATE FUNCTION takes_too_long() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT count(*) FROM appended) >= 100 THEN
            RAISE EXCEPTION 'too slow' USING ERRCODE = 'query_canceled';
        END IF;
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER takes_too_long AFTER INSERT ON log_entry
        REFERENCING NEW TABLE AS appended
        FOR EACH STATEMENT EXECUTE FUNCTION takes_too_long()";

fn opening() -> LogOpening {
    LogOpening {
        log: LOG.to_owned(),
        owner: Owner::Producers,
        origin: "dualaudit.dev/test".to_owned(),
        secret: [1; 32],
        now: at(0),
    }
}

#[tokio::test]
async fn a_batch_that_takes_the_database_too_long_gets_through_in_parts() {
    let fresh = fresh();
    fresh.database.execute(SLOW).unwrap();
    let (store, metrics) = (Arc::new(fresh.store.clone()), Arc::new(Metrics::new()));
    let ingest = Ingest::open(store, Arc::new(SystemClock), opening(), Arc::clone(&metrics)).await.unwrap();
    for round in 0..2 {
        let draft = |n| ingest.from_producer(record(&format!("{round}-{n}")), None);
        let answers = join_all((0..BATCH_DRAFTS).map(|n| ingest.submit(draft(n)))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_new()));
    }
    assert!(metrics.append_failures.get() > 0, "some were too many");
    assert_eq!(check_log(&fresh.store, LOG).await.len(), 2 * BATCH_DRAFTS);
}

/// A database that takes everything but checkpoints.
const NO_CHECKPOINTS: &str = "
    CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'no' USING ERRCODE = TG_ARGV[0];
    END
    $$;
    CREATE TRIGGER refuses BEFORE INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION refuses('";

#[tokio::test]
async fn a_checkpoint_that_the_database_does_not_take_stops_no_record() {
    for why in ["check_violation", "query_canceled", "data_corrupted"] {
        let fresh = fresh();
        fresh.database.execute(&format!("{NO_CHECKPOINTS}{why}')")).unwrap();
        let (store, metrics) = (Arc::new(fresh.store.clone()), Arc::new(Metrics::new()));
        let ingest =
            Ingest::open(store, Arc::new(SystemClock), opening(), Arc::clone(&metrics)).await.unwrap();
        let nothing = Checkpoint { origin: "dualaudit.dev/test".to_owned(), size: 0, root: Digest([7; 32]) };
        ingest.publish(SignedCheckpoint::sign(nothing, &[]).unwrap());
        tokio::time::sleep(2 * TRACKING_DELAY).await;
        let submitted = ingest.submit(ingest.from_producer(record(why), None));
        let answer = tokio::time::timeout(Duration::from_secs(20), submitted).await.expect("in time");
        assert!(answer.unwrap().is_new(), "{why}");
        assert!(metrics.append_failures.get() > 0, "{why}");
    }
}

#[tokio::test]
async fn what_was_not_read_is_waited_for_and_what_was_read_is_extended() {
    let fresh = fresh();
    let store = Arc::new(fresh.store.clone());
    let ingest =
        Ingest::open(store, Arc::new(SystemClock), opening(), Arc::new(Metrics::new())).await.unwrap();
    let submit = async |id: &str| ingest.submit(ingest.from_producer(record(id), None)).await;
    ingest.set_extends(Extends::Unread);
    assert!(matches!(submit("a").await, Err(StoreError::Unavailable(_))));
    ingest.set_extends(Extends::Head(proof::Head { size: 1, root: Digest([7; 32]) }));
    assert!(matches!(submit("a").await, Err(StoreError::RolledBack(_))));
    ingest.set_extends(Extends::Nothing);
    assert!(submit("a").await.unwrap().is_new());
    assert_eq!(check_log(&fresh.store, LOG).await.len(), 1);
}
