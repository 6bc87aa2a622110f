-- Holds over many executions, their release as an entry, and purges.
--
-- A landed migration is never edited: write the next one.

ALTER TABLE log_entry
    ALTER COLUMN execution_id DROP NOT NULL,
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check
        CHECK (kind IN ('execution', 'gap', 'quarantine', 'hold', 'hold_release', 'purge')),
    ADD CONSTRAINT log_entry_concerns_check
        CHECK (execution_id IS NOT NULL OR kind IN ('hold', 'hold_release', 'purge'));

COMMENT ON COLUMN log_entry.execution_id IS 'The one execution it concerns; NULL where it concerns several.';
COMMENT ON COLUMN log_entry.content_digest IS 'HMAC of the record before redaction, under the log''s secret: what sameness is judged by. Here and not in the row, so that one look at this table finds every duplicate; in no leaf, so that it can go with the record. NULL once the record was purged and removed.';

-- The few entries that are no executions, by kind.
CREATE INDEX log_entry_kind ON log_entry (log, kind, idx) WHERE kind <> 'execution';

-- A hold covers one execution, or what its selector selects.
ALTER TABLE hold
    DROP CONSTRAINT hold_pkey,
    ADD PRIMARY KEY (log, idx),
    ALTER COLUMN execution_id DROP NOT NULL,
    ADD COLUMN selector jsonb CHECK (jsonb_typeof(selector) = 'object'),
    ADD COLUMN released_idx bigint CHECK (released_idx > idx),
    ADD CONSTRAINT hold_covers_check CHECK ((execution_id IS NULL) = (selector IS NOT NULL));

-- The holds on one execution.
CREATE INDEX hold_execution ON hold (log, execution_id) WHERE execution_id IS NOT NULL;

-- The holds that select; few.
CREATE INDEX hold_selector ON hold (log, idx) WHERE selector IS NOT NULL;

COMMENT ON COLUMN hold.execution_id IS 'The execution it covers; NULL where it covers what its selector selects.';
COMMENT ON COLUMN hold.selector IS 'What it selects by: remediation_id, workflow_name, namespace, labels.';
COMMENT ON COLUMN hold.released_idx IS 'The entry that released it.';

-- The entries whose bodies were purged, in runs that do not overlap. Rows come with the entry of their
-- purge, and stay.
CREATE TABLE purged (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    last_idx bigint NOT NULL,
    first_idx bigint NOT NULL CHECK (first_idx BETWEEN 0 AND last_idx),
    idx bigint NOT NULL CHECK (idx > last_idx),
    PRIMARY KEY (log, last_idx)
);

-- What one purge took.
CREATE INDEX purged_by ON purged (log, idx);

COMMENT ON TABLE purged IS 'The entries whose bodies were purged.';
COMMENT ON COLUMN purged.log IS 'The log they are in.';
COMMENT ON COLUMN purged.last_idx IS 'The last index of a run of them.';
COMMENT ON COLUMN purged.first_idx IS 'The first.';
COMMENT ON COLUMN purged.idx IS 'The purge''s entry, which says the same.';

-- Executions that were purged, while their rows are still there: readers pass them over, until
-- `dualaudit maintain` has removed them.
CREATE TABLE purge_pending (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    id text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (log, id, attempt)
);

COMMENT ON TABLE purge_pending IS 'Executions that were purged, while their rows are still there.';
COMMENT ON COLUMN purge_pending.log IS 'The log they are in.';
COMMENT ON COLUMN purge_pending.id IS 'The execution.';
COMMENT ON COLUMN purge_pending.attempt IS 'Which run of it.';
COMMENT ON COLUMN purge_pending.created_at IS 'created_at of its row, which says in which partition that is.';

SELECT dualaudit_keep_rows('purged', 'what was purged', false);

CREATE TRIGGER purge_pending_is_not_updated BEFORE UPDATE ON purge_pending
    FOR EACH ROW EXECUTE FUNCTION dualaudit_refuse('what was purged never changes');
CREATE TRIGGER purge_pending_is_not_truncated BEFORE TRUNCATE ON purge_pending
    FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse('what was purged is never forgotten');

-- Whether the body of an entry was purged.
CREATE FUNCTION dualaudit_is_purged(of_log text, of_idx bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT first_idx <= of_idx FROM purged
            WHERE log = of_log AND last_idx >= of_idx
            ORDER BY last_idx
            LIMIT 1
        ),
        FALSE);
END
$$;

CREATE FUNCTION hold_begins_open() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NEW.released_at IS NOT NULL OR NEW.released_idx IS NOT NULL THEN
        RAISE EXCEPTION 'hold: a hold begins open' USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'hold'
            AND execution_id IS NOT DISTINCT FROM NEW.execution_id AND recorded_at = NEW.placed_at)
    THEN
        RAISE EXCEPTION 'hold: a hold needs its entry in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER hold_has_an_entry ON hold;
DROP FUNCTION hold_has_an_entry();
CREATE TRIGGER hold_begins_open BEFORE INSERT ON hold
    FOR EACH ROW EXECUTE FUNCTION hold_begins_open();

CREATE OR REPLACE FUNCTION hold_is_only_released() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF OLD.released_at IS NOT NULL
        OR NEW.released_at IS NULL
        OR (NEW.log, NEW.idx, NEW.execution_id, NEW.selector, NEW.reason, NEW.actor, NEW.placed_at)
            IS DISTINCT FROM
            (OLD.log, OLD.idx, OLD.execution_id, OLD.selector, OLD.reason, OLD.actor, OLD.placed_at)
        OR NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.log AND idx = NEW.released_idx AND kind = 'hold_release'
                AND idempotency_key = 'release:' || NEW.idx AND recorded_at = NEW.released_at)
    THEN
        RAISE EXCEPTION 'hold: an open hold can only be released, that once, and by an entry that says so'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- Its log's head moves last of all that an append does.
CREATE FUNCTION purged_comes_with_its_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM log_entry WHERE log = NEW.log AND idx = NEW.idx AND kind = 'purge')
        OR NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size <= NEW.idx)
    THEN
        RAISE EXCEPTION 'purged: a run comes with the entry of its purge, or not at all'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER purged_comes_with_its_entry BEFORE INSERT ON purged
    FOR EACH ROW EXECUTE FUNCTION purged_comes_with_its_entry();

CREATE FUNCTION purge_pending_comes_with_its_purge() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT coalesce(
        (
            SELECT bool_and(dualaudit_is_purged(entry.log, entry.idx) AND entry.created_at = NEW.created_at)
            FROM log_entry AS entry
            WHERE entry.log = NEW.log AND entry.execution_id = NEW.id AND entry.attempt = NEW.attempt
        ),
        FALSE)
    THEN
        RAISE EXCEPTION 'purge_pending: an execution is purged with all its revisions, by an entry that says so'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT 1 FROM hold WHERE log = NEW.log AND execution_id = NEW.id AND released_at IS NULL)
    THEN
        RAISE EXCEPTION 'purge_pending: a hold is open on this execution' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER purge_pending_comes_with_its_purge BEFORE INSERT ON purge_pending
    FOR EACH ROW EXECUTE FUNCTION purge_pending_comes_with_its_purge();

CREATE FUNCTION purge_pending_stays_while_its_rows_do() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
            SELECT 1 FROM workflow_execution_audit
            WHERE log = OLD.log AND created_at = OLD.created_at AND id = OLD.id AND attempt = OLD.attempt)
        OR EXISTS (
            SELECT 1 FROM workflow_execution_revision
            WHERE log = OLD.log AND id = OLD.id AND attempt = OLD.attempt)
        OR EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = OLD.log AND execution_id = OLD.id AND attempt = OLD.attempt
                AND content_digest IS NOT NULL)
    THEN
        RAISE EXCEPTION 'purge_pending: the rows of this execution are still there'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER purge_pending_stays_while_its_rows_do BEFORE DELETE ON purge_pending
    FOR EACH ROW EXECUTE FUNCTION purge_pending_stays_while_its_rows_do();

-- What was purged may be removed, and nothing else.

CREATE FUNCTION log_entry_only_loses_a_purged_digest() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NEW.content_digest IS NOT NULL
        OR (NEW.log, NEW.idx, NEW.recorded_at, NEW.created_at, NEW.started_at, NEW.attempt, NEW.revision,
            NEW.kind, NEW.execution_id, NEW.idempotency_key, NEW.body_digest, NEW.leaf_hash, NEW.body)
            IS DISTINCT FROM
            (OLD.log, OLD.idx, OLD.recorded_at, OLD.created_at, OLD.started_at, OLD.attempt, OLD.revision,
            OLD.kind, OLD.execution_id, OLD.idempotency_key, OLD.body_digest, OLD.leaf_hash, OLD.body)
        OR NOT dualaudit_is_purged(OLD.log, OLD.idx)
    THEN
        RAISE EXCEPTION 'log_entry: an entry never changes' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER log_entry_is_not_updated ON log_entry;
CREATE TRIGGER log_entry_only_loses_a_purged_digest BEFORE UPDATE ON log_entry
    FOR EACH ROW EXECUTE FUNCTION log_entry_only_loses_a_purged_digest();

CREATE FUNCTION dualaudit_refuse_unless_purged() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM purge_pending WHERE log = OLD.log AND id = OLD.id AND attempt = OLD.attempt)
    THEN
        RAISE EXCEPTION '%: % is only deleted once it was purged', TG_TABLE_NAME, TG_ARGV[0]
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

DROP TRIGGER workflow_execution_audit_is_not_deleted ON workflow_execution_audit;
CREATE TRIGGER workflow_execution_audit_is_only_purged BEFORE DELETE ON workflow_execution_audit
    FOR EACH ROW EXECUTE FUNCTION dualaudit_refuse_unless_purged('a record');

DROP TRIGGER workflow_execution_revision_is_not_deleted ON workflow_execution_revision;
CREATE TRIGGER workflow_execution_revision_is_only_purged BEFORE DELETE ON workflow_execution_revision
    FOR EACH ROW EXECUTE FUNCTION dualaudit_refuse_unless_purged('a revision');

CREATE FUNCTION source_object_is_only_purged() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT dualaudit_is_purged(OLD.log, OLD.idx) THEN
        RAISE EXCEPTION 'source_object: a source object is only deleted once it was purged'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

DROP TRIGGER source_object_is_not_deleted ON source_object;
CREATE TRIGGER source_object_is_only_purged BEFORE DELETE ON source_object
    FOR EACH ROW EXECUTE FUNCTION source_object_is_only_purged();

-- Where the months end, from the first on and up to that of `instant`, in which there is nothing that was
-- not purged; NULL where there is nothing in them at all, or something else. Reads every row of them, and
-- locks nothing.
CREATE FUNCTION dualaudit_purged_until(instant timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    month record;
    is_purged boolean;
    is_empty boolean;
    any_rows boolean := FALSE;
    upto timestamptz;
BEGIN
    FOR month IN
        SELECT substring(child.relname FROM '_y\d+m\d+$') AS suffix,
            substring(pg_get_expr(child.relpartbound, child.oid) FROM $re$ TO \('([^']+)'\)$re$)::timestamptz AS ends
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'workflow_execution_audit'::regclass
        ORDER BY ends NULLS LAST
    LOOP
        EXIT WHEN month.suffix IS NULL OR month.ends IS NULL OR month.ends > date_trunc('month', instant);
        EXECUTE format(
            'SELECT NOT EXISTS (
                SELECT 1 FROM %1$I AS record
                WHERE NOT EXISTS (
                    SELECT 1 FROM purge_pending AS pending
                    WHERE pending.log = record.log AND pending.id = record.id AND pending.attempt = record.attempt))
            AND NOT EXISTS (
                SELECT 1 FROM %2$I AS object WHERE NOT dualaudit_is_purged(object.log, object.idx)),
            NOT EXISTS (SELECT 1 FROM %1$I) AND NOT EXISTS (SELECT 1 FROM %2$I)',
            'workflow_execution_audit' || month.suffix,
            'source_object' || month.suffix)
        INTO is_purged, is_empty;
        EXIT WHEN NOT is_purged;
        any_rows := any_rows OR NOT is_empty;
        upto := month.ends;
    END LOOP;
    RETURN CASE WHEN any_rows THEN upto END;
END
$$;

-- Makes one partition without a beginning of all the months before `upto`: theirs are dropped, with all
-- that is in them. Answers how many there were, or 0 where that would change nothing, or where anything of
-- these months came to a log beyond the size that it had when they were looked at. For the owner, who holds
-- the tables in ACCESS EXCLUSIVE mode, so that nothing comes meanwhile.
CREATE FUNCTION dualaudit_drop_months(upto timestamptz, logs text[], sizes bigint[]) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT SET timezone = 'UTC' SET datestyle = 'ISO'
SET enable_seqscan = off AS $$
DECLARE
    suffixes text[];
    parent text;
BEGIN
    SELECT array_agg(suffix ORDER BY ends)
    INTO suffixes
    FROM (
        SELECT substring(child.relname FROM '_y\d+m\d+$') AS suffix,
            substring(pg_get_expr(child.relpartbound, child.oid) FROM $re$ TO \('([^']+)'\)$re$)::timestamptz AS ends
        FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'workflow_execution_audit'::regclass
    ) AS month
    WHERE suffix IS NOT NULL AND ends <= upto;
    IF coalesce(cardinality(suffixes), 0) = 0 OR EXISTS (
        SELECT 1
        FROM log
        LEFT JOIN unnest(logs, sizes) AS seen (name, size) ON seen.name = log.name
        CROSS JOIN LATERAL (
            SELECT 1
            FROM log_entry
            WHERE log_entry.log = log.name AND idx >= coalesce(seen.size, 0) AND created_at < upto
            LIMIT 1
        ) AS newer)
    THEN
        RETURN 0;
    END IF;
    FOREACH parent IN ARRAY ARRAY['workflow_execution_audit', 'source_object'] LOOP
        FOR place IN 1 .. cardinality(suffixes) LOOP
            EXECUTE format('DROP TABLE %I', parent || suffixes[place]);
        END LOOP;
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) TO (%L)',
            parent || suffixes[cardinality(suffixes)], parent, upto);
        EXECUTE format(
            'CREATE TRIGGER %I BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse(%L)',
            parent || suffixes[cardinality(suffixes)] || '_is_not_truncated',
            parent || suffixes[cardinality(suffixes)], 'what is recorded is never deleted');
    END LOOP;
    RETURN cardinality(suffixes);
END
$$;

-- Lets a role do what `dualaudit run` does, and nothing that could take a record away: rows may be
-- added, a log's head, a tile, a hold and an execution may change as the triggers say, and what is
-- tracked may come and go. It may purge what the triggers let it, which removes no row.
CREATE OR REPLACE FUNCTION dualaudit_grant(grantee text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), grantee);
    EXECUTE format('GRANT SELECT ON dualaudit_schema TO %I', grantee);
    EXECUTE format(
        'GRANT SELECT, INSERT ON log, log_entry, workflow_execution_audit, workflow_execution_revision, source_object, quarantine, hold, log_tile, purged, purge_pending TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (size, root, recorded_at) ON log TO %I', grantee);
    EXECUTE format('GRANT UPDATE ON workflow_execution_audit TO %I', grantee);
    EXECUTE format('GRANT UPDATE (released_at, released_idx) ON hold TO %I', grantee);
    EXECUTE format('GRANT UPDATE (hashes) ON log_tile TO %I', grantee);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tracked TO %I', grantee);
END
$$;

-- Roles that it was said for before may do the same with what is new.
DO $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT pg_get_userbyid(acl.grantee)
        FROM pg_class, aclexplode(relacl) AS acl
        WHERE oid = 'log_entry'::regclass AND acl.privilege_type = 'INSERT' AND acl.grantee NOT IN (0, relowner)
    LOOP
        PERFORM dualaudit_grant(grantee);
    END LOOP;
END
$$;

-- The executions with durations in seconds and digests as text, for people; without what was purged.
-- Filter and sort on the table: its values are what is indexed.
CREATE OR REPLACE VIEW workflow_execution_readable AS
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
FROM workflow_execution_audit
WHERE NOT EXISTS (
    SELECT 1 FROM purge_pending AS pending
    WHERE pending.log = workflow_execution_audit.log AND pending.id = workflow_execution_audit.id
        AND pending.attempt = workflow_execution_audit.attempt);
