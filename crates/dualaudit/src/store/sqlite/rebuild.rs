//! Tables that a log's entries say all of, made anew from them.

use async_trait::async_trait;
use dualaudit_record::{
    Time, proof,
    statistics::{Daily, Kept},
};
use rusqlite::{Connection, OpenFlags, params};

use super::{
    SqliteStore, connect, entries,
    error::{Error, Result},
    held::Held,
    known::{collect, first},
    read, statistics,
};
use crate::store::{
    Head, StoreError, StoredEntry, names,
    rebuild::{
        COPY_REBUILT, COUNT_REBUILT, Compared, DAYS, DIFFERING_PAGES, Derived, DerivedTable, LEAF_HASHES,
        Mode, REBUILT_PAGES, REPLACE_STATISTICS, Rebuild, Rebuilding, Summing, TABLES, TakingAway,
        days_like_stored, pages_like_stored,
    },
    statistics::{Given, days::Days, page::BadPage},
};

#[async_trait]
impl Rebuild for SqliteStore {
    async fn begin_rebuild(
        &self,
        log: &str,
        mode: Mode,
    ) -> std::result::Result<Box<dyn Rebuilding>, StoreError> {
        let options = self.options;
        let held = Held::open(&self.file, move |file| {
            let (connection, begin) = match mode {
                Mode::Check => {
                    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_EXRESCODE;
                    let connection = Connection::open_with_flags(file, flags)?;
                    connection.busy_timeout(options.busy_timeout)?;
                    (connection, "BEGIN")
                }
                Mode::Replace => (connect::writer(file, &options)?, "BEGIN IMMEDIATE"),
            };
            // What is put grows with the log: it goes to a file.
            connection.pragma_update(None, "temp_store", 1)?;
            connection.execute_batch(begin)?;
            for table in TABLES.iter().chain([&LEAF_HASHES]) {
                connection.execute_batch(&table.create())?;
                connection.execute_batch(&table.index())?;
            }
            connection.execute_batch(&pages_like_stored(REBUILT_PAGES))?;
            connection.execute_batch(&pages_like_stored(DIFFERING_PAGES))?;
            for (days, _) in &DAYS {
                connection.execute_batch(&days_like_stored(days))?;
            }
            Ok(connection)
        })
        .await?;
        let heads = held.with(read::logs).await?;
        let head = heads.into_iter().find(|head| head.log == log);
        let head = head.ok_or_else(|| StoreError::Foreign(format!("there is no log {log:?}")))?;
        let name = head.log.clone();
        let kept = held.with(move |connection| statistics::kept(connection, &name)).await?;
        Ok(Box::new(SqliteRebuilding { held, head, kept, summing: Summing::default() }))
    }
}

struct SqliteRebuilding {
    held: Held,
    head: Head,
    /// The buckets that the statistics are in.
    kept: Kept,
    summing: Summing,
}

impl SqliteRebuilding {
    /// Adds to the statistics that are made anew.
    async fn add(&self, Given { sums, daily }: Given) -> std::result::Result<(), StoreError> {
        let log = self.head.log.clone();
        self.held
            .with(move |connection| {
                statistics::add(connection, &log, REBUILT_PAGES, sums)?;
                statistics::add_days(connection, &log, Days::Rebuilt, &daily)
            })
            .await
    }
}

#[async_trait]
impl Rebuilding for SqliteRebuilding {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn entries(&mut self, from: u64, limit: u32) -> std::result::Result<Vec<StoredEntry>, StoreError> {
        let log = self.head.log.clone();
        self.held
            .with(move |connection| entries::entries(connection, &log, &entries::Wanted::All, from, limit))
            .await
    }

    async fn contribute(&mut self, page: Vec<StoredEntry>) -> std::result::Result<(), StoreError> {
        let (log, entries, kept) = (self.head.log.clone(), page.len(), self.kept);
        let refold = move |connection: &Connection| statistics::refolded(connection, &log, &page, kept);
        let given = self.held.with(refold).await?;
        match self.summing.push(entries, &given) {
            Some(due) => self.add(due).await,
            None => Ok(()),
        }
    }

    async fn put(&mut self, rows: Vec<Derived>) -> std::result::Result<(), StoreError> {
        self.held.with(move |connection| rows.iter().try_for_each(|row| put(connection, row))).await
    }

    async fn compare(&mut self) -> std::result::Result<Vec<Compared>, StoreError> {
        let rest = self.summing.take();
        self.add(rest).await?;
        let (log, kept) = (self.head.log.clone(), self.kept);
        self.held
            .with(move |connection| {
                let mut compared: Vec<Compared> =
                    TABLES.iter().map(|table| compare(connection, &log, table)).collect::<Result<_>>()?;
                // Only those that differ were put.
                let first = collect(connection, &LEAF_HASHES.put_keys(), [], |row| Ok(row.get(0)?))?;
                let differing = connection.query_row(&LEAF_HASHES.count(), [], |row| row.get(0))?;
                compared.push(Compared { table: LEAF_HASHES.name, rows: 0, differing, first });
                // What is not yet folded of what was there before is no difference.
                if statistics::behind(connection, &log)?.is_none() {
                    compared.extend(compare_statistics(connection, &log, kept)?);
                }
                Ok(compared)
            })
            .await
    }

    async fn replace(
        self: Box<Self>,
        head: proof::Head,
        recorded_at: Option<Time>,
    ) -> std::result::Result<(), StoreError> {
        const LEAF: &str = "
            -- rebuild: leaf hashes
            UPDATE log_entry
            SET leaf_hash = (SELECT rebuilt.leaf_hash FROM rebuilt_log_entry AS rebuilt WHERE rebuilt.idx = log_entry.idx)
            WHERE log = ?1 AND idx IN (SELECT idx FROM rebuilt_log_entry)";
        const HEAD: &str = "
            -- rebuild: head
            UPDATE log
            SET size = ?2,
                root = ?3,
                recorded_at = ?4
            WHERE name = ?1";
        let log = self.head.log.clone();
        self.held
            .with(move |connection| {
                for table in &TABLES {
                    let [remove, add] = table.replace();
                    untriggered(connection, table.name, || {
                        connection.execute(&remove, [&log])?;
                        connection.execute(&add, [&log])?;
                        Ok(())
                    })?;
                }
                for replace in REPLACE_STATISTICS {
                    connection.execute(replace, [&log])?;
                }
                for replace in DAYS.iter().flat_map(|(_, table)| table.replace()) {
                    connection.execute(&replace, [&log])?;
                }
                untriggered(connection, "log_entry", || {
                    connection.execute(LEAF, [&log])?;
                    Ok(())
                })?;
                untriggered(connection, "log", || {
                    let recorded_at = recorded_at.map(Time::as_micros);
                    connection.execute(HEAD, params![log, head.size, head.root.0, recorded_at])?;
                    Ok(())
                })?;
                connection.execute_batch("COMMIT").map_err(Error::Commit)
            })
            .await
    }
}

fn put(connection: &Connection, row: &Derived) -> Result<()> {
    let insert = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> Result<()> {
        connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    };
    match row {
        Derived::Tile(tile) => insert(
            "INSERT INTO rebuilt_log_tile VALUES (?1, ?2, ?3)",
            params![tile.level, tile.index, tile.hashes],
        ),
        Derived::Hold { index, hold, placed_at } => {
            let (execution_id, selector) = names::covers(&hold.covers);
            insert(
                "INSERT INTO rebuilt_hold VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL)",
                params![index, execution_id, selector, hold.reason, hold.actor, placed_at.as_micros()],
            )
        }
        Derived::Release { hold, by, released_at } => insert(
            "UPDATE rebuilt_hold SET released_at = ?2, released_idx = ?3 WHERE idx = ?1",
            params![hold, released_at.as_micros(), by],
        ),
        Derived::Review { index, review, recorded_at } => insert(
            "INSERT INTO rebuilt_review VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                index,
                review.execution_id,
                review.attempt,
                review.verdict.as_str(),
                review.note,
                review.actor,
                recorded_at.as_micros()
            ],
        ),
        Derived::Purged { first, last, by } => {
            insert("INSERT INTO rebuilt_purged VALUES (?1, ?2, ?3)", params![last, first, by])
        }
        Derived::Erased { entry, by } => {
            insert("INSERT INTO rebuilt_erased VALUES (?1, ?2)", params![entry, by])
        }
        Derived::Succeeds(predecessor) => {
            insert("INSERT INTO rebuilt_succession VALUES (?1)", params![predecessor])
        }
        Derived::LeafHash { index, leaf_hash } => {
            insert("INSERT INTO rebuilt_log_entry VALUES (?1, ?2)", params![index, leaf_hash.0])
        }
    }
}

fn compare(connection: &Connection, log: &str, table: &DerivedTable) -> Result<Compared> {
    let [differing, shown] = table.differing();
    Ok(Compared {
        table: table.name,
        rows: connection.query_row(&table.count(), [], |row| row.get(0))?,
        differing: count(connection, &differing, log)?,
        first: collect(connection, &shown, [log], |row| Ok(row.get(0)?))?,
    })
}

fn compare_statistics(connection: &Connection, log: &str, kept: Kept) -> Result<Vec<Compared>> {
    const PAGES: &str = "
        -- rebuild: pages of statistics
        SELECT level, start, slice, first_key, cells
        FROM statistics_page
        WHERE log = ?1 AND (level, start, slice, first_key) > (?2, ?3, ?4, ?5)
        ORDER BY level, start, slice, first_key
        LIMIT 64";
    const LEFT: &str = "
        -- rebuild: differing pages of statistics
        SELECT level, start, slice, first_key, cells
        FROM differing_statistics_page
        WHERE log = ?1
        ORDER BY level, start, slice, first_key";
    let damaged = |error: BadPage| statistics::damaged(log, &error.into());
    connection.execute_batch(COPY_REBUILT)?;
    let mut taking = TakingAway::default();
    let unfolded = taking.unfolded(statistics::unfolded(connection, log, kept)?);
    statistics::add(connection, log, DIFFERING_PAGES, unfolded.sums)?;
    let mut after = (String::new(), 0, String::new(), Vec::new());
    loop {
        let of = params![log, after.0, after.1, after.2, after.3];
        let pages = collect(connection, PAGES, of, statistics::read_page)?;
        let Some((last, _)) = pages.last() else { break };
        after = (
            last.bucket.level.to_string(),
            last.bucket.start.number(),
            last.slice.to_string(),
            last.first.as_bytes().to_vec(),
        );
        let sums = taking.pages(&pages, kept);
        statistics::add(connection, log, DIFFERING_PAGES, sums)?;
    }
    let left = collect(connection, LEFT, [log], statistics::read_page)?;
    let rows = connection.query_row(COUNT_REBUILT, [], |row| row.get(0))?;
    let mut compared = vec![taking.compared(rows, &left).map_err(damaged)?];
    // What is not folded yet is not in them: it is taken out to compare, and is there again to replace.
    statistics::add_days(connection, log, Days::Rebuilt, &unfolded.daily)?;
    for (_, table) in &DAYS {
        compared.push(compare(connection, log, table)?);
    }
    let mut back = Daily::default();
    back.merge(&unfolded.daily, -1);
    statistics::add_days(connection, log, Days::Rebuilt, &back)?;
    Ok(compared)
}

fn count(connection: &Connection, sql: &str, log: &str) -> Result<u64> {
    Ok(first(connection, sql, [log], |row| Ok(row.get(0)?))?.unwrap_or_default())
}

/// Changes a table without its triggers, which are there again before anybody can see the change.
fn untriggered(connection: &Connection, table: &str, change: impl FnOnce() -> Result<()>) -> Result<()> {
    const TRIGGERS: &str = "
        -- rebuild: triggers
        SELECT name, sql
        FROM sqlite_schema
        WHERE type = 'trigger' AND tbl_name = ?1
        ORDER BY rowid";
    let triggers: Vec<(String, String)> =
        collect(connection, TRIGGERS, [table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (name, _) in &triggers {
        connection.execute_batch(&format!("DROP TRIGGER \"{name}\""))?;
    }
    change()?;
    for (_, sql) in &triggers {
        connection.execute_batch(sql)?;
    }
    Ok(())
}
