//! Where what is imported goes: a database, through the same door as a producer's records, or a server.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, value::RawValue};

use crate::{
    client::{Client, ClientError, Problem, Recorded, Refused},
    clock::{SharedClock, SystemClock},
    command::{
        extending::ExtendingArgs,
        reader::{Reader, ReaderArgs},
        run::{PRODUCERS_LOG, producers_log},
    },
    import::Readied,
    ingest::{Answer, Extends, Ingest, Receipt, ReceiptResult, Refusal, StoreError},
    metrics::Metrics,
};

/// Where records go.
pub(super) enum Destination {
    /// Into this log.
    Database(Ingest),
    /// To this server.
    Server(Client, Option<String>),
    /// They are only looked at.
    Nowhere,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    New,
    Amended,
    There,
    Refused(String),
}

impl Destination {
    /// Into this log of producers, or into the first of the server, or into that of a database.
    pub(super) async fn open(
        to: &ReaderArgs,
        log: Option<&str>,
        extending: &ExtendingArgs,
    ) -> anyhow::Result<Self> {
        if to.is_server() {
            return match to.open().await? {
                Reader::Server(client) => Ok(Self::Server(client, log.map(str::to_owned))),
                Reader::Database(_) => Err(anyhow!("--server names no server")),
            };
        }
        let store = to.database.open_there().await.context("nothing was imported")?;
        let clock: SharedClock = Arc::new(SystemClock);
        let heads = extending.heads(store.as_ref()).await?;
        let opening = producers_log(log.unwrap_or(PRODUCERS_LOG), None, clock.now());
        let ingest = Ingest::open(store, clock, opening, Arc::new(Metrics::new())).await?;
        if let Some(head) = heads.get(&ingest.log().name) {
            ingest.set_extends(Extends::Head(*head));
        }
        Ok(Self::Database(ingest))
    }

    /// Records a batch; with `amend`, what is a later revision of what is there becomes one. Answers in order.
    pub(super) async fn send(&self, records: &[Readied], amend: bool) -> anyhow::Result<Vec<Fate>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Self::Nowhere => Ok(vec![Fate::New; records.len()]),
            Self::Database(ingest) => {
                let recording = records.iter().map(|record| appended(ingest, record, amend));
                Ok(stream::iter(recording).buffered(records.len()).try_collect().await?)
            }
            Self::Server(client, log) => posted((client, log.as_deref()), records, amend).await,
        }
    }
}

/// Whether a refused record may become a revision of the latest that is there: one that comes after it.
fn amends(amend: bool, record: &Readied, latest: u32) -> bool {
    amend && record.revision > latest
}

fn conflict(record: &Readied, latest: u32) -> String {
    let hint = match record.revision > latest {
        true => format!("; this is revision {}, which --amend adds", record.revision),
        false => String::new(),
    };
    format!("it is recorded with other content, of which revision {latest} is the latest{hint}")
}

async fn appended(ingest: &Ingest, record: &Readied, amend: bool) -> Result<Fate, StoreError> {
    let submit = |amends| ingest.submit(ingest.from_producer(record.record.clone(), amends));
    let answer = match submit(None).await {
        Ok(Answer::Refused(Refusal::Conflict { latest_revision }))
            if amends(amend, record, latest_revision) =>
        {
            submit(Some(latest_revision)).await
        }
        answer => answer,
    };
    match answer {
        Ok(Answer::Stored(receipt)) => Ok(stored(&receipt)),
        Ok(Answer::Refused(Refusal::Conflict { latest_revision })) => {
            Ok(Fate::Refused(conflict(record, latest_revision)))
        }
        Ok(Answer::Refused(refusal)) => Ok(Fate::Refused(refusal.to_string())),
        Ok(Answer::Accounted) => Err(StoreError::Corrupt("an execution was answered like a gap".to_owned())),
        Err(StoreError::Rejected(reason)) => Ok(Fate::Refused(format!("the database refuses it: {reason}"))),
        Err(error) => Err(error),
    }
}

fn stored(receipt: &Receipt) -> Fate {
    match receipt.result {
        ReceiptResult::Created => Fate::New,
        ReceiptResult::Amended => Fate::Amended,
        ReceiptResult::Duplicate => Fate::There,
    }
}

async fn posted(
    (client, log): (&Client, Option<&str>),
    records: &[Readied],
    amend: bool,
) -> anyhow::Result<Vec<Fate>> {
    let json =
        |record: &'_ Readied| RawValue::from_string(record.json.clone()).expect("it was written as JSON");
    let bodies: Vec<_> = records.iter().map(json).collect();
    let Recorded { receipts, refused } = client.record(log, &bodies).await?;
    if receipts.len() + refused.len() != records.len() {
        bail!("the server {} does not say what became of every record", client.server());
    }
    let mut refused: BTreeMap<usize, Problem> =
        refused.into_iter().map(|Refused { position, problem }| (position, problem)).collect();
    let mut receipts = receipts.into_iter();
    let mut fates = Vec::with_capacity(records.len());
    for (place, (record, body)) in records.iter().zip(&bodies).enumerate() {
        let Some(problem) = refused.remove(&place) else {
            fates.extend(receipts.next().as_ref().map(stored));
            continue;
        };
        let latest = problem.members.get("latest_revision").and_then(Value::as_u64);
        fates.push(match latest.and_then(|latest| u32::try_from(latest).ok()) {
            Some(latest) if amends(amend, record, latest) => match client.amend(log, body, latest).await {
                Ok(receipt) => stored(&receipt),
                Err(ClientError::Problem(problem)) if problem.status < 500 => Fate::Refused(problem.detail),
                Err(error) => return Err(error.into()),
            },
            Some(latest) => Fate::Refused(conflict(record, latest)),
            None => Fate::Refused(problem.detail),
        });
    }
    Ok(fates)
}
