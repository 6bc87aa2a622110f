-- Holds over many executions, their release as an entry, and purges.
--
-- log_entry and hold are made anew, because SQLite changes no CHECK and no key in place.
--
-- A landed migration is never edited: write the next one.

-- Renaming a table leaves the triggers of others as they are written: they mean it by its name.
PRAGMA legacy_alter_table = ON;

-- One row an entry: its leaf, and what identifies it. Stays for ever.
CREATE TABLE log_entry_anew (
    log TEXT NOT NULL,
    -- Its place in the log: 0, 1, 2 … without holes.
    idx INTEGER NOT NULL CHECK (idx >= 0),
    kind TEXT NOT NULL
        CHECK (kind IN ('execution', 'gap', 'quarantine', 'hold', 'hold_release', 'purge')),
    -- When it was appended; never runs backwards along idx.
    recorded_at INTEGER NOT NULL,
    -- The one execution it concerns; NULL where it concerns several.
    execution_id TEXT,
    -- Of an execution: with execution_id and revision, its identity.
    attempt INTEGER CHECK (attempt >= 1),
    revision INTEGER CHECK (revision >= 1),
    -- Of an execution: its start, which tells attempts of one resource apart even after a purge.
    started_at INTEGER,
    -- Of any other kind: the same key is the same entry.
    idempotency_key TEXT,
    -- SHA-256 of the canonical body.
    body_digest BLOB NOT NULL,
    -- RFC 6962 hash of the leaf, which is made of the columns above.
    leaf_hash BLOB NOT NULL,
    -- The canonical body, nonce included. Of an execution it is put together from its row.
    body TEXT,
    PRIMARY KEY (log, idx),
    CHECK ((kind = 'execution') = (attempt IS NOT NULL)),
    CHECK ((kind = 'execution') = (revision IS NOT NULL)),
    CHECK ((kind = 'execution') = (idempotency_key IS NULL)),
    CHECK ((kind = 'execution') = (body IS NULL)),
    CHECK (kind = 'execution' OR started_at IS NULL),
    CHECK (execution_id IS NOT NULL OR kind IN ('hold', 'hold_release', 'purge'))
) STRICT, WITHOUT ROWID;

INSERT INTO log_entry_anew
SELECT
    log, idx, kind, recorded_at, execution_id, attempt, revision, started_at, idempotency_key, body_digest,
    leaf_hash, body
FROM log_entry
ORDER BY log, idx;

DROP TABLE log_entry;

ALTER TABLE log_entry_anew RENAME TO log_entry;

-- One execution is one entry; other entries (attempt and revision NULL) repeat freely here.
CREATE UNIQUE INDEX log_entry_execution ON log_entry (log, execution_id, attempt, revision);

CREATE UNIQUE INDEX log_entry_idempotency ON log_entry (log, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- The few entries that are no executions, by kind.
CREATE INDEX log_entry_kind ON log_entry (log, kind, idx) WHERE kind <> 'execution';

CREATE TRIGGER log_entry_is_appended BEFORE INSERT ON log_entry
BEGIN
    SELECT RAISE(FAIL, 'log_entry: an entry goes at the end of its log')
    WHERE NEW.idx IS NOT coalesce(
        (SELECT idx + 1 FROM log_entry WHERE log = NEW.log ORDER BY idx DESC LIMIT 1), 0);
    SELECT RAISE(FAIL, 'log_entry: this execution, attempt and revision is recorded already')
    WHERE EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND execution_id = NEW.execution_id
            AND attempt = NEW.attempt AND revision = NEW.revision);
    SELECT RAISE(FAIL, 'log_entry: an entry with this idempotency key is recorded already')
    WHERE NEW.idempotency_key IS NOT NULL AND EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND idempotency_key = NEW.idempotency_key);
END;

CREATE TRIGGER log_entry_is_not_updated BEFORE UPDATE ON log_entry
BEGIN
    SELECT RAISE(ABORT, 'log_entry: an entry never changes');
END;

CREATE TRIGGER log_entry_is_not_deleted BEFORE DELETE ON log_entry
BEGIN
    SELECT RAISE(ABORT, 'log_entry: an entry is never deleted');
END;

-- Holds: nothing of what they cover may leave while one is open on it.
CREATE TABLE hold_anew (
    log TEXT NOT NULL REFERENCES log (name),
    -- Its entry.
    idx INTEGER NOT NULL,
    -- The execution it covers; NULL where it covers what its selector selects.
    execution_id TEXT,
    -- JSON of what it selects by: remediation_id, workflow_name, namespace, labels.
    selector TEXT,
    -- Why.
    reason TEXT NOT NULL,
    -- Who said so.
    actor TEXT NOT NULL,
    -- When it was placed.
    placed_at INTEGER NOT NULL,
    -- When it was released; NULL while it is open. Set once.
    released_at INTEGER CHECK (released_at >= placed_at),
    -- The entry that released it.
    released_idx INTEGER CHECK (released_idx > idx),
    PRIMARY KEY (log, idx),
    CHECK ((execution_id IS NULL) = (selector IS NOT NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO hold_anew
SELECT log, idx, execution_id, NULL, reason, actor, placed_at, released_at, NULL
FROM hold
ORDER BY log, idx;

DROP TABLE hold;

ALTER TABLE hold_anew RENAME TO hold;

PRAGMA legacy_alter_table = OFF;

-- The holds on one execution.
CREATE INDEX hold_execution ON hold (log, execution_id) WHERE execution_id IS NOT NULL;

-- The holds that select; few.
CREATE INDEX hold_selector ON hold (log, idx) WHERE selector IS NOT NULL;

CREATE TRIGGER hold_is_not_replaced BEFORE INSERT ON hold
BEGIN
    SELECT RAISE(ABORT, 'hold: this hold is placed already')
    WHERE EXISTS (SELECT 1 FROM hold WHERE log = NEW.log AND idx = NEW.idx);
    SELECT RAISE(ABORT, 'hold: a hold needs its entry in log_entry first')
    WHERE NOT EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'hold'
            AND execution_id IS NEW.execution_id AND recorded_at = NEW.placed_at);
    SELECT RAISE(ABORT, 'hold: a hold begins open')
    WHERE NEW.released_at IS NOT NULL OR NEW.released_idx IS NOT NULL;
END;

CREATE TRIGGER hold_is_only_released BEFORE UPDATE ON hold
BEGIN
    SELECT RAISE(ABORT, 'hold: an open hold can only be released, that once, and by an entry that says so')
    WHERE OLD.released_at IS NOT NULL
        OR NEW.released_at IS NULL
        OR (NEW.log, NEW.idx, NEW.execution_id, NEW.selector, NEW.reason, NEW.actor, NEW.placed_at)
            IS NOT (OLD.log, OLD.idx, OLD.execution_id, OLD.selector, OLD.reason, OLD.actor, OLD.placed_at)
        OR NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.log AND idx = NEW.released_idx AND kind = 'hold_release'
                AND idempotency_key = 'release:' || NEW.idx AND recorded_at = NEW.released_at);
END;

CREATE TRIGGER hold_is_not_deleted BEFORE DELETE ON hold
BEGIN
    SELECT RAISE(ABORT, 'hold: a hold is never deleted');
END;

-- The entries whose bodies were purged, in runs that do not overlap. Rows come with the entry of their
-- purge, and stay.
CREATE TABLE purged (
    log TEXT NOT NULL REFERENCES log (name),
    -- The last index of the run.
    last_idx INTEGER NOT NULL,
    -- The first.
    first_idx INTEGER NOT NULL CHECK (first_idx BETWEEN 0 AND last_idx),
    -- The purge's entry, which says the same.
    idx INTEGER NOT NULL CHECK (idx > last_idx),
    PRIMARY KEY (log, last_idx)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER purged_comes_with_its_entry BEFORE INSERT ON purged
BEGIN
    SELECT RAISE(ABORT, 'purged: this run is purged already')
    WHERE EXISTS (SELECT 1 FROM purged WHERE log = NEW.log AND last_idx = NEW.last_idx);
    -- Its log's head moves last of all that an append does.
    SELECT RAISE(ABORT, 'purged: a run comes with the entry of its purge, or not at all')
    WHERE NOT EXISTS (
            SELECT 1 FROM log_entry WHERE log = NEW.log AND idx = NEW.idx AND kind = 'purge')
        OR NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size <= NEW.idx);
END;

CREATE TRIGGER purged_is_not_updated BEFORE UPDATE ON purged
BEGIN
    SELECT RAISE(ABORT, 'purged: what was purged never changes');
END;

CREATE TRIGGER purged_is_not_deleted BEFORE DELETE ON purged
BEGIN
    SELECT RAISE(ABORT, 'purged: what was purged stays purged');
END;

-- Executions that were purged, while their rows are still there: readers pass them over, until
-- `dualaudit maintain` has removed them.
CREATE TABLE purge_pending (
    log TEXT NOT NULL REFERENCES log (name),
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    -- created_at of its row.
    created_at INTEGER NOT NULL,
    PRIMARY KEY (log, id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER purge_pending_comes_with_its_purge BEFORE INSERT ON purge_pending
BEGIN
    SELECT RAISE(ABORT, 'purge_pending: this execution is noted already')
    WHERE EXISTS (
        SELECT 1 FROM purge_pending WHERE log = NEW.log AND id = NEW.id AND attempt = NEW.attempt);
    SELECT RAISE(ABORT, 'purge_pending: an execution is purged with all its revisions, by an entry that says so')
    WHERE NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.log AND execution_id = NEW.id AND attempt = NEW.attempt)
        OR EXISTS (
            SELECT 1 FROM log_entry AS entry
            WHERE entry.log = NEW.log AND entry.execution_id = NEW.id AND entry.attempt = NEW.attempt
                AND coalesce(
                    (
                        SELECT run.first_idx FROM purged AS run
                        WHERE run.log = entry.log AND run.last_idx >= entry.idx
                        ORDER BY run.last_idx
                        LIMIT 1
                    ),
                    entry.idx + 1) > entry.idx);
    SELECT RAISE(ABORT, 'purge_pending: a hold is open on this execution')
    WHERE EXISTS (
        SELECT 1 FROM hold WHERE log = NEW.log AND execution_id = NEW.id AND released_at IS NULL);
END;

CREATE TRIGGER purge_pending_is_not_updated BEFORE UPDATE ON purge_pending
BEGIN
    SELECT RAISE(ABORT, 'purge_pending: what was purged never changes');
END;

CREATE TRIGGER purge_pending_stays_while_its_rows_do BEFORE DELETE ON purge_pending
BEGIN
    SELECT RAISE(ABORT, 'purge_pending: the rows of this execution are still there')
    WHERE EXISTS (
            SELECT 1 FROM workflow_execution_audit
            WHERE log = OLD.log AND id = OLD.id AND attempt = OLD.attempt)
        OR EXISTS (
            SELECT 1 FROM workflow_execution_revision
            WHERE log = OLD.log AND id = OLD.id AND attempt = OLD.attempt);
END;

-- What was purged may be removed, and nothing else.

DROP TRIGGER workflow_execution_audit_is_not_deleted;

CREATE TRIGGER workflow_execution_audit_is_only_purged BEFORE DELETE ON workflow_execution_audit
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_audit: a record is only deleted once it was purged')
    WHERE NOT EXISTS (
        SELECT 1 FROM purge_pending WHERE log = OLD.log AND id = OLD.id AND attempt = OLD.attempt);
END;

DROP TRIGGER workflow_execution_revision_is_not_deleted;

CREATE TRIGGER workflow_execution_revision_is_only_purged BEFORE DELETE ON workflow_execution_revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_revision: a revision is only deleted once it was purged')
    WHERE NOT EXISTS (
        SELECT 1 FROM purge_pending WHERE log = OLD.log AND id = OLD.id AND attempt = OLD.attempt);
END;

DROP TRIGGER source_object_is_not_deleted;

CREATE TRIGGER source_object_is_only_purged BEFORE DELETE ON source_object
BEGIN
    SELECT RAISE(ABORT, 'source_object: a source object is only deleted once it was purged')
    WHERE coalesce(
        (
            SELECT first_idx FROM purged
            WHERE log = OLD.log AND last_idx >= OLD.idx
            ORDER BY last_idx
            LIMIT 1
        ),
        OLD.idx + 1) > OLD.idx;
END;

-- The executions with times as text and durations in seconds, for people; without what was purged. Filter
-- and sort on the table: its numbers are what is indexed.
DROP VIEW workflow_execution_readable;

CREATE VIEW workflow_execution_readable AS
SELECT
    log,
    id,
    attempt,
    revision,
    strftime('%Y-%m-%dT%H:%M:%S', (recorded_at - (recorded_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (recorded_at % 1000000 + 1000000) % 1000000) AS recorded_at,
    strftime('%Y-%m-%dT%H:%M:%S', (created_at - (created_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (created_at % 1000000 + 1000000) % 1000000) AS created_at,
    strftime('%Y-%m-%dT%H:%M:%S', (completed_at - (completed_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (completed_at % 1000000 + 1000000) % 1000000) AS completed_at,
    strftime('%Y-%m-%dT%H:%M:%S', (started_at - (started_at % 1000000 + 1000000) % 1000000) / 1000000, 'unixepoch')
        || printf('.%06dZ', (started_at % 1000000 + 1000000) % 1000000) AS started_at,
    remediation_id,
    workflow_name,
    workflow_version,
    total_steps,
    steps_completed,
    steps_failed,
    total_duration / 1e9 AS total_duration_seconds,
    queued_duration / 1e9 AS queued_duration_seconds,
    outcome,
    effectiveness_score,
    score_source,
    rollbacks_performed,
    status,
    error_message,
    cluster,
    namespace,
    name,
    source_api_version,
    source_kind,
    source_uid,
    incident_type,
    target_api_version,
    target_kind,
    target_namespace,
    target_name,
    labels,
    lower(hex(source_digest)) AS source_digest,
    step_executions,
    adaptive_adjustments
FROM workflow_execution_audit
WHERE NOT EXISTS (
    SELECT 1 FROM purge_pending AS pending
    WHERE pending.log = workflow_execution_audit.log AND pending.id = workflow_execution_audit.id
        AND pending.attempt = workflow_execution_audit.attempt);
