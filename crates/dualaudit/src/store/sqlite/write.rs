//! The writes of an append, each with a name, so that tests can make each of them fail.

use dualaudit_record::EntryKind;
use rusqlite::{CachedStatement, Connection, Params};

use super::{error::Result, rows::execution_columns};
use crate::store::rows::review_columns;

/// A write of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A log entry of this kind.
    Entry(EntryKind),
    /// The row of an execution's first revision.
    Row,
    /// The copy of a row that is about to be amended.
    Keep,
    /// The row's change into its next revision.
    Amend,
    /// The object a revision was mapped from.
    SourceObject,
    /// An object that could not be mapped.
    Quarantine,
    /// A hold.
    Hold,
    /// The end of a hold.
    Release,
    /// A review.
    Review,
    /// A run of entries that are purged.
    Purged,
    /// A purged execution whose rows are to be removed.
    PurgePending,
    /// An entry that is erased.
    Erased,
    /// What is left of the latest revision of an execution.
    EraseRow,
    /// What is left of an earlier one.
    EraseRevision,
    /// What is left of an entry that is no execution.
    EraseBody,
    /// The object of a revision, emptied.
    EraseSourceObject,
    /// An object that could not be mapped, emptied.
    EraseQuarantine,
    /// A review without its note.
    EraseReview,
    /// A tracked execution as it was seen.
    Seen,
    /// A tracked execution that is accounted for.
    Accounted,
    /// A tracked execution whose resource is gone.
    Gone,
    /// What the append gives to the statistics.
    Contribute,
    /// More hashes in a tile that exists.
    GrowTile,
    /// A new tile.
    NewTile,
    /// A checkpoint in the place of the one before it.
    LaterCheckpoint,
    /// The first checkpoint of a log.
    FirstCheckpoint,
    /// The log's head.
    Head,
    /// The commit of it all.
    Commit,
}

/// Stands where writes take effect. In production it is `()`, which does nothing and costs
/// nothing; tests fail a step before or after it took effect.
pub(super) trait Faults {
    /// Asked before a step takes effect.
    fn before(&self, step: Step) -> rusqlite::Result<()>;
    /// Asked after a step took effect.
    fn after(&self, step: Step) -> rusqlite::Result<()>;
}

impl Faults for () {
    #[inline]
    fn before(&self, _: Step) -> rusqlite::Result<()> {
        Ok(())
    }

    #[inline]
    fn after(&self, _: Step) -> rusqlite::Result<()> {
        Ok(())
    }
}

/// The one way an append writes: its statements, prepared once.
pub(super) struct Writes<'c, F> {
    connection: &'c Connection,
    faults: &'c F,
    statements: [Option<CachedStatement<'c>>; STATEMENTS],
}

impl<'c, F: Faults> Writes<'c, F> {
    pub(super) fn new(connection: &'c Connection, faults: &'c F) -> Self {
        Self { connection, faults, statements: [const { None }; STATEMENTS] }
    }

    /// The connection, to read with.
    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// Takes a step; answers how many rows it changed.
    pub(super) fn write(&mut self, step: Step, params: impl Params) -> Result<usize> {
        self.faults.before(step)?;
        let (slot, sql) = statement(step);
        let statement = match &mut self.statements[slot] {
            Some(statement) => statement,
            empty => empty.insert(self.connection.prepare_cached(sql)?),
        };
        let changed = statement.execute(params)?;
        self.faults.after(step)?;
        Ok(changed)
    }
}

const STATEMENTS: usize = 27;

/// A step's statement and its place among them.
fn statement(step: Step) -> (usize, &'static str) {
    match step {
        Step::Entry(_) => (0, INSERT_ENTRY),
        Step::Row => (1, INSERT_ROW),
        Step::Keep => (2, KEEP_ROW),
        Step::Amend => (3, AMEND_ROW),
        Step::SourceObject => (4, INSERT_SOURCE_OBJECT),
        Step::Quarantine => (5, INSERT_QUARANTINE),
        Step::Hold => (6, INSERT_HOLD),
        Step::Seen => (7, UPSERT_TRACKED),
        Step::Accounted => (8, ACCOUNT_FOR_TRACKED),
        Step::Gone => (9, DELETE_TRACKED),
        Step::GrowTile => (10, GROW_TILE),
        Step::NewTile => (11, INSERT_TILE),
        Step::Head => (12, MOVE_HEAD),
        Step::Release => (13, RELEASE_HOLD),
        Step::Purged => (14, INSERT_PURGED),
        Step::PurgePending => (15, INSERT_PURGE_PENDING),
        Step::LaterCheckpoint => (16, MOVE_CHECKPOINT),
        Step::FirstCheckpoint => (17, INSERT_CHECKPOINT),
        Step::Erased => (18, INSERT_ERASED),
        Step::EraseRow => (19, ERASE_ROW),
        Step::EraseRevision => (20, ERASE_REVISION),
        Step::EraseBody => (21, ERASE_BODY),
        Step::EraseSourceObject => (22, ERASE_SOURCE_OBJECT),
        Step::EraseQuarantine => (23, ERASE_QUARANTINE),
        Step::Contribute => (24, INSERT_CONTRIBUTIONS),
        Step::Review => (25, INSERT_REVIEW),
        Step::EraseReview => (26, ERASE_REVIEW),
        Step::Commit => unreachable!("a commit is no statement of an append"),
    }
}

const INSERT_ENTRY: &str = "
    -- append: entry
    INSERT OR FAIL INTO log_entry (
        log, idx, kind, recorded_at, execution_id, attempt, revision, started_at, idempotency_key,
        body_digest, leaf_hash, body
    )
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

const INSERT_ROW: &str = concat!(
    "
    -- append: execution
    INSERT OR FAIL INTO workflow_execution_audit (",
    execution_columns!(),
    ")
    VALUES (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39
    )"
);

const KEEP_ROW: &str = concat!(
    "
    -- append: keep the row that is amended
    INSERT INTO workflow_execution_revision (",
    execution_columns!(),
    ")
    SELECT ",
    execution_columns!(),
    "
    FROM workflow_execution_audit
    WHERE log = ?1 AND id = ?2 AND attempt = ?3"
);

const AMEND_ROW: &str = concat!(
    "
    -- append: amend
    UPDATE workflow_execution_audit
    SET (",
    execution_columns!(),
    ") = (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39
    )
    WHERE log = ?1 AND id = ?2 AND attempt = ?3"
);

const INSERT_SOURCE_OBJECT: &str = "
    -- append: source object
    INSERT OR FAIL INTO source_object (log, idx, object)
    VALUES (?1, ?2, ?3)";

const INSERT_QUARANTINE: &str = "
    -- append: quarantined object
    INSERT INTO quarantine (log, execution_id, source_digest, idx, recorded_at, object)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const INSERT_HOLD: &str = "
    -- append: hold
    INSERT INTO hold (log, idx, execution_id, selector, reason, actor, placed_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

const RELEASE_HOLD: &str = "
    -- append: hold released
    UPDATE hold
    SET released_at = ?3,
        released_idx = ?4
    WHERE log = ?1 AND idx = ?2";

const INSERT_REVIEW: &str = concat!(
    "
    -- append: review
    INSERT INTO review (log, ",
    review_columns!(),
    ")
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
);

const INSERT_PURGED: &str = "
    -- append: purged entries
    INSERT INTO purged (log, last_idx, first_idx, idx)
    VALUES (?1, ?2, ?3, ?4)";

const INSERT_PURGE_PENDING: &str = "
    -- append: purged execution
    INSERT INTO purge_pending (log, id, attempt, created_at)
    VALUES (?1, ?2, ?3, ?4)";

const INSERT_ERASED: &str = "
    -- append: erased entry
    INSERT INTO erased (log, entry_idx, idx)
    VALUES (?1, ?2, ?3)";

macro_rules! erase_row {
    ($what:literal, $table:literal) => {
        concat!(
            "
    -- append: what is left of ",
            $what,
            "
    UPDATE ",
            $table,
            "
    SET error_message = '',
        name = NULL,
        target_name = NULL,
        labels = '{}',
        source_digest = NULL,
        content_digest = NULL,
        nonce = ?5,
        step_executions = ?6,
        adaptive_adjustments = ?7
    WHERE log = ?1 AND id = ?2 AND attempt = ?3 AND revision = ?4"
        )
    };
}

const ERASE_ROW: &str = erase_row!("an execution", "workflow_execution_audit");

const ERASE_REVISION: &str = erase_row!("an earlier revision", "workflow_execution_revision");

const ERASE_BODY: &str = "
    -- append: what is left of an entry
    UPDATE log_entry
    SET body = ?3
    WHERE log = ?1 AND idx = ?2";

const ERASE_SOURCE_OBJECT: &str = "
    -- append: source object erased
    UPDATE source_object
    SET object = x''
    WHERE log = ?1 AND idx = ?2";

const ERASE_QUARANTINE: &str = "
    -- append: quarantined object erased
    UPDATE quarantine
    SET object = x''
    WHERE log = ?1 AND execution_id = ?2 AND source_digest = ?3 AND idx = ?4";

const ERASE_REVIEW: &str = "
    -- append: note of a review erased
    UPDATE review
    SET note = ''
    WHERE log = ?1 AND idx = ?2";

// An open attempt keeps its start while its resource shows none, and what was last seen of it while
// only its name is known.
const UPSERT_TRACKED: &str = "
    -- append: tracked execution seen
    INSERT INTO tracked (
        log, id, namespace, name, phase, started_at, last_state, last_seen_at, state,
        workflow_name, workflow_version, incident_type, target_kind, running_since
    )
    VALUES (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, iif(?14 IS NULL, NULL, coalesce(?6, ?14))
    )
    ON CONFLICT (log, id) DO UPDATE
    SET namespace = excluded.namespace,
        name = excluded.name,
        phase = excluded.phase,
        started_at = coalesce(excluded.started_at, iif(state = 'open', started_at, NULL)),
        last_state = iif(excluded.last_state = '', last_state, excluded.last_state),
        last_seen_at = excluded.last_seen_at,
        state = excluded.state,
        workflow_name = excluded.workflow_name,
        workflow_version = excluded.workflow_version,
        incident_type = excluded.incident_type,
        target_kind = excluded.target_kind,
        running_since = iif(
            excluded.running_since IS NULL,
            NULL,
            coalesce(excluded.started_at, iif(state = 'open', started_at, NULL), excluded.running_since)
        )";

const ACCOUNT_FOR_TRACKED: &str = "
    -- append: tracked execution accounted for
    UPDATE tracked
    SET started_at = ?3,
        workflow_name = '',
        workflow_version = '',
        incident_type = '',
        target_kind = '',
        running_since = NULL
    WHERE log = ?1 AND id = ?2";

const DELETE_TRACKED: &str = "
    -- append: tracked execution gone
    DELETE FROM tracked
    WHERE log = ?1 AND id = ?2";

const INSERT_CONTRIBUTIONS: &str = "
    -- append: contributions
    INSERT INTO statistics_pending (log, idx, contributions)
    VALUES (?1, ?2, ?3)";

const GROW_TILE: &str = "
    -- append: growing tile
    UPDATE log_tile
    SET hashes = ?4
    WHERE log = ?1 AND level = ?2 AND idx = ?3";

const INSERT_TILE: &str = "
    -- append: new tile
    INSERT INTO log_tile (log, level, idx, hashes)
    VALUES (?1, ?2, ?3, ?4)";

const MOVE_CHECKPOINT: &str = "
    -- append: later checkpoint
    UPDATE checkpoint
    SET size = ?2,
        note = ?3
    WHERE log = ?1 AND size < ?2";

const INSERT_CHECKPOINT: &str = "
    -- append: first checkpoint
    INSERT INTO checkpoint (log, size, note)
    SELECT ?1, ?2, ?3
    WHERE NOT EXISTS (SELECT 1 FROM checkpoint WHERE log = ?1)";

const MOVE_HEAD: &str = "
    -- append: head
    UPDATE log
    SET size = ?2,
        root = ?3,
        recorded_at = ?4
    WHERE name = ?1";
