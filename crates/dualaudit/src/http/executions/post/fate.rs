//! What becomes of the records of one request.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::body::Bytes;
use dualaudit_record::submitted::Submitted;
use futures::{StreamExt, stream};

use crate::{
    http::{
        Api,
        limits::{AGAIN, Deadline},
        problem::{Kind, Problem, internal},
    },
    ingest::{Answer, BATCH_DRAFTS, Ingest, Receipt, StoreError},
};

/// How many records of one request are on their way into the log at once: what the next commit takes
/// while one runs.
pub(super) const UNDER_WAY: usize = 2 * BATCH_DRAFTS;

/// What became of one record.
pub(super) enum Fate {
    Stored(Receipt),
    Refused(Problem),
    /// Not its fault; whether it is stored is not known.
    Failed(Problem),
}

/// Hands the records to the log, many at once so that they share commits, and gives their fates in
/// the order sent. At the deadline it gives those there are: whoever was recorded gets the receipt.
pub(super) async fn record_all(
    (api, door): (&Api, &Ingest),
    records: Vec<Result<Bytes, Problem>>,
    amend: Option<u32>,
    deadline: Deadline,
) -> Vec<Fate> {
    let mut fates: Vec<Option<Fate>> = records.iter().map(|_| None).collect();
    // Once the database is gone the rest would only wait for it, one batch after the other.
    let gone = AtomicBool::new(false);
    let gone = &gone;
    let recording = records.into_iter().enumerate().map(|(position, record)| async move {
        if gone.load(Ordering::Relaxed) {
            let gone = StoreError::Unavailable("it was gone already".into());
            return (position, Fate::Failed(gone.into()));
        }
        let fate = record_one((api, door), record, amend).await;
        if matches!(fate, Fate::Failed(_)) {
            gone.store(true, Ordering::Relaxed);
        }
        (position, fate)
    });
    let recorded = stream::iter(recording).buffer_unordered(UNDER_WAY);
    let mut recorded = pin!(recorded.take_until(tokio::time::sleep_until(deadline.0)));
    while let Some((position, fate)) = recorded.next().await {
        fates[position] = Some(fate);
    }
    fates.into_iter().map(|fate| fate.unwrap_or_else(|| Fate::Failed(late()))).collect()
}

fn late() -> Problem {
    Problem::new(Kind::Timeout, format!("Not all of the records were recorded in time. {AGAIN}"))
}

async fn record_one(
    (api, door): (&Api, &Ingest),
    record: Result<Bytes, Problem>,
    amend: Option<u32>,
) -> Fate {
    let json = match record {
        Ok(json) => json,
        Err(problem) => return Fate::Refused(problem),
    };
    let valid = Submitted::from_json(&json).and_then(|submitted| submitted.validate(api.clock.now()));
    let record = match valid {
        Ok(record) => record,
        Err(invalid) => return Fate::Refused(invalid.into()),
    };
    match door.submit(door.from_producer(record, amend)).await {
        Ok(Answer::Stored(receipt)) => Fate::Stored(receipt),
        Ok(Answer::Refused(refusal)) => Fate::Refused(refusal.into()),
        Ok(Answer::Accounted) => Fate::Failed(internal(&"an execution was answered like a gap")),
        Err(error @ StoreError::Rejected(_)) => Fate::Refused(error.into()),
        Err(error) => Fate::Failed(error.into()),
    }
}
