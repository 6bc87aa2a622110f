//! Tables that a log's entries say all of, made anew from them. Replacing them is for the database's owner.

use async_trait::async_trait;
use dualaudit_record::{
    Time,
    entry::Review,
    proof,
    statistics::{Daily, Kept},
};
use tokio_postgres::types::ToSql;

use super::{
    PostgresStore, entries,
    error::{Error, Result},
    read,
    session::Session,
    statistics,
    values::{Micros, at_most, small},
};
use crate::store::{
    Head, StoreError, StoredEntry, Which, names,
    rebuild::{
        COPY_REBUILT, COUNT_REBUILT, Compared, DAYS, DIFFERING_PAGES, Derived, DerivedTable, LEAF_HASHES,
        Mode, REBUILT_PAGES, REPLACE_STATISTICS, Rebuild, Rebuilding, Summing, TABLES, TakingAway,
        days_like_stored, pages_like_stored,
    },
    rows::Cells as _,
    statistics::{
        Given,
        days::Days,
        page::{BadPage, PageId},
    },
};

/// Whole tables are compared: in any order, and for as long as it takes.
const AT_LENGTH: &str = "
    SET LOCAL statement_timeout = 0;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_sort = on;
    SET LOCAL enable_hashjoin = on";

#[async_trait]
impl Rebuild for PostgresStore {
    async fn begin_rebuild(
        &self,
        log: &str,
        mode: Mode,
    ) -> std::result::Result<Box<dyn Rebuilding>, StoreError> {
        const LOCK: &str = "
            -- rebuild: lock the head
            SELECT size
            FROM log
            WHERE name = $1
            FOR UPDATE";
        let begin = async {
            let session = Session::new(&self.pools.writers).await?;
            match mode {
                Mode::Check => session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?,
                Mode::Replace => {
                    session.batch_execute("BEGIN").await?;
                    session.row(LOCK, &[&log]).await?;
                }
            }
            for table in TABLES.iter().chain([&LEAF_HASHES]) {
                session.batch_execute(&table.create()).await?;
                session.batch_execute(&table.index()).await?;
            }
            session.batch_execute(&pages_like_stored(REBUILT_PAGES)).await?;
            session.batch_execute(&pages_like_stored(DIFFERING_PAGES)).await?;
            for (days, _) in &DAYS {
                session.batch_execute(&days_like_stored(days)).await?;
            }
            let heads = read::logs(&session).await?;
            let head = heads.into_iter().find(|head| head.log == log);
            let head = head.ok_or_else(|| StoreError::Foreign(format!("there is no log {log:?}")))?;
            let kept = statistics::kept(&session, log).await?;
            Ok((session, head, kept))
        };
        let (session, head, kept) = self.worked(begin).await?;
        let (name, summing) = (self.name.to_string(), Summing::default());
        Ok(Box::new(PostgresRebuilding { session, head, kept, name, summing }))
    }
}

/// Its session is never given back: closing the connection undoes what is not committed, and forgets the
/// temporary tables.
struct PostgresRebuilding {
    session: Session,
    head: Head,
    /// The buckets that the statistics are in.
    kept: Kept,
    /// What errors call the database.
    name: String,
    summing: Summing,
}

#[async_trait]
impl Rebuilding for PostgresRebuilding {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn entries(&mut self, from: u64, limit: u32) -> std::result::Result<Vec<StoredEntry>, StoreError> {
        let entries = entries::entries(&self.session, &self.head.log, Which::All, from, limit);
        entries.await.map_err(|error| error.at(&self.name))
    }

    async fn contribute(&mut self, page: Vec<StoredEntry>) -> std::result::Result<(), StoreError> {
        let Self { session, head, kept, summing, .. } = self;
        let contribute = async {
            let given = statistics::refolded(session, &head.log, &page, *kept).await?;
            match summing.push(page.len(), &given) {
                Some(due) => add(session, &head.log, due).await,
                None => Ok(()),
            }
        };
        contribute.await.map_err(|error| error.at(&self.name))
    }

    async fn put(&mut self, rows: Vec<Derived>) -> std::result::Result<(), StoreError> {
        for row in &rows {
            put(&self.session, row).await.map_err(|error| error.at(&self.name))?;
        }
        Ok(())
    }

    async fn compare(&mut self) -> std::result::Result<Vec<Compared>, StoreError> {
        let rest = self.summing.take();
        compare_all(&self.session, &self.head, self.kept, rest).await.map_err(|error| error.at(&self.name))
    }

    async fn replace(
        self: Box<Self>,
        head: proof::Head,
        recorded_at: Option<Time>,
    ) -> std::result::Result<(), StoreError> {
        let replaced = replace(&self.session, &self.head.log, head, recorded_at).await;
        replaced.map_err(|error| error.at(&self.name))
    }
}

async fn put(session: &Session, row: &Derived) -> Result<()> {
    let insert = async |sql: &str, values: &[&(dyn ToSql + Sync)]| {
        let statement = session.prepare_cached(sql).await?;
        session.execute(&statement, values).await?;
        Ok(())
    };
    match row {
        Derived::Tile(tile) => {
            let (level, index) = (i16::from(tile.level), at_most(tile.index));
            insert("INSERT INTO rebuilt_log_tile VALUES ($1, $2, $3)", &[&level, &index, &tile.hashes]).await
        }
        Derived::Hold { index, hold, placed_at } => {
            let (index, placed_at) = (at_most(*index), Micros::from(*placed_at));
            let (id, selector) = names::covers(&hold.covers);
            insert(
                "INSERT INTO rebuilt_hold VALUES ($1, $2, $3::text::jsonb, $4, $5, $6, NULL, NULL)",
                &[&index, &id, &selector, &hold.reason, &hold.actor, &placed_at],
            )
            .await
        }
        Derived::Release { hold, by, released_at } => {
            insert(
                "UPDATE rebuilt_hold SET released_at = $2, released_idx = $3 WHERE idx = $1",
                &[&at_most(*hold), &Micros::from(*released_at), &at_most(*by)],
            )
            .await
        }
        Derived::Review { index, review, recorded_at } => {
            let Review { execution_id, attempt, verdict, note, actor } = review;
            let (index, attempt, recorded_at) =
                (at_most(*index), small(*attempt), Micros::from(*recorded_at));
            insert(
                "INSERT INTO rebuilt_review VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &[&index, execution_id, &attempt, &verdict.as_str(), note, actor, &recorded_at],
            )
            .await
        }
        Derived::Purged { first, last, by } => {
            insert(
                "INSERT INTO rebuilt_purged VALUES ($1, $2, $3)",
                &[&at_most(*last), &at_most(*first), &at_most(*by)],
            )
            .await
        }
        Derived::Erased { entry, by } => {
            insert("INSERT INTO rebuilt_erased VALUES ($1, $2)", &[&at_most(*entry), &at_most(*by)]).await
        }
        Derived::Succeeds(predecessor) => {
            insert("INSERT INTO rebuilt_succession VALUES ($1)", &[predecessor]).await
        }
        Derived::LeafHash { index, leaf_hash } => {
            insert(
                "INSERT INTO rebuilt_log_entry VALUES ($1, $2)",
                &[&at_most(*index), &leaf_hash.0.as_slice()],
            )
            .await
        }
    }
}

/// Adds to the statistics that are made anew.
async fn add(session: &Session, log: &str, Given { sums, daily }: Given) -> Result<()> {
    statistics::add(session, log, REBUILT_PAGES, sums).await?;
    statistics::add_days(session, log, Days::Rebuilt, &daily).await
}

async fn compare_all(session: &Session, head: &Head, kept: Kept, rest: Given) -> Result<Vec<Compared>> {
    let log = head.log.as_str();
    add(session, log, rest).await?;
    session.batch_execute(AT_LENGTH).await?;
    let mut compared = Vec::new();
    for table in &TABLES {
        session.batch_execute(&format!("ANALYZE rebuilt_{}", table.name)).await?;
        compared.push(compare(session, log, table).await?);
    }
    // Only those that differ were put.
    let differing = session.query_one(&LEAF_HASHES.count(), &[]).await?.number(0)?;
    let first = session.query(&LEAF_HASHES.put_keys(), &[]).await?;
    let first = first.iter().map(|row| row.string(0)).collect::<Result<_>>()?;
    compared.push(Compared { table: LEAF_HASHES.name, rows: 0, differing, first });
    // What is not yet folded of what was there before is no difference.
    if statistics::how_far(session, log).await?.is_none() {
        compared.extend(compare_statistics(session, log, kept).await?);
    }
    Ok(compared)
}

async fn compare_statistics(session: &Session, log: &str, kept: Kept) -> Result<Vec<Compared>> {
    const PAGES: &str = "
        -- rebuild: pages of statistics
        SELECT level, start, slice, first_key, cells
        FROM statistics_page
        WHERE log = $1 AND (level, start, slice, first_key) > ($2, $3, $4, $5)
        ORDER BY level, start, slice, first_key
        LIMIT 64";
    const LEFT: &str = "
        -- rebuild: differing pages of statistics
        SELECT level, start, slice, first_key, cells
        FROM differing_statistics_page
        WHERE log = $1
        ORDER BY level, start, slice, first_key";
    let damaged = |error: BadPage| statistics::damaged(log, &error.into());
    session.batch_execute(COPY_REBUILT).await?;
    let mut taking = TakingAway::default();
    let unfolded = taking.unfolded(statistics::unfolded(session, log, kept).await?);
    statistics::add(session, log, DIFFERING_PAGES, unfolded.sums).await?;
    let mut after = (String::new(), 0, String::new(), Vec::new());
    loop {
        let found = session.rows(PAGES, &[&log, &after.0, &after.1, &after.2, &after.3]).await?;
        let pages: Vec<(PageId, Vec<u8>)> = found.iter().map(statistics::read_page).collect::<Result<_>>()?;
        let Some((last, _)) = pages.last() else { break };
        after = (
            last.bucket.level.to_string(),
            last.bucket.start.number(),
            last.slice.to_string(),
            last.first.as_bytes().to_vec(),
        );
        let sums = taking.pages(&pages, kept);
        statistics::add(session, log, DIFFERING_PAGES, sums).await?;
    }
    let left = session.rows(LEFT, &[&log]).await?;
    let left: Vec<(PageId, Vec<u8>)> = left.iter().map(statistics::read_page).collect::<Result<_>>()?;
    let rows = session.query_one(COUNT_REBUILT, &[]).await?.number(0)?;
    let mut compared = vec![taking.compared(rows, &left).map_err(damaged)?];
    // What is not folded yet is not in them: it is taken out to compare, and is there again to replace.
    statistics::add_days(session, log, Days::Rebuilt, &unfolded.daily).await?;
    for (_, table) in &DAYS {
        session.batch_execute(&format!("ANALYZE rebuilt_{}", table.name)).await?;
        compared.push(compare(session, log, table).await?);
    }
    let mut back = Daily::default();
    back.merge(&unfolded.daily, -1);
    statistics::add_days(session, log, Days::Rebuilt, &back).await?;
    Ok(compared)
}

async fn compare(session: &Session, log: &str, table: &DerivedTable) -> Result<Compared> {
    let [differing, shown] = table.differing();
    let first = session.query(&shown, &[&log]).await?;
    Ok(Compared {
        table: table.name,
        rows: session.query_one(&table.count(), &[]).await?.number(0)?,
        differing: session.query_one(&differing, &[&log]).await?.number(0)?,
        first: first.iter().map(|row| row.string(0)).collect::<Result<_>>()?,
    })
}

async fn replace(session: &Session, log: &str, head: proof::Head, recorded_at: Option<Time>) -> Result<()> {
    const LEAF: &str = "
        -- rebuild: leaf hashes
        UPDATE log_entry AS entry
        SET leaf_hash = rebuilt.leaf_hash
        FROM rebuilt_log_entry AS rebuilt
        WHERE entry.log = $1 AND entry.idx = rebuilt.idx";
    const HEAD: &str = "
        -- rebuild: head
        UPDATE log
        SET size = $2,
            root = $3,
            recorded_at = $4
        WHERE name = $1";
    for table in &TABLES {
        triggers(session, table.name, "DISABLE").await?;
        for change in table.replace() {
            session.execute(&change, &[&log]).await?;
        }
        triggers(session, table.name, "ENABLE").await?;
    }
    for replace in REPLACE_STATISTICS {
        session.execute(replace, &[&log]).await?;
    }
    for replace in DAYS.iter().flat_map(|(_, table)| table.replace()) {
        session.execute(&replace, &[&log]).await?;
    }
    triggers(session, "log_entry", "DISABLE").await?;
    session.execute(LEAF, &[&log]).await?;
    triggers(session, "log_entry", "ENABLE").await?;
    triggers(session, "log", "DISABLE").await?;
    let (size, recorded_at) = (at_most(head.size), recorded_at.map(Micros::from));
    session.execute(HEAD, &[&log, &size, &head.root.0.as_slice(), &recorded_at]).await?;
    triggers(session, "log", "ENABLE").await?;
    session.batch_execute("COMMIT").await.map_err(Error::Commit)
}

/// Changes are made without the triggers of a table, which nobody else sees off: it is locked until the commit.
async fn triggers(session: &Session, table: &str, what: &str) -> Result<()> {
    Ok(session.batch_execute(&format!("ALTER TABLE {table} {what} TRIGGER USER")).await?)
}
