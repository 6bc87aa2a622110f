-- Windows: somebody wants the resource of an execution kept for review for longer. An entry of a log, and no row beside it.
--
-- A landed migration is never edited: write the next one.

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check CHECK (kind IN (
        'execution', 'gap', 'quarantine', 'hold', 'hold_release', 'purge', 'heartbeat', 'succession', 'digest',
        'review', 'export', 'erasure', 'window'));

COMMENT ON COLUMN erased.entry_idx IS 'The entry that lost something: of an execution, a gap, a quarantine, a review or a window.';

-- An erasure takes the reasons of windows, too.

CREATE OR REPLACE FUNCTION erased_comes_with_its_entry() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (
            SELECT 1
            FROM log_entry AS erasure
            JOIN log_entry AS entry ON entry.log = erasure.log AND entry.execution_id = erasure.execution_id
            WHERE erasure.log = NEW.log AND erasure.idx = NEW.idx AND erasure.kind = 'erasure'
                AND entry.idx = NEW.entry_idx AND entry.kind IN ('execution', 'gap', 'quarantine', 'review', 'window')
                AND EXISTS (
                    SELECT 1 FROM jsonb_array_elements(erasure.body::jsonb -> 'entries') AS part (said)
                    WHERE (said ->> 'index')::bigint = NEW.entry_idx))
        OR NOT EXISTS (SELECT 1 FROM log WHERE name = NEW.log AND size <= NEW.idx)
    THEN
        RAISE EXCEPTION 'erased: an entry is erased by an entry of its execution that is just appended, or not at all'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT 1
        FROM log_entry AS entry
        JOIN hold ON hold.log = entry.log AND hold.execution_id = entry.execution_id
        WHERE entry.log = NEW.log AND entry.idx = NEW.entry_idx AND hold.released_at IS NULL)
    THEN
        RAISE EXCEPTION 'erased: a hold is open on this execution' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION log_entry_only_loses_what_is_gone() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF NEW.content_digest IS NOT NULL
        OR (NEW.log, NEW.idx, NEW.recorded_at, NEW.created_at, NEW.started_at, NEW.attempt, NEW.revision,
            NEW.kind, NEW.execution_id, NEW.idempotency_key, NEW.body_digest, NEW.leaf_hash)
            IS DISTINCT FROM
            (OLD.log, OLD.idx, OLD.recorded_at, OLD.created_at, OLD.started_at, OLD.attempt, OLD.revision,
            OLD.kind, OLD.execution_id, OLD.idempotency_key, OLD.body_digest, OLD.leaf_hash)
        OR NOT (CASE
            WHEN NEW.body IS NOT DISTINCT FROM OLD.body
                THEN dualaudit_is_purged(OLD.log, OLD.idx) OR dualaudit_is_being_erased(OLD.log, OLD.idx)
            WHEN OLD.kind NOT IN ('gap', 'quarantine', 'review', 'window') OR NEW.body IS NULL
                THEN FALSE
            ELSE dualaudit_is_being_erased(OLD.log, OLD.idx)
                AND NEW.body::jsonb -> 'nonce' <> OLD.body::jsonb -> 'nonce'
                AND NEW.body::jsonb - 'nonce' = CASE OLD.kind
                    WHEN 'gap'
                        THEN OLD.body::jsonb - ARRAY['nonce', 'last_state', 'last_state_digest'] || '{"name": ""}'
                    WHEN 'review'
                        THEN OLD.body::jsonb - 'nonce' || '{"note": ""}'
                    WHEN 'window'
                        THEN OLD.body::jsonb - 'nonce' || '{"reason": ""}'
                    ELSE OLD.body::jsonb - 'nonce' || '{"name": "", "reason": ""}'
                END
        END)
    THEN
        RAISE EXCEPTION 'log_entry: an entry never changes, but for what a purge or an erasure takes'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
