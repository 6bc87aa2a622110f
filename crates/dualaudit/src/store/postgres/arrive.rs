//! Logs that arrive from another database: written as an append writes them, and opened once all is here.
//!
//! # Guarantees
//! A page is one transaction, and the log's head says how far they came: whatever ends a copy, another goes
//! on from there. Until the log is opened nobody else can append to it, and lists pass it over.

use dualaudit_record::{checkpoint::SignedCheckpoint, log::Tree, time};

use super::{
    PostgresStore,
    append::{edge, publish, write},
    error::{Error, Result},
    log,
    overlay::Overlay,
    remove,
    replay::{Known, written},
    session::Session,
    tracked::TrackedRows,
    values::{Micros, at_most},
};
use crate::store::{
    Arrival, LogRow, MovingPage, Owner, StoreError, Tracked, head::HeadRow, rows::Cells as _,
};

impl PostgresStore {
    /// A log of this name, if there is one.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::logs`].
    pub async fn arrival(&self, log: &str) -> std::result::Result<Option<Arrival>, StoreError> {
        self.worked(async {
            let session = Session::new(&self.pools.reserved).await?;
            let found = find(&session, log).await;
            session.end(found).await
        })
        .await
    }

    /// Begins a log that arrives from `from`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also when this role does not own the database's tables.
    pub async fn begin_arrival(&self, row: &LogRow, from: &str) -> std::result::Result<(), StoreError> {
        self.copying(async |session| {
            begin(session, &row.log).await?;
            insert(session, row, from).await?;
            session.batch_execute("COMMIT").await.map_err(Error::Commit)
        })
        .await
    }

    /// Takes the next entries of an arriving log; answers how many have come.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the page makes another tree than it says; nothing of it is taken then.
    pub async fn take_page(&self, log: &str, page: &MovingPage) -> std::result::Result<u64, StoreError> {
        self.copying(async |session| take(session, log, page).await).await
    }

    /// Takes what is tracked of an arriving log; `anew` forgets what came before.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::append`].
    pub async fn take_tracked(
        &self,
        log: &str,
        anew: bool,
        rows: &[Tracked],
    ) -> std::result::Result<(), StoreError> {
        self.copying(async |session| tracked(session, log, anew, rows).await).await
    }

    /// Removes the rows that came of what was purged meanwhile: of a later revision no row may have come any
    /// more, and nobody could tell that from a row that was left behind.
    ///
    /// # Errors
    /// Those of [`super::remove_purged`].
    pub async fn remove_arrived(&self, log: &str) -> std::result::Result<(), StoreError> {
        self.told(async {
            let mut session = Session::new(&self.pools.writers).await?;
            while remove::batch(session.client(), log).await? == remove::BATCH.unsigned_abs() {}
            session.end(Ok(())).await
        })
        .await
    }

    /// Opens a log of which everything has arrived, with its newest checkpoint: from now on it takes appends. Unless
    /// there is a `successor`, which has begun to arrive: then it is closed in favour of that, and never took any here.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::append`].
    pub async fn open_arrived(
        &self,
        log: &str,
        checkpoint: Option<&SignedCheckpoint>,
        successor: Option<&str>,
    ) -> std::result::Result<(), StoreError> {
        self.copying(async |session| open(session, log, checkpoint, successor).await).await
    }

    async fn copying<T>(
        &self,
        act: impl AsyncFnOnce(&Session) -> Result<T>,
    ) -> std::result::Result<T, StoreError> {
        self.told(async {
            let session = Session::new(&self.pools.writers).await?;
            let done = act(&session).await;
            session.end(done).await
        })
        .await
    }
}

async fn find(session: &Session, log: &str) -> Result<Option<Arrival>> {
    const FIND: &str = "
        -- arrive: find
        SELECT cluster_uid, origin, secret, created_at, size, root, state, moved_from,
            (SELECT successor FROM succession WHERE log = $1)
        FROM log
        WHERE name = $1";
    let Some(row) = session.row(FIND, &[&log]).await? else { return Ok(None) };
    let owner = row.optional(0, |row, column| row.string(column))?.map_or(Owner::Producers, Owner::Cluster);
    let row_of = LogRow {
        log: log.to_owned(),
        owner,
        origin: row.string(1)?,
        secret: row.bytes(2)?,
        created_at: row.time(3)?,
    };
    let state = log::state(&row, 6)?;
    Ok(Some(Arrival { row: row_of, size: row.number(4)?, root: row.digest(5)?, state }))
}

/// Begins a transaction of a copy, for which the triggers let the log of that name arrive.
async fn begin(session: &Session, log: &str) -> Result<()> {
    const COPYING: &str = "
        -- arrive: say so to the triggers
        SELECT set_config('dualaudit.copying', $1, TRUE), dualaudit_is_copying($1)";
    // Nobody waits for the head of a log that arrives, and a page may have a long way to come.
    session
        .batch_execute(
            "BEGIN;
             SET LOCAL statement_timeout = '10min';
             SET LOCAL idle_in_transaction_session_timeout = '1min'",
        )
        .await?;
    let row = session.query_one(COPYING, &[&log]).await?;
    if row.try_get(1)? {
        return Ok(());
    }
    Err(StoreError::Unavailable(
        "only the owner of the tables can copy a log into them: run this as the role that ran `dualaudit migrate`"
            .to_owned(),
    )
    .into())
}

/// Another copy may have begun it meanwhile: one of them finds that the next page is not its own.
async fn insert(session: &Session, row: &LogRow, from: &str) -> Result<()> {
    const INSERT: &str = "
        -- arrive: begin
        INSERT INTO log (name, owner, cluster_uid, origin, secret, created_at, size, root, state, moved_from)
        VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 'arriving', $8)
        ON CONFLICT (name) DO NOTHING";
    let LogRow { log, owner, origin, secret, created_at } = row;
    let (owner, cluster_uid) = owner.columns();
    let (created_at, root) = (Micros::from(*created_at), Tree::empty().root().0);
    let (secret, root) = (secret.as_slice(), root.as_slice());
    session.execute(INSERT, &[log, &owner, &cluster_uid, origin, &secret, &created_at, &root, &from]).await?;
    Ok(())
}

/// Opens an arriving log; one that another has opened is left as it is.
async fn open(
    session: &Session,
    log: &str,
    checkpoint: Option<&SignedCheckpoint>,
    successor: Option<&str>,
) -> Result<()> {
    const OPEN: &str = "
        -- arrive: open
        UPDATE log
        SET state = 'open'
        WHERE name = $1";
    // Its statistics are folded from what arrived.
    const REFOLD: &str = "
        -- arrive: statistics
        UPDATE statistics_log
        SET refold_until = $2
        WHERE log = $1";
    const CLOSE: &str = "
        -- arrive: close in favour of the successor
        INSERT INTO succession (log, successor)
        VALUES ($1, $2)";
    begin(session, log).await?;
    if let Some(head) = locked(session, log).await? {
        publish(session, &head, checkpoint).await?;
        session.execute(REFOLD, &[&log, &at_most(head.size)]).await?;
        session.execute(OPEN, &[&log]).await?;
        if let Some(successor) = successor {
            session.execute(CLOSE, &[&log, &successor]).await?;
        }
    }
    session.batch_execute("COMMIT").await.map_err(Error::Commit)
}

/// Locks the head of an arriving log.
async fn lock(session: &Session, log: &str) -> Result<HeadRow> {
    let head = locked(session, log).await?;
    let none = || StoreError::Rejected(format!("the log {log:?} is not being copied here"));
    Ok(head.ok_or_else(none)?)
}

/// The same; none of a log that does not arrive.
async fn locked(session: &Session, log: &str) -> Result<Option<HeadRow>> {
    const HEAD: &str = "
        -- arrive: lock the head
        SELECT size, root, recorded_at, secret, state
        FROM log
        WHERE name = $1
        FOR UPDATE";
    let row = session.row(HEAD, &[&log]).await?;
    let Some(row) = row.filter(|row| row.get::<_, &str>(4) == "arriving") else { return Ok(None) };
    Ok(Some(HeadRow {
        log: log.to_owned(),
        size: row.number(0)?,
        root: row.digest(1)?,
        recorded_at: row.optional(2, |row, column| row.time(column))?,
        secret: row.bytes(3)?,
    }))
}

async fn take(session: &Session, log: &str, page: &MovingPage) -> Result<u64> {
    let Some(last) = page.entries.last() else { return Ok(page.size) };
    let first = page.entries[0].stored.index;
    begin(session, log).await?;
    let head = lock(session, log).await?;
    if head.size != first {
        let what = format!(
            "the log {log:?} has {} entries and should take entry {first} next: is another `dualaudit migrate` \
             copying it? Run it again once that has ended",
            head.size
        );
        return Err(StoreError::Unavailable(what).into());
    }
    let mut tree = head.tree(&edge(session, &head).await?).map_err(Error::damaged)?;
    for entry in &page.entries {
        tree.push(entry.stored.leaf_hash);
    }
    if tree.size() == page.size && tree.root() != page.root {
        return Err(StoreError::Corrupt(format!(
            "the log {log:?} where it leaves: its entries make the tree {}, its head says {}; run `dualaudit \
             verify` there",
            tree.root(),
            page.root
        ))
        .into());
    }
    let known = Known::of(session, log, page).await?;
    let written = written(log, page, known);
    let recorded_at = last.stored.recorded_at;
    write(session, Overlay { written, ..Overlay::of(log) }, &mut tree, first, recorded_at).await?;
    Ok(tree.size())
}

async fn tracked(session: &Session, log: &str, anew: bool, rows: &[Tracked]) -> Result<()> {
    const FORGET: &str = "
        -- arrive: forget what was tracked
        DELETE FROM tracked
        WHERE log = $1";
    begin(session, log).await?;
    let head = lock(session, log).await?;
    if anew {
        session.execute(FORGET, &[&log]).await?;
    }
    let mut tracked = TrackedRows::default();
    for row in rows {
        tracked.seen(row);
    }
    let mut tree = head.tree(&edge(session, &head).await?).map_err(Error::damaged)?;
    let recorded_at = head.recorded_at.unwrap_or(time::ZERO);
    write(session, Overlay { tracked, ..Overlay::of(log) }, &mut tree, head.size, recorded_at).await
}
