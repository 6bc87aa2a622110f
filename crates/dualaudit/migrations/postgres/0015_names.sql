-- The executions of a resource's name, newest first: people ask by the names that they see in the cluster.
--
-- A landed migration is never edited: write the next one.

CREATE INDEX workflow_execution_audit_name
    ON workflow_execution_audit (log, name, created_at DESC, id, attempt)
    WHERE name IS NOT NULL;
