-- What is in flight: of each tracked execution that runs, what it is, and since when.
--
-- What was tracked before gets it when it is seen next, at the latest when a controller starts.
--
-- A landed migration is never edited: write the next one.

ALTER TABLE tracked
    ADD COLUMN workflow_name text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN workflow_version text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN incident_type text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN target_kind text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN running_since timestamptz,
    ADD CHECK (running_since IS NULL OR state = 'open');

COMMENT ON COLUMN tracked.workflow_name IS 'The workflow that runs; empty where none does, or it cannot be read.';
COMMENT ON COLUMN tracked.workflow_version IS 'Its version; may be empty.';
COMMENT ON COLUMN tracked.incident_type IS 'What kind of incident it answers; may be empty.';
COMMENT ON COLUMN tracked.target_kind IS 'What kind of object it works on; may be empty.';
COMMENT ON COLUMN tracked.running_since IS
    'When its attempt began; where it has not, when its resource was created. NULL where it does not run, or is accounted for.';

-- All that is asked of what is in flight, and of nothing else.
CREATE INDEX tracked_running
    ON tracked (log, workflow_name, workflow_version, namespace, incident_type, target_kind, running_since)
    WHERE running_since IS NOT NULL;
