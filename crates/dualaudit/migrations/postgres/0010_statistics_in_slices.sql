-- Statistics are stored by slices of cells, and in longer buckets beside shorter ones. All are folded anew.
--
-- A landed migration is never edited: write the next one.

DELETE FROM statistics_pending;

ALTER TABLE statistics_log
    ADD COLUMN come_to integer NOT NULL DEFAULT 0,
    ADD COLUMN rolling bytea;

COMMENT ON COLUMN statistics_log.come_to IS 'The first hour of the day that the buckets are those of, as hours since 1970-01-01T00:00Z: crates/record/src/statistics/bucket.rs.';
COMMENT ON COLUMN statistics_log.rolling IS 'How far the buckets of a later day have come: crates/dualaudit/src/store/statistics/rolling.rs.';

UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log);

DROP TABLE statistics_page;

CREATE TABLE statistics_page (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    level text COLLATE "C" NOT NULL CHECK (level IN ('hour', 'day', 'week', 'month')),
    start integer NOT NULL,
    slice text COLLATE "C" NOT NULL CHECK (slice IN (
        'runs', 'runs_spread', 'steps', 'steps_spread', 'strata', 'strata_steps', 'strata_spread', 'texts')),
    first_key bytea NOT NULL,
    cells bytea NOT NULL,
    PRIMARY KEY (log, level, start, slice, first_key)
);

-- Numbers of a byte or two, and keys without what they have in common: there is little to compress, and reading waits.
ALTER TABLE statistics_page ALTER COLUMN cells SET STORAGE EXTERNAL;

COMMENT ON TABLE statistics_page IS 'Statistics: cells by bucket, slice and key.';
COMMENT ON COLUMN statistics_page.log IS 'The log.';
COMMENT ON COLUMN statistics_page.level IS 'How long the bucket is.';
COMMENT ON COLUMN statistics_page.start IS 'The first hour of the bucket, as hours since 1970-01-01T00:00Z.';
COMMENT ON COLUMN statistics_page.slice IS 'What of which cells.';
COMMENT ON COLUMN statistics_page.first_key IS 'No key in the page is less; of the first page of a bucket it is empty.';
COMMENT ON COLUMN statistics_page.cells IS 'Cells in the order of their keys: crates/dualaudit/src/store/statistics/page.rs.';

-- The table is new: who could do what with the one before may do the same with it.
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
