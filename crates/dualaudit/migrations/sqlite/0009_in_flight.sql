-- What is in flight: of each tracked execution that runs, what it is, and since when.
--
-- What was tracked before gets it when it is seen next, at the latest when a controller starts.
--
-- A landed migration is never edited: write the next one.

-- As its record will say it; empty where it is not given, cannot be read, or nothing runs.
ALTER TABLE tracked ADD COLUMN workflow_name TEXT NOT NULL DEFAULT '';
ALTER TABLE tracked ADD COLUMN workflow_version TEXT NOT NULL DEFAULT '';
ALTER TABLE tracked ADD COLUMN incident_type TEXT NOT NULL DEFAULT '';
ALTER TABLE tracked ADD COLUMN target_kind TEXT NOT NULL DEFAULT '';
-- When its attempt began; where it has not, when its resource was created. NULL where it does not run, or is accounted
-- for.
ALTER TABLE tracked ADD COLUMN running_since INTEGER CHECK (running_since IS NULL OR state = 'open');

-- All that is asked of what is in flight, and of nothing else.
CREATE INDEX tracked_running
    ON tracked (log, workflow_name, workflow_version, namespace, incident_type, target_kind, running_since)
    WHERE running_since IS NOT NULL;
