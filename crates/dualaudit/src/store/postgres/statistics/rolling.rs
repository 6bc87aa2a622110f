//! Putting buckets that are over together.

use dualaudit_record::{
    Time,
    statistics::{Bucket, Kept},
};
use tokio_postgres::types::ToSql;

use super::{STORED, add, apart, damaged, hour, load, page_id};
use crate::store::{
    postgres::{error::Result, session::Session},
    statistics::{
        BadStatistics,
        page::PageId,
        rolling::{After, GONE, ROLLED, Rolling, gone, put_together},
    },
};

/// Brings the buckets that are kept on to the day of `as_of`, some pages at a time; answers whether there may be more.
pub(super) async fn roll(
    session: &Session,
    log: &str,
    kept: Kept,
    rolling: Option<Rolling>,
    as_of: Time,
) -> Result<bool> {
    const COME: &str = "
        -- statistics: come to a day
        UPDATE statistics_log
        SET come_to = $2,
            rolling = NULL
        WHERE log = $1";
    const ON_THE_WAY: &str = "
        -- statistics: on the way to a day
        UPDATE statistics_log
        SET rolling = $2
        WHERE log = $1";
    const EMPTY: &str = "
        -- statistics: empty a bucket
        DELETE FROM statistics_page
        WHERE log = $1 AND level = $2 AND start = $3";
    let Some(mut rolling) = rolling.or_else(|| Rolling::begin(kept, as_of)) else {
        return remove_gone(session, log, kept).await;
    };
    let Some(target) = to_be_put_together(session, log, kept, &mut rolling).await? else {
        let come = session.prepare_cached(COME).await?;
        session.execute(&come, &[&log, &rolling.to().hour().number()]).await?;
        return Ok(true);
    };
    if rolling.after.is_none() {
        let empty = session.prepare_cached(EMPTY).await?;
        session.execute(&empty, &[&log, &target.level.as_str(), &target.start.number()]).await?;
    }
    let names = next_sources(session, log, &rolling, target).await?;
    let pages = load(session, log, STORED, &names).await?;
    let sums = apart(move || put_together(&pages, target).map_err(BadStatistics::from)).await?;
    add(session, log, STORED, sums.map_err(|error| damaged(log, &error))?).await?;
    rolling.added(target, names.last(), names.len() < ROLLED as usize);
    let on_the_way = session.prepare_cached(ON_THE_WAY).await?;
    session.execute(&on_the_way, &[&log, &rolling.to_bytes()]).await?;
    Ok(true)
}

/// The next bucket that is over and not put together yet.
async fn to_be_put_together(
    session: &Session,
    log: &str,
    kept: Kept,
    rolling: &mut Rolling,
) -> Result<Option<Bucket>> {
    const OLDEST: &str = "
        -- statistics: oldest bucket from an hour on
        SELECT start
        FROM statistics_page
        WHERE log = $1 AND level = $2 AND start >= $3
        ORDER BY start
        LIMIT 1";
    loop {
        let (level, from) = (rolling.source(), rolling.from.number());
        let oldest = session.row(OLDEST, &[&log, &level.as_str(), &from]).await?;
        let oldest = oldest.map(|row| hour(&row, 0)).transpose()?;
        if let Some(target) = oldest.and_then(|oldest| rolling.target(oldest)) {
            return Ok(Some(target));
        }
        if !rolling.longer(kept) {
            return Ok(None);
        }
    }
}

/// The next pages that a longer bucket is put together from.
async fn next_sources(
    session: &Session,
    log: &str,
    rolling: &Rolling,
    target: Bucket,
) -> Result<Vec<PageId>> {
    const NAMES: &str = "
        -- statistics: pages of shorter buckets
        SELECT level, start, slice, first_key
        FROM statistics_page
        WHERE log = $1 AND level = $2 AND start >= $3 AND start < $4 AND (slice, first_key, start) > ($5, $6, $7)
        ORDER BY slice, first_key, start
        LIMIT $8";
    let (slice, first_key, start) = After::columns(rolling.after.as_ref());
    let (level, from, until) = (rolling.source(), target.start.number(), target.end().number());
    let of: [&(dyn ToSql + Sync); 8] =
        [&log, &level.as_str(), &from, &until, &slice, &first_key, &start, &i64::from(ROLLED)];
    session.rows(NAMES, &of).await?.iter().map(page_id).collect()
}

/// Removes some pages of buckets that are not kept any more; answers whether there may be more.
async fn remove_gone(session: &Session, log: &str, kept: Kept) -> Result<bool> {
    const REMOVE: &str = "
        -- statistics: remove what is not kept
        DELETE FROM statistics_page
        WHERE log = $1 AND level = $2 AND (start, slice, first_key) IN (
            SELECT start, slice, first_key
            FROM statistics_page
            WHERE log = $1 AND level = $2 AND start < $3
            ORDER BY start, slice, first_key
            LIMIT $4)";
    for (level, before) in gone(kept) {
        let remove = session.prepare_cached(REMOVE).await?;
        let of: [&(dyn ToSql + Sync); 4] = [&log, &level.as_str(), &before.number(), &i64::from(GONE)];
        if session.execute(&remove, &of).await? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
