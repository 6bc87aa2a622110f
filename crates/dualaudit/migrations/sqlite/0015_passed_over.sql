-- How many entries the statistics of a log lack, which could not be read when they were folded: who asks is told. All are
-- folded anew, which counts those that were passed over so far, and tells errors of a first step without an action from
-- those of its execution.
--
-- A landed migration is never edited: write the next one.

DELETE FROM statistics_pending;
DELETE FROM statistics_page;
DELETE FROM statistics_workflow_day;
DELETE FROM statistics_step_day;
ALTER TABLE statistics_log ADD COLUMN passed_over INTEGER NOT NULL DEFAULT 0 CHECK (passed_over >= 0);
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log),
    rolling = NULL;
