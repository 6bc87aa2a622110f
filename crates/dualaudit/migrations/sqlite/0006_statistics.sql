-- Statistics: sums over executions, folded from what each append gives. See docs/learning.md.
--
-- A landed migration is never edited: write the next one.

-- How far the statistics of a log are.
CREATE TABLE statistics_log (
    log TEXT NOT NULL PRIMARY KEY REFERENCES log (name),
    -- The version of the rules by which messages become patterns.
    rules INTEGER NOT NULL CHECK (rules > 0),
    -- Of the entries before `refold_until`, those before this one were folded from their bodies. All later entries
    -- gave what they give as they were appended.
    refolded INTEGER NOT NULL CHECK (refolded BETWEEN 0 AND refold_until),
    refold_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was recorded before.
INSERT INTO statistics_log (log, rules, refolded, refold_until)
SELECT name, 1, 0, size
FROM log;

CREATE TRIGGER log_has_statistics AFTER INSERT ON log
BEGIN
    INSERT INTO statistics_log (log, rules, refolded, refold_until)
    VALUES (NEW.name, 1, 0, NEW.size);
END;

-- What appends gave that is not folded yet.
CREATE TABLE statistics_pending (
    log TEXT NOT NULL REFERENCES log (name),
    -- The first entry of the append.
    idx INTEGER NOT NULL CHECK (idx >= 0),
    -- Contributions, packed: see crates/record/src/statistics/packed.rs.
    contributions BLOB NOT NULL,
    PRIMARY KEY (log, idx)
) STRICT;

-- Cells, by bucket, view and key.
CREATE TABLE statistics_page (
    log TEXT NOT NULL REFERENCES log (name),
    level TEXT NOT NULL CHECK (level IN ('hour', 'day', 'month')),
    -- The first hour of the bucket, as hours since 1970-01-01T00:00Z.
    start INTEGER NOT NULL,
    view TEXT NOT NULL CHECK (view IN ('runs', 'steps', 'strata', 'texts')),
    -- No key in the page is less; of the first page of a bucket it is empty.
    first_key BLOB NOT NULL,
    -- The form stands in crates/dualaudit/src/store/statistics/page.rs.
    cells BLOB NOT NULL,
    PRIMARY KEY (log, level, start, view, first_key)
) STRICT;
