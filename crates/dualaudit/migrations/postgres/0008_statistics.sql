-- Statistics: sums over executions, folded from what each append gives. See docs/learning.md.
--
-- They follow from the log: whoever changes them by SQL changes nothing that is recorded, and `dualaudit log rebuild`
-- makes them anew. So no trigger watches them.
--
-- A landed migration is never edited: write the next one.

CREATE TABLE statistics_log (
    log text COLLATE "C" NOT NULL PRIMARY KEY REFERENCES log (name),
    rules integer NOT NULL CHECK (rules > 0),
    refolded bigint NOT NULL,
    refold_until bigint NOT NULL,
    CHECK (refolded BETWEEN 0 AND refold_until)
);

COMMENT ON TABLE statistics_log IS 'How far the statistics of each log are.';
COMMENT ON COLUMN statistics_log.log IS 'The log.';
COMMENT ON COLUMN statistics_log.rules IS 'The version of the rules by which messages become patterns.';
COMMENT ON COLUMN statistics_log.refolded IS 'Of the entries before refold_until, those before this one were folded from their bodies.';
COMMENT ON COLUMN statistics_log.refold_until IS 'All entries from this one on gave what they give as they were appended.';

-- What was recorded before.
INSERT INTO statistics_log (log, rules, refolded, refold_until)
SELECT name, 1, 0, size
FROM log;

CREATE FUNCTION log_has_statistics() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO statistics_log (log, rules, refolded, refold_until)
    VALUES (NEW.name, 1, 0, NEW.size);
    RETURN NULL;
END
$$;

CREATE TRIGGER log_has_statistics AFTER INSERT ON log
    FOR EACH ROW EXECUTE FUNCTION log_has_statistics();

-- Rows come with every append and go soon after.
CREATE TABLE statistics_pending (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    idx bigint NOT NULL CHECK (idx >= 0),
    contributions bytea NOT NULL,
    PRIMARY KEY (log, idx)
);

COMMENT ON TABLE statistics_pending IS 'What appends gave to the statistics that is not folded yet.';
COMMENT ON COLUMN statistics_pending.log IS 'The log.';
COMMENT ON COLUMN statistics_pending.idx IS 'The first entry of the append.';
COMMENT ON COLUMN statistics_pending.contributions IS 'Contributions, packed: crates/record/src/statistics/packed.rs.';

CREATE TABLE statistics_page (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    level text COLLATE "C" NOT NULL CHECK (level IN ('hour', 'day', 'month')),
    start integer NOT NULL,
    view text COLLATE "C" NOT NULL CHECK (view IN ('runs', 'steps', 'strata', 'texts')),
    first_key bytea NOT NULL,
    cells bytea NOT NULL,
    PRIMARY KEY (log, level, start, view, first_key)
);

COMMENT ON TABLE statistics_page IS 'Statistics: cells by bucket, view and key.';
COMMENT ON COLUMN statistics_page.log IS 'The log.';
COMMENT ON COLUMN statistics_page.level IS 'How long the bucket is.';
COMMENT ON COLUMN statistics_page.start IS 'The first hour of the bucket, as hours since 1970-01-01T00:00Z.';
COMMENT ON COLUMN statistics_page.view IS 'What is summed by what.';
COMMENT ON COLUMN statistics_page.first_key IS 'No key in the page is less; of the first page of a bucket it is empty.';
COMMENT ON COLUMN statistics_page.cells IS 'Cells in the order of their keys: crates/dualaudit/src/store/statistics/page.rs.';

-- Lets a role do what `dualaudit run` does, and nothing that could take a record away: rows may be
-- added, a log's head, a tile, a hold and an execution may change as the triggers say, and what is
-- tracked may come and go, and so may statistics. It may purge and erase what the triggers let it, which removes no row.
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
