//! Logs that arrive from another database: written as an append writes them, and opened once all is here.
//!
//! # Guarantees
//! A page is one transaction, and the log's head says how far they came: whatever ends a copy, another goes
//! on from there. Until the log is opened nobody else can append to it, and lists pass it over.

use std::collections::{BTreeMap, HashMap};

use dualaudit_record::{
    Entry, Time,
    digest::Digest,
    log::{FORMAT, Leaf, Tree, body},
    time,
};

use super::{
    PostgresStore,
    append::{edge, write},
    error::{Error, Result},
    holds::Holds,
    log,
    overlay::{BesideLeaf, Overlay, QuarantineRow, Written, entry_row},
    remove,
    session::Session,
    tracked::TrackedRows,
    values::{Micros, at_most, small},
};
use crate::store::{
    Arrival, LogRow, MovingEntry, MovingPage, Owner, Receipt, ReceiptResult, StoreError, StoredBody, Tracked,
    ahead::Prepared, append::NewRow, head::HeadRow, rows::Cells as _,
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

    /// Takes what is tracked of an arriving log: `first` forgets what came before.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::append`].
    pub async fn take_tracked(
        &self,
        log: &str,
        first: bool,
        rows: &[Tracked],
    ) -> std::result::Result<(), StoreError> {
        self.copying(async |session| tracked(session, log, first, rows).await).await
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

    /// Opens a log of which everything has arrived: from now on it takes appends.
    ///
    /// # Errors
    /// Those of [`crate::store::Store::append`].
    pub async fn open_arrived(&self, log: &str) -> std::result::Result<(), StoreError> {
        const OPEN: &str = "
            -- arrive: open
            UPDATE log
            SET state = 'open'
            WHERE name = $1 AND state = 'arriving'";
        self.copying(async |session| {
            begin(session, log).await?;
            session.execute(OPEN, &[&log]).await?;
            session.batch_execute("COMMIT").await.map_err(Error::Commit)
        })
        .await
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
        SELECT cluster_uid, origin, secret, created_at, size, root, state, moved_from
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
    session.batch_execute("BEGIN").await?;
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

/// Locks the head of an arriving log.
async fn lock(session: &Session, log: &str) -> Result<HeadRow> {
    const HEAD: &str = "
        -- arrive: lock the head
        SELECT size, root, recorded_at, secret, state
        FROM log
        WHERE name = $1
        FOR UPDATE";
    let row = session.row(HEAD, &[&log]).await?;
    let Some(row) = row.filter(|row| row.get::<_, &str>(4) == "arriving") else {
        return Err(StoreError::Rejected(format!("the log {log:?} is not being copied here")).into());
    };
    Ok(HeadRow {
        log: log.to_owned(),
        size: row.number(0)?,
        root: row.digest(1)?,
        recorded_at: row.optional(2, |row, column| row.time(column))?,
        secret: row.bytes(3)?,
    })
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
    write(session, overlay(log, written, TrackedRows::default()), &mut tree, first, recorded_at).await?;
    Ok(tree.size())
}

async fn tracked(session: &Session, log: &str, first: bool, rows: &[Tracked]) -> Result<()> {
    const FORGET: &str = "
        -- arrive: forget what was tracked
        DELETE FROM tracked
        WHERE log = $1";
    begin(session, log).await?;
    let head = lock(session, log).await?;
    if first {
        session.execute(FORGET, &[&log]).await?;
    }
    let mut tracked = TrackedRows::default();
    for row in rows {
        tracked.seen(row);
    }
    let mut tree = head.tree(&edge(session, &head).await?).map_err(Error::damaged)?;
    let recorded_at = head.recorded_at.unwrap_or(time::ZERO);
    write(session, overlay(log, Written::default(), tracked), &mut tree, head.size, recorded_at).await
}

fn overlay(log: &str, written: Written, tracked: TrackedRows) -> Overlay {
    let (entries, by_key, holds) = (HashMap::new(), HashMap::new(), Holds::default());
    Overlay { log: log.to_owned(), entries, by_key, holds, tracked, written }
}

/// An execution and its attempt.
type Attempt = (String, u32);

/// What has to be known of earlier pages.
struct Known {
    /// `created_at` of attempts whose first revision came before, where this page has a purged one.
    created: HashMap<Attempt, Time>,
    /// By the index of a purge: the executions it took whose rows came before.
    pending: BTreeMap<u64, Vec<(Attempt, Time)>>,
}

impl Known {
    async fn of(session: &Session, log: &str, page: &MovingPage) -> Result<Self> {
        const CREATED: &str = "
            -- arrive: when executions were created
            SELECT wanted.id, wanted.attempt, entry.created_at
            FROM unnest($2::text[], $3::integer[]) AS wanted (id, attempt)
            CROSS JOIN LATERAL (
                SELECT created_at
                FROM log_entry
                WHERE log = $1 AND execution_id = wanted.id AND attempt = wanted.attempt
                ORDER BY revision
                LIMIT 1
            ) AS entry";
        const PENDING: &str = "
            -- arrive: purged executions whose rows came before
            SELECT DISTINCT entry.execution_id, entry.attempt, entry.created_at
            FROM unnest($2::bigint[], $3::bigint[]) AS run (first_idx, last_idx)
            CROSS JOIN LATERAL (
                SELECT execution_id, attempt, created_at
                FROM log_entry
                WHERE log = $1 AND idx BETWEEN run.first_idx AND run.last_idx AND content_digest IS NOT NULL
            ) AS entry";
        let (mut ids, mut attempts) = (Vec::new(), Vec::new());
        for (id, attempt) in page.entries.iter().filter_map(purged) {
            ids.push(id);
            attempts.push(small(attempt));
        }
        let mut known = Self { created: HashMap::new(), pending: BTreeMap::new() };
        if !ids.is_empty() {
            for row in &session.rows(CREATED, &[&log, &ids, &attempts]).await? {
                known.created.insert((row.string(0)?, row.number(1)?), row.time(2)?);
            }
        }
        for entry in &page.entries {
            let Some(Entry::Purge(purge)) = entry.stored.body.entry() else { continue };
            let (first, last): (Vec<i64>, Vec<i64>) =
                purge.entries.iter().map(|(first, last)| (at_most(*first), at_most(*last))).unzip();
            let rows = session.rows(PENDING, &[&log, &first, &last]).await?;
            let pending = rows.iter().map(|row| Ok(((row.string(0)?, row.number(1)?), row.time(2)?)));
            known.pending.insert(entry.stored.index, pending.collect::<Result<_>>()?);
        }
        Ok(known)
    }

    /// What stands for `created_at` of a purged execution: that of its other revisions, which partitions and
    /// purges go by, or, as nothing says it any more, when it was recorded.
    fn created_at(&mut self, attempt: Attempt, recorded_at: Time) -> Time {
        *self.created.entry(attempt).or_insert(recorded_at)
    }
}

/// The attempt of an execution whose body is gone.
fn purged(entry: &MovingEntry) -> Option<(&str, u32)> {
    match entry.stored.body {
        StoredBody::Purged { .. } => Some((entry.stored.execution_id.as_deref()?, entry.stored.attempt?)),
        StoredBody::Whole(..) | StoredBody::Unreadable(_) => None,
    }
}

/// What an append would have written.
fn written(log: &str, page: &MovingPage, mut known: Known) -> Written {
    let mut written = Written::default();
    for entry in &page.entries {
        let created_at = match purged(entry) {
            Some((id, attempt)) => Some(known.created_at((id.to_owned(), attempt), entry.stored.recorded_at)),
            None => entry.execution().map(|execution| execution.record.created_at),
        };
        put(&mut written, log, entry, created_at);
        for ((id, attempt), created_at) in known.pending.remove(&entry.stored.index).unwrap_or_default() {
            written.purge_pending(log, &id, attempt, created_at);
        }
    }
    written
}

fn put(written: &mut Written, log: &str, entry: &MovingEntry, created_at: Option<Time>) {
    let stored = &entry.stored;
    let text = match &stored.body {
        StoredBody::Whole(said, nonce) if entry.execution().is_none() => {
            Some(String::from_utf8(body(said, *nonce)).expect("canonical JSON is UTF-8"))
        }
        _ => None,
    };
    let beside = BesideLeaf {
        created_at,
        started_at: stored.started_at,
        content_digest: entry.content_digest,
        key: stored.idempotency_key.as_deref(),
        body: text.as_deref(),
    };
    let leaf = leaf(log, entry);
    entry_row(written.entries.row(), log, &leaf, stored.leaf_hash, beside);
    let receipt = receipt(log, entry);
    match &stored.body {
        StoredBody::Whole(said, nonce) => match said.as_ref() {
            Entry::Execution(execution) => {
                let prepared = Prepared::of_stored(execution, stored.body_digest);
                // It stands in the entry, not in the row.
                let content_digest = entry.content_digest.unwrap_or(Digest([0; 32]));
                written.row(log, NewRow { prepared: &prepared, content_digest, nonce: *nonce });
                if let Some(object) = &entry.object {
                    written.source_object(log, stored.index, execution.record.created_at, object);
                }
            }
            Entry::Quarantine(quarantine) => {
                let object = entry.object.clone().unwrap_or_default();
                written.quarantines.push(QuarantineRow { receipt, digest: quarantine.source_digest, object });
            }
            Entry::Hold(hold) => written.holds.push((receipt, hold.clone())),
            Entry::HoldRelease(release) => written.releases.push((receipt, release.hold)),
            Entry::Purge(purge) => written.purged(log, &purge.entries, stored.index),
            Entry::Gap(_) => {}
        },
        StoredBody::Purged { .. } | StoredBody::Unreadable(_) => {}
    }
}

fn leaf(log: &str, entry: &MovingEntry) -> Leaf {
    let stored = &entry.stored;
    Leaf {
        format: FORMAT,
        log: log.to_owned(),
        index: stored.index,
        kind: stored.kind,
        recorded_at: stored.recorded_at,
        execution_id: stored.execution_id.clone(),
        attempt: stored.attempt,
        revision: stored.revision,
        body_digest: stored.body_digest,
    }
}

fn receipt(log: &str, entry: &MovingEntry) -> Receipt {
    let stored = &entry.stored;
    Receipt {
        id: stored.execution_id.clone().unwrap_or_default(),
        attempt: stored.attempt,
        revision: stored.revision,
        log: log.to_owned(),
        index: stored.index,
        leaf_hash: stored.leaf_hash,
        recorded_at: stored.recorded_at,
        result: ReceiptResult::first(stored.revision),
    }
}
