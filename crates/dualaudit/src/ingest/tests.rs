//! What the door does with a batch that the database does not take at once.

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

#[tokio::test]
async fn a_batch_that_takes_the_database_too_long_gets_through_in_parts() {
    let fresh = fresh();
    fresh.database.execute(SLOW).unwrap();
    let opening = LogOpening {
        log: LOG.to_owned(),
        owner: Owner::Producers,
        origin: "dualaudit.dev/test".to_owned(),
        secret: [1; 32],
        now: at(0),
    };
    let (store, metrics) = (Arc::new(fresh.store.clone()), Arc::new(Metrics::new()));
    let ingest = Ingest::open(store, Arc::new(SystemClock), opening, Arc::clone(&metrics)).await.unwrap();
    for round in 0..2 {
        let draft = |n| ingest.from_producer(record(&format!("{round}-{n}")), None);
        let answers = join_all((0..BATCH_DRAFTS).map(|n| ingest.submit(draft(n)))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_new()));
    }
    assert!(metrics.append_failures.get() > 0, "some were too many");
    assert_eq!(check_log(&fresh.store, LOG).await.len(), 2 * BATCH_DRAFTS);
}
