//! What the days of a log amount to, and what is missing by name.

use dualaudit_record::{
    Entry, EntryKind, Time,
    checkpoint::SignedCheckpoint,
    day::{Counts, Day},
    entry::{DailyDigest, GapCause},
};
use serde::{Deserialize, Serialize};

use super::fold::Leaves;
use crate::store::{
    Head, Known, LogState, NoSuchLog, Originals, Store, StoreError, StoredBody, StoredEntry, Tracked,
    TrackedState, Which, meant, newest,
};

/// What is named of what is missing, and of what is in flight, in one log; the rest is counted.
const MAX_NAMED: usize = 1000;
/// Entries of days without a digest that are counted in one log: each is read for it.
const MAX_COUNTED: u64 = 1 << 20;
/// Digests read at a time.
const DIGESTS: u32 = 100;
/// Entries and tracked executions read at a time: each may hold the last state of a resource.
const STATES: u32 = 16;

/// Which days are asked for: the first and the last. All there are, unless they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The first.
    pub since: Option<Day>,
    /// The last.
    pub until: Option<Day>,
}

impl Asked {
    /// Whether the first day is after the last.
    pub fn is_backwards(self) -> bool {
        self.since.zip(self.until).is_some_and(|(since, until)| since > until)
    }
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum CompletenessError {
    /// There is no log of that name.
    #[error(transparent)]
    NoSuchLog(#[from] NoSuchLog),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the days of logs amount to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Completeness)]
pub struct Summary {
    /// Each log, in the order of their names.
    pub logs: Vec<LogSummary>,
}

impl Summary {
    /// Whether nothing is missing in any of them.
    pub fn is_complete(&self) -> bool {
        self.logs.iter().all(LogSummary::is_complete)
    }
}

/// What the days of a log amount to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogSummary {
    /// The log.
    pub log: String,
    /// The first and the last day, of those asked for, on which there was this log.
    pub days: Option<Days>,
    /// Executions that ended on these days: those recorded, and those missing.
    pub executions: u64,
    /// What the entries of these days amount to.
    pub counts: Counts,
    /// How many digests say so.
    pub digests: u64,
    /// Days that are over and have no digest. Their entries are counted here all the same.
    pub without_digest: Vec<Days>,
    /// Today, where it is among these days: it is not over, so its entries were counted here.
    pub not_over: Option<Day>,
    /// Days of which no digest says what their entries amount to, and which have too many to be counted here: they are in
    /// no number but those of what is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<Days>,
    /// What was lost with the database of the log in whose place this one went on, on one of these days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    /// How many executions of these days are missing by now.
    pub missing_total: u64,
    /// The first of them.
    pub missing: Vec<Missing>,
    /// How many are in flight: now, where today is among these days; else when the last digest was made.
    pub in_flight_total: Option<u64>,
    /// The first of those that are in flight now.
    pub in_flight: Vec<InFlight>,
}

/// Days that follow each other: the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Days {
    /// The first.
    pub since: Day,
    /// The last.
    pub until: Day,
}

/// What a log had promised and no longer has: it was rolled back. Of what that told nobody knows, but for what was
/// recorded anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lost {
    /// The log.
    pub log: String,
    /// The first entry that it lost. Of a log that was forked, the first after those it has.
    pub from: u64,
    /// How many its newest checkpoint counts from there on. None, where it was forked.
    pub entries: u64,
}

/// An execution of which there is no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = MissingExecution)]
pub struct Missing {
    /// What there is instead: a gap, or an object in quarantine.
    pub kind: EntryKind,
    /// Index of the entry that says so.
    pub index: u64,
    /// When that was appended.
    pub recorded_at: Time,
    /// The resource's uid.
    pub execution_id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Of a gap its cause; of what is in quarantine what is wrong with it.
    pub why: String,
}

/// An execution that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InFlightExecution)]
pub struct InFlight {
    /// The resource's uid.
    pub execution_id: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Its phase when it was last seen.
    pub phase: String,
    /// When it was last seen to change.
    pub last_seen_at: Time,
}

impl LogSummary {
    /// Whether nothing is missing: no execution, no digest, and no entry.
    pub fn is_complete(&self) -> bool {
        self.missing_total == 0 && self.without_digest.is_empty() && self.lost.is_none()
    }
}

/// What the days asked for amount to in a log, or in all.
///
/// # Errors
/// See [`CompletenessError`].
pub async fn summary(
    store: &dyn Store,
    log: Option<&str>,
    asked: Asked,
    now: Time,
) -> Result<Summary, CompletenessError> {
    summary_within(store, log, asked, now, MAX_COUNTED).await
}

/// The same; of days without a digest at most so many entries of a log are counted.
pub(super) async fn summary_within(
    store: &dyn Store,
    log: Option<&str>,
    asked: Asked,
    now: Time,
    most: u64,
) -> Result<Summary, CompletenessError> {
    let heads = store.logs().await?;
    let mut logs = Vec::new();
    for head in meant(heads.clone(), log)? {
        let newest = newest(&heads, &head);
        logs.push(Log { store, head: &head, newest, today: Day::of(now), most }.summary(asked).await?);
    }
    Ok(Summary { logs })
}

struct Log<'a> {
    store: &'a dyn Store,
    head: &'a Head,
    newest: &'a str,
    today: Day,
    most: u64,
}

impl Log<'_> {
    async fn summary(&self, asked: Asked) -> Result<LogSummary, StoreError> {
        let mut summary = LogSummary {
            log: self.head.log.clone(),
            days: None,
            executions: 0,
            counts: Counts::default(),
            digests: 0,
            without_digest: Vec::new(),
            not_over: None,
            not_counted: Vec::new(),
            lost: None,
            missing_total: 0,
            missing: Vec::new(),
            in_flight_total: None,
            in_flight: Vec::new(),
        };
        let mut leaves = Leaves::of(self.store, &self.head.log);
        let Some(days) = self.days(asked, &mut leaves).await? else { return Ok(summary) };
        summary.days = Some(days);
        self.count(days, &mut leaves, &mut summary).await?;
        let (first, end) = self.entries_of(days, &mut leaves).await?;
        for kind in [EntryKind::Gap, EntryKind::Quarantine] {
            self.name_missing(kind, first, end, days, &mut summary).await?;
        }
        if first == 0 {
            summary.lost = self.lost().await?;
        }
        summary.executions = summary.counts.recorded + summary.missing_total;
        if summary.not_over.is_some() {
            let (mut total, mut named) = (0, Vec::new());
            in_flight(self.store, &self.head.log, |row| {
                total += 1;
                if named.len() < MAX_NAMED {
                    named.push(InFlight {
                        execution_id: row.id,
                        namespace: row.namespace,
                        name: row.name,
                        phase: row.phase,
                        last_seen_at: row.last_seen_at,
                    });
                }
            })
            .await?;
            (summary.in_flight_total, summary.in_flight) = (Some(total), named);
        }
        Ok(summary)
    }

    /// What the first entry says was lost, where this log goes on in the place of another.
    async fn lost(&self) -> Result<Option<Lost>, StoreError> {
        let first = self.store.entries(&self.head.log, Which::Kind(EntryKind::Succession), 0, 1).await?;
        let Some(Entry::Succession(said)) = first.first().and_then(|first| first.body.entry()) else {
            return Ok(None);
        };
        let promised = said.checkpoint.parse::<SignedCheckpoint>().map_or(0, |kept| kept.head().size);
        let (log, from) = (said.predecessor.clone(), said.size);
        Ok(Some(Lost { log, from, entries: promised.saturating_sub(from) }))
    }

    /// The days, of those asked for, on which there was this log.
    async fn days(&self, asked: Asked, leaves: &mut Leaves<'_>) -> Result<Option<Days>, StoreError> {
        let Some(first) = leaves.get(0).await?.map(|leaf| Day::of(leaf.recorded_at)) else { return Ok(None) };
        let last = match (&self.head.state, self.head.recorded_at) {
            (LogState::Open, _) | (_, None) => self.today.max(first),
            (_, Some(at)) => Day::of(at),
        };
        let since = asked.since.map_or(first, |since| since.max(first));
        let until = asked.until.map_or(last, |until| until.min(last));
        Ok((since <= until).then_some(Days { since, until }))
    }

    /// Adds up the digests of these days, and counts the entries of those that have none.
    async fn count(
        &self,
        days: Days,
        leaves: &mut Leaves<'_>,
        summary: &mut LogSummary,
    ) -> Result<(), StoreError> {
        let log = &self.head.log;
        // The first day that no digest covers so far. A digest comes after the entries that it counts.
        let mut next = Some(days.since);
        let mut from = leaves.first_at(days.since.start(), self.head.size).await?;
        'digests: loop {
            let page = self.store.entries(log, Which::Kind(EntryKind::Digest), from, DIGESTS).await?;
            let Some(last) = page.last() else { break };
            from = last.index + 1;
            for entry in &page {
                let Some(Entry::Digest(digest)) = entry.body.entry() else { continue };
                let DailyDigest { since, until, counts, in_flight, .. } = digest.as_ref();
                match next {
                    Some(day) if *since <= days.until => {
                        if *until < day {
                            continue;
                        }
                        if let Some(before) = since.previous().filter(|before| *before >= day) {
                            self.count_uncovered(Days { since: day, until: before }, leaves, summary).await?;
                        }
                        summary.digests += 1;
                        summary.counts.add(counts);
                        summary.in_flight_total = *in_flight;
                        next = until.next();
                    }
                    _ => break 'digests,
                }
            }
        }
        match next.filter(|day| *day <= days.until) {
            Some(since) => self.count_uncovered(Days { since, until: days.until }, leaves, summary).await,
            None => Ok(()),
        }
    }

    async fn count_uncovered(
        &self,
        Days { since, until }: Days,
        leaves: &mut Leaves<'_>,
        summary: &mut LogSummary,
    ) -> Result<(), StoreError> {
        let days = Days { since, until };
        let (first, end) = self.entries_of(days, leaves).await?;
        if leaves.counted + (end - first) <= self.most {
            summary.counts.add(&leaves.run(until, first, self.head.size).await?.counts);
        } else {
            summary.not_counted.push(days);
        }
        summary.in_flight_total = None;
        let is_open = self.head.state == LogState::Open;
        let over = if is_open && until >= self.today {
            summary.not_over = Some(self.today);
            self.today.previous().filter(|over| *over >= since)
        } else {
            // A log that takes nothing any more gets no digest of what it took last.
            let is_last = self.head.recorded_at.is_some_and(|at| until >= Day::of(at));
            (is_open || !is_last).then_some(until)
        };
        summary.without_digest.extend(over.map(|until| Days { since, until }));
        Ok(())
    }

    /// The first entry of these days, and the first after them.
    async fn entries_of(&self, days: Days, leaves: &mut Leaves<'_>) -> Result<(u64, u64), StoreError> {
        let size = self.head.size;
        let first = leaves.first_at(days.since.start(), size).await?;
        let end = match days.until.next() {
            Some(next) => leaves.first_at(next.start(), size).await?,
            None => size,
        };
        Ok((first, end.max(first)))
    }

    /// Names what the entries of a kind, from `first` up to `end`, say to be missing, and what is by now.
    async fn name_missing(
        &self,
        kind: EntryKind,
        first: u64,
        end: u64,
        days: Days,
        summary: &mut LogSummary,
    ) -> Result<(), StoreError> {
        let (mut from, mut found, mut originals) = (first, 0, Originals::default());
        while from < end {
            let page = self.store.entries(&self.head.log, Which::Kind(kind), from, STATES).await?;
            let Some(last) = page.last() else { break };
            from = last.index + 1;
            let id = |entry: &StoredEntry| entry.execution_id.clone().unwrap_or_default();
            let known = self.store.known(self.newest, &page.iter().map(id).collect::<Vec<_>>()).await?;
            for (entry, known) in page.iter().zip(known).take_while(|(entry, _)| entry.index < end) {
                found += 1;
                if let Err(why) = originals.check(self.store, &self.head.log, entry).await? {
                    let what = format_args!("entry {} is not what was appended: {why}", entry.index);
                    return Err(self.contradicted(&what));
                }
                if known.recorded_since(&self.head.log, entry).is_some()
                    || is_replaced(entry, &known, days)
                    || is_settled(entry)
                {
                    continue;
                }
                summary.missing_total += 1;
                if summary.missing.len() < MAX_NAMED {
                    summary.missing.push(missing(entry));
                }
            }
        }
        let counted = match kind {
            EntryKind::Gap => summary.counts.gaps,
            _ => summary.counts.quarantined,
        };
        match found == counted || !summary.not_counted.is_empty() {
            true => Ok(()),
            false => Err(self.contradicted(&format_args!(
                "{counted} entries of kind {kind} are counted on these days, and {found} are there"
            ))),
        }
    }

    /// Nothing can be said of a log that does not agree with its digests.
    fn contradicted(&self, what: &dyn std::fmt::Display) -> StoreError {
        StoreError::Corrupt(format!("log {}: {what}; run `dualaudit verify`", self.head.log))
    }
}

/// Whether an object in quarantine was erased: nobody can record it any more, and by whose word it went is an entry.
fn is_settled(entry: &StoredEntry) -> bool {
    entry.kind == EntryKind::Quarantine && matches!(entry.body, StoredBody::Erased { .. })
}

/// Whether an object in quarantine is a state before another of the same execution, which is named in its place.
fn is_replaced(entry: &StoredEntry, known: &Known, days: Days) -> bool {
    let Some(Entry::Quarantine(quarantine)) = entry.body.left() else { return false };
    known
        .quarantined
        .is_some_and(|(newest, at)| newest != quarantine.source_digest && Day::of(at) <= days.until)
}

fn missing(entry: &StoredEntry) -> Missing {
    let gone = || (String::new(), String::new(), "its body is gone".to_owned());
    let (namespace, name, why) = match entry.body.left() {
        Some(Entry::Gap(gap)) => {
            let why = match &gap.cause {
                GapCause::Vanished => "vanished".to_owned(),
                GapCause::Overtaken => "overtaken".to_owned(),
                GapCause::ReleasedUnrecorded { reason, .. } => format!("released unrecorded: {reason}"),
            };
            (gap.namespace.clone(), gap.name.clone(), why)
        }
        Some(Entry::Quarantine(it)) => (it.namespace.clone(), it.name.clone(), it.reason.clone()),
        _ => gone(),
    };
    Missing {
        kind: entry.kind,
        index: entry.index,
        recorded_at: entry.recorded_at,
        execution_id: entry.execution_id.clone().unwrap_or_default(),
        namespace,
        name,
        why,
    }
}

/// Tells `each` of the executions that have not ended, in the order of their ids. What was put in quarantine and
/// was not seen to go on since is not among them.
///
/// # Errors
/// Those of the store.
pub(super) async fn in_flight(
    store: &dyn Store,
    log: &str,
    mut each: impl FnMut(Tracked),
) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let page = store.tracked(log, after.as_deref(), STATES).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let ids: Vec<String> = page.iter().map(|row| row.id.clone()).collect();
        for (row, known) in page.into_iter().zip(store.known(log, &ids).await?) {
            let is_quarantined = known.quarantined.is_some_and(|(_, at)| at >= row.last_seen_at);
            if row.state == TrackedState::Open && !is_quarantined && !is_recorded(&row, &known) {
                each(row);
            }
        }
    }
}

/// Whether what was last seen of an execution is recorded by now: what is tracked is noted some time after that.
fn is_recorded(row: &Tracked, known: &Known) -> bool {
    known.recorded.iter().any(|recorded| match row.started_at {
        Some(_) => recorded.started_at == row.started_at,
        None => recorded.first_recorded_at >= row.last_seen_at,
    })
}
