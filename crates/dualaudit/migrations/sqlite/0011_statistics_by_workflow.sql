-- Statistics are kept by workflow beside those of each version, and of six hours beside those of hours and days. All are
-- folded anew.
--
-- A landed migration is never edited: write the next one.

DROP TABLE statistics_page;

-- Cells, by bucket, slice and key.
CREATE TABLE statistics_page (
    log TEXT NOT NULL REFERENCES log (name),
    -- How long the bucket is: crates/record/src/statistics/bucket.rs, `Level`.
    level TEXT NOT NULL CHECK (level IN ('hour', 'six_hours', 'day', 'week', 'month')),
    -- The first hour of the bucket, as hours since 1970-01-01T00:00Z.
    start INTEGER NOT NULL,
    -- What of which cells: crates/record/src/statistics/slice.rs.
    slice TEXT NOT NULL CHECK (slice IN (
        'workflows', 'workflows_spread', 'runs', 'runs_spread', 'steps', 'steps_spread', 'strata', 'strata_steps',
        'strata_spread', 'texts')),
    -- No key in the page is less; of the first page of a bucket it is empty.
    first_key BLOB NOT NULL,
    -- The form stands in crates/dualaudit/src/store/statistics/page.rs.
    cells BLOB NOT NULL,
    PRIMARY KEY (log, level, start, slice, first_key)
) STRICT;

DELETE FROM statistics_pending;
DELETE FROM statistics_workflow_day;
DELETE FROM statistics_step_day;
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log),
    rolling = NULL;
