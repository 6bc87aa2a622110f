//! Brings a file to the schema this program knows, and leaves other people's files alone.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior};

use super::error::Result;
use crate::store::StoreError;

/// `PRAGMA application_id` of our files: "dual" in ASCII.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"dual");

/// What takes version n to n + 1. A landed migration is never edited.
const MIGRATIONS: [&str; 16] = [
    include_str!("../../../migrations/sqlite/0001_log_and_executions.sql"),
    include_str!("../../../migrations/sqlite/0002_holds_and_purges.sql"),
    include_str!("../../../migrations/sqlite/0003_moving.sql"),
    include_str!("../../../migrations/sqlite/0004_checkpoints.sql"),
    include_str!("../../../migrations/sqlite/0005_erasure.sql"),
    include_str!("../../../migrations/sqlite/0006_statistics.sql"),
    include_str!("../../../migrations/sqlite/0007_reviews.sql"),
    include_str!("../../../migrations/sqlite/0008_statistics_in_slices.sql"),
    include_str!("../../../migrations/sqlite/0009_in_flight.sql"),
    include_str!("../../../migrations/sqlite/0010_statistics_by_day.sql"),
    include_str!("../../../migrations/sqlite/0011_statistics_by_workflow.sql"),
    include_str!("../../../migrations/sqlite/0012_windows.sql"),
    include_str!("../../../migrations/sqlite/0013_names.sql"),
    include_str!("../../../migrations/sqlite/0014_namespaces.sql"),
    include_str!("../../../migrations/sqlite/0015_passed_over.sql"),
    include_str!("../../../migrations/sqlite/0016_accesses.sql"),
];

/// The schema as it was at first.
#[cfg(test)]
pub(super) const FIRST: &str = MIGRATIONS[0];

/// The version of the schema that this program knows.
const KNOWN: usize = MIGRATIONS.len();

/// Checks that the file is empty or ours, and not newer than this program. Changes nothing.
///
/// # Errors
/// [`StoreError::Corrupt`] for a file of somebody else's, [`StoreError::Unsupported`] for a newer one.
pub(super) fn check(connection: &Connection) -> Result<Version> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: u64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && objects == 0 {
        return Ok(Version(0));
    }
    if application != APPLICATION_ID {
        return Err(StoreError::Corrupt(format!(
            "the file is an SQLite database of another application (application_id {application}, {objects} \
             tables and other objects): nothing was changed; name another file"
        ))
        .into());
    }
    match usize::try_from(version) {
        Ok(version) if version <= KNOWN => Ok(Version(version)),
        _ => Err(StoreError::Unsupported(format!(
            "the database's schema is version {version}, this dualaudit knows up to {KNOWN}: use a newer \
             dualaudit"
        ))
        .into()),
    }
}

/// The version of a file's schema; 0 for an empty file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(usize);

impl Version {
    /// Checks that nothing has to be migrated.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] when something has.
    pub(super) fn require_latest(self) -> Result<()> {
        if self.0 == KNOWN {
            return Ok(());
        }
        Err(StoreError::Unsupported(format!(
            "the database's schema is version {}, this dualaudit needs {KNOWN}: run `dualaudit migrate`",
            self.0
        ))
        .into())
    }
}

/// Checks that tables, indexes, triggers and views are as the migrations made them, so that what the
/// triggers refuse is refused. Whoever reads may add tables, views, and indexes that are not unique.
///
/// # Errors
/// [`StoreError::Corrupt`] names the first that is missing or was changed, or was added and may refuse what is recorded.
pub(super) fn check_unaltered(connection: &Connection) -> Result<()> {
    match alterations(connection)?.first() {
        None => Ok(()),
        Some(what) => Err(StoreError::Corrupt(format!(
            "the schema is not what dualaudit made: {what}. Nothing is recorded on it, because what it refuses \
             may have been changed meanwhile: run `dualaudit verify`, and restore a backup"
        ))
        .into()),
    }
}

/// What of the schema is missing or was changed, and what may change or refuse what is recorded and was added: triggers,
/// and unique indexes of our tables.
pub(super) fn alterations(connection: &Connection) -> Result<Vec<String>> {
    let mut pristine = Connection::open_in_memory()?;
    migrate(&mut pristine)?;
    let (expected, found) = (objects(&pristine)?, objects(connection)?);
    let altered = expected.iter().filter_map(|(object, sql)| match found.get(object) {
        None => Some(format!("{object} is missing")),
        Some(other) if other != sql => Some(format!("{object} was changed")),
        Some(_) => None,
    });
    let triggers = found.keys().filter(|object| object.starts_with("trigger ")).cloned();
    let added = triggers.chain(unique_indexes(connection, &expected)?);
    let added = added.filter(|object| !expected.contains_key(object));
    Ok(altered.chain(added.map(|object| format!("{object} was added"))).collect())
}

/// The unique indexes of these tables that a statement made.
fn unique_indexes(connection: &Connection, objects: &BTreeMap<String, String>) -> Result<Vec<String>> {
    const INDEXES: &str = "
        -- unique indexes of a table
        SELECT 'index ' || name
        FROM pragma_index_list(?1)
        WHERE \"unique\" AND origin = 'c'
        ORDER BY name";
    let mut statement = connection.prepare(INDEXES)?;
    let mut found = Vec::new();
    for table in objects.keys().filter_map(|object| object.strip_prefix("table ")) {
        let names = statement.query_map([table], |row| row.get(0))?;
        found.extend(names.collect::<rusqlite::Result<Vec<String>>>()?);
    }
    Ok(found)
}

/// The objects of a schema by what they are and their names, with the statements that made them.
fn objects(connection: &Connection) -> Result<BTreeMap<String, String>> {
    const OBJECTS: &str = "
        -- schema
        SELECT type || ' ' || name, sql
        FROM sqlite_schema
        WHERE sql IS NOT NULL";
    let mut statement = connection.prepare(OBJECTS)?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(objects.collect::<rusqlite::Result<_>>()?)
}

/// Applies what is missing, each migration in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again under the lock: another process may have migrated meanwhile.
        let Version(version) = check(&transaction)?;
        let Some(migration) = MIGRATIONS.get(version) else { return Ok(()) };
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(version + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
}
