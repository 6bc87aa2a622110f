-- Statistics are stored by slices of cells, and in longer buckets beside shorter ones. All are folded anew.
--
-- A landed migration is never edited: write the next one.

DELETE FROM statistics_pending;

-- The first hour of the day that the buckets are those of, as hours since 1970-01-01T00:00Z: which there are by then
-- stands in crates/record/src/statistics/bucket.rs, `Kept`.
ALTER TABLE statistics_log ADD COLUMN come_to INTEGER NOT NULL DEFAULT 0;
-- How far the buckets of a later day have come: crates/dualaudit/src/store/statistics/rolling.rs.
ALTER TABLE statistics_log ADD COLUMN rolling BLOB;

UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log);

DROP TABLE statistics_page;

-- Cells, by bucket, slice and key.
CREATE TABLE statistics_page (
    log TEXT NOT NULL REFERENCES log (name),
    level TEXT NOT NULL CHECK (level IN ('hour', 'day', 'week', 'month')),
    -- The first hour of the bucket, as hours since 1970-01-01T00:00Z.
    start INTEGER NOT NULL,
    -- What of which cells.
    slice TEXT NOT NULL CHECK (slice IN (
        'runs', 'runs_spread', 'steps', 'steps_spread', 'strata', 'strata_steps', 'strata_spread', 'texts')),
    -- No key in the page is less; of the first page of a bucket it is empty.
    first_key BLOB NOT NULL,
    -- The form stands in crates/dualaudit/src/store/statistics/page.rs.
    cells BLOB NOT NULL,
    PRIMARY KEY (log, level, start, slice, first_key)
) STRICT;
