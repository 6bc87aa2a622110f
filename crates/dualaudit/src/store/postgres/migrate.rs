//! Brings a database to the schema this program knows, and leaves other people's databases alone.

use dualaudit_record::Time;
use tokio_postgres::Client;

use super::{
    error::{Error, Result},
    maintain::{self, Maintained},
};
use crate::store::{StoreError, Table};

/// What takes version n to n + 1. A landed migration is never edited.
const MIGRATIONS: [&str; 18] = [
    include_str!("../../../migrations/postgres/0001_log_and_executions.sql"),
    include_str!("../../../migrations/postgres/0002_holds_and_purges.sql"),
    include_str!("../../../migrations/postgres/0003_checks_that_seek.sql"),
    include_str!("../../../migrations/postgres/0004_moving.sql"),
    include_str!("../../../migrations/postgres/0005_filters.sql"),
    include_str!("../../../migrations/postgres/0006_checkpoints.sql"),
    include_str!("../../../migrations/postgres/0007_erasure.sql"),
    include_str!("../../../migrations/postgres/0008_statistics.sql"),
    include_str!("../../../migrations/postgres/0009_reviews.sql"),
    include_str!("../../../migrations/postgres/0010_statistics_in_slices.sql"),
    include_str!("../../../migrations/postgres/0011_in_flight.sql"),
    include_str!("../../../migrations/postgres/0012_statistics_by_day.sql"),
    include_str!("../../../migrations/postgres/0013_statistics_by_workflow.sql"),
    include_str!("../../../migrations/postgres/0014_windows.sql"),
    include_str!("../../../migrations/postgres/0015_names.sql"),
    include_str!("../../../migrations/postgres/0016_passed_over.sql"),
    include_str!("../../../migrations/postgres/0017_one_role_a_log.sql"),
    include_str!("../../../migrations/postgres/0018_accesses.sql"),
];

/// The version of the schema that this program knows.
pub(super) const KNOWN: usize = MIGRATIONS.len();

/// One process at a time changes the schema; the number is ours alone, as far as numbers can be.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtext('dualaudit migrate'))";

/// The version of a database's schema; 0 for one without tables of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(usize);

impl Version {
    /// As it is counted.
    pub(super) fn number(self) -> usize {
        self.0
    }

    /// Whether nothing has to be migrated.
    pub(super) fn is_latest(self) -> bool {
        self.0 == KNOWN
    }

    /// Checks that nothing has to be migrated.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] when something has.
    pub(super) fn require_latest(self) -> Result<()> {
        if self.is_latest() {
            return Ok(());
        }
        Err(StoreError::Unsupported(format!(
            "the database's schema is version {}, this dualaudit needs {KNOWN}: run `dualaudit migrate` as its \
             owner",
            self.0
        ))
        .into())
    }
}

/// Checks that the schema is ours or not there, and not newer than this program. Changes nothing.
///
/// # Errors
/// [`StoreError::Corrupt`] for tables of somebody else's, [`StoreError::Unsupported`] for newer ones.
pub(super) async fn check(client: &Client) -> Result<Version> {
    const OURS: &str = "
        -- whether the schema is ours
        SELECT to_regclass('dualaudit_schema') IS NOT NULL,
            (SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL LIMIT 1)";
    const VERSION: &str = "
        -- version of the schema
        SELECT coalesce(max(version), 0)
        FROM dualaudit_schema";
    let tables: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    let row = client.query_one(OURS, &[&tables]).await?;
    let (ours, other): (bool, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
    if !ours {
        return match other {
            None => Ok(Version(0)),
            Some(table) => Err(StoreError::Corrupt(format!(
                "the database has a table {table} of another application: nothing was changed; name another \
                 database"
            ))
            .into()),
        };
    }
    let version: i32 = client.query_one(VERSION, &[]).await?.try_get(0)?;
    match usize::try_from(version) {
        Ok(version) if version <= KNOWN => Ok(Version(version)),
        _ => Err(StoreError::Unsupported(format!(
            "the database's schema is version {version}, this dualaudit knows up to {KNOWN}: use a newer \
             dualaudit"
        ))
        .into()),
    }
}

/// Applies what is missing, each migration in a transaction of its own, and does what else the database
/// needs of its owner.
pub(super) async fn migrate(client: &mut Client, now: Time) -> Result<Maintained> {
    const VERSIONS: &str = "
        -- versions of the schema
        CREATE TABLE IF NOT EXISTS dualaudit_schema (
            version integer NOT NULL PRIMARY KEY,
            applied_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE dualaudit_schema IS 'Migrations that were applied.';
        COMMENT ON COLUMN dualaudit_schema.version IS 'Which, from 1 on.';
        COMMENT ON COLUMN dualaudit_schema.applied_at IS 'When.'";
    const APPLIED: &str = "
        -- a migration is applied
        INSERT INTO dualaudit_schema (version)
        VALUES ($1)";
    // Where functions that a migration makes look names up: no session's temporary tables come before ours.
    const SEARCH: &str = "
        -- where migrations look names up
        SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)";
    loop {
        let transaction = client.transaction().await?;
        transaction.batch_execute(LOCK).await?;
        transaction.batch_execute(SEARCH).await?;
        // Asked again under the lock: another process may have migrated meanwhile.
        let Version(version) = check(transaction.client()).await?;
        let Some(migration) = MIGRATIONS.get(version) else { break };
        transaction.batch_execute(VERSIONS).await?;
        transaction.batch_execute(migration).await?;
        let applied = i32::try_from(version + 1).unwrap_or(i32::MAX);
        transaction.execute(APPLIED, &[&applied]).await?;
        transaction.commit().await.map_err(Error::Commit)?;
    }
    maintain::run(client, now).await
}

/// Lets a role do what `dualaudit run` does, and no more.
pub(super) async fn grant(client: &Client, role: &str) -> Result<()> {
    const GRANT: &str = "
        -- grant
        SELECT dualaudit_grant($1)";
    client.query_one(GRANT, &[&role]).await?;
    Ok(())
}

/// Lets a role write a log, which from the first such grant on only those may who were granted it.
pub(super) async fn grant_log(client: &Client, log: &str, role: &str) -> Result<()> {
    const GRANT: &str = "
        -- grant a log
        SELECT dualaudit_grant_log($1, $2)";
    client.query_one(GRANT, &[&log, &role]).await?;
    Ok(())
}
