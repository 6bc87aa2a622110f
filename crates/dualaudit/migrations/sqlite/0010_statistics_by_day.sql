-- What executions and steps come to by day, in plain numbers: the statistics that SQL can read, by views whose
-- names and
-- columns stay (docs/learning.md). A fold adds to them what it adds to the pages.
--
-- A landed migration is never edited: write the next one.

-- Executions by the day on which they ended, and by what they are told apart by. Rows that came to nothing go.
CREATE TABLE statistics_workflow_day (
    -- The log.
    log TEXT NOT NULL REFERENCES log (name),
    -- The day of UTC on which they ended, as 2026-11-28.
    day TEXT NOT NULL,
    -- The workflow.
    workflow TEXT NOT NULL,
    -- Its version.
    version TEXT NOT NULL,
    -- The namespace; empty where there is none.
    namespace TEXT NOT NULL,
    -- The type of incident; empty where there is none.
    incident_type TEXT NOT NULL,
    -- The kind of the target; empty where there is none.
    target_kind TEXT NOT NULL,
    -- Executions that ended on the day.
    executions INTEGER NOT NULL,
    -- Those that succeeded. Whoever was cancelled, or whose resource was deleted before it had finished, is neither
    -- in this nor in partial and failed.
    success INTEGER NOT NULL,
    -- Those that succeeded in part.
    partial INTEGER NOT NULL,
    -- Those that failed.
    failed INTEGER NOT NULL,
    -- Those that ran out of time; they are in success, partial or failed, too.
    timed_out INTEGER NOT NULL,
    -- Those that were cancelled.
    cancelled INTEGER NOT NULL,
    -- Those whose resource was deleted before they had finished.
    deleted INTEGER NOT NULL,
    -- Those that retried any step, of success, partial and failed; so are all that follow up to
    -- successful_duration_sum.
    retried INTEGER NOT NULL,
    -- Retries of steps.
    retries INTEGER NOT NULL,
    -- Those that rolled any step back.
    rolled_back INTEGER NOT NULL,
    -- Steps rolled back.
    rollbacks INTEGER NOT NULL,
    -- Those that have a score.
    score_count INTEGER NOT NULL,
    -- Their effectiveness scores, in millionths.
    score_sum INTEGER NOT NULL,
    -- From start to end, in microseconds.
    duration_sum INTEGER NOT NULL,
    -- The same of those that succeeded.
    successful_duration_sum INTEGER NOT NULL,
    -- Those of all executions of which it is known how long they waited.
    queued_count INTEGER NOT NULL,
    -- How long these waited, from creation to start, in microseconds.
    queued_sum INTEGER NOT NULL,
    -- Those of all executions whose newest verdict is effective.
    effective INTEGER NOT NULL,
    -- Those whose newest verdict is ineffective.
    ineffective INTEGER NOT NULL,
    -- Those whose newest verdict is harmful.
    harmful INTEGER NOT NULL,
    PRIMARY KEY (log, day, workflow, version, namespace, incident_type, target_kind)
) STRICT, WITHOUT ROWID;

-- Steps by the day on which their executions ended, of those that count: neither cancelled, nor deleted before they
-- had finished. Rows that came to nothing go.
CREATE TABLE statistics_step_day (
    -- The log.
    log TEXT NOT NULL REFERENCES log (name),
    -- The day of UTC on which the executions ended, as 2026-11-28.
    day TEXT NOT NULL,
    -- The workflow.
    workflow TEXT NOT NULL,
    -- Its version.
    version TEXT NOT NULL,
    -- The number of the step in the plan.
    step_number INTEGER NOT NULL,
    -- What the step does.
    action TEXT NOT NULL,
    -- Executions that came to it: it began, or was adjusted.
    reached INTEGER NOT NULL,
    -- Those in which it completed.
    completed INTEGER NOT NULL,
    -- Those in which it failed.
    failed INTEGER NOT NULL,
    -- Those in which it ran out of time.
    timed_out INTEGER NOT NULL,
    -- Those that did not succeed, of those in which it failed or ran out of time.
    broke INTEGER NOT NULL,
    -- Retries of it.
    retries INTEGER NOT NULL,
    -- How long it took, all times together, in microseconds.
    duration_sum INTEGER NOT NULL,
    PRIMARY KEY (log, day, workflow, version, step_number, action)
) STRICT, WITHOUT ROWID;

-- How executions went, by the day of UTC on which they ended, and by what they are told apart by. What is not
-- folded yet is not in it. Beside the columns of the table:
-- - success_rate: success of success, partial and failed, 0..1; NULL where there are none of these.
-- - effectiveness: The mean score, 0..1; NULL where there is none.
-- - mean_duration_seconds: The mean of duration_sum, in seconds; NULL where there is none.
CREATE VIEW learn_workflow_day AS
SELECT
    log, day, workflow, version, namespace, incident_type, target_kind,
    executions, success, partial, failed, timed_out, cancelled, deleted, retried, retries,
    rolled_back, rollbacks, score_count, score_sum, duration_sum, successful_duration_sum,
    queued_count, queued_sum, effective, ineffective, harmful,
    CAST(success AS REAL) / nullif(success + partial + failed, 0) AS success_rate,
    CAST(score_sum AS REAL) / nullif(score_count, 0) / 1000000 AS effectiveness,
    CAST(duration_sum AS REAL) / nullif(success + partial + failed, 0) / 1000000 AS mean_duration_seconds
FROM statistics_workflow_day;

-- How steps went, by the day of UTC on which their executions ended. What is not folded yet is not in it. Beside
-- the columns of the table:
-- - failure_rate: failed and timed_out of reached, 0..1; NULL where none reached it.
-- - mean_duration_seconds: duration_sum of reached, in seconds; NULL where none reached it.
CREATE VIEW learn_step_day AS
SELECT
    log, day, workflow, version, step_number, action,
    reached, completed, failed, timed_out, broke, retries, duration_sum,
    CAST(failed + timed_out AS REAL) / nullif(reached, 0) AS failure_rate,
    CAST(duration_sum AS REAL) / nullif(reached, 0) / 1000000 AS mean_duration_seconds
FROM statistics_step_day;

-- How executions went, by the month of UTC in which they ended, named by its first day, and by what they are told
-- apart by. Its columns are those of learn_workflow_day, summed.
CREATE VIEW learn_workflow_month AS
SELECT
    log, month, workflow, version, namespace, incident_type, target_kind,
    executions, success, partial, failed, timed_out, cancelled, deleted, retried, retries,
    rolled_back, rollbacks, score_count, score_sum, duration_sum, successful_duration_sum,
    queued_count, queued_sum, effective, ineffective, harmful,
    CAST(success AS REAL) / nullif(success + partial + failed, 0) AS success_rate,
    CAST(score_sum AS REAL) / nullif(score_count, 0) / 1000000 AS effectiveness,
    CAST(duration_sum AS REAL) / nullif(success + partial + failed, 0) / 1000000 AS mean_duration_seconds
FROM (
    SELECT
        log, substr(day, 1, 7) || '-01' AS month, workflow, version, namespace, incident_type,
        target_kind,
        sum(executions) AS executions, sum(success) AS success, sum(partial) AS partial,
        sum(failed) AS failed, sum(timed_out) AS timed_out, sum(cancelled) AS cancelled,
        sum(deleted) AS deleted, sum(retried) AS retried, sum(retries) AS retries,
        sum(rolled_back) AS rolled_back, sum(rollbacks) AS rollbacks,
        sum(score_count) AS score_count, sum(score_sum) AS score_sum,
        sum(duration_sum) AS duration_sum, sum(successful_duration_sum) AS successful_duration_sum,
        sum(queued_count) AS queued_count, sum(queued_sum) AS queued_sum,
        sum(effective) AS effective, sum(ineffective) AS ineffective, sum(harmful) AS harmful
    FROM statistics_workflow_day
    GROUP BY log, month, workflow, version, namespace, incident_type, target_kind
) AS summed;

-- All is folded anew, into these, too.
DELETE FROM statistics_pending;
DELETE FROM statistics_page;
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log),
    rolling = NULL;
