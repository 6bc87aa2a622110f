-- Statistics are kept by workflow beside those of each version, and of six hours beside those of hours and days. All are
-- folded anew.
--
-- A landed migration is never edited: write the next one.

DELETE FROM statistics_pending;
DELETE FROM statistics_page;
DELETE FROM statistics_workflow_day;
DELETE FROM statistics_step_day;
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log),
    rolling = NULL;

ALTER TABLE statistics_page
    DROP CONSTRAINT statistics_page_level_check,
    DROP CONSTRAINT statistics_page_slice_check,
    ADD CONSTRAINT statistics_page_level_check CHECK (level IN ('hour', 'six_hours', 'day', 'week', 'month')),
    ADD CONSTRAINT statistics_page_slice_check CHECK (slice IN (
        'workflows', 'workflows_spread', 'runs', 'runs_spread', 'steps', 'steps_spread', 'strata', 'strata_steps',
        'strata_spread', 'texts'));

-- Pages of cells have 3.5 KiB, and stay in their rows: who reads many goes nowhere else for them.
ALTER TABLE statistics_page SET (toast_tuple_target = 8160);

COMMENT ON COLUMN statistics_log.come_to IS 'The first hour of the six that the buckets are those of, as hours since 1970-01-01T00:00Z: crates/record/src/statistics/bucket.rs.';
COMMENT ON COLUMN statistics_log.rolling IS 'How far the buckets of later hours have come: crates/dualaudit/src/store/statistics/rolling.rs.';
COMMENT ON COLUMN statistics_page.level IS 'How long the bucket is: crates/record/src/statistics/bucket.rs, Level.';
COMMENT ON COLUMN statistics_page.slice IS 'What of which cells: crates/record/src/statistics/slice.rs.';
