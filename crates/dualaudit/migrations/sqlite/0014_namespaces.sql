-- The executions of a namespace, newest first: most who ask may read those of a few namespaces alone. PostgreSQL has it since 0005.
--
-- A landed migration is never edited: write the next one.

CREATE INDEX workflow_execution_audit_namespace
    ON workflow_execution_audit (namespace, created_at DESC, log, id, attempt)
    WHERE namespace IS NOT NULL;
