-- The first schema: logs, their entries, the executions they record, and what is tracked.
--
-- Times are INTEGER microseconds since 1970-01-01T00:00:00Z (the view at the end shows them as
-- text); durations are INTEGER nanoseconds; digests are the 32 bytes of SHA-256. `log` is the first
-- column of every key. Triggers refuse what an append-only log forbids, whoever asks. They also
-- refuse an INSERT of a key that exists, because INSERT OR REPLACE deletes rows without firing
-- DELETE triggers; a rowid is such a key too, where a table has one.
--
-- The three tables that every append writes to (log_entry, workflow_execution_audit, source_object)
-- have no foreign keys, no CHECK that calls a function, and RAISE(FAIL) in their INSERT triggers:
-- each of the others makes SQLite keep a statement journal, which costs a tenth of an append. Whoever
-- reads a row checks the lengths of its digests.
--
-- A landed migration is never edited: write the next one.

-- One row a log.
CREATE TABLE log (
    -- [a-z0-9.-]{1,63}.
    name TEXT NOT NULL PRIMARY KEY
        CHECK (length(name) BETWEEN 1 AND 63 AND name NOT GLOB '*[^a-z0-9.-]*'),
    -- Who it takes records from: a cluster, or producers over HTTP.
    owner TEXT NOT NULL CHECK (owner IN ('cluster', 'producers')),
    -- Uid of the cluster's kube-system namespace.
    cluster_uid TEXT,
    -- Origin line of its checkpoints.
    origin TEXT NOT NULL,
    -- Key of its content digests and commitments.
    secret BLOB NOT NULL CHECK (length(secret) = 32),
    -- When it was created.
    created_at INTEGER NOT NULL,
    -- How many entries it has: the next index.
    size INTEGER NOT NULL CHECK (size >= 0),
    -- RFC 6962 root over their leaves.
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- recorded_at of its newest entry.
    recorded_at INTEGER,
    CHECK ((owner = 'cluster') = (cluster_uid IS NOT NULL)),
    CHECK ((size = 0) = (recorded_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER log_is_not_replaced BEFORE INSERT ON log
BEGIN
    SELECT RAISE(ABORT, 'log: this name is taken')
    WHERE EXISTS (SELECT 1 FROM log WHERE name = NEW.name);
END;

CREATE TRIGGER log_only_grows BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'log: only its head may change, and only by growing to its newest entry')
    WHERE (NEW.name, NEW.owner, NEW.cluster_uid, NEW.origin, NEW.secret, NEW.created_at)
            IS NOT (OLD.name, OLD.owner, OLD.cluster_uid, OLD.origin, OLD.secret, OLD.created_at)
        OR NEW.size <= OLD.size
        OR NEW.recorded_at < OLD.recorded_at
        OR (NEW.size, NEW.recorded_at) IS NOT (
            SELECT idx + 1, recorded_at FROM log_entry WHERE log = NEW.name ORDER BY idx DESC LIMIT 1);
END;

CREATE TRIGGER log_is_not_deleted BEFORE DELETE ON log
BEGIN
    SELECT RAISE(ABORT, 'log: a log is never deleted');
END;

-- One row an entry: its leaf, and what identifies it. Stays for ever.
CREATE TABLE log_entry (
    log TEXT NOT NULL,
    -- Its place in the log: 0, 1, 2 … without holes.
    idx INTEGER NOT NULL CHECK (idx >= 0),
    kind TEXT NOT NULL CHECK (kind IN ('execution', 'gap', 'quarantine', 'hold')),
    -- When it was appended; never runs backwards along idx.
    recorded_at INTEGER NOT NULL,
    -- The execution it concerns.
    execution_id TEXT NOT NULL,
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
    CHECK (kind = 'execution' OR started_at IS NULL)
) STRICT, WITHOUT ROWID;

-- One execution is one entry; other entries (attempt and revision NULL) repeat freely here.
CREATE UNIQUE INDEX log_entry_execution ON log_entry (log, execution_id, attempt, revision);

CREATE UNIQUE INDEX log_entry_idempotency ON log_entry (log, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

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

-- One row an execution and attempt: its latest revision. Columns are named like the record's fields.
CREATE TABLE workflow_execution_audit (
    -- The log it is in.
    log TEXT NOT NULL,
    -- The resource's uid, or the producer's id.
    id TEXT NOT NULL,
    -- 1 for the first run of id.
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    -- 1 for the first; one more with each amendment.
    revision INTEGER NOT NULL CHECK (revision >= 1),
    -- When this revision was appended.
    recorded_at INTEGER NOT NULL,
    -- The resource's creation or the nearest thing known; orders lists; the same in each revision.
    created_at INTEGER NOT NULL,
    -- When it ended.
    completed_at INTEGER NOT NULL,
    -- When it began; tells the attempts of one resource apart.
    started_at INTEGER,
    -- What it set out to remediate; may be empty.
    remediation_id TEXT NOT NULL,
    workflow_name TEXT NOT NULL,
    -- May be empty.
    workflow_version TEXT NOT NULL,
    -- Steps of the plan.
    total_steps INTEGER NOT NULL CHECK (total_steps >= 0),
    steps_completed INTEGER NOT NULL CHECK (steps_completed >= 0),
    -- With steps_completed at most total_steps.
    steps_failed INTEGER NOT NULL CHECK (steps_failed >= 0),
    -- Nanoseconds from start to end.
    total_duration INTEGER NOT NULL CHECK (total_duration >= 0),
    -- Nanoseconds between creation and start.
    queued_duration INTEGER CHECK (queued_duration >= 0),
    -- Judged by its work.
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'failed', 'partial')),
    effectiveness_score REAL NOT NULL CHECK (effectiveness_score BETWEEN 0 AND 1),
    -- Whether the producer gave the score.
    score_source TEXT NOT NULL CHECK (score_source IN ('reported', 'derived')),
    -- Steps rolled back.
    rollbacks_performed INTEGER NOT NULL CHECK (rollbacks_performed >= 0),
    -- How it ended.
    status TEXT NOT NULL CHECK (status IN ('completed', 'failed', 'cancelled', 'timed_out', 'deleted')),
    -- Empty when nothing went wrong.
    error_message TEXT NOT NULL,
    -- Descriptive: the cluster it ran in.
    cluster TEXT,
    -- The resource's namespace.
    namespace TEXT,
    -- The resource's name.
    name TEXT,
    -- The resource it was read from; all three source_* or none.
    source_api_version TEXT,
    source_kind TEXT,
    source_uid TEXT,
    -- The kind of incident it answers.
    incident_type TEXT,
    -- What it worked on.
    target_api_version TEXT,
    target_kind TEXT,
    target_namespace TEXT,
    target_name TEXT,
    -- JSON object of texts.
    labels TEXT NOT NULL,
    -- SHA-256 of the source object's bytes.
    source_digest BLOB,
    -- HMAC of the record before redaction, under the log's secret: what sameness is judged by.
    content_digest BLOB,
    -- Random bytes inside the hashed body.
    nonce BLOB NOT NULL,
    -- JSON array; last in the row, so that lists need not read it.
    step_executions TEXT NOT NULL,
    -- JSON array.
    adaptive_adjustments TEXT NOT NULL,
    PRIMARY KEY (log, id, attempt),
    CHECK (steps_completed + steps_failed <= total_steps),
    CHECK ((source_kind IS NULL) = (source_api_version IS NULL) AND (source_kind IS NULL) = (source_uid IS NULL))
) STRICT;

-- Lists: newest first, then log, id, attempt; keyset pages start anywhere in it.
CREATE INDEX workflow_execution_audit_newest
    ON workflow_execution_audit (created_at DESC, log, id, attempt);

-- What became of one incident, and of one workflow: both would otherwise scan everything for a few rows.
CREATE INDEX workflow_execution_audit_remediation
    ON workflow_execution_audit (remediation_id, created_at DESC, log, id, attempt);

CREATE INDEX workflow_execution_audit_workflow
    ON workflow_execution_audit (workflow_name, created_at DESC, log, id, attempt);

-- The revisions before the latest, each as it stood in workflow_execution_audit, whose columns
-- these are.
CREATE TABLE workflow_execution_revision (
    log TEXT NOT NULL,
    id TEXT NOT NULL,
    attempt INTEGER NOT NULL CHECK (attempt >= 1),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    recorded_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    completed_at INTEGER NOT NULL,
    started_at INTEGER,
    remediation_id TEXT NOT NULL,
    workflow_name TEXT NOT NULL,
    workflow_version TEXT NOT NULL,
    total_steps INTEGER NOT NULL CHECK (total_steps >= 0),
    steps_completed INTEGER NOT NULL CHECK (steps_completed >= 0),
    steps_failed INTEGER NOT NULL CHECK (steps_failed >= 0),
    total_duration INTEGER NOT NULL CHECK (total_duration >= 0),
    queued_duration INTEGER CHECK (queued_duration >= 0),
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'failed', 'partial')),
    effectiveness_score REAL NOT NULL CHECK (effectiveness_score BETWEEN 0 AND 1),
    score_source TEXT NOT NULL CHECK (score_source IN ('reported', 'derived')),
    rollbacks_performed INTEGER NOT NULL CHECK (rollbacks_performed >= 0),
    status TEXT NOT NULL CHECK (status IN ('completed', 'failed', 'cancelled', 'timed_out', 'deleted')),
    error_message TEXT NOT NULL,
    cluster TEXT,
    namespace TEXT,
    name TEXT,
    source_api_version TEXT,
    source_kind TEXT,
    source_uid TEXT,
    incident_type TEXT,
    target_api_version TEXT,
    target_kind TEXT,
    target_namespace TEXT,
    target_name TEXT,
    labels TEXT NOT NULL,
    source_digest BLOB,
    content_digest BLOB,
    nonce BLOB NOT NULL,
    step_executions TEXT NOT NULL,
    adaptive_adjustments TEXT NOT NULL,
    PRIMARY KEY (log, id, attempt, revision),
    CHECK (steps_completed + steps_failed <= total_steps),
    CHECK ((source_kind IS NULL) = (source_api_version IS NULL) AND (source_kind IS NULL) = (source_uid IS NULL))
) STRICT;

CREATE TRIGGER workflow_execution_audit_is_not_replaced BEFORE INSERT ON workflow_execution_audit
BEGIN
    SELECT RAISE(FAIL, 'workflow_execution_audit: this execution and attempt is recorded already')
    WHERE EXISTS (
            SELECT 1 FROM workflow_execution_audit
            WHERE log = NEW.log AND id = NEW.id AND attempt = NEW.attempt)
        OR EXISTS (SELECT 1 FROM workflow_execution_audit WHERE rowid = NEW.rowid);
    SELECT RAISE(FAIL, 'workflow_execution_audit: a row needs its entry in log_entry first')
    WHERE NEW.recorded_at IS NOT (
        SELECT recorded_at FROM log_entry
        WHERE log = NEW.log AND execution_id = NEW.id
            AND attempt = NEW.attempt AND revision = NEW.revision);
END;

CREATE TRIGGER workflow_execution_audit_is_only_amended BEFORE UPDATE ON workflow_execution_audit
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_audit: a row only changes into its next revision, which has its entry, while the row as it was stands in workflow_execution_revision')
    WHERE (NEW.rowid, NEW.log, NEW.id, NEW.attempt, NEW.revision, NEW.created_at)
            IS NOT (OLD.rowid, OLD.log, OLD.id, OLD.attempt, OLD.revision + 1, OLD.created_at)
        OR NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.log AND execution_id = NEW.id
                AND attempt = NEW.attempt AND revision = NEW.revision)
        OR NOT EXISTS (
            SELECT 1 FROM workflow_execution_revision AS kept
            WHERE kept.log = OLD.log AND kept.id = OLD.id
                AND kept.attempt = OLD.attempt AND kept.revision = OLD.revision
                AND (
                    kept.recorded_at, kept.created_at, kept.completed_at, kept.started_at,
                    kept.remediation_id, kept.workflow_name, kept.workflow_version,
                    kept.total_steps, kept.steps_completed, kept.steps_failed, kept.total_duration,
                    kept.queued_duration, kept.outcome, kept.effectiveness_score,
                    kept.score_source, kept.rollbacks_performed, kept.status, kept.error_message,
                    kept.cluster, kept.namespace, kept.name, kept.source_api_version,
                    kept.source_kind, kept.source_uid, kept.incident_type, kept.target_api_version,
                    kept.target_kind, kept.target_namespace, kept.target_name, kept.labels,
                    kept.source_digest, kept.content_digest, kept.nonce, kept.step_executions,
                    kept.adaptive_adjustments
                ) IS (
                    OLD.recorded_at, OLD.created_at, OLD.completed_at, OLD.started_at,
                    OLD.remediation_id, OLD.workflow_name, OLD.workflow_version, OLD.total_steps,
                    OLD.steps_completed, OLD.steps_failed, OLD.total_duration, OLD.queued_duration,
                    OLD.outcome, OLD.effectiveness_score, OLD.score_source,
                    OLD.rollbacks_performed, OLD.status, OLD.error_message, OLD.cluster,
                    OLD.namespace, OLD.name, OLD.source_api_version, OLD.source_kind,
                    OLD.source_uid, OLD.incident_type, OLD.target_api_version, OLD.target_kind,
                    OLD.target_namespace, OLD.target_name, OLD.labels, OLD.source_digest,
                    OLD.content_digest, OLD.nonce, OLD.step_executions, OLD.adaptive_adjustments
                ));
END;

CREATE TRIGGER workflow_execution_audit_is_not_deleted BEFORE DELETE ON workflow_execution_audit
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_audit: a record is never deleted');
END;

CREATE TRIGGER workflow_execution_revision_is_a_copy BEFORE INSERT ON workflow_execution_revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_revision: this revision is kept already')
    WHERE EXISTS (
            SELECT 1 FROM workflow_execution_revision
            WHERE log = NEW.log AND id = NEW.id
                AND attempt = NEW.attempt AND revision = NEW.revision)
        OR EXISTS (SELECT 1 FROM workflow_execution_revision WHERE rowid = NEW.rowid);
    SELECT RAISE(ABORT, 'workflow_execution_revision: only the present row of workflow_execution_audit moves here, unchanged')
    WHERE NOT EXISTS (
        SELECT 1 FROM workflow_execution_audit
        WHERE log = NEW.log AND id = NEW.id
            AND attempt = NEW.attempt AND revision = NEW.revision
            AND (
                recorded_at, created_at, completed_at, started_at, remediation_id, workflow_name,
                workflow_version, total_steps, steps_completed, steps_failed, total_duration,
                queued_duration, outcome, effectiveness_score, score_source, rollbacks_performed,
                status, error_message, cluster, namespace, name, source_api_version, source_kind,
                source_uid, incident_type, target_api_version, target_kind, target_namespace,
                target_name, labels, source_digest, content_digest, nonce, step_executions,
                adaptive_adjustments
            ) IS (
                NEW.recorded_at, NEW.created_at, NEW.completed_at, NEW.started_at,
                NEW.remediation_id, NEW.workflow_name, NEW.workflow_version, NEW.total_steps,
                NEW.steps_completed, NEW.steps_failed, NEW.total_duration, NEW.queued_duration,
                NEW.outcome, NEW.effectiveness_score, NEW.score_source, NEW.rollbacks_performed,
                NEW.status, NEW.error_message, NEW.cluster, NEW.namespace, NEW.name,
                NEW.source_api_version, NEW.source_kind, NEW.source_uid, NEW.incident_type,
                NEW.target_api_version, NEW.target_kind, NEW.target_namespace, NEW.target_name,
                NEW.labels, NEW.source_digest, NEW.content_digest, NEW.nonce, NEW.step_executions,
                NEW.adaptive_adjustments
            ));
END;

CREATE TRIGGER workflow_execution_revision_is_not_updated BEFORE UPDATE ON workflow_execution_revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_revision: a revision never changes');
END;

CREATE TRIGGER workflow_execution_revision_is_not_deleted BEFORE DELETE ON workflow_execution_revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_revision: a revision is never deleted');
END;

-- The object a revision was mapped from, as observed, except for redacted values.
CREATE TABLE source_object (
    log TEXT NOT NULL,
    -- Index of the revision's entry. Not its id: indexes grow, so this key costs little to keep.
    idx INTEGER NOT NULL,
    -- zstd of its JSON; source_digest of the revision covers the JSON.
    object BLOB NOT NULL,
    PRIMARY KEY (log, idx)
) STRICT;

CREATE TRIGGER source_object_is_not_replaced BEFORE INSERT ON source_object
BEGIN
    SELECT RAISE(FAIL, 'source_object: this object is kept already')
    WHERE EXISTS (SELECT 1 FROM source_object WHERE log = NEW.log AND idx = NEW.idx)
        OR EXISTS (SELECT 1 FROM source_object WHERE rowid = NEW.rowid);
    SELECT RAISE(FAIL, 'source_object: an object needs the entry of its execution in log_entry first')
    WHERE NOT EXISTS (
        SELECT 1 FROM log_entry WHERE log = NEW.log AND idx = NEW.idx AND kind = 'execution');
END;

CREATE TRIGGER source_object_is_not_updated BEFORE UPDATE ON source_object
BEGIN
    SELECT RAISE(ABORT, 'source_object: a source object never changes');
END;

CREATE TRIGGER source_object_is_not_deleted BEFORE DELETE ON source_object
BEGIN
    SELECT RAISE(ABORT, 'source_object: a source object is never deleted');
END;

-- Objects that could not be mapped, kept whole.
CREATE TABLE quarantine (
    log TEXT NOT NULL REFERENCES log (name),
    -- The resource's uid.
    execution_id TEXT NOT NULL,
    -- SHA-256 of the object's JSON.
    source_digest BLOB NOT NULL CHECK (length(source_digest) = 32),
    -- Its entry, which says what is wrong with it.
    idx INTEGER NOT NULL,
    -- When it was put here.
    recorded_at INTEGER NOT NULL,
    -- zstd of its JSON.
    object BLOB NOT NULL,
    PRIMARY KEY (log, execution_id, source_digest)
) STRICT;

CREATE TRIGGER quarantine_is_not_replaced BEFORE INSERT ON quarantine
BEGIN
    SELECT RAISE(ABORT, 'quarantine: this object is kept already')
    WHERE EXISTS (
            SELECT 1 FROM quarantine
            WHERE log = NEW.log AND execution_id = NEW.execution_id
                AND source_digest = NEW.source_digest)
        OR EXISTS (SELECT 1 FROM quarantine WHERE rowid = NEW.rowid);
    SELECT RAISE(ABORT, 'quarantine: an object needs its entry in log_entry first')
    WHERE (NEW.execution_id, NEW.recorded_at) IS NOT (
        SELECT execution_id, recorded_at FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'quarantine');
END;

CREATE TRIGGER quarantine_is_not_updated BEFORE UPDATE ON quarantine
BEGIN
    SELECT RAISE(ABORT, 'quarantine: a quarantined object never changes');
END;

CREATE TRIGGER quarantine_is_not_deleted BEFORE DELETE ON quarantine
BEGIN
    SELECT RAISE(ABORT, 'quarantine: a quarantined object is never deleted');
END;

-- Holds: nothing of an execution may leave while one is open on it.
CREATE TABLE hold (
    log TEXT NOT NULL REFERENCES log (name),
    execution_id TEXT NOT NULL,
    -- Its entry.
    idx INTEGER NOT NULL,
    -- Why.
    reason TEXT NOT NULL,
    -- Who said so.
    actor TEXT NOT NULL,
    -- When it was placed.
    placed_at INTEGER NOT NULL,
    -- When it was released; NULL while it is open. Set once.
    released_at INTEGER CHECK (released_at >= placed_at),
    PRIMARY KEY (log, execution_id, idx)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER hold_is_not_replaced BEFORE INSERT ON hold
BEGIN
    SELECT RAISE(ABORT, 'hold: this hold is placed already')
    WHERE EXISTS (
        SELECT 1 FROM hold
        WHERE log = NEW.log AND execution_id = NEW.execution_id AND idx = NEW.idx);
    SELECT RAISE(ABORT, 'hold: a hold needs its entry in log_entry first')
    WHERE (NEW.execution_id, NEW.placed_at) IS NOT (
        SELECT execution_id, recorded_at FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'hold');
END;

CREATE TRIGGER hold_is_only_released BEFORE UPDATE ON hold
BEGIN
    SELECT RAISE(ABORT, 'hold: an open hold can only be released, and that once')
    WHERE OLD.released_at IS NOT NULL
        OR NEW.released_at IS NULL
        OR (NEW.log, NEW.execution_id, NEW.idx, NEW.reason, NEW.actor, NEW.placed_at)
            IS NOT (OLD.log, OLD.execution_id, OLD.idx, OLD.reason, OLD.actor, OLD.placed_at);
END;

CREATE TRIGGER hold_is_not_deleted BEFORE DELETE ON hold
BEGIN
    SELECT RAISE(ABORT, 'hold: a hold is never deleted');
END;

-- Executions whose resource exists, as last seen: what a gap is found against. No part of the log;
-- rows come, change and go.
CREATE TABLE tracked (
    log TEXT NOT NULL REFERENCES log (name),
    -- The resource's uid.
    id TEXT NOT NULL,
    -- The resource's namespace and name.
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Its phase when last seen.
    phase TEXT NOT NULL,
    -- Its present attempt's start.
    started_at INTEGER,
    -- Its JSON when last seen, redacted.
    last_state TEXT NOT NULL,
    -- When it was last seen to have changed.
    last_seen_at INTEGER NOT NULL,
    -- open: its end is owed a record; closed: it is accounted for, and merely still exists.
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
    PRIMARY KEY (log, id)
) STRICT;

-- The Merkle tree over a log's leaves, in the tiles of C2SP tlog-tiles (height 8).
CREATE TABLE log_tile (
    log TEXT NOT NULL REFERENCES log (name),
    -- 0 holds leaf hashes; each level above, roots of full tiles of the one below.
    level INTEGER NOT NULL CHECK (level BETWEEN 0 AND 7),
    -- Its place in the level.
    idx INTEGER NOT NULL CHECK (idx >= 0),
    -- 1 to 256 hashes of 32 bytes.
    hashes BLOB NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (log, level, idx)
) STRICT;

CREATE TRIGGER log_tile_is_not_replaced BEFORE INSERT ON log_tile
BEGIN
    SELECT RAISE(ABORT, 'log_tile: this tile exists already')
    WHERE EXISTS (
            SELECT 1 FROM log_tile
            WHERE log = NEW.log AND level = NEW.level AND idx = NEW.idx)
        OR EXISTS (SELECT 1 FROM log_tile WHERE rowid = NEW.rowid);
END;

CREATE TRIGGER log_tile_only_grows BEFORE UPDATE ON log_tile
BEGIN
    SELECT RAISE(ABORT, 'log_tile: a tile only grows')
    WHERE (NEW.rowid, NEW.log, NEW.level, NEW.idx) IS NOT (OLD.rowid, OLD.log, OLD.level, OLD.idx)
        OR length(NEW.hashes) <= length(OLD.hashes)
        OR substr(NEW.hashes, 1, length(OLD.hashes)) IS NOT OLD.hashes;
END;

CREATE TRIGGER log_tile_is_not_deleted BEFORE DELETE ON log_tile
BEGIN
    SELECT RAISE(ABORT, 'log_tile: a tile is never deleted');
END;

-- The executions with times as text and durations in seconds, for people. Filter and sort on the
-- table: its numbers are what is indexed.
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
FROM workflow_execution_audit;
