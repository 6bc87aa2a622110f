//! Looks at a server and a database without changing or requiring anything: what `dualaudit doctor` judges.

use tokio_postgres::{Client, config::Host};

use super::{
    connect,
    error::{Error, Result},
    location::{Location, Trust},
    maintain, migrate, schema,
    values::Micros,
};
use crate::{clock::Clock, store::StoreError};

/// What can be seen of a server and a database on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its version, for people.
    pub version: String,
    /// The same as a number: 150014 for 15.14.
    pub version_number: i32,
    /// The database's encoding.
    pub encoding: String,
    /// Whether it follows another server.
    pub standby: bool,
    /// The version of TLS, if there is any.
    pub tls: Option<String>,
    /// Whether its name was verified.
    pub verified: bool,
    /// Whether it is on this machine.
    pub local: bool,
    /// `fsync`.
    pub fsync: String,
    /// `synchronous_commit`, after we set it.
    pub synchronous_commit: String,
    /// `full_page_writes`.
    pub full_page_writes: String,
    /// Microseconds by which its clock is ahead of ours; the time the answer took counts half.
    pub clock_ahead: i64,
    /// Bytes of the database.
    pub size: i64,
    /// What keeps WAL.
    pub slots: Vec<Slot>,
    /// Whether the last try to archive WAL failed.
    pub archiving_fails: bool,
    /// The schema; a sentence where it is not there, not the latest, or not ours.
    pub schema: std::result::Result<SchemaSeen, String>,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What it is called.
    pub name: String,
    /// Bytes of WAL that are kept for it.
    pub kept: i64,
}

/// What can be seen of a schema of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaSeen {
    /// Its version.
    pub version: usize,
    /// What of it is not as the migrations made it.
    pub alterations: Vec<String>,
    /// The role that asks.
    pub role: String,
    /// What that role may not do although `run` needs it.
    pub missing: Vec<String>,
    /// What it can do although `run` does not need it.
    pub excessive: Vec<String>,
    /// Which logs that role may write.
    pub writes: Writes,
    /// Months after the present one that have partitions; a sentence where it cannot be said.
    pub months_ahead: std::result::Result<i32, String>,
}

/// Which logs a role may write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writes {
    /// All: no log was granted to anybody.
    Undivided {
        /// How many logs of clusters there are.
        clusters: i64,
    },
    /// All, as the owner of the tables.
    All,
    /// Those that it was granted.
    Granted(Vec<String>),
}

/// Looks.
///
/// # Errors
/// [`StoreError::Unavailable`] when the server cannot be reached or does not answer.
pub async fn observe(location: &Location, clock: &dyn Clock) -> std::result::Result<Seen, StoreError> {
    let observe = async {
        let client = connect::observer(location).await?;
        let mut seen = server(&client, location, clock).await?;
        seen.schema = match migrate::check(&client).await.and_then(|version| {
            version.require_latest()?;
            Ok(version)
        }) {
            Ok(version) => Ok(schema(&client, version.number(), clock).await?),
            Err(Error::Store(StoreError::Corrupt(what) | StoreError::Unsupported(what))) => Err(what),
            Err(error) if error.is_forbidden() => {
                Err("this role may not read the schema: run `dualaudit migrate --grant-to ROLE` as the owner"
                    .to_owned())
            }
            Err(error) => return Err(error),
        };
        Ok(seen)
    };
    observe.await.map_err(|error: Error| error.at(&location.to_string()))
}

async fn server(client: &Client, location: &Location, clock: &dyn Clock) -> Result<Seen> {
    const SERVER: &str = "
        -- the server
        SELECT clock_timestamp(), current_setting('server_version'),
            current_setting('server_version_num')::integer, current_setting('server_encoding'),
            pg_is_in_recovery(), (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
            current_setting('fsync'), current_setting('synchronous_commit'),
            current_setting('full_page_writes'), pg_database_size(current_database()),
            (SELECT coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)
                FROM pg_stat_archiver)";
    const SLOTS: &str = "
        -- replication slots
        SELECT slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
        FROM pg_replication_slots
        WHERE restart_lsn IS NOT NULL AND NOT pg_is_in_recovery()";
    let statement = client.prepare(SERVER).await?;
    let asked = clock.now();
    let row = client.query_one(&statement, &[]).await?;
    let answered = clock.now();
    let Micros(theirs) = row.try_get(0)?;
    let between = asked.as_micros() + answered.micros_since(asked) / 2;
    let slots = client.query(SLOTS, &[]).await?;
    let slots: Result<Vec<Slot>> =
        slots.iter().map(|row| Ok(Slot { name: row.try_get(0)?, kept: row.try_get(1)? })).collect();
    Ok(Seen {
        clock_ahead: theirs - between,
        version: row.try_get(1)?,
        version_number: row.try_get(2)?,
        encoding: row.try_get(3)?,
        standby: row.try_get(4)?,
        tls: row.try_get(5)?,
        verified: matches!(location.trust, Trust::Verified { .. }),
        local: location.config.get_hosts().iter().all(is_local),
        fsync: row.try_get(6)?,
        synchronous_commit: row.try_get(7)?,
        full_page_writes: row.try_get(8)?,
        size: row.try_get(9)?,
        archiving_fails: row.try_get(10)?,
        slots: slots?,
        schema: Err("it was not looked at".to_owned()),
    })
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

async fn schema(client: &Client, version: usize, clock: &dyn Clock) -> Result<SchemaSeen> {
    let alterations = schema::alterations(client).await?;
    let (missing, excessive) = privileges(client).await?;
    let role = client.query_one("SELECT current_user::text", &[]).await?.try_get(0)?;
    let writes = writes(client).await?;
    let months_ahead = match maintain::ahead(client, clock.now()).await {
        Ok(months) => Ok(months),
        Err(Error::Damaged(what)) => Err(what),
        Err(error) => return Err(error),
    };
    Ok(SchemaSeen { version, alterations, role, missing, excessive, writes, months_ahead })
}

async fn writes(client: &Client) -> Result<Writes> {
    const WRITES: &str = "
        -- what may be written
        SELECT CASE WHEN dualaudit_is_owner() THEN NULL ELSE dualaudit_granted() END,
            EXISTS (SELECT 1 FROM dualaudit_log_grant),
            (SELECT count(*) FROM log WHERE owner = 'cluster')";
    let row = client.query_one(WRITES, &[]).await?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (Some(logs), _) => Writes::Granted(logs),
        (None, true) => Writes::All,
        (None, false) => Writes::Undivided { clusters: row.try_get(2)? },
    })
}

/// What `dualaudit_grant` gives, and what would take records away.
async fn privileges(client: &Client) -> Result<(Vec<String>, Vec<String>)> {
    const NEEDED: &str = "
        -- privileges that run needs
        SELECT privilege || ' ' || kept
        FROM (
            SELECT kept, privilege, NULL AS part
            FROM unnest($1::text[]) AS kept, unnest(ARRAY['SELECT', 'INSERT']) AS privilege
            UNION ALL VALUES
                ('dualaudit_schema', 'SELECT', NULL),
                ('log', 'UPDATE', 'size'), ('log', 'UPDATE', 'root'), ('log', 'UPDATE', 'recorded_at'),
                ('workflow_execution_audit', 'UPDATE', NULL),
                ('log_entry', 'UPDATE', 'content_digest'), ('log_entry', 'UPDATE', 'body'),
                ('workflow_execution_revision', 'UPDATE', 'nonce'),
                ('source_object', 'UPDATE', 'object'), ('quarantine', 'UPDATE', 'object'),
                ('review', 'UPDATE', 'note'),
                ('hold', 'UPDATE', 'released_at'), ('hold', 'UPDATE', 'released_idx'),
                ('log_tile', 'UPDATE', 'hashes')
            UNION ALL
            SELECT free, privilege, NULL
            FROM unnest(ARRAY['tracked', 'statistics_log', 'statistics_pending', 'statistics_page', 'statistics_workflow_day',
                    'statistics_step_day']) AS free,
                unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
        ) AS needed
        WHERE NOT CASE WHEN part IS NULL THEN has_table_privilege(to_regclass(kept), privilege)
            ELSE has_column_privilege(to_regclass(kept), part, privilege) END
        ORDER BY kept, privilege";
    const EXCESSIVE: &str = "
        -- privileges beyond those
        SELECT what
        FROM (
            SELECT 1 AS place, 'is superuser' AS what FROM pg_roles WHERE rolname = current_user AND rolsuper
            UNION ALL
            SELECT 2, 'owns ' || relname FROM pg_class
            WHERE oid IN (SELECT to_regclass(kept) FROM unnest($1::text[]) AS kept)
                AND pg_has_role(relowner, 'USAGE')
            UNION ALL
            SELECT 3, 'may ' || privilege || ' ' || relname
            FROM pg_class, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
            WHERE oid IN (SELECT to_regclass(kept) FROM unnest($1::text[]) AS kept)
                AND has_table_privilege(oid, privilege) AND NOT pg_has_role(relowner, 'USAGE')
        ) AS excessive
        ORDER BY place, what";
    let kept = [
        "log",
        "log_entry",
        "workflow_execution_audit",
        "workflow_execution_revision",
        "source_object",
        "quarantine",
        "hold",
        "review",
        "log_tile",
        "purged",
        "purge_pending",
        "erased",
    ];
    let texts = async |sql: &str| -> Result<Vec<String>> {
        let rows = client.query(sql, &[&kept.as_slice()]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    };
    let (missing, mut excessive) = (texts(NEEDED).await?, texts(EXCESSIVE).await?);
    // Of a superuser or an owner the rest goes without saying.
    excessive.truncate(if excessive.first().is_some_and(|what| what == "is superuser") { 1 } else { 5 });
    Ok((missing, excessive))
}

#[cfg(test)]
impl Seen {
    /// A server on which all is well.
    pub(crate) fn sample() -> Self {
        Self {
            version: "15.14".into(),
            version_number: 150_014,
            encoding: "UTF8".into(),
            standby: false,
            tls: None,
            verified: false,
            local: true,
            fsync: "on".into(),
            synchronous_commit: "on".into(),
            full_page_writes: "on".into(),
            clock_ahead: 0,
            size: 1 << 30,
            slots: Vec::new(),
            archiving_fails: false,
            schema: Err("not looked at".into()),
        }
    }
}
