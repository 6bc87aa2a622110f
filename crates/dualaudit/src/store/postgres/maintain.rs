//! What a database needs of its owner from time to time: partitions for the months ahead, and that what
//! was purged is removed.
//!
//! Each piece of work is one transaction, so that whatever ends it leaves nothing half done, and running
//! it again does what is left.

use std::time::Duration;

use dualaudit_record::Time;
use tokio::time::sleep;
use tokio_postgres::{Client, error::SqlState};

use super::{
    connect,
    error::{Error, Result},
    location::Location,
    migrate, remove,
    values::Micros,
};
use crate::store::{Removed, StoreError};

/// Months ahead that have a partition of their own after each run.
pub const MONTHS_AHEAD: i32 = 6;

/// How long one try may wait for a lock. Everybody who comes later waits behind it, appends too, so it
/// is short against the 5 s that an append has.
const WAIT: &str = "500ms";

/// How often it is tried, and the pause in between, in which appends go on. In all that is far longer
/// than any question of ours may take.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maintained {
    /// Partitions that are new, over all tables that have any.
    pub partitions: i32,
    /// Months after the present one that have a partition of their own now.
    pub months_ahead: i32,
    /// What was purged and is gone for good.
    pub removed: Removed,
}

/// Does what the database needs of its owner; `now` says which months are ahead.
///
/// # Errors
/// [`StoreError::Unavailable`] when it cannot be reached, when this role is not its owner, or when
/// somebody held the tables all the time; [`StoreError::Unsupported`] when it has to be migrated first.
pub async fn maintain(location: &Location, now: Time) -> std::result::Result<Maintained, StoreError> {
    let maintain = async {
        let mut client = connect::owner(location).await?;
        migrate::check(&client).await?.require_latest()?;
        refuse_others(&client).await?;
        run(&mut client, now).await
    };
    maintain.await.map_err(|error| error.at(&location.to_string()))
}

/// How many months after that of `now` have a partition of their own; -1 when not even that one has.
///
/// # Errors
/// Those of [`maintain`]; any role may ask.
pub async fn months_ahead(location: &Location, now: Time) -> std::result::Result<i32, StoreError> {
    let ask = async { ahead(&connect::client(location).await?, now).await };
    ask.await.map_err(|error| error.at(&location.to_string()))
}

/// All of it, on a schema that is up to date.
pub(super) async fn run(client: &mut Client, now: Time) -> Result<Maintained> {
    let partitions = patiently(client, now, TRIES).await?;
    let months_ahead = ahead(client, now).await?;
    Ok(Maintained { partitions, months_ahead, removed: remove::remove(client, now).await? })
}

/// The same on a connection.
pub(super) async fn ahead(client: &Client, now: Time) -> Result<i32> {
    // `…_later` begins where the months end that have one; the fewest of any table count.
    const AHEAD: &str = "
        -- months ahead
        SELECT min((extract(year FROM later) - extract(year FROM present)) * 12
            + extract(month FROM later) - extract(month FROM present))::integer - 1, count(later) = count(*)
        FROM (
            SELECT $1::timestamptz AS present,
                substring(pg_get_expr(relpartbound, oid) FROM $$FROM \\('([^']+)'\\)$$)::timestamptz AS later
            FROM unnest($2::text[]) AS parent
            LEFT JOIN pg_class ON oid = to_regclass(parent || '_later')
        ) AS tables";
    let row = client.query_one(AHEAD, &[&Micros::from(now), &PARENTS.as_slice()]).await?;
    match (row.try_get(0)?, row.try_get(1)?) {
        (Some(months), true) => Ok(months),
        _ => Err(Error::damaged(
            "a table's last partition, which has no end, is missing or taken out (its name ends with _later)",
        )),
    }
}

/// The tables with partitions.
const PARENTS: [&str; 2] = ["workflow_execution_audit", "source_object"];

/// Tries until the tables are free for a moment.
pub(super) async fn patiently(client: &mut Client, now: Time, tries: u32) -> Result<i32> {
    for _ in 0..tries {
        match make_partitions(client, now).await {
            Err(Error::Postgres(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    Err(StoreError::Unavailable(format!(
        "the tables were in use at each of {tries} tries, a second apart: end what reads them for so long (it \
         stands in pg_stat_activity), and run this again"
    ))
    .into())
}

/// Gives the months ahead their partitions, in one transaction.
async fn make_partitions(client: &mut Client, now: Time) -> Result<i32> {
    const PARTITIONS: &str = "
        -- partitions ahead
        SELECT dualaudit_make_partitions($1, $2)";
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("SET LOCAL lock_timeout = '{WAIT}'")).await?;
    transaction.batch_execute(migrate::LOCK).await?;
    let made = if ahead(transaction.client(), now).await.is_ok_and(|months| months >= MONTHS_AHEAD) {
        0
    } else {
        transaction.query_one(PARTITIONS, &[&Micros::from(now), &MONTHS_AHEAD]).await?.try_get(0)?
    };
    transaction.commit().await.map_err(Error::Commit)?;
    Ok(made)
}

/// What only an owner may is refused by the server for other reasons, depending on how far it comes.
async fn refuse_others(client: &Client) -> Result<()> {
    const OWNER: &str = "
        -- the owner
        SELECT pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'USAGE'), current_user::text
        FROM pg_class
        WHERE oid = 'workflow_execution_audit'::regclass";
    let row = client.query_one(OWNER, &[]).await?;
    let (owner, owned, role): (&str, bool, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if owned {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "this is for the owner of the tables: connect as {owner}, not as {role}"
    ))
    .into())
}
