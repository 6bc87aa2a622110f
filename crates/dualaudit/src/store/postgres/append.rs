//! One append: one transaction that reads what is known, decides, writes, and moves the head.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use dualaudit_record::{
    Time,
    checkpoint::SignedCheckpoint,
    entry::Hold,
    log::{TileData, Tree},
    proof,
    statistics::Packed,
};
use futures::{SinkExt as _, future::try_join_all, join};
use tokio_postgres::{Row, Statement, types::ToSql};

use super::{
    erase::{self, ErasableRows},
    error::{Error, Result},
    holds::Holds,
    known::{self, ENTRIES_OF, EntriesOf, entries_of},
    log,
    overlay::{Amendment, Overlay, Written},
    reviews::{self, Reviews},
    rows::execution_columns,
    session::Session,
    statistics,
    tracked::{Concerns, TrackedRows},
    values::{Micros, at_most, small},
};
use crate::store::{
    Answer, Batch, Receipt, ReceiptResult, StoreError, Tracked,
    append::Append,
    head::{HeadRow, Kept},
    names,
    rows::{self, Cells, receipt_columns},
    rules::Revision,
};

/// What the last append to each log left. An append takes it out and puts its own there after its commit, so
/// whatever fails in between leaves none behind.
pub(super) type Trees = Arc<Mutex<HashMap<String, Kept>>>;

/// An append that has its log to itself.
pub(super) struct Started {
    head: HeadRow,
    overlay: Overlay,
    kept: Option<Kept>,
}

/// Starts an append: waits until the log is free, and reads what it knows of the batch.
pub(super) async fn start(session: &Session, trees: &Trees, log: &str, batch: &Batch) -> Result<Started> {
    let kept = trees.lock().unwrap_or_else(PoisonError::into_inner).remove(log);
    let (head, overlay) = begin(session, log, batch).await?;
    Ok(Started { head, overlay, kept })
}

/// See [`crate::store::Store::append`].
pub(super) async fn append(
    session: &Session,
    trees: &Trees,
    started: Started,
    batch: Arc<Batch>,
    now: Time,
) -> Result<Vec<Answer>> {
    let Started { head, overlay, kept } = started;
    let log = head.log.clone();
    let extends = batch.extends;
    let tree = resume(session, &head, kept, extends).await?;
    let before = tree.size();
    let recorded_at = head.next_recorded_at(now);
    publish(session, &head, batch.checkpoint.as_ref()).await?;
    // Hashing takes its time: off the async threads.
    let decide = move || {
        let mut append = Append::new(overlay, &head.log, head.secret, recorded_at, tree);
        let Ok(answers) = append.batch(&batch);
        let (overlay, tree) = append.into_parts();
        (answers, overlay, tree)
    };
    let decided = tokio::task::spawn_blocking(decide).await;
    let (answers, overlay, mut tree) =
        decided.map_err(|error| StoreError::Unavailable(format!("the append stopped: {error}")))?;
    let written = write(session, overlay, &mut tree, before, recorded_at).await;
    written.map_err(|error| error.within(|| format!("log {log}")))?;
    trees.lock().unwrap_or_else(PoisonError::into_inner).insert(log, Kept { tree, extends });
    Ok(answers)
}

/// The tree that the head stands for: the one kept from the last append, or else read from tiles. It extends
/// the head that it should.
async fn resume(
    session: &Session,
    head: &HeadRow,
    kept: Option<Kept>,
    extends: Option<proof::Head>,
) -> Result<Tree> {
    let (kept, unproved) = Kept::resume(kept, head, extends);
    if let Some(known) = unproved
        && !had(session, head, known).await?
    {
        return Err(head.rolled_back(known).into());
    }
    match kept {
        Some(tree) => Ok(tree),
        None => head.tree(&edge(session, head).await?).map_err(Error::damaged),
    }
}

/// Whether the log had this head before.
async fn had(session: &Session, head: &HeadRow, known: proof::Head) -> Result<bool> {
    let growing = edge(session, &head.back_at(known)).await?;
    head.had(known, growing).map_err(Error::damaged)
}

/// Writes the newest checkpoint, if it is newer than the one there is.
pub(super) async fn publish(
    session: &Session,
    head: &HeadRow,
    checkpoint: Option<&SignedCheckpoint>,
) -> Result<()> {
    const CHECKPOINT: &str = "
        -- append: checkpoint
        INSERT INTO checkpoint (log, size, note)
        VALUES ($1, $2, $3)
        ON CONFLICT (log) DO UPDATE
        SET size = excluded.size,
            note = excluded.note
        WHERE checkpoint.size < excluded.size";
    let Some(checkpoint) = checkpoint else { return Ok(()) };
    head.check_covers(checkpoint)?;
    let statement = session.prepare_cached(CHECKPOINT).await?;
    let size = at_most(checkpoint.head().size);
    session.execute(&statement, &[&head.log, &size, &checkpoint.as_str()]).await?;
    Ok(())
}

/// Begins the transaction: locks the head, and reads all that the batch's decisions need.
///
/// The statements go out together. The server runs them one after the other, each on what was
/// committed when it starts, so those after the first see all that earlier holders of the lock wrote.
async fn begin(session: &Session, log: &str, batch: &Batch) -> Result<(HeadRow, Overlay)> {
    const HEAD: &str = "
        -- append: lock the head
        SELECT size, root, recorded_at, secret, state, moved_from,
            (SELECT successor FROM succession WHERE log = $1),
            (SELECT body::jsonb ->> 'predecessor' FROM log_entry WHERE log = $1 AND idx = 0 AND kind = 'succession'),
            (SELECT refolded < refold_until FROM statistics_log WHERE log = $1)
        FROM log
        WHERE name = $1
        FOR UPDATE";
    const TRACKED: &str = "
        -- append: tracked executions, without their states
        SELECT tracked.*
        FROM unnest($2::text[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT id, namespace, name, phase, started_at, '' AS last_state, last_seen_at, state,
                workflow_name, workflow_version, incident_type, target_kind, running_since
            FROM tracked
            WHERE log = $1 AND id = wanted.id
            LIMIT 1
        ) AS tracked";
    let concerns = Concerns::of(batch);
    let (lock, tracked, entries) = (
        session.prepare_cached(HEAD).await?,
        session.prepare_cached(TRACKED).await?,
        session.prepare_cached(ENTRIES_OF).await?,
    );
    let of = |ids: &std::collections::BTreeSet<&str>| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    let (tracked_ids, entry_ids) = (of(&concerns.tracked), of(&concerns.entries));
    let name: [&(dyn ToSql + Sync); 1] = [&log];
    // In the order of their first poll, which is this one.
    let (begun, head, tracked, entries) = join!(
        session.batch_execute("BEGIN"),
        session.query_opt(&lock, &name),
        about(session, &tracked, log, &tracked_ids),
        about(session, &entries, log, &entry_ids),
    );
    begun?;
    let Some(head) = head? else {
        // Of a log that is not granted, the head cannot be locked.
        log::check_granted(session, log).await?;
        let what = format!("there is no log {log:?}: it was never opened");
        return Err(StoreError::Rejected(what).into());
    };
    log::state(&head, 4)?.check_append(log)?;
    let predecessor = head.optional(7, Cells::string)?;
    let head_row = HeadRow {
        log: log.to_owned(),
        size: head.number(0)?,
        root: head.digest(1)?,
        recorded_at: head.optional(2, Cells::time)?,
        secret: head.bytes(3)?,
    };
    let tracked: Vec<Tracked> = tracked?.iter().map(rows::tracked).collect::<Result<_>>()?;
    let mut entries = entries_of(&entries?)?;
    let holds = Holds::of(session, log, &concerns).await?;
    let by_key = by_key(session, log, &concerns).await?;
    let tracked = overtakable(session, log, &concerns, tracked, &mut entries).await?;
    let erasable = ErasableRows::of(session, log, &concerns).await?;
    let records = statistics::records(session, log, batch, &entries).await?;
    let reviews = Reviews::of(session, log, batch, &entries).await?;
    let is_behind = head.try_get::<_, Option<bool>>(8)?.unwrap_or_default();
    let mut overlay = Overlay {
        entries,
        by_key,
        holds,
        reviews,
        erasable,
        records,
        is_behind,
        tracked,
        ..Overlay::of(log)
    };
    overlay.earlier = earlier(session, predecessor, &entry_ids, &overlay.entries).await?;
    Ok((head_row, overlay))
}

async fn about(
    session: &Session,
    statement: &Statement,
    log: &str,
    ids: &[String],
) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
    if ids.is_empty() { Ok(Vec::new()) } else { session.query(statement, &[&log, &ids]).await }
}

/// Reads the rest of what matters of attempts that may have been overtaken: their last state, which
/// would stand in a gap, and what accounts for them.
async fn overtakable(
    session: &Session,
    log: &str,
    concerns: &Concerns<'_>,
    mut tracked: Vec<Tracked>,
    entries: &mut HashMap<String, EntriesOf>,
) -> Result<TrackedRows> {
    const STATES: &str = "
        -- append: states of tracked executions
        SELECT id, last_state
        FROM tracked
        WHERE log = $1 AND id = ANY ($2)";
    let ids: Vec<String> =
        tracked.iter().filter(|row| concerns.may_be_overtaken(row)).map(|row| row.id.clone()).collect();
    if !ids.is_empty() {
        let found = session.rows(STATES, &[&log, &ids]).await?;
        let mut states: HashMap<String, String> = HashMap::new();
        for row in &found {
            states.insert(row.string(0)?, row.string(1)?);
        }
        for row in &mut tracked {
            row.last_state = states.remove(&row.id).unwrap_or_default();
        }
    }
    let mut unread: Vec<String> = ids;
    unread.extend(concerns.started_twice().map(str::to_owned));
    unread.retain(|id| !concerns.entries.contains(id.as_str()));
    unread.sort_unstable();
    unread.dedup();
    if !unread.is_empty() {
        entries.extend(entries_of(&session.rows(ENTRIES_OF, &[&log, &unread]).await?)?);
    }
    Ok(TrackedRows::of(tracked))
}

/// The entries that the batch asks for by their keys alone, each as the receipt of a duplicate.
async fn by_key(session: &Session, log: &str, concerns: &Concerns<'_>) -> Result<HashMap<String, Receipt>> {
    const BY_KEY: &str = concat!(
        "
        -- append: entries by idempotency key
        SELECT ",
        receipt_columns!(),
        ", idempotency_key
        FROM log_entry
        WHERE log = $1 AND idempotency_key = ANY ($2)"
    );
    if concerns.keys.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<&String> = concerns.keys.iter().collect();
    let found = session.rows(BY_KEY, &[&log, &keys]).await?;
    let duplicate =
        |row: &Row| Ok((row.string(7)?, Receipt { result: ReceiptResult::Duplicate, ..rows::receipt(row)? }));
    found.iter().map(duplicate).collect()
}

/// What is known of those ids that the log knows nothing of, by the logs in whose place it goes on.
async fn earlier(
    session: &Session,
    mut predecessor: Option<String>,
    ids: &[String],
    entries: &HashMap<String, EntriesOf>,
) -> Result<HashMap<String, (String, Vec<Revision>)>> {
    let mut earlier = HashMap::new();
    while let Some(log) = predecessor {
        let unknown: Vec<&String> =
            ids.iter().filter(|id| !entries.contains_key(*id) && !earlier.contains_key(*id)).collect();
        for (id, of) in entries_of(&session.rows(ENTRIES_OF, &[&log, &unknown]).await?)? {
            if !of.revisions.is_empty() {
                earlier.insert(id, (log.clone(), of.revisions));
            }
        }
        predecessor = known::predecessor(session, &log).await?;
    }
    Ok(earlier)
}

/// The growing tile of each level.
pub(super) async fn edge(session: &Session, head: &HeadRow) -> Result<Vec<TileData>> {
    const TILES: &str = "
        -- append: growing tiles
        SELECT level, idx, hashes
        FROM log_tile
        WHERE log = $1 AND level = $2 AND idx = $3";
    let mut tiles = Vec::new();
    for (level, index) in head.growing_tiles() {
        let found = session.row(TILES, &[&head.log, &i16::from(level), &at_most(index)]).await?;
        if let Some(row) = found {
            tiles.push(TileData { level, index, hashes: row.blob(2)?.to_owned() });
        }
    }
    Ok(tiles)
}

/// Writes what was decided, and commits.
pub(super) async fn write(
    session: &Session,
    overlay: Overlay,
    tree: &mut Tree,
    before: u64,
    recorded_at: Time,
) -> Result<()> {
    const ENTRIES: &str = "
        COPY log_entry (
            log, idx, recorded_at, created_at, started_at, attempt, revision, kind, execution_id,
            idempotency_key, body_digest, leaf_hash, content_digest, body
        )
        FROM STDIN (FORMAT binary) -- append: entries";
    const EXECUTIONS: &str = concat!(
        "COPY workflow_execution_audit (",
        execution_columns!(),
        ") FROM STDIN (FORMAT binary) -- append: executions"
    );
    const SOURCE_OBJECTS: &str = "
        COPY source_object (log, idx, created_at, object)
        FROM STDIN (FORMAT binary) -- append: source objects";
    let Overlay { log, tracked, written, .. } = overlay;
    let Written {
        entries,
        executions,
        source_objects,
        amendments,
        quarantines,
        holds,
        releases,
        reviews,
        purged,
        purge_pending,
        erased,
        rests,
        contributions,
    } = written;
    let (entries, mut executions, source_objects) = (
        Copy::new(session, ENTRIES, entries.finish()).await?,
        Copy::new(session, EXECUTIONS, executions.finish()).await?,
        Copy::new(session, SOURCE_OBJECTS, source_objects.finish()).await?,
    );
    entries.send(session).await?;
    source_objects.send(session).await?;
    if !amendments.is_empty() {
        // They may amend what this batch brings.
        std::mem::take(&mut executions).send(session).await?;
    }
    for amendment in &amendments {
        amend(session, &log, amendment).await?;
    }
    const QUARANTINE: &str = "
        -- append: quarantined object
        INSERT INTO quarantine (log, execution_id, source_digest, idx, recorded_at, object)
        VALUES ($1, $2, $3, $4, $5, $6)";
    if !quarantines.is_empty() {
        let statement = session.prepare_cached(QUARANTINE).await?;
        let (log, statement) = (&log, &statement);
        let rows = quarantines.iter().map(async |row| {
            let (index, recorded_at) = (at_most(row.receipt.index), Micros::from(row.receipt.recorded_at));
            let digest = row.digest.0.as_slice();
            session
                .execute(statement, &[log, &row.receipt.id, &digest, &index, &recorded_at, &row.object])
                .await
        });
        try_join_all(rows).await?;
    }
    for (receipt, hold) in &holds {
        place(session, &log, receipt, hold).await?;
    }
    const RELEASE: &str = "
        -- append: hold released
        UPDATE hold
        SET released_at = $3,
            released_idx = $4
        WHERE log = $1 AND idx = $2";
    for (receipt, hold) in &releases {
        let release = session.prepare_cached(RELEASE).await?;
        let (released_at, by) = (Micros::from(receipt.recorded_at), at_most(receipt.index));
        session.execute(&release, &[&log, &at_most(*hold), &released_at, &by]).await?;
    }
    for (receipt, review) in &reviews {
        reviews::write(session, &log, receipt, review).await?;
    }
    const PURGED: &str = "
        COPY purged (log, last_idx, first_idx, idx)
        FROM STDIN (FORMAT binary) -- append: purged entries";
    const PURGE_PENDING: &str = "
        COPY purge_pending (log, id, attempt, created_at)
        FROM STDIN (FORMAT binary) -- append: purged executions";
    Copy::new(session, PURGED, purged.finish()).await?.send(session).await?;
    Copy::new(session, PURGE_PENDING, purge_pending.finish()).await?.send(session).await?;
    const ERASED: &str = "
        COPY erased (log, entry_idx, idx)
        FROM STDIN (FORMAT binary) -- append: erased entries";
    Copy::new(session, ERASED, erased.finish()).await?.send(session).await?;
    try_join_all(rests.iter().map(|rest| erase::erase(session, &log, rest))).await?;
    track(session, &log, &tracked).await?;
    let last = Last { executions, contributions };
    finish(session, &log, last, tree, before, recorded_at).await
}

/// What goes out together with the head.
struct Last {
    executions: Copy,
    /// What is given to the statistics, from which entry on.
    contributions: Option<(u64, Packed)>,
}

/// Places a hold.
async fn place(session: &Session, log: &str, receipt: &Receipt, hold: &Hold) -> Result<()> {
    const HOLD: &str = "
        -- append: hold
        INSERT INTO hold (log, idx, execution_id, selector, reason, actor, placed_at)
        VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7)";
    let statement = session.prepare_cached(HOLD).await?;
    let (id, selector) = names::covers(&hold.covers);
    let (index, placed_at) = (at_most(receipt.index), Micros::from(receipt.recorded_at));
    let of: [&(dyn ToSql + Sync); 7] = [&log, &index, &id, &selector, &hold.reason, &hold.actor, &placed_at];
    session.execute(&statement, &of).await?;
    Ok(())
}

/// Rows to send into a table, if there are any.
#[derive(Default)]
struct Copy(Option<(Statement, Bytes)>);

impl Copy {
    async fn new(session: &Session, sql: &str, rows: Option<Bytes>) -> Result<Self> {
        let Some(rows) = rows else { return Ok(Self(None)) };
        Ok(Self(Some((session.prepare_cached(sql).await?, rows))))
    }

    /// Sends them. They go out at the first poll, before whatever is asked for after that.
    async fn send(self, session: &Session) -> std::result::Result<(), tokio_postgres::Error> {
        let Some((statement, rows)) = self.0 else { return Ok(()) };
        let sink = session.copy_in(&statement).await?;
        let mut sink = std::pin::pin!(sink);
        sink.send(rows).await?;
        sink.finish().await?;
        Ok(())
    }
}

/// Moves a row to the revisions, and puts the next one in its place.
async fn amend(session: &Session, log: &str, amendment: &Amendment) -> Result<()> {
    const KEEP: &str = concat!(
        "
        -- append: keep the row that is amended
        INSERT INTO workflow_execution_revision (",
        execution_columns!(),
        ")
        SELECT ",
        execution_columns!(),
        "
        FROM workflow_execution_audit
        WHERE log = $1 AND created_at = $2 AND id = $3 AND attempt = $4"
    );
    const AMEND: &str = concat!(
        "
        -- append: amend
        UPDATE workflow_execution_audit
        SET (",
        execution_columns!(),
        ") = (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
            $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38
        )
        WHERE log = $1 AND created_at = $6 AND id = $2 AND attempt = $3"
    );
    let Amendment { id, attempt, created_at, row } = amendment;
    let (keep, amend) = (session.prepare_cached(KEEP).await?, session.prepare_cached(AMEND).await?);
    let (created_at, number) = (Micros::from(*created_at), small(*attempt));
    session.execute(&keep, &[&log, &created_at, id, &number]).await?;
    if session.execute_raw(&amend, row).await? == 1 {
        return Ok(());
    }
    Err(Error::damaged(format!("log {log}: {id} attempt {attempt} has an entry, and no row to amend")))
}

/// Writes what became of what is tracked.
async fn track(session: &Session, log: &str, tracked: &TrackedRows) -> Result<()> {
    const DELETE: &str = "
        -- append: tracked executions gone
        DELETE FROM tracked
        WHERE log = $1 AND id = ANY ($2)";
    // What was last seen of one stays while only its name is known.
    const UPSERT: &str = "
        -- append: tracked executions seen
        INSERT INTO tracked (
            log, id, namespace, name, phase, started_at, last_state, last_seen_at, state,
            workflow_name, workflow_version, incident_type, target_kind, running_since
        )
        SELECT $1, seen.*
        FROM unnest(
            $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
            $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
            $14::timestamptz[]
        ) AS seen
        ON CONFLICT (log, id) DO UPDATE
        SET namespace = excluded.namespace,
            name = excluded.name,
            phase = excluded.phase,
            started_at = excluded.started_at,
            last_state = CASE excluded.last_state WHEN '' THEN tracked.last_state ELSE excluded.last_state END,
            last_seen_at = excluded.last_seen_at,
            state = excluded.state,
            workflow_name = excluded.workflow_name,
            workflow_version = excluded.workflow_version,
            incident_type = excluded.incident_type,
            target_kind = excluded.target_kind,
            running_since = excluded.running_since";
    let (gone, seen) = tracked.changes();
    if !gone.is_empty() {
        let delete = session.prepare_cached(DELETE).await?;
        session.execute(&delete, &[&log, &gone]).await?;
    }
    if !seen.ids.is_empty() {
        let upsert = session.prepare_cached(UPSERT).await?;
        session
            .execute(
                &upsert,
                &[
                    &log,
                    &seen.ids,
                    &seen.namespaces,
                    &seen.names,
                    &seen.phases,
                    &seen.started_at,
                    &seen.last_states,
                    &seen.last_seen_at,
                    &seen.states,
                    &seen.workflows,
                    &seen.versions,
                    &seen.incident_types,
                    &seen.target_kinds,
                    &seen.running_since,
                ],
            )
            .await?;
    }
    Ok(())
}

/// Writes the last rows, what the batch changed of the tree, and the head, if it appended anything, and
/// commits.
///
/// All go out together: a commit after a statement that failed is a rollback.
async fn finish(
    session: &Session,
    log: &str,
    last: Last,
    tree: &mut Tree,
    before: u64,
    recorded_at: Time,
) -> Result<()> {
    const TILE: &str = "
        -- append: tile
        INSERT INTO log_tile (log, level, idx, hashes)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (log, level, idx) DO UPDATE
        SET hashes = excluded.hashes";
    const HEAD: &str = "
        -- append: head
        UPDATE log
        SET size = $2,
            root = $3,
            recorded_at = $4
        WHERE name = $1";
    let commit = async || session.batch_execute("COMMIT").await.map_err(Error::Commit);
    if tree.size() == before {
        return commit().await;
    }
    let (tile, head) = (session.prepare_cached(TILE).await?, session.prepare_cached(HEAD).await?);
    let changed = tree.take_changed();
    let tiles = changed.iter().map(async |changed| {
        let (level, index) = (i16::from(changed.level), at_most(changed.index));
        session.execute(&tile, &[&log, &level, &index, &changed.hashes]).await
    });
    let (size, root, recorded_at) = (at_most(tree.size()), tree.root().0, Micros::from(recorded_at));
    let (root, size): (&[u8], &i64) = (root.as_slice(), &size);
    let params: [&(dyn ToSql + Sync); 4] = [&log, size, &root, &recorded_at];
    let give = match &last.contributions {
        Some(_) => Some(session.prepare_cached(statistics::CONTRIBUTIONS).await?),
        None => None,
    };
    let contribute = async {
        let Some((statement, (first, packed))) = give.as_ref().zip(last.contributions.as_ref()) else {
            return Ok(0);
        };
        session.execute(statement, &[&log, &at_most(*first), &packed.as_bytes()]).await
    };
    let (copied, given, tiles, moved, committed) = join!(
        last.executions.send(session),
        contribute,
        futures::future::join_all(tiles),
        session.execute(&head, &params),
        commit()
    );
    copied?;
    given?;
    for written in tiles {
        written?;
    }
    moved?;
    committed
}
