-- Reviews: what somebody who looked at an execution says of it.
--
-- A landed migration is never edited: write the next one.

-- Verdicts on executions, one row an entry. Of an attempt the newest counts.
CREATE TABLE review (
    log TEXT NOT NULL REFERENCES log (name),
    -- Its entry, which says the same.
    idx INTEGER NOT NULL CHECK (idx >= 0),
    -- The execution.
    id TEXT NOT NULL,
    -- Which run of it.
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    verdict TEXT NOT NULL CHECK (verdict IN ('effective', 'ineffective', 'harmful')),
    -- Why; may be empty, and is once it was erased.
    note TEXT NOT NULL,
    -- Who said so.
    actor TEXT NOT NULL,
    -- When it was appended.
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (log, idx)
) STRICT, WITHOUT ROWID;

-- The reviews of an attempt, and the newest of them.
CREATE INDEX review_execution ON review (log, id, attempt, idx);

CREATE TRIGGER review_is_not_replaced BEFORE INSERT ON review
BEGIN
    SELECT RAISE(ABORT, 'review: this review is there already')
    WHERE EXISTS (SELECT 1 FROM review WHERE log = NEW.log AND idx = NEW.idx);
    SELECT RAISE(ABORT, 'review: a review needs its entry in log_entry first')
    WHERE (NEW.id, NEW.recorded_at) IS NOT (
        SELECT execution_id, recorded_at FROM log_entry
        WHERE log = NEW.log AND idx = NEW.idx AND kind = 'review');
END;

CREATE TRIGGER review_is_only_erased BEFORE UPDATE ON review
BEGIN
    SELECT RAISE(ABORT, 'review: a review only loses its note, to an erasure that is just appended')
    WHERE (NEW.log, NEW.idx, NEW.id, NEW.attempt, NEW.verdict, NEW.note, NEW.actor, NEW.recorded_at)
            IS NOT (OLD.log, OLD.idx, OLD.id, OLD.attempt, OLD.verdict, '', OLD.actor, OLD.recorded_at)
        OR NOT EXISTS (
            SELECT 1
            FROM erased
            JOIN log ON log.name = erased.log AND log.size <= erased.idx
            WHERE erased.log = OLD.log AND erased.entry_idx = OLD.idx);
END;

CREATE TRIGGER review_is_not_deleted BEFORE DELETE ON review
BEGIN
    SELECT RAISE(ABORT, 'review: a review is never deleted');
END;

-- An erasure takes the notes of reviews, too.

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
                AND entry.idx = NEW.entry_idx AND entry.kind IN ('execution', 'gap', 'quarantine', 'review')
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
    SELECT RAISE(ABORT, 'log_entry: an entry never changes, but for the body of a gap, a quarantine or a review that loses its personal fields, to an erasure that is just appended')
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
        END;
END;

-- Cells of statistics have verdicts from now on: all of them are folded anew.
DELETE FROM statistics_pending;
DELETE FROM statistics_page;
UPDATE statistics_log
SET refolded = 0,
    refold_until = (SELECT size FROM log WHERE log.name = statistics_log.log);
