//! A store as somebody sees it who may not read all of it.
//!
//! # Guarantees
//! - What may not be read is not there: nothing that is answered differs from what a store would answer that has only the rest.
//! - What is no part of reading is refused.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use dualaudit_record::{Time, WorkflowExecutionAudit, entry::Verdict, log::TileId};

use super::{
    Answer, Batch, Cursor, Disagreements, Filter, Folding, FoundCells, Head, InFlight, InFlightFilter, Known,
    Listed, Log, LogOpening, LogReader, Lookup, Page, Reach, ReadBack, Receipt, RowKey, Running, SharedStore,
    Statistics, Store, StoreError, StoredEntry, Strays, Table, Tracked, Underway, UnreadableEntry,
    UnreadableLog, Wanted, WantedCells, WantedDisagreements, WeighedUpTo, Weighing, Which, Within,
};

mod cells;

/// Namespaces and logs that are read one after the other, each by its index; what is of more is looked for among all.
const LANES: usize = 8;

/// Says whether something may be read.
#[async_trait]
pub trait Permits: Send + Sync + 'static {
    /// Whether a record may be read that is in this log.
    ///
    /// # Errors
    /// [`StoreError::Unchecked`] when that cannot be told at present.
    async fn sees(&self, log: &str, record: &WorkflowExecutionAudit) -> Result<bool, StoreError>;

    /// Whether it may be read that an execution was purged.
    ///
    /// # Errors
    /// [`StoreError::Unchecked`] when that cannot be told at present.
    async fn sees_purged(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        self.sees_whole(&receipt.log).await
    }

    /// Whether all of a log may be read.
    ///
    /// # Errors
    /// [`StoreError::Unchecked`] when that cannot be told at present.
    async fn sees_whole(&self, log: &str) -> Result<bool, StoreError>;

    /// Hears that an execution was asked for that is in no log, or in none that may be read: the two need not look different.
    ///
    /// # Errors
    /// [`StoreError::Unchecked`] when that could not be told either.
    async fn not_seen(&self, _id: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Permits for Reach {
    async fn sees(&self, log: &str, record: &WorkflowExecutionAudit) -> Result<bool, StoreError> {
        Ok(Self::sees(self, log, record))
    }

    async fn sees_whole(&self, log: &str) -> Result<bool, StoreError> {
        Ok(self.is_whole(log))
    }
}

/// What somebody may read of a store.
pub struct Scoped {
    inner: SharedStore,
    /// Says of single executions whether they may be read.
    permits: Arc<dyn Permits>,
    /// What may be read of lists and sums.
    reach: Arc<Reach>,
}

impl Scoped {
    /// As far as `reach` goes.
    pub fn within(inner: SharedStore, reach: Arc<Reach>) -> Self {
        Self { inner, permits: Arc::clone(&reach) as Arc<dyn Permits>, reach }
    }

    /// Single executions, of each of which it is asked; no lists and no sums.
    pub fn asking(inner: SharedStore, permits: Arc<dyn Permits>) -> Self {
        Self { inner, permits, reach: Arc::default() }
    }

    fn whole(&self, log: &str) -> Result<&dyn Store, StoreError> {
        if self.reach.is_whole(log) { Ok(self.inner.as_ref()) } else { Err(refused()) }
    }

    fn filter(&self, filter: &Filter) -> Filter {
        Filter { within: Some(Arc::clone(&self.reach)), ..filter.clone() }
    }

    /// Filters that have together what `filter` has, each of rows that an index has in order; `None` where these would be many.
    fn lanes(&self, filter: &Filter) -> Option<Vec<Filter>> {
        let mut lanes = Vec::new();
        for (log, within) in self.reach.logs() {
            if filter.log.as_deref().is_some_and(|asked| asked != log) {
                continue;
            }
            let of_log = Filter { log: Some(log.to_owned()), within: None, ..filter.clone() };
            match within {
                Within::Whole => lanes.push(of_log),
                Within::Namespaces(namespaces) => {
                    let asked = |name: &str| filter.namespace.as_deref().is_none_or(|asked| asked == name);
                    lanes.extend(namespaces.iter().filter(|(name, _)| asked(name)).map(|(name, since)| {
                        let since = filter.since.map_or(*since, |asked| asked.max(*since));
                        Filter { namespace: Some(name.clone()), since: Some(since), ..of_log.clone() }
                    }));
                }
            }
            if lanes.len() > LANES {
                return None;
            }
        }
        Some(lanes)
    }

    /// What may be read of an answer to a lookup, if anything.
    async fn seen(&self, lookup: Lookup) -> Result<Option<Lookup>, StoreError> {
        let is_seen = match &lookup {
            Lookup::Found(detail) => match detail.revisions.first() {
                Some((latest, _)) => self.permits.sees(&detail.log, &latest.record).await?,
                None => false,
            },
            Lookup::Purged(purged) => self.permits.sees_purged(&purged.receipt).await?,
            Lookup::NoAttempt { .. } => true,
            Lookup::NotInLog { .. } | Lookup::Ambiguous { .. } => false,
        };
        Ok(is_seen.then_some(lookup))
    }

    /// The logs that have an execution which may be read.
    async fn logs_of(&self, id: &str) -> Result<Vec<String>, StoreError> {
        let of = |log: Option<String>| Wanted { id: id.to_owned(), log, attempt: None };
        let logs = match self.inner.get(&of(None)).await? {
            Lookup::Found(detail) => vec![detail.log],
            Lookup::Purged(purged) => vec![purged.receipt.log],
            Lookup::Ambiguous { logs } => logs,
            Lookup::NotInLog { .. } | Lookup::NoAttempt { .. } => Vec::new(),
        };
        let mut seen = Vec::new();
        for log in logs {
            if self.seen(self.inner.get(&of(Some(log.clone()))).await?).await?.is_some() {
                seen.push(log);
            }
        }
        if seen.is_empty() {
            self.permits.not_seen(id).await?;
        }
        Ok(seen)
    }
}

fn refused() -> StoreError {
    StoreError::Foreign("this may not be read, or not by this call".to_owned())
}

fn place(listed: &Listed) -> (std::cmp::Reverse<Time>, &str, &str, u32) {
    let record = &listed.execution.record;
    (std::cmp::Reverse(record.created_at), &listed.log, &record.id, record.attempt)
}

#[async_trait]
impl Store for Scoped {
    async fn open_log(&self, _: LogOpening) -> Result<Log, StoreError> {
        Err(refused())
    }

    async fn append(&self, _: &str, _: Arc<Batch>, _: Time) -> Result<Vec<Answer>, StoreError> {
        Err(refused())
    }

    async fn known(&self, log: &str, ids: &[String]) -> Result<Vec<Known>, StoreError> {
        self.whole(log)?.known(log, ids).await
    }

    async fn tracked(&self, log: &str, after: Option<&str>, limit: u32) -> Result<Vec<Tracked>, StoreError> {
        self.whole(log)?.tracked(log, after, limit).await
    }

    async fn read_back(&self, log: &str, id: &str, attempt: u32) -> Result<Option<ReadBack>, StoreError> {
        self.whole(log)?.read_back(log, id, attempt).await
    }

    async fn list(&self, filter: &Filter, after: Option<&Cursor>, limit: u32) -> Result<Page, StoreError> {
        let Some(lanes) = self.lanes(filter) else {
            return self.inner.list(&self.filter(filter), after, limit).await;
        };
        let mut pages = Vec::with_capacity(lanes.len());
        for lane in &lanes {
            pages.push(self.inner.list(lane, after, limit).await?);
        }
        Ok(joined(pages, limit))
    }

    async fn count(&self, filter: &Filter, most: u32) -> Result<u64, StoreError> {
        let Some(lanes) = self.lanes(filter) else {
            return self.inner.count(&self.filter(filter), most).await;
        };
        let mut count = 0;
        for lane in &lanes {
            count += self.inner.count(lane, most).await?;
        }
        Ok(count.min(most.into()))
    }

    /// Of executions that were listed before.
    async fn verdicts(
        &self,
        log: &str,
        of: &[(String, u32)],
    ) -> Result<HashMap<(String, u32), Verdict>, StoreError> {
        self.reach.of_log(log).ok_or_else(refused)?;
        self.inner.verdicts(log, of).await
    }

    async fn get(&self, wanted: &Wanted) -> Result<Lookup, StoreError> {
        let lookup = self.inner.get(wanted).await?;
        if let Lookup::Found(_) = &lookup
            && let Some(found) = self.seen(lookup).await?
        {
            return Ok(found);
        }
        let mut logs = self.logs_of(&wanted.id).await?;
        let log = match &wanted.log {
            Some(log) if logs.contains(log) => log.clone(),
            Some(_) => return Ok(Lookup::NotInLog { elsewhere: logs }),
            None if logs.len() > 1 => return Ok(Lookup::Ambiguous { logs }),
            None => match logs.pop() {
                Some(log) => log,
                None => return Ok(Lookup::NotInLog { elsewhere: Vec::new() }),
            },
        };
        let wanted = Wanted { log: Some(log), ..wanted.clone() };
        let lookup = self.seen(self.inner.get(&wanted).await?).await?;
        Ok(lookup.unwrap_or(Lookup::NotInLog { elsewhere: Vec::new() }))
    }

    async fn weigh(
        &self,
        log: &str,
        completed_before: Time,
        after: Option<&WeighedUpTo>,
        limit: u32,
    ) -> Result<Weighing, StoreError> {
        self.whole(log)?.weigh(log, completed_before, after, limit).await
    }
}

/// The beginning of all these pages together. Each was asked for as many rows as the whole may have.
fn joined(pages: Vec<Page>, limit: u32) -> Page {
    // Rows after the last of a page that goes on are not all there.
    let ends = pages.iter().filter(|page| page.more).filter_map(|page| page.rows.last());
    let end =
        ends.map(place).min().map(|(at, log, id, attempt)| (at, log.to_owned(), id.to_owned(), attempt));
    let mut more = end.is_some();
    let mut rows: Vec<Listed> = pages.into_iter().flat_map(|page| page.rows).collect();
    rows.sort_by(|one, other| place(one).cmp(&place(other)));
    if let Some((at, log, id, attempt)) = &end {
        rows.retain(|row| place(row) <= (*at, log, id, *attempt));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    more |= rows.len() > limit;
    rows.truncate(limit);
    Page { rows, more }
}

#[async_trait]
impl LogReader for Scoped {
    async fn logs(&self) -> Result<Vec<Head>, StoreError> {
        let mut heads = Vec::new();
        for head in self.inner.logs().await? {
            if self.reach.of_log(&head.log).is_some() || self.permits.sees_whole(&head.log).await? {
                heads.push(head);
            }
        }
        Ok(heads)
    }

    async fn read_logs(&self) -> Result<Vec<Result<Head, UnreadableLog>>, StoreError> {
        let mut heads = self.inner.read_logs().await?;
        let log = |head: &Result<Head, UnreadableLog>| match head {
            Ok(head) => head.log.clone(),
            Err(unreadable) => unreadable.log.clone(),
        };
        heads.retain(|head| self.reach.of_log(&log(head)).is_some());
        Ok(heads)
    }

    async fn entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.whole(log)?.entries(log, which, from, limit).await
    }

    async fn read_entries(
        &self,
        log: &str,
        which: Which<'_>,
        from: u64,
        limit: u32,
    ) -> Result<Vec<Result<StoredEntry, UnreadableEntry>>, StoreError> {
        self.whole(log)?.read_entries(log, which, from, limit).await
    }

    async fn object(&self, log: &str, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.whole(log)?.object(log, index).await
    }

    async fn strays(
        &self,
        _: Table,
        _: Option<&str>,
        _: Option<&RowKey>,
        _: u32,
    ) -> Result<Strays, StoreError> {
        Err(refused())
    }

    async fn tiles(&self, log: &str, wanted: &[TileId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.whole(log)?.tiles(log, wanted).await
    }

    async fn alterations(&self) -> Result<Vec<String>, StoreError> {
        Err(refused())
    }
}

#[async_trait]
impl Statistics for Scoped {
    async fn fold(&self, _: &str) -> Result<Folding, StoreError> {
        Err(refused())
    }

    async fn cells(&self, log: &str, wanted: &[WantedCells]) -> Result<FoundCells, StoreError> {
        match self.reach.of_log(log).ok_or_else(refused)? {
            Within::Whole => self.inner.cells(log, wanted).await,
            Within::Namespaces(namespaces) => {
                let heads = self.inner.logs().await?;
                let head = heads.iter().find(|head| head.log == log).and_then(|head| head.recorded_at);
                cells::of_namespaces(self.inner.as_ref(), log, head, namespaces, wanted).await
            }
        }
    }

    async fn in_flight(
        &self,
        log: &str,
        filter: &InFlightFilter,
        limit: u32,
    ) -> Result<InFlight, StoreError> {
        let namespaces = match self.reach.of_log(log).ok_or_else(refused)? {
            Within::Whole => return self.inner.in_flight(log, filter, limit).await,
            Within::Namespaces(namespaces) => namespaces,
        };
        let mut found = InFlight::default();
        for namespace in in_question(namespaces, filter.namespace.as_deref()) {
            let filter = InFlightFilter { namespace: Some(namespace.clone()), ..filter.clone() };
            let InFlight { executions, more } = self.inner.in_flight(log, &filter, limit).await?;
            found.executions.extend(executions);
            found.more |= more;
        }
        // In the order that one question has them in.
        found.executions.sort_by_cached_key(|Underway { namespace, running }| {
            let Running { workflow, version, incident_type, target_kind, since } = running.clone();
            (workflow, version, namespace.clone(), incident_type, target_kind, since)
        });
        let InFlight { executions, more } = InFlight::of(found.executions, limit);
        Ok(InFlight { executions, more: more || found.more })
    }

    async fn disagreements(&self, wanted: &WantedDisagreements) -> Result<Disagreements, StoreError> {
        let within = self.reach.of_log(&wanted.log).ok_or_else(refused)?;
        let mut found = self.inner.disagreements(wanted).await?;
        if *within == Within::Whole {
            return Ok(found);
        }
        let mut seen = Vec::with_capacity(found.found.len());
        for it in found.found {
            let review = &it.review.review;
            let of = Wanted {
                id: review.execution_id.clone(),
                log: Some(wanted.log.clone()),
                attempt: Some(review.attempt),
            };
            if matches!(self.get(&of).await?, Lookup::Found(_)) {
                seen.push(it);
            }
        }
        found.found = seen;
        Ok(found)
    }

    #[cfg(test)]
    async fn asked_in_sql(&self, _: &str) -> Vec<Vec<Option<String>>> {
        unreachable!("nobody asks so for others")
    }
}

/// Those of the namespaces that are asked about.
fn in_question<'n>(
    namespaces: &'n BTreeMap<String, Time>,
    asked: Option<&str>,
) -> impl Iterator<Item = &'n String> {
    namespaces.keys().filter(move |name| asked.is_none_or(|asked| asked == *name))
}

#[cfg(test)]
mod tests;
