-- Windows: somebody wants the resource of an execution kept for review for longer. An entry of a log, and no row beside it.
--
-- A landed migration is never edited: write the next one.

-- The kinds of entry are a CHECK of log_entry. All that was appended fulfils the one that allows a further kind, so its text
-- alone is changed, as https://sqlite.org/lang_altertable.html#otheralter describes: making the table anew, as earlier
-- migrations did, would write every entry there is. What follows changes triggers, so every connection reads the schema again.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema
SET sql = replace(sql, '''export'', ''erasure''))', '''export'', ''erasure'', ''window''))')
WHERE type = 'table' AND name = 'log_entry';

PRAGMA writable_schema = RESET;

-- An erasure takes the reasons of windows, too.

DROP TRIGGER erased_comes_with_its_entry;

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
                AND entry.idx = NEW.entry_idx AND entry.kind IN ('execution', 'gap', 'quarantine', 'review', 'window')
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

DROP TRIGGER log_entry_is_only_erased;

CREATE TRIGGER log_entry_is_only_erased BEFORE UPDATE ON log_entry
BEGIN
    SELECT RAISE(ABORT, 'log_entry: an entry never changes, but for the body of a gap, a quarantine, a review or a window that loses its personal fields, to an erasure that is just appended')
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
            WHEN 'review' THEN json_remove(json_set(OLD.body, '$.note', ''), '$.nonce')
            WHEN 'window' THEN json_remove(json_set(OLD.body, '$.reason', ''), '$.nonce')
        END;
END;
