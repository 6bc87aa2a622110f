-- Erasures: what of an execution is personal goes, by an entry that says so, and the rest stays.
--
-- The role that runs may change what an erasure changes, and the triggers let it do so only while that is
-- appended, and exactly that. So it takes effect at once; old versions of rows go as the server vacuums.
--
-- A landed migration is never edited: write the next one.

-- The entries that lost their personal fields, and the objects that go with them. Rows come with the entry of
-- their erasure, and stay.
CREATE TABLE erased (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    entry_idx bigint NOT NULL CHECK (entry_idx >= 0),
    idx bigint NOT NULL CHECK (idx > entry_idx),
    PRIMARY KEY (log, entry_idx)
);

-- What one erasure took.
CREATE INDEX erased_by ON erased (log, idx);

COMMENT ON TABLE erased IS 'The entries that lost their personal fields.';
COMMENT ON COLUMN erased.log IS 'The log they are in.';
COMMENT ON COLUMN erased.entry_idx IS 'The entry that lost something: of an execution, a gap or a quarantine.';
COMMENT ON COLUMN erased.idx IS 'The erasure''s entry, which says the same, and what is left.';
COMMENT ON COLUMN log_entry.content_digest IS 'HMAC of the record before redaction, under the log''s secret: what sameness is judged by. Here and not in the row, so that one look at this table finds every duplicate; in no leaf, so that it can go with the record. NULL once the record was purged and removed, or erased.';
COMMENT ON COLUMN log_entry.body IS 'The canonical body, nonce included; of what was erased, of what is left. Of an execution it is put together from its row.';
COMMENT ON COLUMN source_object.object IS 'zstd of its JSON; empty once it was erased.';
COMMENT ON COLUMN quarantine.object IS 'zstd of its JSON; empty once it was erased.';

SELECT dualaudit_keep_rows('erased', 'what was erased', false);

-- Its log's head moves last of all that an append does.
CREATE FUNCTION erased_comes_with_its_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
            SELECT 1
            FROM log_entry AS erasure
            JOIN log_entry AS entry ON entry.log = erasure.log AND entry.execution_id = erasure.execution_id
            WHERE erasure.log = NEW.log AND erasure.idx = NEW.idx AND erasure.kind = 'erasure'
                AND entry.idx = NEW.entry_idx AND entry.kind IN ('execution', 'gap', 'quarantine')
                AND EXISTS (
                    SELECT 1 FROM jsonb_array_elements(erasure.body::jsonb -> 'entries') AS part (said)
                    WHERE (said ->> 'index')::bigint = NEW.entry_idx))
        OR NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size <= NEW.idx)
    THEN
        RAISE EXCEPTION 'erased: an entry is erased by an entry of its execution that is just appended, or not at all'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT 1
        FROM log_entry AS entry
        JOIN hold ON hold.log = entry.log AND hold.execution_id = entry.execution_id
        WHERE entry.log = NEW.log AND entry.idx = NEW.entry_idx AND hold.released_at IS NULL)
    THEN
        RAISE EXCEPTION 'erased: a hold is open on this execution' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER erased_comes_with_its_entry BEFORE INSERT ON erased
    FOR EACH ROW EXECUTE FUNCTION erased_comes_with_its_entry();

-- Whether an entry is erased by one that is just appended.
CREATE FUNCTION dualaudit_is_being_erased(of_log text, of_idx bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1
        FROM erased
        JOIN log ON log.name = erased.log AND log.size <= erased.idx
        WHERE erased.log = of_log AND erased.entry_idx = of_idx);
END
$$;

-- What an erasure takes may go while it is appended, exactly that, and nothing else.

CREATE FUNCTION dualaudit_row_is_only_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF (
            NEW.log, NEW.id, NEW.attempt, NEW.revision, NEW.recorded_at, NEW.created_at,
            NEW.completed_at, NEW.started_at, NEW.remediation_id, NEW.workflow_name,
            NEW.workflow_version, NEW.total_steps, NEW.steps_completed, NEW.steps_failed,
            NEW.total_duration, NEW.queued_duration, NEW.outcome, NEW.effectiveness_score,
            NEW.score_source, NEW.rollbacks_performed, NEW.status, NEW.cluster, NEW.namespace,
            NEW.source_api_version, NEW.source_kind, NEW.source_uid, NEW.incident_type,
            NEW.target_api_version, NEW.target_kind, NEW.target_namespace
        ) IS DISTINCT FROM (
            OLD.log, OLD.id, OLD.attempt, OLD.revision, OLD.recorded_at, OLD.created_at,
            OLD.completed_at, OLD.started_at, OLD.remediation_id, OLD.workflow_name,
            OLD.workflow_version, OLD.total_steps, OLD.steps_completed, OLD.steps_failed,
            OLD.total_duration, OLD.queued_duration, OLD.outcome, OLD.effectiveness_score,
            OLD.score_source, OLD.rollbacks_performed, OLD.status, OLD.cluster, OLD.namespace,
            OLD.source_api_version, OLD.source_kind, OLD.source_uid, OLD.incident_type,
            OLD.target_api_version, OLD.target_kind, OLD.target_namespace
        )
        OR (NEW.error_message, NEW.name, NEW.target_name, NEW.labels, NEW.source_digest)
            IS DISTINCT FROM (''::text, NULL::text, NULL::text, '{}'::jsonb, NULL::bytea)
        OR NEW.nonce = OLD.nonce
        OR NEW.step_executions IS DISTINCT FROM (
            SELECT coalesce(jsonb_agg(step - 'error_message' - 'name' ORDER BY place), '[]')
            FROM jsonb_array_elements(OLD.step_executions) WITH ORDINALITY AS part (step, place))
        OR NEW.adaptive_adjustments IS DISTINCT FROM (
            SELECT coalesce(jsonb_agg(jsonb_set(adjustment, '{reason}', '""') - 'from' - 'to' ORDER BY place), '[]')
            FROM jsonb_array_elements(OLD.adaptive_adjustments) WITH ORDINALITY AS part (adjustment, place))
        OR NOT coalesce(
            (
                SELECT dualaudit_is_being_erased(log, idx)
                FROM log_entry
                WHERE log = OLD.log AND execution_id = OLD.id
                    AND attempt = OLD.attempt AND revision = OLD.revision
            ),
            FALSE)
    THEN
        RAISE EXCEPTION '%: within its revision a row only loses its personal fields, to an erasure that is just appended', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER workflow_execution_audit_is_only_amended ON workflow_execution_audit;
CREATE TRIGGER workflow_execution_audit_is_only_amended BEFORE UPDATE ON workflow_execution_audit
    FOR EACH ROW WHEN (NEW.revision IS DISTINCT FROM OLD.revision)
    EXECUTE FUNCTION workflow_execution_audit_is_only_amended();
CREATE TRIGGER workflow_execution_audit_is_only_erased BEFORE UPDATE ON workflow_execution_audit
    FOR EACH ROW WHEN (NEW.revision IS NOT DISTINCT FROM OLD.revision)
    EXECUTE FUNCTION dualaudit_row_is_only_erased();

DROP TRIGGER workflow_execution_revision_is_not_updated ON workflow_execution_revision;
CREATE TRIGGER workflow_execution_revision_is_only_erased BEFORE UPDATE ON workflow_execution_revision
    FOR EACH ROW EXECUTE FUNCTION dualaudit_row_is_only_erased();

-- The content digest of what was purged goes when it is removed, that of what is erased at once, and with it
-- the body of a gap or a quarantine for what is left of it.
CREATE FUNCTION log_entry_only_loses_what_is_gone() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NEW.content_digest IS NOT NULL
        OR (NEW.log, NEW.idx, NEW.recorded_at, NEW.created_at, NEW.started_at, NEW.attempt, NEW.revision,
            NEW.kind, NEW.execution_id, NEW.idempotency_key, NEW.body_digest, NEW.leaf_hash)
            IS DISTINCT FROM
            (OLD.log, OLD.idx, OLD.recorded_at, OLD.created_at, OLD.started_at, OLD.attempt, OLD.revision,
            OLD.kind, OLD.execution_id, OLD.idempotency_key, OLD.body_digest, OLD.leaf_hash)
        OR NOT (CASE
            WHEN NEW.body IS NOT DISTINCT FROM OLD.body
                THEN dualaudit_is_purged(OLD.log, OLD.idx) OR dualaudit_is_being_erased(OLD.log, OLD.idx)
            WHEN OLD.kind NOT IN ('gap', 'quarantine') OR NEW.body IS NULL
                THEN FALSE
            ELSE dualaudit_is_being_erased(OLD.log, OLD.idx)
                AND NEW.body::jsonb -> 'nonce' <> OLD.body::jsonb -> 'nonce'
                AND NEW.body::jsonb - 'nonce' = CASE OLD.kind
                    WHEN 'gap'
                        THEN OLD.body::jsonb - ARRAY['nonce', 'last_state', 'last_state_digest'] || '{"name": ""}'
                    ELSE OLD.body::jsonb - 'nonce' || '{"name": "", "reason": ""}'
                END
        END)
    THEN
        RAISE EXCEPTION 'log_entry: an entry never changes, but for what a purge or an erasure takes'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER log_entry_only_loses_a_purged_digest ON log_entry;
DROP FUNCTION log_entry_only_loses_a_purged_digest();
CREATE TRIGGER log_entry_only_loses_what_is_gone BEFORE UPDATE ON log_entry
    FOR EACH ROW EXECUTE FUNCTION log_entry_only_loses_what_is_gone();

CREATE FUNCTION source_object_is_only_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (NEW.log, NEW.idx, NEW.created_at, NEW.object)
            IS DISTINCT FROM (OLD.log, OLD.idx, OLD.created_at, ''::bytea)
        OR NOT dualaudit_is_being_erased(OLD.log, OLD.idx)
    THEN
        RAISE EXCEPTION 'source_object: a source object only goes whole, to an erasure that is just appended'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER source_object_is_not_updated ON source_object;
CREATE TRIGGER source_object_is_only_erased BEFORE UPDATE ON source_object
    FOR EACH ROW EXECUTE FUNCTION source_object_is_only_erased();

CREATE FUNCTION quarantine_is_only_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (NEW.log, NEW.execution_id, NEW.source_digest, NEW.idx, NEW.recorded_at, NEW.object)
            IS DISTINCT FROM (OLD.log, OLD.execution_id, OLD.source_digest, OLD.idx, OLD.recorded_at, ''::bytea)
        OR NOT dualaudit_is_being_erased(OLD.log, OLD.idx)
    THEN
        RAISE EXCEPTION 'quarantine: a quarantined object only goes whole, to an erasure that is just appended'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER quarantine_is_not_updated ON quarantine;
CREATE TRIGGER quarantine_is_only_erased BEFORE UPDATE ON quarantine
    FOR EACH ROW EXECUTE FUNCTION quarantine_is_only_erased();

-- Lets a role do what `dualaudit run` does, and nothing that could take a record away: rows may be
-- added, a log's head, a tile, a hold and an execution may change as the triggers say, and what is
-- tracked may come and go. It may purge and erase what the triggers let it, which removes no row.
CREATE OR REPLACE FUNCTION dualaudit_grant(grantee text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), grantee);
    EXECUTE format('GRANT SELECT ON dualaudit_schema, succession TO %I', grantee);
    EXECUTE format(
        'GRANT SELECT, INSERT ON log, log_entry, workflow_execution_audit, workflow_execution_revision, source_object, quarantine, hold, log_tile, purged, purge_pending, checkpoint, erased TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (size, root, recorded_at) ON log TO %I', grantee);
    EXECUTE format('GRANT UPDATE (content_digest, body) ON log_entry TO %I', grantee);
    EXECUTE format('GRANT UPDATE ON workflow_execution_audit TO %I', grantee);
    EXECUTE format(
        'GRANT UPDATE (error_message, name, target_name, labels, source_digest, nonce, step_executions, adaptive_adjustments) ON workflow_execution_revision TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (object) ON source_object TO %I', grantee);
    EXECUTE format('GRANT UPDATE (object) ON quarantine TO %I', grantee);
    EXECUTE format('GRANT UPDATE (released_at, released_idx) ON hold TO %I', grantee);
    EXECUTE format('GRANT UPDATE (hashes) ON log_tile TO %I', grantee);
    EXECUTE format('GRANT UPDATE (size, note) ON checkpoint TO %I', grantee);
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
