-- What executions and steps come to by day, in plain numbers: the statistics that SQL can read, by views whose
-- names and
-- columns stay (docs/learning.md). A fold adds to them what it adds to the pages.
--
-- A landed migration is never edited: write the next one.

CREATE TABLE statistics_workflow_day (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    day date NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    incident_type text COLLATE "C" NOT NULL,
    target_kind text COLLATE "C" NOT NULL,
    executions bigint NOT NULL,
    success bigint NOT NULL,
    partial bigint NOT NULL,
    failed bigint NOT NULL,
    timed_out bigint NOT NULL,
    cancelled bigint NOT NULL,
    deleted bigint NOT NULL,
    retried bigint NOT NULL,
    retries bigint NOT NULL,
    rolled_back bigint NOT NULL,
    rollbacks bigint NOT NULL,
    score_count bigint NOT NULL,
    score_sum bigint NOT NULL,
    duration_sum bigint NOT NULL,
    successful_duration_sum bigint NOT NULL,
    queued_count bigint NOT NULL,
    queued_sum bigint NOT NULL,
    effective bigint NOT NULL,
    ineffective bigint NOT NULL,
    harmful bigint NOT NULL,
    PRIMARY KEY (log, day, workflow, version, namespace, incident_type, target_kind)
);

COMMENT ON TABLE statistics_workflow_day IS 'Executions by the day on which they ended, and by what they are told apart by. Rows that came to nothing go.';
COMMENT ON COLUMN statistics_workflow_day.log IS 'The log.';
COMMENT ON COLUMN statistics_workflow_day.day IS 'The day of UTC on which they ended.';
COMMENT ON COLUMN statistics_workflow_day.workflow IS 'The workflow.';
COMMENT ON COLUMN statistics_workflow_day.version IS 'Its version.';
COMMENT ON COLUMN statistics_workflow_day.namespace IS 'The namespace; empty where there is none.';
COMMENT ON COLUMN statistics_workflow_day.incident_type IS 'The type of incident; empty where there is none.';
COMMENT ON COLUMN statistics_workflow_day.target_kind IS 'The kind of the target; empty where there is none.';
COMMENT ON COLUMN statistics_workflow_day.executions IS 'Executions that ended on the day.';
COMMENT ON COLUMN statistics_workflow_day.success IS 'Those that succeeded. Whoever was cancelled, or whose resource was deleted before it had finished, is neither in this nor in partial and failed.';
COMMENT ON COLUMN statistics_workflow_day.partial IS 'Those that succeeded in part.';
COMMENT ON COLUMN statistics_workflow_day.failed IS 'Those that failed.';
COMMENT ON COLUMN statistics_workflow_day.timed_out IS 'Those that ran out of time; they are in success, partial or failed, too.';
COMMENT ON COLUMN statistics_workflow_day.cancelled IS 'Those that were cancelled.';
COMMENT ON COLUMN statistics_workflow_day.deleted IS 'Those whose resource was deleted before they had finished.';
COMMENT ON COLUMN statistics_workflow_day.retried IS 'Those that retried any step, of success, partial and failed; so are all that follow up to successful_duration_sum.';
COMMENT ON COLUMN statistics_workflow_day.retries IS 'Retries of steps.';
COMMENT ON COLUMN statistics_workflow_day.rolled_back IS 'Those that rolled any step back.';
COMMENT ON COLUMN statistics_workflow_day.rollbacks IS 'Steps rolled back.';
COMMENT ON COLUMN statistics_workflow_day.score_count IS 'Those that have a score.';
COMMENT ON COLUMN statistics_workflow_day.score_sum IS 'Their effectiveness scores, in millionths.';
COMMENT ON COLUMN statistics_workflow_day.duration_sum IS 'From start to end, in microseconds.';
COMMENT ON COLUMN statistics_workflow_day.successful_duration_sum IS 'The same of those that succeeded.';
COMMENT ON COLUMN statistics_workflow_day.queued_count IS 'Those of all executions of which it is known how long they waited.';
COMMENT ON COLUMN statistics_workflow_day.queued_sum IS 'How long these waited, from creation to start, in microseconds.';
COMMENT ON COLUMN statistics_workflow_day.effective IS 'Those of all executions whose newest verdict is effective.';
COMMENT ON COLUMN statistics_workflow_day.ineffective IS 'Those whose newest verdict is ineffective.';
COMMENT ON COLUMN statistics_workflow_day.harmful IS 'Those whose newest verdict is harmful.';

CREATE TABLE statistics_step_day (
    log text COLLATE "C" NOT NULL REFERENCES log (name),
    day date NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    step_number integer NOT NULL,
    action text COLLATE "C" NOT NULL,
    reached bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    timed_out bigint NOT NULL,
    broke bigint NOT NULL,
    retries bigint NOT NULL,
    duration_sum bigint NOT NULL,
    PRIMARY KEY (log, day, workflow, version, step_number, action)
);

COMMENT ON TABLE statistics_step_day IS 'Steps by the day on which their executions ended, of those that count: neither cancelled, nor deleted before they had finished. Rows that came to nothing go.';
COMMENT ON COLUMN statistics_step_day.log IS 'The log.';
COMMENT ON COLUMN statistics_step_day.day IS 'The day of UTC on which the executions ended.';
COMMENT ON COLUMN statistics_step_day.workflow IS 'The workflow.';
COMMENT ON COLUMN statistics_step_day.version IS 'Its version.';
COMMENT ON COLUMN statistics_step_day.step_number IS 'The number of the step in the plan.';
COMMENT ON COLUMN statistics_step_day.action IS 'What the step does.';
COMMENT ON COLUMN statistics_step_day.reached IS 'Executions that came to it: it began, or was adjusted.';
COMMENT ON COLUMN statistics_step_day.completed IS 'Those in which it completed.';
COMMENT ON COLUMN statistics_step_day.failed IS 'Those in which it failed.';
COMMENT ON COLUMN statistics_step_day.timed_out IS 'Those in which it ran out of time.';
COMMENT ON COLUMN statistics_step_day.broke IS 'Those that did not succeed, of those in which it failed or ran out of time.';
COMMENT ON COLUMN statistics_step_day.retries IS 'Retries of it.';
COMMENT ON COLUMN statistics_step_day.duration_sum IS 'How long it took, all times together, in microseconds.';

CREATE VIEW learn_workflow_day AS
SELECT
    log, day, workflow, version, namespace, incident_type, target_kind,
    executions, success, partial, failed, timed_out, cancelled, deleted, retried, retries,
    rolled_back, rollbacks, score_count, score_sum, duration_sum, successful_duration_sum,
    queued_count, queued_sum, effective, ineffective, harmful,
    success::double precision / nullif(success + partial + failed, 0) AS success_rate,
    score_sum::double precision / nullif(score_count, 0) / 1000000 AS effectiveness,
    duration_sum::double precision / nullif(success + partial + failed, 0) / 1000000 AS mean_duration_seconds
FROM statistics_workflow_day;

CREATE VIEW learn_step_day AS
SELECT
    log, day, workflow, version, step_number, action,
    reached, completed, failed, timed_out, broke, retries, duration_sum,
    (failed + timed_out)::double precision / nullif(reached, 0) AS failure_rate,
    duration_sum::double precision / nullif(reached, 0) / 1000000 AS mean_duration_seconds
FROM statistics_step_day;

CREATE VIEW learn_workflow_month AS
SELECT
    log, month, workflow, version, namespace, incident_type, target_kind,
    executions, success, partial, failed, timed_out, cancelled, deleted, retried, retries,
    rolled_back, rollbacks, score_count, score_sum, duration_sum, successful_duration_sum,
    queued_count, queued_sum, effective, ineffective, harmful,
    success::double precision / nullif(success + partial + failed, 0) AS success_rate,
    score_sum::double precision / nullif(score_count, 0) / 1000000 AS effectiveness,
    duration_sum::double precision / nullif(success + partial + failed, 0) / 1000000 AS mean_duration_seconds
FROM (
    SELECT
        log, date_trunc('month', day::timestamp)::date AS month, workflow, version, namespace,
        incident_type, target_kind,
        sum(executions)::bigint AS executions, sum(success)::bigint AS success,
        sum(partial)::bigint AS partial, sum(failed)::bigint AS failed,
        sum(timed_out)::bigint AS timed_out, sum(cancelled)::bigint AS cancelled,
        sum(deleted)::bigint AS deleted, sum(retried)::bigint AS retried,
        sum(retries)::bigint AS retries, sum(rolled_back)::bigint AS rolled_back,
        sum(rollbacks)::bigint AS rollbacks, sum(score_count)::bigint AS score_count,
        sum(score_sum)::bigint AS score_sum, sum(duration_sum)::bigint AS duration_sum,
        sum(successful_duration_sum)::bigint AS successful_duration_sum,
        sum(queued_count)::bigint AS queued_count, sum(queued_sum)::bigint AS queued_sum,
        sum(effective)::bigint AS effective, sum(ineffective)::bigint AS ineffective,
        sum(harmful)::bigint AS harmful
    FROM statistics_workflow_day
    GROUP BY log, month, workflow, version, namespace, incident_type, target_kind
) AS summed;

COMMENT ON VIEW learn_workflow_day IS 'How executions went, by the day of UTC on which they ended, and by what they are told apart by. What is not folded yet is not in it.';
COMMENT ON COLUMN learn_workflow_day.log IS 'The log.';
COMMENT ON COLUMN learn_workflow_day.day IS 'The day of UTC on which they ended.';
COMMENT ON COLUMN learn_workflow_day.workflow IS 'The workflow.';
COMMENT ON COLUMN learn_workflow_day.version IS 'Its version.';
COMMENT ON COLUMN learn_workflow_day.namespace IS 'The namespace; empty where there is none.';
COMMENT ON COLUMN learn_workflow_day.incident_type IS 'The type of incident; empty where there is none.';
COMMENT ON COLUMN learn_workflow_day.target_kind IS 'The kind of the target; empty where there is none.';
COMMENT ON COLUMN learn_workflow_day.executions IS 'Executions that ended on the day.';
COMMENT ON COLUMN learn_workflow_day.success IS 'Those that succeeded. Whoever was cancelled, or whose resource was deleted before it had finished, is neither in this nor in partial and failed.';
COMMENT ON COLUMN learn_workflow_day.partial IS 'Those that succeeded in part.';
COMMENT ON COLUMN learn_workflow_day.failed IS 'Those that failed.';
COMMENT ON COLUMN learn_workflow_day.timed_out IS 'Those that ran out of time; they are in success, partial or failed, too.';
COMMENT ON COLUMN learn_workflow_day.cancelled IS 'Those that were cancelled.';
COMMENT ON COLUMN learn_workflow_day.deleted IS 'Those whose resource was deleted before they had finished.';
COMMENT ON COLUMN learn_workflow_day.retried IS 'Those that retried any step, of success, partial and failed; so are all that follow up to successful_duration_sum.';
COMMENT ON COLUMN learn_workflow_day.retries IS 'Retries of steps.';
COMMENT ON COLUMN learn_workflow_day.rolled_back IS 'Those that rolled any step back.';
COMMENT ON COLUMN learn_workflow_day.rollbacks IS 'Steps rolled back.';
COMMENT ON COLUMN learn_workflow_day.score_count IS 'Those that have a score.';
COMMENT ON COLUMN learn_workflow_day.score_sum IS 'Their effectiveness scores, in millionths.';
COMMENT ON COLUMN learn_workflow_day.duration_sum IS 'From start to end, in microseconds.';
COMMENT ON COLUMN learn_workflow_day.successful_duration_sum IS 'The same of those that succeeded.';
COMMENT ON COLUMN learn_workflow_day.queued_count IS 'Those of all executions of which it is known how long they waited.';
COMMENT ON COLUMN learn_workflow_day.queued_sum IS 'How long these waited, from creation to start, in microseconds.';
COMMENT ON COLUMN learn_workflow_day.effective IS 'Those of all executions whose newest verdict is effective.';
COMMENT ON COLUMN learn_workflow_day.ineffective IS 'Those whose newest verdict is ineffective.';
COMMENT ON COLUMN learn_workflow_day.harmful IS 'Those whose newest verdict is harmful.';
COMMENT ON COLUMN learn_workflow_day.success_rate IS 'success of success, partial and failed, 0..1; NULL where there are none of these.';
COMMENT ON COLUMN learn_workflow_day.effectiveness IS 'The mean score, 0..1; NULL where there is none.';
COMMENT ON COLUMN learn_workflow_day.mean_duration_seconds IS 'The mean of duration_sum, in seconds; NULL where there is none.';

COMMENT ON VIEW learn_step_day IS 'How steps went, by the day of UTC on which their executions ended. What is not folded yet is not in it.';
COMMENT ON COLUMN learn_step_day.log IS 'The log.';
COMMENT ON COLUMN learn_step_day.day IS 'The day of UTC on which the executions ended.';
COMMENT ON COLUMN learn_step_day.workflow IS 'The workflow.';
COMMENT ON COLUMN learn_step_day.version IS 'Its version.';
COMMENT ON COLUMN learn_step_day.step_number IS 'The number of the step in the plan.';
COMMENT ON COLUMN learn_step_day.action IS 'What the step does.';
COMMENT ON COLUMN learn_step_day.reached IS 'Executions that came to it: it began, or was adjusted.';
COMMENT ON COLUMN learn_step_day.completed IS 'Those in which it completed.';
COMMENT ON COLUMN learn_step_day.failed IS 'Those in which it failed.';
COMMENT ON COLUMN learn_step_day.timed_out IS 'Those in which it ran out of time.';
COMMENT ON COLUMN learn_step_day.broke IS 'Those that did not succeed, of those in which it failed or ran out of time.';
COMMENT ON COLUMN learn_step_day.retries IS 'Retries of it.';
COMMENT ON COLUMN learn_step_day.duration_sum IS 'How long it took, all times together, in microseconds.';
COMMENT ON COLUMN learn_step_day.failure_rate IS 'failed and timed_out of reached, 0..1; NULL where none reached it.';
COMMENT ON COLUMN learn_step_day.mean_duration_seconds IS 'duration_sum of reached, in seconds; NULL where none reached it.';

COMMENT ON VIEW learn_workflow_month IS 'How executions went, by the month of UTC in which they ended, named by its first day, and by what they are told apart by.';
COMMENT ON COLUMN learn_workflow_month.log IS 'The log.';
COMMENT ON COLUMN learn_workflow_month.month IS 'The first day of the month of UTC in which they ended.';
COMMENT ON COLUMN learn_workflow_month.workflow IS 'The workflow.';
COMMENT ON COLUMN learn_workflow_month.version IS 'Its version.';
COMMENT ON COLUMN learn_workflow_month.namespace IS 'The namespace; empty where there is none.';
COMMENT ON COLUMN learn_workflow_month.incident_type IS 'The type of incident; empty where there is none.';
COMMENT ON COLUMN learn_workflow_month.target_kind IS 'The kind of the target; empty where there is none.';
COMMENT ON COLUMN learn_workflow_month.executions IS 'Executions that ended in the month.';
COMMENT ON COLUMN learn_workflow_month.success IS 'Those that succeeded. Whoever was cancelled, or whose resource was deleted before it had finished, is neither in this nor in partial and failed.';
COMMENT ON COLUMN learn_workflow_month.partial IS 'Those that succeeded in part.';
COMMENT ON COLUMN learn_workflow_month.failed IS 'Those that failed.';
COMMENT ON COLUMN learn_workflow_month.timed_out IS 'Those that ran out of time; they are in success, partial or failed, too.';
COMMENT ON COLUMN learn_workflow_month.cancelled IS 'Those that were cancelled.';
COMMENT ON COLUMN learn_workflow_month.deleted IS 'Those whose resource was deleted before they had finished.';
COMMENT ON COLUMN learn_workflow_month.retried IS 'Those that retried any step, of success, partial and failed; so are all that follow up to successful_duration_sum.';
COMMENT ON COLUMN learn_workflow_month.retries IS 'Retries of steps.';
COMMENT ON COLUMN learn_workflow_month.rolled_back IS 'Those that rolled any step back.';
COMMENT ON COLUMN learn_workflow_month.rollbacks IS 'Steps rolled back.';
COMMENT ON COLUMN learn_workflow_month.score_count IS 'Those that have a score.';
COMMENT ON COLUMN learn_workflow_month.score_sum IS 'Their effectiveness scores, in millionths.';
COMMENT ON COLUMN learn_workflow_month.duration_sum IS 'From start to end, in microseconds.';
COMMENT ON COLUMN learn_workflow_month.successful_duration_sum IS 'The same of those that succeeded.';
COMMENT ON COLUMN learn_workflow_month.queued_count IS 'Those of all executions of which it is known how long they waited.';
COMMENT ON COLUMN learn_workflow_month.queued_sum IS 'How long these waited, from creation to start, in microseconds.';
COMMENT ON COLUMN learn_workflow_month.effective IS 'Those of all executions whose newest verdict is effective.';
COMMENT ON COLUMN learn_workflow_month.ineffective IS 'Those whose newest verdict is ineffective.';
COMMENT ON COLUMN learn_workflow_month.harmful IS 'Those whose newest verdict is harmful.';
COMMENT ON COLUMN learn_workflow_month.success_rate IS 'success of success, partial and failed, 0..1; NULL where there are none of these.';
COMMENT ON COLUMN learn_workflow_month.effectiveness IS 'The mean score, 0..1; NULL where there is none.';
COMMENT ON COLUMN learn_workflow_month.mean_duration_seconds IS 'The mean of duration_sum, in seconds; NULL where there is none.';

-- All is folded anew, into these, too.
DELETE FROM statistics_pending;
DELETE FROM statistics_page;
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log),
    rolling = NULL;

-- Lets a role do what `dualaudit run` does, and nothing that could take a record away: rows may be
-- added, a log's head, a tile, a hold and an execution may change as the triggers say, and what is
-- tracked may come and go, and so may statistics. It may purge and erase what the triggers let it, which removes no
-- row.
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
        'GRANT SELECT, INSERT, UPDATE, DELETE ON statistics_log, statistics_pending, statistics_page, statistics_workflow_day, statistics_step_day TO %I',
        grantee);
    EXECUTE format('GRANT SELECT ON learn_workflow_day, learn_step_day, learn_workflow_month TO %I', grantee);
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
