//! Statistics: what appends give, folded into pages.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    statistics::{Bucket, Hour, Key, Level, NotPacked, Packed, Sums},
};
use tokio_postgres::Row;

use super::{
    PostgresStore, entries,
    error::{Error, Result},
    in_flight::in_flight,
    known::{ENTRIES_OF, EntriesOf, entries_of},
    reviews,
    rows::{execution, execution_columns},
    session::Session,
    values::{Micros, at_most, small},
};
use crate::store::{
    Batch, Disagreements, DraftContent, InFlight, InFlightFilter, RevisionName, StoreError, StoredEntry,
    WantedDisagreements, Which,
    rows::Cells as _,
    rules::{self, Decision, Revision},
    statistics::{
        BadStatistics, Behind, Folding, FoundCells, PENDING, PENDING_BYTES, REFOLDED, ROLLED, Statistics,
        WantedCells, found, given,
        page::{self, Change, PageId},
        refold, rolled,
    },
};

/// Gives to the statistics.
pub(super) const CONTRIBUTIONS: &str = "
    -- append: contributions
    INSERT INTO statistics_pending (log, idx, contributions)
    VALUES ($1, $2, $3)";

/// The table of pages.
const STORED: &str = "statistics_page";

/// The latest revisions of attempts, by id and attempt.
pub(super) type Records = HashMap<(String, u32), WorkflowExecutionAudit>;

#[async_trait]
impl Statistics for PostgresStore {
    async fn fold(&self, log: &str) -> std::result::Result<Folding, StoreError> {
        self.check_writes()?;
        self.worked(async {
            let session = Session::new(&self.pools.writers).await?;
            let folding = fold(&session, log).await;
            session.end(folding).await
        })
        .await
    }

    async fn cells(&self, log: &str, wanted: &[WantedCells]) -> std::result::Result<FoundCells, StoreError> {
        self.asked(async {
            let session = Session::snapshot(&self.pools.readers).await?;
            let cells = cells(&session, log, wanted).await;
            session.end(cells).await
        })
        .await
    }

    async fn in_flight(
        &self,
        log: &str,
        filter: &InFlightFilter,
        limit: u32,
    ) -> std::result::Result<InFlight, StoreError> {
        self.asked(async {
            let session = Session::new(&self.pools.readers).await?;
            let found = in_flight(&session, log, filter, limit).await;
            session.end(found).await
        })
        .await
    }

    async fn disagreements(
        &self,
        wanted: &WantedDisagreements,
    ) -> std::result::Result<Disagreements, StoreError> {
        self.asked(async {
            let session = Session::snapshot(&self.pools.readers).await?;
            let found = reviews::disagreements(&session, wanted).await;
            session.end(found).await
        })
        .await
    }
}

/// The records that a batch may take back from the statistics, or that go: `known` is what is known of its ids.
pub(super) async fn records(
    session: &Session,
    log: &str,
    batch: &Batch,
    known: &HashMap<String, EntriesOf>,
) -> Result<Records> {
    const RECORDS: &str = concat!(
        "
        -- statistics: latest revisions
        SELECT ",
        execution_columns!(),
        "
        FROM unnest($2::text[], $3::integer[], $4::timestamptz[]) AS wanted (wanted_id, wanted_attempt, wanted_created_at)
        CROSS JOIN LATERAL (
            SELECT *
            FROM workflow_execution_audit
            WHERE log = $1 AND created_at = wanted_created_at AND id = wanted_id AND attempt = wanted_attempt
            LIMIT 1
        ) AS latest"
    );
    let revisions = |id: &str| known.get(id).map_or(&[][..], |of| &of.revisions);
    let mut wanted: Vec<(&str, &Revision)> = Vec::new();
    for draft in &batch.drafts {
        match &draft.content {
            DraftContent::Execution(draft) => {
                let known = revisions(&draft.record.id);
                let is_new = matches!(rules::execution(known, draft), Decision::New { .. });
                wanted.extend(known.last().filter(|_| is_new).map(|last| (draft.record.id.as_str(), last)));
            }
            DraftContent::Purge(purge) => {
                for execution in &purge.executions {
                    let last = revisions(&execution.id).last();
                    let last = last.filter(|last| last.attempt == execution.attempt);
                    wanted.extend(last.map(|last| (execution.id.as_str(), last)));
                }
            }
            DraftContent::Review(draft) => {
                let last = revisions(&draft.execution_id).last();
                wanted.extend(last.map(|last| (draft.execution_id.as_str(), last)));
            }
            _ => {}
        }
    }
    wanted.retain(|(_, revision)| !revision.is_purged());
    if wanted.is_empty() {
        return Ok(Records::new());
    }
    let ids: Vec<&str> = wanted.iter().map(|(id, _)| *id).collect();
    let attempts: Vec<i32> = wanted.iter().map(|(_, revision)| small(revision.attempt)).collect();
    let created_at: Vec<Option<Micros>> =
        wanted.iter().map(|(_, revision)| revision.created_at.map(Micros::from)).collect();
    let found = session.rows(RECORDS, &[&log, &ids, &attempts, &created_at]).await?;
    let record = |row: &Row| {
        let record = execution(row)?.execution.record;
        Ok(((record.id.clone(), record.attempt), record))
    };
    found.iter().map(record).collect()
}

async fn fold(session: &Session, log: &str) -> Result<Folding> {
    // Another who folds the same log goes on with it.
    const LOCK: &str = "
        -- statistics: lock
        SELECT recorded_at, refolded, refold_until
        FROM statistics_log
        JOIN log ON name = statistics_log.log
        WHERE statistics_log.log = $1
        FOR UPDATE OF statistics_log SKIP LOCKED";
    session.batch_execute("BEGIN").await?;
    let folding = match session.row(LOCK, &[&log]).await? {
        Some(row) => match row.optional(0, |row, column| row.time(column))? {
            Some(as_of) => fold_some(session, log, behind(&row, 1)?, as_of).await?,
            None => Folding::Done,
        },
        None => Folding::Done,
    };
    session.batch_execute("COMMIT").await.map_err(Error::Commit)?;
    Ok(folding)
}

async fn fold_some(session: &Session, log: &str, behind: Option<Behind>, as_of: Time) -> Result<Folding> {
    if let Some(behind) = behind {
        refold_some(session, log, behind, as_of).await?;
        return Ok(Folding::More);
    }
    const PENDING_ROWS: &str = "
        -- statistics: not folded yet
        SELECT idx, contributions
        FROM (
            SELECT idx, contributions,
                sum(length(contributions)) OVER (ORDER BY idx) - length(contributions) AS before
            FROM statistics_pending
            WHERE log = $1
            ORDER BY idx
            LIMIT $2
        ) AS pending
        WHERE before < $3
        ORDER BY idx";
    let found = session.rows(PENDING_ROWS, &[&log, &i64::from(PENDING), &PENDING_BYTES]).await?;
    if let Some(last) = found.last() {
        const FOLDED: &str = "
            -- statistics: folded
            DELETE FROM statistics_pending
            WHERE log = $1 AND idx <= $2";
        let last = last.integer(0)?;
        let packed = packed(&found, 1)?;
        let sums = apart(move || given(&packed, as_of).map_err(BadStatistics::from)).await?;
        add(session, log, STORED, sums.map_err(|error| damaged(log, &error))?).await?;
        let folded = session.prepare_cached(FOLDED).await?;
        session.execute(&folded, &[&log, &last]).await?;
        return Ok(Folding::More);
    }
    let pages = to_be_rolled(session, log, as_of).await?;
    if pages.is_empty() {
        return Ok(Folding::Done);
    }
    let sums = apart(move || rolled(&pages, as_of).map_err(BadStatistics::from)).await?;
    add(session, log, STORED, sums.map_err(|error| damaged(log, &error))?).await?;
    Ok(Folding::More)
}

/// Folds the next entries of a log that was there before statistics were kept.
async fn refold_some(session: &Session, log: &str, behind: Behind, as_of: Time) -> Result<()> {
    const REFOLDED_TO: &str = "
        -- statistics: folded anew
        UPDATE statistics_log
        SET refolded = $2
        WHERE log = $1";
    let limit = REFOLDED.min(u32::try_from(behind.of - behind.folded).unwrap_or(REFOLDED));
    let page = entries::entries(session, log, Which::All, behind.folded, limit).await?;
    let sums = refolded(session, log, &page, as_of).await?;
    add(session, log, STORED, sums).await?;
    // An entry that is missing is `verify`'s to find.
    let to = page.last().map_or(behind.of, |last| (last.index + 1).min(behind.of));
    let update = session.prepare_cached(REFOLDED_TO).await?;
    session.execute(&update, &[&log, &at_most(to)]).await?;
    Ok(())
}

/// What the entries of a page give.
pub(super) async fn refolded(
    session: &Session,
    log: &str,
    page: &[StoredEntry],
    as_of: Time,
) -> Result<Sums> {
    let mut ids: Vec<&String> =
        page.iter().filter(|it| refold::is_of_one(it)).filter_map(|it| it.execution_id.as_ref()).collect();
    ids.sort_unstable();
    ids.dedup();
    let entries = entries_of(&session.rows(ENTRIES_OF, &[&log, &ids]).await?)?;
    let reviews = reviews::said(session, log, &entries).await?;
    let revisions = entries.into_iter().map(|(id, of)| (id, of.revisions)).collect();
    let known = refold::Known { revisions, reviews };
    let taken_back = refold::taken_back(page, &known);
    let mut taken: HashMap<RevisionName, StoredEntry> = HashMap::new();
    for name in taken_back.values() {
        let wanted = Which::Revisions(std::slice::from_ref(name));
        let found = entries::entries(session, log, wanted, 0, 1).await?;
        taken.extend(found.into_iter().map(|stored| (name.clone(), stored)));
    }
    refold::sums(page, &known, &taken_back, &taken, as_of).map_err(|error| damaged(log, &error.into()))
}

/// Some pages whose cells belong to longer buckets by now: of the oldest such bucket, in the order of their keys.
async fn to_be_rolled(session: &Session, log: &str, as_of: Time) -> Result<Vec<(PageId, Vec<u8>)>> {
    const OLDEST: &str = "
        -- statistics: oldest bucket of a length
        SELECT start
        FROM statistics_page
        WHERE log = $1 AND level = $2
        ORDER BY start
        LIMIT 1";
    const PAGES: &str = "
        -- statistics: pages of short buckets
        SELECT level, start, view, first_key, cells
        FROM statistics_page
        WHERE log = $1 AND level = $2 AND start >= $3 AND start < $4
        ORDER BY view, first_key
        LIMIT $5";
    for level in [Level::Hour, Level::Day] {
        let oldest = session.row(OLDEST, &[&log, &level.as_str()]).await?;
        let Some(oldest) = oldest.map(|row| row.number(0)).transpose()?.and_then(Hour::from_number) else {
            continue;
        };
        let to = Bucket { level, start: oldest }.rolled(as_of);
        if to.level > level {
            let (start, end) = (to.start.number(), to.end().number());
            let limit = i64::from(ROLLED);
            let found = session.rows(PAGES, &[&log, &level.as_str(), &start, &end, &limit]).await?;
            return found.iter().map(read_page).collect();
        }
    }
    Ok(Vec::new())
}

/// Adds sums to the pages that hold them, in the table `into`.
pub(super) async fn add(session: &Session, log: &str, into: &str, sums: Sums) -> Result<()> {
    const NAMES: &str = "
        -- statistics: pages of buckets
        SELECT page.*
        FROM unnest($2::text[], $3::integer[], $4::text[]) AS wanted (level, start, view)
        CROSS JOIN LATERAL (
            SELECT level, start, view, first_key
            FROM statistics_page
            WHERE log = $1 AND level = wanted.level AND start = wanted.start AND view = wanted.view
        ) AS page";
    const LOAD: &str = "
        -- statistics: pages
        SELECT page.*
        FROM unnest($2::text[], $3::integer[], $4::text[], $5::bytea[]) AS wanted (level, start, view, first_key)
        CROSS JOIN LATERAL (
            SELECT level, start, view, first_key, cells
            FROM statistics_page
            WHERE log = $1 AND level = wanted.level AND start = wanted.start AND view = wanted.view
                AND first_key = wanted.first_key
            LIMIT 1
        ) AS page";
    const PUT: &str = "
        -- statistics: put pages
        INSERT INTO statistics_page (log, level, start, view, first_key, cells)
        SELECT $1, page.*
        FROM unnest($2::text[], $3::integer[], $4::text[], $5::bytea[], $6::bytea[]) AS page
        ON CONFLICT (log, level, start, view, first_key) DO UPDATE
        SET cells = excluded.cells";
    const REMOVE: &str = "
        -- statistics: remove pages
        DELETE FROM statistics_page AS page
        USING unnest($2::text[], $3::integer[], $4::text[], $5::bytea[]) AS gone (level, start, view, first_key)
        WHERE log = $1 AND page.level = gone.level AND page.start = gone.start AND page.view = gone.view
            AND page.first_key = gone.first_key";
    if sums.is_zero() {
        return Ok(());
    }
    let sql = |sql: &str| sql.replace(STORED, into);
    let places = sums.places();
    let levels: Vec<&str> = places.iter().map(|(_, bucket)| bucket.level.as_str()).collect();
    let starts: Vec<i32> = places.iter().map(|(_, bucket)| bucket.start.number()).collect();
    let views: Vec<&str> = places.iter().map(|(view, _)| view.as_str()).collect();
    let found = session.rows(&sql(NAMES), &[&log, &levels, &starts, &views]).await?;
    let mut known: Vec<PageId> = found.iter().map(page_id).collect::<Result<_>>()?;
    known.sort_unstable();
    let touched = page::touched(&known, &sums);
    let Columns { levels, starts, views, first_keys } = Columns::of(&touched);
    let found = session.rows(&sql(LOAD), &[&log, &levels, &starts, &views, &first_keys]).await?;
    let loaded: BTreeMap<PageId, Vec<u8>> = found.iter().map(read_page).collect::<Result<_>>()?;
    let changes = apart(move || page::add(&known, loaded, sums)).await?;
    let (mut put, mut cells, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes.map_err(|error| damaged(log, &error.into()))? {
        match change {
            Change::Put(id, bytes) => {
                put.push(id);
                cells.push(bytes);
            }
            Change::Remove(id) => gone.push(id),
        }
    }
    if !put.is_empty() {
        let Columns { levels, starts, views, first_keys } = Columns::of(&put);
        let statement = session.prepare_cached(&sql(PUT)).await?;
        session.execute(&statement, &[&log, &levels, &starts, &views, &first_keys, &cells]).await?;
    }
    if !gone.is_empty() {
        let Columns { levels, starts, views, first_keys } = Columns::of(&gone);
        let statement = session.prepare_cached(&sql(REMOVE)).await?;
        session.execute(&statement, &[&log, &levels, &starts, &views, &first_keys]).await?;
    }
    Ok(())
}

/// The names of pages, by columns.
struct Columns<'a> {
    levels: Vec<&'a str>,
    starts: Vec<i32>,
    views: Vec<&'a str>,
    first_keys: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(pages: &'a [PageId]) -> Self {
        Self {
            levels: pages.iter().map(|page| page.bucket.level.as_str()).collect(),
            starts: pages.iter().map(|page| page.bucket.start.number()).collect(),
            views: pages.iter().map(|page| page.view.as_str()).collect(),
            first_keys: pages.iter().map(|page| page.first.as_bytes()).collect(),
        }
    }
}

/// See [`Statistics::cells`].
async fn cells(session: &Session, log: &str, wanted: &[WantedCells]) -> Result<FoundCells> {
    const LOG: &str = "
        -- statistics: how far
        SELECT recorded_at, refolded, refold_until
        FROM statistics_log
        JOIN log ON name = statistics_log.log
        WHERE statistics_log.log = $1";
    const UNFOLDED: &str = "
        -- statistics: all that is not folded yet
        SELECT contributions
        FROM statistics_pending
        WHERE log = $1
        ORDER BY idx";
    const PAGES: &str = "
        -- statistics: pages of keys
        WITH RECURSIVE bucket (level, start) AS (
            (
                SELECT level, start
                FROM statistics_page
                WHERE log = $1
                ORDER BY level, start
                LIMIT 1
            )
            UNION ALL
            SELECT next.level, next.start
            FROM bucket
            CROSS JOIN LATERAL (
                SELECT level, start
                FROM statistics_page
                WHERE log = $1 AND (level, start) > (bucket.level, bucket.start)
                ORDER BY level, start
                LIMIT 1
            ) AS next
        )
        SELECT page.*
        FROM bucket
        CROSS JOIN LATERAL (
            SELECT level, start, view, first_key, cells
            FROM statistics_page
            WHERE log = $1 AND level = bucket.level AND start = bucket.start AND view = $2
                AND first_key >= coalesce((
                    SELECT first_key
                    FROM statistics_page
                    WHERE log = $1 AND level = bucket.level AND start = bucket.start AND view = $2
                        AND first_key <= $3
                    ORDER BY first_key DESC
                    LIMIT 1
                ), $3)
                AND first_key < $4
        ) AS page
        WHERE bucket.start < $6
            AND bucket.start + CASE bucket.level WHEN 'hour' THEN 1 WHEN 'day' THEN 24 ELSE 31 * 24 END > $5";
    let nothing = || FoundCells { cells: vec![Vec::new(); wanted.len()], behind: None };
    let Some(row) = session.row(LOG, &[&log]).await? else { return Ok(nothing()) };
    let Some(as_of) = row.optional(0, |row, column| row.time(column))? else { return Ok(nothing()) };
    let behind = behind(&row, 1)?;
    let mut pages: BTreeMap<PageId, Vec<u8>> = BTreeMap::new();
    for wanted in wanted {
        let begins = wanted.begins.as_bytes();
        // No key begins with this byte.
        let end = wanted.begins.end().unwrap_or_else(|| Key::from_bytes(vec![u8::MAX]));
        let (from, until) = (wanted.from.number(), wanted.until.number());
        let of: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&log, &wanted.view.as_str(), &begins, &end.as_bytes(), &from, &until];
        for row in session.rows(PAGES, &of).await? {
            let (id, bytes) = read_page(&row)?;
            pages.insert(id, bytes);
        }
    }
    let pending = packed(&session.rows(UNFOLDED, &[&log]).await?, 0)?;
    let (wanted, pages) = (wanted.to_owned(), pages.into_iter().collect::<Vec<_>>());
    let cells = apart(move || found(&wanted, &pages, &pending, as_of)).await?;
    Ok(FoundCells { cells: cells.map_err(|error| damaged(log, &error))?, behind })
}

/// Reads contributions from a column.
fn packed(rows: &[Row], column: usize) -> Result<Vec<Packed>> {
    rows.iter().map(|row| Ok(Packed::from_bytes(row.blob(column)?.to_owned()))).collect()
}

/// Reads how far the statistics are from column `at` on.
fn behind(row: &Row, at: usize) -> Result<Option<Behind>> {
    let behind = Behind { folded: row.number(at)?, of: row.number(at + 1)? };
    Ok((behind.folded < behind.of).then_some(behind))
}

/// Reads the columns of a page.
pub(super) fn read_page(row: &Row) -> Result<(PageId, Vec<u8>)> {
    Ok((page_id(row)?, row.blob(4)?.to_owned()))
}

/// Reads the columns that name a page.
fn page_id(row: &Row) -> Result<PageId> {
    let start = Hour::from_number(row.number(1)?);
    let start = start.ok_or_else(|| row.unreadable(1, "its year is not from 1 to 9999"))?;
    let first = Key::from_bytes(row.blob(3)?.to_owned());
    Ok(PageId { view: row.name(2)?, bucket: Bucket { level: row.name(0)?, start }, first })
}

/// What takes the processor a while, off the async threads.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Unavailable(format!("the statistics stopped: {error}")).into())
}

pub(super) fn damaged(log: &str, error: &BadStatistics) -> Error {
    Error::damaged(format!(
        "the statistics of the log {log}: {error}; `dualaudit log rebuild` makes them anew"
    ))
}

/// What was given to the statistics and is not folded yet.
pub(super) async fn unfolded(
    session: &Session,
    log: &str,
    as_of: Time,
) -> Result<std::result::Result<Sums, NotPacked>> {
    const UNFOLDED: &str = "
        -- statistics: all that is not folded yet
        SELECT contributions
        FROM statistics_pending
        WHERE log = $1
        ORDER BY idx";
    let pending = packed(&session.rows(UNFOLDED, &[&log]).await?, 0)?;
    Ok(given(&pending, as_of))
}

/// How far the statistics are of what was recorded before they were kept, if they do not have all of it.
pub(super) async fn how_far(session: &Session, log: &str) -> Result<Option<Behind>> {
    const BEHIND: &str = "
        -- statistics: how far
        SELECT refolded, refold_until
        FROM statistics_log
        WHERE log = $1";
    let row = session.row(BEHIND, &[&log]).await?;
    Ok(row.map(|row| behind(&row, 0)).transpose()?.flatten())
}
