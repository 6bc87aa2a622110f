//! Statistics: what appends give, folded into pages.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    statistics::{Bucket, Hour, Key, Level, NotPacked, Packed, Sums},
};
use rusqlite::{Connection, Row, TransactionBehavior, params};

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
    Disagreements, InFlight, InFlightFilter, RevisionName, StoreError, StoredEntry, WantedDisagreements,
    Which,
    rows::Cells as _,
    statistics::{
        BadStatistics, Behind, Folding, FoundCells, PENDING, PENDING_BYTES, REFOLDED, ROLLED, Statistics,
        WantedCells, found, given,
        page::{self, Change, PageId},
        refold, rolled,
    },
};

/// The table of pages.
pub(super) const STORED: &str = "statistics_page";

#[async_trait]
impl Statistics for SqliteStore {
    async fn fold(&self, log: &str) -> std::result::Result<Folding, StoreError> {
        let log = log.to_owned();
        self.write(move |writer| fold(&mut writer.connection, &log)).await
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

fn fold(connection: &mut Connection, log: &str) -> Result<Folding> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let folding = fold_some(&transaction, log)?;
    transaction.commit()?;
    Ok(folding)
}

fn fold_some(connection: &Connection, log: &str) -> Result<Folding> {
    let Some(as_of) = tree::head(connection, log)?.recorded_at else { return Ok(Folding::Done) };
    if let Some(behind) = behind(connection, log)? {
        refold_some(connection, log, behind, as_of)?;
        return Ok(Folding::More);
    }
    const PENDING_ROWS: &str = "
        -- statistics: not folded yet
        SELECT idx, contributions
        FROM (
            SELECT idx, contributions,
                sum(length(contributions)) OVER (ORDER BY idx) - length(contributions) AS before
            FROM statistics_pending
            WHERE log = ?1
            ORDER BY idx
            LIMIT ?2)
        WHERE before < ?3
        ORDER BY idx";
    let of = params![log, PENDING, PENDING_BYTES];
    let pending: Vec<(u64, Packed)> =
        collect(connection, PENDING_ROWS, of, |row| Ok((row.get(0)?, Packed::from_bytes(row.get(1)?))))?;
    if let Some((last, _)) = pending.last() {
        const FOLDED: &str = "
            -- statistics: folded
            DELETE FROM statistics_pending
            WHERE log = ?1 AND idx <= ?2";
        let packed: Vec<Packed> = pending.iter().map(|(_, packed)| packed.clone()).collect();
        let sums = given(&packed, as_of).map_err(|error| damaged(log, &error.into()))?;
        add(connection, log, STORED, sums)?;
        connection.prepare_cached(FOLDED)?.execute(params![log, last])?;
        return Ok(Folding::More);
    }
    let pages = to_be_rolled(connection, log, as_of)?;
    if pages.is_empty() {
        return Ok(Folding::Done);
    }
    add(connection, log, STORED, rolled(&pages, as_of).map_err(|error| damaged(log, &error.into()))?)?;
    Ok(Folding::More)
}

/// Folds the next entries of a log that was there before statistics were kept.
fn refold_some(connection: &Connection, log: &str, behind: Behind, as_of: Time) -> Result<()> {
    const REFOLDED_TO: &str = "
        -- statistics: folded anew
        UPDATE statistics_log
        SET refolded = ?2
        WHERE log = ?1";
    let limit = REFOLDED.min(u32::try_from(behind.of - behind.folded).unwrap_or(REFOLDED));
    let page = entries::entries(connection, log, &entries::Wanted::All, behind.folded, limit)?;
    add(connection, log, STORED, refolded(connection, log, &page, as_of)?)?;
    // An entry that is missing is `verify`'s to find.
    let to = page.last().map_or(behind.of, |last| (last.index + 1).min(behind.of));
    connection.prepare_cached(REFOLDED_TO)?.execute(params![log, to])?;
    Ok(())
}

/// What the entries of a page give.
pub(super) fn refolded(
    connection: &Connection,
    log: &str,
    page: &[StoredEntry],
    as_of: Time,
) -> Result<Sums> {
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
    refold::sums(page, &known, &taken_back, &taken, as_of).map_err(|error| damaged(log, &error.into()))
}

/// Some pages whose cells belong to longer buckets by now: of the oldest such bucket, in the order of their keys.
fn to_be_rolled(connection: &Connection, log: &str, as_of: Time) -> Result<Vec<(PageId, Vec<u8>)>> {
    const OLDEST: &str = "
        -- statistics: oldest bucket of a length
        SELECT min(start)
        FROM statistics_page
        WHERE log = ?1 AND level = ?2";
    const PAGES: &str = "
        -- statistics: pages of short buckets
        SELECT level, start, view, first_key, cells
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start >= ?3 AND start < ?4
        ORDER BY view, first_key
        LIMIT ?5";
    for level in [Level::Hour, Level::Day] {
        let oldest = first(connection, OLDEST, params![log, level.as_str()], |row| Ok(row.get(0)?))?;
        let Some(oldest) = oldest.flatten().and_then(Hour::from_number) else { continue };
        let to = Bucket { level, start: oldest }.rolled(as_of);
        if to.level > level {
            let of = params![log, level.as_str(), to.start.number(), to.end().number(), ROLLED];
            return collect(connection, PAGES, of, read_page);
        }
    }
    Ok(Vec::new())
}

/// The parameters that name a page.
macro_rules! of_page {
    ($log:expr, $id:expr $(, $more:expr)?) => {
        params![
            $log,
            $id.bucket.level.as_str(),
            $id.bucket.start.number(),
            $id.view.as_str(),
            $id.first.as_bytes()
            $(, $more)?
        ]
    };
}

/// Adds sums to the pages that hold them, in the table `into`.
pub(super) fn add(connection: &Connection, log: &str, into: &str, sums: Sums) -> Result<()> {
    const NAMES: &str = "
        -- statistics: pages of a bucket
        SELECT first_key
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND view = ?4
        ORDER BY first_key";
    const PAGE: &str = "
        -- statistics: page
        SELECT cells
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND view = ?4 AND first_key = ?5";
    const PUT: &str = "
        -- statistics: put page
        INSERT INTO statistics_page (log, level, start, view, first_key, cells)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (log, level, start, view, first_key) DO UPDATE
        SET cells = excluded.cells";
    const REMOVE: &str = "
        -- statistics: remove page
        DELETE FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND view = ?4 AND first_key = ?5";
    let sql = |sql: &str| sql.replace(STORED, into);
    let mut known: Vec<PageId> = Vec::new();
    for (view, bucket) in sums.places() {
        let of = params![log, bucket.level.as_str(), bucket.start.number(), view.as_str()];
        let names = collect(connection, &sql(NAMES), of, |row| {
            Ok(PageId { view, bucket, first: Key::from_bytes(row.get(0)?) })
        })?;
        known.extend(names);
    }
    let mut loaded = BTreeMap::new();
    for id in page::touched(&known, &sums) {
        let bytes = first(connection, &sql(PAGE), of_page!(log, id), |row| Ok(row.get(0)?))?;
        loaded.extend(bytes.map(|bytes| (id, bytes)));
    }
    for change in page::add(&known, loaded, sums).map_err(|error| damaged(log, &error.into()))? {
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
    const UNFOLDED: &str = "
        -- statistics: all that is not folded yet
        SELECT contributions
        FROM statistics_pending
        WHERE log = ?1
        ORDER BY idx";
    const BUCKETS: &str = "
        -- statistics: buckets
        WITH RECURSIVE bucket (level, start) AS (
            SELECT level, start
            FROM (
                SELECT level, start
                FROM statistics_page
                WHERE log = ?1
                ORDER BY level, start
                LIMIT 1)
            UNION ALL
            SELECT next.level, next.start
            FROM bucket, statistics_page AS next
            WHERE next.rowid = (
                SELECT rowid
                FROM statistics_page
                WHERE log = ?1 AND (level, start) > (bucket.level, bucket.start)
                ORDER BY level, start
                LIMIT 1)
        )
        SELECT level, start
        FROM bucket";
    const PAGES: &str = "
        -- statistics: pages of keys
        SELECT level, start, view, first_key, cells
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3 AND view = ?4
            AND first_key >= coalesce((
                SELECT max(first_key)
                FROM statistics_page
                WHERE log = ?1 AND level = ?2 AND start = ?3 AND view = ?4 AND first_key <= ?5), ?5)
            AND (?6 IS NULL OR first_key < ?6)
        ORDER BY first_key";
    let Some(as_of) = tree::head(connection, log)?.recorded_at else {
        return Ok(FoundCells { cells: vec![Vec::new(); wanted.len()], behind: None });
    };
    let buckets = collect(connection, BUCKETS, [log], |row| bucket(row, 0))?;
    let mut pages: BTreeMap<PageId, Vec<u8>> = BTreeMap::new();
    for (wanted, &bucket) in wanted.iter().flat_map(|wanted| buckets.iter().map(move |it| (wanted, it))) {
        if !wanted.overlaps(bucket) {
            continue;
        }
        let end = wanted.begins.end();
        let of = params![
            log,
            bucket.level.as_str(),
            bucket.start.number(),
            wanted.view.as_str(),
            wanted.begins.as_bytes(),
            end.as_ref().map(Key::as_bytes)
        ];
        pages.extend(collect(connection, PAGES, of, read_page)?);
    }
    let pages: Vec<_> = pages.into_iter().collect();
    let pending = collect(connection, UNFOLDED, [log], |row| Ok(Packed::from_bytes(row.get(0)?)))?;
    let cells = found(wanted, &pages, &pending, as_of).map_err(|error| damaged(log, &error))?;
    Ok(FoundCells { cells, behind: behind(connection, log)? })
}

/// Reads the columns of a page.
pub(super) fn read_page(row: &Row<'_>) -> Result<(PageId, Vec<u8>)> {
    let first = Key::from_bytes(row.get(3)?);
    Ok((PageId { view: row.name(2)?, bucket: bucket(row, 0)?, first }, row.get(4)?))
}

/// Reads a bucket from column `at` on.
fn bucket(row: &Row<'_>, at: usize) -> Result<Bucket> {
    let start = Hour::from_number(row.number(at + 1)?);
    let start = start.ok_or_else(|| row.unreadable(at + 1, "its year is not from 1 to 9999"))?;
    Ok(Bucket { level: row.name(at)?, start })
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
    as_of: Time,
) -> Result<std::result::Result<Sums, NotPacked>> {
    const UNFOLDED: &str = "
        -- statistics: all that is not folded yet
        SELECT contributions
        FROM statistics_pending
        WHERE log = ?1
        ORDER BY idx";
    let pending = collect(connection, UNFOLDED, [log], |row| Ok(Packed::from_bytes(row.get(0)?)))?;
    Ok(given(&pending, as_of))
}
