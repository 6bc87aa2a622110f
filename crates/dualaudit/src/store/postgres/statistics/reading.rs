//! Reading: the pages that hold what questions ask for.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
};

use dualaudit_record::statistics::{Bucket, Kept, Key, Level, Stretch};
use futures::TryStreamExt;
use tokio_postgres::types::ToSql;

use super::{apart, behind, damaged, hour, pending, read_page};
use crate::store::{
    StoreError,
    postgres::{error::Result, session::Session, values::at_most},
    rows::Cells as _,
    statistics::{Findings, FoundCells, MOST_BYTES, NotFound, Run, WantedCells, page::PageId, runs},
};

/// See [`Statistics::cells`](crate::store::Statistics::cells).
pub(super) async fn cells(session: &Session, log: &str, wanted: &[WantedCells]) -> Result<FoundCells> {
    const LOG: &str = "
        -- statistics: how far
        SELECT recorded_at, refolded, refold_until, come_to, passed_over
        FROM statistics_log
        JOIN log ON name = statistics_log.log
        WHERE statistics_log.log = $1";
    let nothing = || FoundCells { cells: vec![Vec::new(); wanted.len()], ..FoundCells::default() };
    let Some(row) = session.row(LOG, &[&log]).await? else { return Ok(nothing()) };
    let Some(as_of) = row.optional(0, |row, column| row.time(column))? else { return Ok(nothing()) };
    let (behind, kept) = (behind(&row, 1)?, Kept::at(hour(&row, 3)?));
    let passed_over = row.number(4)?;
    let runs = runs(wanted, kept, as_of);
    let buckets = buckets_of(session, log, &runs).await?;
    let (pages, pending) =
        tokio::try_join!(pages(session, log, wanted, &runs, &buckets), pending(session, log))?;
    let wanted = wanted.to_owned();
    let found = apart(move || {
        let mut findings = Findings::new(&wanted, as_of);
        for (place, id, bytes) in &pages {
            findings.page(*place, id, bytes)?;
        }
        findings.pending(&pending)?;
        Ok(findings.found())
    });
    let cells = found.await?.map_err(|error| match error {
        NotFound::Bad(error) => damaged(log, &error),
        NotFound::TooMuch => StoreError::TooSlow(error.to_string()).into(),
    })?;
    Ok(FoundCells { cells, behind, passed_over })
}

/// The buckets of these runs that there are.
async fn buckets_of(
    session: &Session,
    log: &str,
    runs: &[(usize, Run)],
) -> Result<HashMap<(Level, Stretch), Vec<Bucket>>> {
    const BUCKETS: &str = "
        -- statistics: buckets in stretches
        WITH RECURSIVE stretch AS (
            SELECT *
            FROM unnest($2::text[], $3::integer[], $4::integer[]) WITH ORDINALITY
                AS stretch (level, first_hour, last_hour, place)
        ), bucket AS (
            SELECT stretch.*, next.start
            FROM stretch
            CROSS JOIN LATERAL (
                SELECT start
                FROM statistics_page
                WHERE log = $1 AND level = stretch.level AND start BETWEEN first_hour AND last_hour
                ORDER BY start
                LIMIT 1
            ) AS next
            UNION ALL
            SELECT bucket.level, bucket.first_hour, bucket.last_hour, bucket.place, next.start
            FROM bucket
            CROSS JOIN LATERAL (
                SELECT start
                FROM statistics_page
                WHERE log = $1 AND level = bucket.level AND start > bucket.start AND start <= last_hour
                ORDER BY start
                LIMIT 1
            ) AS next
        )
        SELECT place, start
        FROM bucket
        ORDER BY place, start";
    // Most questions are about the same time.
    let stretches: BTreeSet<(Level, Stretch)> = runs.iter().map(|(_, run)| (run.level, run.of)).collect();
    let levels: Vec<&str> = stretches.iter().map(|(level, _)| level.as_str()).collect();
    let from: Vec<i32> = stretches.iter().map(|(_, of)| of.from.number()).collect();
    let last: Vec<i32> = stretches.iter().map(|(_, of)| of.until.number() - 1).collect();
    let rows = session.rows(BUCKETS, &[&log, &levels, &from, &last]).await?;
    let stretches: Vec<(Level, Stretch)> = stretches.into_iter().collect();
    let mut buckets: HashMap<(Level, Stretch), Vec<Bucket>> = HashMap::new();
    for row in &rows {
        let (level, of) = stretches[row.number::<usize>(0)? - 1];
        buckets.entry((level, of)).or_default().push(Bucket { level, start: hour(row, 1)? });
    }
    Ok(buckets)
}

/// The pages of runs of buckets that hold the keys that are wanted, each beside the place of the question that it is read
/// for; none beyond what a question may read.
async fn pages(
    session: &Session,
    log: &str,
    wanted: &[WantedCells],
    runs: &[(usize, Run)],
    buckets: &HashMap<(Level, Stretch), Vec<Bucket>>,
) -> Result<Vec<(usize, PageId, Vec<u8>)>> {
    const PAGES: &str = "
        -- statistics: pages of keys
        SELECT bucket.level, bucket.start, bucket.slice, page.first_key, page.cells, bucket.place
        FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::text[], $6::bytea[], $7::bytea[])
            AS bucket (place, level, start, slice, first_key, last_key)
        CROSS JOIN LATERAL (
            SELECT first_key, cells
            FROM statistics_page
            WHERE log = $1 AND level = bucket.level AND start = bucket.start AND slice = bucket.slice
                AND first_key >= coalesce((
                    SELECT first_key
                    FROM statistics_page
                    WHERE log = $1 AND level = bucket.level AND start = bucket.start AND slice = bucket.slice
                        AND first_key <= bucket.first_key
                    ORDER BY first_key DESC
                    LIMIT 1
                ), bucket.first_key)
                AND first_key < bucket.last_key
        ) AS page";
    let ends: Vec<Key> =
        wanted.iter().map(|wanted| wanted.keys.begins().end().unwrap_or_else(Key::last)).collect();
    let mut places: Vec<i64> = Vec::new();
    let (mut levels, mut starts, mut slices) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first_keys, mut last_keys) = (Vec::new(), Vec::new());
    for (place, Run { slice, level, of }) in runs {
        for bucket in buckets.get(&(*level, *of)).into_iter().flatten() {
            places.push(at_most(*place as u64));
            levels.push(level.as_str());
            starts.push(bucket.start.number());
            slices.push(slice.as_str());
            first_keys.push(wanted[*place].keys.begins().as_bytes());
            last_keys.push(ends[*place].as_bytes());
        }
    }
    let of: [&(dyn ToSql + Sync); 7] = [&log, &places, &levels, &starts, &slices, &first_keys, &last_keys];
    let statement = session.prepare_cached(PAGES).await?;
    let mut rows = pin!(session.query_raw(&statement, of).await?);
    let (mut pages, mut read) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let (id, bytes) = read_page(&row)?;
        read += bytes.len();
        if read > MOST_BYTES {
            return Err(StoreError::TooSlow(NotFound::TooMuch.to_string()).into());
        }
        pages.push((row.number::<usize>(5)?, id, bytes));
    }
    Ok(pages)
}
