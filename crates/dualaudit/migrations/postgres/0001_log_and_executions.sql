-- The first schema: logs, their entries, the executions they record, and what is tracked.
--
-- `log` is the first column of every key, so that the schema can be distributed by it. Texts are
-- compared by their bytes (COLLATE "C"): the order of pages is then the same on every server, and
-- that of every other database. Times are to the microsecond, durations BIGINT nanoseconds, digests
-- the 32 bytes of SHA-256. What a column means is its COMMENT.
--
-- Triggers refuse what an append-only log forbids, whoever asks, the owner too. What an INSERT has to
-- hold is checked once a statement, on all its rows together: a trigger for each row would cost an
-- append a third of its time.
--
-- A landed migration is never edited: write the next one.

CREATE FUNCTION dualaudit_refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: %', TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;

-- Refuses to change, delete or truncate the rows of a table; says so in its words.
CREATE FUNCTION dualaudit_keep_rows(kept text, words text, changes boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT changes THEN
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION dualaudit_refuse(%L)',
            kept || '_is_not_updated', kept, words || ' never changes');
    END IF;
    EXECUTE format(
        'CREATE TRIGGER %I BEFORE DELETE ON %I FOR EACH ROW EXECUTE FUNCTION dualaudit_refuse(%L)',
        kept || '_is_not_deleted', kept, words || ' is never deleted');
    EXECUTE format(
        'CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse(%L)',
        kept || '_is_not_truncated', kept, words || ' is never deleted');
END
$$;

-- One row a log. Room is left in its pages, because the head is written by every append.
CREATE TABLE log (
    name text COLLATE "C" NOT NULL PRIMARY KEY CHECK (name ~ '^[a-z0-9.-]{1,63}$'),
    owner text COLLATE "C" NOT NULL CHECK (owner IN ('cluster', 'producers')),
    cluster_uid text COLLATE "C",
    origin text COLLATE "C" NOT NULL,
    secret bytea NOT NULL CHECK (octet_length(secret) = 32),
    created_at timestamptz NOT NULL,
    size bigint NOT NULL CHECK (size >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    recorded_at timestamptz,
    CHECK ((owner = 'cluster') = (cluster_uid IS NOT NULL)),
    CHECK ((size = 0) = (recorded_at IS NULL))
) WITH (fillfactor = 20);

-- One row an entry: its leaf, and what identifies it. Stays for ever, in one table: that a record is
-- there already is found here, whatever has become of its row, and in no partition.
CREATE TABLE log_entry (
    log text COLLATE "C" NOT NULL,
    idx bigint NOT NULL CHECK (idx >= 0),
    recorded_at timestamptz NOT NULL,
    created_at timestamptz,
    started_at timestamptz,
    attempt integer CHECK (attempt >= 1),
    revision integer CHECK (revision >= 1),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('execution', 'gap', 'quarantine', 'hold')),
    execution_id text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    body_digest bytea NOT NULL CHECK (octet_length(body_digest) = 32),
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    content_digest bytea CHECK (octet_length(content_digest) = 32),
    body text COLLATE "C",
    PRIMARY KEY (log, idx),
    CHECK ((kind = 'execution') = (attempt IS NOT NULL)),
    CHECK ((kind = 'execution') = (revision IS NOT NULL)),
    CHECK ((kind = 'execution') = (created_at IS NOT NULL)),
    CHECK ((kind = 'execution') = (idempotency_key IS NULL)),
    CHECK ((kind = 'execution') = (body IS NULL)),
    CHECK (kind = 'execution' OR started_at IS NULL),
    CHECK (kind = 'execution' OR content_digest IS NULL)
);

-- One execution is one entry; other entries (attempt and revision NULL) repeat freely here.
CREATE UNIQUE INDEX log_entry_execution ON log_entry (log, execution_id, attempt, revision);

CREATE UNIQUE INDEX log_entry_idempotency ON log_entry (log, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- One row an execution and attempt: its latest revision. Columns are named like the record's fields.
--
-- Partitioned by month of created_at, which never changes, so no row ever moves. The first partition
-- has no beginning. The last, `…_later`, has no end: a record may say any time up to the year 9999,
-- and it must never be refused because nobody made its month. dualaudit_make_partitions keeps six
-- months before it, each split off it while it is empty, so in practice nothing is ever there.
CREATE TABLE workflow_execution_audit (
    log text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 1),
    revision integer NOT NULL CHECK (revision >= 1),
    recorded_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    started_at timestamptz,
    remediation_id text COLLATE "C" NOT NULL,
    workflow_name text COLLATE "C" NOT NULL,
    workflow_version text COLLATE "C" NOT NULL,
    total_steps integer NOT NULL CHECK (total_steps >= 0),
    steps_completed integer NOT NULL CHECK (steps_completed >= 0),
    steps_failed integer NOT NULL CHECK (steps_failed >= 0),
    total_duration bigint NOT NULL CHECK (total_duration >= 0),
    queued_duration bigint CHECK (queued_duration >= 0),
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('success', 'failed', 'partial')),
    effectiveness_score double precision NOT NULL CHECK (effectiveness_score BETWEEN 0 AND 1),
    score_source text COLLATE "C" NOT NULL CHECK (score_source IN ('reported', 'derived')),
    rollbacks_performed integer NOT NULL CHECK (rollbacks_performed >= 0),
    status text COLLATE "C" NOT NULL
        CHECK (status IN ('completed', 'failed', 'cancelled', 'timed_out', 'deleted')),
    error_message text COLLATE "C" NOT NULL,
    cluster text COLLATE "C",
    namespace text COLLATE "C",
    name text COLLATE "C",
    source_api_version text COLLATE "C",
    source_kind text COLLATE "C",
    source_uid text COLLATE "C",
    incident_type text COLLATE "C",
    target_api_version text COLLATE "C",
    target_kind text COLLATE "C",
    target_namespace text COLLATE "C",
    target_name text COLLATE "C",
    labels jsonb NOT NULL CHECK (jsonb_typeof(labels) = 'object'),
    source_digest bytea CHECK (octet_length(source_digest) = 32),
    nonce bytea NOT NULL CHECK (octet_length(nonce) = 16),
    step_executions jsonb NOT NULL CHECK (jsonb_typeof(step_executions) = 'array'),
    adaptive_adjustments jsonb NOT NULL CHECK (jsonb_typeof(adaptive_adjustments) = 'array'),
    CHECK (steps_completed::bigint + steps_failed <= total_steps),
    CHECK ((source_kind IS NULL) = (source_api_version IS NULL) AND (source_kind IS NULL) = (source_uid IS NULL))
) PARTITION BY RANGE (created_at);

-- Steps are compressed with what costs appends the least, where the server has it.
DO $$
BEGIN
    ALTER TABLE workflow_execution_audit
        ALTER COLUMN step_executions SET COMPRESSION lz4,
        ALTER COLUMN adaptive_adjustments SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN NULL;
END
$$;

-- A row's key, and the order of lists: newest first, then id, attempt; keyset pages start anywhere in
-- it. The time is in it because a unique index needs what partitions go by, and early because the
-- time is known of every row that is looked for: its entry has it.
CREATE UNIQUE INDEX workflow_execution_audit_newest
    ON workflow_execution_audit (log, created_at DESC, id, attempt);

-- What became of one incident, and of one workflow: both would otherwise read everything for a few rows.
CREATE INDEX workflow_execution_audit_remediation
    ON workflow_execution_audit (log, remediation_id, created_at DESC, id, attempt);

CREATE INDEX workflow_execution_audit_workflow
    ON workflow_execution_audit (log, workflow_name, created_at DESC, id, attempt);

-- The revisions before the latest, each as it stood in workflow_execution_audit, whose columns these
-- are. Amendments are few, so one table without partitions serves.
CREATE TABLE workflow_execution_revision (
    LIKE workflow_execution_audit INCLUDING CONSTRAINTS INCLUDING COMPRESSION,
    PRIMARY KEY (log, id, attempt, revision)
);

-- The object a revision was mapped from, as observed, except for redacted values. Most of the bytes
-- of an audit are here; partitioned like the executions, so that they leave with them.
CREATE TABLE source_object (
    log text COLLATE "C" NOT NULL,
    idx bigint NOT NULL,
    created_at timestamptz NOT NULL,
    object bytea NOT NULL
) PARTITION BY RANGE (created_at);

-- zstd has done what compression can do.
ALTER TABLE source_object ALTER COLUMN object SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX source_object_entry ON source_object (log, idx, created_at);

-- Objects that could not be mapped, kept whole.
CREATE TABLE quarantine (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    execution_id text COLLATE "C" NOT NULL,
    source_digest bytea NOT NULL CHECK (octet_length(source_digest) = 32),
    idx bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    object bytea NOT NULL,
    PRIMARY KEY (log, execution_id, source_digest)
);

ALTER TABLE quarantine ALTER COLUMN object SET STORAGE EXTERNAL;

-- Holds: nothing of an execution may leave while one is open on it.
CREATE TABLE hold (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    execution_id text COLLATE "C" NOT NULL,
    idx bigint NOT NULL,
    reason text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    placed_at timestamptz NOT NULL,
    released_at timestamptz CHECK (released_at >= placed_at),
    PRIMARY KEY (log, execution_id, idx)
);

-- Executions whose resource exists, as last seen: what a gap is found against. No part of the log;
-- rows come, change and go.
CREATE TABLE tracked (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    id text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    phase text COLLATE "C" NOT NULL,
    started_at timestamptz,
    last_state text COLLATE "C" NOT NULL,
    last_seen_at timestamptz NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('open', 'closed')),
    PRIMARY KEY (log, id)
);

-- The Merkle tree over a log's leaves, in the tiles of C2SP tlog-tiles (height 8).
CREATE TABLE log_tile (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    idx bigint NOT NULL CHECK (idx >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (log, level, idx)
);

ALTER TABLE log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

COMMENT ON TABLE log IS 'Logs, each with its head.';
COMMENT ON COLUMN log.name IS '[a-z0-9.-]{1,63}.';
COMMENT ON COLUMN log.owner IS 'Who it takes records from: a cluster, or producers over HTTP.';
COMMENT ON COLUMN log.cluster_uid IS 'Uid of the cluster''s kube-system namespace.';
COMMENT ON COLUMN log.origin IS 'Origin line of its checkpoints.';
COMMENT ON COLUMN log.secret IS 'Key of its content digests and commitments.';
COMMENT ON COLUMN log.created_at IS 'When it was created.';
COMMENT ON COLUMN log.size IS 'How many entries it has: the next index.';
COMMENT ON COLUMN log.root IS 'RFC 6962 root over their leaves.';
COMMENT ON COLUMN log.recorded_at IS 'recorded_at of its newest entry.';

COMMENT ON TABLE log_entry IS 'Everything that happened to the audit, in order.';
COMMENT ON COLUMN log_entry.log IS 'The log it is in.';
COMMENT ON COLUMN log_entry.idx IS 'Its place in the log: 0, 1, 2 … without holes.';
COMMENT ON COLUMN log_entry.recorded_at IS 'When it was appended; never runs backwards along idx.';
COMMENT ON COLUMN log_entry.created_at IS 'Of an execution: created_at of its row, which says in which partition that is.';
COMMENT ON COLUMN log_entry.started_at IS 'Of an execution: its start, which tells attempts of one resource apart even after a purge.';
COMMENT ON COLUMN log_entry.attempt IS 'Of an execution: with execution_id and revision, its identity.';
COMMENT ON COLUMN log_entry.revision IS 'Of an execution: 1 for the first, one more with each amendment.';
COMMENT ON COLUMN log_entry.kind IS 'What it is: its other columns go by it.';
COMMENT ON COLUMN log_entry.execution_id IS 'The execution it concerns.';
COMMENT ON COLUMN log_entry.idempotency_key IS 'Of any other kind: the same key is the same entry.';
COMMENT ON COLUMN log_entry.body_digest IS 'SHA-256 of the canonical body.';
COMMENT ON COLUMN log_entry.leaf_hash IS 'RFC 6962 hash of the leaf, which is made of log, idx, kind, recorded_at, execution_id, attempt, revision and body_digest.';
COMMENT ON COLUMN log_entry.content_digest IS 'HMAC of the record before redaction, under the log''s secret: what sameness is judged by. Here and not in the row, so that one look at this table finds every duplicate; in no leaf, so that it can go with the record.';
COMMENT ON COLUMN log_entry.body IS 'The canonical body, nonce included. Of an execution it is put together from its row.';

COMMENT ON TABLE workflow_execution_audit IS 'Executions: one row an attempt, its latest revision.';
COMMENT ON COLUMN workflow_execution_audit.log IS 'The log it is in.';
COMMENT ON COLUMN workflow_execution_audit.id IS 'The resource''s uid, or the producer''s id.';
COMMENT ON COLUMN workflow_execution_audit.attempt IS '1 for the first run of id.';
COMMENT ON COLUMN workflow_execution_audit.revision IS '1 for the first; one more with each amendment.';
COMMENT ON COLUMN workflow_execution_audit.recorded_at IS 'When this revision was appended.';
COMMENT ON COLUMN workflow_execution_audit.created_at IS 'The resource''s creation or the nearest thing known; orders lists; the same in each revision.';
COMMENT ON COLUMN workflow_execution_audit.completed_at IS 'When it ended.';
COMMENT ON COLUMN workflow_execution_audit.started_at IS 'When it began; tells the attempts of one resource apart.';
COMMENT ON COLUMN workflow_execution_audit.remediation_id IS 'What it set out to remediate; may be empty.';
COMMENT ON COLUMN workflow_execution_audit.workflow_name IS 'The workflow that ran.';
COMMENT ON COLUMN workflow_execution_audit.workflow_version IS 'Its version; may be empty.';
COMMENT ON COLUMN workflow_execution_audit.total_steps IS 'Steps of the plan.';
COMMENT ON COLUMN workflow_execution_audit.steps_completed IS 'Steps that completed.';
COMMENT ON COLUMN workflow_execution_audit.steps_failed IS 'Steps that failed; with steps_completed at most total_steps.';
COMMENT ON COLUMN workflow_execution_audit.total_duration IS 'Nanoseconds from start to end.';
COMMENT ON COLUMN workflow_execution_audit.queued_duration IS 'Nanoseconds between creation and start.';
COMMENT ON COLUMN workflow_execution_audit.outcome IS 'Judged by its work.';
COMMENT ON COLUMN workflow_execution_audit.effectiveness_score IS 'From 0 to 1.';
COMMENT ON COLUMN workflow_execution_audit.score_source IS 'Whether the producer gave the score.';
COMMENT ON COLUMN workflow_execution_audit.rollbacks_performed IS 'Steps rolled back.';
COMMENT ON COLUMN workflow_execution_audit.status IS 'How it ended.';
COMMENT ON COLUMN workflow_execution_audit.error_message IS 'Empty when nothing went wrong.';
COMMENT ON COLUMN workflow_execution_audit.cluster IS 'Descriptive: the cluster it ran in.';
COMMENT ON COLUMN workflow_execution_audit.namespace IS 'The resource''s namespace.';
COMMENT ON COLUMN workflow_execution_audit.name IS 'The resource''s name.';
COMMENT ON COLUMN workflow_execution_audit.source_api_version IS 'The resource it was read from; all three source_* or none.';
COMMENT ON COLUMN workflow_execution_audit.source_kind IS 'See source_api_version.';
COMMENT ON COLUMN workflow_execution_audit.source_uid IS 'See source_api_version.';
COMMENT ON COLUMN workflow_execution_audit.incident_type IS 'The kind of incident it answers.';
COMMENT ON COLUMN workflow_execution_audit.target_api_version IS 'What it worked on.';
COMMENT ON COLUMN workflow_execution_audit.target_kind IS 'See target_api_version.';
COMMENT ON COLUMN workflow_execution_audit.target_namespace IS 'See target_api_version.';
COMMENT ON COLUMN workflow_execution_audit.target_name IS 'See target_api_version.';
COMMENT ON COLUMN workflow_execution_audit.labels IS 'JSON object of texts.';
COMMENT ON COLUMN workflow_execution_audit.source_digest IS 'SHA-256 of the source object''s bytes.';
COMMENT ON COLUMN workflow_execution_audit.nonce IS 'Random bytes inside the hashed body.';
COMMENT ON COLUMN workflow_execution_audit.step_executions IS 'JSON array of the steps as they ran; last in the row, so that lists need not read it.';
COMMENT ON COLUMN workflow_execution_audit.adaptive_adjustments IS 'JSON array of what was adjusted on the way.';

COMMENT ON TABLE source_object IS 'The objects that executions were mapped from.';
COMMENT ON COLUMN source_object.log IS 'The log it is in.';
COMMENT ON COLUMN source_object.idx IS 'Index of the revision''s entry. Not its id: indexes grow, so this key costs little to keep.';
COMMENT ON COLUMN source_object.created_at IS 'created_at of the execution, which says in which partition it is.';
COMMENT ON COLUMN source_object.object IS 'zstd of its JSON; source_digest of the revision covers the JSON.';

COMMENT ON TABLE quarantine IS 'Objects that could not be mapped.';
COMMENT ON COLUMN quarantine.log IS 'The log it is in.';
COMMENT ON COLUMN quarantine.execution_id IS 'The resource''s uid.';
COMMENT ON COLUMN quarantine.source_digest IS 'SHA-256 of the object''s JSON.';
COMMENT ON COLUMN quarantine.idx IS 'Its entry, which says what is wrong with it.';
COMMENT ON COLUMN quarantine.recorded_at IS 'When it was put here.';
COMMENT ON COLUMN quarantine.object IS 'zstd of its JSON.';

COMMENT ON TABLE hold IS 'What keeps executions.';
COMMENT ON COLUMN hold.log IS 'The log it is in.';
COMMENT ON COLUMN hold.execution_id IS 'The execution it keeps.';
COMMENT ON COLUMN hold.idx IS 'Its entry.';
COMMENT ON COLUMN hold.reason IS 'Why.';
COMMENT ON COLUMN hold.actor IS 'Who said so.';
COMMENT ON COLUMN hold.placed_at IS 'When it was placed.';
COMMENT ON COLUMN hold.released_at IS 'When it was released; NULL while it is open. Set once.';

COMMENT ON TABLE tracked IS 'Executions whose resource exists.';
COMMENT ON COLUMN tracked.log IS 'The log its end will be in.';
COMMENT ON COLUMN tracked.id IS 'The resource''s uid.';
COMMENT ON COLUMN tracked.namespace IS 'The resource''s namespace.';
COMMENT ON COLUMN tracked.name IS 'The resource''s name.';
COMMENT ON COLUMN tracked.phase IS 'Its phase when last seen.';
COMMENT ON COLUMN tracked.started_at IS 'Its present attempt''s start.';
COMMENT ON COLUMN tracked.last_state IS 'Its JSON when last seen, redacted.';
COMMENT ON COLUMN tracked.last_seen_at IS 'When it was last seen to have changed.';
COMMENT ON COLUMN tracked.state IS 'open: its end is owed a record; closed: it is accounted for, and merely still exists.';

COMMENT ON TABLE log_tile IS 'The Merkle tree of each log.';
COMMENT ON COLUMN log_tile.log IS 'The log it is of.';
COMMENT ON COLUMN log_tile.level IS '0 holds leaf hashes; each level above, roots of full tiles of the one below.';
COMMENT ON COLUMN log_tile.idx IS 'Its place in the level.';
COMMENT ON COLUMN log_tile.hashes IS '1 to 256 hashes of 32 bytes.';

COMMENT ON TABLE workflow_execution_revision IS 'Executions: the revisions before the latest.';
COMMENT ON COLUMN workflow_execution_revision.log IS 'The log it is in.';
COMMENT ON COLUMN workflow_execution_revision.id IS 'The resource''s uid, or the producer''s id.';
COMMENT ON COLUMN workflow_execution_revision.attempt IS '1 for the first run of id.';
COMMENT ON COLUMN workflow_execution_revision.revision IS 'From 1; the latest is in workflow_execution_audit.';
COMMENT ON COLUMN workflow_execution_revision.recorded_at IS 'When this revision was appended.';
COMMENT ON COLUMN workflow_execution_revision.created_at IS 'The resource''s creation or the nearest thing known; orders lists; the same in each revision.';
COMMENT ON COLUMN workflow_execution_revision.completed_at IS 'When it ended.';
COMMENT ON COLUMN workflow_execution_revision.started_at IS 'When it began; tells the attempts of one resource apart.';
COMMENT ON COLUMN workflow_execution_revision.remediation_id IS 'What it set out to remediate; may be empty.';
COMMENT ON COLUMN workflow_execution_revision.workflow_name IS 'The workflow that ran.';
COMMENT ON COLUMN workflow_execution_revision.workflow_version IS 'Its version; may be empty.';
COMMENT ON COLUMN workflow_execution_revision.total_steps IS 'Steps of the plan.';
COMMENT ON COLUMN workflow_execution_revision.steps_completed IS 'Steps that completed.';
COMMENT ON COLUMN workflow_execution_revision.steps_failed IS 'Steps that failed; with steps_completed at most total_steps.';
COMMENT ON COLUMN workflow_execution_revision.total_duration IS 'Nanoseconds from start to end.';
COMMENT ON COLUMN workflow_execution_revision.queued_duration IS 'Nanoseconds between creation and start.';
COMMENT ON COLUMN workflow_execution_revision.outcome IS 'Judged by its work.';
COMMENT ON COLUMN workflow_execution_revision.effectiveness_score IS 'From 0 to 1.';
COMMENT ON COLUMN workflow_execution_revision.score_source IS 'Whether the producer gave the score.';
COMMENT ON COLUMN workflow_execution_revision.rollbacks_performed IS 'Steps rolled back.';
COMMENT ON COLUMN workflow_execution_revision.status IS 'How it ended.';
COMMENT ON COLUMN workflow_execution_revision.error_message IS 'Empty when nothing went wrong.';
COMMENT ON COLUMN workflow_execution_revision.cluster IS 'Descriptive: the cluster it ran in.';
COMMENT ON COLUMN workflow_execution_revision.namespace IS 'The resource''s namespace.';
COMMENT ON COLUMN workflow_execution_revision.name IS 'The resource''s name.';
COMMENT ON COLUMN workflow_execution_revision.source_api_version IS 'The resource it was read from; all three source_* or none.';
COMMENT ON COLUMN workflow_execution_revision.source_kind IS 'See source_api_version.';
COMMENT ON COLUMN workflow_execution_revision.source_uid IS 'See source_api_version.';
COMMENT ON COLUMN workflow_execution_revision.incident_type IS 'The kind of incident it answers.';
COMMENT ON COLUMN workflow_execution_revision.target_api_version IS 'What it worked on.';
COMMENT ON COLUMN workflow_execution_revision.target_kind IS 'See target_api_version.';
COMMENT ON COLUMN workflow_execution_revision.target_namespace IS 'See target_api_version.';
COMMENT ON COLUMN workflow_execution_revision.target_name IS 'See target_api_version.';
COMMENT ON COLUMN workflow_execution_revision.labels IS 'JSON object of texts.';
COMMENT ON COLUMN workflow_execution_revision.source_digest IS 'SHA-256 of the source object''s bytes.';
COMMENT ON COLUMN workflow_execution_revision.nonce IS 'Random bytes inside the hashed body.';
COMMENT ON COLUMN workflow_execution_revision.step_executions IS 'JSON array of the steps as they ran; last in the row, so that lists need not read it.';
COMMENT ON COLUMN workflow_execution_revision.adaptive_adjustments IS 'JSON array of what was adjusted on the way.';

SELECT dualaudit_keep_rows('log', 'a log', true);
SELECT dualaudit_keep_rows('log_entry', 'an entry', false);
SELECT dualaudit_keep_rows('workflow_execution_audit', 'a record', true);
SELECT dualaudit_keep_rows('workflow_execution_revision', 'a revision', false);
SELECT dualaudit_keep_rows('source_object', 'a source object', false);
SELECT dualaudit_keep_rows('quarantine', 'a quarantined object', false);
SELECT dualaudit_keep_rows('hold', 'a hold', true);
SELECT dualaudit_keep_rows('log_tile', 'a tile', true);

-- Functions that look rows up do so by their keys, however few rows the planner believes there are.
-- Those that look at all that a statement inserted name TG_OP, a parameter, so that they are planned each
-- time: a plan without parameters stays with its session, and one made while a table is empty may read a
-- whole log for each row.

CREATE FUNCTION log_only_grows() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF (NEW.name, NEW.owner, NEW.cluster_uid, NEW.origin, NEW.secret, NEW.created_at)
            IS DISTINCT FROM (OLD.name, OLD.owner, OLD.cluster_uid, OLD.origin, OLD.secret, OLD.created_at)
        OR NEW.size <= OLD.size
        OR NEW.recorded_at < OLD.recorded_at
        OR NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.name AND idx = NEW.size - 1 AND recorded_at = NEW.recorded_at)
        OR EXISTS (SELECT 1 FROM log_entry WHERE log = NEW.name AND idx >= NEW.size)
    THEN
        RAISE EXCEPTION 'log: only its head may change, and only by growing to its newest entry'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER log_only_grows BEFORE UPDATE ON log
    FOR EACH ROW EXECUTE FUNCTION log_only_grows();

CREATE FUNCTION log_entry_is_appended() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF TG_OP = 'INSERT' AND EXISTS (
        SELECT 1
        FROM (
            SELECT log, min(idx) AS first, max(idx) AS last, count(*) AS entries
            FROM appended
            GROUP BY log
        ) AS run
        WHERE run.last - run.first + 1 <> run.entries
            OR EXISTS (SELECT 1 FROM log_entry WHERE log = run.log AND idx > run.last)
            OR run.first > 0
                -- OFFSET keeps it from being answered by hashing all entries there are.
                AND NOT EXISTS (SELECT 1 FROM log_entry WHERE log = run.log AND idx = run.first - 1 OFFSET 0)
    ) THEN
        RAISE EXCEPTION 'log_entry: an entry goes at the end of its log'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER log_entry_is_appended AFTER INSERT ON log_entry
    REFERENCING NEW TABLE AS appended
    FOR EACH STATEMENT EXECUTE FUNCTION log_entry_is_appended();

CREATE FUNCTION workflow_execution_audit_has_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF TG_OP = 'INSERT' AND EXISTS (
        SELECT 1 FROM inserted
        WHERE NOT EXISTS (
            SELECT 1
            FROM (
                -- The order is that of the index to use, and no other has it: of a young log another
                -- would look as cheap, and be read from end to end for each row.
                SELECT attempt, revision, created_at, recorded_at
                FROM log_entry
                WHERE log = inserted.log AND execution_id = inserted.id
                ORDER BY attempt, revision
                OFFSET 0
            ) AS entry
            WHERE entry.attempt = inserted.attempt AND entry.revision = inserted.revision
                AND entry.created_at = inserted.created_at
                AND entry.recorded_at = inserted.recorded_at)
    ) THEN
        RAISE EXCEPTION 'workflow_execution_audit: a row needs its entry in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER workflow_execution_audit_has_entries AFTER INSERT ON workflow_execution_audit
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION workflow_execution_audit_has_entries();

CREATE FUNCTION workflow_execution_audit_is_only_amended() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF (NEW.log, NEW.id, NEW.attempt, NEW.revision, NEW.created_at)
            IS DISTINCT FROM (OLD.log, OLD.id, OLD.attempt, OLD.revision + 1, OLD.created_at)
        OR NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.log AND execution_id = NEW.id
                AND attempt = NEW.attempt AND revision = NEW.revision)
        OR NOT EXISTS (
            SELECT 1 FROM workflow_execution_revision AS kept
            WHERE kept.log = OLD.log AND kept.id = OLD.id
                AND kept.attempt = OLD.attempt AND kept.revision = OLD.revision
                AND ROW(kept.*) IS NOT DISTINCT FROM ROW(OLD.*))
    THEN
        RAISE EXCEPTION 'workflow_execution_audit: a row only changes into its next revision, which has its entry, while the row as it was stands in workflow_execution_revision'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER workflow_execution_audit_is_only_amended BEFORE UPDATE ON workflow_execution_audit
    FOR EACH ROW EXECUTE FUNCTION workflow_execution_audit_is_only_amended();

CREATE FUNCTION workflow_execution_revision_is_a_copy() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM workflow_execution_audit AS present
        WHERE present.log = NEW.log AND present.created_at = NEW.created_at AND present.id = NEW.id
            AND present.attempt = NEW.attempt AND present.revision = NEW.revision
            AND ROW(present.*) IS NOT DISTINCT FROM ROW(NEW.*))
    THEN
        RAISE EXCEPTION 'workflow_execution_revision: only the present row of workflow_execution_audit moves here, unchanged'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER workflow_execution_revision_is_a_copy BEFORE INSERT ON workflow_execution_revision
    FOR EACH ROW EXECUTE FUNCTION workflow_execution_revision_is_a_copy();

CREATE FUNCTION source_object_has_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF TG_OP = 'INSERT' AND EXISTS (
        SELECT 1 FROM inserted
        WHERE NOT EXISTS (
            SELECT 1 FROM log_entry AS entry
            WHERE entry.log = inserted.log AND entry.idx = inserted.idx
                AND entry.kind = 'execution' AND entry.created_at = inserted.created_at)
    ) THEN
        RAISE EXCEPTION 'source_object: an object needs the entry of its execution in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER source_object_has_entries AFTER INSERT ON source_object
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION source_object_has_entries();

CREATE FUNCTION quarantine_has_an_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'quarantine'
            AND execution_id = NEW.execution_id AND recorded_at = NEW.recorded_at)
    THEN
        RAISE EXCEPTION 'quarantine: an object needs its entry in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER quarantine_has_an_entry BEFORE INSERT ON quarantine
    FOR EACH ROW EXECUTE FUNCTION quarantine_has_an_entry();

CREATE FUNCTION hold_has_an_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'hold'
            AND execution_id = NEW.execution_id AND recorded_at = NEW.placed_at)
    THEN
        RAISE EXCEPTION 'hold: a hold needs its entry in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER hold_has_an_entry BEFORE INSERT ON hold
    FOR EACH ROW EXECUTE FUNCTION hold_has_an_entry();

CREATE FUNCTION hold_is_only_released() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.released_at IS NOT NULL
        OR NEW.released_at IS NULL
        OR (NEW.log, NEW.execution_id, NEW.idx, NEW.reason, NEW.actor, NEW.placed_at)
            IS DISTINCT FROM (OLD.log, OLD.execution_id, OLD.idx, OLD.reason, OLD.actor, OLD.placed_at)
    THEN
        RAISE EXCEPTION 'hold: an open hold can only be released, and that once'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER hold_is_only_released BEFORE UPDATE ON hold
    FOR EACH ROW EXECUTE FUNCTION hold_is_only_released();

CREATE FUNCTION log_tile_only_grows() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.log, NEW.level, NEW.idx) IS DISTINCT FROM (OLD.log, OLD.level, OLD.idx)
        OR octet_length(NEW.hashes) <= octet_length(OLD.hashes)
        OR substr(NEW.hashes, 1, octet_length(OLD.hashes)) <> OLD.hashes
    THEN
        RAISE EXCEPTION 'log_tile: a tile only grows' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER log_tile_only_grows BEFORE UPDATE ON log_tile
    FOR EACH ROW EXECUTE FUNCTION log_tile_only_grows();

-- Gives each month up to `months` after that of `instant` a partition of its own, of every table that
-- has any. Answers how many months were new. For the owner; run again, it does what is left to do.
--
-- The months are split off `…_later`. What a clock far ahead has put there for one of them moves
-- along; while `…_later` is out of the table, its rows can be deleted. All this is one transaction.
CREATE FUNCTION dualaudit_make_partitions(instant timestamptz, months integer) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    -- The first instant that stays with `…_later`.
    goal timestamptz := date_trunc('month', instant) + make_interval(months => months + 1);
    parent text;
    later text;
    -- Where `…_later` begins; NULL while there is none.
    begins timestamptz;
    until timestamptz;
    partition text;
    made integer := 0;
BEGIN
    FOREACH parent IN ARRAY ARRAY['workflow_execution_audit', 'source_object'] LOOP
        later := parent || '_later';
        SELECT substring(pg_get_expr(relpartbound, oid) FROM $re$FROM \('([^']+)'\)$re$)::timestamptz
        INTO begins
        FROM pg_class
        WHERE oid = to_regclass(later);
        CONTINUE WHEN begins >= goal;
        IF begins IS NULL THEN
            until := date_trunc('month', instant);
        ELSE
            until := begins;
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, later);
        END IF;
        WHILE until < goal LOOP
            partition := parent || to_char(until, '_"y"YYYY"m"MM');
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%L)',
                partition,
                parent,
                coalesce(quote_literal(begins), 'MINVALUE'),
                until + interval '1 month');
            EXECUTE format(
                'CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse(%L)',
                partition || '_is_not_truncated', partition, 'what is recorded is never deleted');
            until := until + interval '1 month';
            begins := until;
            made := made + 1;
        END LOOP;
        IF to_regclass(later) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (MAXVALUE)', later, parent, goal);
            EXECUTE format(
                'CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse(%L)',
                later || '_is_not_truncated', later, 'what is recorded is never deleted');
        ELSE
            EXECUTE format(
                'WITH moved AS (DELETE FROM %I WHERE created_at < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
                later, goal, parent);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (MAXVALUE)', parent, later, goal);
        END IF;
    END LOOP;
    RETURN made;
END
$$;

-- Lets a role do what `dualaudit run` does, and nothing that could take a record away: rows may be
-- added, a log's head, a tile, a hold and an execution may change as the triggers say, and what is
-- tracked may come and go.
CREATE FUNCTION dualaudit_grant(grantee text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), grantee);
    EXECUTE format('GRANT SELECT ON dualaudit_schema TO %I', grantee);
    EXECUTE format(
        'GRANT SELECT, INSERT ON log, log_entry, workflow_execution_audit, workflow_execution_revision, source_object, quarantine, hold, log_tile TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (size, root, recorded_at) ON log TO %I', grantee);
    EXECUTE format('GRANT UPDATE ON workflow_execution_audit TO %I', grantee);
    EXECUTE format('GRANT UPDATE (released_at) ON hold TO %I', grantee);
    EXECUTE format('GRANT UPDATE (hashes) ON log_tile TO %I', grantee);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tracked TO %I', grantee);
END
$$;

-- The executions with durations in seconds and digests as text, for people. Filter and sort on the
-- table: its values are what is indexed.
CREATE VIEW workflow_execution_readable AS
SELECT
    log, id, attempt, revision, recorded_at, created_at, completed_at, started_at, remediation_id,
    workflow_name, workflow_version, total_steps, steps_completed, steps_failed,
    total_duration / 1e9 AS total_duration_seconds,
    queued_duration / 1e9 AS queued_duration_seconds,
    outcome, effectiveness_score, score_source, rollbacks_performed, status, error_message, cluster,
    namespace, name, source_api_version, source_kind, source_uid, incident_type, target_api_version,
    target_kind, target_namespace, target_name, labels,
    encode(source_digest, 'hex') AS source_digest,
    step_executions, adaptive_adjustments
FROM workflow_execution_audit;
