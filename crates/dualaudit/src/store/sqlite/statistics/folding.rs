//! Folding what appends gave into pages. It is worked out beside the writer, which only makes the changes, if nobody folded
//! meanwhile: appends wait for a few pages, and not for what is in them.

use dualaudit_record::statistics::{Bucket, Daily, Hour, Kept, Packed};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{STORED, add_days, changes, damaged, hour, load, make, page_id, refolded_where_readable};
use crate::store::{
    UnreadableEntry,
    sqlite::{
        entries,
        error::Result,
        known::{collect, first},
        tree,
    },
    statistics::{
        Given, PENDING, PENDING_BYTES, REFOLDED,
        days::Days,
        given,
        page::{self, Change, PageId},
        refold,
        rolling::{self, After, GONE, ROLLED, Rolling},
    },
};

/// What is to be done next.
pub(super) struct Planned {
    /// How the statistics were when it was worked out.
    seen: Seen,
    step: Step,
    changes: Vec<Change>,
    /// What is added to the rows of days.
    daily: Daily,
    /// Entries that cannot be read, and give nothing.
    pub(super) passed_over: Vec<UnreadableEntry>,
}

enum Step {
    /// What was given up to this entry is folded.
    Folded(u64),
    /// Entries before this one are folded anew; of those that were now, so many could not be read.
    Refolded(u64, usize),
    /// Some of a longer bucket is put together; first of all nothing is in it.
    Rolled(Rolling, Option<Bucket>),
    /// All longer buckets are put together.
    Come(Kept),
    /// Some of what is not kept goes.
    Gone(Kept),
}

/// Whatever changes when somebody else folds.
#[derive(PartialEq)]
struct Seen {
    come_to: Hour,
    rolling: Option<Vec<u8>>,
    refolded: u64,
    refold_until: u64,
    first_pending: Option<u64>,
}

impl Seen {
    fn now(connection: &Connection, log: &str) -> Result<Option<Self>> {
        const SEEN: &str = "
            -- statistics: how far
            SELECT come_to, rolling, refolded, refold_until, (
                SELECT min(idx)
                FROM statistics_pending
                WHERE log = ?1)
            FROM statistics_log
            WHERE log = ?1";
        first(connection, SEEN, [log], |row| {
            Ok(Self {
                come_to: hour(row, 0)?,
                rolling: row.get(1)?,
                refolded: row.get(2)?,
                refold_until: row.get(3)?,
                first_pending: row.get(4)?,
            })
        })
    }
}

/// Works out what is to be done next; `None` where all that was given is folded.
pub(super) fn plan(connection: &Connection, log: &str) -> Result<Option<Planned>> {
    let Some(as_of) = tree::head(connection, log)?.recorded_at else { return Ok(None) };
    let Some(seen) = Seen::now(connection, log)? else { return Ok(None) };
    let kept = Kept::at(seen.come_to);
    let mut passed_over = Vec::new();
    let rolling = seen.rolling.as_deref().and_then(Rolling::from_bytes);
    let planned = if let Some(rolling) = rolling.or_else(|| Rolling::begin(kept, as_of)) {
        let (step, changes) = roll(connection, log, kept, rolling)?;
        Some((step, changes, Daily::default()))
    } else if has_gone(connection, log, kept)? {
        Some((Step::Gone(kept), Vec::new(), Daily::default()))
    } else if seen.refolded < seen.refold_until {
        let (step, changes, daily, unreadable) = refold(connection, log, &seen, kept)?;
        passed_over = unreadable;
        Some((step, changes, daily))
    } else {
        fold(connection, log, kept)?
    };
    Ok(planned.map(|(step, changes, daily)| Planned { seen, step, changes, daily, passed_over }))
}

/// Does what was worked out, unless somebody else was faster.
pub(super) fn carry_out(connection: &mut Connection, log: &str, planned: Planned) -> Result<()> {
    const FOLDED: &str = "
        -- statistics: folded
        DELETE FROM statistics_pending
        WHERE log = ?1 AND idx <= ?2";
    const REFOLDED_TO: &str = "
        -- statistics: folded anew
        UPDATE statistics_log
        SET refolded = ?2,
            passed_over = passed_over + ?3
        WHERE log = ?1";
    const EMPTY: &str = "
        -- statistics: empty a bucket
        DELETE FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start = ?3";
    const ON_THE_WAY: &str = "
        -- statistics: on the way to a day
        UPDATE statistics_log
        SET rolling = ?2
        WHERE log = ?1";
    const COME: &str = "
        -- statistics: come to a day
        UPDATE statistics_log
        SET come_to = ?2,
            rolling = NULL
        WHERE log = ?1";
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Planned { seen, step, changes, daily, .. } = planned;
    if Seen::now(&transaction, log)?.as_ref() != Some(&seen) {
        return Ok(());
    }
    let execute = |sql: &str, of: &[&dyn rusqlite::ToSql]| transaction.prepare_cached(sql)?.execute(of);
    match step {
        Step::Folded(last) => execute(FOLDED, params![log, last])?,
        Step::Refolded(to, passed_over) => execute(REFOLDED_TO, params![log, to, passed_over])?,
        Step::Rolled(rolling, empty) => {
            if let Some(bucket) = empty {
                execute(EMPTY, params![log, bucket.level.as_str(), bucket.start.number()])?;
            }
            execute(ON_THE_WAY, params![log, rolling.to_bytes()])?
        }
        Step::Come(kept) => execute(COME, params![log, kept.hour().number()])?,
        Step::Gone(kept) => remove_gone(&transaction, log, kept)?,
    };
    make(&transaction, log, STORED, &changes)?;
    add_days(&transaction, log, Days::Stored, &daily)?;
    Ok(transaction.commit()?)
}

fn fold(connection: &Connection, log: &str, kept: Kept) -> Result<Option<(Step, Vec<Change>, Daily)>> {
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
    let Some((last, _)) = pending.last() else { return Ok(None) };
    let last = *last;
    let packed: Vec<Packed> = pending.into_iter().map(|(_, packed)| packed).collect();
    let Given { sums, daily } = given(&packed, kept).map_err(|error| damaged(log, &error.into()))?;
    Ok(Some((Step::Folded(last), changes(connection, log, STORED, sums)?, daily)))
}

/// Folds the next entries of a log that was there before statistics were kept.
fn refold(
    connection: &Connection,
    log: &str,
    seen: &Seen,
    kept: Kept,
) -> Result<(Step, Vec<Change>, Daily, Vec<UnreadableEntry>)> {
    let limit = REFOLDED.min(u32::try_from(seen.refold_until - seen.refolded).unwrap_or(REFOLDED));
    let page = entries::read(connection, log, &entries::Wanted::All, seen.refolded, limit)?;
    let to = refold::after(&page, seen.refold_until);
    let (Given { sums, daily }, passed_over) = refolded_where_readable(connection, log, page, kept)?;
    Ok((Step::Refolded(to, passed_over.len()), changes(connection, log, STORED, sums)?, daily, passed_over))
}

/// Brings the buckets that are kept on to a later day, some pages at a time.
fn roll(connection: &Connection, log: &str, kept: Kept, mut rolling: Rolling) -> Result<(Step, Vec<Change>)> {
    let Some(target) = to_be_put_together(connection, log, kept, &mut rolling)? else {
        return Ok((Step::Come(rolling.to()), Vec::new()));
    };
    let pages = next_sources(connection, log, &rolling, target)?;
    let sums = rolling::put_together(&pages, target).map_err(|error| damaged(log, &error.into()))?;
    let (empty, changes) = match rolling.after {
        Some(_) => (None, changes(connection, log, STORED, sums)?),
        None => {
            let changes = page::add(&[], Default::default(), sums);
            (Some(target), changes.map_err(|error| damaged(log, &error.into()))?)
        }
    };
    rolling.added(target, pages.last().map(|(id, _)| id), pages.len() < ROLLED as usize);
    Ok((Step::Rolled(rolling, empty), changes))
}

/// The next bucket that is over and not put together yet.
fn to_be_put_together(
    connection: &Connection,
    log: &str,
    kept: Kept,
    rolling: &mut Rolling,
) -> Result<Option<Bucket>> {
    const OLDEST: &str = "
        -- statistics: oldest bucket from an hour on
        SELECT min(start)
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start >= ?3";
    loop {
        let of = params![log, rolling.source().as_str(), rolling.from.number()];
        let oldest = first(connection, OLDEST, of, |row| Ok(row.get(0)?))?.flatten();
        let oldest = oldest.and_then(Hour::from_number);
        if let Some(target) = oldest.and_then(|oldest| rolling.target(oldest)) {
            return Ok(Some(target));
        }
        if !rolling.longer(kept) {
            return Ok(None);
        }
    }
}

/// The next pages that a longer bucket is put together from.
fn next_sources(
    connection: &Connection,
    log: &str,
    rolling: &Rolling,
    target: Bucket,
) -> Result<Vec<(PageId, Vec<u8>)>> {
    const NAMES: &str = "
        -- statistics: pages of shorter buckets
        SELECT level, start, slice, first_key
        FROM statistics_page
        WHERE log = ?1 AND level = ?2 AND start >= ?3 AND start < ?4 AND (slice, first_key, start) > (?5, ?6, ?7)
        ORDER BY slice, first_key, start
        LIMIT ?8";
    let (slice, first_key, start) = After::columns(rolling.after.as_ref());
    let of = params![
        log,
        rolling.source().as_str(),
        target.start.number(),
        target.end().number(),
        slice,
        first_key,
        start,
        ROLLED
    ];
    let names = collect(connection, NAMES, of, page_id)?;
    load(connection, log, STORED, names)
}

/// Whether there is anything in buckets that are not kept any more.
fn has_gone(connection: &Connection, log: &str, kept: Kept) -> Result<bool> {
    const OLDEST: &str = "
        -- statistics: oldest bucket of a length
        SELECT min(start) < ?3
        FROM statistics_page
        WHERE log = ?1 AND level = ?2";
    for (level, before) in rolling::gone(kept) {
        let of = params![log, level.as_str(), before.number()];
        if first(connection, OLDEST, of, |row| Ok(row.get::<_, Option<bool>>(0)?))?.flatten() == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes some of it; answers how many pages.
fn remove_gone(connection: &Connection, log: &str, kept: Kept) -> rusqlite::Result<usize> {
    const REMOVE: &str = "
        -- statistics: remove what is not kept
        DELETE FROM statistics_page
        WHERE rowid IN (
            SELECT rowid
            FROM statistics_page
            WHERE log = ?1 AND level = ?2 AND start < ?3
            LIMIT ?4)";
    let mut removed = 0;
    for (level, before) in rolling::gone(kept) {
        let of = params![log, level.as_str(), before.number(), GONE];
        removed += connection.prepare_cached(REMOVE)?.execute(of)?;
    }
    Ok(removed)
}
