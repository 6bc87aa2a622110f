-- Reviews: what somebody who looked at an execution says of it.
--
-- A landed migration is never edited: write the next one.

CREATE TABLE review (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    idx bigint NOT NULL CHECK (idx >= 0),
    id text COLLATE "C" NOT NULL,
    attempt integer NOT NULL CHECK (attempt > 0),
    verdict text COLLATE "C" NOT NULL CHECK (verdict IN ('effective', 'ineffective', 'harmful')),
    note text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (log, idx)
);

-- The reviews of an attempt, and the newest of them.
CREATE INDEX review_execution ON review (log, id, attempt, idx);

COMMENT ON TABLE review IS 'Verdicts on executions, one row an entry. Of an attempt the newest counts.';
COMMENT ON COLUMN review.log IS 'The log it is in.';
COMMENT ON COLUMN review.idx IS 'Its entry, which says the same.';
COMMENT ON COLUMN review.id IS 'The execution.';
COMMENT ON COLUMN review.attempt IS 'Which run of it.';
COMMENT ON COLUMN review.verdict IS 'What was said of it.';
COMMENT ON COLUMN review.note IS 'Why; may be empty, and is once it was erased.';
COMMENT ON COLUMN review.actor IS 'Who said so.';
COMMENT ON COLUMN review.recorded_at IS 'When it was appended.';
COMMENT ON COLUMN erased.entry_idx IS 'The entry that lost something: of an execution, a gap, a quarantine or a review.';

SELECT dualaudit_keep_rows('review', 'a review', true);

CREATE FUNCTION review_has_an_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'review'
            AND execution_id = NEW.id AND recorded_at = NEW.recorded_at)
    THEN
        RAISE EXCEPTION 'review: a review needs its entry in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER review_has_an_entry BEFORE INSERT ON review
    FOR EACH ROW EXECUTE FUNCTION review_has_an_entry();

CREATE FUNCTION review_is_only_erased() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (NEW.log, NEW.idx, NEW.id, NEW.attempt, NEW.verdict, NEW.note, NEW.actor, NEW.recorded_at)
            IS DISTINCT FROM
            (OLD.log, OLD.idx, OLD.id, OLD.attempt, OLD.verdict, ''::text, OLD.actor, OLD.recorded_at)
        OR NOT dualaudit_is_being_erased(OLD.log, OLD.idx)
    THEN
        RAISE EXCEPTION 'review: a review only loses its note, to an erasure that is just appended'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER review_is_only_erased BEFORE UPDATE ON review
    FOR EACH ROW EXECUTE FUNCTION review_is_only_erased();

-- An erasure takes the notes of reviews, too.

CREATE OR REPLACE FUNCTION erased_comes_with_its_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
            SELECT 1
            FROM log_entry AS erasure
            JOIN log_entry AS entry ON entry.log = erasure.log AND entry.execution_id = erasure.execution_id
            WHERE erasure.log = NEW.log AND erasure.idx = NEW.idx AND erasure.kind = 'erasure'
                AND entry.idx = NEW.entry_idx AND entry.kind IN ('execution', 'gap', 'quarantine', 'review')
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

CREATE OR REPLACE FUNCTION log_entry_only_loses_what_is_gone() RETURNS trigger
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
            WHEN OLD.kind NOT IN ('gap', 'quarantine', 'review') OR NEW.body IS NULL
                THEN FALSE
            ELSE dualaudit_is_being_erased(OLD.log, OLD.idx)
                AND NEW.body::jsonb -> 'nonce' <> OLD.body::jsonb -> 'nonce'
                AND NEW.body::jsonb - 'nonce' = CASE OLD.kind
                    WHEN 'gap'
                        THEN OLD.body::jsonb - ARRAY['nonce', 'last_state', 'last_state_digest'] || '{"name": ""}'
                    WHEN 'review'
                        THEN OLD.body::jsonb - 'nonce' || '{"note": ""}'
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

-- Cells of statistics have verdicts from now on: all of them are folded anew.
DELETE FROM statistics_pending;
DELETE FROM statistics_page;
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log);

-- Lets a role do what `dualaudit run` does, and nothing that could take a record away: rows may be
-- added, a log's head, a tile, a hold and an execution may change as the triggers say, and what is
-- tracked may come and go, and so may statistics. It may purge and erase what the triggers let it, which removes no row.
CREATE OR REPLACE FUNCTION dualaudit_grant(grantee text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), grantee);
    EXECUTE format('GRANT SELECT ON dualaudit_schema, succession TO %I', grantee);
    EXECUTE format(
        'GRANT SELECT, INSERT ON log, log_entry, workflow_execution_audit, workflow_execution_revision, source_object, quarantine, hold, log_tile, purged, purge_pending, checkpoint, erased, review TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (size, root, recorded_at) ON log TO %I', grantee);
    EXECUTE format('GRANT UPDATE (content_digest, body) ON log_entry TO %I', grantee);
    EXECUTE format('GRANT UPDATE ON workflow_execution_audit TO %I', grantee);
    EXECUTE format(
        'GRANT UPDATE (error_message, name, target_name, labels, source_digest, nonce, step_executions, adaptive_adjustments) ON workflow_execution_revision TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (object) ON source_object TO %I', grantee);
    EXECUTE format('GRANT UPDATE (object) ON quarantine TO %I', grantee);
    EXECUTE format('GRANT UPDATE (note) ON review TO %I', grantee);
    EXECUTE format('GRANT UPDATE (released_at, released_idx) ON hold TO %I', grantee);
    EXECUTE format('GRANT UPDATE (hashes) ON log_tile TO %I', grantee);
    EXECUTE format('GRANT UPDATE (size, note) ON checkpoint TO %I', grantee);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON tracked TO %I', grantee);
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON statistics_log, statistics_pending, statistics_page TO %I', grantee);
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
