-- Erasures: what of an execution is personal goes, by an entry that says so, and the rest stays.
--
-- A landed migration is never edited: write the next one.

-- The entries that lost their personal fields, and the objects that go with them. Rows come with the entry of
-- their erasure, and stay.
CREATE TABLE erased (
    log TEXT NOT NULL REFERENCES log (name),
    -- The entry that lost something: of an execution, a gap or a quarantine.
    entry_idx INTEGER NOT NULL CHECK (entry_idx >= 0),
    -- The erasure's entry, which says the same, and what is left.
    idx INTEGER NOT NULL CHECK (idx > entry_idx),
    PRIMARY KEY (log, entry_idx)
) STRICT, WITHOUT ROWID;

-- What one erasure took.
CREATE INDEX erased_by ON erased (log, idx);

CREATE TRIGGER erased_comes_with_its_entry BEFORE INSERT ON erased
BEGIN
    SELECT RAISE(ABORT, 'erased: this entry is erased already')
    WHERE EXISTS (SELECT 1 FROM erased WHERE log = NEW.log AND entry_idx = NEW.entry_idx);
    -- Its log's head moves last of all that an append does.
    SELECT RAISE(ABORT, 'erased: an entry is erased by an entry of its execution that is just appended, or not at all')
    WHERE NOT EXISTS (
            SELECT 1
            FROM log_entry AS erasure
            JOIN log_entry AS entry ON entry.log = erasure.log AND entry.execution_id = erasure.execution_id
            WHERE erasure.log = NEW.log AND erasure.idx = NEW.idx AND erasure.kind = 'erasure'
                AND entry.idx = NEW.entry_idx AND entry.kind IN ('execution', 'gap', 'quarantine')
                AND EXISTS (
                    SELECT 1 FROM json_each(erasure.body, '$.entries')
                    WHERE json_extract(value, '$.index') = NEW.entry_idx))
        OR NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size <= NEW.idx);
    SELECT RAISE(ABORT, 'erased: a hold is open on this execution')
    WHERE EXISTS (
        SELECT 1
        FROM log_entry AS entry
        JOIN hold ON hold.log = entry.log AND hold.execution_id = entry.execution_id
        WHERE entry.log = NEW.log AND entry.idx = NEW.entry_idx AND hold.released_at IS NULL);
END;

CREATE TRIGGER erased_is_not_updated BEFORE UPDATE ON erased
BEGIN
    SELECT RAISE(ABORT, 'erased: what was erased never changes');
END;

CREATE TRIGGER erased_is_not_deleted BEFORE DELETE ON erased
BEGIN
    SELECT RAISE(ABORT, 'erased: what was erased stays erased');
END;

-- What an erasure takes may go while it is appended, exactly that, and nothing else.

DROP TRIGGER workflow_execution_audit_is_only_amended;

CREATE TRIGGER workflow_execution_audit_is_only_amended BEFORE UPDATE ON workflow_execution_audit
WHEN NEW.revision IS NOT OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_audit: a row only changes into its next revision, which has its entry, while the row as it was stands in workflow_execution_revision')
    WHERE (NEW.rowid, NEW.log, NEW.id, NEW.attempt, NEW.revision, NEW.created_at)
            IS NOT (OLD.rowid, OLD.log, OLD.id, OLD.attempt, OLD.revision + 1, OLD.created_at)
        OR NOT EXISTS (
            SELECT 1 FROM log_entry
            WHERE log = NEW.log AND execution_id = NEW.id
                AND attempt = NEW.attempt AND revision = NEW.revision)
        OR NOT EXISTS (
            SELECT 1 FROM workflow_execution_revision AS kept
            WHERE kept.log = OLD.log AND kept.id = OLD.id
                AND kept.attempt = OLD.attempt AND kept.revision = OLD.revision
                AND (
                    kept.recorded_at, kept.created_at, kept.completed_at, kept.started_at,
                    kept.remediation_id, kept.workflow_name, kept.workflow_version,
                    kept.total_steps, kept.steps_completed, kept.steps_failed, kept.total_duration,
                    kept.queued_duration, kept.outcome, kept.effectiveness_score,
                    kept.score_source, kept.rollbacks_performed, kept.status, kept.error_message,
                    kept.cluster, kept.namespace, kept.name, kept.source_api_version,
                    kept.source_kind, kept.source_uid, kept.incident_type, kept.target_api_version,
                    kept.target_kind, kept.target_namespace, kept.target_name, kept.labels,
                    kept.source_digest, kept.content_digest, kept.nonce, kept.step_executions,
                    kept.adaptive_adjustments
                ) IS (
                    OLD.recorded_at, OLD.created_at, OLD.completed_at, OLD.started_at,
                    OLD.remediation_id, OLD.workflow_name, OLD.workflow_version, OLD.total_steps,
                    OLD.steps_completed, OLD.steps_failed, OLD.total_duration, OLD.queued_duration,
                    OLD.outcome, OLD.effectiveness_score, OLD.score_source,
                    OLD.rollbacks_performed, OLD.status, OLD.error_message, OLD.cluster,
                    OLD.namespace, OLD.name, OLD.source_api_version, OLD.source_kind,
                    OLD.source_uid, OLD.incident_type, OLD.target_api_version, OLD.target_kind,
                    OLD.target_namespace, OLD.target_name, OLD.labels, OLD.source_digest,
                    OLD.content_digest, OLD.nonce, OLD.step_executions, OLD.adaptive_adjustments
                ));
END;

CREATE TRIGGER workflow_execution_audit_is_only_erased BEFORE UPDATE ON workflow_execution_audit
WHEN NEW.revision IS OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_audit: within its revision a row only loses its personal fields, to an erasure that is just appended')
    WHERE (
            NEW.rowid, NEW.log, NEW.id, NEW.attempt, NEW.revision, NEW.recorded_at, NEW.created_at,
            NEW.completed_at, NEW.started_at, NEW.remediation_id, NEW.workflow_name,
            NEW.workflow_version, NEW.total_steps, NEW.steps_completed, NEW.steps_failed,
            NEW.total_duration, NEW.queued_duration, NEW.outcome, NEW.effectiveness_score,
            NEW.score_source, NEW.rollbacks_performed, NEW.status, NEW.cluster, NEW.namespace,
            NEW.source_api_version, NEW.source_kind, NEW.source_uid, NEW.incident_type,
            NEW.target_api_version, NEW.target_kind, NEW.target_namespace
        ) IS NOT (
            OLD.rowid, OLD.log, OLD.id, OLD.attempt, OLD.revision, OLD.recorded_at, OLD.created_at,
            OLD.completed_at, OLD.started_at, OLD.remediation_id, OLD.workflow_name,
            OLD.workflow_version, OLD.total_steps, OLD.steps_completed, OLD.steps_failed,
            OLD.total_duration, OLD.queued_duration, OLD.outcome, OLD.effectiveness_score,
            OLD.score_source, OLD.rollbacks_performed, OLD.status, OLD.cluster, OLD.namespace,
            OLD.source_api_version, OLD.source_kind, OLD.source_uid, OLD.incident_type,
            OLD.target_api_version, OLD.target_kind, OLD.target_namespace
        )
        OR (NEW.error_message, NEW.name, NEW.target_name, NEW.labels, NEW.source_digest, NEW.content_digest)
            IS NOT ('', NULL, NULL, '{}', NULL, NULL)
        OR NEW.nonce IS OLD.nonce
        OR NEW.step_executions IS NOT (
            SELECT json_group_array(json_remove(value, '$.error_message', '$.name'))
            FROM json_each(OLD.step_executions))
        OR NEW.adaptive_adjustments IS NOT (
            SELECT json_group_array(json_remove(json_set(value, '$.reason', ''), '$.from', '$.to'))
            FROM json_each(OLD.adaptive_adjustments))
        OR NOT EXISTS (
            SELECT 1
            FROM log_entry AS entry
            JOIN erased ON erased.log = entry.log AND erased.entry_idx = entry.idx
            JOIN log ON log.name = entry.log AND log.size <= erased.idx
            WHERE entry.log = OLD.log AND entry.execution_id = OLD.id
                AND entry.attempt = OLD.attempt AND entry.revision = OLD.revision);
END;

DROP TRIGGER workflow_execution_revision_is_not_updated;

CREATE TRIGGER workflow_execution_revision_is_only_erased BEFORE UPDATE ON workflow_execution_revision
BEGIN
    SELECT RAISE(ABORT, 'workflow_execution_revision: a revision only loses its personal fields, to an erasure that is just appended')
    WHERE (
            NEW.rowid, NEW.log, NEW.id, NEW.attempt, NEW.revision, NEW.recorded_at, NEW.created_at,
            NEW.completed_at, NEW.started_at, NEW.remediation_id, NEW.workflow_name,
            NEW.workflow_version, NEW.total_steps, NEW.steps_completed, NEW.steps_failed,
            NEW.total_duration, NEW.queued_duration, NEW.outcome, NEW.effectiveness_score,
            NEW.score_source, NEW.rollbacks_performed, NEW.status, NEW.cluster, NEW.namespace,
            NEW.source_api_version, NEW.source_kind, NEW.source_uid, NEW.incident_type,
            NEW.target_api_version, NEW.target_kind, NEW.target_namespace
        ) IS NOT (
            OLD.rowid, OLD.log, OLD.id, OLD.attempt, OLD.revision, OLD.recorded_at, OLD.created_at,
            OLD.completed_at, OLD.started_at, OLD.remediation_id, OLD.workflow_name,
            OLD.workflow_version, OLD.total_steps, OLD.steps_completed, OLD.steps_failed,
            OLD.total_duration, OLD.queued_duration, OLD.outcome, OLD.effectiveness_score,
            OLD.score_source, OLD.rollbacks_performed, OLD.status, OLD.cluster, OLD.namespace,
            OLD.source_api_version, OLD.source_kind, OLD.source_uid, OLD.incident_type,
            OLD.target_api_version, OLD.target_kind, OLD.target_namespace
        )
        OR (NEW.error_message, NEW.name, NEW.target_name, NEW.labels, NEW.source_digest, NEW.content_digest)
            IS NOT ('', NULL, NULL, '{}', NULL, NULL)
        OR NEW.nonce IS OLD.nonce
        OR NEW.step_executions IS NOT (
            SELECT json_group_array(json_remove(value, '$.error_message', '$.name'))
            FROM json_each(OLD.step_executions))
        OR NEW.adaptive_adjustments IS NOT (
            SELECT json_group_array(json_remove(json_set(value, '$.reason', ''), '$.from', '$.to'))
            FROM json_each(OLD.adaptive_adjustments))
        OR NOT EXISTS (
            SELECT 1
            FROM log_entry AS entry
            JOIN erased ON erased.log = entry.log AND erased.entry_idx = entry.idx
            JOIN log ON log.name = entry.log AND log.size <= erased.idx
            WHERE entry.log = OLD.log AND entry.execution_id = OLD.id
                AND entry.attempt = OLD.attempt AND entry.revision = OLD.revision);
END;

DROP TRIGGER log_entry_is_not_updated;

CREATE TRIGGER log_entry_is_only_erased BEFORE UPDATE ON log_entry
BEGIN
    SELECT RAISE(ABORT, 'log_entry: an entry never changes, but for the body of a gap or a quarantine that loses its personal fields, to an erasure that is just appended')
    WHERE (
            NEW.log, NEW.idx, NEW.kind, NEW.recorded_at, NEW.execution_id, NEW.attempt, NEW.revision,
            NEW.started_at, NEW.idempotency_key, NEW.body_digest, NEW.leaf_hash
        ) IS NOT (
            OLD.log, OLD.idx, OLD.kind, OLD.recorded_at, OLD.execution_id, OLD.attempt, OLD.revision,
            OLD.started_at, OLD.idempotency_key, OLD.body_digest, OLD.leaf_hash
        )
        OR NOT EXISTS (
            SELECT 1
            FROM erased
            JOIN log ON log.name = erased.log AND log.size <= erased.idx
            WHERE erased.log = OLD.log AND erased.entry_idx = OLD.idx)
        OR NEW.body IS NULL
        OR json_extract(NEW.body, '$.nonce') IS json_extract(OLD.body, '$.nonce')
        OR json_remove(NEW.body, '$.nonce') IS NOT CASE OLD.kind
            WHEN 'gap' THEN json_remove(
                json_set(OLD.body, '$.name', ''), '$.nonce', '$.last_state', '$.last_state_digest')
            WHEN 'quarantine' THEN json_remove(json_set(OLD.body, '$.name', '', '$.reason', ''), '$.nonce')
        END;
END;

DROP TRIGGER source_object_is_not_updated;

CREATE TRIGGER source_object_is_only_erased BEFORE UPDATE ON source_object
BEGIN
    SELECT RAISE(ABORT, 'source_object: a source object only goes whole, to an erasure that is just appended')
    WHERE (NEW.rowid, NEW.log, NEW.idx, NEW.object) IS NOT (OLD.rowid, OLD.log, OLD.idx, x'')
        OR NOT EXISTS (
            SELECT 1
            FROM erased
            JOIN log ON log.name = erased.log AND log.size <= erased.idx
            WHERE erased.log = OLD.log AND erased.entry_idx = OLD.idx);
END;

DROP TRIGGER quarantine_is_not_updated;

CREATE TRIGGER quarantine_is_only_erased BEFORE UPDATE ON quarantine
BEGIN
    SELECT RAISE(ABORT, 'quarantine: a quarantined object only goes whole, to an erasure that is just appended')
    WHERE (NEW.rowid, NEW.log, NEW.execution_id, NEW.source_digest, NEW.idx, NEW.recorded_at, NEW.object)
            IS NOT (OLD.rowid, OLD.log, OLD.execution_id, OLD.source_digest, OLD.idx, OLD.recorded_at, x'')
        OR NOT EXISTS (
            SELECT 1
            FROM erased
            JOIN log ON log.name = erased.log AND log.size <= erased.idx
            WHERE erased.log = OLD.log AND erased.entry_idx = OLD.idx);
END;
