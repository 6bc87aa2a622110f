-- Checks of what is appended read what they need by one index, however young or large the log is.
--
-- Of a log whose statistics are not there yet, the planner took the index of the executions for questions
-- about indexes of entries, and read the log from end to end; and it answered whether objects have their
-- entries by hashing all entries there are, at any size. Now each asks for the newest entry below some
-- index: only the primary key has that order, and sorting is off.

CREATE OR REPLACE FUNCTION log_only_grows() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    IF (NEW.name, NEW.owner, NEW.cluster_uid, NEW.origin, NEW.secret, NEW.created_at)
            IS DISTINCT FROM (OLD.name, OLD.owner, OLD.cluster_uid, OLD.origin, OLD.secret, OLD.created_at)
        OR NEW.size <= OLD.size
        OR NEW.recorded_at < OLD.recorded_at
        OR NOT EXISTS (
            SELECT 1
            FROM (
                SELECT idx, recorded_at FROM log_entry WHERE log = NEW.name ORDER BY idx DESC LIMIT 1
            ) AS newest
            WHERE newest.idx = NEW.size - 1 AND newest.recorded_at = NEW.recorded_at)
    THEN
        RAISE EXCEPTION 'log: only its head may change, and only by growing to its newest entry'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION log_entry_is_appended() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF TG_OP = 'INSERT' AND EXISTS (
        SELECT 1
        FROM (
            SELECT log, min(idx) AS first, max(idx) AS last, count(*) AS entries
            FROM appended
            GROUP BY log
        ) AS run
        WHERE run.last - run.first + 1 <> run.entries
            OR run.last <> (SELECT idx FROM log_entry WHERE log = run.log ORDER BY idx DESC LIMIT 1)
            OR run.first > 0
                AND run.first - 1 IS DISTINCT FROM (
                    SELECT idx FROM log_entry
                    WHERE log = run.log AND idx < run.first
                    ORDER BY idx DESC
                    LIMIT 1)
    ) THEN
        RAISE EXCEPTION 'log_entry: an entry goes at the end of its log'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION source_object_has_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    IF TG_OP = 'INSERT' AND EXISTS (
        SELECT 1 FROM inserted
        WHERE NOT EXISTS (
            SELECT 1
            FROM (
                SELECT idx, kind, created_at
                FROM log_entry
                WHERE log = inserted.log AND idx <= inserted.idx
                ORDER BY idx DESC
                LIMIT 1
            ) AS entry
            WHERE entry.idx = inserted.idx AND entry.kind = 'execution'
                AND entry.created_at = inserted.created_at)
    ) THEN
        RAISE EXCEPTION 'source_object: an object needs the entry of its execution in log_entry first'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
