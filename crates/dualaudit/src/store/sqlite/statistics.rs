//! Statistics: what appends give, folded into pages.

use std::collections::{HashMap, hash_map::Entry};

use async_trait::async_trait;
use dualaudit_record::{
    WorkflowExecutionAudit,
    statistics::{Bucket, Hour, Kept, Key, Level, NotPacked, Packed, Slice, Stretch, Sums},
};
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore, entries,
    error::{Error, Result},
    in_flight::in_flight,
    known::{self, collect, first},
    reviews,
    rows::{execution, execution_columns},
    tree,
};
use crate::store::{
    Disagreements, InFlight, InFlightFilter, RevisionName, StoreError, StoredEntry, UnreadableEntry,
    WantedDisagreements, Which,
    rows::Cells as _,
    statistics::{
        BadStatistics, Behind, Findings, Folding, FoundCells, Given, NotFound, Run, Statistics, WantedCells,
        given,
        page::{self, Change, PageId},
        refold, runs,
    },
};

mod days;
mod folding;

pub(super) use days::add_days;

/// The table of pages.
const STORED: &str = "statistics_page";

#[async_trait]
impl Statistics for SqliteStore {
    async fn fold(&self, log: &str) -> std::result::Result<Folding, StoreError> {
        let name = log.to_owned();
        let Some(mut planned) = self.read(move |connection| folding::plan(connection, &name)).await? else {
            return Ok(Folding::Done);
        };
        let log = log.to_owned();
        let passed_over = std::mem::take(&mut planned.passed_over);
        self.write(move |writer| folding::carry_out(&mut writer.connection, &log, planned)).await?;
        Ok(Folding::past(passed_over))
    }

    async fn cells(&self, log: &str, wanted: &[WantedCells]) -> std::result::Result<FoundCells, StoreError> {
        let (log, wanted) = (log.to_owned(), wanted.to_owned());
        self.ask(move |connection| cells(connection, &log, &wanted)).await
    }

    async fn in_flight(
        &self,
        log: &str,
        filter: &InFlightFilter,
        limit: u32,
    ) -> std::result::Result<InFlight, StoreError> {
        let (log, filter) = (log.to_owned(), filter.clone());
        self.ask(move |connection| in_flight(connection, &log, &filter, limit)).await
    }

    async fn disagreements(
        &self,
        wanted: &WantedDisagreements,
    ) -> std::result::Result<Disagreements, StoreError> {
        let wanted = wanted.clone();
        self.ask(move |connection| reviews::disagreements(connection, &wanted)).await
    }

    #[cfg(test)]
    async fn asked_in_sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let sql = sql.to_owned();
        let text = |row: &Row<'_>, column| match row.get_ref(column).unwrap() {
            rusqlite::types::ValueRef::Null => None,
            rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
            rusqlite::types::ValueRef::Real(number) => Some(number.to_string()),
            value => Some(value.as_str().unwrap().to_owned()),
        };
        let row = move |row: &Row<'_>| {
            Ok((0..row.as_ref().column_count()).map(|column| text(row, column)).collect())
        };
        self.ask(move |connection| collect(connection, &sql, [], row)).await.unwrap()
    }
}

/// The latest revision of an attempt, as its row has it.
pub(super) fn record(
    connection: &Connection,
    log: &str,
    id: &str,
    attempt: u32,
) -> Result<Option<WorkflowExecutionAudit>> {
    const RECORD: &str = concat!(
        "
        -- statistics: latest revision
        SELECT ",
        execution_columns!(),
        "
        FROM workflow_execution_audit
        WHERE log = ?1 AND id = ?2 AND attempt = ?3"
    );
    first(connection, RECORD, params![log, id, attempt], |row| Ok(execution(row)?.execution.record))
}

/// How far the statistics are of what was recorded before they were kept, if they do not have all of it.
pub(super) fn behind(connection: &Connection, log: &str) -> Result<Option<Behind>> {
    const BEHIND: &str = "
        -- statistics: how far
        SELECT refolded, refold_until
        FROM statistics_log
        WHERE log = ?1 AND refolded < refold_until";
    first(connection, BEHIND, [log], |row| Ok(Behind { folded: row.get(0)?, of: row.get(1)? }))
}

/// How many entries could not be read when they were folded.
fn passed_over(connection: &Connection, log: &str) -> Result<u64> {
    const PASSED_OVER: &str = "
        -- statistics: passed over
        SELECT passed_over
        FROM statistics_log
        WHERE log = ?1";
    Ok(first(connection, PASSED_OVER, [log], |row| Ok(row.get(0)?))?.unwrap_or_default())
}

/// The buckets that the statistics of a log are in.
pub(super) fn kept(connection: &Connection, log: &str) -> Result<Kept> {
    const COME_TO: &str = "
        -- statistics: buckets that are kept
        SELECT come_to
        FROM statistics_log
        WHERE log = ?1";
    let come_to = first(connection, COME_TO, [log], |row| hour(row, 0))?;
    Ok(Kept::at(come_to.ok_or_else(|| Error::damaged(format!("the log {log} has no statistics")))?))
}

/// What the entries of a page give.
pub(super) fn refolded(
    connection: &Connection,
    log: &str,
    page: &[StoredEntry],
    kept: Kept,
) -> Result<Given> {
    const REVIEWS: &str = "
        -- statistics: reviews of an execution
        SELECT idx, body
        FROM log_entry
        WHERE log = ?1 AND execution_id = ?2 AND attempt IS NULL AND kind = 'review'
        ORDER BY idx";
    let mut known = refold::Known { revisions: HashMap::new(), reviews: HashMap::new() };
    let of_one = page.iter().filter(|stored| refold::is_of_one(stored));
    for id in of_one.filter_map(|stored| stored.execution_id.as_ref()) {
        if !known.revisions.contains_key(id) {
            known.revisions.insert(id.clone(), known::revisions(connection, log, id)?);
            let reviews = collect(connection, REVIEWS, [log, id], |row| {
                Ok(refold::review(row.text(1)?).map(|review| (row.number(0), review)))
            })?;
            let reviews = reviews.into_iter().flatten().map(|(index, review)| Ok((index?, review)));
            known.reviews.insert(id.clone(), reviews.collect::<Result<_>>()?);
        }
    }
    let taken_back = refold::taken_back(page, &known);
    let mut taken: HashMap<RevisionName, StoredEntry> = HashMap::new();
    for name in taken_back.values() {
        let wanted = entries::Wanted::from(Which::Revisions(std::slice::from_ref(name)));
        let found = entries::entries(connection, log, &wanted, 0, 1)?;
        taken.extend(found.into_iter().map(|stored| (name.clone(), stored)));
    }
    refold::given(page, &known, &taken_back, &taken, kept).map_err(|error| damaged(log, &error.into()))
}

/// What the entries of a page give, but for those that cannot be read, or what they take back; which those are.
fn refolded_where_readable(
    connection: &Connection,
    log: &str,
    page: Vec<std::result::Result<StoredEntry, UnreadableEntry>>,
    kept: Kept,
) -> Result<(Given, Vec<UnreadableEntry>)> {
    let (page, mut passed_over) = refold::readable(page);
    match refolded(connection, log, &page, kept) {
        Ok(given) => return Ok((given, passed_over)),
        Err(error) => error.into_unreadable()?,
    };
    let mut given = Given::default();
    for stored in &page {
        match refolded(connection, log, std::slice::from_ref(stored), kept) {
            Ok(of_one) => given.merge(&of_one, 1),
            Err(error) => {
                passed_over.push(UnreadableEntry { index: stored.index, what: error.into_unreadable()? });
            }
        }
    }
    Ok((given, passed_over))
}

/// The parameters that name a page.
macro_rules! of_page {
    ($log:expr, $id:expr $(, $more:expr)?) => {
        params![
            $log,
            $id.bucket.level.as_str(),
            $id.bucket.start.number(),
            $id.slice.as_str(),
            $id.first.as_bytes()
            $(, $more)?
        ]
    };
}

/// Pages with these names, in their order.
fn load(
    connection: &Connection,
    log: &str,
    from: &str,
    names: Vec<PageId>,
) -> Result<Vec<(PageId, Vec<u8>)>> {
    const PAGE: &str = "
        -- statistics: page
        SELECT cells
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND slice = ?4 AND first_key = ?5";
    let sql = PAGE.replace(STORED, from);
    let mut loaded = Vec::new();
    for id in names {
        let bytes = first(connection, &sql, of_page!(log, id), |row| Ok(row.get(0)?))?;
        loaded.extend(bytes.map(|bytes| (id, bytes)));
    }
    Ok(loaded)
}

/// Adds sums to the pages that hold them, in the table `into`.
pub(super) fn add(connection: &Connection, log: &str, into: &str, sums: Sums) -> Result<()> {
    make(connection, log, into, &changes(connection, log, into, sums)?)
}

/// What it takes to add sums to the pages that hold them, in the table `into`.
fn changes(connection: &Connection, log: &str, into: &str, sums: Sums) -> Result<Vec<Change>> {
    const NAMES: &str = "
        -- statistics: pages of a bucket
        SELECT level, start, slice, first_key
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3
        ORDER BY slice, first_key";
    let names = NAMES.replace(STORED, into);
    let mut known: Vec<PageId> = Vec::new();
    for bucket in sums.buckets() {
        let of = params![log, bucket.level.as_str(), bucket.start.number()];
        known.extend(collect(connection, &names, of, page_id)?);
    }
    known.sort_unstable();
    let loaded = load(connection, log, into, page::touched(&known, &sums))?.into_iter().collect();
    page::add(&known, loaded, sums).map_err(|error| damaged(log, &error.into()))
}

/// Makes changes to pages.
fn make(connection: &Connection, log: &str, into: &str, changes: &[Change]) -> Result<()> {
    const PUT: &str = "
        -- statistics: put page
        INSERT INTO statistics_page (log, level, start, slice, first_key, cells)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (log, level, start, slice, first_key) DO UPDATE
        SET cells = excluded.cells";
    const REMOVE: &str = "
        -- statistics: remove page
        DELETE FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND slice = ?4 AND first_key = ?5";
    let sql = |sql: &str| sql.replace(STORED, into);
    for change in changes {
        match change {
            Change::Put(id, bytes) => {
                connection.prepare_cached(&sql(PUT))?.execute(of_page!(log, id, bytes))?;
            }
            Change::Remove(id) => {
                connection.prepare_cached(&sql(REMOVE))?.execute(of_page!(log, id))?;
            }
        }
    }
    Ok(())
}

/// See [`Statistics::cells`].
fn cells(connection: &Connection, log: &str, wanted: &[WantedCells]) -> Result<FoundCells> {
    let Some(as_of) = tree::head(connection, log)?.recorded_at else {
        return Ok(FoundCells { cells: vec![Vec::new(); wanted.len()], ..FoundCells::default() });
    };
    let kept = kept(connection, log)?;
    let mut findings = Findings::new(wanted, as_of);
    let mut buckets: HashMap<(Level, Stretch), Vec<Bucket>> = HashMap::new();
    for (place, run) in runs(wanted, kept, as_of) {
        // Most questions are about the same time.
        let buckets = match buckets.entry((run.level, run.of)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(buckets_of(connection, log, run)?),
        };
        run_pages(connection, log, run.slice, buckets, wanted[place].keys.begins(), |id, bytes| {
            findings.page(place, &id, bytes).map_err(|error| not_found(log, error))
        })?;
    }
    findings.pending(&pending(connection, log)?).map_err(|error| not_found(log, error))?;
    let passed_over = passed_over(connection, log)?;
    Ok(FoundCells { cells: findings.found(), behind: behind(connection, log)?, passed_over })
}

/// The buckets of a run that there are.
fn buckets_of(connection: &Connection, log: &str, Run { level, mut of, .. }: Run) -> Result<Vec<Bucket>> {
    const NEXT: &str = "
        -- statistics: oldest bucket in a stretch
        SELECT min(start)
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start >= ?3 AND start < ?4";
    let mut next = connection.prepare_cached(NEXT)?;
    let mut buckets = Vec::new();
    loop {
        let within = params![log, level.as_str(), of.from.number(), of.until.number()];
        let start: Option<i32> = next.query_row(within, |row| row.get(0))?;
        let Some(start) = start.and_then(Hour::from_number) else { return Ok(buckets) };
        let bucket = Bucket { level, start };
        buckets.push(bucket);
        of.from = bucket.end();
    }
}

/// The pages of a slice of buckets that hold the keys that begin so, in each from the last to the first.
fn run_pages(
    connection: &Connection,
    log: &str,
    slice: Slice,
    buckets: &[Bucket],
    begins: &Key,
    mut take: impl FnMut(PageId, &[u8]) -> Result<()>,
) -> Result<()> {
    const PAGES: &str = "
        -- statistics: pages of keys
        SELECT first_key, cells
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND slice = ?4 AND first_key < ?5
        ORDER BY first_key DESC";
    let end = begins.end().unwrap_or_else(Key::last);
    let mut pages = connection.prepare_cached(PAGES)?;
    for &bucket in buckets {
        let of = params![log, bucket.level.as_str(), bucket.start.number(), slice.as_str(), end.as_bytes()];
        let mut rows = pages.query(of)?;
        while let Some(row) = rows.next()? {
            let id = PageId { slice, bucket, first: Key::from_bytes(row.get(0)?) };
            let is_last = id.first <= *begins;
            take(id, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

/// Reads the columns of a page.
pub(super) fn read_page(row: &Row<'_>) -> Result<(PageId, Vec<u8>)> {
    Ok((page_id(row)?, row.get(4)?))
}

/// Reads the columns that name a page.
fn page_id(row: &Row<'_>) -> Result<PageId> {
    let bucket = Bucket { level: row.name(0)?, start: hour(row, 1)? };
    Ok(PageId { slice: row.name(2)?, bucket, first: Key::from_bytes(row.get(3)?) })
}

fn hour(row: &Row<'_>, column: usize) -> Result<Hour> {
    let hour = Hour::from_number(row.number(column)?);
    hour.ok_or_else(|| row.unreadable(column, "its year is not from 1 to 9999"))
}

fn not_found(log: &str, error: NotFound) -> Error {
    match error {
        NotFound::Bad(error) => damaged(log, &error),
        NotFound::TooMuch => StoreError::TooSlow(error.to_string()).into(),
    }
}

pub(super) fn damaged(log: &str, error: &BadStatistics) -> Error {
    Error::damaged(format!(
        "the statistics of the log {log}: {error}; `dualaudit log rebuild` makes them anew"
    ))
}

/// What was given to the statistics and is not folded yet.
pub(super) fn unfolded(
    connection: &Connection,
    log: &str,
    kept: Kept,
) -> Result<std::result::Result<Given, NotPacked>> {
    Ok(given(&pending(connection, log)?, kept))
}

fn pending(connection: &Connection, log: &str) -> Result<Vec<Packed>> {
    const UNFOLDED: &str = "
        -- statistics: all that is not folded yet
        SELECT contributions
        FROM statistics_pending
        WHERE log = ?1
        ORDER BY idx";
    collect(connection, UNFOLDED, [log], |row| Ok(Packed::from_bytes(row.get(0)?)))
}
