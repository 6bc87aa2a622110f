-- One role a log: who is granted a log writes that one alone.
--
-- A landed migration is never edited: write the next one.

-- Functions that were made before look names up where a session makes its own: a temporary table called log_entry would
-- be looked at in place of ours. Such come last from now on. The same holds for what migrations make: `migrate` sets it.
DO $$
DECLARE
    found regprocedure;
BEGIN
    FOR found IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
            AND EXISTS (SELECT 1 FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%')
            AND (proname LIKE 'dualaudit\_%' OR prorettype = 'trigger'::regtype)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', found, current_schema());
    END LOOP;
END
$$;

-- Which role may write which log. While nothing was ever granted, whoever may write at all may write every log; from
-- the first grant on, whoever was granted none writes none. The owner of the tables writes all: it moves logs, makes
-- partitions, and removes what was purged. Everybody who may read reads all logs.
CREATE TABLE dualaudit_log_grant (
    log text COLLATE "C" NOT NULL CHECK (log ~ '^[a-z0-9.-]{1,63}$'),
    grantee text COLLATE "C" NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz CHECK (revoked_at >= granted_at),
    PRIMARY KEY (log, grantee)
);

COMMENT ON TABLE dualaudit_log_grant IS 'Which role may write which log; without any row, each may write all.';
COMMENT ON COLUMN dualaudit_log_grant.log IS 'The log, which need not be there yet.';
COMMENT ON COLUMN dualaudit_log_grant.grantee IS 'The role, or one that it inherits from.';
COMMENT ON COLUMN dualaudit_log_grant.granted_at IS 'When it was granted last.';
COMMENT ON COLUMN dualaudit_log_grant.revoked_at IS 'When that ended; NULL while it lasts. The row stays, so that the last one that is revoked does not open all logs to all.';

-- Nothing secret is in it, and each role has to find itself.
GRANT SELECT ON dualaudit_log_grant TO PUBLIC;

-- The logs that the present role was granted; NULL where nothing was ever granted to anybody. One question without more
-- in it than that, as every statement asks it.
CREATE FUNCTION dualaudit_granted() RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN (
        SELECT
            CASE WHEN count(*) > 0 THEN coalesce(
                array_agg(log) FILTER (
                    -- Of a role that is gone by now, nothing.
                    WHERE revoked_at IS NULL
                        AND pg_has_role(current_user, to_regrole(quote_ident(grantee))::oid, 'USAGE')),
                '{}')
            END
        FROM dualaudit_log_grant);
END
$$;

-- Whether the present role acts for the owner of the tables, whom row-level security does not bind.
CREATE FUNCTION dualaudit_is_owner() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'log'::regclass);
END
$$;

-- Lets a role write a log, and what `dualaudit run` does beside. For the owner.
CREATE FUNCTION dualaudit_grant_log(of_log text, to_role text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM dualaudit_grant(to_role);
    INSERT INTO dualaudit_log_grant (log, grantee)
    VALUES (of_log, to_role)
    ON CONFLICT (log, grantee) DO UPDATE
    SET granted_at = excluded.granted_at, revoked_at = NULL
    WHERE dualaudit_log_grant.revoked_at IS NOT NULL;
END
$$;

-- Ends that, from the next statement on. For the owner.
CREATE FUNCTION dualaudit_revoke_log(of_log text, from_role text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE dualaudit_log_grant
    SET revoked_at = now()
    WHERE log = of_log AND grantee = from_role AND revoked_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the role % is not granted the log %', from_role, of_log;
    END IF;
END
$$;

-- Whoever wrote a log that was rolled back writes the one that goes on in its place.
CREATE FUNCTION succession_passes_grants_on() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO dualaudit_log_grant (log, grantee)
    SELECT NEW.successor, grantee FROM dualaudit_log_grant WHERE log = NEW.log AND revoked_at IS NULL
    ON CONFLICT (log, grantee) DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER succession_passes_grants_on AFTER INSERT ON succession
    FOR EACH ROW EXECUTE FUNCTION succession_passes_grants_on();

-- Row-level security: all rows are read, those of the role's own logs written. Which those are is asked
-- once a statement.
CREATE FUNCTION dualaudit_keep_apart(kept text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', kept);
    EXECUTE format('CREATE POLICY %I ON %I FOR SELECT USING (true)', kept || '_is_read', kept);
    EXECUTE format(
        'CREATE POLICY %I ON %I USING (coalesce(%I = ANY ((SELECT dualaudit_granted())::text[]), true))',
        kept || '_is_written_by_log', kept, CASE kept WHEN 'log' THEN 'name' ELSE 'log' END);
END
$$;

SELECT dualaudit_keep_apart(kept)
FROM unnest(ARRAY[
    'log', 'workflow_execution_revision', 'quarantine', 'hold', 'review', 'log_tile', 'checkpoint', 'succession',
    'tracked', 'statistics_log', 'statistics_pending', 'statistics_page', 'statistics_workflow_day',
    'statistics_step_day'
]) AS kept;

-- An append brings most of its rows by COPY, which PostgreSQL refuses on tables with row-level security. There the same
-- is refused by triggers, which look at what a statement wrote.
CREATE FUNCTION dualaudit_refuse_other_logs() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    granted text[] := dualaudit_granted();
    other text;
BEGIN
    IF granted IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT log INTO other FROM written WHERE log <> ALL (granted) LIMIT 1;
    IF FOUND AND NOT dualaudit_is_owner() THEN
        RAISE EXCEPTION '%: the role % is not granted the log %', TG_TABLE_NAME, current_user, other
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION dualaudit_keep_apart_by_triggers(kept text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER %I AFTER INSERT ON %I REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse_other_logs()',
        kept || '_is_added_by_log', kept);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER UPDATE ON %I REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse_other_logs()',
        kept || '_is_changed_by_log', kept);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER DELETE ON %I REFERENCING OLD TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION dualaudit_refuse_other_logs()',
        kept || '_is_deleted_by_log', kept);
END
$$;

SELECT dualaudit_keep_apart_by_triggers(kept)
FROM unnest(ARRAY[
    'log_entry', 'workflow_execution_audit', 'source_object', 'purged', 'purge_pending', 'erased'
]) AS kept;
