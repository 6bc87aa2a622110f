//! The digest of each day, appended once the day is over.

use std::time::Duration;

use dualaudit_record::{
    Entry, EntryKind,
    day::{Counts, Day},
    entry::{DailyDigest, Heartbeat},
};

use super::{fold::Leaves, missing::in_flight};
use crate::{
    clock::SharedClock,
    ingest::{Answer, DraftContent, Ingest},
    store::{Head, LogState, SharedStore, StoreError, Which},
};

/// How often it is looked whether a day is over.
const EVERY: Duration = Duration::from_secs(5);
/// Digests read at a time.
const PAGE: u32 = 100;

/// Makes the digests of one log.
pub struct Digester {
    /// Where entries are read.
    pub store: SharedStore,
    /// The door into the log.
    pub ingest: Ingest,
    /// Tells the time.
    pub clock: SharedClock,
}

/// Where the next digest begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    day: Day,
    /// The first entry that no digest covers.
    first: u64,
    /// All digests before this entry are known.
    seen: u64,
}

/// What a look at the log came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Every day that is over has its digest, or the log takes none.
    Done,
    /// There is more to do at once.
    More,
}

impl Digester {
    /// Makes digests until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let keep_on = async {
            let mut next = None;
            let mut failed = None;
            loop {
                match self.step(&mut next).await {
                    Ok(Step::More) => continue,
                    Ok(Step::Done) => failed = None,
                    Err(error) => {
                        let text = error.to_string();
                        // Once, not each time.
                        if failed.as_ref() != Some(&text) {
                            tracing::warn!(log = self.ingest.log().name, %error, "no daily digest is made for now");
                            failed = Some(text);
                        }
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::select! {
            () = &mut stop => {}
            () = keep_on => {}
        }
    }

    /// Makes the next digest, if its day is over.
    pub(super) async fn step(&self, next: &mut Option<Next>) -> Result<Step, StoreError> {
        let today = Day::of(self.clock.now());
        if next.is_some_and(|next| next.day >= today) {
            return Ok(Step::Done);
        }
        let Some(head) = self.head().await? else { return Ok(Step::Done) };
        let Some(at) = self.next(*next).await? else { return Ok(Step::Done) };
        *next = Some(at);
        if at.day >= today {
            return Ok(Step::Done);
        }
        let Some(mut digest) = self.digest(at, &head).await? else {
            // Nothing that was recorded yet says that the day is over.
            let heartbeat = Entry::Heartbeat(Heartbeat { size: head.size });
            self.ingest.submit(DraftContent::Note(Box::new(heartbeat))).await?;
            return Ok(Step::More);
        };
        if digest.until.next() == Some(today) {
            let mut count = 0;
            in_flight(self.store.as_ref(), &head.log, |_| count += 1).await?;
            digest.in_flight = Some(count);
        }
        let (Some(day), first) = (digest.until.next(), digest.end) else { return Ok(Step::Done) };
        let entry = Entry::Digest(Box::new(digest));
        if let Answer::Stored(receipt) = self.ingest.submit(DraftContent::Note(Box::new(entry))).await? {
            *next = Some(Next { day, first, seen: receipt.index + 1 });
        }
        Ok(Step::More)
    }

    /// The log's head, if it has any entries and takes more.
    async fn head(&self) -> Result<Option<Head>, StoreError> {
        let log = &self.ingest.log().name;
        let head = self.store.logs().await?.into_iter().find(|head| head.log == *log);
        Ok(head.filter(|head| head.size > 0 && head.state == LogState::Open))
    }

    /// Where the next digest begins, given where it did when that was last known: others make digests, too.
    async fn next(&self, known: Option<Next>) -> Result<Option<Next>, StoreError> {
        let log = &self.ingest.log().name;
        let mut next = known;
        let mut from = known.map_or(0, |next| next.seen);
        loop {
            let page = self.store.entries(log, Which::Kind(EntryKind::Digest), from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.index + 1;
            let Some(Entry::Digest(digest)) = last.body.entry() else {
                return Err(StoreError::Corrupt(format!(
                    "log {log}, entry {}: the digest cannot be read: run `dualaudit verify`",
                    last.index
                )));
            };
            next = digest.until.next().map(|day| Next { day, first: digest.end, seen: from });
        }
        if next.is_some() {
            return Ok(next);
        }
        let mut leaves = Leaves::of(self.store.as_ref(), log);
        let first = leaves.get(0).await?;
        Ok(first.map(|leaf| Next { day: Day::of(leaf.recorded_at), first: 0, seen: 0 }))
    }

    /// The digest that begins there; none while no entry is of a later day.
    async fn digest(&self, at: Next, head: &Head) -> Result<Option<DailyDigest>, StoreError> {
        let Next { day: since, first, .. } = at;
        let mut leaves = Leaves::of(self.store.as_ref(), &head.log);
        let Some(leaf) = leaves.get(first).await? else { return Ok(None) };
        let began = Day::of(leaf.recorded_at);
        let digest = |until, end, counts| DailyDigest { since, until, first, end, counts, in_flight: None };
        if began > since {
            let until = began.previous().unwrap_or(since);
            return Ok(Some(digest(until, first, Counts::default())));
        }
        let run = leaves.run(since, first, head.size).await?;
        Ok(run.is_over.then(|| digest(since, run.end, run.counts)))
    }
}
