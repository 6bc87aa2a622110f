-- Indexes for what lists are narrowed by: without one, a page of rare values reads the whole history.
--
-- Each gives a log's page in the order of lists, as those of 0001 do. They hold no row that no filter
-- finds by them: absent values, and the outcome and status that nearly every row has, for which the
-- newest rows are read instead. Measured: docs/benchmarks.md, volume.
--
-- A landed migration is never edited: write the next one.

CREATE INDEX workflow_execution_audit_cluster
    ON workflow_execution_audit (log, cluster, created_at DESC, id, attempt)
    WHERE cluster IS NOT NULL;

CREATE INDEX workflow_execution_audit_namespace
    ON workflow_execution_audit (log, namespace, created_at DESC, id, attempt)
    WHERE namespace IS NOT NULL;

CREATE INDEX workflow_execution_audit_incident
    ON workflow_execution_audit (log, incident_type, created_at DESC, id, attempt)
    WHERE incident_type IS NOT NULL;

-- A name alone is asked for too, so the kind, of which there are few, is not in it.
CREATE INDEX workflow_execution_audit_target
    ON workflow_execution_audit (log, target_name, created_at DESC, id, attempt)
    WHERE target_name IS NOT NULL;

CREATE INDEX workflow_execution_audit_outcome
    ON workflow_execution_audit (log, outcome, created_at DESC, id, attempt)
    WHERE outcome <> 'success';

CREATE INDEX workflow_execution_audit_status
    ON workflow_execution_audit (log, status, created_at DESC, id, attempt)
    WHERE status <> 'completed';
