-- Accesses: who asked for what, and was let or refused. An entry of a log that concerns no one execution, and no row beside it.
--
-- A landed migration is never edited: write the next one.

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check CHECK (kind IN (
        'execution', 'gap', 'quarantine', 'hold', 'hold_release', 'purge', 'heartbeat', 'succession', 'digest',
        'review', 'export', 'erasure', 'window', 'access')),
    DROP CONSTRAINT log_entry_concerns_check,
    ADD CONSTRAINT log_entry_concerns_check CHECK (
        execution_id IS NOT NULL
        OR kind IN ('hold', 'hold_release', 'purge', 'heartbeat', 'succession', 'digest', 'export', 'access'));
