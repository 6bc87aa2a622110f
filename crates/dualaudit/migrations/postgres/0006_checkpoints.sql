-- Signed heads, logs that succeed others, and the kinds of entry that a log needs to be proved.
--
-- A landed migration is never edited: write the next one.

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check CHECK (kind IN (
        'execution', 'gap', 'quarantine', 'hold', 'hold_release', 'purge', 'heartbeat', 'succession', 'digest',
        'review', 'export', 'erasure')),
    DROP CONSTRAINT log_entry_concerns_check,
    ADD CONSTRAINT log_entry_concerns_check CHECK (
        execution_id IS NOT NULL
        OR kind IN ('hold', 'hold_release', 'purge', 'heartbeat', 'succession', 'digest', 'export'));

-- The newest checkpoint of each log, as it was published.
CREATE TABLE checkpoint (
    log text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES log (name),
    size bigint NOT NULL CHECK (size >= 0),
    note text COLLATE "C" NOT NULL
) WITH (fillfactor = 20);

COMMENT ON TABLE checkpoint IS 'The newest checkpoint of each log, as it was published.';
COMMENT ON COLUMN checkpoint.log IS 'The log.';
COMMENT ON COLUMN checkpoint.size IS 'How many entries it covers.';
COMMENT ON COLUMN checkpoint.note IS 'The checkpoint with its signatures: C2SP tlog-checkpoint.';

CREATE FUNCTION checkpoint_only_grows() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size >= NEW.size)
        OR (TG_OP = 'UPDATE' AND (NEW.log <> OLD.log OR NEW.size <= OLD.size))
    THEN
        RAISE EXCEPTION 'checkpoint: only a later one takes the place of one, and none covers more than its log has'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER checkpoint_only_grows BEFORE INSERT OR UPDATE ON checkpoint
    FOR EACH ROW EXECUTE FUNCTION checkpoint_only_grows();

SELECT dualaudit_keep_rows('checkpoint', 'a checkpoint', true);

-- Logs that were rolled back, and those that go on in their place.
CREATE TABLE succession (
    log text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES log (name),
    successor text COLLATE "C" NOT NULL REFERENCES log (name),
    CHECK (log <> successor)
);

COMMENT ON TABLE succession IS 'Logs that were rolled back, and those that go on in their place.';
COMMENT ON COLUMN succession.log IS 'The log that was rolled back, which takes nothing any more.';
COMMENT ON COLUMN succession.successor IS 'The log that goes on. Its first entry says why.';

SELECT dualaudit_keep_rows('succession', 'a succession', false);

-- An append is complete with its head, so this refuses every one.
CREATE FUNCTION log_succeeded_and_grows_no_more() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM succession WHERE log = OLD.name) THEN
        RAISE EXCEPTION 'log: another goes on in its place, and it takes nothing any more'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER log_succeeded_and_grows_no_more BEFORE UPDATE ON log
    FOR EACH ROW EXECUTE FUNCTION log_succeeded_and_grows_no_more();

CREATE OR REPLACE FUNCTION dualaudit_grant(grantee text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), grantee);
    EXECUTE format('GRANT SELECT ON dualaudit_schema, succession TO %I', grantee);
    EXECUTE format(
        'GRANT SELECT, INSERT ON log, log_entry, workflow_execution_audit, workflow_execution_revision, source_object, quarantine, hold, log_tile, purged, purge_pending, checkpoint TO %I',
        grantee);
    EXECUTE format('GRANT UPDATE (size, root, recorded_at) ON log TO %I', grantee);
    EXECUTE format('GRANT UPDATE ON workflow_execution_audit TO %I', grantee);
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
