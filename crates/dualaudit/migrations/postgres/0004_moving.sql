-- Logs that are being copied here from another database.
--
-- A landed migration is never edited: write the next one.

ALTER TABLE log
    ADD COLUMN state text COLLATE "C" NOT NULL DEFAULT 'open'
        CONSTRAINT log_state_check CHECK (state IN ('open', 'arriving')),
    ADD COLUMN moved_from text COLLATE "C",
    ADD CONSTRAINT log_arriving_check CHECK (state = 'open' OR moved_from IS NOT NULL);

COMMENT ON COLUMN log.state IS 'open: it takes records; arriving: it is being copied here, and takes nothing else.';
COMMENT ON COLUMN log.moved_from IS 'Where it was copied from; NULL where it began here.';
COMMENT ON COLUMN log_entry.created_at IS 'Of an execution: created_at of its row, which says in which partition that is. Of one that had been purged and removed before its log was copied here: when it was recorded, as nothing says more.';

-- Whether this session copies the log here: it says so, and acts for the owner of the tables.
CREATE FUNCTION dualaudit_is_copying(of_log text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN coalesce(current_setting('dualaudit.copying', TRUE), '') = of_log
        AND (SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = 'log'::regclass);
END
$$;

CREATE FUNCTION log_arrives() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT dualaudit_is_copying(NEW.name) THEN
        RAISE EXCEPTION 'log: only `dualaudit migrate --from`, run by the owner, copies a log here, and until it is done the log takes nothing else'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER log_begins_to_arrive BEFORE INSERT ON log
    FOR EACH ROW WHEN (NEW.state <> 'open' OR NEW.moved_from IS NOT NULL)
    EXECUTE FUNCTION log_arrives();

-- An append is complete with its head, so this refuses every one.
CREATE TRIGGER log_arrives BEFORE UPDATE ON log
    FOR EACH ROW WHEN (OLD.state <> 'open')
    EXECUTE FUNCTION log_arrives();

CREATE FUNCTION log_only_opens() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (OLD.state, NEW.state) IS DISTINCT FROM ('arriving', 'open')
        OR (NEW.name, NEW.owner, NEW.cluster_uid, NEW.origin, NEW.secret, NEW.created_at, NEW.size, NEW.root,
            NEW.recorded_at, NEW.moved_from)
            IS DISTINCT FROM
            (OLD.name, OLD.owner, OLD.cluster_uid, OLD.origin, OLD.secret, OLD.created_at, OLD.size, OLD.root,
            OLD.recorded_at, OLD.moved_from)
    THEN
        RAISE EXCEPTION 'log: of its state only that it has arrived may change, and nothing with it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER log_only_opens BEFORE UPDATE ON log
    FOR EACH ROW WHEN ((NEW.state, NEW.moved_from) IS DISTINCT FROM (OLD.state, OLD.moved_from))
    EXECUTE FUNCTION log_only_opens();

-- A log that is opened does not grow by that.
DROP TRIGGER log_only_grows ON log;
CREATE TRIGGER log_only_grows BEFORE UPDATE ON log
    FOR EACH ROW WHEN ((NEW.state, NEW.moved_from) IS NOT DISTINCT FROM (OLD.state, OLD.moved_from))
    EXECUTE FUNCTION log_only_grows();
