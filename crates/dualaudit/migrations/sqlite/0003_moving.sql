-- Logs that moved to another database.
--
-- A landed migration is never edited: write the next one.

-- One row a log that was closed here, because all of it is in another database. Stays for ever: were it
-- taken back, the log might go on in two places.
CREATE TABLE moved (
    log TEXT NOT NULL PRIMARY KEY REFERENCES log (name),
    -- Where it went, without user and password.
    destination TEXT NOT NULL,
    -- When it was closed here.
    moved_at INTEGER NOT NULL,
    -- When it was opened there, once that is known here. Set once.
    opened_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER moved_is_not_replaced BEFORE INSERT ON moved
BEGIN
    SELECT RAISE(ABORT, 'moved: this log moved already')
    WHERE EXISTS (SELECT 1 FROM moved WHERE log = NEW.log);
    SELECT RAISE(ABORT, 'moved: a log is closed before it is opened elsewhere')
    WHERE NEW.opened_at IS NOT NULL;
END;

CREATE TRIGGER moved_is_only_opened BEFORE UPDATE ON moved
BEGIN
    SELECT RAISE(ABORT, 'moved: only that it was opened there is still to be said, once')
    WHERE OLD.opened_at IS NOT NULL
        OR NEW.opened_at IS NULL
        OR (NEW.log, NEW.destination, NEW.moved_at) IS NOT (OLD.log, OLD.destination, OLD.moved_at);
END;

CREATE TRIGGER moved_is_not_deleted BEFORE DELETE ON moved
BEGIN
    SELECT RAISE(ABORT, 'moved: a log that moved takes nothing here any more');
END;

-- An append is complete with its head, so this refuses every one, also of a program that was started
-- before the log moved.
CREATE TRIGGER log_moved_and_grows_no_more BEFORE UPDATE ON log
BEGIN
    SELECT RAISE(ABORT, 'log: it moved to another database, and takes nothing here any more')
    WHERE EXISTS (SELECT 1 FROM moved WHERE log = OLD.name);
END;

-- What is tracked went along.

CREATE TRIGGER tracked_elsewhere_is_not_added BEFORE INSERT ON tracked
BEGIN
    SELECT RAISE(ABORT, 'tracked: the log moved to another database, and what it tracks with it')
    WHERE EXISTS (SELECT 1 FROM moved WHERE log = NEW.log);
END;

CREATE TRIGGER tracked_elsewhere_is_not_updated BEFORE UPDATE ON tracked
BEGIN
    SELECT RAISE(ABORT, 'tracked: the log moved to another database, and what it tracks with it')
    WHERE EXISTS (SELECT 1 FROM moved WHERE log IN (OLD.log, NEW.log));
END;

CREATE TRIGGER tracked_elsewhere_is_not_deleted BEFORE DELETE ON tracked
BEGIN
    SELECT RAISE(ABORT, 'tracked: the log moved to another database, and what it tracks with it')
    WHERE EXISTS (SELECT 1 FROM moved WHERE log = OLD.log);
END;
