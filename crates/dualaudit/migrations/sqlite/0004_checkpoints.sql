-- Signed heads, logs that succeed others, and the kinds of entry that a log needs to be proved.
--
-- log_entry is made anew, because SQLite changes no CHECK in place.
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
        CHECK (kind IN (
            'execution', 'gap', 'quarantine', 'hold', 'hold_release', 'purge', 'heartbeat', 'succession',
            'digest', 'review', 'export', 'erasure')),
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
    CHECK (
        execution_id IS NOT NULL
        OR kind IN ('hold', 'hold_release', 'purge', 'heartbeat', 'succession', 'digest', 'export'))
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

PRAGMA legacy_alter_table = OFF;

-- The newest checkpoint of each log, as it was published.
CREATE TABLE checkpoint (
    log TEXT NOT NULL PRIMARY KEY REFERENCES log (name),
    -- How many entries it covers.
    size INTEGER NOT NULL CHECK (size >= 0),
    -- The checkpoint with its signatures: C2SP tlog-checkpoint.
    note TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER checkpoint_is_not_replaced BEFORE INSERT ON checkpoint
BEGIN
    SELECT RAISE(ABORT, 'checkpoint: only a later one takes the place of one, by an UPDATE')
    WHERE EXISTS (SELECT 1 FROM checkpoint WHERE log = NEW.log);
    SELECT RAISE(ABORT, 'checkpoint: none covers more than its log has')
    WHERE NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size >= NEW.size);
END;

CREATE TRIGGER checkpoint_only_grows BEFORE UPDATE ON checkpoint
BEGIN
    SELECT RAISE(ABORT, 'checkpoint: only a later one takes the place of one, and none covers more than its log has')
    WHERE NEW.log <> OLD.log OR NEW.size <= OLD.size
        OR NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size >= NEW.size);
END;

CREATE TRIGGER checkpoint_is_not_deleted BEFORE DELETE ON checkpoint
BEGIN
    SELECT RAISE(ABORT, 'checkpoint: a checkpoint is never deleted');
END;

-- Logs that were rolled back, and those that go on in their place.
CREATE TABLE succession (
    -- The log that was rolled back, which takes nothing any more.
    log TEXT NOT NULL PRIMARY KEY REFERENCES log (name),
    -- The log that goes on. Its first entry says why.
    successor TEXT NOT NULL REFERENCES log (name),
    CHECK (log <> successor)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER succession_is_not_replaced BEFORE INSERT ON succession
BEGIN
    SELECT RAISE(ABORT, 'succession: a log is succeeded once')
    WHERE EXISTS (SELECT 1 FROM succession WHERE log = NEW.log);
END;

CREATE TRIGGER succession_is_not_updated BEFORE UPDATE ON succession
BEGIN
    SELECT RAISE(ABORT, 'succession: a succession never changes');
END;

CREATE TRIGGER succession_is_not_deleted BEFORE DELETE ON succession
BEGIN
    SELECT RAISE(ABORT, 'succession: a succession is never deleted');
END;

-- An append is complete with its head, so this refuses every one.
CREATE TRIGGER log_succeeded_and_grows_no_more BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'log: another goes on in its place, and it takes nothing any more')
    WHERE EXISTS (SELECT 1 FROM succession WHERE log = OLD.name);
END;
