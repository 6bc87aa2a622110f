//! Statistics: what appends give, folded into pages.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use dualaudit_record::{
    Time, WorkflowExecutionAudit,
    statistics::{Bucket, Hour, Kept, Key, NotPacked, Packed, Sums},
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
    UnreadableEntry, WantedDisagreements, Which,
    rows::Cells as _,
    rules::{self, Decision, Revision},
    statistics::{
        BadStatistics, Behind, Folding, FoundCells, Given, PENDING, PENDING_BYTES, REFOLDED, Statistics,
        WantedCells,
        days::Days,
        given,
        page::{self, Change, PageId},
        refold,
        rolling::Rolling,
    },
};

mod days;
mod reading;
mod rolling;

pub(super) use days::add_days;

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
            let cells = reading::cells(&session, log, wanted).await;
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

    #[cfg(test)]
    async fn asked_in_sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let session = Session::new(&self.pools.readers).await.unwrap();
        let found = session.simple_query(sql).await.unwrap();
        let rows = found.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()).collect()
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
        SELECT recorded_at, refolded, refold_until, come_to, rolling
        FROM statistics_log
        JOIN log ON name = statistics_log.log
        WHERE statistics_log.log = $1
        FOR UPDATE OF statistics_log SKIP LOCKED";
    session.batch_execute("BEGIN").await?;
    let folding = match session.row(LOCK, &[&log]).await? {
        Some(row) => match row.optional(0, |row, column| row.time(column))? {
            Some(as_of) => fold_some(session, log, &row, as_of).await?,
            None => Folding::Done,
        },
        None => Folding::Done,
    };
    session.batch_execute("COMMIT").await.map_err(Error::Commit)?;
    Ok(folding)
}

async fn fold_some(session: &Session, log: &str, row: &Row, as_of: Time) -> Result<Folding> {
    let kept = Kept::at(hour(row, 3)?);
    let rolling = row.optional(4, |row, column| Ok(Rolling::from_bytes(row.blob(column)?)))?.flatten();
    if rolling::roll(session, log, kept, rolling, as_of).await? {
        return Ok(Folding::More);
    }
    if let Some(behind) = behind(row, 1)? {
        return refold_some(session, log, behind, kept).await.map(Folding::past);
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
        let given = apart(move || given(&packed, kept).map_err(BadStatistics::from)).await?;
        add_given(session, log, given.map_err(|error| damaged(log, &error))?).await?;
        let folded = session.prepare_cached(FOLDED).await?;
        session.execute(&folded, &[&log, &last]).await?;
        return Ok(Folding::More);
    }
    Ok(Folding::Done)
}

/// Adds what was given to what is stored.
async fn add_given(session: &Session, log: &str, Given { sums, daily }: Given) -> Result<()> {
    add(session, log, STORED, sums).await?;
    add_days(session, log, Days::Stored, &daily).await
}

/// Folds the next entries of a log that was there before statistics were kept; answers which cannot be read.
async fn refold_some(
    session: &Session,
    log: &str,
    behind: Behind,
    kept: Kept,
) -> Result<Vec<UnreadableEntry>> {
    const REFOLDED_TO: &str = "
        -- statistics: folded anew
        UPDATE statistics_log
        SET refolded = $2,
            passed_over = passed_over + $3
        WHERE log = $1";
    let limit = REFOLDED.min(u32::try_from(behind.of - behind.folded).unwrap_or(REFOLDED));
    let page = entries::read(session, log, Which::All, behind.folded, limit).await?;
    let to = refold::after(&page, behind.of);
    let (given, passed_over) = refolded_where_readable(session, log, page, kept).await?;
    add_given(session, log, given).await?;
    let update = session.prepare_cached(REFOLDED_TO).await?;
    session.execute(&update, &[&log, &at_most(to), &at_most(passed_over.len() as u64)]).await?;
    Ok(passed_over)
}

/// What the entries of a page give, but for those that cannot be read, or what they take back; which those are.
async fn refolded_where_readable(
    session: &Session,
    log: &str,
    page: Vec<std::result::Result<StoredEntry, UnreadableEntry>>,
    kept: Kept,
) -> Result<(Given, Vec<UnreadableEntry>)> {
    let (page, mut passed_over) = refold::readable(page);
    match refolded(session, log, &page, kept).await {
        Ok(given) => return Ok((given, passed_over)),
        Err(error) => error.into_unreadable()?,
    };
    let mut given = Given::default();
    for stored in &page {
        match refolded(session, log, std::slice::from_ref(stored), kept).await {
            Ok(of_one) => given.merge(&of_one, 1),
            Err(error) => {
                passed_over.push(UnreadableEntry { index: stored.index, what: error.into_unreadable()? });
            }
        }
    }
    Ok((given, passed_over))
}

/// What the entries of a page give.
pub(super) async fn refolded(
    session: &Session,
    log: &str,
    page: &[StoredEntry],
    kept: Kept,
) -> Result<Given> {
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
    refold::given(page, &known, &taken_back, &taken, kept).map_err(|error| damaged(log, &error.into()))
}

/// Pages with these names, in no order.
async fn load(session: &Session, log: &str, from: &str, names: &[PageId]) -> Result<Vec<(PageId, Vec<u8>)>> {
    const LOAD: &str = "
        -- statistics: pages
        SELECT page.*
        FROM unnest($2::text[], $3::integer[], $4::text[], $5::bytea[]) AS wanted (level, start, slice, first_key)
        CROSS JOIN LATERAL (
            SELECT level, start, slice, first_key, cells
            FROM statistics_page
            WHERE log = $1 AND level = wanted.level AND start = wanted.start AND slice = wanted.slice
                AND first_key = wanted.first_key
            LIMIT 1
        ) AS page";
    let Columns { levels, starts, slices, first_keys } = Columns::of(names);
    let sql = LOAD.replace(STORED, from);
    let found = session.rows(&sql, &[&log, &levels, &starts, &slices, &first_keys]).await?;
    found.iter().map(read_page).collect()
}

/// Adds sums to the pages that hold them, in the table `into`.
pub(super) async fn add(session: &Session, log: &str, into: &str, sums: Sums) -> Result<()> {
    const NAMES: &str = "
        -- statistics: pages of buckets
        SELECT page.*
        FROM unnest($2::text[], $3::integer[]) AS wanted (level, start)
        CROSS JOIN LATERAL (
            SELECT level, start, slice, first_key
            FROM statistics_page
            WHERE log = $1 AND level = wanted.level AND start = wanted.start
        ) AS page";
    const PUT: &str = "
        -- statistics: put pages
        INSERT INTO statistics_page (log, level, start, slice, first_key, cells)
        SELECT $1, page.*
        FROM unnest($2::text[], $3::integer[], $4::text[], $5::bytea[], $6::bytea[]) AS page
        ON CONFLICT (log, level, start, slice, first_key) DO UPDATE
        SET cells = excluded.cells";
    const REMOVE: &str = "
        -- statistics: remove pages
        DELETE FROM statistics_page AS page
        USING unnest($2::text[], $3::integer[], $4::text[], $5::bytea[]) AS gone (level, start, slice, first_key)
        WHERE log = $1 AND page.level = gone.level AND page.start = gone.start AND page.slice = gone.slice
            AND page.first_key = gone.first_key";
    if sums.is_zero() {
        return Ok(());
    }
    let sql = |sql: &str| sql.replace(STORED, into);
    let buckets = sums.buckets();
    let levels: Vec<&str> = buckets.iter().map(|bucket| bucket.level.as_str()).collect();
    let starts: Vec<i32> = buckets.iter().map(|bucket| bucket.start.number()).collect();
    let found = session.rows(&sql(NAMES), &[&log, &levels, &starts]).await?;
    let mut known: Vec<PageId> = found.iter().map(page_id).collect::<Result<_>>()?;
    known.sort_unstable();
    let touched = page::touched(&known, &sums);
    let loaded: BTreeMap<PageId, Vec<u8>> = load(session, log, into, &touched).await?.into_iter().collect();
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
        let Columns { levels, starts, slices, first_keys } = Columns::of(&put);
        let statement = session.prepare_cached(&sql(PUT)).await?;
        session.execute(&statement, &[&log, &levels, &starts, &slices, &first_keys, &cells]).await?;
    }
    if !gone.is_empty() {
        let Columns { levels, starts, slices, first_keys } = Columns::of(&gone);
        let statement = session.prepare_cached(&sql(REMOVE)).await?;
        session.execute(&statement, &[&log, &levels, &starts, &slices, &first_keys]).await?;
    }
    Ok(())
}

/// The names of pages, by columns.
struct Columns<'a> {
    levels: Vec<&'a str>,
    starts: Vec<i32>,
    slices: Vec<&'a str>,
    first_keys: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(pages: &'a [PageId]) -> Self {
        Self {
            levels: pages.iter().map(|page| page.bucket.level.as_str()).collect(),
            starts: pages.iter().map(|page| page.bucket.start.number()).collect(),
            slices: pages.iter().map(|page| page.slice.as_str()).collect(),
            first_keys: pages.iter().map(|page| page.first.as_bytes()).collect(),
        }
    }
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
    let bucket = Bucket { level: row.name(0)?, start: hour(row, 1)? };
    Ok(PageId { slice: row.name(2)?, bucket, first: Key::from_bytes(row.blob(3)?.to_owned()) })
}

fn hour(row: &Row, column: usize) -> Result<Hour> {
    let hour = Hour::from_number(row.number(column)?);
    hour.ok_or_else(|| row.unreadable(column, "its year is not from 1 to 9999"))
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
    kept: Kept,
) -> Result<std::result::Result<Given, NotPacked>> {
    Ok(given(&pending(session, log).await?, kept))
}

async fn pending(session: &Session, log: &str) -> Result<Vec<Packed>> {
    const UNFOLDED: &str = "
        -- statistics: all that is not folded yet
        SELECT contributions
        FROM statistics_pending
        WHERE log = $1
        ORDER BY idx";
    packed(&session.rows(UNFOLDED, &[&log]).await?, 0)
}

/// The buckets that the statistics of a log are in.
pub(super) async fn kept(session: &Session, log: &str) -> Result<Kept> {
    const COME_TO: &str = "
        -- statistics: buckets that are kept
        SELECT come_to
        FROM statistics_log
        WHERE log = $1";
    let row = session.row(COME_TO, &[&log]).await?;
    let row = row.ok_or_else(|| Error::damaged(format!("the log {log} has no statistics")))?;
    Ok(Kept::at(hour(&row, 0)?))
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
