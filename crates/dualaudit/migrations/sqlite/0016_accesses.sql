-- Accesses: who asked for what, and was let or refused. An entry of a log that concerns no one execution, and no row beside it.
--
-- A landed migration is never edited: write the next one.

-- As 0012 says: the text of the CHECKs alone is changed.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema
SET sql = replace(replace(sql,
    '''erasure'', ''window''))', '''erasure'', ''window'', ''access''))'),
    '''digest'', ''export''))', '''digest'', ''export'', ''access''))')
WHERE type = 'table' AND name = 'log_entry';

PRAGMA writable_schema = RESET;

-- Whatever changes the schema has every connection read it again.
CREATE TABLE read_again (unused INTEGER);
DROP TABLE read_again;
